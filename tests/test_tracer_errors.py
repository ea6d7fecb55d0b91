"""What cannot be traced says so: the class, what, where, and what to do instead."""

import asyncio
import copy
import math
import pickle
import threading
import time

import numpy as np
import pytest

from adjit.tracer import errors
from adjit.tracer.trace import trace

G = np.ones((3, 4))
X = np.linspace(-1, 1, 12).reshape(3, 4)
rng = np.random.default_rng(0)


def drawn():
    """A plain array that is made in the function, but not by one of NumPy's functions."""
    return np.random.default_rng(0).normal(size=(3, 4))


def fills(x):
    z = drawn()
    z[0, 0] = x[0, 0]


def branches(x):
    if x.sum() > 0:
        return x
    return -x


def loops(x):
    while np.all(x < 10):
        x = x * 2
    return x


def writes_argument(x):
    x += 1
    return x


def writes_view(x):
    row = x[0]
    row[1] = 0
    return x


def writes_global(x):
    np.copy(G)[0] = 1
    h = np.asarray(G)
    h[0] = x[0]


def object_array(x):
    return np.array([x, x], dtype=object)


def list_in_ufunc(x):
    from numpy import exp

    return exp([x[0, 0], 1.0])


TABLE = {
    # conversions
    "float": (lambda x: float(x[0, 0]), errors.TracedConversion, "Drop `float`"),
    "complex": (lambda x: complex(x[0, 0]), errors.TracedConversion, "1j"),
    "format": (lambda x: "%.3f" % x[0, 0], errors.TracedConversion, "f-string"),  # noqa: UP031
    "np.float64": (lambda x: np.float64(x[0, 0]), errors.TracedConversion, "depends on"),
    "frombuffer": (lambda x: bytes(x), (TypeError, ValueError), ""),
    "list in ufunc": (list_in_ufunc, errors.TracedConversion, "np.array"),
    "list times array": (
        lambda x: drawn()[0, :2] * [x[0, 0], 1.0],
        errors.TracedConversion,
        "np.array",
    ),
    "object array": (object_array, errors.TracedConversion, "depends on"),
    "plain index": (
        lambda x: drawn()[np.argsort(x[0])[:2]],
        errors.TracedConversion,
        "np.array(a)[i]",
    ),
    "plain mask": (lambda x: drawn()[0][x[0] > 0], errors.TracedConversion, "np.array(a)[i]"),
    "plain method": (lambda x: drawn().dot(x[0]), errors.TracedConversion, "A @ x"),
    "gamma": (lambda x: math.comb(x[0, 0], 2), (errors.AdjitError, TypeError), ""),
    # branches
    "if": (branches, errors.TracedBranch, "np.where"),
    "while": (loops, errors.TracedBranch, "np.where"),
    "int": (lambda x: int(x[0, 0]), errors.TracedBranch, "astype(int)"),
    "range": (lambda x: [0 for _ in range(x[0].astype(int)[0])], errors.TracedBranch, "sizes"),
    "list index": (lambda x: [1, 2, 3][np.argmax(x[0])], errors.TracedBranch, "sizes"),
    "in": (lambda x: 1.0 in x, errors.TracedBranch, "np.where"),
    "max": (lambda x: max(x[0, 0], x[0, 1]), errors.TracedBranch, "np.where"),
    "mask": (lambda x: x[x > 0], errors.TracedBranch, "np.where(mask"),
    "mask set": (lambda x: np.zeros(4).__setitem__(x[0] > 0, x[0]), errors.TracedBranch, ""),
    "shape": (lambda x: x.reshape(np.argmax(x), -1), errors.TracedBranch, "sizes"),
    # writes
    "argument": (writes_argument, errors.FrozenWrite, "x = x.copy()"),
    "view of argument": (writes_view, errors.FrozenWrite, "x = x.copy()"),
    "plain array": (fills, (errors.UntracedWrite, errors.TracedConversion), ""),
    "captured": (writes_global, (errors.UntracedWrite, errors.TracedConversion), ""),
    "out": (lambda x: np.add(x, 1, out=G), errors.UntracedWrite, "np.copy(G)"),
    "iadd": (lambda x: drawn().__iadd__(x), errors.UntracedWrite, "np.zeros"),
    "fill": (lambda x: G.fill(x[0, 0]), errors.UntracedWrite, "np.copy(a)"),
    "broadcast": (
        lambda x: np.broadcast_to(x[0].copy(), (3, 4)).__setitem__(0, 1),
        errors.FrozenWrite,
        "",
    ),
    "item of scalar": (lambda x: x[0, 0].__setitem__((), 1), TypeError, "item assignment"),
    "shape set": (lambda x: setattr(x, "shape", (12,)), errors.UnsupportedOp, "reshape"),
    # other state
    "generator": (lambda x: x + rng.normal(size=4), errors.RandomInTrace, "argument"),
    "np.random": (lambda x: x + np.random.rand(4), errors.RandomInTrace, "noise"),
    "unseeded": (lambda x: x + np.random.default_rng().normal(), errors.RandomInTrace, "noise"),
    # not there
    "unique": (lambda x: np.unique(x), errors.UnsupportedOp, "np.unique"),
    "printed": (lambda x: np.array_repr(x), errors.UnsupportedOp, "print it outside"),
    "tobytes": (lambda x: x.tobytes(), errors.UnsupportedOp, "tobytes"),
    "view": (lambda x: x.view(np.int64), errors.UnsupportedOp, "astype"),
    "pickle": (lambda x: pickle.dumps(x), errors.TracedConversion, "pickled"),
    "hash": (lambda x: {x: 1}, TypeError, "unhashable"),
    "hash of a number": (lambda x: {x[0, 0]: 1}, TypeError, "Take a number that is not traced"),
    "attribute": (lambda x: x.nonsense, AttributeError, "nonsense"),
}


@pytest.mark.parametrize("name", TABLE)
def test_refusals(name):
    f, kind, text = TABLE[name]
    with pytest.raises(kind) as caught:
        trace(f, (X,))
    message = str(caught.value)
    assert text in message
    if isinstance(caught.value, errors.AdjitError) and caught.type is not errors.RandomInTrace:
        assert "test_tracer_errors.py:" in message


NUMPY = {
    "axis": lambda x: x.sum(axis=3),
    "shapes": lambda x: x + np.ones(5),
    "matmul": lambda x: x @ x,
    "dot": lambda x: np.dot(x, np.ones(3)),
    "reshape": lambda x: x.reshape(5, 5),
    "index": lambda x: x[7],
    "index array": lambda x: x[[0, 9]],
    "too many": lambda x: x[0, 0, 0],
    "float index": lambda x: x[1.5],
    "mask shape": lambda x: x[np.ones(5, bool)],
    "concatenate": lambda x: np.concatenate([x, np.ones((2, 2))]),
    "concatenate 0-d": lambda x: np.concatenate([x[0, 0], x[0, 1]]),
    "stack": lambda x: np.stack([x, x[0]]),
    "squeeze": lambda x: x.squeeze(0),
    "truth": lambda x: bool(x),
    "len": lambda x: len(x[0, 0]),
    "iter": lambda x: list(x[0, 0]),
    "ragged": lambda x: np.array([x[0], x[0, :2]]),
    "broadcast_to": lambda x: np.broadcast_to(x, (3, 5)),
    "einsum": lambda x: np.einsum("ij,jk->ik", x, x),
    "einsum terms": lambda x: np.einsum("ij,jk", x),
    "split": lambda x: np.split(x, 5),
    "assign": lambda x: np.zeros(3).__setitem__(slice(None), x[0]),
    "bitwise": lambda x: x & 1,
    "shift": lambda x: x << 1,
    "transpose": lambda x: x.transpose(0, 0),
    "empty max": lambda x: x[:0].max(),
    "sub bool": lambda x: (x > 0) - (x > 1),
    "neg bool": lambda x: -(x > 0),
    "cross": lambda x: np.cross(x, x),
    "vstack": lambda x: np.vstack([x, x[0, :2]]),
}


@pytest.mark.parametrize("name", NUMPY)
def test_errors_are_numpys(name):
    f = NUMPY[name]
    with pytest.raises(Exception) as numpys:  # noqa: PT011
        f(X)
    with pytest.raises(numpys.type) as ours:
        trace(f, (X,))
    notes = "".join(getattr(ours.value, "__notes__", [])) + str(ours.value)
    assert "test_tracer_errors.py:" in notes or name in ("float index", "attribute")


def test_arguments():
    for bad in (np.array([1, "a"], object), np.ma.masked_array([1.0]), np.array([1.0], ">f8")):
        with pytest.raises(errors.UnsupportedArgument, match="argument x"):
            trace(lambda x: x, (bad,))
    with pytest.raises(errors.UnsupportedFunction, match="coroutine"):
        trace(asyncio.sleep, (1.0,))

    def generator(x):
        yield x

    with pytest.raises(errors.UnsupportedFunction, match="generator"):
        trace(generator, (1.0,))


def test_escape():
    kept = []

    def leak(x):
        kept.append(x * 2)
        return x

    trace(leak, (X,))
    for use in (lambda t: t + 1, np.sin, lambda t: t.sum(), lambda t: t[0], lambda t: float(t[0])):
        with pytest.raises(errors.EscapedTracer):
            use(kept[0])
    with pytest.raises(errors.EscapedTracer):
        trace(lambda x: x + kept[0], (X,))
    caught = []

    def threaded(x):
        def work():
            try:
                x + 1
            except errors.EscapedTracer as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x

    trace(threaded, (X,))
    assert len(caught) == 1


def test_originals_come_back():
    before = {n: getattr(np, n) for n in dir(np)} | {f"m{n}": getattr(math, n) for n in dir(math)}

    def fails(x):
        assert np.zeros is not before["zeros"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace(fails, (X,))
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: 1 // 0, (X,))
    trace(lambda x: trace(lambda y: np.zeros(3) + y, (1.0,)) and x, (X,))
    after = {n: getattr(np, n) for n in dir(np)} | {f"m{n}": getattr(math, n) for n in dir(math)}
    assert all(after[n] is before[n] for n in before)


def test_threads():
    stop, wrong, count = threading.Event(), [], [0]
    kept = np.zeros, np.ones, math.sin, np.linalg.norm, open

    def hammer():
        try:
            while not stop.is_set():
                a, b, c = np.zeros(3), np.array([1.0, 2.0]), math.sin(1.0)
                if type(a) is not np.ndarray or type(b) is not np.ndarray or type(c) is not float:
                    wrong.append((a, b, c))
                for f in (*kept, np.zeros, math.sin, np.linalg.norm, open):
                    pickle.loads(pickle.dumps(f))
        except Exception as error:
            wrong.append(error)

    def tracer():
        while not stop.is_set():
            t = trace(lambda x: np.zeros(3) + math.sin(x[0, 0]), (X,))
            if len(t.function.outs) != 1:
                wrong.append(t)
            count[0] += 1

    threads = [threading.Thread(target=f) for f in (hammer, hammer, tracer, tracer)]
    for thread in threads:
        thread.start()
    stop.wait(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and count[0] > 3


def test_kinds_and_protocols():
    def f(x, n):
        assert isinstance(x, np.ndarray) and isinstance(n, float) and np.isscalar(n)
        assert isinstance(x[0, 0], np.float64) and not isinstance(x[0, 0, ...], np.float64)
        assert x.shape == (3, 4) and x.dtype == np.float64 and x.T.shape == (4, 3)
        assert "f64" in repr(x) and "f64" in f"{x}"
        assert x.strides == (32, 8) and x.flags.c_contiguous and not x.T.flags.c_contiguous
        assert copy.deepcopy(x).shape == x.shape and copy.copy(x) is not x
        match x:
            case np.ndarray():
                return x
        raise AssertionError

    trace(f, (X, 1.0))


def test_every_attribute_of_ndarray_has_an_answer():
    answers = {}

    def f(x):
        for name in dir(np.ndarray):
            if name.startswith("__") or name in ("data", "ctypes"):
                continue
            try:
                answers[name] = getattr(x, name)
            except errors.UnsupportedOp as refusal:
                answers[name] = refusal
        return x

    trace(f, (X,))
    assert len(answers) > 60
    refused = {n for n, a in answers.items() if isinstance(a, errors.UnsupportedOp)}
    assert all(n in str(answers[n]) for n in refused)
    assert not refused & {"shape", "dtype", "T", "sum", "reshape", "mean", "flat", "real", "copy"}
    plain = [n for n, a in answers.items() if type(a) is np.ndarray]
    assert plain == ["imag"]  # of real numbers: zeros, whatever they are


def test_concrete_values_decide():
    def f(x):
        z = np.zeros(3)
        z[1] = 2.0
        if z.sum() > 1 and z[1] == 2 and float(z[1]) == 2.0 and int(np.full(2, 3.0)[0]) == 3:
            return x * len([0 for _ in range(int(z[1]))]) + np.asarray(z)[1]
        return -x

    t = trace(f, (X,))
    assert len(t.function.ops) > 0
    assert "mul" in [op.prim.name for op in t.function.ops]


def test_places():
    def f(x):
        first = x * 2
        second = np.sin(
            first,
        )
        return second + 1

    t = trace(f, (X,))
    mul, sin, add = t.function.ops
    line = f.__code__.co_firstlineno
    assert (mul.where.line, mul.where.name, mul.where.file) == (line + 1, "first", __file__)
    assert (sin.where.line, sin.where.name) == (line + 2, "second")
    assert add.where.name == "" and str(add.where) == f"test_tracer_errors.py:{line + 5}"
    assert mul.outs[0].hint == "first" and t.function.params[0].hint == "x"


def test_recording_is_cheap():
    """An operator costs a few microseconds; the bound is loose because machines are shared."""
    spent = []

    def f(x):
        start = time.thread_time()
        for _ in range(500):
            x = x * 1.5 + x
        spent.append((time.thread_time() - start) / 1000)
        return x

    for _ in range(5):
        trace(f, (X,))
    assert min(spent) < 40e-6

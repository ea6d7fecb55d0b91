"""What users write that asks Python or NumPy for something other than an array."""

import collections
import itertools

import numpy as np
import pytest
from numpy import maximum
from scipy.special import expit
from traced import assert_right

import adjit
from adjit import trials

X = np.array([0.3, -1.2, 2.0, 0.7])
Y = np.array([-0.4, 1.1, -2.5, 0.2])

LISTS = {
    "call": lambda x: np.exp([x[0], 1.0, x[1]]),
    "two": lambda x: np.multiply([x, x**2], [1.0, 2.0, 3.0, 4.0]),
    "reduce": lambda x: np.maximum.reduce([x, x**2, -x]),
    "reduce axis": lambda x: np.add.reduce([x, x**2], axis=1),
    "masks": lambda x: np.logical_and.reduce([x > -1, x < 1]) * x,
    "accumulate": lambda x: np.logaddexp.accumulate([x[0], x[1], 2.0]),
    "outer": lambda x: np.subtract.outer([x[0], x[1]], x),
    "reduceat": lambda x: np.add.reduceat([x[0], x[1], x[2]], [0, 2]),
    "by name": lambda x: maximum([x[0], x[1]], 0.5),
    "scipy": lambda x: expit([x[0], x[1]]),
    "plain": lambda x: np.exp([1.0, 2.0]) * x[:2] + np.maximum.reduce([1.0, 3.0]),
    "the ufunc": lambda x: x * (isinstance(np.exp, np.ufunc) + np.exp.nin) + np.exp([x[0]]),
    "ranges": lambda x: np.r_[x[0] : 3 : 4j, x, 0:3:0.5],
    "fromiter": lambda x: np.fromiter((v * v for v in x), float),
    "fromiter count": lambda x: np.fromiter(itertools.cycle(x), np.float32, count=6),
}


@pytest.mark.parametrize("name", LISTS)
def test_ufuncs_of_lists(name):
    assert_right(LISTS[name], (X,), (Y,))


BOOLS = {
    "add": lambda a, b: (a > 0) + (b > -9),
    "subtract": lambda a, b: ((a > 0) - (b > 0)) * a,
    "multiply": lambda a, b: (a > 0) * (b < 9) + (a < 9),
    "divide": lambda a, b: (a > 0) / (b > -9),
    "minus": lambda a, b: -(a > 0) * b,
    "power": lambda a, b: (a > 0) ** (b > 0),
    "literal": lambda a, b: (a > 0) + True,
    "and": lambda a, b: ((a > 0) & (b > 0)) | (a > b),
    "item": lambda a, b: (a, b)[a > 0] * 2.0,
    "text": lambda a, b: {"n": a, "y": b}["ny"[a > 0]],
    "ufunc": lambda a, b: np.add(a > 0, b > -9),
}


@pytest.mark.parametrize("name", BOOLS)
def test_bools_of_python_are_integers(name):
    f = BOOLS[name]
    with adjit.options(interpret=True):
        compiled = adjit.jit(f)
        for a, b in ((1.2, -0.3), (-0.7, 2.4), (2.0, 3.0)):
            got, want = compiled(a, b), f(a, b)
            assert got == want and np.asarray(got).dtype == np.asarray(want).dtype


def cheapest(w, edges, start, end):
    known, done = {start: 0.0 * w[0]}, set()
    while True:
        node = min((n for n in known if n not in done), key=known.__getitem__)
        done.add(node)
        if node == end:
            return known[node]
        for (a, b), cost in zip(edges, w, strict=True):
            if a == node and (b not in known or known[a] + cost < known[b]):
                known[b] = known[a] + cost


def smoothed(x, width):
    queue, out = collections.deque(maxlen=width), []
    for v in x:
        queue.append(v)
        out.append(sum(queue) / len(queue))
    return np.sum(np.array(out) ** 2)


def test_integers_are_keys_and_sizes_of_python():
    edges, w = ((0, 1), (0, 2), (1, 3), (2, 3)), np.array([1.0, 2.0, 5.0, 1.5])
    with adjit.options(interpret=True):
        found = adjit.value_and_grad(cheapest)
        assert found(w, edges, 0, 3)[0] == 3.5
        assert found(w, edges, 0, 3)[1].tolist() == [0.0, 1.0, 0.0, 1.0]
        assert found(w, edges, 0, 1)[1].tolist() == [1.0, 0.0, 0.0, 0.0]
        smooth = adjit.jit(smoothed)
        assert [smooth(X, n) for n in (2, 3)] == [smoothed(X, n) for n in (2, 3)]
        counts = adjit.jit(lambda x: {int(v): v for v in np.floor(x)}[2] * len({*(x > 0)}))
        assert counts(X) == 4.0


def test_what_fixing_integers_does_not_mend_is_told_as_it_was():
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        adjit.jit(lambda x, n: x * n + {})(X, 3)
    assert "test_user_idioms.py" in "".join(caught.value.__notes__)


def test_calls_with_the_same_inputs_are_traced_again_once(monkeypatch):
    def total(x, low):
        s = 0.0
        for v in x:
            s = s + (v * v if v > low else -0.1 * v)
        return s

    looked = []
    agrees = trials.Trial.agrees
    monkeypatch.setattr(
        trials.Trial, "agrees", lambda self, *a: looked.append(1) or agrees(self, *a)
    )
    x = np.sin(np.arange(120.0))
    with adjit.options(interpret=True):
        f = adjit.jit(total)
        for _ in range(5):
            np.testing.assert_allclose(f(x, 0.0), total(x, 0.0))
        assert len(looked) == 1
        np.testing.assert_allclose(f(x, 0.5), total(x, 0.5))
        assert len(looked) == 2


def kinds(a, x):
    """What code asks of the classes of its arguments, as a text of digits."""
    answers = [
        type(a) is float, type(a) == int,  # noqa: E721
        type(a) in (int, float), type(x) is np.ndarray,
        type(x * a) is np.ndarray, type(x[0]) is np.float64, type(np.sin(a)) is np.float64,
        type(a > 0) is bool, type(x.sum() > 0) is np.bool_, type(a).__name__ == "float",
        type(TABLE_OF_NUMBERS) is np.ndarray, type([a]) is list, isinstance(float, type),
        isinstance(a, type), type("C", (), {"k": 3}).k == 3, hasattr(a, "shape"),
        hasattr(a, "__len__"), hasattr(a, "is_integer"), hasattr(x, "__iter__"),
        hasattr(x[0], "__len__"), hasattr(x[0], "dtype"), hasattr(np, "exp"), hasattr(x, "nothing"),
        getattr(a, "ndim", 1) == 0, getattr(x, "ndim", 0) == 1, getattr(np, "pi") > 3,  # noqa: B009
    ]  # fmt: skip
    return int("1" + "".join(str(int(bool(answer))) for answer in answers))


TABLE_OF_NUMBERS = np.arange(3.0)


def test_classes_of_traced_values():
    def f(a, x):
        return x[0] * 0 + kinds(a, x), TABLE_OF_NUMBERS[x.argmax() % 3]

    with adjit.options(interpret=True):
        compiled = adjit.jit(f)
        for a in (1.5, 2):
            assert compiled(a, X)[0] == f(a, X)[0]
        for _ in range(3):
            compiled(1.5, Y)
        assert compiled.cache_info().traces <= 2
    assert globals().keys().isdisjoint(("type", "hasattr", "getattr"))


def test_errors_of_the_user_tell_values():
    def positive(a, x):
        assert a > 0, f"a must be positive, not {a:.2f}"
        if x.sum() > 9:
            raise ValueError(f"too much: {x}")
        return a * x

    with adjit.options(interpret=True):
        f = adjit.jit(positive)
        f(1.0, X)
        with pytest.raises(AssertionError, match=r"not -2[.]00"):
            f(-2.0, X)
        with pytest.raises(ValueError, match=r"too much: \[5\. 6\.\]$"):
            f(1.0, np.array([5.0, 6.0]))


def test_classes_of_arrays_of_their_own_are_refused_by_name():
    with pytest.raises(adjit.errors.UnsupportedOp, match="Use plain arrays"):
        adjit.jit(lambda x: np.ma.masked_where(X > 0, x))(X)

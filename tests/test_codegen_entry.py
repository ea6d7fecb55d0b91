"""Entries of compiled kernels guard their arguments, and hold what they point to."""

import sys
import threading
import weakref

import numpy as np
import pytest

from adjit.codegen import entry, front
from adjit.codegen.compile import compile_source
from adjit.codegen.source import Source

ADD = Source(
    "add",
    """
def add(x, y, o, n, a):
    for i in range(n):
        o[i] = x[i] + a * y[0]
    return 0
""",
    ("f64", "f64", "f64"),
    1,
    1,
)


def test_what_cpython_reads_of_an_entry_stays_when_two_threads_made_it():
    first = weakref.ref(entry._method())
    entry._method.cache_clear()  # as for a thread that asks before the other has its answer
    second = entry._method()
    assert first() is not None
    assert first() is not second


@pytest.fixture(params=[entry.make_call, entry.make_call_python], ids=["native", "python"])
def make(request):
    return request.param


def add_call(make, first, second, n=6, nogil=False):
    address = compile_source(ADD).address
    return make(address, [first, second, entry.unchecked()], [n], [2.0], nogil)


def test_native_code_is_used_here():
    assert entry.native()
    assert front.works()


def test_entry_runs(make):
    x, o = np.arange(6.0).reshape(2, 3), np.empty(6)
    call = add_call(make, entry.like(x), entry.scalar(float))
    assert call(x, 1.5, o) is True
    np.testing.assert_array_equal(o, np.arange(6.0) + 3.0)
    for nogil in (False, True):
        assert add_call(make, entry.like(x), entry.like(x), nogil=nogil)(x, x + 1, o) is True
        np.testing.assert_array_equal(o, np.arange(6.0) + 2.0)


class Sub(np.ndarray):
    pass


GOOD = np.arange(6.0).reshape(2, 3)
WRONG = {
    "dtype": GOOD.astype(np.float32),
    "integers": GOOD.astype(np.int64),
    "byte order": GOOD.astype(">f8"),
    "rank": GOOD.ravel(),
    "rank up": GOOD[None],
    "shape": np.zeros((3, 2)),
    "extent": np.zeros((2, 4))[:1],
    "transposed": np.zeros((3, 2)).T,
    "strided": np.zeros((2, 6))[:, ::2],
    "reversed": GOOD[::-1],
    "broadcast": np.broadcast_to(np.zeros(3), (2, 3)),
    "subclass": GOOD.view(Sub),
    "misaligned": np.zeros(49, np.uint8)[1:].view(np.float64).reshape(2, 3),
    "list": GOOD.tolist(),
    "float": 1.0,
    "None": None,
    "int": 3,
    "str": "x",
    "class": np.ndarray,
    "scalar": np.float64(1.0),
    "0-d": np.array(1.0),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_array_guard(make, wrong):
    call = add_call(make, entry.like(GOOD), entry.scalar(float))
    o = np.full(6, -1.0)
    assert call(wrong, 1.0, o) is None
    assert (o == -1.0).all()
    assert call(GOOD, 1.0, o) is True


@pytest.mark.parametrize("wrong", [1, np.float32(1), np.float64(1), True, None, "1", [1.0], GOOD])
def test_scalar_guard(make, wrong):
    call = add_call(make, entry.like(GOOD), entry.scalar(float))
    assert call(GOOD, wrong, np.empty(6)) is None


def test_number_of_arguments_is_guarded(make):
    call = add_call(make, entry.like(GOOD), entry.scalar(float))
    o = np.empty(6)
    for args in ((), (GOOD,), (GOOD, 1.0), (GOOD, 1.0, o, o)):
        assert call(*args) is None
    with pytest.raises(TypeError):
        call(GOOD, 1.0, o=o)


def test_strides_that_do_not_matter(make):
    row = np.arange(12.0)[None, ::2]
    spec = entry.array(row.dtype, (1, 6), (8, 16))
    call = add_call(make, spec, entry.scalar(float))
    assert row.strides[0] != 8
    assert call(row, 1.0, np.empty(6)) is True
    empty = entry.array(row.dtype, (0, 5), (40, 8))
    call = add_call(make, empty, entry.scalar(float), n=0)
    assert call(np.empty((5, 0)).T, 1.0, np.empty(6)) is True
    assert call(np.empty((0, 4)), 1.0, np.empty(6)) is None


def test_identity_guard(make):
    address = compile_source(ADD).address
    captured = object()
    spec = [entry.same(captured), entry.like(GOOD), entry.scalar(float), entry.unchecked()]
    call = make(address, spec, [6], [2.0], False)
    o = np.empty(6)
    assert call(captured, GOOD, 1.0, o) is True
    assert call(object(), GOOD, 1.0, o) is None
    assert call(None, GOOD, 1.0, o) is None


def test_fixed_pointer(make):
    table, o = np.arange(6.0), np.empty(6)
    spec = [entry.fixed(table.ctypes.data), entry.scalar(float), entry.unchecked()]
    call = make(compile_source(ADD).address, spec, [6], [1.0], False, keep=table)
    assert call(1.0, o) is True
    np.testing.assert_array_equal(o, table + 1.0)


MIXED = Source(
    "mixed",
    """
def mixed(i, b, f, c, o):
    o[0] = i[0]
    o[1] = b[0]
    o[2] = f[0]
    o[3] = c[0].imag
    return 0
""",
    ("i64", "bool", "f32", "c128", "f64"),
    0,
    0,
)


def test_scalars_of_every_kind(make):
    kinds = [entry.integer(), entry.integer(bool), entry.scalar(np.float32), entry.scalar(complex)]
    call = make(compile_source(MIXED).address, [*kinds, entry.unchecked()], [], [], False)
    o = np.empty(4)
    for i, b in ((-(2**63), True), (2**63 - 1, False), (7, True)):
        assert call(i, b, np.float32(0.5), 2j, o) is True
        np.testing.assert_array_equal(o, [i, b, 0.5, 2.0])
    assert call(2**63, True, np.float32(0.5), 2j, o) is None
    assert call(-(2**63) - 1, True, np.float32(0.5), 2j, o) is None
    assert call(True, True, np.float32(0.5), 2j, o) is None
    assert call(1, 1, np.float32(0.5), 2j, o) is None


def test_references_are_balanced():
    x, o, number = GOOD.copy(), np.empty(6), float("1.25")
    call = add_call(entry.make_call, entry.like(x), entry.scalar(float))
    watched = (x, o, number, x.dtype, True, None, call)
    for _ in range(10):
        call(x, number, o)
        call(x, o, o)
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(100_000):
        call(x, number, o)
        call(x, o, o)
    after = [sys.getrefcount(one) for one in watched]
    assert np.abs(np.subtract(after, before)).max() < 50


def test_callables_keep_what_they_point_to():
    address, calls, o = compile_source(ADD).address, [], np.empty(4)
    for i in range(100):
        table = np.full(4, float(i))
        spec = [entry.fixed(table.ctypes.data), entry.scalar(float), entry.unchecked()]
        calls.append(entry.make_call(address, spec, [4], [0.0], False, keep=table))
    for i, call in enumerate(calls):
        assert call(1.0, o) is True
        assert (o == i).all()


SPIN = Source(
    "spin",
    """
def spin(x, o, n):
    t = x[0]
    for i in range(n):
        t = t * 0.999999 + math.sqrt(t)
    o[0] = t
    return 0
""",
    ("f64", "f64"),
    1,
    0,
)


def test_threads_share_an_entry():
    x = np.ones(1)
    address = compile_source(SPIN).address
    call = entry.make_call(address, [entry.like(x), entry.unchecked()], [20_000], [], True)
    expected = np.empty(1)
    assert call(x, expected) is True
    outs, answers = [np.empty(1) for _ in range(4)], []

    def work(o):
        answers.extend(call(x, o) for _ in range(50))

    workers = [threading.Thread(target=work, args=(o,)) for o in outs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert answers == [True] * 200
    assert all(o[0] == expected[0] for o in outs)


def test_the_lock_is_released_on_request():
    """Another thread counts during one long call: freely, or only around it."""
    address = compile_source(SPIN).address
    x, o = np.ones(1), np.empty(1)
    counted, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            counted.append(1)

    def during(nogil):
        spec = [entry.like(x), entry.unchecked()]
        call = entry.make_call(address, spec, [20_000_000], [], nogil)
        before = len(counted)
        assert call(x, o) is True
        return len(counted) - before

    worker = threading.Thread(target=count)
    worker.start()
    try:
        assert during(nogil=True) > 2 * during(nogil=False)
    finally:
        stop.set()
        worker.join()


def test_entry_can_be_python(monkeypatch):
    monkeypatch.setenv("ADJIT_ENTRY", "python")
    entry.native.cache_clear()
    try:
        call = add_call(entry.make_call, entry.like(GOOD), entry.scalar(float))
        assert type(call).__name__ == "function"
        assert call(GOOD, 1.0, np.empty(6)) is True
    finally:
        monkeypatch.undo()
        entry.native.cache_clear()

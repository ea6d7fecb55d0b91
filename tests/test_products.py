"""Matrix products by tiles: all remainders and layouts, where they are taken, what they need."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from adjit import value_and_grad
from adjit.codegen import engine, entry, host, narrow, packing, panels, products, vectors
from adjit.codegen.compile import compile_source
from adjit.codegen.source import Source

DTYPES = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}
EPS = {"f32": 1e-6, "f64": 1e-14}
POINTERS = {"tiles": packing.POINTERS, "narrow": narrow.POINTERS}
MAKERS = {"tiles": packing.object_code, "narrow": narrow.object_code}
GUARD = 64  # elements around what is written

pytestmark = pytest.mark.skipif(not products.available(), reason="a CPU without AVX2")


def faults(
    code: tuple[int, str, str], m: int, n: int, k: int, ta: int, tb: int, keep: int,
    rng: np.random.Generator, lean: int = 0,
) -> list[str]:  # fmt: skip
    """What is wrong with a product of matrices that lie within longer rows, not aligned.

    The code is an address, its family, and the dtype.
    """
    address, family, kind = code
    dtype = DTYPES[kind]
    a = rng.standard_normal((k, m + lean) if ta else (m, k + lean)).astype(dtype)
    b = rng.standard_normal((n, k + lean) if tb else (k, n + lean)).astype(dtype)
    c = rng.standard_normal(m * (n + lean) + 2 * GUARD + lean).astype(dtype)
    before = c.copy()
    inside = slice(GUARD + lean, GUARD + lean + m * (n + lean))
    room = products.room(dtype, m, n, k)
    work = np.full(room + GUARD, 255, np.uint8)  # NaNs, if they are read
    sizes = (m, n, k, a.shape[1], b.shape[1], n + lean, ta, tb, keep)
    given = (a, b, c[inside.start :], work)[: POINTERS[family]]
    entry.make_call(address, [entry.unchecked()] * len(given), sizes, (), nogil=False)(*given)
    x = (a[:, :m].T if ta else a[:, :k]).astype(np.float64)
    y = (b[:, :k].T if tb else b[:, :n]).astype(np.float64)
    old = before[inside].reshape(m, n + lean)[:, :n].astype(np.float64) * keep
    found = c[inside].reshape(m, n + lean)
    bound = EPS[kind] * (np.abs(x) @ np.abs(y) + np.abs(old))
    untouched = np.ones(c.size, bool)
    untouched[inside].reshape(m, n + lean)[:, :n] = False
    told = {
        "another number": ~(np.abs(found[:, :n] - (x @ y + old)) <= bound),  # or none
        "written beside the result": (c != before)[untouched],
        "written behind the work memory": work[room:] != 255,
    }
    return [f"{what}: {sizes}" for what, wrong in told.items() if wrong.any()]


ROWS, COLUMNS, TERMS = (1, 3, 12, 17, 26), (1, 16, 19, 33), (0, 1, 5, 18)
LAYOUTS = [*itertools.product((0, 1), repeat=3)]


@pytest.mark.parametrize("family", products.MAKERS)
@pytest.mark.parametrize("kind", DTYPES)
def test_remainders(kind: str, family: str) -> None:
    code = products.address(products.symbol(family, kind)), family, kind
    rng = np.random.default_rng(0)
    for i, (m, n, k) in enumerate(itertools.product(ROWS, COLUMNS, TERMS)):
        for layout in LAYOUTS[i % 4 :: 4]:
            assert not faults(code, m, n, k, *layout, rng, lean=i % 3)
    for layout in LAYOUTS:  # several chunks of terms, blocks of rows, panels
        assert not faults(code, 230, 70, 409, *layout, rng, lean=1)
    assert not faults(code, 0, 5, 3, 0, 0, 0, rng)
    assert not faults(code, 5, 0, 3, 0, 1, 0, rng)


@pytest.fixture
def sixteen_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiles of CPUs with AVX2 alone."""
    for module in (products, packing, panels, narrow):
        monkeypatch.setattr(module, "registers", lambda: (32, 16))
    monkeypatch.setattr(products, "width", lambda dtype: 32 // dtype.itemsize)


@pytest.mark.usefixtures("sixteen_registers")
@pytest.mark.parametrize("family", products.MAKERS)
def test_tiles_of_sixteen_registers(family: str) -> None:
    rng = np.random.default_rng(1)
    for kind in DTYPES:
        code = MAKERS[family](f"sixteen_{kind}", kind)
        made = engine.load_object(code, f"sixteen_{kind}", {}), family, kind
        for m, n, k in [(7, 17, 5), (19, 40, 18), (3, 5, 1)]:
            for layout in LAYOUTS:
                assert not faults(made, m, n, k, *layout, rng, lean=1)
        assert not faults(made, 130, 33, 230, 0, 1, 1, rng)


@pytest.mark.parametrize("family", products.MAKERS)
def test_numbers_that_are_none_stay_where_they_belong(family: str) -> None:
    a, b = np.ones((30, 40)), np.ones((40, 50))
    a[3, 5], b[7, 20], a[29, 0] = np.nan, np.inf, -np.inf
    c, work = np.empty((30, 50)), np.empty(products.room(a.dtype, 30, 50, 40), np.uint8)
    sizes, given = (30, 50, 40, 40, 50, 50, 0, 0, 0), (a, b, c, work)[: POINTERS[family]]
    address = products.address(products.symbol(family, "f64"))
    entry.make_call(address, [entry.unchecked()] * len(given), sizes, (), nogil=False)(*given)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(c, a @ b)


def test_room_is_enough_for_less() -> None:
    """Sizes that are not known take as much as any."""
    for dtype in DTYPES.values():
        most = products.room(dtype, -1, -1, -1)
        for m, n, k in itertools.product((1, 12, 100, 5000), (32, 5000), (1, 100, 5000)):
            assert products.room(dtype, m, n, k) <= most < 1 << 19


def test_which_may_pay() -> None:
    """One that never takes tiles asks for no work memory."""
    for size in (4, 8):
        assert products.may_pay(size, -1, -1, -1, turned=False)
        assert not products.may_pay(size, 5, -1, -1, turned=True)
        assert not products.may_pay(size, -1, 7, -1, turned=True)
        assert products.may_pay(size, 60, 60, 60, turned=True)
        assert not products.may_pay(size, 60, 60, 60, turned=False)
        assert not products.may_pay(size, 60, 60, 0, turned=True)


@pytest.mark.parametrize(
    ("features", "found"),
    [("+avx2,+fma", (32, 16)), ("+sse2,+avx", (32, 16)), ("+avx,+avx512f", (64, 32)),
     ("+neon", (16, 32)), ("", (16, 16))],
)  # fmt: skip
def test_registers(monkeypatch: pytest.MonkeyPatch, features: str, found: tuple[int, int]) -> None:
    """AVX2 implies AVX where a user names features."""
    monkeypatch.setattr(host, "cpu", lambda: ("cpu", features))
    assert vectors.registers.__wrapped__() == found


def test_few_rounds_are_cut_before_what_fills_no_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "registers", lambda: (64, 32))
    assert vectors.in_vectors([0, 10], 8, 16) == [0, 8, 10]
    assert vectors.in_vectors([0, 10], 4, 16) == [0, 10]
    assert vectors.in_vectors([0, 8, 24, 57], 8, 16) == [0, 8, 24, 57]
    assert vectors.in_vectors([2, 15], 8, 16) == [2, 10, 15]


TEXT = """
def f(a, b, c, work, m, n, k, tb, alpha, beta):
    blas.dgemm(False, tb != 0, m, n, k, alpha, a, k, b, ll.select(tb != 0, k, n), beta, c, n WORK)
    return 0
"""


@pytest.mark.parametrize("work", [", work", ""])
def test_any_is_right(monkeypatch: pytest.MonkeyPatch, work: str) -> None:
    """A kernel takes our code, or BLAS, by sizes and factors that it is told when it runs."""
    monkeypatch.setattr(products, "FEWEST", 30_000)
    monkeypatch.setenv("ADJIT_CACHE", "0")
    text = TEXT.replace(" WORK", work)
    executable = compile_source(Source("f", text, ("f64",) * 4, 4, 2), "direct")
    rng = np.random.default_rng(2)
    spec = [entry.unchecked()] * 4
    for m, n, k, tb in [
        (40, 50, 60, 0),
        (40, 50, 60, 1),
        (11, 50, 60, 0),
        (40, 6, 7, 1),
        (9, 3, 300, 0),
        (10, 10, 700, 0),
    ]:
        a, b = rng.standard_normal((m, k)), rng.standard_normal((n, k) if tb else (k, n))
        memory = np.empty(products.room(a.dtype, m, n, k), np.uint8)
        for alpha, beta in ((1.0, 0.0), (1.0, 1.0), (2.0, 0.5)):
            c = rng.standard_normal((m, n))
            wanted = alpha * (a @ (b.T if tb else b)) + beta * c
            sizes, consts = (m, n, k, tb), (alpha, beta)
            call = entry.make_call(executable.address, spec, sizes, consts, nogil=False)
            assert call(a, b, c, memory) is True
            np.testing.assert_allclose(c, wanted, rtol=0, atol=4e-13)


def layer(w, x):
    return np.sum(np.maximum(x @ w, 0.0) ** 2)


def test_a_layer_takes_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text is the same for another batch, and BLAS stays where the CPU is unknown."""
    rng = np.random.default_rng(3)
    w = rng.standard_normal((130, 90))
    texts = []
    for rows in (150, 170):
        f, x = value_and_grad(layer), rng.standard_normal((rows, 130))
        value, slope = f(w, x)
        z = np.maximum(x @ w, 0.0)
        np.testing.assert_allclose(value, np.sum(z * z), rtol=1e-12)
        np.testing.assert_allclose(slope, 2 * x.T @ z, rtol=1e-10, atol=1e-10)
        texts.append(f.source(w, x).partition("# what a call runs first")[0])
    assert texts[0] == texts[1]
    assert ", pack)" in texts[0]
    monkeypatch.setattr(products, "available", lambda: False)
    g = value_and_grad(layer)
    np.testing.assert_allclose(g(w, x)[1], slope, rtol=1e-10, atol=1e-10)
    assert "blas.dgemm" in g.source(w, x)
    assert "pack" not in g.source(w, x)

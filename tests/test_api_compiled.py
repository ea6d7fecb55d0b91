"""The compiled function: variants, layouts, captures, threads, options, and what it shows."""

import copy
import pickle
import threading

import numpy as np
import pytest

import adjit
from adjit import errors, grad, jit, settings, value_and_grad
from adjit.codegen import compile as compile_
from adjit.wrapper import MISS


@pytest.fixture(params=[True, False], ids=["interpreted", "compiled"])
def run(request):
    before = adjit.options.get().interpret
    adjit.options.set(interpret=request.param)
    yield request.param
    adjit.options.set(interpret=before)


X = np.arange(12.0).reshape(3, 4) / 7


def loss(w, x):
    return np.sum(np.sin(w) * x)


# ------------------------------------------------------------------ variants


def test_a_variant_per_dtype_shape_and_layout(run):
    f = grad(loss)
    cases = [
        (X, X),
        (X[0], X[0]),
        (X.astype(np.float32), X),
        (np.asfortranarray(X), X),
        (X.T, X.T),
        (X[:, ::2], X[:, 1::2]),
        (X[::-1], X),
    ]
    for w, x in cases * 2:
        g = f(w, x)
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, np.cos(w) * x, rtol=1e-6)
    info = f.cache_info()
    assert info.traces == info.variants == 7


def test_numbers_never_retrace(run):
    f = jit(lambda x, a: x * a)
    for a in (1.0, 2.0, float("nan"), float("inf")):
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(f(X, a), X * a)
    assert f(X, 3).dtype == np.float64
    np.testing.assert_array_equal(f(X, np.float64(3)), X * 3)
    np.testing.assert_array_equal(f(X, np.array(3.0)), X * 3)
    assert f.cache_info().variants == 4


def test_readonly_memmap_misaligned_and_empty(run, tmp_path):
    f = grad(loss)
    frozen = X.copy()
    frozen.flags.writeable = False
    mapped = np.memmap(tmp_path / "x", dtype=float, mode="w+", shape=X.shape)
    mapped[:] = X
    raw = np.zeros(X.nbytes + 1, np.uint8)
    crooked = raw[1:].view(np.float64).reshape(X.shape)
    crooked[:] = X
    for w in (frozen, mapped, crooked):
        for _ in range(2):
            g = f(w, X)
            assert type(g) is np.ndarray
            np.testing.assert_allclose(g, np.cos(X) * X)
    assert f(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0, 4)


def test_containers_unpack_by_key_and_type(run):
    f = jit(lambda p: p["a"] - p["b"][0])
    np.testing.assert_array_equal(f({"a": X, "b": [X]}), X - X)
    np.testing.assert_array_equal(f({"b": [X], "a": 2 * X}), X)
    np.testing.assert_array_equal(f({"a": X, "b": (X,)}), X - X)
    np.testing.assert_array_equal(f({"a": X, "b": [X, X]}), X - X)
    with pytest.raises(KeyError):
        f({"a": X})
    np.testing.assert_array_equal(f({"a": X, "b": [X], "c": None}), X - X)


def test_results_that_are_arguments_constants_or_equal(run):
    w = X.copy()
    out = jit(lambda x: {"same": x, "again": x, "c": 1.5, "none": None, "y": [x + 1]})(w)
    assert out["c"] == 1.5
    assert out["none"] is None
    for name in ("same", "again"):
        assert not np.shares_memory(out[name], w)
        np.testing.assert_array_equal(out[name], X)
    assert not np.shares_memory(out["same"], out["again"])
    np.testing.assert_array_equal(out["y"][0], X + 1)


def test_unused_arguments_still_select_the_variant(run):
    f = jit(lambda x, y: x * y.shape[0])
    np.testing.assert_array_equal(f(X, np.zeros(3)), X * 3)
    np.testing.assert_array_equal(f(X, np.zeros(5)), X * 5)
    np.testing.assert_array_equal(f(X, np.zeros(3)), X * 3)


def test_the_wrapper_of_the_last_variants_is_tried_first(run):
    f = jit(lambda x: x + 1)
    for n in range(6):
        f(np.zeros(n))
    assert len(f._calls) == 4
    assert f._calls[0]((np.zeros(5),), {}).shape == (5,)
    assert f._calls[0]((np.zeros(4),), {}) is MISS
    f(np.zeros(4))
    assert len(f._calls) == 4
    f.clear()
    assert f.cache_info().variants == 0
    assert f(np.zeros(2)).shape == (2,)


# ------------------------------------------------------------------ captured state

SCALE = np.ones(4)
RATE = 2.0


def scaled(x):
    return np.sum(x * SCALE) * RATE


def test_captured_arrays_are_live(run):
    global SCALE, RATE
    f = grad(scaled)
    x = np.ones(4)
    np.testing.assert_array_equal(f(x), 2 * np.ones(4))
    SCALE[1] = 5.0
    np.testing.assert_array_equal(f(x), [2, 10, 2, 2])
    SCALE = np.full(4, 3.0)
    np.testing.assert_array_equal(f(x), np.full(4, 6.0))
    traces = f.cache_info().traces
    RATE = 10.0
    np.testing.assert_array_equal(f(x), np.full(4, 30.0))
    assert f.cache_info().traces == traces + 1
    RATE = 2.0
    np.testing.assert_array_equal(f(x), np.full(4, 6.0))
    assert f.cache_info().traces == traces + 1
    SCALE = np.ones(4)


# ------------------------------------------------------------------ threads


def test_threads_share_a_function(run):
    f = value_and_grad(loss)
    shapes = [(3, 4), (5,), (2, 2), (7, 1)]
    failures = []

    def work(k):
        rng = np.random.default_rng(k)
        try:
            for i in range(30):
                w, x = rng.normal(size=(2, *shapes[(i + k) % 4]))
                value, g = f(w, x)
                np.testing.assert_allclose(g, np.cos(w) * x)
                np.testing.assert_allclose(value, loss(w, x))
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert f.cache_info().traces == 4


# ------------------------------------------------------------------ options


def test_options_are_scoped_and_checked():
    f = jit(lambda x: x + 1)
    with adjit.options(interpret=True) as now:
        assert now.interpret
        assert adjit.options.get().interpret
        f(X)
        assert "interpreter" in f.explain(X)
    assert not adjit.options.get().interpret
    with pytest.raises(TypeError, match="no option 'speed'"):
        adjit.options(speed=1)
    with pytest.raises(ValueError, match="none of"), adjit.options(rung="fast"):
        pass


@pytest.mark.parametrize("rung", settings.RUNGS)
def test_every_rung_gives_the_same(rung):
    assert settings.RUNGS == compile_.RUNGS
    f = value_and_grad(loss)
    with adjit.options(rung=rung):
        value, g = f(X, X)
        assert f.variants()[0].kernels[0].executable.rung == rung
    np.testing.assert_allclose(g, np.cos(X) * X)
    assert value == pytest.approx(loss(X, X))


def test_options_select_programs():
    f = jit(lambda x: x + 1)
    with adjit.options(interpret=True):
        f(X)
    np.testing.assert_array_equal(f(X), X + 1)
    assert f.cache_info().variants == 2
    assert f.cache_info().kernels == 1


# ------------------------------------------------------------------ what it shows


def test_stages(interpreted):
    f = grad(loss)
    traced = f.ir(X, X)
    assert str(traced).startswith("func loss(%w: f64[3,4], %x: f64[3,4])")
    assert "cos" not in traced
    assert "cos" in f.ir(X, X, stage="adjoint")
    assert "cos" in f.ir(X, X, stage="simplified")
    assert "copy" in f.ir(X, X, stage="fused") or "mul" in f.ir(X, X, stage="fused")
    assert traced._repr_html_().startswith("<pre>func loss(")
    assert repr(traced) == str(traced) == traced
    assert traced.splitlines()[-1] == "}"
    assert traced.program.name == "loss"
    with pytest.raises(ValueError, match="stage 'final' is none of traced, adjoint"):
        f.ir(X, X, stage="final")
    assert f.cache_info().traces == 1


def test_source_is_the_kernel():
    text = grad(loss).source(X, X)
    assert "def loss" in text
    assert "def call(args, kwargs):" in text
    assert "for " in text


def test_explain_and_repr(interpreted):
    f = grad(scaled)
    assert "not called yet" in f.explain()
    f(np.ones(4))
    text = str(f.explain())
    assert repr(f) == text.splitlines()[0]
    assert "<grad of scaled at test_api_compiled.py:" in text
    assert "1 variant>" in text
    assert "x: float64[4]" in text
    assert "SCALE" in text
    assert "RATE" in text
    assert "trace" in text


def test_explain_says_why_it_traced_again(interpreted):
    global RATE
    f = jit(scaled)
    f(np.ones(4))
    f(np.ones(4, np.float32))
    try:
        RATE = 3.0
        f(np.ones(4, np.float32))
        f([np.ones(4)][0].reshape(1, 4))
    finally:
        RATE = 2.0
    with pytest.raises(TypeError):
        f({"x": np.ones(4)})
    text = str(f.explain())
    assert "traced for  the first call" in text
    assert "traced for  x was float64[4], is float32[4]" in text
    assert "traced for  no longer so: global RATE == 2.0" in text
    assert "is float64[1, 4]" in text


def test_compile_ahead_of_the_call(interpreted):
    class Spec:
        shape, dtype = (3, 4), np.dtype(np.float64)

    f = grad(loss)
    assert f.compile(Spec(), X) is f
    assert f.cache_info().traces == 1
    f(X, X)
    assert f.cache_info().traces == 1


@grad
def decorated(x):
    return np.sum(x**2)


def plain(x):
    return np.sum(x**2)


def test_pickle(interpreted):
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    f = pickle.loads(pickle.dumps(value_and_grad(plain)))
    np.testing.assert_array_equal(f(X)[1], 2 * X)
    assert copy.copy(decorated) is decorated
    with pytest.raises(pickle.PicklingError, match="lambda"):
        pickle.dumps(grad(lambda x: x))


def test_errors_of_the_user_come_through(run):
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        grad(f)(X)
    with pytest.raises(ValueError, match="broadcast"):
        jit(lambda x: x + np.ones(3))(X)
    assert not adjit.staging.open_traces


def test_recursion_through_the_compiled_function(interpreted):
    @jit
    def power(x, n):
        return x if n is None else x * power(x, None)

    np.testing.assert_array_equal(power(X, "again"), X * X)


def test_an_index_out_of_bounds(run):
    f = jit(lambda x, i: x[i])
    np.testing.assert_array_equal(f(X[0], np.array([1, -1])), X[0][[1, -1]])
    with pytest.raises(IndexError):
        f(X[0], np.array([0, 4]))


def test_errors_module_lists_its_classes():
    for name in errors.__all__:
        assert getattr(errors, name).__doc__


def test_the_default_of_the_process_can_be_set():
    f = jit(lambda x: x + 1)
    before = adjit.options.get().interpret
    try:
        adjit.options.set(interpret=True)
        f(X)
        f(X)
        assert f.cache_info().kernels == 0
        adjit.options.set(interpret=False)
        f(X)
        assert f.cache_info().variants == 2
    finally:
        adjit.options.set(interpret=before)


def test_integers_that_are_sizes_select_variants(run):
    def f(x, n, k):
        total = x[0] * 0
        for i in range(n):
            total = total + x[i] ** k
        return total

    g = value_and_grad(f)
    for n in (2, 3, 2):
        value, slope = g(X[0], n, 2)
        np.testing.assert_allclose(value, np.sum(X[0][:n] ** 2))
        np.testing.assert_allclose(slope, np.where(np.arange(4) < n, 2 * X[0], 0))
    assert g.cache_info().variants == 2
    with pytest.raises(errors.NotDifferentiable, match="holds an int"):
        grad(f, argnums=1)(X[0], 2, 2)
    nested = grad(lambda x: grad(f)(x, 2, 3)[0])(X[0])
    np.testing.assert_allclose(nested, [6 * X[0][0], 0, 0, 0])


def test_only_the_integers_that_decide_are_fixed(interpreted):
    def f(x, n, step):
        return np.sum(np.stack([x * k for k in range(n)])) / step

    g = grad(f)
    for step in (1, 2, 3):
        np.testing.assert_allclose(g(X, 3, step), np.full(X.shape, 3 / step))
    assert g.cache_info().variants == 1
    np.testing.assert_allclose(g(X, 2, 1), np.ones(X.shape))
    assert g.cache_info().variants == 2
    np.testing.assert_allclose(adjit.hvp(f)(X, X, 3, 2), 0 * X)
    np.testing.assert_allclose(adjit.vjp(f, X, 3, 2)[1](1.0)[0], np.full(X.shape, 1.5))

    g = grad(lambda x, n: x.sum() if x[0, 0] > n else 2 * x.sum())
    for n in (-9, 9, -9):
        np.testing.assert_allclose(g(X, n), np.full(X.shape, 1.0 if n < 0 else 2.0))
    assert g.cache_info().variants == 2


def test_subclasses_of_numbers_and_huge_integers(run):
    class Whole(int):
        pass

    class Real(float):
        pass

    f = jit(lambda x, a: x * a)
    for a in (Whole(3), Real(2.5), 4, np.int32(2), np.bool_(True)):
        np.testing.assert_array_equal(f(X, a), X * a)
        np.testing.assert_array_equal(f(X, a), X * a)
    with pytest.raises(OverflowError, match="Python int"):
        f(X, 2**70)


def test_checked_passes_give_the_same():
    with adjit.options(interpret=True, check=True):
        np.testing.assert_allclose(grad(loss)(X, X), np.cos(X) * X)


def test_a_batch_of_products_beside_costly_rows():
    def f(x, y, a):
        s = np.exp((x * y).sum(axis=2) / 9)
        return np.tanh(s.sum(axis=1) - a), np.swapaxes(x, 1, 2) @ (y * s[:, :, None])

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 20, 3))
    a = rng.normal(size=4)
    for got, want in zip(jit(f)(x, y, a), f(x, y, a), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numbers_of_two_calls_are_two_objects(run, dtype):
    f = value_and_grad(lambda x, a: np.sum(x) * a, argnums=(0, 1))
    x = X.astype(dtype)
    kept = [f(k * x, 2.0) for k in range(1, 6)]
    for k, (value, (g, by_a)) in enumerate(kept, 1):
        assert type(value) is dtype
        assert value == pytest.approx(2 * k * X.sum(), rel=1e-6)
        assert type(by_a) is float
        assert by_a == pytest.approx(k * X.sum(), rel=1e-6)
        np.testing.assert_array_equal(g, np.full(X.shape, 2, dtype))

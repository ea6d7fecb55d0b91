"""`cond`, `while_loop`, `fori_loop` and `scan`: against plain Python, differences, and in error."""

import numpy as np
import pytest

import adjit
from adjit import cond, fori_loop, grad, jacobian, jit, scan, vmap, while_loop
from adjit.errors import ControlFlow, EscapedTracer, FrozenWrite, TracedBranch

W = np.array([[0.3, -0.2], [0.1, 0.4]])


pytestmark = pytest.mark.usefixtures("interpreted")


def slope(f, x, h=1e-6):
    return (f(x + h) - f(x - h)) / (2 * h)


def nested(x, n):
    """A while in a branch in a loop."""

    def body(i, y):
        def shrink(y):
            return while_loop(lambda c: c > 0.5, lambda c: c * x, y)

        return cond(y > 1, shrink, lambda y: y + i * x, y)

    return fori_loop(0, n, body, x)


def nested_python(x, n):
    y = x
    for i in range(n):
        if y > 1:
            while y > 0.5:
                y = y * x
        else:
            y = y + i * x
    return y


# ------------------------------------------------------------------ values and derivatives


@pytest.mark.parametrize("n", [0, 1, 2, 5, 9])
def test_nest_agrees_with_python(n):
    assert jit(nested)(0.8, n) == nested_python(0.8, n) == nested(0.8, n)
    d = grad(nested)
    assert d(0.8, n) == pytest.approx(slope(lambda x: nested_python(x, n), 0.8), 1e-6)
    assert grad(d)(0.8, n) == pytest.approx(slope(lambda x: d(x, n), 0.8), 1e-6)


def test_one_program_serves_all_trip_counts():
    f = grad(nested)
    for n in range(6):
        f(0.8, n)
    assert f.cache_info().traces == 1


def test_vmap_and_jacobian_of_a_nest():
    xs = np.array([0.7, 0.8, 0.9])
    assert np.allclose(vmap(lambda x: nested(x, 5))(xs), [nested_python(x, 5) for x in xs])

    def f(v):
        return fori_loop(0, 3, lambda i, y: np.tanh(W @ y) * v, v)

    def unrolled(v):
        y = v
        for _ in range(3):
            y = np.tanh(W @ y) * v
        return y

    x = np.array([0.3, 0.9])
    assert np.allclose(jacobian(f)(x), jacobian(unrolled)(x))
    assert np.allclose(jacobian(f, mode="fwd")(x), jacobian(unrolled)(x))
    h = adjit.hessian(lambda v: np.sum(f(v) ** 2))(x)
    assert np.allclose(h, adjit.hessian(lambda v: np.sum(unrolled(v) ** 2))(x))


def test_scan_stacks_and_differentiates():
    def f(x, reverse=False):
        def step(c, row):
            c = np.tanh(W @ c + row["u"]) * row["k"]
            return c, {"sum": c.sum(), "rest": c[1:]}

        return scan(step, x["u"][0], x, reverse=reverse)

    rng = np.random.default_rng(0)
    x = {"u": rng.normal(size=(4, 2)), "k": rng.normal(size=4)}
    for reverse in (False, True):
        last, ys = f(x, reverse)
        got_last, got = jit(lambda x, r=reverse: f(x, r))(x)
        assert np.allclose(last, got_last, rtol=1e-15)
        assert got["sum"].shape == (4,) and got["rest"].shape == (4, 1)
        assert all(np.allclose(ys[k], got[k], rtol=1e-15) for k in ys)
        adjit.check_grads(lambda x, r=reverse: np.sum(f(x, r)[1]["sum"] ** 2), (x,))


def test_scan_without_rounds_or_inputs():
    last, ys = scan(lambda c, x: (c * x, c * x), np.ones(2), np.zeros((0, 2)))
    assert last.tolist() == [1, 1] and ys.shape == (0, 2)

    def counted(c, x):
        c["n"] = c["n"] + x
        return c, c["n"]

    for n in (0, 3):
        last, ys = scan(counted, {"n": 0.0}, np.ones(n))
        assert last == {"n": n} and ys.shape == (n,)
    got = jit(lambda c, x: scan(lambda c, x: (c * x, c * x), c, x))(np.ones(2), np.zeros((0, 2)))
    assert got[0].tolist() == [1, 1] and got[1].shape == (0, 2)
    assert jit(lambda c: scan(lambda c, x: (2 * c, c), c, length=3))(1.0)[1].tolist() == [1, 2, 4]
    count = jit(lambda c, n: scan(lambda c, x: (2 * c, None), c, length=n))
    assert count(1.0, 3) == (8.0, None) and count(1.0, 0) == (1.0, None)


def test_newton_is_one_program():
    @grad
    def root(a):
        return while_loop(
            lambda x: np.abs(x * x - a) > 1e-12, lambda x: x - (x * x - a) / (2 * x), a + 1
        )

    for a in (0.25, 2.0, 9.0, 1e4):
        assert root(a) == pytest.approx(0.5 / a**0.5, 1e-9)
    assert root.cache_info().traces == 1


def test_bounds_may_be_traced():
    def f(x, a, b):
        return fori_loop(a, b, lambda i, y: y * x + i, 0.0)

    g = jit(f)
    for a, b in ((0, 4), (2, 5), (3, 3), (4, 1), (-2, 2)):
        assert g(0.5, a, b) == f(0.5, a, b)
    assert g.cache_info().traces == 1


def test_branches_compute_only_the_one_taken():
    def f(x):
        return cond(x > 0, lambda: np.log(x), lambda: x * x)

    assert [grad(f)(x) for x in (2.0, -3.0)] == [0.5, -6.0]
    assert cond(True, lambda x: x, lambda x: 1 / 0, 3) == 3


# ------------------------------------------------------------------ carries


def test_python_numbers_take_the_final_type():
    x = np.float32(0.5)

    def f(x):
        return fori_loop(0, 3, lambda i, s: {"sum": s["sum"] + x, "n": s["n"] + 1},
                         {"sum": 0, "n": 0})  # fmt: skip

    got = jit(f)(x)
    assert got == f(x) == {"sum": 1.5, "n": 3}
    assert type(got["sum"]) is np.float32 and type(got["n"]) is int


def test_flags_and_statics_are_carried():
    def f(x):
        def body(s):
            name, y, _ = s
            return name, y * 2, y > 100

        return while_loop(lambda s: np.logical_not(s[2]), body, ("up", x, False))

    assert jit(f)(1.0) == f(1.0) == ("up", 256.0, True)


def test_bodies_may_write_into_their_carry():
    def f(x):
        def body(i, z):
            z[i] = np.sin(z[i - 1]) * x
            return z

        z = np.zeros(5)
        z[0] = x
        return fori_loop(1, 5, body, z)

    def python(x):
        z = [x]
        for _ in range(4):
            z.append(np.sin(z[-1]) * x)
        return np.array(z)

    start = np.ones(3)
    assert fori_loop(0, 3, lambda i, z: z.__setitem__(i, 0) or z, start).tolist() == [0, 0, 0]
    assert start.tolist() == [1, 1, 1]
    assert np.array_equal(f(0.7), jit(f)(0.7)) and np.array_equal(f(0.7), python(0.7))
    assert np.allclose(jacobian(f)(0.7), slope(f, 0.7))


def test_bodies_see_live_captured_arrays():
    captured = np.ones(2)

    def f(x):
        scaled = captured * 3
        return fori_loop(0, 2, lambda i, y: y * scaled + x[i] * captured, np.zeros(2))

    g, x = jit(f), np.arange(1.0, 3)
    assert np.array_equal(g(x), f(x))
    captured[:] = 2
    assert np.array_equal(g(x), f(x))


def test_python_may_decide_by_what_is_fixed_during_the_loop():
    def f(x):
        return fori_loop(0, 3, lambda i, y: y * x if x > 0 else y - x, 1.0)

    for transform in (jit, grad):
        g = transform(f)
        for x in (2.0, -2.0, 3.0):
            expected = f(x) if transform is jit else slope(f, x)
            assert g(x) == pytest.approx(expected, 1e-6)
        assert len(g.variants()) == 2


def test_derivatives_inside_of_bodies():
    def f(x):
        return fori_loop(0, 3, lambda i, a: a - 0.1 * grad(lambda q: np.sum(q**2 * x[1:]))(a), x[0])

    def python(x):
        return x[0] * (1 - 0.2 * x[1:].sum()) ** 3

    x = np.array([0.5, 1.0, 2.0])
    assert jit(f)(x) == pytest.approx(python(x)) and f(x) == pytest.approx(python(x))
    adjit.check_grads(f, (x,))


# ------------------------------------------------------------------ errors


def body_error(f, *args, kind=ControlFlow):
    with pytest.raises(kind) as caught:
        jit(f)(*args)
    assert "test_control.py" in str(caught.value)
    return str(caught.value).split("\n")


def test_carries_that_change():
    first, *_, advice = body_error(
        lambda x: fori_loop(0, 3, lambda i, y: np.append(y, i), x), np.ones(2)
    )
    assert first == "fori_loop: the carry y is f64[2] before a round and f64[3] after it"
    assert advice == "  Give it its final type before the loop, e.g. np.zeros((3,))."
    narrow = {"w": np.float32(1)}
    first, *_ = body_error(
        lambda x: fori_loop(0, 3, lambda i, s: {"w": s["w"] * x}, narrow), np.float64(2)
    )
    assert first == "fori_loop: the carry s['w'] is f32[] before a round and f64[] after it"
    first, *_ = body_error(lambda x: while_loop(lambda c: c[0] > 0, lambda c: c[0], (x, x)), 1.0)
    assert first.startswith("the carry of while_loop: init is tuple([0]: *, [1]: *), the body's")


def test_branches_that_differ():
    first, *_ = body_error(lambda x: cond(x > 0, lambda: (x, x), lambda: x), 1.0)
    assert first.startswith("the branches of cond: the result of then is tuple([0]: *, [1]: *)")
    first, *_ = body_error(
        lambda x: cond(x > 0, lambda: {"a": np.ones(3) * x}, lambda: {"a": x}), 1.0
    )
    assert first == "cond: the result ['a'] is f64[3] from then and f64[] from otherwise"


def test_scans_that_do_not_fit():
    first, *_ = body_error(lambda x: scan(lambda c, r: c, x, np.ones(3)), 1.0)
    assert first == "the function of scan returned *"
    pair = (np.ones(3), np.ones(2))
    first, *_ = body_error(lambda x: scan(lambda c, r: (c, c), x, pair), 1.0)
    assert first == "scan: the numbers of rows differ: xs[0] has 3, xs[1] has 2"
    first, *_ = body_error(lambda x: scan(lambda c, r: (c, c), x), 1.0)
    assert first == "scan: without arrays to run over it needs a length"
    first, *_ = body_error(lambda x, n: scan(lambda c, r: (c, c), x, length=n), 1.0, 3)
    assert first.startswith("the number of rounds of this scan is traced")


def test_conditions_that_never_change():
    first, *_ = body_error(lambda x: while_loop(lambda c: True, lambda c: c, x), 1.0)
    assert first.endswith("depends on no traced value: the loop would never end")


def test_what_bodies_may_not_do():
    advice = body_error(
        lambda x: fori_loop(0, 3, lambda i, y: y if y > 0 else -y, x), 1.0, kind=TracedBranch
    )[-1]
    assert "adjit.cond" in advice
    leak = []
    lines = body_error(
        lambda x: (fori_loop(0, 3, lambda i, y: leak.append(y) or y, x), leak[0] * 2),
        1.0,
        kind=EscapedTracer,
    )
    assert lines[0].startswith("a traced value is used after its trace has ended")

    def writes(x):
        z = np.zeros(3)
        return fori_loop(0, 3, lambda i, y: z.__setitem__(i, y) or y, x)

    assert "it was made outside" in body_error(writes, 1.0, kind=FrozenWrite)[0]

"""custom_vjp and custom_jvp: rules in NumPy, of any order, in both modes, in any composition."""

import functools
import pickle
from collections import namedtuple

import numpy as np
import pytest

import adjit
from adjit import (
    check_grads,
    checkpoint,
    custom_jvp,
    custom_vjp,
    errors,
    fori_loop,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jit,
    jvp,
    linearize,
    value_and_grad,
    vjp,
    vmap,
)
from adjit.ir import evaluate, parse, show, verify

pytestmark = pytest.mark.usefixtures("interpreted")


X = np.array([0.4, 1.9, 1.3])


@custom_jvp
def log1pexp(x):
    return np.log(1 + np.exp(x))


@log1pexp.defjvp
def log1pexp_rule(primals, tangents):
    (x,), (t,) = primals, tangents
    return log1pexp(x), t / (1 + np.exp(-x))


@custom_vjp
def root(x, n):
    return x ** (1 / n)


def root_fwd(x, n):
    y = root(x, n)
    return y, (x, y, n)


def root_bwd(kept, ct):
    x, y, n = kept
    return ct * y / (n * x), None


root.defvjp(root_fwd, root_bwd)


def sqrt(x):
    return root(x, 2)


@custom_vjp
def clipped(x):
    return x


clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))


# ------------------------------------------------------------------ values and orders


def test_rule_is_asked_at_every_order():
    assert grad(log1pexp)(1000.0) == 1.0  # the plain derivative is NaN there
    assert grad(grad(log1pexp))(1000.0) == 0.0
    f = log1pexp
    for wanted in (0.5744425168116590, 0.2444583116907460, -0.0363961839555763):
        f = grad(f)
        np.testing.assert_allclose(f(0.3), wanted, rtol=1e-12)


@pytest.mark.parametrize(("f", "mode"), [(log1pexp, "rev"), (sqrt, "fwd")])
def test_third_order_in_both_modes(f, mode):
    check_grads(lambda x: f(x) * f(x[::-1] + f(x)), (X,), order=3, modes=[mode], atol=1e-4)


@pytest.mark.parametrize("f", [log1pexp, sqrt])
def test_composition_agrees_with_the_plain_function(f):
    plain = f._fn if f is log1pexp else np.sqrt

    def both(g):
        return g(f), g(plain)

    v = np.array([0.5, -1.0, 2.0])
    cases = [
        lambda g: jacobian(g)(X),
        lambda g: jacfwd(g)(X),
        lambda g: hessian(lambda x: np.sum(g(x) ** 3))(X),
        lambda g: hvp(lambda x: np.sum(g(x) ** 3))(X, v),
        lambda g: vmap(grad(g))(X),
        lambda g: vmap(grad(grad(g)))(X),
        lambda g: hessian(lambda x: np.sum(vmap(g)(x) ** 3))(X),
        lambda g: grad(lambda x: np.sum(vmap(grad(g))(x) ** 2))(X),
        lambda g: linearize(g, X)[1](v),
        lambda g: jvp(lambda x: vjp(g, x)[1](v)[0], (X,), (v,))[1],
        lambda g: grad(lambda x: np.sum(checkpoint(g)(x) ** 2))(X),
        lambda g: grad(lambda x: np.sum(fori_loop(0, 3, lambda i, c: g(c) * 1.5, x)))(X),
        lambda g: vmap(vmap(grad(g)))(np.outer(X, X)),
    ]
    for case in cases:
        ours, wanted = both(case)
        np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-12)


def test_kernels_hold_no_trace_of_the_rule():
    with adjit.options(interpret=False):
        np.testing.assert_allclose(grad(lambda x: np.sum(sqrt(x)))(X), 0.5 / np.sqrt(X))
        program = jit(lambda x: sqrt(x))
        np.testing.assert_allclose(program(X), np.sqrt(X))
        simplified = program.ir(X, stage="simplified").program
        assert [op.prim.name for op in simplified.ops] == ["sqrt"]


def test_the_op_is_well_formed_and_reads_back():
    def f(x):
        return sqrt(x) * log1pexp(x) + clipped(x)

    program = jit(f).ir(X).program
    verify(program)
    again = parse(show(program))
    verify(again)
    assert show(again) == show(program)
    np.testing.assert_allclose(evaluate(again, X)[0], f(X))


def test_outside_of_a_trace_it_is_the_function():
    assert type(sqrt(4.0)) is float
    assert clipped("a") == "a"


def test_an_equal_op_of_the_user_keeps_its_own_derivative():
    f = custom_vjp(np.sin, lambda x: (np.sin(x), None), lambda _, ct: (ct * 0 + 100.0,))
    g = grad(lambda x: f(x) + np.sin(x))
    np.testing.assert_allclose(g(0.3), 100.0 + np.cos(0.3))
    h = custom_jvp(np.sin, lambda p, t: (np.sin(p[0]), 100.0 * t[0]))
    for mode in ("fwd", "rev"):
        slope = jacobian(lambda x: np.sin(x) + h(x) + np.sin(x), mode=mode)(0.3)
        np.testing.assert_allclose(slope, 100.0 + 2 * np.cos(0.3))


def test_rules_of_rules():
    inner = custom_jvp(lambda x: x * x, lambda p, t: (p[0] * p[0], sqrt(4 * p[0] ** 2) * t[0]))
    np.testing.assert_allclose(grad(grad(inner))(1.5), 2.0)
    outer = custom_vjp(
        lambda x: inner(x) * x,
        lambda x: (outer_(x), x),
        lambda x, ct: (3 * inner(x) * ct,),
    )
    outer_ = outer
    np.testing.assert_allclose(grad(grad(grad(outer)))(1.5), 6.0)


# ------------------------------------------------------------------ a pullback that is not linear


def test_clipping_a_cotangent():
    def loss(x):
        return np.sum(clipped(x) ** 2)

    np.testing.assert_allclose(grad(loss)(np.array([0.2, 3.0])), [0.4, 1.0])
    np.testing.assert_allclose(hessian(loss)(np.array([0.2, 3.0])), np.diag([2.0, 0.0]))
    np.testing.assert_allclose(vmap(grad(loss))(np.array([0.2, 3.0])), [0.4, 1.0])


def test_forward_mode_wants_a_linear_pullback():
    with pytest.raises(errors.NotDifferentiable, match=r"(?s)linear in the cotangents.*custom_jvp"):
        jvp(clipped, (1.0,), (1.0,))


def test_reverse_mode_wants_a_linear_rule():
    bad = custom_jvp(np.sin, lambda p, t: (np.sin(p[0]), np.maximum(t[0], 0.0)))
    assert jvp(bad, (1.0,), (2.0,))[1] == 2.0
    with pytest.raises(errors.NotDifferentiable, match=r"maximum at test_api_custom.py"):
        grad(bad)(1.0)
    affine = custom_jvp(np.sin, lambda p, t: (np.sin(p[0]), t[0] + 1.0))
    with pytest.raises(errors.NotDifferentiable, match="add"):
        grad(affine)(1.0)


# ------------------------------------------------------------------ arguments

Point = namedtuple("Point", "x y")


def test_containers():
    @custom_vjp
    def f(params, p):
        return {"sum": params["w"] * p.x, "both": (p.y, params["w"] + params["list"][1])}

    def bwd(kept, ct):
        _, p = kept
        ct_w = ct["sum"] * p.x + ct["both"][1]
        ct_p = Point(10 * np.sum(ct["sum"]), ct["both"][0])
        return {"w": ct_w, "list": [None, ct["both"][1]]}, ct_p

    f.defvjp(lambda params, p: (f(params, p), (params, p)), bwd)

    def loss(params, p):
        out = f(params, p)
        return np.sum(out["sum"]) + 2 * np.sum(out["both"][0]) + 3 * np.sum(out["both"][1])

    params = {"w": X, "list": [np.ones(2), np.ones(3)]}
    by_params, by_p = grad(loss, argnums=(0, 1))(params, Point(2.0, X))
    np.testing.assert_allclose(by_params["w"], np.full(3, 5.0))
    np.testing.assert_allclose(by_params["list"][0], np.zeros(2))
    np.testing.assert_allclose(by_params["list"][1], np.full(3, 3.0))
    np.testing.assert_allclose(by_p.y, np.full(3, 2.0))
    np.testing.assert_allclose(by_p.x, 30.0)  # as the rule says, not as is right


def test_held_arguments_come_first():
    @functools.partial(custom_jvp, nondiff_argnums=(0, 2))
    def apply(fn, x, power):
        return fn(x) ** power

    @apply.defjvp
    def rule(fn, power, primals, tangents):
        (x,), (t,) = primals, tangents
        return apply(fn, x, power), 10.0 * power * fn(x) ** (power - 1) * t

    f = grad(lambda x, p: apply(np.sin, x, p), argnums=(0, 1))
    with pytest.warns(errors.ZeroGradient, match="does not depend on p"):
        by_x, by_p = f(0.3, 2.0)
    np.testing.assert_allclose(by_x, 20 * np.sin(0.3))
    assert by_p == 0.0

    g = custom_vjp(lambda n, x: x**n, nondiff_argnums=(0,))
    g.defvjp(lambda n, x: (x**n, x), lambda n, x, ct: (n * x ** (n - 1) * ct,))
    np.testing.assert_allclose(grad(lambda x: g(3, x))(2.0), 12.0)
    np.testing.assert_allclose(grad(lambda x: g(n=3, x=x))(2.0), 12.0)


def test_strings_and_integers_need_no_cotangent():
    @custom_vjp
    def f(x, how, axis, index):
        return np.sum(x, axis=axis) if how == "sum" else x[index]

    f.defvjp(
        lambda x, how, axis, index: (f(x, how, axis, index), (x.shape, how)),
        lambda kept, ct: (np.ones(kept[0]) * ct * 2, None, None, None),
    )
    made = grad(lambda x: np.sum(f(x, "sum", 0, np.array([1, 0]))))(np.ones((2, 3)))
    np.testing.assert_allclose(made, np.full((2, 3), 2.0))


def test_shared_arguments_of_vmap():
    f = custom_vjp(lambda w, x: np.sum(w * x))
    f.defvjp(lambda w, x: (f(w, x), (w, x)), lambda kept, ct: (kept[1] * ct, kept[0] * ct))
    g = custom_vjp(lambda w, x: np.sum(w * x))
    g.defvjp(lambda w, x: (np.sum(w * x), (w, x)), lambda kept, ct: (kept[1] * ct, kept[0] * ct))
    rows = np.arange(6.0).reshape(2, 3)
    for each in (f, g):

        def loss(w, x, each=each):
            return np.sum(vmap(each, in_axes=(None, 0))(w, x) ** 2)

        by_w, by_x = grad(loss, argnums=(0, 1))(X, rows)
        np.testing.assert_allclose(by_w, 2 * rows.T @ (rows @ X))
        np.testing.assert_allclose(by_x, 2 * np.outer(rows @ X, X))
        check_grads(loss, (X, rows), order=2, modes=["rev"])


def test_methods():
    class Model:
        def __init__(self, scale):
            self.scale = scale

        @custom_jvp
        def f(self, x):
            return self.scale * x

    Model.f.defjvp(lambda p, t: (p[0].f(p[1]), 10 * p[0].scale * t[1]))
    np.testing.assert_allclose(grad(Model(3.0).f)(1.0), 30.0)
    np.testing.assert_allclose(grad(lambda x: Model(3.0).f(x))(1.0), 30.0)


SCALE = np.array([1.0, 2.0, 3.0])
FACTOR = 2.0


def test_captured_arrays_and_numbers_are_live():
    global FACTOR
    f = custom_vjp(lambda x: SCALE * x * FACTOR)
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (SCALE * ct * FACTOR,))
    g = grad(lambda x: np.sum(f(x)))
    np.testing.assert_allclose(g(X), 2 * SCALE)
    SCALE[0], FACTOR = 5.0, 3.0
    np.testing.assert_allclose(g(X), 3 * SCALE)
    SCALE[0], FACTOR = 1.0, 2.0
    np.testing.assert_allclose(hessian(lambda x: np.sum(f(x) ** 2))(X), np.diag(8 * SCALE**2))


def test_closed_over_values():
    def outer(w, x):
        f = custom_vjp(lambda t: t * w)
        f.defvjp(lambda t: (f(t), None), lambda _, ct: (ct * w,))
        return f(x)

    np.testing.assert_allclose(grad(outer, argnums=1)(3.0, 2.0), 3.0)
    with pytest.raises(errors.NotDifferentiable, match=r"(?s)closes over.*as an argument"):
        grad(outer, argnums=0)(3.0, 2.0)
    with pytest.raises(errors.NotDifferentiable, match="closes over"):
        jvp(outer, (3.0, 2.0), (1.0, 1.0))
    # The same value held by the rule alone, at second order.
    np.testing.assert_allclose(grad(grad(lambda x: outer(3.0, x) ** 2))(2.0), 18.0)


def test_a_branch_in_the_function_and_its_rule():
    @custom_vjp
    def f(x):
        return x * 2 if x > 1 else x * 3

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (np.where(x > 1, 20.0, 30.0) * ct,))
    g = value_and_grad(f)
    assert g(2.0) == (4.0, 20.0)
    assert g(0.5) == (1.5, 30.0)


def test_single_precision():
    x = X.astype(np.float32)
    made = grad(lambda x: np.sum(sqrt(x)))(x)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, 0.5 / np.sqrt(x), rtol=1e-6)


def test_defjvps():
    f = custom_jvp(lambda x, y: x * y)
    f.defjvps(lambda t, out, x, y: 10 * y * t, None)
    assert grad(f, argnums=(0, 1))(2.0, 3.0) == (30.0, 0.0)


def test_pickle_by_name():
    assert pickle.loads(pickle.dumps(log1pexp)) is log1pexp


# ------------------------------------------------------------------ mistakes


def _rule(bwd, fwd=None):
    f = custom_vjp(lambda x, p: x * p["w"])
    f.defvjp(fwd or (lambda x, p: (x * p["w"], (x, p))), bwd)
    return grad(lambda x, p: np.sum(f(x, p)))


@pytest.mark.parametrize(
    ("bwd", "says"),
    [
        (lambda kept, ct: ct, "one cotangent per argument, 2, not one value"),
        (lambda kept, ct: (ct,), "one cotangent per argument, 2, not 1 entries"),
        (lambda kept, ct: (ct, ct), r"cotangent at \[1\]"),
        (lambda kept, ct: (ct, {"v": ct}), r"cotangent at \[1\] that is dict\(\['v'\]: \*\)"),
        (lambda kept, ct: (np.sum(ct), None), r"at \[0\] .* float64 scalar; .* shape \(3,\)"),
        (lambda kept, ct: (ct.astype("f4"), None), "float32; it should be .* float64"),
    ],
)
def test_bwd_of_another_structure(bwd, says):
    with pytest.raises(errors.CotangentMismatch, match=says) as caught:
        _rule(bwd)(X, {"w": X})
    line = bwd.__code__.co_firstlineno
    assert f"bwd of custom_vjp <lambda>, at {__file__}:{line}" in str(caught.value)


@pytest.mark.parametrize(
    ("fwd", "says"),
    [
        (lambda x, p: x * p["w"], r"must return a pair \(out, residuals\)"),
        (lambda x, p: ([x], x), r"gives the result list\(\[0\]: \*\), the function \*"),
        (lambda x, p: (np.sum(x), x), "gives a result that is a float64 scalar"),
    ],
)
def test_fwd_of_another_result(fwd, says):
    with pytest.raises(errors.CotangentMismatch, match=f"fwd of custom_vjp.*{says}"):
        _rule(lambda kept, ct: (ct, None), fwd)(X, {"w": X})


def test_jvp_of_another_structure():
    f = custom_jvp(np.sin, lambda p, t: np.cos(p[0]))
    with pytest.raises(errors.CotangentMismatch, match="must return a pair"):
        grad(f)(1.0)
    f.defjvp(lambda p, t: (np.sin(p[0]), (t[0], t[0])))
    with pytest.raises(errors.CotangentMismatch, match="tangent of the result that is tuple"):
        grad(f)(1.0)


def test_no_rule():
    with pytest.raises(TypeError, match=r"custom_vjp sin has no rule: call sin.defvjp\(fwd, bwd\)"):
        grad(custom_vjp(np.sin))(1.0)
    with pytest.raises(TypeError, match=r"call sin.defjvp\(rule\)"):
        grad(custom_jvp(np.sin))(1.0)
    with pytest.raises(TypeError, match="bwd is an int, not a function"):
        custom_vjp(np.sin, np.sin, 3)
    with pytest.raises(TypeError, match="give both"):
        custom_vjp(np.sin, np.sin)
    with pytest.raises(TypeError, match="takes a function"):
        custom_vjp(3)
    with pytest.raises(TypeError, match="nondiff_argnums"):
        custom_jvp(np.sin, nondiff_argnums=-1)


def test_an_error_in_a_rule_leaves_nothing_behind():
    f = custom_vjp(np.sin)

    def bwd(kept, ct):
        raise ZeroDivisionError("in the rule")

    f.defvjp(lambda x: (np.sin(x), None), bwd)
    with pytest.raises(ZeroDivisionError):
        grad(f)(1.0)
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (np.cos(x) * ct,))
    np.testing.assert_allclose(grad(grad(f))(1.0), -np.sin(1.0))

"""The normal form: same values, fewer operations, settled after one application."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import assert_agree, function, kinds
from programs import random_function, wrt

from adjit.ir import Aval, Block, Builder, Const, Function, Value, canonical, evaluate, verify
from adjit.ir import ops as o
from adjit.ir.types import NUMPY
from adjit.passes.constant_shifts import constant_shifts
from adjit.passes.normal import Normal
from adjit.passes.pipeline import PRIMAL, joint, run
from adjit.passes.simplify import cleanup, simplify
from adjit.passes.vjp import vjp


def total(x: Value) -> Value:
    return o.sum_(x, axes=tuple(range(x.ndim)))


def rows(v: Value, n: int) -> Value:
    """A value per row, beside arrays of n columns."""
    return o.broadcast(v, shape=(*v.shape, n), axes=(v.ndim,))


def gradient(f: Function, which: tuple[int, ...]) -> tuple[Function, Function]:
    """The joint function as it is, and in normal form."""
    made = vjp(run(f, PRIMAL, check=True), which, seed_ones=True)
    return made, run(made, joint(len(f.outs)), check=True)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    f, args = random_function(seed, 10)
    for p in (cleanup, simplify, constant_shifts):
        g = p(f)
        verify(g)
        assert_agree(f, g, *args)
        assert canonical(p(g)) == canonical(g), p.__name__


@pytest.mark.parametrize("seed", range(20))
def test_random_joint_programs(seed: int) -> None:
    f, args = random_function(seed, 7, smooth=True)
    made = vjp(f, wrt(f))
    rng = np.random.default_rng(seed)
    cts = [rng.standard_normal(v.shape) for v in made.params[len(f.params) :]]
    cts = [c.astype(NUMPY[v.dtype]) for c, v in zip(cts, made.params[len(f.params) :], strict=True)]
    done = simplify(made, strict=len(f.outs))
    verify(done)
    assert_agree(made, done, *args, *cts, rtol=1e-7)
    assert canonical(simplify(done, strict=len(f.outs))) == canonical(done)


def test_rules_settle_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that runs in circles is cut off by a depth, which no program comes near."""
    deepest = 0
    append = Normal._append

    def watched(self: Normal, *args: Any) -> Any:
        nonlocal deepest
        deepest = max(deepest, self._depth)
        return append(self, *args)

    monkeypatch.setattr(Normal, "_append", watched)
    for seed in range(30):
        f, _ = random_function(seed, 10)
        simplify(vjp(f, wrt(f)), strict=len(f.outs))
    unit = function(lambda x: total(o.reshape(o.sin(x), shape=(4,))), (1, 4))
    simplify(unit)
    assert 1 < deepest < 20


# ------------------------------------------------------------------ target forms


def rosenbrock(x: Value) -> Value:
    n = x.shape[0] - 1
    a = o.slice_(x, start=(1,), size=(n,), step=(1,))
    b = o.slice_(x, start=(0,), size=(n,), step=(1,))
    return total(100.0 * (a - b * b) ** 2 + (1.0 - b) ** 2)


def test_rosenbrock() -> None:
    """S1 += a², S2 += b², g[i] = 200 a[i-1] - 2 (200 x a + b): constants have left the sums."""
    made, done = gradient(function(rosenbrock, (9,)), (0,))
    assert_agree(made, done, np.linspace(-1.2, 1.1, 9))
    assert kinds(done, 1) == {"slice": 2, "mul": 6, "sub": 3, "add": 1, "pad": 2}
    assert kinds(done, 0) == {"sum": 2, "mul": 1, "add": 1}


def black_scholes(s: Value, k: Value, t: Value, r: Value, sigma: Value) -> Value:
    def cdf(x: Value) -> Value:
        return 0.5 * (1.0 + o.erf(x * 0.7071067811865476))

    q = sigma * o.sqrt(t)
    d1 = (o.log(s / k) + (r + 0.5 * sigma * sigma) * t) / q
    return total(s * cdf(d1) - k * o.exp(-r * t) * cdf(d1 - q))


def test_black_scholes() -> None:
    rng = np.random.default_rng(0)
    made, done = gradient(function(black_scholes, *[(6,)] * 5), (0, 1, 2, 3, 4))
    ranges = [(50, 150), (50, 150), (0.1, 2), (0, 0.1), (0.1, 0.5)]
    assert_agree(made, done, *(rng.uniform(*ends, 6) for ends in ranges), rtol=1e-12)
    found = kinds(done)
    assert found["div"] == 4
    assert (found["log"], found["erf"], found["sqrt"]) == (1, 2, 1)
    assert found["exp"] == 3  # one discount, two slopes of erf that pair with it
    assert found["mul"] <= 33
    assert sum(found.values()) <= 63


def logistic(w: Value, x: Value, y: Value) -> Value:
    z = o.dot(x, w, contract=((1,), (0,)), batch=((), ()))
    return total(o.logaddexp(0.0, -y * z)) / 7.0 + 0.0005 * total(w * w)


def test_logistic_regression_reads_the_data_in_two_sums_and_one_exp() -> None:
    rng = np.random.default_rng(0)
    made, done = gradient(function(logistic, (4,), (7, 4), (7,)), (0,))
    assert_agree(
        made, done, rng.normal(size=4), rng.normal(size=(7, 4)), np.sign(rng.normal(size=7))
    )
    found = kinds(done)
    assert "dot" not in found and "expit" not in found and "logaddexp" not in found
    assert found["exp"] == 1
    assert kinds(done, 2) == {"mul": 2, "broadcast": 1}


def softmax(x: Value, c: Value) -> Value:
    m = o.max_(x, axes=(1,))
    e = o.exp(x - o.reshape(m, shape=(x.shape[0], 1)))
    return total(e / o.reshape(o.sum_(e, axes=(1,)), shape=(x.shape[0], 1)) * c)


def test_softmax_has_three_loops_over_each_row() -> None:
    rng = np.random.default_rng(0)
    f = function(softmax, (6, 5), (6, 5))
    _, done = gradient(f, (0,))
    args = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    assert_agree(vjp(f, (0,), seed_ones=True), done, *args)
    found = kinds(done)
    assert (found["max"], found["sum"], found["exp"], found["div"]) == (1, 3, 1, 1)
    assert "equal" not in found  # the shift is a constant


def cross_entropy(z: Value, y: Value) -> Value:
    z = z - rows(o.max_(z, axes=(1,)), z.shape[1])
    e = o.log(o.sum_(o.exp(z), axes=(1,)))
    return total(e - o.sum_(z * y, axes=(1,)))


def test_a_shift_that_is_read_elsewhere_keeps_its_derivative() -> None:
    f = function(cross_entropy, (3, 5), (3, 5))
    assert canonical(constant_shifts(f)) == canonical(f)
    made, done = gradient(f, (0,))
    rng = np.random.default_rng(0)
    assert_agree(made, done, rng.normal(size=(3, 5)), rng.normal(size=(3, 5)))


@pytest.mark.parametrize("aligned", [True, False])
def test_logsumexp_is_free_of_its_shift_only_where_rows_meet(aligned: bool) -> None:
    def f(x: Value) -> Value:
        m = o.max_(x, axes=(1,))
        s = o.log(o.sum_(o.exp(x - rows(m, 4)), axes=(1,)))
        return total(s + m if aligned else rows(s, 4) + m)

    made = function(f, (4, 4))
    frozen = constant_shifts(made)
    assert ("stop_gradient" in kinds(frozen)) == aligned
    x = np.random.default_rng(0).normal(size=(4, 4))
    for g in (made, frozen):
        (got,) = evaluate(vjp(g, (0,), seed_ones=True, primal_outs=False), x)
        if aligned:
            e = np.exp(x)
            np.testing.assert_allclose(got, e / e.sum(1, keepdims=True), rtol=1e-12)


# ------------------------------------------------------------------ single rules


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: o.neg(o.neg(x)), {}),
        (lambda x: x * 1.0 + 0.0, {}),
        (lambda x: (x * 2.0) * 3.0, {"mul": 1}),
        (lambda x: x + x, {"mul": 1}),
        (lambda x: -x - x, {"mul": 1}),
        (lambda x: x * (-x), {"mul": 1, "neg": 1}),
        (lambda x: 1.0 / (1.0 / x), {}),
        (lambda x: o.pow_(x, 3.0), {"mul": 2}),
        (lambda x: o.pow_(x, -0.5), {"sqrt": 1, "div": 1}),
        (lambda x: o.log(1.0 + x), {"add": 1, "log": 1}),
        (lambda x: x / 4.0 + x / 4.0, {"mul": 1}),
        (lambda x: o.sin(x) / x + o.cos(x) / x, {"sin": 1, "cos": 1, "add": 1, "div": 1}),
        (lambda x: o.select(o.not_(o.less(x, 1)), x, 2.0), {"less": 1, "select": 1}),
        (lambda x: o.transpose(o.transpose(x, perm=(1, 0)), perm=(1, 0)), {}),
        (lambda x: o.reshape(o.reshape(x, shape=(12,)), shape=(3, 4)), {}),
        (lambda x: o.sum_(o.sum_(x, axes=(1,)), axes=(0,)), {"sum": 1}),
        (lambda x: total(x * 3.0), {"sum": 1, "mul": 1}),
        (lambda x: total(-x), {"sum": 1, "neg": 1}),
        (lambda x: o.sum_(rows(x, 5), axes=(2,)), {"mul": 1}),
        (lambda x: total(o.transpose(x, perm=(1, 0))), {"sum": 1}),
        (lambda x: total(o.pad(x, shape=(5, 6), start=(1, 1), step=(1, 1))), {"sum": 1}),
        (
            lambda x: o.slice_(
                o.concatenate(x, o.sin(x), axis=0), start=(0, 1), size=(3, 2), step=(1, 1)
            ),
            {"slice": 1},
        ),
        (lambda x: rows(o.sum_(x, axes=(1,)), 2) * rows(o.sum_(x, axes=(1,)), 2), None),
    ],
)
def test_a_rule(f: Any, expected: dict[str, int] | None) -> None:
    made = function(f, (3, 4))
    done = simplify(made)
    verify(done)
    assert_agree(made, done, np.random.default_rng(1).uniform(0.5, 1.5, (3, 4)))
    found = dict(kinds(done))
    assert found == expected if expected is not None else found["mul"] == 1
    assert canonical(simplify(done)) == canonical(done)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: o.log(1.0 + x), {"log1p": 1}),
        (lambda x: o.exp(x) - 1.0, {"expm1": 1}),
        (lambda x: o.sin(x) * x / x, {"sin": 1}),
        (lambda x: o.sqrt(x / 3.0), {"sqrt": 1, "mul": 1}),
    ],
)
def test_a_rule_for_what_reverse_mode_made(f: Any, expected: dict[str, int]) -> None:
    made = function(f, (3, 4))
    done = simplify(made, strict=0)
    assert_agree(made, done, np.random.default_rng(1).uniform(0.5, 1.5, (3, 4)))
    assert dict(kinds(done)) == expected


def test_what_is_rounded_down_keeps_its_last_digit() -> None:
    """49 * (1/49) is less than 1, so a bin would be missed."""

    def f(x: Value, w: Value) -> Any:
        wide = o.broadcast(w, shape=(60,), axes=(0,))
        return o.floor(x / wide), o.floor(x / 49.0), o.cast(2.0 * x / w, dtype="i64"), o.sin(x) / w

    made = function(f, (60,), ())
    done = simplify(made)
    verify(done)
    for w in (3.0, 49.0, 0.1):
        x = w * np.arange(60.0)
        for a, b in zip(evaluate(made, x, w)[:3], evaluate(done, x, w)[:3], strict=True):
            np.testing.assert_array_equal(a, b)


def test_integers_and_masks_have_their_own_rules() -> None:
    n, m = Value(Aval("i64", (3,))), Value(Aval("bool", (3,)))
    with Builder((n, m)) as b:
        outs = o.and_(n, 1), o.and_(m, True), o.mul(n, 1), o.or_(n, 1), o.not_(o.not_(n))
        f = Function("f", b.done(outs))
    args = np.array([2, 3, -4]), np.array([True, False, True])
    for run_ in (cleanup, simplify):
        assert_agree(f, run_(f), *args)
    assert kinds(simplify(f)) == {"and": 1, "or": 1, "not": 2}


def test_literal_indices_are_slices() -> None:
    def f(x: Value) -> Any:
        i, j = Const(-1, "i64"), Const(2, "i64")
        far = Const(9, "i64")
        return (
            o.gather(x, i, axes=(0,), mode="raise"),
            o.gather(x, i, j, axes=(0, 1), mode="raise"),
            o.gather(x, far, axes=(0,), mode="clip"),
        )

    made = function(f, (3, 4))
    done = simplify(made)
    verify(done)
    assert_agree(made, done, np.arange(12.0).reshape(3, 4))
    assert kinds(done) == {"slice": 2, "reshape": 2, "gather": 1}


def test_factors_that_do_not_vary_leave_the_sum() -> None:
    def f(x: Value, s: Value, c: Value) -> Value:
        return o.sum_(x * rows(s, 4) * c * 2.0 / rows(o.exp(s), 4), axes=(1,))

    done = simplify(function(f, (3, 4), (3,), ()))
    assert kinds(done, 2) == {}
    assert kinds(done, 1)["sum"] == 1


def test_work_is_done_before_it_is_repeated() -> None:
    def f(x: Value, s: Value, t: Value) -> Value:
        return x * o.tanh(rows(s, 4) - rows(t, 4)) / rows(s, 4)

    done = simplify(function(f, (3, 4), (3,), (3,)))
    assert kinds(done, 2) == {"mul": 1, "broadcast": 1}


def test_a_transposed_operand_is_absorbed() -> None:
    def f(x: Value, y: Value) -> Value:
        t = o.transpose(x, perm=(1, 0))
        return o.dot(t, y, contract=((1,), (0,)), batch=((), ()))

    made = function(f, (3, 4), (3, 5))
    done = simplify(made)
    assert kinds(done) == {"dot": 1}
    rng = np.random.default_rng(0)
    assert_agree(made, done, rng.normal(size=(3, 4)), rng.normal(size=(3, 5)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: o.sum_(x, axes=(1,)),
        lambda x: o.dot(x, x, contract=((1,), (1,)), batch=((), ())),
        lambda x: o.dot(x, x, contract=((1,), (1,)), batch=((0,), (0,))),
    ],
)
def test_sums_of_nothing_are_zero(f: Any) -> None:
    before = function(lambda x, y: f(x) + total(y), (3, 0), (2,))
    after = simplify(before)
    assert_agree(before, after, np.zeros((3, 0)), np.ones(2))
    assert all(0 not in v.shape for op in after.block.ops for v in (*op.args, *op.outs))
    assert simplify(function(lambda x: o.sum_(x, axes=(0,)), (0, 0))).outs[0].shape == (0,)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_a_sum_over_a_product_of_matrices_sums_an_operand(axes: tuple[int, ...]) -> None:
    def f(x: Value, y: Value) -> Value:
        return o.sum_(o.dot(x, y, contract=((1,), (0,)), batch=((), ())), axes=axes)

    made = function(f, (3, 4), (4, 5))
    done = simplify(made)
    assert "dot" not in kinds(done)
    rng = np.random.default_rng(0)
    assert_agree(made, done, rng.normal(size=(3, 4)), rng.normal(size=(4, 5)))


def test_a_difference_of_sums_is_not_made_of_a_sum_of_differences() -> None:
    """A variance stays a sum of squares: split, it would cancel."""

    def f(x: Value) -> Value:
        d = x - rows(o.sum_(x, axes=(1,)) * 0.25, 4)
        return o.sum_(d * d, axes=(1,)) * 0.25

    made = function(f, (3, 4))
    done = simplify(made)
    x = 1e8 + np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(evaluate(done, x)[0], x.var(1), rtol=1e-6)


def test_compensated_summation_survives() -> None:
    def f(s: Value, x: Value) -> Value:
        t = s + x
        return (t - s) - x, (x + 6755399441055744.0) - 6755399441055744.0

    made = function(f, (), ())
    for g in (simplify(made), simplify(made, strict=0)):
        lost, rounded = evaluate(g, np.float64(1.0), np.float64(1e-17 + 0.3))
        exact = evaluate(made, np.float64(1.0), np.float64(1e-17 + 0.3))
        assert (lost, rounded) == tuple(exact)


def test_infinities_of_the_user_are_kept() -> None:
    f = function(lambda x: (x * 0.0, o.sin(x) * x / x), ())
    done = simplify(f)
    for v in (np.inf, np.nan, 0.0):
        np.testing.assert_array_equal(evaluate(done, v), evaluate(f, v))


def test_the_transpose_of_a_scaled_product_is_the_product_turned_round() -> None:
    def f(x: Value, y: Value, u: Value, v: Value) -> Value:
        z = o.mul(o.mul(o.dot(x, y, contract=((0,), (1,)), batch=((), ())), u), rows(v, 15))
        return o.transpose(z, perm=(1, 0))

    made = function(f, (13, 14), (15, 13), (15,), (14,))
    got = run(made, joint(0))
    rng = np.random.default_rng(0)
    assert_agree(made, got, *(rng.normal(size=s) for s in ((13, 14), (15, 13), (15,), (14,))))
    assert "transpose" not in kinds(got) and kinds(got)["dot"] == 1
    assert "transpose" in kinds(run(made, joint(1)))  # values of the user's keep their rounding


def test_a_known_choice_has_the_shape_of_all_three() -> None:
    def f(x: Value, y: Value, z: Value) -> tuple[Value, ...]:
        no, yes = (o.shape.full(k, Aval("bool", (3,))) for k in (False, True))
        one = o.broadcast(total(x), shape=(1,), axes=(0,))
        many = o.select(no, 0.0, total(x)), o.select(yes, one, z), o.select(yes, total(y), 1.0)
        return (*many, o.mul(o.shape.zeros(Aval("f64", (3, 1))), y))

    made = function(f, (3,), (4,), (3,))
    done = simplify(made, strict=0)
    verify(done)
    rng = np.random.default_rng(0)
    assert_agree(made, done, *(rng.normal(size=n) for n in (3, 4, 3)))
    assert not kinds(done)["select"]


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_squares_of_what_was_scaled_neither_overflow_nor_vanish(size: float) -> None:
    """Nor do their slopes, whether the value is asked for or not."""

    def norm(x: Value) -> Value:
        s = o.max_(o.abs_(x), axes=(1,))
        z = x / rows(s, 2)
        return s * o.sqrt(o.sum_(z * z, axes=(1,)))

    def product(x: Value, s: Value, t: Value) -> Value:
        return o.sum_((x / rows(s, 2)) * -(x / rows(t, 2)), axes=(1,))

    x = size * np.array([[3.0, 4.0], [-4.0, 3.0]])
    np.testing.assert_allclose(evaluate(simplify(function(norm, (2, 2))), x)[0], 5 * size)
    scaled = simplify(function(product, (2, 2), (2,), (2,)))
    s = size * np.array([1.0, 2.0])
    np.testing.assert_allclose(evaluate(scaled, x, s, 2 * s)[0], [-12.5, -3.125])
    made = vjp(function(lambda x: total(norm(x)), (2, 2)), (0,), seed_ones=True)
    alone = Function("alone", Block(made.params, made.ops, made.outs[-1:]))
    for asked, strict in ((made, 1), (alone, 0)):
        slope = evaluate(simplify(asked, strict=strict), x)[-1]
        np.testing.assert_allclose(slope, x / (5 * size), rtol=1e-14)

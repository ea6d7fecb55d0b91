"""Fusion: how many loop nests a pattern becomes, what shares them, and what lives where."""

from __future__ import annotations

import pytest

from adjit.ir.builder import Builder
from adjit.ir.core import Function, Value
from adjit.ir.ops.contract import dot
from adjit.ir.ops.elementwise import exp, log, maximum, sin, tanh
from adjit.ir.ops.reduce import cumsum, max_
from adjit.ir.ops.shape import broadcast, pad, reshape, slice_, sum_
from adjit.ir.plan import CallItem, KernelStep, Loop, Plan
from adjit.ir.types import Aval
from adjit.passes.dce import dce
from adjit.passes.lower import lower
from adjit.passes.roots import Roots
from adjit.passes.schedule import schedule
from adjit.passes.simplify import simplify
from adjit.passes.vjp import vjp


def traced(f, *avals: Aval) -> Function:
    params = [Value(a, chr(ord("a") + k)) for k, a in enumerate(avals)]
    with Builder(params) as b:
        out = f(*params)
        return Function("f", b.done(out if isinstance(out, tuple) else (out,)))


def plan_of(f, *avals: Aval, wrt: tuple[int, ...] | None = None) -> Plan:
    function = traced(f, *avals)
    if wrt is not None:
        function = simplify(dce(vjp(function, wrt, seed_ones=True)))
    (step,) = schedule(function).steps
    assert isinstance(step, KernelStep)
    return step.plan


def nests(plan: Plan) -> list[Loop]:
    return [item for item in plan.items if isinstance(item, Loop)]


def f64(*shape: int) -> Aval:
    return Aval("f64", shape)


def f32(*shape: int) -> Aval:
    return Aval("f32", shape)


def matmul(a: Value, b: Value) -> Value:
    return dot(a, b, contract=((1,), (0,)), batch=((), ()))


def column(x: Value) -> Value:
    return reshape(x, shape=(*x.shape, 1))


def rosenbrock(x: Value) -> Value:
    n = x.shape[0] - 1
    a = slice_(x, start=(1,), size=(n,), step=(1,))
    b = slice_(x, start=(0,), size=(n,), step=(1,))
    r = a - b * b
    return sum_(100.0 * (r * r) + (1.0 - b) * (1.0 - b), axes=(0,))


def logistic(w: Value, x: Value, y: Value) -> Value:
    m = -(y * sum_(x * w, axes=(1,)))
    return sum_(log(1.0 + exp(m)), axes=(0,))


def softmax_loss(z: Value, y: Value) -> Value:
    z = z - column(max_(z, axes=(1,)))
    return sum_(log(sum_(exp(z), axes=(1,))) - sum_(z * y, axes=(1,)), axes=(0,))


def mlp(x: Value, y: Value, w: Value, b: Value, v: Value, c: Value) -> Value:
    return softmax_loss(matmul(maximum(matmul(x, w) + b, 0.0), v) + c, y)


def many_outputs(x: Value) -> tuple[Value, ...]:
    return tanh(x), exp(x), sum_(x * x, axes=(0,)), sum_(sin(x), axes=(0,))


def two_columns(x: Value) -> Value:
    mean = broadcast(sum_(x, axes=(0,)) / 50.0, shape=x.shape, axes=(0,))
    return x - mean


PATTERNS = {
    "a chain with several outputs and sums": (many_outputs, [f64(1000)], None, 1),
    "Rosenbrock, value and gradient": (rosenbrock, [f64(1000)], (0,), 1),
    "rows that end in a sum": (lambda x: sum_(exp(x), axes=(1,)), [f64(50, 60)], None, 1),
    "softmax by rows": (
        lambda x: exp(x - column(max_(x, axes=(1,)))),
        [f64(50, 60)],
        None,
        1,
    ),
    "columns, then elementwise": (two_columns, [f64(50, 60)], None, 2),
    "logistic regression: one pass over x, one over w": (
        logistic,
        [f64(100), f64(1000, 100), f64(1000)],
        (0,),
        2,
    ),
    "adjoint of a stencil": (
        lambda x: sum_(
            exp(
                slice_(x, start=(2,), size=(998,), step=(1,))
                - slice_(x, start=(0,), size=(998,), step=(1,))
            ),
            axes=(0,),
        ),
        [f64(1000)],
        (0,),
        1,
    ),
    "two arrays that share nothing": (lambda x, y: (exp(x), exp(y)), [f64(70), f64(90)], None, 2),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_number_of_nests(name: str) -> None:
    f, avals, wrt, count = PATTERNS[name]
    assert len(nests(plan_of(f, *avals, wrt=wrt))) == count


def test_logistic_regression_reads_x_once_in_strips() -> None:
    plan = plan_of(logistic, f64(100), f64(1000, 100), f64(1000), wrt=(0,))
    loop = nests(plan)[0]
    x = plan.params[1]
    assert loop.strip > 1
    assert {r for r in plan.roots.values() for a in r.accesses if a.base is x} <= set(loop.members)


def test_products_run_inside_a_block_when_the_batch_is_large() -> None:
    avals = [f32(1797, 64), f32(1797, 10), f32(64, 128), f32(128), f32(128, 10), f32(10)]
    plan = plan_of(mlp, *avals, wrt=(2, 3, 4, 5))
    blocks = [n for n in nests(plan) if any(isinstance(i, CallItem) for i in n.body)]
    (block,) = blocks
    assert sum(isinstance(i, CallItem) for i in block.body) == 5
    assert not [i for i in plan.items if isinstance(i, CallItem)]


def test_products_stay_outside_when_the_batch_is_small() -> None:
    avals = [f32(128, 784), f32(128, 10), f32(784, 256), f32(256), f32(256, 10), f32(10)]
    plan = plan_of(mlp, *avals, wrt=(2, 3, 4, 5))
    assert sum(isinstance(i, CallItem) for i in plan.items) == 5


def test_values_between_members_of_a_loop_need_no_memory() -> None:
    plan = plan_of(lambda x: tanh(exp(x)) * exp(x), f64(100))
    assert {s.place for s in plan.storage.values()} == {"output"}


def test_every_producer_comes_before_its_readers() -> None:
    avals = [f64(40, 30), f64(40, 5), f64(30, 20), f64(20), f64(20, 5), f64(5)]
    plan = plan_of(mlp, *avals, wrt=(2, 3, 4, 5))
    seen: set[Value] = set(plan.params)

    def visit(items: list) -> None:
        for item in items:
            if isinstance(item, Loop):
                visit(item.body)
                continue
            for r in [item.root] if isinstance(item, CallItem) else item.members:
                for a in r.accesses:
                    base = a.base
                    while base in plan.aliases:
                        base = plan.aliases[base]
                    assert base in seen, f"{r} reads {base} before it is made"
                seen.add(r.value)

    visit(plan.items)
    assert set(plan.roots) <= seen


def test_workspace_is_shared_by_values_that_do_not_meet() -> None:
    w = [f64(30, 30)] * 6

    def chain(x: Value, *ws: Value) -> Value:
        for v in ws:
            x = tanh(matmul(x, v))
        return x

    plan = plan_of(chain, f64(40, 30), *w)
    owners = {plan.slots[v] for v in plan.slots}
    assert len(owners) < len(plan.slots)


def test_long_chains_are_cut_into_roots_without_memory() -> None:
    def chain(x: Value) -> Value:
        for _ in range(400):
            x = sin(x)
        return x

    plan = plan_of(chain, f64(100))
    assert len(nests(plan)) == 1
    assert {s.place for s in plan.storage.values()} == {"local", "output"}


def test_strided_pads_and_scans_are_calls_of_their_own() -> None:
    plan = plan_of(
        lambda x: (pad(x, shape=(61,), start=(0,), step=(3,)), cumsum(x, axis=0)), f64(21)
    )
    assert all(isinstance(i, CallItem) for i in plan.items)


@pytest.mark.parametrize(
    ("shapes", "attrs"),
    [
        (((4, 5), (5, 6)), {"contract": ((1,), (0,)), "batch": ((), ())}),
        (((4, 5), (6, 5)), {"contract": ((1,), (1,)), "batch": ((), ())}),
        (((5, 4), (5, 6)), {"contract": ((0,), (0,)), "batch": ((), ())}),
        (((3, 4, 5), (3, 5, 6)), {"contract": ((2,), (1,)), "batch": ((0,), (0,))}),
        (((4, 3, 5), (5, 3, 6)), {"contract": ((2,), (0,)), "batch": ((1,), (1,))}),
        (((2, 3, 4, 5), (5, 4, 7)), {"contract": ((2, 3), (1, 0)), "batch": ((), ())}),
        (((4, 5), (5,)), {"contract": ((1,), (0,)), "batch": ((), ())}),
        (((4,), (5,)), {"contract": ((), ()), "batch": ((), ())}),
    ],
)
def test_products_are_lowered_to_plain_ones(shapes, attrs) -> None:
    function = traced(lambda a, b: dot(a, b, **attrs), *(f64(*s) for s in shapes))
    for op in lower(function).ops:
        if op.prim is dot:
            assert len(op.attrs["contract"][0]) == 1
            assert all(v.ndim == 2 + len(op.attrs["batch"][0]) for v in op.args)
            assert op.attrs["batch"] in (((), ()), ((0,), (0,)))


def test_roots_are_what_must_be_stored() -> None:
    function = traced(lambda x: exp(sum_(tanh(x), axes=(0,))), f64(20))
    names = {r.op.prim.name for r in Roots(function.block, set()).values.values() if r.op}
    assert names == {"sum", "exp"}

"""Control ops lose what nobody reads, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from programs import programs, random_function, wrt

from adjit.ir import Function, canonical, evaluate, ops, parse, regions, verify
from adjit.ir.core import Block
from adjit.ir.prim import PRIMS, Prim
from adjit.passes.dce import dce
from adjit.passes.vjp import vjp


@settings(max_examples=40, deadline=None)
@given(programs(8))
def test_values_stay(program: tuple[Function, list[np.ndarray]]) -> None:
    function, args = program
    slim = dce(function)
    verify(slim)
    for a, b in zip(evaluate(function, *args), evaluate(slim, *args), strict=True):
        np.testing.assert_array_equal(a, b)
    assert canonical(dce(slim)) == canonical(slim)


def test_results_one_at_a_time() -> None:
    """Each result of an adjoint alone is what it was among the others."""
    for seed in range(8):
        function, args = random_function(seed, 6)
        joint = vjp(function, wrt(function), seed_ones=True)
        want = evaluate(joint, *args)
        for v, x in zip(joint.outs, want, strict=True):
            one = dce(Function("f", Block(joint.params, joint.ops, (v,))))
            verify(one)
            np.testing.assert_array_equal(evaluate(one, *args)[0], x)


RNN = """
func rnn(%w: f64[3], %h: f64[3], %xs: f64[5,3]) -> (f64[3], f64[5,3]) {
  %y: f64[3], %ys: f64[5,3] = loop[consts=1, carries=1, length=5] 5, %w, %h, %xs \
body(%i: i64[], %w: f64[3], %h: f64[3], %x: f64[3]) {
    %1: f64[3] = mul %w, %h
    %2: f64[3] = add %1, %x
    %3: f64[3] = tanh %2
    %4: f64[3] = exp %3
    yield %3, %4
  }
  return %y, %ys
}"""


def test_a_tape_that_nobody_reads_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The residuals of a stacked result go when only the last carry has a cotangent."""
    monkeypatch.setattr(regions, "_NEAR", -1)  # as if all of it did not fit a cache
    function = parse(RNN)
    last = Function("last", Block(function.params, function.ops, function.outs[:1]))
    primal, back = (op for op in dce(vjp(last, [0])).ops if op.prim is ops.loop)
    assert len(primal.outs) == 3  # the carry, and two residuals of tanh and mul
    assert len(back.outs) == 2  # the cotangent on its way, the total of the const
    assert "exp" not in [op.prim.name for op in primal.blocks["body"].ops]


def test_effects_stay() -> None:
    effect = Prim(
        name="effect", infer=lambda p: (), ref=lambda p: (), nondiff="an effect", pure=False
    )
    try:
        text = RNN.replace("    yield", "    %p: bool[] = less 1, %i\n    effect %p\n    yield")
        text = text.replace("return %y, %ys", "return %w").replace(
            "-> (f64[3], f64[5,3])", "-> (f64[3])"
        )
        (loop,) = dce(parse(text)).ops
    finally:
        del PRIMS["effect"]
    assert effect.name not in PRIMS
    assert [op.prim.name for op in loop.blocks["body"].ops] == ["less", "effect"]
    assert (len(loop.args), len(loop.outs), loop.attrs["carries"]) == (1, 0, 0)

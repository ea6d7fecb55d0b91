"""Loop-invariant code motion changes no bit, and moves what it can at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from programs import programs, random_function, wrt

from adjit.ir import Function, canonical, evaluate, ops, parse, verify
from adjit.passes.dce import dce
from adjit.passes.licm import licm
from adjit.passes.vjp import vjp

WHILE = """
func f(%x: f64[], %c: f64[]) -> (f64[]) {
  %r: f64[], %k: i64[] = while[consts=1] %c, %x test(%c: f64[], %x: f64[]) {
    %1: bool[] = less %x, 9.0
    yield %1
  } body(%c: f64[], %x: f64[]) {
    %1: f64[] = exp %c
    %2: f64[] = add %x, %1
    yield %2
  }
  return %r
}"""


def same(function: Function, args: list[np.ndarray]) -> None:
    moved = licm(function)
    verify(moved)
    for a, b in zip(evaluate(function, *args), evaluate(moved, *args), strict=True):
        np.testing.assert_array_equal(a, b)
    settled = dce(moved)
    assert canonical(dce(licm(settled))) == canonical(settled)


@settings(max_examples=30, deadline=None)
@given(programs(8))
def test_values_stay(program: tuple[Function, list[np.ndarray]]) -> None:
    same(*program)


def test_adjoints_stay() -> None:
    for seed in range(8):
        function, args = random_function(seed, 6)
        same(vjp(function, wrt(function), seed_ones=True), args)


def test_out_of_while() -> None:
    exp, loop = licm(parse(WHILE)).ops
    assert (exp.prim, loop.prim) == (ops.exp, ops.while_)
    assert len(loop.blocks["test"].params) == len(loop.blocks["body"].params) == 3
    same(parse(WHILE), [np.float64(0.0), np.float64(1.0)])

"""The verifier states what is wrong, then shows it: the op, its neighbours, the user's line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from programs import programs

from adjit.ir import PRIMS, Aval, Block, Const, Function, IRError, Op, Value, parse, verify
from adjit.ir.prim import Prim

GOOD = parse("""
func g(%x: f64[3], %y: f64[]) -> (f64[3]) {
  %a: f64[3] = add %x, %y  # m.py:1
  %b: f64[3] = mul %a, %y  # m.py:2
  %r: f64[3] = call %b body(%z: f64[3]) {  # m.py:3
    %s: f64[3] = sin %z  # m.py:4
    yield %s
  }
  return %r
}
""")
ADD, MUL, CALL = GOOD.ops
BODY = CALL.blocks["body"]
Make = Callable[[], Function]


def assert_well_formed(f: Function | Block) -> None:
    """`verify` has nothing to say of it."""
    try:
        verify(f)
    except IRError as error:
        pytest.fail(str(error))


def changed(*ops: Op, **facts: Any) -> Function:
    """The function with these ops instead of its own."""
    return Function("g", replace(GOOD.block, ops=ops or GOOD.ops, **facts))


def with_body(**facts: Any) -> Function:
    return changed(ADD, MUL, replace(CALL, blocks={"body": replace(BODY, **facts)}))


def with_mul(**facts: Any) -> Function:
    return changed(ADD, replace(MUL, **facts), CALL)


STRANGE = Value(Aval("f64", (4,)), "w")
WRONG: list[tuple[str, Make, str, str]] = [
    ("order", lambda: changed(MUL, ADD, CALL), "argument %a is read before it is defined", ":2"),
    ("missing", lambda: changed(ADD, CALL), "argument %b is defined nowhere", "m.py:3"),
    ("twice", lambda: changed(ADD, ADD, MUL, CALL), "value %a is defined twice", "m.py:1"),
    (
        "parameter twice",
        lambda: changed(params=(GOOD.params[0], GOOD.params[0])),
        "value %x is defined twice",
        "func g",
    ),
    (
        "in two blocks",
        lambda: with_body(params=(GOOD.params[0],), outs=(GOOD.params[0],), ops=()),
        "value %x is defined in two blocks",
        "m.py:3",
    ),
    (
        "constant defined",
        lambda: with_mul(outs=(Const(1.0, "f64"),)),
        "result of type f64[] is recorded as f64[], its row infers f64[3]",
        "m.py:2",
    ),
    (
        "open region",
        lambda: with_body(ops=(replace(BODY.ops[0], args=(ADD.outs[0],)),)),
        "argument %a belongs to an enclosing block; pass it as an operand",
        "m.py:4",
    ),
    (
        "open region's result",
        lambda: with_body(outs=(ADD.outs[0],)),
        "result %a belongs to an enclosing block",
        "m.py:3",
    ),
    (
        "another region",
        lambda: changed(outs=(BODY.params[0],)),
        "result %z belongs to another region",
        "func g",
    ),
    (
        "recorded type",
        lambda: with_mul(outs=(Value(Aval("f32", (3,)), "b"),)),
        "result %b is recorded as f32[3], its row infers f64[3]",
        "m.py:2",
    ),
    (
        "shapes",
        lambda: changed(
            ADD,
            replace(MUL, args=(MUL.args[0], STRANGE)),
            CALL,
            params=(*GOOD.params, STRANGE),
        ),
        "could not be broadcast together with shapes (3,) (4,)",
        "m.py:2",
    ),
    (
        "results",
        lambda: with_mul(outs=(*MUL.outs, Value(Aval("f64")))),
        "it has 2 results, its row gives 1",
        "m.py:2",
    ),
    (
        "region's type",
        lambda: changed(ADD, MUL, replace(CALL, args=(GOOD.params[1],))),
        "TypeError: call: region body takes (f64[3]), it is given (f64[])",
        "m.py:3",
    ),
    ("attribute", lambda: with_mul(attrs={"k": 3}), "mul has no attribute k", "m.py:2"),
    (
        "attribute's type",
        lambda: changed(ADD, MUL, replace(CALL, attrs={"recompute": np.True_})),
        "attribute recompute is np.True_; attributes are plain, hashable data",
        "m.py:3",
    ),
    (
        "attribute's hash",
        lambda: changed(ADD, MUL, replace(CALL, attrs={"recompute": [1]})),
        "attribute recompute is [1]",
        "m.py:3",
    ),
    (
        "row",
        lambda: with_mul(prim=replace_row("mul")),
        "mul is no row of the table",
        "m.py:2",
    ),
]


def replace_row(name: str) -> Prim:
    """Another row of the same name, kept out of the table."""
    row = PRIMS.pop(name)
    try:
        return replace(row)
    finally:
        PRIMS[name] = row


@pytest.mark.parametrize(("make", "why", "at"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_stated_and_shown(make: Make, why: str, at: str) -> None:
    with pytest.raises(IRError, match=re.escape(why)) as caught:
        verify(make())
    text = str(caught.value)
    assert at in text
    if caught.value.op is not None:
        assert len(re.findall(r"^> ", text, re.MULTILINE)) == 1
        assert text.endswith(f"at {caught.value.op.where}")


def test_the_whole_message() -> None:
    with pytest.raises(IRError) as caught:
        verify(with_mul(args=(ADD.outs[0], ADD.outs[0]), outs=(Value(Aval("f64"), "b"),)))
    assert str(caught.value).splitlines() == [
        "%b: f64[] = mul %a, %a: result %b is recorded as f64[], its row infers f64[3]",
        "    %a: f64[3] = add %x, %y",
        ">   %b: f64[] = mul %a, %a",
        "    %r: f64[3] = call %?b body(%z: f64[3]) {",
        "at m.py:2",
    ]


def test_a_block_may_stand_in_two_places() -> None:
    again = replace(CALL, args=CALL.outs, outs=(Value(Aval("f64", (3,))),))
    assert_well_formed(changed(ADD, MUL, CALL, again, outs=again.outs))


def test_blocks_are_verified_like_functions() -> None:
    assert_well_formed(GOOD)
    assert_well_formed(GOOD.block)
    assert_well_formed(Block((), (), (Const(1.0, "f64"),)))


@settings(max_examples=25, deadline=None)
@given(programs(6))
def test_random_programs_are_well_formed(program: tuple[Function, list[np.ndarray]]) -> None:
    assert_well_formed(program[0])

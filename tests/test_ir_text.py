"""The text form: printing, reading back, canonical text, and errors with a caret."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import programs, random_function

from adjit.ir import (
    Aval,
    Builder,
    Const,
    Function,
    IRSyntaxError,
    Value,
    canonical,
    ops,
    parse,
    show,
    verify,
)
from adjit.ir.core import Where, all_ops
from adjit.ir.types import NUMPY

TEXT = """\
func loss(%x: f64[3,4], %n: i64[]) -> (f64[]) {
  %0: bool[] = less %n, 0
  %r: f64[3,4] = cond %0, %x then(%a: f64[3,4]) {
    %1: f64[3,4] = div 1.0, %a                     # model.py:12
    yield %1
  } else(%b: f64[3,4]) {
    yield %b
  }
  %2: f64[] = sum[axes=(0, 1)] %r
  return %2
}"""


def test_the_form_of_the_design() -> None:
    assert show(parse(TEXT)) == TEXT
    assert "#" not in show(parse(TEXT), where=False)
    assert show(parse(TEXT).block, "g").startswith("func g(%x")
    assert [str(op.where) for op in all_ops(parse(TEXT).block) if op.where] == ["model.py:12"]


def test_names_are_hints() -> None:
    x, y, z = (Value(Aval("f64"), h) for h in ("x", "x", "7"))
    with Builder([x, y, z]) as b:
        a = ops.add(x, y)
        a.hint = "x"
        text = show(Function("f", b.done([ops.add(a, z)])))
    assert text.startswith("func f(%x: f64[], %x_1: f64[], %0: f64[])")
    assert "%x_2: f64[] = add %x, %x_1" in text
    assert "%1: f64[] = add %x_2, %0" in text
    assert show(parse(text)) == text


def test_canonical_text_forgets_names_and_lines() -> None:
    def program(hint: str, line: int) -> Function:
        x = Value(Aval("f64"), hint)
        with Builder([x]) as b:
            b.where = Where("m.py", line)
            y = ops.sin(x)
            y.hint = hint * 2
            return Function(hint, b.done([y * 2]))

    assert canonical(program("a", 1)) == canonical(program("b", 2))
    assert canonical(program("a", 1)) == "\n".join(
        [
            "func f(%0: f64[]) -> (f64[]) {",
            "  %1: f64[] = sin %0",
            "  %2: f64[] = mul %1, 2.0",
            "  return %2",
            "}",
        ]
    )


def test_canonical_text_tells_programs_apart() -> None:
    for a, b in [
        ("%n, 0", "%n, 1"),
        ("1.0", "1.5"),
        ("3,4", "4,3"),
        ("sum", "max"),
        ("f64", "f32"),
    ]:
        assert a in TEXT
        assert canonical(parse(TEXT.replace(a, b))) != canonical(parse(TEXT))


def test_defaults_are_not_printed() -> None:
    x, i = Value(Aval("f64", (3,)), "x"), Value(Aval("i64"), "i")
    with Builder([x, i]) as b:
        f = Function("f", b.done([ops.cumsum(x, axis=0, reverse=False)]))
    assert "cumsum[axis=0] %x" in show(f)
    assert dict(parse(show(f)).ops[0].attrs) == {"axis": 0, "reverse": False}


FLOATS = [0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, np.inf, -np.inf, np.nan, -np.nan, 1 / 3, 1e16]


@pytest.mark.parametrize("dtype", NUMPY)
def test_literals_read_back_in_their_dtype(dtype: str) -> None:
    kind = NUMPY[dtype].kind
    if kind == "b":
        numbers = [True, False]
    elif kind in "iu":
        info = np.iinfo(NUMPY[dtype])
        numbers = [info.min, info.max, 0, 7]
    elif kind == "f":
        with np.errstate(over="ignore"):
            numbers = [NUMPY[dtype].type(x) for x in FLOATS]
    else:
        numbers = [complex(a, b) for a in FLOATS[:4] for b in FLOATS[4:]]
        numbers = [NUMPY[dtype].type(x) for x in numbers if dtype == "c128" or abs(x) < 1e30]
    p = Value(Aval("bool", ()), "p")
    x = Value(Aval(dtype), "x")
    for number in numbers:
        const = Const(number, dtype)
        with Builder([p, x]) as b:
            beside = ops.select(p, x, const)
            alone = ops.select(p, const, const)
            f = Function("f", b.done([beside, alone, const]))
        g = parse(show(f))
        read = [g.ops[0].args[2], g.ops[1].args[1], g.ops[1].args[2], g.outs[2]]
        assert all(type(c) is Const and c.key == const.key for c in read), show(f)
        assert show(g) == show(f)


@settings(max_examples=60, deadline=None)
@given(st.floats(width=32), st.floats())
def test_any_float_reads_back(single: float, double: float) -> None:
    for x, dtype in ((single, "f32"), (double, "f64")):
        const = Const(x, dtype)
        read = parse(show(Function("f", Builder().done([const])))).outs[0]
        assert isinstance(read, Const)
        assert read.key == const.key or np.isnan(x)


@settings(max_examples=40, deadline=None)
@given(programs(8))
def test_random_programs_read_back(program: tuple[Function, list[np.ndarray]]) -> None:
    function, _ = program
    verify(function)
    text = show(function)
    again = parse(text)
    verify(again)
    assert show(again) == text
    assert canonical(again) == canonical(function)
    assert parse(canonical(function)).block.in_avals == function.block.in_avals


@pytest.mark.parametrize("seed", range(12))
def test_the_same_seed_gives_the_same_program(seed: int) -> None:
    (f, a), (g, b) = random_function(seed, 8), random_function(seed, 8)
    assert show(f) == show(g)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# ------------------------------------------------------------------ errors

ERRORS = [
    ("func loss", "fun loss", 1, 1, "expected func, found fun"),
    ("-> (f64[])", "-> (f32[])", 1, 39, "the function returns (f64[])"),
    ("f64[3,4], %n", "f64[3,,4], %n", 1, 15, "f64[3,,4] is not a type"),
    ("%x: f64[3,4], %n", "%x: g64[3,4], %n", 1, 15, "expected a type, as in f64[3,4], found g64"),
    ("%n: i64[]", "%x: i64[]", 1, 25, "%x is defined twice"),
    ("less", "lesser", 2, 16, "there is no op lesser"),
    ("%n, 0", "%n, 0.5", 2, 25, "0.5 is no i64"),
    ("%n, 0", "%n,", 2, 24, "expected a value or a number, found the end of the line"),
    ("%n, 0", "%n, 0:int", 2, 27, "int is no dtype"),
    ("%n, 0", "%n, 0:u8 1", 2, 30, "expected the end of the line, found 1"),
    ("less %n, 0", "less 1, 0", 2, 21, "expected the literal's dtype, as in 1:f64"),
    ("div 1.0, %a", "div 1.0, %x", 4, 29, "%x is not defined here"),
    ("yield %b", "return %b", 7, 5, "expected an op or yield, found return"),
    ("(0, 1)", "(0, 1", 9, 33, "expected ] after the attributes, found the end of the line"),
    ("axes=(0, 1)", "axes=(0, k)", 9, 18, "expected attributes such as [axes=(0, 1)]"),
    ("axes=(0, 1)", "(0, 1)", 9, 18, "expected attributes such as [axes=(0, 1)]"),
    ("return %2", "return 2.0", 10, 10, "expected the literal's dtype, as in 2.0:f64"),
    ("return %2\n}", "return %2\n", 11, 1, "expected }, found the end"),
    ("return %2\n}", "return %2\n} }", 11, 3, "expected the end of the text, found }"),
]


@pytest.mark.parametrize(("old", "new", "line", "column", "why"), ERRORS)
def test_errors_point_at_the_place(old: str, new: str, line: int, column: int, why: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    with pytest.raises(IRSyntaxError) as caught:
        parse(text)
    error = caught.value
    assert why in str(error)
    assert (error.line, error.column) == (line, column)
    shown = str(error).split("\n")
    assert shown[0].startswith(f"line {line}, column {column}: ")
    assert shown[1] == "    " + (text + "\n").split("\n")[line - 1]
    assert shown[2] == " " * (column + 3) + "^"

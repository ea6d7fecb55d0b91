"""Rows with regions: meaning against Python, types, and derivatives against differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from programs import random_function, wrt

from adjit.ir import (
    Aval,
    Builder,
    Const,
    Function,
    Value,
    evaluate,
    ops,
    parse,
    regions,
    show,
    verify,
)
from adjit.ir.core import all_ops
from adjit.ir.ops import control
from adjit.ir.types import is_float
from adjit.passes.dce import dce
from adjit.passes.jvp import jvp
from adjit.passes.vjp import vjp

RNG = np.random.default_rng(7)
X, Y, C = RNG.normal(size=3), np.float64(0.3), np.float64(1.2)
XS, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3))

COND = """
func f(%p: bool[], %x: f64[3], %y: f64[]) -> (f64[3], i64[], f64[]) {
  %r: f64[3], %k: i64[], %z: f64[] = cond %p, %x, %y then(%a: f64[3], %b: f64[]) {
    %1: f64[3] = div 1.0, %a
    %2: f64[3] = mul %1, %b
    yield %2, 1:i64, %b
  } else(%a: f64[3], %b: f64[]) {
    %e: f64[3] = sin %a
    %s: f64[] = sum[axes=(0,)] %e
    yield %e, 2:i64, %s
  }
  return %r, %k, %z
}"""
CALL = """
func f(%x: f64[3], %y: f64[]) -> (f64[3], f64[]) {
  %r: f64[3], %z: f64[] = call %x, %y body(%a: f64[3], %b: f64[]) {
    %1: f64[3] = exp %a
    %2: f64[3] = exp %1
    %3: f64[3] = mul %2, %b
    %4: f64[3] = sin %3
    yield %4, %b
  }
  return %r, %z
}"""
LOOP = """
func f(%w: f64[3], %x: f64[3], %xs: f64[4,3]) -> (f64[3], f64[4], f64[]) {
  %r: f64[3], %s: f64[], %ys: f64[4] = loop[consts=1, carries=2, length=4] 4, %w, %x, 0.0, %xs \
body(%i: i64[], %w: f64[3], %h: f64[3], %t: f64[], %x: f64[3]) {
    %1: f64[3] = mul %w, %h
    %2: f64[3] = add %1, %x
    %3: f64[3] = tanh %2
    %4: f64[3] = mul %3, %h
    %5: f64[] = sum[axes=(0,)] %4
    %6: f64[] = add %t, %5
    %f: f64[] = cast[dtype='f64'] %i
    %7: f64[] = mul %6, %f
    yield %3, %6, %7
  }
  return %r, %ys, %s
}"""
DYNAMIC = (
    LOOP.replace(", length=4", "")
    .replace("f64[4]", "f64[-1]")
    .replace(" 4, ", " %n, ")
    .replace("%xs: f64[4,3]", "%xs: f64[-1,3], %n: i64[]")
)
WHILE = """
func f(%x: f64[], %c: f64[]) -> (f64[], i64[]) {
  %r: f64[], %s: f64[], %k: i64[] = while[consts=1] %c, %x, 0.0 \
test(%c: f64[], %x: f64[], %s: f64[]) {
    %1: bool[] = less %s, 2.0
    yield %1
  } body(%c: f64[], %x: f64[], %s: f64[]) {
    %1: f64[] = sin %x
    %2: f64[] = mul %1, %c
    %3: f64[] = mul %x, %x
    %4: f64[] = add %s, %3
    yield %2, %4
  }
  return %s, %k
}"""
NESTED = """
func f(%x: f64[], %c: f64[]) -> (f64[], f64[3]) {
  %y: f64[], %ys: f64[3] = loop[consts=1, carries=1, length=3] 3, %c, %x \
body(%i: i64[], %c: f64[], %x: f64[]) {
    %r: f64[], %s: f64[], %k: i64[] = while[consts=1] %c, %x, 0.0 \
test(%c: f64[], %x: f64[], %s: f64[]) {
      %1: bool[] = less %s, 2.0
      yield %1
    } body(%c: f64[], %x: f64[], %s: f64[]) {
      %1: f64[] = sin %x
      %2: f64[] = mul %1, %c
      %3: f64[] = mul %x, %x
      %4: f64[] = add %s, %3
      yield %2, %4
    }
    %p: bool[] = less %r, 0.8
    %q: f64[] = cond %p, %r, %c then(%a: f64[], %b: f64[]) {
       %1: f64[] = mul %a, %b
       yield %1
    } else(%a: f64[], %b: f64[]) {
       %1: f64[] = exp %b
       yield %1
    }
    yield %q, %s
  }
  return %y, %ys
}"""
TRIANGLE = """
func f(%x: f64[3], %W: f64[3,3]) -> (f64[3]) {
  %y: f64[3] = loop[consts=1, carries=1, length=3] 3, %W, %x \
body(%n: i64[], %W: f64[3,3], %x: f64[3]) {
    %z: f64[3] = loop[consts=1, carries=1] %n, %W, %x body(%j: i64[], %W: f64[3,3], %x: f64[3]) {
      %w: f64[3] = gather[axes=(0,)] %W, %j
      %1: f64[3] = mul %x, %w
      %2: f64[3] = sin %1
      yield %2
    }
    yield %z
  }
  return %y
}"""
RECURRENCE = """
func f(%z: f64[6], %x: f64[6]) -> (f64[6]) {
  %r: f64[6] = loop[consts=1, carries=1, length=5] 5, %x, %z \
body(%i: i64[], %x: f64[6], %z: f64[6]) {
    %a: f64[] = gather[axes=(0,)] %z, %i
    %b: f64[] = gather[axes=(0,)] %x, %i
    %c: f64[] = mul %a, %b
    %d: f64[] = sin %c
    %j: i64[] = add %i, 1
    %s: f64[6] = scatter[axes=(0,)] %z, %d, %j
    yield %s
  }
  return %r
}"""

CALLED_WHILE = """
func f(%x: f64[], %c: f64[]) -> (f64[], f64[]) {
  %y: f64[], %z: f64[] = call %x, %c body(%x: f64[], %c: f64[]) {
    %r: f64[], %k: i64[] = while[consts=1] %c, %x test(%c: f64[], %x: f64[]) {
      %1: bool[] = greater %x, 0.5
      yield %1
    } body(%c: f64[], %x: f64[]) {
      %1: f64[] = sin %x
      %2: f64[] = mul %1, %c
      yield %2
    }
    yield %r, %c
  }
  return %y, %z
}"""
TAPE_IN_COND = """
func f(%x: f64[], %n: i64[], %c: f64[]) -> (f64[]) {
  %h: f64[], %ys: f64[-1] = loop[consts=1, carries=1] %n, %c, %x \
body(%i: i64[], %c: f64[], %x: f64[]) {
    %1: f64[] = mul %x, %c
    %2: f64[] = sin %1
    yield %2, %1
  }
  %p: bool[] = less %x, 0.0
  %r: f64[], %zs: f64[-1] = cond %p, %h, %ys, %n then(%h: f64[], %ys: f64[-1], %n: i64[]) {
    %r: f64[] = loop[carries=1] %n, %h, %ys body(%i: i64[], %x: f64[], %q: f64[]) {
      %1: f64[] = mul %x, %q
      yield %1
    }
    yield %r, %ys
  } else(%h: f64[], %ys: f64[-1], %n: i64[]) {
    yield %h, %ys
  }
  return %r
}"""

# ------------------------------------------------------------------ meaning


def test_cond_takes_one_branch() -> None:
    for p in (np.True_, np.False_):
        r, k, z = evaluate(parse(COND), p, X, Y)
        want = (Y / X, 1, Y) if p else (np.sin(X), 2, np.sin(X).sum())
        np.testing.assert_allclose(r, want[0], rtol=1e-15)
        assert (k, k.dtype) == (want[1], np.int64)
        np.testing.assert_allclose(z, want[2], rtol=1e-15)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [0, 1, 4])
@pytest.mark.parametrize("text", [LOOP, DYNAMIC], ids=["static", "dynamic"])
def test_loop_is_pythons(text: str, n: int, reverse: bool) -> None:
    if reverse:
        text = text.replace("carries=2", "carries=2, reverse=True")
    text = text.replace("length=4] 4", f"length={n}] {n}")
    text = text.replace("f64[4", f"f64[{n}")
    xs, h, total, rows = XS[:n], X, 0.0, [0.0] * n
    for i in reversed(range(n)) if reverse else range(n):
        new = np.tanh(W[0] * h + xs[i])
        total = total + (new * h).sum()
        h, rows[i] = new, total * i
    args = [W[0], X, xs, np.int64(n)][: len(parse(text).params)]
    got = evaluate(parse(text), *args)
    for a, b in zip(got, (h, np.array(rows), total), strict=True):
        assert a.shape == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_while_is_pythons() -> None:
    x, s, k = Y, 0.0, 0
    while s < 2.0:
        x, s, k = np.sin(x) * C, s + x * x, k + 1
    assert evaluate(parse(WHILE), Y, C) == [s, k]
    assert evaluate(parse(WHILE.replace("less %s, 2.0", "less %s, 0.0")), Y, C) == [0.0, 0]


def test_call_is_its_body() -> None:
    r, z = evaluate(parse(CALL), X, Y)
    np.testing.assert_allclose(r, np.sin(np.exp(np.exp(X)) * Y), rtol=1e-14)
    assert z == Y


# ------------------------------------------------------------------ types

MISTAKES = [
    (COND, "cond %p, %x, %y", "cond True, %y, %y", "region then takes (f64[3], f64[]), it is"),
    (COND, "%p: bool[]", "%p: i64[]", "the condition is i64[]; it must be bool[]"),
    (COND, "yield %e, 2:i64", "yield %e, 2:i32", "both must yield the same types"),
    (LOOP, "yield %3, %6, %7", "yield %3", "body yields 1 values for 2 carries"),
    (LOOP, "yield %3, %6", "yield %5, %6", "carry 0 is f64[3] before the first round and f64[]"),
    (LOOP, "length=4] 4", "length=3] 3", "an input is f64[4,3]; its first axis must be the 3"),
    (LOOP, "length=4] 4", "length=4] 4:i32", "the number of rounds is i32[]; it must be i64[]"),
    (WHILE, "yield %1", "yield %s", "test yields (f64[]); it must yield bool[]"),
    (WHILE, "yield %2, %4", "yield %2, %4, %4", "body yields 3 values for the carries"),
    (CALL, "call %x, %y", "call %y, %x", "region body takes (f64[3], f64[]), it is given"),
]


@pytest.mark.parametrize(("text", "old", "new", "why"), MISTAKES)
def test_mistakes_are_named(text: str, old: str, new: str, why: str) -> None:
    assert old in text
    with pytest.raises(ValueError, match="TypeError") as caught:
        verify(parse(text.replace(old, new, 1)))
    assert why in str(caught.value)


def test_emitting() -> None:
    n, x = Value(Aval("i64"), "n"), Value(Aval("f64"), "x")

    def body() -> object:
        i, c = Value(Aval("i64")), Value(Aval("f64"))
        with Builder([i, c]) as b:
            return b.done([c * 0.5, c])

    with Builder([n, x]) as b:
        _, fixed = control.emit_loop(3, [], [x], [], body())
        _, open_ = control.emit_loop(n, [], [1.0], [], body())
        verify(b.done([fixed, open_]))
    assert (fixed.aval, open_.aval) == (Aval("f64", (3,)), Aval("f64", (-1,)))
    # A literal keeps its own dtype: the operands of a loop are no partners.
    assert [a.aval.dtype for a in b.ops[1].args if type(a) is Const] == ["f64"]


# ------------------------------------------------------------------ derivatives

Args = Sequence[np.ndarray]


def assert_right(f: Function, args: Args, over: list[int], order: int) -> None:
    """JVP against a difference, VJP against the JVP, and both of them again for order 2."""
    rng = np.random.default_rng(0)
    dirs = [rng.normal(size=np.shape(args[i])) for i in over]
    floats = [i for i, v in enumerate(f.outs) if is_float(v.dtype)]
    n, h = len(f.outs), 1e-6

    def moved(by: float) -> list[np.ndarray]:
        new = list(args)
        for i, d in zip(over, dirs, strict=True):
            new[i] = new[i] + by * d
        outs = evaluate(f, *new)
        return [outs[i] for i in floats]

    want = [(a - b) / (2 * h) for a, b in zip(moved(h), moved(-h), strict=True)]
    forward, reverse = jvp(f, over), vjp(f, over)
    verify(forward)
    verify(reverse)
    pushed = evaluate(forward, *args, *dirs)
    cts = [rng.normal(size=t.shape) for t in want]
    pulled = evaluate(reverse, *args, *cts)
    for a, b, c in zip(evaluate(f, *args), pushed[:n], pulled[:n], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12)
        np.testing.assert_allclose(c, a, rtol=1e-12)
    for t, d in zip(pushed[n:], want, strict=True):
        np.testing.assert_allclose(t, d, rtol=1e-5, atol=1e-6)
    left = sum(np.sum(c * t) for c, t in zip(cts, pushed[n:], strict=True))
    right = sum(np.sum(g * d) for g, d in zip(pulled[n:], dirs, strict=True))
    np.testing.assert_allclose(right, left, rtol=1e-9, atol=1e-12)
    if order > 1:
        assert_right(dce(reverse), [*args, *cts], over, order - 1)


CASES = {
    "then": (COND, [np.True_, X, Y], [1, 2]),
    "else": (COND, [np.False_, X, Y], [1, 2]),
    "cond of one": (COND, [np.False_, X, Y], [2]),
    "call": (CALL, [X, Y], [0, 1]),
    "checkpoint": (CALL.replace("call %x", "call[recompute=True] %x"), [X, Y], [0, 1]),
    "call of one": (CALL, [X, Y], [1]),
    "loop": (LOOP, [W[0], X, XS], [0, 1, 2]),
    "loop of the carry": (LOOP, [W[0], X, XS], [1]),
    "loop of the const": (LOOP, [W[0], X, XS], [0]),
    "loop in reverse": (LOOP.replace("length=4", "length=4, reverse=True"), [W[0], X, XS], [0, 2]),
    "dynamic": (DYNAMIC, [W[0], X, XS, np.int64(4)], [0, 1, 2]),
    "no rounds": (DYNAMIC, [W[0], X, XS[:0], np.int64(0)], [0, 1]),
    "while": (WHILE, [Y, C], [0, 1]),
    "while without rounds": (WHILE.replace("less %s, 2.0", "less %s, 0.0"), [Y, C], [0, 1]),
    "while in loop, cond": (NESTED, [Y, C], [0, 1]),
    "while in call": (CALLED_WHILE, [Y + 0.5, C - 0.5], [0, 1]),
    "tape in cond, unread": (TAPE_IN_COND, [Y, np.int64(3), C], [0, 2]),
    "tape in cond, read": (TAPE_IN_COND, [-Y, np.int64(3), C], [0, 2]),
    "triangle": (TRIANGLE, [X, W], [0, 1]),
    "recurrence": (RECURRENCE, [RNG.normal(size=6), RNG.normal(size=6)], [0, 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str) -> None:
    text, args, over = CASES[name]
    assert_right(parse(text), args, over, order=2)


@pytest.mark.parametrize("name", ["while in call", "then", "checkpoint", "no rounds"])
def test_third_derivatives(name: str) -> None:
    text, args, over = CASES[name]
    assert_right(parse(text), args, over, order=3)


@pytest.mark.parametrize("seed", range(100, 125))
def test_derivatives_of_random_programs(seed: int) -> None:
    f, args = random_function(seed, 6, smooth=True)
    assert_right(f, args, wrt(f), order=2 if seed % 5 == 0 else 1)


# ------------------------------------------------------------------ what the adjoint costs


def test_the_tape_holds_residuals_not_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    """`z[i+1] = f(z[i])` keeps one number per round, and adds into one array."""
    monkeypatch.setattr(regions, "_NEAR", -1)  # as if all of it did not fit a cache
    joint = dce(vjp(parse(RECURRENCE), [0, 1]))
    primal, back = (op for op in joint.ops if op.prim is ops.loop)
    assert [v.aval for v in primal.outs] == [Aval("f64", (6,)), Aval("f64", (5,))]
    rows = [op.prim.name for op in back.blocks["body"].ops]
    assert "broadcast" not in rows
    assert "add" not in [op.prim.name for op in back.blocks["body"].ops if op.outs[0].shape]
    assert rows.count("scatter_add") == 2


def test_a_checkpoint_keeps_nothing() -> None:
    for text, kept in ((CALL, 1), (CALL.replace("call %x", "call[recompute=True] %x"), 0)):
        primal, back = (op for op in dce(vjp(parse(text), [0, 1])).ops if op.prim is ops.call)
        assert len(primal.outs) == 2 + kept
        names = [op.prim.name for op in back.blocks["body"].ops]
        assert names.count("exp") == 2 - kept


def test_only_what_is_active_is_carried_back() -> None:
    joint = dce(vjp(parse(LOOP), [2]))
    back = [op for op in joint.ops if op.prim is ops.loop][1]
    assert back.attrs["carries"] == 2  # no total for the const


def test_blocks_of_an_adjoint_share_no_value() -> None:
    for text in (COND, CALL, LOOP, WHILE, NESTED):
        f = parse(text)
        joint = vjp(f, wrt(f))
        values = [v for op in all_ops(joint.block) for v in op.outs]
        assert len(set(values)) == len(values)
        assert show(parse(show(joint))) == show(joint)

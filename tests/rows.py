"""What tests of rows share: inputs from a row's domain, and checks of values and derivatives.

The two differentiators here know only rows, no pass, so that a row is tested alone:
`pushed` makes the JVP of a function and `pulled` its VJP, as functions again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from adjit.ir.builder import Builder, current
from adjit.ir.core import Const, Function, Op, Value
from adjit.ir.interp import evaluate
from adjit.ir.ops.shape import unbroadcast, zeros
from adjit.ir.prim import ZERO, Prim
from adjit.ir.types import NUMPY, aval_of, is_float

Arrays = Sequence[np.ndarray]
Shape = tuple[int, ...]
Rng = np.random.Generator

# ------------------------------------------------------------------ inputs


def _two_sided(low: float, high: float) -> Callable[[Rng, Shape], np.ndarray]:
    return lambda r, s: r.uniform(low, high, s) * r.choice([-1.0, 1.0], s)


def _between(low: float, high: float) -> Callable[[Rng, Shape], np.ndarray]:
    return lambda r, s: r.uniform(low, high, s)


def _distinct(r: Rng, s: Shape) -> np.ndarray:
    """Numbers at least 0.1 apart from each other."""
    n = int(np.prod(s))
    return (r.permutation(n) - n // 2 + r.uniform(-0.4, 0.4, n)).reshape(s) * 0.5


def _lattice(offset: float) -> Callable[[Rng, Shape], np.ndarray]:
    """Halves plus an offset, slightly moved: two lattices never tie."""
    return lambda r, s: r.integers(-5, 6, s) * 0.5 + offset + r.uniform(-0.05, 0.05, s)


# A domain draws float64 (or complex, bool) arrays well inside where a row is smooth.
DOMAINS: dict[str, Callable[[Rng, Shape], np.ndarray]] = {
    "real": _between(-2.5, 2.5),
    "small": _between(-0.9, 0.9),
    "nonzero": _two_sided(0.2, 3.0),
    "positive": _between(0.2, 3.0),
    "unit": _between(-0.9, 0.9),
    "probability": _between(0.05, 0.95),
    "negative": _between(-0.35, -0.05),
    "count": lambda r, s: r.integers(1, 5, s).astype(float),
    "order": lambda r, s: r.integers(0, 2, s).astype(float),
    "degree": lambda r, s: r.integers(0, 5, s).astype(float),
    "sorted": lambda r, s: np.sort(r.uniform(-2.5, 2.5, s)) if s else r.uniform(-2.5, 2.5, s),
    "above -1": _between(-0.9, 3.0),
    "above 1": _between(1.1, 4.0),
    "wide": _between(-12.0, 12.0),
    "distinct": _distinct,
    "lattice": _lattice(0.0),
    "shifted lattice": _lattice(0.25),
    "dividend": _two_sided(5.2, 5.8),
    "divisor": _two_sided(2.05, 2.5),  # the quotient is at least 0.08 away from an integer
    "bool": lambda r, s: r.random(s) < 0.5,
    "complex": lambda r, s: r.uniform(-2, 2, s) + 1j * r.uniform(0.1, 2, s),
}


def draw(domain: str, dtype: str, shape: Shape, rng: Rng, operand: int = 0) -> np.ndarray:
    """An array of a domain; `"bool, real"` names one domain per operand, the last one repeats.

    Integers are drawn from -9 to 9 (0 excluded where the domain excludes it), unsigned ones from
    0 to 9; complex numbers from "complex", whatever the domain.
    """
    names = domain.split(", ")
    name = names[min(operand, len(names) - 1)]
    kind = NUMPY[dtype].kind
    if kind == "b":
        name = "bool"
    elif kind == "c":
        name = "complex"
    elif kind in "iu":
        x = rng.integers(0 if kind == "u" else -9, 10, shape)
        x = np.where(x == 0, 1, x) if name in ("nonzero", "positive") else x
        return np.asarray(abs(x) if name == "positive" else x).astype(dtype_of(dtype))
    return np.asarray(DOMAINS[name](rng, shape)).astype(dtype_of(dtype))


def dtype_of(name: str) -> np.dtype:
    """The NumPy dtype of an IR dtype name."""
    return NUMPY[name]


def direction(x: np.ndarray, rng: Rng) -> np.ndarray:
    """A random tangent or cotangent for an array, of its dtype and shape."""
    return draw("real", aval_of(x).dtype, x.shape, rng)


# ------------------------------------------------------------------ functions of rows


def function_of(f: Callable[..., Any], args: Arrays, **attrs: Any) -> Function:
    """The Function of a row, or of a Python function of rows, for arrays like these."""
    params = [Value(aval_of(a), f"x{i}") for i, a in enumerate(args)]
    with Builder(params) as b:
        outs = f(*params, **attrs)
        outs = outs if isinstance(outs, tuple | list) else (outs,)
        return Function(getattr(f, "name", "f"), b.done(outs))


def _replayed(function: Function, params: Iterable[Value]) -> tuple[dict[Value, Value], list[Op]]:
    """Copy a function's ops into the open builder; the copies, in order."""
    env: dict[Value, Value] = dict(zip(function.params, params, strict=True))
    copies: list[Op] = []
    for op in function.ops:
        assert not op.blocks, "rows with regions are tested through the passes"
        args = tuple(env.get(a, a) for a in op.args)
        outs = current().add(op.prim, args, op.attrs)
        copies.append(Op(op.prim, args, op.attrs, outs))
        env.update(zip(op.outs, outs, strict=True))
    return env, copies


def _copied(values: Iterable[Value], suffix: str = "") -> list[Value]:
    return [Value(v.aval, v.hint + suffix) for v in values]


def _filled(ct: Any, v: Value) -> Any:
    return zeros(v.aval) if ct is ZERO or ct is None else ct


def _plus(a: Any, b: Any) -> Any:
    return b if a is ZERO else a if b is ZERO else a + b


# ------------------------------------------------------------------ forward


@lru_cache(maxsize=16)
def pushed(function: Function) -> Function:
    """The JVP: params, then tangents of the float ones, to results of float dtype's tangents."""
    params = _copied(function.params)
    dots = {p: Value(p.aval, p.hint + "_dot") for p in params if is_float(p.dtype)}
    tangent: dict[Value, Any] = dict(dots)
    with Builder([*params, *dots.values()]) as b:
        env, copies = _replayed(function, params)
        for op in copies:
            ts = [tangent.get(a, ZERO) for a in op.args]
            tangent.update(zip(op.outs, _push(op, ts), strict=True))
        outs = [env.get(v, v) for v in function.outs if is_float(v.dtype)]
        # A list: `done` reads the ops first, and a generator would emit afterwards.
        return Function(function.name + "_jvp", b.done([_tangent_of(v, tangent) for v in outs]))


def _tangent_of(v: Value, tangent: dict[Value, Any]) -> Any:
    t = _filled(tangent.get(v, ZERO), v)
    return t if t.shape == v.shape else t + zeros(v.aval)


def _push(op: Op, ts: list[Any]) -> Sequence[Any]:
    prim, nothing = op.prim, [ZERO] * len(op.outs)
    if prim.nondiff or all(t is ZERO for t in ts):
        return nothing
    if prim.jvp:
        return prim.jvp(ts, op.outs, *op.args, **op.attrs)
    if prim.partials:
        total: Any = ZERO
        ds = prim.partials(op.outs[0], *op.args, **op.attrs)
        for d, t in zip(ds, ts, strict=True):
            if t is not ZERO and d is not None:
                total = _plus(total, t * d)
        return [total]
    assert prim.transpose, f"row {prim.name} has no derivative answer for one op alone"
    if not is_float(op.outs[0].dtype):
        return nothing
    linear = range(len(ts)) if prim.linear is None else prim.linear
    pairs = enumerate(zip(ts, op.args, strict=True))
    args = [_filled(t, a) if i in linear else a for i, (t, a) in pairs]
    return current().add(prim, args, op.attrs)


# ------------------------------------------------------------------ reverse


@lru_cache(maxsize=16)
def pulled(function: Function) -> Function:
    """The VJP: params, then cotangents of the float results, to cotangents of the float params."""
    params = _copied(function.params)
    seeds = _copied((v for v in function.outs if is_float(v.dtype)), "_bar")
    with Builder([*params, *seeds]) as b:
        env, copies = _replayed(function, params)
        ct: dict[Value, Any] = {}
        outs = [env.get(v, v) for v in function.outs if is_float(v.dtype)]
        _accumulate(ct, outs, seeds)
        for op in reversed(copies):
            cts = [ct.pop(v, ZERO) for v in op.outs]
            if any(c is not ZERO for c in cts):
                _accumulate(ct, op.args, _pull(op, cts))
        pulls = [_filled(ct.get(p, ZERO), p) for p in params if is_float(p.dtype)]
        return Function(function.name + "_vjp", b.done(pulls))


def _accumulate(ct: dict[Value, Any], values: Iterable[Value], cts: Iterable[Any]) -> None:
    for v, c in zip(values, cts, strict=True):
        if c is not ZERO and not isinstance(v, Const):
            assert c.aval == v.aval, f"a cotangent {c.aval} for a value {v.aval}"
            ct[v] = _plus(ct.get(v, ZERO), c)


def _pull(op: Op, cts: list[Any]) -> Sequence[Any]:
    prim = op.prim
    if prim.nondiff:
        return [ZERO] * len(op.args)
    if prim.vjp:
        return prim.vjp(cts, op.outs, *op.args, **op.attrs)
    if prim.transpose:
        return prim.transpose(cts[0], *op.args, **op.attrs)
    assert prim.partials, f"row {prim.name} has no derivative answer for one op alone"
    ds = prim.partials(op.outs[0], *op.args, **op.attrs)
    return [
        ZERO if d is None else unbroadcast(cts[0] * d, a.shape)
        for d, a in zip(ds, op.args, strict=True)
    ]


# ------------------------------------------------------------------ checks


def check_row_value(row: Prim, args: Arrays, **attrs: Any) -> list[np.ndarray]:
    """The results have exactly the inferred dtypes and shapes; returns them."""
    f = function_of(row, args, **attrs)
    outs = evaluate(f, *args)
    for out, v in zip(outs, f.outs, strict=True):
        assert aval_of(out) == v.aval, f"{row}: inferred {v.aval}, computed {aval_of(out)}"
    return outs


def difference(function: Function, args: Arrays, dots: Arrays, h: float = 1e-3) -> list[Any]:
    """The directional derivative of float results, by a five-point central difference."""

    def at(s: float) -> list[np.ndarray]:
        step = iter(dots)
        moved = [a + s * next(step) if is_float(aval_of(a).dtype) else a for a in args]
        return [y for y in evaluate(function, *moved) if is_float(aval_of(y).dtype)]

    four = zip(at(-2 * h), at(-h), at(h), at(2 * h), strict=True)
    return [(a - 8 * b + 8 * c - d) / (12 * h) for a, b, c, d in four]


def _floats(args: Arrays) -> list[np.ndarray]:
    return [a for a in args if is_float(aval_of(a).dtype)]


def assert_jvp(function: Function, args: Arrays, rng: Rng, rtol: float = 1e-6) -> None:
    """The JVP along a random direction agrees with a central difference (float64 args)."""
    dots = [direction(a, rng) for a in _floats(args)]
    exact = evaluate(pushed(function), *args, *dots)
    for e, n in zip(exact, difference(function, args, dots), strict=True):
        scale = max(1.0, float(np.max(np.abs(n), initial=0.0)))
        np.testing.assert_allclose(e, n, rtol=rtol, atol=rtol * scale, err_msg=function.name)


def assert_vjp(function: Function, args: Arrays, rng: Rng, rtol: float = 1e-9) -> None:
    """<ct, J t> = <J' ct, t>, with the pairing Re(a * b) of complex numbers."""
    dots = [direction(a, rng) for a in _floats(args)]
    tangents = evaluate(pushed(function), *args, *dots)
    cts = [direction(t, rng) for t in tangents]
    pulls = evaluate(pulled(function), *args, *cts)
    for a, p in zip(_floats(args), pulls, strict=True):
        assert aval_of(p) == aval_of(a), f"{function.name}: {aval_of(p)} for {aval_of(a)}"
    np.testing.assert_allclose(
        _pair(cts, tangents), _pair(pulls, dots), rtol=rtol, atol=rtol, err_msg=function.name
    )


def _pair(xs: Arrays, ys: Arrays) -> float:
    return float(sum(np.sum(x * y).real for x, y in zip(xs, ys, strict=True)))


def assert_derivatives(
    function: Function, args: Arrays, rng: Rng, order: int = 2, rtol: float = 1e-6
) -> None:
    """JVP and VJP to this order, each order through both differentiators."""
    assert_jvp(function, args, rng, rtol)
    assert_vjp(function, args, rng)
    if order > 1:
        dots = [direction(a, rng) for a in _floats(args)]
        assert_derivatives(pushed(function), [*args, *dots], rng, order - 1, rtol * 10)
        seeds = [direction(y, rng) for y in _floats(evaluate(function, *args))]
        assert_derivatives(pulled(function), [*args, *seeds], rng, order - 1, rtol * 10)


def assert_single_precision(
    row: Prim, args: Arrays, rng: Rng, rtol: float = 1e-3, **attrs: Any
) -> None:
    """In float32, values and JVP have dtype float32 and agree with those in float64."""
    narrow = [a.astype(np.float32) if a.dtype == np.float64 else a for a in args]
    wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in narrow]
    dots = [direction(a, rng) for a in _floats(wide)]
    few, many = (
        evaluate(pushed(function_of(row, xs, **attrs)), *xs, *(d.astype(t) for d in dots))
        for xs, t in ((narrow, np.float32), (wide, np.float64))
    )
    check_row_value(row, narrow, **attrs)
    for a, b in zip(few, many, strict=True):
        assert a.dtype in (np.float32, np.complex64), f"{row}: a tangent of float32 is {a.dtype}"
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=row.name)

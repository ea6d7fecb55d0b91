"""Type-generic machine operations for kernels: each is one or a few LLVM instructions, no branch.

They take float32 or float64 (both arguments of one type) and never block vectorisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import irmath as m
from .irmath import Num

REASSOCIATE = ("reassoc", "nsz")


def _sign(x: Num) -> Num:
    """-1, 0, 1, or NaN; the sign of a zero is dropped, as NumPy does."""
    one = m.select(x.equals(0.0), x.const(0.0), m.copysign(x.const(1.0), x))
    return m.select(x.is_nan(), x, one)


def _fmax(a: Num, b: Num) -> Num:
    """The larger one that is not NaN; the second where they are equal, as NumPy's vector loops."""
    return m.select((a > b) | b.is_nan(), a, b)


def _fmin(a: Num, b: Num) -> Num:
    """The smaller one that is not NaN; the second where they are equal."""
    return m.select((a < b) | b.is_nan(), a, b)


def _maximum(a: Num, b: Num) -> Num:
    """The larger one, NaN if either is; a running maximum of it becomes a vector reduction."""
    return a.intrinsic("maximum", b, flags=("nsz",))


def _minimum(a: Num, b: Num) -> Num:
    """The smaller one, NaN if either is; a running minimum of it becomes a vector reduction."""
    return a.intrinsic("minimum", b, flags=("nsz",))


def _isinf(x: Num) -> Num:
    return m.fabs(x).equals(float("inf"))


def _isfinite(x: Num) -> Num:
    return m.fabs(x) < float("inf")


def _signbit(x: Num) -> Num:
    return x.bits() < 0


def _radd(a: Num, b: Num) -> Num:
    """a + b whose order in a sum LLVM may choose, so that a reduction becomes a vector one."""
    return Num(a.builder, a.builder.fadd(a.value, b.value, flags=REASSOCIATE))


def _rmul(a: Num, b: Num) -> Num:
    """a * b whose order in a product LLVM may choose."""
    return Num(a.builder, a.builder.fmul(a.value, b.value, flags=REASSOCIATE))


def _plain(name: str) -> Callable[[Num], Num]:
    return lambda x: x.intrinsic(name)


_ONE: dict[str, Callable[[Num], Num]] = {
    **{name: _plain(name) for name in ("fabs", "rint", "floor", "ceil", "trunc", "sqrt")},
    "sign": _sign,
}
_TWO: dict[str, Callable[[Num, Num], Num]] = {
    "copysign": m.copysign,
    "fmax": _fmax,
    "fmin": _fmin,
    "fmaximum": _maximum,
    "fminimum": _minimum,
    "radd": _radd,
    "rmul": _rmul,
}
_TEST: dict[str, Callable[[Num], Num]] = {
    "isnan": Num.is_nan,
    "isinf": _isinf,
    "isfinite": _isfinite,
    "signbit": _signbit,
}
NAMES = (*_ONE, *_TWO, *_TEST, "select", "fma")


def _generator(body: Callable[..., Num]) -> Callable[..., ir.Value]:
    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return body(*(Num(builder, a) for a in args)).value

    return generate


def _is_real(*kinds: Any) -> bool:
    return kinds[0] in (types.float32, types.float64) and all(k == kinds[0] for k in kinds)


def _one(body: Callable[..., Num]) -> Callable[..., Any]:
    def typer(typingctx: Any, x: Any) -> Any:
        return (x(x), _generator(body)) if _is_real(x) else None

    return typer


def _test(body: Callable[..., Num]) -> Callable[..., Any]:
    def typer(typingctx: Any, x: Any) -> Any:
        return (types.boolean(x), _generator(body)) if _is_real(x) else None

    return typer


def _two(body: Callable[..., Num]) -> Callable[..., Any]:
    def typer(typingctx: Any, x: Any, y: Any) -> Any:
        return (x(x, y), _generator(body)) if _is_real(x, y) else None

    return typer


@intrinsic
def fma(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return (x(x, y, z), _generator(m.fma)) if _is_real(x, y, z) else None


@intrinsic
def select(typingctx: Any, cond: Any, x: Any, y: Any) -> Any:
    """x where cond, else y, of any one scalar type; both are computed."""
    if cond != types.boolean or x != y or not isinstance(x, types.Number | types.Boolean):
        return None

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.select(*args)

    return x(cond, x, y), generate


def _install() -> None:
    for table, kind in ((_ONE, _one), (_TWO, _two), (_TEST, _test)):
        for name, body in table.items():
            typer = kind(body)
            typer.__name__ = typer.__qualname__ = name
            typer.__doc__ = body.__doc__
            globals()[name] = intrinsic(typer)


def _cast(target: Any) -> Callable[..., Any]:
    """Conversion of a number to `target` as NumPy's astype does it."""

    def typer(typingctx: Any, x: Any) -> Any:
        source = types.unliteral(x)
        if not isinstance(source, types.Number | types.Boolean):
            return None

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
            (value,) = args
            if target != types.boolean:
                return context.cast(builder, value, source, target)
            zero = ir.Constant(value.type, 0.0 if isinstance(source, types.Float) else 0)
            if isinstance(source, types.Float):
                return builder.fcmp_unordered("!=", value, zero)
            return builder.icmp_signed("!=", value, zero)

        return target(source), generate

    return typer


def _extreme(name: str) -> Callable[[Num, Num], Num]:
    def body(a: Num, b: Num) -> Num:
        return a.intrinsic(name, b)

    return body


CASTS = {
    "f64": types.float64,
    "f32": types.float32,
    **{f"{s}{n}": getattr(types, f"{'u' * (s == 'u')}int{n}") for s in "iu" for n in (8, 16, 32, 64)},
    "bool": types.boolean,
}


def _install_reductions() -> None:
    """Casts by dtype name, and the extremes whose accumulation LLVM turns into a vector one."""
    for name, target in CASTS.items():
        typer = _cast(target)
        typer.__name__ = typer.__qualname__ = name
        globals()[name] = intrinsic(typer)
    for name, llvm in (("rmax", "maximum"), ("rmin", "minimum")):
        typer = _two(_extreme(llvm))
        typer.__name__ = typer.__qualname__ = name
        globals()[name] = intrinsic(typer)


_install()
_install_reductions()

"""Machine operations as LLVM builders: each is one or a few instructions, no branch.

Both printers of kernels use them: `lowlevel` shows them to Numba, `direct` calls them itself.
"""

from __future__ import annotations

from collections.abc import Callable

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


ONE: dict[str, Callable[[Num], Num]] = {
    **{name: _plain(name) for name in ("fabs", "rint", "floor", "ceil", "trunc", "sqrt")},
    "sign": _sign,
}
TWO: dict[str, Callable[[Num, Num], Num]] = {
    "copysign": m.copysign,
    "fmax": _fmax,
    "fmin": _fmin,
    "fmaximum": _maximum,
    "fminimum": _minimum,
    "radd": _radd,
    "rmul": _rmul,
    "rmax": _maximum,
    "rmin": _minimum,
}
TEST: dict[str, Callable[[Num], Num]] = {
    "isnan": Num.is_nan,
    "isinf": _isinf,
    "isfinite": _isfinite,
    "signbit": _signbit,
}
BODIES: dict[str, Callable[..., Num]] = {**ONE, **TWO, **TEST, "fma": m.fma}

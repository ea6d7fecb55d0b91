"""SciPy's special functions for kernels, as `sp.gammaln64(x)`: scalar calls of SciPy's own code.

The variants of 32 bits compute in 64 and round. `zeta` is our own: SciPy exports none to C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .special_symbols import PREFIX, SPECIAL, resolve

FUNCTIONS: dict[str, int] = {**SPECIAL, "zeta": 2}
DOUBLE, FLAG = ir.DoubleType(), ir.IntType(32)


def bind_symbols(names: Iterable[str]) -> None:
    """Tell Numba's own linker where these functions are."""
    for symbol, where in resolve(PREFIX + name for name in names).items():
        llvm.add_symbol(symbol, where)


def _generator(name: str) -> Callable[..., ir.Value]:
    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        bind_symbols([name])
        kind = ir.FunctionType(DOUBLE, [DOUBLE] * len(args) + [FLAG])
        symbol, module = PREFIX + name, builder.module
        fn = module.globals.get(symbol) or ir.Function(module, kind, symbol)
        fn.attributes.add("nounwind")
        wide = [a if a.type == DOUBLE else builder.fpext(a, DOUBLE) for a in args]
        y = builder.call(fn, [*wide, ir.Constant(FLAG, 0)])
        return y if sig.return_type == types.float64 else builder.fptrunc(y, ir.FloatType())

    return generate


def _typer(name: str, kind: Any) -> Callable[..., Any]:
    generate = _generator(name)

    def one(typingctx: Any, x: Any) -> Any:
        return kind(kind), generate

    def two(typingctx: Any, x: Any, y: Any) -> Any:
        return kind(kind, kind), generate

    def three(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
        return kind(kind, kind, kind), generate

    def four(typingctx: Any, x: Any, y: Any, z: Any, w: Any) -> Any:
        return kind(kind, kind, kind, kind), generate

    return (one, two, three, four)[SPECIAL[name] - 1]


def _install() -> None:
    for name in SPECIAL:
        for suffix, kind in (("64", types.float64), ("32", types.float32)):
            typer = _typer(name, kind)
            typer.__name__ = typer.__qualname__ = name + suffix
            globals()[name + suffix] = intrinsic(typer)


_install()


@njit(error_model="numpy")
def zeta64(s: float, q: float) -> float:
    """Hurwitz's zeta, the sum of (q + k)^-s over k >= 0, by Euler and Maclaurin's formula."""
    if math.isnan(s) or math.isnan(q):
        return s + q
    if s == 1.0 or (s > 1.0 and q <= 0.0 and q == math.floor(q)):
        return math.inf
    if s < 1.0 or (q <= 0.0 and s != math.floor(s)):
        return math.nan
    if q > 1e17:
        return math.pow(q, 1.0 - s) / (s - 1.0)
    total, a = 0.0, q
    while a < 12.0 + s:
        total += math.pow(a, -s)
        a += 1.0
    last = math.pow(a, -s)
    term = s * last / a
    tail = term / 12.0
    z = 1.0 / (a * a)
    term *= (s + 1.0) * (s + 2.0) * z
    tail -= term / 720.0
    term *= (s + 3.0) * (s + 4.0) * z
    tail += term / 30240.0
    term *= (s + 5.0) * (s + 6.0) * z
    tail -= term / 1209600.0
    term *= (s + 7.0) * (s + 8.0) * z
    tail += term / 47900160.0
    term *= (s + 9.0) * (s + 10.0) * z
    tail -= term * (691.0 / 1307674368000.0)
    term *= (s + 11.0) * (s + 12.0) * z
    tail += term / 74724249600.0
    term *= (s + 13.0) * (s + 14.0) * z
    tail -= term * (3617.0 / 10670622842880000.0)
    return total + (a * last / (s - 1.0) + (0.5 * last + tail))


@njit(error_model="numpy")
def zeta32(s: float, q: float) -> Any:
    """Hurwitz's zeta of 32 bits."""
    return types.float32(zeta64(types.float64(s), types.float64(q)))

"""Vector maths: branch-free functions, at most 2 ulp (5 of digamma), with NumPy's special values.

Kernel source calls `vm.exp64(x)` or `vm.exp32(x)`. Each name is an intrinsic that emits a call to
one inlined LLVM function per module, so the Numba front end never sees the formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .elementary import BODIES as ELEMENTARY
from .gammas import BODIES as GAMMAS
from .irmath import Num, emit
from .power import BODIES as POWER
from .trigonometry import BODIES as TRIGONOMETRY

BODIES: dict[str, tuple[int, Callable[..., Num]]] = {
    **ELEMENTARY,
    **TRIGONOMETRY,
    **POWER,
    **GAMMAS,
}

FUNCTIONS: dict[str, int] = {name: arity for name, (arity, _) in BODIES.items()}

_TYPES: dict[int, Any] = {64: types.float64, 32: types.float32}


def _generator(name: str) -> Callable[..., ir.Value]:
    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return emit(builder, name, BODIES[name][1], args)

    return generate


def _unary(name: str, bits: int) -> Callable[..., Any]:
    kind, generate = _TYPES[bits], _generator(name)

    def typer(typingctx: Any, x: Any) -> Any:
        return kind(kind), generate

    return typer


def _binary(name: str, bits: int) -> Callable[..., Any]:
    kind, generate = _TYPES[bits], _generator(name)

    def typer(typingctx: Any, x: Any, y: Any) -> Any:
        return kind(kind, kind), generate

    return typer


def _install() -> None:
    for name, arity in FUNCTIONS.items():
        for bits in _TYPES:
            typer = (_unary if arity == 1 else _binary)(name, bits)
            typer.__name__ = typer.__qualname__ = f"{name}{bits}"
            globals()[typer.__name__] = intrinsic(typer)


_install()

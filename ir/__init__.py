"""The IR: what a program is, how it is written, checked and evaluated."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import ops
from .builder import Builder, literal
from .core import Block, Const, Function, Op, Value, Where
from .interp import evaluate
from .prim import PRIMS, ZERO, Prim
from .printer import canonical, show
from .types import Aval
from .verify import IRError, verify

if TYPE_CHECKING:
    from .parser import IRSyntaxError, parse

__all__ = [
    "PRIMS",
    "ZERO",
    "Aval",
    "Block",
    "Builder",
    "Const",
    "Function",
    "IRError",
    "IRSyntaxError",
    "Op",
    "Prim",
    "Value",
    "Where",
    "canonical",
    "evaluate",
    "literal",
    "ops",
    "parse",
    "show",
    "verify",
]


def __getattr__(name: str) -> Any:
    """The parser is loaded when it is first asked for: to compile a function takes none."""
    if name not in ("IRSyntaxError", "parse"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".parser", __name__), name)

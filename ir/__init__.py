"""The IR: what a program is, how it is written, checked and evaluated."""

from . import ops
from .builder import Builder, literal
from .core import Block, Const, Function, Op, Value, Where
from .interp import evaluate
from .parser import IRSyntaxError, parse
from .prim import PRIMS, ZERO, Prim
from .printer import canonical, show
from .types import Aval
from .verify import IRError, verify

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

"""What LLVM is told about loops that it would turn into vectors at a loss.

The rounds of a loop of up to 16 are unrolled, and the loop over rows around them becomes one of
vectors.  Rows of more than 8 elements are then fetched element by element: a single array of them
still pays, but several rows at a time only make the code longer, and where two arrays are read so,
to compile the loop took 0.4 s for code that was slower than the plain one.  Rows that fill a
register become vectors themselves if they are not unrolled before: distances of points in 16
dimensions take 0.5 of the time so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from llvmlite import ir

GROUP = 8  # elements of a row that LLVM loads together with those of the next rows
PLAIN = "llvm.loop.vectorize.enable", ir.Constant(ir.IntType(1), 0)
ONE_ROW = "llvm.loop.interleave.count", ir.Constant(ir.IntType(32), 1)
ROLLED = "llvm.loop.unroll.disable"
CHEAP = {"radd", "rmul", "fma", "f32", "f64", "fabs"}


class LoopId(ir.MDValue):  # type: ignore[misc]
    """The metadata of a loop, whose first operand is itself."""

    def descr(self, buf: list[str]) -> None:
        name = self.get_reference()
        rest = ", ".join(o.get_reference() for o in self.operands)
        buf += (f"distinct !{{{name}, {rest}}}", "\n")


def hint(s: ast.For, module: ir.Module) -> LoopId | None:
    """What to tell about a loop over rows; None where LLVM knows best."""
    inner = [x for x in s.body if isinstance(x, ast.For)]
    lengths = [_length(x) for x in inner]
    if (_length(s) or 0) >= GROUP and not any(isinstance(x, ast.For | ast.While) for x in s.body):
        return _told(module, ir.MetaDataString(module, ROLLED))
    if not inner or _length(s) or any(n is None for n in lengths):
        return None
    if max(n or 0 for n in lengths) <= GROUP:
        return None
    several = len({name for x in inner for name in _streams(x)}) > 1
    plain = several and all(_is_cheap(call) for call in _calls(s))
    name, value = PLAIN if plain else ONE_ROW
    return _told(module, ir.MetaDataString(module, name), value)


def _told(module: ir.Module, *operands: ir.Value) -> LoopId:
    told = module.add_metadata(operands)
    return LoopId(module, [told], name=str(len(module.metadata)))


def _length(s: ast.For) -> int | None:
    """The rounds of a loop, if the text says so."""
    args = s.iter.args if isinstance(s.iter, ast.Call) else []
    literal = args[0].value if len(args) == 1 and isinstance(args[0], ast.Constant) else None
    return literal if isinstance(literal, int) else None


def _streams(s: ast.For) -> Iterator[str]:
    """The arrays of which a row is read, element by element."""
    for e in ast.walk(s):
        if not (isinstance(e, ast.Subscript) and isinstance(e.ctx, ast.Load)):
            continue
        if isinstance(e.value, ast.Name) and not isinstance(e.slice, ast.Name):
            yield e.value.id


def _calls(s: ast.For) -> Iterator[ast.expr]:
    return (e.func for body in s.body for e in ast.walk(body) if isinstance(e, ast.Call))


def _is_cheap(f: ast.expr) -> bool:
    """Whether a function is an instruction or two that many rows at a time do no faster."""
    return isinstance(f, ast.Name) or (isinstance(f, ast.Attribute) and f.attr in CHEAP)

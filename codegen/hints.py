"""What LLVM is told about loops that it would turn into vectors at a loss, or without their ends.

The rounds of a loop of up to 16 are unrolled, and the loop over rows around them becomes one of
vectors.  Rows of more than 8 elements are then fetched element by element: a single array of them
still pays, but several rows at a time only make the code longer, and where two arrays are read so,
to compile the loop took 0.4 s for code that was slower than the plain one.  Rows that fill a
register become vectors themselves if they are not unrolled before: distances of points in 16
dimensions take 0.5 of the time so.  Once they are vectors, they may be unrolled: what a row adds to
16 sums stays in two registers, and the forward algorithm of 16 states takes 0.7 of the time so.

Of few rounds (`ll.few(n)`) those that fill no vector count: 20 rounds are 2 vectors of 8 and 4
single ones, which take longer.  CPUs with registers for masks do them as one more vector:
Jacobians, attention and softmaxes of 20 to 50 columns take 0.7 to 0.95 of the time so.  Not where
they add to columns in memory: a load waits for a masked store before it (0.9 of the time without),
and literal rounds that fill no vector are loops of their own (`vectors.in_vectors`).

A long body that adds up waits for its own chain of steps, while LLVM, which counts registers, takes
one vector at a time: two at once take 0.83 of the time of Black-Scholes' Greeks, and of the slopes
of a polynomial.

Not those that read at an index which a round finds out, `x[k]` of `k = ll.select(...)`: under masks
LLVM counts such a read as more than a vector gains, and leaves exponentials scalar, which takes 3
times as long.

A loop up to `ll.apart(n)` is one whose rounds never touch what another writes, as between two rows
of one matrix; LLVM need not find that out when it runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from llvmlite import ir

from .vectors import registers

GROUP = 8  # elements of a row that LLVM loads together with those of the next rows
PLAIN = "llvm.loop.vectorize.enable", ir.Constant(ir.IntType(1), 0)
ONE_ROW = "llvm.loop.interleave.count", ir.Constant(ir.IntType(32), 1)
TWO_VECTORS = "llvm.loop.interleave.count", ir.Constant(ir.IntType(32), 2)
LONG = range(32, 256)  # statements of a body that waits for itself
ROLLED = "llvm.loop.unroll.disable"
UNROLLED = "llvm.loop.unroll.enable"
LATER = "llvm.loop.vectorize.followup_vectorized", "llvm.loop.vectorize.followup_epilogue"
MASK, TRUE = "llvm.loop.vectorize.predicate.enable", ir.Constant(ir.IntType(1), 1)
MASKED = (64, 32)  # bytes and number of the registers of CPUs that have registers for masks
APART = "llvm.loop.parallel_accesses"
CHEAP = {"radd", "rmul", "fma", "f32", "f64", "fabs"}


class LoopId(ir.MDValue):  # type: ignore[misc]
    """The metadata of a loop, whose first operand is itself."""

    def descr(self, buf: list[str]) -> None:
        name = self.get_reference()
        rest = ", ".join(o.get_reference() for o in self.operands)
        buf += (f"distinct !{{{name}, {rest}}}", "\n")


class Group(ir.MDValue):  # type: ignore[misc]
    """The name of the reads and writes of one loop."""

    def descr(self, buf: list[str]) -> None:
        buf += ("distinct !{}", "\n")


def told(s: ast.For, module: ir.Module, body: ir.Block) -> LoopId | None:
    """What to tell about a loop whose rounds begin with a block; None where LLVM knows best."""
    found = list(_hints(s, module))
    if _ends(s, "apart"):
        found.append(_apart(module, body))
    return LoopId(module, found, name=str(len(module.metadata))) if found else None


def _apart(module: ir.Module, body: ir.Block) -> ir.MDValue:
    """That the rounds touch nothing that others write."""
    group = Group(module, [], name=str(len(module.metadata)))
    for instruction in body.instructions:
        if isinstance(instruction, ir.LoadInstr | ir.StoreInstr):
            instruction.set_metadata("llvm.access.group", group)
    return module.add_metadata([ir.MetaDataString(module, APART), group])


def _hints(s: ast.For, module: ir.Module) -> Iterator[ir.MDValue]:
    """How a loop over rows is to become one of vectors, if there is anything to say."""

    def about(name: str, *values: ir.Value) -> ir.MDValue:
        return module.add_metadata([ir.MetaDataString(module, name), *values])

    inner = [x for x in s.body if isinstance(x, ast.For)]
    lengths = [_length(x) for x in inner]
    if _ends(s, "few") and registers() == MASKED and not _picks(s):
        yield about(MASK, TRUE)
    elif (_length(s) or 0) >= GROUP and not any(isinstance(x, ast.For | ast.While) for x in s.body):
        yield about(ROLLED)
        yield from (about(name, about(UNROLLED)) for name in LATER)
    elif not inner and len(s.body) in LONG and _adds_up(s) and not _length(s):
        yield about(*TWO_VECTORS)
    elif not inner or _length(s) or any(n is None for n in lengths):
        return
    elif max(n or 0 for n in lengths) > GROUP:
        several = len({name for x in inner for name in _streams(x)}) > 1
        plain = several and all(_is_cheap(call) for call in _calls(s))
        yield about(*(PLAIN if plain else ONE_ROW))


def _length(s: ast.For) -> int | None:
    """The rounds of a loop, if the text says so."""
    args = s.iter.args if isinstance(s.iter, ast.Call) else []
    last = args[-1] if args else None
    if _ends(s, "apart"):
        assert isinstance(last, ast.Call)
        (last,) = last.args
    literal = last.value if isinstance(last, ast.Constant) else None
    from_zero = len(args) == 1 or (len(args) == 2 and ast.unparse(args[0]) == "0")
    return literal if from_zero and isinstance(literal, int) else None


def _ends(s: ast.For, word: str) -> bool:
    """Whether a loop's end is `ll.<word>(n)`."""
    last = s.iter.args[-1] if isinstance(s.iter, ast.Call) else None
    if not (isinstance(last, ast.Call) and isinstance(last.func, ast.Attribute)):
        return False
    return last.func.attr == word


def _streams(s: ast.For) -> Iterator[str]:
    """The arrays of which a row is read, element by element."""
    for e in ast.walk(s):
        if not (isinstance(e, ast.Subscript) and isinstance(e.ctx, ast.Load)):
            continue
        if isinstance(e.value, ast.Name) and not isinstance(e.slice, ast.Name):
            yield e.value.id


def _adds_up(s: ast.For) -> bool:
    """Whether the rounds of a loop add up numbers."""
    made = (x for x in s.body if isinstance(x, ast.Assign) and isinstance(x.targets[0], ast.Name))
    calls = (x.value.func for x in made if isinstance(x.value, ast.Call))
    return any(isinstance(f, ast.Attribute) and f.attr == "radd" for f in calls)


def _picks(s: ast.For) -> bool:
    """Whether a loop reads where its own rounds found out."""
    plain = [x for x in s.body if isinstance(x, ast.Assign)]
    made = {ast.unparse(x.targets[0]) for x in plain if _selects(x.value)}
    at = (e.slice for x in plain for e in ast.walk(x) if isinstance(e, ast.Subscript))
    return any(isinstance(n, ast.Name) and n.id in made for i in at for n in ast.walk(i))


def _selects(e: ast.expr) -> bool:
    f = e.func if isinstance(e, ast.Call) else None
    return isinstance(f, ast.Attribute) and f.attr == "select"


def _calls(s: ast.For) -> Iterator[ast.expr]:
    return (e.func for body in s.body for e in ast.walk(body) if isinstance(e, ast.Call))


def _is_cheap(f: ast.expr) -> bool:
    """Whether a function is an instruction or two that many rows at a time do no faster."""
    return isinstance(f, ast.Name) or (isinstance(f, ast.Attribute) and f.attr in CHEAP)

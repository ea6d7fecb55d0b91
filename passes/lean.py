"""The same function with less for its adjoint to keep: parts of it are computed again instead.

Rounds of a loop are cut into segments of which the first states are kept, or follow the binomial
schedule; a long row of ops becomes a few pieces of which the operands are kept.  Either way the
adjoint runs the primal once more, piece by piece (A. Griewank and A. Walther, Evaluating
Derivatives, chapter 12; Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..ir.builder import Builder
from ..ir.core import Block, Const, Function, Op, Value, all_ops
from ..ir.ops.control import emit_call, loop
from ..ir.ops.segments import emit_segments
from ..ir.records import dataclass
from ..ir.types import NUMPY
from .replay import fresh, inline, rebuild

LEAST_ROUNDS = 8  # of a loop that is cut into segments
_NEAR = 0.25  # how far a cut may be from where pieces would be equal, in pieces


@dataclass(frozen=True)
class Saving:
    """How much is computed again.

    states  of loops: 0 cuts them into about as many segments as these have rounds, more is how
            many states are kept at a time; None leaves loops alone
    pieces  in how many pieces the program is cut; 1 leaves it whole
    """

    states: int | None
    pieces: int


def savings(function: Function) -> Iterator[Saving]:
    """What may be tried for a function: first what takes little more time."""
    loops = any(_can_be_cut(op) for op in function.ops)
    if loops:
        yield from (Saving(states, 1) for states in (0, 8, 3))
    count = sum(1 for op in function.ops if op.prim.pure)
    for pieces in (2, 3, 4, 6, 8, 12, 16):
        if 2 * pieces <= count:
            yield Saving(0 if loops else None, pieces)


def lean(function: Function, saving: Saving) -> Function:
    """The function whose adjoint keeps less."""
    if saving.states is not None:
        function = _with_segments(function, saving.states)
    return _in_pieces(function, saving.pieces) if saving.pieces > 1 else function


# ------------------------------------------------------------------ loops


def _can_be_cut(op: Op) -> bool:
    """Whether it is a loop of many rounds, or of a traced number, that nobody has cut yet."""
    if op.prim is not loop or op.attrs.get("states", 0):
        return False
    n = op.args[0]
    if type(n) is not Const:
        carries = op.attrs["carries"]
        inputs = len(op.args) - 1 - op.attrs["consts"] - carries
        return not inputs and len(op.blocks["body"].outs) == carries
    return int(n.data) >= LEAST_ROUNDS and all(o.prim.pure for o in all_ops(op.blocks["body"]))


def _with_segments(function: Function, states: int) -> Function:
    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        if not _can_be_cut(op):
            return None
        a = 1 + op.attrs["consts"]
        c = a + op.attrs["carries"]
        body = op.blocks["body"]
        if states:
            return b.add(loop, args, {**op.attrs, "states": states}, {"body": _copy(body)})
        reverse = op.attrs.get("reverse", False)
        return emit_segments(args[0], args[1:a], args[a:c], args[c:], _copy(body), reverse=reverse)

    return rebuild(function, visit)


def _copy(block: Block) -> Block:
    params = fresh(block.params)
    with Builder(params) as b:
        return b.done(inline(block, params))


# ------------------------------------------------------------------ rows of ops


def _in_pieces(function: Function, pieces: int) -> Function:
    """All but the last piece as calls that are run again; the adjoint of that comes at once."""
    block = function.block
    cuts = _cuts(block, pieces)
    last = max((k for k, op in enumerate(block.ops) if not op.prim.pure), default=-1)
    params = fresh(block.params)
    env: dict[Value, Value] = dict(zip(block.params, params, strict=True))
    with Builder(params) as b:
        for first, end in pairwise([0, *cuts, len(block.ops)]):
            part = block.ops[first:end]
            read = {a for op in block.ops[end:] for a in op.args} | set(block.outs)
            outs = [v for op in part for v in op.outs if v in read]
            made = {v for op in part for v in op.outs}
            given = list(dict.fromkeys(a for op in part for a in op.args))
            given = [a for a in given if a not in made and type(a) is not Const]
            args = [env[a] for a in given]
            inner = Block(tuple(given), part, tuple(outs))
            again = end != len(block.ops) and first > last
            found = emit_call(args, _copy(inner), recompute=True) if again else inline(inner, args)
            env.update(zip(outs, found, strict=True))
        outs = [env.get(v, v) for v in block.outs]
        return Function(function.name, b.done(outs))


def _cuts(block: Block, pieces: int) -> list[int]:
    """Where a row of ops is cut: pieces make about as many bytes, and little goes across."""
    last: dict[Value, int] = {}
    for k, op in enumerate(block.ops):
        last.update((a, k) for a in op.args)
    last.update((v, len(block.ops)) for v in block.outs)
    across, total = [0], [0]
    ends: dict[int, int] = {}
    live = 0
    for k, op in enumerate(block.ops):
        size = sum(map(_bytes, op.outs))
        live += size - ends.pop(k, 0)
        for v in op.outs:
            if v in last:
                ends[last[v]] = ends.get(last[v], 0) + _bytes(v)
            else:
                live -= _bytes(v)
        across.append(live)
        total.append(total[-1] + size)
    found: list[int] = []
    for j in range(1, pieces):
        low, high = ((j + by) * total[-1] / pieces for by in (-_NEAR, _NEAR))
        places = [k for k in range(1, len(block.ops)) if low <= total[k] <= high]
        if places:
            found.append(min(places, key=across.__getitem__))
    return sorted(set(found))


def _bytes(v: Value) -> int:
    return NUMPY[v.aval.dtype].itemsize * abs(v.aval.size)

"""The end of a trace with `adjit.range` in it: nobody may read what only recorded rounds made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.core import Block, Op, Value
from ..ir.regions import pruned
from ..ir.slim import slim
from .errors import AdjitError, ControlFlow
from .place import Place, sentence
from .python_rounds import Again, ask_for
from .record import Recorder

PYTHON = "Write range(...) to run the rounds in Python, all of them recorded."


def finish(rec: Recorder, outs: Sequence[Value]) -> None:
    """Check that nobody reads what earlier rounds made, and drop what no loop needs to leave."""
    if rec.cut is not None:
        raise cut_short(rec)
    if not rec.rolled:
        return
    for op in rec.builder.ops:
        for a in op.args:
            if a in rec.dead:
                raise _dead(rec, a, op.where)
    for v in outs:
        if v in rec.dead:
            raise _dead(rec, v, None)
    live, kept = set(outs), []
    for op in reversed(rec.builder.ops):
        if op in rec.rolled:
            op = _slimmed(op, live)
        live.update(op.args)
        kept.append(op)
    rec.builder.ops[:] = reversed(kept)


def _slimmed(op: Op, live: set[Value]) -> Op:
    while True:
        slimmer = slim(op, live, _sweep)
        if (len(slimmer.args), len(slimmer.outs)) == (len(op.args), len(op.outs)):
            return slimmer
        op = slimmer


def _sweep(block: Block) -> Block:
    """The block without what nobody reads, its loops without what they need not leave."""
    block = pruned(block)
    live, kept = set(block.outs), []
    for op in reversed(block.ops):
        if op.blocks:
            op = _slimmed(op, live)
        live.update(op.args)
        kept.append(op)
    return Block(block.params, tuple(reversed(kept)), block.outs)


def _dead(rec: Recorder, v: Value, use: Any) -> AdjitError:
    used = f"\n  used {at(use).lstrip()}" if use is not None else ""
    where = at(rec.dead[v])
    if v in rec.unknown:
        name = f"`{v.hint}`" if v.hint else "a value of the last round"
        return ControlFlow(
            f"adjit.range: {name} is used after a loop that may have no rounds, and before which "
            f"it has no value of the same shape and dtype{where}{used}\n"
            "  Give it its final type before the loop, such as np.zeros(3) or 0.0."
        )
    return ControlFlow(
        f"adjit.range: a value of a round that is not the last one is used after the loop{where}"
        f"{used}\n  Keep it in a variable that moves on in each round, or write it into an array: "
        "z[i] = ..."
    )


def at(where: Any) -> str:
    """The place of an op, as a sentence."""
    if isinstance(where, Place):
        return sentence(where)
    return f"\n  at {where}" if where is not None else ""


def cut_short(rec: Recorder) -> Exception:
    """What to raise where a loop ended before its last round: it counts in Python if it can."""
    where, loops = rec.cut
    why = ask_for(loops, rec)
    if not why:
        return Again()
    return ControlFlow(
        f"adjit.range: the loop ended before its last round{sentence(where)}\n"
        f"  Rounds that are recorded once cannot break or return.  {why}"
    )

"""Where a product and the sum that reads it may be rounded as one (`ll.fma`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..ir.core import Block, Op, Value, all_ops, definitions, use_counts
from ..ir.records import dataclass
from .simplify import guarded

JUMPS = frozenset(
    {"floor", "ceil", "trunc", "rint", "sign", "floordiv", "fmod", "remainder", "copysign"}
    | {"heaviside", "nextafter"}
)


LEAST = 8  # sums of which each has a product: from here on time is gained outside of loops, too


@dataclass(frozen=True)
class Rounding:
    """The ops that need not round after every step.

    free    what serves derivatives alone: any product may be rounded with its sum, but for what is
            computed again to be found equal, as an element is that was the maximum of its row
    smooth  what the user wrote, where nothing discontinuous depends on it: a product may be rounded
            with a sum of which it is the only product, so that `a*b - c*d` of equals stays zero
    """

    free: Collection[Op] = frozenset()
    smooth: Collection[Op] = frozenset()

    def products(self, block: Block) -> set[Value]:
        """Products that are read by one sum alone, one for each sum."""
        if not self.free and not self.smooth:
            return set()
        defs, uses = definitions(block), use_counts(block)
        found: set[Value] = set()
        for op in block.ops:
            free = op in self.free
            if op.prim.name not in ("add", "sub") or not (free or op in self.smooth):
                continue
            (out,) = op.outs
            made = [a for a in op.args if a in defs and defs[a].prim.name == "mul"]
            if len(made) > 1 and not free:
                continue
            for a in made:
                allowed = defs[a] in (self.free if free else self.smooth)
                if allowed and uses[a] == 1 and out.dtype in ("f64", "f32") and a.aval == out.aval:
                    found.add(a)
                    break
        return found


EVERY_STEP = Rounding()


def rounding(block: Block, strict: int | None) -> Rounding:
    """What of a program may round less often than NumPy.

    A round waits for the one before it, so there a rounding less is time gained; so it is where
    many products and sums follow each other.  The first `strict` results (all, if None) are the
    user's.
    """
    decided = _decided(block)
    even = _even(block, strict, decided)
    if not any(op.blocks for op in block.ops):
        return Rounding(smooth=even) if even else EVERY_STEP
    kept = guarded(block, strict)
    free = [op for op in block.ops if op.blocks and op not in kept]
    smooth = [op for op in block.ops if op.prim.name == "loop" and op not in decided]
    inner = _inside(free)
    same: set[Op] = set().union(
        *(_compared(b) for op in inner | set(free) for b in op.blocks.values())
    )
    return Rounding(inner - same, _inside(op for op in smooth if op in kept) | even)


def _even(block: Block, strict: int | None, decided: Collection[Op]) -> frozenset[Op]:
    """Products and sums outside of loops, if many, of which no result shows the last digits.

    The user's results show them unless they are sums over an axis: the terms of these are added
    up in another order than NumPy's anyway.
    """
    shown = set(block.outs[:strict])
    found = []
    for op in reversed(block.ops):
        if not shown.isdisjoint(op.outs):
            if op.prim.name not in ("sum", "dot"):
                shown.update(op.args)
        elif op.prim.name in ("add", "sub", "mul") and op not in decided:
            found.append(op)
    even = frozenset(found)
    return even if len(Rounding(smooth=even).products(block)) >= LEAST else frozenset()


def _compared(block: Block) -> set[Op]:
    """The ops of a block that make what is asked to be equal to another real."""
    live: set[Value] = set()
    found: set[Op] = set()
    for op in reversed(block.ops):
        asks = op.prim.name in ("equal", "not_equal") and op.args[0].aval.kind in "fc"
        if asks or not live.isdisjoint(op.outs):
            found.add(op)
            live.update(op.args)
    return found


def _inside(ops: Iterable[Op]) -> frozenset[Op]:
    return frozenset(o for op in ops for b in op.blocks.values() for o in all_ops(b))


def _decided(block: Block) -> set[Op]:
    """The ops on which a jump, a condition or an effect depends, or that have one inside."""
    live: set[Value] = set()
    found: set[Op] = set()
    for op in reversed(block.ops):
        inner = (o for b in op.blocks.values() for o in all_ops(b))
        if _decides(op) or any(map(_decides, inner)) or not live.isdisjoint(op.outs):
            found.add(op)
            live.update(op.args)
    return found


def _decides(op: Op) -> bool:
    """Whether the smallest change of a real operand can change the result by a jump."""
    if not op.prim.pure or op.prim.name in JUMPS:
        return True
    reals = any(a.aval.kind in "fc" for a in op.args)
    return reals and not op.blocks and any(v.aval.kind not in "fc" for v in op.outs)

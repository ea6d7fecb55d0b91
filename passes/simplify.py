"""The normal form of a function: fewer operations, in fewer and smaller loops."""

from __future__ import annotations

from itertools import chain

from ..ir.core import Block, Const, Function, Op, Value, use_counts
from .dce import sweep
from .diagonals import DIAGONALS
from .dots import DOTS
from .finish import finished
from .jumps import deciding
from .masks import MASKS
from .mirrors import MIRRORS
from .normal import Normal, Table
from .picks import PICKS
from .products import PRODUCTS
from .replay import fresh
from .rewrite import merged
from .rules import ACCURACY, DOMAIN, EXACT, ROUNDING, SPECIAL
from .solves import SOLVES
from .sums import SUMS
from .tiles import TILES
from .transposes import TRANSPOSES
from .views import VIEWS

TABLE = merged(
    SPECIAL,
    MASKS,
    VIEWS,
    PICKS,
    TILES,
    DOMAIN,
    EXACT,
    ROUNDING,
    DIAGONALS,
    TRANSPOSES,
    DOTS,
    PRODUCTS,
    SOLVES,
    SUMS,
    MIRRORS,
    ACCURACY,
)
CLEANUP = merged(SPECIAL, VIEWS, EXACT)
_ROUNDS = 4
# A straight line of so many ops, nearly all scalar: another round finds three of a thousand, which
# is less than it takes.
_LONG, _SCALAR, _SMALL = 200, 0.9, 64


def simplify(function: Function, strict: int | None = None, rounds: int = _ROUNDS) -> Function:
    """The function in normal form.

    The first `strict` results (all, if None) keep their NaN and infinities exactly; what serves
    the others alone, as the adjoint in a joint function does, may lose some.  Two rounds do all
    that matters; more only see to it that the result is its own normal form.
    """
    block = sweep(function.block)
    before = None
    for n in range(rounds):
        block = _normalised(block, TABLE, strict)
        enough = not n and rounds == 2 and _straight(block)
        if n or enough:  # what finishes comes when the first round has shown who reads what
            block = finished(block)
        if enough:
            break
        after = key(block) if rounds > 2 else None
        if after == before and after is not None:
            break
        before = after
    return Function(function.name, block)


def _straight(block: Block) -> bool:
    """Whether a block is a long line of scalar ops, without regions or arrays to speak of."""
    outs = [v.aval for op in block.ops for v in op.outs]
    return (
        len(block.ops) >= _LONG
        and not any(op.blocks for op in block.ops)
        and [a.shape for a in outs].count(()) >= _SCALAR * len(outs)
        and max(a.size for a in outs) <= _SMALL
    )


def cleanup(function: Function) -> Function:
    """The function without the ops that do nothing, to the same bits."""
    block = _normalised(function.block, CLEANUP, None)
    while any(op.blocks for op in block.ops):  # a constant may have sunk into a region
        again = _normalised(block, CLEANUP, None)
        if key(again) == key(block):
            break
        block = again
    return Function(function.name, block)


def _normalised(block: Block, table: Table, strict: int | None) -> Block:
    kept, decisive = guarded(block, strict), deciding(block)
    params = fresh(block.params)
    counts = use_counts(block)
    b = Normal(params, table)
    values = chain(block.params, *[op.outs for op in block.ops])
    b.open = any(-1 in v.aval.shape for v in values)
    with b:
        env: dict[Value, Value] = dict(zip(block.params, params, strict=True))
        for p in block.params:
            b.uses[env[p]] = counts.get(p, 0)
        for op in block.ops:
            b.where = op.where
            b.lenient = op not in kept
            b.table = CLEANUP if op in decisive else table
            new = tuple([env.get(a, a) for a in op.args])
            inner = 0 if b.lenient else None
            blocks = {k: _normalised(r, table, inner) for k, r in op.blocks.items()}
            outs = b.add(op.prim, new, op.attrs, blocks, [v.hint for v in op.outs])
            for old, v in zip(op.outs, outs, strict=True):
                env[old] = v
                b.uses[v] = b.uses.get(v, 0) + counts.get(old, 0)
                if old.hint and not v.hint and v in b.defs:
                    v.hint = old.hint
        return sweep(b.done([env.get(v, v) for v in block.outs]))


def guarded(block: Block, strict: int | None) -> set[Op]:
    """The ops whose NaN and infinities are the user's: those that the first results depend on."""
    if strict is None:
        return set(block.ops)
    live, ops = set(block.outs[:strict]), set()
    for op in reversed(block.ops):
        if not op.prim.pure or not live.isdisjoint(op.outs):
            ops.add(op)
            live.update(op.args)
    return ops


def key(block: Block) -> tuple[object, ...]:
    """Equal for blocks that are the same up to names."""
    number: dict[Value, int] = {}

    def of(v: Value) -> object:
        return v.key if type(v) is Const else number.setdefault(v, len(number))

    for p in block.params:
        of(p)
    ops = tuple(
        (
            op.prim.name,
            tuple(map(of, op.args)),
            tuple(sorted(op.attrs.items())),
            tuple(map(of, op.outs)),
            tuple(key(r) for r in op.blocks.values()),
        )
        for op in block.ops
    )
    return ops, tuple(map(of, block.outs))

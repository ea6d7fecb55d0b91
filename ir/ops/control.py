"""Rows that own regions: cond, loop, while, call.  Their derivatives are regions again."""

from __future__ import annotations

from typing import Protocol

from ..core import Block, Value


class DerivativeContext(Protocol):
    """What the rows below ask of the pass that differentiates them.

    Masks are tuples of bools, one per param or result; an integer or bool is never active.
    Blocks that come back are closed and fresh: they share no value with the block given.

    `forward(ctx, op, args) -> (outs, pull)` runs while the primal is copied: it emits the primal,
    perhaps with more results than the op had, into the current builder.  `args` are the renamed
    arguments.  `pull(cts)` runs in the sweep: it takes one cotangent per result of `op` (ZERO for
    none), emits into the then current builder, and returns one cotangent (or ZERO) per argument.
    `push(ctx, op, args, tangents) -> (outs, tangents of outs)` is the forward mode (ZERO for none).
    """

    def active(self, value: Value) -> bool:
        """Whether a copied value may depend on what is differentiated (True is always safe)."""
        ...

    def jvp(self, block: Block, active: tuple[bool, ...], wanted: tuple[bool, ...]) -> Block:
        """Forward mode of a block, tangents of `active` params to tangents of `wanted` outs.

        Params: the block's, then a tangent for each active param.  Outs: the block's, then a
        tangent for each wanted out, zeros where it depends on no active param.
        """
        ...

    def joint(self, block: Block, active: tuple[bool, ...], seeded: tuple[bool, ...]) -> Block:
        """Primal and adjoint of a block in one, unsimplified.

        Params: the block's, then a cotangent for each seeded out.  Outs: the block's, then a
        cotangent for each active param, of its aval, zeros where there is none.
        """
        ...

"""A builder that brings every op it is given into normal form, by tables of rules per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..ir.builder import Builder
from ..ir.core import Block, Const, Op, Value
from ..ir.ops.shape import broadcast, reshaped
from ..ir.prim import Expr, Prim
from ..ir.types import broadcast_shapes
from .fold import folded

if TYPE_CHECKING:
    from .mirrors import Forms

# A rule gets the builder, the arguments and the attrs of an op about to be appended, and answers
# with the value that stands for it, or None.  What it emits is brought into normal form as well.
Step = Callable[["Normal", tuple[Value, ...], Mapping[str, Any]], Value | None]
Table = Mapping[str, Sequence[Step]]

_DEPTH = 40  # of rules within rules: a table that does not settle must not recurse for ever


class Normal(Builder):
    """Appends ops in normal form.

    `uses` counts the readers of each value in the program that is being copied: a value of
    several readers is not taken apart.  `lenient` allows rules that may move a NaN or inf.
    `open` says that extents may be known at run time only.
    """

    def __init__(self, params: Sequence[Value], table: Table) -> None:
        super().__init__(params)
        self.table = table
        self.uses: dict[Value, int] = {}
        self.rank: dict[Value, int] = {}
        self.lenient = False
        self.open = True
        self.forms: Forms | None = None  # once a rule asks what is one up to the order of axes
        self._depth = 0
        for p in params:
            self.rank[p] = len(self.rank)

    def add(
        self,
        prim: Prim,
        args: Sequence[Any],
        attrs: Mapping[str, Any] | None = None,
        blocks: Mapping[str, Block] | None = None,
        hints: Sequence[str] = (),
    ) -> tuple[Value, ...]:
        """Append an op in normal form, or find what it comes down to."""
        attrs = attrs or {}
        values = self._lift(prim, args)
        if not blocks and self._depth < _DEPTH and not (self.open and _ragged(values)):
            self._depth += 1
            try:
                for rule in self.table.get(prim.name, ()):
                    out = rule(self, values, attrs)
                    if out is not None:
                        return (out,)
                if type(prim.emit) is Expr:
                    out = _smaller(self, prim, values, attrs)
                    if out is not None:
                        return (out,)
            finally:
                self._depth -= 1
        return self._append(prim, values, attrs, blocks, hints)

    def again(self, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Append an op of another block in normal form."""
        return self.add(op.prim, args, op.attrs, None, [v.hint for v in op.outs])

    def _append(
        self,
        prim: Prim,
        values: tuple[Value, ...],
        attrs: Mapping[str, Any],
        blocks: Mapping[str, Block] | None,
        hints: Sequence[str],
    ) -> tuple[Value, ...]:
        if not blocks and [type(v) for v in values].count(Const) == len(values):
            consts = folded(prim, values, attrs)
            if consts is not None:
                return consts
        if prim.commutes and len(values) == 2:
            values = self._ordered(*values)
        outs = self._add(prim, values, attrs, blocks, hints)
        for v in outs:
            self.rank.setdefault(v, len(self.rank))
        return outs

    def raw(self, prim: Prim, *args: Value, **attrs: Any) -> Value:
        """Append an op that is in normal form already."""
        return self._append(prim, args, attrs, None, ())[0]

    def known(self, prim: Prim, x: Value, y: Value) -> Value | None:
        """The value of an op of two arguments, if it was appended before."""
        pair = self._ordered(x, y) if prim.commutes else (x, y)
        outs = self._known.get((prim, pair, ())) if self._known else None
        return outs[0] if outs else None

    def _ordered(self, x: Value, y: Value) -> tuple[Value, Value]:
        """The operands of a commuting op: the earlier one first, a constant last."""
        if type(x) is Const or (type(y) is not Const and self.rank[y] < self.rank[x]):
            return y, x
        return x, y

    def single(self, v: Value) -> bool:
        """Whether at most one op reads the value."""
        return self.uses.get(v, 1) <= 1

    def made_by(self, v: Value, *names: str) -> Op | None:
        """The op that defines the value, if it is of one of these rows."""
        op = self.defs.get(v)
        return op if op is not None and op.prim.name in names else None


def _ragged(values: tuple[Value, ...]) -> bool:
    """Whether an extent is known at run time only: the rules compute with extents."""
    return True in [-1 in v.aval.shape for v in values]


def _smaller(
    b: Normal, prim: Prim, args: tuple[Value, ...], attrs: Mapping[str, Any]
) -> Value | None:
    """An elementwise op whose operands are all repeated: computed before they are."""
    n = max([len(a.aval.shape) for a in args])
    if n == 0:
        return None
    repeated = [b.made_by(a, "broadcast") for a in args]
    stretched = _stretched(b, args, repeated, n)
    if stretched is not None:
        return b.add(prim, stretched, attrs)[0]
    for a, op in zip(args, repeated, strict=True):
        if len(a.aval.shape) == n and 1 not in a.aval.shape and op is None:
            if not any(op and not op.args[0].aval.shape for op in repeated):
                return None
            # The shape comes from another operand, so a repeated scalar need not be repeated.
            bare = [
                op.args[0] if op and not op.args[0].aval.shape else v
                for v, op in zip(args, repeated, strict=True)
            ]
            return b.add(prim, bare, attrs)[0] if _fills(a, args) else None
    shape = broadcast_shapes(*(a.aval.shape for a in args))
    peeled = [peel(b, a, shape) for a in args]
    dims = tuple(sorted({d for _, own, _ in peeled for d in own}))
    if len(dims) == n:
        return None
    inner = tuple(shape[d] for d in dims)
    moved = []
    for v, own, squeezed in peeled:
        core = v if squeezed is None else reshaped(v, squeezed)
        moved.append(spread(b, core, tuple(dims.index(d) for d in own), inner))
    if all(len(a.aval.shape) < len(inner) for a in moved):
        moved[0] = filling(b, moved[0], tuple(dims.index(d) for d in peeled[0][1]), inner)
    return filling(b, b.add(prim, moved, attrs)[0], dims, shape)


def _stretched(
    b: Normal, args: tuple[Value, ...], repeated: list[Op | None], n: int
) -> list[Value] | None:
    """New axes of extent one that NumPy's rules stretch, at their full extent instead."""
    if not any(op and 1 in op.attrs["shape"] for op in repeated):
        return None
    shape = broadcast_shapes(*(a.aval.shape for a in args))
    out, changed = [], False
    for a, op in zip(args, repeated, strict=True):
        if op and any(
            s == 1 != shape[k + n - len(a.aval.shape)] and k in op.attrs["axes"]
            for k, s in enumerate(a.aval.shape)
        ):
            v, dims, squeezed = peel(b, a, shape)
            a = filling(b, v if squeezed is None else reshaped(v, squeezed), dims, shape)
            changed = True
        out.append(a)
    return out if changed else None


def _fills(a: Value, args: tuple[Value, ...]) -> bool:
    """Whether an operand alone has the shape of the result."""
    shape = a.aval.shape
    return broadcast_shapes(shape, *(v.aval.shape for v in args)) == shape


def peel(b: Builder, v: Value, shape: tuple[int, ...]) -> tuple[Value, tuple[int, ...], Any]:
    """What an operand depends on: (inner value, the dims of `shape` it varies along, squeeze).

    Broadcasting, explicit or by NumPy's rules, is taken off.  `squeeze` is the shape to which the
    inner value must be reshaped first, or None.
    """
    extra = len(shape) - len(v.aval.shape)
    op = b.defs.get(v)
    if op is not None and op.prim is broadcast:
        axes = op.attrs["axes"]
        dims = [i + extra for i in range(len(v.aval.shape)) if i not in axes]
        v = op.args[0]
    else:
        dims = list(range(extra, len(shape)))
    own = v.aval.shape
    kept = [k for k, n in enumerate(own) if n == shape[dims[k]]]
    if len(kept) == len(own):
        return v, tuple(dims), None
    return v, tuple(dims[k] for k in kept), tuple(own[k] for k in kept)


def spread(b: Builder, v: Value, dims: tuple[int, ...], shape: tuple[int, ...]) -> Value:
    """A value that varies along `dims` alone, made to broadcast with arrays of `shape`."""
    n = len(shape)
    if dims == tuple(range(n - len(dims), n)):
        return v
    return b.add(broadcast, (v,), {"shape": shape, "axes": missing(dims, n)})[0]


def filling(b: Builder, v: Value, dims: tuple[int, ...], shape: tuple[int, ...]) -> Value:
    """A value that varies along `dims` alone, as an array of `shape`."""
    if len(dims) == len(shape):
        return v
    return b.add(broadcast, (v,), {"shape": shape, "axes": missing(dims, len(shape))})[0]


def missing(dims: Sequence[int], n: int) -> tuple[int, ...]:
    """The dims below `n` that are not listed."""
    return tuple(i for i in range(n) if i not in dims)


def is_number(v: Value, x: float) -> bool:
    """Whether a value is the literal `x`."""
    return type(v) is Const and bool(v.data == x)

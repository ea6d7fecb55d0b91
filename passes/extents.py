"""Extents that are one by construction, so that a kernel's text names them by what they are.

Sizes are arguments of kernels.  Named by value, a batch of 64 rows would share its name with a
layer of width 64, and the next batch would need another text.  Here the dims of all values are
joined where an op makes them the same, and every shape is written anew in `Extent`s: integers that
know their class.  Nothing but names ever depends on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..ir.access import identity, is_inline, reads
from ..ir.core import Block, Const, Op, Value
from ..ir.prim import Call, Fold
from ..ir.types import Aval, Extent
from .roots import STACKED

Dim = tuple[Value, int]


def label(block: Block, varying: Collection[tuple[int, int]] = ()) -> Block:
    """The block with labelled shapes; `varying` are (param, axis) that other calls have otherwise.

    Regions keep plain integers.
    """
    classes = _Classes()
    for op in block.ops:
        for a, b in _same(op):
            classes.join(a, b)
    for a, b in _indexed(block):
        classes.join(a, b)
    moving = _moving(block, classes, varying)
    numbers: dict[Dim, int] = {}
    new: dict[Value, Value] = {}
    for v in (*block.params, *(v for op in block.ops for v in op.outs)):
        if not v.aval.shape:
            continue
        shape = []
        for d, n in enumerate(v.shape):
            root = classes.root((v, d))
            number = numbers.setdefault(root, len(numbers))
            shape.append(Extent(n, number, root in moving))
        new[v] = Value(Aval(v.dtype, tuple(shape)), v.hint)

    def renamed(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple([new.get(v, v) for v in values])

    ops = [
        op
        if new.keys().isdisjoint((*op.args, *op.outs))
        else Op(op.prim, renamed(op.args), op.attrs, renamed(op.outs), op.blocks, op.where)
        for op in block.ops
    ]
    return Block(renamed(block.params), tuple(ops), renamed(block.outs))


class _Classes:
    """Disjoint sets of dims."""

    def __init__(self) -> None:
        self.parent: dict[Dim, Dim] = {}

    def root(self, x: Dim) -> Dim:
        """The representative of a dim's class."""
        path = []
        while (up := self.parent.get(x, x)) is not x:
            path.append(x)
            x = up
        for y in path:
            self.parent[y] = x
        return x

    def join(self, a: Dim, b: Dim) -> None:
        """The two dims are the same from now on; the one met first stands for both."""
        a, b = self.root(a), self.root(b)
        if a is not b:
            self.parent[b] = a


def _same(op: Op) -> Iterator[tuple[Dim, Dim]]:
    """The dims that an op makes the same: of operands and results, by how it reads them."""
    emit = op.prim.emit
    if not op.outs:
        return
    out = op.outs[0]
    if is_inline(op):
        if not out.aval.shape:
            return
        for a, j, d, off, step in _reads(op):
            n = a.shape[j]
            if n == out.shape[d] and (off, step) in ((0, 1), (n - 1, -1)):
                yield (a, j), (out, d)
    elif isinstance(emit, Fold):
        kept = [d for d in range(op.args[0].ndim) if d not in op.attrs["axes"]]
        for d, j in enumerate(kept):
            yield (op.args[0], j), (out, d)
    elif isinstance(emit, Call) and emit.name == "dot":
        x, y = op.args
        (cx,), (cy,) = op.attrs["contract"]
        nb = len(op.attrs["batch"][0])
        for d in range(nb):
            yield (x, d), (y, d)
            yield (x, d), (out, d)
        yield (x, cx), (y, cy)
        yield (x, 2 * nb + 1 - cx), (out, nb)
        yield (y, 2 * nb + 1 - cy), (out, nb + 1)
    elif op.args and (isinstance(emit, Call) or "axis" in op.attrs):
        for b in op.args[1:] if isinstance(emit, Call) and emit.name in STACKED else ():
            yield from (((b, d), (out, d)) for d in range(out.ndim))
        # Scans, sorts, reshapes: a dim that stays in its place from either end is the same.
        a = op.args[0]
        for d, (m, n) in enumerate(zip(a.shape, out.shape, strict=False)):
            if m != n:
                break
            yield (a, d), (out, d)
        for d in range(1, min(a.ndim, out.ndim) + 1):
            if a.shape[-d] != out.shape[-d]:
                break
            yield (a, a.ndim - d), (out, out.ndim - d)


def _indexed(block: Block) -> Iterator[tuple[Dim, Dim]]:
    """Equal axes that the same indices point into, as those of an array and of its slope."""
    first: dict[tuple[Value, int], Dim] = {}
    for op in block.ops:
        if op.prim.name not in ("gather", "scatter", "scatter_add"):
            continue
        at = 1 if op.prim.name == "gather" else 2
        for axis, i in zip(op.attrs["axes"], op.args[at:], strict=True):
            x = op.args[0]
            if type(i) is not Const and type(x) is not Const:
                yield first.setdefault((i, x.shape[axis]), (x, axis)), (x, axis)


def _reads(op: Op) -> Iterator[tuple[Value, int, int, int, int]]:
    """Each dim of an operand that follows one dim of the result: operand, dim, dim, start, step."""
    for a, index in reads(op, identity(op.outs[0].ndim)):
        if type(a) is not Const:
            for j, (d, off, step) in enumerate(index):
                if d is not None and off is not None:
                    yield a, j, d, off, step


def _moving(block: Block, classes: _Classes, varying: Collection[tuple[int, int]]) -> set[Dim]:
    """The classes that vary, and those that follow from them: slices, windows, merged dims."""
    found = {classes.root((block.params[p], d)) for p, d in varying}
    for op in block.ops if found else ():
        if len(op.outs) != 1:
            continue
        out = op.outs[0]
        if is_inline(op):
            hit = [d for a, j, d, _, _ in _reads(op) if classes.root((a, j)) in found]
        else:
            own = {classes.root((a, j)) for a in op.args for j in range(a.ndim)}
            fresh = [d for d in range(out.ndim) if classes.root((out, d)) not in own]
            hit = fresh if own & found else []
        found.update(classes.root((out, d)) for d in hit)
    return found

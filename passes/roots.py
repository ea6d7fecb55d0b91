"""Roots of a function: which values get a loop of their own, and what each of them reads.

Every other value is inlined: it is pulled, index by index, into whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.access import (
    DYNAMIC,
    Index,
    boundaries,
    has_many_pieces,
    identity,
    is_inline,
    reads,
    view_map,
)
from ..ir.core import Block, Const, Op, Value, definitions, use_counts
from ..ir.ops.guards import guard
from ..ir.ops.interleave import interleave, residues
from ..ir.plan import Access, Inside, Root, is_scan
from ..ir.prim import Call, Fold
from ..ir.types import Aval
from .operands import stored_operands

# Nests that work on one matrix of a stack after the other, in any loops over the stack.
READ_FIRST = (
    *("cholesky_inverse", "cholesky_slope", "gather", "lu_adjugate", "lu_apply"),
    *("lu_inverse", "triangular_solve"),
)
STACKED = frozenset(READ_FIRST) - {"gather"} | {"adjugate", "cholesky", "lu_factors"}


SHORT = 16  # elements of a row that is better one of many in one loop over all elements


def batches(r: Root) -> int:
    """How many leading dims of a product or nest are those of a stack of matrices, or of rows."""
    if r.kind == "gemm":
        return len(r.dims) - 3
    if r.kind != "call" or r.op is None or not isinstance(r.op.prim.emit, Call):
        return 0
    if is_scan(r):
        axis = r.op.attrs["axis"]
        alike = all(a.shape == r.value.shape for a in r.op.args)
        return axis if alike and r.value.shape[axis] > SHORT else 0
    n = r.value.ndim - 2
    alike = all(a.shape[:-2] == r.value.shape[:n] for a in r.op.args)
    return n if r.op.prim.emit.name in STACKED and alike else 0


class Roots:
    """The roots of a block, in program order, under a set of promoted values.

    The block of a region runs in `rounds`; that of the function in none.
    """

    def __init__(self, block: Block, promoted: set[Value], rounds: int = 0) -> None:
        self.block = block
        self.rounds = rounds
        self.defs = definitions(block)
        self.params = set(block.params)
        self.chains = {} if rounds else _chains(block, self.defs)
        self.aliases: dict[Value, Value] = {}
        self.values: dict[Value, Root] = {}
        self.inside: dict[Value, Inside] = {}
        self.pieces: dict[Op, tuple[Value, ...]] = {}
        wanted = self._wanted(promoted)
        for op in block.ops:
            if op.prim is guard:
                v = Value(op.args[0].aval)  # nothing reads it: a name for the statement
                self.values[v] = Root(v, op, "guard", (), ())
            if op.blocks:
                self._region(op)
                continue
            if op.prim is interleave:
                self._weave(op)
            for v in op.outs:
                if v in wanted:
                    self.values[v] = self._make(v, op, promoted)
        self.outs = tuple(self._output(v, k) for k, v in enumerate(block.outs))
        for r in self.values.values():
            self._analyse(r)

    def _region(self, op: Op) -> None:
        """A root that runs the regions of an op, and one for each of its results."""
        region = Value(Aval("bool"), op.prim.name)  # nothing reads it: a name for the statement
        self.values[region] = Root(region, op, "region", (), ())
        for v in op.outs:
            dims = tuple(range(v.ndim))
            self.values[v] = Root(v, op, "part", v.shape, dims, accesses=[Access(region, ())])

    def _weave(self, op: Op) -> None:
        """A root for each piece of a woven array, which writes it where it lies in that."""
        steps = op.attrs["steps"]
        copies = [Value(a.aval, a.hint) for a in op.args]
        for v, a, start in zip(copies, op.args, residues(steps), strict=True):
            self.values[v] = Root(v, None, "store", v.shape, tuple(range(v.ndim)), source=a)
            self.inside[v] = Inside(op.outs[0], start, steps)
        self.pieces[op] = tuple(copies)

    def scattered(self, r: Root) -> bool:
        """Whether a root sets elements that lie apart."""
        piece = self.inside.get(r.value)
        return r.kind == "scatter" or (piece is not None and piece.sparse)

    def _wanted(self, promoted: set[Value]) -> set[Value]:
        wanted = set(promoted)
        wanted.update(v for v in self.block.outs if v in self.defs)
        for op in self.block.ops:
            emit = op.prim.emit
            if isinstance(emit, Fold) or not is_inline(op):
                wanted.update(op.outs)
            if op.blocks:
                wanted.update(stored_operands(op, self.defs))
            elif isinstance(emit, Call):
                wanted.update(self._stored_operands(op, emit.name))
                if self.rounds and emit.name.startswith("scatter"):
                    wanted.update(self._apart(op))
                    wanted.update(self._pieced(op.args[0]))
        wanted |= _elements(self.block, self.defs)
        wanted -= {op.outs[0] for chain in self.chains.values() for op in chain[:-1]}
        return {v for v in wanted if v in self.defs and v not in self.aliases}

    def _stored_operands(self, op: Op, name: str) -> list[Value]:
        """Operands that must lie in memory as a whole."""
        if name == "dot":
            return [self.untransposed(a)[0] for a in op.args]
        if name == "searchsorted":
            return list(op.args)
        if name in READ_FIRST or name == "window_argmax":
            made = self.defs.get(op.args[0])
            counts = made is not None and made.prim.name == "iota"
            return [] if counts and name == "gather" else [op.args[0]]
        if name == "reshape" and view_map(op) is None:
            self.aliases[op.outs[0]] = op.args[0]
            return [op.args[0]]
        return []

    def _pieced(self, x: Value) -> list[Value]:
        """What is updated, if it is made of pieces: loops of its own are cut where these meet."""
        stack, seen = [x], {x}
        while stack:
            op = self.defs.get(stack.pop())
            if op is None or not is_inline(op):
                continue
            if op.prim.name in ("pad", "concatenate"):
                return [x]
            more = [a for a in op.args if a not in seen]
            seen.update(more)
            stack += more
        return []

    def _apart(self, op: Op) -> list[Value]:
        """Updates of a part of an array that are computed from it: then it may stay in place."""
        x, upd = op.args[:2]
        if upd.aval.size == 1 or 2 * upd.aval.size > x.aval.size:
            return []
        stack, seen = [upd], {upd}
        while stack:
            made = self.defs.get(stack.pop())
            for v in made.args if made is not None and is_inline(made) else ():
                if v is x:
                    return [upd]
                if v not in seen:
                    seen.add(v)
                    stack.append(v)
        return []

    def untransposed(self, v: Value) -> tuple[Value, tuple[int, ...]]:
        """An operand of `dot` seen through a transpose of its matrices: what is stored, and how."""
        op = self.defs.get(v)
        nb = v.ndim - 2
        # A batch dim that lies between or after those of the matrix would change its row stride.
        if (
            op is not None
            and op.prim.name == "transpose"
            and op.attrs["perm"][:nb] == tuple(range(nb))
        ):
            return op.args[0], op.attrs["perm"]
        return v, tuple(range(v.ndim))

    def base(self, v: Value) -> Value:
        """The stored value behind an alias (a reshape of something stored)."""
        while v in self.aliases:
            v = self.aliases[v]
        return v

    def is_base(self, v: Value) -> bool:
        """Whether a value can be read from memory (or a local), not computed again."""
        return v in self.values or v in self.params or v in self.aliases

    def _make(self, v: Value, op: Op, promoted: set[Value]) -> Root:
        emit = op.prim.emit
        if isinstance(emit, Fold):
            dims, axes = op.args[0].shape, op.attrs["axes"]
            par = tuple(d for d in range(len(dims)) if d not in axes)
            return Root(v, op, "fold", dims, par)
        if isinstance(emit, Call) and emit.name == "dot":
            (ca,), _ = op.attrs["contract"]
            k = op.args[0].shape[ca]
            dims = (*v.shape, k)
            return Root(v, op, "gemm", dims, tuple(range(v.ndim)))
        if op in self.chains:
            return Root(v, op, "scatter", op.args[1].shape, (), chain=self.chains[op])
        if not is_inline(op) or (has_many_pieces(op) and (v in promoted or _by_rows(op))):
            return Root(v, op, "call", v.shape, tuple(range(v.ndim)))
        return Root(v, op, "store", v.shape, tuple(range(v.ndim)))

    def _output(self, v: Value, position: int) -> Value:
        """The value that fills output `position`: the root itself, or a copy of what is shared."""
        if v in self.values and v not in self.block.outs[:position]:
            return v
        copy = Value(v.aval, v.hint)
        self.values[copy] = Root(copy, None, "store", v.shape, tuple(range(v.ndim)), source=v)
        return copy

    def _analyse(self, r: Root) -> None:
        if r.kind == "gemm":
            self._gemm_accesses(r)
            return
        if r.kind == "part":
            return
        seen: set[tuple[Value, tuple[Index, ...]]] = set()
        for v, index in self.start(r):
            self._walk(r, v, index, seen)
        if r.kind == "store" and r.op is not None:
            r.breaks.extend(boundaries(r.op, identity(len(r.dims))))
        r.breaks = sorted(set(r.breaks))

    def start(self, r: Root) -> list[tuple[Value, tuple[Index, ...]]]:
        """What a root reads first, indexed by its own domain."""
        here = identity(len(r.dims))
        if r.op is None:
            assert r.source is not None
            return [(r.source, here)]
        if r.kind == "fold":
            return [(r.op.args[0], here)]
        if r.kind == "store":
            return list(reads(r.op, here, self.defs))
        if r.kind == "scatter":
            x = r.chain[0].args[0]
            found = [(x, (DYNAMIC,) * x.ndim)]
            for op in r.chain:
                found += [(i, here[: i.ndim]) for i in op.args[2:]]
                found.append((op.args[1], here))
            return found
        # A nest of its own shape: nothing is aligned with it, but the matrices of a stack.
        n = batches(r)
        args = self.pieces.get(r.op, r.op.args)
        return [(a, (*here[:n], *(DYNAMIC,) * (a.ndim - n))) for a in args]

    def _walk(
        self,
        r: Root,
        v: Value,
        index: tuple[Index, ...],
        seen: set[tuple[Value, tuple[Index, ...]]],
    ) -> None:
        if type(v) is Const or (v, index) in seen:
            return
        seen.add((v, index))
        if self.is_base(v):
            r.accesses.append(self._access(v, index))
            return
        op = self.defs[v]
        r.breaks.extend(boundaries(op, index))
        for a, ia in reads(op, index, self.defs):
            self._walk(r, a, ia, seen)

    def _access(self, v: Value, index: tuple[Index, ...]) -> Access:
        """An access, seen through reshapes as far as leading dims keep their extents."""
        while v in self.aliases:
            inner = self.aliases[v]
            same = 0
            while same < min(v.ndim, inner.ndim) and v.shape[same] == inner.shape[same]:
                same += 1
            index = (*index[:same], *(DYNAMIC,) * (inner.ndim - same))
            v = inner
        return Access(v, index)

    def _gemm_accesses(self, r: Root) -> None:
        """Domain of a product: its value's dims (batch, m, n), then k."""
        assert r.op is not None
        (ca,), (cb,) = r.op.attrs["contract"]
        nb = len(r.op.attrs["batch"][0])
        k, m, n = len(r.dims) - 1, nb, nb + 1
        for a, c, free in ((r.op.args[0], ca, m), (r.op.args[1], cb, n)):
            index = [(d, 0, 1) for d in range(nb)]
            index += [(k, 0, 1) if d == c else (free, 0, 1) for d in range(nb, a.ndim)]
            stored, perm = self.untransposed(a)
            back: list[Index] = [DYNAMIC] * stored.ndim
            for j, p in enumerate(perm):
                back[p] = index[j]
            r.matrices.append(Access(stored, tuple(back)))
            r.accesses.append(self._access(stored, tuple(back)))


def _by_rows(op: Op) -> bool:
    """Whether arrays are joined along an axis that no vector loop need go along."""
    (out,) = op.outs
    return out.ndim == 1 or op.attrs["axis"] < out.ndim - 1


def _chains(block: Block, defs: Mapping[Value, Op]) -> dict[Op, tuple[Op, ...]]:
    """Sums into places that the data say, by the last op of those that one pass can add up."""
    found: dict[Op, tuple[Op, ...]] = {}
    uses = use_counts(block)
    for op in block.ops:
        if not _any_order(op, defs) or all(n == 1 for n in op.args[1].shape):
            continue
        x, upd, *at = op.args
        before = defs.get(x)
        same = (
            before in found
            and before is not None
            and before.prim is op.prim
            and uses[x] == 1
            and before.attrs == op.attrs
            and before.args[1].shape == upd.shape
            and before.args[2].ndim == at[0].ndim
        )
        found[op] = (*found.pop(before), op) if same and before is not None else (op,)
    return found


def _any_order(op: Op, defs: Mapping[Value, Op]) -> bool:
    """Whether it does not matter in which order the elements of an op are put into places."""
    if op.prim.name == "scatter":
        put = defs.get(op.args[1])
        return put is not None and put.prim.name == "broadcast" and type(put.args[0]) is Const
    return op.prim.name == "scatter_add"


def _elements(block: Block, defs: Mapping[Value, Op]) -> set[Value]:
    """Elements of arrays that are updated: read where the program reads them, before it changes."""
    writes = (op for op in block.ops if op.blocks or op.prim.name in ("scatter", "scatter_add"))
    updated = {a for op in writes for a in op.args if a.ndim}
    found: set[Value] = set()
    for op in block.ops if updated else ():
        if len(op.outs) != 1 or op.outs[0].ndim or not op.args:
            continue
        a = op.args[0]
        inner = defs.get(a)
        if op.prim.name == "reshape" and inner is not None and inner.prim.name == "slice":
            a = inner.args[0]
        if a in updated and op.prim.name in ("gather", "reshape"):
            found.update(op.outs)
    return found

"""Which dim of each value is its rows, and which ops do their work on any part of the rows.

A family of dims (partition.py) may lie in a value more than once: of the distances between all
points, one dim is the rows and the other is whole.  So an operand is read in a form: by rows along
one of its dims, or as a whole.  A value that is wanted in another form than it is made in has a
second name there, and a stage that reads it so waits for all of it.  What cannot work on parts
(sorts and sums along the rows, decompositions) runs once, on whole values.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from math import prod

from ..ir import ops as o
from ..ir.access import NOTHING, Index, identity, is_inline, reads
from ..ir.core import Block, Const, Op, Value
from ..ir.prim import Call, Fold
from ..ir.records import dataclass
from ..ir.types import Aval, Extent
from .roots import STACKED

# How the results of the parts become one, by the name of the row that reduces.
COMBINED_BY = {
    "sum": "add", "dot": "add", "prod": "multiply", "max": "maximum", "min": "minimum",
    "any": "logical_or", "all": "logical_and", "scatter_add": "add",
}  # fmt: skip
HALO = 32  # by how many rows the dims of a family differ, and how far from its own a row reads
_ALONG = ("argmax", "argmin", "cumsum", "cumprod", "cummax", "cummin", "sort", "argsort")
_SPARSE = 4  # how many places there may be for each number that is added to one of them
Rows = Mapping[Hashable, int]  # the classes of dims that are rows; how many elements of it are one


@dataclass(frozen=True, eq=False)
class Rowwise:
    """A block in which each value has at most one dim of rows.

    carries   the ops on rows, and whether their results have rows (else they are partial)
    same      values that are the array of another one, in another form
    numbers   row numbers that only say which row a gather reads, with what makes them
    inner     partial results to which the same stage adds more
    origin    the ops of the block it was made from, by those of this one
    """

    block: Block
    carries: dict[Op, bool]
    same: dict[Value, Value]
    numbers: dict[Value, Op]
    inner: set[Value]
    origin: dict[Op, Op]


@dataclass(frozen=True)
class _Form:
    """The dim of rows of each operand and of the results of an op on rows; None for a whole one."""

    args: tuple[int | None, ...]
    out: int | None


def is_row(n: int, rows: Rows) -> bool:
    """Whether a dim with this extent is one of the rows."""
    return isinstance(n, Extent) and n.label in rows


def row_dims(v: Value, rows: Rows) -> list[int]:
    """The dims of a value that are rows."""
    return [] if type(v) is Const else [d for d, n in enumerate(v.shape) if is_row(n, rows)]


def elements(v: Value, dim: int, rows: Rows) -> int:
    """How many elements along a dim of rows are one row."""
    n = v.shape[dim]
    assert isinstance(n, Extent)
    return rows[n.label]


def fills(op: Op) -> bool:
    """Whether an op makes an array of one number."""
    return op.prim is o.broadcast and type(op.args[0]) is Const


def rowwise(block: Block, rows: Rows, serial: Collection[Op] = ()) -> Rowwise:
    """The block by rows; the ops in `serial` run once, whatever they are."""
    return _Maker(block, rows, serial).made()


def counted(block: Block, rows: Rows) -> Block:
    """The block in which numbers of rows are counted along one dim, and repeated along others."""
    ops: list[Op] = []
    for op in block.ops:
        if op.prim is o.iota and op.outs[0].ndim > 1:
            (v,), axis = op.outs, op.attrs["axis"]
            if axis in row_dims(v, rows):
                line = Value(Aval(v.dtype, (v.shape[axis],)), v.hint)
                attrs = {**op.attrs, "axis": 0, "shape": (int(v.shape[axis]),)}
                ops.append(Op(o.iota, (), attrs, (line,), {}, op.where))
                axes = tuple(d for d in range(v.ndim) if d != axis)
                attrs = {"shape": op.attrs["shape"], "axes": axes}
                op = Op(o.broadcast, (line,), attrs, op.outs, {}, op.where)
        ops.append(op)
    return Block(block.params, tuple(ops), block.outs)


class _Maker:
    """The new block, op by op."""

    def __init__(self, block: Block, rows: Rows, serial: Collection[Op]) -> None:
        self._old, self._rows, self._serial = block, rows, serial
        self._made: dict[Value, Value] = {}  # of values with rows: as they are made
        self._forms: dict[tuple[Value, int | None], Value] = {}
        self._carried: dict[Value, int] = {}  # the dim of rows of what a stage may have in parts
        self._counts = {
            op.outs[0]: op
            for op in block.ops
            if op.prim is o.iota and self._dims(op.outs[0]) == [0]
        }
        self._uses: dict[Value, int] = {}
        for v in (*(a for op in block.ops for a in op.args), *block.outs):
            self._uses[v] = self._uses.get(v, 0) + 1
        self._zeros = {op.outs[0] for op in block.ops if fills(op) and _is_zero(op.args[0])}
        self._sums: set[Value] = set()  # what was added to places, from zeros
        self._ops: list[Op] = []
        self._done = Rowwise(block, {}, {}, {}, set(), {})

    def made(self) -> Rowwise:
        params = tuple([self._first(p, 0) for p in self._old.params])
        for op in self._old.ops:
            form = None if op in self._serial else self._form(op)
            if form is None:
                self._once(op)
            elif op.prim is o.scatter_add:
                self._add_up(op, form)
            else:
                self._by_rows(op, form)
        outs = tuple([self._made.get(v, v) for v in self._old.outs])
        used = {a for op in self._ops for a in op.args}
        used.update(self._done.same.get(v, v) for v in (*used, *outs))
        ops = [op for op in self._ops if op.prim is not o.iota or op.outs[0] in used]
        return replace(self._done, block=Block(params, tuple(ops), outs))

    # -------------------------------------------------------------- values

    def _dims(self, v: Value) -> list[int]:
        return row_dims(v, self._rows)

    def _first(self, v: Value, dim: int | None) -> Value:
        """A value as it is made: with rows along a dim, if that may be rows."""
        dims = self._dims(v)
        if not dims:
            return v
        made = self._made[v] = self._marked(v, dim)
        self._forms[v, dim if dim in dims else None] = made
        return made

    def _marked(self, v: Value, dim: int | None) -> Value:
        """A new value of which no dim but this one is rows."""
        shape = [int(n) if d != dim and is_row(n, self._rows) else n for d, n in enumerate(v.shape)]
        return Value(Aval(v.dtype, tuple(shape)), v.hint)

    def _as(self, v: Value, dim: int | None) -> Value:
        """A value with its rows along a dim, or as a whole."""
        if type(v) is Const or not self._dims(v):
            return v
        if (v, dim) not in self._forms:
            twin = self._forms[v, dim] = self._marked(v, dim)
            self._done.same[twin] = self._made[v]
        return self._forms[v, dim]

    # ----------------------------------------------------------------- ops

    def _put(self, op: Op, source: Op, carries: bool | None = None) -> None:
        self._ops.append(op)
        self._done.origin[op] = source
        if carries is not None:
            self._done.carries[op] = carries

    def _once(self, op: Op) -> None:
        if any(map(self._dims, (*op.args, *op.outs))):
            args = tuple([self._made.get(a, a) for a in op.args])
            outs = tuple([self._first(v, 0) for v in op.outs])
            self._put(Op(op.prim, args, op.attrs, outs, op.blocks, op.where), op)
        else:
            self._put(op, op)

    def _by_rows(self, op: Op, form: _Form) -> None:
        args = [self._as(a, d) for a, d in zip(op.args, form.args, strict=True)]
        if op.prim is o.gather and op.args[1] in self._counts:
            (x, first), axis = op.args[:2], op.attrs["axes"][0]
            if form.args[0] == axis and axis in self._dims(x):  # these say which row is read
                number = Value(args[1].aval, first.hint)
                count = self._counts[first]
                self._put(Op(o.iota, (), count.attrs, (number,), {}, count.where), op, True)
                self._done.numbers[number] = self._ops[-1]
                args[1] = number
        outs = tuple([self._first(v, form.out) for v in op.outs])
        new = Op(op.prim, tuple(args), op.attrs, outs, op.blocks, op.where)
        self._put(new, op, form.out is not None)
        if form.out is not None:
            self._carried.update((v, form.out) for v in op.outs)

    def _add_up(self, op: Op, form: _Form) -> None:
        """Sums into places: those of the parts from zeros; then what was there is added."""
        x, (out,) = op.args[0], op.outs
        rest = [self._as(a, d) for a, d in zip(op.args[1:], form.args[1:], strict=True)]
        total = self._first(out, None)
        self._sums.add(out)
        alone = x in self._sums and self._uses[x] == 1
        if alone or (x in self._zeros and not self._dims(x)):
            args = (self._made.get(x, x), *rest)
            self._done.inner.update({args[0]} if alone else ())
            self._put(Op(op.prim, args, op.attrs, (total,), {}, op.where), op, False)
            return
        zeros, added = Value(Aval(out.dtype, tuple(map(int, out.shape)))), Value(total.aval)
        attrs = {"shape": zeros.shape, "axes": tuple(range(out.ndim))}
        self._put(Op(o.broadcast, (Const(0, out.dtype),), attrs, (zeros,), {}, op.where), op)
        self._put(Op(op.prim, (zeros, *rest), op.attrs, (added,), {}, op.where), op, False)
        self._put(Op(o.add, (self._made.get(x, x), added), {}, (total,), {}, op.where), op)
        self._sums.discard(out)

    # --------------------------------------------------------------- forms

    def _form(self, op: Op) -> _Form | None:
        """How an op works on parts of the rows; None if it runs once."""
        values = (*op.args, *op.outs)
        if (
            not op.outs
            or op.blocks
            or not any(map(self._dims, values))
            or op.outs[0] in self._counts
        ):
            return None
        emit = op.prim.emit
        if op.prim is o.iota:
            return next((_Form((), d) for d in self._dims(op.outs[0])), None)
        if op.prim is o.scatter_add:
            return self._of_sums(op)
        if is_inline(op):
            return self._of_inline(op)
        if op.prim is o.reshape:
            return self._of_reshape(op)
        if isinstance(emit, Fold):
            return self._of_fold(op)
        if isinstance(emit, Call) and emit.name == "dot":
            return self._of_product(op)
        if (
            isinstance(emit, Call) and emit.name in STACKED
        ):  # one matrix of the stack, then the next
            stacks = all(v.ndim > 2 and 0 in self._dims(v) for v in values)
            return _Form((0,) * len(op.args), 0) if stacks else None
        if op.prim.name in _ALONG:
            return self._of_lines(op)
        return None

    def _prefers(self, v: Value, dims: Sequence[int]) -> int | None:
        """Of these dims the one that is rows already, else the first."""
        known = self._carried.get(v)
        return known if known in dims else next(iter(dims), None)

    def _of_inline(self, op: Op) -> _Form | None:
        """Row k reads nothing of other rows than those near row k, or reads whole values.

        Where a window of something that is no row is written or read, each part knows which of it
        are its own.
        """
        (out,) = op.outs
        dims = self._dims(out)
        if not dims or (op.prim is o.concatenate and op.attrs["axis"] in dims):
            return None
        chosen = op.prim is o.gather and op.attrs["axes"][0] in self._dims(op.args[0])
        read = list(reads(op, identity(out.ndim), self._counts if chosen else NOTHING))
        to = self._result_dim(op, dims, read)
        found: dict[Value, int | None] = {}
        for a, index in read:
            follows = [j for j, (d, _, _) in enumerate(index) if d == to]
            dim: int | None = None
            for j in follows:
                _, off, step = index[j]
                moves = op.prim is o.slice_ or op.prim is o.pad
                if off is None or step != 1 or len(follows) > 1:
                    return None
                near = j in self._dims(a) and (off == 0 or (moves and abs(off) <= HALO))
                if not near and not moves:
                    return None
                dim = j if near else None
            if found.setdefault(a, dim) != dim:
                return None
        return _Form(tuple([found.get(a) for a in op.args]), to)

    def _result_dim(
        self, op: Op, dims: list[int], read: Sequence[tuple[Value, tuple[Index, ...]]]
    ) -> int:
        """Which dim of an inline op's result is rows: that of its operands, if they agree."""
        wanted = {index[self._carried[a]][0] for a, index in read if a in self._carried}
        wanted &= set(dims)
        if len(wanted) != 1 or (op.prim is o.broadcast and dims[0] == 0):
            return dims[0]
        return next(iter(wanted))

    def _of_reshape(self, op: Op) -> _Form | None:
        """One that takes apart or merges dims on either side of the rows."""
        (x,), (out,) = op.args, op.outs
        for d in self._dims(out):
            before, n = prod(out.shape[:d]), out.shape[d] // elements(out, d, self._rows)
            for e in self._dims(x):
                same = prod(x.shape[:e]) == before
                if same and n * elements(x, e, self._rows) == x.shape[e]:
                    return _Form((e,), d) if self._carried.get(x, e) == e else None
        return None

    def _of_fold(self, op: Op) -> _Form | None:
        x, axes = op.args[0], op.attrs["axes"]
        if (d := self._prefers(x, self._dims(x))) is None or len(op.args) > 1:
            return None
        if d in axes:
            return _Form((d,), None) if _combines(op) else None
        return _Form((d,), d - sum(a < d for a in axes))

    def _of_product(self, op: Op) -> _Form | None:
        """The rows of a stack, of the left factor, those that are summed over, or columns."""
        nb = len(op.attrs["batch"][0])
        (cx,), (cy,) = op.attrs["contract"]
        fx, fy = 2 * nb + 1 - cx, 2 * nb + 1 - cy
        ways = [_Form((d, d), d) for d in range(nb)]
        ways += [_Form((fx, None), nb), _Form((cx, cy), None), _Form((None, fy), nb + 1)]
        costs: list[tuple[float, int]] = []
        for k, way in enumerate(ways):
            pairs = list(zip(op.args, way.args, strict=True))
            if any(d is not None and d not in self._dims(v) for v, d in pairs):
                continue
            if way.out is not None or _combines(op):
                costs.append((sum(self._waits(v, d) for v, d in pairs), k))
        return ways[min(costs)[1]] if costs else None

    def _waits(self, v: Value, dim: int | None) -> float:
        """What must be stored to read a value in some form; rows lie apart but first."""
        if v in self._carried:
            return 0.0 if self._carried[v] == dim else float(v.aval.size)
        return 0.5 * v.aval.size if dim else 0.0

    def _of_lines(self, op: Op) -> _Form | None:
        """One that looks along an axis, line by line: the lines are rows."""
        x, (out,), axis = op.args[0], op.outs, op.attrs["axis"]
        d = self._prefers(x, [d for d in self._dims(x) if d != axis])
        if d is None or any(self._carried.get(a, d) != d for a in op.args):
            return None
        to = d - (out.ndim < x.ndim and axis < d)
        return _Form((d,) * len(op.args), to) if to in self._dims(out) else None

    def _of_sums(self, op: Op) -> _Form | None:
        """Additions to elements that the data names: the parts give partial results."""
        x, updates, *index = op.args
        d = self._prefers(updates, [d for d in self._dims(updates) if d < index[0].ndim])
        if d is None or any(d not in self._dims(i) or i.shape != index[0].shape for i in index):
            return None
        if any(self._carried.get(i, d) != d for i in index) or not _combines(op):
            return None
        if x.aval.size > _SPARSE * updates.aval.size:
            return None
        return _Form((None, d, *(d for _ in index)), None)


def _is_zero(v: Value) -> bool:
    return isinstance(v, Const) and bool(v.data == 0)


def _combines(op: Op) -> bool:
    return op.prim.name in COMBINED_BY and op.outs[0].aval.kind in "fib"

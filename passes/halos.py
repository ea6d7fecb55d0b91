"""The rows of each value that one part of a partition works on, and the part as a function.

Most parts read the rows they write.  A stencil reads some beside them: then a part is given these,
too, and computes again what it needs of other parts' intermediate values, so that none waits for
another.  What a part needs follows backwards from its results.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from ..ir import ops as o
from ..ir.access import identity, is_inline, reads
from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value
from ..ir.records import dataclass
from .partition import SHAPED, Partition
from .rowwise import elements, row_dims
from .stages import Stage

Span = tuple[int, int]  # the rows [low, high) of a value


@dataclass(frozen=True, eq=False)
class Part:
    """The rows [low, high) of a stage; `spans` are those it reads or computes of each value."""

    partition: Partition
    stage: Stage
    low: int
    high: int
    spans: Mapping[Value, Span]

    def own(self, v: Value) -> Span:
        """The rows of a value that belong to this part alone; to the last one what is left."""
        (d,) = self.dims(v)
        many = elements(v, d, self.partition.rows)
        end = self.high == self.partition.extent
        return self.low * many, int(v.shape[d]) if end else self.high * many

    def like(self, x: Value, v: Value, span: Span) -> Span:
        """The rows of a value that are these of another one."""
        (d,), (e,) = self.dims(x), self.dims(v)
        many, of = elements(x, d, self.partition.rows), elements(v, e, self.partition.rows)
        return span[0] * many // of, span[1] * many // of

    def dims(self, v: Value) -> list[int]:
        """The dims of a value that are rows."""
        return row_dims(v, self.partition.rows) if self.stage.rows else []

    @property
    def given(self) -> tuple[Span | None, ...]:
        """The rows of each value that the stage reads; None for a whole value."""
        return tuple(self.spans.get(v) for v in self.stage.reads)

    @property
    def results(self) -> tuple[Span | None, ...]:
        """The rows of each value that the stage writes; None for a partial result."""
        return tuple(self.own(v) if self.dims(v) else None for v in self.stage.writes)

    @property
    def form(self) -> Hashable:
        """Parts with equal forms are the same function."""
        spans = tuple((v, a - self.own(v)[0], b - a) for v, (a, b) in self.spans.items())
        own = tuple(high - low for low, high in map(self.own, self._whole()))
        return spans, own, tuple(self._windows())

    def _whole(self) -> Iterator[Value]:
        """The values of which the part takes or writes its own rows and no other."""
        yield from filter(self.dims, self.stage.writes)
        for op in self.stage.ops:
            if op.outs and not self.dims(op.outs[0]):
                yield from filter(self.dims, op.args)

    def _windows(self) -> Iterator[Hashable]:
        """Where the part stands in values that are no rows, of which all parts have the whole."""
        for op in self.stage.ops:
            moves = op.prim is o.slice_ or op.prim is o.pad
            if not moves or op.outs[0] not in self.spans or self.dims(op.args[0]):
                continue
            a, b = _put(self, op) if op.prim is o.pad else self.spans[op.outs[0]]
            yield (a, b, self.low) if a < b else None

    def shape(self, v: Value) -> tuple[int, ...]:
        """The shape of what this part has of a value."""
        shape = list(map(int, v.shape))
        if v in self.spans:
            (d,) = self.dims(v)
            low, high = self.spans[v]
            shape[d] = high - low
        return tuple(shape)


def part(p: Partition, stage: Stage, low: int = 0, high: int = 0) -> Part:
    """The rows [low, high) of a stage, or a stage that runs once."""
    spans: dict[Value, Span] = {}
    made = Part(p, stage, low, high, spans)

    def want(v: Value, rows: Span) -> None:
        a, b = spans.get(v, rows)
        spans[v] = min(a, rows[0]), max(b, rows[1])

    for v in stage.writes if stage.rows else ():
        if made.dims(v):
            want(v, made.own(v))
    for op in reversed(stage.ops) if stage.rows else ():
        if not made.dims(op.outs[0]):  # a reduction takes every row once
            for x in op.args:
                if made.dims(x):
                    want(x, made.own(x))
            continue
        for v in op.outs:
            if v in spans:
                want(op.outs[0], spans[v])
        if op.outs[0] in spans:
            for v in op.outs:
                want(v, spans[op.outs[0]])
            for x, rows in _wanted(made, op):
                want(x, rows)
    for v in stage.reads if stage.rows else ():
        if made.dims(v):
            spans.setdefault(v, made.own(v))
    return made


def _wanted(part: Part, op: Op) -> Iterator[tuple[Value, Span]]:
    """The rows of its operands that an op reads for those of its result."""
    low, high = part.spans[op.outs[0]]
    if not is_inline(op):
        rows = low, high
        yield from ((x, part.like(x, op.outs[0], rows)) for x in op.args if part.dims(x))
        return
    for x, index in reads(op, identity(op.outs[0].ndim), part.partition.numbers):
        for d in part.dims(x):
            n, off = int(x.shape[d]), index[d][1]
            a, b = max(low + off, 0), min(high + off, n)
            if a < b:
                yield x, (a, b)


def function_of(part: Part) -> Function:
    """The part as a function of what it is given."""
    stage, spans = part.stage, part.spans
    env = {v: Value(type(v.aval)(v.dtype, part.shape(v)), v.hint) for v in stage.reads}
    own = set(stage.ops)
    fills = {v: op for v, op in part.partition.fills.items() if op not in own}
    with Builder(tuple(env.values()), number=False) as b:
        for v in dict.fromkeys(a for op in stage.ops for a in op.args if a in fills):
            (env[v],) = b.add(fills[v].prim, fills[v].args, fills[v].attrs)

        def rows(x: Value, wanted: Span) -> Value:
            """These rows of a value."""
            low = spans[x][0]
            return _window(env[x], part.dims(x)[0], wanted[0] - low, wanted[1] - low)

        for op in stage.ops:
            b.where = op.where
            out = op.outs[0] if op.outs else None
            on_rows = out is not None and bool(part.dims(out))
            if on_rows and out not in spans:
                continue
            if on_rows and op.prim.name in ("slice", "pad"):
                env[op.outs[0]] = _moved(part, op, env)
                continue
            args = [
                rows(
                    x, part.like(x, out, spans[out]) if out is not None and on_rows else part.own(x)
                )
                if part.dims(x)
                else env.get(x, x)
                for x in op.args
            ]
            attrs = dict(op.attrs)
            if on_rows and op.prim.name in SHAPED:
                attrs[SHAPED[op.prim.name]] = part.shape(op.outs[0])
            outs = b.add(op.prim, args, attrs, op.blocks, [v.hint for v in op.outs])
            env.update(zip(op.outs, outs, strict=True))
        results = [
            rows(v, r) if r is not None else env.get(v, v)
            for v, r in zip(stage.writes, part.results, strict=True)
        ]
        return Function(part.partition.name, b.done(results))


def _window(x: Value, dim: int, low: int, high: int) -> Value:
    """The rows [low, high) of a value along a dim."""
    if (low, high) == (0, x.shape[dim]):
        return x
    start = tuple(low if d == dim else 0 for d in range(x.ndim))
    size = tuple(high - low if d == dim else n for d, n in enumerate(x.shape))
    return o.slice_(x, start=start, size=size, step=(1,) * x.ndim)


def _moved(part: Part, op: Op, env: Mapping[Value, Value]) -> Value:
    """A slice or a pad that moves rows: what of it falls on the rows of the part."""
    (x,), (out,) = op.args, op.outs
    (dim,) = part.dims(out)
    low, _ = part.spans[out]
    start, step = list(op.attrs["start"]), op.attrs["step"]
    at, _ = part.spans.get(x, (0, 0))
    if op.prim is o.slice_:
        start[dim] += low - at
        return o.slice_(env[x], start=tuple(start), size=part.shape(out), step=step)
    a, b = _put(part, op)
    if a >= b:
        zero = Const(0, out.aval.dtype)
        return o.broadcast(zero, shape=part.shape(out), axes=tuple(range(out.ndim)))
    inner = _window(env.get(x, x), dim, a - at, b - at)
    start[dim] += a - low
    return o.pad(inner, shape=part.shape(out), start=tuple(start), step=step)


def _put(part: Part, op: Op) -> Span:
    """The rows of its operand that a pad puts on the rows of the part; none if they end first."""
    (x,), (out,) = op.args, op.outs
    (dim,) = part.dims(out)
    low, high = part.spans[out]
    at, end = part.spans.get(x, (0, int(x.shape[dim])))
    start = op.attrs["start"][dim]
    return max(low - start, at), min(high - start, end)

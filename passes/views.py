"""Normal form of ops that move elements: views compose, and those that do nothing vanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.core import Const, Value
from ..ir.ops.index import gather
from ..ir.ops.shape import broadcast, concatenate, pad, permuted, reshape, slice_, transpose
from ..ir.ops.shape import zeros as zeros_of
from .normal import Normal, Step, missing

Attrs = Mapping[str, Any]
Args = tuple[Value, ...]


def _reshape(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    (x,), shape = args, attrs["shape"]
    if x.shape == shape:
        return x
    op = b.made_by(x, "reshape", "broadcast")
    if op is None:
        return _with_ones(x, shape)
    if op.prim is reshape:
        return reshape(op.args[0], shape=shape)
    inner = op.args[0]
    if not inner.shape:  # a scalar repeated
        return broadcast(inner, shape=shape, axes=tuple(range(len(shape))))
    if all(op.attrs["shape"][a] == 1 for a in op.attrs["axes"]):
        return reshape(inner, shape=shape)
    kept = [(n, i in op.attrs["axes"]) for i, n in enumerate(x.shape) if n != 1]
    if [n for n, _ in kept] != [n for n in shape if n != 1] or not kept:
        return None
    # Only extents of one come or go: the same repetition, in the other shape.
    new = iter(kept)
    marks = [n == 1 or next(new)[1] for n in shape]
    core = reshape(inner, shape=tuple(n for n in inner.shape if n != 1))
    return broadcast(core, shape=shape, axes=tuple(i for i, m in enumerate(marks) if m))


def _with_ones(x: Value, shape: tuple[int, ...]) -> Value | None:
    """Extents of one that are inserted are new axes."""
    core = tuple(n for n in shape if n != 1)
    if len(core) == len(shape) or core != x.shape:
        return None
    return broadcast(x, shape=shape, axes=tuple(i for i, n in enumerate(shape) if n == 1))


def _broadcast(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    (x,), shape, axes = args, attrs["shape"], attrs["axes"]
    if not axes:
        return x
    op = b.made_by(x, "broadcast", "reshape")
    if op is None:
        return None
    if op.prim is broadcast:
        outer = [i for i in range(len(shape)) if i not in axes]
        within = tuple(outer[a] for a in op.attrs["axes"])
        return broadcast(op.args[0], shape=shape, axes=tuple(sorted((*axes, *within))))
    inner = op.args[0].shape
    if [n for n in x.shape if n != 1] != list(inner) or 1 in inner:
        return None
    # The reshape inserted extents of one: new axes like the others.
    outer = [i for i in range(len(shape)) if i not in axes]
    ones = (outer[k] for k, n in enumerate(x.shape) if n == 1)
    return broadcast(op.args[0], shape=shape, axes=tuple(sorted((*axes, *ones))))


def _transpose(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    (x,), perm = args, attrs["perm"]
    if perm == tuple(range(len(perm))):
        return x
    if [p for p in perm if x.shape[p] != 1] == [k for k, n in enumerate(x.shape) if n != 1]:
        return reshape(x, shape=tuple(x.shape[p] for p in perm))
    op = b.made_by(x, "transpose", "broadcast")
    if op is None:
        return None
    if op.prim is transpose:
        first = op.attrs["perm"]
        return transpose(op.args[0], perm=tuple(first[p] for p in perm))
    old = op.attrs["axes"]
    kept = missing(old, len(perm))
    order = tuple(kept.index(p) for p in perm if p not in old)
    inner = transpose(op.args[0], perm=order)
    shape = tuple(x.shape[p] for p in perm)
    return broadcast(inner, shape=shape, axes=tuple(i for i, p in enumerate(perm) if p in old))


def _slice(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    (x,), start, size, step = args, attrs["start"], attrs["size"], attrs["step"]
    if size == x.shape and not any(start) and all(s == 1 for s in step):
        return x
    normal = tuple(1 if n <= 1 else s for n, s in zip(size, step, strict=True))
    if normal != step:  # one element has no direction
        return slice_(x, start=start, size=size, step=normal)
    op = b.made_by(x, "slice", "broadcast", "concatenate", "pad", "reshape")
    if op is None:
        return None
    if op.prim is slice_:
        at, by = op.attrs["start"], op.attrs["step"]
        return slice_(
            op.args[0],
            start=tuple(a + s * k for a, s, k in zip(at, by, start, strict=True)),
            size=size,
            step=tuple(s * k for s, k in zip(by, step, strict=True)),
        )
    if op.prim is broadcast:
        kept = missing(op.attrs["axes"], len(size))
        picked = ((start[i], size[i], step[i]) for i in kept)
        inner = op.args[0]
        if kept:
            at, n, by = zip(*picked, strict=True)
            inner = slice_(inner, start=at, size=n, step=by)
        return broadcast(inner, shape=size, axes=op.attrs["axes"])
    if op.prim is concatenate:
        return _part(op.args, op.attrs["axis"], start, size, step)
    if op.prim is pad:
        return _unpadded(op.args[0], op.attrs, start, size, step)
    return _row(op.args[0], x.shape, start, size, step)


Dims = tuple[int, ...]


def _part(parts: Args, axis: int, start: Dims, size: Dims, step: Dims) -> Value | None:
    """A slice that reads one part of a concatenation only."""
    low, high = sorted((start[axis], start[axis] + (size[axis] - 1) * step[axis]))
    at = 0
    for p in parts:
        end = at + p.shape[axis]
        if at <= low and high < end and size[axis]:
            inside = (*start[:axis], start[axis] - at, *start[axis + 1 :])
            return slice_(p, start=inside, size=size, step=step)
        at = end
    return None


def _unpadded(x: Value, attrs: Attrs, start: Dims, size: Dims, step: Dims) -> Value | None:
    """A slice of a pad that reads only what was there before, or only zeros."""
    inside = []
    for k, n in enumerate(x.shape):
        at, by = attrs["start"][k], attrs["step"][k] if n > 1 else 1
        rows = [start[k] + i * step[k] for i in (0, max(size[k] - 1, 0))]
        low, high = min(rows), max(rows)
        ends = sorted((at, at + max(n - 1, 0) * by))
        if size[k] and n and (high < ends[0] or low > ends[1]):
            return zeros_of(type(x.aval)(x.aval.dtype, size))
        if not n or not size[k] or by not in (1, -1) or low < ends[0] or high > ends[1]:
            return None
        inside.append(((start[k] - at) * by, step[k] * by))
    first, steps = zip(*inside, strict=True) if inside else ((), ())
    return slice_(x, start=first, size=size, step=steps)


def _row(x: Value, shape: Dims, start: Dims, size: Dims, step: Dims) -> Value | None:
    """A slice through a reshape that only inserted or dropped extents of one."""
    if [n for n in x.shape if n != 1] != [n for n in shape if n != 1] or 0 in size:
        return None
    places = iter([k for k, n in enumerate(shape) if n != 1])
    source = [None if n == 1 else next(places) for n in x.shape]
    inner = slice_(
        x,
        start=tuple(0 if k is None else start[k] for k in source),
        size=tuple(1 if k is None else size[k] for k in source),
        step=tuple(1 if k is None else step[k] for k in source),
    )
    return reshape(inner, shape=size)


def _pad(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    (x,), shape, start, step = args, attrs["shape"], attrs["start"], attrs["step"]
    if shape == x.shape and not any(start) and all(s == 1 for s in step):
        return x
    op = b.made_by(x, "pad", "neg", "broadcast")
    if op is None:
        return None
    inner = op.args[0]
    if op.prim is pad:
        at, by = op.attrs["start"], op.attrs["step"]
        return pad(
            inner,
            shape=shape,
            start=tuple(s + k * a for s, k, a in zip(start, step, at, strict=True)),
            step=tuple(k * s for k, s in zip(step, by, strict=True)),
        )
    if op.prim is broadcast:
        zero = isinstance(inner, Const) and inner.data == 0
        return zeros_of(type(x.aval)(x.aval.dtype, shape)) if zero else None
    return -pad(inner, **attrs)


def _concatenate(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    axis = attrs["axis"]
    if len(args) == 1:
        return args[0]
    parts = [p for p in args if p.shape[axis]]
    if parts and len(parts) < len(args):
        return concatenate(*parts, axis=axis)
    joined = _joined(b, args, axis)
    if len(joined) < len(args):
        return concatenate(*joined, axis=axis)
    return None


def _joined(b: Normal, parts: Args, axis: int) -> list[Value]:
    """Neighbouring slices of one array, joined."""
    out: list[Value] = []
    for p in parts:
        whole = _neighbours(b, out[-1], p, axis) if out else None
        if whole is None:
            out.append(p)
        else:
            out[-1] = whole
    return out


def _neighbours(b: Normal, x: Value, y: Value, axis: int) -> Value | None:
    p, q = b.made_by(x, "slice"), b.made_by(y, "slice")
    if p is None or q is None or p.args[0] is not q.args[0]:
        return None
    base = p.args[0]
    rest = [k for k in range(base.ndim) if k != axis]
    same = all(p.attrs[f][k] == q.attrs[f][k] for f in ("start", "size", "step") for k in rest)
    unit = p.attrs["step"][axis] == 1 == q.attrs["step"][axis]
    if not (same and unit and p.attrs["start"][axis] + x.shape[axis] == q.attrs["start"][axis]):
        return None
    size = list(p.attrs["size"])
    size[axis] += y.shape[axis]
    return slice_(base, start=p.attrs["start"], size=tuple(size), step=p.attrs["step"])


def _gather(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """An element or a part at literal indices is a slice."""
    x, *indices = args
    if attrs.get("mode", "raise") != "raise" or not all(type(i) is Const for i in indices):
        return None
    start, size = [0] * x.ndim, list(x.shape)
    for axis, i in zip(attrs["axes"], indices, strict=True):
        at = int(i.data)  # type: ignore[attr-defined]
        at += x.shape[axis] if at < 0 else 0
        if not 0 <= at < x.shape[axis]:
            return None  # left to raise where it runs
        start[axis], size[axis] = at, 1
    part = slice_(x, start=tuple(start), size=tuple(size), step=(1,) * x.ndim)
    return reshape(part, shape=tuple(x.shape[d] for d in missing(attrs["axes"], x.ndim)))


def _gather_of_slice(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """An element or row of a part, read where it lies: kernels gather from arrays in memory.

    An axis of which the part has one place is indexed by that place.
    """
    x, *indices = args
    op = b.made_by(x, "slice")
    if op is None or indices[0].shape or 0 in x.shape:
        return None
    (base,), start, step, axes = op.args, op.attrs["start"], op.attrs["step"], attrs["axes"]
    if any(base.shape[a] != x.shape[a] or step[a] != 1 for a in axes):
        return None
    ones = [d for d in range(x.ndim) if d not in axes and x.shape[d] == 1]
    at = {**dict(zip(axes, indices, strict=True)), **{d: Const(start[d], "i64") for d in ones}}
    where = tuple(sorted(at))
    rest = missing(where, x.ndim)
    part = gather(base, *(at[d] for d in where), **{**attrs, "axes": where})
    if rest:
        place = [[f[d] for d in rest] for f in (start, x.shape, step)]
        part = slice_(part, start=tuple(place[0]), size=tuple(place[1]), step=tuple(place[2]))
    return reshape(part, shape=tuple(x.shape[d] for d in missing(axes, x.ndim)))


def _gather_of_transpose(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A part of a transposed array, read where that lies."""
    x, *indices = args
    op = b.made_by(x, "transpose")
    if op is None:
        return None
    perm, n = op.attrs["perm"], indices[0].ndim
    rest = [perm[d] for d in missing(attrs["axes"], x.ndim)]
    at = dict(zip((perm[a] for a in attrs["axes"]), indices, strict=True))
    where = tuple(sorted(at))
    part = gather(op.args[0], *(at[d] for d in where), **{**attrs, "axes": where})
    return permuted(part, [*range(n), *(n + sorted(rest).index(d) for d in rest)])


def _gather_of_gather(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """Parts of an array along two axes, one after the other, read where it lies."""
    x, *indices = args
    op = b.made_by(x, "gather")
    if op is None or op.attrs != {**attrs, "axes": op.attrs["axes"]}:
        return None
    base, *before = op.args
    if not all(_counts(b, i) for i in (*indices, *before)) or min(attrs["axes"]) < before[0].ndim:
        return None
    rest = missing(op.attrs["axes"], base.ndim)
    along = (*op.attrs["axes"], *(rest[a - before[0].ndim] for a in attrs["axes"]))
    n = indices[0].ndim
    shape = (*indices[0].shape, *before[0].shape)
    wide = [
        *(broadcast(i, shape=shape, axes=tuple(range(n))) for i in before),
        *(broadcast(i, shape=shape, axes=tuple(range(n, len(shape)))) for i in indices),
    ]
    at = dict(zip(along, wide, strict=True))
    where = tuple(sorted(at))
    return gather(base, *(at[d] for d in where), **{**attrs, "axes": where})


def _counts(b: Normal, i: Value) -> bool:
    """Whether an index counts from a place that is computed."""
    while (op := b.made_by(i, "broadcast")) is not None and i.ndim:
        i = op.args[0]
    op = b.made_by(i, "add", "sub")
    return op is not None and any(b.made_by(a, "iota") for a in op.args) and i.ndim == 1


def _scatter(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """What is written again where it was just written."""
    before = b.made_by(args[0], "scatter")
    same = before is not None and before.args[1:] == args[1:] and before.attrs == attrs
    return args[0] if same else None


def _of_the_other(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """The whole of the parts of a complex value is that value, and the parts of a whole are too."""
    op = b.made_by(args[0], "parts", "joined")
    return op.args[0] if op is not None else None


VIEWS: dict[str, tuple[Step, ...]] = {
    "reshape": (_reshape,),
    "broadcast": (_broadcast,),
    "transpose": (_transpose,),
    "slice": (_slice,),
    "pad": (_pad,),
    "concatenate": (_concatenate,),
    "gather": (_gather, _gather_of_slice, _gather_of_transpose, _gather_of_gather),
    "scatter": (_scatter,),
    "parts": (_of_the_other,),
    "joined": (_of_the_other,),
}

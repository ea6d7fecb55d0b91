"""Indexing: basic indices are views, index arrays gather; item assignment is a set of the whole."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Const, Value
from ..ir.records import dataclass
from ..ir.types import broadcast_shapes
from . import mutation
from .errors import TracedBranch
from .record import NoSample, fail, recorder
from .stretches import opened
from .surface import (
    broadcast_all,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    refuse,
    stack_nested,
    value,
    wrap,
)
from .tracer import ENTRY, Tracer
from .watched import bare

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Basic:
    """A strided region of an array, and its shape after dims were dropped and inserted.

    dims    of the result: the dim of the operand it runs along, or None for a new one
    scalar  whether every dim was indexed by an int (NumPy gives a scalar, not a view)
    """

    start: Shape
    size: Shape
    step: Shape
    dims: tuple[int | None, ...]
    scalar: bool

    @property
    def shape(self) -> Shape:
        return tuple(1 if d is None else self.size[d] for d in self.dims)

    @property
    def whole(self) -> bool:
        """Whether the region is dense and starts at the origin."""
        return not any(self.start) and all(s == 1 for s in self.step)


@dataclass(frozen=True)
class Advanced:
    """Index arrays applied after a basic region, and where their dims go in the result.

    basic   the region; its dims are those of the operand that no int dropped
    axes    of the region's result, indexed by `arrays` (values of one shape)
    perm    from gather's dims (index shape, then the rest) to NumPy's order
    shape   of the result, new axes included
    """

    basic: Basic
    arrays: tuple[Value, ...]
    axes: Shape
    perm: Shape
    shape: Shape


class MaskIndex(Exception):  # a signal, not an error
    """The index is one boolean mask that depends on a traced input."""

    def __init__(self, mask: Value) -> None:
        self.mask = mask


# ------------------------------------------------------------------ reading an index


def _items(index: Any, shape: Shape) -> list[Any]:
    """The index as one item per operand dim, and None for new ones: ints, slices, arrays."""
    items = list(index) if type(index) is tuple else [index]
    items = [_item(i) for i in items]
    used = sum(_consumed(i) for i in items)
    if used > len(shape):
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, "
            f"but {used} were indexed"
        )
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    # An ellipsis that stands for no dim still keeps index arrays apart.
    fill: list[Any] = [slice(None)] * (len(shape) - used) or ([Ellipsis] if dots else [])
    at = dots[0] if dots else len(items)
    return items[:at] + fill + items[at + len(dots) :]


def _consumed(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1


def _item(i: Any) -> Any:
    """One item: None, Ellipsis, slice, int, ndarray (ints or bools), or a traced Value."""
    if i is None or i is Ellipsis or type(i) is slice or type(i) is int:
        return i
    if type(i) is Tracer:
        return _traced_item(i)
    if isinstance(i, (list, tuple)):
        if holds_tracer(i):
            return _traced_item(wrap(stack_nested(i)))
        i = np.asarray(i)
        return i.astype(np.intp) if i.size == 0 else _int_array(i)
    if isinstance(i, (bool, np.bool_)):
        return np.asarray(i)
    if isinstance(i, np.ndarray):
        return _int_array(i)
    try:
        return operator.index(i)
    except TypeError:
        raise IndexError(_WRONG) from None


_WRONG = (
    "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or "
    "boolean arrays are valid indices"
)


def _int_array(i: np.ndarray) -> Any:
    if i.dtype.kind not in "biu":
        raise IndexError(
            "arrays used as indices must be of integer (or boolean) type" if i.ndim else _WRONG
        )
    return int(i) if i.ndim == 0 and i.dtype != bool else i


def _traced_item(t: Tracer) -> Any:
    if t._value.aval.kind not in "biu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    known = t._concrete() if t._value.aval.dtype == "bool" or not t.shape else None
    if known is not None:
        return _int_array(np.asarray(known))
    v = value(t)
    if v.aval.dtype == "bool":
        raise MaskIndex(v)
    return cast(v, "i64")


def plan(index: Any, shape: Shape) -> Basic | Advanced:
    """What an index means on an array of this shape."""
    items = _items(index, shape)
    start, size, step = [], [], []
    arrays: list[tuple[int, Any]] = []  # (operand dim, index array)
    order: list[Any] = []  # operand dim, None (new), Ellipsis (a gap), or (kind, operand dim)
    scalar, d = bool(items) or not shape, 0
    for item in items:
        if item is None or item is Ellipsis:
            order.append(item)
            scalar = False
            continue
        if isinstance(item, np.ndarray) and item.dtype == bool:
            if item.ndim == 0:
                raise refuse("indexing by a bool")
            _check_mask(item.shape, shape, d)
            parts = list(np.nonzero(item))
        else:
            parts = [item]
        for part in parts:
            n = shape[d]
            if isinstance(part, slice):
                lo, hi, by = part.indices(n)
                count = len(range(lo, hi, by))
                # An empty or single region has no position or step to speak of.
                start.append(lo if count else 0)
                size.append(count)
                step.append(by if count > 1 else 1)
                order.append(d)
                scalar = False
            elif isinstance(part, int):
                if not -n <= part < n:
                    raise IndexError(f"index {part} is out of bounds for axis {d} with size {n}")
                start.append(part % n)
                size.append(1)
                step.append(1)
                order.append(("int", d))
            else:
                start.append(0)
                size.append(n)
                step.append(1)
                arrays.append((d, part))
                order.append(("array", d))
                scalar = False
            d += 1
    if index is Ellipsis or (type(index) is tuple and any(i is Ellipsis for i in index)):
        scalar = False
    dims = tuple(o for o in order if o is None or isinstance(o, int))
    basic = Basic(tuple(start), tuple(size), tuple(step), dims, scalar)
    return _advanced(basic, arrays, order) if arrays else basic


def _check_mask(mask: Shape, shape: Shape, d: int = 0) -> None:
    for k, n in enumerate(mask):
        if d + k >= len(shape) or shape[d + k] != n:
            raise IndexError(
                f"boolean index did not match indexed array along axis {d + k}; size of axis is "
                f"{shape[d + k] if d + k < len(shape) else 0} but size of corresponding boolean "
                f"axis is {n}"
            )


def _advanced(basic: Basic, arrays: list[tuple[int, Any]], order: list[Any]) -> Advanced:
    """Index arrays, with their dims placed by NumPy's rule (ints count as index arrays)."""
    indexed = [d for d, _ in arrays]
    kept = [o[1] if isinstance(o, tuple) else o for o in order if _keeps_dim(o)]
    region = Basic(basic.start, basic.size, basic.step, tuple(kept), False)
    vs = _index_values(arrays, basic.size)
    places = [k for k, o in enumerate(order) if isinstance(o, tuple)]
    together = places == list(range(places[0], places[-1] + 1))
    front = order[: places[0]] if together else []
    before = sum(1 for o in front if isinstance(o, int))
    nd, rest = vs[0].ndim, len(kept) - len(indexed)
    perm = (*range(nd, nd + before), *range(nd), *range(nd + before, nd + rest))
    ahead, behind = (
        [1 if o is None else basic.size[o] for o in part if o is None or isinstance(o, int)]
        for part in (front, order[len(front) :])
    )
    axes = tuple(kept.index(d) for d in indexed)
    return Advanced(region, tuple(vs), axes, perm, (*ahead, *vs[0].shape, *behind))


def _keeps_dim(o: Any) -> bool:
    """Whether this part of an index keeps a dim of the operand: a slice or an index array."""
    return isinstance(o, int) or (isinstance(o, tuple) and o[0] == "array")


def _index_values(arrays: list[tuple[int, Any]], extents: Shape) -> list[Value]:
    """Index arrays of dims as i64 values of one shape, bounds of known ones checked now."""
    vs = []
    for d, a in arrays:
        if isinstance(a, Value):
            vs.append(a)
            continue
        a, n = bare(a), extents[d]  # the program looks at its bounds itself
        outside = a[(a < -n) | (a >= n)]
        if outside.size and all(b.size for _, b in arrays if isinstance(b, np.ndarray)):
            at = outside.flat[0]
            raise IndexError(f"index {at} is out of bounds for axis {d} with size {n}")
        i = a if a.dtype == np.int64 else a.astype(np.int64)
        vs.append(Const(int(i), "i64") if i.ndim == 0 else recorder().lift(i))
    try:
        return broadcast_all(vs)
    except ValueError:
        shapes = " ".join(str(v.shape) for v in vs)
        raise IndexError(
            f"shape mismatch: indexing arrays could not be broadcast together with shapes {shapes}"
        ) from None


# ------------------------------------------------------------------ get and put


def _region(x: Value, b: Basic) -> Value:
    part = x
    if not (b.whole and b.size == x.shape):
        part = ops.slice_(x, start=b.start, size=b.size, step=b.step)
    return ops.shape.reshaped(part, b.shape)


def take(x: Value, p: Basic | Advanced) -> Value:
    """The elements that an index names."""
    if isinstance(p, Basic):
        return _region(x, p)
    base = _region(x, p.basic)
    order = sorted(range(len(p.axes)), key=p.axes.__getitem__)
    got = ops.gather(base, *(p.arrays[k] for k in order), axes=tuple(sorted(p.axes)), mode="raise")
    return ops.shape.reshaped(ops.shape.permuted(got, p.perm), p.shape)


def put(x: Value, p: Basic | Advanced, new: Value, row: Any = None) -> Value:
    """`x` with the elements that an index names replaced (row: or added to)."""
    if isinstance(p, Basic):
        if row is not None:
            new = ops.add(_region(x, p), new)
        return mutation.put_slice(x, ops.shape.reshaped(new, p.size), p.start, p.step)
    base = _region(x, p.basic)
    nd = p.arrays[0].ndim
    gathered = p.arrays[0].shape + tuple(n for k, n in enumerate(p.basic.shape) if k not in p.axes)
    # New axes have extent 1: dropping them leaves the dims in the order of `perm`.
    update = ops.shape.reshaped(new, tuple(gathered[k] for k in p.perm))
    update = ops.shape.permuted(update, ops.shape.inverse(p.perm))
    order = sorted(range(len(p.axes)), key=p.axes.__getitem__)
    del nd
    done = (row or ops.scatter)(
        base, update, *(p.arrays[k] for k in order), axes=tuple(sorted(p.axes))
    )
    if p.basic.whole and p.basic.size == x.shape:
        return ops.shape.reshaped(done, x.shape)
    return mutation.put_slice(
        x, ops.shape.reshaped(done, p.basic.size), p.basic.start, p.basic.step
    )


# ------------------------------------------------------------------ what the protocols answer


def _is_mask(item: Any) -> bool:
    return type(item) is Tracer and item._value.aval.dtype == "bool"


def _mask(item: Any) -> Any:
    """A mask as it is in this call, or itself where no call is traced; other items as they are."""
    if isinstance(item, list) and holds_tracer(item):
        item = wrap(stack_nested(item))
    if not _is_mask(item):
        return item
    try:
        return recorder().decide_array(value(item))
    except NoSample:
        return item


def _decided(index: Any) -> Any:
    """The index with its masks as they are in this call."""
    known = tuple(map(_mask, index if type(index) is tuple else (index,)))
    if any(map(_is_mask, known)):
        raise fail(
            TracedBranch,
            "the shape of x[mask] depends on how many elements of the mask are true",
            "Use np.where(mask, x, fill) or x * mask, whose shape is known.",
        ) from None
    return known


def _is_truth(index: Any) -> bool:
    """Whether an index is one bool, plain or traced: in place of a mask of a 0-d array."""
    if type(index) is Tracer:
        return index._value.aval.kind == "b" and not index._value.aval.shape
    if isinstance(index, np.ndarray):
        return index.dtype == bool and not index.shape
    return isinstance(index, (bool, np.bool_))


def getitem(h: Tracer, index: Any) -> Any:
    """`h[index]`: a view, a scalar, or a fresh array."""
    if h._strides is None and h._kind == "array":
        quick = _quick(h, index)
        if quick is not None:
            return quick
    if h._kind == "python":
        raise TypeError(f"'{h.__class__.__name__}' object is not subscriptable")
    if _is_truth(index):  # of one axis more, which is empty where it is false
        whole = getitem(h, None)
        return getitem(whole, slice(None) if bool(index) else slice(0)).copy()
    if (part := opened(h, index)) is not None:
        return getitem(*part)
    try:
        p = plan(index, h._value.aval.shape)
    except MaskIndex:
        return getitem(h, _decided(index))
    if isinstance(p, Advanced):
        return wrap(take(value(h), p), "array" if p.shape or _has_dots(index) else None)
    if p.scalar or h._kind == "scalar":
        return wrap(take(value(h), p))
    how = mutation.slice_view(p.start, p.size, p.step, p.shape)
    return mutation.view(h, how, _basic_strides(h, p))


_known: dict[Any, tuple[Basic, mutation.View, Any]] = {}


def _memo(index: Any) -> Any:
    """A hashable form of a basic index made of plain ints and slices; None for others."""
    if type(index) is not tuple:
        return _memo_of_one(index)
    parts = tuple(map(_memo_of_one, index))  # a tuple within the tuple is a list of positions
    return None if None in parts else ("tuple", *parts)


def _memo_of_one(index: Any) -> Any:
    kind = type(index)
    if kind is int:
        return index
    if kind is slice:
        bounds = (index.start, index.stop, index.step)
        return bounds if all(b is None or type(b) is int for b in bounds) else None
    return None


def _quick(h: Tracer, index: Any) -> Any:
    """A basic index of a C-ordered array that was seen before."""
    memo = _memo(index)
    if memo is None:
        return None
    aval = h._value.aval
    key = (memo, aval.shape, aval.dtype)
    known = _known.get(key)
    if known is None:
        if len(_known) > 20_000:
            _known.clear()
        p = plan(index, aval.shape)
        assert isinstance(p, Basic)
        how = mutation.slice_view(p.start, p.size, p.step, p.shape)
        known = _known[key] = (p, how, _basic_strides(h, p))
    p, how, strides = known
    if p.scalar:
        return Tracer(recorder(), how.get(value(h)), "scalar")
    return mutation.view(h, how, strides)


def _has_dots(index: Any) -> bool:
    return index is Ellipsis or (type(index) is tuple and any(i is Ellipsis for i in index))


def _basic_strides(h: Tracer, p: Basic) -> Any:
    old = mutation.strides_of(h)
    strides = tuple(0 if d is None else old[d] * p.step[d] for d in p.dims)
    return mutation.normal(p.shape, strides, h._value.aval.dtype)


def setitem(h: Tracer, index: Any, x: Any) -> None:
    """`h[index] = x`."""
    rec = recorder()
    mutation.check_writable(h, rec)
    if _is_truth(index):
        if bool(index):
            setitem(h, ..., x)
        return
    if (part := opened(h, index)) is not None:
        setitem(*part, x)
        return
    old = h._read()
    new = value(x, old.aval.dtype) if not _complex_loss(x, old) else _refuse_complex()
    try:
        p = plan(index, old.shape)
    except MaskIndex as found:
        if _spread(h, index, found.mask, new):
            return
        if not _is_lone(index):
            setitem(h, _decided(index), x)
            return
        mutation.write(h, _masked(old, found.mask, new))
        return
    shape = p.shape
    mutation.write(h, put(old, p, _fit(new, shape)))


def _complex_loss(x: Any, old: Value) -> bool:
    return old.aval.kind != "c" and is_tracer(x) and x._value.aval.kind == "c"


def _refuse_complex() -> Value:
    raise TypeError("can't cast a complex value into a real array; take np.real of it")


def _fit(new: Value, shape: Shape) -> Value:
    """The assigned value stretched to the region (leading extents of 1 may be dropped)."""
    while new.ndim > len(shape) and new.shape[0] == 1:
        new = ops.shape.reshaped(new, new.shape[1:])
    try:
        if broadcast_shapes(new.shape, shape) == shape:
            return ops.shape.broadcast_to(new, shape)
    except ValueError:
        pass
    raise ValueError(f"could not broadcast input array from shape {new.shape} into shape {shape}")


def _is_lone(index: Any) -> bool:
    """Whether an index is one mask of the first dims, and takes all of the others."""
    first, *rest = index if type(index) is tuple else (index,)
    whole = (i is Ellipsis or (type(i) is slice and i == slice(None)) for i in rest)
    return _is_mask(first) and all(whole)


def _spread(h: Tracer, index: Any, mask: Value, new: Value) -> bool:
    """Write what is one for all elements that a mask names; whether it is, and nothing else names.

    Beside the mask stand slices and numbers: it chooses within the view that these make.
    """
    items = index if type(index) is tuple else (index,)
    at = [k for k, i in enumerate(items) if _is_mask(i)]
    others = [type(i) for i in items if not _is_mask(i)]
    if len(at) != 1 or not mask.ndim or not {int, slice, type(None), type(...)}.issuperset(others):
        return False
    front, behind = items[: at[0]], items[at[0] + 1 :]
    v = getitem(h, (*front, *[slice(None)] * mask.ndim, *behind))
    shape = v._value.aval.shape
    kept = sum(i is None or type(i) is slice for i in (behind if ... in front else front))
    before = len(shape) - kept - mask.ndim if ... in front else kept
    after = before + mask.ndim
    if shape[before:after] != mask.shape:
        return False
    rank = len(shape) - mask.ndim + 1
    wide = (1,) * (rank - new.ndim) + new.shape[max(new.ndim - rank, 0) :]
    if new.aval.size == 1:
        wide = (1,) * rank
    elif int in others or math.prod(wide) != new.aval.size or wide[before] != 1:
        return False  # an int and a mask are put in front together
    wide = (*wide[:before], *[1] * mask.ndim, *wide[before + 1 :])
    if any(n not in (1, m) for n, m in zip(wide, shape, strict=True)):
        return False
    chosen = ops.shape.reshaped(mask, (1,) * before + mask.shape + (1,) * (len(shape) - after))
    each = ops.shape.broadcast_to(ops.shape.reshaped(new, wide), shape)
    mutation.write(v, ops.select(ops.shape.broadcast_to(chosen, shape), each, v._read()))
    return True


def _masked(old: Value, mask: Value, new: Value) -> Value:
    """`old` where the mask is false; what is assigned must be one value per masked element."""
    _check_mask(mask.shape, old.shape)
    rest = old.shape[mask.ndim :]
    if new.ndim > len(rest):
        return _each_masked(old, mask, new, rest)
    new = ops.shape.broadcast_to(new, rest)
    wide = ops.shape.reshaped(mask, mask.shape + (1,) * len(rest))
    return ops.select(
        ops.shape.broadcast_to(wide, old.shape), ops.shape.broadcast_to(new, old.shape), old
    )


def scatter(h: Tracer, index: Any, update: Value, row: Any) -> None:
    """`np.add.at(h, index, update)`."""
    mutation.check_writable(h, recorder())
    h, index = opened(h, index) or (h, index)
    old = h._read()
    try:
        p = plan(index, old.shape)
    except MaskIndex as found:
        if not _is_lone(index):
            scatter(h, _decided(index), update, row)
            return
        mutation.write(h, ops.add(old, _masked(filled(0, old.aval), found.mask, update)))
        return
    mutation.write(h, put(old, p, _fit(update, p.shape), row))


ENTRY["getitem"] = getitem
ENTRY["setitem"] = setitem
ENTRY["scatter"] = scatter


def _each_masked(old: Value, mask: Value, new: Value, rest: Shape) -> Value:
    """One row of `new` for each true element of the mask: a program for this number of them."""
    count = ops.sum_(cast(mask, "i64"), axes=tuple(range(mask.ndim)))
    try:
        n = recorder().decide(count, "int")
    except NoSample:
        raise fail(
            TracedBranch,
            "x[mask] = y with an array y takes as many elements as the mask has true ones, which "
            "depends on a traced input",
            "Write x = np.where(mask, y, x) with y of x's shape, or assign a scalar.",
        ) from None
    if new.shape[0] not in (1, n):
        raise ValueError(
            f"NumPy boolean array indexing assignment cannot assign {new.shape[0]} input values "
            f"to the {n} output values where the mask is true"
        )
    if not n:
        return old
    each = ops.shape.broadcast_to(new, (n, *rest))
    flat = ops.shape.reshaped(mask, (mask.aval.size,))
    number = ops.sub(ops.cumsum(cast(flat, "i64"), axis=0), 1)
    picked = ops.gather(each, ops.maximum(number, 0), axes=(0,), mode="raise")
    wide = ops.shape.reshaped(mask, mask.shape + (1,) * len(rest))
    return ops.select(
        ops.shape.broadcast_to(wide, old.shape), ops.shape.reshaped(picked, old.shape), old
    )

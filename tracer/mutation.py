"""Writes and views: a storage holds one value, handles look at it through chains of views.

A write is a new value of the storage; handles that look at it notice by its version.  Whether a
reshape is a view depends on the strides, so handles carry those of the array they stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..ir.builder import current
from ..ir.core import Value
from ..ir.ops import shape as rows
from ..ir.ops.elementwise import select
from ..ir.types import NUMPY, Aval
from .errors import FrozenWrite
from .ledger import Recipe
from .recipes import TraceBuilder
from .record import Recorder, fail, recorder
from .rolling.steps import Put

Shape = tuple[int, ...]
Strides = tuple[int, ...]


_FEW = 100
_OUTER = "it was made outside of the function that is being traced"


class Storage:
    """One array that handles share; `frozen` says why it may not be written ("": it may)."""

    __slots__ = ("frozen", "value", "version")

    def __init__(self, value: Value, frozen: str = "") -> None:
        self.value = value
        self.version = 0
        self.frozen = frozen


class View(NamedTuple):
    """How a view is read from its base, and the base with the view's content replaced."""

    get: Callable[[Value], Value]
    put: Callable[[Value, Value], Value]
    frozen: str = ""


def refresh(handle: Any) -> Value:
    """The current content of a handle whose storage was written."""
    store = handle._store
    v = store.value
    for view in handle._views:
        v = view.get(v)
    handle._value = v
    handle._version = store.version
    return v


def storage(handle: Any) -> Storage:
    """The storage of a handle, made on demand."""
    if handle._store is None:
        handle._store = Storage(handle._value)
        handle._version = 0
    return handle._store


def view(handle: Any, how: View, strides: Strides | None) -> Any:
    """A handle that looks at another one."""
    store = storage(handle)
    rec = recorder()
    if handle._rec is not rec:  # of an enclosing trace: what is seen here cannot be written
        seen = how.get(rec.outer(handle))
        return type(handle)(rec, seen, "array", strides, Storage(seen, _OUTER))
    out = type(handle)(rec, how.get(handle._read()), "array", strides, store)
    out._views = (*handle._views, how)
    out._version = store.version
    return out


def check_writable(handle: Any, rec: Recorder) -> Storage:
    """The storage of a handle that may be written; an error that says why it may not be."""
    if handle._kind != "array":
        raise TypeError(f"'{handle.__class__.__name__}' object does not support item assignment")
    store = storage(handle)
    why = store.frozen or next((v.frozen for v in handle._views if v.frozen), "")
    if handle._rec is not rec:
        why = _OUTER
    if why:
        raise fail(
            FrozenWrite,
            f"this array cannot be written: {why}",
            "Write into a copy: x = x.copy()  (x += y would be x = x + y).",
        )
    return store


def write(handle: Any, new: Value) -> None:
    """Give a handle new content, of its own shape and dtype, through all its views."""
    store = check_writable(handle, recorder())
    bases = [store.value]
    for v in handle._views[:-1]:
        bases.append(v.get(bases[-1]))
    content = new
    for v, base in zip(reversed(handle._views), reversed(bases), strict=False):
        new = v.put(base, new)
    store.value = new
    store.version += 1
    handle._value = content
    handle._version = store.version


# ------------------------------------------------------------------ the views


def put_slice(old: Value, new: Value, start: Shape, step: Shape) -> Value:
    """`old` with the strided region that begins at `start` replaced by `new`."""
    if new.aval.size == 0:
        return old
    if new.shape == old.shape and all(s == 1 for s in step):
        return new
    rec = recorder()
    first = len(rec.builder.recipes)
    out = rows.pad(new, shape=old.shape, start=start, step=step)
    if old not in rec.builder.zeros:
        inside = rows.full(True, Aval("bool", new.shape))
        mask = rows.pad(inside, shape=old.shape, start=start, step=step)
        out = select(mask, out, old)
    rec.puts[first] = Put(first, len(rec.builder.recipes), old, new, out, start, step)
    return out


def slice_view(start: Shape, size: Shape, step: Shape, shape: Shape) -> View:
    """A basic index: a strided region, with dims dropped or new ones of extent 1."""
    known: dict[int, tuple[tuple[Recipe, ...], Aval]] = {}  # by types, which are kept alive

    def get(base: Value) -> Value:
        builder = current()
        if type(builder) is not TraceBuilder:
            return region(base)
        found = known.get(id(base.aval))
        if found is None:
            first = len(builder.recipes)
            out = region(base)
            chain = builder.chain(first, base, out)
            if chain is not None and len(known) < _FEW:
                known[id(base.aval)] = chain, base.aval
            return out
        for r in found[0]:
            base = builder.one(r, base)
        return base

    def region(base: Value) -> Value:
        whole = start == (0,) * len(start) and size == base.shape and all(s == 1 for s in step)
        part = base if whole else rows.slice_(base, start=start, size=size, step=step)
        return rows.reshaped(part, shape)

    return View(get, lambda base, new: put_slice(base, rows.reshaped(new, size), start, step))


def transpose_view(perm: Shape) -> View:
    """Axes in another order."""
    back = rows.inverse(perm)
    return View(lambda b: rows.permuted(b, perm), lambda b, new: rows.permuted(new, back))


def reshape_view(shape: Shape) -> View:
    """Another shape over the same elements, C order."""
    return View(lambda b: rows.reshaped(b, shape), lambda b, new: rows.reshaped(new, b.shape))


def broadcast_view(shape: Shape) -> View:
    """A stretched array: NumPy forbids (or warns of) writing through it, so do we."""

    def put(base: Value, new: Value) -> Value:
        raise ValueError("assignment destination is read-only")

    return View(lambda b: rows.broadcast_to(b, shape), put, "it is a broadcast (read-only) view")


# ------------------------------------------------------------------ strides


def natural_strides(shape: Shape, dtype: str) -> Strides:
    """The strides of a C-ordered dense array."""
    out, step = [], NUMPY[dtype].itemsize
    for n in reversed(shape):
        out.append(step)
        step *= max(n, 1)
    return tuple(reversed(out))


def ordered_strides(shape: Shape, dtype: str, order: str) -> Strides | None:
    """The strides of a fresh array in C or Fortran order."""
    if order != "F" or len(shape) < 2:
        return None
    return normal(shape, natural_strides(shape[::-1], dtype)[::-1], dtype)


def strides_of(handle: Any) -> Strides:
    """The strides that the handle's array would have."""
    if handle._strides is not None:
        return handle._strides
    aval = handle._value.aval
    return natural_strides(aval.shape, aval.dtype)


def normal(shape: Shape, strides: Strides, dtype: str) -> Strides | None:
    """None where the strides are those of a C-contiguous array (extents of 1 do not count)."""
    dense = natural_strides(shape, dtype)
    same = all(n == 1 or a == b for n, a, b in zip(shape, strides, dense, strict=True))
    return None if same or 0 in shape else strides


def _dummy(shape: Shape, strides: Strides, dtype: str) -> np.ndarray:
    """An array of this layout over a single element: only its layout may be asked."""
    return as_strided(np.empty(1, NUMPY[dtype]), shape, strides)


def reshaped_strides(handle: Any, shape: Shape) -> tuple[bool, Strides | None]:
    """Whether reshaping to `shape` is a view, and the strides of the result."""
    if handle._strides is None:
        return True, None
    aval = handle._value.aval
    try:
        out = _dummy(aval.shape, handle._strides, aval.dtype).reshape(shape, copy=False)
    except ValueError:
        return False, None
    return True, normal(shape, out.strides, aval.dtype)


def fresh_strides(shape: Shape, dtype: str, *handles: Any) -> Strides | None:
    """The strides of an elementwise result: dense, in the operands' order of axes (K)."""
    given = [h for h in handles if h._strides is not None]
    if not given:
        return None
    dummies = [_dummy(h._value.shape, strides_of(h), h._value.dtype) for h in handles]
    with np.nditer(  # type: ignore[call-overload]
        [*dummies, None],
        flags=["zerosize_ok", "refs_ok"],
        op_flags=[["readonly"]] * len(dummies) + [["writeonly", "allocate"]],
        op_dtypes=[d.dtype for d in dummies] + [NUMPY[dtype]],
        casting="unsafe",
    ) as it:
        strides = it.operands[-1].strides
    return normal(shape, strides, dtype)

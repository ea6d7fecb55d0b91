"""Tensors that show the same values: views, and what writing one in place means for the others."""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..ir.types import NUMPY
from . import tape
from .arithmetic import method
from .modes import no_grad, recording
from .saved import Written, scalar_name, written
from .storage import Storage
from .tape import Node, OperandError, Operation, Ref, flows, pending, record, run
from .tensor_object import LEAF_WRITE, Tensor, _own, applied, held, shown

Step = tuple[Operation, tuple[Any, ...], int]  # an operation that moves, its statics, which result
Chain = tuple[Step, ...]

VIEW_OF_LEAF = (
    "a view of a leaf Variable that requires grad is being used in an in-place operation."
)
UNRECORDED = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
    "code by moving both the view and the inplace either both inside the no_grad block (if you "
    "don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
)
SEVERAL = (
    "is a view and is being modified inplace. This view is the output of a function that returns "
    "multiple views. Such functions do not allow the output views to be modified inplace. You "
    "should replace the inplace operation by an out-of-place one."
)
OVERLAP = (
    "unsupported operation: more than one element of the written-to tensor refers to a single "
    "memory location. Please clone() the tensor before performing the operation."
)


class Family:
    """A Tensor and its views.  `ref` is its place in the graph, `array` memory that it shares."""

    __slots__ = (
        "__weakref__", "array", "base", "counted", "members", "nodes", "ref", "storage",
        "writes",
    )  # fmt: skip

    def __init__(self, base: Tensor, counted: bool = True) -> None:
        if base._storage is None:
            base._storage = Storage()
        self.base = weakref.ref(base)
        self.storage: Storage = base._storage
        self.writes = 0  # those that are not counted
        self.counted = counted  # whether writes through it raise the version (not by .data)
        self.array: np.ndarray | None = base._array
        self.ref: Ref | None = None if base._node is None else (base._node, base._index)
        self.members: list[weakref.ref[Tensor]] = []
        self.nodes: list[weakref.ref[Node]] = []
        self.storage.shown_by(self)

    def add(self, t: Tensor) -> None:
        """Remember a view."""
        if len(self.members) > 8 and len(self.members) & (len(self.members) - 1) == 0:
            self.members = [r for r in self.members if r() is not None]
            self.nodes = [r for r in self.nodes if r() is not None]
        self.members.append(weakref.ref(t))
        if t._node is not None:
            self.nodes.append(weakref.ref(t._node))

    def views(self) -> list[Tensor]:
        """Those that are alive."""
        found = [r() for r in self.members]
        return [t for t in found if t is not None and getattr(t._view, "family", None) is self]

    def owner(self) -> Tensor:
        """The Tensor itself, or one in its place."""
        t = self.base()
        if t is None:
            if self.ref is not None:
                if self.ref[0].freed and self.ref[0].values is None:
                    self._restore()
                t = shown(*self.ref)
                t._storage = self.storage
            else:
                assert self.array is not None
                t = held(self.array, self.storage)
            t._view = self
            self.base = weakref.ref(t)
        return t

    def _restore(self) -> None:
        """Put a value that was let go of together from what its views show of it.

        A backward pass keeps what Tensors show, and the one that the views were made of is gone.
        """
        assert self.ref is not None
        node, index = self.ref
        if not any(n.piece is None and n.values is None for n in pending([node])):
            return
        arrays = tuple(np.zeros(a.shape, NUMPY[a.dtype]) for a in node.avals)
        for v in self.views():
            np.copyto(along(arrays[index], v._view.chain), v._value())
        whole = Node(node.piece, node.inputs, node.avals, arrays, node.tracked)
        whole.freed, whole.hooks = True, node.hooks
        self.ref = whole, index

    def memory(self) -> np.ndarray:
        """Memory that holds the values now, to be shared with Tensors outside the graph."""
        if self.array is None:
            t = self.owner()
            self.array = t._value()
            assert t._node is not None
            self.storage.read_by(t._node)
            self.storage.shared = True
        return self.array

    def expire(self, by: Node | None) -> None:
        """Remember that all recorded values of the family are written over."""
        was = self.storage.version
        olds = {n for r in self.nodes if (n := r()) is not None}
        if self.ref is not None:
            olds.add(self.ref[0])
        mark = None if by is None else weakref.ref(by)
        for node in olds:
            written[node] = Written(mark, was, self.storage)
        self.nodes = []

    def follow(self, counted: bool) -> None:
        """After a write into the memory: what is recorded keeps its history, with new values."""
        if self.array is None:
            return
        t = self.base()
        if t is not None and t._node is not None:
            self._again(t, self.array, counted)
            self.ref = t._node, t._index
        elif t is None and self.ref is not None:
            node, index = self.ref
            self.ref = same_history(node, index, self.array), index
        for v in self.views():
            if v._node is not None:
                self._again(v, along(self.array, v._view.chain), counted)

    def _again(self, t: Tensor, value: np.ndarray, counted: bool) -> None:
        old = t._node
        assert old is not None
        t._node = same_history(old, t._index, value)
        if counted and flows((old, t._index)):
            mark = Written(None, self.storage.version - 1, self.storage)
            written[old] = mark
            written[t._node] = mark._replace(stale=False)
        t._storage = self.storage
        _own(t._node, t)
        self.storage.read_by(t._node)

    def renew(self, ref: Ref) -> None:
        """Record the views anew, of another value."""
        self.ref = ref
        for v in self.views():
            self.rerecord(v)

    def rerecord(self, v: Tensor) -> None:
        """A view of what the Tensor is now."""
        ref = self.ref
        assert ref is not None
        for operation, statics, i in v._view.chain:
            ref = record(_anew(operation), (ref,), statics), i
        v._array = v._source = None
        v._node, v._index = ref
        _own(ref[0], v)
        self.nodes.append(weakref.ref(ref[0]))


@functools.cache
def _anew(operation: Operation) -> Operation:
    """A view of what was written in place, under PyTorch's name for it."""
    return Operation("AsStridedBackward0", operation.fn, keeps=False)


class View(NamedTuple):
    """How a Tensor shows another one."""

    family: Family
    chain: Chain
    recorded: bool  # made where operations are recorded
    several: str = ""  # the operation, if it makes several views


def family_of(t: Tensor) -> tuple[Family, Chain]:
    """The Tensor that this one shows, and by which steps."""
    known = t._view
    if known is None:
        t._view = known = Family(t)
    return (known, ()) if type(known) is Family else (known.family, known.chain)


def along(array: np.ndarray, chain: Chain) -> np.ndarray:
    """The part of the memory that a view shows."""
    for operation, statics, i in chain:
        found = operation.fn(array, *statics)
        array = found[i] if isinstance(found, tuple | list) else found
    return array


def _recorded(x: Tensor) -> bool:
    """Whether views are recorded: for a derivative, or as the values are not known in `vmap`."""
    if x._node is None:
        return x._requires and recording.on
    return flows((x._node, x._index)) or _unknown(x)


def _unknown(x: Tensor) -> bool:
    """Whether it is computed from a row that `vmap` maps over, whose values are not known."""
    return bool(tape.rows.open and x._node is not None and tape.of_row(x._node))


def view(operation: Operation, x: Tensor, *statics: Any) -> Tensor:
    """A view: memory is shared unless the result is recorded."""
    if _recorded(x):
        found = applied(operation, [x], *statics)
        family, chain = family_of(x)
        found._storage = family.storage
    else:
        array = x._own()
        try:
            found = held(operation.fn(array, *statics), x._storage)
        except ValueError as error:
            raise OperandError(str(error)) from error
        _infer_like(found, x)
        family, chain = family_of(x)
    found._view = View(family, (*chain, (operation, statics, 0)), recording.on)
    family.add(found)
    return found


def _infer_like(part: Tensor, x: Tensor) -> None:
    """A view is a Tensor of `inference_mode` where what it shows is, wherever it is made."""
    if part._inferred is not x._inferred:
        part._inferred = x._inferred


def views(operation: Operation, x: Tensor, count: int, *statics: Any) -> tuple[Tensor, ...]:
    """Several views by one operation."""
    recorded = _recorded(x)
    family, chain = family_of(x) if recorded or x._node is None else (None, ())
    if recorded:
        node = record(operation, (x._ref(),), statics)
        found = [shown(node, i) for i in range(count)]
    else:
        parts = operation.fn(x._own(), *statics)
        found = [held(p, x._storage) for p in parts]
        for part in found:
            _infer_like(part, x)
    if family is None:
        family, chain = family_of(x)
    name = operation.name.split("Backward")[0]
    for i, t in enumerate(found):
        t._storage = family.storage
        t._view = View(family, (*chain, (operation, statics, i)), recording.on, name)
        family.add(t)
    return tuple(found)


# ------------------------------------------------------------------ writing


# The views of complex numbers as pairs of real ones, of pairs as complex numbers, and of parts.
PARTS = ("ViewAsRealBackward0", "ViewAsComplexBackward0", "ImagBackward0", "RealBackward0")


def _pairs(x: Any) -> Any:
    return np.stack([x.real, x.imag], -1).reshape(-1)


def _put_parts(x: Any, v: Any, chain: Chain) -> Any:
    """A copy whose part along the chain is `v`, where the chain leads through complex numbers."""
    shape, whole = tuple(x.shape), x.dtype.kind == "c"
    n = math.prod(shape)
    at: Any = np.arange(n * (1 + whole)).astype(float)
    at = along((at[::2] + 1j * at[1::2] if whole else at).reshape(shape), chain)
    places = (_pairs(at) if at.dtype.kind == "c" else at.reshape(-1)).astype(np.int64)
    y = _pairs(x) if whole else x.reshape(-1).copy()
    y[places] = _pairs(v) if v.dtype.kind == "c" else v.reshape(-1)
    return (y[::2] + 1j * y[1::2] if whole else y).reshape(shape)


def _put(x: Any, v: Any, chain: Chain) -> Any:
    """A copy whose part along the chain is `v`."""
    if any(operation.name in PARTS for operation, _, _ in chain):
        return _put_parts(x, v, chain)
    shape = tuple(x.shape)
    at = along(np.arange(math.prod(shape)).reshape(shape), chain).reshape(-1)
    y = x.reshape(-1).copy()
    y[at] = v.reshape(-1)
    return y.reshape(shape)


SAME = Operation("AliasBackward0", lambda x: x.copy(), keeps=False)
OVER = Operation("CopyBackwards", lambda x, v: v.copy(), keeps=False)
PUT = Operation("CopySlices", _put, keeps=False)


def _refuse(t: Tensor) -> None:
    """Raise where PyTorch forbids a write that is recorded."""
    known = t._view
    if known is None or type(known) is Family:
        if t._node is None and t._requires:
            raise RuntimeError(LEAF_WRITE)
        return
    base = known.family.base()
    leaf = base is not None and base._node is None and base._requires
    if leaf and known.recorded:
        raise RuntimeError(VIEW_OF_LEAF)
    if not known.recorded and (leaf or known.family.ref is not None):
        raise RuntimeError(UNRECORDED)
    if known.several and t.requires_grad:
        raise RuntimeError(f"Output {known.chain[-1][2]} of {known.several} {SEVERAL}")


def _fitted(t: Tensor, result: Tensor) -> Tensor:
    """The result in the dtype of the Tensor it is written to."""
    shape = result._aval_shape()
    if shape != t._aval_shape():
        raise RuntimeError(
            f"output with shape {list(t.shape)} doesn't match the broadcast shape {list(shape)}"
        )
    a, b = result._dtype, t._dtype
    if a == b:
        return result
    if _rank(a) > _rank(b):
        raise RuntimeError(
            f"result type {scalar_name(a)} can't be cast to the desired output type "
            f"{scalar_name(b)}"
        )
    return result.to(b)


def _rank(dtype: np.dtype) -> int:
    return {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}[dtype.kind]


@method("_write")
def write(self: Tensor, compute: Callable[[], Tensor]) -> Tensor:
    """Take the result of an operation as the new value of this Tensor."""
    if recording.on:
        _refuse(self)
    if self._inferred and not recording.inferring:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make "
            "a clone to get a normal tensor before doing inplace update."
        )
    result = _fitted(self, compute())
    known = self._view
    if known is not None and type(known) is not Family:
        if len(known.chain) and 0 in _steps(self):
            raise RuntimeError(OVERLAP)
        _write_view(self, known, result)
    elif result._tracked() or _unknown(self):
        self._replace(result)
    elif self._tracked() and recording.on:  # nothing of the old value is left
        self._replace(shown(record(OVER, (self._ref(), result._ref()))))
    elif self._tracked():  # inside no_grad: another value, the same history
        _write_value(self, result._value())
    else:
        value, array = result._value(), self._own()
        assert self._storage is not None
        if known is not None and not known.counted:
            known.writes += 1
        self._storage.touch(known is None or known.counted)
        np.copyto(array, value)
        self._source = None
    return self


def _steps(t: Tensor) -> list[int]:
    """The strides of a view along axes of more than one element."""
    if not any(step[0].name.startswith("Expand") for step in t._view.chain):
        return []
    shape = t._aval_shape()
    n = t._view.family.owner()._aval_shape()
    at = along(np.broadcast_to(np.arange(math.prod(n)).reshape(n), n), t._view.chain)
    return [s for s, m in zip(at.strides, shape, strict=True) if m > 1]


@method("_replace")
def replace(self: Tensor, result: Tensor) -> Tensor:
    """Show another node: the result of a recorded operation in place."""
    node = result._node
    assert node is not None
    known = self._view
    storage = self._storage
    if storage is None:
        storage = self._storage = Storage()
    old = self._node
    if old is None and self._source is not None:
        old = self._source()
    if self._node is None:
        storage.touch()
    elif len(self._node.avals) == 1:
        self._node.owner = None
    if old is not None:
        was = storage.version - (self._node is None)
        written[old] = Written(weakref.ref(node), was, storage)
    family = known if type(known) is Family else None
    if family is not None:
        family.expire(node)
    if self._node is not None:
        storage.version += 1
        if self._retains:
            _move_hooks(self._node, self._index, node, result._index)
    if storage.shared and flows((node, result._index)):
        memory = self._array if self._node is None else family.array if family else None
        if memory is not None:
            storage.part()
            np.copyto(memory, result._value())
            if family is not None:
                family.array = memory
    elif family is not None:
        family.array = None
    self._node, self._index = node, result._index
    _own(node, self)
    self._array = self._source = None
    if family is not None:
        family.renew((node, self._index))
    return self


def _move_hooks(old: Node, i: int, new: Node, j: int) -> None:
    """Hooks that fill `.grad` follow the Tensor; others stay with the value."""
    kept = (old.hooks or {}).get(i, [])
    moving = [h for h in kept if getattr(h, "retains", False)]
    for h in moving:
        kept.remove(h)
    if moving:
        if new.hooks is None:
            new.hooks = {}
        new.hooks.setdefault(j, []).extend(moving)


def same_history(node: Node, index: int, value: np.ndarray) -> Node:
    """A node with the same operands, and another value."""
    if len(node.avals) > 1 and node.values is None:
        run([node])
    values = list(node.values) if node.values is not None else [value]
    values[index] = value
    copy = Node(node.piece, node.inputs, node.avals, tuple(values), node.tracked)
    copy.freed, copy.hooks = node.freed, node.hooks
    return copy


def _write_value(t: Tensor, value: np.ndarray) -> None:
    """Give a recorded Tensor another value, and the same history; its views follow."""
    family, chain = family_of(t)
    memory = family.memory()
    value = value.copy() if np.may_share_memory(value, memory) else value
    target = t._array if t._node is None else along(memory, chain)
    assert target is not None
    family.storage.touch(family.counted)
    np.copyto(target, value)


def _write_view(t: Tensor, known: View, result: Tensor) -> None:
    """Write a part of a Tensor: the whole is new, and so are its other views."""
    family = known.family
    if not result._tracked() and (family.ref is None or not recording.on):
        _write_value(t, result._value())
        t._source = None
        return
    base = family.owner()
    ref = base._ref()
    whole = shown(record(PUT, (ref, result._ref()), (known.chain,)))
    own = t._node if t._node is not None else t._source() if t._source is not None else None
    base._replace(whole)
    if own is not None and own in written and result._node is not None:
        written[own] = written[own]._replace(by=weakref.ref(result._node))


# ------------------------------------------------------------------ what is seen of it


def _is_view(self: Tensor) -> bool:
    return isinstance(self._view, View)


def _base(self: Tensor) -> Tensor | None:
    known = self._view
    return known.family.owner() if isinstance(known, View) else None


def _version(self: Tensor) -> int:
    known = self._view
    if self._inferred:
        raise RuntimeError("Inference tensors do not track version counter.")
    if type(known) is Family and not known.counted:
        return known.writes
    return self._storage.version if self._storage is not None else 0


method("_is_view")(_is_view)
Tensor._base = property(_base)  # type: ignore[attr-defined]
Tensor._version = property(_version)  # type: ignore[attr-defined]


@method("_shared")
def shared(self: Tensor) -> np.ndarray:
    """Make a recorded, untracked Tensor one that holds memory, with what it shows."""
    known, node = self._view, self._node
    if type(known) is Family:
        array, storage = known.memory(), known.storage
        known.ref = None
    else:
        array, storage = along(known.family.memory(), known.chain), known.family.storage
    self._array, self._storage, self._node = array, storage, None
    assert node is not None
    storage.read_by(node)
    return array


@method("_detached")
def detached(t: Tensor, counted: bool = True) -> Tensor:
    """The same memory, without history."""
    if tape.rows.open and t._node is not None and t._node.values is None:
        with no_grad():
            return applied(SAME, [t])
    if t._tracked():
        family, chain = family_of(t)
        found = held(along(family.memory(), chain), family.storage)
        family.storage.shared = True
    else:
        array = t._own()
        assert t._storage is not None
        t._storage.shared = True
        found = held(array, t._storage)
    _infer_like(found, t)
    if not counted:
        found._view = Family(found, counted=False)
    return found

"""`Tensor`: an array that knows where it came from; operators and functions are in `functions`."""

from __future__ import annotations

import copy
import math
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.printer import show
from ..ir.types import NUMPY
from . import tensor_text
from .dtypes import CPU, DTYPES, device, dtype
from .graph import GradFn, grad_fn_of
from .modes import inference, recording
from .nested import holds_arrays, numbers_alone, ragged
from .promotion import ARRAY, ZERO_D, default, number_dtype
from .saved import scalar_name
from .storage import RemovableHandle, Size, Storage
from .tape import (
    Node,
    Operation,
    Ref,
    flows,
    infer,
    record,
    recorded,
    rows,
    run,
    source,
    waiting,
)

RESULT_GRAD = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
    "attribute won't be populated during autograd.backward(). If you indeed want the .grad field "
    "to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor."
)
LEAF_WRITE = "a leaf Variable that requires grad is being used in an in-place operation."


class Tensor:
    """An array whose operations are recorded where it, or what it was made from, asks for grad.

    Either it holds memory (`_array`, a leaf of the graph), or it shows a result of a node.
    """

    __slots__ = (
        "__dict__", "__weakref__", "_array", "_grad", "_hooks", "_index", "_node", "_requires",
        "_retains", "_source", "_storage", "_view",
    )  # fmt: skip
    __array_priority__ = 1e7
    _inferred = False  # whether it was made in `inference_mode`

    if TYPE_CHECKING:
        # Methods and operators are entered by the modules of functions.
        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...

    def __init__(self, *data: Any, requires_grad: bool = False) -> None:
        """Floats from nested lists, or as many zeros as the sizes say."""
        if data and all(type(n) is int for n in data):
            array = np.zeros(data, default())
        else:
            array = plain(data[0], default()) if data else np.zeros(0, default())
        self._hold(array, Storage())
        if requires_grad:
            self._made_to_learn()

    def _hold(self, array: np.ndarray, storage: Storage) -> None:
        self._array: np.ndarray | None = array
        self._storage: Storage | None = storage
        self._node: Node | None = None
        self._index = 0
        self._source: weakref.ref[Node] | None = None
        self._grad: Tensor | None = None
        self._requires = False
        self._retains = False
        self._hooks: list[Callable[[Ref], Ref]] | None = None
        self._view: Any = None

    # -------------------------------------------------------------- values

    def _ref(self) -> Ref:
        """The operand that this Tensor is for an operation."""
        node = self._node
        if node is not None:
            return node, self._index
        known = self._source() if self._source is not None else None
        array = self._array
        assert array is not None and self._storage is not None
        if known is not None and known.values is not None and known.values[0] is array:
            return known, 0
        shared = not self._storage.exported
        known = source(array if shared else array.copy(), self if self._requires else None)
        self._storage.read_by(known)
        if shared:
            self._source = weakref.ref(known)
        if self._inferred:
            infer(known)
        return known, 0

    def _value(self) -> np.ndarray:
        """The array, computed if it is pending; not to be written."""
        node = self._node
        if node is None:
            assert self._array is not None
            return self._array
        if node.values is None:
            run([node])
        assert node.values is not None
        return node.values[self._index]

    def _own(self) -> np.ndarray:
        """The array as memory that may be shared and written; the Tensor is no tracked result."""
        node = self._node
        if node is None:
            assert self._array is not None
            return self._array
        if self._view is not None:
            return self._shared()  # of a view: with what it shows
        array = self._value()
        storage = self._storage or Storage()
        self._array, self._storage, self._node = array, storage, None
        storage.read_by(node)
        return array

    def _tracked(self) -> bool:
        return self._node is not None and flows((self._node, self._index))

    def _aval_shape(self) -> tuple[int, ...]:
        node = self._node
        return self._array.shape if node is None else node.avals[self._index].shape  # type: ignore[union-attr]

    def _standing(self) -> tuple[np.dtype, int]:
        """The dtype, and how much it counts beside those of other operands."""
        node = self._node
        if node is None:
            array = self._array
            assert array is not None
            return array.dtype, ARRAY if array.shape else ZERO_D
        aval = node.avals[self._index]
        return NUMPY[aval.dtype], ARRAY if aval.shape else ZERO_D

    # -------------------------------------------------------------- what it is

    @property
    def shape(self) -> Size:
        return Size(self._aval_shape())

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one extent of it."""
        shape = self._aval_shape()
        if dim is None:
            return self.shape
        if not -len(shape) <= dim < len(shape):
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-len(shape)}, "
                f"{len(shape) - 1}], but got {dim})"
                if shape
                else "Dimension specified as 0 but tensor has no dimensions"
            )
        return shape[dim]

    @property
    def ndim(self) -> int:
        return len(self._aval_shape())

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self._aval_shape())

    nelement = numel

    @property
    def dtype(self) -> dtype:
        return DTYPES[self._dtype]

    @property
    def _dtype(self) -> np.dtype:
        """As NumPy has it."""
        node = self._node
        if node is None:
            assert self._array is not None
            return self._array.dtype
        return NUMPY[node.avals[self._index].dtype]

    @property
    def device(self) -> device:
        return CPU

    @property
    def is_leaf(self) -> bool:
        return not self._tracked()

    @property
    def requires_grad(self) -> bool:
        node = self._node
        return self._requires if node is None else flows((node, self._index))

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not isinstance(on, bool):
            raise RuntimeError("requires_grad must be a bool")
        self._require(on, "only Tensors of floating point and complex dtype")

    def _made_to_learn(self) -> Tensor:
        """Ask for the gradient, in a constructor."""
        self._require(True, "Only Tensors of floating point and complex dtype")
        return self

    def _require(self, on: bool, which: str) -> None:
        """Set the flag; `which` Tensors can have it is told by PyTorch in three ways."""
        if self._tracked():
            if on:
                return
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if on and self._dtype.kind not in "fc":
            raise RuntimeError(
                f"{which} can require gradients\n  This one is of dtype {self.dtype.name}."
            )
        if on and self._inferred and not recording.inferring:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not "
                "allowed."
            )
        self._own()
        if on and self._is_view():  # from now on it has a history of its own
            self._storage.shared = True  # type: ignore[union-attr]
            self._view = None
        self._requires = bool(on)
        self._source = None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set the flag in place."""
        self._require(bool(requires_grad), "only Tensors of floating point dtype")
        return self

    @property
    def grad_fn(self) -> GradFn | None:
        return grad_fn_of(self._node) if self._tracked() else None  # type: ignore[arg-type]

    @property
    def grad(self) -> Tensor | None:
        if self._grad is None and self._tracked() and not self._retains:
            warnings.warn(RESULT_GRAD, stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    "assigned grad expected to be a Tensor or None but got grad of type "
                    f"{type(value).__name__}"
                )
            if value.shape != self.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of "
                    f"size '{list(self.shape)}'. Please ensure that the gradient and the tensor "
                    "are the same size"
                )
            if value._dtype != self._dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{in_c(value._dtype)}' to a "
                    f"tensor with grad_dtype '{scalar_name(self._dtype)}'"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    # -------------------------------------------------------------- out of the graph

    @property
    def data(self) -> Tensor:
        return self._detached(False)

    @data.setter
    def data(self, value: Tensor) -> None:
        if self._tracked():
            raise RuntimeError("the data of a Tensor that is part of a graph cannot be replaced")
        other = value.detach()
        self._array, self._storage, self._node = other._own(), other._storage, None
        self._source = self._view = None

    def detach(self) -> Tensor:
        """The same memory, without history."""
        return self._detached()

    def detach_(self) -> Tensor:
        """Forget the history in place."""
        if self._is_view():
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        if self._node is not None:
            self._array, self._storage, self._node = self._value().copy(), Storage(), None
            self._view = None
        self._requires = False
        self._source = None
        return self

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The array itself: its memory is shared."""
        if self.requires_grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. "
                "Use tensor.detach().numpy() instead."
            )
        t = self.detach() if force else self
        array = t._own()
        assert t._storage is not None
        t._storage.part()
        t._storage.exported = True
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return np.array(array, dtype, copy=copy) if copy else np.asarray(array, dtype)

    def item(self) -> Any:
        """The only element, as a Python number."""
        x = self._value()
        if x.size != 1:
            raise RuntimeError(f"a Tensor with {x.size} elements cannot be converted to Scalar")
        return x.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._value().tolist()

    def cpu(self) -> Tensor:
        """The Tensor: there is no other device."""
        return self

    def __bool__(self) -> bool:
        n = self.numel()
        if n != 1:
            what = "no values" if n == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
        if rows.open and self._node is not None and self._node.values is None:
            raise RuntimeError(
                "vmap: It looks like you're attempting to use a Tensor in some data-dependent "
                "control flow. We don't support that yet: use torch.where."
            )
        return bool(self._value().item())

    def __float__(self) -> float:
        return float(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def _scalar(self) -> Any:
        if self.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __index__(self) -> int:
        if self._dtype.kind not in "iub" or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._aval_shape()[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))  # the parts know that they were made at once

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        words = []
        if self._tracked():
            words.append(f"grad_fn=<{self.grad_fn.name()}>")  # type: ignore[union-attr]
        elif self.requires_grad:
            words.append("requires_grad=True")
        return tensor_text.show(self._value(), words)

    def __format__(self, spec: str) -> str:
        if not self.ndim:
            return format(self.item(), spec)
        return str(self) if not spec else object.__format__(self, spec)

    def __deepcopy__(self, memo: Any) -> Tensor:
        if self._tracked():
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment."
            )
        new = held(self._value().copy(), Storage())
        new._requires = self._requires
        new._grad = copy.deepcopy(self._grad, memo)
        return new

    def __reduce__(self) -> Any:
        return _unpickled, (self._value(), self.requires_grad)

    def ir(self) -> str:
        """The program recorded so far: from the leaves to this Tensor."""
        return show(recorded(self._ref()[0]), where=False)

    # -------------------------------------------------------------- derivatives

    @property
    def retains_grad(self) -> bool:
        return self._retains

    def register_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        """Call `hook` with the gradient by this Tensor; what it returns replaces the gradient."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return self._add_hook(hook)

    def _add_hook(self, hook: Callable[[Tensor], Any]) -> RemovableHandle:
        def on_ref(ct: Ref) -> Ref:
            found = hook(shown(*ct))
            return ct if found is None else _replaced(hook, found, self)

        node = self._node
        if node is None:
            if self._hooks is None:
                self._hooks = []
            place: list[Any] = self._hooks
        else:
            if node.hooks is None:
                node.hooks = {}
            place = node.hooks.setdefault(self._index, [])
        place.append(on_ref)
        return RemovableHandle(place, on_ref)


def _replaced(hook: Callable[..., Any], found: Any, tensor: Tensor) -> Ref:
    """What a hook returned for a gradient of `tensor`, which must be like it."""
    name = getattr(hook, "__name__", type(hook).__name__)
    if not isinstance(found, Tensor | np.ndarray | np.generic):
        raise TypeError(
            f"hook {name!r} has returned something of type {type(found).__name__}: a gradient is a "
            "Tensor, and None leaves it as it is"
        )
    ct, shape = as_tensor(found), tensor._aval_shape()
    if ct._aval_shape() != shape:
        raise RuntimeError(
            f"hook {name!r} has changed the size of value\n  from {list(shape)} to {list(ct.shape)}"
        )
    return ct._ref()


# ------------------------------------------------------------------ making Tensors


def in_c(dtype: np.dtype) -> str:
    name = scalar_name(dtype).lower()
    return {"long": "long int", "byte": "unsigned char", "char": "signed char"}.get(name, name)


def held(array: np.ndarray, storage: Storage | None = None) -> Tensor:
    """A Tensor on this memory."""
    t = Tensor.__new__(Tensor)
    t._hold(array, storage or Storage())
    if inference:
        _inferred(t)
    return t


def _inferred(t: Tensor) -> None:
    """Remember that a Tensor is made in `inference_mode`."""
    if recording.inferring:
        t._inferred = True
        if t._node is not None:
            infer(t._node)


def shown(node: Node, index: int = 0) -> Tensor:
    """A Tensor that shows a result of a node."""
    t = Tensor.__new__(Tensor)
    t._array = t._storage = t._source = t._grad = t._hooks = t._view = None
    t._node = node
    t._index = index
    t._requires = t._retains = False
    _own(node, t)
    if inference:
        _inferred(t)
    return t


def known(t: Tensor) -> np.ndarray | None:
    """The values, unless they are still to be computed."""
    node = t._node
    if node is not None:
        return None if node.values is None else node.values[t._index]
    return t._array


class _Owners:
    """The Tensors that show the results of one node: answers one that is alive."""

    def __init__(self) -> None:
        self.refs: list[weakref.ref[Tensor]] = []

    def __call__(self) -> Tensor | None:
        return next((t for r in self.refs if (t := r()) is not None), None)


def _own(node: Node, t: Tensor) -> None:
    """Remember who shows a node, so that its values are kept while they can be asked for."""
    if len(node.avals) == 1:
        node.owner = weakref.ref(t)
        return
    if not isinstance(node.owner, _Owners):
        node.owner = _Owners()
    node.owner.refs.append(weakref.ref(t))


def later(old: Tensor, new: Tensor) -> None:
    """Make an untracked result the value of a Tensor; it is computed along with its operands."""
    if old.requires_grad or new.requires_grad:
        raise RuntimeError("a Tensor that is written later requires no grad")
    node = new._node
    if node is None:
        np.copyto(old._own(), new._value())
        return
    old._replace(new)
    if node.values is None:
        waiting[node] = None
        if len(waiting) > 1000:
            run(list(waiting))


def plain(data: Any, dtype: Any = None) -> np.ndarray:
    """A new array of anything array-like; Python's floats are single precision."""
    if isinstance(data, Tensor):
        return np.array(data._value(), dtype, order="C")
    listed = isinstance(data, list | tuple)
    bare = listed and numbers_alone(data)
    if listed and not bare:
        data = _without_tensors(data)
    try:
        found = np.array(data, order="C")
    except ValueError as error:
        raise ragged(data) or error from None
    if found.dtype.kind == "U" and isinstance(data, list):
        raise ValueError("too many dimensions 'str'")
    if found.dtype.kind not in "biufc":
        raise TypeError(f"a Tensor cannot be made of {data!r}")
    if dtype is None and found.dtype.char in "dD" and (bare or not holds_arrays(data)):
        dtype = number_dtype(float if found.dtype.char == "d" else complex)
    return found if dtype is None else found.astype(dtype, copy=False)


def _without_tensors(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return [_without_tensors(e) for e in x]
    return x.tolist() if isinstance(x, Tensor) else x


def as_tensor(x: Any) -> Tensor:
    """The Tensor, or a new one."""
    return x if isinstance(x, Tensor) else held(plain(x))


def _unpickled(array: np.ndarray, requires_grad: bool) -> Tensor:
    return held(array).requires_grad_(requires_grad)


def applied(operation: Operation, operands: Sequence[Tensor], *statics: Any) -> Tensor:
    """The result of an operation with one result."""
    return shown(record(operation, tuple([t._ref() for t in operands]), statics))

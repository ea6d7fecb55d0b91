"""What can be asked of a Tensor without computing: its memory, its kind, where it lives."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..settings import options
from . import dtypes
from .aliases import along, view
from .arithmetic import method
from .environment import cuda_amp
from .promotion import _common
from .saved import scalar_name
from .shapes import _sizes
from .storage import Size
from .tape import Operation
from .tensor_object import Tensor, as_tensor, held

# What `tensors` shows.
# fmt: off
__all__ = [
    "argwhere", "as_strided", "broadcast_shapes", "can_cast", "cuda", "detach", "get_device",
    "get_num_threads", "is_conj", "is_inference", "is_neg", "is_nonzero", "is_same_size",
    "is_signed", "is_storage", "promote_types", "set_num_threads", "typename", "unravel_index",
]
# fmt: on


def _same(value: Any, self: Tensor) -> Any:
    return value


_ALWAYS = {
    "is_cuda": False, "is_cpu": True, "is_sparse": False, "is_quantized": False, "is_meta": False,
    "is_mkldnn": False, "is_mps": False, "is_nested": False, "is_xpu": False,
    "is_sparse_csr": False,
    "layout": dtypes.strided, "names": None, "output_nr": 0, "volatile": False,
}  # fmt: skip
for _name, _value in _ALWAYS.items():
    setattr(Tensor, _name, property(functools.partial(_same, _value)))
for _name, _value in (
    ("is_contiguous", True), ("is_pinned", False), ("is_shared", False), ("is_conj", False),
    ("is_neg", False), ("is_coalesced", False), ("is_distributed", False),
    ("has_names", False),
):  # fmt: skip
    setattr(Tensor, _name, lambda self, v=_value, **_: v)


def _adjoint(self: Tensor) -> Tensor:
    if self.ndim not in (0, 2):
        raise RuntimeError(
            "tensor.H is only supported on matrices (2-D tensors). Got "
            f"{self.ndim}-D tensor. For batches of matrices, consider using tensor.mH"
        )
    return self.T.conj() if self._dtype.kind == "c" else self.T


Tensor.itemsize = property(lambda self: self._dtype.itemsize)  # type: ignore[attr-defined]
Tensor.nbytes = property(lambda self: self._dtype.itemsize * self.numel())  # type: ignore[attr-defined]
Tensor.H = property(_adjoint)  # type: ignore[attr-defined]
Tensor.mH = property(lambda self: self.mT.conj() if self._dtype.kind == "c" else self.mT)  # type: ignore[attr-defined]


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    found: list[int] = []
    step = 1
    for n in reversed(shape):
        found.append(step)
        step *= max(n, 1)
    return tuple(reversed(found))


def _memory(t: Tensor) -> np.ndarray | None:
    """The memory of a Tensor or of a view of it, if it holds some."""
    if t._array is not None:
        return t._array
    known = t._view
    chain = getattr(known, "chain", None)
    if chain:  # of a recorded view: what it is a view of decides
        base = known.family.owner()._aval_shape()
        at = np.empty(base, np.int8)  # no element is looked at
        return along(at, chain)
    return None


@method("stride")
def stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements lie between neighbours along each axis."""
    array = _memory(self)
    found = _strides(self._aval_shape()) if array is None else _counted(array)
    return found if dim is None else found[dim]


def _counted(array: np.ndarray) -> tuple[int, ...]:
    """Strides in elements; of a new axis, which NumPy leaves at zero, past what follows it."""
    found = [s // array.itemsize for s in array.strides]
    for k in reversed(range(array.ndim)):
        if array.shape[k] == 1 and not found[k]:
            found[k] = array.shape[k + 1] * found[k + 1] if k + 1 < array.ndim else 1
    return tuple(found)


@method("is_contiguous")
def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie in order, without gaps."""
    array = _memory(self)
    return True if array is None else bool(array.flags.c_contiguous)


@method("data_ptr")
def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    return int(self.detach()._own().ctypes.data)


@method("storage_offset")
def storage_offset(self: Tensor) -> int:
    """How many elements before the first one the memory starts."""
    array = _memory(self)
    if array is None or array.base is None:
        return 0
    base = array.base
    while getattr(base, "base", None) is not None and isinstance(base.base, np.ndarray):
        base = base.base
    first = getattr(base, "ctypes", array.ctypes).data
    return int((array.ctypes.data - first) // array.itemsize)


@method("element_size")
def element_size(self: Tensor) -> int:
    """The size of an element in bytes."""
    return self._dtype.itemsize


@method("get_device")
def get_device(input: Tensor) -> int:
    """-1: the processor."""
    return -1


method("ndimension")(lambda self: self.ndim)
method("pin_memory")(lambda self, *_: self)
method("share_memory_")(lambda self: self)
method("coalesce")(lambda self: self)
method("to_dense")(lambda self, *_, **__: self)


@method("cuda")
def _cuda(self: Tensor, *_: Any, **__: Any) -> Tensor:
    """Refused."""
    dtypes.processor("cuda")
    return self


cuda = SimpleNamespace(
    amp=cuda_amp,
    is_available=lambda: False, device_count=lambda: 0, manual_seed=lambda seed: None,
    manual_seed_all=lambda seed: None, synchronize=lambda *_: None, empty_cache=lambda: None,
    is_initialized=lambda: False, current_device=lambda: dtypes.processor("cuda"),
    get_device_name=lambda *_: dtypes.processor("cuda"), memory_allocated=lambda *_: 0,
    max_memory_allocated=lambda *_: 0, set_device=dtypes.processor, is_bf16_supported=lambda: False,
)  # fmt: skip
backends = SimpleNamespace(
    cudnn=SimpleNamespace(
        deterministic=False, benchmark=False, enabled=False, is_available=lambda: False
    ),
    mps=SimpleNamespace(is_available=lambda: False, is_built=lambda: False),
    cuda=SimpleNamespace(is_built=lambda: False),
    mkl=SimpleNamespace(is_available=lambda: False),
)


@method("type")
def type_(self: Tensor, dtype: Any = None, **_: Any) -> Any:
    """The name of its class and dtype, or the Tensor in another dtype."""
    if dtype is None:
        return f"torch.{scalar_name(self._dtype)}Tensor"
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.").removesuffix("Tensor")
        found = [d for d in dtypes.DTYPES.values() if scalar_name(d.dtype) == name]
        if not found:
            raise ValueError(f"invalid type: {dtype!r}")
        return self.to(found[0])
    return self.to(getattr(dtype, "of", dtype))


for _name, _to in (
    ("byte", np.uint8), ("char", np.int8), ("cfloat", np.complex64), ("cdouble", np.complex128),
):  # fmt: skip
    setattr(Tensor, _name, lambda self, d=_to: self.to(d))


@method("bfloat16")
def _bfloat16(self: Tensor) -> Tensor:
    """Refused."""
    raise RuntimeError("there is no bfloat16 in NumPy: use .half() or .float()")


@method("is_signed")
def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input._dtype.kind in "ifc"


@method("is_nonzero")
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero."""
    if input.numel() != 1:
        what = "no values" if not input.numel() else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
    return bool(input.item())


@method("is_same_size")
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether the shapes are the same."""
    return input.shape == other.shape


@method("is_inference")
def is_inference(input: Tensor) -> bool:
    """Whether it was made in `inference_mode`."""
    return input._inferred


method("is_set_to")(lambda self, other: self._own() is other._own())
method("__contains__")(lambda self, x: bool((self._value() == as_tensor(x)._value()).any()))
method("__reversed__")(lambda self: self.flip(0) if self.ndim else self)
method("__nonzero__")(Tensor.__bool__)


def is_conj(input: Tensor) -> bool:
    """Never: conjugates are computed."""
    return False


def is_neg(input: Tensor) -> bool:
    """Never: negatives are computed."""
    return False


@method("sum_to_size")
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum that a broadcast from this shape came from."""
    want, have = _sizes(size), self._aval_shape()
    lead = len(have) - len(want)
    if lead < 0 or any(n not in (1, m) for n, m in zip(want, have[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(want)}}} is not expandable to size {{{list(have)}}}.")
    axes = [*range(lead), *(lead + i for i, n in enumerate(want) if n == 1 != have[lead + i])]
    if not axes and not lead:
        return self
    return (self.sum(axes) if axes else self).reshape(want)


def _strided(x: Any, size: tuple[int, ...], steps: tuple[int, ...], start: int) -> Any:
    """Elements by their places in memory in order."""
    if type(x) is np.ndarray:
        moves = tuple(n * x.itemsize for n in steps)
        return np.lib.stride_tricks.as_strided(x.reshape(-1)[start:], size, moves)
    at = np.full(size, start, np.int64)
    for axis, (n, s) in enumerate(zip(size, steps, strict=True)):
        at += (np.arange(n) * s).reshape(-1, *[1] * (len(size) - axis - 1))
    return x.reshape(-1)[at]


AS_STRIDED = Operation("AsStridedBackward0", _strided, keeps=False)


@method("as_strided")
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the memory that a Tensor shares, by places in it."""
    start = input.storage_offset() if storage_offset is None else storage_offset
    known = input._view
    base = known.family.owner() if getattr(known, "chain", None) else input
    array = _memory(base)
    if array is not None and not array.flags.c_contiguous:
        raise RuntimeError("as_strided: the memory of an array of NumPy's in another order")
    size, steps = tuple(map(int, size)), tuple(map(int, stride))
    if len(size) != len(steps):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(n < 0 for n in steps):
        raise RuntimeError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {steps}"
        )
    last = start + sum((n - 1) * s for n, s in zip(size, steps, strict=True))
    if 0 not in size and not 0 <= start <= last < base.numel():
        width = base._dtype.itemsize
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(steps)}, storage offset {start}, and "
            f"itemsize {width} requiring a storage size of {(last + 1) * width} are out of bounds "
            f"for storage of size {base.numel() * width}"
        )
    return view(AS_STRIDED, base, size, steps, start)


@method("view")
def _view(self: Tensor, *shape: Any) -> Tensor:
    """The elements in another shape, or as another dtype, in the same memory."""
    if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        return held(self.detach()._own().view(shape[0].dtype), self._storage)
    array = _memory(self)
    if array is not None and not array.flags.c_contiguous:
        wanted = array.reshape(_sizes(shape))
        if wanted.size and not np.shares_memory(wanted, array):
            raise RuntimeError(
                "view size is not compatible with input tensor's size and stride (at least one "
                "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
            )
    return self.reshape(*shape)


# ------------------------------------------------------------------ functions


def can_cast(from_: Any, to: Any) -> bool:
    """Whether an operation may write one dtype as the other."""
    rank = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
    return rank[np.dtype(from_).kind] <= rank[np.dtype(to).kind]


def promote_types(type1: Any, type2: Any) -> dtypes.dtype:
    """The dtype of the sum of Tensors of these dtypes."""
    found = _common([np.dtype(type1), np.dtype(type2)])
    assert found is not None
    return dtypes.of(found)


def broadcast_shapes(*shapes: Any) -> Any:
    """The common shape."""
    try:
        return Size(
            np.broadcast_shapes(*(tuple(s) if not isinstance(s, int) else s for s in shapes))
        )
    except ValueError as error:
        raise RuntimeError(
            "Shape mismatch: objects cannot be broadcast to a single shape"
        ) from error


def detach(input: Tensor) -> Tensor:
    """The same memory, without history."""
    return input.detach()


@method("argwhere")
def argwhere(input: Tensor) -> Tensor:
    """Where elements are not zero, one row each."""
    return held(np.argwhere(input._value()).astype(np.int64))


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Places in a flat Tensor as coordinates."""
    return tuple(held(np.asarray(i, np.int64)) for i in np.unravel_index(indices._value(), shape))


def typename(obj: Any) -> str:
    """The name of the class of an object."""
    return obj.type() if isinstance(obj, Tensor) else f"{type(obj).__module__}.{type(obj).__name__}"


def is_storage(obj: Any) -> bool:
    """Never."""
    return False


def get_num_threads() -> int:
    """How many threads may share a large program: `adjit.options.get().threads`."""
    return options.get().threads


def set_num_threads(n: int) -> None:
    """The same as `adjit.options.set(threads=n)`."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    options.set(threads=n)


__all__ += ["backends"]

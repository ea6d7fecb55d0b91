"""What PyTorch calls a dtype, and the only device there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import promotion


class dtype:
    """A dtype; NumPy takes it as its own, and it equals NumPy's."""

    __slots__ = ("char", "dtype", "itemsize", "kind", "name", "type")

    def __init__(self, of: Any) -> None:
        self.dtype = np.dtype(of)
        self.name = self.dtype.name
        self.kind, self.char = self.dtype.kind, self.dtype.char
        self.type, self.itemsize = self.dtype.type, self.dtype.itemsize

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_signed(self) -> bool:
        return self.kind in "ifc"

    def to_real(self) -> dtype:
        """The dtype of the real part."""
        return DTYPES[np.zeros((), self.dtype).real.dtype]

    def to_complex(self) -> dtype:
        """The complex dtype of this precision."""
        return DTYPES[np.result_type(self.dtype, np.complex64)]

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        if isinstance(other, dtype) or other is None or isinstance(other, str):
            return False
        return bool(self.dtype == other)

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> Any:
        return of, (self.name,)


DTYPES: dict[np.dtype, dtype] = {
    d.dtype: d
    for d in map(
        dtype,
        [
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float16",
            "float32",
            "float64",
            "complex64",
            "complex128",
        ],
    )
}


def of(x: Any) -> dtype:
    """The dtype of that name, or for NumPy's."""
    return x if isinstance(x, dtype) else DTYPES[np.dtype(x)]


def get_default_dtype() -> dtype:
    """The dtype of Python's floats."""
    return DTYPES[promotion.default()]


def set_default_dtype(d: dtype) -> None:
    """Give Python's floats another dtype from here on."""
    kind = np.dtype(d)
    if kind.kind != "f":
        raise TypeError(f"only floating-point types are supported as the default type, not {d}")
    promotion.set_default(kind)


class finfo:
    """What a floating-point dtype can tell apart and hold."""

    def __init__(self, type: Any = None) -> None:
        d = of(type if type is not None else get_default_dtype())
        if d.kind not in "fc":
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'torch.{d.name}'"
            )
        info = np.finfo(d.dtype)
        self.bits, self.dtype = info.bits, d.to_real().name
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)

    def __repr__(self) -> str:
        words = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        shown = ", ".join(f"{w}={getattr(self, w):g}" for w in words)
        return f"finfo({shown}, dtype={self.dtype})"


class iinfo:
    """What an integer dtype can hold."""

    def __init__(self, type: Any) -> None:
        d = of(type)
        if d.kind not in "iu":
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'torch.{d.name}'"
            )
        info = np.iinfo(d.dtype)
        self.bits, self.dtype = info.bits, d.name
        self.max, self.min = int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


class device:
    """The name of a place for Tensors; all live on the processor."""

    __slots__ = ("index", "type")

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        name, _, number = str(getattr(type, "type", type)).partition(":")
        if name not in _PLACES:
            raise RuntimeError(
                f"Expected one of {', '.join(_PLACES)} device type at start of device string: "
                f"{name}"
            )
        self.type, self.index = name, int(number) if number else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        more = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{more})"

    def __enter__(self) -> device:
        return processor(self)

    def __exit__(self, *_: object) -> None:
        """Nothing: the processor is the device before, in and after the block."""


_PLACES = ("cpu", "cuda", "mkldnn", "xpu", "mps", "meta", "hpu", "vulkan", "lazy", "mtia")


def processor(place: Any) -> device:
    """The device, which must be the processor."""
    found = place if isinstance(place, device) else device(place)
    if found.type == "cuda":
        raise AssertionError(
            "Torch not compiled with CUDA enabled: there is no CUDA here, Tensors live on the "
            "processor, device 'cpu'"
        )
    if found.type != "cpu":
        raise RuntimeError(
            f"there is no device {found.type!r} here: Tensors live on the processor, device 'cpu'"
        )
    return found


CPU = device()


class layout:
    """How the elements of a Tensor are kept."""

    def __repr__(self) -> str:
        return "torch.strided"


strided = layout()


class memory_format:
    """An order of elements in memory: a word, the elements stay as they lie."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")

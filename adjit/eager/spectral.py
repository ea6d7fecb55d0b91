"""`torch.fft`: transforms of Fourier, by NumPy's of the same names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from .promotion import default
from .tape import Operation
from .tensor_object import Tensor, applied, held
from .titles import titled

__all__ = ["fft"]


def _one(name: str) -> Any:
    transform = getattr(np.fft, name)
    operation = Operation("FftC2CBackward0", lambda x, n, dim, norm: transform(x, n, dim, norm))

    def call(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
        return _named(_narrowed(applied(operation, [_floats(input)], n, dim, norm), input), input)

    call.__name__ = name
    return call


def _several(name: str, axes: Any) -> Any:
    transform = getattr(np.fft, name)
    operation = Operation("FftC2CBackward0", lambda x, s, dim, norm: transform(x, s, dim, norm))

    def call(input: Tensor, s: Any = None, dim: Any = axes, norm: str | None = None) -> Tensor:
        frozen = [d if d is None else (d,) if isinstance(d, int) else tuple(d) for d in (s, dim)]
        return _named(_narrowed(applied(operation, [_floats(input)], *frozen, norm), input), input)

    call.__name__ = name
    return call


def _floats(x: Tensor) -> Tensor:
    return x if x._dtype.kind in "fc" else x.to(default())


def _named(found: Tensor, input: Tensor) -> Tensor:
    """Under PyTorch's name: from real or complex to real or complex."""
    kinds = ["C" if x._dtype.kind == "c" else "R" for x in (input, found)]
    return titled(found, "Fft{}2{}Backward0".format(*kinds))


def _narrowed(found: Tensor, input: Tensor) -> Tensor:
    """The result in the precision of the operand."""
    single = input._dtype.itemsize <= (8 if input._dtype.kind == "c" else 4)
    if (single and input._dtype.kind in "fc") or (input._dtype.kind not in "fc"):
        kind = found._dtype.kind
        return found.to(np.complex64 if kind == "c" else np.float32)
    return found


SHIFT = Operation("RollBackward0", np.fft.fftshift, keeps=False)
UNSHIFT = Operation("RollBackward0", np.fft.ifftshift, keeps=False)


def _frozen(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, list) else dim


fft = SimpleNamespace(
    **{name: _one(name) for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")},
    **{name: _several(name, (-2, -1)) for name in ("fft2", "ifft2", "rfft2", "irfft2")},
    **{name: _several(name, None) for name in ("fftn", "ifftn", "rfftn", "irfftn")},
    fftshift=lambda input, dim=None: applied(SHIFT, [input], _frozen(dim)),
    ifftshift=lambda input, dim=None: applied(UNSHIFT, [input], _frozen(dim)),
    fftfreq=lambda n, d=1.0, *, dtype=None: held(np.fft.fftfreq(n, d).astype(dtype or default())),
    rfftfreq=lambda n, d=1.0, *, dtype=None: held(np.fft.rfftfreq(n, d).astype(dtype or default())),
)

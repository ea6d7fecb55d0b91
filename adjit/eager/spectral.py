"""`torch.fft`: transforms of Fourier, by NumPy's of the same names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from .indexing import index_select
from .pointwise import view_as_complex, view_as_real
from .promotion import default
from .scatters import index_add
from .shapes import cat
from .tape import Operation
from .tensor_object import Tensor, applied, held
from .titles import titled

__all__ = ["fft", "istft", "stft"]


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


# ------------------------------------------------------------------ short times


def _hop(n_fft: int, hop: int | None, width: int | None) -> tuple[int, int]:
    hop, width = n_fft // 4 if hop is None else hop, n_fft if width is None else width
    if hop <= 0 or not 0 < width <= n_fft:
        raise RuntimeError(
            f"stft: expected hop_length > 0 and 0 < win_length <= n_fft, but got hop_length={hop}, "
            f"win_length={width}, n_fft={n_fft}"
        )
    return hop, width


def _window(window: Tensor | None, n_fft: int, width: int, like: Tensor) -> Tensor:
    """The window in the middle of as many zeros as are missing."""
    real = like.real
    found = real.new_ones(width) if window is None else window
    if tuple(found.shape) != (width,):
        raise RuntimeError(
            f"stft: expected a 1D window tensor of size equal to win_length={width}, but got "
            f"window with size {list(found.shape)}"
        )
    left = (n_fft - width) // 2
    zeros = [real.new_zeros(n) for n in (left, n_fft - width - left)]
    return cat([zeros[0], found, zeros[1]]) if width < n_fft else found


def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect",
    normalized: bool = False, onesided: bool | None = None, return_complex: bool | None = None,
) -> Tensor:  # fmt: skip
    """Spectra of a signal's windows: (..., frequencies, windows)."""
    hop, width = _hop(n_fft, hop_length, win_length)
    if input.ndim not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, but got {input.ndim}D tensor")
    whole = input._dtype.kind == "c"
    if return_complex is None and not whole:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further "
            "require that return_complex=True in a future PyTorch release."
        )
    x = input
    if center:
        x = _extended(input, n_fft // 2, pad_mode)
    if n_fft > x.shape[-1]:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {x.shape[-1]}, but got n_fft={n_fft}")
    frames = x.unfold(-1, n_fft, hop) * _window(window, n_fft, width, input)
    half = not whole if onesided is None else onesided
    found = (fft.rfft if half else fft.fft)(frames, norm="ortho" if normalized else None)
    found = found.transpose(-1, -2)
    return found if return_complex or whole else view_as_real(found)


def _extended(x: Tensor, n: int, mode: str) -> Tensor:
    """A signal with n more elements at both ends."""
    if mode == "constant":
        zeros = x.new_zeros((*x.shape[:-1], n))
        return cat([zeros, x, zeros], -1)
    how: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}.get(mode)
    if how is None:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if n >= x.shape[-1] and mode == "reflect":
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({n}, {n}) at dimension {x.ndim} of input {list(x.shape)}"
        )
    return index_select(x, -1, held(np.pad(np.arange(x.shape[-1]), n, mode=how)))


def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, normalized: bool = False,
    onesided: bool | None = None, length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signal whose windows have these spectra, by least squares."""
    hop, width = _hop(n_fft, hop_length, win_length)
    spectra = input if input._dtype.kind == "c" else view_as_complex(input.contiguous())
    frequencies, count = spectra.shape[-2:]
    half = frequencies != n_fft if onesided is None else onesided
    if frequencies != (n_fft // 2 + 1 if half else n_fft):
        raise RuntimeError(
            f"istft: expected {n_fft // 2 + 1 if half else n_fft} frequencies of n_fft={n_fft}, "
            f"but got {frequencies}"
        )
    back = fft.irfft if half and not return_complex else fft.ifft
    frames = back(spectra.transpose(-1, -2), n_fft, norm="ortho" if normalized else None)
    weight = _window(window, n_fft, width, spectra)
    at = held((np.arange(count)[:, None] * hop + np.arange(n_fft)).reshape(-1))
    total = n_fft + hop * (count - 1)
    lead = tuple(frames.shape[:-2])
    summed = (frames * weight).reshape(*lead, -1)
    signal = index_add(summed.new_zeros((*lead, total)), -1, at, summed)
    envelope = index_add(
        weight.new_zeros(total), 0, at, weight.square().expand(count, n_fft).reshape(-1)
    )
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start
    shown, norm = signal[..., start:end], envelope[start:end]
    if norm.numel() and float(norm.abs().min()) <= 1e-11:
        raise RuntimeError("istft: window overlap add min: 1")
    found = shown / norm
    more = end - total
    if length is not None and more > 0:
        found = cat([found, found.new_zeros((*lead, more))], -1)
    return found if return_complex or found._dtype.kind != "c" else found.real

"""`torch.testing`: Tensors compared with words for what differs."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from .draws import rand, randint
from .dtypes import DTYPES
from .tensor_object import Tensor, as_tensor

__all__ = ["testing"]

_TOLERANCES = {
    "float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip


def assert_close(
    actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None,
    equal_nan: bool = False, check_dtype: bool = True, check_device: bool = True,
    check_layout: bool = True, check_stride: bool = False, allow_subclasses: bool = True,
    msg: Any = None,
) -> None:  # fmt: skip
    """Raise AssertionError unless these agree: Tensors, numbers, or containers of them."""
    if (rtol is None) != (atol is None):
        raise ValueError(
            "rtol and atol must both be specified or both be unspecified, but got "
            f"rtol={rtol} and atol={atol}"
        )
    text = _compared(actual, expected, (rtol, atol), equal_nan, check_dtype, "")
    if text is not None:
        raise AssertionError(msg(text) if callable(msg) else text if msg is None else msg)


def _compared(
    a: Any, b: Any, given: tuple[Any, Any], nan: bool, dtypes: bool, where: str
) -> str | None:
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return (
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {sorted(b.keys() - a.keys(), key=str)}\n"
                f"Additional keys in the actual mapping: {sorted(a.keys() - b.keys(), key=str)}"
            )
        pairs = [(f"{where}[{k!r}]", a[k], b[k]) for k in a]
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return f"The length of the sequences mismatch: {len(a)} != {len(b)}"
        pairs = [(f"{where}[{k}]", x, y) for k, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        text = _leaf(a, b, given, nan, dtypes)
        return (
            text
            if text is None or not where
            else f"{text}\n\nThe failure occurred for item {where}"
        )
    found = (_compared(x, y, given, nan, dtypes, at) for at, x, y in pairs)
    return next((t for t in found if t is not None), None)


def _leaf(a: Any, b: Any, given: tuple[Any, Any], nan: bool, dtypes: bool) -> str | None:
    if isinstance(a, Tensor) or isinstance(b, Tensor) or isinstance(a, np.ndarray):
        if not (isinstance(a, Tensor | np.ndarray) and isinstance(b, Tensor | np.ndarray)):
            raise TypeError(
                f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}."
            )
        return _tensors(as_tensor(a), as_tensor(b), given, nan, dtypes)
    if isinstance(a, bool | int | float | complex) and isinstance(b, bool | int | float | complex):
        return _scalars(a, b, given, nan)
    if isinstance(a, str) or a is None or b is None:
        return None if a == b else f"Object comparison failed: {a!r} != {b!r}"
    raise TypeError(
        f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}."
    )


def _bounds(given: tuple[Any, Any], *names: str) -> tuple[float, float]:
    if given[0] is not None:
        return given
    known = [_TOLERANCES.get(n, (0.0, 0.0)) for n in names]
    return max(r for r, _ in known), max(a for _, a in known)


def _tensors(a: Tensor, b: Tensor, given: tuple[Any, Any], nan: bool, dtypes: bool) -> str | None:
    if a.shape != b.shape:
        return f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}."
    if dtypes and a.dtype != b.dtype:
        return f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}."
    rtol, atol = _bounds(given, a.dtype.name, b.dtype.name)
    kind = np.promote_types(a._dtype, b._dtype)
    x, y = a._value().astype(kind), b._value().astype(kind)
    if kind.kind == "b":
        x, y = x.astype(np.int64), y.astype(np.int64)
    good = np.isclose(x, y, rtol, atol, nan)
    if good.all():
        return None
    with np.errstate(all="ignore"):
        far = np.where(good, 0, np.abs(x - y)).astype(np.float64)
        relative = far / np.abs(y)
        relative[good] = 0
    bad = good.size - int(good.sum())
    exact = rtol == atol == 0
    what = "Tensor-likes are not equal!" if exact else "Tensor-likes are not close!"
    if not a.ndim:
        return _one(x.item(), y.item(), rtol, atol, "Tensor-likes" if a.ndim else "Scalars")
    lines = [what, "", f"Mismatched elements: {bad} / {good.size} ({bad / good.size:.1%})"]
    for name, values, limit in (("absolute", far, atol), ("relative", relative, rtol)):
        at = np.unravel_index(int(np.argmax(values)), values.shape)
        top = values[at].item()
        shown = int(top) if kind.kind in "iub" and name == "absolute" else top
        end = "" if exact else f" (up to {limit} allowed)"
        place = tuple(int(i) for i in at)
        lines.append(f"Greatest {name} difference: {shown} at index {place}{end}")
    return "\n".join(lines)


def _one(x: Any, y: Any, rtol: float, atol: float, what: str) -> str:
    far = abs(x - y)
    relative = far / abs(y) if y else math.inf
    exact = rtol == atol == 0
    ends = ["" if exact else f" (up to {t} allowed)" for t in (atol, rtol)]
    return (
        f"{what} are not {'equal' if exact else 'close'}!\n\nExpected {y} but got {x}.\n"
        f"Absolute difference: {far}{ends[0]}\nRelative difference: {relative}{ends[1]}"
    )


def _scalars(x: Any, y: Any, given: tuple[Any, Any], nan: bool) -> str | None:
    names = ["float64" if isinstance(v, float) else "complex128" if isinstance(v, complex) else
             "int64" for v in (x, y)]  # fmt: skip
    rtol, atol = _bounds(given, *names)
    if bool(np.isclose(x, y, rtol, atol, nan)):
        return None
    return _one(x, y, rtol, atol, "Scalars")


def make_tensor(
    *shape: Any, dtype: Any, device: Any = "cpu", low: float | None = None,
    high: float | None = None, requires_grad: bool = False, **_: Any,
) -> Tensor:  # fmt: skip
    """Random numbers between these bounds."""
    size = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    if DTYPES[np.dtype(dtype)].kind in "fc":
        a, b = (-9 if low is None else low), (9 if high is None else high)
        found = (rand(*size) * (b - a) + a).to(dtype)
    else:
        found = randint(int(low or 0), int(high or 10), tuple(size), dtype=dtype)
    return found.detach().requires_grad_() if requires_grad else found


testing = SimpleNamespace(
    assert_close=assert_close, assert_allclose=assert_close, make_tensor=make_tensor
)

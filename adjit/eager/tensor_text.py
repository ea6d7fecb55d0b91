"""How a Tensor shows itself: four decimals, columns, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.records import dataclass
from .promotion import default, number_dtype


@dataclass(frozen=True)
class Options:
    """How numbers are shown; `sci_mode` None lets the numbers decide."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": Options(),
    "short": Options(precision=2, threshold=1000, edgeitems=2),
    "full": Options(threshold=math.inf),
}
_options = [Options()]


def set_printoptions(
    precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
    linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None,
) -> None:  # fmt: skip
    """Change how Tensors are shown; a profile is "default", "short" or "full"."""
    now = _options[0] if profile is None else _PROFILES[profile]
    given = {
        "precision": precision, "threshold": threshold, "edgeitems": edgeitems,
        "linewidth": linewidth,
    }  # fmt: skip
    now = replace(now, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    _options[0] = replace(now, sci_mode=sci_mode)


def show(x: np.ndarray, suffixes: Sequence[str] = (), prefix: str = "tensor(") -> str:
    """The text of an array with these words behind it."""
    indent = len(prefix)
    words = [*suffixes]
    silent = [default(), number_dtype(complex)]
    if x.size:
        silent += [np.dtype(np.int64), np.dtype(np.bool_)]
    if x.dtype not in silent:
        words.insert(0, f"dtype=torch.{x.dtype}")
    if x.size == 0:
        if x.ndim != 1:
            words.insert(0, f"size={tuple(x.shape)}")
        return _joined(prefix + "[]", words, indent)
    long = x.size > _options[0].threshold
    seen = _summary(x) if long else x
    form: Any = _Complex(seen) if x.dtype.kind == "c" else _Format(seen)
    return _joined(prefix + _block(x, indent, long, form), words, indent)


class _Format:
    """One width and one notation for all numbers of an array."""

    def __init__(self, x: np.ndarray) -> None:
        self.floating = x.dtype.kind == "f"
        self.spec = ".0f"
        self.whole = True
        self.width = 1
        flat = x.ravel()
        if not self.floating:
            self.width = max(len(str(v)) for v in flat.tolist())
            return
        finite = flat[np.isfinite(flat) & (flat != 0)].astype(np.float64)
        if not finite.size:
            return
        low, high = np.abs(finite).min(), np.abs(finite).max()
        self.whole = bool(np.all(finite == np.ceil(finite)))
        wild = high / low > 1000.0 or high > 1.0e8 or (not self.whole and low < 1.0e-4)
        options = _options[0]
        if options.sci_mode is not None:
            wild = options.sci_mode
        if wild:
            self.spec, self.whole = f".{options.precision}e", False
        elif not self.whole:
            self.spec = f".{options.precision}f"
        self.width = max(len(self.plain(v)) for v in finite.tolist())

    def plain(self, v: float) -> str:
        """The digits of a number."""
        text = format(v, self.spec)
        return text + "." if self.whole and math.isfinite(v) else text

    def __call__(self, v: object) -> str:
        text = self.plain(v) if self.floating else str(v)  # type: ignore[arg-type]
        return text.rjust(self.width)


class _Complex:
    """The parts of complex numbers, each in its own notation."""

    def __init__(self, x: np.ndarray) -> None:
        self.parts = _Format(x.real), _Format(x.imag)
        self.width = sum(p.width for p in self.parts) + 2

    def __call__(self, v: complex) -> str:
        real, imag = self.parts
        second = imag(v.imag).lstrip()
        sign = "" if second[0] in "+-" else "+"
        return f"{real(v.real)}{sign}{second}j"


def _block(x: np.ndarray, indent: int, long: bool, form: Any) -> str:
    edge, width = _options[0].edgeitems, _options[0].linewidth
    if x.ndim == 0:
        return form(x.item())
    cut = long and len(x) > 2 * edge
    if x.ndim == 1:
        items = [form(v) for v in (x[:edge] if cut else x).tolist()]
        if cut:
            items += [" ...", *(form(v) for v in x[-edge:].tolist())]
        per_line = max(1, (width - indent) // (form.width + 2))
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [_block(r, indent + 1, long, form) for r in (x[:edge] if cut else x)]
    if cut:
        rows += ["...", *(_block(r, indent + 1, long, form) for r in x[-edge:])]
    return "[" + ("," + "\n" * (x.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _summary(x: np.ndarray) -> np.ndarray:
    """The elements that are shown of a long array."""
    edge = _options[0].edgeitems
    for axis, n in enumerate(x.shape):
        if n > 2 * edge:
            x = np.take(x, [*range(edge), *range(n - edge, n)], axis)
    return x


def _joined(text: str, words: Sequence[str], indent: int) -> str:
    last = len(text) - text.rfind("\n") + 1
    for word in words:
        if last + len(word) + 2 > _options[0].linewidth:
            text += ",\n" + " " * indent + word
            last = indent + len(word)
        else:
            text += ", " + word
            last += len(word) + 2
    return text + ")"

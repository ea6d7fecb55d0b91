"""How a Tensor shows itself: four decimals, columns, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

PRECISION, THRESHOLD, EDGE, WIDTH = 4, 1000, 3, 80
_SILENT = (np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_))


def show(x: np.ndarray, suffixes: Sequence[str] = (), prefix: str = "tensor(") -> str:
    """The text of an array with these words behind it."""
    indent = len(prefix)
    words = [*suffixes]
    if x.dtype not in _SILENT:
        words.insert(0, f"dtype=torch.{x.dtype}")
    if x.size == 0:
        if x.ndim != 1:
            words.insert(0, f"size={tuple(x.shape)}")
        return _joined(prefix + "[]", words, indent)
    long = x.size > THRESHOLD
    text = _block(x, indent, long, _Format(_summary(x) if long else x))
    return _joined(prefix + text, words, indent)


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
        wild = high / low > 1000.0 or high > 1.0e8
        if wild or (not self.whole and low < 1.0e-4):
            self.spec, self.whole = f".{PRECISION}e", False
        elif not self.whole:
            self.spec = f".{PRECISION}f"
        self.width = max(len(self._plain(v)) for v in finite.tolist())

    def _plain(self, v: float) -> str:
        text = format(v, self.spec)
        return text + "." if self.whole and math.isfinite(v) else text

    def __call__(self, v: object) -> str:
        text = self._plain(v) if self.floating else str(v)  # type: ignore[arg-type]
        return text.rjust(self.width)


def _block(x: np.ndarray, indent: int, long: bool, form: _Format) -> str:
    if x.ndim == 0:
        return form(x.item())
    cut = long and len(x) > 2 * EDGE
    if x.ndim == 1:
        items = [form(v) for v in (x[:EDGE] if cut else x).tolist()]
        if cut:
            items += [" ...", *(form(v) for v in x[-EDGE:].tolist())]
        per_line = max(1, (WIDTH - indent) // (form.width + 2))
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [_block(r, indent + 1, long, form) for r in (x[:EDGE] if cut else x)]
    if cut:
        rows += ["...", *(_block(r, indent + 1, long, form) for r in x[-EDGE:])]
    return "[" + ("," + "\n" * (x.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _summary(x: np.ndarray) -> np.ndarray:
    """The elements that are shown of a long array."""
    for axis, n in enumerate(x.shape):
        if n > 2 * EDGE:
            x = np.take(x, [*range(EDGE), *range(n - EDGE, n)], axis)
    return x


def _joined(text: str, words: Sequence[str], indent: int) -> str:
    last = len(text) - text.rfind("\n") + 1
    for word in words:
        if last + len(word) + 2 > WIDTH:
            text += ",\n" + " " * indent + word
            last = indent + len(word)
        else:
            text += ", " + word
            last += len(word) + 2
    return text + ")"

"""Kernels around products of panels: copies into other orders, and convolutions channel by channel.

They are kernels as any other; `places` says where pixels are, -1 is padding.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import numpy as np

from . import panels
from .compile import compile_source
from .host import has_fma
from .source import Source
from .team import Member, together

_ADD = re.compile(r"ADD\((\w+|\w+\[[^]]*\]), (\w+\[[^]]*\]), (\w+)\)")


@functools.lru_cache(maxsize=1000)
def text(kind: str, dtype: np.dtype, *sizes: int) -> Callable[..., object]:
    """A kernel that copies, as a callable of arrays; all sizes are arguments."""
    return together([member(kind, dtype, *sizes)])


def member(kind: str, dtype: np.dtype, *sizes: int) -> Member:
    """A kernel that copies."""
    lines, pointers, names = _TEXTS[kind]
    short = panels.KINDS[dtype]
    zero = "0.0" if short == "f64" else "ll.f32(0.0)"
    lines = _ADD.sub(r"ll.fma(\2, \3, \1)" if has_fma() else r"\1 + \2*\3", lines)
    body = lines.replace("ZERO", zero)
    whole = f"def {kind}({', '.join((*pointers, *names))}):\n{body}    return 0\n"
    kinds = tuple("i64" if p in ("places", "order") else short for p in pointers)
    address = compile_source(Source(kind, whole, kinds, len(names), 0)).address
    return Member(address, len(pointers), sizes)


STRETCH = 1024  # results that a few taps at a time pass over


def _each(depth: int, line: str, count: int = 8) -> str:
    """A line for each of several taps."""
    return "\n".join(" " * (4 * depth) + line.format(k=k, n=k + 1) for k in range(count))


_PATCHES = """\
    for p in range(rows):
        for t in range(taps):
            s = places[p*taps + t]
            q = p*taps*channels + t
            if s < 0:
                for i in range(channels):
                    y[q + i*taps] = ZERO
            else:
                for j in range(channels):
                    y[q + j*taps] = x[s + j]
"""
_THIN_PATCHES = """\
    for p in range(rows):
        for i in range(channels):
            q = (p*channels + i)*taps
            for t in range(taps):
                s = places[p*taps + t]
                y[q + t] = x[s + i] if s >= 0 else ZERO
"""
_SPREAD = """\
    for p in range(rows):
        for t in range(taps):
            s = places[p*taps + t]
            q = p*taps*channels + t
            if s >= 0:
                for i in range(channels):
                    y[s + i] = y[s + i] + x[q + i*taps]
"""
_BACK = """\
    for o in range(results):
        for t in range(taps):
            s = (t*results + o)*channels
            q = o*channels*taps + t
            for i in range(channels):
                y[q + i*taps] = x[s + i]
"""
_PACKED = """\
    for g in range(0, columns, size):
        m = min(size, columns - g)
        for t in range(taps):
            a = order[t]
            for k in range(depth):
                s = g*across + k*down + a
                q = g*taps*depth + (t*depth + k)*size
                for v in range(m):
                    y[q + v] = x[s + v*across]
"""
_COLUMNS = """\
    for g in range(0, results, size):
        m = min(size, results - g)
        for p in range(rows):
            for v in range(m):
                y[g*rows + p*size + v] = x[p*apart + g + v]
"""
_SEEN = """\
    for p in range(rows):
        for t in range(taps):
            s = places[p*taps + t]
            if s >= 0:
                for i in range(channels):
                    y[p*channels + i] = y[p*channels + i] + x[s + i] * w[t*channels + i]
"""
_SEEING = """\
    for p in range(rows):
        for t in range(taps):
            s = places[p*taps + t]
            if s >= 0:
                for i in range(channels):
                    x[s + i] = x[s + i] + y[p*channels + i] * w[t*channels + i]
"""
_WEIGHED = """\
    for p in range(rows):
        for t in range(taps):
            s = places[p*taps + t]
            if s >= 0:
                for i in range(channels):
                    w[t*channels + i] = w[t*channels + i] + y[p*channels + i] * x[s + i]
"""
_SLID = f"""\
    for l in range(rows):
        for b in range(0, width, {STRETCH}):
            m = min({STRETCH}, width - b)
            s = places[l] + b
            a = l*width + b
            for i in range(m):
                y[a + i] = ZERO
            for t in range(0, eights, 8):
{_each(4, "w{k} = w[t + {k}]")}
{_each(4, "q{k} = s + order[t + {k}]")}
                for j in range(m):
                    c0 = ADD(y[a + j], x[q0 + j], w0)
{_each(5, "c{n} = ADD(c{k}, x[q{n} + j], w{n})", 7)}
                    y[a + j] = c7
            for u in range(eights, taps):
                v = w[u]
                q = s + order[u]
                for i in range(m):
                    y[a + i] = ADD(y[a + i], x[q + i], v)
"""
_SLID_WEIGHT = f"""\
    for l in range(rows):
        for b in range(0, width, {STRETCH}):
            m = min({STRETCH}, width - b)
            s = places[l] + b
            a = l*width + b
            for t in range(0, eights, 8):
{_each(4, "c{k} = ZERO")}
{_each(4, "q{k} = s + order[t + {k}]")}
                for j in range(m):
{_each(5, "c{k} = ll.radd(c{k}, y[a + j] * x[q{k} + j])")}
{_each(4, "w[t + {k}] = w[t + {k}] + c{k}")}
            for u in range(eights, taps):
                c = ZERO
                q = s + order[u]
                for i in range(m):
                    c = ll.radd(c, y[a + i] * x[q + i])
                w[u] = w[u] + c
"""
_DEPTH = ("x", "w", "y", "places"), ("taps", "rows", "channels")
_ALONG = ("x", "w", "y", "places", "order"), ("taps", "eights", "rows", "width")
_TEXTS = {
    "conv": (_SEEN, *_DEPTH),
    "conv_input": (_SEEING, *_DEPTH),
    "conv_weight": (_WEIGHED, *_DEPTH),
    "slid": (_SLID, *_ALONG),
    "slid_weight": (_SLID_WEIGHT, *_ALONG),
    "patches": (_PATCHES, ("x", "places", "y"), ("taps", "rows", "channels")),
    "thin_patches": (_THIN_PATCHES, ("x", "places", "y"), ("taps", "rows", "channels")),
    "spread": (_SPREAD, ("x", "places", "y"), ("taps", "rows", "channels")),
    "back": (_BACK, ("x", "y"), ("taps", "results", "channels")),
    "packed": (
        _PACKED,
        ("x", "order", "y"),
        ("size", "columns", "depth", "taps", "across", "down"),
    ),
    "columns": (_COLUMNS, ("x", "y"), ("size", "rows", "results", "apart")),
}

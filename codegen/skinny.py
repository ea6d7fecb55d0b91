"""Products with few rows, which are bound by reading one large matrix: it is read once, in order.

OpenBLAS packs both operands first, and for few rows that costs more than the product.  The texts
are kernels like any other, one per number of rows; sizes are arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from . import entry
from .compile import compile_source
from .source import Source

ROWS = 8  # beyond it BLAS is as fast
SUMMED = 16  # the same where whole rows are summed
LARGE = 1 << 16  # elements of the large matrix
JAM = 4  # of its rows that are read together
DTYPES = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}


def skinny(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
    """out = a @ b, if it is one of these; whether it was."""
    dtype = DTYPES.get(out.dtype)
    if dtype is None or not out.flags.c_contiguous:
        return False
    (m, k), n = a.shape, b.shape[1]
    if m <= SUMMED and a.flags.c_contiguous and k * n >= LARGE:
        if b.T.flags.c_contiguous and n % JAM == 0:
            _call("rows_by_rows", m, dtype, (n // JAM, k))(a, b.T, out)
            return True
        if m <= ROWS and b.flags.c_contiguous and k % JAM == 0:
            out[...] = 0
            _call("combined", m, dtype, (k // JAM, n))(a, b, out)
            return True
    outer = k <= ROWS and m * n >= LARGE and m % 2 == 0
    if outer and a.T.flags.c_contiguous and b.flags.c_contiguous:
        _call("outer", k, dtype, (m // 2, n))(a.T, b, out)
        return True
    return False


@functools.lru_cache(maxsize=1000)
def _call(kind: str, rows: int, dtype: str, sizes: tuple[int, int]) -> Callable[..., object]:
    text = {"rows_by_rows": rows_by_rows, "combined": combined, "outer": outer}[kind]
    name = f"{kind}{rows}"
    source = Source(name, text(name, rows, dtype), (dtype,) * 3, 2, 0)
    address = compile_source(source).address
    return entry.make_call(address, [entry.unchecked()] * 3, sizes, (), nogil=True)


def rows_by_rows(name: str, rows: int, dtype: str) -> str:
    """y[p, o] = sum over k of x[p, k] w[o, k]: some rows of w with all of x."""
    pairs = [(p, j) for p in range(rows) for j in range(JAM)]
    zero = "0.0" if dtype == "f64" else "ll.f32(0.0)"
    return _text(
        f"def {name}(x, w, y, m, n):",
        "    for o in range(m):",
        *(f"        s{p}_{j} = {zero}" for p, j in pairs),
        f"        q = o*{JAM}*n",
        "        for k in range(n):",
        *(f"            w{j} = w[q + {j}*n + k]" for j in range(JAM)),
        *(f"            x{p} = x[{p}*n + k]" for p in range(rows)),
        *(f"            s{p}_{j} = ll.radd(s{p}_{j}, x{p} * w{j})" for p, j in pairs),
        *(f"        y[{p}*{JAM}*m + o*{JAM} + {j}] = s{p}_{j}" for p, j in pairs),
    )


def combined(name: str, rows: int, dtype: str) -> str:
    """y[p, k] += sum over o of x[p, o] w[o, k]: some rows of w into all of y."""
    pairs = [(p, j) for p in range(rows) for j in range(JAM)]
    sums = [" + ".join(f"x{p}_{j} * w{j}" for j in range(JAM)) for p in range(rows)]
    return _text(
        f"def {name}(x, w, y, m, n):",
        "    for o in range(m):",
        f"        q = o*{JAM}*n",
        *(f"        x{p}_{j} = x[{p}*{JAM}*m + o*{JAM} + {j}]" for p, j in pairs),
        "        for k in range(n):",
        *(f"            w{j} = w[q + {j}*n + k]" for j in range(JAM)),
        *(f"            y[{p}*n + k] = y[{p}*n + k] + ({sums[p]})" for p in range(rows)),
    )


def outer(name: str, rows: int, dtype: str) -> str:
    """y[o, k] = sum over p of x[p, o] w[p, k]: two rows of y at a time."""
    pairs = [(p, j) for p in range(rows) for j in range(2)]
    sums = [" + ".join(f"x{p}_{j} * w{p}" for p in range(rows)) for j in range(2)]
    return _text(
        f"def {name}(x, w, y, m, n):",
        "    for o in range(m):",
        "        q = o*2*n",
        *(f"        x{p}_{j} = x[{p}*2*m + o*2 + {j}]" for p, j in pairs),
        "        for k in range(n):",
        *(f"            w{p} = w[{p}*n + k]" for p in range(rows)),
        *(f"            y[q + {j}*n + k] = {sums[j]}" for j in range(2)),
    )


def _text(*lines: str) -> str:
    return "\n".join(lines) + "\n    return 0\n"

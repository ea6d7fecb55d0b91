"""np.einsum: pairs of operands, each pair one `dot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from .promote import dtype_name
from .surface import (
    FUNCTIONS,
    array,
    surface,
    value,
    values,
    wrap,
)
from .surface_join import diagonal_view
from .surface_linalg import contract
from .surface_shape import handle, transpose
from .surface_ufunc import store

_shape = ops.shape
_sum = ops.shape.sum_


# ------------------------------------------------------------------ einsum


def _expand_dots(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """Operand labels and result labels, with `...` replaced by fresh letters."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(
            "einstein sum: the number of operands does not match the number of subscripts"
        )
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in text]
    widest = max([n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True)
                  if "..." in t] or [0])  # fmt: skip
    dots = "".join(free[:widest])
    out_terms = []
    for t, n in zip(terms, ndims, strict=True):
        if "..." in t:
            k = n - len(t.replace("...", ""))
            t = t.replace("...", dots[len(dots) - k :] if k else "")
        if len(t) != n:
            raise ValueError(
                f"einstein sum subscripts string {t!r} does not fit an operand of {n} dimensions"
            )
        out_terms.append(t)
    if arrow:
        return out_terms, right.replace("...", dots)
    letters = sorted(set("".join(out_terms)) - set(dots))
    once = [c for c in letters if "".join(out_terms).count(c) == 1]
    return out_terms, dots + "".join(once)


def _take_diagonals(v: Value, term: str) -> tuple[Value, str]:
    """Repeated labels of one operand become one: the diagonal."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            _check_extents(v, c, i, j)
            v = value(FUNCTIONS[np.diagonal](array(v), 0, i, j))
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    return v, term


def _sum_out(v: Value, term: str, keep: set[str]) -> tuple[Value, str]:
    """Labels that nobody else has are summed at once."""
    axes = tuple(i for i, c in enumerate(term) if c not in keep)
    if axes:
        v = _sum(v, axes=axes)
    return v, "".join(c for c in term if c in keep)


def _pair(a: Value, ta: str, b: Value, tb: str, keep: set[str]) -> tuple[Value, str]:
    """The product of two operands, contracting what is not kept."""
    a, ta = _sum_out(a, ta, keep | set(tb))
    b, tb = _sum_out(b, tb, keep | set(ta))
    # An extent of 1 against a larger one broadcasts.
    for c in [c for c in ta if c in tb]:
        n, m = a.shape[ta.index(c)], b.shape[tb.index(c)]
        if n != m and n == 1:
            a, ta = _shape.squeeze(a, (ta.index(c),)), ta.replace(c, "")
        elif n != m and m == 1:
            b, tb = _shape.squeeze(b, (tb.index(c),)), tb.replace(c, "")
        elif n != m:
            raise ValueError(
                f"einsum: operands could not be broadcast together: index {c} has {n} and {m}"
            )
    shared = [c for c in ta if c in tb]
    batch = [c for c in shared if c in keep]
    summed = [c for c in shared if c not in keep]
    out = "".join(batch) + "".join(c for c in ta if c not in shared)
    out += "".join(c for c in tb if c not in shared)
    v = contract(
        a,
        b,
        ([ta.index(c) for c in summed], [tb.index(c) for c in summed]),
        ([ta.index(c) for c in batch], [tb.index(c) for c in batch]),
    )
    return v, out


def _interleaved(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]) as subscripts."""

    def text(labels: Any) -> str:
        return "".join("..." if i is Ellipsis else chr(97 + int(i)) for i in labels)

    pairs = list(zip(operands[0::2], operands[1::2], strict=False))
    out = ["->" + text(operands[-1])] if len(operands) % 2 else []
    return ",".join(text(s) for _, s in pairs) + "".join(out), [a for a, _ in pairs]


@surface(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Any:
    """np.einsum: pairs in the order of NumPy's greedy path, or of the path that is asked for."""
    dtype = options.get("dtype", None if out is None else out.dtype)
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], list(operands[1:])
    else:
        subscripts, arrays = _interleaved(operands)
    vs = values(*arrays, dtype=None if dtype is None else dtype_name(dtype))
    terms, result = _expand_dots(subscripts, [v.ndim for v in vs])
    if len(vs) == 1 and out is None and set(terms[0]) == set(result) and vs[0] is value(arrays[0]):
        return _viewed(handle(arrays[0]), terms[0], result)
    parts = [_take_diagonals(v, t) for v, t in zip(vs, terms, strict=True)]
    unknown = set(result) - {c for t in terms for c in t}
    if unknown:
        raise ValueError(
            f"einstein sum subscripts string included output subscript '{min(unknown)}' which "
            "never appeared in an input"
        )
    given = optimize if isinstance(optimize, (str, list, tuple)) else "greedy"
    order = _order(subscripts, vs, given) if len(vs) > 2 else None
    while len(parts) > 1:
        i, j = order.pop(0) if order else (0, 1)
        (a, ta), (b, tb) = parts[i], parts[j]
        parts = [p for k, p in enumerate(parts) if k not in (i, j)]
        keep = set(result).union(*(t for _, t in parts)) if parts else set(result)
        parts.append(_pair(a, ta, b, tb, keep))
    v, term = _sum_out(*parts[0], set(result))
    v = _shape.permuted(v, [term.index(c) for c in result])
    return wrap(v) if out is None else store(out, v)


def _viewed(h: Any, term: str, result: str) -> Any:
    """One operand of which nothing is summed: a view, as `einsum("ii->i", z)[:] = 1` relies on."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            _check_extents(h, c, i, j)
            h = diagonal_view(h, 0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    return transpose(h, [term.index(c) for c in result])


def _check_extents(x: Any, label: str, i: int, j: int) -> None:
    if x.shape[i] != x.shape[j]:
        raise ValueError(
            f"dimensions in operand for collapsing index '{label}' don't match "
            f"({x.shape[i]} != {x.shape[j]})"
        )


def _stand_ins(vs: Sequence[Value]) -> list[np.ndarray]:
    """Arrays of these shapes over one number."""
    return [np.lib.stride_tricks.as_strided(np.empty(1), v.shape, (0,) * v.ndim) for v in vs]


@surface(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """np.einsum_path, which looks at shapes alone."""
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], list(operands[1:])
    else:
        subscripts, arrays = _interleaved(operands)
    return np.einsum_path(subscripts, *_stand_ins(values(*arrays)), optimize=optimize)


def _order(subscripts: str, vs: Sequence[Value], how: Any) -> list[tuple[int, int]] | None:
    """The pairs of a path; None where it is not made of pairs."""
    path = np.einsum_path(subscripts, *_stand_ins(vs), optimize=how)[0][1:]
    pairs = [tuple(sorted(p)) for p in path]
    return pairs if all(len(p) == 2 for p in pairs) else None

"""Normal form of scaled transposes: the transpose comes last, where a product absorbs it.

And a transpose of a scaled product is the product of the operands in the other order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.core import Value
from ..ir.ops.contract import dot
from ..ir.ops.elementwise import mul
from ..ir.ops.shape import reshaped, transpose
from .normal import Normal, peel, spread


def _mul(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    """A transpose by what varies along one axis at most."""
    if not b.lenient:
        return None
    for x, v in (args, args[::-1]):
        op = b.made_by(x, "transpose")
        if op is None or v.ndim > x.ndim or not b.single(x):
            continue
        inner, dims, squeezed = peel(b, v, x.shape)
        if len(dims) > 1:
            continue
        perm, whole = op.attrs["perm"], op.args[0]
        core = inner if squeezed is None else reshaped(inner, squeezed)
        along = tuple(perm[d] for d in dims)
        return transpose(mul(whole, spread(b, core, along, whole.shape)), perm=perm)
    return None


def _of_product(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    """The transpose of matrix products that were scaled along rows or columns."""
    x, scales = args[0], []
    nb = x.ndim - 2
    if not b.lenient or tuple(attrs["perm"]) != (*range(nb), nb + 1, nb):
        return None
    while b.single(x) and (op := b.made_by(x, "mul")) is not None:
        for y, v in (op.args, op.args[::-1]):
            turned = _turned(b, v, x.shape) if y.shape == x.shape else None
            if turned is not None:
                scales.append(turned)
                x = y
                break
        else:
            return None
    product = b.made_by(x, "dot")
    if product is None or not b.single(x) or len(product.attrs["batch"][0]) != nb:
        return None
    left, right = product.args
    (cl, cr), (bl, br) = product.attrs["contract"], product.attrs["batch"]
    if not left.ndim - len(cl) == right.ndim - len(cr) == nb + 1:
        return None
    out = dot(right, left, contract=(cr, cl), batch=(br, bl))
    for v in reversed(scales):
        out = mul(out, v)
    return out


def _turned(b: Normal, v: Value, shape: tuple[int, ...]) -> Value | None:
    """A factor of matrices that varies along rows or columns, or a product of such, transposed."""
    inner, dims, squeezed = peel(b, v, shape)
    *batch, rows, columns = range(len(shape))
    if not {rows, columns} <= set(dims):
        core = inner if squeezed is None else reshaped(inner, squeezed)
        other = {rows: columns, columns: rows}
        turned = (*(shape[d] for d in batch), shape[columns], shape[rows])
        return spread(b, core, tuple(other.get(d, d) for d in dims), turned)
    op = b.made_by(v, "mul")
    if op is None:
        return None
    parts = [_turned(b, a, shape) for a in op.args]
    return mul(*parts) if all(p is not None for p in parts) else None


TRANSPOSES = {"mul": (_mul,), "transpose": (_of_product,)}

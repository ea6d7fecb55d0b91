"""Normal form of scaled transposes: the transpose comes last, where a product absorbs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.core import Value
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


TRANSPOSES = {"mul": (_mul,)}

"""Tensors have PyTorch's convention: the gradient by z = x + iy is dL/dx + i dL/dy.

Programs pull cotangents c with dL = Re(c dz), whose conjugate that is: a pull on Tensors
conjugates what it is given and what it answers.
"""

from __future__ import annotations

from ..ir.builder import Builder
from ..ir.core import Function, Value
from ..ir.ops.elementwise import conj
from ..passes.replay import fresh, inline


def _conjugate(v: Value) -> Value:
    return conj(v) if v.aval.kind == "c" else v


def conjugated(function: Function, first: int) -> Function:
    """A pull whose params from `first` on are cotangents, on gradients as PyTorch has them."""
    block = function.block
    if not any(v.aval.kind == "c" for v in (*block.params[first:], *block.outs)):
        return function
    params = fresh(block.params)
    with Builder(params) as b:
        given = [*params[:first], *map(_conjugate, params[first:])]
        outs = [_conjugate(v) for v in inline(block, given)]
        return Function(function.name, b.done(outs))

"""Layout changes around convolutions: transposes move past what lies between, and cancel.

Convolutions want channels last, users say (batch, channels, height, width).  A transposed value is
kept as what it is made of and the order of its dims, and elementwise ops, reductions, slices and
pads are done on that; a transpose is emitted only where something else reads the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..ir.builder import Builder, current
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.ops.convolutions import conv, conv_input, conv_weight
from ..ir.ops.shape import inverse, pad, reshape, slice_, transpose
from ..ir.prim import Fold
from .replay import copy, fresh

Perm = tuple[int, ...]
CONVOLUTIONS = (conv, conv_input, conv_weight)


class Turned(NamedTuple):
    """A value that is `transpose(inner, perm)`."""

    inner: Value
    perm: Perm


def layouts(function: Function) -> Function:
    """The function with transposes moved past elementwise ops, if it has convolutions."""
    if not any(op.prim in CONVOLUTIONS for op in function.block.ops):
        return function
    return Function(function.name, Layouts().run(function.block))


class Layouts:
    """One pass over a block; `env` holds values and, for those lazily transposed, `Turned`."""

    def __init__(self) -> None:
        self.env: dict[Value, Value | Turned] = {}
        self.plain: dict[Turned, Value] = {}

    def run(self, block: Block) -> Block:
        params = fresh(block.params)
        self.env.update(zip(block.params, params, strict=True))
        with Builder(params) as b:
            for op in block.ops:
                b.where = op.where
                found = self._turned(op)
                if found is not None:
                    self._enter(op.outs[0], found)
                    continue
                outs = copy(b, op, [self._value(a) for a in op.args])
                self.env.update(zip(op.outs, outs, strict=True))
            return b.done([self._value(v) for v in block.outs])

    def _enter(self, v: Value, found: Turned) -> None:
        if found.perm == tuple(range(len(found.perm))):
            self.env[v] = found.inner
        else:
            self.env[v] = found
        if v.hint and not found.inner.hint:
            found.inner.hint = v.hint

    def _value(self, v: Value) -> Value:
        """The value as it is read by what knows no layouts."""
        found = self.env.get(v, v)
        if not isinstance(found, Turned):
            return found
        if found not in self.plain:
            self.plain[found] = transpose(found.inner, perm=found.perm)
        return self.plain[found]

    def _turned(self, op: Op) -> Turned | None:
        """The op on what its operands are made of; None if it is to be copied as it is."""
        if op.blocks or len(op.outs) != 1:
            return None
        if op.prim is transpose:
            return self._compose(op.args[0], op.attrs["perm"])
        if op.prim.elementwise:
            return self._elementwise(op)
        x = self.env.get(op.args[0]) if op.args else None
        if not isinstance(x, Turned):
            return None
        attrs = op.attrs
        if isinstance(op.prim.emit, Fold):
            return _folded(op, x)
        if op.prim in (slice_, pad):
            moved = {k: _back(v, x.perm) for k, v in attrs.items()}
            return Turned(op.prim(x.inner, **moved), x.perm)
        return None

    def _compose(self, v: Value, perm: Perm) -> Turned:
        x = self.env.get(v, v)
        if isinstance(x, Turned):
            return Turned(x.inner, tuple(x.perm[p] for p in perm))
        return Turned(x, perm)

    def _elementwise(self, op: Op) -> Turned | None:
        out = op.outs[0]
        found = [self.env.get(a, a) for a in op.args]
        perms = [x.perm for x in found if isinstance(x, Turned) and len(x.perm) == out.ndim]
        whole = [x for x in found if isinstance(x, Turned) and x.inner.aval.size == out.aval.size]
        if not perms or not whole:
            return None
        perm = whole[0].perm
        back = inverse(perm)
        args = [self._as(a, perm, back) for a in op.args]
        (inner,) = _emit(op, args)
        return Turned(inner, perm)

    def _as(self, v: Value, perm: Perm, back: Perm) -> Value:
        """An operand as it lies before the transpose of the result."""
        x = self.env.get(v, v)
        if isinstance(x, Turned) and x.perm == perm:
            return x.inner
        x = self._value(v)
        if type(x) is Const or not x.shape:
            return x
        if x.ndim < len(perm):
            x = reshape(x, shape=(1,) * (len(perm) - x.ndim) + x.shape)
        return transpose(x, perm=back)


def _emit(op: Op, args: Sequence[Value]) -> tuple[Value, ...]:
    return current().add(op.prim, args, op.attrs)


def _back(setting: Sequence[Any], perm: Perm) -> tuple[Any, ...]:
    """A setting per dim of the transposed value, per dim of what it is made of."""
    return tuple(setting[p] for p in inverse(perm))


def _folded(op: Op, x: Turned) -> Turned:
    """A reduction of the dims where they lie; what is left of the transpose follows it."""
    axes = op.attrs["axes"]
    inner = op.prim(x.inner, **{**op.attrs, "axes": tuple(sorted(x.perm[a] for a in axes))})
    left = [p for d, p in enumerate(x.perm) if d not in axes]
    order = sorted(left)
    return Turned(inner, tuple(order.index(p) for p in left))

"""The Builder appends ops to a block: it infers types, lifts literals and numbers values."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .core import Block, Const, Op, Value, Where
from .prim import Prim
from .types import KIND, SCALARS, Aval, default_dtype, name_of

_stack = threading.local()
_NUMBERS = (bool, int, float, complex, np.generic)
_memo: dict[Any, tuple[Aval, ...]] = {}
# The same by the identity of the operands' types, which the entry keeps alive: to hash them takes
# longer than all else that is done for an op.
_near: dict[Any, tuple[tuple[Aval, ...], Any]] = {}
_MEMO_LIMIT = 100_000


def current() -> Builder:
    """The innermost open builder of this thread."""
    try:
        return _stack.builders[-1]
    except (AttributeError, IndexError):
        raise RuntimeError("an op was emitted while no builder is open") from None


def literal(x: Any, dtype: str | None = None) -> Const:
    """A constant: of the given dtype, else of its own (Python numbers: NumPy's default)."""
    if dtype is None:
        dtype = name_of(x.dtype) if isinstance(x, np.generic) else default_dtype(type(x))
    return Const(x, dtype)


class Builder:
    """Appends ops to one block.  `number=False` records equal ops apart (for a trace)."""

    def __init__(self, params: Iterable[Value] = (), *, number: bool = True) -> None:
        self.params = tuple(params)
        self.ops: list[Op] = []
        self.defs: dict[Value, Op] = {}
        self.where: Where | None = None
        self._known: dict[Any, tuple[Value, ...]] | None = {} if number else None

    def __enter__(self) -> Builder:
        if not hasattr(_stack, "builders"):
            _stack.builders = []
        _stack.builders.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _stack.builders.pop()

    def add(
        self,
        prim: Prim,
        args: Sequence[Any],
        attrs: Mapping[str, Any] | None = None,
        blocks: Mapping[str, Block] | None = None,
        hints: Sequence[str] = (),
    ) -> tuple[Value, ...]:
        """Append an op, or find an equal one; returns its results."""
        return self._add(
            prim, self._lift(prim, args), {} if attrs is None else attrs, blocks, hints
        )

    def _add(
        self,
        prim: Prim,
        values: tuple[Value, ...],
        attrs: Mapping[str, Any],
        blocks: Mapping[str, Block] | None,
        hints: Sequence[str],
    ) -> tuple[Value, ...]:
        facts = tuple(sorted(attrs.items())) if attrs else ()
        key = None
        if self._known is not None and not blocks and prim.numbered:
            key = (prim, _keys(values), facts)
            known = self._known.get(key)
            if known is not None:
                return known
        avals = infer(prim, tuple([v.aval for v in values]), facts, attrs, blocks)
        names = tuple(hints) + ("",) * (len(avals) - len(hints))
        return self._put(key, prim, values, attrs, tuple(map(Value, avals, names)), blocks or {})

    def again(self, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Append an op of another block, without regions, that reads these values here.

        Where they are of the same types nothing needs to be inferred.
        """
        for a, v in zip(op.args, args, strict=True):
            if a.aval is not v.aval:
                return self.add(op.prim, args, op.attrs, None, [v.hint for v in op.outs])
        prim, attrs = op.prim, op.attrs
        key = None
        if self._known is not None and prim.numbered:
            key = (prim, _keys(args), tuple(sorted(attrs.items())) if attrs else ())
            known = self._known.get(key)
            if known is not None:
                return known
        return self._put(
            key, prim, args, attrs, tuple([Value(v.aval, v.hint) for v in op.outs]), {}
        )

    def _put(
        self,
        key: Any,
        prim: Prim,
        args: tuple[Value, ...],
        attrs: Mapping[str, Any],
        outs: tuple[Value, ...],
        blocks: Mapping[str, Block],
    ) -> tuple[Value, ...]:
        op = Op(prim, args, attrs, outs, blocks, self.where)
        self.ops.append(op)
        for v in outs:
            self.defs[v] = op
        if key is not None:
            self._known[key] = outs  # type: ignore[index]
        return outs

    def done(self, outs: Iterable[Any]) -> Block:
        """The finished block with these results."""
        return Block(self.params, tuple(self.ops), tuple(map(self._value, outs)))

    def _value(self, x: Any) -> Value:
        return x if isinstance(x, Value) else literal(x)

    def _lift(self, prim: Prim, args: Sequence[Any]) -> tuple[Value, ...]:
        for a in args:
            if not isinstance(a, Value):
                break
        else:
            return tuple(args)
        partners = [a for a in args[prim.like :] if isinstance(a, Value)]
        dtype = partners[0].aval.dtype if partners else None
        return tuple(
            a if isinstance(a, Value) else self._literal(prim, a, dtype if i >= prim.like else None)
            for i, a in enumerate(args)
        )

    def _literal(self, prim: Prim, x: Any, dtype: str | None) -> Const:
        if not isinstance(x, _NUMBERS):
            raise TypeError(f"{prim.name}: {type(x).__name__} is neither a value nor a number")
        if dtype is not None and KIND[dtype] in "biu":
            whole = isinstance(x, (bool, int, np.bool_, np.integer))
            if not whole:  # silently truncating a float literal would be a wrong number
                raise TypeError(f"{prim.name}: literal {x!r} with an operand of dtype {dtype}")
        return literal(x, dtype)


def _keys(values: tuple[Value, ...]) -> tuple[Any, ...]:
    """What tells operands apart: values by identity, constants by their bits."""
    for v in values:
        if type(v) is Const:
            return tuple([v.key if type(v) is Const else v for v in values])
    return values


def infer(
    prim: Prim,
    avals: tuple[Aval, ...],
    facts: tuple[tuple[str, Any], ...],
    attrs: Mapping[str, Any],
    blocks: Mapping[str, Block] | None = None,
) -> tuple[Aval, ...]:
    """Result avals by the row's type rule, remembered for ops without regions."""
    if blocks:
        out = prim.infer(*avals, **attrs, **blocks)
        return out if isinstance(out, tuple) else (out,)
    near = (prim, facts, *map(id, avals))
    found = _near.get(near)
    if found is not None:
        return found[0]
    key = (prim, avals, facts)
    known = _memo.get(key)
    if known is None:
        out = prim.infer(*avals, **attrs)
        known = tuple(map(_shared, out if isinstance(out, tuple) else (out,)))
        if len(_memo) > _MEMO_LIMIT:
            _memo.clear()
        _memo[key] = known
    if len(_near) > _MEMO_LIMIT:
        _near.clear()
    _near[near] = known, avals
    return known


def _shared(aval: Aval) -> Aval:
    """The type itself, or the one object that stands for it."""
    return aval if aval.shape else SCALARS[aval.dtype]


def _emit(self: Prim, *args: Any, **attrs: Any) -> Any:
    """Emit the op into the innermost open builder; one result, or a tuple of them."""
    outs = current().add(self, args, attrs)
    return outs[0] if len(outs) == 1 else outs


Prim.__call__ = _emit  # type: ignore[method-assign]  # rows are callable; the row itself is data

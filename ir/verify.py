"""The verifier: what holds of every function between passes, and a message where it does not."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, NoReturn

import numpy as np

from .builder import infer
from .core import Block, Const, Function, Op, Value
from .ops.host import HostFunction
from .prim import PRIMS, Prim
from .printer import show, show_around
from .types import Aval

_PLAIN = (int, str, bool, float, complex, type(None))


class IRError(ValueError):
    """A malformed function: the op, what is wrong with it, its neighbours, the user's line."""

    def __init__(self, message: str, op: Op | None = None) -> None:
        super().__init__(message)
        self.op = op


def verify(code: Function | Block) -> None:
    """Raise an IRError unless every op is well formed.

    Each value is defined once and before it is read; regions read their own params only; the types
    recorded are those that the rows infer; attributes are plain data.
    """
    _Verifier(code).region(code.block if isinstance(code, Function) else code, (), None)


class _Verifier:
    def __init__(self, code: Function | Block) -> None:
        self.code = code
        self.defined: dict[Value, int] = {}  # the number of the block that defines it
        self.visited: set[Block] = set()

    def region(self, block: Block, outer: tuple[int, ...], owner: Op | None) -> None:
        if block in self.visited:  # a block may stand in two places, for it is closed
            return
        self.visited.add(block)
        here, defined = len(self.visited), self.defined
        for p in block.params:
            self.define(p, here, owner)
        for op in block.ops:
            for a in op.args:
                if defined.get(a) != here and type(a) is not Const:
                    self.unread(a, block, op, outer)
            for region in op.blocks.values():
                self.region(region, (*outer, here), op)
            self.types(op)
            for v in op.outs:
                if v in defined or type(v) is Const:
                    self.define(v, here, op)
                defined[v] = here
        for v in block.outs:
            if defined.get(v) != here and type(v) is not Const:
                self.unread(v, block, owner, outer, "result")

    def define(self, v: Value, here: int, op: Op | None) -> None:
        if type(v) is Const:
            self.fail(op, f"the constant {v} stands where a value is defined")
        if v in self.defined:
            again = "twice" if self.defined[v] == here else "in two blocks"
            self.fail(op, f"value {_name(v)} is defined {again}")
        self.defined[v] = here

    def unread(
        self, v: Value, block: Block, op: Op | None, outer: tuple[int, ...], what: str = "argument"
    ) -> NoReturn:
        """Say why a value cannot be read here."""
        if self.defined.get(v) in outer:
            why = "belongs to an enclosing block; pass it as an operand, for regions are closed"
        elif v in self.defined:
            why = "belongs to another region"
        elif any(v in o.outs for o in block.ops):
            why = "is read before it is defined"
        else:
            why = "is defined nowhere"
        self.fail(op, f"{what} {_name(v)} {why}")

    def types(self, op: Op) -> None:
        prim, attrs = op.prim, op.attrs
        if PRIMS.get(prim.name) is not prim:
            self.fail(op, f"{prim.name} is no row of the table")
        for k, x in attrs.items():
            known = _attrs_of(prim)
            if known is not None and k not in known:
                self.fail(op, f"{prim.name} has no attribute {k}")
            if type(x) not in _PLAIN and not _plain(x):
                self.fail(op, f"attribute {k} is {x!r}; attributes are plain, hashable data")
        try:
            facts = tuple(sorted(attrs.items())) if attrs else ()
            avals = infer(prim, tuple([a.aval for a in op.args]), facts, attrs, op.blocks)
        except (TypeError, ValueError, IndexError, KeyError) as e:
            self.fail(op, f"{type(e).__name__}: {e}", e)
        if len(avals) != len(op.outs):
            self.fail(op, f"it has {len(op.outs)} results, its row gives {len(avals)}")
        for v, aval in zip(op.outs, avals, strict=True):
            if v.aval != aval:
                self.fail(op, f"result {_name(v)} is recorded as {v.aval}, its row infers {aval}")

    def fail(self, op: Op | None, why: str, cause: Exception | None = None) -> NoReturn:
        if op is None:
            head = show(self.code, where=False).split("\n", 1)[0]
            raise IRError(f"{head}\n{why}") from cause
        line, near = show_around(self.code, op)
        at = f"\nat {op.where}" if op.where else ""
        raise IRError(f"{line}: {why}\n{near}{at}", op) from cause


@cache
def _attrs_of(prim: Prim) -> frozenset[str] | None:
    """The names of a row's attributes; None if its functions take any."""
    if isinstance(prim.ref, np.ufunc):
        return frozenset()
    params = inspect.signature(prim.ref).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in params):
        return None
    return frozenset(p.name for p in params if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def _plain(x: Any) -> bool:
    if type(x) is tuple:
        return all(type(e) in _PLAIN or _plain(e) for e in x)
    return isinstance(x, Aval | HostFunction)


def _name(v: Value) -> str:
    return f"%{v.hint}" if v.hint else f"of type {v.aval}"

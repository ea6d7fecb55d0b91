"""What a code object reads: one scan of its instructions."""

from __future__ import annotations

import dis
import functools
import types
from typing import Any

from ..ir.records import dataclass
from .bytecode import instructions

_MISSING: Any = object()


@dataclass(frozen=True)
class Reads:
    """Chains that one code object loads: (scope, name, steps), scope being global, cell, local."""

    chains: tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...]
    inner: tuple[types.CodeType, ...]


_LOCALS = frozenset(
    (
        "LOAD_FAST",
        "LOAD_FAST_BORROW",
        "LOAD_FAST_CHECK",
        "LOAD_FAST_LOAD_FAST",
        "LOAD_FAST_BORROW_LOAD_FAST_BORROW",
        "STORE_FAST_LOAD_FAST",
    )
)


def _subscripts(i: dis.Instruction) -> bool:
    return i.opname == "BINARY_SUBSCR" or (i.opname == "BINARY_OP" and i.argrepr == "[]")


@functools.lru_cache(maxsize=4096)
def reads(code: types.CodeType) -> Reads:
    """One scan of a code object."""
    found: dict[Any, None] = {}
    chain: tuple[str, str, tuple[tuple[str, Any], ...]] | None = None
    pending: Any = _MISSING
    for i in instructions(code):
        op = i.opname
        if op in ("CACHE", "PRECALL", "PUSH_NULL", "COPY_FREE_VARS", "RESUME"):
            continue
        if op in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            chain, pending = ("global", str(i.argval), ()), _MISSING
        elif op in ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"):
            chain, pending = ("cell", str(i.argval), ()), _MISSING
        elif op in _LOCALS:
            # Two at once, since Python 3.13: what follows belongs to the second.
            name = i.argval[-1] if isinstance(i.argval, tuple) else i.argval
            if op.startswith("LOAD_FAST") and isinstance(i.argval, tuple):
                found["local", str(i.argval[0]), ()] = None
            chain, pending = ("local", str(name), ()), _MISSING
        elif op in ("LOAD_ATTR", "LOAD_METHOD") and chain is not None:
            chain = (chain[0], chain[1], (*chain[2], ("attr", str(i.argval))))
        elif op in ("LOAD_CONST", "LOAD_SMALL_INT") and isinstance(i.argval, (str, int)):
            pending = i.argval
            continue
        elif _subscripts(i) and chain is not None and pending is not _MISSING:
            chain = (chain[0], chain[1], (*chain[2], ("item", pending)))
            pending = _MISSING
        else:
            chain, pending = None, _MISSING
            continue
        found[chain] = None
    inner = tuple(c for c in code.co_consts if isinstance(c, types.CodeType))
    return Reads(tuple(found), inner)

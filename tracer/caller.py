"""Is the Python frame above really the caller?  Compiled code leaves no frame of its own.

Cython looks `np.empty` up at run time and casts the result unchecked: a replacement that handed
it a Tracer would crash the interpreter.  So a replacement acts only if the instruction that runs
in the frame above is a call of something loaded by its name.  Which load that was is told by where
both stand in the text; later CPythons load two local variables by one instruction, which has the
place of the first, and then calls are matched as they are nested.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType, FrameType
from typing import Any

from .bytecode import instructions

Place = tuple[int, int]  # line and column


def calls_directly(frame: FrameType, replacement: Any, name: str) -> bool:
    """Whether the frame's current instruction is a call of `replacement`."""
    code = frame.f_code
    known = _known.get(id(code))  # to hash a code takes long
    if known is None or known[0] is not code:
        if len(_known) > _FEW:
            _known.clear()
        known = _known[id(code)] = code, _callees(code)
    how, loaded = known[1].get(frame.f_lasti // 2, ("", ""))
    if how == "attribute":
        return bool(loaded == name)
    if how == "global":
        found = frame.f_globals.get(loaded, frame.f_builtins.get(loaded))
        return found is replacement
    return how == "local" and frame.f_locals.get(loaded) is replacement


_known: dict[int, tuple[CodeType, dict[int, tuple[str, str]]]] = {}
_FEW = 4096


def _callees(code: CodeType) -> dict[int, tuple[str, str]]:
    """Instruction slot of each call (and its caches) -> how its callee was loaded, and its name."""
    loads: dict[Place, list[tuple[Place, str, str]]] = {}  # by where they start
    fused: list[str] = []  # callees that wait for their calls, innermost last
    out: dict[int, tuple[str, str]] = {}
    steps = instructions(code)
    ends = [i.offset for i in steps[1:]] + [len(code.co_code)]
    for k, (i, end) in enumerate(zip(steps, ends, strict=True)):
        how = _HOW.get(i.opname)
        position = i.positions
        if position is None or position.col_offset is None:
            continue
        if how is not None:
            start, stop = _span(position)
            loads.setdefault(start, []).append((stop, how, str(i.argval)))
        elif "LOAD_FAST" in i.opname and isinstance(i.argval, tuple):
            if steps[k + 1].opname == "PUSH_NULL":
                fused.append(i.argval[-1])
        elif i.opname.startswith("CALL") and not i.opname.startswith("CALL_INTRINSIC"):
            start, stop = _span(position)
            found = _longest(loads.get(start, ()), stop)
            if found is None and fused:
                found = "local", fused.pop()
            if found is not None:
                for slot in range(i.offset // 2, end // 2):
                    out[slot] = found
    return out


_HOW = {
    "LOAD_ATTR": "attribute",
    "LOAD_METHOD": "attribute",
    "LOAD_GLOBAL": "global",
    "LOAD_NAME": "global",
    "LOAD_FAST": "local",
    "LOAD_FAST_BORROW": "local",
    "LOAD_FAST_CHECK": "local",
    "LOAD_DEREF": "local",
    "LOAD_CLASSDEREF": "local",
    "LOAD_FROM_DICT_OR_DEREF": "local",
}


def _span(p: Any) -> tuple[Place, Place]:
    """Where in the text an instruction starts and ends."""
    return (p.lineno, p.col_offset), (p.end_lineno, p.end_col_offset)


def _longest(loads: Sequence[tuple[Place, str, str]], end: Place) -> tuple[str, str] | None:
    """Of the loads that start where a call does and end before it ends, the longest."""
    best, reach = None, (-1, -1)
    for stop, how, name in loads:
        if reach <= stop < end:
            best, reach = (how, name), stop
    return best

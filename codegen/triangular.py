"""Loops over what a mask by two indices leaves: half of a matrix, or its diagonal.

Where all that a loop adds up is zero unless `j - i` is in some range, the rounds begin and end with
that range: sums over pairs, i before j, take half of the rounds so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..ir.access import DYNAMIC, Index, aligned, compose, view_map
from ..ir.core import Const, Op, Value
from ..ir.plan import CallItem, Item, Loop, Root
from .emit import At

if TYPE_CHECKING:
    from .loops import Writer

Limits = tuple[At | None, At | None]  # the first index and the one behind the last; None: any

# By comparison: what is added to the number for the least and for the greatest difference.
_LEAST = {"greater": 1, "greater_equal": 0, "equal": 0}
_GREATEST = {"less": -1, "less_equal": 0, "equal": 0}
_TURNED = {"less": "greater", "less_equal": "greater_equal", "equal": "equal"}
_TURNED |= {after: before for before, after in _TURNED.items()}


def limits(w: Writer, loop: Loop, var: str) -> Limits | None:
    """The rounds of a loop that add anything but zeros; None if that is not said by two indices."""
    found: Limits | None = None
    for r in _roots(loop.body):
        if r is None:
            return None
        if r in w.idle or _of_a_round(w, r, loop):
            continue
        if not _is_added_to(w, r, loop):
            return None
        assert r.op is not None
        index = tuple(w.at.get((r, d), DYNAMIC) for d in range(len(r.dims)))
        own = _masked(w, r.op.args[0], index, var)
        if own is None or (found is not None and own != found):
            return None
        found = own
    return found


def header(w: Writer, var: str, bounds: Sequence[str], ends: Limits) -> str:
    """The header of a loop between the nearer of two limits on either side."""
    texts = list(bounds)
    for k, (end, nearer) in enumerate(zip(ends, ("max", "min"), strict=True)):
        if end is not None:
            name = w.names.fresh("m")
            w.line(f"{name} = {nearer}({bounds[k]}, {w.index_text(end)})")
            texts[k] = name
    return f"for {var} in range({', '.join(texts)}):"


def _roots(items: Sequence[Item]) -> Iterator[Root | None]:
    """The members of items and of the loops in them; None for what is no loop."""
    for item in items:
        if isinstance(item, CallItem):
            yield None
        elif isinstance(item, Loop):
            yield from _roots(item.body)
        else:
            yield from item.members


def _of_a_round(w: Writer, r: Root, loop: Loop) -> bool:
    """Whether a value is gone at the end of the round that makes it."""
    d, where = loop.dims[r][0], w.plan.storage.get(r.value)
    if r.kind not in ("store", "fold") or d not in r.par or where is None:
        return False
    return where.kept[r.par.index(d)] == "drop"


def _is_added_to(w: Writer, r: Root, loop: Loop) -> bool:
    """Whether a round only adds to a sum that has begun before."""
    if r.kind != "fold" or r.op is None or r.op.prim.name != "sum":
        return False
    d = loop.dims[r][0]
    return d not in r.par or any((r, e) in w.at for e in r.red if r.dims[e] != 1)


def _masked(w: Writer, v: Value, index: Sequence[Index], var: str) -> Limits | None:
    """Where along a variable a value is not known to be zero."""
    op = w.plan.defs.get(v)
    while op is not None and op.args and v not in w.bound:
        view = view_map(op)
        if view is not None and not view.windows:
            v, index = op.args[0], compose(view, index)
            op = w.plan.defs.get(v)
            continue
        zero = op.args[-1]
        if op.prim.name != "select" or type(zero) is not Const or zero.data != 0:
            return None
        mask = op.args[0]
        return _compared(w, mask, aligned(mask.aval, index, op.outs[0].shape), var)
    return None


def _compared(w: Writer, v: Value, index: Sequence[Index], var: str) -> Limits | None:
    """Where along a variable a comparison of two indices may hold."""
    found = _behind(w, v, index)
    if found is None:
        return None
    op, index = found
    name, shape = op.prim.name, op.outs[0].shape
    if name not in _TURNED:
        return None
    one, two = ((a, aligned(a.aval, index, shape)) for a in op.args)
    number = 0
    if type(two[0]) is Const:
        number, found = int(two[0].data), _behind(w, *one)
        if found is None or found[0].prim.name != "sub":
            return None
        op, index = found
        one, two = ((a, aligned(a.aval, index, op.outs[0].shape)) for a in op.args)
    ends = [_counted(w, *one), _counted(w, *two)]
    if ends[0] is None or ends[1] is None:
        return None
    return _limits(name, ends[0], ends[1], number, var)


def _behind(w: Writer, v: Value, index: Sequence[Index]) -> tuple[Op, tuple[Index, ...]] | None:
    """The op that makes what a value shows, and the index into it."""
    op = w.plan.defs.get(v)
    while op is not None and op.args and v not in w.bound:
        view = view_map(op)
        if view is None:
            return op, tuple(index)
        if view.windows:
            return None
        v, index = op.args[0], compose(view, index)
        op = w.plan.defs.get(v)
    return None if op is None or v in w.bound else (op, tuple(index))


def _counted(w: Writer, v: Value, index: Sequence[Index]) -> At | None:
    found = _behind(w, v, index)
    if found is None or found[0].prim.name != "iota":
        return None
    op, inner = found
    at = inner[op.attrs["axis"]]
    return None if at[1] is None else at


def _limits(name: str, one: At, two: At, number: int, var: str) -> Limits | None:
    """What `one - two` compared with a number says of a variable that one of them follows."""
    if two[0] == var and one[0] != var:
        one, two, number, name = two, one, -number, _TURNED[name]
    if one[0] != var or one[2] != 1 or two[0] == var:
        return None
    who, start, step = two
    start += number - one[1]
    low = (who, start + _LEAST[name], step) if name in _LEAST else None
    high = (who, start + _GREATEST[name] + 1, step) if name in _GREATEST else None
    return low, high

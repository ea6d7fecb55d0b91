"""How inline ops read their operands: the index algebra that fusion and emission share.

An index along one dim is `(who, start, step)`: `step * who + start`.  For fusion `who` is a domain
dim, for emission the name of a loop variable; None is a fixed index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .core import Const, Op, Value
from .prim import Call, Expr, View, ViewMap
from .types import Aval

# The start is None where the index is known at run time only.
Index = tuple[Any, Any, int]
DYNAMIC: Index = (None, None, 0)
MAX_INTERVALS = 12  # a loop with loops in it is cut into at most so many
NOTHING: Mapping[Value, Op] = {}
INLINE_CALLS = {"gather", "concatenate", "iota", "reshape"}


def identity(n: int) -> tuple[Index, ...]:
    """The index of a domain into itself."""
    return tuple([(d, 0, 1) for d in range(n)])


def unit_reshape(shape: tuple[int, ...], new: tuple[int, ...]) -> ViewMap | None:
    """A reshape that only adds or drops extents of one, as a view; None for any other."""
    if [d for d in shape if d != 1] != [d for d in new if d != 1]:
        return None
    wide = [j for j, d in enumerate(new) if d != 1]
    places = iter(wide)
    return ViewMap(tuple((None, 0, 0) if d == 1 else (next(places), 0, 1) for d in shape))


def view_map(op: Op) -> ViewMap | None:
    """How an op that is only another index reads its operand; None if it is no such op."""
    emit = op.prim.emit
    if isinstance(emit, View):
        return emit.index(op.args[0].shape, **op.attrs)
    if isinstance(emit, Call) and emit.name == "reshape":
        return unit_reshape(op.args[0].shape, op.outs[0].shape)
    return None


def is_inline(op: Op) -> bool:
    """Whether the op can be evaluated at one index from its operands at theirs."""
    emit = op.prim.emit
    if isinstance(emit, Expr):
        return True
    if isinstance(emit, View):
        return view_map(op) is not None
    if isinstance(emit, Call) and emit.name == "reshape":
        return view_map(op) is not None
    return isinstance(emit, Call) and emit.name in INLINE_CALLS


def has_many_pieces(op: Op) -> bool:
    """Whether it joins more arrays than a loop around others is cut for."""
    return op.prim.name == "concatenate" and len(op.args) > MAX_INTERVALS


def has_emission(op: Op) -> bool:
    """Whether kernels can compute the op at all (else it is a host step)."""
    emit = op.prim.emit
    if isinstance(emit, Call) and emit.largest and op.args[0].shape[-1] > emit.largest:
        return False
    return emit is not None


def compose(view: ViewMap, index: Sequence[Index]) -> tuple[Index, ...]:
    """The operand's index when the view's result is read at `index`."""
    out: list[Index] = []
    for rd, start, step in view.dims:
        if rd is None:
            out.append((None, start, 0))
            continue
        d, off, inner = index[rd]
        out.append(DYNAMIC if off is None else (d, start + step * off, step * inner))
    return tuple(out)


def aligned(arg: Aval, index: Sequence[Index], shape: tuple[int, ...]) -> tuple[Index, ...]:
    """The index of an operand that broadcasts to `shape`, which is read at `index`."""
    if arg.shape == shape:
        return tuple(index)
    skip = len(shape) - arg.ndim
    return tuple(
        (None, 0, 0) if n == 1 and shape[k + skip] != 1 else index[k + skip]
        for k, n in enumerate(arg.shape)
    )


def counted(
    defs: Mapping[Value, Op], v: Value, index: Sequence[Index], extent: int
) -> Index | None:
    """What integers that count along an axis, up to an extent, are at an index; None for others."""
    op, first = defs.get(v), 0
    while op is not None and op.args:
        if (view := view_map(op)) is not None and not view.windows:
            index = compose(view, index)
        elif op.prim.name == "add" and type(op.args[1]) is Const:
            first += int(op.args[1].data)
        else:
            return None
        op = defs.get(op.args[0])
    if op is None or op.prim.name != "iota":
        return None
    n = op.outs[0].shape[op.attrs["axis"]]
    who, start, step = index[op.attrs["axis"]]
    inside = first >= 0 and 0 <= n <= extent - first
    return (who, start + first, step) if inside and start is not None else None


def reads(
    op: Op, index: Sequence[Index], defs: Mapping[Value, Op] = NOTHING
) -> Iterator[tuple[Value, tuple[Index, ...]]]:
    """The operands an inline op reads, with their indices, when it is read at `index`.

    With the definitions of its operands, rows that are read one after the other are seen as such.
    """
    emit = op.prim.emit
    if isinstance(emit, Expr):
        shape = op.outs[0].aval.shape
        for a in op.args:
            yield a, aligned(a.aval, index, shape) if shape else ()
        return
    view = view_map(op)
    if view is not None:
        yield op.args[0], compose(view, index)
        return
    assert isinstance(emit, Call)
    if emit.name == "gather":
        axes = op.attrs["axes"]
        n = op.args[1].ndim
        for a in op.args[1:]:
            yield a, tuple(index[:n])
        rest = iter(index[n:])
        x = op.args[0]
        found = {
            d: counted(defs, i, index[:n], x.shape[d]) or DYNAMIC
            for d, i in zip(axes, op.args[1:], strict=True)
        }
        yield x, tuple(found[d] if d in axes else next(rest) for d in range(x.ndim))
    elif emit.name == "concatenate":
        axis, at = op.attrs["axis"], 0
        for a in op.args:
            d, off, step = index[axis]
            moved = DYNAMIC if off is None else (d, off - at, step)
            yield a, (*index[:axis], moved, *index[axis + 1 :])
            at += a.shape[axis]


def boundaries(op: Op, index: Sequence[Index]) -> Iterator[tuple[int, int]]:
    """Where along the domain's dims the op's meaning changes: (domain dim, first index after)."""
    if isinstance(op.prim.emit, Expr):
        return
    windows: list[tuple[int, int, int]] = []
    view = view_map(op)
    if view is not None:
        windows = [(rd, low, high) for rd, low, high, _ in view.windows]
    elif isinstance(op.prim.emit, Call) and op.prim.emit.name == "concatenate":
        axis, at = op.attrs["axis"], 0
        for a in op.args:
            windows.append((axis, at, at + a.shape[axis]))
            at += a.shape[axis]
    for rd, low, high in windows:
        d, off, step = index[rd]
        if d is None or off is None or step == 0:
            continue
        for bound in (low, high):
            if step > 0:
                yield d, -((off - bound) // step)
            else:
                yield d, (off - bound) // -step + 1

"""Structural sparsity: which elements of the arguments each element of a value may depend on.

An abstract interpretation: a value's `Reach` names, for each element, a set of columns (elements of
the differentiated parameters).  Equal sets are stored once, so a broadcast costs nothing, and what
only moves elements moves the names of their sets.  Sets only ever err by being too large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from ..ir.core import Block, Const, Function, Op, Value
from ..ir.interp import apply
from ..ir.ops.contract import free_dims
from ..ir.types import Aval, is_float
from .reach import Reach, collected, folded, moved, seed, stretched, union

_UNROLLED = 20_000  # ops of a loop that is followed round by round
_ROUNDS = 6  # of a fixpoint, before it is cut short by "everything"
_TRIANGLE = 4_000_000  # entries of a running sum that are told apart


Known = Mapping[Value, Callable[[], Any]]
Rule = Callable[["_Scope", Op, list[Any]], Sequence["Reach | None"]]


def reaches(
    function: Function, wrt: Sequence[int], known: Known | None = None
) -> tuple[list[Reach | None], int]:
    """What each result depends on among the elements of `wrt`, and how many of those there are.

    `known` gives the values of parameters that indices may be computed from; a parameter that
    was asked for must be guarded.  Raises `TooDense` where the sets outgrow `LIMIT`.
    """
    width = sum(function.params[i].aval.size for i in wrt)
    given: dict[Value, Reach | None] = {}
    start = 0
    for i in wrt:
        p = function.params[i]
        given[p] = seed(p.aval, start, width)
        start += p.aval.size
    scope = _Scope(function.block, dict(known or {}), width)
    return _interpret(scope, function.block, given), width


# ------------------------------------------------------------------ values known beforehand


class _Scope:
    """A block, and those of its values that follow from literals and known parameters."""

    def __init__(self, block: Block, known: dict[Value, Callable[[], Any]], width: int) -> None:
        self.width = width
        self.known = known
        self.free = set(known)
        self.defs: dict[Value, Op] = {}
        self.found: dict[Value, Any] = {}
        for op in block.ops:
            self.defs.update((v, op) for v in op.outs)
            pure = op.prim.pure and not op.blocks
            if pure and all(type(a) is Const or a in self.free for a in op.args):
                self.free.update(op.outs)

    def value(self, v: Value) -> Any:
        """What `v` is, None where that is not known."""
        if type(v) is Const:
            return v.data
        if v not in self.free:
            return None
        todo, found = [v], self.found
        with np.errstate(all="ignore"):
            while todo:
                x = todo[-1]
                if x in found or type(x) is Const:
                    todo.pop()
                elif x in self.known:
                    found[x] = self.known[x]()
                else:
                    op = self.defs[x]
                    missing = [a for a in op.args if type(a) is not Const and a not in found]
                    todo += missing
                    if not missing:
                        args = [found.get(a, a) for a in op.args]
                        found.update(zip(op.outs, apply(op, args), strict=True))
        return found[v]

    def inner(self, block: Block, args: Sequence[Value | None]) -> _Scope:
        """The scope of a region, whose params are these values (None: unknown)."""
        known: dict[Value, Callable[[], Any]] = {
            p: partial(self.value, a)
            for p, a in zip(block.params, args, strict=True)
            if a is not None and (type(a) is Const or a in self.free)
        }
        return _Scope(block, known, self.width)


# ------------------------------------------------------------------ the loop


def _interpret(scope: _Scope, block: Block, given: Mapping[Value, Any]) -> list[Reach | None]:
    env = dict(given)
    for op in block.ops:
        args = [env.get(a) for a in op.args]
        if all(a is None for a in args) or op.prim.nondiff:
            continue
        outs = _rule(op)(scope, op, args)
        pairs = zip(op.outs, outs, strict=True)
        env.update((v, r) for v, r in pairs if r is not None and is_float(v.aval.dtype))
    return [env.get(v) for v in block.outs]


def _rule(op: Op) -> Rule:
    if any(-1 in v.aval.shape for v in (*op.args, *op.outs)):
        return _everything
    known = _RULES.get(op.prim.name)
    if known is not None:
        return known
    return _elementwise if op.prim.elementwise or op.prim.partials else _everything


# ------------------------------------------------------------------ rules


def _everything(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """Every element of every result depends on whatever the arguments depend on."""
    whole = union([folded(r, range(r.rows.ndim)) for r in args if r is not None], ())
    shapes = [tuple(max(n, 1) if n < 0 else n for n in v.aval.shape) for v in op.outs]
    return [stretched(whole, range(len(s)), s) for s in shapes]


def _elementwise(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    return [union(args, op.outs[0].aval.shape)]


def _move(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """Set 0 is empty, so the zeros that a pad adds depend on nothing."""
    return [moved(args[0], lambda rows: op.prim.ref(rows, **op.attrs))]


def _fold(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    return [folded(args[0], op.attrs["axes"])]


def _concatenate(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    from scipy.sparse import vstack

    offsets: dict[int, int] = {}
    tables: list[Any] = []
    for r in args:
        if r is not None and id(r.sets) not in offsets:
            offsets[id(r.sets)] = sum(t.shape[0] for t in tables)
            tables.append(r.sets)
    parts = [
        np.zeros(a.aval.shape, int)
        if r is None
        else np.where(r.rows > 0, r.rows + offsets[id(r.sets)], 0)
        if offsets[id(r.sets)]
        else r.rows
        for a, r in zip(op.args, args, strict=True)
    ]
    sets = tables[0] if len(tables) == 1 else vstack(tables, format="csr")
    return [Reach(np.concatenate(parts, op.attrs["axis"]), sets)]


def _sort(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    axis = op.attrs["axis"]
    return [stretched(folded(args[0], (axis,)), (axis,), op.outs[0].aval.shape)]


def _running(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """Each element depends on those before it."""
    shape, axis = op.outs[0].aval.shape, op.attrs["axis"]
    r = union(args, shape)
    n, size = shape[axis], op.outs[0].aval.size
    if r is None or size * (n + 1) // 2 > _TRIANGLE:
        return [stretched(folded(r, (axis,)), (axis,), shape)]
    rows = np.moveaxis(r.rows, axis, -1)
    rows = rows[..., ::-1] if op.attrs.get("reverse") else rows
    table = rows.reshape(-1, n)
    before = np.tri(n, dtype=bool)
    flat = np.broadcast_to(table[:, None], (len(table), n, n))[:, before].ravel()
    indptr = np.concatenate(([0], np.cumsum(np.tile(np.arange(1, n + 1), len(table)))))
    found = collected(r.sets, flat, indptr, rows.shape, rows.shape)
    back = found.rows[..., ::-1] if op.attrs.get("reverse") else found.rows
    return [Reach(np.moveaxis(back, -1, axis), found.sets)]


def _dot(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    contract, batch = op.attrs["contract"], op.attrs["batch"]
    shape, sides = op.outs[0].aval.shape, []
    for k in (0, 1):
        r, ndim = args[k], op.args[k].ndim
        free = free_dims(ndim, batch[k], contract[k])
        kept = [d for d in range(ndim) if d not in contract[k]]
        perm = [kept.index(d) for d in (*batch[k], *free)]
        part = moved(folded(r, contract[k]), partial(np.transpose, axes=perm))
        other = len(shape) - len(batch[k]) - len(free)
        at = len(batch[k]) + len(free) if k == 0 else len(batch[k])
        sides.append(stretched(part, range(at, at + other), shape))
    return [union(sides, shape)]


def _matrices(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """Linear algebra of stacks: matrix by matrix."""
    n = op.args[0].ndim - 2
    lead = op.args[0].shape[:n]
    if n <= 0 or any(v.aval.shape[:n] != lead for v in (*op.args, *op.outs)):
        return _everything(scope, op, args)
    parts = [folded(r, range(n, r.rows.ndim)) for r in args if r is not None]
    whole = union(parts, lead)
    return [stretched(whole, range(n, v.ndim), v.aval.shape) for v in op.outs]


def _windows(x: Sequence[int], kernel: Sequence[int], attrs: Mapping[str, Any]) -> np.ndarray:
    """For each place of a kernel the elements of the space it reads, len(space) for none."""
    settings = (attrs["stride"], attrs["padding"], attrs["dilation"])
    size = int(np.prod(x, dtype=int))
    total, outside = np.zeros((1, 1), int), np.zeros((1, 1), bool)
    for n, k, s, (low, high), d in zip(x, kernel, *settings, strict=True):
        places = (n + low + high - d * (k - 1) - 1) // s + 1
        at = np.arange(places)[:, None] * s + np.arange(k) * d - low
        out = (at < 0) | (at >= n)
        total = (total[:, None, :, None] * n + at[None, :, None, :]).reshape(
            total.shape[0] * places, -1
        )
        outside = (outside[:, None, :, None] | out[None, :, None, :]).reshape(total.shape)
    return np.where(outside, size, total)


def _conv(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """Each result depends on the patch below its kernel, and on the weights of its channel."""
    (x, w), (images, weights) = args, (a.aval.shape for a in op.args)
    out, groups = op.outs[0].aval.shape, op.attrs["groups"]
    parts = []
    if x is not None:
        table = _windows(images[1:-1], weights[2:], op.attrs)
        by_group = x.rows.reshape(images[0], -1, groups, images[-1] // groups)
        flat = folded(Reach(by_group, x.sets), (3,))
        assert flat is not None
        none = np.zeros((images[0], 1, groups), int)
        patches = np.concatenate([flat.rows, none], axis=1)[:, table]
        found = folded(Reach(patches, flat.sets), (2,))
        found = stretched(found, (3,), (*out[:1], len(table), groups, out[-1] // groups))
        parts.append(moved(found, partial(np.reshape, shape=out)))
    if w is not None:
        channel = folded(w, range(1, len(weights)))
        parts.append(stretched(channel, range(len(out) - 1), out))
    return [union(parts, out)]


# ------------------------------------------------------------------ indices


def _split(
    scope: _Scope, values: Sequence[Value], axes: Sequence[int]
) -> tuple[dict[int, np.ndarray], list[int]]:
    """The indices that are known, by their axes, and the axes whose index is not."""
    found = {a: scope.value(v) for v, a in zip(values, axes, strict=True)}
    unknown = [a for a, x in found.items() if x is None]
    return {a: np.asarray(x) for a, x in found.items() if x is not None}, unknown


def _gather(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """An index that is not known may be any along its axis."""
    (x, *_), axes, shape = args, op.attrs["axes"], op.outs[0].aval.shape
    at, unknown = _split(scope, op.args[1:], axes)
    if not unknown:
        where = [at[a] for a in axes]
        return [moved(x, lambda rows: op.prim.ref(rows, *where, **op.attrs))]
    left = [d for d in range(op.args[0].ndim) if d not in unknown]
    x = folded(x, unknown)
    if not at:
        return [stretched(x, range(op.args[1].ndim), shape)]
    now = tuple(left.index(a) for a in sorted(at))
    attrs = {**op.attrs, "axes": now}
    where = [at[a] for a in sorted(at)]
    return [moved(x, lambda rows: op.prim.ref(rows, *where, **attrs))]


def _scatter(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """What is overwritten is forgotten, where it is known to be; see `_gather`."""
    x, upd, *_ = args
    target, axes = op.args[0].aval, op.attrs["axes"]
    at, unknown = _split(scope, op.args[2:], axes)
    left = [d for d in range(target.ndim) if d not in unknown]
    reduced = Aval(target.dtype, tuple(target.shape[d] for d in left))
    known = [left.index(a) for a in axes if a in at]
    if known:
        kept = [d for d in range(reduced.ndim) if d not in known]
        front = np.transpose(np.arange(reduced.size).reshape(reduced.shape), (*known, *kept))
        where = front[tuple(at[a] for a in axes if a in at)].ravel()
        part = _placed(upd, where, reduced)
    else:
        part = folded(upd, range(op.args[2].ndim))
    if op.prim.name == "scatter" and x is not None and not unknown:
        rows = x.rows.flatten()
        rows[where] = 0
        x = Reach(rows.reshape(target.shape), x.sets)
    return [union([x, stretched(part, unknown, target.shape)], target.shape)]


def _placed(upd: Reach | None, where: np.ndarray, target: Aval) -> Reach | None:
    """Updates at flat positions of an empty array; several at one place are united."""
    if upd is None or not where.size:
        return None
    order = np.argsort(where, kind="stable")
    names = upd.rows.ravel()[order]
    touched, starts = np.unique(where[order], return_index=True)
    rows = np.zeros(target.size, int)
    if touched.size == where.size:
        rows[touched] = names
        return Reach(rows.reshape(target.shape), upd.sets)
    indptr = np.append(starts, where.size)
    found = collected(upd.sets, names, indptr, touched.shape, touched.shape)
    rows[touched] = found.rows
    return Reach(rows.reshape(target.shape), found.sets)


# ------------------------------------------------------------------ regions


def _called(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    body = op.blocks["body"]
    return _region(scope, body, op.args, args)


def _region(
    scope: _Scope, block: Block, values: Sequence[Value | None], args: Sequence[Any]
) -> list[Reach | None]:
    given = {p: r for p, r in zip(block.params, args, strict=True) if r is not None}
    return _interpret(scope.inner(block, values), block, given)


def _cond(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    """Either side may be taken."""
    both = [_region(scope, b, op.args[1:], args[1:]) for b in op.blocks.values()]
    return [
        union(sides, v.aval.shape)
        for v, sides in zip(op.outs, zip(*both, strict=True), strict=True)
    ]


def _grown(old: Sequence[Any], new: Sequence[Any], values: Sequence[Value]) -> list[Any]:
    return [union([a, b], v.aval.shape) for a, b, v in zip(old, new, values, strict=True)]


def _size(r: Reach | None) -> int:
    return 0 if r is None else int(np.diff(r.sets.indptr)[r.rows].sum())


def _fixpoint(
    step: Callable[[list[Any]], list[Any]], start: list[Any], values: Sequence[Value], rest: Any
) -> list[Any]:
    """Carries that a round does not make larger; after some rounds they depend on everything."""
    carries = start
    for _ in range(_ROUNDS):
        grown = _grown(carries, step(carries), values)
        if list(map(_size, grown)) == list(map(_size, carries)):
            return carries
        carries = grown
    parts = [folded(r, range(r.rows.ndim)) for r in (*carries, *rest) if r is not None]
    whole = union(parts, ())
    return [stretched(whole, range(v.ndim), v.aval.shape) for v in values]


def _while(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    consts, body = op.attrs["consts"], op.blocks["body"]
    held, values = args[:consts], op.args[consts:]
    known = (*op.args[:consts], *(None for _ in values))

    def step(carries: list[Any]) -> list[Any]:
        return _region(scope, body, known, [*held, *carries])

    return [*_fixpoint(step, args[consts:], values, held), None]


def _loop(scope: _Scope, op: Op, args: list[Any]) -> list[Reach | None]:
    length, consts, carries = (op.attrs[k] for k in ("length", "consts", "carries"))
    body = op.blocks["body"]
    k = 1 + consts + carries
    held, carry, rows = args[1 : 1 + consts], args[1 + consts : k], args[k:]
    if 0 <= length * (len(body.ops) + 1) <= _UNROLLED:
        return _unrolled(scope, op, held, carry, rows)
    inputs = [folded(r, (0,)) for r in rows]
    known = (None, *op.args[1 : 1 + consts], *(None for _ in (*carry, *rows)))

    def outs(now: list[Any]) -> list[Any]:
        return _region(scope, body, known, [None, *held, *now, *inputs])

    values = op.args[1 + consts : k]
    last = _fixpoint(lambda now: outs(now)[:carries], carry, values, [*held, *inputs])
    stacked = outs(last)[carries:]
    shapes = [v.aval.shape for v in op.outs[carries:]]
    return [*last, *(stretched(r, (0,), s) for r, s in zip(stacked, shapes, strict=True))]


def _unrolled(
    scope: _Scope, op: Op, held: list[Any], carry: list[Any], rows: list[Any]
) -> list[Reach | None]:
    """Round by round, the index being known in each."""
    length, consts, carries = (op.attrs[k] for k in ("length", "consts", "carries"))
    body = op.blocks["body"]
    unknown = (None,) * (carries + len(rows))
    order = range(length - 1, -1, -1) if op.attrs.get("reverse") else range(length)
    outs: list[list[Any]] = [[] for _ in range(length)]
    for i in order:
        known = (Const(i, "i64"), *op.args[1 : 1 + consts], *unknown)
        row = [moved(r, itemgetter(i)) for r in rows]
        found = _region(scope, body, known, [None, *held, *carry, *row])
        carry, outs[i] = found[:carries], found[carries:]
    stacked = [
        _stacked([o[j] for o in outs], v.aval.shape) for j, v in enumerate(op.outs[carries:])
    ]
    return [*carry, *stacked]


def _stacked(parts: Sequence[Reach | None], shape: tuple[int, ...]) -> Reach | None:
    from scipy.sparse import vstack

    there = [r for r in parts if r is not None]
    if not there:
        return None
    tables = {id(r.sets): r.sets for r in there}
    starts = np.concatenate(([0], np.cumsum([t.shape[0] for t in tables.values()])))
    offset = dict(zip(tables, starts, strict=False))
    rows = np.zeros(shape, int)
    for i, r in enumerate(parts):
        if r is not None:
            rows[i] = r.rows + offset[id(r.sets)]
    return Reach(rows, vstack(list(tables.values()), format="csr"))


_MOVES = ("broadcast", "reshape", "transpose", "slice", "pad")
_FOLDS = ("sum", "prod", "max", "min")
_RUNNING = ("cumsum", "cumprod", "cummax", "cummin", "linrec")
_LINALG = (
    *("triangular_solve", "solve", "inv", "det", "adjugate", "slogdet", "cholesky", "expm"),
    *("cholesky_inverse", "cholesky_slope"),
    *("qr", "eigh", "svd", "pinv", "lstsq", "lu"),
)
_RULES: dict[str, Rule] = {
    **dict.fromkeys(_MOVES, _move),
    **dict.fromkeys(_FOLDS, _fold),
    **dict.fromkeys(_RUNNING, _running),
    **dict.fromkeys(_LINALG, _matrices),
    "concatenate": _concatenate,
    "sort": _sort,
    "conv": _conv,
    "dot": _dot,
    "gather": _gather,
    "scatter": _scatter,
    "scatter_add": _scatter,
    "cond": _cond,
    "loop": _loop,
    "while": _while,
    "call": _called,
}

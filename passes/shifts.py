"""What becomes of the values of a block when one of them moves, row by row.

A value follows m in *sums* if it is something independent plus a multiple of m, and in *factors* if
it is something independent times the exponential of a multiple of m.  Which multiple is counted
here through whatever keeps to that; a value whose multiple is zero does not depend on m at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..ir.access import view_map
from ..ir.core import Const, Op, Value
from ..ir.ops.contract import free_dims
from ..ir.ops.shape import iota
from ..ir.records import dataclass
from ..ir.types import KIND

MOVES = frozenset(("broadcast", "reshape", "transpose", "slice", "pad"))
MOST_OPS = 300  # that are looked at for one value

# A product of powers of values of one element, and how many times m it stands before.
Monomial = frozenset[tuple[Value, int]]
Degree = Mapping[Monomial, float]
Label = tuple[object, ...]  # a dim of m, and how it was indexed since
ONE: Monomial = frozenset()


@dataclass(frozen=True)
class Follows:
    """How a value follows m: in sums or in factors, how far, and by which of its dims."""

    factor: bool
    degree: Degree
    dims: tuple[Label | None, ...]

    def times(self, c: float) -> Follows:
        """The same with its degree multiplied."""
        return Follows(self.factor, {k: c * x for k, x in self.degree.items() if c * x}, self.dims)

    def along(self, dims: tuple[Label | None, ...]) -> Follows:
        """The same with other dims."""
        return Follows(self.factor, self.degree, dims)


class Stuck(Exception):
    """A value follows m in another way, or in none that is known."""


def is_invariant(
    m: Value,
    made: Mapping[Value, Op],
    readers: Mapping[Value, list[Op]],
    order: Mapping[Op, int],
    outs: Iterable[Value],
) -> bool:
    """Whether no result of a block depends on m, were it moved by itself."""
    walk = _Walk(made)
    walk.known[m] = Follows(False, {ONE: 1.0}, tuple(
        (k,) if n != 1 else None for k, n in enumerate(m.shape)
    ))  # fmt: skip
    todo, seen = list(readers.get(m, ())), 0
    done: set[Op] = set()
    results = frozenset(outs)
    if m in results:
        return False
    while todo:
        op = min(todo, key=order.__getitem__)
        todo = [other for other in todo if other is not op]
        seen += 1
        if seen > MOST_OPS:
            return False
        if op in done or all(a not in walk.known for a in op.args):
            continue
        done.add(op)
        try:
            follows = walk.result(op)
        except Stuck:
            return False
        if follows is None or not follows.degree:
            continue
        (v,) = op.outs
        if v in results:
            return False
        walk.known[v] = follows
        todo += readers.get(v, ())
    return True


class _Walk:
    """The values of a block that follow m, as far as they are known."""

    def __init__(self, made: Mapping[Value, Op]) -> None:
        self.made = made
        self.known: dict[Value, Follows] = {}

    def result(self, op: Op) -> Follows | None:
        """How the result of an op follows m, some of whose operands do; None if it does not."""
        name = op.prim.name
        if name == "stop_gradient":
            return None
        if name in MOVES:
            return self.moved(op)
        rule = RULES.get(name)
        if rule is None or op.blocks:
            raise Stuck
        return rule(self, op)

    def base(self, v: Value) -> Value:
        """A value behind what only repeats and reshapes it."""
        while (op := self.made.get(v)) is not None and op.prim.name in ("broadcast", "reshape"):
            v = op.args[0]
        return v

    def number(self, v: Value) -> float | None:
        """The number that every element of a value is, if that is known."""
        v = self.base(v)
        return float(v.data.real) if type(v) is Const and v.aval.size == 1 else None

    def moved(self, op: Op) -> Follows:
        """A view: its dims are those of its operand somewhere else."""
        follows, view = self.known[op.args[0]], view_map(op)
        if view is None or (view.windows and not follows.factor):
            raise Stuck
        (out,), (x,) = op.outs, op.args
        dims: list[Label | None] = [None] * out.ndim
        for (to, start, step), label, n in zip(view.dims, follows.dims, x.shape, strict=True):
            if label is None:
                continue
            if to is None or dims[to] is not None or out.shape[to] == 1:
                raise Stuck
            part = start, step, out.shape[to]
            dims[to] = label if part == (0, 1, n) else (*label, part)
        return follows.along(tuple(dims))

    def together(self, op: Op, args: Iterable[Value]) -> tuple[Label | None, ...]:
        """The dims of an elementwise result of operands that follow the same rows of m."""
        n = op.outs[0].ndim
        found = set()
        for a in args:
            if a in self.known:
                dims = self.known[a].dims
                found.add((None,) * (n - len(dims)) + dims)
        if len(found) != 1:
            raise Stuck
        return found.pop()


def _linear(sign: float) -> Rule:
    """The rule of sums (1) and differences (-1)."""

    def rule(w: _Walk, op: Op) -> Follows:
        dims = w.together(op, op.args)
        x, y = (w.known.get(a) for a in op.args)
        if any(f is not None and f.factor for f in (x, y)):
            return _alike(w, op, op.args, {0.0})
        degree = dict(x.degree) if x is not None else {}
        for k, c in (y.degree if y is not None else {}).items():
            degree[k] = degree.get(k, 0.0) + sign * c
        return Follows(False, {k: c for k, c in degree.items() if c}, dims)

    return rule


def _alike(w: _Walk, op: Op, args: Iterable[Value], neutral: set[float]) -> Follows:
    """Operands that follow m alike, or are numbers that follow it in any way."""
    args = tuple(args)
    dims = w.together(op, args)
    found = [w.known[a] for a in args if a in w.known]
    first = found[0]
    if any((f.factor, f.degree) != (first.factor, first.degree) for f in found):
        raise Stuck
    if any(w.number(a) not in neutral for a in args if a not in w.known):
        raise Stuck
    return first.along(dims)


def _mul(w: _Walk, op: Op) -> Follows:
    return _product(w, op, 1)


def _div(w: _Walk, op: Op) -> Follows:
    return _product(w, op, -1)


def _product(w: _Walk, op: Op, power: int) -> Follows:
    """A product (1) or quotient (-1): factors add their degrees, numbers scale those of sums."""
    dims = w.together(op, op.args)
    x, y = (w.known.get(a) for a in op.args)
    if x is not None and y is not None:
        if not (x.factor and y.factor):
            raise Stuck
        degree = dict(x.degree)
        for k, c in y.degree.items():
            degree[k] = degree.get(k, 0.0) + power * c
        return Follows(True, {k: c for k, c in degree.items() if c}, dims)
    f, other = (x, op.args[1]) if x is not None else (y, op.args[0])
    assert f is not None
    if f.factor:
        return f.times(1.0 if x is not None else power).along(dims)
    if x is None and power < 0:
        raise Stuck
    number = w.number(other)
    if number is not None:
        scaled = f.times(number if power > 0 else 1.0 / number) if number else None
        if scaled is None:
            raise Stuck
        return scaled.along(dims)
    other = w.base(other)
    if other.aval.size != 1:
        raise Stuck
    degree = {}
    for mono, c in f.degree.items():
        powers = dict(mono)
        powers[other] = powers.get(other, 0) + power
        degree[frozenset((v, p) for v, p in powers.items() if p)] = c
    return Follows(False, degree, dims)


def _neg(w: _Walk, op: Op) -> Follows:
    f = w.known[op.args[0]]
    return f if f.factor else f.times(-1.0)


def _exp(w: _Walk, op: Op) -> Follows:
    f = w.known[op.args[0]]
    if f.factor:
        raise Stuck
    return Follows(True, f.degree, f.dims)


def _log(w: _Walk, op: Op) -> Follows:
    f = w.known[op.args[0]]
    if not f.factor:
        raise Stuck
    return Follows(False, f.degree, f.dims)


def _sqrt(w: _Walk, op: Op) -> Follows:
    f = w.known[op.args[0]]
    if not f.factor:
        raise Stuck
    return f.times(0.5)


def _cast(w: _Walk, op: Op) -> Follows:
    if KIND[op.outs[0].dtype] != "f":
        raise Stuck
    return w.known[op.args[0]]


def _extreme(w: _Walk, op: Op) -> Follows:
    """The larger or smaller of two that follow m alike, and of sums and an infinity."""
    found = [w.known[a] for a in op.args if a in w.known]
    return _alike(w, op, op.args, set() if found[0].factor else {_INF, -_INF})


def _select(w: _Walk, op: Op) -> Follows:
    if op.args[0] in w.known:
        raise Stuck
    found = [w.known[a] for a in op.args[1:] if a in w.known]
    return _alike(w, op, op.args[1:], {0.0} if found[0].factor else {_INF, -_INF})


def _fold(w: _Walk, op: Op) -> Follows:
    """A reduction along dims by which its operand does not follow m."""
    (x,), axes = op.args, op.attrs["axes"]
    f = w.known[x]
    if any(f.dims[a] is not None for a in axes):
        raise Stuck
    dims = tuple(label for k, label in enumerate(f.dims) if k not in axes)
    if op.prim.name == "sum" and not f.factor:
        count = 1
        for a in axes:
            count *= x.shape[a]
        if count < 1:
            raise Stuck
        return f.times(float(count)).along(dims)
    return f.along(dims)


def _dot(w: _Walk, op: Op) -> Follows:
    """A product of factors and what does not follow m, summed along none of its rows."""
    contract, batch = op.attrs["contract"], op.attrs["batch"]
    sides = [k for k, a in enumerate(op.args) if a in w.known]
    if len(sides) != 1 or op.args[0] is op.args[1]:
        raise Stuck
    (side,) = sides
    f = w.known[op.args[side]]
    if not f.factor or any(f.dims[d] is not None for d in contract[side]):
        raise Stuck
    ahead = [f.dims[d] for d in batch[side]]
    free = [
        [f.dims[d] if k == side else None for d in free_dims(a.ndim, batch[k], contract[k])]
        for k, a in enumerate(op.args)
    ]
    return f.along((*ahead, *free[0], *free[1]))


def _gather(w: _Walk, op: Op) -> Follows:
    x, *indices = op.args
    if x not in w.known or any(i in w.known for i in indices):
        raise Stuck
    f, axes = w.known[x], op.attrs["axes"]
    ahead: list[Label | None] = [None] * indices[0].ndim
    for a, i in zip(axes, indices, strict=True):
        label = f.dims[a]
        if label is None:
            continue
        if i.ndim != 1 or i.shape[0] == 1 or ahead[0] is not None:
            raise Stuck
        made = w.made.get(i)
        whole = made is not None and made.prim is iota and i.shape[0] == x.shape[a]
        ahead[0] = label if whole else (*label, (i, op.attrs.get("mode", "raise"), x.shape[a]))
    return f.along((*ahead, *(s for k, s in enumerate(f.dims) if k not in axes)))


def _scatter_add(w: _Walk, op: Op) -> Follows:
    """Sums of factors by the same indices that m was read by for them."""
    x, upd, *indices = op.args
    if x in w.known or any(i in w.known for i in indices) or len(indices) != 1:
        raise Stuck
    f, (i,) = w.known[upd], indices
    label = f.dims[0] if i.ndim == 1 else None
    read = label is not None and label[-1] == (i, "raise", x.shape[0])
    if label is None or not read or not f.factor or op.attrs["axes"] != (0,):
        raise Stuck
    if w.number(x) != 0.0:
        raise Stuck
    return f.along((label[:-1], *f.dims[1:]))


Rule = Callable[[_Walk, Op], Follows]
_INF = float("inf")
RULES: dict[str, Rule] = {
    "add": _linear(1.0),
    "sub": _linear(-1.0),
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "exp": _exp,
    "log": _log,
    "sqrt": _sqrt,
    "cast": _cast,
    "maximum": _extreme,
    "minimum": _extreme,
    "select": _select,
    "sum": _fold,
    "max": _fold,
    "min": _fold,
    "dot": _dot,
    "gather": _gather,
    "scatter_add": _scatter_add,
}

"""Random well-typed programs over the rows, regions included, numerically tame.

`random_function(seed, size)` for plain loops, `programs()` for hypothesis.  A program of size n has
about n statements; its values stay small, so differences and comparisons are meaningful.  With
`smooth=True` it has no kinks, ties or jumps, and can be differentiated numerically twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from adjit.ir import Aval, Builder, Function, Value, Where, literal
from adjit.ir import ops as o
from adjit.ir.ops import control, shape
from adjit.ir.types import NUMPY, broadcast_shapes

SHAPES = ((), (), (3,), (4,), (3, 4), (4, 3), (1, 4), (2, 3, 2))
_LIMIT = 8.0  # values are squashed before they grow beyond
_SIZE = 100


@dataclass
class Grower:
    """A program in the making: its builder, and its float values with bounds on their size."""

    rng: random.Random
    b: Builder
    smooth: bool
    depth: int
    count: Value  # a small i64[] for trip counts and indices
    pool: list[tuple[Value, float]]

    def keep(self, v: Value, bound: float) -> None:
        """Take a value into the pool, squashed if it may be large."""
        if isinstance(v, Value) and 1 <= v.aval.size <= _SIZE and v.dtype in ("f64", "f32"):
            if bound > _LIMIT:
                v, bound = o.tanh(v), 1.0
            if self.rng.random() < 0.3:
                v.hint = v.hint or self.rng.choice("abcuvwxyz")
            self.pool.append((v, bound))

    def pick(self, wanted: Callable[[Value], bool] = lambda v: True) -> tuple[Value, float]:
        """A value of the pool, rather a late one; at worst the first one, which is f64."""
        found = [(v, s) for v, s in self.pool if wanted(v)]
        if not found:
            return self.pool[0]
        return found[max(self.rng.randrange(len(found)), self.rng.randrange(len(found)))]

    def pair(self) -> tuple[Value, float, Value, float]:
        """Two values of one dtype whose shapes broadcast to a small one."""
        x, bound = self.pick()

        def fits(v: Value) -> bool:
            try:
                size = np.prod(broadcast_shapes(v.shape, x.shape))
            except ValueError:
                return False
            return v.dtype == x.dtype and size <= _SIZE

        return (x, bound, *self.pick(fits))

    def grow(self, size: int) -> None:
        """Append about `size` statements."""
        names = [s for s in STATEMENTS if self.depth > 0 or s not in REGIONS]
        names = [s for s in names if not (self.smooth and s in KINKED)]
        for line in range(size):
            self.b.where = Where("program.py", line + 1)
            self.rng.choice(names)(self)

    def fit(self, v: Value, like: Value) -> Value:
        """Some value of the aval of `like` made from `v`, of size at most 1."""
        if v.dtype != like.dtype:
            v = o.cast(v, dtype=like.dtype)
        try:
            whole = broadcast_shapes(v.shape, like.shape) == like.shape
        except ValueError:
            whole = False
        if not whole:
            v = o.sum_(v, axes=tuple(range(v.ndim))) * (1 / v.aval.size) if v.ndim else v
        return o.sin(shape.broadcast_to(v, like.shape))

    def region(
        self, params: Sequence[tuple[Value, float]], size: int, count: Value | None = None
    ) -> tuple[Builder, Grower]:
        """A builder of a region with these params, and a grower for its body."""
        b = Builder([] if count is None else [count])
        b.params = (*b.params, *(v for v, _ in params))
        inner = Grower(self.rng, b, self.smooth, self.depth - 1, count or literal(2), list(params))
        with b:
            inner.grow(size)
        return b, inner


def _params(values: Sequence[Value], bounds: Sequence[float]) -> list[tuple[Value, float]]:
    return [(Value(v.aval, v.hint), s) for v, s in zip(values, bounds, strict=True)]


# ------------------------------------------------------------------ statements

UNARY: list[tuple[Callable[[Value], Value], float]] = [
    (lambda x: o.sin(x), 1.0),
    (lambda x: o.cos(x), 1.0),
    (lambda x: o.tanh(x), 1.0),
    (lambda x: o.atan(x), 1.6),
    (lambda x: o.exp(o.sin(x)), 2.8),
    (lambda x: o.log1p(x * x), 4.2),
    (lambda x: o.sqrt(1.0 + x * x), 8.1),
    (lambda x: 1.0 / (1.0 + x * x), 1.0),
    (lambda x: -x, 8.0),
    (lambda x: x * 0.5 + 1.0, 5.0),
    (lambda x: o.pow_(1.0 + x * x, -0.5), 1.0),
]


def unary(g: Grower) -> None:
    x, _ = g.pick()
    f, bound = g.rng.choice(UNARY)
    g.keep(f(x), bound)


def binary(g: Grower) -> None:
    x, a, y, b = g.pair()
    f, bound = g.rng.choice(
        [(o.add, a + b), (o.sub, a + b), (o.mul, a * b), (lambda x, y: x / (2.0 + y * y), a)]
    )
    g.keep(f(x, y), bound)


def kinked(g: Grower) -> None:
    x, a, y, b = g.pair()
    row = g.rng.choice([o.maximum, o.minimum, o.fmax, o.copysign])
    g.keep(row(x, y), max(a, b))
    g.keep(g.rng.choice([o.abs_, o.floor, o.rint, o.sign])(x), a + 1)


def chosen(g: Grower) -> None:
    x, a, y, b = g.pair()
    test = g.rng.choice([o.less, o.greater_equal, o.not_equal])(x, 0.25)
    if g.rng.random() < 0.3:
        test = o.not_(o.and_(test, o.isfinite(x)))
    g.keep(o.select(test, x, y), max(a, b))


def reduced(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim > 0)
    axes = tuple(sorted(g.rng.sample(range(x.ndim), g.rng.randint(0, x.ndim))))
    n = np.prod([x.shape[i] for i in axes], initial=1.0)
    if a <= 1.7 and n <= 4 and axes and g.rng.random() < 0.3:
        g.keep(o.prod(x, axes=axes), a**n)
    else:
        g.keep(o.sum_(x, axes=axes), a * n)


def extreme(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim > 0)
    if x.ndim:
        row, axis = g.rng.choice([o.max_, o.min_]), g.rng.randrange(x.ndim)
        g.keep(row(x, axes=(axis,)), a)
        g.keep(o.sort(x, axis=axis), a)
        g.keep(o.cast(o.argmax(x, axis=axis), dtype=x.dtype), x.shape[axis])


def running(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim > 0)
    if x.ndim:
        axis = g.rng.randrange(x.ndim)
        g.keep(o.cumsum(x, axis=axis, reverse=g.rng.random() < 0.5), a * x.shape[axis])


def moved(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim > 0)
    n, kind = x.ndim, g.rng.choice(["transpose", "reshape", "slice", "pad", "flip"])
    if kind == "transpose" and n > 1:
        g.keep(o.transpose(x, perm=tuple(g.rng.sample(range(n), n))), a)
    elif kind == "reshape":
        g.keep(o.reshape(x, shape=g.rng.choice([(x.aval.size,), (1, *x.shape), x.shape[::-1]])), a)
    elif kind == "flip" and n:
        g.keep(shape.flip(x, (g.rng.randrange(n),)), a)
    elif kind == "slice" and n:
        step = tuple(g.rng.choice([1, 1, 2]) for _ in x.shape)
        start = tuple(g.rng.randrange(m) for m in x.shape)
        limits = zip(x.shape, start, step, strict=True)
        size = tuple(g.rng.randint(1, (m - 1 - at) // by + 1) for m, at, by in limits)
        g.keep(o.slice_(x, start=start, size=size, step=step), a)
    elif n:
        start = tuple(g.rng.randrange(2) for _ in x.shape)
        ends = tuple(m + at + g.rng.randrange(2) for m, at in zip(x.shape, start, strict=True))
        g.keep(o.pad(x, shape=ends, start=start, step=(1,) * n), a)


def stretched(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim < 3)
    n = g.rng.choice([1, 2, 3])
    at = g.rng.randint(0, x.ndim)
    g.keep(o.broadcast(x, shape=(*x.shape[:at], n, *x.shape[at:]), axes=(at,)), a)


def joined(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim > 0)
    if x.ndim:
        y, b = g.pick(lambda v: v.aval == x.aval)
        if y.aval == x.aval:
            g.keep(o.concatenate(x, y, axis=g.rng.randrange(x.ndim)), max(a, b))


def product(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim in (1, 2))
    if not x.ndim:
        return
    d = g.rng.randrange(x.ndim)
    n = x.shape[d]
    y, b = g.pick(lambda v: v.ndim in (1, 2) and n in v.shape and v.dtype == x.dtype)
    if y.ndim and n in y.shape and y.dtype == x.dtype:
        e = y.shape.index(n)
        batch = g.rng.random() < 0.3
        pairs = ((d,), (e,)), ((), ())
        contract, batch_ = pairs[::-1] if batch else pairs
        g.keep(o.dot(x, y, contract=contract, batch=batch_), a * b * n)


def indexed(g: Grower) -> None:
    x, a = g.pick(lambda v: v.ndim > 0)
    if not x.ndim:
        return
    axis = g.rng.randrange(x.ndim)
    i = o.remainder(g.count, x.shape[axis])
    if g.rng.random() < 0.5:
        i = o.remainder(o.iota(shape=(3,), axis=0, dtype="i64") * 2 + g.count, x.shape[axis])
    taken = o.gather(x, i, axes=(axis,), mode="raise")
    g.keep(taken, a)
    g.keep(o.scatter_add(x, o.sin(taken), i, axes=(axis,)), a + 3)


def narrowed(g: Grower) -> None:
    x, a = g.pick()
    g.keep(o.cast(x, dtype="f32" if x.dtype == "f64" else "f64"), a)


def counted(g: Grower) -> None:
    k = o.add(o.mul(g.count, 2), 1)
    g.keep(o.cast(o.remainder(k, 5), dtype="f64") * 0.25, 1.0)


# ------------------------------------------------------------------ statements with regions


def branched(g: Grower) -> None:
    picks = [g.pick() for _ in range(g.rng.randint(1, 3))]
    args, bounds = [v for v, _ in picks], [s for _, s in picks]
    x = args[0]
    total = o.sum_(x, axes=tuple(range(x.ndim))) if x.ndim else x
    blocks, wanted = [], args[: g.rng.randint(1, len(args))]
    for _ in range(2):
        b, inner = g.region(_params(args, bounds), g.rng.randint(1, 3))
        with b:
            outs = [inner.fit(inner.pick()[0], w) for w in wanted]
            blocks.append(b.done(outs))
    for v in control.emit_cond(o.greater(total, 0.0), args, *blocks):
        g.keep(v, 1.0)


def called(g: Grower) -> None:
    picks = [g.pick() for _ in range(g.rng.randint(1, 3))]
    b, inner = g.region(_params([v for v, _ in picks], [s for _, s in picks]), 3)
    results = [inner.pick() for _ in range(2)]
    block = b.done([v for v, _ in results])
    outs = control.emit_call([v for v, _ in picks], block)
    for v, (_, bound) in zip(outs, results, strict=True):
        g.keep(v, bound)


def looped(g: Grower) -> None:
    consts = [g.pick() for _ in range(g.rng.randint(0, 2))]
    carries = [g.pick() for _ in range(g.rng.randint(1, 2))]
    inputs = [g.pick(lambda v: v.ndim > 0)]
    dynamic = g.rng.random() < 0.3
    inputs = [] if dynamic or not inputs[0][0].ndim else inputs
    n: Any = inputs[0][0].shape[0] if inputs else g.rng.choice([0, 1, 2, 4])
    n = g.count if dynamic else n
    rows = [(Value(Aval(v.dtype, v.shape[1:])), s) for v, s in inputs]
    params = _params([v for v, _ in consts], [s for _, s in consts])
    params += _params([v for v, _ in carries], [max(s, 1.0) for _, s in carries])
    b, inner = g.region([*params, *rows], g.rng.randint(1, 4), Value(Aval("i64"), "i"))
    moving = params[len(consts) :]
    with b:
        outs = [inner.fit(inner.pick()[0], c) for c, _ in moving]
        stacked = [] if dynamic else [inner.pick()]
        block = b.done([*outs, *(v for v, _ in stacked)])
    results = control.emit_loop(
        n,
        [v for v, _ in consts],
        [v for v, _ in carries],
        [v for v, _ in inputs],
        block,
        reverse=g.rng.random() < 0.3,
    )
    bounds = [max(s, 1.0) for _, s in carries] + [s for _, s in stacked]
    for v, bound in zip(results, bounds, strict=True):
        g.keep(v, bound)


def repeated(g: Grower) -> None:
    consts, carry = [g.pick()], g.pick()
    params = _params([consts[0][0], carry[0]], [consts[0][1], max(carry[1], 1.0)])
    counter, total = Value(Aval("i64"), "k"), Value(Aval("i64"), "n")
    b, inner = g.region(params, g.rng.randint(1, 3))
    (held, _), (moving, _) = params
    b.params = (total, held, counter, moving)
    with b:
        body = b.done([o.add(counter, 1), inner.fit(inner.pick()[0], moving)])
    tested = [Value(v.aval, v.hint) for v in b.params]
    with Builder(tested) as t:
        test = t.done([o.less(tested[2], tested[0])])
    n = o.remainder(g.count, 4)
    results = control.emit_while([n, consts[0][0]], [0, carry[0]], test, body)
    g.keep(results[1], max(carry[1], 1.0))


KINKED = (kinked, chosen, extreme, narrowed)
REGIONS = (branched, called, looped, repeated)
STATEMENTS = (
    *(unary, unary, binary, binary, binary, reduced, moved, stretched, joined, product),
    *(kinked, chosen, extreme, running, indexed, narrowed, counted),
    *REGIONS,
)


# ------------------------------------------------------------------ programs


def grown(
    rng: random.Random, size: int, *, smooth: bool = False, depth: int = 2
) -> tuple[Function, list[np.ndarray]]:
    """A function drawn from `rng`, and arguments for it."""
    count = Value(Aval("i64"), "n")
    shapes = [rng.choice(SHAPES) for _ in range(rng.randint(1, 3))]
    params = [Value(Aval("f64", s), h) for s, h in zip(shapes, "xyz", strict=False)]
    with Builder((*params, count), number=rng.random() < 0.7) as b:
        g = Grower(rng, b, smooth, depth, count, [(p, 1.0) for p in params])
        g.grow(size)
        outs = [v for v, _ in g.pool[-rng.randint(1, 3) :]]
        function = Function("program", b.done(outs))
    return function, [_argument(rng, p.aval) for p in function.params]


def _argument(rng: random.Random, aval: Aval) -> np.ndarray:
    if aval.dtype == "i64":
        return np.asarray(rng.randint(0, 5), NUMPY["i64"])
    flat = [rng.uniform(-1.0, 1.0) for _ in range(aval.size)]
    return np.array(flat, NUMPY[aval.dtype]).reshape(aval.shape)


def random_function(
    seed: int, size: int = 10, *, smooth: bool = False
) -> tuple[Function, list[np.ndarray]]:
    """A function of about `size` statements and arguments for it, the same for the same seed."""
    return grown(random.Random(seed), size, smooth=smooth)


def programs(
    max_size: int = 12, *, smooth: bool = False
) -> st.SearchStrategy[tuple[Function, list[np.ndarray]]]:
    """Functions with arguments; hypothesis shrinks the draws that made them."""
    return st.builds(
        lambda rng, size: grown(rng, size, smooth=smooth),
        st.randoms(use_true_random=False),
        st.integers(1, max_size),
    )


def wrt(function: Function) -> list[int]:
    """The float params: those that a program can be differentiated by."""
    return [i for i, p in enumerate(function.params) if p.dtype in ("f32", "f64")]

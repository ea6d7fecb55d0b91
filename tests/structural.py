"""The cases of structural rows: each in rows, and in NumPy's own words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rows import draw

from adjit.ir.ops import contract, convolutions, index, reduce, shape
from adjit.ir.ops.contract import dot
from adjit.ir.ops.index import gather, scatter, scatter_add, searchsorted, take_along
from adjit.ir.ops.interleave import interleave
from adjit.ir.ops.reduce import sort
from adjit.ir.ops.shape import (
    broadcast,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    full,
    iota,
    moveaxis,
    pad,
    reshape,
    slice_,
    squeeze,
    stack,
    transpose,
    unbroadcast,
    zeros,
)
from adjit.ir.prim import Prim
from adjit.ir.types import NUMPY, Aval

ROOMS = shape, reduce, index, contract, convolutions
ROWS = {
    p.name: p
    for room in ROOMS
    for p in vars(room).values()
    if isinstance(p, Prim) and p.infer.__module__ == room.__name__
}
SHAPES = (), (1,), (0,), (5,), (3, 4), (1, 3), (0, 3), (3, 0), (2, 3, 2)
DTYPES = "f64", "f32", "i64", "bool"


@dataclass(frozen=True)
class Case:
    """A row (or a function of rows), NumPy's own words for it, and what to call both with.

    `shapes` are those of drawn arrays, `last` are arrays that follow them as they stand.
    """

    name: str
    row: Callable[..., Any]
    spelled: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    last: tuple[Any, ...] = ()
    dtypes: tuple[str, ...] = DTYPES

    def arrays(self, dtype: str, seed: int = 0) -> list[np.ndarray]:
        """Inputs of this dtype; the elements of a float array are well apart."""
        rng = np.random.default_rng(seed)
        drawn = [draw("distinct", dtype, s, rng) for s in self.shapes]
        return drawn + [np.asarray(a) for a in self.last]


# ------------------------------------------------------------------ the table


def subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    """The choices of axes to try: none, each, the outer two, all."""
    some = {(), tuple(range(ndim)), *((i,) for i in range(ndim))}
    return iter(sorted(some | {(0, ndim - 1)} if ndim > 2 else some))


def reductions() -> Iterator[Case]:
    """Every reduction over every choice of axes."""
    numeric = ("f64", "f32", "i64")
    table = [
        ("sum", reduce.sum_, np.sum, numeric),
        ("prod", reduce.prod, np.prod, numeric),
        ("max", reduce.max_, np.max, DTYPES),
        ("min", reduce.min_, np.min, DTYPES),
        ("any", reduce.any_, np.any, ("bool",)),
        ("all", reduce.all_, np.all, ("bool",)),
    ]
    for (name, row, spelled, dtypes), s in itertools.product(table, SHAPES):
        for axes in subsets(len(s)):
            if name in ("max", "min") and 0 in s:
                continue

            def emit(x: Any, row: Any = row, axes: Any = axes) -> Any:
                return row(x, axes=axes)

            def numpy(x: Any, f: Any = spelled, axes: Any = axes) -> Any:
                return f(x, axis=axes)

            yield Case(f"{name} {s} {axes}", emit, numpy, (s,), dtypes=dtypes)


def looped(step: Callable[..., Any]) -> Callable[..., Any]:
    """A running reduction as a Python loop over the positions of an axis."""

    def run(*xs: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
        rows = [np.moveaxis(x, axis, 0) for x in xs]
        out = np.array(rows[-1])
        order = range(len(out))[::-1] if reverse else range(len(out))
        for before, at in itertools.pairwise(order):
            out[at] = step(out[before], *(r[at] for r in rows))
        return np.moveaxis(out, 0, axis)

    return run


def along_axis() -> Iterator[Case]:
    """Every row of one axis, running both ways where it can."""
    numeric = ("f64", "f32", "i64")
    running = [
        ("cumsum", reduce.cumsum, looped(lambda h, x: h + x), 1),
        ("cumprod", reduce.cumprod, looped(lambda h, x: h * x), 1),
        ("cummax", reduce.cummax, looped(np.maximum), 1),
        ("cummin", reduce.cummin, looped(np.minimum), 1),
        ("linrec", reduce.linrec, looped(lambda h, a, b: a * h + b), 2),
    ]
    for (name, row, spelled, n), s, reverse in itertools.product(running, SHAPES, (False, True)):
        for axis in range(len(s)):
            attrs = {"axis": axis, "reverse": reverse}

            def emit(*xs: Any, row: Any = row, attrs: Any = attrs) -> Any:
                return row(*xs, **attrs)

            def numpy(*xs: Any, f: Any = spelled, attrs: Any = attrs) -> Any:
                return f(*xs, **attrs)

            yield Case(f"{name} {s} {axis} {reverse}", emit, numpy, (s,) * n, dtypes=numeric)
    ordering = [
        ("sort", reduce.sort, lambda x, axis: np.sort(x, axis)),
        ("argsort", reduce.argsort, lambda x, axis: np.argsort(x, axis, kind="stable")),
        ("argmax", reduce.argmax, np.argmax),
        ("argmin", reduce.argmin, np.argmin),
        ("flip", lambda x, axis: flip(x, (axis,)), np.flip),
        ("stack", lambda x, axis: stack([x, x], axis), lambda x, axis: np.stack([x, x], axis)),
        ("moveaxis", lambda x, axis: moveaxis(x, axis, 0), lambda x, axis: np.moveaxis(x, axis, 0)),
    ]
    for (name, row, spelled), s in itertools.product(ordering, SHAPES):
        for axis in range(len(s)):
            if name.startswith("argm") and s[axis] == 0:
                continue

            def one(x: Any, row: Any = row, axis: Any = axis) -> Any:
                return row(x, axis=axis)

            def same(x: Any, f: Any = spelled, axis: Any = axis) -> Any:
                return f(x, axis=axis)

            yield Case(f"{name} {s} {axis}", one, same, (s,))


def placed(whole: tuple[int, ...], where: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Zeros with an array written at a NumPy index."""

    def write(x: np.ndarray) -> np.ndarray:
        out = np.zeros(whole, x.dtype)
        out[where] = x
        return out

    return write


def movements() -> Iterator[Case]:
    """Rows that move elements."""
    yield Case("reshape", lambda x: reshape(x, shape=(2, 6)), lambda x: x.reshape(2, 6), ((3, 4),))
    yield Case("reshape 0-d", lambda x: reshape(x, shape=(1, 1)), lambda x: x[None, None], ((),))
    yield Case("reshape to 0-d", lambda x: reshape(x, shape=()), lambda x: x[0, 0], ((1, 1),))
    yield Case("reshape empty", lambda x: reshape(x, shape=(5, 0)), lambda x: x.T, ((0, 5),))
    for s, t, axes in [
        ((), (2, 3), (0, 1)),
        ((3,), (2, 3, 4), (0, 2)),
        ((2, 4), (2, 3, 4), (1,)),
        ((), (), ()),
        ((0,), (0, 2), (1,)),
        ((3,), (3, 0), (1,)),
    ]:
        yield Case(
            f"broadcast {s} {t}",
            lambda x, t=t, axes=axes: broadcast(x, shape=t, axes=axes),
            lambda x, t=t, axes=axes: np.broadcast_to(np.expand_dims(x, axes), t),
            (s,),
        )
    for s, t in [((1, 3), (2, 3)), ((3, 1), (2, 3, 4)), ((), (2,)), ((1,), (0,)), ((2,), (2,))]:
        yield Case(
            f"broadcast_to {s} {t}",
            lambda x, t=t: broadcast_to(x, t),
            lambda x, t=t: x * np.ones(t, x.dtype),
            (s,),
        )
    for s, t in [((2, 3), (1, 3)), ((2, 3, 4), (3, 1)), ((2,), ()), ((0, 3), (1, 3)), ((3,), (3,))]:
        back = tuple(i for i in range(-len(s), 0) if i < -len(t) or t[i] != s[i])
        yield Case(
            f"unbroadcast {s} {t}",
            lambda x, t=t: unbroadcast(x, t),
            lambda x, t=t, back=back: np.add.reduce(x, axis=back, dtype=x.dtype).reshape(t),
            (s,),
            dtypes=("f64", "f32", "i64"),
        )
    for s, perm in [((), ()), ((3,), (0,)), ((2, 3), (1, 0)), ((2, 3, 4), (2, 0, 1))]:
        letters = "abc"[: len(s)]
        spec = f"{letters}->{''.join(letters[p] for p in perm)}"
        yield Case(
            f"transpose {s} {perm}",
            lambda x, perm=perm: transpose(x, perm=perm),
            lambda x, spec=spec: np.einsum(spec, x),
            (s,),
        )
    yield Case("expand", lambda x: expand_dims(x, (0, 2)), lambda x: x[None, :, None], ((3, 2),))
    yield Case("squeeze", lambda x: squeeze(x, (0, 2)), lambda x: x[0, :, 0], ((1, 3, 1),))
    yield from strided()


def strided() -> Iterator[Case]:
    """`slice_` and `pad` of the same positions."""
    for whole, start, size, step, where in [
        ((6,), (1,), (2,), (3,), np.s_[1::3]),
        ((6,), (5,), (6,), (-1,), np.s_[::-1]),
        ((6,), (4,), (3,), (-2,), np.s_[4::-2]),
        ((6,), (2,), (1,), (7,), np.s_[2:3]),
        ((6,), (6,), (0,), (1,), np.s_[6:]),
        ((0,), (0,), (0,), (-1,), np.s_[::-1]),
        ((), (), (), (), ()),
        ((3, 4), (0, 3), (2, 2), (2, -1), np.s_[::2, 3:1:-1]),
        ((3, 4), (1, 0), (2, 4), (1, 1), np.s_[1:]),
        ((3, 4), (2, 2), (2, 2), (-1, 1), np.s_[2:0:-1, 2:]),
    ]:
        attrs = {"start": start, "step": step}
        yield Case(
            f"slice {whole} {start} {size} {step}",
            lambda x, size=size, attrs=attrs: slice_(x, size=size, **attrs),
            lambda x, where=where: x[where],
            (whole,),
        )
        yield Case(
            f"pad {whole} {start} {size} {step}",
            lambda x, whole=whole, attrs=attrs: pad(x, shape=whole, **attrs),
            placed(whole, where),
            (size,),
        )


def makers() -> Iterator[Case]:
    """Rows and functions that join arrays or make them."""
    for axis, shapes in [(0, ((2, 3), (0, 3), (1, 3))), (1, ((2, 1), (2, 4))), (0, ((3,),))]:
        yield Case(
            f"concatenate {axis} {shapes}",
            lambda *xs, axis=axis: concatenate(*xs, axis=axis),
            lambda *xs, axis=axis: np.moveaxis(
                np.array([r for x in xs for r in np.moveaxis(x, axis, 0)]), 0, axis
            ),
            shapes,
        )
    for steps, shapes in [((2,), ((3,), (2,))), ((1, 3), ((2, 2), (2, 1), (2, 1)))]:
        yield Case(
            f"interleave {steps}",
            lambda *xs, steps=steps: interleave(*xs, steps=steps),
            lambda *xs: np.stack(
                [xs[j % len(xs)][..., j // len(xs)] for j in range(sum(x.shape[-1] for x in xs))],
                axis=-1,
            ),
            shapes,
        )
    for axis, dtype in [(0, "i64"), (1, "f32")]:
        yield Case(
            f"iota {axis} {dtype}",
            lambda axis=axis, dtype=dtype: iota(shape=(2, 3), axis=axis, dtype=dtype),
            lambda axis=axis, dtype=dtype: np.indices((2, 3))[axis].astype(NUMPY[dtype]),
            (),
        )
    ones = Aval("f32", (2, 3))
    yield Case("zeros", lambda: zeros(ones), lambda: np.zeros((2, 3), np.float32), ())
    yield Case("full", lambda: full(2, ones), lambda: np.full((2, 3), np.float32(2)), ())
    yield Case("full 0-d", lambda: full(2, Aval("f64")), lambda: np.float64(2), ())
    yield Case(
        "full of a value",
        lambda x: full(x, Aval(x.dtype, (2, 3))),
        lambda x: np.full((2, 3), x),
        ((),),
    )


AT = np.array([[0, -1, 2], [2, 2, 1]])
J = np.array([[1, 1, 3], [0, 0, -2]])
FAR = np.array([[7, -9, 2], [-1, 3, 1]])


def written(fold: Callable[[Any, Any], Any], *axes: int) -> Callable[..., np.ndarray]:
    """Updates written one by one, in order."""

    def write(x: np.ndarray, upd: np.ndarray, *indices: np.ndarray) -> np.ndarray:
        out = x.copy()
        for at in np.ndindex(indices[0].shape):
            where: list[Any] = [slice(None)] * x.ndim
            for a, i in zip(axes, indices, strict=True):
                where[a] = i[at]
            out[tuple(where)] = fold(out[tuple(where)], upd[at])
        return out

    return write


def indexing() -> Iterator[Case]:
    """Gathers and scatters, with negative and repeated indices."""
    for mode, i in itertools.product(("raise", "clip", "wrap"), (AT, FAR)):
        if mode == "raise" and i is FAR:
            continue
        yield Case(
            f"gather {mode} {i[0, 0]}",
            lambda x, i, mode=mode: gather(x, i, axes=(1,), mode=mode),
            lambda x, i, mode=mode: np.moveaxis(np.take(x, i, 1, mode=mode), 0, 2),
            ((2, 3, 4),),
            (np.where(i < 0, 0, i) if mode == "clip" else i,),
        )
    yield Case(
        "gather two",
        lambda x, i, j: gather(x, i, j, axes=(0, 2)),
        lambda x, i, j: x[i, :, j],
        ((3, 2, 4),),
        (AT, J),
    )
    none = np.zeros((0,), np.int64)
    yield Case(
        "gather none", lambda x, i: gather(x, i, axes=(0,)), lambda x, i: x[:0], ((3, 2),), (none,)
    )
    yield Case(
        "gather 0-d", lambda x, i: gather(x, i, axes=(0,)), lambda x, i: x[-1], ((3, 2),), (-1,)
    )
    for name, row, fold, dtypes in [
        ("scatter", scatter, lambda old, new: new, DTYPES),
        ("scatter_add", scatter_add, lambda old, new: old + new, ("f64", "f32", "i64")),
    ]:
        for shapes, axes, last in [
            (((3, 2, 4), (2, 3, 2)), (0, 2), (AT, J)),
            (((3, 2), (2, 3, 2)), (0,), (AT,)),
            (((2, 3), (2, 3, 2)), (1,), (AT,)),
            (((3,), ()), (0,), (-1,)),
            (((3,), (0,)), (0,), (none,)),
        ]:
            yield Case(
                f"{name} {shapes} {axes}",
                lambda *xs, row=row, axes=axes: row(*xs, axes=axes),
                written(fold, *axes),
                shapes,
                last,
                dtypes,
            )
    yield Case(
        "take_along",
        lambda x, i: take_along(x, i, 1),
        lambda x, i: np.take_along_axis(x, i, 1),
        ((2, 4),),
        (np.array([[0, -1, 0], [3, 3, -4]]),),
    )
    for right in (False, True):
        yield Case(
            f"searchsorted {right}",
            lambda x, keys, right=right: searchsorted(sort(keys, axis=0), x, right=right),
            lambda x, keys, side=("left", "right")[right]: np.searchsorted(np.sort(keys), x, side),
            ((2, 4), (5,)),
        )


def products() -> Iterator[Case]:
    """`dot`, each as an einsum."""
    for spec, a, b in [
        ("ij,jk->ik", (2, 3), (3, 4)),
        ("ij,kj->ik", (2, 3), (4, 3)),
        ("i,i->", (3,), (3,)),
        ("i,j->ij", (2,), (3,)),
        (",i->i", (), (3,)),
        (",->", (), ()),
        ("bij,bjk->bik", (2, 3, 2), (2, 2, 3)),
        ("ibj,jcb->bic", (2, 3, 2), (2, 2, 3)),
        ("ijkl,lmkj->kim", (2, 3, 2, 4), (4, 2, 2, 3)),
        ("bcij,cbjk->bcik", (2, 1, 2, 3), (1, 2, 3, 2)),
        ("ij,jk->ik", (2, 0), (0, 3)),
        ("ij,jk->ik", (0, 2), (2, 3)),
        ("i,i->i", (3,), (3,)),
    ]:
        attrs = dims_of(spec)
        yield Case(
            f"dot {spec} {a}",
            lambda x, y, attrs=attrs: dot(x, y, **attrs),
            lambda x, y, spec=spec: np.einsum(spec, x, y),
            (a, b),
            dtypes=("f64", "f32", "i64"),
        )


def dims_of(spec: str) -> dict[str, Any]:
    """The attrs of `dot` for an einsum of two operands."""
    left, _, out = spec.partition("->")
    a, b = left.split(",")
    both = [c for c in a if c in b]

    def dims(letters: list[str]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(x.index(c) for c in letters) for x in (a, b))

    batch = [c for c in out if c in both]
    return {"contract": dims([c for c in both if c not in out]), "batch": dims(batch)}


def convolved(x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> np.ndarray:
    """A convolution place by place."""
    seen = np.pad(x, [(0, 0), *padding, (0, 0)])
    parts = zip(np.split(seen, groups, -1), np.split(w, groups), strict=True)
    per_group = []
    for part, kernels in parts:
        one = np.tensordot(part, np.flip(kernels, range(2, w.ndim)), (-1, 1))  # *space, O, *kernel
        rank = w.ndim - 2
        space = part.shape[1:-1]
        sizes = [
            (n - d * (k - 1) - 1) // s + 1
            for n, k, d, s in zip(space, w.shape[2:], dilation, stride, strict=True)
        ]
        out = np.zeros((len(x), *sizes, len(kernels)), x.dtype)
        for at in itertools.product(*map(range, w.shape[2:])):
            places = tuple(
                slice(k * d, k * d + (p - 1) * s + 1, s)
                for k, d, p, s in zip(at, dilation, sizes, stride, strict=True)
            )
            mirrored = tuple(n - 1 - k for n, k in zip(w.shape[2:], at, strict=True))
            out += one[(slice(None), *places, slice(None), *mirrored)]
        assert rank == len(sizes)
        per_group.append(out)
    return np.concatenate(per_group, -1)


def images() -> Iterator[Case]:
    """`conv` place by place, and its two transposes by what makes them so."""
    for x, w, stride, padding, dilation, groups in [
        ((2, 5, 4, 2), (3, 2, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
        ((1, 5, 6, 2), (2, 2, 3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2), 1),
        ((2, 7, 4), (4, 2, 3), (2,), ((1, 1),), (2,), 2),
        ((1, 3, 3, 2), (11, 2, 1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
        ((3, 4, 4, 1), (2, 1, 2, 2), (1, 1), ((2, 2), (0, 3)), (1, 1), 1),
    ]:
        attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        places = convolutions.extents(x[1:-1], w[2:], stride, padding, dilation)
        y = (x[0], *places, w[0])

        def image(ct: Any, w: Any, attrs: Any = attrs, x: Any = x) -> np.ndarray:
            units = np.eye(int(np.prod(x)), dtype=w.dtype).reshape(-1, *x)
            return np.array([(ct * convolved(u, w, **attrs)).sum() for u in units]).reshape(x)

        def weight(x: Any, ct: Any, attrs: Any = attrs, w: Any = w) -> np.ndarray:
            units = np.eye(int(np.prod(w)), dtype=x.dtype).reshape(-1, *w)
            return np.array([(ct * convolved(x, u, **attrs)).sum() for u in units]).reshape(w)

        floats = ("f64", "f32")
        extra = {"space": x[1:-1]}, {"kernel": w[2:]}
        for name, row, spelled, shapes, more in [
            ("conv", convolutions.conv, lambda a, b, at=attrs: convolved(a, b, **at), (x, w), {}),
            ("conv_input", convolutions.conv_input, image, (y, w), extra[0]),
            ("conv_weight", convolutions.conv_weight, weight, (x, y), extra[1]),
        ]:
            settings = {**attrs, **more}

            def emit(a: Any, b: Any, row: Any = row, settings: Any = settings) -> Any:
                return row(a, b, **settings)

            yield Case(f"{name} {x} {w}", emit, spelled, shapes, dtypes=floats)


CASES = [
    *images(),
    *movements(),
    *makers(),
    *reductions(),
    *along_axis(),
    *indexing(),
    *products(),
]

"""`vmap`: a function of one row, called with many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .ir.builder import Builder, literal
from .ir.core import Function, Value
from .ir.ops.control_batch import repeated
from .ir.ops.shape import moveaxis
from .ir.records import dataclass
from .ir.types import NUMPY
from .passes.batch import Rows, batch_block
from .signature import Fixed
from .staging import Out, Staged, Traced, Transform, staged, traced
from .tracer.facts import LeafSpec
from .tracer.trace import leaf_paths, leaf_spec
from .tracer.tree import LEAF, Tree, flatten

Axis = int | None


@dataclass(frozen=True)
class Vmap(Transform):
    """Called as fn is, with one more axis in the arguments that `in_axes` says.

    `in_axes` and `out_axes` are an axis for all, or containers of axes that are a prefix of the
    arguments (a tuple) and of the result; None is for what all rows share.
    """

    in_axes: Any = 0
    out_axes: Any = 0

    def __post_init__(self) -> None:
        if not (self.in_axes is None or isinstance(self.in_axes, int | tuple | list)):
            raise TypeError(
                "vmap: in_axes is an int, None, or a tuple with one entry per argument, "
                f"not {self.in_axes!r}"
            )

    @property
    def verb(self) -> str:
        return "vmap"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        leaves, tree = flatten((args, kwargs))
        paths = leaf_paths(fn, args, kwargs)
        specs = [leaf_spec(x, p) for x, p in zip(leaves, paths, strict=True)]
        axes = self._axes(args, kwargs, specs)
        size = _size(specs, axes)
        given = zip(leaves, specs, axes, strict=True)
        rows = [x if a is None else _row(s, a) for x, s, a in given]
        row_args, row_kwargs = _with(tree, rows)
        made_up = [x for x, a in zip(rows, axes, strict=True) if a is not None]
        t = traced(fn, row_args, row_kwargs, made_up)
        trees = prefix(self.out_axes, t.outs_tree, "out_axes", "the result")
        function, outs = over_rows(t, size, specs, axes, trees)
        return staged(t, function, t.outs_tree, outs, strict=None)

    def _axes(self, args: Any, kwargs: Any, specs: Sequence[LeafSpec]) -> list[Axis]:
        """The axis of each leaf of a call, counted from the front.

        Keyword arguments are mapped over their first axis, but numbers among them are shared.
        """
        spec = tuple(self.in_axes) if isinstance(self.in_axes, list) else self.in_axes
        if isinstance(spec, tuple) and len(spec) != len(args):
            raise ValueError(
                f"vmap: in_axes has {len(spec)} entries for {len(args)} positional arguments"
            )
        axes = prefix(spec, flatten(tuple(args))[1], "in_axes", "the arguments")
        axes += [0 if s.kind == "array" else None for s in specs[len(axes) :]]
        return [_from_front(s, a) for s, a in zip(specs, axes, strict=True)]


# ------------------------------------------------------------------ axes


def prefix(axes: Any, tree: Tree, noun: str, of: str) -> list[Axis]:
    """The axis of each leaf of a container, by axes that stand for whole parts of it."""
    numbers, spec = flatten(axes)
    return _walk(spec, iter(numbers), tree, noun, of)


def _walk(spec: Tree, numbers: Iterator[Any], tree: Tree, noun: str, of: str) -> list[Axis]:
    if spec.kind == "leaf":
        axis = next(numbers)
        if not isinstance(axis, int | np.integer):
            raise TypeError(f"vmap: {noun} holds {axis!r}; an axis is an int or None")
        return [int(axis)] * tree.leaf_count
    if spec.kind == "static":
        if spec.data.value is not None:
            raise TypeError(f"vmap: {noun} holds {spec.data!r}; an axis is an int or None")
        return [None] * tree.leaf_count
    sequences = (tuple, list)
    alike = spec.kind is tree.kind or (spec.kind in sequences and tree.kind in sequences)
    if not alike or len(spec.children) != len(tree.children) or spec.data != tree.data:
        raise ValueError(f"vmap: {noun} is {spec!r}, which is no prefix of {of}, {tree!r}")
    pairs = zip(spec.children, tree.children, strict=True)
    return [axis for s, t in pairs for axis in _walk(s, numbers, t, noun, of)]


def _from_front(spec: LeafSpec, axis: Axis) -> Axis:
    """The axis of an argument leaf as a number from 0; an error if it has none such."""
    if axis is None:
        return None
    n = spec.aval.ndim
    if not -n <= axis < n:
        what = f"has shape {spec.aval.shape}" if spec.kind == "array" else "is a number"
        raise ValueError(
            f"vmap: in_axes maps axis {axis} of {spec.path or 'an argument'}, which {what}\n"
            "  Say None in in_axes for what all rows share: vmap(f, in_axes=(0, None))."
        )
    return axis % n


def _size(specs: Sequence[LeafSpec], axes: Sequence[Axis]) -> int:
    """How many rows there are."""
    sizes = {s.path: s.aval.shape[a] for s, a in zip(specs, axes, strict=True) if a is not None}
    if not sizes:
        raise ValueError("vmap: nothing is mapped: in_axes needs an axis for one argument at least")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{path} has {n}" for path, n in sizes.items())
        raise ValueError(f"vmap: the mapped axes have different sizes: {listed}")
    return next(iter(sizes.values()))


def _row(spec: LeafSpec, axis: int) -> Any:
    """Something like one row of an argument."""
    shape = (*spec.aval.shape[:axis], *spec.aval.shape[axis + 1 :])
    dtype = NUMPY[spec.aval.dtype]
    return np.zeros(shape, dtype) if shape else dtype.type(0)


def _with(tree: Tree, leaves: Sequence[Any]) -> Any:
    """The container with other leaves; integers that were fixed stay so."""
    rest = iter(leaves)

    def parts(t: Tree) -> list[Any]:
        if t.kind is Fixed:
            return [Fixed(t.data[1])]
        return [next(rest)] if t.kind == "leaf" else [p for c in t.children for p in parts(c)]

    def opened(t: Tree) -> Tree:
        if t.kind is Fixed:
            return LEAF
        return Tree(t.kind, t.data, tuple(map(opened, t.children)))

    return opened(tree).unflatten(parts(tree))


# ------------------------------------------------------------------ the function of all rows


def over_rows(
    t: Traced,
    size: int,
    specs: Sequence[LeafSpec],
    axes: Sequence[Axis],
    out_axes: Sequence[Axis],
) -> tuple[Function, list[Out]]:
    """The function of all rows, with a result for each leaf that is no static object."""
    rest = t.function.params[len(specs) :]
    params = tuple(
        Value(s.aval, p.hint) for s, p in zip(specs, t.function.params, strict=False)
    ) + tuple(Value(p.aval, p.hint) for p in rest)
    every = [*axes, *(None for _ in rest)]
    results: list[Value] = []
    outs: list[Out] = []
    with Builder(params) as b:
        fronts = [p if a is None else moveaxis(p, a, 0) for p, a in zip(params, every, strict=True)]
        moved = [a is not None for a in every]
        found, mapped = batch_block(Rows(size), t.function.block, fronts, moved)
        paths = t.outs_tree.paths("result")
        for out, axis, path in zip(t.out_leaves, out_axes, paths, strict=True):
            known = out[0] == "value"
            v, m = (found[out[1]], mapped[out[1]]) if known else (literal(out[1]), False)
            if axis is None and m:
                raise ValueError(f"vmap: out_axes is None for the {path}, which differs by row")
            kind = "array" if axis is not None else out[2] if known else "python"
            outs.append(("value", len(results), kind))
            results.append(v if axis is None else _placed(v, m, size, axis, path))
        return Function(f"{t.function.name}_vmap", b.done(results)), outs


def _placed(v: Value, mapped: bool, size: int, axis: int, path: str) -> Value:
    """A result with the axis of the rows where it belongs."""
    v = v if mapped else repeated(v, size)
    if not -v.ndim <= axis < v.ndim:
        raise ValueError(
            f"vmap: out_axes puts the rows at axis {axis} of the {path}, "
            f"whose rows have shape {v.shape[1:]}"
        )
    return moveaxis(v, 0, axis % v.ndim)

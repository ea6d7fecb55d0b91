"""`out=`: results that are written into arrays of the caller's.

`out` has the structure of the result; None in the place of a part asks for a fresh one there.  This
is the general way, which copies fresh results; fronts (front.py) write into what fits at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .staging import NOTHING, Transform
from .tracer.record import is_tracing
from .tracer.trace import is_tracer
from .tracer.tree import Tree, flatten


def is_ours(fn: Callable[..., Any], transform: Transform) -> bool:
    """Whether `out=` is not an argument of the function itself."""
    if not transform.keywords or isinstance(fn, np.ufunc):
        return True
    if getattr(fn, "__module__", None) == "numpy":  # whose own `out` no trace could follow
        return True
    try:
        given = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # a builtin
        return True
    return not any(p.name == "out" or p.kind is p.VAR_KEYWORD for p in given)


def pair(tree: Tree, out: Tree) -> list[int | None]:
    """For each leaf of the result its place among the leaves of `out`, None where there is none."""
    return list(_pair(tree, out, 0, "out"))


def _pair(tree: Tree, out: Tree, start: int, path: str) -> Iterator[int | None]:
    if out == NOTHING:
        yield from [None] * tree.leaf_count
    elif tree.kind == "leaf" and out.kind == "leaf":
        yield start
    elif tree.kind is dict and out.kind is dict:
        yield from _pair_dicts(tree, out, start, path)
    elif tree.kind != out.kind or tree.data != out.data or len(tree.children) != len(out.children):
        raise ValueError(f"{path} is {_kind(out)}, the result there is {_kind(tree)}")
    else:
        for step, t, o in zip(tree.steps(), tree.children, out.children, strict=True):
            yield from _pair(t, o, start, path + step)
            start += o.leaf_count


def _pair_dicts(tree: Tree, out: Tree, start: int, path: str) -> Iterator[int | None]:
    """By their keys, whose order is free."""
    given: dict[Any, tuple[Tree, int]] = {}
    for key, child in zip(out.data, out.children, strict=True):
        given[key] = child, start
        start += child.leaf_count
    for key, child in zip(tree.data, tree.children, strict=True):
        if key not in given:
            raise ValueError(f"{path} has no key {key!r}, which the result has")
        yield from _pair(child, *given.pop(key), f"{path}[{key!r}]")
    if given:
        raise ValueError(f"{path} has the key {next(iter(given))!r}, which the result has not")


def _kind(tree: Tree) -> str:
    if tree.kind == "leaf":
        return "one array"
    if tree.kind == "static":
        return repr(tree)
    return f"a {tree.kind.__name__} of {len(tree.children)}"


def fill(name: str, result: Any, out: Any) -> Any:
    """Write a result into `out` and return that, or, where it has gaps, a new container."""
    leaves, tree = flatten(result)
    targets, form = flatten(out)
    try:
        places = pair(tree, form)
        written = [
            (leaf, targets[place], f"out{path}")
            for leaf, place, path in zip(leaves, places, tree.paths(), strict=True)
            if place is not None
        ]
        for leaf, target, path in written:
            _check(leaf, target, path)
        _check_apart([(target, path) for _, target, path in written])
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    for leaf, target, _ in written:
        if is_tracing():
            target[...] = leaf
        else:
            np.copyto(target, leaf)
    if None not in places:
        return out
    return tree.unflatten(
        leaf if place is None else targets[place]
        for leaf, place in zip(leaves, places, strict=True)
    )


def _check(result: Any, target: Any, path: str) -> None:
    if is_tracer(target):
        return
    if not isinstance(target, np.ndarray) or isinstance(target, np.ma.MaskedArray):
        raise TypeError(
            f"{path} is of type {type(target).__name__}, not an array; a number is written into "
            "an array of shape (), and None asks for a fresh result"
        )
    dtype = np.dtype(getattr(result, "dtype", type(result)))
    if target.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{path} has dtype {target.dtype}, the result has dtype {dtype}")
    if target.shape != np.shape(result):
        raise ValueError(f"{path} has shape {target.shape}, the result has {np.shape(result)}")
    if not target.flags.writeable:
        raise ValueError(f"{path} is read-only")


def _check_apart(targets: Sequence[tuple[Any, str]]) -> None:
    """Refuse two results in the same memory."""
    spans = sorted(
        (np.lib.array_utils.byte_bounds(x), path, k)
        for k, (x, path) in enumerate(targets)
        if not is_tracer(x) and x.size
    )
    for ((_, end), path, k), ((begin, _), other, i) in pairwise(spans):
        if begin < end and np.shares_memory(targets[k][0], targets[i][0]):
            raise ValueError(f"{path} and {other} share memory")


def fits(out: Any) -> Tree | None:
    """The structure of an `out` that machine code can fill, else None."""
    targets, form = flatten(out)
    for x in targets:
        if type(x) is not np.ndarray or not x.flags.behaved or not x.dtype.isnative:
            return None
        if len(targets) > 1 and not x.flags.c_contiguous:
            return None
    return form

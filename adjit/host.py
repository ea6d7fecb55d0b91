"""`pure_callback`: Python on plain arrays, from inside of a traced function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .api import companion
from .arguments import a
from .ir.builder import Builder
from .ir.core import Function, Value
from .ir.ops.host import HostFunction, host
from .ir.records import dataclass
from .ir.types import Aval
from .staging import Staged, Traced, Transform, staged
from .tracer.record import is_tracing
from .tracer.trace import leaf_paths, leaf_spec
from .tracer.tree import Tree, flatten, is_leaf

Fn = Callable[..., Any]


def pure_callback(fn: Fn, like: Any, *args: Any) -> Any:
    """`fn(*args)`, run by Python on plain arrays, also inside a traced function.

    `like` says what fn returns: a container of arrays, numbers, or of anything with a shape and a
    dtype.  fn runs as often as its results are needed, so it should have no effects.  It has no
    derivative of its own; a `custom_vjp` or `custom_jvp` around the call gives it one.
    """
    if not callable(fn):
        raise TypeError(f"pure_callback takes a function, not {a(type(fn).__name__)}")
    if not is_tracing():
        return fn(*args)
    leaves, tree = flatten(_described(like))
    facts = tuple((spec.aval, spec.kind) for spec in map(leaf_spec, leaves))
    return companion(fn, HostCall(tree, facts))(*args)


def _described(like: Any) -> Any:
    """The container with an array in place of what has only a shape and a dtype."""
    if is_leaf(like) or isinstance(like, type | np.dtype):
        return like
    if hasattr(like, "shape") and hasattr(like, "dtype"):
        return np.empty(like.shape, like.dtype)
    if type(like) in (tuple, list):
        return type(like)(map(_described, like))
    if type(like) is dict:
        return {k: _described(v) for k, v in like.items()}
    return like


@dataclass(frozen=True)
class HostCall(Transform):
    """Called as fn is: one op that runs fn; `facts` are aval and kind of its results."""

    tree: Tree
    facts: tuple[tuple[Aval, str], ...]

    @property
    def verb(self) -> str:
        return "pure_callback"

    def stage(self, fn: Fn, args: Any, kwargs: Any) -> Staged:
        leaves, tree = flatten((args, kwargs))
        paths = leaf_paths(fn, args, kwargs)
        specs = tuple(leaf_spec(x, p) for x, p in zip(leaves, paths, strict=True))
        name = f"pure_callback of {getattr(fn, '__name__', type(fn).__name__)}"
        run = HostFunction(name, _runner(name, fn, tree, [s.kind for s in specs], self.tree))
        params = tuple(Value(s.aval) for s in specs)
        with Builder(params) as b:
            found = host(*params, call=run, outs=tuple(a for a, _ in self.facts))
            outs = b.done(found if isinstance(found, tuple) else (found,))
        function = Function(name, outs)
        results = tuple(("value", k, kind) for k, (_, kind) in enumerate(self.facts))
        t = Traced(function, tree, specs, (), self.tree, results, (), raw=function)
        return staged(t, function, self.tree, results)


def _runner(
    name: str, fn: Fn, tree: Tree, kinds: Sequence[str], wanted: Tree
) -> Callable[..., Sequence[Any]]:
    """From arrays to what fn returns for them."""

    def run(*arrays: Any) -> Sequence[Any]:
        given = (as_kind(x, kind) for x, kind in zip(arrays, kinds, strict=True))
        args, kwargs = tree.unflatten(given)
        leaves, found = flatten(fn(*args, **kwargs))
        # An array where a number is wanted, or the other way round, is told by its shape.
        if found != wanted:
            raise ValueError(f"{name} returned {found!r}; `like` says {wanted!r}")
        return leaves

    return run


def as_kind(x: np.ndarray, kind: str) -> Any:
    """An array as the array, the NumPy scalar or the Python number that a leaf was."""
    return np.array(x) if kind == "array" else x.item() if kind == "python" else x[()]

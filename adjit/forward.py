"""Forward mode: the pushforward of any function, and forward over reverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arguments import (
    Argument,
    adapted,
    check_leaf,
    choose,
    leaf_aval,
    masked,
    match,
    positional,
    wanted,
)
from .ir.builder import Builder
from .ir.core import Function, Value
from .ir.types import Aval
from .passes.dce import dce
from .passes.jvp import jvp as jvp_pass
from .passes.replay import fresh, inline
from .passes.vjp import adjoint
from .reverse import check_loss
from .staging import AtPoint, Out, Staged, Traced, Transform, staged, traced
from .tracer.tree import Tree, flatten


@dataclass(frozen=True)
class Pushforward(AtPoint):
    """Called as (primals, tangents, **kwargs): the result and its tangent.

    With `argnums`, tangents are given for those arguments only; None stands for zero, also in the
    place of a part of a container.
    """

    argnums: tuple[int, ...] | None = None

    @property
    def verb(self) -> str:
        return "jvp"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        primals, tangents = args
        t = traced(fn, primals, kwargs)
        name = t.function.name
        argnums: Sequence[int] = self.argnums or range(len(primals))
        if len(argnums) == len(tangents):  # integers, for one, have no other tangent than None
            argnums = [k for k, d in zip(argnums, tangents, strict=True) if d is not None]
            tangents = tuple(d for d in tangents if d is not None)
        given, tangent_tree = flatten(tangents)
        spec = [leaf_aval(x) for x in given]
        asked = positional(primals, argnums)
        tree, given_to = masked(Tree(tuple, None, tuple(a.tree for a in asked)), tangent_tree)
        wrt = [i for i, m in zip((i for a in asked for i in a.leaves), given_to, strict=True) if m]
        avals = [(t.leaves[i].aval, t.leaves[i].kind) for i in wrt]
        match("tangent", name, tree, avals, tangent_tree, spec)
        for i in wrt:
            check_leaf(name, t.leaves[i], f"argument {t.leaves[i].path}")
        at = sum(flatten(x)[1].leaf_count for x in primals)
        function, where = push_function(t, at, wrt, [a for a, _ in spec])
        outs = list(t.out_leaves)
        dots = [_tangent(o, where) for o in outs]
        result = Tree(tuple, None, (t.outs_tree, t.outs_tree))
        names = [leaf.path for leaf in t.leaves]
        names[at:at] = tangent_tree.paths("tangent")
        return staged(t, function, result, [*outs, *dots], names, strict=len(t.function.outs))


NUMBERS = (float, complex, np.inexact)  # constants that have a tangent


def _tangent(out: Out, where: dict[int, int]) -> Out:
    """Where the tangent of an output leaf comes from; constants have zero, integers none."""
    if out[0] == "static":
        return ("static", type(out[1])(0) if isinstance(out[1], NUMBERS) else None)
    return ("value", where[out[1]], out[2]) if out[1] in where else ("static", None)


def push_function(
    t: Traced, at: int, wrt: Sequence[int], tangents: Sequence[Aval]
) -> tuple[Function, dict[int, int]]:
    """Results, then tangents; and where the tangent of each result stands."""
    both = jvp_pass(t.function, wrt)
    params = fresh(t.function.params)
    dots = tuple(Value(a, "dot") for a in tangents)
    with Builder((*params[:at], *dots, *params[at:])) as b:
        moved = [adapted(d, t.leaves[i].aval) for i, d in zip(wrt, dots, strict=True)]
        outs = inline(both.block, [*params, *moved])
        function = Function(both.name, b.done(outs))
    floats = [i for i, v in enumerate(t.function.outs) if v.aval.kind in "fc"]
    return function, {i: len(t.function.outs) + k for k, i in enumerate(floats)}


@dataclass(frozen=True)
class Hvp(Transform):
    """Called as fn is, with the vector right behind the argument: Hessian times vector."""

    argnum: int = 0

    @property
    def verb(self) -> str:
        return "hvp"

    def primals(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """All arguments but the vector."""
        at = self.argnum + 1
        if len(args) <= at:
            raise TypeError(f"hvp takes the vector as argument {at}, right behind x")
        return (*args[:at], *args[at + 1 :])

    def with_primals(self, args: tuple[Any, ...], primals: tuple[Any, ...]) -> tuple[Any, ...]:
        """The call with the vector put back."""
        at = self.argnum + 1
        return (*primals[:at], args[at], *primals[at:])

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        primals, at = self.primals(args), self.argnum + 1
        t = traced(fn, primals, kwargs)
        name = t.function.name
        check_loss(name, t.outs_tree, t.out_leaves, t, False)
        (chosen,) = choose(fn, primals, kwargs, self.argnum, None)
        wrt = wanted(name, [chosen], t)
        given, tree = flatten(args[at])
        spec = [leaf_aval(x) for x in given]
        avals = [(t.leaves[i].aval, t.leaves[i].kind) for i in wrt]
        match("vector", name, chosen.tree, avals, tree, spec)
        found = adjoint(t.function, wrt, seed_ones=True, primal_outs=False)
        function = self._product(t, dce(found.function), wrt, [a for a, _ in spec], chosen)
        outs = [("value", k, t.leaves[i].kind) for k, i in enumerate(wrt)]
        stop = chosen.start + len(wrt)
        names = [leaf.path for leaf in t.leaves]
        names[stop:stop] = tree.paths("v")
        return staged(t, function, chosen.tree, outs, names)

    def _product(
        self, t: Traced, grad: Function, wrt: Sequence[int], avals: Sequence[Aval], chosen: Argument
    ) -> Function:
        both = jvp_pass(grad, wrt)
        params = fresh(t.function.params)
        dots = tuple(Value(a, "v") for a in avals)
        stop = chosen.start + len(wrt)
        with Builder((*params[:stop], *dots, *params[stop:])) as b:
            moved = [adapted(d, t.leaves[i].aval) for i, d in zip(wrt, dots, strict=True)]
            outs = inline(both.block, [*params, *moved])
            return dce(Function(f"{t.function.name}_hvp", b.done(outs[len(wrt) :])))

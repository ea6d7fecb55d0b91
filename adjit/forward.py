"""Forward mode: the pushforward of any function, and forward over reverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np

from .arguments import (
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
from .ir.core import Block, Function, Value
from .ir.ops.shape import zeros
from .ir.records import dataclass
from .ir.types import Aval
from .passes.dce import dce
from .passes.jvp import jvp as jvp_pass
from .passes.replay import fresh, inline
from .passes.vjp import adjoint
from .reverse import aux_values, check_loss, split_aux
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
    """Called as fn is, with the vector right behind the argument: Hessian times vector.

    For a tuple of arguments it is a tuple of vectors, None for zero, behind the last of them.
    """

    argnums: int | tuple[int, ...] = 0
    has_aux: bool = False

    @property
    def verb(self) -> str:
        return "hvp"

    @property
    def place(self) -> int:
        """Where the vector stands in the call."""
        return 1 + (self.argnums if isinstance(self.argnums, int) else max(self.argnums))

    def primals(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """All arguments but the vector."""
        at = self.place
        if len(args) <= at:
            what = "the vector" if isinstance(self.argnums, int) else "a tuple of vectors"
            behind = "right behind x" if isinstance(self.argnums, int) else "behind the last"
            raise TypeError(f"hvp takes {what} as argument {at}, {behind}")
        return (*args[:at], *args[at + 1 :])

    def with_primals(self, args: tuple[Any, ...], primals: tuple[Any, ...]) -> tuple[Any, ...]:
        """The call with the vector put back."""
        at = self.place
        return (*primals[:at], args[at], *primals[at:])

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        primals, at = self.primals(args), self.place
        t = traced(fn, primals, kwargs)
        name = t.function.name
        loss_tree, loss, aux_tree, aux = split_aux(t, self.has_aux)
        check_loss(name, loss_tree, loss, t, False)
        chosen = choose(fn, primals, kwargs, self.argnums, None)
        wrt = wanted(name, chosen, t)
        one = isinstance(self.argnums, int)
        tree = chosen[0].tree if one else Tree(tuple, None, tuple(c.tree for c in chosen))
        given, given_tree = flatten(args[at])
        spec = [leaf_aval(x) for x in given]
        kept, moves = (tree, [True] * len(wrt)) if one else masked(tree, given_tree)
        along = [i for i, m in zip(wrt, moves, strict=True) if m]
        avals = [(t.leaves[i].aval, t.leaves[i].kind) for i in along]
        match("vector", name, kept, avals, given_tree, spec)
        stop = sum(flatten(x)[1].leaf_count for x in primals[:at])
        function, extra = self._product(t, wrt, along, [a for a, _ in spec], stop, loss, aux)
        outs = [("value", k, t.leaves[i].kind) for k, i in enumerate(wrt)]
        names = [leaf.path for leaf in t.leaves]
        names[stop:stop] = given_tree.paths("v")
        if not self.has_aux:
            return staged(t, function, tree, outs, names)
        result = Tree(tuple, None, (tree, aux_tree))
        return staged(t, function, result, [*outs, *extra], names)

    def _product(
        self,
        t: Traced,
        wrt: Sequence[int],
        along: Sequence[int],
        vectors: Sequence[Aval],
        stop: int,
        loss: Sequence[Out],
        aux: Sequence[Out],
    ) -> tuple[Function, list[Out]]:
        """The products, then the auxiliary results, and where these stand."""
        params = fresh(t.function.params)
        dots = tuple(Value(a, "v") for a in vectors)
        places = count(len(wrt))
        extra = [("value", next(places), o[2]) if o[0] == "value" else o for o in aux]
        with Builder((*params[:stop], *dots, *params[stop:])) as b:
            if loss[0][0] == "static":  # a constant
                outs = [zeros(t.leaves[i].aval) for i in wrt]
            else:
                value = t.function.outs[loss[0][1]]
                block = Block(t.function.params, t.function.block.ops, (value,))
                scalar = dce(Function(t.function.name, block))
                found = adjoint(scalar, wrt, seed_ones=True, primal_outs=False)
                both = jvp_pass(dce(found.function), along)
                moved = [adapted(d, t.leaves[i].aval) for i, d in zip(along, dots, strict=True)]
                outs = list(inline(both.block, [*params, *moved])[len(wrt) :])
            outs += aux_values(t, params, aux)
            return dce(Function(f"{t.function.name}_hvp", b.done(outs))), extra

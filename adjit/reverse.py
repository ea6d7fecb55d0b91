"""Reverse mode: the gradient of a scalar, and the pullback of any function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arguments import (
    Argument,
    adapted,
    choose,
    leaf_aval,
    masked,
    match,
    positional,
    wanted,
    word,
)
from .errors import NonScalarOutput, NotDifferentiable
from .ir.builder import Builder
from .ir.core import Block, Function, Value
from .ir.ops.elementwise import add, stop_gradient
from .ir.ops.shape import zeros
from .ir.records import dataclass
from .ir.types import NUMPY, Aval
from .passes.dce import dce
from .passes.replay import fresh, inline
from .passes.vjp import adjoint
from .staging import NOTHING, AtPoint, Out, Staged, Traced, Transform, Zero, staged, traced
from .tracer.tree import Tree, flatten


@dataclass(frozen=True)
class Grad(Transform):
    """Gradient of a scalar function, perhaps with its value; `summed` allows any shape."""

    argnums: int | tuple[int, ...] | None = 0
    argnames: str | tuple[str, ...] | None = None
    has_aux: bool = False
    value: bool = False
    summed: bool = False
    holomorphic: bool = False

    @property
    def verb(self) -> str:
        if self.summed:
            return "elementwise_grad"
        return "value_and_grad" if self.value else "grad"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        name = t.function.name
        loss_tree, loss, aux_tree, aux = split_aux(t, self.has_aux)
        aval = check_loss(name, loss_tree, loss, t, self.summed, self.holomorphic)
        chosen = choose(fn, args, kwargs, self.argnums, self.argnames)
        wrt = wanted(name, chosen, t, self.holomorphic)
        kept = [*loss, *aux]
        values = [o[1] for o in kept if o[0] == "value"]
        function, unreached = gradient(t.function, aval is not None, values, wrt)
        at = {id(o): k for k, o in enumerate(o for o in kept if o[0] == "value")}
        skip = 1 if aval is not None and not self.value else 0
        function = without_results(function, skip)
        placed = [("value", at[id(o)] - skip, o[2]) if o[0] == "value" else o for o in kept]
        first = len(values) - skip
        grads = [("value", first + k, t.leaves[i].kind) for k, i in enumerate(wrt)]
        tree, outs = self._arrange(chosen, loss_tree, aux_tree, placed, grads)
        zero = [Zero(t.leaves[i].path, str(w or "")) for i, w in unreached]
        return staged(t, function, tree, outs, zero=zero, strict=first)

    def _arrange(
        self,
        chosen: Sequence[Argument],
        loss_tree: Tree,
        aux_tree: Tree,
        placed: Sequence[Out],
        grads: Sequence[Out],
    ) -> tuple[Tree, list[Out]]:
        trees = tuple(a.tree for a in chosen)
        several = isinstance(self.argnums, tuple) or isinstance(self.argnames, tuple)
        grad_tree = Tree(tuple, None, trees) if several else trees[0]
        loss, aux = placed[:1], placed[1:]
        if not self.value:
            if self.has_aux:
                return Tree(tuple, None, (grad_tree, aux_tree)), [*grads, *aux]
            return grad_tree, list(grads)
        if self.has_aux:
            loss_tree = Tree(tuple, None, (loss_tree, aux_tree))
        return Tree(tuple, None, (loss_tree, grad_tree)), [*loss, *aux, *grads]


def gradient(
    function: Function, has_loss: bool, kept: Sequence[int], wrt: Sequence[int]
) -> tuple[Function, list[tuple[int, Any]]]:
    """Results `kept`, then the gradients of the first of them; and which `wrt` it does not reach.

    The others carry no derivative: they are behind `stop_gradient`.
    """
    outs = [function.outs[i] for i in kept]
    first = 1 if has_loss else 0
    with Builder(function.params, number=False) as b:
        b.ops.extend(function.ops)
        stopped = [
            stop_gradient(v) if NUMPY[v.aval.dtype].kind in "fc" else v for v in outs[first:]
        ]
        block = b.done([*outs[:first], *stopped])
    found = adjoint(Function(function.name, block), wrt, seed_ones=True)
    return found.function, list(zip(found.unreached, found.cuts, strict=True))


def without_results(function: Function, count: int) -> Function:
    """The function without its first results."""
    if not count:
        return function
    block = function.block
    return dce(Function(function.name, Block(block.params, block.ops, block.outs[count:])))


def split_aux(t: Traced, has_aux: bool) -> tuple[Tree, list[Out], Tree, list[Out]]:
    """The tree and the leaves of the loss, and of the auxiliary output."""
    tree, leaves = t.outs_tree, list(t.out_leaves)
    if not has_aux:
        return tree, leaves, NOTHING, []
    if tree.kind is not tuple or len(tree.children) != 2:
        raise NonScalarOutput(
            f"{t.function.name} was asked for (loss, aux) by has_aux=True but returned "
            f"{describe(tree, leaves, t)}\n  Return a pair, or leave has_aux out."
        )
    loss, aux = tree.children
    n = loss.leaf_count
    return loss, leaves[:n], aux, leaves[n:]


def aux_values(t: Traced, params: Sequence[Value], aux: Sequence[Out]) -> list[Value]:
    """The auxiliary results that are computed."""
    places = [o[1] for o in aux if o[0] == "value"]
    found = inline(t.function.block, params) if places else []
    return [found[i] for i in places]


def check_loss(
    name: str,
    tree: Tree,
    leaves: Sequence[Out],
    t: Traced,
    summed: bool,
    holomorphic: bool = False,
) -> Aval | None:
    """The aval of the loss, None where it is a plain number that depends on nothing."""
    found = describe(tree, leaves, t)
    if tree.kind != "leaf":
        hint = ""
        if tree.kind is tuple and len(tree.children) == 2:
            hint = "\n  If the second is not part of the loss, say has_aux=True."
        elif found == "None":
            hint = "\n  Is a `return` missing?"
        elif tree.kind != "static":
            hint = "\n  Return the number alone, or (number, the rest) with has_aux=True."
        raise NonScalarOutput(f"{_only_scalar(name)} but it returned {found}{hint}")
    (leaf,) = leaves
    if leaf[0] == "static":
        if not isinstance(leaf[1], float | np.floating):
            raise NotDifferentiable(f"{name} returned {found}, which carries no derivative")
        return None
    aval = t.function.outs[leaf[1]].aval
    check_holomorphic_result(name, found, aval, holomorphic)
    if aval.kind not in "fc":
        whole = [leaf.path for leaf in t.leaves if leaf.aval.kind in "biu"]
        hint = ""
        if whole and all(leaf.aval.kind in "biu" for leaf in t.leaves):
            hint = f"\n  Pass {whole[0]} as floats: 3.0 for 3, x.astype(float) for an array."
        raise NotDifferentiable(
            f"{name} returned {found}; only floating-point results carry derivatives{hint}"
        )
    if aval.size != 1 and not summed:
        raise NonScalarOutput(
            f"{_only_scalar(name)} but it returned {found}\n"
            "  Reduce it (np.sum, np.mean), or use vjp with a cotangent, jacobian, or "
            "elementwise_grad."
        )
    return aval


def check_holomorphic_result(name: str, found: str, aval: Aval, holomorphic: bool) -> None:
    """A complex result needs `holomorphic=True`, and that needs a complex result."""
    if aval.kind == "c" and not holomorphic:
        raise NotDifferentiable(
            f"{name} returned {found}: a complex result has a gradient only as a holomorphic "
            "function\n  Return a real number, such as np.abs(z) ** 2 or z.real; say "
            "holomorphic=True for the complex derivative; or use vjp or jvp."
        )
    if aval.kind != "c" and holomorphic:
        raise NotDifferentiable(
            f"{name} returned {found}: holomorphic=True is for complex results\n"
            "  Leave holomorphic out."
        )


def _only_scalar(name: str) -> str:
    return f"{name}: grad can be implicitly created only for scalar outputs,"


def describe(tree: Tree, leaves: Sequence[Out], t: Traced) -> str:
    """What a function returned, in words."""
    if tree.kind == "static":
        return repr(tree.data)
    if tree.kind != "leaf":
        return f"a {tree.kind.__name__} of {len(tree.children)}"
    leaf = leaves[0]
    if leaf[0] == "static":
        return f"the constant {leaf[1]!r}"
    return word(t.function.outs[leaf[1]].aval, leaf[2])


# ------------------------------------------------------------------ vjp


@dataclass(frozen=True)
class Pullback(AtPoint):
    """Called as (args, cotangent, **kwargs): the cotangents of the arguments, or of `argnums`."""

    argnums: tuple[int, ...] | None = None
    has_aux: bool = False

    @property
    def verb(self) -> str:
        return "vjp"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        primals, ct = args
        t = traced(fn, primals, kwargs)
        name = t.function.name
        tree, outs, _, _ = split_aux(t, self.has_aux)
        given, ct_tree = flatten(ct)
        spec = [leaf_aval(x) for x in given]
        tree, given_to = masked(tree, ct_tree)
        outs = [o for o, m in zip(outs, given_to, strict=True) if m]
        match("cotangent", name, tree, [_out_aval(o, t) for o in outs], ct_tree, spec)
        asked = positional(primals, self.argnums)
        wanted = [i for a in asked for i in a.leaves]
        floats = [i for i in wanted if t.leaves[i].aval.kind in "fc"]
        index = [o[1] if o[0] == "value" else None for o in outs]
        at = sum(flatten(x)[1].leaf_count for x in primals)
        function = pull_function(t, at, floats, index, [a for a, _ in spec])
        place = {i: ("value", k, t.leaves[i].kind) for k, i in enumerate(floats)}
        result = Tree(tuple, None, tuple(a.tree for a in asked))
        names = [leaf.path for leaf in t.leaves]
        names[at:at] = ct_tree.paths("ct")
        leaves = [place.get(i, ("static", None)) for i in wanted]
        return staged(t, function, result, leaves, names)


def _out_aval(out: Out, t: Traced) -> tuple[Aval | None, str]:
    return (t.function.outs[out[1]].aval, out[2]) if out[0] == "value" else (None, "python")


def pull_function(
    t: Traced, at: int, wrt: Sequence[int], index: Sequence[int | None], cts: Sequence[Aval]
) -> Function:
    """Cotangents of `wrt`; params: the leaves of the call, cotangents from place `at` on."""
    joint = adjoint(t.function, wrt, primal_outs=False).function
    params = fresh(t.function.params)
    seeds = tuple(Value(a, "ct") for a in cts)
    with Builder((*params[:at], *seeds, *params[at:])) as b:
        total: dict[int, Value] = {}
        for i, seed in zip(index, seeds, strict=True):
            if i is not None and t.function.outs[i].aval.kind in "fc":
                seed = adapted(seed, t.function.outs[i].aval)
                total[i] = add(total[i], seed) if i in total else seed
        outs = t.function.outs
        given = [total.get(i) or zeros(v.aval) for i, v in enumerate(outs) if v.aval.kind in "fc"]
        grads = inline(joint.block, [*params, *given])
        return dce(Function(joint.name, b.done(grads)))

"""Whole matrices of derivatives: a batch of pushforwards or pullbacks, as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from math import prod
from typing import Any

from .arguments import Argument, choose, wanted, word
from .errors import NotDifferentiable
from .forward import NUMBERS
from .ir.builder import Builder
from .ir.core import Block, Function, Value
from .ir.ops.elementwise import cast, complex_, equal
from .ir.ops.shape import full, iota, permuted, reshaped, zeros
from .ir.records import dataclass
from .ir.types import Aval
from .passes.batch import batch
from .passes.dce import dce
from .passes.elements import matrix_by_elements, second_by_elements
from .passes.jvp import jvp
from .passes.replay import fresh, inline
from .passes.vjp import adjoint
from .reverse import aux_values, check_holomorphic_result, check_loss, describe, split_aux
from .staging import Out, Staged, Traced, Transform, staged, traced
from .tracer.tree import Tree

MODES = (None, "fwd", "rev")


@dataclass(frozen=True)
class Jacobian(Transform):
    """All derivatives of the leaves of the result by those of the arguments.

    `mode` is "rev" (one sweep over all elements of the result), "fwd" (over all elements of the
    arguments), or None for the one with fewer elements.
    """

    argnums: int | tuple[int, ...] | None = 0
    mode: str | None = None
    holomorphic: bool = False
    argnames: str | tuple[str, ...] | None = None
    has_aux: bool = False

    @property
    def verb(self) -> str:
        return {None: "jacobian", "fwd": "jacfwd", "rev": "jacrev"}[self.mode]

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        chosen = choose(fn, args, kwargs, self.argnums, self.argnames)
        name = t.function.name
        wrt = wanted(name, chosen, t, self.holomorphic)
        out_tree, leaves, aux_tree, aux = split_aux(t, self.has_aux)
        if not leaves:
            found = describe(out_tree, leaves, t)
            raise NotDifferentiable(f"{t.function.name} returned {found}: nothing to differentiate")
        outs = [_out(t, o, wrt, self.holomorphic) for o in leaves]
        given = [t.function.outs[i].aval for i in outs if i is not None]
        rows = sum(a.size for a in given)
        columns = sum(t.leaves[i].aval.size for i in wrt)
        mode = self.mode or ("rev" if rows < columns else "fwd")
        params = fresh(t.function.params)
        with Builder(params) as b:
            blocks = _by_elements(t.function, params, outs, wrt) if self.mode is None else None
            if blocks is None:
                blocks = (_by_columns if mode == "fwd" else _by_rows)(t.function, params, outs, wrt)
            extra = aux_values(t, params, aux)
            function = dce(Function(f"{t.function.name}_jacobian", b.done([*blocks, *extra])))
        tree = grafted(out_tree, _tree(chosen, several(self)))
        tree, more = _beside_aux(tree, aux_tree, aux, len(blocks), self.has_aux)
        return staged(t, function, tree, [*_leaves(t, blocks, wrt), *more])


@dataclass(frozen=True)
class Hessian(Transform):
    """All second derivatives of a scalar by the leaves of the arguments: forward over reverse."""

    argnums: int | tuple[int, ...] | None = 0
    holomorphic: bool = False
    argnames: str | tuple[str, ...] | None = None
    has_aux: bool = False

    @property
    def verb(self) -> str:
        return "hessian"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        name = t.function.name
        loss_tree, loss, aux_tree, aux = split_aux(t, self.has_aux)
        check_loss(name, loss_tree, loss, t, False, self.holomorphic)
        chosen = choose(fn, args, kwargs, self.argnums, self.argnames)
        wrt = wanted(name, chosen, t, self.holomorphic)
        if not self.holomorphic and any(t.leaves[i].aval.kind == "c" for i in wrt):
            raise NotDifferentiable(
                f"{name}: the gradient by a complex argument is no complex-linear function, so "
                "there is no matrix of second derivatives\n  Use hvp, pass the real and the "
                "imaginary part as two arguments, or say holomorphic=True."
            )
        params = fresh(t.function.params)
        with Builder(params) as b:
            blocks = _second(t, params, wrt)
            extra = aux_values(t, params, aux)
            function = dce(Function(f"{t.function.name}_hessian", b.done([*blocks, *extra])))
        tree = _tree(chosen, several(self))
        tree, more = _beside_aux(grafted(tree, tree), aux_tree, aux, len(blocks), self.has_aux)
        return staged(t, function, tree, [*_leaves(t, blocks, wrt), *more])


def several(transform: Jacobian | Hessian) -> bool:
    """Whether a tuple of arguments was asked for."""
    return isinstance(transform.argnames or transform.argnums, tuple)


def _beside_aux(
    tree: Tree, aux_tree: Tree, aux: Sequence[Out], first: int, has_aux: bool
) -> tuple[Tree, list[Out]]:
    """The tree of (derivatives, aux), and where the leaves of aux stand."""
    if not has_aux:
        return tree, []
    place = count(first)
    leaves = [("value", next(place), o[2]) if o[0] == "value" else o for o in aux]
    return Tree(tuple, None, (tree, aux_tree)), leaves


def _second(t: Traced, params: Sequence[Value], wrt: Sequence[int]) -> list[Value]:
    if t.out_leaves[0][0] == "static":  # a constant
        avals = [t.leaves[i].aval for i in wrt]
        return [zeros(Aval(x.dtype, x.shape + y.shape)) for x in avals for y in avals]
    loss = t.function.outs[t.out_leaves[0][1]]
    block = t.function.block
    scalar = dce(Function(t.function.name, Block(block.params, block.ops, (loss,))))
    entries = second_by_elements(scalar, params, wrt)
    if entries is not None:
        return entries
    found = adjoint(scalar, wrt, seed_ones=True, primal_outs=False)
    return _by_columns(dce(found.function), params, list(range(len(wrt))), wrt)


def _tree(chosen: Sequence[Argument], several: bool) -> Tree:
    trees = tuple(a.tree for a in chosen)
    return Tree(tuple, None, trees) if several else trees[0]


def grafted(outer: Tree, inner: Tree) -> Tree:
    """The outer tree with the inner one in the place of each leaf."""
    if outer.kind == "leaf":
        return inner
    return Tree(outer.kind, outer.data, tuple(grafted(c, inner) for c in outer.children))


def _out(t: Traced, out: Out, wrt: Sequence[int], holomorphic: bool) -> int | None:
    """Which result a leaf is, None where it is a constant; an error if it has no derivative."""
    name = t.function.name
    if out[0] == "static":
        if isinstance(out[1], NUMBERS):
            return None
        raise NotDifferentiable(f"{name} returned {out[1]!r}, which carries no derivative")
    aval = t.function.outs[out[1]].aval
    if holomorphic:
        check_holomorphic_result(name, word(aval, out[2]), aval, True)
    elif aval.kind == "c" and any(t.leaves[i].aval.kind == "c" for i in wrt):
        raise NotDifferentiable(
            f"{name}: a complex result by a complex argument has a Jacobian only where the "
            "function is holomorphic\n  Say holomorphic=True, use jvp or vjp, or return the real "
            "and the imaginary part."
        )
    if aval.kind not in "fc":
        raise NotDifferentiable(
            f"{name} returned {word(aval, out[2])}; only floating-point results carry derivatives"
        )
    return int(out[1])


def _leaves(t: Traced, blocks: Sequence[Value], wrt: Sequence[int]) -> list[Out]:
    """Where each block stands; one without axes is a number of the argument's kind."""
    kinds = [t.leaves[i].kind for i in wrt]
    return [
        ("value", k, "array" if v.aval.shape else kinds[k % len(wrt)]) for k, v in enumerate(blocks)
    ]


# ------------------------------------------------------------------ the sweeps


def _by_elements(
    function: Function, params: Sequence[Value], outs: Sequence[int | None], wrt: Sequence[int]
) -> list[Value] | None:
    """The same for a program of scalars with many zeros; None for any other."""
    results = [o for o in outs if o is not None]
    if len(results) < len(outs):
        return None
    return matrix_by_elements(function, params, results, wrt)


def _by_columns(
    function: Function, params: Sequence[Value], outs: Sequence[int | None], wrt: Sequence[int]
) -> list[Value]:
    """Blocks (result, argument): each argument leaf moves in all directions at once."""
    results = tuple(function.outs[i] for i in outs if i is not None)
    block = Block(function.params, function.ops, results)
    columns = []
    for i in wrt:
        x = function.params[i].aval
        pushed = jvp(Function(function.name, block), [i])
        moved = (False,) * len(params) + (True,)
        found = _all_rows(pushed, moved, (*params, basis(x)), x.size)[len(results) :]
        if x.kind == "c" and any(v.aval.kind == "f" for v in results):
            across = _all_rows(pushed, moved, (*params, 1j * basis(x)), x.size)[len(results) :]
            found = [
                v if v.aval.kind == "c" else complex_(v, -w)  # du/dx - i du/dy
                for v, w in zip(found, across, strict=True)
            ]
        columns.append(iter([_last(v, x) for v in found]))
    return [
        zeros(function.params[i].aval) if o is None else next(column)
        for o in outs
        for i, column in zip(wrt, columns, strict=True)
    ]


def _last(v: Value, x: Aval) -> Value:
    """A stack of tangents, one per element of `x`, as result by argument."""
    turned = permuted(v, (*range(1, v.ndim), 0))
    out = reshaped(turned, v.shape[1:] + x.shape)
    return out if out.aval.kind == "c" and x.kind != "c" else _cast(out, x.dtype)


def _by_rows(
    function: Function, params: Sequence[Value], outs: Sequence[int | None], wrt: Sequence[int]
) -> list[Value]:
    """The same by pullbacks, of all unit cotangents of a result leaf at once."""
    blocks: list[Value] = []
    for o in outs:
        if o is None:
            blocks += [zeros(function.params[i].aval) for i in wrt]
            continue
        y = function.outs[o]
        block = Block(function.params, function.ops, (y,))
        joint = adjoint(dce(Function(function.name, block)), wrt, primal_outs=False).function
        moved = (False,) * len(params) + (True,)
        found = _all_rows(dce(joint), moved, (*params, basis(y.aval)), y.aval.size)
        if y.aval.kind == "c" and any(v.aval.kind == "f" for v in found):
            # A cotangent c gives Re(c dy): 1 the real part, -i the imaginary one.
            turned = _all_rows(dce(joint), moved, (*params, -1j * basis(y.aval)), y.aval.size)
            found = [complex_(v, w) for v, w in zip(found, turned, strict=True)]
        blocks += [reshaped(v, y.shape + v.shape[1:]) for v in found]
    return blocks


def _all_rows(
    function: Function, moved: Sequence[bool], args: Sequence[Value], size: int
) -> list[Value]:
    return inline(batch(function, size, moved).block, args)


def basis(aval: Aval) -> Value:
    """All arrays of this aval with a single one among zeros, stacked in front."""
    n = prod(aval.shape)
    if n == 1:
        return full(1, Aval(aval.dtype, (1, *aval.shape)))
    one = equal(*(iota(shape=(n, n), axis=k, dtype="i64") for k in (0, 1)))
    return reshaped(cast(one, dtype=aval.dtype), (n, *aval.shape))


def _cast(v: Value, dtype: str) -> Value:
    return v if v.dtype == dtype else cast(v, dtype=dtype)

"""From a call to a function of the IR: trace it, then differentiate what was traced.

Each transformation is a fact (a frozen dataclass) with one method,
`stage(fn, args, kwargs) -> Staged`.  The parameters of a staged function are the leaves of the
call `(args, kwargs)` in order, then one per capture.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .errors import CotangentMismatch, NonScalarOutput, NotDifferentiable
from .ir.builder import Builder
from .ir.core import Block, Function, Value
from .ir.ops.elementwise import cast, stop_gradient
from .ir.ops.shape import zeros
from .ir.types import NUMPY, Aval
from .passes.dce import dce
from .passes.jvp import jvp as jvp_pass
from .passes.replay import fresh, inline
from .passes.vjp import adjoint
from .tracer.facts import Capture, LeafSpec, StateGuard, Trace
from .tracer.trace import leaf_spec, trace
from .tracer.tree import Tree, flatten

# Where one output leaf comes from: ("value", index into the function's results, kind), or
# ("static", object).
Out = tuple[Any, ...]
NOTHING = flatten(None)[1]


@dataclass(frozen=True)
class Zero:
    """A differentiated leaf that no result depends on, and the place that cut the path, if any."""

    path: str
    where: str = ""


@dataclass(frozen=True)
class Staged:
    """A traced call after its transformation.

    The first `strict` results keep NaN and infinities exactly (None: all); a derivative may trade
    some for speed.
    """

    traced: Function
    function: Function
    names: tuple[str, ...]
    captures: tuple[Capture, ...]
    guards: tuple[StateGuard, ...]
    out_tree: Tree
    outs: tuple[Out, ...]
    zeros: tuple[Zero, ...] = field(default=())
    strict: int | None = None


# Not empty while any thread traces: compiled functions then ask whether it is theirs.
open_traces: list[Callable[..., Any]] = []


def traced(fn: Callable[..., Any], args: Any, kwargs: Any) -> Trace:
    """Trace a call, and let the process know that a trace is open."""
    open_traces.append(fn)
    try:
        return trace(fn, args, kwargs)
    finally:
        open_traces.pop()


class Transform(Protocol):
    """What a compiled function does with the Python function it wraps."""

    @property
    def verb(self) -> str:
        """How the result is called in reports: "grad", "jit"."""
        ...

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        """Trace a call and transform it."""
        ...


# ------------------------------------------------------------------ jit


@dataclass(frozen=True)
class Jit:
    """The function as it is."""

    verb: str = "jit"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        return _staged(t, t.function, t.outs_tree, t.out_leaves, strict=None)


def _staged(
    t: Trace,
    function: Function,
    tree: Tree,
    outs: Sequence[Out],
    names: Sequence[str] = (),
    zero: Sequence[Zero] = (),
    strict: int | None = 0,
) -> Staged:
    paths = tuple(names) or tuple(leaf.path for leaf in t.leaves)
    return Staged(
        t.function, function, paths, t.captures, t.guards, tree, tuple(outs), tuple(zero), strict
    )


# ------------------------------------------------------------------ grad


@dataclass(frozen=True)
class Grad:
    """Gradient of a scalar function, perhaps with its value; `summed` allows any shape."""

    argnums: int | tuple[int, ...] | None = 0
    argnames: str | tuple[str, ...] | None = None
    has_aux: bool = False
    value: bool = False
    summed: bool = False

    @property
    def verb(self) -> str:
        if self.summed:
            return "elementwise_grad"
        return "value_and_grad" if self.value else "grad"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        name = t.function.name
        loss_tree, loss, aux_tree, aux = split_aux(t, self.has_aux)
        aval = check_loss(name, loss_tree, loss, t, self.summed)
        chosen = choose(fn, args, kwargs, self.argnums, self.argnames)
        wrt = [i for a in chosen for i in differentiable(name, a, t)]
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
        return _staged(t, function, tree, outs, zero=zero, strict=first)

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
    params = fresh(function.params)
    with Builder(params, number=False) as b:
        results = inline(function.block, params)
        outs = [results[i] for i in kept]
        first = 1 if has_loss else 0
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


def split_aux(t: Trace, has_aux: bool) -> tuple[Tree, list[Out], Tree, list[Out]]:
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


def check_loss(name: str, tree: Tree, leaves: Sequence[Out], t: Trace, summed: bool) -> Aval | None:
    """The aval of the loss, None where it is a plain number that depends on nothing."""
    found = describe(tree, leaves, t)
    if tree.kind != "leaf":
        hint = ""
        if tree.kind is tuple and len(tree.children) == 2:
            hint = "\n  If the second is not part of the loss, say has_aux=True."
        raise NonScalarOutput(f"{_only_scalar(name)} but it returned {found}{hint}")
    (leaf,) = leaves
    if leaf[0] == "static":
        if not isinstance(leaf[1], float | np.floating):
            raise NotDifferentiable(f"{name} returned {found}, which carries no derivative")
        return None
    aval = t.function.outs[leaf[1]].aval
    if aval.kind == "c":
        raise NotDifferentiable(
            f"{name} returned {found}: derivatives of complex results are not supported yet\n"
            "  Return a real number, such as np.abs(z) ** 2 or z.real."
        )
    if aval.kind != "f":
        raise NotDifferentiable(
            f"{name} returned {found}; only floating-point results carry derivatives"
        )
    if aval.size != 1 and not summed:
        raise NonScalarOutput(
            f"{_only_scalar(name)} but it returned {found}\n"
            "  Reduce it (np.sum, np.mean), or use vjp with a cotangent, jacobian, or "
            "elementwise_grad."
        )
    return aval


def _only_scalar(name: str) -> str:
    return f"{name}: grad can be implicitly created only for scalar outputs,"


def describe(tree: Tree, leaves: Sequence[Out], t: Trace) -> str:
    """What a function returned, in words."""
    if tree.kind == "static":
        return repr(tree.data)
    if tree.kind != "leaf":
        return f"a {tree.kind.__name__} of {len(tree.children)}"
    leaf = leaves[0]
    if leaf[0] == "static":
        return f"the constant {leaf[1]!r}"
    return word(t.function.outs[leaf[1]].aval, leaf[2])


def word(aval: Aval, kind: str = "array") -> str:
    """An aval as NumPy would say it."""
    dtype = NUMPY[aval.dtype].name
    if kind == "array":
        return f"an array of shape {aval.shape} and dtype {dtype}"
    return f"a {dtype} scalar" if kind == "scalar" else f"a Python number ({dtype})"


# ------------------------------------------------------------------ which arguments


@dataclass(frozen=True)
class Argument:
    """One argument of a call: how to name it, its leaves among the call's, and its structure."""

    label: str
    start: int
    tree: Tree

    @property
    def leaves(self) -> range:
        return range(self.start, self.start + self.tree.leaf_count)


def arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> dict[int | str, tuple[int, Tree]]:
    """Where the leaves of each argument start, by position or keyword."""
    places: dict[int | str, tuple[int, Tree]] = {}
    start = 0
    for key, x in [*enumerate(args), *kwargs.items()]:
        tree = flatten(x)[1]
        places[key] = (start, tree)
        start += tree.leaf_count
    return places


def choose(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: int | tuple[int, ...] | None,
    argnames: str | tuple[str, ...] | None,
) -> list[Argument]:
    """The arguments that `argnums` or `argnames` ask for."""
    names = parameter_names(fn)
    places = arguments(args, kwargs)
    if argnames is not None:
        wanted: list[int | str] = [argnames] if isinstance(argnames, str) else list(argnames)
    else:
        wanted = list(argnums) if isinstance(argnums, tuple) else [argnums or 0]
    keys = [_key(w, names, len(args), kwargs) for w in wanted]
    if len(set(keys)) != len(keys):
        raise ValueError(f"argument asked for twice: {', '.join(map(repr, wanted))}")
    return [Argument(_label(k, names), *places[k]) for k in keys]


def parameter_names(fn: Callable[..., Any]) -> list[str]:
    """The names of the positional parameters of a function, as far as they are known."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.kind in positional]


def _key(wanted: int | str, names: Sequence[str], given: int, kwargs: dict[str, Any]) -> int | str:
    if isinstance(wanted, str):
        if wanted in kwargs:
            return wanted
        if wanted in names and names.index(wanted) < given:
            return names.index(wanted)
        raise TypeError(f"argnames names {wanted!r}, which is no argument of this call")
    place = wanted + given if wanted < 0 else wanted
    if 0 <= place < given:
        return place
    if 0 <= place < len(names) and names[place] in kwargs:
        return names[place]
    raise TypeError(
        f"argnums names argument {wanted}, but the call has {given} positional arguments"
    )


def _label(key: int | str, names: Sequence[str]) -> str:
    if isinstance(key, str):
        return f"argument {key}"
    return f"argument {key} ({names[key]})" if key < len(names) else f"argument {key}"


def differentiable(name: str, argument: Argument, t: Trace) -> list[int]:
    """The leaves of an argument; an error if one of them carries no derivative."""
    if argument.tree.kind == "static" and argument.tree != NOTHING:
        kind = type(argument.tree.data.value).__name__
        hint = f"has nothing to differentiate: it is a {kind}"
        if argument.start == 0 and argument.label.endswith("(self)"):
            hint += "; argnums counts self, so say argnums=1"
        raise NotDifferentiable(f"{name}: {argument.label} {hint}")
    for i in argument.leaves:
        check_leaf(name, t.leaves[i], argument.label)
    return list(argument.leaves)


def check_leaf(name: str, leaf: LeafSpec, label: str) -> None:
    """Refuse to differentiate by what is no floating-point number."""
    if leaf.aval.kind == "f":
        return
    at = leaf.path if leaf.path and leaf.path not in label else ""
    where = f"{label}, leaf {at}," if at else label
    dtype = NUMPY[leaf.aval.dtype].name
    number = "complex" if leaf.aval.kind == "c" else "int"
    kind = f"a Python {number}" if leaf.kind == "python" else f"of dtype {dtype}"
    if leaf.aval.kind == "c":
        raise NotDifferentiable(
            f"{name}: {where} is {kind}: derivatives by complex arguments are not supported yet\n"
            "  Pass the real and the imaginary part as two arguments."
        )
    raise NotDifferentiable(
        f"{name}: {where} is {kind}; only floating-point arguments carry derivatives\n"
        "  Pass it as a float, or choose other arguments by argnums."
    )


# ------------------------------------------------------------------ vjp, jvp, hvp


@dataclass(frozen=True)
class Pullback:
    """Called as (args, cotangent, **kwargs): the cotangents of the arguments, or of `argnums`."""

    argnums: tuple[int, ...] | None = None
    has_aux: bool = False
    verb: str = "vjp"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        primals, ct = args
        t = traced(fn, primals, kwargs)
        name = t.function.name
        tree, outs, _, _ = split_aux(t, self.has_aux)
        given, ct_tree = flatten(ct)
        spec = [leaf_aval(x) for x in given]
        match("cotangent", name, tree, [_out_aval(o, t) for o in outs], ct_tree, spec)
        asked = positional(primals, self.argnums)
        wanted = [i for a in asked for i in a.leaves]
        floats = [i for i in wanted if t.leaves[i].aval.kind == "f"]
        index = [o[1] if o[0] == "value" else None for o in outs]
        at = sum(flatten(x)[1].leaf_count for x in primals)
        function = pull_function(t, at, floats, index, [a for a, _ in spec])
        place = {i: ("value", k, t.leaves[i].kind) for k, i in enumerate(floats)}
        result = Tree(tuple, None, tuple(a.tree for a in asked))
        names = [leaf.path for leaf in t.leaves]
        names[at:at] = ct_tree.paths("ct")
        leaves = [place.get(i, ("static", None)) for i in wanted]
        return _staged(t, function, result, leaves, names)


def positional(primals: Sequence[Any], argnums: Sequence[int] | None) -> list[Argument]:
    """The positional arguments of a call, or those that are asked for."""
    places = arguments(primals, {})
    asked = range(len(primals)) if argnums is None else argnums
    if any(not 0 <= k < len(primals) for k in asked):
        raise TypeError(f"argnums {tuple(asked)} of a call with {len(primals)} arguments")
    return [Argument(f"argument {k}", *places[k]) for k in asked]


def pull_function(
    t: Trace, at: int, wrt: Sequence[int], index: Sequence[int | None], cts: Sequence[Aval]
) -> Function:
    """Cotangents of `wrt`; params: the leaves of the call, cotangents from place `at` on."""
    joint = adjoint(t.function, wrt, primal_outs=False).function
    params = fresh(t.function.params)
    seeds = tuple(Value(a, "ct") for a in cts)
    with Builder((*params[:at], *seeds, *params[at:])) as b:
        total: dict[int, Value] = {}
        for i, seed in zip(index, seeds, strict=True):
            if i is not None and t.function.outs[i].aval.kind == "f":
                seed = _as(seed, t.function.outs[i].aval)
                total[i] = total[i] + seed if i in total else seed
        outs = t.function.outs
        given = [total.get(i) or zeros(v.aval) for i, v in enumerate(outs) if v.aval.kind in "fc"]
        grads = inline(joint.block, [*params, *given])
        return dce(Function(joint.name, b.done(grads)))


@dataclass(frozen=True)
class Pushforward:
    """Called as (primals, tangents, **kwargs): the result and its tangent.

    With `argnums`, tangents are given for those arguments only.
    """

    argnums: tuple[int, ...] | None = None
    verb: str = "jvp"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        primals, tangents = args
        t = traced(fn, primals, kwargs)
        name = t.function.name
        given, tangent_tree = flatten(tangents)
        spec = [leaf_aval(x) for x in given]
        asked = positional(primals, self.argnums)
        wrt = [i for a in asked for i in a.leaves]
        tree = Tree(tuple, None, tuple(a.tree for a in asked))
        avals = [(t.leaves[i].aval, t.leaves[i].kind) for i in wrt]
        for i in wrt:
            check_leaf(name, t.leaves[i], f"argument {t.leaves[i].path}")
        match("tangent", name, tree, avals, tangent_tree, spec)
        at = sum(flatten(x)[1].leaf_count for x in primals)
        function, where = push_function(t, at, wrt, [a for a, _ in spec])
        outs = list(t.out_leaves)
        dots = [_tangent(o, where) for o in outs]
        result = Tree(tuple, None, (t.outs_tree, t.outs_tree))
        names = [leaf.path for leaf in t.leaves]
        names[at:at] = tangent_tree.paths("tangent")
        return _staged(t, function, result, [*outs, *dots], names, strict=len(t.function.outs))


def _tangent(out: Out, where: dict[int, int]) -> Out:
    """Where the tangent of an output leaf comes from; constants have zero, integers none."""
    if out[0] == "static":
        return ("static", type(out[1])(0) if isinstance(out[1], float | np.floating) else None)
    return ("value", where[out[1]], out[2]) if out[1] in where else ("static", None)


def push_function(
    t: Trace, at: int, wrt: Sequence[int], tangents: Sequence[Aval]
) -> tuple[Function, dict[int, int]]:
    """Results, then tangents; and where the tangent of each result stands."""
    both = jvp_pass(t.function, wrt)
    params = fresh(t.function.params)
    dots = tuple(Value(a, "dot") for a in tangents)
    with Builder((*params[:at], *dots, *params[at:])) as b:
        moved = [_as(d, t.leaves[i].aval) for i, d in zip(wrt, dots, strict=True)]
        outs = inline(both.block, [*params, *moved])
        function = Function(both.name, b.done(outs))
    floats = [i for i, v in enumerate(t.function.outs) if v.aval.kind in "fc"]
    return function, {i: len(t.function.outs) + k for k, i in enumerate(floats)}


@dataclass(frozen=True)
class Hvp:
    """Called as fn is, with the vector right behind the argument: Hessian times vector."""

    argnum: int = 0
    verb: str = "hvp"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        at = self.argnum + 1
        if len(args) <= at:
            raise TypeError(f"hvp takes the vector as argument {at}, right behind x")
        primals = (*args[:at], *args[at + 1 :])
        t = traced(fn, primals, kwargs)
        name = t.function.name
        check_loss(name, t.outs_tree, t.out_leaves, t, False)
        (chosen,) = choose(fn, primals, kwargs, self.argnum, None)
        wrt = differentiable(name, chosen, t)
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
        return _staged(t, function, chosen.tree, outs, names)

    def _product(
        self, t: Trace, grad: Function, wrt: Sequence[int], avals: Sequence[Aval], chosen: Argument
    ) -> Function:
        both = jvp_pass(grad, wrt)
        params = fresh(t.function.params)
        dots = tuple(Value(a, "v") for a in avals)
        stop = chosen.start + len(wrt)
        with Builder((*params[:stop], *dots, *params[stop:])) as b:
            moved = [_as(d, t.leaves[i].aval) for i, d in zip(wrt, dots, strict=True)]
            outs = inline(both.block, [*params, *moved])
            return dce(Function(f"{t.function.name}_hvp", b.done(outs[len(wrt) :])))


def _as(v: Value, aval: Aval) -> Value:
    """A tangent or cotangent in the dtype of what it belongs to (a Python number adapts)."""
    return v if v.aval.dtype == aval.dtype else cast(v, dtype=aval.dtype)


def _out_aval(out: Out, t: Trace) -> tuple[Aval | None, str]:
    return (t.function.outs[out[1]].aval, out[2]) if out[0] == "value" else (None, "python")


# ------------------------------------------------------------------ what was handed in


def leaf_aval(x: Any) -> tuple[Aval, str]:
    """The aval and the kind of a leaf of a call, a Tracer or a plain one."""
    spec = leaf_spec(x)
    return spec.aval, spec.kind


def match(
    noun: str,
    name: str,
    tree: Tree,
    avals: Sequence[tuple[Aval | None, str]],
    given_tree: Tree,
    given: Sequence[tuple[Aval, str]],
) -> None:
    """Refuse tangents or cotangents of another structure, shape or dtype."""
    of = "result" if noun == "cotangent" else "argument"
    if tree != given_tree:
        raise CotangentMismatch(
            f"{name}: the {noun} has the structure {given_tree!r}, the {of} {tree!r}"
        )
    paths = tree.paths()
    for path, (want, _), (got, kind) in zip(paths, avals, given, strict=True):
        if want is None or want.kind not in "fc":
            continue
        weak = kind == "python" and got.kind in "if"
        if got.shape != want.shape or not (weak or got.dtype == want.dtype):
            raise CotangentMismatch(
                f"{name}: the {noun}{f' at {path}' if path else ''} is {word(got, kind)}, "
                f"but the {of} is {word(want)}"
            )

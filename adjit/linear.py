"""`linearize`: the result once, and the derivative there as a linear program of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .arguments import Argument, adapted, leaf_aval, match, positional
from .compiled import CompiledFunction
from .forward import NUMBERS
from .ir.builder import Builder
from .ir.core import Block, Function, Value
from .ir.ops.shape import zeros
from .ir.records import dataclass
from .ir.regions import divide
from .ir.types import Aval
from .passes.dce import dce
from .passes.jvp import jvp
from .passes.replay import fresh, inline
from .passes.vjp import vjp
from .reverse import split_aux
from .staging import Out, Staged, Traced, Transform, staged, traced
from .tracer.trace import leaf_spec
from .tracer.tree import LEAF, Tree, flatten


@dataclass(frozen=True)
class Linearize(Transform):
    """Called as fn is: the result, the residuals, and the compiled linear map that reads them.

    With `has_aux` the function returns (out, aux), and the map gives the tangent of out alone.
    """

    has_aux: bool = False

    @property
    def verb(self) -> str:
        return "linearize"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        asked = positional(args, None)
        wrt = [i for a in asked for i in a.leaves if t.leaves[i].aval.kind in "fc"]
        n = len(t.function.outs)
        out_tree, out_leaves, _, _ = split_aux(t, self.has_aux)
        primal, linear = _divided(t.function, wrt)
        where = {i: k for k, i in enumerate(_floats(t.function))}
        pushed = LinearMap(
            t.function.name,
            linear,
            len(primal.outs) - n,
            tuple(asked),
            tuple((t.leaves[i].aval, t.leaves[i].kind) for a in asked for i in a.leaves),
            out_tree,
            tuple(_tangent(o, where) for o in out_leaves),
        )
        kept = [("value", n + k, "array") for k in range(pushed.residuals)]
        tree = Tree(tuple, None, (LEAF,) * len(kept))
        mapping = flatten(CompiledFunction(fn, pushed))[1]
        result = Tree(tuple, None, (t.outs_tree, tree, mapping))
        function = Function(f"{t.function.name}_linearize", primal)
        return staged(t, function, result, [*t.out_leaves, *kept], strict=n)


def _divided(function: Function, wrt: Sequence[int]) -> tuple[Block, Block]:
    """The function with residuals behind its results, and the linear map that reads them."""
    count, n = len(function.params), len(function.outs)
    if not any(op.blocks for op in function.ops):
        both = dce(jvp(function, wrt))
        parts = divide(both.block, count, n, (False,) * count, stacked=False)
        return parts.primal, parts.adjoint
    # A loop of primals and tangents does not come apart, but primal and adjoint loops stand apart,
    # and the transpose of the transposed map is the map.
    joint = dce(vjp(function, wrt))
    parts = divide(joint.block, count, n, (False,) * count, stacked=True)
    kept = len(parts.primal.outs) - n
    seeds = range(kept, len(parts.adjoint.params))
    pull = Function("pull", parts.adjoint)
    params = fresh((*parts.adjoint.params[:kept], *parts.adjoint.outs))
    with Builder(params) as b:
        zero = [zeros(parts.adjoint.params[k].aval) for k in seeds]
        again = vjp(pull, tuple(seeds), primal_outs=False)
        outs = inline(again.block, [*params[:kept], *zero, *params[kept:]])
        linear = dce(Function("linear", b.done(outs)))
    return parts.primal, linear.block


def _floats(function: Function) -> list[int]:
    return [i for i, v in enumerate(function.outs) if v.aval.kind in "fc"]


def _tangent(out: Out, where: dict[int, int]) -> Out:
    if out[0] == "static":
        return ("static", type(out[1])(0) if isinstance(out[1], NUMBERS) else None)
    return ("value", where[out[1]], out[2]) if out[1] in where else ("static", None)


@dataclass(frozen=True, eq=False)
class LinearMap(Transform):
    """Called as (residuals, tangents): the tangents of the results.

    `block` takes the residuals and a tangent for each float leaf of the arguments; a tangent None
    stands for zero.  The function that was linearized is not traced again.
    """

    name: str
    block: Block
    residuals: int
    asked: tuple[Argument, ...]
    leaves: tuple[tuple[Aval, str], ...]
    outs_tree: Tree
    outs: tuple[Out, ...]
    keywords: ClassVar[bool] = False

    @property
    def verb(self) -> str:
        return "pushforward"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        leaves, tree = flatten((args, kwargs))
        paths = [p.removeprefix("[0][1]") for p in tree.paths()]
        specs = tuple(leaf_spec(x, f"tangent{p}") for x, p in zip(leaves, paths, strict=True))
        params = tuple(Value(s.aval) for s in specs)
        kept, given = params[: self.residuals], iter(params[self.residuals :])
        with Builder(params) as b:
            dots = self._dots(args[1], given)
            function = Function(
                f"{self.name}_pushforward", b.done(inline(self.block, [*kept, *dots]))
            )
        t = Traced(function, tree, specs, (), self.outs_tree, self.outs, (), raw=function)
        return staged(t, function, self.outs_tree, self.outs)

    def _dots(self, tangents: Sequence[Any], given: Any) -> list[Value]:
        """A tangent for each float leaf, from those of the arguments that have one."""
        if len(tangents) != len(self.asked):
            raise TypeError(
                f"{self.name}: pushforward takes one tangent per argument: {len(self.asked)}, "
                f"not {len(tangents)}"
            )
        dots, rest = [], iter(self.leaves)
        for argument, tangent in zip(self.asked, tangents, strict=True):
            avals = [next(rest) for _ in argument.leaves]
            if tangent is None:
                dots += [zeros(a) for a, _ in avals if a.kind in "fc"]
                continue
            got, tree = flatten(tangent)
            match("tangent", self.name, argument.tree, avals, tree, [leaf_aval(x) for x in got])
            for aval, _ in avals:
                v = next(given)
                if aval.kind in "fc":  # that of an integer is not read
                    dots.append(adapted(v, aval))
        return dots


def linearized(whole: CompiledFunction, args: Sequence[Any]) -> tuple[Any, Callable[..., Any]]:
    """The result, and a function from tangents of the arguments to that of the result."""
    out, kept, push = whole(*args)

    def pushforward(*tangents: Any, out: Any = None) -> Any:
        return push(kept, tangents, out=out)

    return out, pushforward

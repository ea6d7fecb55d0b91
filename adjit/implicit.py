"""Solutions of equations, differentiable: `root`, `fixed_point`, `minimize`, `least_squares`.

The solver runs on plain arrays, inside the compiled program.  Where g(x, θ) = 0, the implicit
function theorem says dx = -(∂g/∂x)⁻¹ (∂g/∂θ) dθ: that is the rule of one `custom` op, so any order
and both modes follow from it, and no step of the solver is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from math import prod
from typing import Any

import numpy as np

from .api import companion
from .arguments import a
from .custom_call import open_rules, place_of, results
from .errors import NotDifferentiable
from .host import as_kind
from .ir.builder import Builder
from .ir.core import Block, Function, Value
from .ir.ops.custom import emit_custom
from .ir.ops.elementwise import cast, mul, sub
from .ir.ops.host import HostFunction, host
from .ir.ops.linalg import solve
from .ir.ops.linear_solve import emit_linear_solve
from .ir.ops.shape import concatenate, narrow, permuted, reshaped, sum_
from .ir.records import dataclass
from .ir.types import Aval, is_float, promote
from .jacobians import basis
from .numeric import Numeric
from .passes.batch import batch
from .passes.dce import dce
from .passes.jvp import jvp
from .passes.replay import fresh, inline, replay
from .passes.vjp import adjoint
from .reverse import check_loss, describe
from .solvers import Problem, Solver, by_products, linear_way, named, settled
from .staging import Staged, Traced, Transform, staged, traced
from .tracer.trace import is_tracer
from .tracer.tree import Tree, flatten

Fn = Callable[..., Any]


def root(
    f: Fn,
    x0: Any,
    *args: Any,
    method: str | None = None,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
    linear: str | None = None,
) -> Any:
    """x with `f(x, *args) = 0`, found by `scipy.optimize.root` from x0; differentiable by `args`.

    x has the structure of x0 (numbers, arrays, containers of them), and f gives as many numbers.
    No derivative flows to x0.  Raises `NotConverged` where no solution is found.

    `linear` says how the system of the derivative is solved: "dense", by a matrix, or from products
    with it, by "cg" (symmetric and positive definite) or "gmres"; None: dense up to 500 unknowns.
    """
    return _solved(f, Solver("root", method, tol, named(options), linear), x0, args)


def fixed_point(
    f: Fn,
    x0: Any,
    *args: Any,
    method: str | None = None,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
    linear: str | None = None,
) -> Any:
    """x with `x = f(x, *args)`, by iterating f from x0; differentiable by `args`.

    `method="newton"` solves for it by `scipy.optimize.root` instead; the option `maxiter` says when
    an iteration is given up (1000).
    """
    if method not in (None, "iterate", "newton"):
        raise ValueError(f"fixed_point: method {method!r} is neither 'iterate' nor 'newton'")
    return _solved(f, Solver("fixed_point", method, tol, named(options), linear), x0, args)


def minimize(
    f: Fn,
    x0: Any,
    *args: Any,
    method: str | None = None,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
    linear: str | None = None,
) -> Any:
    """x where `f(x, *args)`, a number, is least; differentiable by `args`.

    By `scipy.optimize.minimize`, with the gradient and, for methods that want it, the Hessian of f.
    The solution is a point where the gradient vanishes: there are no bounds or constraints.
    """
    return _solved(f, Solver("minimize", method, tol, named(options), linear), x0, args)


def least_squares(
    f: Fn,
    x0: Any,
    *args: Any,
    method: str | None = None,
    tol: float | None = None,
    options: dict[str, Any] | None = None,
    linear: str | None = None,
) -> Any:
    """x where the sum of `f(x, *args) ** 2` is least; differentiable by `args`.

    By `scipy.optimize.least_squares`, with the Jacobian of f.
    """
    return _solved(f, Solver("least_squares", method, tol, named(options), linear), x0, args)


def custom_root(f: Fn, solver: Fn, linear: str | None = None) -> Fn:
    """`solve(x0, *args)`: x with `f(x, *args) = 0`, found by a solver of the user's.

    `solver(g, x0)` runs on plain arrays and gives x, in the structure of x0; `g(x)` is f with its
    `args` filled in.  A solution that leaves a residual raises `NotConverged`.
    """
    if not callable(f) or not callable(solver):
        raise TypeError("custom_root takes two functions: custom_root(f, solver)")

    def solve(x0: Any, *args: Any) -> Any:
        return _solved(f, _Own(solver, linear), x0, args)

    solve.__name__ = f"root of {getattr(f, '__name__', 'f')}"
    return solve


def _solved(f: Fn, solver: Any, x0: Any, args: tuple[Any, ...]) -> Any:
    if not callable(f):
        raise TypeError(f"{solver.kind} takes a function first, not {a(type(f).__name__)}")
    return companion(f, Implicit(solver))(_guess(x0), *args)


def _guess(x0: Any) -> Any:
    """The first guess: a list of numbers is an array, and integers are numbers to begin with."""
    if isinstance(x0, list) and not any(map(is_tracer, x0)) and np.asarray(x0).dtype.kind in "biuf":
        x0 = np.asarray(x0, np.float64)
    leaves, tree = flatten(x0)
    return tree.unflatten([_real(x) for x in leaves])


def _real(x: Any) -> Any:
    if isinstance(x, int):
        return float(x)
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind in "iu" else x


@dataclass(frozen=True)
class _Own:
    """A solver of the user's."""

    solver: Fn
    linear: str | None = None
    kind: str = field(default="root", init=False)


# ------------------------------------------------------------------ the op


@dataclass(frozen=True)
class Implicit(Transform):
    """Called as (x0, *args): the solution, with the rule of the implicit function theorem."""

    solver: Any

    @property
    def verb(self) -> str:
        return str(self.solver.kind)

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        x_tree = flatten(args[0])[1]
        if not x_tree.leaf_count:
            raise TypeError(f"{self.verb}: the first guess, {args[0]!r}, holds no number")
        t = traced(fn, args, kwargs)
        system = _System.of(self.solver, fn, t, x_tree)
        params = fresh(t.function.params)
        with Builder(params) as b:
            outs = emit_custom(params, _regions(system), system.attrs("jvp"))
            function = Function(f"{t.function.name}_{self.verb}", b.done(outs))
        kinds = [leaf.kind for leaf in t.leaves[: x_tree.leaf_count]]
        return staged(
            t, function, x_tree, [("value", k, kind) for k, kind in enumerate(kinds)], strict=None
        )


@dataclass(frozen=True, eq=False)
class _System:
    """g(x, *rest) = 0, on vectors: what is solved, and what is differentiated.

    `residual` takes the unknowns as a vector, then all other params of the trace; `jacobian` too.
    `objective` is what a minimisation descends: see `solvers.Problem`.
    """

    name: str
    place: str
    t: Traced
    xs: tuple[Aval, ...]
    residual: Function
    objective: Function | None
    run: HostFunction
    way: str  # of solving linear systems

    @classmethod
    def of(cls, solver: Any, fn: Fn, t: Traced, x_tree: Tree) -> _System:
        """The system of a traced call."""
        place = place_of(fn)
        name = f"{solver.kind} of {t.function.name} ({place.rsplit('/', 1)[-1]})"
        leaves = t.leaves[: x_tree.leaf_count]
        for leaf in leaves:
            if leaf.aval.kind != "f":
                raise NotDifferentiable(
                    f"{name}: the first guess{leaf.path and f', {leaf.path},'} is of dtype "
                    f"{leaf.aval.dtype}; unknowns are real floating-point numbers"
                )
        xs = tuple(leaf.aval for leaf in leaves)
        residual, objective = _EQUATIONS[solver.kind](name, t, xs, x_tree)
        way = linear_way(solver.kind, solver.linear, _unknowns(xs).size)
        made = cls(name, place, t, xs, residual, objective, HostFunction(name, lambda: ()), way)
        made.run.call = _runner(made, solver, x_tree)
        return made

    @property
    def roles(self) -> str:
        """What each param is for the rule: see `ir.ops.custom`."""
        n = len(self.xs)
        rest = ["a" if is_float(p.aval.dtype) else "-" for p in self.t.function.params[n:]]
        return "h" * n + "".join(rest)

    def attrs(self, rule: str) -> dict[str, Any]:
        """The attributes of the op."""
        return {
            "name": self.name,
            "rule": rule,
            "roles": self.roles,
            "key": len(open_rules()),
            "place": self.place.rsplit("/", 1)[-1],
            "trusted": True,
        }


def _regions(system: _System) -> dict[str, Block]:
    """The solver as body, and the implicit function theorem as rule."""
    params = fresh(system.t.function.params)
    with Builder(params) as b:
        found = host(*params, call=system.run, outs=system.xs)
        body = b.done(found if isinstance(found, tuple) else (found,))
    n = len(system.xs)
    params = fresh(system.t.function.params)
    roles = system.roles
    dots = tuple(Value(p.aval, "dot") for p, r in zip(params, roles, strict=True) if r == "a")
    with Builder((*params, *dots)) as b:
        again = {"body": replay(body)}
        xs = emit_custom(params, again, system.attrs("again"))
        x, rest = raveled(xs), params[n:]
        moving = [k + 1 for k, r in enumerate(roles[n:]) if r == "a"]
        pushed = inline(jvp(system.residual, moving).block, (x, *rest, *dots))[1]
        step = _linear(system, x, rest, pushed)
        rule = b.done([*xs, *unraveled(-step, system.xs)])
    return {"body": body, "jvp": rule}


def _linear(system: _System, x: Value, rest: Sequence[Value], b: Value) -> Value:
    """(∂g/∂x)⁻¹ b."""
    if system.way == "dense":
        matrix = inline(jacobian(system.residual).block, (x, *rest))[0]
        return reshaped(solve(matrix, reshaped(b, (*b.shape, 1))), b.shape)
    forth = jvp(system.residual, [0])
    back = adjoint(system.residual, [0], primal_outs=False).function
    operands = (x, *rest)
    blocks = []
    for product, which in ((forth, 1), (back, 0)):
        u, params = Value(b.aval, "u"), fresh(operands)
        with Builder((u, *params)) as inner:
            blocks.append(inner.done([inline(dce(product).block, (*params, u))[which]]))
    run = HostFunction(f"{system.way} for {system.name}", _by_products(system.name, system.way))
    return emit_linear_solve(b, operands, blocks[0], blocks[1], run)


def _by_products(name: str, way: str) -> Callable[..., Any]:
    """What solves a linear system: from the block of its products, b, and their operands."""
    known: dict[int, tuple[Block, Numeric]] = {}

    def run(block: Block, b: Any, operands: Sequence[Any]) -> np.ndarray:
        if id(block) not in known:
            known[id(block)] = block, Numeric(Function("product", block))
        product = known[id(block)][1]
        return by_products(name, way, lambda u: product(u, *operands)[0], np.asarray(b))

    return run


# ------------------------------------------------------------------ vectors


def raveled(xs: Sequence[Value]) -> Value:
    """All elements of some values, one after the other, in one vector."""
    dtype = promote(*(x.dtype for x in xs))
    flat = [reshaped(x if x.dtype == dtype else cast(x, dtype=dtype), (x.aval.size,)) for x in xs]
    return flat[0] if len(flat) == 1 else concatenate(*flat, axis=0)


def unraveled(v: Value, avals: Sequence[Aval]) -> list[Value]:
    """Values of these avals from the elements of a vector."""
    out, start = [], 0
    for aval in avals:
        part = v if len(avals) == 1 else narrow(v, 0, start, aval.size)
        part = reshaped(part, aval.shape)
        out.append(part if part.dtype == aval.dtype else cast(part, dtype=aval.dtype))
        start += aval.size
    return out


def _unknowns(xs: Sequence[Aval]) -> Aval:
    return Aval(promote(*(a.dtype for a in xs)), (sum(a.size for a in xs),))


def jacobian(residual: Function) -> Function:
    """The derivative of a vector by the first parameter, a vector, as a matrix."""
    params = fresh(residual.params)
    x = params[0].aval
    pushed = jvp(residual, [0])
    moved = (False,) * len(params) + (True,)
    with Builder(params) as b:
        rows = inline(batch(pushed, x.size, moved).block, (*params, basis(x)))[1]
        return dce(Function(f"{residual.name}_jacobian", b.done([permuted(rows, (1, 0))])))


def _as_vectors(t: Traced, xs: Sequence[Aval], last: Callable[..., Sequence[Value]]) -> Function:
    """The traced function of a vector; `last` says what of the unknowns and results to return."""
    x = Value(_unknowns(xs), "x")
    rest = fresh(t.function.params[len(xs) :])
    block = Block(t.function.params, t.function.ops, tuple(results(t)))
    with Builder((x, *rest)) as b:
        outs = inline(block, (*unraveled(x, xs), *rest))
        return dce(Function(t.function.name, b.done(last(x, outs))))


def _vector(t: Traced, xs: Sequence[Aval], name: str) -> Function:
    """All numbers that the function returns, in one vector of the unknowns' dtype."""
    if not t.out_leaves or any(v.aval.kind != "f" for v in results(t)):
        found = describe(t.outs_tree, t.out_leaves, t)
        raise NotDifferentiable(f"{name} returned {found}; it should return real numbers")
    dtype = _unknowns(xs).dtype

    def last(x: Value, outs: Sequence[Value]) -> list[Value]:
        v = raveled(outs)
        return [v if v.dtype == dtype else cast(v, dtype=dtype)]

    return _as_vectors(t, xs, last)


# ------------------------------------------------------------------ what must vanish


def _equations(
    name: str, t: Traced, xs: Sequence[Aval], x_tree: Tree
) -> tuple[Function, Function | None]:
    """f(x) itself."""
    residual = _vector(t, xs, name)
    n, m = _unknowns(xs).size, residual.outs[0].aval.size
    if n != m:
        raise ValueError(
            f"{name}: {m} equations for {n} unknowns\n"
            "  f must return as many numbers as x0 holds; least_squares takes any number of them."
        )
    return residual, None


def _difference(
    name: str, t: Traced, xs: Sequence[Aval], x_tree: Tree
) -> tuple[Function, Function | None]:
    """x - f(x)."""
    found = [v.aval.shape for v in results(t)]
    if t.outs_tree != x_tree or found != [a.shape for a in xs]:
        shapes = ", ".join(map(str, found))
        raise ValueError(
            f"{name} returned {t.outs_tree!r} of shapes {shapes}; it should return what is like x0"
        )
    f = _vector(t, xs, name)
    return _then(f, lambda x, v: sub(x, v)), None


def _slope(
    name: str, t: Traced, xs: Sequence[Aval], x_tree: Tree
) -> tuple[Function, Function | None]:
    """The gradient of f."""
    check_loss(name, t.outs_tree, t.out_leaves, t, False)
    f = _vector(t, xs, name)
    scalar = _then(f, lambda x, v: reshaped(v, ()))
    joint = adjoint(scalar, [0], seed_ones=True).function
    return dce(_only(joint, 1)), joint


def _normal(
    name: str, t: Traced, xs: Sequence[Aval], x_tree: Tree
) -> tuple[Function, Function | None]:
    """The gradient of half the sum of squares."""
    f = _vector(t, xs, name)
    half = _then(f, lambda x, v: mul(0.5, sum_(mul(v, v), axes=(0,))))
    slope = dce(_only(adjoint(half, [0], seed_ones=True).function, 1))
    params = fresh(f.params)
    with Builder(params) as b:
        both = b.done([*inline(f.block, params), *inline(jacobian(f).block, params)])
    return slope, Function(f.name, both)


def _then(f: Function, last: Callable[[Value, Value], Value]) -> Function:
    params = fresh(f.params)
    with Builder(params) as b:
        return Function(f.name, b.done([last(params[0], inline(f.block, params)[0])]))


def _only(f: Function, k: int) -> Function:
    return Function(f.name, Block(f.params, f.ops, (f.outs[k],)))


_EQUATIONS: dict[str, Callable[..., tuple[Function, Function | None]]] = {
    "root": _equations,
    "fixed_point": _difference,
    "minimize": _slope,
    "least_squares": _normal,
}


# ------------------------------------------------------------------ on plain arrays


def _runner(system: _System, solver: Any, x_tree: Tree) -> Callable[..., Sequence[Any]]:
    """What the host step does: from arrays for all params to the solution's leaves."""
    residual, slopes = Numeric(system.residual), Numeric(jacobian(system.residual))
    objective = Numeric(system.objective) if system.objective is not None else None
    n, aval = len(system.xs), _unknowns(system.xs)
    whole = Function(
        system.t.function.name,
        Block(system.t.function.params, system.t.function.ops, tuple(results(system.t))),
    )
    plain = Numeric(whole)

    def run(*arrays: Any) -> Sequence[Any]:
        x0, rest = _flat(arrays[:n], aval), arrays[n:]
        problem = Problem(
            system.name,
            x0,
            lambda x: residual(np.asarray(x, x0.dtype), *rest)[0],
            lambda x: slopes(np.asarray(x, x0.dtype), *rest)[0],
            None if objective is None else (lambda x: objective(np.asarray(x, x0.dtype), *rest)),
        )
        if isinstance(solver, _Own):
            x = _by_own(system, solver, x_tree, problem, arrays[:n], lambda xs: plain(*xs, *rest))
        else:
            x = solver(problem)
        return _split(x, system.xs)

    return run


def _flat(xs: Sequence[Any], aval: Aval) -> np.ndarray:
    dtype = np.result_type(*(np.asarray(x).dtype for x in xs))
    return np.concatenate([np.ravel(x) for x in xs]).astype(dtype)


def _split(x: np.ndarray, avals: Sequence[Aval]) -> list[np.ndarray]:
    ends = np.cumsum([prod(a.shape) for a in avals])[:-1]
    parts = np.split(x, ends)
    return [part.reshape(a.shape) for part, a in zip(parts, avals, strict=True)]


def _by_own(
    system: _System,
    own: _Own,
    x_tree: Tree,
    problem: Problem,
    guess: Sequence[np.ndarray],
    call: Callable[[Sequence[Any]], list[np.ndarray]],
) -> np.ndarray:
    """The solution that the user's solver finds."""
    kinds = [leaf.kind for leaf in system.t.leaves[: len(guess)]]
    out_kinds = [o[2] if o[0] == "value" else "python" for o in system.t.out_leaves]

    def g(x: Any) -> Any:
        leaves, tree = flatten(x)
        if tree != x_tree:
            raise ValueError(f"{system.name}: g takes what is like x0, {x_tree!r}, not {tree!r}")
        return system.t.outs_tree.unflatten(map(as_kind, call(leaves), out_kinds))

    found = own.solver(g, x_tree.unflatten(map(as_kind, [np.array(x) for x in guess], kinds)))
    leaves, tree = flatten(found)
    shapes = [np.shape(x) for x in leaves]
    if tree != x_tree or shapes != [a.shape for a in system.xs]:
        raise ValueError(
            f"{system.name}: the solver at {place_of(own.solver)} returned {tree!r} of shapes "
            f"{', '.join(map(str, shapes))}; it should return what is like x0"
        )
    x = _flat(leaves, _unknowns(system.xs)).astype(problem.x0.dtype)
    return settled(problem, x, True, "the solver's result does not solve f(x) = 0")

"""`check_grads`: derivatives against finite differences, and who is to blame where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .api import companion
from .compiled import CompiledFunction
from .forward import Pushforward
from .ir.builder import Builder
from .ir.core import Block, Const, Function, Op, Value
from .ir.interp import apply, evaluate
from .ir.printer import show_around
from .ir.types import NUMPY
from .passes.jvp import jvp as jvp_pass
from .passes.replay import copy, fresh
from .passes.vjp import vjp as vjp_pass
from .reverse import Pullback
from .staging import Jit
from .tracer.intercept import interpreted
from .tracer.trace import leaf_paths
from .tracer.tree import flatten

_MODES = ("rev", "fwd")


def check_grads(
    fn: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = _MODES,
    *,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> None:
    """Compare derivatives with central differences along random directions.

    All floating-point leaves of `args` are checked, up to the given order, in forward ("fwd") and
    reverse ("rev") mode.  Raises an AssertionError that names the argument, both numbers and, if
    it can be found, the op whose derivative is wrong.
    """
    if isinstance(modes, str):
        modes = (modes,)
    if not modes or any(m not in _MODES for m in modes):
        raise ValueError(f"check_grads: modes {modes!r} are not among {_MODES}")
    if not isinstance(args, tuple | list):
        raise TypeError("check_grads takes the arguments as a tuple: check_grads(f, (x, y))")
    check = _Check(fn, tuple(args), np.random.default_rng(seed), atol, rtol, eps)
    for mode in modes:
        check.at_order(check.fn, check.point, order, mode, 1)


class _Check:
    """A function of one flat list of floating-point arrays, and the tolerances to hold it to."""

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        rng: np.random.Generator,
        atol: float | None,
        rtol: float | None,
        eps: float | None,
    ) -> None:
        self.rng = rng
        self.name = getattr(fn, "__name__", "the function")
        self.user = fn
        self.args = args
        leaves, self.tree = flatten(args)
        self.leaves = leaves
        self.moving = [k for k, x in enumerate(leaves) if np.asarray(x).dtype.kind in "fc"]
        if not self.moving:
            raise TypeError(f"check_grads of {self.name}: no argument is a floating-point number")
        self.point = [np.asarray(leaves[k]) for k in self.moving]
        low = min(np.finfo(x.dtype).bits for x in self.point) < 64
        self.eps = eps if eps is not None else (1e-2 if low else 1e-5)
        self.atol = atol if atol is not None else (5e-2 if low else 1e-6)
        self.rtol = rtol if rtol is not None else (5e-2 if low else 1e-5)
        self.paths = _paths(fn, args)

    def fn(self, *xs: Any) -> list[Any]:
        """The floating-point leaves of the result."""
        full = list(self.leaves)
        for k, x in zip(self.moving, xs, strict=True):
            full[k] = x
        out = interpreted(self.user)(*self.tree.unflatten(full))
        return [x for x in flatten(out)[0] if np.dtype(getattr(x, "dtype", type(x))).kind in "fc"]

    def at_order(
        self, fn: Callable[..., Any], point: list[Any], order: int, mode: str, depth: int
    ) -> None:
        """Check the derivative of `fn`, then the derivative of that."""
        moved = CompiledFunction(fn, Pullback() if mode == "rev" else Pushforward())
        self.first(fn, moved, point, mode, depth)
        if order > 1:
            slope = self.derivative(fn, moved, point, mode)
            self.at_order(slope, point, order - 1, mode, depth + 1)

    def derivative(
        self, fn: Callable[..., Any], moved: CompiledFunction, point: list[Any], mode: str
    ) -> Callable[..., Any]:
        """The derivative of `fn` along a fixed direction (or against a fixed cotangent)."""
        if mode == "fwd":
            dots = tuple(self.directions(point))
            return lambda *xs: moved(xs, dots)[1]
        cts = self.directions(plainly(fn, point))
        return lambda *xs: list(moved(xs, cts))

    def directions(self, xs: Sequence[Any]) -> list[Any]:
        """Random directions of length one in the shapes of some arrays."""
        raw = [self.direction(x) for x in xs]
        length = np.sqrt(sum(float(np.sum(np.abs(r) ** 2)) for r in raw)) or 1.0
        return [_like(x, r / length) for x, r in zip(xs, raw, strict=True)]

    def direction(self, x: Any) -> np.ndarray:
        """Random numbers in the shape of an array, complex where it is."""
        shape = np.shape(x)
        if np.asarray(x).dtype.kind != "c":
            return self.rng.normal(size=shape)
        return self.rng.normal(size=shape) + 1j * self.rng.normal(size=shape)

    def first(
        self,
        fn: Callable[..., Any],
        moved: CompiledFunction,
        point: list[Any],
        mode: str,
        depth: int,
    ) -> None:
        """One argument at a time: <ct, J t> by the mode, and by a difference of values."""
        out = plainly(fn, point)
        if not out:
            raise TypeError(f"check_grads of {self.name}: no result is a floating-point number")
        cts = self.directions(out)
        for k, path in enumerate(self.paths):
            dots = [np.zeros_like(x) for x in point]
            (dots[k],) = self.directions([point[k]])
            if mode == "fwd":
                value, tangent = moved(tuple(point), tuple(dots))
                self.value(_inner(cts, value), _inner(cts, out))
                given = _inner(cts, tangent)
            else:
                given = _inner(moved(tuple(point), cts), dots)
            wanted = self.difference(fn, point, dots, cts)
            if not abs(given - wanted) <= self.atol + self.rtol * abs(wanted):
                noun = "derivative" if depth == 1 else f"derivative of order {depth}"
                way = "forward" if mode == "fwd" else "reverse"
                raise AssertionError(
                    f"{self.name}: the {noun} by {path} in {way} mode is {given:.10g}, "
                    f"but the central difference is {wanted:.10g}{self.blame(mode)}"
                )

    def value(self, given: float, wanted: float) -> None:
        """What is differentiated is what Python computes."""
        if not abs(given - wanted) <= self.atol + self.rtol * abs(wanted):
            raise AssertionError(
                f"{self.name}: the value in forward mode is {given:.10g} along a direction, "
                f"but Python's is {wanted:.10g}"
            )

    def difference(
        self, fn: Callable[..., Any], point: list[Any], dots: list[Any], cts: list[Any]
    ) -> float:
        """<ct, (f(x + εt) - f(x - εt)) / 2ε>."""
        ahead, back = (
            plainly(fn, [_like(x, x + step * t) for x, t in zip(point, dots, strict=True)])
            for step in (self.eps, -self.eps)
        )
        return _inner(cts, [(a - b) / (2 * self.eps) for a, b in _wide(ahead, back)])

    def blame(self, mode: str) -> str:
        """A line about the first op whose own derivative is wrong at this point, if one is."""
        variant = companion(self.user, Jit())._variant(self.args, {})
        staged = variant.staged
        values = [*map(np.asarray, self.leaves), *(c.read() for c in staged.captures)]
        for op, inputs in _steps(staged.traced.block, values):
            if not _op_is_right(op, inputs, mode, self):
                at = f", {op.where}" if op.where else ""
                return f"\n  The op to blame: {show_around(staged.traced, op)[0]}{at}"
        return ""


def plainly(fn: Callable[..., Any], point: Sequence[Any]) -> list[Any]:
    """The result of a function that Python runs, on arrays of its own."""
    with np.errstate(all="ignore"):
        return fn(*(_like(x, np.array(x)) for x in point))


def _paths(fn: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    leaves = flatten(args)[0]
    return [
        p
        for p, x in zip(leaf_paths(fn, args, {}), leaves, strict=True)
        if np.asarray(x).dtype.kind in "fc"
    ]


def _like(x: Any, new: Any) -> Any:
    """An array of the dtype of x; a scalar where x is one."""
    dtype = np.asarray(x).dtype
    made = np.asarray(new, dtype)
    if type(x) in (float, complex):
        return type(x)(made)
    return dtype.type(made) if isinstance(x, np.generic) else made


def _wide(a: Sequence[Any], b: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    for x, y in zip(a, b, strict=True):
        yield tuple(np.asarray(v, np.result_type(v, np.float64)) for v in (x, y))  # type: ignore


def _inner(a: Sequence[Any], b: Sequence[Any]) -> float:
    """The pairing of cotangents with tangents: Re(c t), summed, without a conjugate."""
    return sum(float(np.sum(x * y).real) for x, y in _wide(a, b))


# ------------------------------------------------------------------ who is to blame


def _steps(block: Block, values: Sequence[Any]) -> Iterator[tuple[Op, list[Any]]]:
    """Each op of a block with the values of its arguments."""
    env: dict[Value, Any] = dict(zip(block.params, values, strict=True))
    with np.errstate(all="ignore"):
        for op in block.ops:
            inputs = [a.data if type(a) is Const else env[a] for a in op.args]
            yield op, inputs
            env.update(zip(op.outs, apply(op, inputs), strict=True))


def _op_is_right(op: Op, inputs: list[Any], mode: str, check: _Check) -> bool:
    """Whether the derivative of one op agrees with its own central difference."""
    if op.prim.nondiff:
        return True
    params = fresh(op.args)
    with Builder(params) as b:
        function = Function(op.prim.name, b.done(copy(b, op, params)))
    wrt = [k for k, p in enumerate(params) if p.aval.kind in "fc"]
    outs = [k for k, v in enumerate(function.outs) if v.aval.kind in "fc"]
    if not wrt or not outs:
        return True
    inputs = [np.asarray(x) for x in inputs]
    dots = check.directions([inputs[k] for k in wrt])
    avals = [function.outs[k].aval for k in outs]
    cts = check.directions([np.zeros(a.shape, NUMPY[a.dtype]) for a in avals])
    moved = [evaluate(function, *_shifted(inputs, wrt, dots, s * check.eps)) for s in (1.0, -1.0)]
    ahead, back = ([m[k] for k in outs] for m in moved)
    wanted = _inner(cts, [(x - y) / (2 * check.eps) for x, y in _wide(ahead, back)])
    if mode == "fwd":
        given = _inner(cts, evaluate(jvp_pass(function, wrt), *inputs, *dots)[len(moved[0]) :])
    else:
        pull = vjp_pass(function, wrt, primal_outs=False)
        seeds = [_like(function_out, c) for function_out, c in zip(ahead, cts, strict=True)]
        given = _inner(evaluate(pull, *inputs, *seeds), dots)
    return bool(abs(given - wanted) <= 10 * (check.atol + check.rtol * abs(wanted)))


def _shifted(inputs: list[Any], wrt: list[int], dots: list[Any], step: float) -> list[Any]:
    moved = list(inputs)
    for k, t in zip(wrt, dots, strict=True):
        moved[k] = _like(inputs[k], inputs[k] + step * t)
    return moved

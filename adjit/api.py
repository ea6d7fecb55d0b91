"""The transformations: each works as a decorator and as a function, and they compose."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from .arguments import a, parameter_names
from .batching import Vmap
from .checkpoints import Checkpoint
from .compiled import CompiledFunction
from .forward import Hvp, Pushforward
from .ir.builder import Builder
from .ir.core import Value
from .ir.ops.elementwise import stop_gradient as stop_op
from .jacobians import MODES, Hessian, Jacobian
from .linear import Linearize, linearized
from .reverse import Grad, Pullback
from .staging import Jit, Transform
from .tracer.trace import inline, is_tracer, leaf_spec
from .tracer.tree import flatten

Fn = Callable[..., Any]
Argnums = int | Sequence[int]
Argnames = str | Sequence[str] | None


def _apply(fn: Fn | None, transform: Transform) -> Any:
    """A compiled function, or a decorator where no function is given."""
    if fn is None:
        return functools.partial(_apply, transform=transform)
    if isinstance(fn, staticmethod | classmethod):
        return type(fn)(_apply(fn.__func__, transform))
    if not callable(fn):
        raise TypeError(
            f"{transform.verb} takes a function, not {a(type(fn).__name__)}; "
            f"write {transform.verb}(f)(x), not {transform.verb}(f(x))"
        )
    return CompiledFunction(fn, transform)


def _asked(argnums: Argnums, argnames: Argnames) -> tuple[Any, Any]:
    """Argument numbers and names, checked."""
    listed = argnums if isinstance(argnums, tuple | list) else (argnums,)
    if any(isinstance(n, bool) or not isinstance(n, int | np.integer) for n in listed):
        raise TypeError(f"argnums is an int or a sequence of ints, not {argnums!r}")
    numbers = tuple(map(int, listed))
    names: Any = argnames
    if argnames is not None and not isinstance(argnames, str):
        names = tuple(argnames) if isinstance(argnames, tuple | list) else (None,)
        if not all(isinstance(n, str) for n in names):
            raise TypeError(f"argnames is a name or a sequence of names, not {argnames!r}")
    if numbers == () or names == ():
        raise ValueError("argnums and argnames name at least one argument")
    return (numbers if listed is argnums else numbers[0]), names


def _grad(argnums: Argnums, argnames: Argnames, **facts: bool) -> Grad:
    numbers, names = _asked(argnums, argnames)
    return Grad(numbers, names, **facts)


@overload
def jit(fn: None = None) -> Callable[[Fn], CompiledFunction]: ...
@overload
def jit(fn: Fn) -> CompiledFunction: ...
def jit(fn: Fn | None = None) -> Any:
    """The function, compiled."""
    return _apply(fn, Jit())


@overload
def grad(
    fn: None = None,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[[Fn], CompiledFunction]: ...
@overload
def grad(
    fn: Fn,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> CompiledFunction: ...
def grad(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Any:
    """The gradient of a function that returns a scalar, compiled.

    It has the structure of the argument; a tuple of argnums gives a tuple of gradients.  With
    `has_aux` the function returns (loss, aux), and the result is (gradient, aux).  The gradient by
    a complex argument z = x + iy is dL/dx - i dL/dy; with `holomorphic` the result is complex, and
    the gradient is the complex derivative.
    """
    return _apply(fn, _grad(argnums, argnames, has_aux=has_aux, holomorphic=holomorphic))


@overload
def value_and_grad(
    fn: None = None,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[[Fn], CompiledFunction]: ...
@overload
def value_and_grad(
    fn: Fn,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> CompiledFunction: ...
def value_and_grad(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Any:
    """(value, gradient) in one compiled function; with `has_aux`, ((value, aux), gradient)."""
    facts = {"has_aux": has_aux, "holomorphic": holomorphic, "value": True}
    return _apply(fn, _grad(argnums, argnames, **facts))


def elementwise_grad(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    holomorphic: bool = False,
) -> Any:
    """The derivative of each element of the result by the same element of the argument.

    It is the gradient of the sum of the result, whatever its shape.
    """
    return _apply(fn, _grad(argnums, argnames, summed=True, holomorphic=holomorphic))


def hvp(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    argnames: Argnames = None,
    has_aux: bool = False,
) -> Any:
    """`hvp(f)(x, v, *args)`: the Hessian of f by x, times v; the vector stands right behind x.

    For a tuple of argnums, the result is a tuple, and a tuple of vectors (None is zero) stands
    behind the last of these arguments.  `argnames` gives names of positional parameters, instead
    of their numbers.  With `has_aux` the function returns (loss, aux), and hvp (product, aux).
    """
    numbers, names = _asked(argnums, argnames)
    listed = numbers if isinstance(numbers, tuple) else (numbers,)
    if min(listed) < 0 or len(set(listed)) != len(listed):
        raise TypeError(f"hvp counts arguments from the front, each once, not {argnums!r}")
    if names is None:
        return _apply(fn, Hvp(numbers, has_aux))
    if fn is None:
        return functools.partial(hvp, argnames=names, has_aux=has_aux)
    known = parameter_names(fn)
    wanted = (names,) if isinstance(names, str) else names
    for name in wanted:
        if name not in known:
            there = ", ".join(known) or "none"
            raise TypeError(f"hvp: {name!r} is no positional parameter; there are {there}")
    places = tuple(known.index(name) for name in wanted)
    return _apply(fn, Hvp(places[0] if isinstance(names, str) else places, has_aux))


# ------------------------------------------------------------------ at a point


class _Companions(dict[Transform, CompiledFunction]):
    """The compiled functions that `vjp(f, …)` and its like made of one f, kept on f itself."""

    def __init__(self, fn: Fn) -> None:
        super().__init__()
        self.owner = weakref.ref(fn)


def companion(fn: Fn, transform: Transform) -> CompiledFunction:
    """The same compiled function every time it is asked for, as long as `fn` lives."""
    if not callable(fn):
        raise TypeError(f"{transform.verb} takes a function, not {a(type(fn).__name__)}")
    kept = getattr(fn, "__adjit__", None)
    # functools.wraps copies attributes: what is found may be another function's.
    if not isinstance(kept, _Companions) or kept.owner() is not fn:
        try:
            kept = _Companions(fn)
            fn.__adjit__ = kept  # type: ignore[attr-defined]
        except (AttributeError, TypeError):  # a builtin, a bound method
            return CompiledFunction(fn, transform)
    if transform not in kept:
        kept[transform] = CompiledFunction(fn, transform)
    return kept[transform]


def vjp(fn: Fn, *args: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """`(out, pullback)`: the result, and a function from its cotangent to those of the arguments.

    `pullback(ct)` gives a tuple with one entry per argument, as `pullback(ct, out=...)` wants it if
    that is given; leaves that are no floating-point numbers have None.  None in the place of a part
    of the cotangent stands for zero.  With `has_aux` the function returns (out, aux), and so does
    vjp at its end.
    """
    args = _snapshot(args)
    out = companion(fn, Jit())(*args)
    pull = companion(fn, Pullback(None, has_aux))

    def pullback(ct: Any, *, out: Any = None) -> tuple[Any, ...]:
        return pull(args, ct, out=out)

    return (out[0], pullback, out[1]) if has_aux else (out, pullback)


def jvp(
    fn: Fn, primals: Sequence[Any], tangents: Sequence[Any], *, out: Any = None
) -> tuple[Any, Any]:
    """`(result, its tangent)` at these arguments in the direction of their tangents.

    The tangent None stands for zero, also in the place of a part of a container; what is no
    floating-point number has no other.  `out` holds arrays for both, or None.
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise TypeError(
                f"jvp takes {name} as a tuple with one entry per argument, "
                f"not as a {type(given).__name__}"
            )
    return companion(fn, Pushforward())(tuple(primals), tuple(tangents), out=out)


def linearize(fn: Fn, *args: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """`(out, pushforward)`: the result, and the linear function from tangents to its tangent.

    `pushforward(*tangents, out=None)` takes one tangent per argument, None for one that does not
    move; it does not compute the result again.  With `has_aux` the function returns (out, aux), and
    so does linearize at its end.
    """
    out, pushforward = linearized(companion(fn, Linearize(has_aux)), args)
    return (out[0], pushforward, out[1]) if has_aux else (out, pushforward)


@overload
def checkpoint(fn: None = None) -> Callable[[Fn], CompiledFunction]: ...
@overload
def checkpoint(fn: Fn) -> CompiledFunction: ...
def checkpoint(fn: Fn | None = None) -> Any:
    """The same function; where it is differentiated, it is computed again instead of kept."""
    return _apply(fn, Checkpoint())


def stop_gradient(x: Any) -> Any:
    """The same value, through which no derivative flows; containers leaf by leaf."""
    leaves, tree = flatten(x)
    return tree.unflatten([_stopped(leaf) if is_tracer(leaf) else leaf for leaf in leaves])


def _stopped(leaf: Any) -> Any:
    spec = leaf_spec(leaf)
    if spec.aval.kind not in "fc":
        return leaf
    param = Value(spec.aval)
    with Builder((param,)) as b:
        block = b.done([stop_op(param)])
    return inline(block, [leaf], [spec.kind])[0]


def _snapshot(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments as they are now: the caller may write into his arrays before the pullback."""
    leaves, tree = flatten(args)
    copies = [x.copy() if isinstance(x, np.ndarray) else x for x in leaves]
    return tree.unflatten(copies)


# ------------------------------------------------------------------ whole matrices


def jacobian(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    mode: str | None = None,
    holomorphic: bool = False,
    argnames: Argnames = None,
    has_aux: bool = False,
) -> Any:
    """`jacobian(f)(*args)`: all derivatives of the result by an argument, compiled.

    The shape is the result's, then the argument's; containers of results hold containers like the
    argument.  `mode` is "rev" (a batch of one pullback per element of the result), "fwd" (of one
    pushforward per element of the argument), or None for the smaller batch.  Of complex numbers
    see `grad`: complex results by complex arguments need `holomorphic`.  With `has_aux` the
    function returns (out, aux), and the result is (Jacobian of out, aux).
    """
    if mode not in MODES:
        raise ValueError(f"jacobian: mode {mode!r} is neither 'rev' nor 'fwd'")
    numbers, names = _asked(argnums, argnames)
    return _apply(fn, Jacobian(numbers, mode, holomorphic, names, has_aux))


def jacfwd(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    holomorphic: bool = False,
    argnames: Argnames = None,
    has_aux: bool = False,
) -> Any:
    """`jacobian` by forward mode."""
    return jacobian(fn, argnums, "fwd", holomorphic, argnames, has_aux)


def jacrev(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    holomorphic: bool = False,
    argnames: Argnames = None,
    has_aux: bool = False,
) -> Any:
    """`jacobian` by reverse mode."""
    return jacobian(fn, argnums, "rev", holomorphic, argnames, has_aux)


def hessian(
    fn: Fn | None = None,
    argnums: Argnums = 0,
    holomorphic: bool = False,
    argnames: Argnames = None,
    has_aux: bool = False,
) -> Any:
    """`hessian(f)(*args)`: second derivatives of a scalar, of the argument's shape twice.

    With `has_aux` the function returns (loss, aux), and the result is (Hessian, aux).
    """
    numbers, names = _asked(argnums, argnames)
    return _apply(fn, Hessian(numbers, holomorphic, names, has_aux))


# ------------------------------------------------------------------ many rows at once


def vmap(fn: Fn | None = None, in_axes: Any = 0, out_axes: Any = 0) -> Any:
    """`vmap(f)(*args)`: f of each row of the arguments, the results stacked, compiled.

    `in_axes` says along which axis the rows lie: one for all arguments, or a tuple with one entry
    per argument, each an axis, None (all rows share it), or a container of axes like the argument.
    `out_axes` says the same of the result.  Arrays among keyword arguments have their rows along
    their first axis.
    """
    return _apply(fn, Vmap(in_axes, out_axes))

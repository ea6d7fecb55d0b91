"""The contestants: each makes of a problem and its arguments a step to be timed.

A step takes nothing and returns (value, gradient, gradient, ...); `numpy_f` returns the value only.
What a contestant needs is imported by its function, in a process of its own.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

Step = Callable[[], tuple[Any, ...]]


def numpy_f(problem, args) -> Step:
    """The plain function without a gradient."""
    return lambda: (problem.fn(*args),)


def hand(problem, args) -> Step:
    """Written by hand in Numba."""
    from hand import value_and_gradient

    return value_and_gradient(problem, args)


def adjit(problem, args) -> Step:
    """This project, given the function as it is."""
    from adjit import value_and_grad

    step = value_and_grad(problem.fn, argnums=problem.argnums)

    def run():
        value, gradients = step(*args)
        return value, *gradients

    return run


def jax(problem, args) -> Step:
    """JAX, compiled, given the same text with its own names for NumPy and SciPy's functions."""
    import jax
    import jax.numpy as jnp
    import jax.scipy.special

    names = {**problem.fn.__globals__, "np": jnp, "special": jax.scipy.special}
    for key, value in problem.fn.__globals__.items():
        if isinstance(value, types.FunctionType) and value.__module__ == problem.fn.__module__:
            names[key] = types.FunctionType(value.__code__, names, key)
    step = jax.jit(jax.value_and_grad(names[problem.fn.__name__], argnums=problem.argnums))
    arrays = [jnp.asarray(a) for a in args]

    def run():
        value, gradients = step(*arrays)
        value.block_until_ready()
        return value, *gradients

    return run


CONTESTANTS = {f.__name__: f for f in (hand, adjit, jax, numpy_f)}

"""The contestants: each makes of a problem and its arguments a step to be timed.

What a contestant needs is imported in a process of its own, which `child.py` runs.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Refused(Exception):
    """This contestant does not enter this problem; the text says why."""


@dataclass(frozen=True)
class Step:
    """A call with its arguments, and what makes a list of arrays of its result."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    collect: Callable[[Any], list[np.ndarray]]


def value_and_gradients(found: Any) -> list[np.ndarray]:
    """Of a pair, whose second is a gradient or a sequence of them."""
    value, gradients = found
    many = isinstance(gradients, (list, tuple))
    return [np.asarray(x) for x in (value, *(gradients if many else [gradients]))]


def one_array(found: Any) -> list[np.ndarray]:
    return [np.asarray(found)]


def by(problem) -> Any:
    """The argument by which it is differentiated, or all."""
    return problem.argnums[0] if len(problem.argnums) == 1 else problem.argnums


def rebound(fn, **names) -> Any:
    """The function with other modules as its globals, like all functions of its file."""
    space = {**fn.__globals__, **names}
    for key, value in fn.__globals__.items():
        if isinstance(value, types.FunctionType) and value.__module__ == fn.__module__:
            space[key] = types.FunctionType(value.__code__, space, key, value.__defaults__)
    return space[fn.__name__]


def numpy_f(problem, args) -> Step:
    """The plain function without a gradient."""
    if problem.kind != "gradient":
        raise Refused("the function alone says little here")
    return Step(problem.fn, args, one_array)


def hand(problem, args) -> Step:
    """Written by hand in Numba: outputs and workspaces are allocated once."""
    import hand
    import hand_loops
    import hand_matrices
    import hand_mixture

    if problem.kind == "step":
        raise Refused("nothing is written by hand")
    if problem.kind == "hvp":
        return Step(hand.logistic_product(problem.direction(), *args), (), one_array)
    if problem.kind == "hessian":
        return Step(hand_matrices.rosenbrock_hessian(*args), (), one_array)
    if problem.kind == "jacobian":
        return Step(hand_matrices.tanh_chain_jacobian(*args), (), one_array)
    name = problem.fn.__name__
    written = next(vars(m)[name] for m in (hand, hand_loops, hand_mixture) if hasattr(m, name))
    return Step(written(*args), (), lambda found: [np.asarray(x) for x in found])


def adjit(problem, args) -> Step:
    """This project, given the function as it is."""
    from adjit import hessian, hvp, jacobian, value_and_grad

    if problem.kind == "gradient":
        return Step(value_and_grad(problem.fn, argnums=by(problem)), args, value_and_gradients)
    if problem.kind == "hvp":
        return Step(hvp(problem.fn), (args[0], problem.direction(), *args[1:]), one_array)
    if problem.kind == "step":
        import nets

        return nets.adjit_step(args)
    return Step(
        {"hessian": hessian, "jacobian": jacobian}[problem.kind](problem.fn), args, one_array
    )


OURS = {"hand": hand, "adjit": adjit, "numpy_f": numpy_f}

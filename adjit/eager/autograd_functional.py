"""Whole derivatives of functions of Tensors: jacobian, hessian, and products with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .func import Call, _pushed, _units
from .modes import enable_grad
from .shapes import stack
from .tensor_object import Tensor, held

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Fn = Callable[..., Any]


def _listed(x: Any, what: str, name: str) -> tuple[Tensor, ...]:
    listed = x if isinstance(x, tuple) else (x,)
    for i, t in enumerate(listed):
        if not isinstance(t, Tensor):
            if not isinstance(x, tuple):
                raise TypeError(
                    f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but "
                    f"the given {what} has type {type(t)}."
                )
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
                f"value at index {i} of the given {what} has type {type(t)}."
            )
    return listed


OUTS = "outputs of the user-provided function"


def _call(name: str, func: Fn, inputs: Any, strict: bool) -> Call:
    """The function called on Tensors in the places of the inputs."""
    given = _listed(inputs, "inputs", name)

    def checked(*xs: Tensor) -> Any:
        out = func(*xs)
        _listed(out, OUTS, name)
        return out

    made = Call(name, checked, given, tuple(range(len(given))), False, {})
    if strict:
        for i, out in enumerate(made.outs):
            if not out.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The "
                    "outputs must be computed in a differentiable manner from the input when "
                    "running in strict mode."
                )
    return made


def _used(made: Call, strict: bool, name: str) -> None:
    """Under `strict`, refuse a result that does not depend on an input."""
    if not strict:
        return
    for j, x in enumerate(made.leaves):
        for i, out in enumerate(made.outs):
            if x._ref()[0] not in _below(out):
                which = f"Output {i} of the user-provided function is independent of input {j}."
                if name == "vjp":
                    which = f"The output of the user-provided function is independent of input {j}."
                raise RuntimeError(f"{which} This is not allowed in strict mode.")


def _below(out: Tensor) -> set[Any]:
    root = out._ref()[0]
    seen, todo = {root}, [root]
    while todo:
        for n, _ in todo.pop().inputs:
            if n.tracked and n not in seen:
                seen.add(n)
                todo.append(n)
    return seen


def _shaped(vs: Any, like: Any, name: str) -> list[Tensor]:
    """The Tensors v, which have the shapes of these."""
    given = list(_listed(vs, "v", name))
    if len(given) != len(like):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(given)}."
        )
    for i, (v, x) in enumerate(zip(given, like, strict=True)):
        if v.shape != x.shape:
            prefix = f"Entry {i} in " if len(like) > 1 else ""
            raise RuntimeError(
                f"{prefix}v has invalid size: should be {x.shape} but got {v.shape}."
            )
    return given


def _out(x: Any, create_graph: bool) -> Any:
    if isinstance(x, tuple):
        return tuple(_out(e, create_graph) for e in x)
    return x if create_graph else x.detach()


def _like(inputs: Any, xs: list[Any]) -> Any:
    return tuple(xs) if isinstance(inputs, tuple) else xs[0]


def vjp(
    func: Fn, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(the results, the cotangents of the inputs for the cotangents `v` of the results)."""
    made = _call("vjp", func, inputs, strict)
    if v is None:
        if len(made.outs) != 1 or made.outs[0].numel() != 1:
            raise RuntimeError(
                "The vector v can only be None if the user-provided function returns a single "
                "Tensor with a single element."
            )
        cts: list[Any] = [None]
    else:
        cts = _shaped(v, made.outs, "vjp")
    _used(made, strict, "vjp")
    found = [_out(x, create_graph) for x in made.pulled(cts)]
    return _out(made.out, create_graph), _like(inputs, found)


def jvp(
    func: Fn, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(the results, their tangents for the tangents `v` of the inputs)."""
    made = _call("jvp", func, inputs, strict)
    if v is None:
        if len(made.leaves) != 1 or made.leaves[0].numel() != 1:
            raise RuntimeError(
                "The vector v can only be None if the input to the user-provided function is a "
                "single Tensor with a single element."
            )
        tangents = [held(np.ones(tuple(x.shape), x._dtype)) for x in made.leaves]
    else:
        tangents = _shaped(v, made.leaves, "jvp")
    _used(made, strict, "jvp")
    found = [_out(x, create_graph) for x in _pushed(made, tangents)]
    return _out(made.out, create_graph), _like(made.out, found)


def jacobian(
    func: Fn, inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """All derivatives of the results by the inputs; shape: the result's, then the input's."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
            'function has more outputs than inputs, "forward-mode" tends to be more performant. '
            'Otherwise, prefer to use "reverse-mode".'
        )
    if strict and vectorize:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
            "supported together. Please either set `strict=False` or `vectorize=False`."
        )
    made = _call("jacobian", func, inputs, strict)
    _used(made, strict, "jacobian")
    blocks = []
    for j, out in enumerate(made.outs):
        rows = []
        for unit in _units(out):
            cts = [unit if i == j else o.new_zeros(o.shape) for i, o in enumerate(made.outs)]
            rows.append(made.pulled(cts))
        found = [
            stack([r[k] for r in rows]).reshape(*out.shape, *x.shape)
            if rows
            else x.new_zeros((*out.shape, *x.shape))
            for k, x in enumerate(made.leaves)
        ]
        blocks.append(_like(inputs, [_out(x, create_graph) for x in found]))
    return _like(made.out, blocks)


def _scalar(name: str, made: Call) -> Tensor:
    if len(made.outs) != 1 or isinstance(made.out, tuple):
        raise RuntimeError(
            f"The function given to {name} should return a single Tensor"
            if name != "hessian"
            else "The function given to hessian should return a single Tensor"
        )
    if made.outs[0].numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element"
        )
    return made.outs[0]


def _gradient(name: str, func: Fn, strict: bool = False) -> Fn:
    """A function that answers the derivatives of a scalar one, and its value."""

    def call(*xs: Tensor) -> Any:
        made = _call(name, func, xs, strict)
        _scalar(name, made)
        _used(made, strict, "jacobian")
        found = tuple(made.pulled([None]))
        if strict:
            for j, g in enumerate(found):
                if not g.requires_grad:
                    raise RuntimeError(
                        "While computing the hessian, found that the jacobian of the "
                        f"user-provided function with respect to input {j} is independent of the "
                        "input. This is not allowed in strict mode. You should ensure that your "
                        "function is twice differentiable and that the jacobian depends on the "
                        "inputs (this would be violated by a linear function for example)."
                    )
        return found, made.out

    return call


def hessian(
    func: Fn, inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """Second derivatives of a scalar function."""
    given = _listed(inputs, "inputs", "hessian")
    slopes = _gradient("hessian", func, strict)
    found = jacobian(lambda *xs: slopes(*xs)[0], given, create_graph)
    return found if isinstance(inputs, tuple) else found[0][0]


def hvp(
    func: Fn, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(the value of a scalar function, the product of its Hessian with `v`)."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def vhp(
    func: Fn, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(the value of a scalar function, the product of `v` with its Hessian)."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def _hessian_product(
    name: str, func: Fn, inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    given = _listed(inputs, "inputs", name)
    if v is None:
        if len(given) != 1 or given[0].numel() != 1:
            raise RuntimeError(
                "The vector v can only be None if the input to the user-provided function is a "
                "single Tensor with a single element."
            )
        vs = [held(np.ones(tuple(given[0].shape), given[0]._dtype))]
    else:
        vs = _shaped(v, given, name)
    slopes = _gradient(name, func, strict)
    values: list[Any] = []

    def inner(*xs: Tensor) -> Any:
        with enable_grad():
            found, value = slopes(*xs)
        values.append(value)
        return found

    made = Call(name, inner, given, tuple(range(len(given))), False, {})
    products = [_out(x, create_graph) for x in made.pulled(vs)]
    return _out(values[0], create_graph), _like(inputs, products)

"""Whole derivatives of functions of Tensors: jacobian, hessian, vjp, jvp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .backward import run_refs, seed_of
from .modes import recording
from .shapes import stack
from .sweep import Sweep
from .tape import Ref
from .tensor_object import Tensor, held, shown

Fn = Callable[..., Any]


class _Recorded:
    """A call of a function on fresh Tensors that require grad."""

    def __init__(self, func: Fn, inputs: Any) -> None:
        self.single = isinstance(inputs, Tensor)
        given = (inputs,) if self.single else tuple(inputs)
        before, recording.on = recording.on, True
        try:
            self.inputs = tuple(
                x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in given
            )
            out = func(*self.inputs)
        finally:
            recording.on = before
        self.one_out = isinstance(out, Tensor)
        self.outs: tuple[Tensor, ...] = (out,) if self.one_out else tuple(out)

    def pulled(self, cts: list[tuple[Tensor, Any]], create_graph: bool) -> list[Tensor]:
        """The cotangents of the inputs; zeros where no result depends on one."""
        seeds = [seed_of(out, ct) for out, ct in cts if out.requires_grad]
        wanted = [x._ref() for x in self.inputs]
        sweep = Sweep(seeds, [w for w in wanted if w[0].piece is not None], create_graph)
        found = [self._found(sweep, x, w) for x, w in zip(self.inputs, wanted, strict=True)]
        run_refs([ct for ct in found if ct is not None])
        return [
            held(np.zeros(x.shape, x.dtype)) if ct is None else shown(*ct)
            for x, ct in zip(self.inputs, found, strict=True)
        ]

    def _found(self, sweep: Sweep, x: Tensor, ref: Ref) -> Ref | None:
        if ref[0].piece is not None:
            return sweep.found.get(ref)
        known = sweep.leaves.get(id(x))
        return None if known is None else known[1]

    def like_inputs(self, xs: Any) -> Any:
        """One Tensor where one was given."""
        return xs[0] if self.single else tuple(xs)

    def like_outs(self, xs: Any) -> Any:
        """One Tensor where one came out."""
        return xs[0] if self.one_out else tuple(xs)


def vjp(func: Fn, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """(the results, the cotangents of the inputs for the cotangents `v` of the results)."""
    call = _Recorded(func, inputs)
    given = [None] * len(call.outs) if v is None else [v] if isinstance(v, Tensor) else list(v)
    found = call.pulled(list(zip(call.outs, given, strict=True)), create_graph)
    return call.like_outs([_plain(o, create_graph) for o in call.outs]), call.like_inputs(found)


def jvp(func: Fn, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """(the results, their tangents for the tangents `v` of the inputs).

    The pullback is linear in its cotangent; its own pullback is the pushforward.
    """
    call = _Recorded(func, inputs)
    tangents = [v] if isinstance(v, Tensor) else list(v) if v is not None else None
    if tangents is None:
        if len(call.inputs) != 1 or call.inputs[0].numel() != 1:
            raise RuntimeError(
                "The vector v can only be None if the input to the user-provided function is a "
                "single Tensor with a single element."
            )
        tangents = [held(np.ones(x.shape, x.dtype)) for x in call.inputs]
    before, recording.on = recording.on, True
    try:
        dummies = [held(np.zeros(o.shape, o.dtype)).requires_grad_() for o in call.outs]
        pulled = call.pulled(list(zip(call.outs, dummies, strict=True)), True)
    finally:
        recording.on = before
    seeds = [seed_of(p, t) for p, t in zip(pulled, tangents, strict=True) if p.requires_grad]
    sweep = Sweep(seeds, (), create_graph)
    found = []
    for d in dummies:
        known = sweep.leaves.get(id(d))
        found.append(held(np.zeros(d.shape, d.dtype)) if known is None else shown(*known[1]))
    return call.like_outs([_plain(o, create_graph) for o in call.outs]), call.like_outs(found)


def jacobian(func: Fn, inputs: Any, create_graph: bool = False, **_: Any) -> Any:
    """All derivatives of the results by the inputs; shape: the result's, then the input's."""
    call = _Recorded(func, inputs)
    blocks = []
    for out in call.outs:
        rows = [call.pulled([(out, unit)], create_graph) for unit in _units(out)]
        blocks.append(
            call.like_inputs(
                [_stacked([r[j] for r in rows], out, x) for j, x in enumerate(call.inputs)]
            )
        )
    return call.like_outs(blocks)


def hessian(func: Fn, inputs: Any, create_graph: bool = False, **_: Any) -> Any:
    """Second derivatives of a scalar function."""

    def gradient(*xs: Tensor) -> Any:
        call = _Recorded(func, xs)
        if len(call.outs) != 1 or call.outs[0].numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should contain a single "
                "element"
            )
        return tuple(call.pulled([(call.outs[0], None)], True))

    found = jacobian(gradient, inputs, create_graph)
    return found[0] if isinstance(inputs, Tensor) else found


def _units(out: Tensor) -> list[Tensor]:
    n = out.numel()
    eye = np.eye(n, dtype=out.dtype).reshape((n, *out.shape))
    return [held(row.copy()) for row in eye]


def _stacked(rows: list[Tensor], out: Tensor, x: Tensor) -> Tensor:
    return stack(rows).reshape(*out.shape, *x.shape)


def _plain(x: Tensor, create_graph: bool) -> Tensor:
    return x if create_graph else x.detach()

"""`autograd.Function`: operations on Tensors whose derivative their user writes."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.core import Block
from ..ir.core import Function as Program
from ..ir.types import NUMPY, Aval
from ..tracer.surface import is_tracer
from .elementwise import to
from .modes import no_grad, recording
from .reductions import sum as total
from .saved import refuse
from .tape import Foreign, Node, Operation, Ref, aval_of, of_row, rows
from .tensor_object import Tensor, as_tensor, held, shown

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What `forward` hands to `backward`; other attributes are the user's."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self.materialize_grads = True
        self._kept: tuple[Any, ...] = ()
        self._refs: list[Callable[[], Ref] | None] = []
        self._dirty: tuple[Tensor, ...] = ()
        self._plain: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep Tensors as they are now; later writes in place do not reach them."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(t)}"
                )
        self._kept = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The Tensors of `save_for_backward`, with their places in the graph."""
        return tuple(None if ref is None else shown(*ref()) for ref in self._refs)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which operands `forward` wrote in place; it returns them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which results take no part in derivatives."""
        self._plain = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` sees zeros, or None, for results that nothing depends on."""
        self.materialize_grads = value


class Function:
    """An operation of the user's: static methods `forward` and `backward`, called by `apply`.

    `forward(ctx, *args)` runs without being recorded; `backward(ctx, *cts)` returns one gradient
    (or None) per argument.  With `setup_context(ctx, inputs, output)`, `forward` takes no ctx.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The results."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save for `backward` what it needs."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients by the arguments."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use "
            "new-style autograd function with static forward method: call .apply of the class."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """The results, recorded as one operation."""
        if any(map(is_tracer, args)):
            raise TypeError(
                f"{cls.__name__} is a Function of Tensors; in traced functions use adjit.custom_vjp"
            )
        needs = tuple(isinstance(x, Tensor) and x.requires_grad for x in args)
        ctx = FunctionCtx(needs)
        operands = [x for x in args if isinstance(x, Tensor)]
        refs = {id(x): x._ref() for x in operands}
        with no_grad():
            found = _forward(cls, ctx, args, kwargs)
        if not (recording.on and any(needs)):
            ctx._refs = _saved(ctx, (), None)
            return found
        many = isinstance(found, tuple | list)
        outs = tuple(found) if many else (found,)
        results = _recorded(cls, ctx, args, refs, outs)
        return tuple(results) if many else results[0]


def _forward(cls: type[Function], ctx: FunctionCtx, args: Any, kwargs: Any) -> Any:
    if cls.setup_context is Function.setup_context:
        return cls.forward(ctx, *args, **kwargs)
    found = cls.forward(*args, **kwargs)
    cls.setup_context(ctx, args, found)
    return found


def _recorded(
    cls: type[Function], ctx: FunctionCtx, args: Any, refs: dict[int, Ref], outs: Sequence[Any]
) -> list[Any]:
    """The results as those of one tracked node; what is no float stays outside."""
    if rows.open and any(isinstance(x, Tensor) and of_row(x._ref()[0]) for x in args):
        raise RuntimeError(
            f"vmap: {cls.__name__} is an autograd.Function, whose derivative is not batched: write "
            "it with operations of Tensors, or loop over the rows"
        )
    plain = {id(t) for t in ctx._plain}
    mine = [
        t for t in outs if isinstance(t, Tensor) and t.dtype.kind in "fc" and id(t) not in plain
    ]
    given = _among(ctx, outs, mine)
    arrays = [t._value() if t._node is not None else t._value().copy() for t in mine]
    avals = tuple(aval_of(x.dtype, x.shape) for x in arrays)
    operands = [x for x in args if isinstance(x, Tensor)]
    name = f"{cls.__name__}Backward"
    piece = Foreign(
        Operation(name, cls.forward, edges=len(operands)),
        Program(name, Block((), (), ())),
        tuple(range(len(operands))),
        (),
        avals,
        pulled=lambda cts: _pulled(cls, ctx, args, name, given(_handed(ctx, avals, cts))),
    )
    inputs = tuple(refs[id(x)] for x in operands)
    node = Node(piece, inputs, avals, tuple(arrays), True)
    results = []
    for t in outs:
        at = next((i for i, m in enumerate(mine) if m is t), None)
        if at is None:
            results.append(t)
        elif any(t is d for d in ctx._dirty):
            results.append(_overwritten(t, shown(node, at)))
        else:
            results.append(shown(node, at))
    ctx._refs = _saved(ctx, mine, node)
    ctx._dirty = ctx._plain = ()
    return results


def _among(ctx: FunctionCtx, outs: Sequence[Any], mine: Sequence[Tensor]) -> Callable[..., Any]:
    """Cotangents of the results that have some, as one for every result."""
    at = [next((i for i, m in enumerate(mine) if m is t), None) for t in outs]
    kinds = [(t._aval_shape(), t._dtype) if isinstance(t, Tensor) else None for t in outs]

    def call(cts: Sequence[Tensor | None]) -> list[Tensor | None]:
        return [
            cts[i]
            if i is not None
            else held(np.zeros(*kind))
            if kind is not None and ctx.materialize_grads
            else None
            for i, kind in zip(at, kinds, strict=True)
        ]

    return call


def _overwritten(t: Tensor, result: Tensor) -> Tensor:
    if t._node is None and t.requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place "
                           "operation.")  # fmt: skip
    return t._replace(result)


def _saved(
    ctx: FunctionCtx, outs: Sequence[Tensor], node: Node | None
) -> list[Callable[[], Ref] | None]:
    """Where the kept Tensors stand; results are held weakly, their node holds the context."""
    kept, ctx._kept = ctx._kept, ()
    found: list[Callable[[], Ref] | None] = []
    for t in kept:
        at = next((i for i, m in enumerate(outs) if m is t), None)
        if t is None:
            found.append(None)
        elif at is not None and node is not None:
            found.append(functools.partial(_result, weakref.ref(node), at))
        else:
            found.append(functools.partial(_same, t._ref()))
    return found


def _same(ref: Ref) -> Ref:
    refuse(*ref)
    return ref


def _result(node: weakref.ref[Node], at: int) -> Ref:
    found = node()
    assert found is not None
    refuse(found, at)
    return found, at


def _handed(
    ctx: FunctionCtx, avals: Sequence[Aval], cts: Sequence[Ref | None]
) -> list[Tensor | None]:
    """The cotangents as `backward` sees them."""
    given = [None if ct is None else shown(*ct) for ct in cts]
    if not ctx.materialize_grads:
        return list(given)
    zeros = (held(np.zeros(a.shape, NUMPY[a.dtype])) for a in avals)
    return [z if t is None else t for t, z in zip(given, zeros, strict=True)]


def _pulled(
    cls: type[Function], ctx: FunctionCtx, args: Any, name: str, cts: Sequence[Tensor | None]
) -> list[Ref | None]:
    """The cotangents of the Tensors among the arguments."""
    given = cls.backward(ctx, *cts)
    found = list(given) if isinstance(given, tuple | list) else [given]
    while len(found) > len(args) and found[-1] is None:
        found.pop()
    if len(found) != len(args):
        raise RuntimeError(
            f"function {name} returned an incorrect number of gradients (expected {len(args)}, "
            f"got {len(found)})"
        )
    refs: list[Ref | None] = []
    for i, (x, g) in enumerate(zip(args, found, strict=True)):
        if isinstance(x, Tensor):
            wanted = g is not None and ctx.needs_input_grad[i]
            refs.append(_fitted(name, i, g, x)._ref() if wanted else None)
        elif g is not None:
            raise RuntimeError(
                f"function {name} returned a gradient different from None at position {i + 1}, "
                "but the corresponding forward input was not a Variable"
            )
    return refs


def _fitted(name: str, at: int, gradient: Any, x: Tensor) -> Tensor:
    """The gradient in the shape and dtype of the argument: what was broadcast is summed."""
    g = as_tensor(gradient)
    have, want = g._aval_shape(), x._aval_shape()
    if have != want:
        lead = len(have) - len(want)
        if lead < 0 or any(n not in (1, m) for n, m in zip(want, have[lead:], strict=True)):
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {at} - got {list(have)} "
                f"but expected shape compatible with {list(want)}"
            )
        spread = [lead + i for i, n in enumerate(want) if n == 1 and have[lead + i] != 1]
        g = total(g, (*range(lead), *spread)).reshape(want)
    return g if g.dtype == x.dtype else to(g, x.dtype)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A `backward` that is not recorded: a derivative of its results is refused."""

    @functools.wraps(backward)
    def call(ctx: Any, *cts: Any) -> Any:
        tracked = recording.on and any(isinstance(t, Tensor) and t.requires_grad for t in cts)
        with no_grad():
            found = backward(ctx, *cts)
        if not tracked:
            return found
        many = isinstance(found, tuple | list)
        refused = [_Refusal.apply(g, *cts) if isinstance(g, Tensor) else g
                   for g in (found if many else (found,))]  # fmt: skip
        return tuple(refused) if many else refused[0]

    return call


class _Refusal(Function):
    """A value whose derivative is refused."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *_: Any) -> Tensor:
        return held(np.array(value._value()))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )

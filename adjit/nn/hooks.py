"""What is called before and after a module, and when gradients pass through it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..eager.autograd_function import Function
from ..eager.tensor_object import Tensor, held
from ..ir.records import dataclass


@dataclass(eq=False)
class Hook:
    """A function to call, whether it is told the keywords, and whether errors keep it away."""

    fn: Callable[..., Any]
    with_kwargs: bool = False
    always: bool = False


class RemovableHandle:
    """What registering a hook answers: `remove()` takes it away, also at the end of a block."""

    def __init__(self, place: list[Any], hook: Any) -> None:
        self._place, self._hook = place, hook

    def remove(self) -> None:
        """Take the hook away."""
        if self._hook in self._place:
            self._place.remove(self._hook)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def entered(place: list[Any], hook: Any, first: bool = False) -> RemovableHandle:
    """Enter a hook, as the first one or the last."""
    place.insert(0 if first else len(place), hook)
    return RemovableHandle(place, hook)


class BackwardHook(Function):
    """The operands themselves; their gradients are shown on the way back, and may be replaced."""

    @staticmethod
    def forward(ctx: Any, seen: Callable[[Any], Any], *xs: Tensor) -> Any:
        """The operands."""
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        return tuple(held(x._value().copy()) for x in xs)

    @staticmethod
    def backward(ctx: Any, *cts: Any) -> Any:
        """The gradients, perhaps replaced."""
        return (None, *ctx.seen(cts))


class Passage:
    """One call of a module with backward hooks: gradients are seen behind it, then before it."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.behind: Any = ()
        self.watched = False

    def into(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, watched."""
        self.watched = any(isinstance(x, Tensor) and x.requires_grad for x in args)
        return self._watched(args, self._before) if self.watched else args

    def out(self, result: Any) -> Any:
        """The result, watched."""
        many = isinstance(result, tuple | list)
        parts = tuple(result) if many else (result,)
        if not any(isinstance(x, Tensor) and x.requires_grad for x in parts):
            return result
        found = self._watched(parts, self._behind)
        return type(result)(found) if many else found[0]

    def _watched(self, xs: tuple[Any, ...], seen: Callable[..., Any]) -> tuple[Any, ...]:
        at = [i for i, x in enumerate(xs) if isinstance(x, Tensor) and x.dtype.kind in "fc"]

        def asked(cts: Any) -> Any:
            every = [None] * len(xs)
            for i, ct in zip(at, cts, strict=True):
                every[i] = ct
            found = seen(tuple(every))
            return tuple(found[i] for i in at)

        found = list(xs)
        for i, x in zip(at, BackwardHook.apply(asked, *(xs[i] for i in at)), strict=True):
            found[i] = x
        return tuple(found)

    def _behind(self, cts: Any) -> Any:
        for hook in self.module._backward_before:
            found = hook(self.module, cts)
            cts = cts if found is None else _listed(found, cts, "_pre")
        self.behind = cts
        if not self.watched and self.module._backward:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module "
                "outputs since no inputs require gradients.",
                stacklevel=2,
            )
            for hook in self.module._backward:
                hook(self.module, (None,), cts)
        return cts

    def _before(self, cts: Any) -> Any:
        for hook in self.module._backward:
            found = hook(self.module, cts, self.behind)
            cts = cts if found is None else _listed(found, cts, "")
        return cts


def _listed(found: Any, cts: Any, kind: str) -> tuple[Any, ...]:
    listed = tuple(found) if isinstance(found, tuple | list) else (found,)
    if len(listed) != len(cts):
        raise RuntimeError(
            f"Backward{kind} hook returned an invalid number of grads: {len(listed)} for {len(cts)}"
        )
    return listed

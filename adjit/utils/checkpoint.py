"""`torch.utils.checkpoint`: programs decide what they keep, so a checkpoint is a plain call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None,
    preserve_rng_state: bool = True, determinism_check: str = "default", debug: bool = False,
    context_fn: Any = None, early_stop: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """The results of the function.

    Nothing is stored for its derivative while it is recorded; the program of forward and backward
    keeps or computes again whatever is cheaper.
    """
    return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """The results of functions one after the other."""
    listed: Sequence[Any] = list(
        functions.children() if hasattr(functions, "children") else functions
    )
    for f in listed:
        input = f(input)
    return input

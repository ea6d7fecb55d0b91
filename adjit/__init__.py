"""Differentiate and compile plain NumPy functions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from .api import (
        checkpoint,
        elementwise_grad,
        grad,
        hessian,
        hvp,
        jacfwd,
        jacobian,
        jacrev,
        jit,
        jvp,
        linearize,
        stop_gradient,
        value_and_grad,
        vjp,
        vmap,
    )
    from .compiled import CompiledFunction
    from .settings import options
    from .testing import check_grads

__version__ = "0.1.0"
__all__ = [
    "CompiledFunction",
    "check_grads",
    "checkpoint",
    "elementwise_grad",
    "errors",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linearize",
    "options",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
_HOMES = {"CompiledFunction": "compiled", "check_grads": "testing", "options": "settings"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "errors":
        return import_module(".errors", __name__)
    value = getattr(import_module(f".{_HOMES.get(name, 'api')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

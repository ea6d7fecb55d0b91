"""Differentiate and compile plain NumPy functions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors, nn, optim, sparse, tensors
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
    from .control import cond, fori_loop, scan, while_loop
    from .custom import custom_jvp, custom_vjp
    from .eager.modes import enable_grad, no_grad
    from .eager.tensor_object import Tensor
    from .host import pure_callback
    from .implicit import custom_root, fixed_point, least_squares, minimize, root
    from .ranges import range as range
    from .settings import options
    from .tensors import tensor
    from .testing import check_grads

__version__ = "0.1.0"
__all__ = [
    "CompiledFunction",
    "Tensor",
    "check_grads",
    "checkpoint",
    "cond",
    "custom_jvp",
    "custom_root",
    "custom_vjp",
    "elementwise_grad",
    "enable_grad",
    "errors",
    "fixed_point",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "least_squares",
    "linearize",
    "minimize",
    "nn",
    "no_grad",
    "optim",
    "options",
    "pure_callback",
    "root",
    "scan",
    "sparse",
    "stop_gradient",
    "tensor",
    "tensors",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]  # and range, which `from adjit import *` must not put in the place of Python's
_MODULES = ("errors", "nn", "optim", "sparse", "tensors")
_HOMES = {
    "CompiledFunction": "compiled",
    "Tensor": "tensors",
    "check_grads": "testing",
    "cond": "control",
    "custom_jvp": "custom",
    "custom_root": "implicit",
    "custom_vjp": "custom",
    "enable_grad": "eager.modes",
    "fixed_point": "implicit",
    "fori_loop": "control",
    "least_squares": "implicit",
    "minimize": "implicit",
    "no_grad": "eager.modes",
    "options": "settings",
    "pure_callback": "host",
    "root": "implicit",
    "range": "ranges",
    "scan": "control",
    "tensor": "tensors",
    "while_loop": "control",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing the package costs nothing."""
    if name not in __all__ and name != "range":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    value = getattr(import_module(f".{_HOMES.get(name, 'api')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "range"})

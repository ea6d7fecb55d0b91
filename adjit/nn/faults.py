"""What is said where a module is used wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.tensor_object import Tensor
from ..tracer.surface import is_tracer


def check_array(module: Any, name: str, value: Any) -> None:
    """Refuse what is no array as a parameter or buffer."""
    if value is None or isinstance(value, Tensor | np.ndarray) or is_tracer(value):
        return
    raise TypeError(
        f"cannot assign '{type(value).__name__}' as parameter or buffer '{name}' of "
        f"{type(module).__name__} (Parameter, Tensor, array or None expected)"
    )


def locate(error: Any, module: Any) -> None:
    """Say in the message which layer it was, by its name from the outermost module."""
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    known = getattr(error, "_layer", None)
    if known is None:
        base, child, path, line = error.args[0], module, "", repr(module).split("\n")[0]
    else:
        base, child, path, line = known
        name = next((n for n, m in module._modules.items() if m is child), None)
        path = ".".join(p for p in (name, path) if p)
    error._layer = (base, module, path, line)
    error.args = (f"{base}\n  in layer {path + ': ' if path else ''}{line}",)

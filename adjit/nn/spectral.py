"""`nn.utils.spectral_norm`: the older spelling, with `weight_orig`, `weight_u` and `weight_v`."""

from __future__ import annotations

from typing import Any

from .module import Module
from .parameter import Parameter
from .parametrizations import axis_of, normalised, started


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> Module:  # fmt: skip
    """Divide a weight by its largest singular value, found by the power method."""
    weight = module._parameters.get(name)
    if weight is None:
        raise AttributeError(f"{type(module).__name__} has no parameter {name!r}")
    axis = axis_of(module, dim)
    u, v = started(weight._value(), axis, eps)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)

    def made(m: Any) -> Any:
        w, u, v = m._parameters[f"{name}_orig"], m._buffers[f"{name}_u"], m._buffers[f"{name}_v"]
        return normalised(w, u, v, axis, n_power_iterations if m.training else 0, eps)

    module._computed[name] = made
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """The weight as one parameter again."""
    if name not in module._computed:
        raise ValueError(f"spectral_norm of '{name}' not found in {type(module).__name__}")
    training, module.training = module.training, False  # no further round of the power method
    weight = getattr(module, name).detach()
    module.training = training
    del module._computed[name], module._parameters[f"{name}_orig"]
    del module._buffers[f"{name}_u"], module._buffers[f"{name}_v"]
    module.register_parameter(name, Parameter(weight))
    return module

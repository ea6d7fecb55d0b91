"""`nn.utils.spectral_norm`: the older spelling, with `weight_orig`, `weight_u` and `weight_v`."""

from __future__ import annotations

from typing import Any

from ..eager.tensor_object import Tensor, held
from .module import Module
from .parameter import Parameter, overwrite
from .parametrizations import iterated, over_sigma, started


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> Module:  # fmt: skip
    """Divide a weight by its largest singular value, found by the power method."""
    weight = module._parameters.get(name)
    if weight is None:
        raise AttributeError(f"{type(module).__name__} has no parameter {name!r}")
    axis = int(type(module).__name__.startswith("ConvTranspose")) if dim is None else dim
    u, v = started(weight._value(), axis, eps)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", Parameter(weight.detach()))
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)

    def made(m: Any) -> Any:
        w, u, v = m._parameters[f"{name}_orig"], m._buffers[f"{name}_u"], m._buffers[f"{name}_v"]
        if m.training and isinstance(w, Tensor):
            arrays = w._value(), u._value(), v._value()
            found = iterated(*arrays, axis, n_power_iterations, eps)
            for old, new in zip((u, v), found, strict=True):
                overwrite(old, new)
            u, v = held(found[0].copy()), held(found[1].copy())
        return over_sigma(w, u, v, dim=axis)

    module._computed[name] = made
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """The weight as one parameter again."""
    if name not in module._computed:
        raise ValueError(f"spectral_norm of '{name}' not found in {type(module).__name__}")
    weight = getattr(module, name).detach()
    del module._computed[name], module._parameters[f"{name}_orig"]
    del module._buffers[f"{name}_u"], module._buffers[f"{name}_v"]
    module.register_parameter(name, Parameter(weight))
    return module

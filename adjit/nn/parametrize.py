"""Parameters that modules compute from others: `register_parametrization`, and what undoes it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..eager.modes import no_grad
from ..eager.tensor_object import Tensor
from .containers import ModuleDict, ModuleList
from .module import Module
from .parameter import Parameter


class ParametrizationList(ModuleList):
    """What a parameter is made of (`original`, or `original0`, …), and the modules that make it."""

    def __init__(self, modules: list[Module], original: Any) -> None:
        super().__init__(modules)
        several = isinstance(original, tuple | list)
        for k, x in enumerate(original if several else [original]):
            name = f"original{k}" if several else "original"
            value = x.detach() if isinstance(x, Tensor) else x
            self.register_parameter(name, Parameter(value))

    def forward(self) -> Any:
        """The value, one module after the other."""
        first, *rest = self
        found = first(*self._parameters.values())
        for m in rest:
            found = m(found)
        return found


def _inverse(module: Module, value: Any) -> Any:
    """What the module makes the value of; the value itself where it does not tell."""
    undo = getattr(module, "right_inverse", None)
    if undo is None:
        return value
    with no_grad():
        return undo(value)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a module compute a parameter; what it is computed from is learnt instead."""
    known = is_parametrized(module, tensor_name)
    if not known and module._parameters.get(tensor_name) is None:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    value = getattr(module, tensor_name)
    wanted = tuple(value.shape)
    if known:
        made = module.parametrizations[tensor_name]
        with no_grad():
            if hasattr(parametrization, "right_inverse"):
                inner = _inverse(parametrization, value)
                for m in reversed(list(made)):
                    inner = _inverse(m, inner)
                for old, new in zip(
                    made._parameters.values(),
                    inner if isinstance(inner, tuple) else (inner,),
                    strict=True,
                ):
                    old.data = new
        made.append(parametrization)
    else:
        made = ParametrizationList([parametrization], _inverse(parametrization, value.detach()))
    with no_grad():
        shape = tuple(made().shape)
    if shape != wanted and not unsafe:
        raise ValueError(
            "Registering a parametrization may not change the shape of the tensor, unless "
            f"`unsafe` flag is enabled. Module: {type(parametrization).__name__}, original shape: "
            f"{wanted}, parametrized shape: {shape}"
        )
    if not known:
        _enter(module, tensor_name, made)
    return module


def _enter(module: Module, name: str, made: ParametrizationList) -> None:
    if not is_parametrized(module):
        kind = type(module)
        module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), {"_plain": kind})
        module.parametrizations = ModuleDict()
    del module._parameters[name]
    module.parametrizations[name] = made
    module._computed[name] = lambda m: m.parametrizations[name]()


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module computes this parameter, or any."""
    made = module._modules.get("parametrizations")
    if not isinstance(made, ModuleDict):
        return False
    return len(made) > 0 if tensor_name is None else tensor_name in made


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """The parameter as one that is learnt again, with the value it has or the one it is made of."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    if not leave_parametrized and len(made._parameters) > 1:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    with no_grad():
        value = made() if leave_parametrized else made.original
    del module._computed[tensor_name], module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
        module.__class__ = type(module)._plain  # type: ignore[attr-defined]
    module.register_parameter(tensor_name, Parameter(value.detach()))
    return module


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Nothing: equal computations of one program are shared anyway."""
    yield


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class a module had before."""
    found: type[Module] = getattr(type(module), "_plain", type(module))
    return found


__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization",
    "remove_parametrizations", "type_before_parametrizations",
]  # fmt: skip

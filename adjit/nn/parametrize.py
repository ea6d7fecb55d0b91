"""Parameters that modules compute from others: `register_parametrization`, and what undoes it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..eager.modes import no_grad
from ..eager.tensor_object import Tensor
from .containers import ModuleDict, ModuleList
from .module import Module
from .parameter import Parameter, overwrite


class ParametrizationList(ModuleList):
    """What a parameter is made of (`original`, or `original0`, …), and the modules that make it."""

    def __init__(self, module: Module, value: Tensor, made_of: Any) -> None:
        super().__init__([module])
        if isinstance(made_of, tuple | list):
            for k, x in enumerate(made_of):
                self._enter(f"original{k}", _like(value, x.detach()))
        else:  # the same parameter, which optimisers know
            value.data = made_of
            self._enter("original", value)

    def _enter(self, name: str, x: Tensor) -> None:
        if isinstance(x, Parameter):
            self.register_parameter(name, x)
        else:
            self.register_buffer(name, x)

    def originals(self) -> list[Any]:
        """What the value is made of."""
        return [*self._parameters.values(), *self._buffers.values()]

    def forward(self) -> Any:
        """The value, one module after the other."""
        first, *rest = self
        found = first(*self.originals())
        for m in rest:
            found = m(found)
        return found

    def right_inverse(self, value: Any) -> None:
        """Write what the value is made of, as the modules tell."""
        for m in reversed(list(self)):
            if not hasattr(m, "right_inverse"):
                raise RuntimeError(
                    f"parametrization {type(m).__name__} does not implement right_inverse."
                )
            value = _inverse(m, value)
        made_of = value if isinstance(value, tuple | list) else (value,)
        for old, new in zip(self.originals(), made_of, strict=True):
            overwrite(old, new._value())


def _like(value: Tensor, x: Tensor) -> Tensor:
    """What is learnt if the value is: a parameter of a parameter."""
    return Parameter(x, value.requires_grad) if isinstance(value, Parameter) else x


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
    value = _owned(module, tensor_name).get(tensor_name)
    if known:
        value = getattr(module, tensor_name)
    elif value is None:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    with no_grad():
        made_of = None if known else _inverse(parametrization, value.detach())
        several = isinstance(made_of, tuple | list)
        parts: Any = made_of if several else [value if known else made_of]
        shape = tuple(parametrization(*parts).shape)
    if shape != tuple(value.shape) and not unsafe:
        raise ValueError(
            "Registering a parametrization may not change the shape of the tensor, unless "
            f"`unsafe` flag is enabled. Module: {type(parametrization).__name__}, original shape: "
            f"{tuple(value.shape)}, parametrized shape: {shape}"
        )
    if known:
        module.parametrizations[tensor_name].append(parametrization)
    else:
        _enter(module, tensor_name, ParametrizationList(parametrization, value, made_of))
    return module


def _owned(module: Module, name: str) -> dict[str, Any]:
    """Where the module keeps this name: its buffers or its parameters."""
    return module._buffers if name in module._buffers else module._parameters


def _enter(module: Module, name: str, made: ParametrizationList) -> None:
    if not is_parametrized(module):
        kind = type(module)
        fields = {"_plain": kind, "__setattr__": _assign}
        module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), fields)
        module.parametrizations = ModuleDict()
    del _owned(module, name)[name]
    module.parametrizations[name] = made
    module._computed[name] = lambda m: m.parametrizations[name]()


def _assign(module: Any, name: str, value: Any) -> None:
    """Set an attribute; of a computed parameter, write what it is computed from."""
    if is_parametrized(module, name):
        module.parametrizations[name].right_inverse(value)
    else:
        module._plain.__setattr__(module, name, value)


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
    originals = made.originals()
    if not leave_parametrized and len(originals) > 1:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    first = originals[0]
    with no_grad():
        value = made().detach() if leave_parametrized else first.detach()
    if len(originals) > 1:
        first = _like(first, value)
    first.data = value
    del module._computed[tensor_name], module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
        module.__class__ = type(module)._plain  # type: ignore[attr-defined]
    enter = module.register_parameter if isinstance(first, Parameter) else module.register_buffer
    enter(tensor_name, first)
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

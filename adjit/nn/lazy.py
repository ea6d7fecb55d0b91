"""Layers whose number of input features is that of what they are first called with."""

from __future__ import annotations

from typing import Any

from . import convolutions, layers, norm_layers
from .module import Module
from .parameter import Parameter

_PLACES = ("_parameters", "_buffers")


class UninitializedParameter(Parameter):
    """A parameter that has its shape, and values, after the first call."""

    __slots__ = ()

    def __init__(self, requires_grad: bool = True) -> None:
        super().__init__([], requires_grad)

    def __repr__(self) -> str:
        return "<UninitializedParameter>"


class _Lazy(Module):
    """A layer that becomes one of `full` when it is first called.

    Optimisers may be given its parameters before: they stay the same Tensors.
    """

    full: Any  # the class it becomes one of

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.full.__init__(self, 0, *args, **kwargs)
        vars(self)["_given"] = args, kwargs
        for name, p in self._parameters.items():
            if p is not None:
                self._parameters[name] = UninitializedParameter(p.requires_grad)

    def reset_parameters(self) -> None:
        """Nothing: there are no values yet."""

    def has_uninitialized_params(self) -> bool:
        """Until the first call."""
        return True

    def features(self, shape: tuple[int, ...]) -> int:
        """How many features an input of this shape has."""
        return shape[1] if len(shape) > 1 else shape[-1]

    def initialize_parameters(self, input: Any) -> None:
        """Become a layer for inputs like this one."""
        args, kwargs = vars(self).pop("_given")
        made = self.full(self.features(tuple(input.shape)), *args, **kwargs)
        mine = [*self._parameters.values(), *self._buffers.values()]
        dtype = next((x._dtype for x in mine if x is not None and x._dtype.kind in "fc"), None)
        if dtype is not None:  # it may have been converted
            made._cast(dtype)
        for name, p in made._parameters.items():
            mine = self._parameters[name]
            if p is not None and mine is not None:
                mine.data = p
                mine.__class__ = Parameter
        kept = {k: v for k, v in vars(made).items() if not k.startswith("_") and k != "training"}
        vars(self).update(kept, _buffers=made._buffers)
        self.__class__ = self.full

    def forward(self, *args: Any) -> Any:
        """What the full layer computes."""
        self.initialize_parameters(args[0])
        return self.forward(*args)


class LazyLinear(_Lazy, layers.Linear):
    """`Linear` for as many features as come."""

    full = layers.Linear

    def features(self, shape: tuple[int, ...]) -> int:
        """The last extent."""
        return shape[-1]


class _LazyImages(_Lazy):
    def features(self, shape: tuple[int, ...]) -> int:
        """The channels, also of a single image."""
        rank: int = self.full.rank
        return shape[-rank - 1]


def _made(full: Any, kind: type[_Lazy]) -> Any:
    """The lazy layer of a full one."""
    name = f"Lazy{full.__name__}"
    words = f"`{full.__name__}` for as many channels as come."
    return type(name, (kind, full), {"full": full, "__doc__": words, "__module__": __name__})


LazyConv1d, LazyConv2d, LazyConv3d = (
    _made(getattr(convolutions, f"Conv{n}d"), _LazyImages) for n in (1, 2, 3)
)
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = (
    _made(getattr(convolutions, f"ConvTranspose{n}d"), _LazyImages) for n in (1, 2, 3)
)
LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d = (
    _made(getattr(norm_layers, f"BatchNorm{n}d"), _Lazy) for n in (1, 2, 3)
)
LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d = (
    _made(getattr(norm_layers, f"InstanceNorm{n}d"), _Lazy) for n in (1, 2, 3)
)

__all__ = [
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d",
    "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d",
    "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear",
    "UninitializedParameter",
]  # fmt: skip

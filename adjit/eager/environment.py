"""What programs ask of PyTorch besides Tensors: its version, other devices, mixed precision."""

from __future__ import annotations

import contextlib
import functools
import warnings
from types import SimpleNamespace
from typing import Any

from .dtypes import CPU, device, processor

# PyTorch's release whose behaviour is followed; what compares versions finds it.
__version__ = "2.13.0+adjit"
version = SimpleNamespace(__version__=__version__, cuda=None, hip=None, git_version="")

accelerator = SimpleNamespace(
    is_available=lambda: False, current_accelerator=lambda *_, **__: None, device_count=lambda: 0,
    synchronize=lambda *_: None,
)  # fmt: skip


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing: equal inputs have equal results anyway."""


def are_deterministic_algorithms_enabled() -> bool:
    """Always: equal inputs have equal results."""
    return True


_precision = ["highest"]


def set_float32_matmul_precision(precision: str) -> None:
    """Remember what was asked for; products are of full precision."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(
            f"{precision!r} is not one of 'highest', 'high', 'medium' (float32 matmul precision)"
        )
    _precision[0] = precision


def get_float32_matmul_precision() -> str:
    """What was asked for."""
    return _precision[0]


def set_default_device(device: Any) -> None:
    """Nothing for the processor; an error for another device."""
    processor(device or "cpu")


def get_default_device() -> device:
    """The processor."""
    return CPU


def compile(model: Any = None, **_: Any) -> Any:
    """The model or function itself: steps that come again are compiled anyway."""
    return (lambda fn: fn) if model is None else model


class autocast(contextlib.ContextDecorator):
    """A block, or a decorator, of mixed precision: refused where it would be in force.

    Disabled, and for devices that are not there (as in PyTorch with a warning), it does nothing.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: Any = None
    ) -> None:
        if enabled and device(device_type).type == "cpu":
            raise RuntimeError(
                "autocast: there is no automatic mixed precision on the processor: convert by "
                ".half() and .float(), or pass enabled=False"
            )
        if enabled:
            _warn(f"User provided device_type of {device_type!r}, but CUDA is not available.")

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing: the precision was not changed."""


def _warn(what: str) -> None:
    warnings.warn(f"{what} Disabling", UserWarning, stacklevel=3)


class GradScaler:
    """Losses as they are: gradients of single precision need no scaling.

    As PyTorch's where there is no CUDA: it disables itself, with a warning.
    """

    def __init__(self, device: str = "cuda", *_: Any, enabled: bool = True, **__: Any) -> None:
        if enabled and device != "cpu":
            _warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.")
        elif enabled:
            raise RuntimeError(
                "GradScaler: there is no automatic mixed precision on the processor; pass "
                "enabled=False"
            )

    def scale(self, outputs: Any) -> Any:
        """The loss itself."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """The optimiser's step."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing."""

    def get_scale(self) -> float:
        """One."""
        return 1.0

    def is_enabled(self) -> bool:
        """Never."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing."""


amp = SimpleNamespace(autocast=autocast, GradScaler=GradScaler)
cuda_amp = SimpleNamespace(
    autocast=functools.partial(autocast, "cuda"), GradScaler=functools.partial(GradScaler, "cuda")
)

__all__ = [
    "GradScaler", "__version__", "accelerator", "amp", "are_deterministic_algorithms_enabled",
    "autocast", "compile", "get_default_device", "get_float32_matmul_precision",
    "set_default_device", "set_float32_matmul_precision", "use_deterministic_algorithms", "version",
]  # fmt: skip

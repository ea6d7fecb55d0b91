"""Python loops of a recorded program, found and made into ops again."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .branches import branched

__all__ = ["branched"]


def __getattr__(name: str) -> Any:
    """What folds conditions of loops, a dozen modules, is loaded when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".branches", __name__), name)

"""Python loops of a recorded program, found and made into ops again.

what the code says: its loops, and what a condition decides:
    natural_loops, flow, expressions, activations
rounds, their wiring, and whether they are the same:
    segments, columns, steps, turned, many, match, roll
a loop of them: how many rounds, and what Python could know of that:
    fold, late, whiles, limits, evidence, names, offers
rounds whose arrays grow or shrink:
    ragged, padded
rounds that differ by traced conditions:
    branches, forks, conds, origins, afterwards, kept, taint
"""

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

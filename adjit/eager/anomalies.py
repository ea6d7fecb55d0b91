"""`detect_anomaly`: the backward pass looks at every derivative, and names what made a NaN."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np

from .tape import Node, run


class _Anomaly(threading.local):
    on = False
    nan = True


anomaly = _Anomaly()


class set_detect_anomaly:  # a function in use, like its model
    """Look for NaN from here on; as a block, until its end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = anomaly.on, anomaly.nan
        anomaly.on, anomaly.nan = bool(mode), check_nan

    def __enter__(self) -> None:
        """Nothing: it holds since it was made."""

    def __exit__(self, *_: object) -> None:
        anomaly.on, anomaly.nan = self._before


class detect_anomaly(set_detect_anomaly):
    """Look for NaN in this block."""

    def __init__(self, check_nan: bool = True) -> None:
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )
        super().__init__(True, check_nan)
        anomaly.on = self._before[0]

    def __enter__(self) -> None:
        anomaly.on = True


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Look for NaN from here on, or no more."""
    anomaly.on, anomaly.nan = bool(mode), check_nan


def is_anomaly_enabled() -> bool:
    """Whether the backward pass looks for NaN."""
    return anomaly.on


def is_anomaly_check_nan_enabled() -> bool:
    """Whether a NaN is an anomaly."""
    return anomaly.nan


def inspect(node: Node, made: Node) -> None:
    """Raise if one of these cotangents of the operands is NaN."""
    if not anomaly.nan:
        return
    run([made])
    for i, x in enumerate(made.values or ()):
        if x.dtype.kind in "fc" and np.isnan(x).any():
            name: Any = node.piece.operation.name if node.piece is not None else ""
            raise RuntimeError(f"Function '{name}' returned nan values in its {i}th output.")

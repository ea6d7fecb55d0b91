"""Sums of `math`; means and variances of `statistics`, whose own code adds up fractions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import intercept
from .intercept import DECLINE
from .record import recorder
from .surface import holds_tracer, value
from .tracer import Tracer


def fsum(xs: Any) -> Any:
    """math.fsum: a sum with what its rounding dropped (Neumaier's)."""
    total: Any = 0.0
    dropped: Any = 0.0
    for x in xs:
        x = Tracer(recorder(), value(x, "f64"), "python")
        new = total + x
        rest = np.where(abs(total) >= abs(x), (total - new) + x, (x - new) + total)
        total, dropped = new, dropped + np.where(np.isfinite(new), rest, 0.0)
    return Tracer(recorder(), value(total + dropped), "python")


def _mean(data: list[Any]) -> Any:
    if not data:
        raise ValueError("mean requires at least one data point")
    return fsum(data) / len(data)


def _variance(data: list[Any], mean: Any, lost: int) -> Any:
    if len(data) <= lost:
        raise ValueError(f"variance requires at least {lost + 1} data points")
    centre = _mean(data) if mean is None else mean
    return fsum([(x - centre) ** 2 for x in data]) / (len(data) - lost)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "mean": _mean,
    "fmean": _mean,
    "variance": lambda data, xbar=None: _variance(data, xbar, 1),
    "pvariance": lambda data, mu=None: _variance(data, mu, 0),
    "stdev": lambda data, xbar=None: _variance(data, xbar, 1) ** 0.5,
    "pstdev": lambda data, mu=None: _variance(data, mu, 0) ** 0.5,
}


def _act(f: Callable[..., Any]) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        data = list(args[0]) if args else ()
        if not holds_tracer(data):
            return DECLINE if not args else original(data, *args[1:], **kwargs)
        return f(data, *args[1:], **kwargs)

    return act


def _fill() -> bool:
    module = sys.modules.get("statistics")
    if module is None:
        return False
    for name, f in _FUNCTIONS.items():
        intercept.enter(module, name, _act(f))
    return True


def enter() -> None:
    """Fill the table of interception."""
    intercept.when_imported(_fill)

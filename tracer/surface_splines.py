"""scipy.interpolate: splines that were made outside, at traced places.

Piecewise polynomials hold their pieces as an array of coefficients, so a value is a search for the
piece and a polynomial; the other classes are turned into such pieces.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import intercept
from .intercept import DECLINE
from .surface import array, as_float, cast, holds_tracer, is_tracer, refuse, value


def _float(x: Any) -> Any:
    return array(cast(as_float(value(x)), "f64"))


def _pieces(c: Any, breaks: Any, t: Any, nu: int, extrapolate: Any) -> Any:
    """The nu-th derivative at `t` of the polynomials c[k] (s - breaks[i])^(degree - k)."""
    if np.iscomplexobj(c):
        raise refuse("a spline with complex coefficients")
    t, count = _float(t), c.shape[1]
    if extrapolate == "periodic":
        t = breaks[0] + np.mod(t - breaks[0], breaks[-1] - breaks[0])
    index = np.clip(np.searchsorted(breaks, t, side="right") - 1, 0, count - 1)
    start = _float(breaks)[index]
    c = _float(c)
    extra = (1,) * (c.ndim - 2)
    s = (t - start).reshape((*t.shape, *extra))
    total: Any = 0.0
    degree = c.shape[0] - 1
    for k in range(degree - nu + 1):
        factor = np.prod(np.arange(degree - k, degree - k - nu, -1.0))
        total = total * s + factor * c[k][index]
    if not is_tracer(total):  # a derivative of a higher order than the pieces have
        total = np.zeros((*t.shape, *c.shape[2:])) + 0 * s
    if extrapolate:
        return total
    inside = np.logical_and(t >= breaks[0], t <= breaks[-1])
    return np.where(inside.reshape((*t.shape, *extra)), total, np.nan)


def _moved(found: Any, t: Any, axis: int) -> Any:
    """The dims of `t` where the interpolated axis was."""
    n = np.ndim(t)
    if axis == 0 or n == found.ndim:
        return found
    order = [*range(n, n + axis), *range(n), *range(n + axis, found.ndim)]
    return found.transpose(order)


def _order(nu: Any) -> int:
    if holds_tracer(nu) or int(nu) < 0:
        raise refuse("a spline's derivative of a traced or negative order")
    return int(nu)


def _ppoly(self: Any, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    found = _pieces(self.c, self.x, x, _order(nu), extrapolate)
    return _moved(found, x, getattr(self, "axis", 0))


def _bspline(self: Any, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
    module, k, t = sys.modules["scipy.interpolate"], self.k, self.t
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    curves = self.c.reshape(len(self.c), -1).T  # SciPy turns one curve at a time
    made = [module.PPoly.from_spline((t, c, k)) for c in curves]
    breaks = made[0].x
    c = np.stack([p.c for p in made], axis=-1).reshape(*made[0].c.shape, *self.c.shape[1:])
    # Outside of the base interval its first and its last piece go on.
    first = np.searchsorted(breaks, t[k], side="right") - 1
    last = np.searchsorted(breaks, t[-k - 1])
    found = _pieces(c[:, first:last], breaks[first : last + 1], x, _order(nu), extrapolate)
    return _moved(found, x, getattr(self, "axis", 0))


def _univariate(self: Any, x: Any, nu: int = 0, ext: Any = None) -> Any:
    if (self.ext if ext is None else ext) not in (0, "extrapolate"):
        raise refuse("scipy.interpolate.UnivariateSpline with ext=")
    made = sys.modules["scipy.interpolate"].BSpline(*self._eval_args)
    return _bspline(made, x, nu)


def _interp1d(self: Any, x: Any) -> Any:
    if self._kind != "linear" or self._y.shape[1:] not in ((), (1,)) or not np.ndim(self.y) == 1:
        raise refuse(
            "scipy.interpolate.interp1d of this kind", "Use CubicSpline or make_interp_spline."
        )
    slopes = np.diff(self.y) / np.diff(self.x)
    outside = not (isinstance(self.fill_value, str) and self.fill_value == "extrapolate")
    return _pieces(np.stack([slopes, self.y[:-1]]), self.x, x, 0, not outside)


_CLASSES: dict[str, Callable[..., Any]] = {
    "PPoly": _ppoly,
    "BSpline": _bspline,
    "UnivariateSpline": _univariate,
    "interp1d": _interp1d,
}


def _act(wanted: type, f: Callable[..., Any]) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args[1:], *kwargs.values()))):
            return DECLINE
        if not isinstance(args[0], wanted):  # another class that inherits the method
            raise refuse(f"scipy.interpolate.{type(args[0]).__name__} at traced places")
        return f(*args, **kwargs)

    return act


def _fill() -> bool:
    module = sys.modules.get("scipy.interpolate")
    if not all(hasattr(module, name) for name in _CLASSES):
        return False
    for name, f in _CLASSES.items():
        for kind in getattr(module, name).__mro__[:-1]:
            if "__call__" in vars(kind):
                act = _act(getattr(module, name), f)
                intercept.enter(kind, "__call__", act, direct=False)
                break
    return True


intercept.when_imported(_fill)

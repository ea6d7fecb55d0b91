"""scipy.stats: densities, distribution functions and quantiles of the common distributions.

SciPy checks arguments by masks that cannot be traced; here each distribution is a row of formulas
of the standardised variable, written in NumPy and scipy.special, and differentiated as such.
Results are float64 as SciPy's: outside of the support densities are 0, for parameters that are
not allowed NaN.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import intercept
from .distributions import CONTINUOUS, DISCRETE, LOG_2PI, Distribution, Formula, S, is_chance
from .intercept import DECLINE
from .surface import as_float, cast, holds_tracer, refuse, value, wrap

# ------------------------------------------------------------------ one method of one distribution


def _real(x: Any) -> Any:
    """Anything as a float64 Tracer, so that what it is read from is noticed."""
    return wrap(cast(as_float(value(x)), "f64"))


def _arguments(d: Distribution, given: Sequence[Any], named: dict[str, Any]) -> tuple[Any, ...]:
    """The variable, the shapes, loc and scale of a call, as SciPy reads them."""
    known = {"loc": 0.0} if d.discrete else {"loc": 0.0, "scale": 1.0}
    kind, none = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    parameters = [
        inspect.Parameter(n, kind, default=known.get(n, none)) for n in ("x", *d.shapes, *known)
    ]
    for name in ("q", "k"):  # what SciPy calls the first argument of some methods
        if name in named and name not in d.shapes:
            named = {**named, "x": named[name]}
            del named[name]
    bound = inspect.Signature(parameters).bind(*given, **named)
    bound.apply_defaults()
    found = [_real(x) for x in bound.args]
    return (*found, _real(1.0)) if d.discrete else tuple(found)


def _ends(d: Distribution, shapes: Sequence[Any]) -> tuple[Any, Any]:
    low, high = (e(*shapes) if callable(e) else e for e in (d.low, d.high))
    return low, high


def _call(d: Distribution, method: str, args: Sequence[Any], named: dict[str, Any]) -> Any:
    x, *shapes, loc, scale = _arguments(d, args, named)
    if method in ("ppf", "isf"):
        return _quantile(d, method, x, shapes, loc, scale)
    z = x - loc if d.discrete else (x - loc) / scale
    if d.discrete and method not in ("logpmf", "pmf"):
        z = np.floor(z)
    if method in ("logpdf", "logpmf"):
        found = _density(d, z, shapes)
        out = found if d.discrete else found - np.log(scale)
    elif method in ("pdf", "pmf"):
        found = np.exp(_density(d, z, shapes))
        out = found if d.discrete else found / scale
    else:
        out = _integral(d, method, z, shapes)
    return np.where(np.logical_and(d.allowed(*shapes), scale > 0), out, np.nan)[()]


def _inside(d: Distribution, z: Any, shapes: Sequence[Any]) -> Any:
    low, high = _ends(d, shapes)
    inside: Any = True
    if not (type(low) is float and low == -math.inf):
        inside = np.logical_and(inside, z >= low)
    if not (type(high) is float and high == math.inf):
        inside = np.logical_and(inside, z <= high)
    return inside


def _density(d: Distribution, z: Any, shapes: Sequence[Any]) -> Any:
    inside = _inside(d, z, shapes)
    if d.discrete:
        inside = np.logical_and(inside, np.floor(z) == z)
    found = d.formulas[d.density](z, *shapes)
    return found if inside is True else np.where(np.logical_or(inside, np.isnan(z)), found, -np.inf)


_OTHER = {"cdf": "sf", "sf": "cdf", "logcdf": "logsf", "logsf": "logcdf"}


def _integral(d: Distribution, method: str, z: Any, shapes: Sequence[Any]) -> Any:
    f, plain = d.formulas, method.removeprefix("log")
    if method in f:
        found = f[method](z, *shapes)
    elif plain != method:
        return np.log(_integral(d, plain, z, shapes))
    elif _OTHER[method] in f:
        found = 1 - f[_OTHER[method]](z, *shapes)
    else:
        raise KeyError(method)
    low, high = _ends(d, shapes)
    before, after = (0.0, 1.0) if plain == "cdf" else (1.0, 0.0)
    if plain != method:
        with np.errstate(divide="ignore"):
            before, after = np.log(before), np.log(after)
    if not (type(high) is float and high == math.inf):
        found = np.where(z >= high, after, found)
    if not (type(low) is float and low == -math.inf):
        found = np.where(z < low if d.discrete else z <= low, before, found)
    return found


def _quantile(
    d: Distribution, method: str, q: Any, shapes: Sequence[Any], loc: Any, scale: Any
) -> Any:
    other = "isf" if method == "ppf" else "ppf"
    if method in d.formulas:
        z = d.formulas[method](q, *shapes)
    else:
        z = d.formulas[other](1 - q, *shapes)
    allowed = np.logical_and(is_chance(q), np.logical_and(d.allowed(*shapes), scale > 0))
    return np.where(allowed, loc + scale * z, np.nan)[()]


# ------------------------------------------------------------------ several variables


def _normals(x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
    """scipy.stats.multivariate_normal.logpdf, by Cholesky's factor."""
    if allow_singular:
        raise refuse("scipy.stats.multivariate_normal with allow_singular=True")
    x, cov = _real(x), _real(cov)
    mean = None if mean is None else _real(mean)
    n = cov.shape[-1] if cov.ndim else mean.size if mean is not None and mean.ndim else 1
    if cov.ndim == 0:
        cov = cov * np.eye(n)
    elif cov.ndim == 1:
        cov = np.diag(cov)
    if x.ndim == 0 or (x.ndim == 1 and n == 1):
        x = x[..., None]
    off = x if mean is None else x - mean
    factor = np.linalg.cholesky(cov)
    rows = off.reshape((-1, n))
    z = np.linalg.solve(factor, rows.T)
    size = 2 * np.sum(np.log(np.diag(factor))) + n * LOG_2PI
    return (-0.5 * (np.sum(z * z, axis=0) + size)).reshape(off.shape[:-1])[()]


def _dirichlet(x: Any, alpha: Any) -> Any:
    x, alpha = _real(x), _real(alpha)
    if x.shape[0] == alpha.shape[0] - 1:
        x = np.concatenate([x, 1 - np.sum(x, axis=0, keepdims=True)])
    size = np.sum(S.gammaln(alpha)) - S.gammaln(np.sum(alpha))
    return np.sum(S.xlogy(alpha - 1, x.T), axis=-1) - size


def _multinomial(x: Any, n: Any, p: Any) -> Any:
    x, n, p = _real(x), _real(n), _real(p)
    p = np.concatenate([p[..., :-1], 1 - np.sum(p[..., :-1], axis=-1, keepdims=True)], axis=-1)
    terms = S.xlogy(x, p) - S.gammaln(x + 1)
    return np.where(np.sum(x, axis=-1) == n, S.gammaln(n + 1) + np.sum(terms, axis=-1), -np.inf)[()]


SEVERAL: dict[str, tuple[str, Formula]] = {
    "multivariate_normal": ("logpdf", _normals),
    "dirichlet": ("logpdf", _dirichlet),
    "multinomial": ("logpmf", _multinomial),
}


class _Frozen:
    """A distribution of several variables with traced parameters."""

    def __init__(self, name: str, args: Any, kwargs: Any) -> None:
        self._name, self._args, self._kwargs = name, args, kwargs

    def __getattr__(self, method: str) -> Any:
        log, formula = SEVERAL[self._name]
        if method not in (log, log.removeprefix("log")):
            raise refuse(f"scipy.stats.{self._name}(...).{method} of traced parameters")

        def call(x: Any) -> Any:
            found = formula(x, *self._args, **self._kwargs)
            return found if method == log else np.exp(found)

        return call


# ------------------------------------------------------------------ interception

_METHODS = {
    "rv_continuous": ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf"),
    "rv_discrete": ("logpmf", "pmf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf"),
}
_MORE = ("mean", "var", "std", "median", "entropy", "moment", "stats", "interval", "expect", "fit")
DISTRIBUTIONS = CONTINUOUS | DISCRETE


def _method(method: str) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args[1:], *kwargs.values()))):
            return DECLINE
        name = type(args[0]).__name__.removesuffix("_gen")
        d = DISTRIBUTIONS.get(name)
        if d is not None and method not in _MORE:
            try:
                return _call(d, method, args[1:], kwargs)
            except KeyError:
                pass
        known = f", of which it knows {', '.join(sorted(d.formulas))}" if d is not None else ""
        raise refuse(
            f"scipy.stats.{name}.{method}",
            f"Write its formula in NumPy and scipy.special: adjit has none for it{known}.",
        )

    return act


def _several(name: str, method: str) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args[1:], *kwargs.values()))):
            return DECLINE
        if method == "__call__":
            return _Frozen(name, args[1:], kwargs)
        x, *rest = args[1:]
        return getattr(_Frozen(name, rest, kwargs), method)(x)

    return act


def _fill() -> bool:
    stats = sys.modules.get("scipy.stats")
    if not hasattr(stats, "multivariate_normal"):
        return False
    for name, methods in _METHODS.items():
        for kind in getattr(stats, name).__mro__[:-1]:
            for method in (*methods, *_MORE):
                if method in vars(kind) and kind.__module__.startswith("scipy"):
                    intercept.enter(kind, method, _method(method), direct=False)
    for name, (log, _) in SEVERAL.items():
        kind = type(getattr(stats, name))
        for method in (log, log.removeprefix("log"), "__call__"):
            intercept.enter(kind, method, _several(name, method), direct=False)
    return True


intercept.when_imported(_fill)

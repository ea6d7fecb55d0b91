"""scipy.spatial.distance: cdist, pdist and squareform, which are C code in SciPy.

At distance 0 the slope is 0, where the formula would be 0/0: the diagonal of a matrix of distances
carries no derivative.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import intercept
from .intercept import DECLINE
from .surface import as_float, cast, holds_tracer, is_tracer, refuse, value, wrap

Metric = Callable[..., Any]


def _root(x: Any) -> Any:
    """The square root, of slope 0 at 0."""
    zero = x == 0
    return np.where(zero, 0.0, np.sqrt(np.where(zero, 1.0, x)))


def _size(x: Any) -> Any:
    return _root(np.sum(x * x, axis=-1))


def _minkowski(a: Any, b: Any, p: float = 2.0, w: Any = None) -> Any:
    terms = np.abs(a - b) ** p
    total = np.sum(terms if w is None else w * terms, axis=-1)
    zero = total == 0
    return np.where(zero, 0.0, np.where(zero, 1.0, total) ** (1 / p))


def _cosine(a: Any, b: Any) -> Any:
    return 1 - np.sum(a * b, axis=-1) / (_size(a) * _size(b))


def _correlation(a: Any, b: Any) -> Any:
    return _cosine(a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True))


def _canberra(a: Any, b: Any) -> Any:
    size = np.abs(a) + np.abs(b)
    zero = size == 0
    return np.sum(np.where(zero, 0.0, np.abs(a - b) / np.where(zero, 1.0, size)), axis=-1)


def _mahalanobis(a: Any, b: Any, VI: Any = None) -> Any:
    if VI is None:
        raise refuse("scipy.spatial.distance's mahalanobis without VI", "Pass VI, the inverse.")
    off = a - b
    return _root(np.sum((off @ VI) * off, axis=-1))


def _seuclidean(a: Any, b: Any, V: Any = None) -> Any:
    if V is None:
        raise refuse("scipy.spatial.distance's seuclidean without V", "Pass V, the variances.")
    return _root(np.sum((a - b) ** 2 / V, axis=-1))


METRICS: dict[str, Metric] = {
    "euclidean": lambda a, b: _size(a - b),
    "sqeuclidean": lambda a, b: np.sum((a - b) ** 2, axis=-1),
    "cityblock": lambda a, b: np.sum(np.abs(a - b), axis=-1),
    "chebyshev": lambda a, b: np.max(np.abs(a - b), axis=-1),
    "minkowski": _minkowski,
    "cosine": _cosine,
    "correlation": _correlation,
    "canberra": _canberra,
    "braycurtis": lambda a, b: np.sum(np.abs(a - b), axis=-1) / np.sum(np.abs(a + b), axis=-1),
    "mahalanobis": _mahalanobis,
    "seuclidean": _seuclidean,
}
_ALSO = {"cblock": "cityblock", "l1": "cityblock", "manhattan": "cityblock", "l2": "euclidean"}


def _metric(name: Any) -> Metric:
    if callable(name):
        name = getattr(name, "__name__", repr(name))
    found = METRICS.get(_ALSO.get(name, name))
    if found is None:
        raise refuse(
            f"scipy.spatial.distance with the metric {name!r}", f"Known are {', '.join(METRICS)}."
        )
    return found


def _points(x: Any) -> Any:
    """Rows of float64 as a Tracer, as SciPy converts them."""
    rows = wrap(cast(as_float(value(x)), "f64"))
    if rows.ndim != 2:
        raise ValueError("A 2-dimensional array must be passed.")
    return rows


def cdist(XA: Any, XB: Any, metric: Any = "euclidean", *, out: Any = None, **options: Any) -> Any:
    """scipy.spatial.distance.cdist, by broadcasting."""
    a, b = _points(XA), _points(XB)
    if a.shape[1] != b.shape[1]:
        raise ValueError("XA and XB must have the same number of columns (i.e. feature dimension.)")
    if out is not None:
        raise refuse("scipy.spatial.distance.cdist with out=")
    return _metric(metric)(a[:, None], b[None], **options)


def pdist(X: Any, metric: Any = "euclidean", *, out: Any = None, **options: Any) -> Any:
    """scipy.spatial.distance.pdist, by rows picked in pairs."""
    x = _points(X)
    if out is not None:
        raise refuse("scipy.spatial.distance.pdist with out=")
    first, second = np.triu_indices(x.shape[0], 1)
    return _metric(metric)(x[first], x[second], **options)


def squareform(X: Any, force: str = "no", checks: bool = True) -> Any:
    """scipy.spatial.distance.squareform, either way."""
    x = X if is_tracer(X) else wrap(value(X))
    if x.ndim == 1:
        n = int(np.ceil(np.sqrt(x.size * 2)))
        if n * (n - 1) != x.size * 2:
            raise ValueError(
                "Incompatible vector size. It must be a binomial coefficient n choose 2 for some "
                "integer n >= 2."
            )
        where = np.zeros((n, n), int)
        where[np.triu_indices(n, 1)] = np.arange(1, x.size + 1)
        return np.concatenate([np.zeros(1), x])[where + where.T]
    return x[np.triu_indices(x.shape[0], 1)]


def _norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
    return np.linalg.norm(a, ord, axis, keepdims)


def _act(f: Callable[..., Any]) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args, *kwargs.values()))):
            return DECLINE
        return f(*args, **kwargs)

    return act


def _fill() -> bool:
    module = sys.modules.get("scipy.spatial.distance")
    if module is None or not hasattr(module, "squareform"):
        return False
    for name, f in (("cdist", cdist), ("pdist", pdist), ("squareform", squareform)):
        intercept.enter(module, name, _act(f))
    intercept.enter(module, "norm", _act(_norm))
    return True


intercept.when_imported(_fill)

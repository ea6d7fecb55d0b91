"""Reductions, running reductions, order statistics, and their NaN-ignoring kin."""

from __future__ import annotations

from typing import Any

import numpy as np
from differential import Entry, entry

EVEN = np.arange(12).reshape(3, 4) % 2 == 0
EVEN[1, 1] = True
METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "linear", "median_unbiased", "normal_unbiased", "lower", "higher",
    "midpoint", "nearest",
)  # fmt: skip
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.5])


def _axes(f: Any) -> list[Any]:
    """The ways of naming axes that every reduction knows."""
    return [
        lambda x: f(x),
        lambda x: f(x, axis=0),
        lambda x: f(x, axis=-1),
        lambda x: f(x, axis=(0, 1)),
        lambda x: f(x, axis=1, keepdims=True),
        lambda x: f(x, axis=None, keepdims=True),
        lambda x: f(x, axis=2),
        lambda x: f(x, axis=0, out=np.empty_like(f(x, axis=0))),
    ]


def _folds() -> list[Entry]:
    rows = []
    for name, domain in [
        ("sum", "real"), ("prod", "nonzero"), ("max", "distinct"), ("min", "distinct"),
        ("amax", "distinct"), ("amin", "distinct"), ("nansum", "nan"), ("nanprod", "nan"),
        ("nanmax", "nan"), ("nanmin", "nan"),
    ]:  # fmt: skip
        f: Any = getattr(np, name)
        calls = [
            *_axes(f),
            lambda x, f=f: f(x, axis=1, initial=0.75),
            lambda x, f=f: f(x, initial=1, where=EVEN[: len(x)]),
            lambda x, f=f: f(x, axis=0, where=EVEN[: len(x)], initial=-2.0, keepdims=True),
        ]
        if "m" not in name or name.endswith("sum"):
            calls += [
                lambda x, f=f: f(x, dtype=np.float32),
                lambda x, f=f: f(x, axis=1, dtype="f8"),
                lambda x, f=f: f(x, where=EVEN[: len(x)]),
            ]
        rows.append(entry(f"numpy.{name}", *calls, domains=domain))
    return rows


def _moments() -> list[Entry]:
    rows = []
    for name in ("mean", "var", "std", "nanmean", "nanvar", "nanstd"):
        f: Any = getattr(np, name)
        calls = [
            *_axes(f),
            lambda x, f=f: f(x, where=EVEN[: len(x)]),
            lambda x, f=f: f(x, axis=1, where=EVEN[: len(x)]),
            lambda x, f=f: f(x, axis=0, dtype=np.float64),
        ]
        if "mean" not in name:
            calls += [
                lambda x, f=f: f(x, ddof=1),
                lambda x, f=f: f(x, axis=1, ddof=1, keepdims=True),
                lambda x, f=f: f(x, axis=0, ddof=1.5),
                lambda x, f=f: f(x, axis=0, correction=1),
                lambda x, f=f: f(x, axis=0, mean=f(x, axis=0, keepdims=True) * 0.5),
            ]
        domain = "nan" if name.startswith("nan") else "distinct"
        rows.append(entry(f"numpy.{name}", *calls, domains=domain))
    return rows


def _flat() -> list[Entry]:
    rows = []
    for name, domain in [
        ("any", "sparse"), ("all", "sparse"), ("count_nonzero", "sparse"), ("argmax", "distinct"),
        ("argmin", "distinct"), ("nanargmax", "nan"), ("nanargmin", "nan"),
    ]:  # fmt: skip
        f: Any = getattr(np, name)
        calls = [
            lambda x, f=f: f(x),
            lambda x, f=f: f(x, axis=0),
            lambda x, f=f: f(x, axis=-1),
            lambda x, f=f: f(x, axis=1, keepdims=True),
            lambda x, f=f: f(x, axis=3),
        ]
        if name in ("any", "all"):
            calls += [
                lambda x, f=f: f(x, where=EVEN[: len(x)]),
                lambda x, f=f: f(x, axis=(0, 1)),
                lambda x, f=f: f(x, out=np.empty((), bool)),
            ]
        rows.append(entry(f"numpy.{name}", *calls, domains=domain, smooth=False))
    return rows


def _running() -> list[Entry]:
    rows = []
    for name, domain in [
        ("cumsum", "real"), ("cumprod", "nonzero"), ("nancumsum", "nan"), ("nancumprod", "nan"),
    ]:  # fmt: skip
        f: Any = getattr(np, name)
        rows.append(entry(
            f"numpy.{name}",
            lambda x, f=f: f(x),
            lambda x, f=f: f(x, axis=0),
            lambda x, f=f: f(x, -1),
            lambda x, f=f: f(x, axis=1, dtype=np.float32),
            lambda x, f=f: f(x, axis=1, out=np.empty_like(x)),
            lambda x, f=f: f(x, axis=5),
            domains=domain,
        ))  # fmt: skip
    for name in ("cumulative_sum", "cumulative_prod"):
        f = getattr(np, name)
        rows.append(entry(
            f"numpy.{name}",
            lambda x, f=f: f(x, axis=0),
            lambda x, f=f: f(x, axis=1, include_initial=True),
            lambda x, f=f: f(x[0]),
            lambda x, f=f: f(x),
            lambda x, f=f: f(x, axis=-1, dtype=np.float64),
            domains="nonzero",
        ))  # fmt: skip
    return rows


def _quantiles() -> list[Entry]:
    rows = []
    for name, domain, scale in [
        ("quantile", "distinct", 1), ("percentile", "distinct", 100), ("nanquantile", "nan", 1),
        ("nanpercentile", "nan", 100),
    ]:  # fmt: skip
        f: Any = getattr(np, name)
        some = [0.1 * scale, 0.5 * scale, 0.93 * scale]
        calls = [
            lambda x, f=f, s=scale: f(x, 0.3 * s),
            lambda x, f=f, s=some: f(x, s, axis=1),
            lambda x, f=f, s=some: f(x, s, axis=0, keepdims=True),
            lambda x, f=f, s=scale: f(x, np.array([[0.2, 0.4], [0.6, 1.0]]) * s, axis=(0, 1)),
            lambda x, f=f, s=scale: f(x, 1.5 * s),
            lambda x, f=f, s=scale: f(x, 0.5 * s, axis=1, weights=x * x, method="inverted_cdf"),
            lambda x, f=f, s=some: f(x, s, weights=np.exp(-x), method="inverted_cdf"),
            lambda x, f=f, s=scale: f(x, 0.4 * s, axis=7),
        ]
        calls += [lambda x, f=f, s=some, m=m: f(x, s, axis=-1, method=m) for m in METHODS]
        if not name.startswith("nan"):
            weighted = {"weights": WEIGHTS, "method": "inverted_cdf", "axis": 1}
            calls.append(lambda x, f=f, s=some, w=weighted: f(x, s, **w))
            calls.append(lambda x, f=f, s=scale: f(x, 0.4 * s, method="nonsense"))
        rows.append(entry(f"numpy.{name}", *calls, domains=domain))
    rows.append(entry(
        "numpy.quantile", lambda x, q: np.quantile(x, q), lambda x, q: np.quantile(x, q, axis=0),
        lambda x, q: np.quantile(x, q, axis=1, method="hazen"), domains=("distinct", "probability"),
        shapes=((5, 4), (2,)), kinds="C, F, strided, single",
    ))  # fmt: skip
    for name, domain in (("median", "distinct"), ("nanmedian", "nan")):
        f = getattr(np, name)
        rows.append(entry(f"numpy.{name}", *_axes(f), domains=domain))
    return rows


def table() -> list[Entry]:
    """The entries of reductions."""
    rows = [*_folds(), *_moments(), *_flat(), *_running(), *_quantiles()]
    rows += [
        entry("numpy.ptp", *_axes(np.ptp), domains="distinct"),
        entry(
            "numpy.average",
            lambda x: np.average(x),
            lambda x: np.average(x, axis=0),
            lambda x: np.average(x, axis=1, weights=WEIGHTS),
            lambda x: np.average(x, weights=abs(x) + 1),
            lambda x: np.average(x, axis=1, weights=WEIGHTS, returned=True),
            lambda x: np.average(x, axis=1, weights=WEIGHTS, keepdims=True),
            lambda x: np.average(x, weights=WEIGHTS),
            lambda x: np.average(x, axis=0, weights=WEIGHTS[:2]),
            lambda x: np.average(x, axis=1, returned=True),
            domains="nonzero",
        ),
        entry(
            "numpy.cov",
            lambda x: np.cov(x),
            lambda x: np.cov(x, rowvar=False),
            lambda x: np.cov(x, bias=True),
            lambda x: np.cov(x, ddof=0),
            lambda x: np.cov(x[0], x[1]),
            lambda x: np.cov(x, aweights=WEIGHTS),
            lambda x: np.cov(x, fweights=[1, 2, 1, 3]),
            lambda x: np.cov(x, fweights=[1, 2, 1, 3], aweights=WEIGHTS, ddof=1),
            lambda x: np.cov(x[0]),
            kinds="C, F, strided, reversed, single, integer",
        ),
        entry(
            "numpy.corrcoef",
            lambda x: np.corrcoef(x),
            lambda x: np.corrcoef(x, rowvar=False),
            lambda x: np.corrcoef(x[0], x[2]),
            kinds="C, F, strided, reversed, single, integer",
            rtol=1e-9,
        ),
    ]
    return rows

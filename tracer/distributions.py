"""The common distributions of scipy.stats, as formulas of the standardised variable.

Written in NumPy and scipy.special, and differentiated as such.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..ir.records import dataclass

Formula = Callable[..., Any]
LOG_2PI = math.log(2 * math.pi)


class _Special:
    """scipy.special, which the user's import of scipy.stats has loaded."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.modules["scipy.special"], name)


S: Any = _Special()


def _always(*shapes: Any) -> Any:
    return True


def _positive(*shapes: Any) -> Any:
    allowed: Any = True
    for s in shapes:
        allowed = np.logical_and(allowed, s > 0)
    return allowed


@dataclass(frozen=True)
class Distribution:
    """Formulas of the standardised variable, or of a probability, and of the shapes.

    `low` and `high` are the ends of the support: numbers, or functions of the shapes.
    """

    shapes: tuple[str, ...] = ()
    formulas: Mapping[str, Formula] = ()  # type: ignore[assignment]
    low: Any = -math.inf
    high: Any = math.inf
    allowed: Callable[..., Any] = _positive
    discrete: bool = False

    @property
    def density(self) -> str:
        return "logpmf" if self.discrete else "logpdf"


# ------------------------------------------------------------------ continuous


def _distribution(
    shapes: str = "", low: Any = -math.inf, high: Any = math.inf, **formulas: Any
) -> Distribution:
    allowed = formulas.pop("allowed", _positive)
    return Distribution(tuple(shapes.split()), formulas, low, high, allowed)


def _symmetric(logpdf: Formula, cdf: Formula, logcdf: Formula, ppf: Formula) -> Distribution:
    """A distribution around zero: what lies above z is what lies below -z."""
    return _distribution(
        logpdf=logpdf,
        cdf=cdf,
        sf=lambda z: cdf(-z),
        logcdf=logcdf,
        logsf=lambda z: logcdf(-z),
        ppf=ppf,
        isf=lambda q: -ppf(q),
    )


def _t(z: Any, df: Any) -> Any:
    size = S.gammaln(0.5 * (df + 1)) - S.gammaln(0.5 * df) - 0.5 * np.log(math.pi * df)
    return size - 0.5 * (df + 1) * np.log1p(z * z / df)


def _f(z: Any, n: Any, m: Any) -> Any:
    size = 0.5 * (n * np.log(n) + m * np.log(m)) - S.betaln(0.5 * n, 0.5 * m)
    return size + S.xlogy(0.5 * n - 1, z) - 0.5 * (n + m) * np.log(m + n * z)


def _log_normal(z: Any) -> Any:
    return -0.5 * (z * z + LOG_2PI)


def _truncated(a: Any, b: Any) -> Any:
    """The chance of a standard normal variable to lie between, from the nearer tail."""
    return np.where(a > 0, S.ndtr(-a) - S.ndtr(-b), S.ndtr(b) - S.ndtr(a))


def _below(z: Any, a: Any) -> Any:
    return np.where(a > 0, S.ndtr(-a) - S.ndtr(-z), S.ndtr(z) - S.ndtr(a))


CONTINUOUS: dict[str, Distribution] = {
    "norm": _symmetric(
        _log_normal, lambda z: S.ndtr(z), lambda z: S.log_ndtr(z), lambda q: S.ndtri(q)
    ),
    "expon": _distribution(
        low=0.0,
        logpdf=lambda z: -z,
        cdf=lambda z: -np.expm1(-z),
        sf=lambda z: np.exp(-z),
        logsf=lambda z: -z,
        ppf=lambda q: -np.log1p(-q),
        isf=lambda q: -np.log(q),
    ),
    "gamma": _distribution(
        "a",
        0.0,
        logpdf=lambda z, a: S.xlogy(a - 1, z) - z - S.gammaln(a),
        cdf=lambda z, a: S.gammainc(a, z),
        sf=lambda z, a: S.gammaincc(a, z),
        ppf=lambda q, a: S.gammaincinv(a, q),
        isf=lambda q, a: S.gammainccinv(a, q),
    ),
    "beta": _distribution(
        "a b",
        0.0,
        1.0,
        logpdf=lambda z, a, b: S.xlog1py(b - 1, -z) + S.xlogy(a - 1, z) - S.betaln(a, b),
        cdf=lambda z, a, b: S.betainc(a, b, z),
        sf=lambda z, a, b: S.betaincc(a, b, z),
        ppf=lambda q, a, b: S.betaincinv(a, b, q),
        isf=lambda q, a, b: S.betainccinv(a, b, q),
    ),
    "t": _distribution(
        "df",
        logpdf=_t,
        cdf=lambda z, df: S.stdtr(df, z),
        sf=lambda z, df: S.stdtr(df, -z),
        ppf=lambda q, df: S.stdtrit(df, q),
        isf=lambda q, df: -S.stdtrit(df, q),
    ),
    "chi2": _distribution(
        "df",
        0.0,
        logpdf=lambda z, df: (
            S.xlogy(0.5 * df - 1, z) - 0.5 * z - S.gammaln(0.5 * df) - 0.5 * math.log(2) * df
        ),
        cdf=lambda z, df: S.chdtr(df, z),
        sf=lambda z, df: S.chdtrc(df, z),
        ppf=lambda q, df: 2 * S.gammaincinv(0.5 * df, q),
        isf=lambda q, df: S.chdtri(df, q),
    ),
    "f": _distribution(
        "dfn dfd",
        0.0,
        logpdf=_f,
        cdf=lambda z, n, m: S.fdtr(n, m, z),
        sf=lambda z, n, m: S.fdtrc(n, m, z),
        ppf=lambda q, n, m: S.fdtri(n, m, q),
    ),
    "lognorm": _distribution(
        "s",
        0.0,
        logpdf=lambda z, s: _log_normal(np.log(z) / s) - np.log(s * z),
        cdf=lambda z, s: S.ndtr(np.log(z) / s),
        sf=lambda z, s: S.ndtr(-np.log(z) / s),
        logcdf=lambda z, s: S.log_ndtr(np.log(z) / s),
        logsf=lambda z, s: S.log_ndtr(-np.log(z) / s),
        ppf=lambda q, s: np.exp(s * S.ndtri(q)),
        isf=lambda q, s: np.exp(-s * S.ndtri(q)),
    ),
    "uniform": _distribution(
        low=0.0,
        high=1.0,
        logpdf=lambda z: 0 * z,
        cdf=lambda z: z,
        sf=lambda z: 1 - z,
        ppf=lambda q: q,
        isf=lambda q: 1 - q,
    ),
    "laplace": _distribution(
        logpdf=lambda z: -np.abs(z) - math.log(2),
        cdf=lambda z: np.where(z > 0, 1 - 0.5 * np.exp(-z), 0.5 * np.exp(z)),
        sf=lambda z: np.where(z > 0, 0.5 * np.exp(-z), 1 - 0.5 * np.exp(z)),
        ppf=lambda q: np.where(q > 0.5, -np.log(2 * (1 - q)), np.log(2 * q)),
        isf=lambda q: np.where(q > 0.5, np.log(2 * (1 - q)), -np.log(2 * q)),
    ),
    "logistic": _symmetric(
        lambda z: -np.abs(z) - 2 * np.log1p(np.exp(-np.abs(z))),
        lambda z: S.expit(z),
        lambda z: S.log_expit(z),
        lambda q: S.logit(q),
    ),
    "cauchy": _distribution(
        logpdf=lambda z: -math.log(math.pi) - np.log1p(z * z),
        cdf=lambda z: np.arctan2(1, -z) / math.pi,
        sf=lambda z: np.arctan2(1, z) / math.pi,
        ppf=lambda q: np.tan(math.pi * q - 0.5 * math.pi),
        isf=lambda q: np.tan(0.5 * math.pi - math.pi * q),
    ),
    "halfnorm": _distribution(
        low=0.0,
        logpdf=lambda z: _log_normal(z) + math.log(2),
        cdf=lambda z: S.erf(z / math.sqrt(2)),
        sf=lambda z: S.erfc(z / math.sqrt(2)),
        ppf=lambda q: S.ndtri(0.5 * (1 + q)),
        isf=lambda q: -S.ndtri(0.5 * q),
    ),
    "halfcauchy": _distribution(
        low=0.0,
        logpdf=lambda z: math.log(2 / math.pi) - np.log1p(z * z),
        cdf=lambda z: 2 / math.pi * np.arctan(z),
        ppf=lambda q: np.tan(0.5 * math.pi * q),
    ),
    "weibull_min": _distribution(
        "c",
        0.0,
        logpdf=lambda z, c: np.log(c) + S.xlogy(c - 1, z) - z**c,
        cdf=lambda z, c: -np.expm1(-(z**c)),
        sf=lambda z, c: np.exp(-(z**c)),
        logsf=lambda z, c: -(z**c),
        ppf=lambda q, c: (-np.log1p(-q)) ** (1 / c),
        isf=lambda q, c: (-np.log(q)) ** (1 / c),
    ),
    "pareto": _distribution(
        "b",
        1.0,
        logpdf=lambda z, b: np.log(b) - (b + 1) * np.log(z),
        cdf=lambda z, b: 1 - z**-b,
        sf=lambda z, b: z**-b,
        logsf=lambda z, b: -b * np.log(z),
        ppf=lambda q, b: (1 - q) ** (-1 / b),
        isf=lambda q, b: q ** (-1 / b),
    ),
    "invgamma": _distribution(
        "a",
        0.0,
        logpdf=lambda z, a: -(a + 1) * np.log(z) - S.gammaln(a) - 1 / z,
        cdf=lambda z, a: S.gammaincc(a, 1 / z),
        sf=lambda z, a: S.gammainc(a, 1 / z),
        ppf=lambda q, a: 1 / S.gammainccinv(a, q),
        isf=lambda q, a: 1 / S.gammaincinv(a, q),
    ),
    "invgauss": _distribution(
        "mu",
        0.0,
        logpdf=lambda z, mu: -0.5 * (LOG_2PI + 3 * np.log(z) + ((z - mu) / mu) ** 2 / z),
        cdf=lambda z, mu: (
            S.ndtr((z / mu - 1) / np.sqrt(z))
            + np.exp(2 / mu + S.log_ndtr(-(z / mu + 1) / np.sqrt(z)))
        ),
    ),
    "gumbel_r": _distribution(
        logpdf=lambda z: -z - np.exp(-z),
        cdf=lambda z: np.exp(-np.exp(-z)),
        logcdf=lambda z: -np.exp(-z),
        sf=lambda z: -np.expm1(-np.exp(-z)),
        ppf=lambda q: -np.log(-np.log(q)),
        isf=lambda q: -np.log(-np.log1p(-q)),
    ),
    "gumbel_l": _distribution(
        logpdf=lambda z: z - np.exp(z),
        cdf=lambda z: -np.expm1(-np.exp(z)),
        sf=lambda z: np.exp(-np.exp(z)),
        logsf=lambda z: -np.exp(z),
        ppf=lambda q: np.log(-np.log1p(-q)),
        isf=lambda q: np.log(-np.log(q)),
    ),
    "rayleigh": _distribution(
        low=0.0,
        logpdf=lambda z: np.log(z) - 0.5 * z * z,
        cdf=lambda z: -np.expm1(-0.5 * z * z),
        sf=lambda z: np.exp(-0.5 * z * z),
        logsf=lambda z: -0.5 * z * z,
        ppf=lambda q: np.sqrt(-2 * np.log1p(-q)),
        isf=lambda q: np.sqrt(-2 * np.log(q)),
    ),
    "powerlaw": _distribution(
        "a",
        0.0,
        1.0,
        logpdf=lambda z, a: np.log(a) + S.xlogy(a - 1, z),
        cdf=lambda z, a: z**a,
        logcdf=lambda z, a: a * np.log(z),
        ppf=lambda q, a: q ** (1 / a),
    ),
    "skewnorm": _distribution(
        "a",
        allowed=_always,
        logpdf=lambda z, a: math.log(2) + _log_normal(z) + S.log_ndtr(a * z),
        cdf=lambda z, a: S.ndtr(z) - 2 * S.owens_t(z, a),
    ),
    "truncnorm": _distribution(
        "a b",
        lambda a, b: a,
        lambda a, b: b,
        allowed=lambda a, b: a < b,
        logpdf=lambda z, a, b: _log_normal(z) - np.log(_truncated(a, b)),
        cdf=lambda z, a, b: _below(z, a) / _truncated(a, b),
    ),
    "vonmises": _distribution(
        "kappa",
        logpdf=lambda z, k: k * S.cosm1(z) - LOG_2PI - np.log(S.i0e(k)),
    ),
}
CONTINUOUS["erlang"] = CONTINUOUS["gamma"]
CONTINUOUS["wald"] = _distribution(
    low=0.0,
    logpdf=lambda z: CONTINUOUS["invgauss"].formulas["logpdf"](z, 1.0),
    cdf=lambda z: CONTINUOUS["invgauss"].formulas["cdf"](z, 1.0),
)

# ------------------------------------------------------------------ discrete


def _binom(k: Any, n: Any, p: Any) -> Any:
    ways = S.gammaln(n + 1) - S.gammaln(k + 1) - S.gammaln(n - k + 1)
    return ways + S.xlogy(k, p) + S.xlog1py(n - k, -p)


def is_chance(p: Any) -> Any:
    return np.logical_and(p >= 0, p <= 1)


DISCRETE: dict[str, Distribution] = {
    "poisson": Distribution(
        ("mu",),
        {
            "logpmf": lambda k, mu: S.xlogy(k, mu) - S.gammaln(k + 1) - mu,
            "cdf": lambda k, mu: S.pdtr(k, mu),
            "sf": lambda k, mu: S.pdtrc(k, mu),
        },
        0,
        allowed=lambda mu: mu >= 0,
        discrete=True,
    ),
    "binom": Distribution(
        ("n", "p"),
        {
            "logpmf": _binom,
            "cdf": lambda k, n, p: S.bdtr(k, n, p),
            "sf": lambda k, n, p: S.bdtrc(k, n, p),
        },
        0,
        lambda n, p: n,
        allowed=lambda n, p: np.logical_and(n >= 0, is_chance(p)),
        discrete=True,
    ),
    "bernoulli": Distribution(
        ("p",),
        {
            "logpmf": lambda k, p: S.xlogy(k, p) + S.xlog1py(1 - k, -p),
            "cdf": lambda k, p: np.where(k < 1, 1 - p, 1.0),
        },
        0,
        1,
        allowed=is_chance,
        discrete=True,
    ),
    "geom": Distribution(
        ("p",),
        {
            "logpmf": lambda k, p: np.log(p) + S.xlog1py(k - 1, -p),
            "cdf": lambda k, p: -np.expm1(k * np.log1p(-p)),
            "sf": lambda k, p: np.exp(k * np.log1p(-p)),
        },
        1,
        allowed=is_chance,
        discrete=True,
    ),
    "nbinom": Distribution(
        ("n", "p"),
        {
            "logpmf": lambda k, n, p: (
                S.gammaln(n + k)
                - S.gammaln(k + 1)
                - S.gammaln(n)
                + S.xlogy(n, p)
                + S.xlog1py(k, -p)
            ),
            "cdf": lambda k, n, p: S.betainc(n, k + 1, p),
            "sf": lambda k, n, p: S.betaincc(n, k + 1, p),
        },
        0,
        allowed=lambda n, p: np.logical_and(n > 0, is_chance(p)),
        discrete=True,
    ),
}

"""Rows of scipy.special that integrate a density: incomplete gamma and beta functions, their
inverses, and the distribution functions of probability that are written in them.

The slope by the upper limit is the density, that of an inverse its reciprocal.  By the parameters
(shapes, degrees of freedom) there is no closed form, and asking for it is an error.
"""

from __future__ import annotations

import math
from typing import Any

from ..prim import PRIMS, NoPartial
from .arithmetic import Term, exp, greater, log, log1p, select, sqrt
from .logic import floor
from .special import (
    SQRT_2PI,
    betaln,
    digamma,
    exprel,
    exprel_slope,
    gammaln,
    special,
    xlog1py,
    xlogy,
)

_SHAPE = NoPartial(
    "an integral by its shape parameter has no closed form; differences of values, or the "
    "derivative of the logarithm of the density (scipy.stats' logpdf), may serve"
)
_INTEGER = NoPartial("it counts events, and is rounded down")
_FREEDOM = NoPartial("an inverse by degrees of freedom has no closed form")


def gamma_density(x: Term, a: Term) -> Term:
    """x^(a-1) e^-x / Gamma(a), also at 0."""
    return exp(xlogy(a - 1, x) - x - gammaln(a))


def beta_density(x: Term, a: Term, b: Term) -> Term:
    """x^(a-1) (1-x)^(b-1) / B(a, b), also at 0 and 1."""
    return exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))


def t_density(x: Term, df: Term) -> Term:
    """Student's density."""
    scale = gammaln(0.5 * (df + 1)) - gammaln(0.5 * df) - 0.5 * log(math.pi * df)
    return exp(scale - 0.5 * (df + 1) * log1p(x * x / df))


def f_density(x: Term, m: Term, n: Term) -> Term:
    """Fisher's density with m and n degrees of freedom."""
    z = m * x / (m * x + n)
    return beta_density(z, 0.5 * m, 0.5 * n) * m * n / ((m * x + n) * (m * x + n))


# ------------------------------------------------------------------ gamma

gammainc2 = special(
    "gammainc2", lambda y, a, x: (_SHAPE, gamma_density(x, a)), domain="positive", scipy="gammainc"
)
gammaincc2 = special(
    "gammaincc2",
    lambda y, a, x: (_SHAPE, -gamma_density(x, a)),
    domain="positive",
    scipy="gammaincc",
)
gammaincinv = special(
    "gammaincinv",
    lambda y, a, p: (_SHAPE, 1 / gamma_density(y, a)),
    domain="positive, probability",
)
gammainccinv = special(
    "gammainccinv",
    lambda y, a, p: (_SHAPE, -1 / gamma_density(y, a)),
    domain="positive, probability",
)


def _gdtr(sign: int) -> Any:
    def partials(y: Term, a: Term, b: Term, x: Term) -> tuple[Any, ...]:
        density = sign * gamma_density(a * x, b)
        return x * density, _SHAPE, a * density

    return partials


gdtr = special("gdtr", _gdtr(1), domain="positive")
gdtrc = special("gdtrc", _gdtr(-1), domain="positive")
gdtrix = special(
    "gdtrix",
    lambda y, a, b, p: (-y / a, _SHAPE, 1 / (a * gamma_density(a * y, b))),
    domain="positive, positive, probability",
)
gdtria = special(
    "gdtria",
    lambda y, p, b, x: (1 / (x * gamma_density(y * x, b)), _SHAPE, -y / x),
    domain="probability, positive, positive",
)


def _chi2(x: Term, df: Term) -> Term:
    return 0.5 * gamma_density(0.5 * x, 0.5 * df)


chdtr = special("chdtr", lambda y, df, x: (_SHAPE, _chi2(x, df)), domain="positive")
chdtrc = special("chdtrc", lambda y, df, x: (_SHAPE, -_chi2(x, df)), domain="positive")
chdtri = special(
    "chdtri", lambda y, df, p: (_SHAPE, -1 / _chi2(y, df)), domain="positive, probability"
)


def _poisson(k: Term, m: Term) -> Term:
    whole = floor(k)
    return exp(xlogy(whole, m) - m - gammaln(whole + 1))


pdtr = special("pdtr", lambda y, k, m: (_INTEGER, -_poisson(k, m)), domain="positive")
pdtrc = special("pdtrc", lambda y, k, m: (_INTEGER, _poisson(k, m)), domain="positive")
pdtri = special(
    "pdtri", lambda y, k, p: (_INTEGER, -1 / _poisson(k, y)), domain="positive, probability"
)

# ------------------------------------------------------------------ beta

_UNIT = "positive, positive, probability"
betainc = special(
    "betainc", lambda y, a, b, x: (_SHAPE, _SHAPE, beta_density(x, a, b)), domain=_UNIT
)
betaincc = special(
    "betaincc", lambda y, a, b, x: (_SHAPE, _SHAPE, -beta_density(x, a, b)), domain=_UNIT
)
betaincinv = special(
    "betaincinv", lambda y, a, b, p: (_SHAPE, _SHAPE, 1 / beta_density(y, a, b)), domain=_UNIT
)
betainccinv = special(
    "betainccinv", lambda y, a, b, p: (_SHAPE, _SHAPE, -1 / beta_density(y, a, b)), domain=_UNIT
)
stdtr = special("stdtr", lambda y, df, t: (_SHAPE, t_density(t, df)), domain="positive, real")
stdtrit = special(
    "stdtrit", lambda y, df, p: (_SHAPE, 1 / t_density(y, df)), domain="positive, probability"
)
fdtr = special("fdtr", lambda y, m, n, x: (_SHAPE, _SHAPE, f_density(x, m, n)), domain="positive")
fdtrc = special(
    "fdtrc", lambda y, m, n, x: (_SHAPE, _SHAPE, -f_density(x, m, n)), domain="positive"
)
fdtri = special("fdtri", lambda y, m, n, p: (_SHAPE, _SHAPE, 1 / f_density(y, m, n)), domain=_UNIT)

# ------------------------------------------------------------------ others


def _noncentral(x: Term, df: Term, nc: Term) -> Term:
    """The density of a noncentral chi-squared variable."""
    from_bessel = PRIMS["ive2"](0.5 * df - 1, sqrt(nc * x))
    size = -0.5 * (x + nc) + sqrt(nc * x) + (0.25 * df - 0.5) * log(x / nc)
    return 0.5 * exp(size) * from_bessel


def _chndtr_partials(y: Term, x: Term, df: Term, nc: Term) -> tuple[Any, ...]:
    return _noncentral(x, df, nc), _SHAPE, 0.5 * (chndtr(x, df + 2, nc) - y)


chndtr: Any = special("chndtr", _chndtr_partials, domain="positive")
chndtrix = special(
    "chndtrix",
    lambda y, p, df, nc: (
        1 / (density := _noncentral(y, df, nc)),
        _SHAPE,
        0.5 * (p - chndtr(y, df + 2, nc)) / density,
    ),
    domain="probability, positive, positive",
)
ndtri_exp = special("ndtri_exp", lambda y, x: (SQRT_2PI * exp(0.5 * y * y + x),), domain="negative")
tklmbda = special(
    "tklmbda",
    lambda y, x, lam: (1 / (y ** (lam - 1) + (1 - y) ** (lam - 1)), _SHAPE),
    domain="small, probability",
)


def _inv_boxcox_partials(y: Term, x: Term, p: Term) -> tuple[Any, ...]:
    """With y = exp(L), L = log1p(p x) / p: also at p = 0, where L is x."""
    u = p * x
    near = greater(1e-4, u * u)
    harmless = select(near, 1, u)
    # (u / (1 + u) - log1p(u)) / u^2
    quotient = (harmless / (1 + harmless) - log1p(harmless)) / (harmless * harmless)
    series = -0.5 + u * (2 / 3 - u * (3 / 4 - u * (4 / 5 - u * (5 / 6 - u * (6 / 7)))))
    return y / (1 + u), y * x * x * select(near, series, quotient)


def _inv_boxcox1p_partials(y: Term, x: Term, p: Term) -> tuple[Any, ...]:
    return _inv_boxcox_partials(y + 1, x, p)


def _boxcox1p_partials(y: Term, x: Term, p: Term) -> tuple[Any, ...]:
    size = log1p(x)
    u = p * size
    return exp(u) / (1 + x), size * size * exprel_slope(exprel(u), u)


inv_boxcox = special("inv_boxcox", _inv_boxcox_partials, domain="positive, probability")
inv_boxcox1p = special("inv_boxcox1p", _inv_boxcox1p_partials, domain="positive, probability")
boxcox1p = special("boxcox1p", _boxcox1p_partials, domain="positive, real")
power_minus_one = special(
    "power_minus_one",
    lambda y, x, p: (p * (y + 1) / x, (y + 1) * log(x)),
    domain="positive, real",
    scipy="powm1",
)
loggamma = special("loggamma", lambda y, x: (digamma(x),), domain="positive")

# ------------------------------------------------------------------ noncentral distributions


def _chndtrinc_partials(y: Term, x: Term, df: Term, p: Term) -> tuple[Any, ...]:
    by_nc = 0.5 * (chndtr(x, df + 2, y) - p)
    return -_noncentral(x, df, y) / by_nc, _SHAPE, 1 / by_nc


chndtrinc = special("chndtrinc", _chndtrinc_partials, domain="positive, positive, probability")


def _ncf_shifted(m: Term, n: Term, nc: Term, f: Term, k: int) -> Term:
    """The distribution with k terms left out of its mixture of beta distributions."""
    return ncfdtr(m + 2 * k, n, nc, f * m / (m + 2 * k))


def _ncf_slopes(y: Term, m: Term, n: Term, nc: Term, f: Term) -> tuple[Term, Term]:
    """By nc and by f: sum_j Poisson(j; nc/2) I_x(m/2 + j, n/2) with x = m f / (m f + n).

    A density is x^(a-1) (1-x)^(b-1) / B(a, b) = a (I_x(a, b) - I_x(a + 1, b)) / (x (1 - x)).
    """
    first, second = (_ncf_shifted(m, n, nc, f, k) for k in (1, 2))
    return 0.5 * (first - y), 0.5 * (m * (y - first) + nc * (first - second)) / f


ncfdtr: Any = special(
    "ncfdtr",
    lambda y, m, n, nc, f: (_SHAPE, _SHAPE, *_ncf_slopes(y, m, n, nc, f)),
    domain="positive",
)


def _ncfdtri_partials(y: Term, m: Term, n: Term, nc: Term, p: Term) -> tuple[Any, ...]:
    by_nc, density = _ncf_slopes(p, m, n, nc, y)
    return _SHAPE, _SHAPE, -by_nc / density, 1 / density


def _ncfdtrinc_partials(y: Term, m: Term, n: Term, p: Term, f: Term) -> tuple[Any, ...]:
    by_nc, density = _ncf_slopes(p, m, n, y, f)
    return _SHAPE, _SHAPE, 1 / by_nc, -density / by_nc


ncfdtri = special("ncfdtri", _ncfdtri_partials, domain="positive, positive, positive, probability")
ncfdtrinc = special(
    "ncfdtrinc", _ncfdtrinc_partials, domain="positive, positive, probability, positive"
)

# ------------------------------------------------------------------ Kolmogorov's distribution


def _kolmogorov_density(x: Term) -> Term:
    """8 x sum (-1)^(k-1) k^2 exp(-2 k^2 x^2); for small x by the other theta series."""
    far = greater(x, 0.8)
    a, b = select(far, x, 1), select(far, 1, x)
    above = [(-1) ** (k - 1) * k * k * exp(-2 * k * k * a * a) for k in range(1, 6)]
    u = math.pi * math.pi / (8 * b * b)
    below = [exp(-j * j * u) * (2 * j * j * u - 1) for j in (1, 3, 5)]
    small = SQRT_2PI * sum(below[1:], below[0]) / (b * b)
    return select(far, 8 * a * sum(above[1:], above[0]), small)


kolmogorov = special("kolmogorov", lambda y, x: (-_kolmogorov_density(x),), domain="positive")
kolmogi = special("kolmogi", lambda y, p: (-1 / _kolmogorov_density(y),), domain="probability")

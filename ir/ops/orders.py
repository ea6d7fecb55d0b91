"""Rows of scipy.special that solve a linear differential equation: Bessel functions of any order,
Struve's, Kelvin's, Airy's, parabolic cylinders, hypergeometric functions, and some integrals.

Derivatives by the argument are recurrences in the order, which hold at 0 as well; by the order
itself there is no closed form, and asking for it is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..prim import NoPartial, Prim
from .arithmetic import Term, cos, exp, greater, log, number, select, sign, sin, sinh, sqrt
from .logic import maximum
from .special import (
    SPECIAL_UFUNCS,
    gammaln,
    i0,
    infer_floats,
    j0,
    k0,
    refusing,
    scipy_function,
    special,
    y0,
)

_ORDER = NoPartial("Bessel functions and their kin have no closed derivative by the order")
_PARAMETER = NoPartial("hypergeometric functions have no closed derivative by their parameters")
Partials = Callable[..., tuple[Any, ...]]


def component(name: str, ufunc: str, k: int, partials: Partials, domain: str = "real") -> Prim:
    """A row for the k-th result of a ufunc that has several: a host step."""
    lazy = scipy_function(ufunc)
    return Prim(
        name=name,
        infer=infer_floats(name, partials.__code__.co_argcount - 1),
        ref=lambda *xs: lazy(*xs)[k],
        partials=refusing(ufunc, partials),
        domain=domain,
    )


# ------------------------------------------------------------------ Bessel

_X = "positive, positive"


def _bessel(name: str, slope: Callable[[Any, Term, Term, Term], Term]) -> Prim:
    """A row of order and argument, `slope(row, y, v, x)` being the derivative by the argument."""

    def partials(y: Term, v: Term, x: Term) -> tuple[Any, ...]:
        return _ORDER, slope(row, y, v, x)

    row = special(f"{name}2", partials, domain=_X, scipy=name)
    return row


def _difference(f: Any, y: Term, v: Term, x: Term) -> Term:
    return 0.5 * (f(v - 1, x) - f(v + 1, x))


def _sum(f: Any, y: Term, v: Term, x: Term) -> Term:
    return 0.5 * (f(v - 1, x) + f(v + 1, x))


jv2 = _bessel("jv", _difference)
yv2 = _bessel("yv", _difference)
iv2 = _bessel("iv", _sum)
kv2 = _bessel("kv", lambda f, y, v, x: -_sum(f, y, v, x))
ive2 = _bessel("ive", lambda f, y, v, x: _sum(f, y, v, x) - sign(x) * y)
kve2 = _bessel("kve", lambda f, y, v, x: y - _sum(f, y, v, x))
# For real arguments the factor exp(-|Im x|) is 1.
jve2 = _bessel("jve", _difference)
yve2 = _bessel("yve", _difference)


def _struve_partials(modified: bool) -> Callable[[Any, Term, Term, Term], Term]:
    def slope(f: Any, y: Term, v: Term, x: Term) -> Term:
        size = exp(v * log(0.5 * x) - gammaln(v + 1.5)) / math.sqrt(math.pi)
        if modified:
            return 0.5 * (f(v - 1, x) + f(v + 1, x) + size)
        return 0.5 * (f(v - 1, x) - f(v + 1, x) + size)

    return slope


struve = _bessel("struve", _struve_partials(False))
modstruve = _bessel("modstruve", _struve_partials(True))


def _expn_slope(n: Term, x: Term, y: Term) -> Term:
    """-E_{n-1}(x); E_{-1} is not one of SciPy's."""
    first = greater(0.5, n)
    lower = -expn2(select(first, 1, n) - 1, x)
    return select(first, -exp(-x) / x * (1 + 1 / x), lower)


expn2: Any = special(
    "expn2",
    lambda y, n, x: (_ORDER, _expn_slope(n, x, y)),
    domain="above 1, positive",
    scipy="expn",
)

# ------------------------------------------------------------------ spherical Bessel functions


def _spherical(name: str, first: int, second: int) -> Prim:
    """A row of an integer order n and an argument.

    f_n' = (first n f_{n-1} + second (n + 1) f_{n+1}) / (2 n + 1), which holds at 0 too.
    """
    lazy = scipy_function(name)

    def partials(y: Term, n: Term, x: Term) -> tuple[Any, ...]:
        below = row(select(greater(0.5, n), 1, n) - 1, x)
        return _ORDER, (first * n * below + second * (n + 1) * row(n + 1, x)) / (2 * n + 1)

    row = Prim(
        name=name,
        infer=infer_floats(name, 2),
        ref=lambda n, x: np.asarray(lazy(np.asarray(n).astype(int), x), x.dtype),
        partials=refusing(name, partials),
        domain="positive",
    )
    return row


spherical_jn = _spherical("spherical_jn", 1, -1)
spherical_yn = _spherical("spherical_yn", 1, -1)
spherical_in = _spherical("spherical_in", 1, 1)
spherical_kn = _spherical("spherical_kn", -1, -1)

# ------------------------------------------------------------------ Kelvin

bei: Any = special("bei", lambda y, x: (beip(x),), domain="positive")
ber: Any = special("ber", lambda y, x: (berp(x),), domain="positive")
beip: Any = special("beip", lambda y, x: (ber(x) - y / x,), domain="positive")
berp: Any = special("berp", lambda y, x: (-bei(x) - y / x,), domain="positive")
kei: Any = special("kei", lambda y, x: (keip(x),), domain="positive")
ker: Any = special("ker", lambda y, x: (kerp(x),), domain="positive")
keip: Any = special("keip", lambda y, x: (ker(x) - y / x,), domain="positive")
kerp: Any = special("kerp", lambda y, x: (-kei(x) - y / x,), domain="positive")

# ------------------------------------------------------------------ Airy, parabolic cylinders

airy_a: Any = component("airy_a", "airy", 0, lambda y, x: (airy_ap(x),))
airy_ap: Any = component("airy_ap", "airy", 1, lambda y, x: (x * airy_a(x),))
airy_b: Any = component("airy_b", "airy", 2, lambda y, x: (airy_bp(x),))
airy_bp: Any = component("airy_bp", "airy", 3, lambda y, x: (x * airy_b(x),))


def _root(x: Term) -> Term:
    """The slope of the exponent that Airy functions are scaled by: none left of 0."""
    return sqrt(maximum(x, 0))


airye_a: Any = component(
    "airye_a", "airye", 0, lambda y, x: (airye_ap(x) + _root(x) * y,), "positive"
)
airye_ap: Any = component(
    "airye_ap", "airye", 1, lambda y, x: (x * airye_a(x) + _root(x) * y,), "positive"
)
airye_b: Any = component("airye_b", "airye", 2, lambda y, x: (airye_bp(x) - _root(x) * y,))
airye_bp: Any = component("airye_bp", "airye", 3, lambda y, x: (x * airye_b(x) - _root(x) * y,))

pbdv: Any = component("pbdv", "pbdv", 0, lambda y, v, x: (_ORDER, pbdvp(v, x)))
pbdvp: Any = component(
    "pbdvp", "pbdv", 1, lambda y, v, x: (_ORDER, (0.25 * x * x - v - 0.5) * pbdv(v, x))
)
pbvv: Any = component("pbvv", "pbvv", 0, lambda y, v, x: (_ORDER, pbvvp(v, x)))
pbvvp: Any = component(
    "pbvvp", "pbvv", 1, lambda y, v, x: (_ORDER, (0.25 * x * x - v - 0.5) * pbvv(v, x))
)
pbwa: Any = component("pbwa", "pbwa", 0, lambda y, a, x: (_ORDER, pbwap(a, x)))
pbwap: Any = component(
    "pbwap", "pbwa", 1, lambda y, a, x: (_ORDER, (a - 0.25 * x * x) * pbwa(a, x))
)

# ------------------------------------------------------------------ integrals


def _over(value: Callable[[Term], Term], x: Term, at_zero: int) -> Term:
    """`value(x) / x`, where a quotient of two zeros has this value."""
    near = greater(1e-300, x * x)
    harmless = select(near, 1, x)
    return select(near, at_zero, value(harmless) / harmless)


si = component("si", "sici", 0, lambda y, x: (_over(sin, x, 1),))
ci = component("ci", "sici", 1, lambda y, x: (cos(x) / x,), "positive")
shi = component("shi", "shichi", 0, lambda y, x: (_over(sinh, x, 1),))
chi = component("chi", "shichi", 1, lambda y, x: (0.5 * (exp(x) + exp(-x)) / x,), "positive")
fresnel_s = component("fresnel_s", "fresnel", 0, lambda y, x: (sin(0.5 * math.pi * x * x),))
fresnel_c = component("fresnel_c", "fresnel", 1, lambda y, x: (cos(0.5 * math.pi * x * x),))
iti0 = component("iti0", "iti0k0", 0, lambda y, x: (i0(x),), "positive")
itk0 = component("itk0", "iti0k0", 1, lambda y, x: (k0(x),), "positive")
itj0 = component("itj0", "itj0y0", 0, lambda y, x: (j0(x),), "positive")
ity0 = component("ity0", "itj0y0", 1, lambda y, x: (y0(x),), "positive")
it2i0 = component(
    "it2i0", "it2i0k0", 0, lambda y, x: (_over(lambda x: i0(x) - 1, x, 0),), "positive"
)
it2k0 = component("it2k0", "it2i0k0", 1, lambda y, x: (-k0(x) / x,), "positive")
it2j0 = component(
    "it2j0", "it2j0y0", 0, lambda y, x: (_over(lambda x: 1 - j0(x), x, 0),), "positive"
)
it2y0 = component("it2y0", "it2j0y0", 1, lambda y, x: (-y0(x) / x,), "positive")
itairy_a = component("itairy_a", "itairy", 0, lambda y, x: (airy_a(x),), "positive")
itairy_b = component("itairy_b", "itairy", 1, lambda y, x: (airy_b(x),), "positive")
itairy_am = component("itairy_am", "itairy", 2, lambda y, x: (airy_a(-x),), "positive")
itairy_bm = component("itairy_bm", "itairy", 3, lambda y, x: (airy_b(-x),), "positive")
itstruve0 = special("itstruve0", lambda y, x: (struve(number(0, x), x),), domain="positive")
itmodstruve0 = special(
    "itmodstruve0", lambda y, x: (modstruve(number(0, x), x),), domain="positive"
)
it2struve0 = special("it2struve0", lambda y, x: (-struve(number(0, x), x) / x,), domain="positive")

besselpoly: Any = special(  # of x^p J_v(2 a x) from 0 to 1
    "besselpoly",
    lambda y, a, p, v: ((jv2(v, 2 * a) - (p + 1) * y) / a, _PARAMETER, _ORDER),
    domain="positive",
)

# ------------------------------------------------------------------ hypergeometric

hyp0f1: Any = special(
    "hyp0f1", lambda y, b, z: (_PARAMETER, hyp0f1(b + 1, z) / b), domain="positive"
)
hyp1f1: Any = special(
    "hyp1f1",
    lambda y, a, b, x: (_PARAMETER, _PARAMETER, a / b * hyp1f1(a + 1, b + 1, x)),
    domain="positive, positive, real",
)
hyp2f1: Any = special(
    "hyp2f1",
    lambda y, a, b, c, z: (
        *(_PARAMETER, _PARAMETER, _PARAMETER),
        a * b / c * hyp2f1(a + 1, b + 1, c + 1, z),
    ),
    domain="positive, positive, positive, small",
)
hyperu: Any = special(
    "hyperu",
    lambda y, a, b, x: (_PARAMETER, _PARAMETER, -a * hyperu(a + 1, b + 1, x)),
    domain="positive",
)
wright_bessel: Any = special(
    "wright_bessel",
    lambda y, a, b, x: (_PARAMETER, _PARAMETER, wright_bessel(a, a + b, x)),
    domain="positive",
)
log_wright_bessel: Any = special(
    "log_wright_bessel",
    lambda y, a, b, x: (_PARAMETER, _PARAMETER, exp(log_wright_bessel(a, a + b, x) - y)),
    domain="positive",
)

SPECIAL_UFUNCS |= {"jn": jv2}

"""Rows about Faddeeva's function w(z) = exp(-z^2) erfc(-iz): itself, and the Voigt profile."""

from __future__ import annotations

import math
from typing import Any

from ..prim import Prim
from ..types import Aval
from .arithmetic import Term, complex_, imag, real, type_rule
from .special import SPECIAL_UFUNCS, scipy_function, special

_rule = type_rule("wofz", 1, "c")


def _wofz_infer(z: Aval) -> Aval:
    return _rule(z)


wofz: Any = Prim(
    name="wofz",
    infer=_wofz_infer,
    ref=scipy_function("wofz"),
    partials=lambda y, z: (-2 * z * y + 2j / math.sqrt(math.pi),),
    domain="complex",
)
SPECIAL_UFUNCS["wofz"] = wofz


def _voigt_partials(y: Term, x: Term, sigma: Term, gamma: Term) -> tuple[Any, ...]:
    """The profile is Re w(z) / (sigma sqrt(2 pi)) with z = (x + i gamma) / (sigma sqrt(2))."""
    root = math.sqrt(2.0)
    a, b = x / (root * sigma), gamma / (root * sigma)
    w = wofz(complex_(a, b))
    re, im = real(w), imag(w)
    # w' = -2 z w + 2i / sqrt(pi)
    slope_re = -2 * (a * re - b * im)
    slope_im = -2 * (a * im + b * re) + 2 / math.sqrt(math.pi)
    by_z = 1 / (2 * math.sqrt(math.pi) * sigma * sigma)
    along = (a * slope_re - b * slope_im) / (sigma * sigma * math.sqrt(2 * math.pi))
    return slope_re * by_z, -y / sigma - along, -slope_im * by_z


voigt_profile = special("voigt_profile", _voigt_partials, domain="real, positive, positive")

"""Rows that round and ask: extrema, rounding, remainders, predicates, bits of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Value
from ..prim import Prim
from .arithmetic import elementwise, equal, less, number, or_, select, sign

# ------------------------------------------------------------------ extrema


def _shares(a_wins: Value, b_wins: Value, a: Value, b: Value) -> tuple[Any, Any]:
    """1 for the operand that wins, 0 for the other; each 1/2 where they tie."""
    one, none, half = (number(x, a) for x in (1, 0, 0.5))
    ties = equal(a, b)
    return tuple(select(ties, half, select(wins, one, none)) for wins in (a_wins, b_wins))


def _extremum(name: str, ref: np.ufunc, text: str, sign_: str, bools: str, partials: Any) -> Prim:
    return elementwise(
        name,
        ref,
        f"ll.{text}({{0}}, {{1}})",
        partials,
        kinds="biuf",
        ints=f"ll.select({{0}} {sign_} {{1}}, {{0}}, {{1}})",
        bools=f"{{0}} {bools} {{1}}",
        commutes=True,
        domain="lattice, shifted lattice",
    )


maximum = _extremum(
    "maximum",
    np.maximum,
    "fmaximum",
    ">",
    "|",
    lambda y, a, b: _shares(less(b, a), less(a, b), a, b),
)
minimum = _extremum(
    "minimum",
    np.minimum,
    "fminimum",
    "<",
    "&",
    lambda y, a, b: _shares(less(a, b), less(b, a), a, b),
)
# A NaN loses to every number.
fmax = _extremum(
    "fmax",
    np.fmax,
    "fmax",
    ">",
    "|",
    lambda y, a, b: _shares(or_(less(b, a), isnan(b)), or_(less(a, b), isnan(a)), a, b),
)
fmin = _extremum(
    "fmin",
    np.fmin,
    "fmin",
    "<",
    "&",
    lambda y, a, b: _shares(or_(less(a, b), isnan(b)), or_(less(b, a), isnan(a)), a, b),
)

# ------------------------------------------------------------------ rounding


def _rounding(name: str, ref: np.ufunc, kinds: str = "biuf") -> Prim:
    text = f"ll.{name}({{0}})"
    why = "piecewise constant"
    return elementwise(name, ref, text, kinds=kinds, ints="{0}", bools="{0}", nondiff=why)


floor: Prim = _rounding("floor", np.floor)
ceil = _rounding("ceil", np.ceil)
trunc: Prim = _rounding("trunc", np.trunc)
rint = _rounding("rint", np.rint, "f")

# ------------------------------------------------------------------ remainders

fmod = elementwise(
    "fmod",
    np.fmod,
    "np.fmod({0}, {1})",
    lambda y, a, b: (1, -trunc(a / b)),
    kinds="iuf",
    # Python's remainder has the sign of the divisor, C's that of the dividend.
    ints="{0} % {1} - {1} * (({0} % {1} != 0) & (({0} < 0) != ({1} < 0)))",
    cost=20,
    domain="dividend, divisor",
)
remainder = elementwise(
    "remainder",
    np.remainder,
    "{0} % {1}",
    lambda y, a, b: (1, -floor(a / b)),
    kinds="iuf",
    cost=20,
    domain="dividend, divisor",
)
floordiv = elementwise(
    "floordiv",
    np.floor_divide,
    "{0} // {1}",
    kinds="iuf",
    # The quotient by -1 apart: that of the least integer overflows.
    ints="ll.select({1} == -1, {0} - {0} - {0}, {0} // {1})",
    cost=20,
    nondiff="piecewise constant",
    domain="dividend, divisor",
)

# ------------------------------------------------------------------ floating-point format

copysign: Prim = elementwise(
    "copysign",
    np.copysign,
    "ll.copysign({0}, {1})",
    lambda y, a, b: (sign(a) * copysign(number(1, b), b), None),
    domain="nonzero",
)
nextafter = elementwise("nextafter", np.nextafter, None, nondiff="it steps from float to float")
spacing = elementwise("spacing", np.spacing, None, nondiff="piecewise constant")
heaviside = elementwise(
    "heaviside",
    np.heaviside,
    "ll.select({0} == 0, {1}, ll.select({0} > 0, ll.f{t}(1.0),"
    " ll.select({0} < 0, ll.f{t}(0.0), {0})))",
    lambda y, x, h: (None, select(equal(x, 0), number(1, h), number(0, h))),
    cost=3,
    domain="nonzero",
)


def _predicate(name: str, ref: np.ufunc, ints: str, kinds: str = "biufc") -> Prim:
    text, why = f"ll.{name}({{0}})", "piecewise constant"
    return elementwise(
        name, ref, text, kinds=kinds, result="bool", ints=ints, bools=ints, nondiff=why
    )


isnan: Prim = _predicate("isnan", np.isnan, "False")
isinf = _predicate("isinf", np.isinf, "False")
isfinite = _predicate("isfinite", np.isfinite, "True")
signbit = _predicate("signbit", np.signbit, "False", "f")

# ------------------------------------------------------------------ integers

_INTEGERS = "integers carry no derivative"


def _whole(name: str, ref: np.ufunc, text: str | None, **facts: Any) -> Prim:
    return elementwise(name, ref, text, kinds="iu", nondiff=_INTEGERS, **facts)


gcd = _whole("gcd", np.gcd, None, commutes=True)
lcm = _whole("lcm", np.lcm, None, commutes=True)
bitwise_count = _whole("bitwise_count", np.bitwise_count, None, result="u8")
# NumPy shifts everything out where the machine would take the count modulo the width.  Zero and
# minus one are made from the operand: a literal would be signed.
_WITHIN = "({1} >= 0) & ({1} < 64)"
_NOTHING = "{0} - {0}"
_OUT = f"ll.select({{0}} < 0, ~({_NOTHING}), {_NOTHING})"
shift_left = _whole(
    "shift_left", np.left_shift, f"ll.select({_WITHIN}, {{0}} << {{1}}, {_NOTHING})"
)
shift_right = _whole("shift_right", np.right_shift, f"ll.select({_WITHIN}, {{0}} >> {{1}}, {_OUT})")

"""Rows that round and ask: extrema, rounding, remainders, predicates, bits of integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Value
from ..prim import Prim
from .arithmetic import elementwise, equal, less, number, or_, select, sign

# ------------------------------------------------------------------ extrema


def _share(wins: Value, ties: Value, like: Value) -> Any:
    """1 where an operand wins, an even share where it ties, else 0."""
    won = select(wins, number(1, like), number(0, like))
    return select(ties, number(0.5, like), won)


def _maximum_partials(y: Value, a: Value, b: Value) -> tuple[Any, ...]:
    ties = equal(a, b)
    return _share(less(b, a), ties, a), _share(less(a, b), ties, a)


def _fmax_partials(y: Value, a: Value, b: Value) -> tuple[Any, ...]:
    ties = equal(a, b)
    a_wins, b_wins = or_(less(b, a), isnan(b)), or_(less(a, b), isnan(a))
    return _share(a_wins, ties, a), _share(b_wins, ties, a)


def _extremum(name: str, ref: np.ufunc, partials: Any, sign_: str, bools: str) -> Prim:
    return elementwise(
        name,
        ref,
        f"ll.{'f' + name if name[0] == 'm' else name}({{0}}, {{1}})",
        partials,
        kinds="biuf",
        ints=f"ll.select({{0}} {sign_} {{1}}, {{0}}, {{1}})",
        bools=bools,
        commutes=True,
        domain="lattice, shifted lattice",
    )


def _swapped(partials: Any) -> Any:
    """The partials of a minimum: the other operand wins."""
    return lambda y, a, b: partials(y, a, b)[::-1]


maximum = _extremum("maximum", np.maximum, _maximum_partials, ">", "{0} | {1}")
minimum = _extremum("minimum", np.minimum, _swapped(_maximum_partials), "<", "{0} & {1}")


def _fmin_partials(y: Value, a: Value, b: Value) -> tuple[Any, ...]:
    ties = equal(a, b)
    a_wins, b_wins = or_(less(a, b), isnan(b)), or_(less(b, a), isnan(a))
    return _share(a_wins, ties, a), _share(b_wins, ties, a)


fmax = _extremum("fmax", np.fmax, _fmax_partials, ">", "{0} | {1}")
fmin = _extremum("fmin", np.fmin, _fmin_partials, "<", "{0} & {1}")

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

# ------------------------------------------------------------------ bits of integers

# NumPy shifts everything out where the machine would take the count modulo the width.
_SHIFTS = "({1} >= 0) & ({1} < 64)"


def _shift(name: str, ref: np.ufunc, sign_: str, outside: str) -> Prim:
    text = f"ll.select({_SHIFTS}, {{0}} {sign_} {{1}}, {outside})"
    return elementwise(name, ref, text, kinds="iu", nondiff="integers carry no derivative")


# Zero and minus one are made from the operand: a literal would be signed.
_NOTHING = "{0} - {0}"
shift_left = _shift("shift_left", np.left_shift, "<<", _NOTHING)
shift_right = _shift(
    "shift_right", np.right_shift, ">>", f"ll.select({{0}} < 0, ~({_NOTHING}), {_NOTHING})"
)

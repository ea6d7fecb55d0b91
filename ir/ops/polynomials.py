"""Rows of scipy.special that evaluate orthogonal polynomials, and a few functions in degrees.

Derivatives by the argument are polynomials of the neighbouring family, so they hold at the ends of
the interval too.  Degrees that are integers keep SciPy's loops for integers, which are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..prim import NoPartial, Prim
from ..types import Aval
from .arithmetic import Term, cast, exp, greater, select
from .special import SPECIAL_UFUNCS, infer_floats, refusing, scipy_function, special

_DEGREE = NoPartial("the degree of a polynomial is an integer")
_FAMILY = NoPartial("the derivative by a parameter of the family is not written yet")
DEG = math.pi / 180


def polynomial(name: str, partials: Callable[..., tuple[Any, ...]], *, whole: bool = False) -> Prim:
    """A row whose first operand, the degree, is i64 or of the dtype of the others."""
    arity = partials.__code__.co_argcount - 1
    rule, lazy = infer_floats(name, arity - 1), scipy_function(name)

    def infer(n: Aval, *rest: Aval) -> Aval:
        if n.dtype != "i64" and (whole or n.dtype != rest[0].dtype):
            raise TypeError(f"{name}: the degree is {n.dtype}, not i64")
        first = Aval(rest[0].dtype, n.shape)
        return rule(*rest[:-1], _joined(first, rest[-1]))

    def ref(n: Any, *rest: Any) -> Any:
        return np.asarray(lazy(n, *rest)).astype(np.asarray(rest[-1]).dtype)

    row = Prim(
        name=name,
        infer=infer,
        ref=ref,
        partials=refusing(name, partials),
        like=1,
        domain="degree, small" if arity == 2 else "degree, positive, small",
    )
    SPECIAL_UFUNCS[name] = row
    return row


def _joined(a: Aval, b: Aval) -> Aval:
    return Aval(b.dtype, np.broadcast_shapes(a.shape, b.shape))


def _as_float(n: Term, like: Term) -> Term:
    return n if n.dtype == like.dtype else cast(n, dtype=like.dtype)


def _below(n: Term, f: Callable[[Term], Term]) -> Term:
    """`f(n - 1)`, and 0 for the degree 0."""
    first = greater(1, n)
    return select(first, 0, f(select(first, 1, n) - 1))


def _gegenbauer(n: Term, a: float, x: Term) -> Term:
    return _below(n, lambda m: eval_gegenbauer(m, a, x))


eval_gegenbauer: Any = polynomial(
    "eval_gegenbauer",
    lambda y, n, a, x: (
        *(_DEGREE, _FAMILY),
        2 * a * _below(n, lambda m: eval_gegenbauer(m, a + 1, x)),
    ),
)
eval_legendre = polynomial("eval_legendre", lambda y, n, x: (_DEGREE, _gegenbauer(n, 1.5, x)))
eval_chebyu: Any = polynomial("eval_chebyu", lambda y, n, x: (_DEGREE, 2 * _gegenbauer(n, 2.0, x)))
eval_chebyt = polynomial(
    "eval_chebyt",
    lambda y, n, x: (_DEGREE, _as_float(n, x) * _below(n, lambda m: eval_chebyu(m, x))),
)
eval_chebys = polynomial("eval_chebys", lambda y, n, x: (_DEGREE, _gegenbauer(n, 2.0, 0.5 * x)))
eval_chebyc = polynomial(
    "eval_chebyc",
    lambda y, n, x: (_DEGREE, _as_float(n, x) * _below(n, lambda m: eval_chebyu(m, 0.5 * x))),
)
eval_sh_legendre = polynomial(
    "eval_sh_legendre", lambda y, n, x: (_DEGREE, 2 * _gegenbauer(n, 1.5, 2 * x - 1))
)
eval_sh_chebyu = polynomial(
    "eval_sh_chebyu", lambda y, n, x: (_DEGREE, 4 * _gegenbauer(n, 2.0, 2 * x - 1))
)
eval_sh_chebyt = polynomial(
    "eval_sh_chebyt",
    lambda y, n, x: (
        _DEGREE,
        2 * _as_float(n, x) * _below(n, lambda m: eval_chebyu(m, 2 * x - 1)),
    ),
)
eval_hermite: Any = polynomial(
    "eval_hermite",
    lambda y, n, x: (_DEGREE, 2 * _as_float(n, x) * _below(n, lambda m: eval_hermite(m, x))),
    whole=True,
)
eval_hermitenorm: Any = polynomial(
    "eval_hermitenorm",
    lambda y, n, x: (_DEGREE, _as_float(n, x) * _below(n, lambda m: eval_hermitenorm(m, x))),
    whole=True,
)
eval_genlaguerre: Any = polynomial(
    "eval_genlaguerre",
    lambda y, n, a, x: (
        *(_DEGREE, _FAMILY),
        -_below(n, lambda m: eval_genlaguerre(m, a + 1, x)),
    ),
)
eval_laguerre = polynomial(
    "eval_laguerre",
    lambda y, n, x: (_DEGREE, -_below(n, lambda m: eval_genlaguerre(m, 1.0, x))),
)
eval_jacobi: Any = polynomial(
    "eval_jacobi",
    lambda y, n, a, b, x: (
        *(_DEGREE, _FAMILY, _FAMILY),
        0.5 * (_as_float(n, x) + a + b + 1) * _below(n, lambda m: eval_jacobi(m, a + 1, b + 1, x)),
    ),
)


def _sh_jacobi_slope(n: Term, p: Term, q: Term, x: Term) -> Term:
    """G_n is monic up to a binomial: n G_{n-1} of the next family."""
    return _as_float(n, x) * _below(n, lambda m: eval_sh_jacobi(m, p + 2, q + 1, x))


eval_sh_jacobi: Any = polynomial(
    "eval_sh_jacobi",
    lambda y, n, p, q, x: (_DEGREE, _FAMILY, _FAMILY, _sh_jacobi_slope(n, p, q, x)),
)

# ------------------------------------------------------------------ degrees, and single functions

sindg: Any = special("sindg", lambda y, x: (DEG * cosdg(x),))
cosdg: Any = special("cosdg", lambda y, x: (-DEG * sindg(x),))
tandg = special("tandg", lambda y, x: (DEG * (1 + y * y),))
cotdg = special("cotdg", lambda y, x: (-DEG * (1 + y * y),), domain="positive")
radian = special("radian", lambda y, d, m, s: (DEG, DEG / 60, DEG / 3600))
wrightomega = special("wrightomega", lambda y, x: (y / (1 + y),))
lpmv: Any = special(
    "lpmv",
    lambda y, m, v, x: (
        *(_DEGREE, _DEGREE),
        (v * x * y - (v + m) * lpmv(m, v - 1, x)) / (x * x - 1),
    ),
    domain="positive, positive, small",
)
zetac = special(
    "zetac",
    lambda y, x: (NoPartial("Riemann's zeta function has no closed derivative"),),
    domain="above 1",
)
gammasgn = Prim(
    name="gammasgn",
    infer=infer_floats("gammasgn", 1),
    ref=scipy_function("gammasgn"),
    nondiff="it is piecewise constant",
)
round_half = Prim(
    name="round_half",
    infer=infer_floats("round_half", 1),
    ref=scipy_function("round"),
    nondiff="it is piecewise constant",
)
SPECIAL_UFUNCS |= {"gammasgn": gammasgn, "round": round_half}
hurwitz: Any = special(
    "hurwitz",
    lambda y, s, q: (
        NoPartial("the zeta functions have no closed derivative by the exponent"),
        -s * hurwitz(s + 1, q),
    ),
    "sp.zeta{t}({0}, {1})",
    domain="above 1, positive",
    scipy="zeta",
)
del SPECIAL_UFUNCS["zeta"]  # a Python function of scipy.special: see the tracer


def _lambert_ref(branch: int) -> Callable[[Any], Any]:
    lazy = scipy_function("lambertw")

    def ref(x: Any) -> Any:
        w = np.asarray(lazy(x, branch))
        return np.where(w.imag == 0, w.real, np.nan).astype(np.asarray(x).dtype)

    return ref


def _lambert_slope(y: Term, x: Term) -> tuple[Any, ...]:
    return (exp(-y) / (1 + y),)


lambert_upper = Prim(
    name="lambert_upper",
    infer=infer_floats("lambert_upper", 1),
    ref=_lambert_ref(0),
    partials=_lambert_slope,
    domain="positive",
)
lambert_lower = Prim(
    name="lambert_lower",
    infer=infer_floats("lambert_lower", 1),
    ref=_lambert_ref(-1),
    partials=_lambert_slope,
    domain="negative",
)

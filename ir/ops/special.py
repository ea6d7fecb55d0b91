"""Rows of scipy.special: error functions, the logistic family, entropies, gamma, Bessel.

SciPy is imported when a reference is first called, never with this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..prim import Expr, NoPartial, Prim
from ..types import Aval
from .arithmetic import (
    LN2,
    LN10,
    Term,
    abs_,
    and_,
    cbrt,
    cos,
    elementwise,
    equal,
    exp,
    exp2,
    expm1,
    less,
    log,
    log1p,
    select,
    sign,
    sin,
    sqrt,
    type_rule,
)
from .logic import isinf, maximum, minimum

Partials = Callable[..., tuple[Any, ...]]
SQRT_PI = math.sqrt(math.pi)
SQRT_2PI = math.sqrt(2 * math.pi)
# scipy.special's ufuncs by name, and those whose first argument is the static order `n`.
SPECIAL_UFUNCS: dict[str, Prim] = {}
SPECIAL_ORDERS: dict[str, Prim] = {}


def scipy_function(name: str) -> Callable[..., Any]:
    def ref(*args: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*args)

    return ref


def infer_floats(name: str, arity: int) -> Callable[..., Aval]:
    """float32 and float64 only: scipy.special has no loops for float16."""
    rule = type_rule(name, arity, "f")

    def infer(*avals: Aval, **attrs: Any) -> Aval:
        out = rule(*avals)
        if out.dtype == "f16":
            raise TypeError(f"{name}: takes f32 or f64, not f16")
        return out

    return infer


def refusing(name: str, partials: Partials) -> Partials:
    """The same partials, where those that are refused name the function and its argument."""
    operands = partials.__code__.co_varnames[1:]

    def one(i: int, d: Any) -> Any:
        if not isinstance(d, NoPartial):
            return d
        return NoPartial(f"{name} has no derivative by `{operands[i]}`: {d.reason}")

    def named(*args: Any) -> tuple[Any, ...]:
        return tuple(one(i, d) for i, d in enumerate(partials(*args)))

    return named


def special(
    name: str,
    partials: Partials,
    text: str = "",
    *,
    domain: str = "real",
    cost: int = 60,
    scipy: str = "",
    kernel: bool = True,
    ref: Callable[..., Any] | None = None,
    **facts: Any,
) -> Prim:
    """A row for the ufunc of this name; kernels call SciPy's own pointer if `text` is empty.

    `kernel=False` is for a function that SciPy does not export to C: a host step.
    """
    arity = partials.__code__.co_argcount - 1
    operands = ", ".join(f"{{{i}}}" for i in range(arity))
    row = Prim(
        name=name,
        infer=infer_floats(name, arity),
        ref=ref or scipy_function(scipy or name),
        emit=Expr(text or f"sp.{scipy or name}{{t}}({operands})", cost=cost) if kernel else None,
        partials=refusing(scipy or name, partials),
        domain=domain,
        **facts,
    )
    SPECIAL_UFUNCS[scipy or name] = row
    return row


def _vm(name: str, partials: Partials, cost: int = 25, domain: str = "wide", **facts: Any) -> Prim:
    return special(name, partials, f"vm.{name}{{t}}({{0}})", domain=domain, cost=cost, **facts)


# ------------------------------------------------------------------ the logistic family


def _logistic(x: Any) -> Any:
    """By NumPy: derivatives have it, and to import SciPy takes longer than to compile a kernel."""
    decay = np.exp(-np.abs(x))
    return np.where(np.greater_equal(x, 0), 1, decay) / (1 + decay)


expit: Prim = _vm("expit", lambda y, x: (y * (1 - y),), 15, ref=_logistic)
log_expit = _vm("log_expit", lambda y, x: (expit(-x),))
logit = special(
    "logit",
    lambda y, x: (1 / (x * (1 - x)),),
    # Near 1/2, where the quotient cancels, as the difference of two log1p.
    "ll.select(ll.fabs({0} - ll.f{t}(0.5)) < ll.f{t}(0.2),"
    " vm.log1p{t}({0} + {0} - ll.f{t}(1.0)) - vm.log1p{t}(ll.f{t}(1.0) - {0} - {0}),"
    " vm.log{t}({0} / (ll.f{t}(1.0) - {0})))",
    domain="probability",
    cost=40,
)


def _logaddexp_partials(scale: float) -> Partials:
    """Shares expit(a - b) and expit(b - a); two equal infinities share evenly."""

    def partials(y: Term, a: Term, b: Term) -> tuple[Any, ...]:
        endless = and_(equal(a, b), isinf(a))
        d = select(endless, 0, a) - select(endless, 0, b)
        d = d if scale == 1 else scale * d
        return expit(d), expit(-d)

    return partials


logaddexp = elementwise(
    "logaddexp",
    np.logaddexp,
    "vm.logaddexp{t}({0}, {1})",
    _logaddexp_partials(1),
    cost=30,
    commutes=True,
)
logaddexp2 = elementwise(
    "logaddexp2",
    np.logaddexp2,
    "ll.select({0} == {1}, {0} + ll.f{t}(1.0), ll.fmaximum({0}, {1})"
    f" + ll.f{{t}}({1 / LN2}) * vm.log1p{{t}}(vm.exp2{{t}}(-ll.fabs({{0}} - {{1}}))))",
    _logaddexp_partials(LN2),
    cost=35,
    commutes=True,
)

# ------------------------------------------------------------------ error functions

erf = _vm("erf", lambda y, x: (2 / SQRT_PI * exp(-x * x),), domain="real")
erfc = _vm("erfc", lambda y, x: (-2 / SQRT_PI * exp(-x * x),), domain="real")
erfcx = special("erfcx", lambda y, x: (2 * x * y - 2 / SQRT_PI,))
erfi = special("erfi", lambda y, x: (2 / SQRT_PI * exp(x * x),))
dawsn = special("dawsn", lambda y, x: (1 - 2 * x * y,))
erfinv = special("erfinv", lambda y, x: (SQRT_PI / 2 * exp(y * y),), domain="unit")
erfcinv = special("erfcinv", lambda y, x: (-SQRT_PI / 2 * exp(y * y),), domain="probability")
ndtr = _vm("ndtr", lambda y, x: (exp(-0.5 * x * x) / SQRT_2PI,), domain="real")
# Not the quotient of density and ndtr, which is 0/0 far left.
log_ndtr = _vm("log_ndtr", lambda y, x: (exp(-0.5 * x * x - y) / SQRT_2PI,), 40, "real")
ndtri = special("ndtri", lambda y, x: (SQRT_2PI * exp(0.5 * y * y),), domain="probability")

exp10 = special("exp10", lambda y, x: (LN10 * y,))
owens_t = special(
    "owens_t",
    lambda y, h, a: (
        erf(math.sqrt(0.5) * a * h) * exp(-0.5 * h * h) / (-2 * SQRT_2PI),
        exp(-0.5 * h * h * (r := 1 + a * a)) / (2 * math.pi * r),
    ),
)
cosm1 = special("cosm1", lambda y, x: (-sin(x),))

# ------------------------------------------------------------------ entropies and losses


def _unless_both(a: Term, b: Term, c: Term) -> Term:
    """`c`, or 1 where a and b are both 0: 0/0 counts as 0 here, and only there."""
    return select(and_(equal(a, 0), equal(b, 0)), 1, c)


_ZERO_X = "({0} == 0) & ({1} == {1})"
xlogy = special(
    "xlogy",
    lambda y, x, z: (log(z), x / _unless_both(x, z, z)),
    f"ll.select({_ZERO_X}, ll.f{{t}}(0.0), {{0}} * vm.log{{t}}({{1}}))",
    domain="real, positive",
    cost=14,
)
xlog1py = special(
    "xlog1py",
    lambda y, x, z: (log1p(z), x / _unless_both(x, 1 + z, 1 + z)),
    f"ll.select({_ZERO_X}, ll.f{{t}}(0.0), {{0}} * vm.log1p{{t}}({{1}}))",
    domain="real, above -1",
    cost=14,
)
entr = special(
    "entr",
    lambda y, x: (-1 - log(x),),
    "ll.select({0} == 0, ll.f{t}(0.0),"
    " ll.select({0} < 0, ll.f{t}(-np.inf), -{0} * vm.log{t}({0})))",
    domain="positive",
    cost=15,
)


def _relative(inside: str, at_zero: str) -> str:
    """The kernel text of an entropy relative to {1}: infinite outside its domain."""
    outside = "ll.select(({0} == 0) & ({1} >= 0), " + at_zero + ", ll.f{t}(np.inf))"
    unknown = "({0} != {0}) | ({1} != {1})"
    text = "ll.select(({0} > 0) & ({1} > 0), " + inside + ", " + outside + ")"
    return f"ll.select({unknown}, {{0}} + {{1}}, {text})"


rel_entr = special(
    "rel_entr",
    lambda y, x, z: (log(r := x / _unless_both(x, z, z)) + 1, -r),
    _relative("{0} * vm.log{t}({0} / {1})", "ll.f{t}(0.0)"),
    domain="positive",
    cost=22,
)
kl_div = special(
    "kl_div",
    lambda y, x, z: (log(r := x / _unless_both(x, z, z)), 1 - r),
    _relative("{0} * vm.log{t}({0} / {1}) - {0} + {1}", "{1}"),
    domain="positive",
    cost=24,
)
huber = special(
    "huber",
    lambda y, d, r: (maximum(abs_(r) - d, 0), maximum(minimum(r, d), -d)),
    "ll.select({0} < 0, ll.f{t}(np.inf), ll.select(ll.fabs({1}) <= {0},"
    " ll.f{t}(0.5) * {1} * {1}, {0} * (ll.fabs({1}) - ll.f{t}(0.5) * {0})))",
    domain="positive, real",
    cost=6,
)


def _pseudo_huber_partials(y: Term, d: Term, r: Term) -> tuple[Any, ...]:
    q = r / d
    s = sqrt(1 + q * q)
    return 2 * d * (s - 1) - r * q / s, r / s


pseudo_huber = special("pseudo_huber", _pseudo_huber_partials, domain="positive, real")

# ------------------------------------------------------------------ quotients of two zeros


def _split(x: Term, radius: float) -> tuple[Term, Term, Term]:
    """Whether |x| < radius, and x made harmless for the formula of the other side."""
    near = less(abs_(x), radius)
    return near, select(near, x, 0), select(near, 1, x)


def _horner(coefficients: list[float], x: Term) -> Term:
    """The polynomial with these coefficients, lowest power first."""
    total: Term = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


# Long enough for several derivatives more in double precision.
_SINC = [(-1) ** k * math.pi ** (2 * k) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 13)]
_EXPREL = [(k + 1) / math.factorial(k + 2) for k in range(16)]
_LOG1P = [(-1) ** k / (k + 1) for k in range(16)]
_BESSEL = [(2 * k + 1) / (math.factorial(k) * math.factorial(k + 1) * 2 ** (2 * k + 1))
           for k in range(10)]  # fmt: skip
_CENTRAL = [(math.comb(2 * k, k) / 4**k) ** 2 * math.pi / 2 for k in range(18)]
_ELLIPK = [k * c for k, c in enumerate(_CENTRAL)][1:]
_ELLIPE = [k * c / (1 - 2 * k) for k, c in enumerate(_CENTRAL)][1:]


def _sinc_slope(y: Term, x: Term) -> Term:
    """(cos(pi x) - y) / x."""
    near, inside, far = _split(x, 0.25)
    return select(near, inside * _horner(_SINC, inside * inside), (cos(math.pi * far) - y) / far)


def exprel_slope(y: Term, x: Term) -> Term:
    """(exp(x) - y) / x."""
    near, inside, far = _split(x, 0.5)
    return select(near, _horner(_EXPREL, inside), (exp(far) - y) / far)


def _spence_slope(y: Term, x: Term) -> Term:
    """-log(x) / (x - 1)."""
    near, inside, far = _split(x - 1, 0.05)
    return -select(near, _horner(_LOG1P, inside), log1p(far) / far)


def ellipk_slope(y: Term, m: Term) -> Term:
    """(E / (1 - m) - K) / 2m."""
    near, inside, far = _split(m, 0.05)
    # 1 where it is not read: at m = 1 the quotient would be infinite.
    rest = select(near, 1, 1 - m)
    return select(near, _horner(_ELLIPK, inside), (ellipe(m) / rest - y) / (2 * far))


def _ellipe_slope(y: Term, m: Term) -> Term:
    """(E - K) / 2m."""
    near, inside, far = _split(m, 0.05)
    return select(near, _horner(_ELLIPE, inside), (y - ellipk(m)) / (2 * far))


sinc = Prim(
    name="sinc",
    infer=type_rule("sinc", 1, "f"),
    ref=np.sinc,
    emit=Expr(
        "ll.select({0} == 0, ll.f{t}(1.0),"
        " vm.sin{t}(ll.f{t}(np.pi) * {0}) / (ll.f{t}(np.pi) * {0}))",
        cost=20,
    ),
    partials=lambda y, x: (_sinc_slope(y, x),),
)
exprel = special("exprel", lambda y, x: (exprel_slope(y, x),))
spence = special("spence", lambda y, x: (_spence_slope(y, x),), domain="positive")
ellipk: Prim = special("ellipk", lambda y, m: (ellipk_slope(y, m),), domain="unit")
ellipe: Prim = special("ellipe", lambda y, m: (_ellipe_slope(y, m),), domain="unit")


def _boxcox_partials(y: Term, x: Term, p: Term) -> tuple[Any, ...]:
    """With y = L exprel(p L), L = log x: also at p = 0, where y is L."""
    size = log(x)
    u = p * size
    return exp(u) / x, size * size * exprel_slope(exprel(u), u)


boxcox = special(
    "boxcox",
    _boxcox_partials,
    "ll.select({1} == 0, vm.log{t}({0}), vm.expm1{t}({1} * vm.log{t}({0})) / {1})",
    domain="positive, real",
    cost=30,
)

# ------------------------------------------------------------------ gamma and its kin


def ordered(name: str, partials: Partials, domain: str = "positive") -> Prim:
    """A row whose order, SciPy's first argument, is the static attr `n`."""
    lazy = scipy_function(name)
    row = Prim(
        name=name,
        infer=infer_floats(name, 1),
        # A Python number as the order would make some of SciPy's loops answer in float64.
        ref=lambda x, *, n: lazy(x.dtype.type(n), x),
        emit=Expr(f"sp.{name}{{t}}(ll.f{{t}}({{n}}), {{0}})", cost=60),
        partials=partials,
        domain=domain,
    )
    SPECIAL_ORDERS[name] = row
    return row


_scipy_zeta = scipy_function("zeta")
zeta: Prim = Prim(  # Hurwitz's, the sum of (k + x)^-s
    name="zeta",
    infer=infer_floats("zeta", 1),
    ref=lambda x, *, s: _scipy_zeta(x.dtype.type(s), x),
    emit=Expr("sp.zeta{t}(ll.f{t}({s}), {0})", cost=60),
    partials=lambda y, x, *, s: (-s * zeta(x, s=s + 1),),
    domain="positive",
)
gammaln = special(
    "gammaln", lambda y, x: (digamma(x),), "vm.gammaln{t}({0})", domain="positive", cost=50
)
gamma = special("gamma", lambda y, x: (y * digamma(x),), domain="positive")
digamma: Prim = special(
    "digamma",
    lambda y, x: (trigamma(x),),
    "vm.digamma{t}({0})",
    domain="positive",
    cost=60,
    scipy="psi",
)
trigamma: Prim = Prim(
    name="trigamma",
    infer=infer_floats("trigamma", 1),
    ref=lambda x: _scipy_zeta(x.dtype.type(2), x),
    emit=Expr("vm.trigamma{t}({0})", cost=50),
    partials=lambda y, x: (-2 * zeta(x, s=3),),
    domain="positive",
)


def polygamma(x: Term, *, n: int) -> Term:
    """The n-th derivative of digamma, for positive x."""
    if n == 0:
        return digamma(x)
    if n == 1:
        return trigamma(x)
    return (-1) ** (n + 1) * math.gamma(n + 1) * zeta(x, s=n + 1)


def _betaln_slopes(a: Term, b: Term) -> tuple[Term, Term]:
    both = digamma(a + b)
    return digamma(a) - both, digamma(b) - both


def _beta_partials(y: Term, a: Term, b: Term) -> tuple[Any, ...]:
    da, db = _betaln_slopes(a, b)
    return y * da, y * db


betaln = special("betaln", lambda y, a, b: _betaln_slopes(a, b), domain="positive", commutes=True)
beta = special("beta", _beta_partials, domain="positive", commutes=True)
binom = special(
    "binom",
    lambda y, n, k: (
        y * (digamma(n + 1) - (rest := digamma(n - k + 1))),
        y * (rest - digamma(k + 1)),
    ),
    domain="above 1, probability",
)
poch = special(
    "poch",
    lambda y, z, m: (y * ((up := digamma(z + m)) - digamma(z)), y * up),
    domain="positive",
)
rgamma = special("rgamma", lambda y, x: (-y * digamma(x),), domain="positive")
exp1 = special("exp1", lambda y, x: (-exp(-x) / x,), domain="positive")
expi = special("expi", lambda y, x: (exp(x) / x,), domain="positive")


def _expn_slope(y: Term, x: Term, n: int) -> Term:
    if n == 0:
        return -y * (1 + 1 / x)
    return -exp(-x) / x if n == 1 else -expn(x, n=n - 1)


expn: Prim = ordered("expn", lambda y, x, *, n: (_expn_slope(y, x, n),))


def _gamma_density(x: Term, n: float) -> Term:
    return exp((n - 1) * log(x) - x - math.lgamma(n))


gammainc = ordered("gammainc", lambda y, x, *, n: (_gamma_density(x, n),))
gammaincc = ordered("gammaincc", lambda y, x, *, n: (-_gamma_density(x, n),))

# ------------------------------------------------------------------ Bessel functions
# The recurrence in the order, unlike the one with a division by x, holds at 0 to any order.  Those
# of order 1 divide, and are a series near 0: functions of order 2 cost ten times as much.


def _first_order(y: Term, x: Term, zeroth: Callable[[Term], Term], turn: int) -> Term:
    """The slope of J1 (turn -1) or I1 (1), which is that of order 0 less y / x."""
    near, inside, far = _split(x, 1.0)
    series = _horner(_BESSEL, turn * inside * inside)
    return select(near, series, zeroth(far) - y / far)


jv: Prim = ordered("jv", lambda y, x, *, n: (0.5 * (jv(x, n=n - 1) - jv(x, n=n + 1)),))
yv: Prim = ordered("yv", lambda y, x, *, n: (0.5 * (yv(x, n=n - 1) - yv(x, n=n + 1)),))
iv: Prim = ordered("iv", lambda y, x, *, n: (0.5 * (iv(x, n=n - 1) + iv(x, n=n + 1)),))
kv: Prim = ordered("kv", lambda y, x, *, n: (-0.5 * (kv(x, n=n - 1) + kv(x, n=n + 1)),))
ive: Prim = ordered(
    "ive", lambda y, x, *, n: (0.5 * (ive(x, n=n - 1) + ive(x, n=n + 1)) - sign(x) * y,)
)
kve: Prim = ordered("kve", lambda y, x, *, n: (y - 0.5 * (kve(x, n=n - 1) + kve(x, n=n + 1)),))
j0 = special("j0", lambda y, x: (-j1(x),))
j1: Prim = special("j1", lambda y, x: (_first_order(y, x, j0, -1),))
y0 = special("y0", lambda y, x: (-y1(x),), domain="positive")
y1: Prim = special("y1", lambda y, x: (y0(x) - y / x,), domain="positive")
i0 = special("i0", lambda y, x: (i1(x),))
i1: Prim = special("i1", lambda y, x: (_first_order(y, x, i0, 1),))
i0e = special("i0e", lambda y, x: (i1e(x) - sign(x) * y,), domain="nonzero")
i1e: Prim = special(
    "i1e", lambda y, x: (0.5 * (i0e(x) + ive(x, n=2)) - sign(x) * y,), domain="nonzero"
)
k0 = special("k0", lambda y, x: (-k1(x),), domain="positive")
k1: Prim = special("k1", lambda y, x: (-k0(x) - y / x,), domain="positive")
k0e = special("k0e", lambda y, x: (y - k1e(x),), domain="positive")
k1e: Prim = special("k1e", lambda y, x: (y - 0.5 * (k0e(x) + kve(x, n=2)),), domain="positive")

# Names under which SciPy has another row's function.
SPECIAL_UFUNCS |= {
    "cbrt": cbrt,
    "digamma": digamma,
    "exp2": exp2,
    "expm1": expm1,
    "log1p": log1p,
}

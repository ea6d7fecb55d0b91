"""Functions of every element that are asked for less often, and `torch.special`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..ir.ops import polynomials
from ..ir.ops import special as rows
from ..tracer.surface import array, value
from . import elementwise as E
from . import reductions as R
from . import selections as S
from .aliases import PARTS, view
from .arithmetic import (
    _two,
    binary,
    method,
    mul,
    operand,
    operands,
    pow,
    sub,
    unary,
)
from .promotion import default, floating
from .saved import scalar_name
from .tape import Operation, record
from .tensor_object import Tensor, applied, as_tensor, held, shown
from .titles import titled

# What `tensors` shows.
# fmt: off
__all__ = [
    "angle", "bitwise_left_shift", "bitwise_right_shift", "clamp_max", "clamp_min", "complex",
    "conj", "conj_physical", "copysign", "divide", "fix", "float_power", "fmax", "fmin", "frexp",
    "gcd", "i0", "igamma", "igammac", "imag", "isneginf", "isposinf", "isreal", "lcm", "ldexp",
    "logaddexp2", "multiply", "mvlgamma", "nextafter", "not_equal", "polar", "polygamma", "real",
    "resolve_conj", "resolve_neg", "rsub", "sgn", "signbit", "special", "subtract", "true_divide",
    "view_as_complex", "view_as_real",
]
# fmt: on


def _scipy(name: str) -> Callable[..., Any]:
    """The function of scipy.special, which is imported when it is first called."""
    return lambda *xs: getattr(import_module("scipy.special"), name)(*xs)


def _pair(name: str, fn: Any, floats: bool = False) -> Any:
    operation = Operation(f"{name.capitalize()}Backward0", _two(fn))

    def call(input: Any, other: Any) -> Tensor:
        dtype, (a, b) = operands(name, input, other)
        return binary(operation, a, b, floating(dtype) if floats else dtype)

    call.__name__ = call.__qualname__ = name
    return method(name)(call)


copysign = _pair("copysign", np.copysign, floats=True)
fmax = _pair("fmax", lambda a, b: np.where((a >= b) | (b != b), a, b))  # equals: of the first
fmin = _pair("fmin", lambda a, b: np.where((a <= b) | (b != b), a, b))
gcd, lcm = _pair("gcd", np.gcd), _pair("lcm", np.lcm)
logaddexp2 = _pair("logaddexp2", np.logaddexp2)
nextafter = _pair("nextafter", np.nextafter)
bitwise_left_shift = _pair("bitwise_left_shift", np.left_shift)
bitwise_right_shift = _pair("bitwise_right_shift", np.right_shift)
igamma = _pair("igamma", _scipy("gammainc"), floats=True)
igammac = _pair("igammac", _scipy("gammaincc"), floats=True)
method("__lshift__")(bitwise_left_shift)
method("__rshift__")(bitwise_right_shift)
method("__rlshift__")(lambda a, b: bitwise_left_shift(b, a))
method("__rrshift__")(lambda a, b: bitwise_right_shift(b, a))
signbit = unary("signbit", np.signbit, floats=False)
isposinf = unary("isposinf", np.isposinf, floats=False)
isneginf = unary("isneginf", np.isneginf, floats=False)
i0 = unary("i0", _scipy("i0"))
sgn = unary("sgn", E._sign, keeps=False, floats=False)
_conj = unary("conj", np.conjugate, keeps=False, floats=False)


@method("conj", "conj_physical", "resolve_conj")
def conj(input: Tensor) -> Tensor:
    """The complex conjugates; real Tensors are their own."""
    return _conj(input) if input._dtype.kind == "c" else input


conj_physical = resolve_conj = conj
resolve_neg = unary("resolve_neg", lambda x: x, keeps=False, floats=False)
angle = unary("angle", np.angle)
fix = import_module(f"{__package__}.arithmetic").trunc


@method("isreal")
def isreal(input: Tensor) -> Tensor:
    """Which elements have no imaginary part."""
    return held(np.isreal(input._value()))


@method("ldexp")
def ldexp(input: Any, other: Any) -> Tensor:
    """input * 2 ** other."""
    return mul(input, pow(2.0, other))


@method("frexp")
def frexp(input: Tensor) -> Any:
    """(a number in [0.5, 1), a power of two) of every element."""
    e = np.frexp(input._value())[1].astype(np.int32)
    scale = held(np.exp2(-e.astype(input._dtype)))
    return R.extremes("frexp", "mantissa", "exponent")(mul(input, scale), held(e))


@method("float_power")
def float_power(input: Any, exponent: Any) -> Tensor:
    """A power, in double precision."""
    wide = [
        x.to(np.complex128 if x._dtype.kind == "c" else np.float64) if isinstance(x, Tensor) else x
        for x in (input, exponent)
    ]
    return pow(wide[0] if isinstance(wide[0], Tensor) else held(np.array(float(input))), wide[1])


@method("clamp_min")
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """The elements, none below `min`."""
    return titled(E.clamp(input, min, None), "ClampMinBackward0")


@method("clamp_max")
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """The elements, none above `max`."""
    return titled(E.clamp(input, None, max), "ClampMaxBackward0")


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


_arithmetic: Any = import_module(f"{__package__}.arithmetic")
subtract, multiply, divide = _arithmetic.sub, _arithmetic.mul, _arithmetic.div
true_divide, not_equal = _arithmetic.div, method("not_equal")(_arithmetic.ne)


# ------------------------------------------------------------------ complex numbers


COMPLEX = Operation("ComplexBackward0", lambda a, b: a + 1j * b, keeps=False)
POLAR = Operation("PolarBackward0", lambda r, t: r * np.cos(t) + 1j * (r * np.sin(t)))
IMAG = Operation(PARTS[2], np.imag, keeps=False)
REAL = Operation(PARTS[3], np.real, keeps=False)
AS_REAL = Operation(PARTS[0], lambda x: _as_real(x), keeps=False)
AS_COMPLEX = Operation(PARTS[1], lambda x: _as_complex(x), keeps=False)


def _as_real(x: Any) -> Any:
    if type(x) is not np.ndarray:
        return np.stack([x.real, x.imag], -1)
    parts = x.real  # of memory a view
    return as_strided(parts, (*x.shape, 2), (*x.strides, parts.itemsize))


def _as_complex(x: Any) -> Any:
    if type(x) is not np.ndarray:
        return x[..., 0] + 1j * x[..., 1]
    whole = np.result_type(x.dtype, np.complex64)
    return x.view(whole)[..., 0]


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """Complex numbers by their parts."""
    if real.dtype != imag.dtype:
        raise RuntimeError(
            "Expected object of scalar type Float but got scalar type Double for second argument"
        )
    return applied(COMPLEX, [real, imag])


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Complex numbers by size and angle."""
    return applied(POLAR, [abs, angle])


@method("view_as_real")
def view_as_real(input: Tensor) -> Tensor:
    """The parts of complex numbers, along a new last axis."""
    if input._dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return view(AS_REAL, input)


@method("view_as_complex")
def view_as_complex(input: Tensor) -> Tensor:
    """Complex numbers, their parts along the last axis."""
    if input._dtype.kind != "f":
        raise RuntimeError(
            "view_as_complex is only supported for floating point tensors, but got a tensor of "
            f"scalar type: {scalar_name(input._dtype)}"
        )
    if not input.ndim or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if input.stride(-1) != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    return view(AS_COMPLEX, input)


def imag(input: Tensor) -> Tensor:
    """The imaginary parts."""
    if input._dtype.kind != "c":
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return view(IMAG, input)


def real(input: Tensor) -> Tensor:
    """The real parts."""
    return view(REAL, input) if input._dtype.kind == "c" else input


Tensor.imag = property(imag, lambda self, x: imag(self).copy_(x))  # type: ignore[attr-defined]
Tensor.real = property(real, lambda self, x: real(self).copy_(x))  # type: ignore[attr-defined]


# ------------------------------------------------------------------ special functions

POLYGAMMA = Operation("PolygammaBackward0", lambda x, n: array(rows.polygamma(value(x), n=n)))
MVLGAMMA = Operation("MvlgammaBackward0", lambda x, p: _mvlgamma(x, p))


def _mvlgamma(x: Any, p: int) -> Any:
    log = _scipy("gammaln")
    return sum(log(x - 0.5 * j) for j in range(p)) + 0.25 * p * (p - 1) * float(np.log(np.pi))


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return S.digamma(input) if n == 0 else applied(POLYGAMMA, [_real(input)], n)


method("polygamma")(lambda self, n: polygamma(n, self))


def _real(x: Tensor) -> Tensor:
    return x if x._dtype.kind in "fc" else x.to(default())


@method("mvlgamma")
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function."""
    return applied(MVLGAMMA, [_real(input)], p)


def _special(name: str, of: str = "") -> Any:
    operation = Operation(
        f"Special{name.title().replace('_', '')}Backward0",
        lambda x: _scipy(of or name)(x if x.dtype.kind == "f" else x.astype(default())),
    )

    def call(input: Tensor) -> Tensor:
        return applied(operation, [as_tensor(input)])

    call.__name__ = name
    return call


def _special2(name: str, of: str = "") -> Any:
    operation = Operation(
        f"Special{name.title().replace('_', '')}Backward0", _two(_scipy(of or name))
    )

    def call(input: Any, other: Any) -> Tensor:
        dtype, (a, b) = operands(name, input, other)
        dtype = floating(dtype)
        return shown(record(operation, (operand(a, dtype), operand(b, dtype)), (dtype,)))

    call.__name__ = name
    return call


ZETA = Operation(
    "SpecialZetaBackward0", _two(lambda s, a: array(polynomials.hurwitz(value(s), value(a))))
)


def _zeta(input: Any, other: Any) -> Tensor:
    """Hurwitz's zeta function."""
    dtype, (a, b) = operands("zeta", input, other)
    dtype = floating(dtype)
    return shown(record(ZETA, (operand(a, dtype), operand(b, dtype)), (dtype,)))


_ONE = {
    "airy_ai": "", "bessel_j0": "j0", "bessel_j1": "j1", "bessel_y0": "y0", "bessel_y1": "y1",
    "entr": "entr", "erfcx": "erfcx", "i0": "i0", "i0e": "i0e", "i1": "i1", "i1e": "i1e",
    "log_ndtr": "log_ndtr", "modified_bessel_i0": "i0", "modified_bessel_i1": "i1",
    "modified_bessel_k0": "k0", "modified_bessel_k1": "k1", "ndtr": "ndtr", "ndtri": "ndtri",
    "scaled_modified_bessel_k0": "k0e", "scaled_modified_bessel_k1": "k1e",
}  # fmt: skip
special = SimpleNamespace(
    **{name: _special(name, of) for name, of in _ONE.items() if of},
    digamma=S.digamma, erf=E.erf, erfc=S.erfc, erfinv=S.erfinv, exp2=E.exp2, expit=E.sigmoid,
    expm1=E.expm1, gammainc=igamma, gammaincc=igammac, gammaln=S.lgamma, log1p=E.log1p,
    log_softmax=R.log_softmax, logit=S.logit, logsumexp=R.logsumexp, multigammaln=mvlgamma,
    polygamma=polygamma, psi=S.digamma, round=E.round, sinc=S.sinc, softmax=R.softmax,
    xlog1py=_special2("xlog1py"), xlogy=S.xlogy, zeta=_zeta,
)  # fmt: skip

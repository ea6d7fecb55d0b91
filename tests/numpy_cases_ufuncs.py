"""Every ufunc of NumPy's: calls, their options, and the methods of the binary ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from differential import KINDS, Entry, entry

EVEN = np.arange(12).reshape(3, 4) % 2 == 0
ROW = np.array([0.3, 1.2, 0.7, 2.1])
STARTS = [0, 2, 1]

UNARY: dict[str, str] = {
    "sin": "real", "cos": "real", "tan": "small", "exp": "real", "exp2": "real", "expm1": "real",
    "sinh": "real", "cosh": "real", "tanh": "real", "arctan": "real", "arcsinh": "real",
    "square": "real", "negative": "real", "positive": "real", "degrees": "real",
    "radians": "real", "deg2rad": "real", "rad2deg": "real", "cbrt": "nonzero",
    "absolute": "nonzero", "fabs": "nonzero", "sign": "nonzero", "reciprocal": "nonzero",
    "sqrt": "positive", "log": "positive", "log2": "positive", "log10": "positive",
    "log1p": "above -1", "arcsin": "unit", "arccos": "unit", "arctanh": "unit",
    "arccosh": "above 1", "conjugate": "real", "floor": "fractions", "ceil": "fractions",
    "trunc": "fractions", "rint": "fractions",
}  # fmt: skip
FLAT: dict[str, str] = {
    "isnan": "nan", "isinf": "nan", "isfinite": "nan", "logical_not": "sparse", "signbit": "real",
    "spacing": "nonzero", "invert": "integers", "bitwise_count": "integers",
}  # fmt: skip
BINARY: dict[str, tuple[str, str]] = {
    "add": ("real", "real"), "subtract": ("real", "real"), "multiply": ("real", "real"),
    "divide": ("real", "nonzero"), "floor_divide": ("dividend", "divisor"),
    "remainder": ("dividend", "divisor"), "fmod": ("dividend", "divisor"),
    "power": ("positive", "real"), "float_power": ("positive", "real"),
    "maximum": ("lattice", "shifted lattice"), "minimum": ("lattice", "shifted lattice"),
    "fmax": ("lattice", "shifted lattice"), "fmin": ("lattice", "shifted lattice"),
    "arctan2": ("nonzero", "nonzero"), "hypot": ("nonzero", "nonzero"),
    "logaddexp": ("real", "real"), "logaddexp2": ("real", "real"),
    "copysign": ("nonzero", "nonzero"), "heaviside": ("nonzero", "real"),
}  # fmt: skip
COMPARE = (
    "greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "logical_and",
    "logical_or", "logical_xor", "nextafter",
)  # fmt: skip
INTEGER = "bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm"


def _single(name: str, domain: str, smooth: bool) -> Entry:
    f: Any = getattr(np, name)
    return entry(
        f"numpy.{name}",
        lambda x: f(x),
        lambda x: f(x, where=EVEN[: len(x), :1], out=np.zeros(np.shape(x), f(x).dtype)),
        lambda x: f(x, out=np.empty_like(f(x))),
        domains=domain,
        smooth=smooth,
        ulps=4,
    )


def _pair(name: str, domains: tuple[str, str], smooth: bool) -> Entry:
    f: Any = getattr(np, name)
    calls = [
        lambda x, y: f(x, y),
        lambda x, y: f(x[:1], y),
        lambda x, y: f(x, y[..., :1]),
        lambda x, y: f(x, y, where=y > 0, out=np.zeros(np.shape(x), f(x, y).dtype)),
        lambda x, y: f(1.5, y),
        lambda x, y: f(x, 2),
    ]
    return entry(f"numpy.{name}", *calls, domains=domains, shapes=(3, 4), smooth=smooth, ulps=4)


def _whole(name: str, domains: tuple[str, str], number: int) -> Entry:
    f: Any = getattr(np, name)
    calls = [lambda x, y: f(x, y), lambda x, y: f(x, number), lambda x, y: f(x[:, :1], y[0])]
    return entry(f"numpy.{name}", *calls, domains=domains, smooth=False)


def _whole_methods(name: str) -> Entry:
    f: Any = getattr(np, name)
    calls = [
        lambda x: f.reduce(x),
        lambda x: f.reduce(x, axis=1),
        lambda x: f.accumulate(x, axis=0),
        lambda x: f.outer(x, x[0]),
    ]
    return entry(f"numpy.{name}.reduce", *calls, domains="counts", smooth=False, kernel=False)


def _methods(name: str, domain: str, smooth: bool = True) -> list[Entry]:
    """reduce, accumulate, outer, at and reduceat of a binary ufunc."""
    f: Any = getattr(np, name)
    out = [
        entry(
            f"numpy.{name}.reduce",
            lambda x: f.reduce(x),
            lambda x: f.reduce(x, axis=1),
            lambda x: f.reduce(x, axis=-1, keepdims=True),
            lambda x: f.reduce(x, 0, initial=1.25),
            lambda x: f.reduce(x, axis=1, where=EVEN[: len(x)], initial=0.5),
            domains=domain,
            smooth=smooth,
            kernel=False,
        ),
        entry(
            f"numpy.{name}.accumulate",
            lambda x: f.accumulate(x),
            lambda x: f.accumulate(x, axis=1),
            lambda x: f.accumulate(x[::-1], -1),
            domains=domain,
            smooth=smooth,
            kernel=False,
        ),
        entry(
            f"numpy.{name}.outer",
            lambda x: f.outer(x, x[0]),
            lambda x: f.outer(ROW, x),
            lambda x: f.outer(x[:, 0], 2.0),
            domains=domain,
            smooth=smooth,
            kernel=False,
        ),
        entry(
            f"numpy.{name}.reduceat",
            lambda x: f.reduceat(x, [0, 2, 1]),
            lambda x: f.reduceat(x, [1, 3], axis=1),
            domains=domain,
            kinds="C, F, strided, reversed, single, integer",
            smooth=smooth,
            kernel=False,
        ),
        entry(
            f"numpy.{name}.at",
            lambda x: _at(f, x, [0, 2, 0], 1.5),
            lambda x: _at(f, x, ([0, 1], [2, 3]), [0.5, 2.5]),
            lambda x: _at(f, x, np.array([1]), x[:1] + 0.25),
            domains=domain,
            kinds="C, F, strided, reversed, single",
            smooth=smooth,
            kernel=False,
        ),
    ]
    return out


def _at(f: Any, x: Any, index: Any, values: Any) -> Any:
    y = x.copy()
    f.at(y, index, values)
    return y


def _unary_at(f: Any, x: Any) -> Any:
    y = x.copy()
    f.at(y, [0, 2])
    return y


def table() -> list[Entry]:
    """The entries of ufuncs and of their methods."""
    rows = [_single(n, d, True) for n, d in UNARY.items()]
    rows += [_single(n, d, False) for n, d in FLAT.items()]
    rows += [_pair(n, d, True) for n, d in BINARY.items()]
    rows += [_pair(n, ("lattice", "shifted lattice"), False) for n in COMPARE]
    rows += [_whole(n, ("counts", "counts"), 3) for n in INTEGER]
    rows += [_whole(n, ("integers", "shifts"), 2) for n in ("left_shift", "right_shift")]
    rows += [
        entry("numpy.modf", lambda x: np.modf(x), domains="fractions"),
        entry("numpy.divmod", lambda x, y: np.divmod(x, y), lambda x, y: divmod(x, 0.7),
              domains=("dividend", "divisor")),
        entry("numpy.frexp", lambda x: np.frexp(x), lambda x: np.frexp(x * 1e30),
              domains="fractions", kinds=(*KINDS[:-4], "one", "empty")),
        entry("numpy.ldexp", lambda x: np.ldexp(x, 3), lambda x: np.ldexp(x, [1, -2, 0, 5])),
        entry("numpy.unary.at", lambda x: _unary_at(np.negative, x),
              lambda x: _unary_at(np.exp, x), lambda x: _unary_at(np.square, x),
              kinds="C, F, strided, single"),
    ]  # fmt: skip
    for name, domain in (
        ("add", "real"), ("multiply", "nonzero"), ("maximum", "distinct"), ("minimum", "distinct"),
        ("subtract", "real"), ("logaddexp", "real"), ("hypot", "nonzero"), ("fmax", "distinct"),
        ("fmin", "distinct"), ("divide", "nonzero"), ("power", "probability"),
        ("arctan2", "positive"),
    ):  # fmt: skip
        # NumPy's own loops of these two fold strided lines in another order than contiguous ones.
        odd = name in ("power", "arctan2")
        rows += [e for e in _methods(name, domain) if not odd or not e.name.endswith(".reduce")]
    for name in ("logical_and", "logical_or", "logical_xor", "greater", "equal"):
        rows += [e for e in _methods(name, "distinct", False) if "at" not in e.name.split(".")]
    rows += [_whole_methods(n) for n in ("bitwise_or", "bitwise_xor", "bitwise_and", "gcd", "lcm")]
    return rows

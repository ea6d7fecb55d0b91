"""Elementwise rows: types, values, kernel texts, derivatives, and the choices made at edges."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rows import (
    DOMAINS,
    assert_derivatives,
    assert_single_precision,
    check_row_value,
    draw,
    function_of,
    pulled,
    pushed,
)

from adjit.ir import ops
from adjit.ir.builder import Builder
from adjit.ir.core import Value
from adjit.ir.interp import evaluate
from adjit.ir.ops import arithmetic, logic, special
from adjit.ir.prim import PRIMS, Expr, Prim
from adjit.ir.types import NUMPY, Aval, aval_of

ROWS = {
    row.name: row
    for room in (arithmetic, logic, special)
    for row in vars(room).values()
    if isinstance(row, Prim)
}
ATTRS = {"zeta": {"s": 2}, "cast": {"dtype": "f32"}} | {n: {"n": 2} for n in ops.SPECIAL_ORDERS}
SHAPES = {
    "same": ((2, 3), (2, 3), (2, 3)),
    "broadcast": ((3, 1), (4,), (2, 1, 4)),
    "scalar": ((2, 2), (), ()),
    "0-d": ((), (), ()),
    "empty": ((0, 2), (1,), (0, 1)),
}
SMOOTH = [n for n, r in ROWS.items() if not r.nondiff and n not in ("cast", "real", "imag")]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def attrs_of(name: str) -> dict[str, Any]:
    return ATTRS.get(name, {})


def arity(row: Prim) -> int:
    """How many operands the type rule takes."""
    if row.name == "select":
        return 3
    return next(n for n in (1, 2) for d in NUMPY if infers(row, [Aval(d)] * n))


def infers(row: Prim, avals: list[Aval]) -> bool:
    """Whether the type rule takes these."""
    try:
        row.infer(*avals, **attrs_of(row.name))
    except TypeError:
        return False
    return True


def operand_dtypes(row: Prim, dtype: str) -> list[str]:
    """The dtypes of operands when the row computes with this one."""
    n = arity(row)
    return ["bool", dtype, dtype] if row.name == "select" else [dtype] * n


def takes(row: Prim, dtype: str) -> bool:
    return infers(row, [Aval(d) for d in operand_dtypes(row, dtype)])


def inputs(row: Prim, dtype: str, shapes: str, rng: np.random.Generator) -> list[np.ndarray]:
    dtypes = operand_dtypes(row, dtype)
    sizes = SHAPES[shapes][: len(dtypes)]
    return [
        draw(row.domain, d, s, rng, i) for i, (d, s) in enumerate(zip(dtypes, sizes, strict=True))
    ]


# ------------------------------------------------------------------ types and values


@pytest.mark.parametrize("name", ROWS)
def test_inferred_types_are_what_numpy_computes(name: str, rng: np.random.Generator) -> None:
    row = ROWS[name]
    taken = [d for d in NUMPY if takes(row, d)]
    assert taken, f"{row} takes no dtype"
    for dtype, shapes in itertools.product(taken, SHAPES):
        args = inputs(row, dtype, shapes, rng)
        if name == "pow" and dtype[0] == "i":
            args[1] = abs(args[1])
        with np.errstate(all="ignore"):
            check_row_value(row, args, **attrs_of(name))


def test_ufunc_table_is_by_reference() -> None:
    for ufunc, row in ops.UFUNCS.items():
        assert row.ref is ufunc
    assert ops.UFUNCS[np.tanh] is ops.tanh
    assert ops.SPECIAL_UFUNCS["psi"] is ops.digamma


def test_special_ufuncs_are_scipys() -> None:
    import scipy.special

    for name in ops.SPECIAL_UFUNCS | ops.SPECIAL_ORDERS:
        assert isinstance(getattr(scipy.special, name), np.ufunc), name


@pytest.mark.parametrize(
    ("row", "avals", "message"),
    [
        (ops.add, "f64 f32", "add: operands of dtypes f64 and f32"),
        (ops.less, "i64 f64", "less: operands of dtypes i64 and f64"),
        (ops.sin, "i64", "sin: takes float/complex, not i64"),
        (ops.div, "i64 i64", "div: takes float/complex, not i64"),
        (ops.sub, "bool bool", "sub: takes signed/unsigned/float/complex, not bool"),
        (ops.maximum, "c128 c128", "maximum: takes bool/signed/unsigned/float, not c128"),
        (ops.select, "f64 f64 f64", "select: the condition is f64, not bool"),
        (ops.select, "bool f64 f32", "select: operands of dtypes f64 and f32"),
        (ops.erfinv, "f16", "erfinv: takes f32 or f64, not f16"),
        (ops.exp, "f64 f64", "exp: takes 1 operands, got 2"),
        (ops.real, "f64", "real: takes c64 or c128, not f64"),
    ],
)
def test_type_errors_name_the_row_and_the_dtypes(row: Prim, avals: str, message: str) -> None:
    with pytest.raises(TypeError) as error:
        row.infer(*map(Aval, avals.split()))
    assert message in str(error.value)


def test_cast_refuses_to_drop_an_imaginary_part() -> None:
    with pytest.raises(TypeError, match="drops the imaginary part"):
        ops.cast.infer(Aval("c128"), dtype="f64")


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) \(4,\)"):
        ops.mul.infer(Aval("f64", (3,)), Aval("f64", (4,)))


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if arity(r) == 2])
def test_rows_that_say_so_commute(name: str, rng: np.random.Generator) -> None:
    row = ROWS[name]
    dtype = next(d for d in ("f64", "i64") if takes(row, d))
    a, b = inputs(row, dtype, "same", rng)
    with np.errstate(all="ignore"):
        same = np.array_equal(row.ref(a, b), row.ref(b, a), equal_nan=dtype == "f64")
    assert same == row.commutes


# ------------------------------------------------------------------ operators


def test_operators_write_rows() -> None:
    x = Value(Aval("f32", (2,)), "x")
    with Builder([x]) as b:
        outs = [2 * x - 1, 1 - x / 2, 2 / x, -x, x**2, x**3, 2**x, x + x]
        names = [b.defs[v].prim.name for v in outs]
        f = b.done(outs)
    assert names == ["sub", "sub", "div", "neg", "mul", "pow", "pow", "add"]
    at = np.array([0.5, 3.0], np.float32)
    wanted = [2 * at - 1, 1 - at / 2, 2 / at, -at, at**2, at**3, 2**at, at + at]
    for got, want in zip(evaluate(f, at), wanted, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-6)


# ------------------------------------------------------------------ kernel texts


_LL = {"select": lambda c, a, b: a if c else b, "fmaximum": np.maximum, "fminimum": np.minimum}
_VM = {"pow": np.power, "atan2": np.arctan2} | {
    name: getattr(np, name.replace("a", "arc", 1))
    for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")
}
_VM["trigamma"] = special.trigamma.ref


class Shim:
    """A kernel module as NumPy and SciPy mean its names, for one number at a time."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        import scipy.special

        stem = name.removesuffix("64")
        if name in NUMPY:
            return NUMPY[name].type
        if self.kind == "sp":
            return getattr(scipy.special, stem)
        table = _LL if self.kind == "ll" else _VM
        return table.get(stem) or getattr(np, stem, None) or getattr(scipy.special, stem)


EDGES = {
    "f": [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -3.0, 40.0, np.inf, -np.inf, np.nan],
    "i": [0, 1, -1, 2, -3, 7, 31, 63, 64, -(2**62)],
    "u": [0, 1, 2, 7, 63, 64, 2**63],
    "b": [False, True],
}
TEXTS = [
    (name, dtype)
    for name, row in ROWS.items()
    for dtype in ("f64", "i64", "u64", "bool")
    if isinstance(row.emit, Expr) and takes(row, dtype)
]


@pytest.mark.parametrize(("name", "dtype"), TEXTS)
def test_kernel_text_means_the_reference(name: str, dtype: str) -> None:
    row, kind = ROWS[name], NUMPY[dtype].kind
    emit = row.emit
    assert isinstance(emit, Expr)
    text = {"i": emit.ints, "u": emit.ints, "b": emit.bools}.get(kind) or emit.text
    columns = [np.array(EDGES[NUMPY[d].kind], NUMPY[d]) for d in operand_dtypes(row, dtype)]
    names = SimpleNamespace(ll=Shim("ll"), vm=Shim("vm"), sp=Shim("sp"), np=np)
    wide = (slice(1, 3) if name == "pow" and kind in "iu" else slice(None),) * len(columns)
    for args in itertools.product(*(c[s] for c, s in zip(columns, wide, strict=True))):
        if name == "pow" and kind == "i" and args[1] < 0:
            continue  # NumPy raises; a kernel cannot
        local = {f"x{i}": a for i, a in enumerate(args)}
        source = text.format(*local, t=64, **attrs_of(name))
        with np.errstate(all="ignore"):
            got = eval(source, vars(names), local)
            want = row.ref(*args, **attrs_of(name))
        np.testing.assert_allclose(
            np.asarray(got).astype(np.asarray(want).dtype), want, rtol=1e-13, err_msg=f"{args}"
        )


# ------------------------------------------------------------------ derivatives


@pytest.mark.parametrize("shapes", ["same", "broadcast", "scalar", "0-d"])
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name: str, shapes: str, rng: np.random.Generator) -> None:
    row = ROWS[name]
    dtype = "c128" if not takes(row, "f64") else "f64"
    args = inputs(row, dtype, shapes, rng)
    order = 2 if shapes == "broadcast" else 1
    assert_derivatives(function_of(row, args, **attrs_of(name)), args, rng, order)


@pytest.mark.parametrize("name", [n for n in SMOOTH if takes(ROWS[n], "f32")])
def test_derivatives_in_single_precision(name: str, rng: np.random.Generator) -> None:
    row = ROWS[name]
    assert_single_precision(row, inputs(row, "f64", "broadcast", rng), rng, **attrs_of(name))


COMPLEX = [n for n in ROWS if n not in ("cast", "complex") and takes(ROWS[n], "c128")]


@pytest.mark.parametrize("name", [n for n in COMPLEX if not ROWS[n].nondiff])
def test_derivatives_of_complex_rows(name: str, rng: np.random.Generator) -> None:
    row = ROWS[name]
    args = inputs(row, "c128", "broadcast", rng)
    assert_derivatives(function_of(row, args), args, rng)


def test_casts_between_floats_carry_derivatives(rng: np.random.Generator) -> None:
    x = draw("real", "f64", (3,), rng)
    f = function_of(ops.cast, [x], dtype="c128")
    assert_derivatives(f, [x], rng)
    g = function_of(ops.cast, [x], dtype="i64")
    assert not pushed(g).outs, "an integer result has no tangent"


def test_parts_of_complex_numbers(rng: np.random.Generator) -> None:
    z = draw("complex", "c128", (3,), rng)
    for f, reference in ((ops.modulus, np.abs), (ops.angle, np.angle)):
        function = function_of(f, [z])
        np.testing.assert_allclose(evaluate(function, z)[0], reference(z))
        assert_derivatives(function, [z], rng)


@pytest.mark.parametrize(
    "name", ["gammaln", "erf", "expit", "log_ndtr", "j0", "i0", "sinc", "tanh", "pow", "logaddexp"]
)
def test_derivatives_of_third_order(name: str, rng: np.random.Generator) -> None:
    row = ROWS[name]
    args = inputs(row, "f64", "0-d", rng)
    assert_derivatives(function_of(row, args), args, rng, order=3)


def test_a_wrong_partial_is_noticed(rng: np.random.Generator) -> None:
    wrong = arithmetic.elementwise("wrong", np.sin, None, lambda y, x: (ops.sin(x),))
    del PRIMS["wrong"]
    x = draw("real", "f64", (3,), rng)
    with pytest.raises(AssertionError, match="wrong"):
        assert_derivatives(function_of(wrong, [x]), [x], rng, order=1)


# ------------------------------------------------------------------ edges


def slopes(row: Prim, *args: float, dtype: str = "f64") -> list[float]:
    """The partial derivatives at a point."""
    xs = [np.asarray(a, NUMPY[dtype]) for a in args]
    outs = evaluate(pulled(function_of(row, xs)), *xs, np.ones((), NUMPY[dtype]))
    return [float(x) for x in outs]


INF = math.inf
EDGE_SLOPES = [
    (ops.abs_, (0.0,), (0.0,)),
    (ops.sqrt, (0.0,), (INF,)),
    (ops.cbrt, (0.0,), (INF,)),
    (ops.log, (0.0,), (INF,)),
    (ops.hypot, (0.0, 0.0), (0.0, 0.0)),
    (ops.pow_, (0.0, 0.0), (0.0, 0.0)),
    (ops.pow_, (0.0, 1.0), (1.0, 0.0)),
    (ops.pow_, (0.0, 3.0), (0.0, 0.0)),
    (ops.pow_, (0.0, 0.5), (INF, 0.0)),
    (ops.pow_, (2.0, 0.0), (0.0, math.log(2.0))),
    (ops.pow_, (-2.0, 3.0), (12.0, math.nan)),
    (ops.maximum, (1.0, 1.0), (0.5, 0.5)),
    (ops.minimum, (1.0, 1.0), (0.5, 0.5)),
    (ops.maximum, (2.0, -INF), (1.0, 0.0)),
    (ops.fmax, (2.0, math.nan), (1.0, 0.0)),
    (ops.fmin, (math.nan, 2.0), (0.0, 1.0)),
    (ops.logaddexp, (-INF, -INF), (0.5, 0.5)),
    (ops.logaddexp, (INF, INF), (0.5, 0.5)),
    (ops.logaddexp, (-INF, 1.0), (0.0, 1.0)),
    (ops.logaddexp, (800.0, -800.0), (1.0, 0.0)),
    (ops.logaddexp2, (3.0, 3.0), (0.5, 0.5)),
    (ops.xlogy, (0.0, 2.0), (math.log(2.0), 0.0)),
    (ops.xlogy, (0.0, 0.0), (-INF, 0.0)),
    (ops.xlog1py, (0.0, -1.0), (-INF, 0.0)),
    (ops.rel_entr, (0.0, 0.0), (-INF, 0.0)),
    (ops.kl_div, (0.0, 0.0), (-INF, 1.0)),
    (ops.entr, (0.0,), (INF,)),
    (ops.sinc, (0.0,), (0.0,)),
    (ops.exprel, (0.0,), (0.5,)),
    (ops.spence, (1.0,), (-1.0,)),
    (ops.ellipk, (0.0,), (math.pi / 8,)),
    (ops.ellipe, (0.0,), (-math.pi / 8,)),
    (ops.boxcox, (2.0, 0.0), (0.5, math.log(2.0) ** 2 / 2)),
    (ops.i1, (0.0,), (0.5,)),
    (ops.j1, (0.0,), (0.5,)),
    (ops.i0e, (0.0,), (0.0,)),
    (ops.expit, (-800.0,), (0.0,)),
    (ops.expit, (800.0,), (0.0,)),
    (ops.log_expit, (-800.0,), (1.0,)),
    (ops.tanh, (400.0,), (0.0,)),
    (ops.log_ndtr, (-30.0,), (30.033259667433677,)),
    (ops.log_ndtr, (40.0,), (0.0,)),
    (ops.heaviside, (0.0, 0.3), (0.0, 1.0)),
    (ops.copysign, (3.0, -0.0), (-1.0, 0.0)),
    (ops.copysign, (-0.0, 1.0), (0.0, 0.0)),
]


@pytest.mark.parametrize(("row", "at", "wanted"), EDGE_SLOPES)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_slopes_at_edges(
    row: Prim, at: tuple[float, ...], wanted: tuple[float, ...], dtype: str
) -> None:
    rtol = 1e-12 if dtype == "f64" else 2e-5
    np.testing.assert_allclose(slopes(row, *at, dtype=dtype), wanted, rtol=rtol, atol=0)


@pytest.mark.parametrize(
    ("row", "at", "wanted"),
    [
        (ops.logaddexp, (1.0, 1.0), 0.25),
        (ops.sinc, (0.0,), -(math.pi**2) / 3),
        (ops.i0, (0.0,), 0.5),
        (ops.j0, (0.0,), -0.5),
        (ops.xlogy, (0.0, 2.0), 0.0),
        (ops.pow_, (0.0, 2.0), 2.0),
        (ops.pow_, (0.0, 1.0), 0.0),
        (ops.exprel, (0.0,), 1 / 3),
        (ops.spence, (1.0,), 0.5),
        (ops.ellipk, (0.0,), math.pi * 9 / 64),
        (ops.ellipe, (0.0,), -math.pi * 3 / 64),
    ],
)
def test_second_slopes_at_edges(row: Prim, at: tuple[float, ...], wanted: float) -> None:
    xs = [np.asarray(a) for a in at]
    seeds = [np.ones(()), *(np.zeros(()) for _ in at[1:])]
    first = pulled(function_of(row, xs))
    twice = evaluate(pushed(first), *xs, np.ones(()), *seeds, np.zeros(()))
    np.testing.assert_allclose(twice[0], wanted, rtol=1e-12, atol=1e-15)


def test_mixed_second_slope_of_a_power_at_exponent_zero() -> None:
    x, p, one, zero = np.asarray(2.0), np.asarray(0.0), np.ones(()), np.zeros(())
    first = pulled(function_of(ops.pow_, [x, p]))
    along_p = evaluate(pushed(first), x, p, one, zero, one, zero)
    np.testing.assert_allclose(along_p[0], 0.5)  # d/dp (p x^(p-1)) = x^(p-1) there


@pytest.mark.parametrize("p", [-2, -1, 0, 0.5, 1, 2, 3, 2.5])
def test_constant_exponents(p: float, rng: np.random.Generator) -> None:
    x = draw("positive", "f64", (4,), rng)
    f = function_of(lambda v: ops.pow_(v, p), [x])
    assert_derivatives(f, [x], rng)
    if p in (2, 3):
        assert slopes(lambda v: ops.pow_(v, p), 0.0) == [0.0]  # type: ignore[arg-type]


def test_slope_of_a_square_is_no_power() -> None:
    x = np.ones(3)
    rows = [op.prim.name for op in pulled(function_of(lambda v: ops.pow_(v, 2), [x])).ops]
    assert rows.count("pow") == 1, "the derivative of x ** 2 is 2 x"


@pytest.mark.parametrize(
    "name",
    ["log_ndtr", "logit", "sinc", "digamma", "gammaln", "erfinv", "exprel", "ellipk", "ellipe"],
)
def test_slopes_against_many_digits(name: str) -> None:
    mpmath = pytest.importorskip("mpmath")
    exact = {
        "log_ndtr": lambda x: mpmath.log(mpmath.ncdf(x)),
        "logit": lambda x: mpmath.log(x / (1 - x)),
        "sinc": mpmath.sincpi,
        "digamma": mpmath.digamma,
        "gammaln": mpmath.loggamma,
        "erfinv": mpmath.erfinv,
        "exprel": lambda x: mpmath.expm1(x) / x,
        "ellipk": mpmath.ellipk,
        "ellipe": mpmath.ellipe,
    }[name]
    points = {
        "log_ndtr": [-20.0, -3.0, 0.0, 2.0],
        "sinc": [1e-6, 0.1, 0.2499, 0.2501, 3.3],
        "exprel": [1e-6, 0.499, 0.501, -3.0],
        "digamma": [0.01, 1.5, 30.0],
        "gammaln": [0.01, 1.5, 30.0],
    }.get(name, [0.01, 0.3, 0.5, 0.97])
    with mpmath.workdps(30):
        for x in points:
            want = float(mpmath.diff(exact, x))
            np.testing.assert_allclose(slopes(ROWS[name], x), [want], rtol=2e-12, atol=1e-15)


# ------------------------------------------------------------------ completeness

# Ufuncs that the tracer writes with several rows, or that have no meaning for traced values.
LOWERED = """
    deg2rad degrees rad2deg radians square reciprocal positive fabs float_power divmod modf frexp
    ldexp logical_and logical_or logical_not logical_xor isnat
    matmul vecdot matvec vecmat
"""


def test_every_numpy_ufunc_has_a_row_or_is_lowered() -> None:
    ufuncs = {n: f for n, f in vars(np).items() if isinstance(f, np.ufunc)}
    missing = sorted(
        n for n, f in ufuncs.items() if f not in ops.UFUNCS and f.__name__ not in LOWERED.split()
    )
    assert not missing, f"NumPy ufuncs without a row: {missing}"


# Rows that kernels leave to NumPy.
HOST = {"nextafter", "spacing", "gcd", "lcm", "bitwise_count"}


def test_elementwise_rows_without_a_kernel_text_are_known() -> None:
    assert {n for n, r in ROWS.items() if r.emit is None} == HOST


def test_no_row_misses_an_answer() -> None:
    missing = []
    for name, row in PRIMS.items():
        derivative = row.nondiff or row.partials or row.transpose or (row.jvp and row.vjp)
        if not (derivative or (row.forward and row.push)):
            missing.append(f"{name}: derivative")
        if not callable(row.ref):
            missing.append(f"{name}: reference")
        unknown = set(row.domain.split(", ")) - {*DOMAINS, "index"}
        missing += [f"{name}: domain {d!r}" for d in sorted(unknown)]
        if isinstance(row.emit, Expr) and row.emit.cost < 1:
            missing.append(f"{name}: cost")
    assert not missing, f"rows with missing answers: {missing}"


def test_every_row_is_a_name_of_the_package() -> None:
    named = {id(v) for v in vars(ops).values() if isinstance(v, Prim)}
    assert [n for n, r in PRIMS.items() if id(r) not in named] == []


def test_rows_do_not_import_scipy() -> None:
    import subprocess
    import sys

    code = "import sys, adjit.ir.ops; print('scipy' in sys.modules, 'numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_results_keep_their_dtype(rng: np.random.Generator) -> None:
    x = draw("real", "f32", (3,), rng)
    (y,) = evaluate(function_of(lambda v: ops.exp(v) * 2 + 1, [x]), x)
    assert aval_of(y) == Aval("f32", (3,))

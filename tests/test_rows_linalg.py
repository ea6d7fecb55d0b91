"""Rows of linear algebra: values, derivatives to order 2, batches, float32, degenerate inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from rows import assert_derivatives, assert_jvp, assert_vjp, function_of, pulled, pushed

from adjit.ir.builder import Builder
from adjit.ir.core import Value
from adjit.ir.interp import evaluate
from adjit.ir.ops import banded, decompositions, eigen, factors, linalg, slopes, triangular
from adjit.ir.ops.banded import banded_solve
from adjit.ir.ops.decompositions import eigh, lstsq, of_full_rank, pinv, qr, svd
from adjit.ir.ops.eigen import eig, logm, sqrtm, sylvester
from adjit.ir.ops.factors import lu, lu_order, permutation, pivot_order
from adjit.ir.ops.linalg import (
    adjugate,
    cholesky,
    det,
    expm,
    inv,
    slogdet,
    solve,
)
from adjit.ir.ops.matrices import matmul, transposed
from adjit.ir.ops.slopes import cholesky_inverse, cholesky_slope
from adjit.ir.ops.triangular import triangular_solve
from adjit.ir.parser import parse
from adjit.ir.prim import Prim
from adjit.ir.printer import show
from adjit.ir.types import Aval, aval_of, is_float
from adjit.ir.verify import verify
from adjit.passes.batch import batch

Shape = tuple[int, ...]
LinAlgError = np.linalg.LinAlgError
ROWS = [
    p
    for room in (linalg, triangular, slopes, decompositions, factors, eigen, banded)
    for p in vars(room).values()
    if isinstance(p, Prim) and p.infer.__module__ == room.__name__
]

# ------------------------------------------------------------------ inputs


def general(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Matrices with singular values well apart from each other and from zero."""
    u, _, vt = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    k = min(shape[-2:])
    s = np.arange(1, k + 1) * 0.7 + rng.uniform(0, 0.3, (*shape[:-2], k))
    return (u * s[..., None, :]) @ vt


def definite(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Symmetric positive definite matrices with eigenvalues well apart."""
    q, _ = np.linalg.qr(rng.normal(size=shape))
    w = np.arange(1, shape[-1] + 1) * 0.7 + rng.uniform(0, 0.3, shape[:-1])
    return (q * w[..., None, :]) @ np.swapaxes(q, -1, -2)


def triangular(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Full matrices of which either triangle is well conditioned."""
    return rng.uniform(-0.5, 0.5, shape) + 1.5 * np.eye(shape[-1])


def right(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Right-hand sides."""
    return rng.normal(size=shape)


def read_by(a: np.ndarray, lower: bool, trans: bool, unit: bool) -> np.ndarray:
    """The matrix that a triangular solve reads."""
    a = np.tril(a) if lower else np.triu(a)
    if unit:
        a = a * (1 - np.eye(a.shape[-1], dtype=a.dtype)) + np.eye(a.shape[-1], dtype=a.dtype)
    return np.swapaxes(a, -1, -2) if trans else a


@dataclass(frozen=True)
class Case:
    """A row with attributes, NumPy's own words for it, and the inputs to call both with."""

    name: str
    row: Callable[..., Any]
    spelled: Callable[..., Any]
    inputs: tuple[tuple[Callable[..., np.ndarray], Shape], ...]

    def arrays(self, dtype: type = np.float64) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [draw(rng, shape).astype(dtype) for draw, shape in self.inputs]


def squares() -> Iterator[Case]:
    """Rows of one square matrix."""
    for shape in [(3, 3), (1, 1), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2), (0, 0), (2, 0, 0)]:
        for row, spelled, draw in [
            (cholesky, np.linalg.cholesky, definite),
            (inv, np.linalg.inv, general),
            (det, np.linalg.det, general),
            (slogdet, np.linalg.slogdet, general),
            (expm, scipy.linalg.expm, general),
            (adjugate, lambda a: np.linalg.det(a)[..., None, None] * np.linalg.inv(a), general),
        ]:
            yield Case(f"{row.name} {shape}", row, spelled, ((draw, shape),))
        yield Case(f"lu {shape}", factored, lambda a: numpy_factored(a), ((general, shape),))
        for lower in (True, False):
            yield Case(
                f"eigh {shape} {lower}",
                lambda a, lower=lower: eigh(a, lower=lower),
                lambda a, lower=lower: np.linalg.eigh(a, "L" if lower else "U"),
                ((definite, shape),),
            )

    for shape in [(3, 3), (0, 0)]:
        yield Case(
            f"eigh by scipy {shape}",
            lambda a: eigh(a, lower=True, driver="evr"),
            lambda a: scipy.linalg.eigh(a) if a.size else np.linalg.eigh(a),
            ((definite, shape),),
        )


def factored(a: Value) -> tuple[Value, Value]:
    """L and U in one matrix, and the matrix of the row order."""
    packed, pivots, _ = lu(a)
    return packed, permutation(pivot_order(pivots), a.dtype)


def numpy_factored(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same by scipy.linalg.lu."""
    if not a.size:
        return a, a
    p, low, high = scipy.linalg.lu(a)
    return low + high - np.eye(a.shape[-1], dtype=a.dtype), np.swapaxes(p, -1, -2)


def systems() -> Iterator[Case]:
    """Rows of a matrix and right-hand sides."""
    pairs = [
        ((3, 3), (3, 2)),
        ((1, 1), (1, 1)),
        ((2, 3, 3), (2, 3, 1)),
        ((3, 3), (3, 0)),
        ((0, 0), (0, 2)),
        ((0, 2, 2), (0, 2, 1)),
    ]
    for a, b in pairs:
        yield Case(f"solve {a} {b}", solve, np.linalg.solve, ((general, a), (right, b)))
        for bits in range(8):
            attrs = {"lower": bool(bits & 1), "trans": bool(bits & 2), "unit": bool(bits & 4)}
            yield Case(
                f"triangular_solve {a} {b} {bits}",
                lambda a, b, attrs=attrs: triangular_solve(a, b, **attrs),
                lambda a, b, attrs=attrs: np.linalg.solve(read_by(a, **attrs), b),
                ((triangular, a), (right, b)),
            )


def slope(low: np.ndarray, g: np.ndarray) -> np.ndarray:
    """What a cotangent of a Cholesky factor is for the matrix, by one tangent after the other."""
    low, out = np.tril(low), np.zeros_like(low)
    inverse = np.linalg.inv(low) if low.size else low
    for i, j in itertools.product(range(low.shape[-1]), repeat=2):
        unit = np.zeros(low.shape[-2:], low.dtype)
        unit[i, j] = unit[j, i] = 1
        inner = np.tril(inverse @ unit @ np.swapaxes(inverse, -1, -2))
        inner *= 1 - 0.5 * np.eye(low.shape[-1], dtype=low.dtype)
        out[..., i, j] = np.sum(np.tril(g) * (low @ inner), axis=(-2, -1)) if i >= j else 0
    return out


def cotangents() -> Iterator[Case]:
    """Rows of a Cholesky factor that its derivative is made of."""
    for shape in [(3, 3), (1, 1), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2), (0, 0)]:
        yield Case(
            f"cholesky_slope {shape}",
            cholesky_slope,
            slope,
            ((triangular, shape), (right, shape)),
        )
        yield Case(
            f"cholesky_inverse {shape}",
            cholesky_inverse,
            lambda a: np.tril(np.linalg.inv(np.tril(a) @ np.swapaxes(np.tril(a), -1, -2))),
            ((triangular, shape),),
        )


def rectangles() -> Iterator[Case]:
    """Rows of matrices that need not be square."""
    for shape in [(3, 3), (4, 2), (2, 4, 3), (1, 1), (3, 1), (2, 4), (0, 3, 2), (3, 0)]:
        if shape[-2] >= shape[-1]:
            for mode in ("reduced", "complete"):
                yield Case(
                    f"qr {shape} {mode}",
                    lambda a, mode=mode: qr(a, complete=mode == "complete"),
                    lambda a, mode=mode: np.linalg.qr(a, mode),
                    ((general, shape),),
                )
        for full in (False, True):
            yield Case(
                f"svd {shape} {full}",
                lambda a, full=full: svd(a, full=full),
                lambda a, full=full: np.linalg.svd(a, full),
                ((general, shape),),
            )
        yield Case(
            f"pinv {shape}", lambda a: pinv(a, rcond=1e-15), np.linalg.pinv, ((general, shape),)
        )
    for a, b in [((4, 2), (4, 3)), ((2, 4), (2, 1)), ((3, 3), (3, 2)), ((3, 2), (3, 0))]:
        yield Case(
            f"lstsq {a} {b}",
            residual_free if a[0] <= a[1] else lstsq_of_full_rank,
            lambda a, b: np.linalg.lstsq(a, b, 1e-12)[0],
            ((general, a), (right, b)),
        )


def residual_free(a: Value, b: Value) -> Value:
    """The solution of least squares."""
    return lstsq(a, b, rcond=1e-12)[0]


def lstsq_of_full_rank(a: Value, b: Value) -> Value:
    """The solution, checked to be of full rank."""
    x, rank = lstsq(a, b, rcond=1e-12)
    return of_full_rank(x, rank, full=a.shape[1])


def equations() -> Iterator[Case]:
    """Eigenvalues, matrix equations and functions, bands, orders of rows."""
    yield Case("eig", lambda a: eig(a), numpy_eig, ((general, (3, 3)),))
    yield Case("eigvals", lambda a: eig(a, vectors=False)[0], lambda a: numpy_eig(a)[0],
               ((general, (2, 3, 3)),))  # fmt: skip
    yield Case(
        "sylvester",
        sylvester,
        scipy.linalg.solve_sylvester,
        ((definite, (3, 3)), (definite, (2, 2)), (right, (3, 2))),
    )
    for row in (sqrtm, logm):
        yield Case(row.name, row, getattr(scipy.linalg, row.name), ((definite, (3, 3)),))
    yield Case(
        "banded_solve",
        lambda ab, b: banded_solve(ab, b, lower=1, upper=1),
        lambda ab, b: scipy.linalg.solve_banded((1, 1), ab, b),
        ((band, (3, 5)), (right, (5, 2))),
    )
    yield Case(
        "lu_order",
        lambda a: permutation(lu_order(a), a.dtype),
        lambda a: scipy.linalg.lu(a)[0].T,
        ((general, (4, 2)),),
    )


def numpy_eig(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NumPy's eigenvalues and vectors, complex always."""
    w, v = np.linalg.eig(a)
    return w.astype(np.result_type(a, np.complex64)), v.astype(np.result_type(a, np.complex64))


def band(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Diagonals of which the middle one is the largest."""
    return rng.uniform(-0.5, 0.5, shape) + np.array([[0.0], [2.0], [0.0]])


CASES = [*squares(), *systems(), *cotangents(), *rectangles(), *equations()]


def arrays_of(x: Any) -> list[np.ndarray]:
    """The results of NumPy's function as a list."""
    return [np.asarray(y) for y in x] if isinstance(x, tuple) else [np.asarray(x)]


def gauged(case: Case) -> bool:
    """Whether a difference of values says nothing of a derivative: a null space has no basis, and
    SciPy's driver chooses signs anew at every call.
    """
    basis = case.name.startswith("svd") and "True" in case.name and "(3, 3)" not in case.name
    return basis or "scipy" in case.name


# ------------------------------------------------------------------ every row


def test_every_row_is_tested() -> None:
    seen = {op.prim for c in CASES for op in function_of(c.row, c.arrays()).ops}
    assert not [p for p in ROWS if p not in seen]


@pytest.mark.parametrize("case", CASES, ids=attrgetter("name"))
def test_value(case: Case) -> None:
    for dtype, rtol in ((np.float64, 1e-12), (np.float32, 2e-4)):
        args = case.arrays(dtype)
        function = function_of(case.row, args)
        outs = evaluate(function, *args)
        wanted = arrays_of(case.spelled(*args))
        for out, v, w in zip(outs, function.outs, wanted, strict=True):
            assert aval_of(out) == v.aval
            assert out.shape == w.shape
            np.testing.assert_allclose(out, w, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("case", CASES, ids=attrgetter("name"))
def test_derivatives(case: Case) -> None:
    args, rng = case.arrays(), np.random.default_rng(1)
    function = function_of(case.row, args)
    if gauged(case):
        assert_vjp(function, args, rng)
        return
    big = max(a.size for a in args) > 12
    assert_derivatives(function, args, rng, order=1 if big else 2, rtol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=attrgetter("name"))
def test_derivatives_keep_float32(case: Case) -> None:
    args = case.arrays(np.float32)
    function = function_of(case.row, args)
    for derived in pushed(function), pulled(function):
        verify(derived)
        assert show(parse(show(derived))) == show(derived, where=False)
        single = ("f32", "c64")
        assert all(v.dtype in single for op in derived.ops for v in op.outs if is_float(v.dtype))
    assert_vjp(function, args, np.random.default_rng(1), rtol=5e-3)


THIRD = [c for c in CASES if "(1, 1)" in c.name and not c.name.startswith("expm")]


@pytest.mark.parametrize("case", THIRD, ids=attrgetter("name"))
def test_third_derivatives(case: Case) -> None:
    args = case.arrays()
    assert_derivatives(function_of(case.row, args), args, np.random.default_rng(2), 3, 1e-4)


@pytest.mark.parametrize("row", [solve, inv, det, triangular_solve], ids=attrgetter("name"))
def test_complex_rows_are_differentiated_without_conjugation(row: Prim) -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3)) for _ in range(2))
    args = [a] if row in (inv, det) else [a, b]
    attrs = {"lower": True} if row is triangular_solve else {}
    function = function_of(row, args, **attrs)
    assert_jvp(function, args, rng)
    assert_vjp(function, args, rng)


# ------------------------------------------------------------------ batching

BATCHED = [c for c in CASES if "(0" not in c.name and "0)" not in c.name]


@pytest.mark.parametrize("case", BATCHED, ids=attrgetter("name"))
def test_batching_is_a_loop(case: Case) -> None:
    rng = np.random.default_rng(9)
    args = case.arrays()
    function = function_of(case.row, args)
    for moved in itertools.product((True, False), repeat=len(args)):
        if any(moved):
            stacks = [
                np.stack([draw(rng, shape) for _ in range(3)]) if m else a
                for (draw, shape), a, m in zip(case.inputs, args, moved, strict=True)
            ]
            batched = batch(function, 3, moved)
            verify(batched)
            assert {op.prim.name for op in batched.ops} >= {function.ops[0].prim.name} or (
                case.name.startswith(("lstsq", "banded"))  # the rows that a loop batches
            )
            got = evaluate(batched, *stacks)
            rows = [
                evaluate(function, *(a[i] if m else a for a, m in zip(stacks, moved, strict=True)))
                for i in range(3)
            ]
            for g, want in zip(got, zip(*rows, strict=True), strict=True):
                np.testing.assert_allclose(g, np.stack(want), rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------ degenerate inputs


def pull(f: Callable[[Value], Any], a: np.ndarray, *cts: np.ndarray) -> np.ndarray:
    """The cotangent of a, for cotangents of all results."""
    with np.errstate(all="ignore"):
        return evaluate(pulled(function_of(f, [a])), a, *cts)[0]


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_the_gradient_of_det_is_right_at_singular_matrices(rank: int) -> None:
    a = np.zeros((3, 3))
    a[:rank] = general(np.random.default_rng(4), (3, 3))[:rank]
    a[2] = a[:rank].sum(0)
    cofactors = np.array(
        [
            [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(3)]
            for i in range(3)
        ]
    )
    np.testing.assert_allclose(pull(det, a, np.array(1.0)), cofactors, atol=1e-13)


def test_equal_eigenvalues_have_a_gradient_and_their_vectors_have_none() -> None:
    a = np.diag([2.0, 2, 5])
    got = pull(lambda x: eigh(x, lower=True)[0], a, np.ones(3))
    np.testing.assert_allclose(got, np.eye(3), atol=1e-15)
    got = pull(lambda x: eigh(x, lower=True)[1], a, np.arange(9.0).reshape(3, 3))
    assert not np.isfinite(got).all()


def test_equal_singular_values_have_a_gradient_and_their_vectors_have_none() -> None:
    a = np.eye(3)
    got = pull(lambda x: svd(x, full=False)[1], a, np.ones(3))
    np.testing.assert_allclose(got, np.eye(3), atol=1e-15)
    got = pull(lambda x: svd(x, full=False)[0], a, np.arange(9.0).reshape(3, 3))
    assert not np.isfinite(got).all()


def test_one_triangle_is_read_and_gets_the_whole_derivative() -> None:
    rng = np.random.default_rng(5)
    a = definite(rng, (3, 3))
    for lower, f in [
        (True, cholesky),
        (True, lambda x: eigh(x, lower=True)[0]),
        (False, lambda x: eigh(x, lower=False)[0]),
    ]:
        (y,) = evaluate(function_of(f, [a]), a)
        got = pull(f, a, rng.normal(size=y.shape))
        assert not (np.triu(got, 1) if lower else np.tril(got, -1)).any()
        assert (np.tril(got, -1) if lower else np.triu(got, 1)).any()


def test_a_projector_on_a_null_space_has_a_derivative() -> None:
    """The vectors of a null space have no derivative of their own, but what is unique has."""

    def projector(a: Value) -> Value:
        u = svd(a, full=True)[0]
        last = decompositions._columns(u, 2, 2)
        return matmul(last, transposed(last))

    a = general(np.random.default_rng(6), (4, 2))
    assert_derivatives(function_of(projector, [a]), [a], np.random.default_rng(7), 2, 1e-5)


def test_deficient_rank_has_derivatives_where_the_rank_stays() -> None:
    """A(x) = x vᵀ has rank one for every x."""

    def f(x: Value, v: Value) -> Value:
        return pinv(matmul(x, v), rcond=1e-10)

    rng = np.random.default_rng(8)
    args = [rng.normal(size=(3, 1)), rng.normal(size=(1, 2))]
    assert_derivatives(function_of(f, args), args, rng, 2, 1e-5)

    def g(x: Value, v: Value, b: Value) -> Value:
        return lstsq(matmul(x, v), b, rcond=1e-10)[0]

    args.append(rng.normal(size=(3, 2)))
    assert_derivatives(function_of(g, args), args, rng, 2, 1e-5)


# ------------------------------------------------------------------ errors

BAD = np.array([[1.0, 2.0], [2.0, 4.0]])


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (inv, "Singular matrix"),
        (lambda a: solve(a, a), "Singular matrix"),
        (lambda a: cholesky(a - 9), "Matrix is not positive definite"),
        (lambda a: triangular_solve(a * 0.0, a, lower=True), "singular matrix"),
    ],
)
def test_singular_matrices_raise_at_run_time(f: Callable[..., Any], says: str) -> None:
    function = function_of(f, [BAD])
    with pytest.raises(LinAlgError, match=says):
        evaluate(function, BAD)


@pytest.mark.parametrize("f", [slogdet, lambda a: qr(a * 0.0, complete=False)])
def test_derivatives_at_singular_matrices_raise_at_run_time(f: Callable[..., Any]) -> None:
    function = function_of(f, [BAD])
    evaluate(function, BAD)
    cts = [np.ones(v.shape) for v in function.outs]
    with pytest.raises(LinAlgError, match=r"(?i)singular"):
        evaluate(pulled(function), BAD, *cts)


@pytest.mark.parametrize("row", [cholesky, inv, det, slogdet, expm, eigh], ids=attrgetter("name"))
def test_wrong_shapes_raise_as_numpy_does(row: Prim) -> None:
    attrs = {"lower": True} if row is eigh else {}
    spelled = getattr(np.linalg, row.name, np.linalg.inv)
    for shape in [(2, 3), (3,), (), (2, 3, 2)]:
        with pytest.raises(LinAlgError) as wanted:
            spelled(np.ones(shape))
        with pytest.raises(LinAlgError) as found, Builder():
            row(Value(Aval("f64", shape)), **attrs)
        assert str(found.value) == str(wanted.value)


def test_wrong_dtypes_raise() -> None:
    with Builder():
        with pytest.raises(TypeError, match="array type float16 is unsupported in linalg"):
            inv(Value(Aval("f16", (2, 2))))
        with pytest.raises(TypeError, match="cholesky"):
            cholesky(Value(Aval("i64", (2, 2))))
        with pytest.raises(ValueError, match="core dimension"):
            solve(Value(Aval("f64", (2, 2))), Value(Aval("f64", (3, 1))))

"""Rows of matrix decompositions: qr, eigh, svd, and what is least squares of them.

All act on stacks of matrices, the last two axes.  The formulas are those of the inner product
Re tr(Aᴴ B), whose gradients are the conjugates of cotangents; the vectors of complex matrices are
moved as if their phases did not turn more than they must.  Where a decomposition is not unique its
derivative does not exist, and the rules divide by zero rather than guess: with equal eigenvalues
(or singular values) whatever depends on their vectors has infinite or NaN derivatives, whatever
depends on the values alone, or on the vectors of other ones, has right first derivatives as long as
it treats equals alike.
Rank-deficient matrices raise `LinAlgError` in the derivative of qr.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..prim import ZERO, Prim
from ..types import NUMPY, Aval
from .arithmetic import _PARTS as PARTS
from .arithmetic import and_, cast, complex_, equal, imag, select
from .linalg import inv, triangular_solve
from .matrices import (
    Term,
    as_of,
    check_matrices,
    check_square,
    columns_of,
    conjugated,
    diagonal,
    diagonal_matrix,
    folded,
    hermitian,
    lower_part,
    matmul,
    mirrored,
    off_diagonal,
    plus_identity,
    real_part,
    rows_of,
    total,
    transposed,
    upper_part,
)
from .shape import along_rows, concatenate, narrow, pad, sum_

__all__ = ["eigh", "lstsq", "of_full_rank", "pinv", "qr", "svd"]


def _columns(x: Term, start: int, size: int) -> Term:
    return narrow(x, x.ndim - 1, start, size)


def _rows(x: Term, start: int, size: int) -> Term:
    return narrow(x, x.ndim - 2, start, size)


def _beside(*xs: Term) -> Term:
    return concatenate(*xs, axis=xs[0].ndim - 1) if len(xs) > 1 else xs[0]


# ------------------------------------------------------------------ QR


def _qr_infer(a: Aval, *, complete: bool) -> tuple[Aval, Aval]:
    check_matrices("qr", a, real=False)
    (*batch, m, n) = a.shape
    if m < n:
        raise ValueError(f"qr: {a} is wide; decompose its first {m} columns")
    k = m if complete else n
    return Aval(a.dtype, (*batch, m, k)), Aval(a.dtype, (*batch, k, n))


def _antisymmetric(x: Term) -> Term:
    """The anti-Hermitian matrix with the strict lower triangle of x, and its imaginary diagonal."""
    low = lower_part(x, -1)
    out = low - hermitian(low)
    return out if x.aval.kind != "c" else out + _turning(x)


def _turning(x: Term) -> Term:
    """The imaginary part of the diagonal, alone."""
    return diagonal_matrix(complex_(0, imag(diagonal(x))))


def _complement(q: Term) -> tuple[Term, Term, Term]:
    """What the last columns Q₂ of a complete Q are differentiated with.

    Q is a product of reflectors, I - Y T Yᵀ with Y unit lower trapezoidal, and its first columns
    determine them (Ballard et al. 2014, "Reconstructing Householder vectors from tall-skinny QR"):
    Q₂ = E₂ + C M Q₂₁ᴴ, with C = Q₁ - E₁, M = (Q₁₁ - I)⁻ᴴ.  Returns C M, M Q₂₁ᴴ and Q₂₁.
    """
    m, n = q.shape[-2:]
    top, low = _rows(q, 0, n), _rows(q, n, m - n)
    shifted = -plus_identity(-top)
    middle = hermitian(inv(shifted))
    left = concatenate(shifted, low, axis=q.ndim - 2)
    return matmul(left, middle), matmul(middle, hermitian(low)), low


def _qr_jvp(ts: Any, outs: Any, a: Term, *, complete: bool) -> Any:
    """With W = Qᴴ dA R⁻¹ and Ω anti-Hermitian with W's lower triangle (R has a real diagonal):
    dQ = Q (Ω - W) + dA R⁻¹, dR = (W - Ω) R.
    """
    (t,) = ts
    if t is ZERO:
        return ZERO, ZERO
    m, n = a.shape[-2:]
    q, r = _columns(outs[0], 0, n), _rows(outs[1], 0, n)
    moved = transposed(triangular_solve(r, transposed(t), lower=False, trans=True))
    inner = matmul(hermitian(q), moved)
    rest = inner - _antisymmetric(inner)
    dq, dr = moved - matmul(q, rest), upper_part(matmul(rest, r))
    if not complete or m == n:
        return dq, dr
    left, right, _ = _complement(q)
    top, low = _rows(dq, 0, n), _rows(dq, n, m - n)
    last = matmul(dq, right) + matmul(left, hermitian(low) - matmul(hermitian(top), right))
    return _beside(dq, last), _filled_rows(dr, outs[1].shape)


def _filled_rows(x: Term, shape: tuple[int, ...]) -> Term:
    """`x` with rows of zeros below."""
    return pad(x, shape=shape, start=(0,) * x.ndim, step=(1,) * x.ndim)


def _qr_vjp(cts: Any, outs: Any, a: Term, *, complete: bool) -> Any:
    """Ā = (Q̄ + Q sym(R R̄ᴴ - Q̄ᴴ Q)) R⁻ᴴ, where sym mirrors the lower triangle (Seeger et al. 2017,
    "Auto-differentiating linear algebra").
    """
    cq, cr = cts
    if cq is ZERO and cr is ZERO:
        return (ZERO,)
    m, n = a.shape[-2:]
    q, r = _columns(outs[0], 0, n), _rows(outs[1], 0, n)
    cq, cr = (c if c is ZERO else conjugated(c) for c in (cq, cr))
    if cq is not ZERO and complete and m > n:
        cq = _pull_complement(cq, q)
    if cr is not ZERO:
        cr = upper_part(_rows(cr, 0, n))
    inner = total(
        ZERO if cr is ZERO else matmul(r, hermitian(cr)),
        ZERO if cq is ZERO else -matmul(hermitian(cq), q),
    )
    x = total(cq, matmul(q, mirrored(inner, True)))
    return (transposed(triangular_solve(r, hermitian(x), lower=False)),)


def _pull_complement(ct: Term, q: Term) -> Term:
    """The cotangent of Q₁, given that of the complete Q."""
    m, n = q.shape[-2:]
    left, right, _ = _complement(q)
    first, last = _columns(ct, 0, n), _columns(ct, n, m - n)
    low = matmul(hermitian(last), left)
    top = -matmul(right, low)
    return first + matmul(last, hermitian(right)) + concatenate(top, low, axis=q.ndim - 2)


qr: Prim = Prim(
    name="qr",
    copies=True,
    infer=_qr_infer,
    ref=lambda a, *, complete: tuple(np.linalg.qr(a, "complete" if complete else "reduced")),
    jvp=_qr_jvp,
    vjp=_qr_vjp,
    batch=along_rows(lambda: qr),
)


# ------------------------------------------------------------------ symmetric eigenvalues


def _eigh_infer(a: Aval, *, lower: bool, driver: str = "evd") -> tuple[Aval, Aval]:
    check_square("eigh", a, real=False)
    if driver not in ("evd", "evr"):
        raise ValueError(f"eigh: unknown driver {driver!r}")
    return Aval(PARTS.get(a.dtype, a.dtype), a.shape[:-1]), a


def _over(x: Term, gaps: Term) -> Term:
    """x / gaps off the diagonal, zero on it."""
    return off_diagonal(x / as_of(plus_identity(gaps), x))


def _over_used(x: Term, gaps: Term, ct: Term) -> Term:
    """The same where nothing depends on how two equal vectors turn that `ct` leaves alone.

    That is no slope, not 0 / 0.  The divisor is tiny there, so that a derivative of x which is not
    zero stays visible.
    """
    zeros = sum_(cast(equal(ct, 0), dtype=gaps.dtype), axes=(ct.ndim - 2,))
    idle = equal(zeros, float(ct.shape[-2]))
    pairs = and_(rows_of(idle), columns_of(idle))
    tiny = float(np.finfo(NUMPY[gaps.dtype]).tiny)
    apart = plus_identity(gaps)
    return off_diagonal(x / as_of(select(and_(pairs, equal(apart, 0)), tiny, apart), x))


def _gaps(w: Term) -> Term:
    """wⱼ - wᵢ."""
    return rows_of(w) - columns_of(w)


def _eigh_ref(a: Any, *, lower: bool, driver: str = "evd") -> tuple[np.ndarray, np.ndarray]:
    if driver == "evd" or not a.size:
        w, v = np.linalg.eigh(a, "L" if lower else "U")
        return w, v
    import scipy.linalg

    w, v = np.empty(a.shape[:-1], a.real.dtype), np.empty_like(a)
    for at in np.ndindex(a.shape[:-2]):
        w[at], v[at] = scipy.linalg.eigh(a[at], lower=lower, check_finite=False)
    return w, v


def _eigh_jvp(ts: Any, outs: Any, a: Term, *, lower: bool, driver: str = "evd") -> Any:
    """With B = Vᴴ dA V: dw = diag B, dV = V (B / G), Gᵢⱼ = wⱼ - wᵢ."""
    (t,) = ts
    w, v = outs
    if t is ZERO:
        return ZERO, ZERO
    inner = matmul(hermitian(v), mirrored(t, lower), v)
    return real_part(diagonal(inner)), matmul(v, _over(inner, _gaps(w)))


def _eigh_vjp(cts: Any, outs: Any, a: Term, *, lower: bool, driver: str = "evd") -> Any:
    """Ā = V (diag(w̄) + (Vᴴ V̄) / G) Vᴴ, folded into the triangle that is read."""
    cw, cv = cts
    w, v = outs
    inner = total(
        ZERO if cw is ZERO else diagonal_matrix(as_of(cw, v)),
        ZERO if cv is ZERO else _over_used(matmul(hermitian(v), conjugated(cv)), _gaps(w), cv),
    )
    if inner is ZERO:
        return (ZERO,)
    return (conjugated(folded(matmul(v, inner, hermitian(v)), lower)),)


# Reads one triangle alone, as NumPy does, and so its derivative is in that triangle alone.  The
# driver (NumPy's, or SciPy's default) decides the signs of the vectors.
eigh: Prim = Prim(
    name="eigh",
    copies=True,
    infer=_eigh_infer,
    ref=_eigh_ref,
    jvp=_eigh_jvp,
    vjp=_eigh_vjp,
    batch=along_rows(lambda: eigh),
    defaults={"driver": "evd"},
)


# ------------------------------------------------------------------ singular values


def _svd_infer(a: Aval, *, full: bool) -> tuple[Aval, Aval, Aval]:
    check_matrices("svd", a, real=False)
    (*batch, m, n) = a.shape
    k = min(m, n)
    left, right = (m, n) if full else (k, k)
    return (
        Aval(a.dtype, (*batch, m, left)),
        Aval(PARTS.get(a.dtype, a.dtype), (*batch, k)),
        Aval(a.dtype, (*batch, right, n)),
    )


def _square_gaps(s: Term) -> Term:
    """sⱼ² - sᵢ²."""
    across, down = rows_of(s), columns_of(s)
    return (across - down) * (across + down)


def _moved_vectors(u: Term, k: int, turn: Term, along: Term, s: Term) -> Term:
    """The tangent of singular vectors: `turn` among the first k, `along` what leaves their span.

    The vectors beyond k (of a full decomposition) follow without turning among themselves.
    """
    first = _columns(u, 0, k)
    if u.shape[-2] > k:
        outside = along - matmul(first, hermitian(first), along)
        first_dot = matmul(first, turn) + outside / as_of(rows_of(s), u)
    else:
        first_dot = matmul(first, turn)
    if u.shape[-1] == k:
        return first_dot
    last = _columns(u, k, u.shape[-1] - k)
    return _beside(first_dot, -matmul(first, hermitian(first_dot), last))


def _svd_jvp(ts: Any, outs: Any, a: Term, *, full: bool) -> Any:
    """With D = Uᴴ dA V: ds = Re diag D, dU = U ((D S + S Dᴴ) / G) + (I - U Uᴴ) dA V S⁻¹ and
    dV = V ((S D + Dᴴ S) / G) + (I - V Vᴴ) dAᴴ U S⁻¹, Gᵢⱼ = sⱼ² - sᵢ²; of the phases, which
    only move together, U takes all: i Im(D) S⁻¹ on the diagonal.
    """
    (t,) = ts
    if t is ZERO:
        return ZERO, ZERO, ZERO
    u, s, vt = outs
    k = s.shape[-1]
    v, gaps = hermitian(vt), _square_gaps(s)
    right, left = matmul(t, _columns(v, 0, k)), matmul(hermitian(t), _columns(u, 0, k))
    inner = matmul(hermitian(_columns(u, 0, k)), right)
    across, down = as_of(rows_of(s), u), as_of(columns_of(s), u)
    by_columns, by_rows = inner * across, inner * down
    turn = _over(by_columns + hermitian(by_columns), gaps)
    if a.aval.kind == "c":
        turn = turn + _turning(inner) / across
    du = _moved_vectors(u, k, turn, right, s)
    dv = _moved_vectors(v, k, _over(by_rows + hermitian(by_rows), gaps), left, s)
    return du, real_part(diagonal(inner)), hermitian(dv)


def _pull_vectors(ct: Any, u: Term, k: int, s: Term) -> tuple[Any, ...]:
    """Of a gradient of singular vectors: (Uᴴ Ū - Ūᴴ U) / G, (I - U Uᴴ) Ū S⁻¹, and Uᴴ Ū."""
    if ct is ZERO:
        return ZERO, ZERO, ZERO
    first = _columns(u, 0, k)
    if u.shape[-1] > k:
        rest = u.shape[-1] - k
        last, ct_last = _columns(u, k, rest), _columns(ct, k, rest)
        ct = _columns(ct, 0, k) - matmul(last, hermitian(ct_last), first)
    inner = matmul(hermitian(first), ct)
    turn = _over_used(inner - hermitian(inner), _square_gaps(s), ct)
    if u.shape[-2] == k:
        return turn, ZERO, inner
    return turn, (ct - matmul(first, inner)) / as_of(rows_of(s), u), inner


def _svd_vjp(cts: Any, outs: Any, a: Term, *, full: bool) -> Any:
    """Ā = U (T_U S + S T_V + diag(s̄)) Vᴴ + (I - U Uᴴ) Ū S⁻¹ Vᴴ + U S⁻¹ V̄ᴴ (I - V Vᴴ),
    with T_X = (Xᴴ X̄ - X̄ᴴ X) / G (Townsend 2016, "Differentiating the singular value
    decomposition"), and i Im diag(Uᴴ Ū) S⁻¹ beside diag(s̄) for the phases.
    """
    cu, cs, cvt = cts
    u, s, vt = outs
    k = s.shape[-1]
    v = hermitian(vt)
    cu = cu if cu is ZERO else conjugated(cu)
    across, down = as_of(rows_of(s), u), as_of(columns_of(s), u)
    turn_u, out_u, phases = _pull_vectors(cu, u, k, s)
    turn_v, out_v, _ = _pull_vectors(ZERO if cvt is ZERO else transposed(cvt), v, k, s)
    inner = total(
        ZERO if turn_u is ZERO else turn_u * across,
        ZERO if turn_v is ZERO else turn_v * down,
        ZERO if cs is ZERO else diagonal_matrix(as_of(cs, u)),
        ZERO if phases is ZERO or a.aval.kind != "c" else _turning(phases) / across,
    )
    if inner is ZERO:
        return (ZERO,)
    first_u, first_vt = _columns(u, 0, k), _rows(vt, 0, k)
    left = total(matmul(first_u, inner), out_u)
    out = matmul(left, first_vt)
    out = total(out, ZERO if out_v is ZERO else matmul(first_u, hermitian(out_v)))
    return (conjugated(out),)


# With `full`, the vectors of the null spaces: any basis will do, so only what does not depend on
# its choice (a projector) has a derivative that means something.
svd: Prim = Prim(
    name="svd",
    copies=True,
    infer=_svd_infer,
    ref=lambda a, *, full: tuple(np.linalg.svd(a, full_matrices=full)),
    jvp=_svd_jvp,
    vjp=_svd_vjp,
    batch=along_rows(lambda: svd),
)


# ------------------------------------------------------------------ least squares


def _pinv_infer(a: Aval, *, rcond: float) -> Aval:
    check_matrices("pinv", a, real=False)
    (*batch, m, n) = a.shape
    return Aval(a.dtype, (*batch, n, m))


def _pinv_jvp(ts: Any, outs: Any, a: Term, *, rcond: float) -> Any:
    """dX = -X dA X + X Xᴴ dAᴴ (I - A X) + (I - X A) dAᴴ Xᴴ X (Golub and Pereyra 1973)."""
    (t,) = ts
    (x,) = outs
    if t is ZERO:
        return (ZERO,)
    tt, xt = hermitian(t), hermitian(x)
    right, left = matmul(x, xt, tt), matmul(tt, xt, x)
    right = right - matmul(right, a, x)
    left = left - matmul(x, a, left)
    return (right + left - matmul(x, t, x),)


def _pinv_vjp(cts: Any, outs: Any, a: Term, *, rcond: float) -> Any:
    """Ā = -Xᴴ X̄ Xᴴ + (I - A X) X̄ᴴ X Xᴴ + Xᴴ X X̄ᴴ (I - X A)."""
    (ct,) = cts
    (x,) = outs
    if ct is ZERO:
        return (ZERO,)
    ct = conjugated(ct)
    xt, ctt = hermitian(x), hermitian(ct)
    right, left = matmul(ctt, x, xt), matmul(xt, x, ctt)
    right = right - matmul(a, x, right)
    left = left - matmul(left, x, a)
    return (conjugated(right + left - matmul(xt, ct, xt)),)


def _lstsq_infer(a: Aval, b: Aval, *, rcond: float) -> tuple[Aval, Aval]:
    check_matrices("lstsq", a, b, real=False)
    for x in (a, b):
        if x.ndim != 2:
            raise np.linalg.LinAlgError(
                f"{x.ndim}-dimensional array given. Array must be two-dimensional"
            )
    if a.shape[0] != b.shape[0]:
        raise np.linalg.LinAlgError("Incompatible dimensions")
    return Aval(a.dtype, (a.shape[1], b.shape[1])), Aval("i64")


def _lstsq_ref(a: Any, b: Any, *, rcond: float) -> tuple[np.ndarray, np.int64]:
    x, _, rank, _ = np.linalg.lstsq(a, b, rcond)
    return x, np.int64(rank)


def _lstsq_jvp(ts: Any, outs: Any, a: Term, b: Term, *, rcond: float) -> Any:
    """dx = A⁺ (db - dA x) + A⁺ A⁺ᴴ dAᴴ (b - A x) + (I - A⁺ A) dAᴴ A⁺ᴴ x, at constant rank."""
    ta, tb = ts
    if ta is ZERO and tb is ZERO:
        return ZERO, ZERO
    x, p = outs[0], pinv(a, rcond=rcond)
    t = matmul(p, total(tb, ZERO if ta is ZERO else -matmul(ta, x)))
    if ta is not ZERO:
        tat, pt = hermitian(ta), hermitian(p)
        inside = matmul(p, pt, tat, b - matmul(a, x))
        outside = matmul(tat, matmul(pt, x))
        t = t + inside + outside - matmul(p, a, outside)
    return t, ZERO


def _lstsq_vjp(cts: Any, outs: Any, a: Term, b: Term, *, rcond: float) -> Any:
    """b̄ = A⁺ᴴ x̄, Ā = -b̄ xᴴ + (b - A x) x̄ᴴ A⁺ A⁺ᴴ + A⁺ᴴ x x̄ᴴ (I - A⁺ A)."""
    ct = cts[0]
    if ct is ZERO:
        return ZERO, ZERO
    x, p = outs[0], pinv(a, rcond=rcond)
    ct = conjugated(ct)
    pt, ctt = hermitian(p), hermitian(ct)
    to_b = matmul(pt, ct)
    inside = matmul(b - matmul(a, x), matmul(matmul(ctt, p), pt))
    outside = matmul(matmul(pt, x), ctt - matmul(ctt, p, a))
    to_a = inside + outside - matmul(to_b, hermitian(x))
    return conjugated(to_a), conjugated(to_b)


pinv: Prim = Prim(
    name="pinv",
    copies=True,
    infer=_pinv_infer,
    ref=lambda a, *, rcond: np.linalg.pinv(a, rcond),
    jvp=_pinv_jvp,
    vjp=_pinv_vjp,
    batch=along_rows(lambda: pinv),
)
# The minimum-norm solution and the rank, of one matrix and the columns of another.
lstsq = Prim(
    name="lstsq",
    copies=True,
    infer=_lstsq_infer,
    ref=_lstsq_ref,
    jvp=_lstsq_jvp,
    vjp=_lstsq_vjp,
)


def _full_rank_infer(x: Aval, rank: Aval, *, full: int) -> Aval:
    if rank != Aval("i64"):
        raise TypeError(f"of_full_rank: the rank is {rank}, not i64[]")
    return x


def _full_rank_ref(x: Any, rank: Any, *, full: int) -> Any:
    if rank != full:
        raise np.linalg.LinAlgError(
            f"the matrix of lstsq has rank {rank}, not {full}: NumPy returns no residuals then; "
            "take them from b - a @ x"
        )
    return x


# Its operand, if a rank is full: what holds for such matrices alone fails loudly for others.
of_full_rank: Prim = Prim(
    name="of_full_rank",
    copies=True,
    infer=_full_rank_infer,
    ref=_full_rank_ref,
    transpose=lambda ct, x, rank, *, full: (of_full_rank(ct, rank, full=full), ZERO),
    linear=(0,),
)

"""Products with a triangular matrix, told apart by how the other one is made.

The cotangent of a Cholesky factor is mostly a sum of products of few columns, which the solves by
that factor leave there, and of a diagonal, which its determinant leaves.
"""

from __future__ import annotations

from ..builder import current
from ..core import Const, Op, Value
from .matrices import Term, matmul, total, transposed
from .shape import pad, reshape, slice_

FEW = 4  # times as many rows as there are columns whose products are worth telling apart
_TERMS = ("neg", "add", "sub")
Signed = tuple[Term, bool]  # a term, and whether it is subtracted


def lower_product(factor: Term, g: Term) -> Term:
    """A matrix whose lower triangle is that of Lᵀ G, L lower triangular and real.

    What is above the diagonal of G does not matter for it.
    """
    found: list[Signed] = []
    rest: list[Signed] = []
    todo: list[Signed] = [(g, False)]
    while todo:
        v, negative = todo.pop()
        op = current().defs.get(v)
        name = op.prim.name if op is not None else ""
        if op is not None and name in _TERMS and all(a.shape == v.shape for a in op.args):
            signs = (negative != (name == "neg"), negative != (name == "sub"))
            todo += zip(op.args, signs, strict=False)
            continue
        inside = _behind(v, "less_equal", 0)
        if inside is not None:
            todo.append((inside, negative))
            continue
        part = None if op is None else _of_few(factor, op) or _of_diagonal(factor, op)
        (rest if part is None else found).append((v if part is None else part, negative))
    whole = [matmul(transposed(factor), _sum(rest))] if rest else []
    return total(*whole, *([_sum(found)] if found else []))


def _sum(terms: list[Signed]) -> Term:
    return total(*(-v if negative else v for v, negative in terms))


def _of_few(factor: Term, op: Op) -> Term | None:
    """Lᵀ (A B) as (Lᵀ A) B, where A has few columns."""
    turned = op.prim.name == "transpose" and op.attrs["perm"] == _swap(op.outs[0].ndim)
    made = current().defs.get(op.args[0]) if turned else op
    if made is None or made.prim.name != "dot":
        return None
    a, b = made.args
    n = a.ndim - 2
    plain = made.attrs["contract"] == ((n + 1,), (n,)) and len(made.attrs["batch"][0]) == n
    if not plain or a.shape[-1] * FEW > a.shape[-2]:
        return None
    if turned:
        a, b = _turned(b), _turned(a)
    return matmul(_unsolved(factor, a), b)


def _unsolved(factor: Term, x: Term) -> Term:
    """Lᵀ X; the right-hand side where X solves that system."""
    op = current().defs.get(x)
    if op is not None and op.prim.name == "triangular_solve":
        attrs = {"lower": True, "trans": True, "unit": False}
        same = all(op.attrs.get(k, False) == v for k, v in attrs.items())
        if same and _lower(op.args[0]) is factor:
            return op.args[1]
    return matmul(transposed(factor), x)


def _lower(a: Value) -> Value:
    """A matrix with the same lower triangle, without what stands above the diagonal."""
    op = current().defs.get(a)
    if op is None or op.prim.name != "add":
        return a
    x, y = op.args
    if _behind(x, "greater_equal", 1) is not None:
        return y
    return x if _behind(y, "greater_equal", 1) is not None else a


def _of_diagonal(factor: Term, op: Op) -> Term | None:
    """Lᵀ diag(v), whose lower triangle is a diagonal."""
    (x, *_), n = op.args, op.outs[0].shape[-1]
    if _behind(op.outs[0], "equal", 0) is not None:
        return factor * op.outs[0]
    made = current().defs.get(x) if op.prim.name == "reshape" and op.outs[0].ndim == 2 else None
    if made is None or made.prim.name != "pad" or made.outs[0].shape != (n * n,):
        return None
    (v,), attrs = made.args, made.attrs
    if v.shape != (n,) or attrs["start"] != (0,) or attrs["step"] != (n + 1,):
        return None
    own = slice_(reshape(factor, shape=(n * n,)), start=(0,), size=(n,), step=(n + 1,))
    return reshape(pad(v * own, **attrs), shape=op.outs[0].shape)


def _swap(ndim: int) -> tuple[int, ...]:
    return (*range(ndim - 2), ndim - 1, ndim - 2)


def _turned(x: Term) -> Term:
    op = current().defs.get(x)
    if op is not None and op.prim.name == "transpose" and op.attrs["perm"] == _swap(x.ndim):
        return op.args[0]
    return transposed(x)


def _behind(v: Value, name: str, k: int) -> Value | None:
    """What a mask leaves of a matrix where column minus row is so; None if it is not masked so."""
    op = current().defs.get(v)
    if op is None or op.prim.name != "select" or not _compares(op.args[0], name, k):
        return None
    _, x, zero = op.args
    blank = type(zero) is Const and bool(zero.data == 0)
    return x if blank and x.shape == v.shape else None


def _compares(m: Value, name: str, k: int) -> bool:
    """Whether a mask is how column minus row compares with a number, as `lower_part` has it."""
    defs = current().defs
    op = defs.get(m)
    if op is None or op.prim.name != name or type(op.args[1]) is not Const or op.args[1].data != k:
        return False
    ahead = defs.get(op.args[0])
    if ahead is None or ahead.prim.name != "sub":
        return False
    made = [defs.get(a) for a in ahead.args]
    return [op.attrs["axis"] for op in made if op and op.prim.name == "iota"] == [1, 0]

"""What a cotangent of a Cholesky factor is made of, where that makes its derivative cheap.

Solves by the factor leave products of few columns there, and its determinant leaves a diagonal.
"""

from __future__ import annotations

from typing import Any

from ..builder import current
from ..core import Const, Op, Value
from ..records import dataclass
from .matrices import Term, columns_of, diagonal_at, is_masked, rows_of, scaled, transposed
from .shape import broadcast, reshape
from .triangular import solved

FEW = 4  # times as many rows as there are columns whose products are worth telling apart
_TERMS = ("neg", "add", "sub")


@dataclass(frozen=True)
class Scaled:
    """A number for each matrix of a stack, and the matrices that it multiplies."""

    factor: Any
    matrices: Term


@dataclass(frozen=True)
class Parts:
    """Terms c I and f A Bᵀ, of few columns, in whose sum Lᵀ G has its lower triangle.

    `identity` has every c, `products` every (f, A, B).
    """

    identity: list[Any]
    products: list[tuple[Any, Term, Term]]


def lower_parts(factor: Term, g: Term) -> Parts | None:
    """The lower triangle of Lᵀ G in such parts; None if there is anything else in it.

    L is lower triangular and real.  What is above the diagonal of G does not matter.
    """
    parts = Parts([], [])
    todo: list[tuple[Term, bool]] = [(g, False)]
    while todo:
        v, negative = todo.pop()
        op = current().defs.get(v)
        if op is None:
            return None
        if op.prim.name in _TERMS and all(a.shape == v.shape for a in op.args):
            signs = (negative != (op.prim.name == "neg"), negative != (op.prim.name == "sub"))
            todo += zip(op.args, signs, strict=False)
            continue
        inside = is_masked(v, "less_equal", 0)
        if inside is not None:
            todo.append((inside, negative))
            continue
        if not (
            _take_product(parts, factor, op, negative)
            or _take_diagonal(parts, factor, op, negative)
        ):
            return None
    return parts


def _take_product(parts: Parts, factor: Term, op: Op, negative: bool) -> bool:
    """Lᵀ (A B) as (Lᵀ A) B, where A has few columns and solves a system with Lᵀ."""
    product = of_few(op.outs[0])
    if product is None:
        return False
    n = factor.ndim - 2
    found, other = split(product[0], n), split(_turned(product[1]), n)
    solved = current().defs.get(found.matrices)
    if solved is None or not _is_solve(solved, factor, trans=True):
        return False
    first = split(solved.args[1], n)
    number = _times(_times(found.factor, first.factor), other.factor)
    known = [x for _, *pair in parts.products for x in pair]
    one = next((x for x in known if same(x, first.matrices)), first.matrices)
    two = next((x for x in (one, *known) if same(x, other.matrices)), other.matrices)
    parts.products.append((_times(-1.0, number) if negative else number, one, two))
    return True


def of_few(v: Term) -> tuple[Term, Term] | None:
    """A and B of a stack of matrices that is made as A B, A of few columns; None if it is not."""
    op = current().defs.get(v)
    turned = op is not None and op.prim.name == "transpose" and op.attrs["perm"] == _swap(v.ndim)
    made = current().defs.get(op.args[0]) if op is not None and turned else op
    if made is None or made.prim.name != "dot":
        return None
    a, b = made.args
    n = v.ndim - 2
    first = tuple(range(n))
    if made.attrs["batch"] != (first, first):
        return None
    if made.attrs["contract"] == ((), ()) and a.ndim == b.ndim == n + 1:
        a, b = columns_of(a), rows_of(b)
    elif made.attrs["contract"] != ((n + 1,), (n,)) or a.ndim != n + 2 or b.ndim != n + 2:
        return None
    if a.shape[-1] * FEW > max(a.shape[-2], FEW):
        return None
    return (_turned(b), _turned(a)) if turned else (a, b)


def _take_diagonal(parts: Parts, factor: Term, op: Op, negative: bool) -> bool:
    """Lᵀ diag(c / L_ii), whose lower triangle is c I."""
    *lead, _, n = factor.shape
    made = current().defs.get(op.args[0]) if op.prim.name == "reshape" else None
    if made is None or made.prim.name != "pad" or op.outs[0].shape != factor.shape:
        return False
    (v,), at = made.args, diagonal_at(factor.aval)
    whole = made.outs[0].shape == (*lead, n * n) and v.shape == at["size"]
    if not whole or any(made.attrs[k] != at[k] for k in ("start", "step")):
        return False
    number = _times_reciprocal(v, factor)
    if number is not None:
        parts.identity.append(_times(-1.0, number) if negative else number)
    return number is not None


# ------------------------------------------------------------------ a number for each matrix


def split(v: Term, lead: int) -> Scaled:
    """What is left of a stack of matrices without the numbers that multiply each of them."""
    op = current().defs.get(v)
    name = op.prim.name if op is not None else ""
    if op is None:
        return Scaled(1.0, v)
    if name == "neg":
        return _scaled_by(-1.0, split(op.args[0], lead))
    if name == "mul":
        for x, y in (op.args, op.args[::-1]):
            number = uniform(x, v.shape, lead)
            if number is not None and y.shape == v.shape:
                return _scaled_by(number, split(y, lead))
    if name == "dot" and op.attrs["contract"] == ((), ()):
        for x, y in (op.args, op.args[::-1]):
            first = tuple(range(x.ndim))
            if op.attrs["batch"] == (first, first) and x.ndim in (0, lead):
                return _scaled_by(_number(x), split(y, lead))
    if name in ("add", "sub") and all(a.shape == v.shape for a in op.args):
        one, two = (split(a, lead) for a in op.args)
        if same(one.matrices, two.matrices):
            last = two.factor if name == "add" else _times(-1.0, two.factor)
            return Scaled(_plus(one.factor, last), one.matrices)
    if _is_view(op):
        (x,) = op.args
        if x.shape[:lead] == v.shape[:lead]:
            inner = split(x, lead)
            return Scaled(inner.factor, _in_shape(inner.matrices, v))
    if name == "triangular_solve":
        right = split(op.args[1], lead)
        return Scaled(right.factor, solved(op.args[0], right.matrices, **op.attrs))
    return Scaled(1.0, v)


def _in_shape(x: Term, v: Term) -> Term:
    """`x` in the shape of `v`; what was `v` reshaped is `v` again."""
    op = current().defs.get(x)
    if op is not None and _is_view(op) and op.args[0].shape == v.shape:
        return op.args[0]
    return x if x.shape == v.shape else reshape(x, shape=v.shape)


def _is_view(op: Op) -> bool:
    """Whether all that an op does is to name the same elements, in their order, otherwise."""
    wide = op.prim.name == "broadcast" and op.args[0].aval.size == op.outs[0].aval.size
    return wide or op.prim.name == "reshape"


def same(a: Term, b: Term) -> bool:
    """Whether two values of one shape are equal: one value, but for views and equal solves."""
    return a.shape == b.shape and _same_elements(a, b)


def _same_elements(a: Value, b: Value) -> bool:
    if a is b:
        return True
    defs = current().defs
    one, two = defs.get(a), defs.get(b)
    if one is not None and _is_view(one):
        return _same_elements(one.args[0], b)
    if two is not None and _is_view(two):
        return _same_elements(a, two.args[0])
    if one is None or two is None or one.prim is not two.prim:
        return False
    flags = [[op.attrs.get(k, False) for k in ("lower", "trans", "unit")] for op in (one, two)]
    alike = one.prim.name == "triangular_solve" and flags[0] == flags[1]
    return alike and one.args[0] is two.args[0] and _same_elements(one.args[1], two.args[1])


def uniform(c: Term, shape: tuple[int, ...], lead: int) -> Any:
    """The number for each matrix that `c` is, an operand of something elementwise of that shape.

    None if it varies within matrices.
    """
    if type(c) is Const or c.ndim == 0:
        return _number(c)
    op = current().defs.get(c)
    if op is None or op.prim.name != "broadcast" or c.shape != shape:
        return None
    (x,), axes = op.args, op.attrs["axes"]
    if x.ndim == 0:
        return _number(x)
    kept = [d for d in range(c.ndim) if d not in axes]
    if any(d >= lead for d in kept):
        return None
    missing = tuple(d for d in range(lead) if d not in kept)
    return broadcast(x, shape=shape[:lead], axes=missing) if missing and kept else x


def _number(x: Value) -> Any:
    return float(x.data) if type(x) is Const and x.aval.kind == "f" else x


def _times_reciprocal(v: Term, factor: Term) -> Any:
    """c, where `v` is c over the diagonal of the factor; None if it is not."""
    op = current().defs.get(v)
    name, lead = op.prim.name if op is not None else "", factor.ndim - 2
    if op is None:
        return None
    if name == "neg":
        inner = _times_reciprocal(op.args[0], factor)
        return None if inner is None else _times(-1.0, inner)
    if name == "div" and _is_diagonal(op.args[1], factor):
        return uniform(op.args[0], v.shape, lead)
    if name == "mul":
        for x, y in (op.args, op.args[::-1]):
            number = uniform(x, v.shape, lead)
            inner = None if number is None else _times_reciprocal(y, factor)
            if inner is not None:
                return _times(number, inner)
    return None


def _is_diagonal(v: Value, x: Term) -> bool:
    """Whether `v` is the diagonals of `x`, as `diagonal_of` has them."""
    op = current().defs.get(v)
    if op is None or op.prim.name != "slice" or op.attrs != diagonal_at(x.aval):
        return False
    made = current().defs.get(op.args[0])
    return made is not None and made.prim.name == "reshape" and made.args[0] is x


def _scaled_by(number: Any, x: Scaled) -> Scaled:
    return Scaled(_times(number, x.factor), x.matrices)


def _times(a: Any, b: Any) -> Any:
    """The product of two numbers for each matrix, which may be one for all."""
    if type(a) is float and a == 1.0:
        return b
    if type(b) is float and b == 1.0:
        return a
    return a * b if type(a) is float or type(b) is float else _alike(a, b, lambda x, y: x * y)


def _plus(a: Any, b: Any) -> Any:
    return a + b if type(a) is float or type(b) is float else _alike(a, b, lambda x, y: x + y)


def _alike(a: Value, b: Value, join: Any) -> Value:
    if a.ndim < b.ndim:
        a = broadcast(a, shape=b.shape, axes=tuple(range(b.ndim)))
    elif b.ndim < a.ndim:
        b = broadcast(b, shape=a.shape, axes=tuple(range(a.ndim)))
    return join(a, b)


def weighed(number: Any, x: Term) -> Term:
    """Matrices, each times its number."""
    if type(number) is float or number.ndim == 0:
        return x if type(number) is float and number == 1.0 else x * number
    return scaled(number, x)


def same_numbers(a: Any, b: Any) -> bool:
    """Whether two numbers for each matrix are known to be equal."""
    return a is b or (type(a) is float and type(b) is float and a == b)


# ------------------------------------------------------------------ shapes of programs


def _swap(ndim: int) -> tuple[int, ...]:
    return (*range(ndim - 2), ndim - 1, ndim - 2)


def _turned(x: Term) -> Term:
    op = current().defs.get(x)
    if op is not None and op.prim.name == "transpose" and op.attrs["perm"] == _swap(x.ndim):
        return op.args[0]
    return transposed(x)


def _is_solve(op: Op, factor: Term, trans: bool) -> bool:
    attrs = {"lower": True, "trans": trans, "unit": False}
    same = all(op.attrs.get(k, False) == v for k, v in attrs.items())
    return op.prim.name == "triangular_solve" and same and op.args[0] is factor

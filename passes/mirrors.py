"""Sums along one of two axes that may change places, as energies of all pairs have them.

The distance of points i and j is that of j and i, and their difference only turns its sign.  So the
sum over i of what the pairs give to j is a sum over j of what they give to i: two sums of one loop
become one, and what was added to a column of numbers in memory is added up in a register.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..ir.core import Const, Op, Value
from ..ir.ops.elementwise import add, neg, select, sub
from ..ir.ops.reduce import max_, min_
from ..ir.ops.shape import (
    broadcast,
    iota,
    permuted,
    reshape,
    reshaped,
    sum_,
    transpose,
)
from .normal import Normal, peel, spread

Attrs = Mapping[str, Any]
Args = tuple[Value, ...]
Index = tuple[int | None, ...]  # what an expression calls the axes of a value; None: extent 1

MANY = 16  # elements along the axes: fewer are no loop worth a word
DEEP = 40  # how far expressions are followed
FACTORS = 8  # of products that are told apart
FEW = 8  # ops that are made again with the axes swapped
# Rows to which zeros of either sign are one: comparisons, and functions that give a number there.
_BLIND = {"exp", "cos", "cosh", "equal", "not_equal", "less", "less_equal", "greater"}
_BLIND |= {"greater_equal"}
_FOLDS = (sum_, max_, min_)


class Form(NamedTuple):
    """An expression up to its sign: equal forms are equal numbers, if both are `exact` to the
    sign of a zero too.
    """

    sign: int
    exact: bool
    number: int


class Forms:
    """The forms of the values of one block, numbered as they are met."""

    def __init__(self, defs: Mapping[Value, Op]) -> None:
        self.defs = defs
        self.numbers: dict[Any, int] = {}
        self.known: dict[tuple[Value, Index], Form] = {}
        self.factors: dict[int, tuple[int, ...]] = {}  # of products

    def of(self, v: Value, index: Index, depth: int = 0) -> Form:
        """The form of a value whose axes have these names."""
        if type(v) is Const:
            return self._form("const", v.key)
        found = self.known.get((v, index))
        if found is None:
            op = self.defs.get(v) if depth < DEEP else None
            made = self._made(op, index, depth + 1) if op is not None and not op.blocks else None
            found = made or self._form("value", v, index)
            self.known[v, index] = found
        return found

    def swapped(self, v: Value, one: int, two: int) -> Form | None:
        """The sign that a value takes when two of its axes are swapped; None if it is another."""
        index = list(range(v.ndim))
        here = self.of(v, tuple(index))
        index[one], index[two] = two, one
        there = self.of(v, tuple(index))
        if here.number != there.number:
            return None
        sign = here.sign * there.sign
        return Form(sign, here.exact and there.exact and sign == 1, here.number)

    def symmetric(self, a: Value) -> bool:
        """Whether each matrix of a stack is its transpose, up to rounding."""
        found = self.swapped(a, a.ndim - 2, a.ndim - 1) if a.ndim > 1 else None
        return found is not None and found.sign > 0

    def _form(self, *key: Any, sign: int = 1, exact: bool = True) -> Form:
        return Form(sign, exact, self.numbers.setdefault(key, len(self.numbers)))

    def _made(self, op: Op, index: Index, depth: int) -> Form | None:
        prim, attrs = op.prim, op.attrs
        if prim.elementwise:
            return self._elementwise(op, index, depth)
        if prim is iota:
            return self._form("iota", attrs["dtype"], index[attrs["axis"]])
        if prim in _FOLDS:
            return self._fold(op, index, depth)
        if prim.name == "dot":
            return self._dot(op, index, depth)
        if prim.name in ("inv", "lu_inverse"):
            return self._inverse(op, index)
        inner = viewed(op, index)
        return None if inner is None else self.of(op.args[0], inner, depth)

    def _fold(self, op: Op, index: Index, depth: int) -> Form | None:
        (x,), axes = op.args, op.attrs["axes"]
        names = _bound(index, len(axes))
        left = iter(index)
        inner = [names[axes.index(d)] if d in axes else next(left) for d in range(x.ndim)]
        part = self.of(x, _without_ones(x, inner), depth)
        if part.sign < 0 and op.prim is not sum_:
            return None
        extents = tuple(x.shape[a] for a in axes)
        exact = part.exact and part.sign > 0 and op.prim is sum_
        return self._form(op.prim.name, part.number, extents, sign=part.sign, exact=exact)

    def _dot(self, op: Op, index: Index, depth: int) -> Form:
        contract, batch = op.attrs["contract"], op.attrs["batch"]
        names = _bound(index, len(contract[0]))
        rest = iter(index[len(batch[0]) :])
        parts = []
        for x, c, b in zip(op.args, contract, batch, strict=True):
            known = dict(zip((*b, *c), (*index[: len(b)], *names), strict=True))
            inner = [known[d] if d in known else next(rest) for d in range(x.ndim)]
            parts.append(self.of(x, _without_ones(x, inner), depth))
        sign, exact = parts[0].sign * parts[1].sign, parts[0].exact and parts[1].exact
        extents = tuple(op.args[0].shape[d] for d in contract[0])
        numbers = tuple(sorted(p.number for p in parts))
        return self._form("dot", numbers, extents, sign=sign, exact=exact and sign > 0)

    def _inverse(self, op: Op, index: Index) -> Form | None:
        """The inverse of a symmetric matrix, whose last axes have no order."""
        a = op.args[0]
        if op.prim.name == "lu_inverse":
            packed = self.defs.get(a)
            if packed is None:
                return None
            a = packed.args[0]
        rows = [i for i in index[-2:] if i is not None]
        if len(rows) < 2 or not self.symmetric(a):
            return None
        return self._form("inverse", op.outs[0], index[:-2], tuple(sorted(rows)))

    def _elementwise(self, op: Op, index: Index, depth: int) -> Form | None:
        name, args = op.prim.name, op.args
        parts = [self.of(a, _without_ones(a, index[len(index) - a.ndim :]), depth) for a in args]
        numbers, signs = tuple([p.number for p in parts]), [p.sign for p in parts]
        exact = all(p.exact for p in parts)
        if name == "neg":
            return Form(-signs[0], exact, numbers[0])
        if name == "abs" and op.args[0].aval.kind != "u":
            return self._form(name, numbers)
        if name in ("mul", "div"):
            if name == "div" and not parts[1].exact:
                return None
            sign = signs[0] * signs[1]
            if name == "div":
                return self._form(name, numbers, sign=sign, exact=exact)
            square = numbers[0] == numbers[1] and sign > 0
            return self._product(numbers, sign, exact or square)
        if name == "square" or (name == "pow" and _is_even(args[1])):
            return self._form(name, numbers)
        if name in ("add", "sub"):
            return self._sum(op, parts)
        if name == "select":
            return self._select(op, parts)
        if not (exact or name in _BLIND):
            return None
        if name in ("equal", "not_equal") and any(map(_is_zero, args)):
            signs = [1, 1]
        signed = tuple(zip(signs, numbers, strict=True))
        pair = tuple(sorted(signed)) if op.prim.commutes else signed
        sure = not op.prim.commutes or op.outs[0].aval.kind != "f"  # the maximum of zeros is either
        return self._form(name, _frozen(op.attrs), pair, _kinds(op), exact=sure)

    def _product(self, numbers: tuple[int, ...], sign: int, exact: bool) -> Form:
        """A product, whatever the order of its factors."""
        factors = sorted(f for n in numbers for f in self.factors.get(n, (n,)))
        found = self._form("mul", *factors, sign=sign, exact=exact)
        if len(factors) <= FACTORS:
            self.factors[found.number] = tuple(factors)
        return found

    def _sum(self, op: Op, parts: list[Form]) -> Form:
        """A sum of two terms; a difference of what is one value up to the order of axes has the
        sign of whichever comes first.
        """
        one, two = parts
        second = two.sign if op.prim is add else -two.sign
        exact = one.exact and two.exact
        if one.sign == second:
            pair = tuple(sorted((one.number, two.number)))
            sure = any(type(a) is Const and a.data != 0 for a in op.args)
            return self._form("add", pair, sign=one.sign, exact=one.sign > 0 and (exact or sure))
        plus, minus = (one, two) if one.sign > 0 else (two, one)
        if _core(self.defs, op.args[0]) is not _core(self.defs, op.args[1]):
            return self._form("sub", plus.number, minus.number, exact=exact)
        pair = tuple(sorted((one.number, two.number)))
        sign = 1 if pair[0] == plus.number else -1
        return self._form("sub", *pair, sign=sign, exact=False)

    def _select(self, op: Op, parts: list[Form]) -> Form | None:
        _, *choices = parts
        signs = {p.sign for p, a in zip(choices, op.args[1:], strict=True) if not _is_zero(a)}
        if len(signs) > 1:
            return None
        sign = signs.pop() if signs else 1
        exact = all(p.exact for p in parts) and sign > 0
        return self._form("select", tuple(p.number for p in parts), sign=sign, exact=exact)


def viewed(op: Op, index: Index) -> Index | None:
    """The names of the axes of what an op only shows otherwise; None if it does more."""
    x, attrs = op.args[0] if op.args else None, op.attrs
    if x is None:
        return None
    if op.prim is broadcast:
        return _without_ones(x, [i for d, i in enumerate(index) if d not in attrs["axes"]])
    if op.prim is transpose:
        at = dict(zip(attrs["perm"], index, strict=True))
        return tuple(at[d] for d in range(x.ndim))
    if op.prim is reshape:
        shape = op.outs[0].shape
        if [n for n in shape if n != 1] != [n for n in x.shape if n != 1]:
            return None
        wide = iter([i for i, n in zip(index, shape, strict=True) if n != 1])
        return tuple(None if n == 1 else next(wide) for n in x.shape)
    return None


def _without_ones(x: Value, index: Any) -> Index:
    return tuple(None if n == 1 else i for i, n in zip(index, x.shape, strict=True))


def _bound(index: Index, count: int) -> list[int]:
    """Names for summed axes that an expression does not use outside of the sum."""
    least = min([0, *(i for i in index if i is not None)])
    return [least - 1 - k for k in range(count)]


def _frozen(attrs: Attrs) -> tuple[Any, ...]:
    return tuple(sorted(attrs.items()))


def _kinds(op: Op) -> tuple[str, ...]:
    return tuple(a.dtype for a in (*op.args, *op.outs))


def _is_zero(v: Value) -> bool:
    return type(v) is Const and bool(v.data == 0)


def _is_even(v: Value) -> bool:
    return type(v) is Const and v.aval.kind == "f" and bool(v.data > 0 and v.data % 2 == 0)


def _core(defs: Mapping[Value, Op], v: Value) -> object:
    """What a value shows, repeated or with its axes in another order; counts are all one."""
    while (op := defs.get(v)) is not None and op.prim in (broadcast, transpose, reshape):
        v = op.args[0]
    return iota if op is not None and op.prim is iota else v


# ------------------------------------------------------------------ expressions with axes swapped


class Swap:
    """One expression made again with two axes swapped, of the values that are there."""

    def __init__(self, b: Normal, forms: Forms) -> None:
        self.b, self.forms, self.left = b, forms, FEW
        self.gained = False

    def of(self, v: Value, one: int, two: int) -> tuple[int, bool, Value] | None:
        """Sign, whether zeros keep theirs, and value of what `v` is with its axes swapped."""
        found = self.forms.swapped(v, one, two)
        if found is not None:
            self.gained = self.gained or not _is_view(self.b, v)
            return found.sign, found.exact, v
        op = self.b.defs.get(v)
        if op is None or self.left == 0:
            return None
        if op.prim is broadcast:
            return self._part(v, v.shape, one, two)
        if not op.prim.elementwise:
            return None
        self.left -= 1
        parts = [self._part(a, v.shape, one, two) for a in op.args]
        return None if None in parts else self._joined(op, [p for p in parts if p is not None])

    def _part(
        self, v: Value, shape: tuple[int, ...], one: int, two: int
    ) -> tuple[int, bool, Value] | None:
        """The same of an operand that broadcasts to a shape."""
        core, dims, squeezed = peel(self.b, v, shape)
        if one not in dims and two not in dims:
            return 1, True, v
        if one in dims and two in dims:
            if core is not v:
                return self._inner(v, core, squeezed, dims, shape, one, two)
            return self.of(v, dims.index(one), dims.index(two))
        core = core if squeezed is None else reshaped(core, squeezed)
        other = {one: two, two: one}
        moved = [other.get(d, d) for d in dims]
        order = sorted(range(len(moved)), key=moved.__getitem__)
        turned = permuted(core, order)
        return 1, True, spread(self.b, turned, tuple(sorted(moved)), shape)

    def _inner(
        self, v: Value, core: Value, squeezed: Any, dims: Any, shape: Any, one: int, two: int
    ) -> tuple[int, bool, Value] | None:
        """The same of what is repeated along a third axis."""
        if squeezed is not None:
            return None
        found = self.of(core, dims.index(one), dims.index(two))
        if found is None:
            return None
        sign, exact, inner = found
        return sign, exact, v if inner is core else spread(self.b, inner, tuple(dims), shape)

    def _joined(
        self, op: Op, parts: list[tuple[int, bool, Value]]
    ) -> tuple[int, bool, Value] | None:
        """The op of swapped operands."""
        name, prim = op.prim.name, op.prim
        signs, exact = [s for s, _, _ in parts], all(e for _, e, _ in parts)
        values = [v for _, _, v in parts]
        if name in ("mul", "neg") or (name == "div" and parts[1][1]):
            sign = signs[0] * signs[-1] if len(signs) > 1 else signs[0]
            return sign, exact, self._made(op, values)
        if name in ("add", "sub"):
            if signs[0] != signs[1]:
                prim = sub if prim is add else add
            return signs[0], exact and signs == [1, 1], self.b.add(prim, values)[0]
        if name == "select" and exact and signs[0] > 0:
            rest = {s for s, v in zip(signs[1:], values[1:], strict=True) if not _is_zero(v)}
            if len(rest) == 1:
                return rest.pop(), False, select(*values)
        if exact and min(signs) > 0:
            return 1, True, self._made(op, values)
        return None

    def _made(self, op: Op, values: list[Value]) -> Value:
        return self.b.add(op.prim, values, op.attrs)[0]


def _is_view(b: Normal, v: Value) -> bool:
    op = b.defs.get(v)
    return op is None or op.prim in (broadcast, transpose, reshape)


def _sum(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A sum over the former of two axes that may change places is one over the latter."""
    (x,), axes = args, attrs["axes"]
    if len(axes) != 1 or x.aval.kind != "f" or x.shape[axes[0]] < MANY:
        return None
    (one,) = axes
    n = x.shape[one]
    same = [d for d in range(one + 1, x.ndim) if x.shape[d] == n]
    if same and b.forms is None:
        b.forms = Forms(b.defs)
    for two in same:
        assert b.forms is not None
        swap = Swap(b, b.forms)
        found = swap.of(x, one, two)
        if found is None or not swap.gained:
            continue
        sign, _, turned = found
        total = sum_(turned, axes=(two,))
        # What is left of the axes: `two` stood in the place of `one`.
        places = [d for d in range(x.ndim) if d != two]
        order = [places.index(one if d == two else d) for d in range(x.ndim) if d != one]
        total = permuted(total, order)
        return total if sign > 0 else neg(total)
    return None


def _transpose(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """Axes that change nothing by changing places, or only the sign."""
    (x,), perm = args, attrs["perm"]
    moved = [d for d, p in enumerate(perm) if d != p]
    if len(moved) != 2 or len({x.shape[d] for d in moved}) > 1 or x.aval.kind != "f":
        return None
    if b.forms is None:
        b.forms = Forms(b.defs)
    found = b.forms.swapped(x, *moved)
    if found is None or not (found.exact or b.lenient):
        return None
    return x if found.sign > 0 else neg(x)


MIRRORS = {"sum": (_sum,), "transpose": (_transpose,)}

"""The row of an op (`Prim`): everything there is to know about it, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from .records import dataclass
from .types import Aval


class _Zero:
    """An absent tangent or cotangent: never stored, never computed with."""

    def __repr__(self) -> str:
        return "ZERO"


ZERO: Final = _Zero()


class NoDerivative(TypeError):
    """A derivative was asked for that has no formula."""


@dataclass(frozen=True)
class NoPartial:
    """Stands for a partial derivative that has no formula, and says why."""

    reason: str


PRIMS: dict[str, Prim] = {}


# ------------------------------------------------------------------ emission data


@dataclass(frozen=True)
class Expr:
    """A scalar expression of the kernel language: {0}, {1}, … are operands, {t} is 32 or 64.

    `ints` and `bools` replace the text where the first operand that is read has such a dtype.
    `cost` is in units of one addition; it decides between recomputing and storing.
    """

    text: str
    ints: str | None = None
    bools: str | None = None
    cost: int = 1


@dataclass(frozen=True)
class View:
    """Another index into the operand: no work, no memory.

    `index(operand shape, **attrs)` says where each result element is found (see `ViewMap`), or
    None where no affine index says it: the result is then materialised.
    """

    index: Callable[..., ViewMap | None]


@dataclass(frozen=True)
class ViewMap:
    """Operand index along dim d is `start + step * i[result dim]` (or `start` if there is none).

    `windows` lists `(result dim, low, high, step)`: the result is zero wherever its index along
    that dim is outside [low, high) or not a multiple of `step` away from `low`.
    """

    dims: tuple[tuple[int | None, int, int], ...]
    windows: tuple[tuple[int, int, int, int], ...] = ()


@dataclass(frozen=True)
class Fold:
    """An accumulation over `axes`: start from `init[kind]`, combine by `text[kind]`.

    Kinds are f, i, b (complex counts as f, unsigned as i); {acc} is the accumulator, {0} the
    operand.  An init `min_int` or `max_int` is the least or greatest number of the dtype.
    """

    init: Mapping[str, str]
    text: Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """A root that codegen knows how to write by name (gather, scatter, dot, scan, …).

    Some are written for matrices of at most `largest` rows alone.
    """

    name: str
    largest: int = 0


Emission = Expr | View | Fold | Call


# ------------------------------------------------------------------ the row


@dataclass(frozen=True, eq=False, kw_only=True)
class Prim:
    """One row.  Exactly one derivative answer: partials, transpose, jvp + vjp, or nondiff.

    name        the op's name in the text form
    infer       (*avals, **attrs) -> result avals, one or a tuple; raises as NumPy would
    ref         (*arrays, **attrs) -> array or tuple: the NumPy meaning
    emit        how kernels compute it; None: a host step through `ref`
    partials    (y, *args, **attrs) -> d y / d arg for each arg, None where there is none (it is
                zero), a `NoPartial` where it is refused
    transpose   (ct, *args, **attrs) -> a cotangent for each arg, ZERO for those not linear
    linear      which args `transpose` is linear in (None: all)
    jvp         (tangents, outs, *args, **attrs) -> tangents of the results
    vjp         (cts, outs, *args, **attrs) -> cotangents of the args
    forward     for rows with regions: (ctx, op, args) -> outs, pull; see passes/vjp.py
    push        for rows with regions: (ctx, op, args, tangents) -> outs, out tangents
    nondiff     why there is no derivative
    batch       (args, moved, **attrs) -> outs; the arguments where `moved` holds (one at least)
                and all results have the axis of the rows in front; elementwise rows need
                none, any other row without one is batched by a loop over the rows
    batch_op    for rows with regions: (ctx, op, args, moved) -> outs, which of them moved
    domain      where tests draw inputs from (a name in tests, see docs)
    like        the first arg whose dtype literals take
    copies      whether the code behind `ref` works on copies of operands and results, as LAPACK
    """

    name: str
    infer: Callable[..., Aval | tuple[Aval, ...]]
    ref: Callable[..., Any]
    emit: Emission | None = None
    partials: Callable[..., tuple[Any, ...]] | None = None
    transpose: Callable[..., tuple[Any, ...]] | None = None
    linear: tuple[int, ...] | None = None
    jvp: Callable[..., tuple[Any, ...]] | None = None
    vjp: Callable[..., tuple[Any, ...]] | None = None
    forward: Callable[..., Any] | None = None
    push: Callable[..., Any] | None = None
    nondiff: str = ""
    batch: Callable[..., Any] | None = None
    batch_op: Callable[..., Any] | None = None
    commutes: bool = False
    pure: bool = True
    domain: str = "real"
    like: int = 0
    copies: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        answers = {
            "partials": self.partials,
            "transpose": self.transpose,
            "jvp + vjp": self.jvp and self.vjp,
            "forward + push": self.forward and self.push,
            "nondiff": self.nondiff,
        }
        given = [k for k, v in answers.items() if v]
        if len(given) != 1:
            raise TypeError(f"row {self.name}: give one of {', '.join(answers)}; found {given}")
        if self.name in PRIMS:
            raise TypeError(f"row {self.name} is defined twice")
        PRIMS[self.name] = self

    @property
    def elementwise(self) -> bool:
        """Whether the op acts on each element alone (its operands broadcast)."""
        return isinstance(self.emit, Expr)

    @property
    def numbered(self) -> bool:
        """Whether equal ops of a block are one: those that are pure, and guards."""
        return self.pure or self.name == "guard"

    if TYPE_CHECKING:  # the builder, which knows rows, makes them callable

        def __call__(self, *args: Any, **attrs: Any) -> Any: ...

    def __repr__(self) -> str:
        return f"<row {self.name}>"

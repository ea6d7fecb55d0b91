"""Type-generic machine operations for kernels: each is one or a few LLVM instructions, no branch.

Arguments are float32 or float64, of the wider type where they differ; integers become float64
unless they are literals. None of these blocks vectorisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import interrupts, operations, tapes
from . import irmath as m
from .irmath import Num
from .machine import ONE, TEST, TWO

_INTEGERS = (("i", "int"), ("u", "uint"))

_CASTS = {
    "bool": types.boolean,
    **{f"{k}{b}": getattr(types, f"{n}{b}") for k, n in _INTEGERS for b in (8, 16, 32, 64)},
    **{f"f{b}": getattr(types, f"float{b}") for b in (32, 64)},
    **{f"c{b}": getattr(types, f"complex{b}") for b in (64, 128)},
}
NAMES = (*ONE, *TWO, *TEST, *_CASTS, "select", "fma")


def _generator(body: Callable[..., Num]) -> Callable[..., ir.Value]:
    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return body(*(Num(builder, a) for a in args)).value

    return generate


def _real(*kinds: Any) -> Any:
    """The float type that arguments of these types are computed in, or None."""
    plain = [types.unliteral(k) for k in kinds]
    if not all(isinstance(k, types.Float | types.Integer | types.Boolean) for k in plain):
        return None
    typed = [p for p, k in zip(plain, kinds, strict=True) if not isinstance(k, types.Literal)]
    # Not bool(typed): the name is an intrinsic of this module.
    narrow = typed != [] and all(k == types.float32 for k in typed)
    return types.float32 if narrow else types.float64


def _one(body: Callable[..., Num]) -> Callable[..., Any]:
    def typer(typingctx: Any, x: Any) -> Any:
        kind = _real(x)
        return kind and (kind(kind), _generator(body))

    return typer


def _test(body: Callable[..., Num]) -> Callable[..., Any]:
    def typer(typingctx: Any, x: Any) -> Any:
        kind = _real(x)
        return kind and (types.boolean(kind), _generator(body))

    return typer


def _two(body: Callable[..., Num]) -> Callable[..., Any]:
    def typer(typingctx: Any, x: Any, y: Any) -> Any:
        kind = _real(x, y)
        return kind and (kind(kind, kind), _generator(body))

    return typer


def _cast(kind: Any) -> Callable[..., Any]:
    def typer(typingctx: Any, x: Any) -> Any:
        source = types.unliteral(x)

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
            if kind == types.boolean and source in types.real_domain:
                # Numba's own cast calls NaN and 0.5 false.
                return (~Num(builder, args[0]).equals(0.0)).value
            return context.cast(builder, args[0], source, kind)

        return kind(source), generate

    return typer


@intrinsic(prefer_literal=True)
def fma(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    kind = _real(x, y, z)
    return kind and (kind(kind, kind, kind), _generator(m.fma))


@intrinsic(prefer_literal=True)
def select(typingctx: Any, cond: Any, x: Any, y: Any) -> Any:
    """x where cond, else y, of any scalar types that have a common one; both are computed."""
    kinds = types.unliteral(x), types.unliteral(y)
    literals = [isinstance(k, types.Literal) for k in (x, y)]
    if kinds[0] != kinds[1] and literals.count(True) == 1:
        kind = kinds[literals.index(False)]  # a literal has no width of its own
    else:
        kind = typingctx.unify_types(*kinds)
    if not isinstance(kind, types.Number | types.Boolean):
        return None

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.select(*args)

    return kind(types.boolean, kind, kind), generate


def _tape(dtype: str) -> Callable[..., Any]:
    kind = types.uint8 if dtype == "bool" else _CASTS[dtype]

    def typer(typingctx: Any, cells: Any, place: Any, rows: Any, size: Any) -> Any:
        """Room for rows of `size` elements in the tape whose words begin at `place`."""

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
            words, at, number, row = args
            address = tapes.room(builder, words, at, number, row, kind.bitwidth // 8)
            return builder.bitcast(address, context.get_value_type(sig.return_type))

        return types.CPointer(kind)(cells, *[types.int64] * 3), generate

    return typer


@intrinsic(prefer_literal=True)
def ahead(typingctx: Any, array: Any, start: Any, n: Any) -> Any:
    """Begin to read n elements of an array from `start`: nothing but time depends on it."""
    size = array.dtype.bitwidth // 8

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        operations.ahead(builder, args[0], args[1], n.literal_value * size // operations.LINE)
        return context.get_dummy_value()

    return types.void(array, types.int64, n), generate


def _itself(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    return args[0]


@intrinsic
def few(typingctx: Any, stop: Any) -> Any:
    """Where a loop of few rounds ends."""
    return types.int64(types.int64), _itself


@intrinsic
def apart(typingctx: Any, stop: Any) -> Any:
    """Where a loop ends whose rounds touch nothing that others write."""
    return types.int64(types.int64), _itself


@intrinsic
def alone(typingctx: Any, pointer: Any) -> Any:
    """A pointer to what nothing else in a round of a loop points to."""
    return pointer(pointer), _itself


@intrinsic
def stopped(typingctx: Any) -> Any:
    """Whether Python's signals say that the kernel is to end."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return interrupts.stopped(builder)

    return types.boolean(), generate


@intrinsic
def missing(typingctx: Any, tape: Any) -> Any:
    """Whether there was no room for a tape."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        address = builder.ptrtoint(args[0], tapes.I64)
        return builder.icmp_unsigned("==", address, tapes.I64(0))

    return types.boolean(tape), generate


def _install() -> None:
    for dtype in ("bool", *(name for name in _CASTS if name[0] in "fiu")):
        typer = _tape(dtype)
        typer.__name__ = typer.__qualname__ = f"tape_{dtype}"
        globals()[f"tape_{dtype}"] = intrinsic(typer)
    makers = ((ONE, _one), (TWO, _two), (TEST, _test), (_CASTS, _cast))
    for table, maker in makers:
        for name, entry in table.items():
            typer = maker(entry)
            typer.__name__ = typer.__qualname__ = name
            typer.__doc__ = entry.__doc__
            globals()[name] = intrinsic(prefer_literal=True)(typer)


_install()

"""The five nodes of the IR: values, constants, ops, blocks and functions.  All are immutable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .records import dataclass
from .types import NUMPY, SCALARS, Aval

if TYPE_CHECKING:
    from .prim import Prim


@dataclass(frozen=True, slots=True)
class Where:
    """A place in the user's program: file, line, and the name the result was given there."""

    file: str
    line: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line}"


class Value:
    """An SSA name with its abstract value; compared by identity."""

    __slots__ = ("aval", "hint")
    # NumPy must leave `scalar * value` to our reflected operators.
    __array_ufunc__ = None

    def __init__(self, aval: Aval, hint: str = "") -> None:
        self.aval = aval
        self.hint = hint

    if TYPE_CHECKING:  # the elementwise rows install these

        def __add__(self, other: Any) -> Value: ...
        def __radd__(self, other: Any) -> Value: ...
        def __sub__(self, other: Any) -> Value: ...
        def __rsub__(self, other: Any) -> Value: ...
        def __mul__(self, other: Any) -> Value: ...
        def __rmul__(self, other: Any) -> Value: ...
        def __truediv__(self, other: Any) -> Value: ...
        def __rtruediv__(self, other: Any) -> Value: ...
        def __pow__(self, other: Any) -> Value: ...
        def __rpow__(self, other: Any) -> Value: ...
        def __neg__(self) -> Value: ...

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> str:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    def __repr__(self) -> str:
        return f"%{self.hint or '?'}: {self.aval}"


class Const(Value):
    """A literal scalar; `data` is a NumPy scalar of exactly the value's dtype."""

    __slots__ = ("_key", "data")

    def __init__(self, data: Any, dtype: str) -> None:
        self.aval = SCALARS[dtype]
        self.hint = ""
        self.data = NUMPY[dtype].type(data)
        self._key: tuple[str, bytes] | None = None

    @property
    def key(self) -> tuple[str, bytes]:
        """Equal for equal bits, so that -0.0 differs from 0.0 and NaN equals itself."""
        if self._key is None:
            self._key = self.aval.dtype, self.data.tobytes()
        return self._key

    def __repr__(self) -> str:
        return f"{self.data}: {self.aval}"


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One application of a row: arguments, static attrs, results, and the regions it owns."""

    prim: Prim
    args: tuple[Value, ...]
    attrs: Mapping[str, Any]
    outs: tuple[Value, ...]
    blocks: Mapping[str, Block]
    where: Where | None

    def __init__(
        self,
        prim: Prim,
        args: tuple[Value, ...],
        attrs: Mapping[str, Any],
        outs: tuple[Value, ...],
        blocks: Mapping[str, Block] | None = None,
        where: Where | None = None,
    ) -> None:
        # The slots themselves: a frozen dataclass's own way takes a third of the time of a trace.
        _set_prim(self, prim)
        _set_args(self, args)
        _set_attrs(self, attrs)
        _set_outs(self, outs)
        _set_blocks(self, {} if blocks is None else blocks)
        _set_where(self, where)


_slots = (getattr(Op, name).__set__ for name in Op.__slots__)
_set_prim, _set_args, _set_attrs, _set_outs, _set_blocks, _set_where = _slots


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Straight-line code; it reads its own params and nothing else (regions are closed)."""

    params: tuple[Value, ...]
    ops: tuple[Op, ...]
    outs: tuple[Value, ...]

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        return tuple(v.aval for v in self.params)

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        return tuple(v.aval for v in self.outs)


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A closed block with a name."""

    name: str
    block: Block

    @property
    def params(self) -> tuple[Value, ...]:
        return self.block.params

    @property
    def ops(self) -> tuple[Op, ...]:
        return self.block.ops

    @property
    def outs(self) -> tuple[Value, ...]:
        return self.block.outs


def all_ops(block: Block) -> Iterator[Op]:
    """Every op of a block and of the regions below it, outer before inner."""
    for op in block.ops:
        yield op
        for b in op.blocks.values():
            yield from all_ops(b)


def definitions(block: Block) -> dict[Value, Op]:
    """The op that defines each value of a block (not of its regions)."""
    return {v: op for op in block.ops for v in op.outs}


def use_counts(block: Block) -> dict[Value, int]:
    """How often each value is read by ops of the block or returned from it."""
    counts: dict[Value, int] = {}
    for op in block.ops:
        for a in op.args:
            counts[a] = counts.get(a, 0) + 1
    for v in block.outs:
        counts[v] = counts.get(v, 0) + 1
    return counts

"""What the fusion pass hands to codegen: roots, loops over them, and where values live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from math import prod

from .access import Index
from .core import Op, Value
from .prim import Call, Fold
from .records import dataclass
from .types import NUMPY

WHOLE = ("full", "plane")  # how the dims are kept that memory has all elements of


STRAIGHT = 4  # rows and columns of matrices whose elements are named one by one


@dataclass(frozen=True)
class Access:
    """One read of a stored array by a root: its index along each dim of the array."""

    base: Value
    index: tuple[Index, ...]


@dataclass(eq=False)
class Root:
    """A value with an iteration domain: a reduction, a product, an output, a kept value.

    `dims` are the extents of the domain; `par` names the domain dim of each dim of the value.
    """

    value: Value
    op: Op | None
    kind: str  # store, fold, scatter, gemm, call, guard, region, part (a result of a region)
    dims: tuple[int, ...]
    par: tuple[int, ...]
    source: Value | None = None  # what a plain copy (op None) copies
    accesses: list[Access] = field(default_factory=list)
    matrices: list[Access] = field(default_factory=list)  # of a product, before aliases
    breaks: list[tuple[int, int]] = field(default_factory=list)  # (domain dim, index)
    bodies: dict[str, Body] = field(default_factory=dict)  # of a region, by label
    chain: tuple[Op, ...] = ()  # of a scatter: the ops that add to it in one pass, in order

    @property
    def red(self) -> tuple[int, ...]:
        return tuple(d for d in range(len(self.dims)) if d not in self.par)

    def __repr__(self) -> str:
        name = self.op.prim.name if self.op else "store"
        return f"<{self.kind} {name} {self.dims} -> {self.value.aval}>"


@dataclass(eq=False)
class Stmts:
    """Roots with no dim left: scalar statements, in order."""

    members: list[Root]


@dataclass(eq=False)
class CallItem:
    """A root that is one library call, or a nest of its own shape (scatter, scan)."""

    root: Root


@dataclass(eq=False)
class Loop:
    """One shared loop: member r runs its dim `dims[r][0]` at index (loop variable + offset).

    `ahead` is an array of which the last item of a block fetches the rows of the next one.
    """

    dims: dict[Root, tuple[int, int]]
    members: list[Root]
    body: list[Item]
    low: int = 0
    high: int = 0
    strip: int = 0  # rows of a block; 0: an ordinary loop
    ahead: Value | None = None


Item = Stmts | CallItem | Loop


@dataclass(eq=False)
class Body:
    """A block that a region owns, planned: what runs in one round, or in one branch.

    `homes` are values that lie in the memory of one of the region's results, by its number;
    `updates` those of them that lie where something older does, which may still be read.
    `rows` are the results that a loop carries in the rows of another one, which it stacks: the
    number of that, and whether a row is what its round makes, or what it was given.
    `turns` are those whose new value lies in an array of its own, which the two take in turn.
    """

    params: tuple[Value, ...]
    outs: tuple[Value, ...]
    items: list[Item]
    homes: dict[Value, int] = field(default_factory=dict)
    updates: set[Value] = field(default_factory=set)
    rows: dict[int, tuple[int, bool]] = field(default_factory=dict)
    turns: set[int] = field(default_factory=set)


@dataclass(frozen=True, eq=False)
class Inside:
    """Where a piece lies in an array that is woven of several."""

    whole: Value
    start: tuple[int, ...]
    step: tuple[int, ...]

    @property
    def sparse(self) -> bool:
        """Whether machines write such pieces one element at a time: those of three or more."""
        return prod(self.step) > 2


@dataclass(eq=False)
class Storage:
    """Where a root's value lives: which of its dims are kept in memory, and how.

    `kept[k]` is "full", "strip" (indexed by the row within a block) or "drop" for value dim k;
    or "plane": kept as a whole, but in front of the others.
    `place` is "local", "scratch", "full", "output", "inside" (a piece of a woven array), or
    "given": memory that the writer of a region names, such as a row of what a loop stacks.
    """

    place: str
    kept: tuple[str, ...]
    output: int = -1


@dataclass(eq=False)
class Plan:
    """Items in order, with the storage of each root's value; printed by `str`."""

    params: tuple[Value, ...]
    outs: tuple[Value, ...]
    items: list[Item]
    roots: dict[Value, Root]
    storage: dict[Value, Storage]
    defs: dict[Value, Op]
    aliases: dict[Value, Value] = field(default_factory=dict)
    slots: dict[Value, Value] = field(default_factory=dict)  # whose memory a workspace value uses
    # Pieces of a woven array, which lie in it: where each begins, and the steps.
    inside: dict[Value, Inside] = field(default_factory=dict)
    # Products that one sum alone reads, where the two may be rounded as one.
    products: set[Value] = field(default_factory=set)
    # Results that are joined to what their arrays hold, and how.
    adds: dict[Value, Fold] = field(default_factory=dict)

    def kept_shape(self, v: Value) -> tuple[int, ...]:
        """The extents that a root's storage keeps; a strip has the rows of its block."""
        kept = self.storage[v].kept
        rows = self.strip_rows(v) if "strip" in kept else 0
        return tuple(
            n if how in WHOLE else rows
            for n, how in zip(v.shape, kept, strict=True)
            if how != "drop"
        )

    @property
    def scratch(self) -> int:
        """Bytes of the memory that its workspaces share."""
        return sum(
            NUMPY[v.dtype].itemsize * prod(self.kept_shape(v))
            for v, home in self.slots.items()
            if home is v
        )

    def strip_rows(self, v: Value) -> int:
        """Rows of the block in which a value is made."""
        loops = [i for i in nested(self.items) if isinstance(i, Loop) and self.roots[v] in i.dims]
        while loops:
            loop = loops.pop()
            if loop.strip:
                return loop.strip
            loops += [i for i in loop.body if isinstance(i, Loop) and self.roots[v] in i.dims]
        return 0

    def __str__(self) -> str:
        lines: list[str] = []
        for item in self.items:
            self._show(item, "", lines)
        return "\n".join(lines)

    def _show(self, item: Item, pad: str, lines: list[str]) -> None:
        if isinstance(item, Loop):
            kind = f"blocks of {item.strip} of " if item.strip else ""
            fetched = f" fetching {item.ahead.hint or item.ahead.aval}" if item.ahead else ""
            lines.append(f"{pad}for {kind}[{item.low}, {item.high}){fetched}:")
            for inner in item.body:
                self._show(inner, pad + "  ", lines)
            return
        for r in members(item):
            if r.kind == "region":
                self._show_region(r, pad, lines)
            else:
                lines.append(pad + self._line(r))

    def _show_region(self, r: Root, pad: str, lines: list[str]) -> None:
        assert r.op is not None
        at = f"  # {r.op.where}" if r.op.where else ""
        for k, (label, body) in enumerate(r.bodies.items()):
            lines.append(f"{pad}{r.op.prim.name} {label}:{at if k == 0 else ''}")
            for inner in body.items:
                self._show(inner, pad + "  ", lines)

    def _line(self, r: Root) -> str:
        where = self.storage.get(r.value)
        place = where.place if where else "?"
        name = r.op.prim.name if r.op is not None else "copy"
        at = f"  # {r.op.where}" if r.op is not None and r.op.where else ""
        return f"{place} {r.value.hint or ''}{r.value.aval} <- {r.kind} {name}{at}"


def members(item: Item) -> Sequence[Root]:
    """The roots that an item holds, those of its loops and regions apart."""
    return [item.root] if isinstance(item, CallItem) else item.members


def is_scan(r: Root) -> bool:
    """Whether a nest is a running reduction along an axis."""
    return r.op is not None and isinstance(r.op.prim.emit, Call) and r.op.prim.emit.name == "scan"


def is_straight(r: Root) -> bool:
    """Whether a nest works on matrices so small that each element is a number of its own."""
    if r.kind != "call" or r.op is None or r.value.ndim < 3 or is_scan(r):
        return False
    rows = STRAIGHT if r.op.prim.name != "lu_factors" else r.value.shape[-2]
    return r.value.shape[-1] <= STRAIGHT and r.value.shape[-2] <= rows


def nested(items: Sequence[Item]) -> Iterator[Item]:
    """Items with those of the regions in them, outermost loops only."""
    for item in items:
        yield item
        if isinstance(item, CallItem):
            for body in item.root.bodies.values():
                yield from nested(body.items)


@dataclass(frozen=True, eq=False)
class KernelStep:
    """Ops that one kernel computes: `function` maps `reads` to `writes`."""

    plan: Plan
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class HostStep:
    """One op that runs in Python through its row's reference."""

    op: Op


@dataclass(frozen=True, eq=False)
class Schedule:
    """A whole program: kernels and host steps in order, from params to outs."""

    name: str
    params: tuple[Value, ...]
    steps: tuple[KernelStep | HostStep, ...]
    outs: tuple[Value, ...]

    def __str__(self) -> str:
        parts = []
        for k, step in enumerate(self.steps):
            if isinstance(step, KernelStep):
                parts.append(f"kernel {k}:\n" + str(step.plan))
            else:
                parts.append(f"host {k}: {step.op.prim.name}")
        return "\n".join(parts)

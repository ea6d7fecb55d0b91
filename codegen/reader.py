"""Values pulled index by index: each is printed where its index becomes known.

A value is printed in the outermost loop body that knows its index, so work that does not vary
along an inner loop stands before that loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..ir.access import aligned, compose, counted, view_map
from ..ir.core import Const, Op, Value
from ..ir.plan import WHOLE, Loop, Plan, Storage
from ..ir.prim import Call, Expr, ViewMap
from ..ir.records import dataclass
from ..ir.types import KIND
from .emit import At, Names, Scope
from .host import has_fma
from .indices import is_sure
from .intervals import interval

Mask = tuple[str, ...]


@dataclass(frozen=True)
class Bound:
    """What stands for a param or result of a region: a value outside, read behind a prefix.

    `floor` is the depth of the outermost body that may read it; None: that of the reader, for what
    is written in the region.
    """

    value: Value
    prefix: tuple[At, ...] = ()
    floor: int | None = None


def _combined(name: str, a: At, b: At) -> At | None:
    """The sum, difference or product of two indices that do not both follow a variable."""
    if name == "mul":
        (who, off, step), factor = (a, b[1]) if b[0] is None else (b, a[1])
        return (who, off * factor, step * factor) if None in (a[0], b[0]) else None
    sign = 1 if name == "add" else -1
    if b[0] is None:
        return a[0], a[1] + sign * b[1], a[2]
    return (b[0], a[1] + sign * b[1], sign * b[2]) if a[0] is None else None


class Reader:
    """Reads values at indices, and keeps the scopes that their text goes to."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = Names()
        self.scopes = [Scope(0)]
        self.of_var: dict[str, int] = {}  # the depth of the body that a variable belongs to
        self.ranges: dict[str, tuple[int, int]] = {}  # what is known of a variable, inclusive
        self.local: dict[Value, str] = {}
        self.bound: dict[Value, Bound] = {}
        self.updates: set[Value] = set()  # what lies where something older may still be read
        self.turned: dict[Value, str] = {}  # the pointers of this round (see rounds.py)
        self.moving: set[str] = set()  # numbers that rounds set anew
        self.floor = 0  # the depth of the region's body that is being written
        self.rows: dict[Loop, str] = {}  # the row within a block
        self.strips: list[Loop] = []
        self.block_of: dict[str, str] = {}  # the block that a row belongs to
        self.uses_status = False
        self.valid: set[tuple[Value, int]] = set()  # indices known to be within an extent
        self.param_names = {v: self.names.fresh(v.hint or "x") for v in plan.params}
        self.pointer_names: dict[Value, str] = {}
        self.tapes: dict[Value, str] = {}  # arrays that grow with the number of rounds
        self.endless = False  # whether the kernel may run for ever, or for long
        self.stops = False  # whether it looks at signals
        self.cells = ""  # the argument that keeps their memory, if there are any
        self.pack = ""  # the argument with the work memory of products, if there are any
        self.packed = 0  # its bytes

    # ---------------------------------------------------------------- lines and scopes

    @property
    def scope(self) -> Scope:
        return self.scopes[-1]

    def line(self, text: str, depth: int | None = None) -> None:
        scope = self.scope if depth is None else self.scopes[depth]
        scope.lines.append(text)

    def around(self) -> Iterator[str]:
        """The lines of the bodies around what is being written, up to there."""
        return (text for scope in self.scopes for text in scope.lines)

    @contextmanager
    def aside(self) -> Iterator[Scope]:
        """A nested body whose lines the caller puts where they belong."""
        inner = Scope(len(self.scopes))
        self.scopes.append(inner)
        yield inner
        self.scopes.pop()

    @contextmanager
    def body(self, *headers: str) -> Iterator[Scope]:
        """A nested body under header lines (none: the lines go where we are, with a fresh memo)."""
        with self.aside() as inner:
            yield inner
        self.under(headers, inner.lines)

    def under(self, headers: Sequence[str], lines: Sequence[str]) -> None:
        """Lines, if there are any, in nested bodies under header lines."""
        if not lines:
            return
        pad = ""
        for h in headers:
            self.line(pad + h)
            pad += "    "
        self.scope.lines.extend(pad + text for text in lines)

    def depth(self, index: Sequence[At], mask: Mask = ()) -> int:
        """The outermost body in which everything an index needs is known."""
        deepest = self.floor
        for who, _, _ in index:
            if who is not None:
                deepest = max(deepest, self.of_var[who])
        for cond in mask:
            deepest = max(deepest, self.of_var[cond])
        return deepest

    def compute(self, key: object, text: str, depth: int, stem: str = "t") -> str:
        """A named intermediate in the body at `depth`; equal keys share one name."""
        memo = self.scopes[depth].memo
        name = memo.get(key)
        if name is None:
            name = memo[key] = self.names.fresh(stem)
            self.line(f"{name} = {text}", depth)
        return name

    # ---------------------------------------------------------------- indices

    def index_text(self, at: At) -> str:
        who, off, step = at
        if who is None:
            return self.names.size(off)
        text = who if step == 1 else f"{self.names.size(step)}*{who}"
        if off == 0:
            return text
        return (
            f"{text} + {self.names.size(off)}" if off > 0 else f"{text} - {self.names.size(-off)}"
        )

    def product(self, extents: Sequence[int]) -> str:
        """The number of elements that these extents span, as text."""
        factors = [self.names.size(n) for n in extents if n != 1]
        if all(f.isdigit() for f in factors):
            n = 1
            for f in factors:
                n *= int(f)
            return self.names.size(n) if n <= 16 else str(n)
        return "*".join(factors)

    def offset(self, index: Sequence[At], extents: Sequence[int]) -> str:
        """The position of an index in a row-major array; outer parts are computed outside."""
        terms: list[tuple[int, str]] = []
        for k, at in enumerate(index):
            if at[0] is None and at[1] == 0:
                continue
            if extents[k] == 1 and at[0] is None:
                continue
            stride = self.product(extents[k + 1 :])
            text = self.index_text(at)
            if stride not in ("", "1"):
                text = f"({text})*{stride}" if " " in text else f"{text}*{stride}"
            terms.append((0 if at[0] is None else self.of_var[at[0]], text))
        if not terms:
            return "0"
        here = max(d for d, _ in terms)
        outer = [(d, t) for d, t in terms if d < here]
        parts = []
        if outer and any("*" in t for _, t in outer):
            depth = max(d for d, _ in outer)
            text = " + ".join(t for _, t in outer)
            parts.append(self.compute(("offset", text), text, depth, "q"))
        else:
            parts.extend(t for _, t in outer)
        parts.extend(t for d, t in terms if d == here)
        return " + ".join(parts)

    # ---------------------------------------------------------------- reading values

    def pull(self, v: Value, index: tuple[At, ...], mask: Mask = ()) -> str:
        """The name (or literal) of a value at an index; zero reads where the mask is false."""
        if type(v) is Const:
            return self.names.literal(v)
        if v.ndim == 0 and v in self.local:
            return self.local[v]
        key = (v, index, mask)
        depth = self.depth(index, mask)
        memo = self.scopes[depth].memo
        name = memo.get(key)
        if name is not None:
            return name
        if v in self.bound:
            name = self.through(v, index, mask)
        elif self.is_stored(v):
            name = self.load(v, index, mask)
        else:
            name = self.evaluate(self.plan.defs[v], index, mask)
        memo[key] = name
        return name

    def through(self, v: Value, index: tuple[At, ...], mask: Mask) -> str:
        """Read what stands for a value of a region, in the body that it belongs to."""
        b = self.bound[v]
        if b.floor is None:  # memory that several values share, one after the other
            return self.load(v, index, mask)
        before, self.floor = self.floor, b.floor
        name = self.pull(b.value, (*b.prefix, *index), mask)
        self.floor = before
        return name

    def is_stored(self, v: Value) -> bool:
        return v in self.plan.roots or v in self.param_names or v in self.plan.aliases

    def load(self, v: Value, index: tuple[At, ...], mask: Mask) -> str:
        """Read a stored value."""
        base = self.base(v)
        if base in self.local:
            return self.local[base]
        # A dim that is dropped from memory still says when the value is the one we mean.
        depth = self.depth(index, mask)
        text = self.cell(v, index)
        if v.dtype == "bool":
            text = f"({text} != 0)"
        if mask:
            zero = self.zero(v.dtype)
            text = f"{text} if {' and '.join(mask)} else {zero}"
        return self.compute((v, index, mask), text, depth, base.hint or "t")

    def cell(self, v: Value, index: Sequence[At]) -> str:
        """The element of memory that holds a stored value at an index."""
        base, index, extents = self.place(v, index)
        return f"{self.pointer(base)}[{self.offset(index, extents)}]"

    def place(self, v: Value, index: Sequence[At]) -> tuple[Value, tuple[At, ...], list[int]]:
        """The array that holds a value, behind reshapes and regions; index and extents in it."""
        piece = self.plan.inside.get(v)
        if piece is not None:
            moved = zip(index, piece.start, piece.step, strict=True)
            index = [(who, start + by * off, by * step) for (who, off, step), start, by in moved]
            v = piece.whole
        base, prefix, extents = self.held(v)
        if not prefix and base in self.plan.roots and v not in self.plan.aliases:
            index, own = self.kept(base, self.plan.storage[base], index)
        else:
            own = list(v.shape)
        return base, (*prefix, *index), [*extents, *own]

    def held(self, v: Value) -> tuple[Value, tuple[At, ...], list[int]]:
        """The array that holds a value, and where in it the value begins: index and extents."""
        prefix: tuple[At, ...] = ()
        extents: list[int] = []
        while True:
            if v in self.turned:
                return v, prefix, extents
            if v in self.plan.aliases:
                v = self.plan.aliases[v]
            elif v in self.bound:
                b = self.bound[v]
                v, prefix = b.value, (*b.prefix, *prefix)
                extents = [*v.shape[: len(b.prefix)], *extents]
            else:
                return v, prefix, extents

    def same_place(self, a: Value, b: Value) -> bool:
        """Whether two values of one shape lie in the same memory."""
        if not (a.ndim and self.is_held(a) and self.is_held(b)):
            return False
        (x, before, _), (y, prefix, _) = self.held(a), self.held(b)
        slots = self.plan.slots
        return before == prefix and slots.get(x, x) is slots.get(y, y)

    def is_held(self, v: Value) -> bool:
        """Whether a value lies in memory as a whole."""
        while v in self.bound:
            v = self.bound[v].value
        return self.is_stored(v) and v not in self.local

    def base(self, v: Value) -> Value:
        """The stored value behind a reshape."""
        while v in self.plan.aliases:
            v = self.plan.aliases[v]
        return v

    def kept(
        self, v: Value, where: Storage, index: Sequence[At]
    ) -> tuple[tuple[At, ...], list[int]]:
        """The index and extents of the dims that a root's storage keeps."""
        out: list[At] = []
        extents: list[int] = []
        order = sorted(range(len(where.kept)), key=lambda k: where.kept[k] != "plane")
        for k in order:
            how = where.kept[k]
            if how in WHOLE:
                out.append(index[k])
                extents.append(v.shape[k])
            elif how == "strip":
                loop = self.strips[-1]
                out.append((self.rows[loop], 0, 1))
                extents.append(loop.strip)
        return tuple(out), extents

    def zero(self, dtype: str) -> str:
        return self.names.literal(Const(0, dtype))

    def evaluate(self, op: Op, index: tuple[At, ...], mask: Mask) -> str:
        """Compute an inline op at an index."""
        emit = op.prim.emit
        if isinstance(emit, Expr):
            return self.expression(op, emit, index, mask)
        view = view_map(op)
        if view is not None:
            return self.view(op, view, index, mask)
        assert isinstance(emit, Call)
        if emit.name == "gather":
            return self.gather(op, index, mask)
        if emit.name == "concatenate":
            return self.concatenate(op, index, mask)
        return self.iota(op, index)

    def expression(self, op: Op, emit: Expr, index: tuple[At, ...], mask: Mask) -> str:
        shape = op.outs[0].shape
        if op.prim.name == "select":  # along an interval of a loop, a mask is often known
            known = self.pull(op.args[0], aligned(op.args[0].aval, index, shape), mask)
            if known in ("True", "False"):
                picked = op.args[1 if known == "True" else 2]
                return self.pull(picked, aligned(picked.aval, index, shape), mask)
        if has_fma() and not self.plan.products.isdisjoint(op.args):
            fused = self.fused(op, index, mask)
            if fused:
                return fused
        args = [self.pull(a, aligned(a.aval, index, shape), mask) for a in op.args]
        first = op.args[op.prim.like]
        kind = KIND[first.dtype]
        text = emit.text
        if kind in "iu" and emit.ints is not None:
            text = emit.ints
        elif kind == "b" and emit.bools is not None:
            text = emit.bools
        suffix = "32" if first.dtype == "f32" else "64"
        text = text.format(*args, t=suffix, **op.attrs)
        out = op.outs[0].dtype
        if KIND[out] in "iu" and out != "i64":  # Numba computes in 64 bits and would not wrap
            text = f"ll.{out}({text})"
        hint = op.outs[0].hint or "t"
        return self.compute((op, index, mask), text, self.depth(index, mask), hint)

    def fused(self, op: Op, index: tuple[At, ...], mask: Mask) -> str:
        """A sum with a product in it, rounded once; "" where the product is stored anyway."""
        x, y = op.args
        k = 0 if x in self.plan.products else 1
        product, other = (x, y) if k == 0 else (y, x)
        if self.is_stored(product):
            return ""
        shape = op.outs[0].shape
        a, b = (
            self.pull(v, aligned(v.aval, index, shape), mask) for v in self.plan.defs[product].args
        )
        c = self.pull(other, aligned(other.aval, index, shape), mask)
        if op.prim.name == "sub":
            a, c = (a, f"-{c}") if k == 0 else (f"-{a}", c)
        text = f"ll.fma({a}, {b}, {c})"
        depth = self.depth(index, mask)
        return self.compute((op, index, mask), text, depth, op.outs[0].hint or "t")

    def view(self, op: Op, view: ViewMap, index: tuple[At, ...], mask: Mask) -> str:
        inner = compose(view, index)
        conds: list[str] = []
        for rd, low, high, step in view.windows:
            found = self.window(index[rd], low, high, step)
            if found is False:
                return self.zero(op.outs[0].dtype)
            if found is not True:
                conds.append(found)
        if not conds:
            return self.pull(op.args[0], inner, mask)
        wide = tuple(dict.fromkeys((*mask, *conds)))
        value = self.pull(op.args[0], inner, wide)
        if self.is_held(op.args[0]):
            return value  # the load gave zero outside the window
        test = " & ".join(conds)
        text = f"ll.select({test}, {value}, {self.zero(op.outs[0].dtype)})"
        return self.compute((op, index, wide), text, self.depth(index, wide))

    def window(self, at: At, low: int, high: int, step: int) -> bool | str:
        """Whether an index lies in a window: known for sure, or the name of a condition."""
        who, off, by = at
        if step != 1:
            raise NotImplementedError("windows with a stride are copied, never pulled")
        if who is None:
            return low <= off < high
        if who in self.ranges:
            a, b = self.ranges[who]
            first, last = sorted((by * a + off, by * b + off))
            if low <= first and last < high:
                return True
            if last < low or first >= high:
                return False
        e = self.index_text(at)
        text = f"({e} >= {self.names.size(low)}) & ({e} < {self.names.size(high)})"
        depth = self.of_var[who]
        name = self.compute(("window", at, low, high), text, depth, "inside")
        self.of_var[name] = depth
        return name

    def concatenate(self, op: Op, index: tuple[At, ...], mask: Mask) -> str:
        axis, start = op.attrs["axis"], 0
        who, off, step = index[axis]
        picked: list[tuple[str, str]] = []
        for a in op.args:
            n = a.shape[axis]
            found = self.window(index[axis], start, start + n, 1) if n else False
            if found is not False:
                at = (*index[:axis], (who, off - start, step), *index[axis + 1 :])
                inner = mask if found is True else (*mask, found)
                value = self.pull(a, at, tuple(dict.fromkeys(inner)))
                if found is True:
                    return value
                picked.append((found, value))
            start += n
        depth = max([self.depth(index, mask), *(self.of_var[c] for c, _ in picked)])
        _, found = picked[-1]
        for cond, value in reversed(picked[:-1]):
            text = f"ll.select({cond}, {value}, {found})"
            found = self.compute((op, index, mask, cond), text, depth)
        return found

    def gather(self, op: Op, index: tuple[At, ...], mask: Mask) -> str:
        x, axes = op.args[0], op.attrs["axes"]
        n = op.args[1].ndim
        found = {}
        for axis, i in zip(axes, op.args[1:], strict=True):
            found[axis] = self.taken(i, x.shape[axis], op, tuple(index[:n]), mask)
        rest = iter(index[n:])
        inner = tuple(found[d] if d in found else next(rest) for d in range(x.ndim))
        return self.pull(x, inner, mask)

    def taken(self, i: Value, extent: int, op: Op, index: tuple[At, ...], mask: Mask) -> At:
        """Where along an axis an index taken from data points."""
        row = counted(self.plan.defs, i, index, extent)
        if row is not None:
            return row
        known = self.affine(self.repeated(i))
        if known is not None:
            who, off, step = known
            low, high = self.ranges[who] if who is not None else (0, 0)
            first, last = sorted((step * low + off, step * high + off))
            if first >= 0 and last < extent:
                return known
            if last < 0 and first >= -extent:
                return who, off + extent, step
        raw = self.pull(i, index, mask)
        least, most = interval(self, i)
        if least >= 0 and most < extent and raw.isidentifier():
            self.of_var.setdefault(raw, self.depth(index, mask))
            return raw, 0, 1
        sure = (i, extent) in self.valid or (least >= -extent and most < extent)
        sure = sure or (i.ndim == 1 and is_sure(self, i, extent, index[0]))
        if sure and op.attrs.get("mode", "raise") == "raise":
            n, depth = self.names.size(extent), self.depth(index, mask)
            text = f"ll.select({raw} < 0, {raw} + {n}, {raw})"
            name = self.compute(("valid", raw, extent), text, depth, "k")
            self.of_var[name] = depth
            return name, 0, 1
        if i.ndim == 1 and not mask and op.attrs.get("mode", "raise") == "raise":
            self.scopes[self.depth(index)].checks.append(((i, extent), index[0]))
        return self.checked(raw, extent, op, index, mask), 0, 1

    def repeated(self, v: Value) -> Value:
        """The scalar that an array repeats, or the value as it is."""
        op = self.plan.defs.get(v)
        scalar = op is not None and op.prim.name == "broadcast" and not op.args[0].ndim
        return op.args[0] if op is not None and scalar else v

    def affine(self, v: Value) -> At | None:
        """An integer that follows one loop variable of known range, or none, as an index."""
        if isinstance(v, Const):
            return None, int(v.data), 0
        name = self.local.get(v)
        if name in self.ranges:
            return name, 0, 1
        if v in self.bound:
            return self.affine(self.bound[v].value)
        op = self.plan.defs.get(v)
        if op is None or v.dtype != "i64" or op.prim.name not in ("add", "sub", "mul"):
            return None
        a, b = map(self.affine, op.args)
        return None if a is None or b is None else _combined(op.prim.name, a, b)

    def checked(self, raw: str, extent: int, op: Op, index: tuple[At, ...], mask: Mask) -> str:
        """An index taken from data: negative ones count from the end, bad ones are reported."""
        depth = self.depth(index, mask)
        n = self.names.size(extent)
        key = ("checked", raw, extent, op.attrs.get("mode", "raise"))
        known = self.scopes[depth].memo.get(key)
        if known is not None:
            return known
        mode = op.attrs.get("mode", "raise")
        if mode == "clip":
            text = f"max(0, min({raw}, {n} - 1))"
        elif mode == "wrap":
            text = f"{raw} % {n}"
        else:
            text = f"ll.select({raw} < 0, {raw} + {n}, {raw})"
        name = self.compute(key, text, depth, "k")
        if mode == "raise":
            self.uses_status = True
            ok = self.names.fresh("ok")
            self.line(f"{ok} = ({name} >= 0) & ({name} < {n})", depth)
            self.line(f"status |= ll.select({ok}, 0, 1)", depth)
            safe = self.names.fresh("k")
            self.line(f"{safe} = ll.select({ok}, {name}, 0)", depth)
            name = safe
        self.scopes[depth].memo[key] = name
        self.of_var[name] = depth
        return name

    def iota(self, op: Op, index: tuple[At, ...]) -> str:
        at = index[op.attrs["axis"]]
        text = self.index_text(at)
        dtype = op.outs[0].dtype
        if dtype != "i64":
            text = f"ll.{dtype}({text})"
        return self.compute((op, at), text, self.depth((at,)))

    def pointer(self, v: Value) -> str:
        """The array argument that holds a stored value, or the name of a tape."""
        if v in self.tapes:
            return self.tapes[v]
        if v in self.turned:
            return self.turned[v]
        v = self.plan.slots.get(v, v)
        if v in self.turned:
            return self.turned[v]
        if v in self.param_names:
            name = self.param_names[v]
        else:
            name = self.pointer_names.get(v) or self.names.fresh(
                (v.hint or "t") + ("_out" if self.plan.storage[v].place == "output" else "_buf")
            )
        self.pointer_names.setdefault(v, name)
        return name

"""What a region updates where it lies: a result in the memory of what the round was given.

A loop that writes one element of an array in each round must not copy the array.  A result may lie
where a param does if nobody reads the param once it is overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..ir.core import Const, Op, Value
from ..ir.ops.interleave import interleave
from ..ir.plan import Access, Body, CallItem, Item, Loop, Plan, Root, members
from .storage import Path, paths_of

_WRITES = ("scatter", "scatter_add")


class Rounds:
    """The items of one region's block, and who reads what in them."""

    def __init__(self, plan: Plan, body: Body) -> None:
        self.plan = plan
        self.body = body
        self.paths = paths_of(body.items)
        self.readers: dict[Value, list[tuple[Root, Access]]] = {}
        for r in self.paths:
            for a in (*r.accesses, *r.matrices):
                self.readers.setdefault(self.base(a.base), []).append((r, a))

    def base(self, v: Value) -> Value:
        """The stored value behind a reshape."""
        while v in self.plan.aliases:
            v = self.plan.aliases[v]
        return v

    def chain(self, p: Value, v: Value) -> list[Value] | None:
        """The values from param `p` to `v` that may all lie where `p` does; None if `v` may not."""
        r = self.plan.roots.get(v)
        if r is None or v.aval != p.aval or v in self.plan.aliases:
            return None
        if r.op is None and r.source is p:
            return [v]  # the same, where it is
        if r.kind == "call" and r.op is not None and r.op.prim.name in _WRITES:
            return self._written(p, v, r, r.op)
        if r.op is not None and r.op.prim is interleave:
            return None
        if r.kind == "part":
            return self._updated(p, v, r)
        if r.kind == "region" or any(not self._passed(u, a, r) for u, a in self._reads(p)):
            return None
        return [v]

    def _reads(self, v: Value) -> list[tuple[Root, Access]]:
        return self.readers.get(v, [])

    def _written(self, p: Value, v: Value, r: Root, op: Op) -> list[Value] | None:
        """A scatter: it writes into its operand, which only earlier items read."""
        x, upd, *indices = op.args
        if any(u is not r and not self._earlier(u, r) for u, _ in self._reads(x)):
            return None
        single = all(i.aval.size == 1 for i in (upd, *indices))
        if not single and self._pulls((upd, *indices), x):
            return None
        return self._then(p, x, v)

    def _updated(self, p: Value, v: Value, part: Root) -> list[Value] | None:
        """A result of a region, which updates one of the region's own operands."""
        region = self.plan.roots[part.accesses[0].base]
        op = region.op
        assert op is not None
        k = op.outs.index(v)
        for j in _sources(op, k):
            x = op.args[j]
            others = [a for i, a in enumerate(op.args) if i != j]
            if x.aval != v.aval or type(x) is Const or self._pulls(others, x):
                continue
            if any(u is not region and not self._earlier(u, region) for u, _ in self._reads(x)):
                continue
            if op.prim.name == "cond" and not self._both(region, k, j):
                continue
            found = self._then(p, x, v)
            if found is not None:
                return found
        return None

    def _both(self, region: Root, k: int, j: int) -> bool:
        """Whether both branches update their param, or leave it as it is."""
        found = []
        for body in region.bodies.values():
            q, out = body.params[j - 1], body.outs[k]
            chain = Rounds(self.plan, body).chain(q, out)
            if chain is None:
                return False
            found.append((body, chain))
        for body, chain in found:
            _lie(self.plan, body, chain, k)
        return True

    def _then(self, p: Value, x: Value, v: Value) -> list[Value] | None:
        if x is p:
            return [v]
        if x in self.body.outs or x in self.body.homes:
            return None
        before = self.chain(p, x)
        return None if before is None else [*before, v]

    def _earlier(self, u: Root, r: Root) -> bool:
        return self.paths[u][0][0] < self.paths[r][0][0]

    def _pulls(self, values: Iterable[Value], x: Value) -> bool:
        """Whether some value is `x`, or is computed from it where it is read."""
        stack, seen = list(values), set()
        while stack:
            v = stack.pop()
            if self.base(v) is x:
                return True
            if v in seen or v in self.plan.roots or v in self.plan.aliases:
                continue
            seen.add(v)
            if v in self.plan.defs:
                stack.extend(self.plan.defs[v].args)
        return False

    def _passed(self, u: Root, a: Access, r: Root) -> bool:
        """Whether a read of `u` sees the old element, although `r` puts a new one in its place."""
        if a.base in self.plan.aliases:
            return u is not r and self._earlier(u, r)
        here, there = self.paths[u], self.paths[r]
        covered = _aligned(u, a, r, _common(here, there))
        if covered is None:
            return False
        c = len(_common(here, there))
        if here[0][c] != there[0][c]:
            return here[0][c] < there[0][c]
        # Stores wait for the end of the statements, so none of them may read it another way.
        if any(self.base(v) is r.value for v in self.plan.aliases):
            return False
        return all(n == 1 or q in covered for q, n in enumerate(r.value.shape))


def _common(a: Path, b: Path) -> list[Loop]:
    out = []
    for x, y in zip(a[1], b[1], strict=False):
        if x is not y:
            break
        out.append(x)
    return out


def _aligned(u: Root, a: Access, r: Root, loops: list[Loop]) -> set[int] | None:
    """The dims along which `u` reads, in each round of the loops, what `r` writes in it."""
    covered = set()
    for loop in loops:
        (d, off), (e, shift) = loop.dims[r], loop.dims[u]
        if d not in r.par:
            return None
        q = r.par.index(d)
        dim, start, step = a.index[q]
        if dim != e or start is None or step != 1 or shift + start != off:
            return None
        covered.add(q)
    return covered


def _sources(op: Op, k: int) -> range:
    """The arguments whose memory result `k` of a control op may take over."""
    name, consts = op.prim.name, op.attrs.get("consts", 0)
    if name == "cond":
        return range(1, len(op.args))
    first = consts + (1 if name == "loop" else 0)
    carries = op.attrs.get("carries", 0) if name == "loop" else len(op.args) - consts
    return range(first + k, first + k + 1) if k < carries else range(0)


def _lie(plan: Plan, body: Body, chain: list[Value], k: int) -> None:
    """Let the values lie where result `k` of the region does."""
    body.homes.update((v, k) for v in chain)
    body.updates.update(chain)
    for v in chain:
        plan.storage[v].place = "given"
        plan.storage[v].kept = ("full",) * v.ndim


def delay_writes(plan: Plan, body: Body) -> None:
    """Put what may update an array right before the first item that reads it.

    Others read what was there.
    """
    items = body.items
    for item in reversed(items[:]):
        if not isinstance(item, CallItem) or item.root.kind not in ("call", "region"):
            continue
        r, k = item.root, items.index(item)
        made = set(r.op.outs) if r.op is not None else set()
        after = range(k + 1, len(items))
        last = next((j for j in after if _reads(plan, items[j], made)), len(items))
        items.insert(last, item)
        del items[k]


def _reads(plan: Plan, item: Item, values: set[Value]) -> bool:
    for r in members(item):
        for a in (*r.accesses, *r.matrices):
            base = a.base
            while base in plan.aliases:
                base = plan.aliases[base]
            if base in values:
                return True
    return False


def take_over(plan: Plan, body: Body, k: int, p: Value) -> bool:
    """Let result `k` of a round lie where param `p` does, if it may."""
    v = body.outs[k]
    if not v.ndim:
        return False
    found = Rounds(plan, body).chain(p, v)
    if found is None:
        return False
    _lie(plan, body, found, k)
    return True

"""Values that are written where another one lies that their loops are the last to read.

Memory that was just read is in the cache already: a new array would have to be fetched before it
is written, and is so much more memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from ..ir.core import Value
from ..ir.plan import WHOLE, Access, CallItem, Item, Loop, Plan, Root, Stmts
from ..ir.records import dataclass
from .storage import Path, paths_of


def alike(a: Value, b: Value) -> bool:
    """Whether two arrays are equal in dtype and shape for every size of the inputs."""
    return likeness(a) == likeness(b)


def likeness(v: Value) -> object:
    """What arrays have in common that are equal in dtype and shape for every size of the inputs."""
    return v.dtype, *((int(n), getattr(n, "label", None)) for n in v.shape)


def adds_into(r: Root) -> bool:
    """Whether a root sets or adds to elements of its first operand, by a nest of its own."""
    return r.kind == "call" and r.op is not None and r.op.prim.name in ("scatter", "scatter_add")


@dataclass(eq=False)
class Overwrites:
    """Decides for a plan, one after the other, which values take the place of which."""

    plan: Plan
    taken: list[tuple[Item, Value, Value]] = field(default_factory=list)

    def claim(self, item: Item, new: Value, old: Value) -> bool:
        """Whether each element of `new` replaces the same one of `old`, which dies in this item.

        What reads `old` must read that element, and before it is gone: in the root that writes it,
        or in one that runs earlier in the same round.  The order of statements is changed for that.
        """
        writer = self.plan.roots.get(new)
        if isinstance(item, CallItem):
            same = alike(new, old) and self._same_layout(new, old)
            return writer is item.root and same and self._adds(writer, old)
        if not isinstance(item, Loop) or writer is None or writer not in item.dims:
            return False
        if writer.kind == "scatter":
            others = (a for r in item.members if r is not writer for a in r.accesses)
            gone = all(self._base(a) is not old for a in others)
            return gone and alike(new, old) and self._adds(writer, old)
        if writer.kind != "store" or not alike(new, old) or not self._same_layout(new, old):
            return False
        if not self._holds(item, new, old):
            statements = _statements(item, writer)
            order = list(statements.members)
            if not _can_be_last(order, writer):
                return False
            statements.members = [*(r for r in order if r is not writer), writer]
            pairs = [(n, o) for i, n, o in self.taken if i is item]
            if not all(self._holds(item, n, o) for n, o in [*pairs, (new, old)]):
                statements.members = order
                return False
        self.taken.append((item, new, old))
        return True

    def _adds(self, writer: Root, old: Value) -> bool:
        """Whether a root sets or adds to elements of `old`, and reads it in no other way."""
        chain = writer.chain or ((writer.op,) if writer.op is not None else ())
        if not (writer.chain or adds_into(writer)) or chain[0].args[0] is not old:
            return False
        stack, seen = [a for op in chain for a in op.args[1:]], set[Value]()
        while stack:
            v = stack.pop()
            while v in self.plan.aliases:
                v = self.plan.aliases[v]
            if v is old:
                return False
            if v not in seen and v not in self.plan.roots and v in self.plan.defs:
                stack.extend(self.plan.defs[v].args)
            seen.add(v)
        return True

    def _same_layout(self, new: Value, old: Value) -> bool:
        a, b = (self.plan.storage[v].kept for v in (new, old))
        same = self.plan.kept_shape(new) == self.plan.kept_shape(old)
        return same and (a == b or {"strip", "plane"}.isdisjoint((*a, *b)))

    def _holds(self, item: Loop, new: Value, old: Value) -> bool:
        """Whether everything is read before it is overwritten, in the present order."""
        paths, writer = paths_of([item]), self.plan.roots[new]
        # A round of the loops around reads what it made itself.
        kept = [k for k, how in enumerate(self.plan.storage[old].kept) if how in WHOLE]
        for r in item.members:
            if any(self._base(a) is old for a in r.matrices):
                return False
            for a in r.accesses:
                if self._base(a) is not old:
                    continue
                if a.base is not old or not _before(item, paths, writer, r, a, kept):
                    return False
        return True

    def _base(self, a: Access) -> Value:
        base = a.base
        while base in self.plan.aliases:
            base = self.plan.aliases[base]
        return base


def _before(
    item: Loop, paths: dict[Root, Path], writer: Root, r: Root, a: Access, kept: Sequence[int]
) -> bool:
    """Whether a read happens before the writer gets to that element; `kept` are its dims."""
    if r.kind not in ("store", "fold"):
        return False
    (at, loops), (last, around) = paths[r], paths[writer]
    if at > last:
        return False
    if at == last:
        order = _statements(item, writer).members
        if order.index(r) > order.index(writer):
            return False
    for k in kept:
        carrier = next((p for p in around if p.dims[writer][0] == writer.par[k]), None)
        if a.base.shape[k] == 1:
            continue
        if carrier is None:
            return False
        if any(p is carrier for p in loops):
            who, start, step = a.index[k]
            dim, offset = carrier.dims[r]
            if who != dim or step != 1 or start is None:
                return False
            if start + offset != carrier.dims[writer][1]:
                return False
    return True


def _statements(item: Loop, writer: Root) -> Stmts:
    """The list of statements in which a root is written."""
    body: Item = item
    for k in paths_of([item])[writer][0][1:]:
        assert isinstance(body, Loop)
        body = body.body[k]
    assert isinstance(body, Stmts)
    return body


def _can_be_last(members: Sequence[Root], writer: Root) -> bool:
    """Whether nothing after a statement of a list reads what it writes."""
    later = members[members.index(writer) + 1 :]
    return all(a.base is not writer.value for r in later for a in r.accesses)

"""The stages of a program by rows: when each op runs, and what passes from one stage to the next.

Stage k on rows comes after the ops that run once at k.  An op runs as soon as its operands are
there: rows of what its own stage makes, or whole values of stages before.  What passes between
stages is written and read as a whole, so an op waits for the stage that wants it where less has to
pass then, and what costs little is computed again there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter

from ..ir.core import Const, Op, Value
from ..ir.ops.show import shows
from ..ir.prim import Call, Expr, Fold, View
from ..ir.records import dataclass
from .recompute import cheap
from .rowwise import COMBINED_BY, Rowwise
from .schedule import decides

Along = Callable[[Value], list[int]]  # the dims of a value that are rows
Place = tuple[int, bool]  # the number of a stage, and whether it is on rows
_NEVER_FAIL = ("dot", "reshape", "concatenate", "iota")


@dataclass(frozen=True, eq=False)
class Stage:
    """Ops that run together: once, or (`rows`) on each part of the rows.

    reads     values of the program
    writes    values of the program; `combine` names the ufunc that joins the partial results of
              each, "" where the parts fill an array along its first axis
    """

    rows: bool
    ops: tuple[Op, ...]
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]
    combine: tuple[str, ...]


def stages(made: Rowwise, along: Along, filled: Mapping[Value, Op]) -> tuple[Stage, ...]:
    """The stages, in order; each makes arrays of one number (`filled`) by itself."""
    place = _placed(made, along)
    _sink(made, place)
    return tuple(_stages(made, place, along, filled))


def _placed(made: Rowwise, along: Along) -> dict[Op, Place]:
    """The first stage in which each op can run."""
    level: dict[Value, int] = dict.fromkeys(made.block.params, 0)  # who may read its rows
    ready: dict[Value, int] = dict(level)  # and all of it
    place: dict[Op, Place] = {}
    busy, decided = -1, 0  # the last stage on rows and with a guard so far

    def since(a: Value, on_rows: bool) -> int:
        source = made.same.get(a, a)
        return level[source] if on_rows and along(a) == along(source) else ready[source]

    for op in made.block.ops:
        on_rows = op in made.carries
        if op.outs and op.outs[0] in made.numbers:  # it runs where the gather does
            level[op.outs[0]] = 0
            continue
        args = [a for a in op.args if type(a) is not Const]
        at = max((since(a, on_rows) for a in args), default=0)
        at = max(at, decided) if _may_fail(op) else at
        if on_rows:
            busy = max(busy, at)
        else:
            at = max(at, busy + 1) if shows(op) else at
            decided = max(at, decided) if decides(op) else decided
        _put(made, place, op, (at, on_rows))
        within = made.carries.get(op, True) or op.outs[0] in made.inner
        level.update((v, at if within else at + 1) for v in op.outs)
        ready.update((v, at + on_rows) for v in op.outs)
    return place


def _put(made: Rowwise, place: dict[Op, Place], op: Op, at: Place) -> None:
    place[op] = at
    place.update((made.numbers[a], at) for a in op.args if a in made.numbers)


def _may_fail(op: Op) -> bool:
    """Whether an op may raise on the wrong path, so that it waits for the guards before it."""
    emit = op.prim.emit
    if isinstance(emit, Call):
        return emit.name not in _NEVER_FAIL
    return not isinstance(emit, (Expr, View, Fold))


def _sink(made: Rowwise, place: dict[Op, Place]) -> None:
    """Let ops on rows wait for the first stage that wants them, unless more has to pass then."""
    users: dict[Value, list[Op]] = {}
    for op in made.block.ops:
        for a in dict.fromkeys(op.args):
            users.setdefault(a, []).append(op)
    fixed = {*made.block.outs, *made.same.values(), *made.numbers}
    by = {v: op for op in made.block.ops for v in op.outs}
    for op in reversed(made.block.ops):
        if not made.carries.get(op) or not fixed.isdisjoint(op.outs):
            continue
        at, wanted = place[op], [place[u] for v in op.outs for u in users.get(v, ())]
        first = min(wanted, default=at)
        if first == at or not all(on_rows for _, on_rows in wanted):
            continue
        passes = 0
        for a in dict.fromkeys(op.args):
            if a in by and place[by[a]] == at and all(place[u] == at for u in users[a]):
                stays = by[a].outs[0] not in fixed and users[a] != [op]
                passes += a.aval.size if stays else 0
        if passes <= sum(v.aval.size for v in op.outs):
            _put(made, place, op, first)


class _Members:
    """The ops of each stage, with those that it repeats (`again`), and the values that are kept."""

    def __init__(
        self, made: Rowwise, place: Mapping[Op, Place], filled: Mapping[Value, Op]
    ) -> None:
        ops = made.block.ops
        self._by = {v: op for op in ops for v in op.outs}
        self._place = place
        self._cheap = cheap([op for op in ops if made.carries.get(op)])
        self.kept = {*made.block.outs, *made.same.values()}
        self.ops: dict[Place, set[Op]] = {}
        for op in ops:
            self.ops.setdefault(place[op], set()).add(op)
        read = dict.fromkeys((place[op], v) for op in ops for v in op.args if v not in filled)
        late = sorted(
            (pair for pair in read if self._elsewhere(pair[1], pair[0])), key=itemgetter(0)
        )
        for at, v in late:
            if not at[1] or v not in self._cheap:
                self.kept.add(v)
        for at, v in late:
            self._pass(at, v)

    def _elsewhere(self, v: Value, at: Place) -> bool:
        """Whether another stage makes a value, and this one does not."""
        return v in self._by and self._by[v] not in self.ops[at]

    def _pass(self, at: Place, v: Value) -> None:
        """Let a stage compute a value again, or keep it."""
        repeated, needed, todo = list[Op](), set[Value](), [v]
        while todo:
            x = todo.pop()
            if x in self.kept or not self._elsewhere(x, at):
                continue
            if x in self._cheap:
                repeated.append(self._by[x])
                todo += self._by[x].args
            else:
                needed.add(x)
        if sum(x.aval.size for x in needed) > v.aval.size:
            self.kept.add(v)
        else:
            self.kept |= needed
            self.ops[at].update(repeated)


def _stages(
    made: Rowwise, place: Mapping[Op, Place], along: Along, filled: Mapping[Value, Op]
) -> Iterator[Stage]:
    members = _Members(made, place, filled)
    order = {op: k for k, op in enumerate(made.block.ops)}
    for at, found in sorted(members.ops.items()):
        ops = sorted(found, key=order.__getitem__)
        own = {v for op in ops for v in op.outs}
        used = dict.fromkeys(a for op in ops for a in op.args)
        taken = tuple(a for a in used if a not in own and type(a) is not Const and a not in filled)
        if not at[1]:
            taken = tuple(dict.fromkeys(made.same.get(a, a) for a in taken))
        mine = [op for op in ops if place[op] == at]
        writes = tuple(v for op in mine for v in op.outs if v in members.kept)
        if not writes and not any(not op.outs or decides(op) for op in mine):
            continue
        how = tuple("" if not at[1] or along(v) else _joined(mine, v) for v in writes)
        yield Stage(at[1], tuple(ops), taken, writes, how)


def _joined(ops: Sequence[Op], v: Value) -> str:
    return COMBINED_BY[next(op.prim.name for op in ops if v in op.outs)]

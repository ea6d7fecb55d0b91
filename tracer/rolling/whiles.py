"""Rounds that end by a traced condition become a `while`, whose number of rounds is open.

Rounds that were seen say nothing of rounds that were not, so more is asked of them than of a loop
whose number of rounds is fixed: nothing that Python counts may change, what is read after the loop
must be what the last round left, and there is a limit: the most rounds that any trace has shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any

from ...ir import ops as rows
from ...ir.builder import Builder
from ...ir.core import Const, Value
from ...ir.ops.control_rules import emit_while
from ...ir.types import Aval
from .evidence import Snapshot, changed
from .fold import Fold, Refused, affine
from .match import LEAST, Affine, Carried, Listed, Local, Matched, Operand, Same, is_literal, match
from .natural_loops import Loop
from .steps import INDEX, Reader, Step, integer


def ends_by_guard(rounds: Sequence[Sequence[Step]]) -> int:
    """How many rounds before the last are equal to it up to a guard that decides otherwise."""
    if len(rounds) <= LEAST:
        return 0
    tail, full = rounds[-1], rounds[-2]
    g = len(tail) - 1
    if g < 0 or len(full) <= g or not (tail[g].ops and tail[g].guards and full[g].guards):
        return 0
    tokens = [s.token for s in full]
    if full[g].token == tail[g].token or [s.token for s in tail[:g]] != tokens[:g]:
        return 0
    count = 0
    for r in reversed(rounds[:-1]):
        if [s.token for s in r] != tokens:
            break
        count += 1
    return count if count >= LEAST else 0


def rolled(
    reader: Reader,
    rounds: Sequence[Sequence[Step]],
    code: CodeType,
    loop: Loop,
    decisions: Mapping[int, Snapshot],
) -> tuple[list[Step], int]:
    """The steps of equal rounds and of the part of one that ends them, and the rounds of the loop.

    The first test stays before the loop as a guard: without a round, what is read after the loop
    was never made.  The last one stays behind it: there a loop that met its limit leaves.
    """
    full, tail = rounds[:-1], rounds[-1]
    g = len(tail) - 1
    asked = tail[g]
    if asked.place is None or asked.place != full[-1][g].place:
        raise Refused("a function that it calls asks for the condition: write it in the loop")
    if asked.place[1] not in loop.exits:
        raise Refused("the condition decides within a round")
    if any(s.guards for r in rounds for j, s in enumerate(r) if j != g):
        raise Refused("other traced conditions decide in it")
    if loop.stores:
        raise Refused(f"it assigns to {', '.join(sorted(set(loop.stores)))}")
    if loop.outlive:
        raise Refused(f"`{min(loop.outlive)}` is counted by Python and read after the loop")
    name = changed([decisions[r[g].last - 1] for r in rounds], loop.targets)
    if name:
        raise Refused(f"`{name}` is changed by Python from round to round")
    found = match(full)
    if not isinstance(found, Matched):
        raise Refused(f"{found.reason}")
    _continue(full, tail[:-1], found)
    count = found.stop - found.start
    limit = reader.limit(code, asked.place[1], count)
    before = [s for r in full[: found.start] for s in r]
    entry = list(full[found.start][: g + 1])
    made = _While(reader, full[found.start :], found, g, limit)
    return [*before, *made.ahead, *entry, made.step, *_counted(reader, tail, found, made)], count


def _counted(reader: Reader, tail: Sequence[Step], found: Matched, made: _While) -> list[Step]:
    """The unfinished round, its indices computed from the number of rounds there were."""
    out: list[Step] = []
    for j, s in enumerate(tail):
        args = list(s.args)
        for a, o in enumerate(found.operands[j]):
            if isinstance(o, Affine):
                index = affine(reader, o.dtype)
                args[a] = Value(Aval(o.dtype))
                given = (made.rounds_made, integer(o.step), integer(o.start))
                out.append(Step(index.token, given, (args[a],), index.emit, s.last))
        if args == list(s.args):
            out.append(s)
        else:
            out.append(Step(s.token, tuple(args), s.outs, s.emit, s.last))
    return out


def _continue(full: Sequence[Sequence[Step]], tail: Sequence[Step], found: Matched) -> None:
    """Demand that the last, unfinished round reads what one more round would."""
    q = len(full)
    for j, operands in enumerate(found.operands):
        for a, o in enumerate(operands):
            if isinstance(o, Listed):
                raise Refused("each round reads another value from before the loop")
            if j < len(tail) and not _as_expected(o, tail[j].args[a], full, tail, q, found.start):
                raise Refused("the last test reads something else than those before")


def _as_expected(
    o: Operand,
    v: Value,
    full: Sequence[Sequence[Step]],
    tail: Sequence[Step],
    q: int,
    start: int,
) -> bool:
    if isinstance(o, Local):
        return v is tail[o.step].outs[o.out]
    if isinstance(o, Carried):
        return v is full[q - o.distance][o.step].outs[o.out]
    if isinstance(o, Affine):
        return type(v) is Const and bool(v.data == o.start + o.step * (q - start))
    assert isinstance(o, Same)
    return v is o.value or (is_literal(v) and is_literal(o.value) and v.key == o.value.key)  # type: ignore[attr-defined]


class _While(Fold):
    """A folding whose number of rounds is open."""

    def __init__(
        self,
        reader: Reader,
        rounds: Sequence[Sequence[Step]],
        found: Matched,
        guard: int,
        limit: Value,
    ) -> None:
        self.guard, self.limit = guard, limit
        super().__init__(reader, rounds, found)

    def _as_input(self, step: Step, operands: Sequence[Operand]) -> Any:
        return None  # how many rows there would be is not known

    def _stacked(self, place: Any, ks: list[int], outs: list[Value], known: set[Value]) -> None:
        name = self.template[place[0]].outs[place[1]].hint
        what = f"`{name}`" if name else "a value"
        raise Refused(f"{what} of an earlier round is read after the loop")

    def _step(self, extra: dict[tuple[int, int], list[int]]) -> Step:
        finals = self._last()
        for (j, w), ks in extra.items():
            if any(self.rounds[k][j].outs[w] not in finals for k in ks):
                self._stacked((j, w), ks, [], set())
        starts = self._settle()
        asked = self.template[self.guard]
        at = next(k for k, (s, _) in enumerate(self.body.steps) if s is asked)
        expected = bool(asked.ops[0].attrs["expected"])
        self.rounds_made = Value(INDEX)
        args = (self.limit, *self.consts, *starts)
        facts = ("while", len(self.consts), len(starts), at, expected, self.body.facts())
        emit = _Emission(self.body, len(self.consts), at, expected)
        weight = 8 + sum(s.weight for s, _ in self.body.steps)
        made = Step(
            self.reader.token(facts), args, (self.rounds_made, *finals), emit, self.last, (), weight
        )
        made.guards = 1
        return made


class _Emission:
    """Says a while loop in ops."""

    def __init__(self, body: Any, held: int, at: int, expected: bool) -> None:
        self.body, self.held, self.at, self.expected = body, held, at, expected

    def __call__(self, b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        limit, consts, starts = args[0], args[1 : 1 + self.held], args[1 + self.held :]
        open_ = [x for x in consts if type(x) is not Const]
        test = self._block(consts, self._test)
        body = self._block(consts, self._round)
        outs = emit_while([limit, *open_], [integer(0), *starts], test, body)
        return outs[:-1]

    def _block(self, consts: Sequence[Value], run: Any) -> Any:
        """A region over the limit, the open constants, the count of rounds and the carries."""
        avals, hints = self.body.avals, self.body.hints
        limit = Value(INDEX, "limit")
        values = [Value(a, h) for a, h in zip(avals, hints, strict=True)]
        given = [v for v, x in zip(values[1:], consts, strict=False) if type(x) is not Const]
        params = (limit, *given, values[0], *values[1 + self.held :])
        env = list(values)
        env[1 : 1 + self.held] = [
            x if type(x) is Const else v for v, x in zip(values[1:], consts, strict=False)
        ]
        with Builder(params, number=False) as inner:
            return inner.done(run(inner, env, limit))

    def _test(self, b: Builder, env: list[Value], limit: Value) -> list[Value]:
        count, steps = env[0], self.body.steps
        for step, refs in steps[: self.at]:
            env.extend(step.emit(b, [env[r] for r in refs]))
        asked = env[steps[self.at][1][0]]
        going = asked if self.expected else rows.not_(asked)
        return [rows.and_(going, rows.less(count, limit))]

    def _round(self, b: Builder, env: list[Value], limit: Value) -> list[Value]:
        count = env[0]
        for k, (step, refs) in enumerate(self.body.steps):
            if k != self.at:
                env.extend(step.emit(b, [env[r] for r in refs]))
        results = [env[r] for r in self.body.results]
        return [rows.add(count, 1), *results]

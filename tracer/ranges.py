"""`for i in adjit.range(n)`: a few rounds are recorded, and become one loop.

The index is one symbolic value, the same in all rounds.  What moves from round to round is found
by the wiring of their operands; what Python keeps beside the traced values must stand still.
"""

from __future__ import annotations

import dis
import operator
import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any

from ..ir import ops
from ..ir.builder import literal
from ..ir.core import Const, Op, Value
from ..ir.ops.guards import guard
from .closing import PYTHON, cut_short
from .control import rounds, whole
from .errors import ControlFlow, TracedBranch
from .place import Place
from .promote import WEAK
from .python_rounds import Again, Site, ask_for, in_python, site_of
from .range_errors import check_plain, error, explain, refuse_operand
from .record import Recorder, fail, recorder, stack
from .rolling.match import (
    Affine,
    Carried,
    Listed,
    Local,
    Matched,
    Mismatch,
    Operand,
    Same,
    match,
)
from .snapshot import Snapshot, snapshot, unlike
from .surface import cast, is_tracer
from .tracer import Tracer
from .tree import Tree, flatten
from .wired import INDEX, Step, Unlike, Wired, step_of

FEWEST, MOST = 4, 12  # rounds that are recorded
PLAIN = 8  # rounds that are simply run


def symbolic(low: Any, high: Any, step: int) -> Iterator[Any]:
    """The indices of a loop that is recorded in a few rounds."""
    rec = recorder()
    frame = sys._getframe(1)
    if in_python(site_of(frame)):
        yield from range(operator.index(low), operator.index(high), step)
        return
    n = _count(low, high, step)
    if isinstance(n, Const) and n.data <= PLAIN:
        yield from range(int(low), int(high), step)
        return
    _check_consumer(frame)
    some = True
    if not isinstance(n, Const):
        asked = ops.greater(n, 0)
        try:
            some = not any(loop.varies(asked) for loop in rec.loops)
            if some and not bool(Tracer(rec, asked, "scalar")):
                return
        except TracedBranch:  # nothing is known of it
            some = False
    loop = OpenLoop(rec, frame, n, (low, step), some)
    rec.loops.append(loop)
    try:
        while not loop.settled():
            yield loop.next_index()
    except GeneratorExit:
        rec.cut = loop.where, around()
        raise
    finally:
        rec.loops.remove(loop)
    loop.close()


def _count(low: Any, high: Any, step: int) -> Value:
    if step == 1:
        return rounds(low, high)
    first, end = whole(low), whole(high)
    if isinstance(first, Const) and isinstance(end, Const):
        return Const(len(range(int(first.data), int(end.data), step)), "i64")
    if step < 0:
        first, end, step = end, first, -step
    n = ops.floordiv(ops.add(ops.sub(end, first), step - 1), step)
    return ops.maximum(n, 0)


class OpenLoop:
    """A loop whose rounds are being recorded; `some`: it is known that there is one at least."""

    def __init__(
        self, rec: Recorder, frame: FrameType, n: Value, how: tuple[Any, int], some: bool
    ) -> None:
        self.rec = rec
        self.some = some
        self.frame = frame
        self.site = site_of(frame)
        self.n = n
        self.low, self.step = how
        self.where: Any = Place(frame.f_code, frame.f_lasti)
        self.indices: list[Value] = []  # one for each round
        self.marks: list[int] = []  # where the rounds begin among the ops
        self.looks: list[Snapshot] = []  # the variables before each round, and at the end
        self.earlier: set[Value] = set()  # what earlier rounds made, and all indices
        self.captures = len(rec.captures)
        self.matched: Matched | Mismatch | None = None
        self.peeled = 0  # rounds at the beginning that are not like the others

    # -------------------------------------------------------------- while it is recorded

    def next_index(self) -> Tracer:
        """Begin a round."""
        rec = self.rec
        v = Value(INDEX, "i")
        self.indices.append(v)
        self.earlier.add(v)
        rec.traced.add(v)
        rec.builder.where = self.where
        if self.step != 1:
            v = ops.mul(v, literal(self.step))
        if is_tracer(self.low) or self.low != 0:
            v = ops.add(v, whole(self.low))
        return Tracer(rec, v, "python")

    def settled(self) -> bool:
        """Look at the variables between two rounds; whether enough is known."""
        if self.rec.cut is not None:
            raise cut_short(self.rec)
        made = self.rec.builder.ops
        if self.marks:
            self.earlier.update(v for op in made[self.marks[-1] :] for v in op.outs)
        self.marks.append(len(made))
        self.looks.append(snapshot(self.frame))
        q = len(self.marks) - 1
        if q < FEWEST:
            return False
        rounds_ = self._rounds()
        self.matched, self.peeled = match(rounds_), 0
        while q - self.peeled >= FEWEST:
            m = self.matched
            first = m.start if isinstance(m, Matched) else m.round
            if not first:
                break
            self.peeled += first
            self.matched = match(rounds_[self.peeled :])
        alike = isinstance(self.matched, Matched) and not self.matched.start
        enough = alike and q - self.peeled >= FEWEST and not self._restless(rounds_[self.peeled :])
        return q >= MOST or enough

    def varies(self, v: Value) -> bool:
        """Whether a value differs from round to round."""
        seen: set[Value] = set()
        todo, defs = [v], self.rec.builder.defs
        this = {x for op in self.rec.builder.ops[self.marks[-1] :] for x in op.outs}
        while todo:
            x = todo.pop()
            if x in self.earlier:
                return True
            if x in this and x not in seen:
                seen.add(x)
                todo.extend(defs[x].args)
        return False

    def refuse(self, v: Value, wanted: str) -> None:
        """An error if Python would decide by what differs from round to round."""
        if not self.varies(v):
            return
        if wanted == "bool":
            why = ask_for(around(), self.rec)
            if not why:
                raise Again
            raise fail(
                ControlFlow,
                "Python would decide by a value that differs from round to round of adjit.range, "
                "of which only a few are recorded",
                f"Choose by np.where(...) or adjit.cond(...).  {why}",
            )
        raise fail(
            ControlFlow,
            f"{wanted} of a value that differs from round to round of adjit.range, which has no "
            "value while the loop is recorded",
            f"Index arrays by it: np.array(a_list)[i], not a_list[i].  {PYTHON}",
        )

    # -------------------------------------------------------------- once it is recorded

    def _rounds(self) -> list[list[Step]]:
        """The steps of each round; guards stand apart, equal captured arrays are one."""
        same = self._same_captures()
        made, out = self.rec.builder.ops, []
        for begin, end, index in zip(self.marks, self.marks[1:], self.indices, strict=False):
            recorded = [op for op in made[begin:end] if op.prim is not guard]
            steps = [step_of(op, tuple(same.get(a, a) for a in op.args)) for op in recorded]
            out.append([Step("index", (), (index,)), *steps])
        return out

    def _same_captures(self) -> dict[Value, Value]:
        """Plain arrays that each round made anew, or looked at anew: the first of equal ones."""
        rec = self.rec
        first: dict[Any, Value] = {}
        same: dict[Value, Value] = {}
        pairs = zip(rec.captures[self.captures :], rec.capture_values[self.captures :], strict=True)
        for capture, v in pairs:
            if not is_tracer(capture.value):
                x = capture.value
                facts = (capture.live and capture.path, v.aval, x.tobytes())
                same[v] = first.setdefault(facts, v)
        return same

    def close(self) -> None:
        """Replace the recorded rounds by the loop."""
        rec, matched, k = self.rec, self.matched, self.peeled
        check_plain(self.where, self.looks[1 + k :])
        rounds_ = self._rounds()
        whole_ = isinstance(self.n, Const)
        alike = isinstance(matched, Matched) and not matched.start
        if not alike or (k > 1 and not whole_) or (k and not self.some):
            explain(self.where, rounds_, matched)
        assert isinstance(matched, Matched)
        rounds_ = rounds_[k:]
        if restless := self._restless(rounds_):
            raise error(
                self.where,
                f"what `{restless}` holds moves on from round to round, from further back than "
                f"the {len(self.marks) - 1} rounds that are looked at",
            )
        recorded = rec.builder.cut(self.marks[k])
        rec.builder.where = self.where
        if k:
            self._peel()
        grown = self._grown(rounds_)
        self._name()
        last = self._last(rounds_)
        try:
            rows_of = self.n if self._plain_index() and not k else None
            wired = Wired(rounds_[-1], matched.operands, k, self.where, rows_of)
            self._hoist(recorded)
            starts = {} if self.some else self._starts(last)
            if not self.some:
                self._unknown(last.keys() - starts.keys())
                last = {v: o for v, o in last.items() if v in starts}
            stacked = [o for g in grown for o in g.operands]
            op = wired.op(self.n, last, starts, stacked)
        except Unlike as found:
            refuse_operand(self.where, found.op, found.operand)
        self._forget(recorded, op)
        rec.builder.append(op)
        rows = list(op.outs[len(op.outs) - len(stacked) :])
        for g in grown:
            taken, rows = rows[: len(g.operands)], rows[len(g.operands) :]
            self._fill(g, taken)

    def _name(self) -> None:
        """Values that a variable holds in the end have its name."""
        for path, t in self.looks[-1].traced.items():
            if path.isidentifier():
                content(t).hint = path

    def _peel(self) -> None:
        """Let the first rounds stand, which are not like the others, with their own indices."""
        rec, k = self.rec, self.peeled
        known: dict[Value, Value] = {v: Const(j, "i64") for j, v in enumerate(self.indices[:k])}
        ops_, defs = rec.builder.ops, rec.builder.defs
        for j in range(self.marks[0], len(ops_)):
            old = ops_[j]
            if not known.keys().isdisjoint(old.args):
                new = replace(old, args=tuple(known.get(a, a) for a in old.args))
                ops_[j] = new
                defs.update((v, new) for v in new.outs)
                if old in rec.rolled:
                    rec.rolled.add(new)
        for v, x in known.items():  # whoever kept an index
            rec.builder.append(Op(ops.add, (x, Const(0, "i64")), {}, (v,), {}, self.where))
            rec.traced.discard(v)
        self.earlier -= {v for op in ops_ for v in op.outs}
        self.indices, self.looks = self.indices[k:], self.looks[k:]
        if isinstance(self.n, Const):
            self.n = Const(int(self.n.data) - k, "i64")
        else:  # there is one round at least, and it was the first
            self.n = ops.sub(self.n, k)
            self.some = False

    def _last(self, rounds_: list[list[Step]]) -> dict[Value, Operand]:
        """What may be read after the loop, by the names of the last round."""
        out: dict[Value, Operand] = {}
        for j, s in enumerate(rounds_[-1]):
            out.update({v: Local(j, w) for w, v in enumerate(s.outs)})
        doubtful = set()
        for _, held, o in self._variables(rounds_):
            v = content(held[-1])
            if isinstance(o, Carried) and out.setdefault(v, o) != o:
                doubtful.add(v)  # two variables, which part where there are few rounds
        return {v: o for v, o in out.items() if v not in doubtful}

    def _variables(
        self, rounds_: list[list[Step]]
    ) -> Iterator[tuple[str, list[Any], Operand | None]]:
        """What each variable held at the ends of the rounds, and what that is."""
        places = self._places(rounds_)
        looks = self.looks[len(self.looks) - len(rounds_) :]
        for path, t in looks[-1].traced.items():
            if t._rec is self.rec and all(path in x.traced or path in x.plain for x in looks):
                held = [x.traced.get(path, x.plain.get(path)) for x in looks]
                yield path, held, self._classified(places, held)

    def _restless(self, rounds_: list[list[Step]]) -> str:
        """A variable of which more rounds must be seen ("": none): what it holds moves among
        values from before the loop, or comes from elsewhere in the last round.
        """
        places = self._places(rounds_)
        for path, held, o in self._variables(rounds_):
            v = content(held[-1])
            made = places.get(v)
            lost = v in self.rec.dead  # of a loop in the round: nobody may read it anyway
            if o is None and not lost and (made is None or made[0] == len(rounds_) - 1):
                return path
        looks = self.looks[len(self.looks) - len(rounds_) :]
        turned = (p for p in looks[-1].plain if any(p in x.traced for x in looks))
        return next(turned, "")

    def _places(self, rounds_: list[list[Step]]) -> dict[Value, tuple[int, int, int]]:
        """Where each value of the rounds was made: round, step and result."""
        return {
            v: (k, j, w)
            for k, r in enumerate(rounds_)
            for j, s in enumerate(r)
            for w, v in enumerate(s.outs)
        }

    def _classified(self, places: dict[Value, Any], held: list[Any]) -> Operand | None:
        """What a variable is that held these at the ends of the rounds."""
        last = held[-1]
        if type(last) is not Tracer or last._rec is not self.rec:
            return None
        aval, values = content(last).aval, []
        for x in held:
            if type(x) is Tracer and x._rec is self.rec:
                values.append(content(x))
            elif isinstance(x, (int, float, complex)) and not aval.shape:
                values.append(cast(literal(x), aval.dtype))
            else:
                return None
        if any(v.aval != aval for v in values):
            return None
        if all(v is values[-1] for v in values):
            return Same(values[-1])
        made = places.get(values[-1])
        distance = len(values) - 1 - made[0] if made is not None else 0
        if made is None or len(values) - distance < 2:
            return None
        for k, v in enumerate(values):
            expected = (k - distance, *made[1:]) if k >= distance else None
            if places.get(v) != expected:
                return None
        if not distance:
            return Local(made[1], made[2])
        return Carried(made[1], made[2], distance, tuple(values[:distance]))

    def _starts(self, last: dict[Value, Operand]) -> dict[Value, Value]:
        """What the variables held before the loop, by what they hold after it.

        If there are no rounds they keep it; a value without such a past cannot be read then.
        """
        found: dict[Value, set[Value | None]] = {}
        before = self.looks[0]
        for path, t in self.looks[-1].traced.items():
            v = content(t)
            if v not in last:
                continue
            start: Value | None = None
            if path in before.traced:
                start = content(before.traced[path])
            elif path in before.plain and isinstance(before.plain[path], (int, float, complex)):
                start = literal(before.plain[path])
                if t._kind == "python" or start.dtype in WEAK:
                    start = cast(start, v.dtype)
            same = start is not None and start.aval == v.aval and v is not self.indices[-1]
            found.setdefault(v, set()).add(start if same else None)
        return {v: s for v, (s, *more) in found.items() if s is not None and not more}

    def _unknown(self, values: Iterable[Value]) -> None:
        """These have no value, or one of another type, if there are no (more) rounds."""
        self.rec.unknown.update(dict.fromkeys(values, self.where))

    def _plain_index(self) -> bool:
        """Whether the index that the user sees counts from zero."""
        return self.step == 1 and not is_tracer(self.low) and self.low == 0

    def _hoist(self, recorded: list[Op]) -> None:
        """Emit the guards of the rounds before the loop: they ask for what does not change."""
        defs = {v: op for op in recorded for v in op.outs}
        b = self.rec.builder
        env: dict[Value, Value] = {}

        def outside(v: Value) -> Value:
            op = defs.get(v)
            if op is None:
                return v
            if v not in env:
                args = [outside(a) for a in op.args]
                env.update(zip(op.outs, b.add(op.prim, args, op.attrs, op.blocks), strict=True))
            return env[v]

        asked = set()
        for op in recorded:
            if op.prim is guard:
                b.where = op.where
                v = outside(op.args[0])
                if (v, op.attrs["expected"]) not in asked:
                    asked.add((v, op.attrs["expected"]))
                    b.add(guard, (v,), op.attrs)
        b.where = self.where

    def _forget(self, recorded: list[Op], op: Op) -> None:
        """What the rounds made is the loop's now, or nobody's."""
        rec = self.rec
        for old in recorded:
            for v in old.outs:
                rec._samples.pop(v, None)
                rec.dead[v] = self.where
                rec.traced.add(v)
        for v in self.indices:
            rec.dead[v] = self.where
        for v in op.outs:
            rec.dead.pop(v, None)
            rec.traced.discard(v)
        start = self.marks[self.peeled]
        rec.look_again(start)
        rec.rolled.add(op)
        rec.puts = {k: put for k, put in rec.puts.items() if k < start}
        if rec.walk is not None:  # the entries of the rounds recorded nothing any more
            made = len(rec.builder.recipes) + 1
            rounds = [s if s <= start else made for s in rec.walk.starts]
            rec.walk.starts[:] = array("i", rounds)

    # -------------------------------------------------------------- lists that grow

    def _grown(self, rounds_: list[list[Step]]) -> list[_Grown]:
        """The lists that each round appended to, and what it appended."""
        out = []
        for key, (path, x, held) in self.looks[-1].lists.items():
            sizes = [len(look.lists[key][2]) for look in self.looks if key in look.lists]
            if len(set(sizes)) == 1:
                continue
            each = sizes[-1] - sizes[-2]
            even = len(sizes) == len(self.looks) and all(b - a == each for a, b in pairwise(sizes))
            if not even or each < 0:
                raise error(self.where, f"the list `{path}` does not grow alike in each round")
            if not isinstance(self.n, Const):
                raise error(
                    self.where,
                    f"the list `{path}` grows in a loop whose number of rounds is traced, so its "
                    "length is not known",
                    "Write into an array made before the loop: z[i] = ...",
                )
            parts = [flatten(list(held[a:b])) for a, b in pairwise(sizes)]
            if any(tree != parts[-1][1] for _, tree in parts):
                raise error(self.where, f"what is appended to `{path}` differs from round to round")
            columns = zip(*(leaves for leaves, _ in parts), strict=True)
            found = [self._appended(path, rounds_, list(c)) for c in columns]
            out.append(_Grown(x, sizes[0], parts[-1][1], parts[-1][0], found))
        return out

    def _appended(self, path: str, rounds_: list[list[Step]], held: list[Any]) -> Operand | None:
        """What is appended; None for a number that is always the same."""
        if not any(map(is_tracer, held)) and not any(unlike(x, held[0]) for x in held):
            return None
        o = self._classified(self._places(rounds_), held)
        if o is None or isinstance(o, Affine | Listed):
            raise error(
                self.where,
                f"what is appended to `{path}` is no traced value, or differs from round to round",
            )
        return o

    def _fill(self, g: _Grown, stacked: list[Value]) -> None:
        """Let a list hold what all the rounds would have appended."""
        rec, n = self.rec, int(self.n.data)  # type: ignore[attr-defined]
        del g.held[g.size :]
        for k in range(n):
            rows = iter(stacked)
            leaves = [
                leaf if o is None else Tracer(rec, _row(next(rows), k), leaf._kind)
                for o, leaf in zip(g.found, g.leaves, strict=True)
            ]
            g.held.extend(g.tree.unflatten(leaves))


class _Grown:
    """A list that grows: its size before, and what each round appends to it."""

    def __init__(
        self, held: list[Any], size: int, tree: Tree, leaves: list[Any], found: list[Any]
    ) -> None:
        self.held = held
        self.size = size
        self.tree = tree
        self.leaves = leaves  # of the last round
        self.found: list[Operand | None] = found  # None: the leaf itself

    @property
    def operands(self) -> list[Operand]:
        """What the loop has to stack."""
        return [o for o in self.found if o is not None]


def content(t: Tracer) -> Value:
    """What a variable holds now: of an array that was written, what was written last."""
    store = t._store
    return t._value if store is None or t._views else store.value


def around() -> list[tuple[Site, Value]]:
    """The loops whose rounds are being recorded, and how many those are."""
    return [(loop.site, loop.n) for r in stack() for loop in r.loops]


def _row(x: Value, k: int) -> Value:
    return ops.shape.reshaped(ops.shape.narrow(x, 0, k, 1), x.shape[1:])


# ------------------------------------------------------------------ who asks for the indices


def _check_consumer(frame: FrameType) -> None:
    """Only a `for` statement runs its rounds the way they are recorded."""
    code, at = frame.f_code, frame.f_lasti
    inside = code.co_name in ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")
    if inside or not _at_for(code, at):
        raise fail(
            ControlFlow,
            "adjit.range is asked for its indices by something else than a `for` statement",
            "Comprehensions, list(...) and next(...) would see the few rounds that are recorded: "
            "write `for i in adjit.range(n): ys.append(...)`, or range(n).",
        )


def _at_for(code: CodeType, at: int) -> bool:
    """Whether a `for` statement is at this instruction, and no comprehension put in its place."""
    instructions = list(dis.get_instructions(code))
    # CPython 3.12 runs a generator within a loop that it knows from behind the instruction.
    at = max(i.offset for i in instructions if i.offset <= at)
    loops = {i.offset: i.argval for i in instructions if i.opname == "FOR_ITER"}
    if at not in loops:
        return False
    for i in instructions:
        # A comprehension adds to what lies below its iterator; a display [*xs, y] to the top.
        if i.opname in ("LIST_APPEND", "SET_ADD", "MAP_ADD") and (i.arg or 0) > 1:
            around = [k for k, end in loops.items() if k < i.offset < end]
            if around and max(around) == at:
                return False
    return True

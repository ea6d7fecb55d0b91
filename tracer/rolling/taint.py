"""What Python may hold otherwise where a condition is met otherwise, as the code says it.

A literal that a round reads may follow from the way that it took, and look as if it did not: a name
that each round sets anew before it asks is always the same when it asks.  So the code is searched
for what conditions decide: the names that their ways bind, what is computed from these, and so on.
Values that ops were recorded for are traced, and followed by their wiring instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import CodeType
from typing import Any

from .expressions import WAY, Expressions, Span, expressions_of
from .forks import Branch, Side, asked_at, recorded
from .names import Held
from .natural_loops import Loop, stored_names
from .steps import Step

_COLLECTS = ("LIST_APPEND", "SET_ADD", "MAP_ADD", "YIELD_VALUE", "LIST_EXTEND", "SET_UPDATE")
_INTO = ("STORE_SUBSCR", "STORE_SLICE", "STORE_ATTR", "DELETE_SUBSCR", "DELETE_ATTR")
_CALLS = ("CALL", "CALL_FUNCTION", "CALL_FUNCTION_EX", "CALL_KW")


class _Scope:
    """One code object: its instructions that matter, and the names that conditions decide."""

    def __init__(self, code: CodeType, members: frozenset[int] | None) -> None:
        self.code = code
        self.expressions: Expressions = expressions_of(code)
        flow = self.expressions.flow
        every = range(len(flow.instructions))
        self.numbers: Sequence[int] = every if members is None else flow.numbers(members)
        self.traced: set[int] = set()
        self.asked: set[int] = set()
        self.decided: set[int] = set()  # what runs or not
        self.names: set[str] = set()
        self.shared = {*code.co_freevars, *code.co_cellvars}
        self.params = {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]}

    def loads(self, span: Span) -> set[str]:
        return self.expressions.loads(span, self.traced, self.asked)[0]


class Taint:
    """The names of all code that rounds ran which conditions decide.

    escapes  what cannot be followed any further ("": nothing)
    changed  the attributes and keys that are set because of conditions, as paths end with them;
             WAY for any key
    """

    def __init__(
        self, branches: Iterable[Branch], root: Side, loop: tuple[CodeType, Loop],
        held: Iterable[Held],
    ) -> None:  # fmt: skip
        code, inside = loop
        self.loop = code
        self.escapes = ""
        self.changed: set[str] = set()
        self._inside: set[str] = set()  # names of containers and objects
        self._plain: set[str] = set()  # names that held numbers or traced values
        for path in {p for h in held for p in h}:
            base = path[4:-1] if path.startswith("len(") else path
            name = base.split("[")[0].split(".")[0]
            (self._plain if name == path else self._inside).add(name)
        self._plain -= self._inside
        self.scopes: dict[CodeType, _Scope] = {code: _Scope(code, inside.members)}
        for recording, lasti, op in recorded(root):
            if op.outs:
                scope = self._scope(recording)
                scope.traced.add(scope.expressions.flow.canonical(lasti))
        for b in branches:
            self._ask(b)
        self._given = False  # whether functions are called with such things,
        self._returned = False  # return them,
        self._changed = False  # or change what they are given
        self._spread()

    def _scope(self, code: CodeType) -> _Scope:
        found = self.scopes.get(code)
        if found is None:
            found = self.scopes[code] = _Scope(code, None)
        return found

    def _ask(self, b: Branch) -> None:
        call, place = asked_at(b)
        scope = self._scope(call.code)
        flow = scope.expressions.flow
        scope.asked |= {place, flow.jump(place)}
        scope.decided.update(flow.numbers(flow.region(place)))

    # -------------------------------------------------------------- what follows from what

    def _spread(self) -> None:
        """Follow the names until there are no more."""
        before: Any = None
        while before != (now := self._state()):
            before = now
            for scope in list(self.scopes.values()):
                for k in scope.numbers:
                    self._look(scope, k)
            shared = set().union(*(s.names & s.shared for s in self.scopes.values()))
            for scope in self.scopes.values():
                scope.names |= shared & scope.shared
                if self._given and scope.code is not self.loop:
                    scope.names |= scope.params | {".0"}

    def _state(self) -> Any:
        return (
            [len(s.names) for s in self.scopes.values()],
            self._given, self._returned, self._changed,
        )  # fmt: skip

    def _tainted(self, scope: _Scope, span: Span) -> bool:
        names = scope.loads(span)
        if not names.isdisjoint(scope.names) or WAY in names:
            return True
        return self._returned and any(self._unseen(scope, k) for k in range(*span))

    def _unseen(self, scope: _Scope, k: int) -> bool:
        """Whether an instruction is a call that recorded nothing by itself."""
        i = scope.expressions.instructions[k]
        if not i.opname.startswith(_CALLS):
            return False
        return scope.expressions.flow.canonical(i.offset) not in scope.traced

    def _look(self, scope: _Scope, k: int) -> None:
        e = scope.expressions
        i = e.instructions[k]
        name, decided = i.opname, k in scope.decided
        if name.startswith(_INTO):
            operands = e.operands(k)
            if decided or any(self._tainted(scope, s) for s in operands):
                self._changes(scope, k, operands)
        elif name.startswith(("STORE_", "DELETE_")):
            self._stores(scope, k, decided)
        elif name.startswith(_COLLECTS):
            if decided or self._tainted(scope, e.operands(k)[-1]):
                self.escapes = self.escapes or "what is collected"
        elif name == "RETURN_VALUE" and scope.code is not self.loop:
            span = (e.result(k), k)
            plain = decided and not self._recorded(scope, span)
            self._returned = self._returned or plain or self._tainted(scope, span)
        elif name == "RETURN_CONST":
            self._returned = self._returned or (scope.code is not self.loop and decided)
        elif self._unseen(scope, k):
            span = (e.result(k), k)
            given = self._tainted(scope, span)
            self._given = self._given or given
            if decided or given or self._changed:
                names = scope.loads(span)
                scope.names |= {n for n in names if self._may_change(scope, n)}

    def _stores(self, scope: _Scope, k: int, decided: bool) -> None:
        e = scope.expressions
        i = e.instructions[k]
        names = set(stored_names(i))
        if names <= scope.names:
            return
        source = e.iterable(k)
        if source is not None:
            own = source[1] not in scope.numbers
            found = scope.loads(source) & scope.names
            if own:  # it was made before the loop: only what it runs over may have changed
                found = {n for n in found if f"{id(scope.code)} {n}" in self._inside}
            if found or decided or (not own and self._tainted(scope, source)):
                scope.names |= names
            return
        (span,) = e.operands(k)
        if self._tainted(scope, span) or (decided and not self._recorded(scope, span)):
            scope.names |= names
            if not i.opname.startswith(("STORE_FAST", "STORE_DEREF", "STORE_NAME", "DELETE_FAST")):
                self.escapes = self.escapes or f"`{min(names)}`"

    def _recorded(self, scope: _Scope, span: Span) -> bool:
        """Whether an op was recorded for a value, whatever it is computed from."""
        k = span[1] - 1
        i = scope.expressions.instructions[k]
        return scope.expressions.flow.canonical(i.offset) in scope.traced

    def _changes(self, scope: _Scope, k: int, operands: list[Span]) -> None:
        """Something is put into a container or an object, or taken out of it."""
        i = scope.expressions.instructions[k]
        attribute = i.opname in ("STORE_ATTR", "DELETE_ATTR")
        at = -1 if attribute else -2
        target = operands[at] if len(operands) > 1 else operands[0]
        self.changed.add(f".{i.argval}" if attribute else _key(scope.expressions, operands))
        for n in scope.loads(target):
            if f"{id(scope.code)} {n}" not in self._plain:
                scope.names.add(n)
        if scope.code is not self.loop:
            self._changed = True

    def _may_change(self, scope: _Scope, n: str) -> bool:
        """Whether a call that is given what a name holds may change it."""
        path = f"{id(scope.code)} {n}"
        if path in self._inside:
            return True
        local = n in scope.code.co_varnames or n in scope.shared
        return local and path not in self._plain

    # -------------------------------------------------------------- questions

    def name(self, path: str) -> bool:
        """Whether conditions decide what a path, as `names.held` says it, leads to."""
        base = path[4:-1] if path.startswith("len(") else path
        number, _, rest = base.partition(" ")
        name = rest.split("[")[0].split(".")[0]
        return any(name in s.names for c, s in self.scopes.items() if str(id(c)) == number)

    def any(self) -> bool:
        """Whether they decide anything."""
        return self._returned or any(s.names for s in self.scopes.values())

    def operand(self, s: Step, a: int, value: Any) -> bool | None:
        """Whether they may decide operand a of a recorded step, a literal; None: not known.

        value  what it is in all rounds, if it is the same
        """
        where = s.ops[0].where if s.ops else None
        code = getattr(where, "code", None)
        scope = self.scopes.get(code) if code is not None else None
        if scope is None:
            return None
        k = scope.expressions.number(where.lasti)  # type: ignore[union-attr]
        if k < 0:
            return None
        for span in _of_operand(scope.expressions, k, s, a):
            if self._tainted(scope, span):
                names, literals = scope.expressions.loads(span, scope.traced, scope.asked)
                if value is None or value not in literals or WAY in names:
                    return True
        return False


def _key(e: Expressions, operands: list[Span]) -> str:
    """The key that something is stored at, as paths say it; WAY where it is no literal."""
    begin, stop = operands[-1]
    i = e.instructions[begin]
    alone = len(operands) > 1 and stop == begin + 1 and i.opname == "LOAD_CONST"
    return f"[{i.argval!r}]" if alone else WAY


def _of_operand(e: Expressions, k: int, s: Step, a: int) -> list[Span]:
    """What computes operand a of a step that instruction k recorded, or all that it takes."""
    name, spans = e.instructions[k].opname, e.operands(k)
    if name in ("BINARY_SUBSCR", "BINARY_SLICE") and len(spans) > 1:
        return spans[:1] if a == 0 else spans[1:]
    if name in ("STORE_SUBSCR", "STORE_SLICE") and len(spans) > 2 and len(s.ops) > 1:
        return [spans[1]] if a == 0 else [spans[0]] if a == 1 else spans[2:]
    if len(spans) == 2 and len(s.args) == 2:
        return [spans[a]]
    return spans

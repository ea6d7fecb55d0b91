"""Nests of a long kernel become functions of their own, and equal ones one function.

LLVM's time grows faster than a function's length, and a deep network repeats the same few nests.
So where a kernel is long, each of its outermost loops is cut out together with the scalars that
only it needs; what it reads from outside are its parameters.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence

from ..ir.records import dataclass
from .lines import BOUND, WORD

LONG = 150  # lines of a kernel, or of a loop, that is still compiled in one piece
LEAST = 100  # lines of a loop within a long one that are worth a call at each of its rounds
_EFFECT = re.compile(r"\bblas\.|\.tape_")


@dataclass(frozen=True)
class Nest:
    """Statements that become a function: scalars that are set up, and a loop.

    reads   names whose values come from outside
    leaves  those of them whose new values are needed afterwards
    shape   the text with its names numbered: equal for equal nests
    """

    statements: tuple[ast.stmt, ...]
    reads: tuple[str, ...]
    leaves: tuple[str, ...]
    shape: str
    round: bool = False  # whether it is what a round of a loop does


@dataclass(frozen=True)
class Cutter:
    """A kernel's lines, how often each name is read, and whether there are effects."""

    lines: Sequence[str]
    loads: Counter[str]
    effects: bool = True

    @property
    def long(self) -> bool:
        """Whether all of it is cut into pieces, not what has to be alone."""
        return len(self.lines) > LONG

    def whole(self, statements: Sequence[ast.stmt], known: Container[str]) -> Nest | None:
        """What a round does as one nest, if it can be one."""
        if not statements or any(isinstance(x, ast.Break) for s in statements for x in ast.walk(s)):
            return None
        return self._nest(statements, known, again=True)

    def pieces(
        self, statements: Iterable[ast.stmt], known: Container[str], least: int = 0
    ) -> Iterator[ast.stmt | Nest]:
        """The statements in their order, those of nests together, if these have so many lines.

        `known` has the names that are defined, at the time when a piece is asked for.
        """
        plain: list[ast.stmt] = []  # scalars, which the next loop may take along
        for s in statements:
            if self._is_plain(s):
                plain.append(s)
                continue
            own = self._own(plain, s) if isinstance(s, ast.For) else []
            yield from (p for p in plain if p not in own)
            plain.clear()
            cut = isinstance(s, ast.For) and length(s) >= least
            nest = self._nest([*own, s], known) if cut else None
            if nest is None:
                yield from own
                yield s
            else:
                yield nest
        yield from plain

    def _is_plain(self, s: ast.stmt) -> bool:
        """Whether it computes a scalar and does nothing else."""
        name = isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)
        return name and not (self.effects and _EFFECT.search(self._text([s])))

    def _text(self, statements: Iterable[ast.stmt]) -> str:
        lines = [
            line.split("#")[0].rstrip()
            for s in statements
            for line in self.lines[s.lineno - 1 : s.end_lineno]
        ]
        return "\n".join(lines)

    def _own(self, plain: Sequence[ast.stmt], s: ast.stmt) -> list[ast.stmt]:
        """Those of the scalars before a statement that only it reads."""
        if not plain:
            return []
        inside, _ = _names(self._text([s]))
        own: list[ast.stmt] = []
        for p in reversed(plain):
            reads, (name,) = _names(self._text([p]))
            if self.loads[name] == inside[name]:
                own.insert(0, p)
                inside += reads
        return own

    def _nest(
        self, statements: Sequence[ast.stmt], known: Container[str], again: bool = False
    ) -> Nest | None:
        """The nest of these; None where they return, or leave what was not there before.

        Of statements that run `again`, the next time reads what they leave.
        """
        text = self._text(statements)
        inside, stored = _names(text)
        leaves = tuple(n for n in stored if self.loads[n] > inside[n] or (again and n in known))
        if re.search(r"^\s*return\b", text, re.M) or any(n not in known for n in leaves):
            return None
        own = frozenset(stored)
        number: dict[str, str] = {}

        def numbered(found: re.Match[str]) -> str:
            name = found.group()
            if name in number:
                return number[name]
            if name not in own and name not in known:
                return name
            return number.setdefault(name, f"_{len(number)}")

        shape = WORD.sub(numbered, text)
        reads = tuple(n for n in number if n in known)
        ends = [[number[n] for n in names] for names in (reads, leaves)]
        return Nest(tuple(statements), reads, leaves, f"{ends}\n{shape}", again)


def cutter(text: str) -> Cutter:
    """What cuts a kernel into pieces."""
    lines = text.splitlines()
    body = "\n".join(line.split("#")[0] for line in lines[1:])
    return Cutter(lines, _names(body)[0], _EFFECT.search(body) is not None)


def heads(statements: Sequence[ast.stmt]) -> int:
    """How many statements come before what a round does: they name the pointers of the round."""
    named = [
        k for k, s in enumerate(statements) if isinstance(s, ast.Assign) and _names_one(s.value)
    ]
    return named[-1] + 1 if named else 0


def _names_one(e: ast.expr) -> bool:
    return isinstance(e, ast.Call) and isinstance(e.func, ast.Attribute) and e.func.attr == "alone"


def length(s: ast.stmt) -> int:
    """The lines of a statement."""
    return (s.end_lineno or s.lineno) - s.lineno + 1


def over_blocks(s: ast.For) -> bool:
    """Whether a loop goes over blocks of rows, in which long loops follow each other."""
    return isinstance(s.iter, ast.Call) and len(s.iter.args) == 3


def targets(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that are assigned, as often as they are."""
    for s in body:
        if isinstance(s, ast.Assign | ast.AugAssign):
            target = s.targets[0] if isinstance(s, ast.Assign) else s.target
            if isinstance(target, ast.Name):
                yield target.id
        elif isinstance(s, ast.For | ast.While | ast.If):
            yield from targets(s.body)
            yield from targets(s.orelse)


def _names(text: str) -> tuple[Counter[str], tuple[str, ...]]:
    """How often words are read in a text, and the names it gives a value, each once."""
    stores = BOUND.findall(text)
    words = Counter(WORD.findall(text))
    words.subtract(stores)
    return words, tuple(dict.fromkeys(stores))

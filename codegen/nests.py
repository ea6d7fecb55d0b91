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
from dataclasses import dataclass

LONG = 150  # lines of a kernel that is still compiled in one piece
_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


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


@dataclass(frozen=True)
class Cutter:
    """A long kernel's lines, and how often each name is read in it."""

    lines: Sequence[str]
    loads: Counter[str]

    def pieces(
        self, statements: Iterable[ast.stmt], known: Container[str]
    ) -> Iterator[ast.stmt | Nest]:
        """The statements in their order, those of nests together.

        `known` has the names that are defined, at the time when a piece is asked for.
        """
        plain: list[ast.stmt] = []  # scalars, which the next loop may take along
        for s in statements:
            if _is_plain(s):
                plain.append(s)
                continue
            own = self._own(plain, s)
            yield from (p for p in plain if p not in own)
            plain.clear()
            nest = self._nest([*own, s], known) if isinstance(s, ast.For) else None
            if nest is None:
                yield from own
                yield s
            else:
                yield nest
        yield from plain

    def _own(self, plain: Sequence[ast.stmt], s: ast.stmt) -> list[ast.stmt]:
        """Those of the scalars before a statement that only it reads."""
        inside = _loads([s])
        own: list[ast.stmt] = []
        for p in reversed(plain):
            (name,) = _stores([p])
            if self.loads[name] == inside[name]:
                own.insert(0, p)
                inside += _loads([p])
        return own

    def _nest(self, statements: Sequence[ast.stmt], known: Container[str]) -> Nest | None:
        """The nest of these; None where they return, or leave what was not there before."""
        inside, stored = _loads(statements), _stores(statements)
        leaves = tuple(n for n in stored if self.loads[n] > inside[n])
        returns = any(isinstance(n, ast.Return) for n in ast.walk(statements[-1]))
        if returns or any(n not in known for n in leaves):
            return None
        names = {*inside, *stored}
        number: dict[str, str] = {}

        def numbered(found: re.Match[str]) -> str:
            name = found.group()
            return number.setdefault(name, f"_{len(number)}") if name in names else name

        text = "\n".join(
            _WORD.sub(numbered, line.split("#")[0].rstrip())
            for s in statements
            for line in self.lines[s.lineno - 1 : s.end_lineno]
        )
        reads = tuple(n for n in number if n in known)
        ends = [[number[n] for n in names] for names in (reads, leaves)]
        return Nest(tuple(statements), reads, leaves, f"{ends}\n{text}")


def cutter(tree: ast.FunctionDef, text: str) -> Cutter | None:
    """What cuts a kernel into pieces, if it is long."""
    lines = text.splitlines()
    return Cutter(lines, _loads(tree.body)) if len(lines) > LONG else None


def over_blocks(s: ast.For) -> bool:
    """Whether a loop goes over blocks of rows, in which long loops follow each other."""
    return isinstance(s.iter, ast.Call) and len(s.iter.args) == 3


def _is_plain(s: ast.stmt) -> bool:
    """Whether it computes a scalar and does nothing else."""
    if not (isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)):
        return False
    called = [n.func for n in ast.walk(s.value) if isinstance(n, ast.Call)]
    return not any(
        f.attr.startswith("tape_") or (isinstance(f.value, ast.Name) and f.value.id == "blas")
        for f in called
        if isinstance(f, ast.Attribute)
    )


def _loads(statements: Iterable[ast.stmt]) -> Counter[str]:
    """How often names are read."""
    return Counter(
        n.id
        for s in statements
        for n in ast.walk(s)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    )


def _stores(statements: Iterable[ast.stmt]) -> tuple[str, ...]:
    """The names that are given a value, each once."""
    names = (
        n.id
        for s in statements
        for n in ast.walk(s)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    )
    return tuple(dict.fromkeys(names))

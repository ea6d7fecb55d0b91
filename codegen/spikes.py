"""Loops in which all but a few elements are the same: one value for all of them, and those few.

A Hessian is a Jacobian along every unit vector at once, so in the text of its rows the column is
only compared: `j == i`, `j == i + 1`.  Where no comparison holds, all columns have one value, which
is stored without computing it again; the columns where one holds are computed apart.  Both take the
very operations that the loop would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..ir.records import dataclass
from .lines import ASSIGNED, MOVED, WORD, moved_by, renamed

FEW = 6  # columns of their own
_STORE = re.compile(r"(\w+)\[(?:(\w+) \+ )?(\w+)\] = (\w+)")
_EQUAL = re.compile(r"(\w+) == (\w+)")


@dataclass(frozen=True)
class Body:
    """The lines of a loop: comparisons by name, what is computed, and what is stored where.

    Each comparison has the text of the column where it holds.
    """

    tests: dict[str, str]
    values: tuple[tuple[str, str], ...]
    stores: tuple[tuple[str, str, str], ...]  # array, start, value


def spikes(
    var: str, reach: tuple[str, str], lines: Sequence[str], fresh: Callable[[str], str]
) -> list[str] | None:
    """The lines of `for var in range(*reach)` with these in its body; None for any other loop."""
    body = _read(var, lines)
    if body is None:
        return None
    columns = list(dict.fromkeys(body.tests.values()))
    if not 0 < len(columns) <= FEW:
        return None
    names: dict[str, str] = {}
    out = [f"{names.setdefault(test, fresh('no'))} = False" for test in body.tests]
    out += _computed(body, names, fresh)
    low, high = reach
    out.append(f"for {var} in range({high if low == '0' else f'{low}, {high}'}):")
    out += [f"    {a}[{s}{var}] = {names.get(v, v)}" for a, s, v in body.stores]
    turn, here, column = fresh("s"), fresh("k"), columns[-1]
    for k, other in reversed(list(enumerate(columns[:-1]))):
        column = f"ll.select({turn} == {k}, {other}, {column})"
    # LLVM unrolls these rounds, and knows in each of them which comparison holds.
    out += [f"for {turn} in range({len(columns)}):", f"    {here} = {column}"]
    out.append(f"    if ({here} >= {low}) & ({here} < {high}):")
    names = {}
    inner = [f"{names.setdefault(t, fresh('at'))} = {here} == {at}" for t, at in body.tests.items()]
    inner += _computed(body, names, fresh)
    inner += [f"{a}[{s}{here}] = {names.get(v, v)}" for a, s, v in body.stores]
    return out + ["        " + text for text in inner]


def _read(var: str, lines: Sequence[str]) -> Body | None:
    """What a loop's lines do, if nothing but comparisons and places of stores depends on `var`.

    No round reads what another one stores or names.
    """
    offsets, tests = {var: 0}, dict[str, str]()
    values: list[tuple[str, str]] = []
    stores: list[tuple[str, str, str]] = []
    own, read = {var}, set[str]()
    for line in lines:
        text = line.split("  #")[0]
        if found := _STORE.fullmatch(text):
            array, start, at, value = found.groups()
            if at != var or value in offsets or start in own:
                return None
            stores.append((array, f"{start} + " if start else "", value))
            continue
        assigned = ASSIGNED.fullmatch(text)
        if assigned is None or assigned[1] in own | read:
            return None
        name, text = assigned.groups()
        own.add(name)
        same, equal = MOVED.fullmatch(text), _EQUAL.fullmatch(text)
        if same and same[1] in offsets:
            offsets[name] = offsets[same[1]] + moved_by(same)
        elif equal and (column := _column(equal[1], equal[2], offsets, own)):
            tests[name] = column
        elif offsets.keys().isdisjoint(words := WORD.findall(text)) and name not in words:
            values.append((name, text))
            read.update(words)
        else:
            return None
    apart = bool(stores) and read.isdisjoint(array for array, _, _ in stores)
    return Body(tests, tuple(values), tuple(stores)) if apart else None


def _column(a: str, b: str, offsets: dict[str, int], own: set[str]) -> str:
    """Where a comparison holds; "" where that depends on the loop."""
    if b in offsets:
        a, b = b, a
    if a not in offsets or b in own:
        return ""
    by = offsets[a]
    return f"{b} - {by}" if by > 0 else f"{b} + {-by}" if by else b


def _computed(body: Body, names: dict[str, str], fresh: Callable[[str], str]) -> list[str]:
    """The values of a body under fresh names."""
    out = []
    for name, text in body.values:
        new = renamed(text, names)
        names[name] = fresh("t")
        out.append(f"{names[name]} = {new}")
    return out

"""Loops of which one part does something else: the rounds below a number and those from it on.

A mask `j < n` makes every round compute both sides of its choices.  Where nothing else but choices
asks for it, the loop is cut at `n`: each part takes one side, and what the other one alone needs is
gone.  Both do the very operations that the loop would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import pairwise

from .lines import ASSIGNED, MOVED, WORD, moved_by, renamed

FEW = 3  # numbers at which a loop is cut
_FAR = 1 << 32  # from an index: what is farther could be beyond all numbers
_SPARED = 0.7  # of the lines at most are left in the shortest part, or the loop stays
_STORE = re.compile(r"(\w+\[.*\]) = (.*)")
_BELOW = re.compile(r"(\w+) (<|<=|>|>=) (\w+)")
_CHOICE = re.compile(r"ll\.select\((\w+), ([^,()]+), ([^,()]+)\)")
_NOTHING = re.compile(r"ll\.radd\((\w+), 0\.0\)")
_PLAIN = re.compile(r"[\w.]+")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

# For each comparison the number, less that of the base, below which it is as the second one says.
Tests = Mapping[str, tuple[int, bool]]
# Names that are an index of a loop around and a number.
Places = Mapping[str, tuple[str, int]]


def halves(
    var: str,
    reach: tuple[str, str],
    lines: Sequence[str],
    fresh: Callable[[str], str],
    places: Callable[[], Places] = dict,
) -> list[str] | None:
    """The lines of `for var in range(*reach)` with these in its body; None for any other loop.

    `places` says which names are an index of a loop around and a number: which, and the number.
    """
    read = _read(var, lines, places)
    if read is None:
        return None
    base, tests = read
    cuts = sorted({at for at, _ in tests.values()})
    if not 0 < len(cuts) <= FEW:
        return None
    parts = []
    for k in range(len(cuts) + 1):
        known = {t: below == (cuts.index(at) >= k) for t, (at, below) in tests.items()}
        parts.append(_simpler(lines, known))
    if min(map(len, parts)) > _SPARED * len(lines):
        return None
    low, high = reach
    few = high.startswith("ll.few(")
    end = high.removeprefix("ll.few(").removesuffix(")") if few else high
    out, edges = [], [low]
    for at in cuts:
        edges.append(fresh("m"))
        # The base may be any number: limits move instead, or the sum could overflow.
        least, most = _plus(low, -at), _plus(end, -at)
        out.append(f"{edges[-1]} = {_plus(f'min(max({base}, {least}), {most})', at)}")
    edges.append(end)
    for (a, b), part in zip(pairwise(edges), parts, strict=True):
        names = {name: fresh("t") for name in _own(part)} if a != low else {}
        here = fresh("i") if a != low else var
        names[var] = here
        b = f"ll.few({b})" if few else b
        if part:
            out.append(f"for {here} in range({b if a == '0' else f'{a}, {b}'}):")
        out += ["    " + renamed(text, names) for text in part]
    return out


def _plus(text: str, by: int) -> str:
    if text.isdigit() or not by:
        return str(int(text) + by) if by else text
    return f"{text} + {by}" if by > 0 else f"{text} - {-by}"


def places(lines: Iterable[str], indices: Container[str], moving: Container[str]) -> Places:
    """What lines say of names by indices; those of `moving` ones hold for a while only."""
    found: dict[str, tuple[str, int]] = {}
    for line in lines:
        assigned = ASSIGNED.fullmatch(line)
        same = MOVED.fullmatch(assigned[2]) if assigned else None
        if assigned is None or same is None or assigned[1] in moving:
            continue
        root, at = found.get(same[1], (same[1], 0))
        at += moved_by(same)
        if root in indices and abs(at) <= _FAR:
            found[assigned[1]] = root, at
    return found


def _read(var: str, lines: Sequence[str], places: Callable[[], Places]) -> tuple[str, Tests] | None:
    """What the indices of a loop are compared with, and by which lines.

    None where a line is no plain one, or comparisons are with several numbers.
    """
    offsets = {var: 0}
    bases: dict[str, str] = {}  # by comparison
    tests: dict[str, tuple[int, bool]] = {}
    own: set[str] = {var}
    for line in lines:
        if _STORE.fullmatch(line):
            continue
        assigned = ASSIGNED.fullmatch(line)
        if assigned is None or line.startswith(" ") or "#" in line or assigned[1] in offsets:
            return None
        name, text = assigned.groups()
        same, below = MOVED.fullmatch(text), _BELOW.fullmatch(text)
        if same and same[1] in offsets:
            offsets[name] = offsets[same[1]] + moved_by(same)
            if abs(offsets[name]) > _FAR:
                return None
        elif below and (below[1] in offsets) != (below[3] in offsets):
            a, sign, b = below.groups()
            if b in offsets:
                a, sign, b = b, _FLIPPED[sign], a
            if b not in own and not b.isdigit():
                bases[name] = b
                tests[name] = (sign in ("<=", ">")) - offsets[a], sign[0] == "<"
        own.add(name)
    roots = set(bases.values())
    if len(roots) > 1:
        known = places()
        found = {name: known.get(b, (b, 0)) for name, b in bases.items()}
        tests = {name: (at + found[name][1], below) for name, (at, below) in tests.items()}
        roots = {root for root, _ in found.values()}
    if len(roots) != 1 or roots & own:
        return None
    return roots.pop(), tests


def _simpler(lines: Sequence[str], known: Mapping[str, bool]) -> list[str]:
    """The lines where comparisons are known, without what nobody needs any more."""
    kept = _carried(lines)
    same: dict[str, str] = {}
    out = []
    for line in lines:
        stored = _STORE.fullmatch(line)
        name, text = (stored or ASSIGNED.fullmatch(line)).groups()  # type: ignore[union-attr]
        if not stored and name in known:
            text = str(known[name])
        text = renamed(text, same)
        choice = _CHOICE.fullmatch(text)
        if choice and choice[1] in known:
            text = choice[2] if known[choice[1]] else choice[3]
        if stored:
            name = renamed(name, same)
        elif name in kept:
            added = _NOTHING.fullmatch(text)
            if added and added[1] == name:
                continue
        elif name not in known and _PLAIN.fullmatch(text) and text not in kept:
            same[name] = text
            continue
        out.append(f"{name} = {text}")
    return _live(out, kept)


def _carried(lines: Sequence[str]) -> set[str]:
    """The names that a round reads before it sets them, and sets."""
    seen, read = set[str](), set[str]()
    carried = set[str]()
    for line in lines:
        if _STORE.fullmatch(line):
            read.update(WORD.findall(line))
            continue
        name, _, text = line.partition(" = ")
        read.update(w for w in WORD.findall(text) if w not in seen)
        if name in read or name in seen:
            carried.add(name)
        seen.add(name)
    return carried


def _live(lines: Sequence[str], kept: set[str]) -> list[str]:
    """Without the lines that name what is read nowhere."""
    needed, out = set(kept), []
    for line in reversed(lines):
        name, _, text = line.partition(" = ")
        if _STORE.fullmatch(line) is None and name not in needed:
            continue
        needed.update(WORD.findall(line if "[" in name else text))
        out.append(line)
    return out[::-1]


def _own(lines: Sequence[str]) -> list[str]:
    """The names that lines set, but for those that rounds hand on."""
    carried = _carried(lines)
    names = [line.partition(" = ")[0] for line in lines if not _STORE.fullmatch(line)]
    return [n for n in names if n not in carried]

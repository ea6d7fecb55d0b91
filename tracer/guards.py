"""Guards on captured state, and one generated check for all of them."""

from __future__ import annotations

import contextlib
import copy
import zlib
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .alike import CONTAINERS, alike, in_order, sharp
from .facts import Capture, StateGuard
from .paths import GONE, Path


def equal_guard(path: Path, wanted: Any) -> StateGuard:
    """The value at the path is this one, or one that is alike."""
    if isinstance(wanted, MappingProxyType):
        wanted = MappingProxyType(wanted.copy())
    elif isinstance(wanted, memoryview):
        wanted = memoryview(wanted.tobytes())
    elif isinstance(wanted, CONTAINERS) and not isinstance(wanted, tuple | frozenset):
        wanted = copy.copy(wanted)  # the program may write into it

    def check() -> bool:
        try:
            x = path.read()
        except LookupError:
            return False
        return x is wanted or alike(wanted, x)

    return StateGuard(check, f"{path.describe()} == {wanted!r}", (path, wanted, "equal"), path)


def same_guard(path: Path, wanted: Any) -> StateGuard:
    """The object at the path is this one."""

    def check() -> bool:
        try:
            return path.read() is wanted
        except LookupError:
            return False

    return StateGuard(check, f"{path.describe()} is the same object", (path, wanted, "same"), path)


def twin_guard(path: Path, others: list[Path]) -> StateGuard:
    """All of these paths lead to the same object."""

    def check() -> bool:
        try:
            x = path.read()
            return all(other.read() is x for other in others)
        except LookupError:
            return False

    names = ", ".join(other.describe() for other in others[:3])
    return StateGuard(check, f"{path.describe()} is also {names}", path=path)


class Entries(NamedTuple):
    """What a program relies on of a container: its type, how many entries, a dict's keys."""

    kind: type
    size: int
    keys: tuple[Any, ...] | None

    def are_of(self, x: Any) -> bool:
        """Whether a container has these entries, in this order."""
        kind = type(x)
        same = kind is self.kind and len(x) == self.size
        return same and (self.keys is None or in_order(x, self.keys))


def entries_guard(path: Path, container: Any) -> StateGuard:
    """The container at the path has as many entries, and is of the same type; a dict has its keys.

    Those of a dict with very many entries are not looked at.
    """
    n = len(container)
    mapping = isinstance(container, (dict, MappingProxyType)) and n <= MOST_KEYS
    wanted = Entries(type(container), n, tuple(container) if mapping else None)

    def check() -> bool:
        try:
            return wanted.are_of(path.read())
        except LookupError:
            return False

    return StateGuard(check, f"{path.describe()} has {n} entries", (path, wanted, "entries"), path)


MOST_KEYS = 1000


def absent_guard(path: Path) -> StateGuard:
    """There is nothing at the path."""

    def check() -> bool:
        try:
            path.read()
        except LookupError:
            return True
        return False

    return StateGuard(check, f"there is no {path.describe()}", path=path)


def array_guard(path: Path, x: np.ndarray) -> StateGuard:
    """The array at the path, which is no input of the program, holds what it holds now."""
    wanted = content_mark(x) if x.nbytes > LARGE or x.dtype.hasobject else x.copy()

    def check() -> bool:
        try:
            now = path.read()
        except LookupError:
            return False
        if type(now) is not type(x) or now.dtype != x.dtype:
            return False
        if type(wanted) is not tuple:
            return same_content(wanted, now)
        return bool(content_mark(now) == wanted)

    return StateGuard(check, f"the content of {path.describe()}", path=path)


LARGE = 4 << 20  # bytes of an array that are all looked at, in their order
_ROW = 1021  # words: no power of two, as strides of arrays are
_MANY = 10_000


def content_mark(x: np.ndarray) -> Any:
    """Numbers for the content of an array: of all of it, or of a large one of its sums."""
    if x.dtype.hasobject:
        return x.shape, tuple(map(id, x.ravel())) if x.size < _MANY else None
    with contextlib.suppress(ValueError, TypeError):
        flat = np.ascontiguousarray(np.asarray(x).reshape(-1, order="A")).view(np.uint8)
        if flat.nbytes <= LARGE:
            return x.shape, zlib.crc32(flat.data)
        end = flat.nbytes // (8 * _ROW) * 8 * _ROW
        words = flat[:end].view(np.uint64).reshape(-1, _ROW)
        # What moves from one place to another changes the sum of a row or of a column.
        sums = [np.add.reduce(words, axis) for axis in (0, 1)]
        return x.shape, *(zlib.crc32(part.view(np.uint8).data) for part in (*sums, flat[end:]))
    return x.shape, None


def content_guard(captures: list[Capture]) -> StateGuard:
    """These captured arrays still hold what they hold now."""
    kept = [(c, np.array(c.read() if c.live else c.value)) for c in captures]

    def check() -> bool:
        try:
            return all(same_content(old, c.read()) for c, old in kept)
        except LookupError:
            return False

    path = captures[0].root if len(captures) == 1 else None
    text = "the content of " + ", ".join(c.path for c in captures)
    return StateGuard(check, text, path=path)


def same_content(a: np.ndarray, b: Any) -> bool:
    """Equal dtype, shape and elements, NaN being equal to itself."""
    return (
        isinstance(b, np.ndarray)
        and a.shape == b.shape
        and a.dtype == b.dtype
        and (np.array_equal(a, b) or a.tobytes() == b.tobytes())
    )


def one_check(guards: Iterable[StateGuard]) -> Callable[[], bool]:
    """One function that checks all guards: the simple ones in generated code."""
    names: dict[str, Any] = {"GONE": GONE, "alike": alike, "in_order": in_order}
    facts: list[str] = []
    bases: dict[int, str] = {}
    for i, g in enumerate(guards):
        if g.fact is None:
            names[f"g{i}"] = g.check
            facts.append(f"g{i}()")
            continue
        path, wanted, how = g.fact
        base = bases.setdefault(id(path.base), f"b{len(bases)}")
        text = path.expression(base, names)
        if how == "entries":
            names |= {base: path.base, f"t{i}": wanted.kind}
            facts.append(f"type(x := {text}) is t{i} and len(x) == {wanted.size}")
            if wanted.keys:
                names[f"v{i}"] = wanted.keys
                facts.append(f"in_order(x, v{i})")
            continue
        names |= {base: path.base, f"t{i}": type(wanted)}
        names[f"v{i}"] = wanted
        if how == "same":
            facts.append(f"{text} is v{i}")
        elif sharp(wanted):
            facts.append(f"((x := {text}) is v{i} or type(x) is t{i} and x == v{i})")
        else:
            facts.append(f"((x := {text}) is v{i} or alike(v{i}, x))")
    body = "\n            and ".join(facts) or "True"
    source = (
        f"def check({', '.join(f'{n}={n}' for n in names)}):\n"
        f"    try:\n        return bool({body})\n    except GONE:\n        return False\n"
    )
    exec(compile(source, "<adjit guards>", "exec"), names)
    return names["check"]

"""Guards on captured state, and one generated check for all of them."""

from __future__ import annotations

import contextlib
import copy
import zlib
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any

import numpy as np

from .alike import CONTAINERS, alike, sharp
from .facts import Capture, StateGuard
from .paths import GONE, Path


def equal_guard(path: Path, wanted: Any) -> StateGuard:
    """The value at the path is this one, or one that is alike."""
    if isinstance(wanted, MappingProxyType):
        wanted = MappingProxyType(wanted.copy())
    elif isinstance(wanted, CONTAINERS) and not isinstance(wanted, tuple | frozenset):
        wanted = copy.copy(wanted)  # the program may write into it

    def check() -> bool:
        try:
            x = path.read()
        except LookupError:
            return False
        return x is wanted or alike(wanted, x)

    return StateGuard(check, f"{path.describe()} == {wanted!r}", (path, wanted, "equal"))


def same_guard(path: Path, wanted: Any) -> StateGuard:
    """The object at the path is this one."""

    def check() -> bool:
        try:
            return path.read() is wanted
        except LookupError:
            return False

    return StateGuard(check, f"{path.describe()} is the same object", (path, wanted, "same"))


def twin_guard(path: Path, others: list[Path]) -> StateGuard:
    """All of these paths lead to the same object."""

    def check() -> bool:
        try:
            x = path.read()
            return all(other.read() is x for other in others)
        except LookupError:
            return False

    names = ", ".join(other.describe() for other in others[:3])
    return StateGuard(check, f"{path.describe()} is also {names}")


def length_guard(path: Path, container: Any) -> StateGuard:
    """The container at the path has as many entries, and is of the same type."""
    kind, n = type(container), len(container)

    def check() -> bool:
        try:
            x = path.read()
        except LookupError:
            return False
        return type(x) is kind and len(x) == n

    return StateGuard(check, f"{path.describe()} has {n} entries", (path, container, "length"))


def absent_guard(path: Path) -> StateGuard:
    """There is nothing at the path."""

    def check() -> bool:
        try:
            path.read()
        except LookupError:
            return True
        return False

    return StateGuard(check, f"there is no {path.describe()}")


def array_guard(path: Path, x: np.ndarray) -> StateGuard:
    """The array at the path, which is no input of the program, holds what it holds now."""
    wanted = content_mark(x) if x.nbytes > _LARGE or x.dtype.hasobject else x.copy()

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

    return StateGuard(check, f"the content of {path.describe()}")


_LARGE = 4 << 20  # bytes of an array that are all looked at, in their order
_PIECE = 1 << 20
_MANY = 10_000


def content_mark(x: np.ndarray) -> Any:
    """A number for the content of an array: of all of it, or of a large one a sum and a sample."""
    if x.dtype.hasobject:
        return x.shape, tuple(map(id, x.ravel())) if x.size < _MANY else None
    with contextlib.suppress(ValueError, TypeError):
        flat = np.asarray(x).reshape(-1, order="A").view(np.uint8)
        if flat.nbytes <= _LARGE:
            return x.shape, zlib.crc32(flat.data)
        words, rest = flat[: flat.nbytes // 8 * 8].view(np.uint64), flat[flat.nbytes // 8 * 8 :]
        some = np.ascontiguousarray(words[:: max(1, words.size // (_PIECE // 8))])
        sample = zlib.crc32(some.view(np.uint8).data, zlib.crc32(rest.data))
        return x.shape, int(np.add.reduce(words)), sample
    return x.shape, None


def content_guard(captures: list[Capture]) -> StateGuard:
    """These captured arrays still hold what they hold now."""
    kept = [(c, np.array(c.read() if c.live else c.value)) for c in captures]

    def check() -> bool:
        try:
            return all(same_content(old, c.read()) for c, old in kept)
        except LookupError:
            return False

    return StateGuard(check, "the content of " + ", ".join(c.path for c in captures))


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
    names: dict[str, Any] = {"GONE": GONE, "alike": alike}
    facts: list[str] = []
    bases: dict[int, str] = {}
    for i, g in enumerate(guards):
        if g.fact is None:
            names[f"g{i}"] = g.check
            facts.append(f"g{i}()")
            continue
        path, wanted, how = g.fact
        base = bases.setdefault(id(path.base), f"b{len(bases)}")
        names |= {base: path.base, f"t{i}": type(wanted)}
        text = path.expression(base)
        if how == "length":
            facts.append(f"type(x := {text}) is t{i} and len(x) == {len(wanted)}")
            continue
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

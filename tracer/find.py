"""Finds the path of an array that met a Tracer, by identity, from the roots of a function."""

from __future__ import annotations

import contextlib
import functools
import types
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .facts import Capture, StateGuard
from .guards import twin_guard
from .holdings import Holdings
from .paths import Path, reads_of
from .watched import bare, memory_of

_MISSING: Any = object()
_DEPTH = 100  # as of the nodes of a tree or of a list that are linked
_LIMIT = 20_000  # objects looked at in one search


def walk(
    roots: Iterable[Path], limit: int = _LIMIT, twins: dict[int, list[Path]] | None = None
) -> Iterator[tuple[Any, Path]]:
    """Objects reached from the roots, breadth first.

    `twins` takes the other paths that lead to an object, by its id.
    """
    todo: deque[tuple[Any, Path, int]] = deque()
    for path in roots:
        try:
            todo.append((path.read(), path, 0))
        except LookupError:
            continue
    seen: set[int] = set()
    while todo and len(seen) < limit:
        obj, path, depth = todo.popleft()
        if id(obj) in seen:
            if twins is not None:
                twins.setdefault(id(obj), []).append(path)
            continue
        seen.add(id(obj))
        yield obj, path
        if depth < _DEPTH:
            for child, kind, key in _children(obj):
                if type(child) not in _BARE:
                    todo.append((child, path.then(kind, key), depth + 1))


_BARE = {int, float, complex, bool, str, bytes, type(None)}


class Finder:
    """Searches paths to arrays from the roots of one traced function."""

    def __init__(self, roots: Iterable[Path], before: Holdings | None = None) -> None:
        self._roots = list(roots)
        self._before = before
        self._guarded: set[int] = set()

    @functools.cached_property
    def _twins(self) -> dict[int, list[Path]]:
        found: dict[int, list[Path]] = {}
        for _ in walk(self._roots, twins=found):
            pass
        return found

    def forget(self) -> None:
        """Look anew at what lies within reach, which is not as it was."""
        self.__dict__.pop("_twins", None)

    def guards(self, path: Path) -> list[StateGuard]:
        """What several paths lead to, at the end of this one or on it, they lead to together.

        The function may read an array by one and by another: later these may be two arrays.
        """
        found = []
        for k in range(max(1, path.told), len(path.steps) + 1):
            here = Path(path.base, path.text, path.steps[:k], path.told)
            with contextlib.suppress(LookupError):
                who = id(here.read())
                others = [p for p in self._twins.get(who, ()) if p.steps]  # no steps: no change
                if others and who not in self._guarded:
                    self._guarded.add(who)
                    found.append(twin_guard(here, others))
        return found

    def find(self, x: np.ndarray) -> tuple[Capture, list[StateGuard]] | None:
        """A live capture for an array: by its own path, or as a view of an array that has one."""
        path = self._search(x)
        if path is not None and self._before is not None and self._before.put_there(path):
            return None  # by this trace: compiled calls will not put it there
        if path is not None:
            return Capture(path.reader(), path.describe(), x, True, path, path), self.guards(path)
        memory = memory_of(x)
        for base, path in walk(self._roots):
            if isinstance(base, np.ndarray) and memory_of(base) is memory and _inside(x, base):
                capture, guards = _view_capture(path, base, x)
                return capture, [*guards, *self.guards(path)]
        return None

    def _search(self, x: np.ndarray) -> Path | None:
        return next((path for obj, path in walk(self._roots) if bare(obj) is x), None)

    def arrays(self, apart: Any, known: Collection[int] = ()) -> list[Capture]:
        """The arrays within reach: what was made while tracing may be made from them.

        Not those whose memory is `known`, by identity: who reads these is known, too.
        """
        found = []
        for obj, path in walk(self._roots):
            if apart.covers(path):
                continue
            # A Tracer of an enclosing trace says that it is an array, but has no content.
            obj = bare(obj)
            if issubclass(type(obj), np.ndarray) and obj.dtype != object:
                if known and id(memory_of(obj)) in known:
                    continue
                found.append(Capture(path.reader(), path.describe(), obj, True, path, path))
            elif _is_table(obj):
                found.append(Capture(_content(path), path.describe(), np.array(obj)))
        return found


def _is_table(x: Any) -> bool:
    """Whether an object keeps its arrays where no attribute shows them, as those of pandas do."""
    return type(x).__module__.split(".")[0] == "pandas" and hasattr(type(x), "__array__")


def _content(path: Path) -> Callable[[], np.ndarray]:
    """What reads the content of such an object."""
    return lambda: np.asarray(path.read())


def _inside(x: np.ndarray, base: np.ndarray) -> bool:
    low, high = byte_bounds(base)
    first, last = byte_bounds(x)
    return low <= first and last <= high


def _children(obj: Any) -> Iterator[tuple[Any, str, Any]]:
    """What a search may step to: items of plain containers, attributes of the user's objects."""
    if type(obj) in (dict,):
        for k, v in obj.items():
            yield v, "item", k
    elif type(obj) in (list, tuple, deque):
        if len(obj) <= 1000:
            for i, v in enumerate(obj):
                yield v, "item", i
    elif isinstance(obj, (np.ndarray, np.generic, str, int, float, type, types.ModuleType)):
        return
    elif isinstance(obj, tuple):
        for i, v in enumerate(obj):
            yield v, "item", i
    elif isinstance(obj, functools.partial):
        yield obj.args, "attr", "args"
        yield obj.keywords, "attr", "keywords"
        yield obj.func, "attr", "func"
    elif isinstance(obj, types.MethodType):
        yield obj.__self__, "attr", "__self__"
    elif (reads := reads_of(obj)) is not None:
        with contextlib.suppress(LookupError):
            yield reads(obj), "call", reads
    else:
        names = getattr(obj, "__dict__", None)
        if isinstance(names, dict) and "__wrapped__" in names and _is_ours(obj):
            yield names["__wrapped__"], "attr", "__wrapped__"  # not what it remembers of its calls
            return
        if isinstance(names, dict):
            for k, v in names.items():
                yield v, "attr", k
        for cls in type(obj).__mro__:
            for k in _slots(cls):
                v = getattr(obj, k, _MISSING)
                if v is not _MISSING:
                    yield v, "attr", k


def _is_ours(obj: Any) -> bool:
    return type(obj).__module__.split(".")[0] == __name__.split(".")[0]


def _slots(cls: type) -> tuple[str, ...]:
    names = cls.__dict__.get("__slots__", ())
    return (names,) if isinstance(names, str) else tuple(names)


def _view_capture(path: Path, base: np.ndarray, x: np.ndarray) -> Any:
    """A capture that is a view of a live array: re-read at the same place of it."""
    offset = x.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    layout = (base.shape, base.strides, base.dtype)
    shape, strides, dtype = x.shape, x.strides, x.dtype

    def same_layout() -> bool:
        try:
            now = path.read()
        except LookupError:
            return False
        return isinstance(now, np.ndarray) and (now.shape, now.strides, now.dtype) == layout

    def read() -> np.ndarray:
        now = path.read()
        if not isinstance(now, np.ndarray) or (now.shape, now.strides, now.dtype) != layout:
            raise LookupError(path.describe())
        if now.size == 0:
            return np.empty(shape, dtype)
        return np.asarray(_Memory(now, offset, shape, strides, dtype))

    guard = StateGuard(same_layout, f"the layout of {path.describe()}", path=path)
    return Capture(read, f"a view of {path.describe()}", x, root=path), [guard]


class _Memory:
    """The memory of a live array, seen with another layout."""

    def __init__(
        self, base: np.ndarray, offset: int, shape: Any, strides: Any, dtype: np.dtype
    ) -> None:
        self._base = base  # keeps the memory alive
        address, _ = base.__array_interface__["data"]
        self.__array_interface__ = {
            "version": 3,
            "data": (address + offset, True),
            "shape": shape,
            "strides": strides,
            "typestr": dtype.str,
        }

"""Captured state: which globals, cells and attributes a function reads, found without running it.

Roots are the names that its code (and that of the user's functions it reaches) loads from globals
and cells.  Numbers, strings, functions and modules found along the chains of attributes that the
code spells are guarded; arrays are searched from the roots by identity when they meet a Tracer.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import random
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .alike import BUFFERS, CONTAINERS
from .facts import StateGuard
from .find import walk
from .guards import equal_guard, length_guard, same_guard
from .paths import Path, of_cell, of_default, of_global
from .place import OURS, USER, owner
from .scan import reads

_MISSING: Any = object()


@dataclass
class Reached:
    """What a function reaches: roots of search, guards, globals of user modules, generators."""

    roots: dict[str, Path] = field(default_factory=dict)
    equal: dict[str, Path] = field(default_factory=dict)
    same: dict[str, Path] = field(default_factory=dict)
    length: dict[str, Path] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    globals: dict[int, dict[str, Any]] = field(default_factory=dict)
    cells: dict[int, types.CellType] = field(default_factory=dict)
    generators: list[tuple[Path, Any]] = field(default_factory=list)
    scalars: set[int] = field(default_factory=set)

    def numbers(self) -> dict[str, float]:
        """The numbers that are read, and the lengths, by what Python calls them."""
        out: dict[str, float] = {}
        for path in self.equal.values():
            with contextlib.suppress(LookupError):
                x = path.read()
                if type(x) in (int, float):
                    out[path.describe()] = x
        for path in self.length.values():
            with contextlib.suppress(LookupError, TypeError):
                out[f"len({path.describe()})"] = len(path.read())
        return out

    def guards(self) -> list[StateGuard]:
        """Guards on the values of now: those that the function itself wrote have settled."""
        out = []
        tables = (equal_guard, self.equal), (same_guard, self.same), (length_guard, self.length)
        for make, paths in tables:
            for path in paths.values():
                try:
                    out.append(make(path, path.read()))
                except LookupError:
                    continue
        return out


def reach(fn: Any, statics: list[tuple[str, Any]]) -> Reached:
    """Everything that `fn` and the user's functions it names may read.

    `statics` are arguments that are not traced (objects): their attributes are state too.
    """
    out = Reached()
    seen: set[Any] = set()
    todo: deque[Any] = deque()
    for text, x in statics:
        root = Path(x, text)
        out.roots[text] = root
    itself = Path(fn, "the function")
    if not isinstance(fn, types.FunctionType):
        out.roots[itself.text] = itself
    _queue(fn, itself, todo)
    used: set[str] = set()
    held: set[Any] = set()
    while todo and len(seen) < 2000:
        f, owner_path = todo.popleft()
        mark = (f.__code__, id(f.__closure__), owner_path and owner_path.describe())
        who = owner(f.__code__.co_filename)
        if mark not in seen and who == OURS:  # check_grads: the user's function is inside
            seen.add(mark)
            for x in _held(f, owner_path):
                _queue(x, None, todo)
        if mark not in seen and who == USER:
            seen.add(mark)
            out.globals[id(f.__globals__)] = f.__globals__
            out.cells.update((id(c), c) for c in f.__closure__ or ())
            _scan(f, owner_path, dict(statics), out, todo, used)
        if not todo:
            _queue_objects(out, used, held, todo)
    return out


def _held(f: Any, owner_path: Path | None) -> Iterator[Any]:
    """The functions that a function of ours holds, or the object whose method it is."""
    values = [c.cell_contents for c in f.__closure__ or () if c != types.CellType()]
    if owner_path is not None and not owner_path.steps:
        values += getattr(owner_path.base, "__dict__", {}).values()
    yield from (x for x in values if isinstance(x, types.FunctionType | types.MethodType))


def _queue_objects(out: Reached, used: set[str], held: set[Any], todo: deque[Any]) -> None:
    """Methods of the user's objects within reach, if their name is used: `for l in self.layers`."""
    for x, path in walk(out.roots.values(), 2000):
        if not isinstance(x, _NOT_OBJECTS):
            for name, f in _methods(type(x)):
                if (id(x), name) not in held and (name in used or name.startswith("__")):
                    held.add((id(x), name))
                    todo.append((f, path))


def _queue(x: Any, path: Path | None, todo: deque[Any]) -> None:
    """Find the Python functions that calling `x` would run."""
    for f, self_path in _functions(x, path, 0):
        todo.append((f, self_path))


def _functions(x: Any, path: Path | None, depth: int) -> Iterator[tuple[Any, Path | None]]:
    if depth > 4:
        return
    if isinstance(x, types.FunctionType):
        yield x, None
        inner = getattr(x, "__wrapped__", None)
        if inner is not None:
            yield from _functions(inner, None, depth + 1)
    elif isinstance(x, types.MethodType):
        top = path is None or path.text == "the function"
        obj = Path(x.__self__, "self") if top or path is None else path.parent()
        for f, _ in _functions(x.__func__, None, depth + 1):
            yield f, obj
    elif isinstance(x, functools.partial):
        yield from _functions(x.func, path and path.then("attr", "func"), depth + 1)
    elif isinstance(x, type):
        if owner_of_class(x) == USER:
            for f in vars(x).values():
                f = getattr(f, "__func__", getattr(f, "fget", f))
                if isinstance(f, types.FunctionType):
                    yield f, None
    else:
        inner = vars(x).get("__wrapped__") if hasattr(x, "__dict__") else None
        if inner is not None:  # a decorated function, ours or functools'
            yield from _functions(inner, None, depth + 1)
        for name, f in _methods(type(x)):
            if name.startswith("__"):
                yield f, path


# Methods that run before a trace, or that show an object.
_ASIDE = {"__init__", "__new__", "__post_init__", "__repr__", "__str__", "__del__", "__reduce__"}


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Names and functions of the methods and properties that the user's classes define."""
    for base in cls.__mro__:
        if owner_of_class(base) == USER:
            for name, f in vars(base).items():
                f = getattr(f, "__func__", getattr(f, "fget", f))
                if isinstance(f, types.FunctionType) and name not in _ASIDE:
                    yield name, f


def owner_of_class(cls: type) -> int:
    """Whose code a class is (builtins and extension types: the library's)."""
    for f in vars(cls).values():
        f = getattr(f, "__func__", getattr(f, "fget", f))
        if isinstance(f, types.FunctionType):
            return owner(f.__code__.co_filename)
    return USER if cls.__module__ == "__main__" else -1


def _scan(
    f: Any, self_path: Path | None, statics: dict[str, Any], out: Reached, todo: deque[Any],
    used: set[str],
) -> None:  # fmt: skip
    """Resolve the chains of one function, and of the code nested in it."""
    code = f.__code__
    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=False))
    first = code.co_varnames[0] if code.co_argcount else None
    pending = [code]
    while pending:
        c = pending.pop()
        r = reads(c)
        used.update(c.co_names)
        pending.extend(r.inner)
        for scope, name, steps in r.chains:
            root = _root(f, cells, scope, name, self_path if name == first else None, statics)
            if root is not None:
                _resolve(root, steps, out, todo)
    for i, d in enumerate(f.__defaults__ or ()):
        path = of_default(f, i)
        out.roots.setdefault(path.text, path)
        _note(path, d, out, todo)


def _root(
    f: Any, cells: dict[str, Any], scope: str, name: str, self_path: Path | None,
    statics: dict[str, Any],
) -> Path | None:  # fmt: skip
    if scope == "local":
        if self_path is not None:
            return self_path
        return Path(statics[name], name) if name in statics else None
    if scope == "cell":
        if name not in cells:
            return None
        return of_cell(cells[name], name)
    return of_global(f.__globals__, name) if name in f.__globals__ else None


def _resolve(root: Path, steps: tuple[Any, ...], out: Reached, todo: deque[Any]) -> None:
    """Guard or note every value along a chain."""
    path = root
    try:
        x = path.read()
    except LookupError:
        return
    if _is_library(x):
        return
    out.roots.setdefault(path.describe(), path)
    _note(path, x, out, todo)
    for kind, key in steps:
        nxt = path.then(kind, key)
        found = getattr(type(x), key, None) if kind == "attr" else None
        if isinstance(found, property) and isinstance(found.fget, types.FunctionType):
            todo.append((found.fget, path))
        x = _peek(x, kind, key)  # runs no code of the user's
        if x is _MISSING or _is_library(x):
            return
        path = nxt
        _note(path, x, out, todo)


def _is_library(x: Any) -> bool:
    """Modules and functions that are not the user's: their attributes are taken for constants."""
    if isinstance(x, types.ModuleType):
        file = getattr(x, "__file__", None)
        return file is None or owner(file) != USER or "site-packages" in file
    if isinstance(x, (types.BuiltinFunctionType, np.ufunc)):
        return True
    if isinstance(x, type) and x.__module__ in ("builtins", "numpy"):
        return True
    return isinstance(x, types.FunctionType) and owner(x.__code__.co_filename) != USER


def _peek(x: Any, kind: str, key: Any) -> Any:
    """An attribute or item without running code of the user's."""
    if kind == "item":
        if type(x) in (dict, list, tuple, deque):
            try:
                return x[key]
            except (LookupError, TypeError):
                return _MISSING
        return _MISSING
    if isinstance(x, (np.ndarray, np.generic)):
        return _MISSING
    on_class = getattr(type(x), key, _MISSING) if not isinstance(x, types.ModuleType) else _MISSING
    if isinstance(on_class, property):
        return _MISSING
    try:
        return getattr(x, key)
    except Exception:  # a __getattr__ of the user's may raise anything
        return _MISSING


_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, enum.Enum)


_NOT_OBJECTS = (*_PLAIN, np.ndarray, dict, list, tuple, set, type, types.ModuleType,
                types.FunctionType, types.MethodType, functools.partial)  # fmt: skip


def _note(path: Path, x: Any, out: Reached, todo: deque[Any], depth: int = 0) -> None:
    """What a value found along a chain asks for."""
    text = path.describe()
    if isinstance(x, _PLAIN) or _is_plain_container(x):
        out.equal.setdefault(text, path)
        out.scalars.add(id(x))
    elif isinstance(x, (types.FunctionType, type, functools.partial)):
        out.same.setdefault(text, path)
        _queue(x, path, todo)
    elif isinstance(x, types.MethodType):
        _queue(x, path, todo)
    elif isinstance(x, (np.random.Generator, np.random.RandomState, random.Random)):
        out.generators.append((path, x))
    elif type(x) in (dict, list, tuple, deque):
        _note_entries(path, x, out, todo, depth)
    elif not isinstance(x, (np.ndarray, dict, list, tuple, set, types.ModuleType)):
        out.same.setdefault(text, path)
        _queue(x, path, todo)


def _is_plain_container(x: Any) -> bool:
    """A container of plain values, small enough to be compared at every call."""
    if type(x) in BUFFERS:
        return True
    if type(x) not in CONTAINERS or len(x) > 10_000:
        return False
    entries = (*x, *x.values()) if type(x) is dict else x
    return all(isinstance(e, _PLAIN) for e in entries)


def _note_entries(path: Path, x: Any, out: Reached, todo: deque[Any], depth: int) -> None:
    """A container of arrays, objects and others: how many there are, and each that is small."""
    out.length.setdefault(path.describe(), path)
    if depth < 3 and len(x) <= 100:
        for k, e in x.items() if type(x) is dict else enumerate(x):
            if isinstance(k, (str, int)) and path.describe() not in out.entered:
                _note(path.then("item", k), e, out, todo, depth + 1)
        out.entered.add(path.describe())

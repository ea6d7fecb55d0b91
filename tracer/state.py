"""Captured state: which globals, cells and attributes a function reads, found without running it.

Roots are the names that its code (and that of the user's functions it reaches) loads from globals
and cells.  Numbers, strings, functions and modules found along the chains of attributes that the
code spells are guarded; arrays are searched from the roots by identity when they meet a Tracer.
"""

from __future__ import annotations

import builtins
import contextlib
import dis
import enum
import functools
import inspect
import operator
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import Any

import numpy as np

from ..ir.records import dataclass
from .alike import BUFFERS
from .facts import StateGuard
from .find import walk
from .guards import absent_guard, array_guard, entries_guard, equal_guard, same_guard
from .holdings import is_datum, of_user
from .intercept import BUILTINS, Replacement, is_swapped
from .paths import (
    CODE,
    Path,
    of_cell,
    of_default,
    of_global,
    of_keyword_default,
    reads_of,
)
from .place import OURS, USER, owner
from .scan import reads
from .watch import clock_name
from .watched import bare, memory_of

_MISSING: Any = object()


@dataclass
class Reached:
    """What a function reaches: roots of search, guards, globals of user modules, generators."""

    roots: dict[Any, Path] = field(default_factory=dict)
    equal: dict[Any, Path] = field(default_factory=dict)
    same: dict[Any, Path] = field(default_factory=dict)
    length: dict[Any, Path] = field(default_factory=dict)
    absent: dict[Any, Path] = field(default_factory=dict)
    arrays: dict[Any, Path] = field(default_factory=dict)
    clocks: bool = False  # whether code mentions one that cannot be swapped
    builtins: set[str] = field(default_factory=set)  # of those that are bound anew, the named
    asked: set[str] = field(default_factory=set)  # names of attributes that are asked for
    entered: set[Any] = field(default_factory=set)
    globals: dict[int, dict[str, Any]] = field(default_factory=dict)
    cells: dict[int, types.CellType] = field(default_factory=dict)
    scalars: set[int] = field(default_factory=set)

    def paths(self) -> list[Path]:
        """Where to look for what the function may change."""
        if not self.asked.isdisjoint(_DRAWS):
            self.roots["np.random"] = Path(np.random.mtrand, "np.random", (("attr", "_rand"),), 1)
            self.roots["random"] = Path(random, "random", (("attr", "_inst"),), 1)
        tables = (self.roots, self.equal, self.same, self.length, self.absent, self.arrays)
        return [path for table in tables for path in table.values()]

    def memories(self, inputs: Iterable[np.ndarray]) -> set[int]:
        """What owns the memory of the arrays that are inputs, or guarded here, by identity."""
        found = _memories(inputs)
        for path in self.arrays.values():
            with contextlib.suppress(LookupError):
                x = path.read()
                if isinstance(x, np.ndarray) and not hasattr(type(x), "_rec"):
                    found.add(id(memory_of(x)))
        return found

    def guards(self, apart: Any, inputs: Iterable[np.ndarray] = ()) -> list[StateGuard]:
        """Guards on the values of now: those that the function itself wrote have settled.

        Arrays that are `inputs` of the program may change their content.
        """
        out = []
        tables = (equal_guard, self.equal), (same_guard, self.same), (entries_guard, self.length)
        for make, paths in tables:
            for path in paths.values():
                if apart.covers(path):
                    continue
                try:
                    out.append(make(path, path.read()))
                except (LookupError, TypeError):
                    continue
        read = _memories(inputs)
        for path in self.arrays.values():
            with contextlib.suppress(LookupError):
                x = bare(path.read())
                plain = isinstance(x, np.ndarray) and not hasattr(type(x), "_rec")
                if plain and id(memory_of(x)) not in read and not apart.covers(path):
                    out.append(array_guard(path, x))
        return out + [absent_guard(p) for p in self.absent.values() if not apart.covers(p)]


def _memories(arrays: Iterable[np.ndarray]) -> set[int]:
    """What owns the memory of arrays, by identity."""
    return {id(memory_of(x)) for x in arrays}


_DRAWS = frozenset(n for m in (np.random, random) for n in dir(m) if not n.startswith("_"))


def reach(fn: Any, statics: list[tuple[str, Any]]) -> Reached:
    """Everything that `fn` and the user's functions it names may read.

    `statics` are arguments that are not traced (objects): their attributes are state too.
    """
    out = Reached()
    seen: set[Any] = set()
    todo: deque[Any] = deque()
    for text, x in statics:
        root = Path(x, text)
        out.roots[root.key] = root
    itself = Path(fn, "the function")
    if not isinstance(fn, types.FunctionType):
        out.roots[itself.key] = itself
    _queue(fn, itself, todo)
    used: set[str] = set()
    held: set[Any] = set()
    while todo and len(seen) < 2000:
        f, owner_path = todo.popleft()
        own = (id(x) for x in (f.__closure__, f.__globals__, f.__defaults__, f.__kwdefaults__))
        mark = (f.__code__, *own, owner_path and owner_path.key)
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
            if not used.isdisjoint(_NAMED):
                used.update(_found_strings(out))
            used.update(out.asked)
            _queue_objects(out, used, held, todo)
    return out


def _found_strings(out: Reached) -> Iterator[str]:
    """The strings among the state, by which attributes may be asked for."""
    for path in out.equal.values():
        with contextlib.suppress(LookupError):
            x = path.read()
            yield from _strings(x if type(x) in (list, tuple, set, dict) else (x,))


def _held(f: Any, owner_path: Path | None) -> Iterator[Any]:
    """The functions that a function of ours holds, or the object whose method it is."""
    values = [c.cell_contents for c in f.__closure__ or () if c != types.CellType()]
    if owner_path is not None and not owner_path.steps:
        values += getattr(owner_path.base, "__dict__", {}).values()
    yield from (x for x in values if isinstance(x, types.FunctionType | types.MethodType))


def _queue_objects(out: Reached, used: set[str], held: set[Any], todo: deque[Any]) -> None:
    """What lies within reach under a name that is used, whatever it was reached by: the methods
    and attributes of the user's objects (`for l in self.layers: l.run(x)`), and entries.
    """
    every = not used.isdisjoint(_BY_STRING)
    for x, path in walk(out.roots.values()):
        if isinstance(x, _CONTAINERS) and (id(x), "") not in held:
            held.add((id(x), ""))
            _note(path, x, out, todo)
        if isinstance(x, _NOT_OBJECTS) or not (of_user(type(x)) or type(x) is _NAMESPACE):
            continue
        for name, f in _methods(type(x)):
            if (id(x), f) not in held and (name in used or name.startswith("__")):
                held.add((id(x), f))
                todo.append((f, path))
                if name in used:
                    _note_method(x, path, name, "super" in used, out)
        for name in _names_of(x):
            if (every or name in used) and (id(x), name, "") not in held:
                held.add((id(x), name, ""))
                found = _peek(x, "attr", name)
                if found is not _MISSING and not isinstance(found, types.MethodType):
                    _note(path.then("attr", name), found, out, todo)
                    if name in (getattr(x, "__dict__", None) or {}) and hasattr(type(x), name):
                        of_class = Path(type(x), type(x).__name__, (("attr", name),))
                        _note(of_class, getattr(type(x), name), out, todo)
        for name in out.asked:
            if (id(x), name, "?") not in held and not hasattr(type(x), "__getattr__"):
                held.add((id(x), name, "?"))
                if name not in (getattr(x, "__dict__", None) or {}) and not hasattr(type(x), name):
                    absent = path.then("attr", name)
                    out.absent.setdefault(absent.key, absent)


def _note_method(x: Any, path: Path, name: str, above: bool, out: Reached) -> None:
    """Guard what a name means in an object's class, and `above` it, where super() looks."""
    found = inspect.getattr_static(type(x), name, None)
    kind = type(x)
    if not isinstance(found, property):
        method = Path(kind, kind.__name__, (("attr", name),))
        if isinstance(found, types.FunctionType) and hasattr(x, "__dict__"):
            method = path.then("attr", name).then("attr", "__func__")
        out.same.setdefault(method.key, method)
    holders = [c for c in kind.__mro__ if isinstance(vars(c).get(name), _DEFINED)]
    for cls in holders if above else holders[:1]:
        entry = Path(cls, cls.__name__, (("attr", name),))
        if owner_of_class(cls) == USER and (
            vars(cls)[name] is not found or type(found) is property
        ):
            out.same.setdefault(entry.key, entry)


_DEFINED = (types.FunctionType, property)
_BY_STRING = frozenset(("vars", "__dict__", "eval", "exec", "attrgetter", "asdict", "astuple"))
_NAMESPACE = types.SimpleNamespace
_CONTAINERS = (dict, list, tuple, set, frozenset, deque, types.MappingProxyType)


def _names_of(x: Any) -> Iterator[str]:
    """The names of the values that an object and its classes hold."""
    yield from getattr(x, "__dict__", None) or ()
    for cls in type(x).__mro__:
        if owner_of_class(cls) == USER:
            slots = cls.__dict__.get("__slots__", ())
            yield from (slots,) if isinstance(slots, str) else slots
            yield from [k for k, v in vars(cls).items() if is_datum(k, v)]


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


_owners: weakref.WeakKeyDictionary[type, int] = weakref.WeakKeyDictionary()


def owner_of_class(cls: type) -> int:
    """Whose code a class is (builtins and extension types: the library's)."""
    found = _owners.get(cls)
    if found is None:
        found = _owners[cls] = _owner_by_methods(cls)
    return found


def _owner_by_methods(cls: type) -> int:
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
    out.same.setdefault(f"{f.__qualname__} {id(f)}", Path(f, f.__name__, CODE))
    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=False))
    first = code.co_varnames[0] if code.co_argcount else None
    pending = [code]
    while pending:
        c = pending.pop()
        r = reads(c)
        used.update(c.co_names)
        out.builtins.update(BUILTINS.keys() & c.co_names)
        if not _NAMED.isdisjoint(c.co_names):
            asked = [t for t in _strings(c.co_consts) if t.isidentifier()]
            used.update(asked)
            out.asked.update(asked)
            if "globals" in c.co_names:
                for name in asked:
                    if name in f.__globals__:
                        _resolve(of_global(f.__globals__, name), (), out, todo)
            if any(i.opname == "BUILD_STRING" for i in dis.get_instructions(c)):
                used.add("vars")  # a name that is put together may be any
        pending.extend(r.inner)
        for scope, name, steps in r.chains:
            root = _root(f, cells, scope, name, self_path if name == first else None, statics)
            if root is None and scope == "global" and not hasattr(builtins, name):
                path = of_global(f.__globals__, name)
                out.absent.setdefault(path.key, path)
            if root is not None:
                _resolve(root, steps, out, todo)
    for i, d in enumerate(f.__defaults__ or ()):
        path = of_default(f, i)
        out.roots.setdefault(path.key, path)
        _note(path, d, out, todo)
    for name, d in (f.__kwdefaults__ or {}).items():
        path = of_keyword_default(f, name)
        out.roots.setdefault(path.key, path)
        _note(path, d, out, todo)


_NAMED = frozenset(("getattr", "hasattr", "setattr", "globals", "attrgetter", "methodcaller"))


def _strings(constants: Iterable[Any]) -> Iterator[str]:
    for x in constants:
        if isinstance(x, str):
            yield from x.split(".")
        elif isinstance(x, (tuple, frozenset)):
            yield from _strings(x)


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
        _note_library(path, x, out, todo)
        _note_steps(x, steps, out)
        return
    out.roots.setdefault(path.key, path)
    _note(path, x, out, todo)
    for kind, key in steps:
        nxt = path.then(kind, key)
        found = getattr(type(x), key, None) if kind == "attr" else None
        if isinstance(found, property) and isinstance(found.fget, types.FunctionType):
            todo.append((found.fget, path))
        holder = x
        x = _peek(x, kind, key)  # runs no code of the user's
        if x is _MISSING:
            if kind == "attr" and of_user(type(holder)) and found is None:
                out.absent.setdefault(nxt.key, nxt)
            return
        if _is_library(x):
            _note_library(nxt, x, out, todo)
            return
        path = nxt
        _note(path, x, out, todo)


def _note_steps(x: Any, steps: tuple[Any, ...], out: Reached) -> None:
    """What is looked for in a module or class that is not the user's."""
    for kind, key in steps:
        if x is sys and key == "stdin":
            out.roots["sys.stdin"] = Path(sys, "sys.stdin", (("attr", "stdin"),), 1)
        x = getattr(x, key, None) if kind == "attr" else None
        out.clocks = out.clocks or (bool(clock_name(x)) and not is_swapped(x))


def _note_library(path: Path, x: Any, out: Reached, todo: deque[Any]) -> None:
    """A function that is not the user's, but may be exchanged: `self.activation = np.tanh`."""
    if clock_name(x) and not (
        path.steps and path.text.startswith("global ") and len(path.steps) == 1
    ):
        out.clocks = True
    of = getattr(x, "__self__", None)
    if isinstance(x, (types.ModuleType, type)) or is_swapped(x):
        return
    if isinstance(x, types.BuiltinFunctionType) and not isinstance(of, types.ModuleType | None):
        return  # a method, made anew at every look
    out.same.setdefault(path.key, path)
    for f in (getattr(x, "__wrapped__", None), *getattr(x, "registry", {}).values()):
        if isinstance(f, types.FunctionType):  # of the user's, under a decorator of functools
            _queue(f, None, todo)


def _is_library(x: Any) -> bool:
    """Modules and functions that are not the user's: their attributes are taken for constants."""
    if isinstance(x, types.ModuleType):
        file = getattr(x, "__file__", None)
        if file is None and x.__spec__ is None and x.__name__ != "__main__":
            return False  # made by hand
        return file is None or owner(file) != USER or "site-packages" in file
    if isinstance(x, (types.BuiltinFunctionType, np.ufunc, Replacement)):
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
    at = path.key
    if isinstance(x, _PLAIN) or _is_plain_container(x):
        out.equal.setdefault(at, path)
        out.scalars.add(id(x))
    elif isinstance(x, (types.FunctionType, type, functools.partial)):
        out.same.setdefault(at, path)
        _queue(x, path, todo)
    elif isinstance(x, types.MethodType):
        _queue(x, path, todo)
    elif isinstance(x, (np.random.Generator, np.random.RandomState, random.Random)):
        out.same.setdefault(at, path)
    elif isinstance(x, np.ndarray) and not hasattr(type(x), "_rec"):
        out.arrays.setdefault(at, path)
    elif isinstance(x, (dict, list, tuple, deque, types.MappingProxyType)):
        _note_entries(path, x, out, todo, depth)
    elif _is_library(x):
        _note_library(path, x, out, todo)
    elif (reads := reads_of(x)) is not None:
        _note_meant(path, x, path.then("call", reads), out, todo)
    elif not isinstance(x, (np.ndarray, set, types.ModuleType)):
        if isinstance(x, (operator.attrgetter, operator.methodcaller)):
            out.asked.update(_strings(x.__reduce__()[1]))
        out.same.setdefault(at, path)
        _queue(x, path, todo)


def _note_meant(path: Path, x: Any, meant: Path, out: Reached, todo: deque[Any]) -> None:
    """What a weak reference or a context variable stands for."""
    out.same.setdefault(path.key, path)
    try:
        _note(meant, meant.read(), out, todo)
    except LookupError:
        out.absent.setdefault(meant.key, meant)


def _is_plain_container(x: Any) -> bool:
    """A container of plain values, small enough to be compared at every call."""
    if isinstance(x, BUFFERS):
        return True
    if not isinstance(x, _CONTAINERS):
        return False
    if _BARE.issuperset(map(type, x)) and not hasattr(x, "values"):
        return True
    entries = (*x, *x.values()) if hasattr(x, "values") else x
    return all(isinstance(e, _PLAIN) for e in entries)


def _note_entries(path: Path, x: Any, out: Reached, todo: deque[Any], depth: int) -> None:
    """A container of arrays, objects and others: how many there are, and each that is small."""
    at = path.key
    out.length.setdefault(at, path)
    if depth < 8 and len(x) <= _ENTRIES and at not in out.entered:
        out.entered.add(at)
        for k, e in x.items() if hasattr(x, "items") else enumerate(x):
            _note(path.then("item", k), e, out, todo, depth + 1)


_ENTRIES = 1000
_BARE = frozenset((int, float, complex, bool, str, bytes, type(None)))

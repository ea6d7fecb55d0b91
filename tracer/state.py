"""Captured state: which globals, cells and attributes a function reads, found without running it.

Roots are the names that its code (and that of the user's functions it reaches) loads from globals
and cells.  Numbers, strings, functions and modules found along the chains of attributes that the
code spells are guarded; arrays are searched from the roots by identity when they meet a Tracer.
"""

from __future__ import annotations

import dis
import enum
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .facts import Capture, StateGuard
from .place import USER, owner

_MISSING: Any = object()
_DEPTH = 4
_LIMIT = 20_000  # objects looked at in one search


@dataclass(frozen=True)
class Path:
    """How to reach a value: a root, then attributes and items."""

    read_root: Callable[[], Any]
    text: str
    steps: tuple[tuple[str, Any], ...] = ()

    def read(self) -> Any:
        """The value of now; LookupError where the path leads nowhere."""
        x = self.read_root()
        if x is _MISSING:
            raise LookupError(self.describe())
        for kind, key in self.steps:
            try:
                x = getattr(x, key) if kind == "attr" else x[key]
            except (AttributeError, TypeError, LookupError) as error:
                raise LookupError(self.describe()) from error
        return x

    def then(self, kind: str, key: Any) -> Path:
        """The path one step further."""
        return Path(self.read_root, self.text, (*self.steps, (kind, key)))

    def describe(self) -> str:
        """The path as Python would spell it: "global net.layers[0].W"."""
        spelled = "".join(f".{k}" if kind == "attr" else f"[{k!r}]" for kind, k in self.steps)
        return self.text + spelled


# ------------------------------------------------------------------ what code reads


@dataclass(frozen=True)
class Reads:
    """Chains that one code object loads: (scope, name, steps), scope being global, cell, local."""

    chains: tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...]
    inner: tuple[types.CodeType, ...]


@functools.lru_cache(maxsize=4096)
def reads(code: types.CodeType) -> Reads:
    """One scan of a code object."""
    found: dict[Any, None] = {}
    chain: tuple[str, str, tuple[tuple[str, Any], ...]] | None = None
    pending: Any = _MISSING
    for i in dis.get_instructions(code):
        op = i.opname
        if op in ("CACHE", "PRECALL", "PUSH_NULL", "COPY_FREE_VARS", "RESUME"):
            continue
        if op in ("LOAD_GLOBAL", "LOAD_NAME"):
            chain, pending = ("global", str(i.argval), ()), _MISSING
        elif op in ("LOAD_DEREF", "LOAD_CLASSDEREF"):
            chain, pending = ("cell", str(i.argval), ()), _MISSING
        elif op in ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK"):
            chain, pending = ("local", str(i.argval), ()), _MISSING
        elif op in ("LOAD_ATTR", "LOAD_METHOD") and chain is not None:
            chain = (chain[0], chain[1], (*chain[2], ("attr", str(i.argval))))
        elif op in ("LOAD_CONST", "LOAD_SMALL_INT") and isinstance(i.argval, (str, int)):
            pending = i.argval
            continue
        elif op == "BINARY_SUBSCR" and chain is not None and pending is not _MISSING:
            chain = (chain[0], chain[1], (*chain[2], ("item", pending)))
            pending = _MISSING
        else:
            chain, pending = None, _MISSING
            continue
        found[chain] = None
    inner = tuple(c for c in code.co_consts if isinstance(c, types.CodeType))
    return Reads(tuple(found), inner)


# ------------------------------------------------------------------ walking what is reached


@dataclass
class Reached:
    """What a function reaches: roots of search, guards, globals of user modules, generators."""

    roots: dict[str, Path] = field(default_factory=dict)
    equal: dict[str, Path] = field(default_factory=dict)
    same: dict[str, Path] = field(default_factory=dict)
    globals: dict[int, dict[str, Any]] = field(default_factory=dict)
    generators: list[tuple[Path, Any]] = field(default_factory=list)
    scalars: set[int] = field(default_factory=set)

    def guards(self) -> list[StateGuard]:
        """Guards on the values of now: those that the function itself wrote have settled."""
        out = []
        for make, paths in ((_equal_guard, self.equal), (_same_guard, self.same)):
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
        root = Path(functools.partial(_same, x), text)
        out.roots[text] = root
    itself = Path(functools.partial(_same, fn), "the function")
    if not isinstance(fn, types.FunctionType):
        out.roots[itself.text] = itself
    _queue(fn, itself, todo)
    while todo and len(seen) < 2000:
        f, owner_path = todo.popleft()
        code = f.__code__
        mark = (code, id(f.__closure__) if f.__closure__ else 0, owner_path and owner_path.describe())
        if mark in seen or owner(code.co_filename) != USER:
            continue
        seen.add(mark)
        out.globals[id(f.__globals__)] = f.__globals__
        _scan(f, code, owner_path, dict(statics), out, todo)
    return out


def _same(x: Any) -> Any:
    return x


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
        yield x.__func__, Path(functools.partial(_same, x.__self__), "self") if (
            path is None or path.text == "the function"
        ) else _owner(path)
    elif isinstance(x, functools.partial):
        yield from _functions(x.func, path and path.then("attr", "func"), depth + 1)
    elif isinstance(x, type):
        if owner_of_class(x) == USER:
            for f in vars(x).values():
                f = getattr(f, "__func__", getattr(f, "fget", f))
                if isinstance(f, types.FunctionType):
                    yield f, None
    elif owner_of_class(type(x)) == USER or hasattr(type(x), "__wrapped__"):
        inner = getattr(x, "__wrapped__", None)
        if inner is not None:
            yield from _functions(inner, None, depth + 1)
        for f in _methods(type(x)):
            yield f, path


def _owner(path: Path) -> Path:
    """The path of the object that a method was taken from."""
    return Path(path.read_root, path.text, path.steps[:-1]) if path.steps else path


def _methods(cls: type) -> Iterator[Any]:
    for base in cls.__mro__:
        if owner_of_class(base) == USER:
            for f in vars(base).values():
                f = getattr(f, "__func__", getattr(f, "fget", f))
                if isinstance(f, types.FunctionType):
                    yield f


def owner_of_class(cls: type) -> int:
    """Whose code a class is (builtins and extension types: the library's)."""
    for f in vars(cls).values():
        f = getattr(f, "__func__", getattr(f, "fget", f))
        if isinstance(f, types.FunctionType):
            return owner(f.__code__.co_filename)
    return USER if cls.__module__ == "__main__" else -1


def _scan(
    f: Any, code: types.CodeType, self_path: Path | None, statics: dict[str, Any], out: Reached,
    todo: deque[Any],
) -> None:  # fmt: skip
    """Resolve the chains of one function, and of the code nested in it."""
    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=False))
    first = code.co_varnames[0] if code.co_argcount else None
    pending = [code]
    while pending:
        c = pending.pop()
        r = reads(c)
        pending.extend(r.inner)
        for scope, name, steps in r.chains:
            root = _root(f, cells, scope, name, self_path if name == first else None, statics)
            if root is not None:
                _resolve(root, steps, out, todo)
    for i, d in enumerate(f.__defaults__ or ()):
        path = Path(functools.partial(_default, f, i), f"default {i} of {f.__name__}")
        out.roots.setdefault(path.text, path)
        _note(path, d, out, todo)


def _default(f: Any, i: int) -> Any:
    return (f.__defaults__ or ())[i] if i < len(f.__defaults__ or ()) else _MISSING


def _root(
    f: Any, cells: dict[str, Any], scope: str, name: str, self_path: Path | None,
    statics: dict[str, Any],
) -> Path | None:  # fmt: skip
    if scope == "local":
        if self_path is not None:
            return self_path
        return Path(functools.partial(_same, statics[name]), name) if name in statics else None
    if scope == "cell":
        if name not in cells:
            return None
        return Path(functools.partial(_cell, cells[name]), f"closure {name}")
    return Path(functools.partial(_global, f.__globals__, name), f"global {name}")


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _global(names: dict[str, Any], name: str) -> Any:
    x = names.get(name, _MISSING)
    if x is _MISSING:
        builtins = names.get("__builtins__", {})
        found = builtins if isinstance(builtins, dict) else vars(builtins)
        return found.get(name, _MISSING)
    return x


def _resolve(root: Path, steps: tuple[Any, ...], out: Reached, todo: deque[Any]) -> None:
    """Guard or note every value along a chain."""
    path = Path(root.read_root, root.text, root.steps)
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
        # Neither properties nor lazy items may run user code here.
        x = _peek(x, kind, key)
        if x is _MISSING or _is_library(x):
            return
        path = nxt
        _note(path, x, out, todo)


def _is_library(x: Any) -> bool:
    """Modules and functions that are not the user's: their attributes are taken for constants."""
    if isinstance(x, types.ModuleType):
        file = getattr(x, "__file__", None)
        return file is None or owner(file) != USER or "site-packages" in file or "/lib/python" in file
    if isinstance(x, (types.BuiltinFunctionType, np.ufunc)):
        return True
    if isinstance(x, type) and x.__module__ in ("builtins", "numpy"):
        return True
    return isinstance(x, types.FunctionType) and owner(x.__code__.co_filename) != USER


def _peek(x: Any, kind: str, key: Any) -> Any:
    """An attribute or item without running code of the user's."""
    if kind == "item":
        if type(x) in (dict, list, tuple):
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


def _note(path: Path, x: Any, out: Reached, todo: deque[Any]) -> None:
    """What a value found along a chain asks for."""
    text = path.describe()
    if isinstance(x, _PLAIN) or type(x) is tuple and all(isinstance(e, _PLAIN) for e in x):
        out.equal.setdefault(text, path)
        out.scalars.add(id(x))
    elif isinstance(x, (types.FunctionType, types.MethodType, type, functools.partial)):
        if not isinstance(x, types.MethodType):
            out.same.setdefault(text, path)
        _queue(x, path, todo)
    elif isinstance(x, (np.random.Generator, np.random.RandomState)):
        out.generators.append((path, x))
    elif not isinstance(x, (np.ndarray, dict, list, tuple, set, types.ModuleType)):
        _queue(x, path, todo)


def _equal_guard(path: Path, wanted: Any) -> StateGuard:
    kind = type(wanted)

    def check() -> bool:
        try:
            x = path.read()
        except LookupError:
            return False
        return x is wanted or (type(x) is kind and bool(x == wanted))

    return StateGuard(check, f"{path.describe()} == {wanted!r}")


def _same_guard(path: Path, wanted: Any) -> StateGuard:
    def check() -> bool:
        try:
            return path.read() is wanted
        except LookupError:
            return False

    return StateGuard(check, f"{path.describe()} is the same object")


# ------------------------------------------------------------------ finding arrays


class Finder:
    """Searches paths to arrays from the roots of one traced function."""

    def __init__(self, reached: Reached) -> None:
        self._reached = reached

    def find(self, x: np.ndarray) -> tuple[Capture, list[StateGuard]] | None:
        """A live capture for an array: by its own path, or as a view of an array that has one."""
        path = self._search(x)
        if path is not None:
            return Capture(path.read, path.describe(), x), []
        memory = _owner_of(x)
        for base, path in self._walk():
            if isinstance(base, np.ndarray) and _owner_of(base) is memory and _inside(x, base):
                return _view_capture(path, base, x)
        return None

    def _search(self, x: np.ndarray) -> Path | None:
        return next((path for obj, path in self._walk() if obj is x), None)

    def _walk(self) -> Iterator[tuple[Any, Path]]:
        """Objects reached from the roots, breadth first."""
        todo: deque[tuple[Any, Path, int]] = deque()
        for path in self._reached.roots.values():
            try:
                todo.append((path.read(), path, 0))
            except LookupError:
                continue
        seen: set[int] = set()
        while todo and len(seen) < _LIMIT:
            obj, path, depth = todo.popleft()
            if id(obj) in seen:
                continue
            seen.add(id(obj))
            yield obj, path
            if depth < _DEPTH:
                for child, kind, key in _children(obj):
                    todo.append((child, path.then(kind, key), depth + 1))

    def arrays(self) -> list[Capture]:
        """The arrays within reach: what was made while tracing may be made from them."""
        return [
            Capture(path.read, path.describe(), obj)
            for obj, path in self._walk()
            if isinstance(obj, np.ndarray) and obj.dtype != object
        ]


def _owner_of(x: np.ndarray) -> Any:
    """The object that owns an array's memory."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def _inside(x: np.ndarray, base: np.ndarray) -> bool:
    low, high = byte_bounds(base)
    first, last = byte_bounds(x)
    return low <= first and last <= high


def _children(obj: Any) -> Iterator[tuple[Any, str, Any]]:
    """What a search may step to: items of plain containers, attributes of the user's objects."""
    if type(obj) in (dict,):
        for k, v in obj.items():
            if isinstance(k, (str, int)):
                yield v, "item", k
    elif type(obj) in (list, tuple):
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
    else:
        names = getattr(obj, "__dict__", None)
        if isinstance(names, dict):
            for k, v in names.items():
                yield v, "attr", k
        for cls in type(obj).__mro__:
            for k in _slots(cls):
                v = getattr(obj, k, _MISSING)
                if v is not _MISSING:
                    yield v, "attr", k


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

    guard = StateGuard(same_layout, f"the layout of {path.describe()}")
    return Capture(read, f"a view of {path.describe()}", x), [guard]


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

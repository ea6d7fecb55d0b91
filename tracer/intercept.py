"""What escapes NumPy's protocols is swapped while a trace is open: constructors, `math`, random.

The swap is of module attributes, and of the same names in the globals of the user's functions.
A replacement falls through to the original unless this thread traces and the Python frame above
is really the caller (`caller`), so that it is right for ever, in every thread.
"""

from __future__ import annotations

import builtins
import copyreg
import functools
import importlib
import operator
import sys
import threading
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from .caller import calls_directly
from .lent import called
from .place import OURS, USER, fills, owner
from .record import recorder, stack
from .tracer import Tracer
from .watched import Watched, bare, fallen_through, leaves

Act = Callable[..., Any]  # (original, from_user, args, kwargs) -> result, or DECLINE
DECLINE: Any = object()

_PICKLED: Any = (BuiltinFunctionType, type(np.concatenate))
_lock = threading.RLock()
_open = 0
# (holder, name, original, replacement); a holder is a module or the globals of a user's function.
_swapped: list[tuple[Any, str, Any, Any]] = []
_types: list[tuple[Any, str, Any, Any]] = []  # those whose original is a class
_modules: dict[int, _Table] = {}
_others: list[tuple[Any, str, Any, Any]] = []  # of classes and instances
_replacements: dict[int, Any] = {}  # id(original) -> replacement
BUILTINS: dict[str, Any] = {}
_rebound: dict[tuple[int, str], tuple[dict[str, Any], Any, Any]] = {}
_added: dict[tuple[int, str], tuple[dict[str, Any], Any]] = {}
_refilled: dict[int, tuple[CellType, Any, Any]] = {}
_acts: dict[int, tuple[Any, Act]] = {}  # id(original) -> original, what it means in a trace


class Replacement:
    """What stands in the place of a function that is called by its name.

    It looks like the original, also to pickle: a function that is no attribute of its module any
    more could not be pickled, in whatever thread it is kept.
    """

    def __init__(self, original: Any, act: Act) -> None:
        functools.update_wrapper(self, original)
        self._name = getattr(original, "__name__", "")
        self._act = act

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        original: Any = self.__wrapped__  # type: ignore[attr-defined]
        if not stack():
            return original(*args, **kwargs)
        frame = sys._getframe(1)
        who = owner(frame.f_code.co_filename)
        if who == OURS or not (calls_directly(frame, self, self._name) or self._means(args)):
            return original(*args, **kwargs)
        rec = recorder()
        rec.enter(frame)
        user = who == USER or fills(frame, Tracer)
        if rec.level:
            return called(rec, functools.partial(self._answer, user), user, args, kwargs)
        watched = Watched in map(type, args)
        out = self._act(original, user, tuple(map(bare, args)) if watched else args, kwargs)
        if out is not DECLINE:
            return out
        if watched:
            return fallen_through(original, args, kwargs)
        out = original(*args, **kwargs)
        if user and type(out) is np.ndarray:
            rec.made(out, leaves((args, kwargs)))
        return out

    def _means(self, args: Any) -> bool:
        """Whether it is meant wherever it is called from: `map(math.sin, x)`.

        The original would raise, and nobody takes what `math` returns for an array.
        """
        return self.__module__ == "math" and Tracer in map(type, args)

    def _answer(self, user: bool, args: Any, kwargs: Any) -> Any:
        """What the call means, or what the original answers."""
        original: Any = self.__wrapped__  # type: ignore[attr-defined]
        out = self._act(original, user, args, kwargs)
        return original(*args, **kwargs) if out is DECLINE else out

    def __repr__(self) -> str:
        return repr(self.__wrapped__)  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        return _by_name(self.__wrapped__)  # type: ignore[attr-defined]


class _Module:
    """A module, for pickle: by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> Any:
        return importlib.import_module, (self._name,)


def _by_name(f: Any) -> Any:
    """How a function is pickled that may be swapped just now: looked up in its module, later."""
    if isinstance(f, MethodType):
        return f.__reduce__()
    name = getattr(f, "__qualname__", f.__name__)
    return operator.attrgetter(name), (_Module(f.__module__),)


def _reduce(f: Any) -> Any:
    """How builtin functions, and those of NumPy that dispatch, are pickled."""
    found = _acts.get(id(f))
    return f.__reduce_ex__(4) if found is None or found[0] is not f else _by_name(f)


def _slot(original: Any, act: Act) -> Any:
    """The same for a slot of a class, which is not called by name.

    Its `act` must decline unless a Tracer was handed to it.
    """

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not stack():
            return original(*args, **kwargs)
        frame = sys._getframe(1)
        who = owner(frame.f_code.co_filename)
        if who == OURS:
            return original(*args, **kwargs)
        recorder().enter(frame)
        out = act(original, who == USER or fills(frame, Tracer), args, kwargs)
        return original(*args, **kwargs) if out is DECLINE else out

    return call


def enter(module: Any, name: str, act: Act, *, direct: bool = True) -> None:
    """Add a function of a module (or a method of an instance or a class) to the table."""
    original = getattr(module, name, None)
    if original is not None:
        if direct:
            _acts.setdefault(id(original), (original, act))
        new = Replacement(original, act) if direct else _slot(original, act)
        _swap(module, name, original, new)


def interpreted(fn: Any) -> Any:
    """What a function handed to a transformation is called as: itself, or what stands for it."""
    found = _acts.get(id(fn))
    if found is None or found[0] is not fn:
        return fn

    def call(*args: Any, **kwargs: Any) -> Any:
        out = found[1](fn, True, args, kwargs)
        return fn(*args, **kwargs) if out is DECLINE else out

    return call


def enter_object(module: Any, name: str, new: Any) -> None:
    """Add an object (np.c_ and kin) to the table."""
    _swap(module, name, getattr(module, name), new)


def enter_builtin(name: str, new: Any) -> None:
    """Let a name of Python's be bound to this in the globals of users' functions that name it."""
    BUILTINS[name] = new


def _swap(module: Any, name: str, original: Any, new: Any) -> None:
    _swapped.append((module, name, original, new))
    if isinstance(original, type):
        _types.append(_swapped[-1])
    _replacements.setdefault(id(original), new)
    if isinstance(original, FunctionType) and isinstance(module, ModuleType):
        f: FunctionType = original
        home = str(original.__globals__.get("__name__", ""))
        if home != module.__name__ and getattr(sys.modules.get(home), name, None) is original:
            _homes.append((f, home, str(f.__module__)))
    if isinstance(module, ModuleType) and vars(module).get(name) is original:
        _modules.setdefault(id(module), _Table(vars(module))).enter(name, original, new)
    else:
        _others.append((module, name, original, new))


class _Table:
    """The names of one module: swapped together, because a trace should cost little to open."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.originals: dict[str, Any] = {}
        self.news: dict[str, Any] = {}
        self._looks: Callable[[dict[str, Any]], Iterable[Any]] | None = None

    def enter(self, name: str, original: Any, new: Any) -> None:
        """Add a name, which is bound to the original."""
        self.originals[name], self.news[name] = original, new
        self._looks = None

    def _bound(self) -> Iterable[Any]:
        """What the names are bound to, all looked up at once; KeyError where one is gone."""
        if self._looks is None:
            self._looks = operator.itemgetter(*self.originals, "__name__")  # a tuple: two at least
        return self._looks(self.names)

    def swap(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Bind the names to `new` where they are bound to `old`."""
        try:
            untouched = all(map(operator.is_, self._bound(), old.values()))
        except KeyError:
            untouched = False
        if untouched:
            self.names.update(new)
        else:  # somebody else patched one of them: it stays theirs
            self.names.update({n: new[n] for n in old if self.names.get(n) is old[n]})


# Python functions, which pickle finds by `__module__` alone: where else they stand by their name.
_homes: list[tuple[FunctionType, str, str]] = []


def shown_module(f: Any) -> str:
    """The module of a function as users know it, also while a trace is open."""
    return next((shown for g, _, shown in _homes if g is f), f.__module__)


def is_swapped(x: Any) -> bool:
    """Whether names that are bound to this are bound to something else while a trace is open."""
    if any(x is new for new in BUILTINS.values()):
        return True
    return id(x) in _replacements or id(getattr(x, "__wrapped__", None)) in _replacements


def replacements() -> list[tuple[int, Any]]:
    """Every replacement by the id of its original."""
    return [(id(original), new) for _, _, original, new in _swapped]


class Interception:
    """The scope of one trace: the first opens the swap, the last closes it."""

    def __init__(
        self,
        globals_: Iterable[dict[str, Any]],
        cells: Iterable[CellType] = (),
        stand: Callable[[Any], Any] | None = None,
        builtins: Iterable[str] = (),
    ) -> None:
        self._globals = list(globals_)
        self._cells = list(cells)
        self._stand = stand
        self._builtins = {name: BUILTINS[name] for name in builtins}

    def __enter__(self) -> None:
        global _open
        with _lock:
            _open += 1
            if _open == 1:
                for kind in _PICKLED:
                    copyreg.pickle(kind, _reduce)
                _refresh_scipy()
                for f, home, _ in _homes:
                    f.__module__ = home
                _swap_all()
                if _scipy_tables and builtins.__import__ is _IMPORT:
                    builtins.__import__ = _import
            for names in self._globals:
                _rebind(names, self._stand)
                _add(names, self._builtins)
            for cell in self._cells:
                _refill(cell, self._stand)

    def __exit__(self, *_: object) -> None:
        global _open
        with _lock:
            _open -= 1
            if _open:
                return
            if builtins.__import__ is _import:
                builtins.__import__ = _IMPORT
            for table in _modules.values():
                table.swap(table.news, table.originals)
            for module, name, original, new in _others:
                if getattr(module, name, None) is not new:
                    continue
                if isinstance(original, MethodType):
                    delattr(module, name)  # the class has it
                else:
                    setattr(module, name, original)
            for (_id, name), (names, original, new) in _rebound.items():
                if names.get(name) is new:
                    names[name] = original
            _rebound.clear()
            for (_id, name), (names, new) in _added.items():
                if names.get(name) is new:
                    del names[name]
            _added.clear()
            for cell, original, new in _refilled.values():
                if _contents(cell) is new:
                    cell.cell_contents = original
            _refilled.clear()
            for f, _home, shown in _homes:
                f.__module__ = shown


def _swap_all() -> None:
    """Put every replacement in its place, unless something else stands there."""
    for table in _modules.values():
        table.swap(table.originals, table.news)
    for module, name, original, new in _others:
        if _is(getattr(module, name, None), original):
            setattr(module, name, new)


def _is(found: Any, original: Any) -> bool:
    """Identity; bound methods are made anew at every look."""
    return found is original or (isinstance(original, MethodType) and bool(found == original))


def _replacement(x: Any, stand: Callable[[Any], Any] | None) -> Any:
    """What a name that is bound to this is bound to in a trace, or None."""
    new = _replacements.get(id(x))
    return new if new is not None or stand is None else stand(x)


def _rebind(names: dict[str, Any], stand: Callable[[Any], Any] | None) -> None:
    """Names of a user module that are bound to an original."""
    for name, x in list(names.items()):
        new = _replacement(x, stand)
        if new is not None and new is not x:
            names[name] = new
            _rebound[id(names), name] = (names, x, new)


def _add(names: dict[str, Any], new: dict[str, Any]) -> None:
    """Names that a user module has of Python itself."""
    for name, x in new.items():
        if name not in names:
            names[name] = x
            _added[id(names), name] = names, x


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _refill(cell: CellType, stand: Callable[[Any], Any] | None) -> None:
    """A variable of an enclosing function that is bound to an original."""
    x = _contents(cell)
    new = _replacement(x, stand)
    if new is not None and new is not x:
        cell.cell_contents = new
        _refilled[id(cell)] = (cell, x, new)


_scipy_tables: list[Callable[[], bool]] = []  # each returns True once it has entered its names


def when_imported(fill: Callable[[], bool]) -> None:
    """Enter names of a module that adjit must not import itself."""
    _scipy_tables.append(fill)


def _refresh_scipy() -> bool:
    """Enter the names of modules that are there now; whether there were any."""
    before = len(_scipy_tables)
    _scipy_tables[:] = [fill for fill in _scipy_tables if not fill()]
    return len(_scipy_tables) < before


# ------------------------------------------------------------------ imports while a trace is open

_IMPORT = builtins.__import__
_depth = threading.local()


def _import(*args: Any, **kwargs: Any) -> Any:
    """`import`, after which the names of a module that was not there before are swapped too."""
    now = getattr(_depth, "now", 0)
    types = [] if now else [s for s in _types if getattr(s[0], s[1], None) is s[3]]
    _depth.now = now + 1
    for module, name, original, _ in types:  # compiled modules look at them when they are loaded
        setattr(module, name, original)
    try:
        return _IMPORT(*args, **kwargs)
    finally:
        _depth.now -= 1
        for module, name, original, new in types:
            if _open and getattr(module, name, None) is original:
                setattr(module, name, new)
        if not _depth.now and _scipy_tables:  # what is still being imported lacks names
            with _lock:
                if _open and _refresh_scipy():
                    _swap_all()

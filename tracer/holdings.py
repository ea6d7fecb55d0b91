"""What a function may change: the objects within its reach, and what they hold at one moment."""

from __future__ import annotations

import functools
import operator
import random
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import Any, NamedTuple

import numpy as np

from ..ir.records import dataclass
from .guards import content_mark
from .hidden import Hidden
from .paths import GONE, Path
from .place import USER, owner
from .tracer import Tracer
from .watched import bare

ABSENT: Any = object()
_BARE = frozenset((int, float, complex, bool, str, bytes, type(None), types.EllipsisType))
_PLAIN = (bool, int, float, complex, str, bytes, np.generic)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
GENERATORS = (
    np.random.Generator,
    np.random.RandomState,
    np.random.BitGenerator,
    random.Random,
)
_LIMIT = 20_000
_DEPTH = 100
_MANY = 1000  # plain entries of a container that are not looked at one by one


class Slot(NamedTuple):
    """Where an object is held: an item, an attribute or a member of its holder."""

    holder: Any
    kind: str
    key: Any

    @property
    def id(self) -> tuple[int, str, Any]:
        return id(self.holder), self.kind, self.key if _hashable(self.key) else id(self.key)


@dataclass
class Box:
    """An object that holds others: its path, and what it held."""

    obj: Any
    path: Path
    held: dict[Any, Any]  # by (kind, key)


@dataclass
class Leaf:
    """An object whose content may change: an array, a generator, an iterator."""

    obj: Any
    path: Path
    mark: Any


@dataclass
class Holdings:
    """What was found from the roots."""

    boxes: dict[int, Box] = field(default_factory=dict)
    leaves: dict[int, Leaf] = field(default_factory=dict)
    slots: dict[Any, tuple[Slot, Path, Any]] = field(default_factory=dict)  # of the roots

    def all(self) -> Iterator[tuple[Slot, Any]]:
        """Every slot, and what it held."""
        for slot, _, x in self.slots.values():
            yield slot, x
        for box in self.boxes.values():
            for k, x in box.held.items():
                yield Slot(box.obj, *k), x

    def put_there(self, path: Path) -> bool:
        """Whether something on this path was not there then."""
        x = path.base
        try:
            for kind, key in path.steps:
                holder, x = x, x[key] if kind == "item" else getattr(x, key)
                box = self.boxes.get(id(holder))
                slot = self.slots.get((id(holder), kind, key))
                then = slot[2] if slot is not None else x
                if box is not None and (kind, key) in box.held:
                    then = box.held[kind, key]
                elif box is not None and kind == "item":
                    then = ABSENT
                if not _same(then, x):
                    return True
        except Exception:  # the path is gone, or the user's code ran and raised
            return True
        return False


class Change(NamedTuple):
    """What is not as it was: a slot that holds something else, or the content of an object."""

    path: Path
    slot: Slot | None
    obj: Any
    keys: frozenset[Any] = frozenset()  # of a container: the entries that came, went or changed
    grown: bool = False  # a list that was appended to


# ------------------------------------------------------------------ looking


def holdings(roots: Iterable[Path], marks: bool = True) -> Holdings:
    """What lies within reach of these paths now; without `marks`, not what lies in arrays."""
    out = Holdings()
    todo: deque[tuple[Any, Path, int]] = deque()
    for path in roots:
        x = path.base
        for k, step in enumerate(path.steps):
            holder, here = x, Path(path.base, path.text, path.steps[: k + 1], path.told)
            x = _read(Path(holder, "", (step,)))
            if x is not ABSENT or isinstance(holder, dict):
                slot = Slot(holder, *step)
                out.slots.setdefault(slot.id, (slot, here, x))
            if x is ABSENT:
                break
        if x is not ABSENT:
            todo.append((x, path, 0))
    seen: set[int] = set()
    while todo and len(seen) < _LIMIT:
        x, path, depth = todo.popleft()
        if type(x) in _BARE or type(x) is Hidden or id(x) in seen:
            continue
        seen.add(id(x))
        plain = not marks and issubclass(type(x), np.ndarray)
        mark = () if plain else _mark(x)
        if mark is not None:
            out.leaves[id(x)] = Leaf(x, path, mark)
            continue
        held = _held(x)
        if held is None:
            continue
        out.boxes[id(x)] = Box(x, path, held)
        if depth < _DEPTH:
            for (kind, key), y in held.items():
                if type(y) not in _BARE:
                    todo.append((y, path.then(kind, key), depth + 1))
    return out


def _read(path: Path) -> Any:
    try:
        return path.read()
    except LookupError:
        return ABSENT


def _held(x: Any) -> dict[Any, Any] | None:
    """What an object holds; None where nobody looks inside."""
    if isinstance(x, dict):
        found = {("item", k): v for k, v in x.items()}
        return found | _attributes(x)
    if isinstance(x, (list, tuple)):
        return {("item", k): v for k, v in enumerate(x)} | _attributes(x)
    if isinstance(x, (set, frozenset)):
        return {("member", v): v for v in x}
    if isinstance(x, deque):
        return {("item", k): v for k, v in enumerate(x)}
    if isinstance(x, types.MappingProxyType):
        return {("item", k): v for k, v in x.items()}
    if isinstance(x, functools.partial):
        return {("attr", k): getattr(x, k) for k in ("func", "args", "keywords")}
    if isinstance(x, types.MethodType | types.BuiltinFunctionType):
        return {("attr", "__self__"): x.__self__}
    if isinstance(x, types.FunctionType):
        found = {("attr", k): v for k, v in vars(x).items() if k != COMPANIONS}
        for k in ("__defaults__", "__kwdefaults__"):
            found["attr", k] = getattr(x, k)
        return found if of_user(x) else None
    if isinstance(x, type):
        if not of_user(x):
            return None
        return {("attr", k): v for k, v in vars(x).items() if is_datum(k, v)}
    if isinstance(x, types.ModuleType) or not (of_user(type(x)) or type(x) is _NAMESPACE):
        return None
    found = _attributes(x)
    for cls in type(x).__mro__:
        if of_user(cls):
            found["attr", "__class__"] = type(x)
            break
    return found


_NAMESPACE = types.SimpleNamespace
COMPANIONS = "__adjit__"  # what adjit itself keeps at a function that it transforms


def _attributes(x: Any) -> dict[Any, Any]:
    """The attributes of an instance, those in slots too."""
    if type(x) in _CONTAINERS:
        return {}
    own = getattr(x, "__dict__", None) or {}
    found = {("attr", k): v for k, v in own.items() if k != COMPANIONS}
    for cls in type(x).__mro__:
        names = cls.__dict__.get("__slots__", ())
        for k in (names,) if isinstance(names, str) else names:
            if (v := getattr(x, k, ABSENT)) is not ABSENT:
                found["attr", k] = v
    return found


def is_datum(name: str, x: Any) -> bool:
    """Whether an attribute of a class is a value, and not a part of its definition."""
    return not (
        (name.startswith("__") and name.endswith("__"))
        or isinstance(x, types.FunctionType | property | classmethod | staticmethod)
        or hasattr(type(x), "__get__")
        or name == "_abc_impl"
    )


def of_user(x: Any) -> bool:
    """Whether a class or function stands in the user's code."""
    module = sys.modules.get(getattr(x, "__module__", None) or "")
    if module is None:
        return not isinstance(x, type) or not x.__module__.startswith(("builtins", "numpy"))
    file = getattr(module, "__file__", None)
    return module.__name__ == "__main__" or (file is not None and owner(file) == USER)


# ------------------------------------------------------------------ what changes by itself


def _mark(x: Any) -> Any:
    """What tells whether the content of an object changed; None for all others."""
    if type(x) is Tracer:
        return None
    if isinstance(x, np.ndarray):
        return content_mark(x)
    if isinstance(x, GENERATORS):
        return random_state(x)
    if hasattr(type(x), "__next__") and not of_user(type(x)):
        return _position(x)
    if isinstance(x, bytearray):
        return bytes(x)
    if type(x) in _CONTAINERS and len(x) > _MANY:  # cheaper to copy than to list
        if type(x) is dict:
            return dict(x) if _BARE.issuperset(map(type, x.values())) else None
        return tuple(x) if _BARE.issuperset(map(type, x)) else None
    return None


def random_state(generator: Any) -> str:
    """What tells whether a generator drew."""
    if isinstance(generator, random.Random):
        return repr(generator.getstate())
    if isinstance(generator, np.random.RandomState):
        return repr(generator.get_state())
    return repr(getattr(generator, "bit_generator", generator).state)


def _position(x: Any) -> Any:
    """Where an iterator stands; what equals nothing, if that cannot be known."""
    kind = type(x)
    if kind.__name__ == "count" and kind.__module__ == "itertools":
        return repr(x)
    if kind.__module__ == "builtins" and kind.__name__.endswith("iterator"):
        try:
            return x.__length_hint__()
        except AttributeError:
            return object()
    return object()


# ------------------------------------------------------------------ comparing


def changes(before: Holdings) -> list[Change]:
    """What is no more as it was."""
    found: list[Change] = []
    for slot, path, x in before.slots.values():
        now = _read(path)
        if not _same(x, now):
            found.append(Change(path, slot, now))
    for box in before.boxes.values():
        held = _held(box.obj) or {}
        if held.keys() == box.held.keys() and all(
            map(operator.is_, held.values(), box.held.values())
        ):
            continue
        odd = [k for k, v in held.items() if not _same(v, box.held.get(k, ABSENT))]
        gone = [k for k in box.held if k not in held]
        fixed = not isinstance(box.obj, (set, deque)) and held.keys() == box.held.keys()
        if fixed or not isinstance(box.obj, (dict, list, set, deque)):
            for k in (*odd, *gone):
                slot = Slot(box.obj, *k)
                found.append(Change(box.path.then(*k), slot, held.get(k, ABSENT)))
        elif odd or gone:
            keys = frozenset(k[1] for k in (*odd, *gone) if _hashable(k[1]))
            grown = isinstance(box.obj, list) and not gone and not any(k in box.held for k in odd)
            found.append(Change(box.path, None, box.obj, keys, grown))
    leaves = before.leaves.values()
    return found + [Change(x.path, None, x.obj) for x in leaves if _mark(x.obj) != x.mark]


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):  # one may stand for the other: see intercept
        wrapped = getattr(a, "__wrapped__", a), getattr(b, "__wrapped__", b)
        return bare(a) is bare(b) or wrapped[0] is wrapped[1] or wrapped[0] is b or wrapped[1] is a
    if isinstance(a, _PLAIN):
        try:
            return bool(a == b) or bool(a != a and b != b)
        except Exception:
            return False
    if isinstance(a, types.MethodType | types.BuiltinFunctionType):
        return bool(a == b)
    if isinstance(a, tuple) and len(a) == len(b):
        return all(map(_same, a, b))
    if isinstance(a, types.FunctionType):
        return getattr(a, "__wrapped__", a) is getattr(b, "__wrapped__", b)
    return False


def _hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


# ------------------------------------------------------------------ writing


def put(slot: Slot, x: Any) -> bool:
    """Let a slot hold something; whether that can be done."""
    holder, kind, key = slot
    try:
        if kind == "item" and isinstance(holder, (dict, list, deque)):
            if x is not ABSENT:
                holder[key] = x
            elif isinstance(holder, dict):
                holder.pop(key, None)
            return True
        if kind == "attr" and not isinstance(holder, (tuple, functools.partial)):
            if x is not ABSENT:
                _set(holder, key, x)
            else:
                delattr(holder, key)
            return True
    except (*GONE, TypeError, RuntimeError):
        pass
    return False


def _set(holder: Any, name: str, x: Any) -> None:
    if isinstance(holder, type):
        type.__setattr__(holder, name, x)
    elif isinstance(holder, types.FunctionType | types.CellType | types.ModuleType):
        setattr(holder, name, x)
    else:
        object.__setattr__(holder, name, x)


def restore(then: Holdings) -> None:
    """Let containers and objects hold what they held then."""
    for slot, _, x in then.slots.values():
        if slot.holder is not ABSENT and not isinstance(slot.holder, tuple):
            put(slot, x)
    for box in then.boxes.values():
        obj = box.obj
        held = _held(obj) or {}
        if held.keys() == box.held.keys() and all(
            map(operator.is_, held.values(), box.held.values())
        ):
            continue
        values = list(box.held.values())
        if type(obj) in (set, deque):
            obj.clear()
            (obj.update if type(obj) is set else obj.extend)(values)
        elif isinstance(obj, list) and not isinstance(obj, tuple):
            list.__setitem__(obj, slice(None), [v for k, v in box.held.items() if k[0] == "item"])
        else:
            for k in [k for k in held if k not in box.held]:
                put(Slot(obj, *k), ABSENT)
            for k, v in box.held.items():
                if held.get(k, ABSENT) is not v:
                    put(Slot(obj, *k), v)

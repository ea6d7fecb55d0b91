"""A view of an array that notes when its content is read: see content.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np


def memory_of(x: np.ndarray) -> Any:
    """The object that owns an array's memory."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


class Seen(np.ndarray):
    """A view that stands for an array while a function is traced."""

    _plain: np.ndarray | None

    def __repr__(self) -> str:
        return repr(bare(self))

    def __str__(self) -> str:
        return str(bare(self))

    def __format__(self, spec: str) -> str:
        return format(bare(self), spec)


class Watched(Seen):
    """A view of an array that notes when its content is read, as by no traced operation."""

    _read: set[int]  # of what owns memory, by identity
    _taken: bool  # whether it was handed on as it is

    def __array_finalize__(self, obj: Any) -> None:
        self._plain, self._read, self._taken = None, getattr(obj, "_read", set()), False

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:  # what is written into may hold something else next time
            _note([x for x in leaves(kwargs["out"]) if type(x) is Watched])
        return noticed(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        for x in leaves((args, kwargs)):
            if _is_tracer(x):
                return x.__array_function__(func, types, args, kwargs)
        return noticed(func, args, kwargs)

    @property
    def flat(self) -> Any:
        """NumPy's iterator over the elements."""
        _note([self])
        return bare(self).flat


OF_SHAPES = frozenset(
    (
        np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj,
        np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.common_type,
        np.shares_memory, np.may_share_memory,
    )
)  # fmt: skip
_DUNDERS = (
    "__getitem__", "__setitem__", "__contains__", "__float__", "__int__", "__index__", "__bool__",
    "__complex__", "__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__",
)  # fmt: skip


def _watch(name: str) -> None:
    def method(self: Watched, *args: Any, **kwargs: Any) -> Any:
        return noticed(getattr(np.ndarray, name), (self, *args), kwargs)

    method.__name__ = name
    setattr(Watched, name, method)


for _name in (*_DUNDERS, *(n for n in vars(np.ndarray) if n[0] != "_")):
    if callable(getattr(np.ndarray, _name)) and _name not in ("view", "setflags", "resize"):
        _watch(_name)


def bare(x: Any) -> Any:
    """The array itself where a view stands for it."""
    kind = type(x)
    if not issubclass(kind, Seen):
        return x
    if kind is Watched:
        x._taken = True
    if x._plain is None:
        x._plain = np.ndarray.view(x, np.ndarray)
    return x._plain


def mapped(f: Callable[[Any], Any], x: Any) -> Any:
    """What lies in lists, tuples and dicts, by a function."""
    if type(x) in (list, tuple):
        return type(x)([mapped(f, part) for part in x])
    if type(x) is dict:
        return {k: mapped(f, v) for k, v in x.items()}
    return f(x)


def leaves(x: Any) -> Iterator[Any]:
    """What lies in lists, tuples and dicts."""
    if type(x) in (list, tuple, dict):
        for part in x.values() if type(x) is dict else x:
            yield from leaves(part)
    else:
        yield x


def _is_tracer(x: Any) -> bool:
    return hasattr(type(x), "_rec")


def fallen_through(f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What an intercepted function answers by itself."""
    if any(map(_is_tracer, leaves((args, kwargs)))):
        return f(*args, **kwargs)
    return noticed(f, args, kwargs)


def noticed(f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a function answers, which has read the content unless it was traced."""
    given = list(leaves((args, kwargs)))
    watched = [x for x in given if type(x) is Watched]
    taken = [x._taken for x in watched]
    out = f(*mapped(bare, tuple(args)), **mapped(bare, kwargs))
    if any(map(_is_tracer, given)):
        return out
    for x, before in zip(watched, taken, strict=True):
        x._taken = before
    return out if f in OF_SHAPES else _passed_on(out, watched)


def traced(f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a traced function answers, which has read what is no operand: a shift, an axis."""
    given = [x for x in (*args, *kwargs.values()) if type(x) is Watched]
    for x in given:
        x._taken = False
    out = f(args, kwargs)
    _note([x for x in given if not x._taken])
    return out


def _passed_on(out: Any, given: Sequence[Watched]) -> Any:
    """The result: views go on noticing, all else has read."""
    if type(out) in (list, tuple):
        return type(out)([_passed_on(x, given) for x in out])
    if type(out) is np.ndarray:
        for x in given:
            if memory_of(bare(x)) is memory_of(out):
                return seen_by(out, x._read)
    _note(given)
    return out


def _note(given: Iterable[Watched]) -> None:
    for x in given:
        x._read.add(id(memory_of(bare(x))))


def seen_by(x: np.ndarray, read: set[int]) -> Watched:
    """A view that notes in `read` which memory is read, by the identity of its owner."""
    view = x.view(Watched)
    view._plain, view._read = x, read
    return view

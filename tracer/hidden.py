"""A value that Python may handle while tracing, but that must not enter the program.

What a clock showed, and what an earlier call left in a global or an attribute, would be the same
in every compiled call.  It can be moved, counted with and printed; whoever decides by it, or lets
it meet a traced value, is told so.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import AdjitError
from .place import USER, owner
from .record import is_tracing

Refuse = Callable[[], AdjitError]
_WRITES = frozenset(
    (
        "append", "extend", "insert", "add", "update", "appendleft", "extendleft", "clear",
        "discard", "remove", "sort", "reverse", "fill", "write", "writelines", "flush", "put",
    )
)  # fmt: skip
_READS = frozenset(("get", "pop", "popleft", "popitem", "setdefault"))


class Hidden:
    """Stands for such a value; in threads that do not trace it is that value.

    real    the value
    refuse  makes the error of using it
    known   entries of a container that may be read
    """

    __slots__ = ("__weakref__", "_known", "_real", "_refuse", "touched")

    def __init__(self, real: Any, refuse: Refuse, known: Callable[[Any], bool] | None = None):
        self._real = real
        self._refuse = refuse
        self._known = known
        self.touched = False  # whether it was counted up or written into

    def _use(self) -> Any:
        """The value, for those who do not trace."""
        if is_tracing():
            raise self._refuse()
        return self._real

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._real)

    def __hash__(self) -> int:
        return hash(self._use())

    def __eq__(self, other: Any) -> Any:
        return self._use() == bare(other)

    def __repr__(self) -> str:
        return repr(self._real)

    def __str__(self) -> str:
        return str(self._real)

    def __format__(self, spec: str) -> str:
        return format(self._real, spec)

    def __float__(self) -> float:
        frame: Any = sys._getframe(1)
        file = frame.f_code.co_filename
        if owner(file) != USER and "logging" in file:  # "took %.3f s"
            return float(self._real)
        return float(self._use())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._use(), dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if is_tracing() and any(hasattr(type(x), "_rec") for x in inputs):
            raise self._refuse()
        return self._kept(lambda *xs: getattr(ufunc, method)(*xs, **options), *inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        self._use()
        plain = [bare(x) for x in args]
        return func(*plain, **{k: bare(x) for k, x in kwargs.items()})

    def _kept(self, f: Callable[..., Any], *inputs: Any) -> Any:
        """The result of an operation, as hidden as what it was made of."""
        if not is_tracing():
            return f(*map(bare, inputs))
        try:
            real = f(*map(bare, inputs))
        except AdjitError:  # a traced value of an earlier call
            real = None
        self.touched = True
        return real if real is NotImplemented else Hidden(real, self._refuse)

    # -------------------------------------------------------------- containers and objects

    def __getitem__(self, key: Any) -> Any:
        if not is_tracing() or (self._known is not None and self._known(key)):
            return self._real[key]
        return self._kept(operator.getitem, self, key)

    def __setitem__(self, key: Any, x: Any) -> None:
        self.touched = True
        if not is_tracing():
            self._real[key] = x

    def __delitem__(self, key: Any) -> None:
        if not is_tracing():
            del self._real[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # a protocol that is asked for
        if not is_tracing():
            return getattr(self._real, name)
        if name in _WRITES:
            self.touched = True
            return lambda *args, **kwargs: None
        if name in _READS:
            return lambda key=None, *rest, **kwargs: self[key]
        raise self._refuse()

    def __setattr__(self, name: str, x: Any) -> None:
        if name in Hidden.__slots__:
            object.__setattr__(self, name, x)
        elif not is_tracing():
            setattr(self._real, name, x)

    def __copy__(self) -> Hidden:
        return self

    def __deepcopy__(self, memo: Any) -> Hidden:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _itself, (self._use(),)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._use()(*args, **kwargs)

    def __enter__(self) -> Any:
        return self._use().__enter__()

    def __exit__(self, *args: Any) -> Any:
        return self._use().__exit__(*args)


def _itself(x: Any) -> Any:
    return x


def bare(x: Any) -> Any:
    """What is hidden, or the object itself."""
    return x._real if type(x) is Hidden else x


def check_not_hidden(x: Any) -> None:
    """Refuse what is hidden where it would become a part of the program."""
    if type(x) is Hidden:
        raise x._refuse()


_TWO = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lshift", "rshift", "and",
    "xor", "or", "divmod",
)  # fmt: skip
_ONE = ("neg", "pos", "abs", "invert")
_USED: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (bool, int, complex, len, iter, next, round, reversed)},
    **{f.__name__: f for f in (math.trunc, math.floor, math.ceil)},
    **{n: getattr(operator, n) for n in ("index", "contains", "lt", "le", "gt", "ge", "ne")},
}


def _binary(name: str) -> tuple[Any, Any]:
    apply = divmod if name == "divmod" else getattr(operator, f"__{name}__")

    def forward(self: Hidden, other: Any) -> Any:
        if hasattr(type(other), "_rec"):
            raise self._refuse()
        return self._kept(apply, self, other)

    def reflected(self: Hidden, other: Any) -> Any:
        if hasattr(type(other), "_rec"):
            raise self._refuse()
        return self._kept(apply, other, self)

    return forward, reflected


def _used(apply: Callable[..., Any]) -> Any:
    def use(self: Hidden, *args: Any) -> Any:
        return apply(self._use(), *map(bare, args))

    return use


for _name in _TWO:
    _forward, _reflected = _binary(_name)
    setattr(Hidden, f"__{_name}__", _forward)
    setattr(Hidden, f"__r{_name}__", _reflected)
for _name in _ONE:
    _apply = getattr(operator, f"__{_name}__")
    setattr(Hidden, f"__{_name}__", lambda self, _apply=_apply: self._kept(_apply, self))
for _name, _apply in _USED.items():
    setattr(Hidden, f"__{_name}__", _used(_apply))

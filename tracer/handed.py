"""The containers that a function is handed as arguments: it works on copies of the caller's.

What it changes in them no caller would see, neither after the call that is traced nor after those
that run compiled: that is refused.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from ..ir.ops.show import muted
from ..ir.records import dataclass
from .errors import AdjitError, FrozenWrite
from .place import USER, Place, owner, sentence
from .tree import Tree, is_opaque, split


@dataclass(frozen=True)
class Handed:
    """A container as it was handed over: how Python spells it, and what it held."""

    obj: Any
    path: str
    held: tuple[list[Any], Any]

    def changed(self) -> bool:
        """Whether it holds something else now."""
        (then, keys), (now, others) = self.held, split(self.obj) or ([], None)
        return len(then) != len(now) or keys != others or any(map(_is_not, then, now))


def _is_not(a: Any, b: Any) -> bool:
    return a is not b


def handed(tree: Tree, x: Any, path: str) -> Iterator[Handed]:
    """The containers in an argument that could be changed, from the outside in."""
    if tree.kind in ("leaf", "static") or is_opaque(tree.kind):
        return
    held = split(x) or ([], None)
    if not isinstance(x, tuple):
        yield Handed(x, path, held)
    for child, step, part in zip(tree.children, tree.steps(), held[0], strict=True):
        yield from handed(child, part, path + step)


def hand_over(
    run: Callable[[Any, Any], Any],
    tree: Tree,
    leaves: Sequence[Any],
    names: Sequence[str],
    start: Place | None,
) -> Any:
    """What `run(args, kwargs)` returns; a FrozenWrite where it changes a container in them.

    `tree` and `leaves` are those of (args, kwargs), `names` the names of positional arguments, and
    `start` is where the function begins.
    """

    def fresh() -> tuple[Any, Any, list[Handed]]:
        args, kwargs = tree.unflatten(leaves)
        named = [names[k] if k < len(names) else f"args[{k}]" for k in range(len(args))]
        trees = [c for part in tree.children for c in part.children]
        given = zip(trees, (*args, *kwargs.values()), (*named, *kwargs), strict=True)
        return args, kwargs, [h for each in given for h in handed(*each)]

    args, kwargs, before = fresh()
    result = run(args, kwargs)
    which = next((k for k, h in enumerate(before) if h.changed()), None)
    if which is not None:
        args, kwargs, again = fresh()
        place = _where(functools.partial(run, args, kwargs), again[which])
        raise _refusal(before[which], place or start)
    return result


def _refusal(h: Handed, place: Place | None) -> AdjitError:
    if isinstance(h.obj, dict):
        new = f"{{**{h.path}, key: value}}"
    elif isinstance(h.obj, list):
        new = f"[*{h.path}, value]"
    else:
        new = f"dataclasses.replace({h.path}, ...)"
    return FrozenWrite(
        f"the function changes its argument {h.path}, of which it has a copy: the caller's "
        f"{type(h.obj).__name__} would stay as it is{sentence(place)}\n"
        f"  Return a new one instead: {new}"
    )


def _where(run: Callable[[], Any], h: Handed) -> Place | None:
    """The line of the user's that changes a container, found by running them one by one."""
    found: Place | None = None
    last: Place | None = None

    def look(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal found, last
        if owner(frame.f_code.co_filename) != USER:
            return None
        if found is None and h.changed():
            found = last
            sys.settrace(None)
        back = frame.f_back if event == "return" else frame
        last = Place(back.f_code, back.f_lasti) if back is not None else None
        return look

    outer = sys.gettrace()
    try:
        with muted(), contextlib.suppress(Exception):
            sys.settrace(look)
            run()
    finally:
        sys.settrace(outer)
    return found

"""What Python itself is left with after a loop whose rounds decided by traced conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...ir.core import Value
from .expressions import WAY
from .match import is_literal
from .names import Held
from .origins import Origins


def depends_on_ways(
    origins: Origins,
    ends: Mapping[int, Held],
    end: int,
    live: Callable[[str], bool],
    from_before: Callable[[Value], bool],
) -> str:
    """A name that holds, after the loop, what a condition decided and no round made ("": none).

    Another call, whose rounds take other ways, would leave something else there.

    ends         what names held at the ends of rounds; `end`: which of them is the last one
    live         whether a name is read after the loop
    from_before  whether a value was made before the loop and is read after it
    """
    taint = origins.taint
    if taint.escapes:
        return taint.escapes
    asked = [h for at in origins.held.values() for h in at.values()]
    last, stored = ends.get(end), origins.stored()
    every = [*asked, *ends.values()]
    for path in sorted({p for h in every for p in h}):
        name = path.split(" ", 1)[1]
        if path.startswith("len(") or "[-" in name:
            continue  # the entries of lists are looked at one by one, their lengths elsewhere
        alone = "[" not in name and "." not in name
        decided = taint.name(path)
        if not (decided or path in stored) if alone else not decided:
            continue
        if alone and not live(path):
            continue
        seen = [h[path] for h in every if path in h]
        varied = len({_key(x) for x in seen}) > 1
        held = seen if last is None else [last[path]] if path in last else []
        kept = any(not isinstance(x, Value) for x in held)
        before = any(isinstance(x, Value) and from_before(x) for x in held)
        if not alone and not varied:  # another way may have written there yet
            varied = WAY in taint.changed or any(name.endswith(c) for c in taint.changed)
        if (kept and (varied or alone)) or (before and varied):
            return f"`{name}`"
    return ""


def _key(x: Any) -> Any:
    """Equal for the same value, and for equal numbers of one type."""
    if isinstance(x, Value):
        return x.key if is_literal(x) else id(x)  # type: ignore[attr-defined]
    return type(x), repr(x)

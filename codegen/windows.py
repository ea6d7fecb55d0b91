"""The nest of `window_argmax`: every window at once for all channels, which lie last."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from ..ir.plan import Root
from ..ir.types import KIND
from .emit import At

if TYPE_CHECKING:
    from .loops import Writer


def window_argmax(w: Writer, r: Root) -> None:
    """The place of the largest pixel of each window.

    Beyond an edge the pixel at the edge is looked at again, so that no branch is needed.
    """
    assert r.op is not None
    x, attrs = r.op.args[0], r.op.attrs
    space = x.shape[1:-1]
    with w.nest(r.value.shape[:-1]) as (image, *places):
        rows = [
            _clipped(w, place, n, k, s, p)
            for place, n, k, s, p in zip(
                places, space, attrs["kernel"], attrs["stride"], attrs["padding"], strict=True
            )
        ]
        flat = [_flat(w, at, space) for at in itertools.product(*rows)]
        with w.nest([x.shape[-1]]) as (channel,):
            best = where = ""
            for at, pixel in zip(itertools.product(*rows), flat, strict=True):
                index = (image, *((name, 0, 1) for name in at), channel)
                value = w.pull(x, index)
                if not best:
                    best, where = value, pixel
                    continue
                better, v, p = (w.names.fresh(stem) for stem in ("better", "best", "where"))
                text = f"{value} > {best}"
                if KIND[x.dtype] == "f":
                    text = f"({text}) | (({value} != {value}) & ({best} == {best}))"
                w.line(f"{better} = {text}")
                w.line(f"{v} = ll.select({better}, {value}, {best})")
                w.line(f"{p} = ll.select({better}, {pixel}, {where})")
                best, where = v, p
            w.line(f"{w.target(r, (image, *places, channel))} = {where}")


def _clipped(w: Writer, place: At, n: int, kernel: int, stride: int, padding: int) -> list[str]:
    """The indices along one dim that a window sees."""
    names = []
    for k in range(kernel):
        name = w.names.fresh("at")
        start = f"{stride}*{place[0]}" if place[0] is not None else str(stride * place[1])
        shift = k - padding
        text = f"{start} + {shift}" if shift >= 0 else f"{start} - {-shift}"
        w.line(f"{name} = min(max({text}, 0), {w.names.size(n - 1)})")
        w.of_var[name] = w.scope.depth
        w.ranges[name] = (0, n - 1)
        names.append(name)
    return names


def _flat(w: Writer, at: tuple[str, ...], space: tuple[int, ...]) -> str:
    text = at[0]
    for name, n in zip(at[1:], space[1:], strict=True):
        text = f"({text})*{w.names.size(n)} + {name}"
    found = w.names.fresh("pixel")
    w.line(f"{found} = {text}")
    return found

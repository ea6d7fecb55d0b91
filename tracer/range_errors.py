"""Why the rounds of `adjit.range` are no loop, said to the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ..ir.core import Op
from .closing import PYTHON, at
from .errors import AdjitError, ControlFlow
from .place import Place, sentence
from .rolling.match import Affine, Listed, Mismatch, Operand
from .snapshot import Snapshot, unlike
from .wired import Step


def error(where: Place, what: str, advice: str = PYTHON) -> AdjitError:
    return ControlFlow(
        f"adjit.range: {what}{sentence(where)}" + (f"\n  {advice}" if advice else "")
    )


def check_plain(where: Place, looks: Sequence[Snapshot]) -> None:
    """Python's own values must stand still from the first round on."""
    after = [look.plain for look in looks]
    for path, x in after[-1].items():
        if any(path in look and unlike(look[path], x) for look in after):
            raise error(
                where,
                f"`{path}`, which is counted by Python, changes from round to round "
                f"({', '.join(repr(look.get(path)) for look in after)})",
                f"Compute it from the index, or make it traced before the loop.  {PYTHON}",
            )


def explain(where: Place, rounds_: list[list[Step]], matched: Any) -> NoReturn:
    """Why the rounds are no loop."""
    first, last = rounds_[0], rounds_[-1]
    for a, b in zip(rounds_[-2], last, strict=False):
        if a.token != b.token:
            assert b.op is not None
            raise error(
                where,
                f"the rounds are not alike: one does something else than the next{at(b.op.where)}",
            )
    if len(rounds_[-2]) != len(last):
        raise error(where, "the rounds are not alike: one does more than the next")
    for a, b in zip(first, last, strict=False):
        if a.token != b.token:
            assert a.op is not None and b.op is not None
            raise error(
                where,
                f"the first round differs from the others ({_types(a)} there, {_types(b)} "
                f"later){at(b.op.where)}",
                "Give what the loop carries its final shape and dtype before it, such as "
                f"np.zeros(3) or 0.0.  {PYTHON}",
            )
    if len(first) != len(last):
        raise error(
            where,
            "the first round differs from the others: it does less or more",
            "Give what the loop carries its final type before it, such as np.zeros(3) or "
            f"np.asarray(0.0).  {PYTHON}",
        )
    worst = None
    if isinstance(matched, Mismatch) and matched.step >= 0:
        op = last[matched.step].op
        worst = op.where if op is not None else None
    raise error(
        where,
        f"what the rounds hand on to each other follows no rule after {len(rounds_)} of them"
        f"{at(worst)}",
    )


def refuse_operand(where: Place, op: Op | None, o: Operand) -> NoReturn:
    here = op.where if op is not None else None
    what = "a Python number" if isinstance(o, Affine) or _literal(o) else "what is read here"
    raise error(
        where,
        f"{what} changes from round to round in a way that Python keeps to itself{at(here)}",
        f"Compute it from the index, or index an array by it.  {PYTHON}",
    ) from None


def _literal(o: Operand) -> bool:
    return isinstance(o, Listed) and o.literal


def _types(s: Step) -> str:
    assert s.op is not None
    return f"{s.op.prim.name} of {', '.join(str(v.aval) for v in s.op.args)}"

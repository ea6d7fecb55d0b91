"""What only the last round of a loop tells, by functions whose slopes may be infinite.

A result that every round makes anew, and that is read after the loop alone, has a cotangent of
zero in all rounds but the last.  Where the slope of one of them is infinite, their product is NaN;
unrolled, only the last one has a slope.  So the last round is none of the loop then, and the others
do without the ops that nothing reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.types import is_float
from .many import result
from .match import Carried, Local, Matched
from .steps import Reader, Step

STEEP = frozenset((
    "acos", "acosh", "asin", "atanh", "cbrt", "div", "hypot", "log", "log10", "log1p", "log2",
    "logit", "pow", "sqrt", "xlogy", "xlog1py",
))  # fmt: skip


def last_alone(reader: Reader, rounds: Sequence[Sequence[Step]], found: Matched) -> bool:
    """Whether the last of matched rounds is to stay outside of the loop."""
    last, read = rounds[-1], reader.columns.last_read
    end = last[-1].last
    carried = {(o.step, o.out) for of in found.operands for o in of if type(o) is Carried}
    todo = [
        j
        for j, s in enumerate(last)
        for w, v in enumerate(s.outs)
        if (j, w) not in carried and is_float(v.dtype) and read(v) > end
        and read(result(rounds[-2], j, w)) <= end
    ]  # fmt: skip
    seen = set(todo)
    while todo:
        j = todo.pop()
        if any(op.prim.name in STEEP for op in last[j].ops):
            return True
        before = {o.step for o in found.operands[j] if type(o) is Local} - seen
        seen |= before
        todo += before
    return False

"""What was written in place after an operation recorded it: its derivative is refused."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..ir.types import NUMPY
from .tape import Foreign, Node, Piece, flows


class Written(NamedTuple):
    """A value that a Tensor no longer shows: the node written over it, and the version it had."""

    by: weakref.ref[Node] | None
    version: int
    storage: Any
    stale: bool = True  # or it is a recorded result that only shows another value


written: weakref.WeakKeyDictionary[Node, Written] = weakref.WeakKeyDictionary()
records: dict[Any, Written] = written.data  # type: ignore[attr-defined]  # quick to ask

# Where PyTorch's derivative is a function of the result (and not of the operand).
_NAMES = (
    "Exp Exp2 Expm1 Sqrt Rsqrt Reciprocal Sigmoid Tanh Tan Relu Softmax LogSoftmax CholeskyEx "
    "LinalgInvEx LinalgCholeskyEx Elu Selu",
    "Prod Amax Amin Max Min Norm LinalgVectorNorm Std Logsumexp Logcumsumexp Cumprod",
)
_OF_RESULT, _OF_BOTH = (
    frozenset(f"{name}Backward{k}" for name in names.split() for k in (0, 1)) for names in _NAMES
)
_TYPES = {
    "f32": "Float", "f64": "Double", "f16": "Half", "i64": "Long", "i32": "Int", "i16": "Short",
    "i8": "Char", "u8": "Byte", "bool": "Bool", "c64": "ComplexFloat", "c128": "ComplexDouble",
}  # fmt: skip


def scalar_name(dtype: Any) -> str:
    """PyTorch's name of a dtype in its messages: Float, Long."""
    return {NUMPY[k]: v for k, v in _TYPES.items() if k in NUMPY}.get(dtype, str(dtype))


def check(nodes: Iterable[Node]) -> None:
    """Raise if a derivative of these needs a value that was written over since."""
    if records:
        for node in nodes:
            check_one(node)


def check_one(node: Node) -> None:
    """Raise if the derivative of this operation needs a value that was written over since."""
    piece = node.piece
    if piece is None or isinstance(piece, Foreign):
        return
    name = piece.operation.name
    mine = written.get(node)
    if mine is not None and (name in _OF_RESULT or name in _OF_BOTH):
        raise _error(node, 0, mine, name)
    if name in _OF_RESULT or not any(n in written for n, _ in node.inputs):
        return
    for k in piece.pull(tuple(map(flows, node.inputs))).reads:
        if k >= len(node.inputs):
            continue
        operand, i = node.inputs[k]
        found = written.get(operand)
        after = found.by() if found is not None and found.by is not None else None
        # What an operation in place reads itself, it has a copy of, and so have its derivatives.
        own = after is node or (
            after is not None and after.piece is not None and _derived(piece, after.piece)
        )
        if found is not None and found.stale and not (k == 0 and own):
            last = after if after is not None else operand
            shown = last.piece.operation.name if last.piece is not None and last.tracked else ""
            raise _error(operand, i, found, shown)


def _derived(piece: Piece, of: Piece) -> bool:
    """Whether it is a pullback of this piece, or of one of its pullbacks."""
    return any(p is piece or _derived(piece, p) for p in of.pulls.values())


def refuse(node: Node, i: int) -> None:
    """Raise if this value was written over."""
    found = written.get(node)
    if found is not None and found.stale:
        after = found.by() if found.by is not None else None
        last = after if after is not None else node
        raise _error(node, i, found, last.piece.operation.name if last.piece is not None else "")


def _error(node: Node, i: int, found: Written, name: str) -> RuntimeError:
    aval = node.avals[i]
    origin = f", which is output 0 of {name.split('Backward')[0]}," if name else ""
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [torch.{_TYPES.get(aval.dtype, aval.dtype)}Tensor {list(aval.shape)}]{origin} "
        f"is at version {found.storage.version}; expected version {found.version} instead. Hint: "
        "enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )

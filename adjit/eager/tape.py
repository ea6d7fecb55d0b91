"""What Tensors record: every operation is a node that applies a piece, a Function traced once.

A node without values is pending; `run` gives values to all that its targets need, op by op or,
for structures that recur, by a compiled program.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

from ..ir.core import Block, Const, Function
from ..ir.interp import apply
from ..ir.interp import run as interpret
from ..ir.records import dataclass
from ..ir.types import NUMPY, Aval, name_of
from ..passes.dce import dce
from ..passes.vjp import vjp
from ..tracer import trace as _surface  # noqa: F401  # fills the tables of Tracers
from ..tracer.record import Recorder, stack
from ..tracer.surface import value
from ..tracer.tracer import Tracer
from . import hot
from .conjugates import conjugated
from .modes import recording
from .promotion import CHANGED


@dataclass(frozen=True, eq=False)
class Operation:
    """A function of arrays in NumPy's terms, and how the graph shows it.

    `keeps` tells whether its derivative needs values of the forward pass; `edges` counts the
    operands that `next_functions` shows (None: all).
    """

    name: str
    fn: Callable[..., Any]
    keeps: bool = True
    edges: int | None = None


@dataclass(frozen=True, eq=False)
class Piece:
    """An operation for operands of these shapes and dtypes, as a Function of the IR.

    The parameters are the operands numbered by `reads`, then the constants.
    """

    operation: Operation
    function: Function
    reads: tuple[int, ...]
    constants: tuple[Node, ...]
    avals: tuple[Aval, ...]
    differentiable: bool = True
    serial: int = field(default_factory=itertools.count().__next__)
    pulls: dict[Any, Piece] = field(default_factory=dict)

    @property
    def shown(self) -> int:
        """How many operands the graph shows."""
        edges = self.operation.edges
        return len(self.reads) if edges is None else edges

    def pull(self, active: tuple[bool, ...]) -> Piece:
        """Cotangents of the active operands; its operands: those here, then one ct per result."""
        known = self.pulls.get(active)
        if known is None:
            known = self.pulls[active] = _pull(self, active)
        return known


@dataclass(frozen=True, eq=False)
class Foreign(Piece):
    """The piece of an operation of the user's, whose cotangents a function of theirs computes.

    `pulled` takes one cotangent (or None) per result, and answers with one per operand.
    """

    pulled: Callable[[Sequence[Ref | None]], list[Ref | None]] = field(kw_only=True)


class Node:
    """Values on the tape: of a leaf (no piece), or of an operation, perhaps still pending."""

    __slots__ = (
        "__weakref__", "avals", "freed", "hooks", "inputs", "leaf", "owner", "piece", "readers",
        "tracked", "values",
    )  # fmt: skip

    def __init__(
        self,
        piece: Piece | None,
        inputs: tuple[Ref, ...],
        avals: tuple[Aval, ...],
        values: tuple[np.ndarray, ...] | None,
        tracked: bool,
        leaf: Any = None,
    ) -> None:
        self.piece = piece
        self.inputs = inputs
        self.avals = avals
        self.values = values
        self.tracked = tracked
        self.leaf = leaf
        self.freed = False
        self.readers = 0  # how many nodes were made that read this one
        self.hooks: dict[int, list[Callable[..., Any]]] | None = None
        self.owner: Callable[[], Any] | None = None  # the Tensor that shows it, if it is alive


Ref = tuple[Node, int]


def flows(ref: Ref) -> bool:
    """Whether derivatives flow through a value: it is recorded, and a floating-point one."""
    node, i = ref
    return node.tracked and (len(node.avals) == 1 or node.avals[i].kind in "fc")


@cache
def aval_of(dtype: np.dtype, shape: tuple[int, ...]) -> Aval:
    """The one Aval of a dtype and shape, so that pieces are found by identity."""
    return Aval(name_of(dtype), shape)


def source(array: np.ndarray, leaf: Any = None) -> Node:
    """A node that holds an array; `leaf` is the Tensor that wants its gradient."""
    aval = aval_of(array.dtype, array.shape)
    return Node(None, (), (aval,), (array,), leaf is not None, leaf)


@functools.lru_cache(maxsize=1000)
def ones(aval: Aval) -> Node:
    """The cotangent that a scalar result is given."""
    return source(np.ones(aval.shape, NUMPY[aval.dtype]))


# ------------------------------------------------------------------ pieces

_pieces: dict[Any, Piece] = {}
CHANGED.append(_pieces.clear)
_LIMIT = 20_000


def record(operation: Operation, inputs: tuple[Ref, ...], statics: tuple[Any, ...] = ()) -> Node:
    """The pending node of an operation on these operands."""
    avals = [n.avals[i] for n, i in inputs]
    key = (operation, statics, *map(id, avals))
    piece = _pieces.get(key)
    if piece is None:
        if len(_pieces) > _LIMIT:
            _pieces.clear()
        piece = _pieces[key] = _trace(operation, avals, statics)
    tracked = recording.on and piece.differentiable and any(map(flows, inputs))
    node = node_of(piece, inputs, tracked)
    if inferred and tracked:
        _refuse_inferred(node, piece)
    return node


_made_in_inference: weakref.WeakSet[Node] = weakref.WeakSet()
inferred: set[Any] = _made_in_inference.data  # type: ignore[attr-defined]  # quick to ask


def infer(node: Node) -> None:
    """Remember a value that a Tensor of `inference_mode` shows."""
    _made_in_inference.add(node)


def _refuse_inferred(node: Node, piece: Piece) -> None:
    """Raise if a derivative would need a value that was made in `inference_mode`."""
    for k in piece.pull(tuple(map(flows, node.inputs))).reads:
        if k < len(node.inputs) and node.inputs[k][0] in _made_in_inference:
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created "
                "in inference mode in computation tracked by autograd. To work around this, you "
                "can make a clone to get a normal tensor and use it in autograd, or use "
                "`torch.no_grad()` instead of `torch.inference_mode()`."
            )


def statics_of(node: Node) -> tuple[Any, ...]:
    """What an operation was recorded with besides its operands."""
    return next((k[1] for k, p in _pieces.items() if p is node.piece), ())


def node_of(piece: Piece, operands: tuple[Ref, ...], tracked: bool) -> Node:
    """The pending node of a piece."""
    if len(piece.reads) != len(operands):
        operands = tuple([operands[i] for i in piece.reads])
    if piece.constants:
        operands += tuple((c, 0) for c in piece.constants)
    for n, _ in operands:
        n.readers += 1
    return Node(piece, operands, piece.avals, None, tracked)


class OperandError(RuntimeError, ValueError):
    """Operands that an operation cannot take: PyTorch's class of error, and NumPy's."""


def of_tensors() -> bool:
    """Whether what is being traced is an operation on Tensors."""
    return isinstance(stack()[-1], _Operation) if stack() else False


class _Operation(Recorder):
    """Records an operation on Tensors."""


def _trace(operation: Operation, avals: Sequence[Aval], statics: tuple[Any, ...]) -> Piece:
    rec = _Operation(operation.name)
    stack().append(rec)
    try:
        with rec.builder:
            operands = [Tracer(rec, rec.param(a), "array") for a in avals]
            try:
                result = operation.fn(*operands, *statics)
            except ValueError as error:
                raise OperandError(str(error)) from error
            outs = [value(x) for x in (result if isinstance(result, tuple | list) else (result,))]
    finally:
        stack().remove(rec)
    block = Block((*rec.params, *rec.capture_values), tuple(rec.builder.ops), tuple(outs))
    constants = tuple(source(c.value) for c in rec.captures)
    return _piece(operation, Function(operation.name, block), range(len(avals)), constants)


def _piece(
    operation: Operation, function: Function, reads: Iterable[int], constants: tuple[Node, ...]
) -> Piece:
    avals = tuple(aval_of(NUMPY[v.aval.dtype], v.aval.shape) for v in function.outs)
    floats = any(a.kind in "fc" for a in avals)
    return Piece(operation, function, tuple(reads), constants, avals, floats)


# What PyTorch shows of a derivative that is recorded itself: the last of its operations.
_PULLED = {
    "MulBackward0": "Abs Acos Acosh Asin Asinh Atan2 Cos Cosh Dot Erf Exp Exp2 Expm1 Float "
    "LinalgVectorNorm Logsumexp Mul Pow Prod Reciprocal Rsqrt Silu Sin Sinh Square Std Tan Var",
    "DivBackward0": "Atan Atanh Div Log Log10 Log1P Log2 Sqrt",
    "ExpandBackward0": "Sum", "DivBackward1": "Mean", "ThresholdBackwardBackward0": "Relu",
    "SoftmaxBackwardDataBackward0": "Softmax", "LogSoftmaxBackwardDataBackward0": "LogSoftmax",
    "SqueezeBackward1": "Unsqueeze", "FlipBackward0": "Cumsum", "SelectBackward0": "Stack",
    "MaskedFillBackward1": "Max Min", "MmBackward0": "Addmm", "SumBackward1": "Repeat",
    "WhereBackward0": "Clamp",
}  # fmt: skip
_ALIKE = "Flip Mm Mv Neg Permute Roll T Transpose View Where"
_PULLS = {w: name for name, words in _PULLED.items() for w in words.split()}
_PULLS |= {w: f"{w}Backward0" for w in _ALIKE.split()}


def _pulled_name(name: str) -> str:
    base, _, _ = name.partition("Backward")
    return _PULLS.get(base, f"{base}BackwardBackward0")


def _pull(piece: Piece, active: tuple[bool, ...]) -> Piece:
    """The adjoint of a piece, without the operands it does not read."""
    function = dce(vjp(piece.function, [i for i, a in enumerate(active) if a], primal_outs=False))
    function = conjugated(function, len(piece.function.params))
    block = function.block
    read = {a for op in block.ops for a in op.args} | set(block.outs)
    kept = [i for i, p in enumerate(block.params) if p in read]
    params = tuple(block.params[i] for i in kept)
    operation = Operation(_pulled_name(piece.operation.name), piece.operation.fn)
    slim = Function(operation.name, Block(params, block.ops, block.outs))
    return _piece(operation, slim, kept, ())


# ------------------------------------------------------------------ running


class _Rows(threading.local):
    open = 0  # how many functions of one row are being recorded


rows = _Rows()
ROW = Piece(Operation("vmap", tuple), Function("row", Block((), (), ())), (), (), (), True)

_structures: dict[Any, hot.Structure] = {}


def run(targets: Sequence[Node]) -> None:
    """Give values to these nodes, and to those they need."""
    order = pending(targets)
    if not order:
        return
    if rows.open and _of_row(order):
        raise RuntimeError(
            "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over "
            "calling .item() on a Tensor, please try to rewrite what you're doing with other "
            "operations (instead of an index by a mask, torch.where)."
        )
    if waiting:
        targets = [*targets, *joining(order)]
        order = pending(targets)
        for node in targets:
            waiting.pop(node, None)
    if len(order) > hot.LARGEST:
        _interpret(order)
    else:
        _run_known(order, targets)
    for node in order:
        if not node.tracked and node.values is not None and not rows.open:
            node.inputs = ()


def _of_row(order: Sequence[Node]) -> bool:
    return any(n.piece is ROW for n in order)


def of_row(node: Node) -> bool:
    """Whether a value stands for one row in `vmap`, and is not known."""
    return rows.open > 0 and _of_row(pending([node]))


waiting: dict[Node, None] = {}  # what is to be computed with whatever next makes its operands


def joining(order: Sequence[Node]) -> list[Node]:
    """The waiting nodes whose operands are known once these have run."""
    found, made = [], set(order)
    for node in list(waiting):
        if node.values is not None or node.owner is None or node.owner() is None:
            del waiting[node]
        elif node not in made and all(n.values is not None or n in made for n, _ in node.inputs):
            found.append(node)
            made.add(node)
    return found


def _run_known(order: Sequence[Node], targets: Sequence[Node]) -> None:
    """Run nodes by the interpreter, or by the program of their structure."""
    key, inputs = structure_of(order, targets)
    known = _structures.get(key)
    if known is None:
        if len(_structures) > _LIMIT:
            _structures.clear()
        known = _structures[key] = hot.Structure(len(order))
    if known.due():
        known.adopt(hot.function_of(order, inputs, targets))
    if known.program is not None:
        known.call(inputs, targets)
        return
    start = perf_counter()
    _interpret(order)
    known.seconds += perf_counter() - start
    known.runs += 1


def _interpret(order: Sequence[Node]) -> None:
    with np.errstate(all="ignore"):
        for node in order:
            _step(node)


def pending(targets: Sequence[Node]) -> list[Node]:
    """The nodes to be run, operands first."""
    order: list[Node] = []
    seen: set[Node] = set()
    todo: list[Node | None] = [n for n in reversed(targets) if n.values is None]
    path: list[Node] = []
    while todo:
        node = todo.pop()
        if node is None:  # all operands of the node last opened are done
            order.append(path.pop())
            continue
        if node in seen:
            continue
        seen.add(node)
        path.append(node)
        todo.append(None)
        todo.extend([n for n, _ in node.inputs if n.values is None and n not in seen])
    return order


def structure_of(order: Sequence[Node], targets: Sequence[Node]) -> tuple[Any, list[Ref]]:
    """What equal computations have in common, and the operands that come from outside."""
    place = {n: -1 - k for k, n in enumerate(order)}
    given: dict[Ref, int] = {}
    facts: list[Any] = []
    for node in order:
        facts.append(node.piece.serial)  # type: ignore[union-attr]
        for ref in node.inputs:
            at = place.get(ref[0])
            if at is None:
                at = given.get(ref)
                if at is None:
                    at = given[ref] = len(given)
                    facts.append(id(ref[0].avals[ref[1]]))
                facts.append(at)
            else:
                facts += (at, ref[1])
    return (tuple(facts), tuple([place.get(t, 0) for t in targets])), list(given)


def _step(node: Node) -> None:
    piece = node.piece
    assert piece is not None
    args = [n.values[i] for n, i in node.inputs]  # type: ignore[index]
    node.values = tuple(applied_block(piece.function.block, args))


def applied_block(block: Block, args: list[np.ndarray]) -> list[np.ndarray]:
    """The results of a block, each in memory of its own.

    A reference may answer with its argument or a view of it, and a block return a value twice.
    """
    taken = {id(x) for x in args}
    results = []
    for x, v in zip(interpret(block, args, apply), block.outs, strict=True):
        dtype = NUMPY[v.aval.dtype]
        mine = type(x) is np.ndarray and x.base is None and x.flags.owndata and id(x) not in taken
        if not mine:
            x = np.array(x.data if isinstance(x, Const) else x, dtype, order="C")
        elif x.dtype != dtype:
            x = x.astype(dtype)
        taken.add(id(x))
        results.append(x)
    return results


# ------------------------------------------------------------------ what is shown


def recorded(node: Node) -> Function:
    """Everything recorded below a node, as one function of the leaves."""
    order: list[Node] = []
    seen: set[Node] = set()
    todo = [(node, False)]
    while todo:
        n, done = todo.pop()
        if done:
            order.append(n)
        elif (
            n.piece is not None and not isinstance(n.piece, Foreign) and n.inputs and n not in seen
        ):
            seen.add(n)
            todo.append((n, True))
            todo.extend((m, False) for m, _ in n.inputs)
    inputs = dict.fromkeys(ref for n in order for ref in n.inputs if ref[0] not in seen)
    return hot.function_of(order, list(inputs), [node])


def report() -> str:
    """Which structures ran, how often, and by what."""
    lines = ["structures of pending operations that ran:"]
    for known in hot.structures:
        if not known.runs:
            continue
        how = f"interpreted, {known.seconds:.3g} s so far"
        how += ", being compiled" if known.job is not None else ""
        if known.program is not None:
            how = f"compiled after {known.seconds:.3g} s interpreted"
        lines.append(f"  {known.size} operations, {known.runs} runs, {how}")
    lines.append(f"a structure is compiled after at most {hot.PATIENCE} s of interpreting")
    return "\n".join(lines)

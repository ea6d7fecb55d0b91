"""`vmap` of functions of Tensors: one row is recorded, and its program runs on all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..ir.core import Block, Function
from ..passes.batch import batch
from . import hot, tape
from .creation import _default
from .joins import movedim
from .modes import recording
from .tape import Node, Operation, Piece, Ref, aval_of, flows, node_of
from .tensor_object import Tensor, shown

ROW = tape.ROW
_pieces: dict[Any, Piece] = {}


# ------------------------------------------------------------------ containers


def leaves_of(x: Any, found: list[Any] | None = None) -> list[Any]:
    """The leaves of nested dicts, lists and tuples."""
    found = [] if found is None else found
    if isinstance(x, dict):
        for k in x:
            leaves_of(x[k], found)
    elif isinstance(x, list | tuple):
        for e in x:
            leaves_of(e, found)
    else:
        found.append(x)
    return found


def like(x: Any, leaves: Any) -> Any:
    """The container with other leaves, from an iterator."""
    if isinstance(x, dict):
        return type(x)((k, like(v, leaves)) for k, v in x.items())
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(like(e, leaves) for e in x))
    if isinstance(x, list | tuple):
        return type(x)(like(e, leaves) for e in x)
    return next(leaves)


def mapped(f: Callable[[Any], Any], x: Any) -> Any:
    """The container with a function applied to every leaf."""
    return like(x, iter([f(e) for e in leaves_of(x)]))


def spread(dims: Any, x: Any, what: str) -> list[Any]:
    """One axis per leaf, from a prefix of the container."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(leaves_of(x))
    if isinstance(x, dict) and isinstance(dims, dict):
        return [d for k in x for d in spread(dims[k], x[k], what)]
    if isinstance(x, list | tuple) and isinstance(dims, list | tuple) and len(x) == len(dims):
        return [d for a, b in zip(dims, x, strict=True) for d in spread(a, b, what)]
    raise ValueError(
        f"vmap: {what} is not compatible with the structure of what it belongs to: {dims!r}"
    )


# ------------------------------------------------------------------ one row


def _row(x: Tensor, dim: int) -> Tensor:
    """A stand-in for one row of a Tensor: it has no value, whatever is recorded."""
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(
            f"vmap(func, in_dims=...): got in_dim={dim} for an input of {x.ndim} dimensions"
        )
    shape = list(x._aval_shape())
    del shape[dim]
    aval = aval_of(x._dtype, tuple(shape))
    return shown(Node(ROW, (), (aval,), None, aval.kind in "fc"))


def _below(outs: Sequence[Ref], rows: set[Node]) -> list[Node]:
    """The nodes between the rows and these results, operands first."""
    depends: dict[Node, bool] = dict.fromkeys(rows, True)
    order: list[Node] = []
    todo: list[tuple[Node, bool]] = [(n, False) for n, _ in reversed(outs)]
    while todo:
        node, done = todo.pop()
        if done:
            depends[node] = any(depends.get(n, False) for n, _ in node.inputs)
            if depends[node]:
                order.append(node)
        elif node not in depends:
            depends[node] = False
            todo.append((node, True))
            todo.extend((n, False) for n, _ in node.inputs if n not in depends)
    return order


def _batched(
    order: list[Node], outs: list[Ref], rows: list[Node], size: int
) -> tuple[Piece | None, list[Ref]]:
    """The piece of all rows, and the operands that they share."""
    made = set(order)
    given: dict[Ref, None] = {(n, 0): None for n in rows}
    for node in order:
        given.update((ref, None) for ref in node.inputs if ref[0] not in made)
    inputs = list(given)
    own = [ref for ref in outs if ref[0] in made]
    if not order:
        return None, []
    place = {n: k for k, n in enumerate(order)}
    at = {ref: k for k, ref in enumerate(inputs)}
    key = (
        size,
        tuple(id(n.avals[i]) for n, i in inputs),
        tuple(
            (n.piece.serial, *((at.get(r, -1), place.get(r[0], -1), r[1]) for r in n.inputs))  # type: ignore[union-attr]
            for n in order
        ),
        tuple((place[n], i) for n, i in own),
        len(rows),
    )
    known = _pieces.get(key)
    if known is None:
        whole = hot.function_of(order, inputs, list(dict.fromkeys(n for n, _ in own)))
        names = [(n, i) for n in dict.fromkeys(n for n, _ in own) for i in range(len(n.avals))]
        found = dict(zip(names, whole.block.outs, strict=True))
        slim = Function("row", Block(whole.params, whole.block.ops, tuple(found[r] for r in own)))
        moved = [k < len(rows) for k in range(len(inputs))]
        rowed = batch(slim, size, moved)
        operation = Operation("VmapBackward0", tuple)
        known = _pieces[key] = tape._piece(operation, rowed, range(len(inputs)), ())
    return known, inputs[len(rows) :]


def asked(root: Node, own: Collection[int] = ()) -> bool:
    """Whether a derivative by something other than these leaves is left to ask for."""
    seen, todo = {root}, [root]
    while todo:
        node = todo.pop()
        asks = node.piece is ROW or (node.piece is None and node.leaf is not None)
        if asks and id(node.leaf) not in own:
            return True
        for n, _ in node.inputs:
            if n.tracked and n not in seen:
                seen.add(n)
                todo.append(n)
    return False


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function on all rows at once: `in_dims` and `out_dims` say along which axes they are.

    The function sees one row, whose values are not known: what decides by them is refused.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. "
            f"Got {randomness}"
        )

    def call(*args: Any, **kwargs: Any) -> Any:
        dims = tuple(in_dims) if isinstance(in_dims, list) else in_dims
        if isinstance(dims, tuple) and len(dims) != len(args):
            raise ValueError(
                f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible "
                "with the structure of inputs."
            )
        axes = spread(dims, args, "in_dims") + [0] * len(leaves_of(kwargs))
        given = leaves_of(args) + leaves_of(kwargs)
        size = _size(func, given, axes, in_dims)
        return _run(func, args, kwargs, given, axes, size, out_dims, randomness)

    call.__name__ = getattr(func, "__name__", "vmap")
    return call


def _name(func: Any) -> str:
    return getattr(func, "__name__", repr(func))


def _size(func: Any, given: list[Any], axes: list[Any], shown: Any) -> int:
    sizes = []
    for x, d in zip(given, axes, strict=True):
        if d is None:
            continue
        if not isinstance(x, Tensor):
            raise ValueError(
                f"vmap({_name(func)}, in_dims={shown}, ...)(<inputs>): Got in_dim={d} for an input "
                f"but the input is of type {type(x)}. We cannot vmap over non-Tensor arguments, "
                "please use None as the respective in_dim"
            )
        if not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"vmap({_name(func)}, in_dims={shown}, ...)(<inputs>): Got in_dim={d} for some "
                f"input, but that input is a Tensor of dimensionality {x.ndim} so expected in_dim "
                f"to satisfy -{x.ndim} <= in_dim < {x.ndim}."
            )
        sizes.append(x._aval_shape()[d])
    if not sizes:
        raise ValueError(
            f"vmap({_name(func)}, in_dims={shown}, ...)(<inputs>): expected `in_dims` to be int or "
            "a (potentially nested) tuple matching the structure of inputs, got: "
            f"{type(shown)}."
        )
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return sizes[0]


def _run(
    func: Any, args: Any, kwargs: Any, given: list[Any], axes: list[Any], size: int,
    out_dims: Any, randomness: str,
) -> Any:  # fmt: skip
    rows = [x if d is None else _row(x, d) for x, d in zip(given, axes, strict=True)]
    row_args, row_kwargs = like((args, kwargs), iter(rows))
    tape.rows.open += 1
    before = _default.mapped
    _default.mapped = (randomness, size)
    try:
        out = func(*row_args, **row_kwargs)
    finally:
        tape.rows.open -= 1
        _default.mapped = before
    for x in leaves_of(out):
        if not isinstance(x, Tensor):
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type "
                f"{type(x)}. Did you mean to set the `out_dims=` argument to None for output?"
            )
    results = leaves_of(out)
    refs = [x._ref() for x in results]
    stand: list[Any] = [r._node for r, d in zip(rows, axes, strict=True) if d is not None]
    order = _below(refs, set(stand))
    piece, shared = _batched(order, refs, stand, size)
    whole = [
        movedim(x, d, 0)._ref() if d else x._ref()
        for x, d in zip(given, axes, strict=True)
        if d is not None
    ]
    made: dict[Ref, Ref] = dict(zip([(n, 0) for n in stand], whole, strict=True))
    if piece is not None:
        operands = (*whole, *shared)
        # What a call asked for that ended (torch.func.grad inside) does not count.
        left = any(map(flows, whole)) or any(flows(ref) and asked(ref[0]) for ref in shared)
        tracked = recording.on and piece.differentiable and left
        node = node_of(piece, operands, tracked)
        own = [r for r in refs if r[0] in set(order)]
        made.update((r, (node, k)) for k, r in enumerate(own))
    outs = []
    for ref, x, d in zip(refs, results, spread(out_dims, out, "out_dims"), strict=True):
        found = made.get(ref)
        if d is None:
            outs.append(x)
            continue
        t = shown(*found) if found is not None else x.expand(size, *x._aval_shape())
        outs.append(movedim(t, 0, d) if d else t)
    return like(out, iter(outs))


__all__ = ["vmap"]

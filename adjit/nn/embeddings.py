"""Rows of a table by number: embeddings, and bags of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.rows import row
from ..eager.saved import scalar_name
from ..eager.tensor_object import Tensor, held
from ..ir.ops import arithmetic
from .lift import lifted, rows_of, shape_of, tracing, unknown
from .module import overwrite


@lifted("EmbeddingBackward0")
def _embedding(index: Any, w: Any, *, padding: int | None, shared: bool) -> Any:
    found = rows_of(w, index)
    if padding is None and not shared:
        return found
    fixed = row(arithmetic.stop_gradient, found)
    if shared:  # the value is the same, the slope is divided by how often the row is read
        flat = index.reshape(-1)
        times = np.sum(flat[:, None] == flat, axis=1).reshape((*index.shape, 1))
        found = fixed + (found - fixed) / times.astype(found.dtype)
    return found if padding is None else np.where((index == padding)[..., None], fixed, found)


def _check(name: str, input: Any, n: int, padding: int | None) -> int | None:
    if np.dtype(input.dtype).kind not in "iu":
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got torch.{scalar_name(np.dtype(input.dtype))}Tensor instead (while "
            f"checking arguments for {name})"
        )
    if padding is not None and not -n <= padding < n:
        raise ValueError(f"{name}: padding_idx {padding} is outside of {n} rows")
    if not tracing(input) and not unknown(input):
        plain = input._value() if isinstance(input, Tensor) else np.asarray(input)
        wrong = plain[(plain < 0) | (plain >= n)]
        if wrong.size:
            raise IndexError(
                f"index out of range in self\n  {name}: index {wrong.flat[0]} is out of range for "
                f"{n} rows"
            )
    return None if padding is None else padding % n


def _cut(name: str, input: Any, weight: Any, max_norm: float, p: float) -> None:
    """Scale the rows in use down to the norm, in place."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"{name}: max_norm writes into the weight, which must be a Tensor")
    array = weight._value().copy()
    used = np.unique(input._value() if isinstance(input, Tensor) else input)
    lengths = np.linalg.norm(array[used], ord=p, axis=1, keepdims=True)
    array[used] *= np.where(lengths > max_norm, max_norm / (lengths + 1e-7), 1).astype(array.dtype)
    overwrite(weight, array)


def embedding(
    input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    """Rows of the weight by number; that of `padding_idx` gets no derivative.

    Rows longer than `max_norm` are first cut to it, in place.  Gradients are dense, whatever
    `sparse` says.
    """
    if len(shape_of(weight)) != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, but it has shape {shape_of(weight)}")
    found = _check("embedding", input, shape_of(weight)[0], padding_idx)
    if max_norm is not None:
        _cut("embedding", input, weight, float(max_norm), float(norm_type))
    return _embedding(input, weight, padding=found, shared=bool(scale_grad_by_freq))


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Ones in the place of each class."""
    if np.dtype(tensor.dtype).kind not in "iu":
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor, "
                           f"got {tensor.dtype}")  # fmt: skip
    if num_classes >= 0 and unknown(tensor):
        return (tensor.unsqueeze(-1) == held(np.arange(num_classes))).to(np.int64)
    plain = tensor._value() if isinstance(tensor, Tensor) else tensor
    if not tracing(plain) and plain.size:
        if plain.min() < 0:
            raise RuntimeError("Class values must be non-negative.")
        if 0 <= num_classes <= plain.max():
            raise RuntimeError("Class values must be smaller than num_classes.")
    n = int(num_classes) if num_classes >= 0 else int(np.max(plain)) + 1
    if isinstance(tensor, Tensor):
        return held((plain[..., None] == np.arange(n)).astype(np.int64))
    return (tensor[..., None] == np.arange(n)).astype(np.int64)


# ------------------------------------------------------------------ bags


@lifted("EmbeddingBagBackward0")
def _rows_of_bags(index: Any, w: Any, each: Any, *, padding: int | None, mode: str) -> Any:
    """Bags of one length: (bags, places) of indices."""
    rows = rows_of(w, index)
    counted = np.ones(index.shape, bool) if padding is None else index != padding
    if each is not None:
        rows = rows * each[..., None]
    return _bagged(rows, counted, 1, mode)


@lifted("EmbeddingBagBackward0")
def _ranges(
    index: Any, w: Any, starts: Any, each: Any, *, padding: int | None, mode: str, last: bool
) -> Any:
    """Bags that begin at given places of one row of indices."""
    rows = rows_of(w, index)
    if each is not None:
        rows = rows * each[..., None]
    n = index.shape[0]
    first = starts[:-1] if last else starts
    end = starts[1:] if last else np.concatenate([starts[1:], np.full(1, n, starts.dtype)])
    places = np.arange(n)
    counted = (places >= first[:, None]) & (places < end[:, None])
    if padding is not None:
        counted = counted & (index != padding)
    return _bagged(rows, counted, 1, mode)


def _bagged(rows: Any, counted: Any, axis: int, mode: str) -> Any:
    some = np.any(counted, axis=axis)[:, None]
    if mode == "max":
        best = np.max(np.where(counted[..., None], rows, -np.inf), axis=axis)
        return np.where(some, best, 0)
    share = counted.astype(rows.dtype)
    if rows.ndim == 2:
        total = share @ rows
    else:
        total = np.sum(np.where(counted[..., None], rows, 0), axis=axis)
    if mode == "sum":
        return total
    return total / np.maximum(np.sum(share, axis=axis), 1)[:, None]


def embedding_bag(
    input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """Sums, means or maxima of rows: of each line of indices, or from offset to offset."""
    s = shape_of(input)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if scale_grad_by_freq:
        raise NotImplementedError("embedding_bag: scale_grad_by_freq is that of embedding only")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only "
                f"supported for mode='sum' (got mode='{mode}')"
            )
        if shape_of(per_sample_weights) != s:
            raise ValueError(
                f"embedding_bag: input of shape {s} and per_sample_weights of shape "
                f"{shape_of(per_sample_weights)} differ"
            )
    padding = _check("embedding_bag", input, shape_of(weight)[0], padding_idx)
    if max_norm is not None:
        _cut("embedding_bag", input, weight, float(max_norm), float(norm_type))
    if len(s) == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: offsets has to be None, as input is 2D")
        return _rows_of_bags(input, weight, per_sample_weights, padding=padding, mode=mode)
    if len(s) != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {len(s)}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if len(shape_of(offsets)) != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    return _ranges(
        input, weight, offsets, per_sample_weights, padding=padding, mode=mode,
        last=bool(include_last_offset),
    )  # fmt: skip

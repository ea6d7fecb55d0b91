"""Products with weights, embeddings, dropout and attention."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import creation
from ..ir.ops import arithmetic
from ..reductions import root
from ..tensor_object import Tensor, held
from ..tracer.record import stack
from .activations import softmax
from .lift import lifted, row, rows_of, same_dtype, shape_of, tracing


@lifted("AddmmBackward0")
def _linear(x: Any, w: Any, b: Any) -> Any:
    y = x @ w.T
    return y if b is None else y + b


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """x @ weight.T + bias, for weight (results, features)."""
    s, t = shape_of(input), shape_of(weight)
    if len(t) not in (1, 2) or not s or s[-1] != t[-1]:
        raise RuntimeError(
            f"linear: input of shape {s} cannot be multiplied with weight of shape {t}: "
            f"{s[-1] if s else 1} features for {t[-1] if t else 1}"
        )
    if bias is not None and shape_of(bias) not in (t[:-1], (1,)):
        raise RuntimeError(f"linear: bias of shape {shape_of(bias)} for weight of shape {t}")
    same_dtype("linear", input, weight, bias)
    return _linear(input, weight, bias)


@lifted("BilinearBackward0")
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """x W y + bias, for weight (results, features of x, features of y)."""
    y = np.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


# ------------------------------------------------------------------ embeddings


@lifted("EmbeddingBackward0")
def _embedding(index: Any, w: Any, *, padding: int | None) -> Any:
    found = rows_of(w, index)
    if padding is None:
        return found
    fixed = row(arithmetic.stop_gradient, found)
    return np.where((index == padding)[..., None], fixed, found)


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Rows of the weight by number; that of `padding_idx` gets no derivative."""
    if np.dtype(input.dtype).kind not in "iu":
        raise RuntimeError(f"embedding: expected indices of an integer dtype, got {input.dtype}")
    n = shape_of(weight)[0]
    if padding_idx is not None and not -n <= padding_idx < n:
        raise ValueError(f"embedding: padding_idx {padding_idx} is outside of {n} rows")
    found = None if padding_idx is None else padding_idx % n
    return _embedding(input, weight, padding=found)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Ones in the place of each class."""
    plain = tensor._value() if isinstance(tensor, Tensor) else tensor
    n = int(num_classes) if num_classes >= 0 else int(np.max(plain)) + 1
    if isinstance(tensor, Tensor):
        return held((plain[..., None] == np.arange(n)).astype(np.int64))
    return (tensor[..., None] == np.arange(n)).astype(np.int64)


# ------------------------------------------------------------------ dropout


class _Keys(threading.local):
    def __init__(self) -> None:
        self.open: list[list[Any]] = []  # a key, and how many have drawn from it


_keys = _Keys()


@contextmanager
def keyed(key: Any) -> Iterator[None]:
    """A block in which dropout without a generator draws from this whole number.

    Inside a traced function it is an argument; equal keys drop equal places.
    """
    _keys.open.append([key, 0])
    try:
        yield
    finally:
        _keys.open.pop()


def _hashed(key: Any, count: int, draw: int = 0) -> Any:
    """Numbers in [0, 1) from a key: splitmix64 (Steele, Lea, Flood 2014) of a counter."""
    first = 1 + (draw << 40)
    z = np.arange(first, first + count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = z + np.asarray(key).astype(np.uint64) if not tracing(key) else z + key.astype(np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _uniform(shape: tuple[int, ...], generator: Any) -> Any:
    if tracing(generator) or isinstance(generator, int | np.integer | np.ndarray):
        return _hashed(generator, math.prod(shape)).reshape(shape)
    if generator is None and _keys.open:
        known = _keys.open[-1]
        known[1] += 1
        return _hashed(known[0], math.prod(shape), known[1]).reshape(shape)
    if stack():
        raise TypeError(
            "dropout: a generator cannot draw inside a traced function, where every call would "
            "see the same numbers; pass a whole number, an argument of the function, as "
            "generator=, or call the model inside `with nn.keyed(number)`"
        )
    if generator is None:
        generator = creation._default
    rng = generator.numpy if isinstance(generator, creation.Generator) else generator
    return rng.random(shape, np.float32)


@lifted("MulBackward0")
def _dropped(x: Any, kept: Any, *, scale: float) -> Any:
    return np.where(kept, x * scale, 0)


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: Any = None) -> Any:
    """Elements set to zero with probability p, the others scaled by 1 / (1 - p).

    `generator` draws (NumPy's or ours); a whole number instead is a key, and equal keys drop equal
    places: inside a traced function, where nothing can be drawn, it is an argument of the function.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    kept = _uniform(shape_of(input), generator) >= p
    return _dropped(input, kept, scale=1.0 / (1.0 - p) if p < 1 else 0.0)


def feature_dropout(
    input: Any, p: float = 0.5, training: bool = True, generator: Any = None
) -> Any:
    """Dropout of whole channels (dim 1)."""
    if not training or p == 0.0:
        return input
    s = shape_of(input)
    kept = _uniform((*s[:2], *(1,) * (len(s) - 2)), generator) >= p
    return _dropped(input, kept, scale=1.0 / (1.0 - p) if p < 1 else 0.0)


dropout1d = dropout2d = dropout3d = feature_dropout


# ------------------------------------------------------------------ attention


@lifted("ScaledDotProductAttentionBackward0")
def _scores(q: Any, k: Any, mask: Any, *, scale: float, causal: bool) -> Any:
    scores = (q * scale) @ np.swapaxes(k, -1, -2)
    low = -np.inf
    if causal:
        ahead = ~np.tri(q.shape[-2], k.shape[-2], dtype=bool)
        scores = np.where(ahead, low, scores)
    if mask is None:
        return scores
    if np.dtype(mask.dtype) == np.bool_:
        return np.where(mask, scores, low)
    return scores + mask


@lifted("BmmBackward0")
def _weighted(weights: Any, v: Any) -> Any:
    return weights @ v


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, generator: Any = None,
) -> Any:  # fmt: skip
    """softmax(q kᵀ scale + mask) v; a boolean mask is true where attention is paid."""
    q, k, v = map(shape_of, (query, key, value))
    if q[-1] != k[-1] or k[-2] != v[-2]:
        raise RuntimeError(
            f"scaled_dot_product_attention: query {q}, key {k} and value {v} do not fit"
        )
    factor = 1 / math.sqrt(q[-1]) if scale is None else float(scale)
    scores = _scores(query, key, attn_mask, scale=factor, causal=bool(is_causal))
    weights = dropout(softmax(scores, -1), dropout_p, dropout_p > 0, generator)
    return _weighted(weights, value)


def heads(x: Any, count: int) -> Any:
    """(batch, length, features) as (batch, heads, length, features of one)."""
    n, length, features = shape_of(x)
    return x.reshape((n, length, count, features // count)).swapaxes(1, 2)


def joined(x: Any) -> Any:
    """The heads side by side again."""
    n, count, length, features = shape_of(x)
    return x.swapaxes(1, 2).reshape((n, length, count * features))


def attention(
    query: Any, key: Any, value: Any, num_heads: int, mask: Any, dropout_p: float, generator: Any
) -> tuple[Any, Any]:
    """Attention of several heads to projected inputs: the result and the weights of each head."""
    q, k, v = (heads(x, num_heads) for x in (query, key, value))
    scale = 1 / math.sqrt(shape_of(q)[-1])
    weights = softmax(_scores(q, k, mask, scale=scale, causal=False), -1)
    dropped = dropout(weights, dropout_p, dropout_p > 0, generator)
    return joined(_weighted(dropped, v)), weights


@lifted("CosineSimilarityBackward0")
def _cosine(x: Any, y: Any, *, dim: int, eps: float) -> Any:
    def norm(v: Any) -> Any:
        return np.maximum(root(np.sum(v * v, axis=dim), 2), eps)

    return np.sum(x * y, axis=dim) / (norm(x) * norm(y))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors along a dim."""
    return _cosine(x1, x2, dim=int(dim), eps=float(eps))


@lifted("ConstantPadNdBackward0", keeps=False)
def _pad(x: Any, *, widths: Any, mode: str, value: float) -> Any:
    if mode != "constant":
        return np.pad(
            x, widths, mode={"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
        )  # type: ignore[call-overload]
    return np.pad(x, widths, constant_values=value) if value else np.pad(x, widths)


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Elements added around, as pairs (before, after) that begin with the last dim."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    ndim = len(shape_of(input))
    if len(pairs) > ndim or mode not in ("constant", "reflect", "replicate", "circular"):
        raise ValueError(f"pad: {tuple(pad)} in mode {mode!r} for input of shape {shape_of(input)}")
    widths = ((0, 0),) * (ndim - len(pairs)) + tuple((int(a), int(b)) for a, b in pairs[::-1])
    return _pad(input, widths=widths, mode=mode, value=float(value or 0.0))

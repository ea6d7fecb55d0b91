"""Products with weights, and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..eager.arithmetic import fits
from ..eager.reductions import root
from .activations import softmax
from .draws import dropout
from .lift import MATRICES, alike, lifted, same_dtype, shape_of


def _linear_name(b: Any, x: Any, w: Any) -> str:
    rank = len(shape_of(x))
    if b is not None:
        return "AddmmBackward0" if rank == 2 else "ViewBackward0"
    return {1: "SqueezeBackward4", 2: "MmBackward0"}.get(rank, "UnsafeViewBackward0")


@lifted(_linear_name)
def _linear(b: Any, x: Any, w: Any) -> Any:  # in the order of addmm, which the graph shows
    y = x @ w.T
    return y if b is None else y + b


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """x @ weight.T + bias, for weight (results, features)."""
    s, t = shape_of(input), shape_of(weight)
    if len(t) not in (1, 2) or not s or s[-1] != t[-1]:
        raise RuntimeError(_misfit(s, t))
    if bias is not None and shape_of(bias) not in (t[:-1], (1,)):
        n, b = t[0], shape_of(bias)
        raise RuntimeError(
            f"The expanded size of the tensor ({n}) must match the existing size ({b[-1]}) at "
            f"non-singleton dimension 1.  Target sizes: {[*s[:-1], n]}.  Tensor sizes: {list(b)}"
            f"\n  linear: bias of shape {b} for weight of shape {t}"
        )
    same_dtype("linear", input, weight, bias, words=MATRICES)
    return _linear(bias, input, weight)


def _misfit(s: tuple[int, ...], t: tuple[int, ...]) -> str:
    """What PyTorch says of these shapes, and which they are."""
    rows = f"{math.prod(s[:-1])}x{s[-1] if s else 1}"
    matrices = f"({rows} and {'x'.join(map(str, reversed(t)))})"
    return (
        f"mat1 and mat2 shapes cannot be multiplied {matrices}\n  linear: input of shape {s}, "
        f"weight of shape {t}: {s[-1] if s else 1} features for {t[-1] if t else 1}"
    )


@lifted(lambda x, y, w, b: "ViewBackward0" if b is None else "AddBackward0")
def _bilinear(x: Any, y: Any, w: Any, b: Any) -> Any:
    found = np.einsum("...i,oij,...j->...o", x, w, y)
    return found if b is None else found + b


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """x W y + bias, for weight (results, features of x, features of y)."""
    s1, s2, t = map(shape_of, (input1, input2, weight))
    if s1[:-1] != s2[:-1]:
        raise RuntimeError(f"bilinear: inputs of shapes {s1} and {s2} differ before the last dim")
    for k, s in enumerate((s1, s2), 1):
        if len(t) != 3 or s[-1:] != t[k : k + 1]:
            raise RuntimeError(
                f"bilinear(): input{k} size does not match weight size: got {s[-1] if s else 1} "
                f"but expected {t[k] if len(t) == 3 else 'three dims'}\n  inputs of shapes {s1} "
                f"and {s2}, weight of shape {t}"
            )
    if bias is not None and shape_of(bias) != t[:1]:
        raise RuntimeError(f"bilinear: bias of shape {shape_of(bias)} for weight of shape {t}")
    same_dtype("bilinear", input1, input2, weight, bias)
    return _bilinear(input1, input2, weight, bias)


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


@lifted("UnsafeViewBackward0")
def _weighted(weights: Any, v: Any) -> Any:
    return weights @ v


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False, *,
    generator: Any = None,
) -> Any:  # fmt: skip
    """softmax(q kᵀ scale + mask) v; a boolean mask is true where attention is paid.

    With `enable_gqa` several heads of the query share one of key and value.
    """
    q, k, v = map(shape_of, (query, key, value))
    if min(map(len, (q, k, v))) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise RuntimeError(
            f"scaled_dot_product_attention: query {q}, key {k} and value {v} do not fit"
        )
    same_dtype("scaled_dot_product_attention", query, key, value)
    if attn_mask is not None and is_causal:
        raise RuntimeError("scaled_dot_product_attention: is_causal=True with an attn_mask")
    if enable_gqa:
        key, value = _repeated(key, q[-3] // k[-3]), _repeated(value, q[-3] // v[-3])
    factor = 1 / math.sqrt(q[-1]) if scale is None else float(scale)
    scores = _scores(query, key, attn_mask, scale=factor, causal=bool(is_causal))
    weights = dropout(softmax(scores, -1), dropout_p, dropout_p > 0, generator=generator)
    return _weighted(weights, value)


@lifted("RepeatInterleaveBackward0")
def _repeated_heads(x: Any, *, times: int) -> Any:
    return np.repeat(x, times, axis=-3)


def _repeated(x: Any, times: int) -> Any:
    return x if times == 1 else _repeated_heads(x, times=times)


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
    dropped = dropout(weights, dropout_p, dropout_p > 0, generator=generator)
    return joined(_weighted(dropped, v)), weights


@lifted("SumBackward1")
def _cosine(x: Any, y: Any, *, dim: int, eps: float) -> Any:
    def norm(v: Any) -> Any:
        return np.maximum(root(np.sum(v * v, axis=dim), 2), eps)

    return np.sum(x * y, axis=dim) / (norm(x) * norm(y))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors along a dim."""
    fits("cosine_similarity", shape_of(x1), shape_of(x2))
    x1, x2 = alike("cosine_similarity", x1, x2)
    return _cosine(x1, x2, dim=int(dim), eps=float(eps))

"""Losses of margins, distances and counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..eager.arithmetic import fits
from .lift import alike, lifted, shape_of
from .losses import _reduced, _reduction

# ------------------------------------------------------------------ distances


def _like(t: Any, x: Any) -> Any:
    """Targets, often whole numbers, in the dtype of what they are compared with."""
    return t if t.dtype == x.dtype else t.astype(x.dtype)


def _positive(x: Any) -> Any:
    """max(x, 0), with slope 1 at 0, as PyTorch's clamp_min has it."""
    return np.where(x < 0, 0, x)


def _length(d: Any, p: float, eps: float, keep: bool = False) -> Any:
    if p == math.inf:
        return np.max(np.abs(d + eps), axis=-1, keepdims=keep)
    return np.sum(np.abs(d + eps) ** p, axis=-1, keepdims=keep) ** (1 / p)


@lifted("NormBackward1")
def _distance(x: Any, y: Any, *, p: float, eps: float, keep: bool) -> Any:
    return _length(x - y, p, eps, keep)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of differences (plus eps) along the last dim."""
    x1, x2 = alike("pairwise_distance", x1, x2)
    return _distance(x1, x2, p=float(p), eps=float(eps), keep=bool(keepdim))


@lifted("PdistBackward0")
def _pdist(x: Any, *, p: float) -> Any:
    first, second = np.triu_indices(x.shape[0], 1)
    return _length(x[first] - x[second], p, 0.0)


def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norms of the differences of all pairs of rows."""
    if len(shape_of(input)) != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got shape {shape_of(input)}")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    return _pdist(input, p=float(p))


@lifted("MeanBackward0")
def _triplet(a: Any, b: Any, c: Any, *, margin: float, p: float, eps: float, swap: bool,
             reduction: str) -> Any:  # fmt: skip
    far = _length(a - c, p, eps)
    if swap:
        far = np.minimum(far, _length(b - c, p, eps))
    return _reduced(_positive(_length(a - b, p, eps) - far + margin), reduction)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0,
    eps: float = 1e-6, swap: bool = False, reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(|anchor - positive| - |anchor - negative| + margin, 0)."""
    shapes = tuple(map(shape_of, (anchor, positive, negative)))
    if len({len(s) for s in shapes}) > 1:
        raise RuntimeError(
            "triplet_margin_loss: The anchor, positive, and negative tensors are expected to have "
            "the same number of dimensions, but got shapes: anchor {}, positive {}, and negative "
            "{} inputs".format(*shapes)
        )
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return _triplet(
        anchor, positive, negative, margin=float(margin), p=float(p), eps=float(eps),
        swap=bool(swap), reduction=_reduction("triplet_margin_loss", reduction),
    )  # fmt: skip


@lifted("MeanBackward0")
def _farther(near: Any, far: Any, *, margin: float, reduction: str) -> Any:
    return _reduced(_positive(near - far + margin), reduction)


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Any = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Any:  # fmt: skip
    """As `triplet_margin_loss`, with a distance of one's own."""
    reduction = _reduction("triplet_margin_with_distance_loss", reduction)
    distance = pairwise_distance if distance_function is None else distance_function
    far = distance(anchor, negative)
    if swap:
        other = distance(positive, negative)
        far = np.minimum(far, other)
    near = distance(anchor, positive)
    return _farther(near, far, margin=float(margin), reduction=reduction)


@lifted("MeanBackward0")
def _cosine_embedding(x: Any, y: Any, t: Any, *, margin: float, reduction: str) -> Any:
    eps = 1e-12
    dot = np.sum(x * y, axis=-1)
    cosine = dot / np.sqrt((np.sum(x * x, axis=-1) + eps) * (np.sum(y * y, axis=-1) + eps))
    return _reduced(np.where(t == 1, 1 - cosine, _positive(cosine - margin)), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """1 - cosine where target is 1, max(cosine - margin, 0) where it is -1."""
    reduction = _reduction("cosine_embedding_loss", reduction)
    s1, s2, t = map(shape_of, (input1, input2, target))
    if s1 != s2 or t != s1[:-1] or len(s1) not in (1, 2):
        raise RuntimeError(
            f"cosine_embedding_loss: inputs of shapes {s1} and {s2} and target of shape {t} do not "
            "fit: expected (N, D), (N, D) and (N), or (D), (D) and ()"
        )
    return _cosine_embedding(input1, input2, target, margin=float(margin), reduction=reduction)


@lifted("MeanBackward0")
def _ranking(x: Any, y: Any, t: Any, *, margin: float, reduction: str) -> Any:
    return _reduced(_positive(-_like(t, x) * (x - y) + margin), reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """max(-target * (input1 - input2) + margin, 0)."""
    reduction = _reduction("margin_ranking_loss", reduction)
    shapes = tuple(map(shape_of, (input1, input2, target)))
    if len({len(s) for s in shapes}) > 1:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            "input1: {}, input2: {}, target: {}".format(*shapes)
        )
    return _ranking(input1, input2, target, margin=float(margin), reduction=reduction)


@lifted("MeanBackward0")
def _hinge(x: Any, t: Any, *, margin: float, reduction: str) -> Any:
    near, far = np.where(t == -1, 0, x), np.where(t == 1, 0, _positive(margin - x))
    return _reduced(near + far, reduction)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """x where target is 1, max(margin - x, 0) where it is -1."""
    reduction = _reduction("hinge_embedding_loss", reduction)
    fits("hinge_embedding_loss", shape_of(input), shape_of(target))
    return _hinge(input, target, margin=float(margin), reduction=reduction)


@lifted("SoftMarginLossBackward0")
def _soft_margin(x: Any, t: Any, *, reduction: str) -> Any:
    return _reduced(np.logaddexp(-_like(t, x) * x, np.zeros((), x.dtype)), reduction)


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """log(1 + exp(-target * x))."""
    fits("soft_margin_loss", shape_of(input), shape_of(target))
    return _soft_margin(input, target, reduction=_reduction("soft_margin_loss", reduction))


@lifted("MultiMarginLossBackward0")
def _multi_margin(x: Any, t: Any, w: Any, *, p: int, margin: float, reduction: str) -> Any:
    n = x.shape[-1]
    rows = x.reshape(-1, n)
    at = t.reshape(-1, 1)
    mine = np.take_along_axis(rows, at, -1)
    loss = margin - mine + rows
    loss = np.where(loss > 0, loss, 0) ** p
    if w is not None:
        loss = loss * np.take(w, at, axis=0)
    found = np.sum(np.where(np.arange(n) == at, 0, loss), axis=-1) / n
    return _reduced(found if len(x.shape) > 1 else found[0], reduction)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """The mean over other classes of max(margin - x[target] + x, 0)^p."""
    reduction = _reduction("multi_margin_loss", reduction)
    s, classes = shape_of(input), shape_of(target)
    if p not in (1, 2):
        raise ValueError("multi_margin_loss: only p == 1 and p == 2 supported")
    if len(s) not in (1, 2) or classes not in (s[:-1], (1,) if len(s) == 1 else s[:-1]):
        raise RuntimeError(
            f"multi_margin_loss: expected target of shape {s[:-1]} for input of shape {s}, got "
            f"{classes}"
        )
    if weight is not None and shape_of(weight) != s[-1:]:
        raise ValueError(
            f"multi_margin_loss: weight must be one-dimensional of {s[-1]} classes, not "
            f"{shape_of(weight)}"
        )
    return _multi_margin(input, target, weight, p=p, margin=float(margin), reduction=reduction)


@lifted("MultilabelMarginLossBackward0")
def _multilabel_margin(x: Any, t: Any, *, reduction: str) -> Any:
    n = x.shape[-1]
    rows, at = x.reshape(-1, n), t.reshape(-1, n)
    live = np.logical_and.accumulate(at >= 0, axis=1)  # the classes before the first -1
    safe = np.where(live, at, 0)
    mine = np.take_along_axis(rows, safe, 1)
    wanted = np.any((safe[:, :, None] == np.arange(n)) & live[:, :, None], axis=1)
    loss = _positive(1 - (mine[:, :, None] - rows[:, None, :]))
    loss = np.where(live[:, :, None] & ~wanted[:, None, :], loss, 0)
    found = np.sum(loss, axis=(1, 2)) / n
    return _reduced(found if len(x.shape) > 1 else found[0], reduction)


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """max(1 - x[wanted] + x[other], 0) over pairs of classes; targets end at the first -1."""
    s, t = shape_of(input), shape_of(target)
    if s != t or len(s) not in (1, 2):
        raise RuntimeError(
            f"multilabel_margin_loss: input of shape {s} and target of shape {t} differ"
        )
    return _multilabel_margin(
        input, target, reduction=_reduction("multilabel_margin_loss", reduction)
    )


@lifted("MeanBackward0")
def _multilabel_soft(x: Any, t: Any, w: Any, *, reduction: str) -> Any:
    zero, t = np.zeros((), x.dtype), _like(t, x)
    loss = t * np.logaddexp(-x, zero) + (1 - t) * np.logaddexp(x, zero)
    return _reduced(np.mean(loss if w is None else loss * w, axis=-1), reduction)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """The mean over classes of binary cross entropies with logits."""
    reduction = _reduction("multilabel_soft_margin_loss", reduction)
    if shape_of(input) != shape_of(target):
        raise RuntimeError(
            f"multilabel_soft_margin_loss: input of shape {shape_of(input)} and target of shape "
            f"{shape_of(target)} differ"
        )
    return _multilabel_soft(input, target, weight, reduction=reduction)


# ------------------------------------------------------------------ likelihoods


@lifted("MeanBackward0")
def _poisson(x: Any, t: Any, *, log: bool, full: bool, eps: float, reduction: str) -> Any:
    t = _like(t, x)
    loss = np.exp(x) - t * x if log else x - t * np.log(x + eps)
    if full:  # Stirling's formula
        many = np.where(t > 1, t, 1)
        more = many * np.log(many) - many + 0.5 * np.log(2 * math.pi * many)
        loss = loss + np.where(t > 1, more, 0)
    return _reduced(loss, reduction)


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """exp(x) - target * x, of counts; of x itself with `log_input=False`."""
    reduction = _reduction("poisson_nll_loss", reduction)
    fits("poisson_nll_loss", shape_of(input), shape_of(target))
    return _poisson(input, target, log=log_input, full=full, eps=float(eps), reduction=reduction)


@lifted("MeanBackward0")
def _gaussian(x: Any, t: Any, v: Any, *, full: bool, eps: float, reduction: str) -> Any:
    if len(v.shape) == len(x.shape) - 1:
        v = v[..., None]
    v = np.where(v < eps, eps, v)
    loss = 0.5 * (np.log(v) + (x - t) ** 2 / v)
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """(log var + (x - target)^2 / var) / 2; variances below eps count as eps."""
    reduction = _reduction("gaussian_nll_loss", reduction)
    s, v = shape_of(input), shape_of(var)
    if v not in (s, s[:-1], (*s[:-1], 1)):
        raise ValueError(f"gaussian_nll_loss: var is of incorrect size: {v} for input of {s}")
    return _gaussian(input, target, var, full=full, eps=float(eps), reduction=reduction)

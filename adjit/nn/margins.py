"""Losses of margins, distances and counts; and activations with a threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .lift import lifted
from .losses import _reduced, _reduction

# ------------------------------------------------------------------ activations


@lifted("PreluKernelBackward0")
def _prelu(x: Any, w: Any) -> Any:
    if w.size > 1:
        w = w.reshape(-1, *[1] * (len(x.shape) - 2))
    return np.where(x > 0, x, w * x)


def prelu(input: Any, weight: Any) -> Any:
    """x where it is positive, else weight * x: one weight, or one per channel."""
    return _prelu(input, weight)


@lifted("ThresholdBackward0")
def _threshold(x: Any, *, at: float, value: float) -> Any:
    return np.where(x > at, x, np.asarray(value, x.dtype))


def threshold(input: Any, threshold: float, value: float) -> Any:
    """x above the threshold, else the value."""
    return _threshold(input, at=float(threshold), value=float(value))


@lifted("HardshrinkBackward0")
def _hardshrink(x: Any, *, lambd: float) -> Any:
    return np.where(np.abs(x) > lambd, x, 0)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where |x| is above lambd, else zero."""
    return _hardshrink(input, lambd=float(lambd))


@lifted("SoftshrinkBackward0")
def _softshrink(x: Any, *, lambd: float) -> Any:
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0))


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards zero by lambd, zero between."""
    return _softshrink(input, lambd=float(lambd))


@lifted("SubBackward0")
def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    return input - np.tanh(input)


@lifted("CeluBackward0")
def _celu(x: Any, *, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x) / alpha))


def celu(input: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x / alpha) - 1)."""
    return _celu(input, alpha=float(alpha))


# ------------------------------------------------------------------ distances


def _positive(x: Any) -> Any:
    """max(x, 0), with slope 1 at 0, as PyTorch's clamp_min has it."""
    return np.where(x < 0, 0, x)


def _length(d: Any, p: float, eps: float, keep: bool = False) -> Any:
    return np.sum(np.abs(d + eps) ** p, axis=-1, keepdims=keep) ** (1 / p)


@lifted("NormBackward1")
def _distance(x: Any, y: Any, *, p: float, eps: float, keep: bool) -> Any:
    return _length(x - y, p, eps, keep)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of differences (plus eps) along the last dim."""
    return _distance(x1, x2, p=float(p), eps=float(eps), keep=bool(keepdim))


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
    return _triplet(
        anchor, positive, negative, margin=float(margin), p=float(p), eps=float(eps),
        swap=bool(swap), reduction=_reduction("triplet_margin_loss", reduction),
    )  # fmt: skip


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
    return _cosine_embedding(input1, input2, target, margin=float(margin), reduction=reduction)


@lifted("MeanBackward0")
def _ranking(x: Any, y: Any, t: Any, *, margin: float, reduction: str) -> Any:
    return _reduced(_positive(-t * (x - y) + margin), reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """max(-target * (input1 - input2) + margin, 0)."""
    reduction = _reduction("margin_ranking_loss", reduction)
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
    return _hinge(input, target, margin=float(margin), reduction=reduction)


@lifted("SoftMarginLossBackward0")
def _soft_margin(x: Any, t: Any, *, reduction: str) -> Any:
    return _reduced(np.logaddexp(-t * x, np.zeros((), x.dtype)), reduction)


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """log(1 + exp(-target * x))."""
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
    return _multi_margin(input, target, weight, p=p, margin=float(margin), reduction=reduction)


@lifted("MeanBackward0")
def _multilabel_soft(x: Any, t: Any, w: Any, *, reduction: str) -> Any:
    zero = np.zeros((), x.dtype)
    loss = t * np.logaddexp(-x, zero) + (1 - t) * np.logaddexp(x, zero)
    return _reduced(np.mean(loss if w is None else loss * w, axis=-1), reduction)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """The mean over classes of binary cross entropies with logits."""
    reduction = _reduction("multilabel_soft_margin_loss", reduction)
    return _multilabel_soft(input, target, weight, reduction=reduction)


# ------------------------------------------------------------------ likelihoods


@lifted("MeanBackward0")
def _poisson(x: Any, t: Any, *, log: bool, full: bool, eps: float, reduction: str) -> Any:
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
    return _gaussian(input, target, var, full=full, eps=float(eps), reduction=reduction)

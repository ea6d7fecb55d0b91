"""How far predictions are from targets."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..eager.arithmetic import fits
from ..eager.rows import row
from ..eager.saved import scalar_name
from ..eager.softmax import log_softmax
from ..eager.tensor_object import Tensor, known
from ..ir.ops import special
from .lift import alike, lifted, rows_of, same_dtype, shape_of, tracing, unknown

REDUCTIONS = ("none", "mean", "sum")
_REDUCED = {"mean": "MeanBackward0", "sum": "SumBackward0", "batchmean": "DivBackward0"}


def _reduction(name: str, reduction: str) -> str:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction ({name})")
    return reduction


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction == "none":
        return loss
    return np.sum(loss) if reduction == "sum" else np.mean(loss)


def _warn_sizes(name: str, input: Any, target: Any) -> None:
    s, t = shape_of(input), shape_of(target)
    fits(name, s, t)
    if s != t:
        warnings.warn(
            f"Using a target size (torch.Size({list(t)})) that is different to the input size "
            f"(torch.Size({list(s)})). This will likely lead to incorrect results due to "
            "broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


# ------------------------------------------------------------------ distances

_FOUND = "Found dtype {0} but expected {1}"


def _weights(name: str, input: Any, weight: Any) -> None:
    if weight is not None and shape_of(weight) != shape_of(input):
        raise ValueError(
            f"{name}: weights and input must have the same size, but have {shape_of(weight)} and "
            f"{shape_of(input)}"
        )


def _weighted(loss: Any, w: Any, reduction: str) -> Any:
    """Reduced; the mean is that of the weights."""
    if w is None or reduction != "mean":
        return _reduced(loss if w is None else loss * w, reduction)
    return np.sum(loss * w) / np.sum(w)


def _check_dtype(name: str, *xs: Any) -> None:
    """Refuse whole numbers that need a derivative: PyTorch has no mean of them."""
    if all(np.dtype(x.dtype).kind in "iub" for x in xs):
        raise RuntimeError(
            f"{name}: expected input or target of a floating point dtype, got {xs[0].dtype} and "
            f"{xs[1].dtype}"
        )


@lifted("MseLossBackward0")
def _mse(x: Any, y: Any, w: Any, *, reduction: str) -> Any:
    d = x - y
    return _weighted(d * d, w, reduction)


def mse_loss(input: Any, target: Any, reduction: str = "mean", *, weight: Any = None) -> Any:
    """(x - y)²."""
    _warn_sizes("mse_loss", input, target)
    _weights("mse_loss", input, weight)
    _check_dtype("mse_loss", input, target)
    input, target = alike("mse_loss", input, target)
    return _mse(input, target, weight, reduction=_reduction("mse_loss", reduction))


@lifted(lambda x, y, w, reduction: _REDUCED.get(reduction, "AbsBackward0"))
def _l1(x: Any, y: Any, w: Any, *, reduction: str) -> Any:
    return _weighted(np.abs(x - y), w, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean", *, weight: Any = None) -> Any:
    """|x - y|."""
    _warn_sizes("l1_loss", input, target)
    _weights("l1_loss", input, weight)
    input, target = alike("l1_loss", input, target)
    return _l1(input, target, weight, reduction=_reduction("l1_loss", reduction))


@lifted(lambda *_, smooth=False, **__: f"{'SmoothL1' if smooth else 'Huber'}LossBackward0")
def _huber(
    x: Any, y: Any, w: Any, *, delta: float, over: float, reduction: str, smooth: bool = False
) -> Any:
    d = np.abs(x - y)
    loss = np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))
    loss = loss / over if over != 1 else loss
    return _reduced(loss if w is None else loss * w, reduction)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """d²/2 below delta, delta * (d - delta/2) above."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta: {delta}")
    _warn_sizes("huber_loss", input, target)
    _weights("huber_loss", input, weight)
    same_dtype("huber_loss", input, target, words=_FOUND)
    reduction = _reduction("huber_loss", reduction)
    return _huber(input, target, weight, delta=float(delta), over=1.0, reduction=reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """d²/(2 beta) below beta, d - beta/2 above."""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta: {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    _warn_sizes("smooth_l1_loss", input, target)
    input, target = alike("smooth_l1_loss", input, target)
    reduction = _reduction("smooth_l1_loss", reduction)
    return _huber(
        input, target, None, delta=float(beta), over=float(beta), reduction=reduction, smooth=True
    )


# ------------------------------------------------------------------ probabilities


_PROBABILITIES = (
    "Using a target size ({0}) that is different to the input size ({1}) is deprecated. Please "
    "ensure they have the same size."
)
_LOGITS = "Target size ({0}) must be the same as input size ({1})"


def _same_size(name: str, input: Any, target: Any, words: str) -> None:
    s, t = (f"torch.Size({list(shape_of(x))})" for x in (input, target))
    if s != t:
        raise ValueError(words.format(t, s) + f"\n  {name}")


def _check_probabilities(input: Any) -> None:
    """Refuse what cannot be probabilities, if it is known without running anything."""
    values = known(input) if isinstance(input, Tensor) else None
    if values is not None and not ((values >= 0) & (values <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")


def _refuse_classes(name: str, input: Any, target: Any) -> None:
    """Refuse Tensors of whole numbers where probabilities are asked for."""
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        return
    if target._dtype.kind in "iub" and input._dtype.kind == "f":
        raise RuntimeError(
            f"result type {scalar_name(input._dtype)} can't be cast to the desired output type "
            f"{scalar_name(target._dtype)}\n  {name}: write target.to(input.dtype)"
        )


@lifted("BinaryCrossEntropyBackward0")
def _bce(x: Any, y: Any, w: Any, *, reduction: str) -> Any:
    floor = -100.0
    yes, no = np.maximum(np.log(x), floor), np.maximum(np.log1p(-x), floor)
    loss = -(y * yes + (1 - y) * no)
    return _reduced(loss if w is None else loss * w, reduction)


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """-(y log p + (1 - y) log(1 - p)); logarithms are cut off at -100."""
    _same_size("binary_cross_entropy", input, target, _PROBABILITIES)
    same_dtype("binary_cross_entropy", input, target, words=_FOUND)
    _check_probabilities(input)
    reduction = _reduction("binary_cross_entropy", reduction)
    return _bce(input, target, weight, reduction=reduction)


@lifted("BinaryCrossEntropyWithLogitsBackward0")
def _bce_logits(x: Any, y: Any, w: Any, positive: Any, *, reduction: str) -> Any:
    no = np.logaddexp(0.0, x)  # -log(1 - p)
    loss = no - x * y if positive is None else (1 - y) * no + positive * y * (no - x)
    return _reduced(loss if w is None else loss * w, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """The same of p = sigmoid(x), without overflow."""
    _same_size("binary_cross_entropy_with_logits", input, target, _LOGITS)
    _refuse_classes("binary_cross_entropy_with_logits", input, target)
    reduction = _reduction("binary_cross_entropy_with_logits", reduction)
    return _bce_logits(input, target, weight, pos_weight, reduction=reduction)


@lifted(lambda *_, reduction, **__: _REDUCED.get(reduction, "SubBackward0"))
def _kl(x: Any, y: Any, *, logged: bool, reduction: str) -> Any:
    loss = np.exp(y) * (y - x) if logged else row(special.xlogy, y, y) - y * x
    if reduction == "batchmean":
        return np.sum(loss) / x.shape[0]
    return _reduced(loss, reduction)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """y (log y - x), for logarithms x of probabilities."""
    if reduction != "batchmean":
        _reduction("kl_div", reduction)
    fits("kl_div", shape_of(input), shape_of(target))
    return _kl(input, target, logged=bool(log_target), reduction=reduction)


# ------------------------------------------------------------------ classes


def _picked(logp: Any, target: Any, ignore: int) -> tuple[Any, Any]:
    """The entries of the target classes (dim 1), and which of them count."""
    valid = target != ignore
    safe = np.where(valid, target, 0)
    at = safe[:, None] if logp.ndim > 1 else safe[None]
    found = np.take_along_axis(logp, at, 1 if logp.ndim > 1 else 0)
    return (found[:, 0] if logp.ndim > 1 else found[0]), (valid, safe)


def _class_loss(
    logp: Any, target: Any, weight: Any, ignore: int, reduction: str, smoothing: float
) -> Any:
    axis = 1 if logp.ndim > 1 else 0
    picked, (valid, safe) = _picked(logp, target, ignore)
    counts = valid.astype(logp.dtype)
    each = counts if weight is None else counts * rows_of(weight, safe)
    loss = -picked * each
    if smoothing:
        spread = logp if weight is None else logp * _over_classes(weight, logp.ndim)
        even = -np.sum(spread, axis=axis) * counts
        loss = (1 - smoothing) * loss + (smoothing / logp.shape[axis]) * even
    if reduction == "none":
        return loss
    total = np.sum(loss)
    return total / np.sum(each) if reduction == "mean" else total


def _over_classes(weight: Any, ndim: int) -> Any:
    return weight.reshape((1, -1, *(1,) * (ndim - 2))) if ndim > 1 else weight


def _logs(x: Any) -> Any:
    return log_softmax(x, 1 if x.ndim > 1 else 0)


def _class_name(x: Any, *_: Any, smoothing: float = 0, **__: Any) -> str:
    if smoothing:
        return "AddBackward0"
    return "NllLoss2DBackward0" if len(shape_of(x)) > 2 else "NllLossBackward0"


@lifted(_class_name)
def _nll(logp: Any, target: Any, weight: Any, *, ignore: int, reduction: str) -> Any:
    return _class_loss(logp, target, weight, ignore, reduction, 0.0)


@lifted(_class_name)
def _cross_entropy(
    x: Any, target: Any, weight: Any, *, ignore: int, reduction: str, smoothing: float
) -> Any:
    return _class_loss(_logs(x), target, weight, ignore, reduction, smoothing)


@lifted("DivBackward1")
def _soft_cross_entropy(
    x: Any, target: Any, weight: Any, *, reduction: str, smoothing: float
) -> Any:
    axis = 1 if x.ndim > 1 else 0
    classes = x.shape[axis]
    if smoothing:
        target = (1 - smoothing) * target + smoothing / classes
    terms = _logs(x) * target
    if weight is not None:
        terms = terms * _over_classes(weight, x.ndim)
    loss = -np.sum(terms, axis=axis)
    if reduction == "mean":
        return np.sum(loss) / (math.prod(x.shape) // classes)
    return _reduced(loss, reduction)


def _check_classes(name: str, input: Any, target: Any, weight: Any, ignore: int) -> None:
    s, t = shape_of(input), shape_of(target)
    if len(s) < 1:
        raise ValueError(f"{name}: expected at least 1 dim, got input of shape {s}")
    wanted = (s[0], *s[2:]) if len(s) > 1 else ()
    classes = s[1] if len(s) > 1 else s[0]
    shapes = f"\n  {name}: input of shape {s}, target of shape {t}"
    if t != wanted:
        if s[:1] != t[:1] and len(s) > 1 and t:
            raise ValueError(
                f"Expected input batch_size ({s[0]}) to match target batch_size ({t[0]}).{shapes}"
            )
        if len(s) < 3:
            raise RuntimeError(
                f"0D or 1D target tensor expected, multi-target not supported{shapes}"
            )
        raise ValueError(f"Expected target size {list(wanted)}, got {list(t)}{shapes}")
    kind = np.dtype(target.dtype)
    if kind not in (np.int64, np.uint8) and (isinstance(target, Tensor) or kind.kind not in "iu"):
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {scalar_name(kind)}{shapes}"
        )
    if weight is not None and shape_of(weight) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no "
            f"classes but got weight tensor of shape: {list(shape_of(weight))}{shapes}"
        )
    if not tracing(target) and not unknown(target):
        plain = target._value() if isinstance(target, Tensor) else np.asarray(target)
        wrong = (plain < 0) | (plain >= classes)
        if wrong.any() and (found := plain[wrong & (plain != ignore)]).size:
            raise IndexError(
                f"Target {found.flat[0]} is out of bounds.\n  {name}: there are {classes} classes "
                f"in input of shape {s}"
            )


def nll_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """Minus the entries of the target classes; the mean is weighted by the weights of classes."""
    same_dtype("nll_loss", input, weight)
    _check_classes("nll_loss", input, target, weight, ignore_index)
    reduction = _reduction("nll_loss", reduction)
    return _nll(input, target, weight, ignore=int(ignore_index), reduction=reduction)


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """Minus log softmax (dim 1) at the target: classes by number, or a probability for each."""
    reduction = _reduction("cross_entropy", reduction)
    smoothing = float(label_smoothing)
    if not 0.0 <= smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    same_dtype("cross_entropy", input, weight)
    s, t = shape_of(input), shape_of(target)
    if np.dtype(target.dtype).kind != "f" and s == t and s not in ((), (1,)):
        raise RuntimeError(
            "cross_entropy: expected floating point type for target with class probabilities, got "
            f"{target.dtype} of shape {t}"
        )
    if np.dtype(target.dtype).kind == "f" and s == t:
        return _soft_cross_entropy(input, target, weight, reduction=reduction, smoothing=smoothing)
    _check_classes("cross_entropy", input, target, weight, ignore_index)
    return _cross_entropy(
        input, target, weight, ignore=int(ignore_index), reduction=reduction, smoothing=smoothing
    )

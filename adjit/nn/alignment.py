"""Connectionist temporal classification: the probability of a text under all its alignments.

Graves, Fernández, Gomez and Schmidhuber, 2006; sums over alignments are kept as logarithms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.tensor_object import Tensor, held
from .lift import lifted, shape_of, tracing
from .losses import _reduction

NEVER = -1e30  # the logarithm of what cannot be, without the NaNs of an infinity


@lifted("CtcLossBackward0")
def _ctc(
    logp: Any, targets: Any, steps: Any, lengths: Any, *, blank: int, reduction: str, zero: bool
) -> Any:
    batch, longest = targets.shape
    places = np.arange(2 * longest + 1)
    spread = np.take(targets, np.minimum(places // 2, max(longest - 1, 0)), axis=1)
    labels = np.where(places % 2 == 1, spread, blank)
    jumps = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    never = np.full((batch, 1), NEVER, logp.dtype)
    alpha = np.where(places < 2, np.take_along_axis(logp[0], labels, 1), NEVER)
    for t in range(1, logp.shape[0]):
        one = np.concatenate([never, alpha[:, :-1]], 1)
        two = np.concatenate([never, never, np.where(jumps, alpha[:, :-2], NEVER)], 1)
        found = np.logaddexp(np.logaddexp(alpha, one), two)
        found = found + np.take_along_axis(logp[t], labels, 1)
        alpha = np.where((t < steps)[:, None], found, alpha)
    end = (2 * lengths)[:, None]
    last = np.take_along_axis(alpha, end, 1)[:, 0]
    before = np.take_along_axis(alpha, np.maximum(end - 1, 0), 1)[:, 0]
    loss = -np.where(lengths > 0, np.logaddexp(last, before), last)
    possible = loss < -NEVER / 2
    loss = np.where(possible, loss, 0.0 if zero else np.inf)
    if reduction == "mean":
        return np.mean(loss / np.maximum(lengths, 1).astype(loss.dtype))
    return np.sum(loss) if reduction == "sum" else loss


def _whole(x: Any) -> Any:
    """Lengths as an array of whole numbers."""
    if isinstance(x, Tensor) or tracing(x):
        return x
    return np.asarray(x, np.int64)


def _apart(targets: Any, lengths: Any) -> np.ndarray:
    """Targets that lie one after the other, as rows."""
    if tracing(targets, lengths):
        raise TypeError(
            "ctc_loss: inside a traced function targets are rows (batch, length), since only their "
            "values say where one after the other begins"
        )
    flat = np.asarray(targets._value() if isinstance(targets, Tensor) else targets)
    counts = np.asarray(lengths._value() if isinstance(lengths, Tensor) else lengths)
    if counts.sum() != flat.size:
        raise RuntimeError(
            f"ctc_loss: target_lengths {counts.tolist()} do not add up to the {flat.size} targets"
        )
    rows = np.zeros((len(counts), max(int(counts.max(initial=0)), 1)), np.int64)
    for row, part in zip(rows, np.split(flat, np.cumsum(counts)[:-1]), strict=True):
        row[: len(part)] = part
    return rows


def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """Minus the logarithm of the probability of targets (batch, length), or one after the other.

    `log_probs` are (steps, batch, classes), or without the batch.  Sums over alignments are
    unrolled while they are traced, so a new number of steps is a new program.
    """
    reduction = _reduction("ctc_loss", reduction)
    s = shape_of(log_probs)
    if len(s) == 2:
        found = ctc_loss(
            log_probs[:, None], targets.reshape((1, -1)), _whole(input_lengths).reshape((1,)),
            _whole(target_lengths).reshape((1,)), blank, reduction, zero_infinity,
        )  # fmt: skip
        return found[0] if reduction == "none" else found
    if len(s) != 3 or not 0 <= blank < s[2]:
        raise RuntimeError(
            f"ctc_loss: expected log_probs (steps, batch, classes) and blank in label range, but "
            f"got log_probs of shape {s} and blank={blank}"
        )
    steps, lengths = _whole(input_lengths), _whole(target_lengths)
    for name, x in (("input_lengths", steps), ("target_lengths", lengths)):
        if shape_of(x) != (s[1],):
            raise RuntimeError(f"ctc_loss: {name} must be of size batch_size {s[1]}: {shape_of(x)}")
    if not tracing(steps):
        most = int((steps._value() if isinstance(steps, Tensor) else steps).max())
        if most > s[0]:
            raise RuntimeError(
                f"ctc_loss: Expected input_lengths to have value at most {s[0]}, but got value "
                f"{most}"
            )
    if len(shape_of(targets)) == 1:
        rows = _apart(targets, lengths)
        targets = held(rows) if isinstance(targets, Tensor) else rows
    elif len(shape_of(targets)) != 2 or shape_of(targets)[0] != s[1]:
        raise RuntimeError(
            f"ctc_loss: expected targets of {s[1]} rows for log_probs of shape {s}, but got shape "
            f"{shape_of(targets)}"
        )
    return _ctc(
        log_probs, targets, steps, lengths, blank=int(blank), reduction=reduction,
        zero=bool(zero_infinity),
    )  # fmt: skip

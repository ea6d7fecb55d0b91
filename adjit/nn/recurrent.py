"""One layer of a recurrent network in one direction, over sequences (length, batch, features)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.rows import row
from ..eager.tape import of_tensors
from ..ir.ops import special
from ..tracer.control import record_scan
from .lift import lifted

_FEW = 8  # steps; so many are compiled one after the other


def _sigmoid(x: Any) -> Any:
    return row(special.expit, x)


def _hidden(h: Any, w: Any, b: Any) -> Any:
    y = h @ w.T
    return y if b is None else y + b


def _ordered(found: list[Any], reverse: bool) -> Any:
    return np.stack(found[::-1] if reverse else found)


def _kept(t: int, lengths: Any, new: Any, old: Any) -> Any:
    """The new state where a sequence still goes on, else the old one."""
    return new if lengths is None else np.where((t < lengths)[:, None], new, old)


def _within(found: Any, lengths: Any) -> Any:
    """Outputs of all steps, zero beyond the end of each sequence."""
    if lengths is None:
        return found
    steps = np.arange(found.shape[0])[:, None]
    return np.where((steps < lengths)[..., None], found, 0)


def lstm_cell(given: Any, c: Any) -> tuple[Any, Any]:
    """The next hidden and cell state of gates (in, forget, cell, out)."""
    n = c.shape[-1]
    i, f, g, o = (given[..., k * n : (k + 1) * n] for k in range(4))
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def gru_cell(given: Any, hidden: Any, h: Any) -> Any:
    """The next state of gates (reset, update, new)."""
    n = h.shape[-1]
    r, z = (
        _sigmoid(given[..., k * n : (k + 1) * n] + hidden[..., k * n : (k + 1) * n]) for k in (0, 1)
    )
    new = np.tanh(given[..., 2 * n :] + r * hidden[..., 2 * n :])
    return new + z * (h - new)


def _over(step: Any, carry: tuple[Any, ...], given: Any, lengths: Any, reverse: bool) -> Any:
    """All states h, the first of the carry, and the last carry: `step(row, *carry)` in turn.

    Of Tensors that is a loop of the program, which compiles in the time of one round; NumPy's
    rounds are found by the tracer itself where they pay.
    """

    def one(carry: tuple[Any, ...], row: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        t, x = row
        new = step(x, *carry)
        carry = tuple(_kept(t, lengths, a, b) for a, b in zip(new, carry, strict=True))
        return carry, carry[0]

    n = given.shape[0]
    if n > _FEW and of_tensors():
        carry, found = record_scan(one, carry, (np.arange(n), given), None, reverse, None, 0)
        return found, carry
    each = []
    for t in range(n)[:: -1 if reverse else 1]:
        carry, h = one(carry, (t, given[t]))
        each.append(h)
    return _ordered(each, reverse), carry


@lifted("MkldnnRnnLayerBackward0")
def lstm(
    x: Any, h: Any, c: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, w_out: Any,
    lengths: Any, *, reverse: bool,
) -> Any:  # fmt: skip
    """Outputs of all steps, and the last hidden and cell state; `w_out` projects hidden states."""

    def step(given: Any, h: Any, c: Any) -> tuple[Any, Any]:
        new, cell = lstm_cell(given + _hidden(h, w_hidden, b_hidden), c)
        return (new if w_out is None else new @ w_out.T), cell

    found, (h, c) = _over(step, (h, c), _hidden(x, w_in, b_in), lengths, reverse)
    return _within(found, lengths), h, c


@lifted("StackBackward0")
def gru(
    x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, lengths: Any, *,
    reverse: bool,
) -> Any:  # fmt: skip
    """Outputs of all steps, and the last state."""

    def step(given: Any, h: Any) -> tuple[Any]:
        return (gru_cell(given, _hidden(h, w_hidden, b_hidden), h),)

    found, (h,) = _over(step, (h,), _hidden(x, w_in, b_in), lengths, reverse)
    return _within(found, lengths), h


@lifted("StackBackward0")
def rnn(
    x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, lengths: Any, *,
    reverse: bool, relu: bool,
) -> Any:  # fmt: skip
    """Outputs of all steps of tanh or relu, and the last state."""

    def step(given: Any, h: Any) -> tuple[Any]:
        return (_plain(given + _hidden(h, w_hidden, b_hidden), relu),)

    found, (h,) = _over(step, (h,), _hidden(x, w_in, b_in), lengths, reverse)
    return _within(found, lengths), h


def _plain(y: Any, relu: bool) -> Any:
    return np.where(y <= 0, 0, y) if relu else np.tanh(y)


# ------------------------------------------------------------------ one step


@lifted(lambda *_, relu: "ReluBackward0" if relu else "TanhBackward0")
def rnn_step(
    x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, *, relu: bool
) -> Any:
    """The next state."""
    return _plain(_hidden(x, w_in, b_in) + _hidden(h, w_hidden, b_hidden), relu)


@lifted("AddBackward0")
def gru_step(x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any) -> Any:
    """The next state."""
    return gru_cell(_hidden(x, w_in, b_in), _hidden(h, w_hidden, b_hidden), h)


@lifted("MulBackward0")
def lstm_step(x: Any, h: Any, c: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any) -> Any:
    """The next hidden and cell state."""
    return lstm_cell(_hidden(x, w_in, b_in) + _hidden(h, w_hidden, b_hidden), c)

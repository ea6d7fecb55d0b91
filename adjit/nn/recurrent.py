"""One layer of a recurrent network in one direction, over sequences (length, batch, features)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.rows import row
from ..ir.ops import special
from .lift import lifted


def _sigmoid(x: Any) -> Any:
    return row(special.expit, x)


def _steps(x: Any, w: Any, b: Any, reverse: bool) -> Any:
    """What the inputs of each step add: one product for all of them."""
    given = x @ w.T
    if b is not None:
        given = given + b
    order = range(x.shape[0])
    return given, (order[::-1] if reverse else order)


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


@lifted("MkldnnRnnLayerBackward0")
def lstm(
    x: Any, h: Any, c: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, w_out: Any,
    lengths: Any, *, reverse: bool,
) -> Any:  # fmt: skip
    """Outputs of all steps, and the last hidden and cell state; `w_out` projects hidden states."""
    given, order = _steps(x, w_in, b_in, reverse)
    found = []
    for t in order:
        new, cell = lstm_cell(given[t] + _hidden(h, w_hidden, b_hidden), c)
        new = new if w_out is None else new @ w_out.T
        h, c = _kept(t, lengths, new, h), _kept(t, lengths, cell, c)
        found.append(h)
    return _within(_ordered(found, reverse), lengths), h, c


@lifted("StackBackward0")
def gru(
    x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, lengths: Any, *,
    reverse: bool,
) -> Any:  # fmt: skip
    """Outputs of all steps, and the last state."""
    given, order = _steps(x, w_in, b_in, reverse)
    found = []
    for t in order:
        h = _kept(t, lengths, gru_cell(given[t], _hidden(h, w_hidden, b_hidden), h), h)
        found.append(h)
    return _within(_ordered(found, reverse), lengths), h


@lifted("StackBackward0")
def rnn(
    x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, lengths: Any, *,
    reverse: bool, relu: bool,
) -> Any:  # fmt: skip
    """Outputs of all steps of tanh or relu, and the last state."""
    given, order = _steps(x, w_in, b_in, reverse)
    found = []
    for t in order:
        h = _kept(t, lengths, _plain(given[t] + _hidden(h, w_hidden, b_hidden), relu), h)
        found.append(h)
    return _within(_ordered(found, reverse), lengths), h


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

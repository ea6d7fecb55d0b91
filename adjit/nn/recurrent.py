"""One layer of a recurrent network in one direction, over sequences (length, batch, features)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.ops import special
from .lift import lifted, row


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


@lifted("LstmBackward0")
def lstm(
    x: Any, h: Any, c: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, *, reverse: bool
) -> Any:
    """Outputs of all steps, and the last hidden and cell state."""
    given, order = _steps(x, w_in, b_in, reverse)
    found = []
    for t in order:
        h, c = lstm_cell(given[t] + _hidden(h, w_hidden, b_hidden), c)
        found.append(h)
    return _ordered(found, reverse), h, c


@lifted("GruBackward0")
def gru(
    x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, *, reverse: bool
) -> Any:
    """Outputs of all steps, and the last state."""
    given, order = _steps(x, w_in, b_in, reverse)
    found = []
    for t in order:
        h = gru_cell(given[t], _hidden(h, w_hidden, b_hidden), h)
        found.append(h)
    return _ordered(found, reverse), h


@lifted("RnnBackward0")
def rnn(
    x: Any, h: Any, w_in: Any, w_hidden: Any, b_in: Any, b_hidden: Any, *, reverse: bool, relu: bool
) -> Any:
    """Outputs of all steps of tanh or relu, and the last state."""
    given, order = _steps(x, w_in, b_in, reverse)
    found = []
    for t in order:
        y = given[t] + _hidden(h, w_hidden, b_hidden)
        h = np.maximum(y, 0) if relu else np.tanh(y)
        found.append(h)
    return _ordered(found, reverse), h

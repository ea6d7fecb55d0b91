"""Recurrent layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..eager.creation import empty
from ..eager.shapes import cat, stack
from ..eager.tensor_object import Tensor, held
from . import functional as F
from . import init
from .lift import same_dtype, shape_of
from .module import Module, Parameter
from .packing import PackedSequence, packed, padded
from .recurrent import gru, gru_step, lstm, lstm_step, rnn, rnn_step

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell"]


def _zeros(like: Any, shape: tuple[int, ...]) -> Any:
    zeros = np.zeros(shape, np.dtype(like.dtype))
    return held(zeros) if isinstance(like, Tensor) else zeros


def _joined(parts: list[Any], axis: int) -> Any:
    if len(parts) == 1:
        return parts[0]
    return cat(parts, axis) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis)


def _stacked(parts: list[Any]) -> Any:
    return stack(parts) if isinstance(parts[0], Tensor) else np.stack(parts)


class RNNBase(Module):
    """Weights by layer and direction: w_ih, w_hh, b_ih, b_hh, as many gates in each."""

    gates = 1
    states = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if not 0 <= proj_size < hidden_size or (proj_size and self.states == 1):
            raise ValueError(
                f"{type(self).__name__}: proj_size {proj_size} is for LSTM, from 0 to hidden_size "
                f"{hidden_size}"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, out = self.gates * hidden_size, proj_size or hidden_size
        for suffix, size in self._runs():
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, size),
                "weight_hh": (rows, out),
            }
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for name, shape in shapes.items():
                self.register_parameter(name + suffix, Parameter(empty(*shape, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights of every layer and direction."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return [
            [self._parameters[k + s] for k in kinds if k + s in self._parameters]
            for s, _ in self._runs()
        ]

    def flatten_parameters(self) -> None:
        """Nothing: weights lie as they are."""

    def _runs(self) -> list[tuple[str, int]]:
        """The names' ending and the number of features of every layer and direction."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        inner = len(ways) * (self.proj_size or self.hidden_size)
        sizes = [self.input_size] + [inner] * (self.num_layers - 1)
        return [(f"_l{k}{way}", n) for k, n in enumerate(sizes) for way in ways]

    def _weights(self, suffix: str) -> list[Any]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [self._parameters.get(n + suffix) for n in names]

    def _run(
        self, x: Any, states: list[Any], suffix: str, lengths: Any, reverse: bool
    ) -> tuple[Any, ...]:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Outputs of all steps, and the last states (layers * directions, batch, hidden)."""
        lengths = order = None
        if isinstance(input, PackedSequence):
            given, x, lengths = input, *padded(input)
            order = given.sorted_indices
            hx = _permuted(hx, order)
            single = False
        else:
            s = shape_of(input)
            self._check(s)
            same_dtype(type(self).__name__, input, self.weight_ih_l0)
            single = len(s) == 2
            x = input[:, None] if single else input.swapaxes(0, 1) if self.batch_first else input
        states = self._first(x, hx, single)
        x, last = self._layers(x, states, lengths)
        ends = [_stacked([e[i] for e in last]) for i in range(self.states)]
        if lengths is not None:
            back = given.unsorted_indices
            found = [_permuted(e, back) for e in ends]
            return packed(x, given), found[0] if self.states == 1 else tuple(found)
        out = x[:, 0] if single else x.swapaxes(0, 1) if self.batch_first else x
        ends = [e[:, 0] for e in ends] if single else ends
        return out, ends[0] if self.states == 1 else tuple(ends)

    def _layers(self, x: Any, states: list[Any], lengths: Any) -> tuple[Any, list[Any]]:
        last: list[Any] = []
        ways = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            found = []
            for way in range(ways):
                k = layer * ways + way
                suffix = f"_l{layer}" + ("_reverse" if way else "")
                out, *ends = self._run(x, [v[k] for v in states], suffix, lengths, way == 1)
                found.append(out)
                last.append(ends)
            x = _joined(found, 2)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, last

    def _check(self, s: tuple[int, ...]) -> None:
        name = type(self).__name__
        if len(s) not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {len(s)}D instead")
        if s[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {s[-1]}\n  {name}: input of shape {s} for weight_ih_l0 of shape "
                f"{shape_of(self.weight_ih_l0)}"
            )

    def _first(self, x: Any, hx: Any, single: bool) -> list[Any]:
        name = type(self).__name__
        n = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: self.states]
        shapes = [(n, shape_of(x)[1], size) for size in sizes]
        if hx is None:
            return [_zeros(x, shape) for shape in shapes]
        if self.states == 1 and isinstance(hx, tuple | list):
            raise TypeError(f"{name}: expected one hidden state, got a {type(hx).__name__}")
        given = [hx] if self.states == 1 else list(hx)
        if len(given) != self.states:
            raise TypeError(f"{name}: expected (hidden, cell), got {len(given)} states")
        wanted = 2 if single else 3
        if any(len(shape_of(h)) != wanted for h in given):
            raise RuntimeError(
                f"{name}: For {'unbatched 2-D' if single else 'batched 3-D'} input, hx should also "
                f"be {wanted}-D but got shapes {', '.join(str(shape_of(h)) for h in given)}"
            )
        given = [h[:, None] for h in given] if single else given
        for h, shape, what in zip(given, shapes, ("hidden[0]", "hidden[1]"), strict=False):
            if shape_of(h) != shape:
                raise RuntimeError(f"{name}: Expected {what} size {shape}, got {list(shape_of(h))}")
        return given

    def extra_repr(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size:
            words.append(f"proj_size={self.proj_size}")
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        for k, default in {**defaults, "bidirectional": False}.items():
            if getattr(self, k) != default:
                words.append(f"{k}={getattr(self, k)}")
        return ", ".join(words)


def _permuted(states: Any, order: Any) -> Any:
    """States of sequences in another order."""
    if states is None or order is None:
        return states
    if isinstance(states, tuple | list):
        return tuple(_permuted(h, order) for h in states)
    return states[:, order]


class RNN(RNNBase):
    """h' = tanh(W x + b + U h + c), or relu."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        _known(nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dtype=dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def _run(
        self, x: Any, states: list[Any], suffix: str, lengths: Any, reverse: bool
    ) -> tuple[Any, ...]:
        relu = self.nonlinearity == "relu"
        return rnn(x, *states, *self._weights(suffix), lengths, reverse=reverse, relu=relu)


def _known(nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")


class GRU(RNNBase):
    """Gated recurrent units."""

    gates = 3

    def _run(
        self, x: Any, states: list[Any], suffix: str, lengths: Any, reverse: bool
    ) -> tuple[Any, ...]:
        return gru(x, *states, *self._weights(suffix), lengths, reverse=reverse)


class LSTM(RNNBase):
    """Long short-term memory; its state is (hidden, cell)."""

    gates = 4
    states = 2

    def _run(
        self, x: Any, states: list[Any], suffix: str, lengths: Any, reverse: bool
    ) -> tuple[Any, ...]:
        out = self._parameters.get("weight_hr" + suffix)
        return lstm(x, *states, *self._weights(suffix), out, lengths, reverse=reverse)


# ------------------------------------------------------------------ one step


class _Cell(Module):
    gates = 1
    states = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            found = Parameter(empty(rows, dtype=dtype)) if bias else None
            self.register_parameter(name, found)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state."""
        s, name = shape_of(input), type(self).__name__
        if len(s) not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {len(s)}D instead")
        if s[-1] != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {s[-1]} expected "
                f"{self.input_size}\n  {name}: input of shape {s} for weight_ih of shape "
                f"{shape_of(self.weight_ih)}"
            )
        same_dtype(name, input, self.weight_ih)
        x = input if len(s) == 2 else input[None]
        found = self._step(x, self._given(x, hx, len(s)))
        if len(s) == 2:
            return found
        return tuple(h[0] for h in found) if self.states == 2 else found[0]

    def _given(self, x: Any, hx: Any, ndim: int) -> list[Any]:
        name, shape = type(self).__name__, (shape_of(x)[0], self.hidden_size)
        if hx is None:
            return [_zeros(x, shape)] * self.states
        if self.states == 2 and not isinstance(hx, tuple | list):
            raise TypeError(
                "lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not "
                f"{type(hx).__name__}"
            )
        given = [hx] if self.states == 1 else list(hx)
        for h in given:
            if len(shape_of(h)) not in (1, 2):
                raise ValueError(f"{name}: Expected hidden to be 1D or 2D, got shape {shape_of(h)}")
        given = [h if ndim == 2 else h[None] for h in given]
        for h in given:
            if shape_of(h) != shape:
                raise RuntimeError(
                    f"{name}: hidden of shape {shape_of(h)} does not fit input of shape "
                    f"{shape_of(x)} and hidden_size {self.hidden_size}: expected {shape}"
                )
        return given

    def _weights(self) -> list[Any]:
        return [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]

    def _step(self, x: Any, states: list[Any]) -> Any:
        raise NotImplementedError

    def extra_repr(self) -> str:
        words = f"{self.input_size}, {self.hidden_size}"
        return words if self.bias else f"{words}, bias={self.bias}"


class RNNCell(_Cell):
    """One step of `RNN`."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        _known(nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype=dtype)
        self.nonlinearity = nonlinearity

    def _step(self, x: Any, states: list[Any]) -> Any:
        return rnn_step(x, *states, *self._weights(), relu=self.nonlinearity == "relu")

    def extra_repr(self) -> str:
        words = super().extra_repr()
        return words if self.nonlinearity == "tanh" else f"{words}, nonlinearity=relu"


class GRUCell(_Cell):
    """One step of `GRU`."""

    gates = 3

    def _step(self, x: Any, states: list[Any]) -> Any:
        return gru_step(x, *states, *self._weights())


class LSTMCell(_Cell):
    """One step of `LSTM`; its state is (hidden, cell)."""

    gates = 4
    states = 2

    def _step(self, x: Any, states: list[Any]) -> Any:
        return lstm_step(x, *states, *self._weights())

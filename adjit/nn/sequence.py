"""Layers over sequences: recurrent networks and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..creation import empty
from ..shapes import cat
from ..tensor_object import Tensor, held
from . import functional as F
from . import init
from .dense import attention
from .layers import Linear
from .lift import shape_of
from .module import Module, Parameter
from .recurrent import gru, lstm, rnn


def _zeros(like: Any, shape: tuple[int, ...]) -> Any:
    zeros = np.zeros(shape, np.dtype(like.dtype))
    return held(zeros) if isinstance(like, Tensor) else zeros


def _joined(parts: list[Any], axis: int) -> Any:
    if len(parts) == 1:
        return parts[0]
    return cat(parts, axis) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis)


def _stacked(parts: list[Any]) -> Any:
    return _joined([p[None] for p in parts], 0)


class _Recurrent(Module):
    """Weights by layer and direction: w_ih, w_hh, b_ih, b_hh, as many gates in each."""

    gates = 1
    states = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        nonlinearity: str = "tanh",
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.nonlinearity = bidirectional, nonlinearity
        bound = 1 / math.sqrt(hidden_size)
        rows = self.gates * hidden_size
        for suffix, size in self._runs():
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, size),
                "weight_hh": (rows, hidden_size),
            }
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                p = Parameter(empty(*shape))
                init.uniform_(p, -bound, bound)
                self.register_parameter(name + suffix, p)

    def _runs(self) -> list[tuple[str, int]]:
        """The names' ending and the number of features of every layer and direction."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        sizes = [self.input_size] + [len(ways) * self.hidden_size] * (self.num_layers - 1)
        return [(f"_l{k}{way}", n) for k, n in enumerate(sizes) for way in ways]

    def _weights(self, suffix: str) -> list[Any]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [self._parameters.get(n + suffix) for n in names]

    def _run(self, x: Any, states: list[Any], weights: list[Any], reverse: bool) -> Any:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Outputs of all steps, and the last states (layers * directions, batch, hidden)."""
        s = shape_of(input)
        if len(s) not in (2, 3) or s[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: expected input of (…, {self.input_size}) with 2 or 3 "
                f"dims for weight_ih of shape {shape_of(self.weight_ih_l0)}, got {s}"
            )
        single = len(s) == 2
        x = input[:, None] if single else input.swapaxes(0, 1) if self.batch_first else input
        states = self._first(x, hx, single)
        last: list[list[Any]] = []
        ways = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            found = []
            for way in range(ways):
                k = layer * ways + way
                suffix = f"_l{layer}" + ("_reverse" if way else "")
                out, *ends = self._run(x, [v[k] for v in states], self._weights(suffix), way == 1)
                found.append(out)
                last.append(ends)
            x = _joined(found, 2)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        out = x[:, 0] if single else x.swapaxes(0, 1) if self.batch_first else x
        ends = [_stacked([e[i] for e in last]) for i in range(self.states)]
        ends = [e[:, 0] for e in ends] if single else ends
        return out, ends[0] if self.states == 1 else tuple(ends)

    def _first(self, x: Any, hx: Any, single: bool) -> list[Any]:
        n = self.num_layers * (2 if self.bidirectional else 1)
        shape = (n, shape_of(x)[1], self.hidden_size)
        if hx is None:
            return [_zeros(x, shape)] * self.states
        given = [hx] if self.states == 1 else list(hx)
        given = [h[:, None] for h in given] if single else given
        for h in given:
            if shape_of(h) != shape:
                raise RuntimeError(
                    f"{type(self).__name__}: expected hidden size {shape}, got {shape_of(h)}"
                )
        return given

    def extra_repr(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        for k, default in {**defaults, "bidirectional": False}.items():
            if getattr(self, k) != default:
                words.append(f"{k}={getattr(self, k)}")
        return ", ".join(words)


class RNN(_Recurrent):
    """h' = tanh(W x + b + U h + c), or relu."""

    def _run(self, x: Any, states: list[Any], weights: list[Any], reverse: bool) -> Any:
        return rnn(x, *states, *weights, reverse=reverse, relu=self.nonlinearity == "relu")


class GRU(_Recurrent):
    """Gated recurrent units."""

    gates = 3

    def _run(self, x: Any, states: list[Any], weights: list[Any], reverse: bool) -> Any:
        return gru(x, *states, *weights, reverse=reverse)


class LSTM(_Recurrent):
    """Long short-term memory; its state is (hidden, cell)."""

    gates = 4
    states = 2

    def _run(self, x: Any, states: list[Any], weights: list[Any], reverse: bool) -> Any:
        return lstm(x, *states, *weights, reverse=reverse)


# ------------------------------------------------------------------ attention


class NonDynamicallyQuantizableLinear(Linear):
    """A linear layer under the name that its model gives it."""


class MultiheadAttention(Module):
    """Attention of several heads between projected sequences."""

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} must be divisible by num_heads {num_heads}")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.alike = self.kdim == self.vdim == embed_dim
        sizes = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        for name, n in sizes.items():
            self.register_parameter(name, None if self.alike else Parameter(empty(embed_dim, n)))
        whole = Parameter(empty(3 * embed_dim, embed_dim)) if self.alike else None
        self.register_parameter("in_proj_weight", whole)
        zeros = np.zeros(3 * embed_dim, np.float32)
        self.register_parameter("in_proj_bias", Parameter(zeros) if bias else None)
        for p in (self.in_proj_weight, *(self._parameters[n] for n in sizes)):
            if p is not None:
                init.xavier_uniform_(p)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias)
        if bias:
            init.zeros_(self.out_proj.bias)

    def _projected(self, *xs: Any) -> list[Any]:
        e = self.embed_dim
        found = []
        for k, (x, name) in enumerate(zip(xs, "qkv", strict=True)):
            rows = slice(k * e, (k + 1) * e)
            own = self._parameters[f"{name}_proj_weight"]
            w = self.in_proj_weight[rows] if own is None else own
            b = None if self.in_proj_bias is None else self.in_proj_bias[rows]
            found.append(F.linear(x, w, b))
        return found

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None,
        need_weights: bool = True, attn_mask: Any = None, average_attn_weights: bool = True,
        generator: Any = None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """The result, and the weights of attention (None if they are not needed).

        Masks are true, or minus infinity, where no attention is paid.
        """
        single = len(shape_of(query)) == 2
        xs = [query, key, value]
        if single:
            xs = [x[None] for x in xs]
        elif not self.batch_first:
            xs = [x.swapaxes(0, 1) for x in xs]
        mask = self._mask(shape_of(xs[0]), key_padding_mask, attn_mask)
        q, k, v = self._projected(*xs)
        rate = self.dropout if self.training else 0.0
        out, weights = attention(q, k, v, self.num_heads, mask, rate, generator)
        out = self.out_proj(out)
        weights = weights.mean(1) if average_attn_weights else weights
        if single:
            out, weights = out[0], weights[0]
        elif not self.batch_first:
            out = out.swapaxes(0, 1)
        return out, weights if need_weights else None

    def _mask(self, shape: tuple[int, ...], padding: Any, mask: Any) -> Any:
        """One mask to be added to the scores (batch, heads, queries, keys)."""
        total = None
        if mask is not None:
            total = _additive(mask)
            if len(shape_of(total)) == 3:
                total = total.reshape((shape[0], self.num_heads, *shape_of(total)[1:]))
        if padding is not None:
            more = _additive(padding)
            more = more.reshape((-1, 1, 1, shape_of(more)[-1]))
            total = more if total is None else total + more
        return total

    def extra_repr(self) -> str:
        return ""


def _additive(mask: Any) -> Any:
    if np.dtype(mask.dtype) != np.bool_:
        return mask
    if isinstance(mask, Tensor):
        return held(np.where(mask._value(), np.float32(-np.inf), np.float32(0)))
    return np.where(mask, np.float32(-np.inf), np.float32(0))

"""Attention of several heads, and the transformer's layers made of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..eager.creation import empty
from ..eager.shapes import cat
from ..eager.tensor_object import Tensor, held
from ..eager.titles import titled
from . import functional as F
from . import init
from .containers import ModuleList
from .dense import attention
from .layers import Dropout, Linear
from .lift import same_dtype, shape_of
from .module import Module, Parameter
from .norm_layers import LayerNorm

__all__ = [
    "MultiheadAttention",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


class NonDynamicallyQuantizableLinear(Linear):
    """A linear layer under the name that its model gives it."""


class MultiheadAttention(Module):
    """Attention of several heads between projected sequences."""

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        if embed_dim % num_heads:
            raise AssertionError(
                f"embed_dim must be divisible by num_heads: {embed_dim} by {num_heads}"
            )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.alike = self.kdim == self.vdim == embed_dim

        def blank(wanted: bool, *shape: int) -> Any:
            return Parameter(empty(*shape, dtype=dtype)) if wanted else None

        sizes = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        for name, n in sizes.items():
            self.register_parameter(name, blank(not self.alike, embed_dim, n))
        self.register_parameter("in_proj_weight", blank(self.alike, 3 * embed_dim, embed_dim))
        self.register_parameter("in_proj_bias", blank(bias, 3 * embed_dim))
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, blank(add_bias_kv, 1, 1, embed_dim))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name, p in self._parameters.items():
            if p is not None:
                if name == "in_proj_bias":
                    init.zeros_(p)
                else:
                    (init.xavier_normal_ if name.startswith("bias") else init.xavier_uniform_)(p)
        if self.out_proj.bias is not None:
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
        is_causal: bool = False, *, generator: Any = None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """The result, and the weights of attention (None if they are not needed).

        Masks are true, or minus infinity, where no attention is paid; `is_causal` says of the
        mask, which has to be there, that it hides what comes later.
        """
        self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        single = len(shape_of(query)) == 2
        xs = [query, key, value]
        if single:
            xs = [x[None] for x in xs]
        elif not self.batch_first:
            xs = [x.swapaxes(0, 1) for x in xs]
        mask = self._mask(shape_of(xs[0]), shape_of(xs[1])[1], key_padding_mask, attn_mask)
        q, k, v = self._projected(*xs)
        k, v, mask = self._extended(k, v, mask)
        rate = self.dropout if self.training else 0.0
        out, weights = attention(q, k, v, self.num_heads, mask, rate, generator)
        out = self.out_proj(out)
        if not need_weights:
            weights = None
        elif average_attn_weights:
            weights = weights.mean(1)
        if single:
            return out[0], None if weights is None else weights[0]
        if self.batch_first:
            return titled(out, "TransposeBackward0"), weights
        return titled(out.swapaxes(0, 1), "ViewBackward0"), weights

    def _check(self, *xs: Any) -> None:
        shapes = [shape_of(x) for x in xs]
        words = "query of shape {}, key of shape {} and value of shape {}".format(*shapes)
        if len({len(s) for s in shapes}) > 1 or len(shapes[0]) not in (2, 3):
            raise RuntimeError(
                f"MultiheadAttention: expected query, key and value to be all 2-D (unbatched) or "
                f"all 3-D (batched), but found {words}"
            )
        wanted = (self.embed_dim, self.kdim, self.vdim)
        if tuple(s[-1] for s in shapes) != wanted:
            raise RuntimeError(
                f"MultiheadAttention: was expecting embedding dimensions of {wanted}, but got "
                f"{words}"
            )
        lead = 0 if self.batch_first or len(shapes[0]) == 2 else 1
        if shapes[1][:-1] != shapes[2][:-1] or (
            len(shapes[0]) == 3 and shapes[0][lead] != shapes[1][lead]
        ):
            raise RuntimeError(
                f"MultiheadAttention: key's and value's sequences and batches must agree, and the "
                f"query's batch with them, but got {words}"
            )
        same_dtype("MultiheadAttention", *xs, self.out_proj.weight)

    def _mask(self, query: tuple[int, ...], length: int, padding: Any, mask: Any) -> Any:
        """One mask to be added to the scores (batch, heads, queries, keys)."""
        batch, queries = query[:2]
        total = None
        if mask is not None:
            s = shape_of(mask)
            wanted = (queries, length) if len(s) < 3 else (batch * self.num_heads, queries, length)
            if s != wanted:
                raise RuntimeError(
                    f"The shape of the {len(s)}D attn_mask is {s}, but should be {wanted}."
                )
            total = _additive(mask)
            if len(s) == 3:
                total = total.reshape((batch, self.num_heads, queries, length))
        if padding is not None:
            if shape_of(padding) not in ((batch, length), (length,) if batch == 1 else None):
                raise RuntimeError(
                    f"MultiheadAttention: expected key_padding_mask of shape {(batch, length)}, "
                    f"but got {shape_of(padding)}"
                )
            more = _additive(padding).reshape((-1, 1, 1, length))
            total = more if total is None else total + more
        return total

    def _extended(self, k: Any, v: Any, mask: Any) -> tuple[Any, Any, Any]:
        """Keys and values with those that are learned, or zero, at the end."""
        more = []
        n, _, e = shape_of(k)
        if self.bias_k is not None:
            zeros = _like(k, (n, 1, e))
            more.append((self.bias_k + zeros, self.bias_v + zeros))
        if self.add_zero_attn:
            more.append((_like(k, (n, 1, e)), _like(v, (n, 1, e))))
        for a, b in more:
            k, v = _joined([k, a], 1), _joined([v, b], 1)
        if more and mask is not None:
            mask = F.pad(mask, (0, len(more)))
        return k, v, mask

    def extra_repr(self) -> str:
        return ""


def _like(x: Any, shape: tuple[int, ...]) -> Any:
    zeros = np.zeros(shape, np.dtype(x.dtype))
    return held(zeros) if isinstance(x, Tensor) else zeros


def _joined(parts: list[Any], axis: int) -> Any:
    return cat(parts, axis) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis)


def _additive(mask: Any) -> Any:
    if np.dtype(mask.dtype) != np.bool_:
        return mask
    if isinstance(mask, Tensor):
        return held(np.where(mask._value(), np.float32(-np.inf), np.float32(0)))
    return np.where(mask, np.float32(-np.inf), np.float32(0))


# ------------------------------------------------------------------ transformers

ACTIVATIONS: dict[str, Any] = {"relu": F.relu, "gelu": F.gelu}


def _activation(given: Any) -> Any:
    found = ACTIVATIONS.get(given) if isinstance(given, str) else given
    if found is None:
        raise RuntimeError(f"activation should be relu/gelu, not {given}")
    return found


class _Layer(Module):
    """What encoder and decoder layers share: attention, two linear layers, norms around."""

    parts = 2  # how many ways around there are

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Any = F.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        for name in ("self_attn", "multihead_attn")[: self.parts - 1]:
            made = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
            )
            self.add_module(name, made)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for k in range(1, self.parts + 1):
            made_norm = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
            self.add_module(f"norm{k}", made_norm)
        for k in range(1, self.parts + 1):
            self.add_module(f"dropout{k}", Dropout(dropout))
        self.activation = _activation(activation)

    def _around(self, x: Any, k: int, part: Callable[[Any], Any]) -> Any:
        """The k-th way around: x and its part, normed before or after."""
        norm, drop = self._modules[f"norm{k}"], self._modules[f"dropout{k}"]
        if self.norm_first:
            return x + drop(part(norm(x)))
        return norm(x + drop(part(x)))

    def _feed(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then two linear layers."""

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """The sequence, encoded."""

        def attended(x: Any) -> Any:
            return self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )[0]

        return self._around(self._around(src, 1, attended), 2, self._feed)


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence to itself, then to another one, then two linear layers."""

    parts = 3

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """The sequence, decoded."""

        def attended(x: Any) -> Any:
            return self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )[0]

        def recalled(x: Any) -> Any:
            return self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask,
                is_causal=memory_is_causal,
            )[0]  # fmt: skip

        x = self._around(self._around(tgt, 1, attended), 2, recalled)
        return self._around(x, 3, self._feed)


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after the other."""

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None,
        enable_nested_tensor: bool = True, mask_check: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:  # fmt: skip
        """The sequence, encoded."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after the other."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """The sequence, decoded."""
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder (Vaswani et al., "Attention is all you need", 2017)."""

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6,
        num_decoder_layers: int = 6, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Any = F.relu, custom_encoder: Any = None, custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        settings = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias, device, dtype,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*settings), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*settings), num_decoder_layers, norm()
        )
        for p in self.parameters():
            if len(p.shape) > 1:
                init.xavier_uniform_(p)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None,
        memory_mask: Any = None, src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """The target sequence, decoded with what the source was encoded to."""
        s, t = shape_of(src), shape_of(tgt)
        at = 0 if self.batch_first else 1
        if len(s) == 3 and len(t) == 3 and s[at] != t[at]:
            raise RuntimeError(f"the batch number of src and tgt must be equal: shapes {s} and {t}")
        if s[-1] != self.d_model or t[-1] != self.d_model:
            raise RuntimeError(
                f"the feature number of src and tgt must be equal to d_model {self.d_model}: "
                f"shapes {s} and {t}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Minus infinity where a key comes after the query."""
        full = np.full((sz, sz), -np.inf, np.float32 if dtype is None else dtype)
        return held(np.triu(full, 1))

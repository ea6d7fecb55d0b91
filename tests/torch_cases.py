"""Functions and layers in a spelling that PyTorch and we share, and what PyTorch 2.13 says.

Inputs are sines, so that nothing needs to be stored but a few sums of values and gradients.  Where
torch is installed, `python tests/torch_cases.py` writes `torch_values.json` anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

VALUES = Path(__file__).with_name("torch_values.json")
Case = tuple[str, Callable[..., Any], list[np.ndarray]]


def wave(*shape: int, seed: int = 1) -> np.ndarray:
    """Numbers in (-2, 2) without a pattern."""
    n = int(np.prod(shape))
    return (
        (2 * np.sin(np.arange(1, n + 1) * (1.7 + 0.13 * seed) + seed)).reshape(shape).astype("f4")
    )


def part(*shape: int, seed: int = 1) -> np.ndarray:
    """Numbers in (0, 1)."""
    return (1 / (1 + np.exp(-wave(*shape, seed=seed)))).astype("f4")


def cases(F: Any) -> Iterator[Case]:
    """Every function, on its inputs; F is a module `functional`."""
    for name, more in [
        ("relu", {}), ("leaky_relu", {"negative_slope": 0.2}), ("elu", {"alpha": 1.3}),
        ("selu", {}), ("gelu", {}), ("gelu", {"approximate": "tanh"}), ("silu", {}),
        ("sigmoid", {}), ("tanh", {}), ("logsigmoid", {}), ("softplus", {"beta": 2.0}),
        ("mish", {}), ("hardtanh", {}), ("relu6", {}), ("hardsigmoid", {}), ("hardswish", {}),
        ("softsign", {}), ("softmax", {"dim": 1}), ("log_softmax", {"dim": 0}), ("glu", {"dim": 0}),
    ]:  # fmt: skip
        yield f"{name} {more}", _with(getattr(F, name), more), [3 * wave(4, 5)]
    yield "linear", F.linear, [wave(2, 3, 5), wave(4, 5, seed=2), wave(4, seed=3)]
    for more in [
        {}, {"stride": 2, "padding": 1}, {"padding": "same"}, {"padding": (2, 1), "dilation": 2},
        {"groups": 2, "padding": 1},
    ]:  # fmt: skip
        weight = wave(6, 4 // more.get("groups", 1), 3, 3, seed=2)  # type: ignore[operator]
        yield f"conv2d {more}", _with(F.conv2d, more), [wave(2, 4, 7, 6), weight, wave(6, seed=3)]
    yield "conv1d", _with(F.conv1d, {"stride": 2}), [wave(2, 4, 9), wave(6, 4, 3, seed=2)]
    transposed = {"stride": 2, "padding": 1, "output_padding": 1}
    yield "conv_transpose2d", _with(F.conv_transpose2d, transposed), [
        wave(2, 4, 5, 4), wave(4, 3, 3, 3, seed=2), wave(3, seed=3),
    ]  # fmt: skip
    yield from pools(F)
    layer = _with(F.layer_norm, {"normalized_shape": (3, 4)})
    yield "layer_norm", layer, [wave(2, 5, 3, 4)]
    yield "group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), [
        wave(2, 4, 3, 4), wave(4, seed=2), wave(4, seed=3),
    ]  # fmt: skip
    yield "batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [
        wave(3, 4, 3, 4), wave(4, seed=2), wave(4, seed=3),
    ]  # fmt: skip
    yield "normalize", F.normalize, [wave(3, 4)]
    yield "pad", lambda x: F.pad(x, (1, 2, 0, 1), value=2.0), [wave(2, 3, 4)]
    yield "attention", F.scaled_dot_product_attention, [
        wave(2, 2, 4, 3), wave(2, 2, 5, 3, seed=2), wave(2, 2, 5, 6, seed=3),
    ]  # fmt: skip
    causal = _with(F.scaled_dot_product_attention, {"is_causal": True})
    yield "attention causal", causal, [wave(2, 4, 3), wave(2, 4, 3, seed=2), wave(2, 4, 3, seed=3)]
    yield "embedding", lambda w, i: F.embedding(i, w, padding_idx=2), [
        wave(6, 3), np.array([[1, 2], [5, 1]]),
    ]  # fmt: skip
    yield from losses(F)


def pools(F: Any) -> Iterator[Case]:
    """What looks at windows of images."""
    for k, s, p in [(2, 2, 0), (3, 2, 1), ((3, 2), (1, 2), (1, 1))]:
        images = np.maximum(wave(2, 3, 8, 7), 0)  # ties: the first of equal ones
        yield (
            f"max_pool2d {k}",
            _with(F.max_pool2d, {"kernel_size": k, "stride": s, "padding": p}),
            [images],
        )
        yield (
            f"avg_pool2d {k}",
            _with(F.avg_pool2d, {"kernel_size": k, "stride": s, "padding": p}),
            [images],
        )
    ceil = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
    yield "max_pool2d ceil", _with(F.max_pool2d, ceil), [wave(2, 3, 8, 6)]
    yield "avg_pool2d ceil", _with(F.avg_pool2d, ceil), [wave(2, 3, 8, 6)]
    dilated = {"kernel_size": 2, "stride": 1, "dilation": 2}
    yield "max_pool2d dilated", _with(F.max_pool2d, dilated), [wave(2, 3, 5, 6)]
    for size in [1, (2, 3), (3, None), (5, 7)]:
        for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            run = _with(getattr(F, name), {"output_size": size})
            yield f"{name} {size}", run, [wave(2, 3, 8, 7)]


def losses(F: Any) -> Iterator[Case]:
    """Every loss, by every reduction."""
    classes = np.array([0, 2, -100, 1])
    for reduction in ("none", "mean", "sum"):
        how = {"reduction": reduction}
        for name in (
            "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss",
            "binary_cross_entropy_with_logits",
        ):  # fmt: skip
            run = _with(getattr(F, name), how)
            yield f"{name} {reduction}", run, [wave(4, 3), part(4, 3, seed=2)]
        bce = _with(F.binary_cross_entropy, how)
        yield f"bce {reduction}", bce, [part(4, 3), part(4, 3, seed=2)]
        yield f"kl_div {reduction}", _with(F.kl_div, how), [wave(4, 3), part(4, 3, seed=2)]
        yield f"nll_loss {reduction}", _with(F.nll_loss, how), [wave(4, 3), classes]
        for more in [{}, {"label_smoothing": 0.1}, {"ignore_index": 2}]:
            target = np.where(classes == -100, 1, classes) if "ignore_index" in more else classes
            run = _with(F.cross_entropy, {**how, **more})
            yield f"cross_entropy {reduction} {more}", run, [wave(4, 3), target]
        soft = _with(F.cross_entropy, {**how, "label_smoothing": 0.2})
        yield f"cross_entropy soft {reduction}", soft, [wave(4, 3), part(4, 3, seed=2)]
        yield f"cross_entropy images {reduction}", _with(F.cross_entropy, how), [
            wave(2, 3, 2, 2), np.arange(8).reshape(2, 2, 2) % 3,
        ]  # fmt: skip


def _with(f: Callable[..., Any], settings: dict[str, Any]) -> Callable[..., Any]:
    return lambda *xs: f(*xs, **settings)


def layers(nn: Any) -> Iterator[tuple[str, Any, list[np.ndarray]]]:
    """Layers with parameters, and what to call them with."""
    yield "Linear", nn.Linear(5, 4), [wave(3, 5)]
    yield "Conv2d", nn.Conv2d(4, 6, 3, 2, 1, groups=2), [wave(2, 4, 6, 6)]
    yield "BatchNorm2d", nn.BatchNorm2d(4), [wave(3, 4, 5, 5)]
    yield "BatchNorm1d", nn.BatchNorm1d(4, momentum=None), [wave(3, 4)]
    yield "LayerNorm", nn.LayerNorm(4), [wave(3, 4)]
    yield "GroupNorm", nn.GroupNorm(2, 4), [wave(3, 4, 5)]
    yield "Embedding", nn.Embedding(7, 3), [np.array([[1, 2], [5, 1]])]
    yield "LSTM", nn.LSTM(3, 4), [wave(5, 2, 3)]
    deep = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    yield "LSTM deep", deep, [wave(2, 5, 3)]
    yield "GRU", nn.GRU(3, 4, num_layers=2), [wave(5, 2, 3)]
    yield "RNN", nn.RNN(3, 4, bias=False), [wave(5, 3)]
    heads = nn.MultiheadAttention(4, 2)
    yield "MultiheadAttention", heads, [wave(5, 2, 4), wave(6, 2, 4, seed=2), wave(6, 2, 4, seed=3)]
    yield "small", nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2, bias=False),
        nn.Dropout(0.0), nn.GELU(), nn.Softmax(1),
    ), [wave(2, 1, 6, 6)]  # fmt: skip


def mark(x: Any) -> list[float]:
    """What is remembered of an array: two sums with weights that see every element."""
    flat = np.asarray(x.detach().numpy(), np.float64).ravel()
    at = np.arange(1, flat.size + 1)
    return [float(flat @ np.cos(at)), float(flat @ np.sin(0.7 * at))]


def marks(run: Callable[..., Any], inputs: list[np.ndarray], torch: Any) -> list[list[float]]:
    """Marks of the result, and of the gradients by all inputs of floats."""
    xs = [torch.tensor(x) for x in inputs]
    floats = [x.requires_grad_() for x, a in zip(xs, inputs, strict=True) if a.dtype.kind == "f"]
    out = run(*xs)
    out = out[0] if isinstance(out, tuple) else out
    out.backward(torch.tensor(wave(*out.shape, seed=7)))
    return [mark(out), *(mark(x.grad) for x in floats)]


def layer_marks(layer: Any, inputs: list[np.ndarray], torch: Any) -> list[list[float]]:
    """The same for parameters set to sines, and what the buffers are then."""
    for k, p in enumerate(layer.parameters()):
        p.data = torch.tensor(wave(*p.shape, seed=k) / 2)
    found = marks(layer, inputs, torch)
    return [*found, *(mark(p.grad) for p in layer.parameters()), *map(mark, layer.buffers())]


def every(torch: Any, nn: Any, F: Any) -> dict[str, Any]:
    """Marks of all cases; of layers their text and names as well."""
    found: dict[str, Any] = {name: marks(run, xs, torch) for name, run, xs in cases(F)}
    for name, layer, xs in layers(nn):
        found[f"layer {name}"] = [
            layer_marks(layer, xs, torch), list(layer.state_dict()), repr(layer),
        ]  # fmt: skip
    return found


if __name__ == "__main__":
    import torch

    found = every(torch, torch.nn, torch.nn.functional)
    lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()]
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n")

"""More layers, functions, optimisers and schedules as text, and what PyTorch 2.13 says of them.

Each line is an expression that PyTorch and we share, and its inputs.  Where torch is installed,
`python tests/torch_more.py` writes `torch_more.json` anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch_cases import mark, part, wave

VALUES = Path(__file__).with_name("torch_more.json")
SIGNALS, IMAGES, VOLUMES = wave(2, 4, 9), wave(2, 4, 6, 7), wave(2, 4, 4, 5, 6)
X, Y = wave(4, 3), part(4, 3, seed=2)
STEPS = wave(5, 2, 3)
Q, K = wave(5, 2, 4), wave(6, 2, 4, seed=2)
BAG, WORDS = np.array([[1, 2, 0], [5, 1, 1]]), np.array([1, 2, 4, 5, 4, 3])
CLASSES = np.array([0, 2, 1, 1])
KINKS = np.array([-6, -3, -1, -0.5, 0, 0.5, 1, 3, 6, 20], "f4")

NAMES = (
    "relu relu6 leaky_relu elu celu silu mish hardtanh hardswish hardsigmoid hardshrink softshrink "
    "softplus rrelu tanhshrink"
)

LAYERS: list[tuple[Any, ...]] = [
    ("nn.Bilinear(3, 4, 2)", wave(5, 3), wave(5, 4, seed=2)),
    ("nn.Conv1d(4, 6, 4, padding='same', padding_mode='reflect')", SIGNALS),
    ("nn.Conv2d(4, 6, 3, padding=1, padding_mode='circular')", IMAGES),
    ("nn.Conv3d(4, 2, (1, 2, 3), stride=(1, 2, 1), groups=2)", VOLUMES),
    ("nn.ConvTranspose1d(4, 6, 3, groups=2, dilation=2)", SIGNALS),
    ("nn.ConvTranspose2d(4, 2, (3, 1), (1, 2), (1, 0), (1, 1), dilation=(2, 1))", IMAGES),
    ("nn.ConvTranspose3d(4, 2, 2, stride=2)", VOLUMES),
    ("nn.MaxPool1d(3, 2, 1, ceil_mode=True)", SIGNALS),
    ("nn.MaxPool2d(3, 2, 1, 2, return_indices=True)", IMAGES),
    ("nn.MaxPool3d(2, return_indices=True)", VOLUMES),
    ("nn.AvgPool2d(2, divisor_override=3)", IMAGES),
    ("nn.AvgPool3d((2, 3, 2), 2, (1, 1, 0), ceil_mode=True)", VOLUMES),
    ("nn.AdaptiveAvgPool3d((2, 3, 1))", VOLUMES),
    ("nn.AdaptiveMaxPool2d((3, 7), return_indices=True)", np.maximum(IMAGES, 0)),
    ("nn.AdaptiveMaxPool3d(3)", VOLUMES),
    ("nn.LPPool1d(3, 2, 1)", part(2, 4, 9)),
    ("nn.LPPool2d(2, 2)", IMAGES),
    ("nn.LPPool3d(1.5, 2)", part(2, 4, 4, 5, 6)),
    ("nn.InstanceNorm1d(4)", wave(4, 9)),
    ("nn.InstanceNorm2d(4, affine=True, track_running_stats=True)", IMAGES),
    ("nn.InstanceNorm3d(4, track_running_stats=True).eval()", VOLUMES),
    ("nn.RMSNorm((6, 7), eps=1e-3)", IMAGES),
    ("nn.RMSNorm(7, elementwise_affine=False)", IMAGES),
    ("nn.LocalResponseNorm(2, alpha=0.1, beta=0.5, k=2.0)", SIGNALS),
    ("nn.Upsample(scale_factor=1.7)", SIGNALS),
    ("nn.Upsample(scale_factor=1.1, mode='linear')", SIGNALS),
    ("nn.Upsample(size=(9, 5), mode='nearest-exact')", IMAGES),
    ("nn.Upsample(scale_factor=2, mode='bilinear')", IMAGES),
    ("nn.Upsample(scale_factor=(1.5, 2), mode='bilinear', align_corners=True)", IMAGES),
    ("nn.Upsample(size=(9, 4), mode='bicubic')", IMAGES),
    ("nn.Upsample(scale_factor=2, mode='trilinear')", VOLUMES),
    ("nn.Unfold((2, 3), dilation=2, padding=1, stride=2)", IMAGES),
    ("nn.Fold((6, 6), 3, padding=1, stride=2)", wave(2, 18, 9)),
    ("nn.PixelShuffle(2)", wave(2, 8, 3, 4)),
    ("nn.PixelUnshuffle(2)", wave(3, 4, 6)),
    ("nn.ChannelShuffle(2)", IMAGES),
    ("nn.ZeroPad2d((1, 2, 3, -1))", IMAGES),
    ("nn.ConstantPad1d((1, 2), 3.5)", SIGNALS),
    ("nn.ReflectionPad2d((1, 2, 0, 1))", IMAGES),
    ("nn.ReplicationPad3d(1)", VOLUMES),
    ("nn.CircularPad2d((1, 0, 2, 1))", IMAGES),
    ("nn.Unflatten(1, (2, -1))", IMAGES),
    ("nn.Softmin(1)", X), ("nn.Softmax2d()", IMAGES), ("nn.PReLU(4)", IMAGES), ("nn.CELU(1.2)", X),
    ("nn.RReLU(0.2, 0.3).eval()", X), ("nn.Hardshrink()", X), ("nn.Threshold(0.1, 20)", X),
    ("nn.GLU(1)", IMAGES), ("nn.Hardtanh(-2, 1.5)", X), ("nn.AlphaDropout(0.4).eval()", X),
    ("nn.NLLLoss(weight=torch.tensor(part(3)), ignore_index=1)", X, CLASSES),
    ("nn.CrossEntropyLoss(torch.tensor(part(3)), ignore_index=1, label_smoothing=0.1)", X, CLASSES),
    ("nn.BCEWithLogitsLoss(pos_weight=torch.tensor(part(3)))", X, Y),
    ("nn.MultiLabelMarginLoss()", wave(2, 3), np.array([[0, 2, -1], [1, -1, 0]])),
    ("nn.MultiMarginLoss(p=2, margin=0.4, weight=torch.tensor(part(3)))", X, CLASSES),
    ("nn.TripletMarginWithDistanceLoss(swap=True)", X, Y, wave(4, 3, seed=5)),
    ("nn.TripletMarginLoss(margin=0.5, p=1, swap=True)", X, Y, wave(4, 3, seed=5)),
    ("nn.MarginRankingLoss(0.1)", wave(4), wave(4, seed=2), np.array([1, -1, 1, -1])),
    ("nn.PairwiseDistance(p=float('inf'))", X, Y),
    ("nn.Embedding(7, 3, padding_idx=-2, max_norm=1.0)", BAG),
    ("nn.Embedding(7, 3, scale_grad_by_freq=True)", BAG),
    ("nn.EmbeddingBag(7, 3, padding_idx=1)", BAG),
    ("nn.EmbeddingBag(7, 3, mode='max')", WORDS, np.array([0, 2, 2])),
    ("nn.EmbeddingBag(7, 3, mode='sum', include_last_offset=True)", WORDS, np.array([0, 2, 6])),
    ("nn.RNN(3, 4, 1, 'relu')", STEPS, wave(1, 2, 4)),
    ("nn.GRU(3, 4, 2, batch_first=True, bias=False)", wave(2, 5, 3)),
    ("nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True)", STEPS),
    ("nn.RNNCell(3, 4, nonlinearity='relu')", wave(3)),
    ("nn.GRUCell(3, 4)", wave(2, 3), wave(2, 4)),
    ("nn.LSTMCell(3, 4, bias=False)", wave(2, 3)),
    ("nn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True)", Q, K, K),
    ("nn.MultiheadAttention(4, 2, kdim=3, vdim=5)", Q, wave(6, 2, 3), wave(6, 2, 5)),
    ("nn.TransformerEncoderLayer(4, 2, 8, 0.0)", Q),
    ("nn.TransformerDecoderLayer(4, 2, 8, 0.0, F.gelu, batch_first=True, norm_first=True)",
     wave(2, 5, 4), wave(2, 6, 4)),
    ("nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, 0.0), 2, nn.LayerNorm(4))", Q),
    ("nn.Transformer(4, 2, 1, 1, 8, 0.0)", Q, K),
    ("nn.ParameterList([torch.tensor(wave(2, 3)), torch.tensor(wave(2))])",),
    ("nn.ModuleDict({'a': nn.Linear(1, 2), 'b': nn.ReLU()})",),
]  # fmt: skip

FUNCTIONS: list[tuple[Any, ...]] = [
    *((f"F.{name}(x)", KINKS) for name in NAMES.split()),
    ("F.leaky_relu_(x * 1, 0.1)", KINKS),
    ("F.softmax(x, 0, dtype=torch.float64)", KINKS),
    ("F.interpolate(x, size=3, mode='area')", IMAGES),
    ("F.interpolate(x, scale_factor=0.51, mode='bilinear')", IMAGES),
    ("F.interpolate(x, scale_factor=2.3, mode='bicubic', align_corners=True)", IMAGES),
    ("F.grid_sample(x, y * 0.6)", IMAGES, wave(2, 3, 5, 2)),
    ("F.grid_sample(x, y, padding_mode='border', align_corners=True)", IMAGES, wave(2, 3, 5, 2)),
    ("F.grid_sample(x, y, padding_mode='reflection')", IMAGES, wave(2, 3, 5, 2)),
    ("F.grid_sample(x, y, mode='nearest')", VOLUMES, wave(2, 2, 3, 2, 3)),
    ("F.affine_grid(x, (2, 3, 4, 5))", wave(2, 2, 3)),
    ("F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(6, 7))", IMAGES),
    ("F.pad(x, (-1, 1, -2, 0), value=1.0)", IMAGES),
    ("F.scaled_dot_product_attention(x, y, y, scale=0.3, enable_gqa=True)",
     wave(2, 4, 4, 3), wave(2, 2, 5, 3, seed=2)),
    ("F.embedding_bag(i, x, per_sample_weights=y, mode='sum')", wave(6, 3), wave(2, 3), BAG),
    ("F.pdist(x)", X),
    ("F.mse_loss(x, y, weight=y)", X, Y),
    ("F.ctc_loss(F.log_softmax(x, 2), i, (6, 5), (2, 3))", wave(6, 2, 4),
     np.array([[1, 2, 0], [3, 3, 1]])),
    ("F.ctc_loss(F.log_softmax(x, 2), i, (3, 3), (2, 3), zero_infinity=True, reduction='sum')",
     wave(6, 2, 4), np.array([1, 2, 3, 3, 1])),
    ("nn.utils.rnn.pad_sequence([x[:2], x[:4], x[:1]], padding_value=0.5)", wave(5, 3)),
]  # fmt: skip

OPTIMIZERS: list[str] = [
    "SGD(ps, 0.1, momentum=0.9, dampening=0.2, weight_decay=0.1)",
    "Adam(ps, 0.05, (0.8, 0.9), weight_decay=0.1, decoupled_weight_decay=True, maximize=True)",
    "RMSprop(ps, alpha=0.5, momentum=0.9, centered=True)",
    "Adamax(ps, 0.1)", "Adamax(ps, 0.1, weight_decay=0.1, maximize=True)",
    "NAdam(ps, 0.1)", "NAdam(ps, 0.1, weight_decay=0.1, decoupled_weight_decay=True)",
    "RAdam(ps, 0.1, weight_decay=0.1)",
    "RAdam(ps, 0.1, (0.9, 0.9), weight_decay=0.1, decoupled_weight_decay=True)",
    "Rprop(ps, 0.1, (0.4, 1.5))", "ASGD(ps, 0.1, 0.1, t0=3, weight_decay=0.1)",
    "SGD([{'params': ps[:1], 'lr': 0.03}, {'params': ps[1:]}], 0.1, 0.9, nesterov=True)",
]  # fmt: skip

SCHEDULES: list[str] = [
    "StepLR(opt, 2, 0.5)", "MultiStepLR(opt, [1, 3, 3], 0.5)", "ExponentialLR(opt, 0.9)",
    "LambdaLR(opt, [lambda e: 0.9**e, lambda e: 1 / (1 + e)])",
    "MultiplicativeLR(opt, lambda e: 0.9)", "LinearLR(opt, 0.2, total_iters=4)",
    "ConstantLR(opt, 0.3, 3)", "PolynomialLR(opt, 5, 2.0)", "CosineAnnealingLR(opt, 4, 0.01)",
    "CosineAnnealingWarmRestarts(opt, 2, 2, 0.01)", "OneCycleLR(opt, 0.5, total_steps=13)",
    "OneCycleLR(opt, [0.5, 0.7], 16, three_phase=True, anneal_strategy='linear')",
    "CyclicLR(opt, 0.01, 0.1, 2, 3, mode='triangular2')",
    "CyclicLR(opt, [0.01, 0.02], [0.1, 0.2], 2, mode='exp_range', gamma=0.9)",
    "CyclicLR(opt, 0.01, 0.1, 2, scale_fn=lambda x: 1 / (1 + x), scale_mode='iterations')",
    "SequentialLR(opt, [S.LinearLR(opt, 0.1, total_iters=3), S.CosineAnnealingLR(opt, 5), "
    "S.StepLR(opt, 2)], [3, 8])",
    "ChainedScheduler([S.LinearLR(opt, 0.5, total_iters=4), S.CosineAnnealingLR(opt, 6), "
    "S.StepLR(opt, 4)])",
]  # fmt: skip


def flat(x: Any) -> list[Any]:
    """All Tensors or arrays of nested tuples."""
    if isinstance(x, tuple | list):
        return [e for part in x for e in flat(part)]
    return [] if x is None else [x]


def weighted(outs: list[Any], weights: Any) -> Any:
    """The sum of all results of floats, weighted so that each element counts."""
    parts = [o * weights(7 + k, tuple(o.shape)) for k, o in enumerate(outs) if floats(o)]
    return sum(p.sum() for p in parts[1:]) + parts[0].sum()


def floats(x: Any) -> bool:
    """Whether it has a derivative."""
    return "float" in str(x.dtype)


def made(text: str, torch: Any) -> Any:
    """The layer of a line, its parameters sines; or its function of x, y and i."""
    nn = torch.nn
    names = {"nn": nn, "F": nn.functional, "torch": torch, "wave": wave, "part": part}
    if not text.startswith("nn.") or "(x" in text or "[x" in text:
        return eval(f"lambda x, y=None, i=None: {text}", names)
    layer = eval(text, names)
    for k, p in enumerate(layer.parameters()):
        p.data = torch.tensor(wave(*p.shape, seed=k) / 2)
    return layer


def called(run: Any, inputs: Any) -> Any:
    """The result; in functions whole numbers are called i."""
    if hasattr(run, "parameters"):
        return run(*inputs)
    given = [x for x in inputs if floats(x)]
    whole = [x for x in inputs if not floats(x)]
    return run(*given, i=whole[0]) if whole else run(*given)


def numbers(text: str, inputs: tuple[np.ndarray, ...], torch: Any) -> dict[str, Any]:
    """What is remembered of a line: results, gradients, buffers, names and text."""
    run = made(text, torch)
    layer = hasattr(run, "parameters")
    params = list(run.parameters()) if layer else []
    found: dict[str, Any] = {}
    if inputs:
        xs = [torch.tensor(x) for x in inputs]
        xs = [x.requires_grad_() if floats(x) else x for x in xs]
        outs = flat(called(run, xs))
        weighted(outs, lambda k, s: torch.tensor(wave(*s, seed=k) if s else 1.3)).backward()
        found["outs"] = [mark(o) for o in outs]
        found["slopes"] = [mark(x.grad) for x in xs if floats(x)]
        found["learned"] = [mark(p.grad) for p in params]
    if layer:
        found["buffers"] = [mark(b) for b in run.buffers()]
        found["keys"], found["text"] = list(run.state_dict()), repr(run)
    return found


def trained(text: str, torch: Any) -> list[Any]:
    """Parameters after some steps, one of them from a loaded state; and the optimiser's text."""
    shapes: list[tuple[int, ...]] = [(3, 2), (2,)]
    ps = [torch.nn.Parameter(torch.tensor(wave(*s, seed=k))) for k, s in enumerate(shapes)]
    opt = eval(f"torch.optim.{text}", {"torch": torch, "ps": ps})
    for i in range(8):
        for j, p in enumerate(ps):
            p.grad = torch.tensor(wave(*p.shape, seed=11 * i + j)) if (i + j) % 5 != 4 else None
        if i == 5:
            state = opt.state_dict()
            opt = eval(f"torch.optim.{text}", {"torch": torch, "ps": ps})
            opt.load_state_dict(state)
        opt.step()
    names = [sorted(s) for s in opt.state_dict()["state"].values()]
    return [[mark(p) for p in ps], repr(opt), names]


def rates(text: str, torch: Any) -> list[list[float]]:
    """Learning rates and momenta of two groups, epoch by epoch."""
    ps = [torch.nn.Parameter(torch.tensor(wave(2))) for _ in range(2)]
    groups = [{"params": ps[:1], "lr": 0.03}, {"params": ps[1:]}]
    opt = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    S = torch.optim.lr_scheduler
    schedule = eval(f"S.{text}", {"S": S, "opt": opt})
    found = []
    for _ in range(12):
        found.append([x for g in opt.param_groups for x in (g["lr"], g["momentum"])])
        opt.step()
        schedule.step()
    return [*found, schedule.get_last_lr()]


def every(torch: Any) -> dict[str, Any]:
    """What all lines give."""
    found = {text: numbers(text, tuple(xs), torch) for text, *xs in [*LAYERS, *FUNCTIONS]}
    found |= {text: trained(text, torch) for text in OPTIMIZERS}
    return found | {text: rates(text, torch) for text in SCHEDULES}


if __name__ == "__main__":
    import torch

    lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in every(torch).items()]
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n")

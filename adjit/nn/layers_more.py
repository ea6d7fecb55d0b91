"""Layers of thresholds, margins and distances."""

from __future__ import annotations

import numpy as np

from ..tensor_object import held
from . import functional as F
from .layers import _module
from .module import Module, Parameter

__all__ = [
    "CELU",
    "ConstantPad2d",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "GaussianNLLLoss",
    "Hardshrink",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "PReLU",
    "PairwiseDistance",
    "PoissonNLLLoss",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "SoftMarginLoss",
    "Softshrink",
    "Tanhshrink",
    "Threshold",
    "TripletMarginLoss",
    "ZeroPad2d",
]

CELU = _module("CELU", "celu", alpha=1.0)
Hardshrink = _module("Hardshrink", "hardshrink", lambd=0.5)
Softshrink = _module("Softshrink", "softshrink", lambd=0.5)
Tanhshrink = _module("Tanhshrink", "tanhshrink")
Threshold = _module("Threshold", "threshold", threshold=0.0, value=0.0)
CosineSimilarity = _module("CosineSimilarity", "cosine_similarity", dim=1, eps=1e-8)
PairwiseDistance = _module("PairwiseDistance", "pairwise_distance", p=2.0, eps=1e-6, keepdim=False)
TripletMarginLoss = _module(
    "TripletMarginLoss", "triplet_margin_loss", (),
    margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean",
)  # fmt: skip
CosineEmbeddingLoss = _module(
    "CosineEmbeddingLoss", "cosine_embedding_loss", (), margin=0.0, reduction="mean"
)
MarginRankingLoss = _module(
    "MarginRankingLoss", "margin_ranking_loss", (), margin=0.0, reduction="mean"
)
HingeEmbeddingLoss = _module(
    "HingeEmbeddingLoss", "hinge_embedding_loss", (), margin=1.0, reduction="mean"
)
SoftMarginLoss = _module("SoftMarginLoss", "soft_margin_loss", (), reduction="mean")
MultiMarginLoss = _module(
    "MultiMarginLoss", "multi_margin_loss", (), p=1, margin=1.0, weight=None, reduction="mean"
)
MultiLabelSoftMarginLoss = _module(
    "MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", (), weight=None, reduction="mean"
)
PoissonNLLLoss = _module(
    "PoissonNLLLoss", "poisson_nll_loss", (),
    log_input=True, full=False, eps=1e-8, reduction="mean",
)  # fmt: skip
GaussianNLLLoss = _module(
    "GaussianNLLLoss", "gaussian_nll_loss", (), full=False, eps=1e-6, reduction="mean"
)


class PReLU(Module):
    """x where it is positive, else weight * x; the weights are learned."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(held(np.full(num_parameters, init, np.float32)))

    def forward(self, input: object) -> object:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class _Pad2d(Module):
    """Elements added around images: the same number everywhere, or (left, right, top, bottom)."""

    mode = "constant"

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        self.value = 0.0

    def forward(self, input: object) -> object:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(_Pad2d):
    """Zeros around images."""


class ConstantPad2d(_Pad2d):
    """One value around images."""

    def __init__(self, padding: int | tuple[int, int, int, int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ReflectionPad2d(_Pad2d):
    """Images go on as in a mirror."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Images go on with their edges."""

    mode = "replicate"

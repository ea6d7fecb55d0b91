"""Activations and losses as layers: functions with their settings."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..eager import promotion
from ..eager.tensor_object import Tensor, held
from . import functional as F
from .module import Module, Parameter

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MarginRankingLoss",
    "Mish",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PReLU",
    "PairwiseDistance",
    "PoissonNLLLoss",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class _Function(Module):
    """A function of `functional` with its settings, by name."""

    name = ""
    settings: tuple[tuple[str, Any], ...] = ()
    hidden: tuple[str, ...] = ()  # settings that `repr` leaves out

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        known = [k for k, _ in self.settings]
        given = dict(zip(known, args, strict=False)) | kwargs
        if len(args) > len(known) or not set(given) <= set(known):
            raise TypeError(f"{type(self).__name__}() takes {known}, not {args} and {kwargs}")
        for k, default in self.settings:
            setattr(self, k, given.get(k, default))

    def forward(self, *args: Any) -> Any:
        settings = {k: getattr(self, k) for k, _ in self.settings}
        return getattr(F, self.name)(*args, **settings)

    def extra_repr(self) -> str:
        found = {k: getattr(self, k) for k, _ in self.settings if k not in self.hidden}
        inplace = found.pop("inplace", False)
        words = [f"{k}={x!r}" for k, x in found.items()]
        return ", ".join([*words, "inplace=True"] if inplace else words)


def _made(base: type[Module], title: str, name: str, **members: Any) -> Any:
    doc = f"`{name}` as a layer."
    return type(title, (base,), {"name": name, "__doc__": doc, "__module__": __name__, **members})


def _activation(title: str, name: str, hidden: tuple[str, ...] = (), **settings: Any) -> Any:
    return _made(_Function, title, name, settings=tuple(settings.items()), hidden=hidden)


ReLU = _activation("ReLU", "relu", inplace=False)
ReLU6 = _activation("ReLU6", "relu6", inplace=False)
LeakyReLU = _activation("LeakyReLU", "leaky_relu", negative_slope=0.01, inplace=False)
ELU = _activation("ELU", "elu", alpha=1.0, inplace=False)
CELU = _activation("CELU", "celu", alpha=1.0, inplace=False)
SELU = _activation("SELU", "selu", inplace=False)
GELU = _activation("GELU", "gelu", approximate="none")
SiLU = _activation("SiLU", "silu", inplace=False)
Mish = _activation("Mish", "mish", inplace=False)
Sigmoid = _activation("Sigmoid", "sigmoid")
LogSigmoid = _activation("LogSigmoid", "logsigmoid")
Tanh = _activation("Tanh", "tanh")
Hardtanh = _activation("Hardtanh", "hardtanh", min_val=-1.0, max_val=1.0, inplace=False)
Hardswish = _activation("Hardswish", "hardswish", inplace=False)
Hardsigmoid = _activation("Hardsigmoid", "hardsigmoid", inplace=False)
Softplus = _activation("Softplus", "softplus", beta=1.0, threshold=20.0)
Softsign = _activation("Softsign", "softsign")
Softmax = _activation("Softmax", "softmax", dim=None)
Softmin = _activation("Softmin", "softmin", dim=None)
LogSoftmax = _activation("LogSoftmax", "log_softmax", dim=None)
GLU = _activation("GLU", "glu", dim=-1)
Tanhshrink = _activation("Tanhshrink", "tanhshrink")
Threshold = _activation("Threshold", "threshold", threshold=0.0, value=0.0, inplace=False)
CosineSimilarity = _activation("CosineSimilarity", "cosine_similarity", ("dim", "eps"), dim=1,
                               eps=1e-8)  # fmt: skip
PairwiseDistance = _activation(
    "PairwiseDistance", "pairwise_distance", ("p", "eps", "keepdim"),
    p=2.0, eps=1e-6, keepdim=False,
)  # fmt: skip


class _Shrink(_Function):
    def extra_repr(self) -> str:
        return str(self.lambd)


Hardshrink = _made(_Shrink, "Hardshrink", "hardshrink", settings=(("lambd", 0.5),))
Softshrink = _made(_Shrink, "Softshrink", "softshrink", settings=(("lambd", 0.5),))


class Softmax2d(Module):
    """`softmax` over the channels of images."""

    def forward(self, input: Any) -> Any:
        s = tuple(input.shape)
        if len(s) not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, but got shape {s}")
        return F.softmax(input, -3)


class PReLU(Module):
    """x where it is positive, else weight * x; the weights are learned."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        start = np.full(num_parameters, init, promotion.default() if dtype is None else dtype)
        self.weight = Parameter(held(start))

    def forward(self, input: Any) -> Any:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """`rrelu`: random slopes while training, their mean afterwards."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        words = f"lower={self.lower}, upper={self.upper}"
        return f"{words}, inplace=True" if self.inplace else words


# ------------------------------------------------------------------ losses


class _Loss(_Function):
    """A function of predictions and targets; weights are buffers, and nothing is shown."""

    order: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        Module.__init__(self)
        if len(args) > len(self.order) or not set(kwargs) <= set(self.order):
            raise TypeError(f"{type(self).__name__}() takes {self.order}, not {args} and {kwargs}")
        given = dict(zip(self.order, args, strict=False)) | kwargs
        old = given.pop("size_average", None), given.pop("reduce", None)
        if old != (None, None):
            given["reduction"] = _former(*old)
        for k, default in self.settings:
            x = given.get(k, default)
            if k in ("weight", "pos_weight"):
                if x is not None and not isinstance(x, Tensor):
                    raise TypeError(f"{type(self).__name__}: {k} is a Tensor or None, not {x!r}")
                self.register_buffer(k, x)
            else:
                setattr(self, k, x)

    def extra_repr(self) -> str:
        return ""


def _former(size_average: bool | None, reduce: bool | None) -> str:
    found = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.",
        stacklevel=4,
    )
    return found


def _loss(title: str, name: str, order: str, **defaults: Any) -> Any:
    """`order` names the settings as they may be given by place."""
    names = tuple(order.split())
    usual = {"weight": None, "pos_weight": None, "reduction": "mean", **defaults}
    settings = tuple((k, usual[k]) for k in names if k not in ("size_average", "reduce"))
    return _made(_Loss, title, name, order=names, settings=settings)


_OLD = "size_average reduce reduction"
MSELoss = _loss("MSELoss", "mse_loss", _OLD)
L1Loss = _loss("L1Loss", "l1_loss", _OLD)
SmoothL1Loss = _loss("SmoothL1Loss", "smooth_l1_loss", f"{_OLD} beta", beta=1.0)
HuberLoss = _loss("HuberLoss", "huber_loss", "reduction delta", delta=1.0)
BCELoss = _loss("BCELoss", "binary_cross_entropy", f"weight {_OLD}")
BCEWithLogitsLoss = _loss(
    "BCEWithLogitsLoss", "binary_cross_entropy_with_logits", f"weight {_OLD} pos_weight"
)
NLLLoss = _loss(
    "NLLLoss", "nll_loss", "weight size_average ignore_index reduce reduction", ignore_index=-100
)
CrossEntropyLoss = _loss(
    "CrossEntropyLoss", "cross_entropy",
    "weight size_average ignore_index reduce reduction label_smoothing",
    ignore_index=-100, label_smoothing=0.0,
)  # fmt: skip
KLDivLoss = _loss("KLDivLoss", "kl_div", f"{_OLD} log_target", log_target=False)
SoftMarginLoss = _loss("SoftMarginLoss", "soft_margin_loss", _OLD)
MultiLabelMarginLoss = _loss("MultiLabelMarginLoss", "multilabel_margin_loss", _OLD)
MultiLabelSoftMarginLoss = _loss(
    "MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", f"weight {_OLD}"
)
MultiMarginLoss = _loss(
    "MultiMarginLoss", "multi_margin_loss", f"p margin weight {_OLD}", p=1, margin=1.0
)
HingeEmbeddingLoss = _loss(
    "HingeEmbeddingLoss", "hinge_embedding_loss", f"margin {_OLD}", margin=1.0
)
CosineEmbeddingLoss = _loss(
    "CosineEmbeddingLoss", "cosine_embedding_loss", f"margin {_OLD}", margin=0.0
)
MarginRankingLoss = _loss("MarginRankingLoss", "margin_ranking_loss", f"margin {_OLD}", margin=0.0)
TripletMarginLoss = _loss(
    "TripletMarginLoss", "triplet_margin_loss", f"margin p eps swap {_OLD}",
    margin=1.0, p=2.0, eps=1e-6, swap=False,
)  # fmt: skip
PoissonNLLLoss = _loss(
    "PoissonNLLLoss", "poisson_nll_loss", "log_input full size_average eps reduce reduction",
    log_input=True, full=False, eps=1e-8,
)  # fmt: skip
CTCLoss = _loss(
    "CTCLoss", "ctc_loss", "blank reduction zero_infinity", blank=0, zero_infinity=False
)
GaussianNLLLoss = _loss(
    "GaussianNLLLoss", "gaussian_nll_loss", "full eps reduction", full=False, eps=1e-6
)


class TripletMarginWithDistanceLoss(Module):
    """`triplet_margin_with_distance_loss` as a layer."""

    def __init__(
        self, *, distance_function: Any = None, margin: float = 1.0, swap: bool = False,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__()
        if margin <= 0:
            raise ValueError(f"margin must be greater than 0, got {margin}")
        self.distance_function = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin, self.swap, self.reduction = margin, swap, reduction

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function,
            margin=self.margin, swap=self.swap, reduction=self.reduction,
        )  # fmt: skip

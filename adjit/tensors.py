"""Tensors with the spelling of PyTorch's documents: `import adjit.tensors as torch`."""

# ruff: noqa: F401, F403
from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from . import nn, optim, utils
from .eager import autograd, func, numpy_functions
from .eager.anomalies import is_anomaly_check_nan_enabled, is_anomaly_enabled, set_anomaly_enabled
from .eager.archives import load, save
from .eager.comparing import *
from .eager.creation import *
from .eager.decompositions import *
from .eager.draws import *
from .eager.dtypes import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    layout,
    memory_format,
    of,
    preserve_format,
    set_default_dtype,
    strided,
)
from .eager.environment import *
from .eager.functions import *
from .eager.indexing import *
from .eager.inplace import functions as _in_place
from .eager.inplace import with_out as _with_out
from .eager.joins import *
from .eager.keywords import accept as _accept
from .eager.matrices import *
from .eager.missing import WITH_OUT as _WITH_OUT
from .eager.missing import missing as _missing
from .eager.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .eager.orders import *
from .eager.pointwise import *
from .eager.scatters import *
from .eager.selections import *
from .eager.shapes import *
from .eager.spectral import *
from .eager.statistics import *
from .eager.storage import Size
from .eager.tape import report
from .eager.tensor_facts import *
from .eager.tensor_object import Tensor
from .eager.tensor_rows import vmap
from .eager.tensor_text import set_printoptions
from .eager.titles import entitle as _entitle

float16 = half = of(np.float16)
float32 = float = of(np.float32)
float64 = double = of(np.float64)
complex64 = cfloat = of(np.complex64)
complex128 = cdouble = of(np.complex128)
int8, int16, int32, int64 = map(of, ("i1", "i2", "i4", "i8"))
uint8, uint16, uint32, uint64, bool = map(of, ("u1", "u2", "u4", "u8", "?"))
short, int, long = int16, int32, int64
pi, e, inf, nan = np.pi, np.e, np.inf, np.nan
newaxis = None


def is_tensor(x: object) -> builtins.bool:
    """Whether it is a Tensor."""
    return isinstance(x, Tensor)


def numel(input: Tensor) -> builtins.int:
    """The number of elements."""
    return input.numel()


def explain() -> str:
    """Which computations ran by the interpreter, and which by compiled programs."""
    return report()


globals().update(_in_place)
_FUNCTIONAL = """
adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d batch_norm bilinear
binary_cross_entropy_with_logits celu channel_shuffle conv1d conv2d conv3d conv_transpose1d
conv_transpose2d conv_transpose3d cosine_embedding_loss cosine_similarity ctc_loss dropout embedding
feature_alpha_dropout group_norm hardshrink hinge_embedding_loss instance_norm kl_div layer_norm
margin_ranking_loss max_pool1d max_pool2d max_pool3d pairwise_distance pixel_shuffle pixel_unshuffle
poisson_nll_loss prelu rms_norm rrelu selu threshold triplet_margin_loss
""".split()  # noqa: SIM905
for _name in _FUNCTIONAL:
    if hasattr(nn.functional, _name):
        globals().setdefault(_name, getattr(nn.functional, _name))


def embedding(weight: Tensor, indices: Tensor, padding_idx: builtins.int = -1, *_: Any) -> Tensor:
    """Rows of a matrix by number."""
    return nn.functional.embedding(indices, weight, None if padding_idx < 0 else padding_idx)


for _name in ("prelu", "hardshrink"):
    if hasattr(nn.functional, _name):
        setattr(Tensor, _name, getattr(nn.functional, _name))
_accept(globals())
_entitle(globals())
for _name in _WITH_OUT:
    if _name in globals():
        globals()[_name] = _with_out(_name, globals()[_name])


def __getattr__(name: str) -> Any:
    raise AttributeError(_missing(name))

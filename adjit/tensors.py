"""Tensors with the spelling of PyTorch's documents: `import adjit.tensors as torch`."""

# ruff: noqa: F401, F403
from __future__ import annotations

import builtins

import numpy as np

from . import autograd, func, nn, numpy_functions, optim, utils
from .anomalies import is_anomaly_check_nan_enabled, is_anomaly_enabled, set_anomaly_enabled
from .archives import load, save
from .creation import *
from .dtypes import (
    device,
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    layout,
    of,
    set_default_dtype,
    strided,
)
from .functions import *
from .joins import *
from .matrices import *
from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .scatters import *
from .selections import *
from .shapes import *
from .storage import Size
from .tape import report
from .tensor_object import Tensor
from .tensor_rows import vmap

float16 = half = of(np.float16)
float32 = float = of(np.float32)
float64 = double = of(np.float64)
complex64 = cfloat = of(np.complex64)
complex128 = cdouble = of(np.complex128)
int8, int16, int32, int64 = map(of, ("i1", "i2", "i4", "i8"))
uint8, uint16, uint32, uint64, bool = map(of, ("u1", "u2", "u4", "u8", "?"))
short, int, long = int16, int32, int64
pi, e, inf, nan = np.pi, np.e, np.inf, np.nan


def is_tensor(x: object) -> builtins.bool:
    """Whether it is a Tensor."""
    return isinstance(x, Tensor)


def numel(input: Tensor) -> builtins.int:
    """The number of elements."""
    return input.numel()


def explain() -> str:
    """Which computations ran by the interpreter, and which by compiled programs."""
    return report()

"""Tensors with the spelling of PyTorch's documents: `import adjit.tensors as torch`."""

# ruff: noqa: F401, F403
from __future__ import annotations

import builtins

import numpy as np

from . import autograd, nn, numpy_functions, optim
from .creation import *
from .functions import *
from .joins import *
from .matrices import *
from .modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .scatters import *
from .selections import *
from .shapes import *
from .storage import Size
from .tape import report
from .tensor_object import Tensor

float16 = half = np.dtype(np.float16)
float32 = float = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
complex64, complex128 = np.dtype(np.complex64), np.dtype(np.complex128)
int8, int16, int32, int64 = map(np.dtype, ("i1", "i2", "i4", "i8"))
uint8, bool = np.dtype(np.uint8), np.dtype(np.bool_)
short, int, long = int16, int32, int64
promote_types = np.promote_types
dtype = np.dtype
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

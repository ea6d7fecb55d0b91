"""Layers, losses and models, on Tensors and (as functions and containers) in traced functions."""

# ruff: noqa: F401, F403
from . import functional, init, models, parametrizations, parametrize, utils
from .attention import *
from .containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .convolutions import *
from .draws import keyed
from .files import FileError, load, save
from .layers import *
from .lazy import *
from .module import Buffer, Module, Parameter, functional_call
from .named_layers import *
from .norm_layers import *
from .pool_layers import *
from .sequence import *
from .shape_layers import *
from .spectral import remove_spectral_norm as _remove_spectral_norm
from .spectral import spectral_norm as _spectral_norm

# What is built on layers, under the names that PyTorch has for it.
vars(utils).update(
    parametrizations=parametrizations,
    parametrize=parametrize,
    spectral_norm=_spectral_norm,
    remove_spectral_norm=_remove_spectral_norm,
)

"""Layers, losses and models, on Tensors and (as functions and containers) in traced functions."""

# ruff: noqa: F401, F403
from . import functional, init, models, utils
from .attention import *
from .containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .convolutions import *
from .draws import keyed
from .files import FileError, load, save
from .layers import *
from .module import Buffer, Module, Parameter, functional_call
from .named_layers import *
from .norm_layers import *
from .pool_layers import *
from .sequence import *
from .shape_layers import *

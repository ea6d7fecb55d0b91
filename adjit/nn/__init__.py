"""Layers, losses and models, on Tensors and (as functions and containers) in traced functions."""

# ruff: noqa: F401, F403
from . import functional, init, models, utils
from .containers import ModuleDict, ModuleList, ParameterList, Sequential
from .dense import keyed
from .files import FileError, load, save
from .layers import *
from .layers import _Function
from .layers_more import *
from .module import Module, Parameter, functional_call
from .sequence import GRU, LSTM, RNN, MultiheadAttention

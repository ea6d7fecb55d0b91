"""All functions of Tensors that compute, in one namespace."""

# ruff: noqa: F403
from .arithmetic import *
from .elementwise import *
from .products import *
from .reductions import *

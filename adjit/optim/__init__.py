"""Optimisers: of Tensors, in place; and of containers of arrays (`functional`)."""

from . import functional, lr_scheduler, swa_utils
from .adaptive import ASGD, Adamax, NAdam, RAdam, Rprop, SparseAdam
from .lbfgs import LBFGS
from .optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "functional",
    "lr_scheduler",
    "swa_utils",
]

"""Optimisers: of Tensors, in place; and of containers of arrays (`functional`)."""

from . import functional, lr_scheduler
from .lbfgs import LBFGS
from .optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "functional",
    "lr_scheduler",
]

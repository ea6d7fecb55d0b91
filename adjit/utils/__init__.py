"""`torch.utils`: what programs on Tensors take from there."""

from . import checkpoint

__all__ = ["checkpoint"]

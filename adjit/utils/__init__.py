"""`torch.utils`: what programs on Tensors take from there."""

from . import checkpoint, data

__all__ = ["checkpoint", "data"]

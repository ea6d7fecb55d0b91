"""Tensors: operations are recorded as they run; `adjit.tensors` gives them PyTorch's names."""

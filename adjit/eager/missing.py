"""What PyTorch has and Tensors do not: what to write instead, by name."""

from __future__ import annotations

import re

# Functions whose result may be written into a Tensor that is given as `out=`.
WITH_OUT = """
abs acos acosh add addcdiv addcmul addmm addmv addr all amax amin any arange argmax argmin asin
asinh atan atan2 atanh baddbmm bitwise_and bitwise_or bitwise_xor bmm cat ceil clamp concat cos
cosh cross cummax cummin cumprod cumsum diag div dot einsum eq exp exp2 expm1 eye floor
floor_divide fmod full gather ge gt hypot index_select inverse kron le lerp linspace log log10
log1p log2 logaddexp logical_and logical_not logical_or logspace lt masked_select matmul max
maximum mean min minimum mm mul mv nansum ne neg nonzero norm ones outer pow prod quantile rand
randn reciprocal remainder round rsqrt sigmoid sign sin sinh sort sqrt square stack std sub sum
take tan tanh topk tril triu true_divide trunc var where zeros
""".split()  # noqa: SIM905

_ADVICE = [
    (
        r"(mkldnn|cudnn|miopen|mps|xpu|mtia|fbgemm)\w*|cuda_\w+",
        "programs run on the processor alone",
    ),
    (r"quantiz\w*|q_\w+|dequantize|fake_quant\w*|int_repr", "there are no quantised Tensors"),
    (
        r"sparse\w*|\w*(coo|csr|csc|bsr|bsc)\w*|(ccol|crow|col|row)_indices\w*|hs?s?pmm|smm|spmm|"
        r"ss?addmm|dsmm",
        "Tensors are dense; see adjit.sparse_jacobian for sparse derivatives",
    ),
    (
        r"jit|export|fx|_dynamo|_inductor",
        "programs that recur are compiled by themselves; "
        "torch.explain() tells which, and adjit.jit compiles functions of arrays",
    ),
    (r"distributed|multiprocessing|futures|rpc", "there is one process"),
    (r"bfloat16|BFloat16Tensor|float8\w*", "NumPy has no such dtype: use torch.float16 or float32"),
    (r"(lstm|gru|rnn_tanh|rnn_relu)(_cell)?", "use torch.nn.LSTM, GRU, RNN and their cells"),
    (
        r"set_default_tensor_type",
        "the device is the processor; torch.set_default_dtype sets the dtype",
    ),
    (
        r"set_autocast\w*|autocast\w+|is_autocast\w*",
        "there is no automatic mixed precision: convert by .half() and .float()",
    ),
    (r"sym_\w+|Sym\w+", "shapes are plain numbers"),
    (r"orgqr|ormqr|geqrf|householder_product", "use torch.linalg.qr"),
    (
        r"lu|lu_solve|lu_unpack|ldl\w+|lobpcg|symeig|solve|svd_lowrank|pca_lowrank",
        "use torch.linalg.solve, eigh or svd",
    ),
    (r"cond|while_loop", "write Python's if and while; a step is recorded each time it runs"),
    (r"from_dlpack|to_dlpack|from_file|frombuffer", "use torch.from_numpy of a NumPy array"),
    (r"distributions|hub|package|profiler|onnx|masked|nested|ao|futures", "not part of adjit"),
    (r"\w+_copy", "use the function without _copy, and .clone()"),
]


def missing(name: str) -> str:
    """The words of an AttributeError: that torch has no such name here, and what to use."""
    text = f"module 'torch' has no attribute {name!r}"
    for pattern, advice in _ADVICE:
        if re.fullmatch(pattern, name):
            return f"{text}: {advice}"
    return text

"""Products of vectors, matrices and stacks of them."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from .arithmetic import Binary, fits, method, mul
from .tape import Operation
from .tensor_object import Tensor, applied, as_tensor, in_c
from .titles import titled

# What `tensors` shows.
# fmt: off
__all__ = [
    "bmm", "dot", "einsum", "matmul", "mm", "mv", "outer",
]
# fmt: on

_PRODUCTS = {
    (1, 1): Operation("DotBackward0", np.matmul),
    (1, 2): Operation("SqueezeBackward4", np.matmul),
    (2, 1): Operation("MvBackward0", np.matmul),
    (2, 2): Operation("MmBackward0", np.matmul),
}
_STACKS = Operation("UnsafeViewBackward0", np.matmul)


@method("matmul", "__matmul__")
def matmul(input: Any, other: Any) -> Tensor:
    """The product of matrices, vectors or stacks of matrices."""
    a, b = as_tensor(input), as_tensor(other)
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {in_c(a._dtype)} != "
            f"{in_c(b._dtype)}"
        )
    s, t = tuple(a.shape), tuple(b.shape)
    if not s or not t:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {len(s)}D and {len(t)}D"
        )
    inner = t[-2] if len(t) > 1 else t[0]
    if s[-1] != inner and len(s) == len(t) == 1:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor {list(s)} and src {list(t)} to have the "
            f"same number of elements, but got {s[0]} and {t[0]} elements respectively"
        )
    if s[-1] != inner and (len(s), len(t)) == (2, 1):
        raise RuntimeError(f"size mismatch, got input ({s[0]}), mat ({s[0]}x{s[1]}), vec ({t[0]})")
    if s[-1] != inner:
        raise RuntimeError(
            "mat1 and mat2 shapes cannot be multiplied "
            f"({'x'.join(map(str, s if len(s) > 1 else (1, *s)))} and {'x'.join(map(str, t))})"
        )
    if len(s) > 2 and len(t) > 2:
        fits("matmul", s[:-2], t[:-2])
    return applied(_PRODUCTS.get((len(s), len(t)), _STACKS), [a, b])


@method("__rmatmul__")
def rmatmul(a: Any, b: Any) -> Tensor:
    """b @ a."""
    return matmul(b, a)


def _ranked(name: str, ranks: tuple[int, int], title: str = "") -> Binary:
    def call(input: Tensor, other: Tensor) -> Tensor:
        if (input.ndim, other.ndim) != ranks:
            words = _WORDS[name].format(input.ndim, other.ndim)
            raise RuntimeError(
                f"{words}\n  {name}: expected tensors of {ranks[0]} and {ranks[1]} dimensions, "
                f"got shapes {list(input.shape)} and {list(other.shape)}"
            )
        if name == "bmm" and (other.shape[0], other.shape[1]) != (input.shape[0], input.shape[2]):
            raise RuntimeError(
                "Expected size for first two dimensions of batch2 tensor to be: "
                f"[{input.shape[0]}, {input.shape[2]}] but got: [{other.shape[0]}, "
                f"{other.shape[1]}].\n  bmm: shapes {list(input.shape)} and {list(other.shape)}"
            )
        return titled(matmul(input, other), title) if title else matmul(input, other)

    call.__name__ = name
    return method(name)(call)


_WORDS = {
    "mm": "self must be a matrix", "mv": "vector + matrix @ vector expected, got 1, {}, {}",
    "dot": "1D tensors expected, but got {}D and {}D tensors", "bmm": "batch1 must be a 3D tensor",
}  # fmt: skip
mm = _ranked("mm", (2, 2))
mv = _ranked("mv", (2, 1))
dot = _ranked("dot", (1, 1))
bmm = _ranked("bmm", (3, 3), "BmmBackward0")


@method("outer")
def outer(input: Tensor, other: Tensor) -> Tensor:
    """The products of every element with every other."""
    return mul(input.reshape(-1, 1), other)


def _spelled(given: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """An equation and operands, from operands that are each followed by their subscripts."""
    letters = string.ascii_letters

    def term(subscripts: Any) -> str:
        return "".join("..." if n is Ellipsis else letters[n] for n in subscripts)

    n = len(given) // 2
    equation = ",".join(term(s) for s in given[1 : 2 * n : 2])
    if len(given) % 2:
        equation += "->" + term(given[-1])
    return equation, given[: 2 * n : 2]


def einsum(equation: Any, *xs: Any) -> Tensor:
    """A sum of products, in Einstein's notation."""
    if not isinstance(equation, str):  # operands and their subscripts take turns
        equation, xs = _spelled((equation, *xs))
    listed = xs[0] if len(xs) == 1 and isinstance(xs[0], list | tuple) else xs
    terms, _, result = equation.replace(" ", "").partition("->")
    summed = "->" in equation and bool(set(terms) - set(result) - {","})
    if len(listed) == 1:
        operation = _EINSUMS["SumBackward1" if summed else "PermuteBackward0"]
    else:
        operation = _EINSUMS["ViewBackward0" if summed or "->" not in equation else "MulBackward0"]
    return applied(operation, [as_tensor(x) for x in listed], equation)


_EINSUMS = {
    name: Operation(name, lambda *xs: np.einsum(xs[-1], *xs[:-1]))
    for name in ("SumBackward1", "PermuteBackward0", "ViewBackward0", "MulBackward0")
}

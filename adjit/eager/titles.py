"""The names that `grad_fn` shows of results that several operations make together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .tape import Foreign, Piece
from .tensor_object import Tensor

# Functions, and PyTorch's names of their (first) results.
TITLES = {
    "topk": "Topk", "kthvalue": "Kthvalue", "mode": "Mode", "cummax": "Cummax", "cummin": "Cummin",
    "aminmax": "Aminmax Aminmax", "var_mean": "VarMean VarMean", "std_mean": "StdMean StdMean",
    "dist": "Dist", "renorm": "Renorm", "addcmul": "Addcmul", "addcdiv": "Addcdiv",
    "addmm": "Addmm", "addmv": "Addmv", "baddbmm": "Baddbmm", "addbmm": "Addbmm",
    "masked_fill": "MaskedFill", "masked_select": "MaskedSelect", "block_diag": "BlockDiag",
    "scatter_reduce": "ScatterReduce", "repeat_interleave": "View", "tensordot": "View",
    "kron": "UnsafeView", "gradient": "Cat", "nanmean": "Div",
}  # fmt: skip

_pieces: dict[tuple[int, str], Piece] = {}


def titled(t: Any, name: str) -> Any:
    """The result under another name; it must have just been made."""
    node = t._node if isinstance(t, Tensor) else None
    if node is not None and node.tracked and not isinstance(node.piece, Foreign):
        piece = node.piece
        if piece is not None and piece.operation.name != name:
            key = piece.serial, name
            if key not in _pieces:
                _pieces[key] = replace(piece, operation=replace(piece.operation, name=name))
            node.piece = _pieces[key]
    return t


def title(fn: Callable[..., Any], names: str) -> Callable[..., Any]:
    """The function, its results under these names."""
    full = [f"{n}Backward0" for n in names.split()]

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = fn(*args, **kwargs)
        for t, name in zip(found if isinstance(found, tuple) else (found,), full, strict=False):
            titled(t, name)
        return found

    return call


def entitle(names: dict[str, Any]) -> None:
    """Give the functions among these, and the methods of Tensor, the titles of their results."""
    for name, words in TITLES.items():
        if name in names:
            names[name] = title(names[name], words)
        if hasattr(Tensor, name):
            setattr(Tensor, name, title(getattr(Tensor, name), words))

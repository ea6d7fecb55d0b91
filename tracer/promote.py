"""NumPy 2's promotion, remembered: the dtypes a ufunc computes in, Python numbers being weak."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..ir.types import NUMPY, default_dtype, name_of

# A key is a dtype name, or int, float, complex for a number that takes its partner's dtype.
Key = Any
WEAK = {"i64": int, "f64": float, "c128": complex}
_loops: dict[Any, tuple[str, ...]] = {}
_common: dict[Any, str] = {}


def loop_dtypes(ufunc: np.ufunc, keys: tuple[Key, ...], dtype: Any = None) -> tuple[str, ...]:
    """Dtype names of inputs and outputs of the loop NumPy takes for operands of these keys."""
    memo = (ufunc, keys, dtype)
    known = _loops.get(memo)
    if known is None:
        known = _loops[memo] = _resolve(ufunc, keys, dtype)
    return known


def _resolve(ufunc: np.ufunc, keys: tuple[Key, ...], dtype: Any) -> tuple[str, ...]:
    given = tuple(k if isinstance(k, type) else NUMPY[k] for k in keys) + (None,) * ufunc.nout
    if dtype is None:
        found = ufunc.resolve_dtypes(given)
    else:
        signature = (None,) * ufunc.nin + (_instance(dtype),) * ufunc.nout
        found = ufunc.resolve_dtypes(given, signature=signature)
    weak = any(isinstance(k, type) for k in keys)
    if weak and any(d.kind == "O" for d in found):  # an int that may fit no dtype is compared
        return _resolve(ufunc, tuple(default_dtype(k) if isinstance(k, type) else k for k in keys),
                        dtype)  # fmt: skip
    return tuple(map(name_of, found))


def _instance(dtype: Any) -> np.dtype:
    """A dtype, of which NumPy takes the class, too."""
    given = isinstance(dtype, type) and issubclass(dtype, np.dtype)
    return dtype() if given else np.dtype(dtype)


def common_dtype(keys: Iterable[Key]) -> str:
    """The dtype that arrays (and weak numbers) of these keys are joined in."""
    keys = tuple(keys)
    known = _common.get(keys)
    if known is None:
        examples = [{int: 1, float: 1.0, complex: 1j}[k] if isinstance(k, type) else NUMPY[k]
                    for k in keys]  # fmt: skip
        known = _common[keys] = name_of(np.result_type(*examples))
    return known


def dtype_name(dtype: Any) -> str:
    """The IR's name of whatever NumPy takes for a dtype."""
    return name_of(_instance(dtype))


def can_cast(source: str, target: str, casting: str = "same_kind") -> bool:
    """Whether NumPy's rule `casting` allows the conversion."""
    return bool(np.can_cast(NUMPY[source], NUMPY[target], casting))  # type: ignore[arg-type]

"""State dicts: the arrays of a module by name, and how they come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..eager.tensor_object import Tensor
from .parameter import Parameter, overwrite


class _IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find, and what it did not expect."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys({', '.join(f'{k}={v}' for k, v in self._asdict().items())})"


def entries(module: Any, prefix: str = "") -> Iterator[tuple[str, Any, str, str]]:
    """Key, module, place and name of everything that is saved; what is shared comes repeatedly."""
    for place in ("_parameters", "_buffers"):
        for name, x in getattr(module, place).items():
            if x is not None and not (place == "_buffers" and name in module._temporary):
                yield prefix + name, module, place, name
    for name, m in module._modules.items():
        if m is not None:
            yield from entries(m, f"{prefix}{name}.")


def load(module: Any, state: Any, strict: bool, assign: bool) -> _IncompatibleKeys:
    """See `Module.load_state_dict`."""
    if not isinstance(state, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state)}.")
    wanted = {key: (m, place, name) for key, m, place, name in entries(module)}
    missing = [k for k in wanted if k not in state and not _younger(state, k)]
    extra = [k for k in state if k not in wanted]
    faults: list[str] = []
    if strict and missing:
        faults.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if strict and extra:
        faults.append(f"Unexpected key(s) in state_dict: {_quoted(extra)}. ")
    arrays: dict[str, np.ndarray] = {}
    for key, (m, place, name) in wanted.items():
        if key in state:
            found, fault = _checked(key, state[key], getattr(m, place)[name])
            arrays[key] = found
            faults += [fault] if fault else []
    if faults:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(faults)
        )
    for key, x in arrays.items():
        _put(*wanted[key], x, state[key], assign)
    for m in {id(m): m for m, _, _ in wanted.values()}.values():
        for hook in m._after_load:
            hook(m, _IncompatibleKeys(missing, extra))
    return _IncompatibleKeys(missing, extra)


def _younger(state: Any, key: str) -> bool:
    """Whether a state dict may lack this entry: those of before PyTorch 0.4.1 have no counts.

    As there, one without `_metadata` (from a file of arrays) is taken for one of these.
    """
    prefix, _, name = key.rpartition(".")
    if name != "num_batches_tracked":
        return False
    known = getattr(state, "_metadata", {}).get(prefix, {})
    return (known.get("version") or 1) < 2


def _checked(key: str, given: Any, old: Any) -> tuple[np.ndarray, str]:
    """The array, and what is wrong with it."""
    shape = tuple(old.shape)
    try:
        x = _array(given)
    except (TypeError, ValueError) as error:
        return np.empty(0), f"{key}: {type(given).__name__} is no array: {error}"
    if x.dtype.kind not in "biufc":
        return x, f'While copying the parameter named "{key}", expected an array, not {given!r}.'
    if x.dtype.kind == "c" and np.dtype(old.dtype).kind != "c":
        return x, f"{key}: complex numbers for a parameter of dtype {old.dtype}."
    if x.shape != shape and not (x.shape == (1,) and shape == ()):
        return x, (
            f"size mismatch for {key}: copying a param with shape {list(x.shape)} from checkpoint, "
            f"the shape in current model is {list(shape)}."
        )
    return x.reshape(shape), ""


def _put(m: Any, place: str, name: str, x: np.ndarray, given: Any, assign: bool) -> None:
    old = getattr(m, place)[name]
    if assign:
        new = given if isinstance(given, Tensor) else x
        if place == "_parameters" and not isinstance(given, Parameter):
            new = Parameter(new, requires_grad=getattr(old, "requires_grad", True))
        getattr(m, place)[name] = new
    elif isinstance(old, Tensor):
        overwrite(old, x)
    else:
        getattr(m, place)[name] = x.astype(old.dtype)


def _array(x: Any) -> np.ndarray:
    if isinstance(x, Tensor):
        return x._value()
    if hasattr(x, "detach"):  # torch's
        x = x.detach().cpu().numpy()
    return np.asarray(x)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)

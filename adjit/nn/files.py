"""State dicts in files: .safetensors, .npz, and .pth where torch is installed."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..eager.tensor_object import Tensor

KINDS = (".safetensors", ".npz", ".pth", ".pt")


class FileError(ValueError):
    """A file is truncated, or not what its name says."""


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise ValueError(f"{path}: a state dict is stored as one of {', '.join(KINDS)}")
    return kind


def _arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found = {}
    for k, x in state.items():
        array = x._value() if isinstance(x, Tensor) else np.asarray(x)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{k}: an array of dtype {array.dtype} cannot be stored")
        found[k] = np.asarray(array, order="C")
    return found


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "files of the safetensors format need the package of that name: "
            "pip install 'adjit[safetensors]'"
        ) from None
    return safetensors.numpy


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(
            ".pth files are Python pickles, which only torch may read here: pip install torch, or "
            "store the state dict as .safetensors or .npz"
        ) from None
    return torch


def save(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write arrays by name; the suffix says how.  The file appears whole, or not at all."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"save(path, state): the state is a {type(state).__name__}, not a dict of arrays; the "
            "path comes first, and of a module give .state_dict()"
        )
    target = Path(path)
    kind, arrays = _kind(target), _arrays(state)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=kind)
    os.close(handle)
    try:
        if kind == ".safetensors":
            _safetensors().save_file(arrays, name)
        elif kind == ".npz":
            np.savez(name, **arrays)  # type: ignore[arg-type]
        else:
            torch = _torch()
            torch.save({k: torch.from_numpy(x.copy()) for k, x in arrays.items()}, name)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Arrays by name.

    Raises FileNotFoundError, ImportError where the package for the format is missing, or FileError
    if the file is truncated or something else than its suffix says.
    """
    source = Path(path)
    kind = _kind(source)
    if not source.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    reader = {".safetensors": _read_safetensors, ".npz": _read_npz}.get(kind, _read_torch)
    try:
        return reader(source)
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        raise FileError(
            f"{source} ({source.stat().st_size} bytes) is truncated or no {kind} file: {error}"
        ) from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = _safetensors().load_file(path)
    return found


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise ValueError("it does not begin as a zip archive does")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            found = {k: archive[k] for k in archive.files}
    for k, x in found.items():
        if not isinstance(x, np.ndarray):
            hint = "; torch.load reads it" if k == "structure.json" else ""
            raise ValueError(f"its part {k!r} is no array{hint}")
    return found


def read_torch(file: Any) -> Any:
    """What torch reads from its own file, no code being run."""
    return _torch().load(file, map_location="cpu", weights_only=True)


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    loaded = read_torch(path)
    if not isinstance(loaded, Mapping):
        raise ValueError(f"it holds a {type(loaded).__name__}, not a state dict")
    inner = loaded.get("state_dict")
    state = inner if isinstance(inner, Mapping) else loaded
    return {k: x.detach().cpu().numpy() for k, x in state.items()}

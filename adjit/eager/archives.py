"""`save` and `load`: Tensors in nested containers, in a file that holds no code.

The file is a zip archive: `structure.json` says how the containers are built, and every array is an
`.npy` file beside it.
"""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..nn.files import FileError, read_torch
from ..nn.parameter import Parameter
from .dtypes import device as placed
from .storage import Size
from .tensor_object import Tensor, held

__all__ = ["load", "save"]

STRUCTURE = "structure.json"
PLAIN = (str, int, float, bool, type(None))


def save(obj: Any, f: Any, *_: Any, **__: Any) -> None:
    """Write Tensors, arrays, numbers, strings and containers of them to a path or an open file.

    The file has its own format, whatever its name ends with: `load` reads it, PyTorch does not
    (`nn.save` writes what others read).  It appears whole, or not at all.  Raises TypeError naming
    the place of what cannot be stored: of modules and optimisers, store `.state_dict()`.
    """
    arrays: dict[int, tuple[str, Any]] = {}
    text = json.dumps({"adjit": 1, "root": _described(obj, "obj", arrays)})
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(STRUCTURE, text)
        for name, array in arrays.values():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(_array(array)), allow_pickle=False)
    if hasattr(f, "write"):
        f.write(data.getvalue())
        return
    target = Path(f)
    handle, name = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.getvalue())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _array(x: Any) -> np.ndarray:
    return x._value() if isinstance(x, Tensor) else np.asarray(x)


def _described(x: Any, path: str, arrays: dict[int, tuple[str, Any]]) -> Any:
    """What a value is, as JSON; arrays are entered apart, each once."""
    if isinstance(x, PLAIN):
        return x
    if isinstance(x, Tensor | np.ndarray | np.generic):
        array = _array(x)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"save: {path} is an array of dtype {array.dtype}")
        name, _ = arrays.setdefault(id(x), (f"array{len(arrays)}", x))
        kind = "parameter" if isinstance(x, Parameter) else "tensor"
        kind = kind if isinstance(x, Tensor) else "array"
        return {"": kind, "name": name, "grad": bool(getattr(x, "requires_grad", False))}
    if isinstance(x, Mapping):
        pairs = [
            [_described(k, f"{path}: a key", arrays), _described(v, f"{path}[{k!r}]", arrays)]
            for k, v in x.items()
        ]
        return {"": "ordered" if isinstance(x, OrderedDict) else "dict", "pairs": pairs}
    if type(x) in (list, tuple, set, Size):
        parts = [_described(v, f"{path}[{i}]", arrays) for i, v in enumerate(x)]
        return {"": type(x).__name__.lower(), "parts": parts}
    hint = "; store its .state_dict()" if hasattr(x, "state_dict") else ""
    raise TypeError(f"save: {path} is of type {type(x).__name__}, which cannot be stored{hint}")


def load(f: Any, map_location: Any = None, *_: Any, **__: Any) -> Any:
    """What `save` wrote, from a path or an open file.

    A file of PyTorch's is read where torch is installed, without its code.  Raises FileError if the
    file is truncated or something else.
    """
    if map_location is not None and not callable(map_location):
        placed(map_location)
    name = getattr(f, "name", "the file") if hasattr(f, "read") else str(f)
    if not hasattr(f, "read") and not Path(f).exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(f))
    data = f.read() if hasattr(f, "read") else Path(f).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.namelist()
            if STRUCTURE in members:
                return _read(archive)
    except MemoryError:
        raise
    except Exception as error:
        raise FileError(
            f"{name} ({len(data)} bytes) is truncated or was not written by save: {error}"
        ) from error
    if any(m.endswith("data.pkl") for m in members):
        return _tensors(read_torch(io.BytesIO(data)))
    raise FileError(
        f"{name} ({len(data)} bytes) was not written by save: it has no {STRUCTURE}; of .npz and "
        ".safetensors, nn.load reads state dicts"
    )


def _read(archive: zipfile.ZipFile) -> Any:
    found = json.loads(archive.read(STRUCTURE))
    known: dict[tuple[str, str], Any] = {}

    def built(x: Any) -> Any:
        if not isinstance(x, dict):
            return x
        kind = x[""]
        if kind in ("tensor", "parameter", "array"):
            key = kind, x["name"]
            if key not in known:
                known[key] = _restored(archive, kind, x)
            return known[key]
        if kind in ("dict", "ordered"):
            pairs = [(built(k), built(v)) for k, v in x["pairs"]]
            return OrderedDict(pairs) if kind == "ordered" else dict(pairs)
        make = {"list": list, "tuple": tuple, "set": set, "size": Size}[kind]
        return make(map(built, x["parts"]))

    return built(found["root"])


def _restored(archive: zipfile.ZipFile, kind: str, x: dict[str, Any]) -> Any:
    with archive.open(f"{x['name']}.npy") as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
    if kind == "array":
        return array
    if kind == "parameter":
        return Parameter(held(array), x["grad"])
    return held(array).requires_grad_(x["grad"])


def _tensors(x: Any) -> Any:
    """What torch has read, with our Tensors."""
    if hasattr(x, "detach"):
        return held(x.detach().cpu().numpy())
    if isinstance(x, Mapping):
        pairs = ((k, _tensors(v)) for k, v in x.items())
        return OrderedDict(pairs) if isinstance(x, OrderedDict) else dict(pairs)
    if type(x) in (list, tuple):
        return type(x)(map(_tensors, x))
    return x

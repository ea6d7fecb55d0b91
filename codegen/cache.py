"""The kernel store: source, object code and facts of each kernel, kept per user between processes.

An entry is `KEY.json` and the files it lists with their checksums; it is written last and read
first.  The key covers everything the object code depends on, so an entry never becomes stale, only
unused.  A damaged, foreign or half-written entry is a miss.  No failure of the disk is an error.

ADJIT_CACHE=0 switches the store off, ADJIT_CACHE_DIR names its directory (else it is
adjit/kernels in XDG_CACHE_HOME or ~/.cache), ADJIT_CACHE_LIMIT its size, as in 512M or 2G.
"""

import contextlib
import functools
import hashlib
import importlib.util
import json
import logging
import os
import platform
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..ir.records import dataclass
from ..ir.sizes import parse_bytes
from . import host

VERSION = 1  # of the store's layout and of the calling convention of kernels
DEFAULT_LIMIT = 512 << 20
STALE_SECONDS = 3600  # a file that no entry lists may still be being written for this long
MEASURE_SECONDS = 3600  # between the measures that processes begin with

log = logging.getLogger("adjit.cache")
_guard = threading.Lock()
_complained: set[str] = set()
_written: float = float("inf")  # bytes since the store was last measured: never yet


@dataclass(frozen=True)
class Entry:
    """What was stored under a key."""

    meta: Mapping[str, Any]
    files: Mapping[str, bytes]
    stem: Path


@dataclass(frozen=True)
class Listed:
    """One line of the store's inventory."""

    key: str
    name: str
    size: int
    used: float


def directory() -> Path | None:
    """The store's directory, made on demand; None when it is switched off or not to be trusted."""
    if os.environ.get("ADJIT_CACHE", "1").lower() in ("0", "off", "no", "false"):
        return None
    named = os.environ.get("ADJIT_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return _trusted(named or os.path.join(home, "adjit", "kernels"))


@functools.lru_cache(maxsize=8)
def _trusted(name: str) -> Path | None:
    path = Path(name)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        _refuse(f"no kernel store at {path}: {error}")
        return None
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        _refuse(f"no kernel store at {path}: it belongs to somebody else")
        return None
    if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        # Object code is run as it is found: whoever may write here may run code as this user.
        _refuse(f"no kernel store at {path}: others may write to it")
        return None
    return path


def _refuse(message: str) -> None:
    """Say once why there is no entry or no store."""
    if message not in _complained:
        _complained.add(message)
        log.debug(message)


@functools.cache
def toolchain() -> str:
    """Everything besides its text that a kernel's object code depends on."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(here.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return "\n".join(
        (
            f"store {VERSION}, numba {numba_version()}, llvmlite {llvm_version()}",
            f"python {sys.version_info[:2]}, {sys.platform} {platform.machine()}",
            f"codegen {digest.hexdigest()}",
            *host.cpu(),
        )
    )


def numba_version() -> str:
    return _version_of("numba")


def llvm_version() -> str:
    return _version_of("llvmlite")


@functools.cache
def _version_of(package: str) -> str:
    """What tells the version of a package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "none"
    with contextlib.suppress(OSError):
        return hashlib.sha256(Path(spec.origin).with_name("_version.py").read_bytes()).hexdigest()
    metadata = importlib.import_module("importlib.metadata")  # 30 ms, and hardly ever needed
    return str(metadata.version(package))


def key(identity: str) -> str:
    """The name of the entry for something that is identified by a text."""
    return hashlib.sha256(f"{toolchain()}\n{identity}".encode()).hexdigest()[:40]


def load(name: str, suffixes: Iterable[str]) -> Entry | None:
    """The entry of that key with the contents of the files asked for, if it is whole."""
    root = directory()
    if root is None:
        return None
    facts = root / f"{name}.json"
    try:
        meta = json.loads(facts.read_bytes())
        if meta["sum"] != _meta_sum(meta) or meta["key"] != name:
            raise ValueError("its facts are damaged")
        files = {suffix: (root / f"{name}{suffix}").read_bytes() for suffix in suffixes}
        for suffix, content in files.items():
            if hashlib.sha256(content).hexdigest() != meta["files"][suffix]:
                raise ValueError(f"{suffix} is damaged")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _refuse(f"kernel {name} is not read: {error}")
        return None
    with contextlib.suppress(OSError):
        os.utime(facts)  # the clock of least recent use
    return Entry(meta, files, root / name)


def store(name: str, files: Mapping[str, bytes], meta: Mapping[str, object]) -> Path | None:
    """Write an entry; the path of its files without suffix, or None when it cannot be written."""
    root = directory()
    if root is None:
        return None
    sums = {suffix: hashlib.sha256(content).hexdigest() for suffix, content in files.items()}
    facts = dict(meta) | {"key": name, "files": sums}
    facts["sum"] = _meta_sum(facts)
    try:
        for suffix, content in files.items():
            _replace(root / f"{name}{suffix}", content)
        _replace(root / f"{name}.json", json.dumps(facts, indent=1).encode())
    except OSError as error:
        _refuse(f"kernels are not stored: {error.strerror}")
        _trusted.cache_clear()  # somebody may have removed the directory: make it again
        return None
    _evict_sometimes(root, sum(map(len, files.values())))
    return root / name


def object_code(name: str, text: str, make: Callable[[], bytes]) -> bytes:
    """Object code that `text` determines, from the store or made and stored."""
    where = key(text)
    found = load(where, (".o",))
    if found is not None:
        return found.files[".o"]
    code = make()
    store(where, {".o": code}, {"name": name})
    return code


def write_source(name: str, text: str) -> Path | None:
    """Write a kernel's readable file ahead of its entry: Numba and debuggers want to find it."""
    root = directory()
    if root is None:
        return None
    path = root / f"{name}.py"
    try:
        _replace(path, text.encode())
    except OSError as error:
        _refuse(f"kernels are not stored: {error.strerror}")
        _trusted.cache_clear()  # somebody may have removed the directory: make it again
        return None
    return path


def _meta_sum(meta: Mapping[str, object]) -> str:
    body = {k: v for k, v in meta.items() if k != "sum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content, the new content or nothing."""
    import tempfile  # 10 ms, for nothing where all is there

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def limit() -> int:
    """The size in bytes that the store is cut back to."""
    try:
        return parse_bytes(os.environ.get("ADJIT_CACHE_LIMIT", ""))
    except ValueError:
        return DEFAULT_LIMIT


def _evict_sometimes(root: Path, size: int) -> None:
    """Measure the store at a process's first write and again after each 1/16 of the limit.

    The first measure waits for an hour since that of any process: it looks at every file.
    """
    global _written
    with _guard:
        _written += size
        if _written < limit() // 16:
            return
        first, _written = _written == float("inf"), 0
    if first and _measured_lately(root):
        return
    with contextlib.suppress(OSError):
        evict(root, limit())


def _measured_lately(root: Path) -> bool:
    stamp = root / ".measured"
    with contextlib.suppress(OSError):
        if 0 <= time.time() - stamp.stat().st_mtime < MEASURE_SECONDS:
            return True
    with contextlib.suppress(OSError):
        stamp.touch()
    return False


def evict(root: Path, bound: int) -> int:
    """Remove the least recently used entries beyond `bound` bytes; the number removed."""
    entries, orphans = _inventory(root)
    old = time.time() - STALE_SECONDS
    for path, changed in orphans:
        if changed < old:
            _remove(path)
    total, removed = sum(entry.size for entry in entries), 0
    for entry in sorted(entries, key=lambda entry: entry.used):
        if total <= bound:
            break
        _drop(root, entry.key)
        total, removed = total - entry.size, removed + 1
    return removed


def _inventory(root: Path) -> tuple[list[Listed], list[tuple[Path, float]]]:
    """Entries, and files that belong to none, with the time of their last change."""
    sizes: dict[str, int] = {}
    used: dict[str, float] = {}
    others: list[tuple[Path, float]] = []
    for item in os.scandir(root):
        try:
            found = item.stat()
        except OSError:
            continue
        stem, suffix = os.path.splitext(item.name)
        sizes[stem] = sizes.get(stem, 0) + found.st_size
        if suffix == ".json":
            used[stem] = found.st_mtime
        else:
            others.append((Path(item.path), found.st_mtime))
    entries = [Listed(stem, "", sizes[stem], at) for stem, at in used.items()]
    return entries, [(path, at) for path, at in others if path.stem not in used]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _drop(root: Path, name: str) -> None:
    """Remove one entry, its facts first: then nobody reads the rest."""
    _remove(root / f"{name}.json")
    for suffix in (".py", ".o", ".bc"):
        _remove(root / f"{name}{suffix}")


def list_entries() -> list[Listed]:
    """What the store holds, most recently used first."""
    root = directory()
    if root is None:
        return []
    listed = []
    for entry in _inventory(root)[0]:
        name = "?"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            name = str(json.loads((root / f"{entry.key}.json").read_bytes()).get("name", "?"))
        listed.append(Listed(entry.key, name, entry.size, entry.used))
    return sorted(listed, key=lambda entry: -entry.used)


def clear() -> int:
    """Remove every entry and every leftover; the number of entries removed."""
    root = directory()
    if root is None:
        return 0
    entries, orphans = _inventory(root)
    for entry in entries:
        _drop(root, entry.key)
    for path, _ in orphans:
        _remove(path)
    return len(entries)

"""The CPU that kernels are compiled for.  LLVM says what it is, and the store remembers that."""

from __future__ import annotations

import functools
import hashlib
import os
import platform

IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@functools.cache
def cpu() -> tuple[str, str]:
    """Name and features of the CPU to compile for: this machine's, or what Numba was told."""
    name, features, version = _native()
    if "+avx512f" in features.split(","):
        # LLVM shuns 512-bit registers on some CPUs; long polynomials run twice as fast in them.
        features += ",-prefer-256-bit"
    if "+avx2" in features.split(",") and version >= 17:
        # Eight loads are faster than what microcode against data sampling has made of a gather.
        features += ",+prefer-no-gather,+prefer-no-scatter"
    told = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    if told[0] not in (None, "host"):
        features = ""
    return told[0] or name, features if told[1] is None else told[1]


def cpu_has(feature: str) -> bool:
    """Whether the CPU that kernels are compiled for has a feature, as LLVM names those of x86."""
    return f"+{feature}" in cpu()[1].split(",")


@functools.cache
def has_fma() -> bool:
    """Whether it multiplies and adds in one instruction (otherwise that is a slow call)."""
    return not IS_X86 or cpu_has("fma")


def _native() -> tuple[str, str, int]:
    """LLVM's name of this CPU, its features, and LLVM's version, which may have been stored."""
    from . import cache

    known = _described()
    key = hashlib.sha256(f"{cache.llvm_version()}\n{known}".encode()).hexdigest()[:40]
    entry = cache.load(key, ()) if known else None
    if entry is not None:
        return entry.meta["cpu"], entry.meta["features"], entry.meta["version"]
    from . import engine

    found = engine.native()
    if known:
        facts = dict(zip(("cpu", "features", "version"), found, strict=True))
        cache.store(key, {}, {"name": "(what LLVM says of this CPU)", **facts})
    return found


_TELLING = (
    "vendor_id", "cpu family", "model", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features",
)  # fmt: skip


def _described() -> str:
    """What the system says of its first CPU; nothing where it does not say which it is."""
    try:
        with open("/proc/cpuinfo") as lines:
            first = lines.read(1 << 13).partition("\n\n")[0].splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in first)
    told = {key.strip(): value for key, _, value in pairs if key.strip() in _TELLING}
    return str(told) if "flags" in told or "Features" in told else ""

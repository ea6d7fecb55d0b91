"""Children of the benchmarks: their environment, and a conversation by lines."""

from __future__ import annotations

import json
import os
import platform
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def environment(threads: int, store: str | Path) -> dict[str, str]:
    """The children's: threads, every cache in a directory of ours, the kernels OpenBLAS chooses."""
    kept = {
        k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    }
    counts = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    kept |= {f"{name}_NUM_THREADS": str(threads) for name in counts}
    kept |= {
        "ADJIT_CACHE_DIR": f"{store}/adjit",
        "NUMBA_CACHE_DIR": f"{store}/numba-{threads}",  # the hand-written kernels know the number
        "NUMBA_THREADING_LAYER": "workqueue",
        "BENCH_NUMBA_CACHE": "1",
        "JAX_COMPILATION_CACHE_DIR": f"{store}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_CACHE_DIR": f"{store}/inductor",
        "PYTENSOR_FLAGS": f"base_compiledir={store}/pytensor",
    }
    if threads == 1:
        kept["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return kept


class Child:
    """A process that answers a line by a line."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed with the child
        self._found = b""
        self._process = subprocess.Popen(
            command, env=env, cwd=HERE, stdin=-1, stdout=-1, stderr=self._errors
        )

    def ask(self, line: str = "", timeout: float = 300.0) -> Any:
        """The answer to a line (to none, what the child says by itself); None if it died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if line:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        end = time.monotonic() + timeout
        while b"\n" not in self._found:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                return None
            part = os.read(self._process.stdout.fileno(), 1 << 20)
            if not part:
                return None
            self._found += part
        answer, _, self._found = self._found.partition(b"\n")
        return json.loads(answer)

    def end(self) -> str:
        """Stop the child; returns the end of what it complained about."""
        self._process.kill()
        self._process.communicate()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        self._errors.close()
        return lines[-1] if lines else "no answer"


MODULES = {"torch_compile": "torch", "casadi_c": "casadi", "hand": "numba", "numpy_f": "numpy"}


def installed(python: str) -> dict[str, str]:
    """The versions of what an interpreter has; none if it does not run."""
    code = (
        "import importlib.metadata as m, json, platform\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({'python': platform.python_version(), **found}))"
    )
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=HERE)
    except OSError:
        return {}
    return json.loads(done.stdout) if done.returncode == 0 else {}


def machine(versions: dict[str, str]) -> dict[str, Any]:
    """What the figures were taken on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {n: versions[n] for n in SHOWN if n in versions},
    }


SHOWN = (
    "python", "adjit", "numpy", "scipy", "numba", "llvmlite",
    "jax", "torch", "pytensor", "casadi", "autograd",
)  # fmt: skip


def heading(facts: dict[str, Any], threads: int | None = None) -> str:
    """The machine in a line, with what was used of it."""
    versions = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    used = "" if threads is None else f"{threads} used, "
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {used}"
        f"load {facts['load']} at the start; {versions}"
    )


def duration(seconds: float) -> str:
    """A time in three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, aligned, so that it reads well in a terminal too."""
    widths = [max(len(r[k]) for r in (header, *rows)) for k in range(len(header))]
    rule = ["-" * (w - 1) + (":" if k else "-") for k, w in enumerate(widths)]
    lines = []
    for row in (header, rule, *rows):
        cells = [
            c.rjust(w) if k else c.ljust(w)
            for k, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def publish(path: Path, section: str, title: str, text: str) -> None:
    """Write a table into a page of results, in the place of the one that its section has now."""
    page = path.read_text() if path.exists() else "# Results\n"
    written = f"## {section}\n\n{title}\n\n{text}\n"
    old = re.compile(rf"^## {re.escape(section)}\n.*?(?=^## |\Z)", re.M | re.S)
    if old.search(page):
        page = old.sub(lambda _: f"{written}\n", page)
    else:
        page = f"{page.rstrip()}\n\n{written}"
    path.write_text(f"{page.rstrip()}\n")


def default_python() -> str:
    """The children's interpreters, a list like PATH: BENCH_PYTHON, or this one."""
    return os.environ.get("BENCH_PYTHON", sys.executable)


def absolute(listed: str) -> str:
    """Such a list with paths that hold in any directory; names are looked up as a shell does."""
    found = listed.split(os.pathsep)
    return os.pathsep.join(os.path.abspath(p) if os.sep in p else p for p in found)


def interpreters(listed: str) -> dict[str, dict[str, str]]:
    """What each interpreter of such a list has installed; those that do not run are left out."""
    found = {python: installed(python) for python in listed.split(os.pathsep)}
    return {python: versions for python, versions in found.items() if versions}


def whose(name: str, known: dict[str, dict[str, str]]) -> str | None:
    """The first interpreter that has what a contestant needs."""
    module = MODULES.get(name, name)
    return next((python for python, versions in known.items() if module in versions), None)

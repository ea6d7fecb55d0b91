"""The command `adjit` (or `python -m adjit`): the kernel store of this user, and what runs here."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence

from . import __version__
from .ir.sizes import parse_bytes, show_bytes


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; the exit status."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        return int(given.run(given))
    except BrokenPipeError:  # `adjit cache list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adjit", description="Differentiate and compile NumPy.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    cache = commands.add_parser("cache", help="the kernels compiled so far")
    actions = cache.add_subparsers(metavar="ACTION")
    cache.set_defaults(run=_list, number=20)
    listing = actions.add_parser("list", help="what it holds, most recently used first")
    listing.add_argument("-n", "--number", type=int, default=20, help="lines (0: all)")
    listing.set_defaults(run=_list)
    actions.add_parser("path", help="its directory").set_defaults(run=_path)
    clear = actions.add_parser("clear", help="remove all kernels")
    clear.set_defaults(run=_clear)
    trim = actions.add_parser("trim", help="remove the kernels used least recently")
    trim.add_argument("size", type=_bytes, help="what may stay, as in 100M or 1G")
    trim.set_defaults(run=_trim)
    commands.add_parser("info", help="versions, CPU and settings").set_defaults(run=_info)
    return parser


def _bytes(text: str) -> int:
    """A size such as 512M."""
    try:
        return parse_bytes(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 100M or 1G") from None


def _ago(then: float) -> str:
    seconds = max(0.0, time.time() - then)
    for factor, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= factor:
            return f"{seconds / factor:.0f} {unit} ago"
    return "just now"


def _count(n: int) -> str:
    return "1 kernel" if n == 1 else f"{n} kernels"


def _list(given: argparse.Namespace) -> int:
    from .codegen import cache

    root = cache.directory()
    if root is None:
        print("The kernel store is switched off, or its directory cannot be used.")
        return 1
    entries = cache.list_entries()
    shown = entries[: given.number] if given.number else entries
    for e in shown:
        print(f"{e.key[:12]}  {show_bytes(e.size):>9}  {_ago(e.used):>12}  {e.name}")
    if len(shown) < len(entries):
        print(f"... and {len(entries) - len(shown)} more")
    total = sum(e.size for e in entries)
    most = show_bytes(cache.limit())
    print(f"{_count(len(entries))}, {show_bytes(total)} of at most {most}, in {root}")
    return 0


def _path(given: argparse.Namespace) -> int:
    from .codegen import cache

    root = cache.directory()
    print(root or "")
    return root is None


def _clear(given: argparse.Namespace) -> int:
    from .codegen import cache

    print(f"{_count(cache.clear())} removed")
    return 0


def _trim(given: argparse.Namespace) -> int:
    from .codegen import cache

    root = cache.directory()
    print(f"{_count(cache.evict(root, given.size) if root is not None else 0)} removed")
    return 0


def _info(given: argparse.Namespace) -> int:
    import llvmlite
    import numpy
    import scipy

    from .codegen import cache, front, host

    name, _ = host.cpu()
    rows = {
        "adjit": __version__,
        "Python": platform.python_version(),
        "NumPy": numpy.__version__,
        "SciPy": scipy.__version__,
        "llvmlite": llvmlite.__version__,
        "CPU": f"{name}, {os.cpu_count()} cores",
        "calls": "compiled" if front.works() else "through Python",
        "kernel store": str(cache.directory() or "off"),
    }
    rows |= {k: v for k, v in sorted(os.environ.items()) if k.startswith("ADJIT_")}
    for label, value in rows.items():
        print(f"{label:<{max(map(len, rows))}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

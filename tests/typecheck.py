"""Type-check the rooms: `python tests/typecheck.py [room ...]` runs mypy on a tree of links.

The rooms lie beside the face but install below it, a layout that type checkers cannot see by
themselves; the tree shows them the package as it is imported.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("ir", "tracer", "passes", "codegen")


def link(tree: Path) -> None:
    """Lay out `adjit/` with the rooms inside, as links into the checkout."""
    package = tree / "adjit"
    package.mkdir()
    for file in (ROOT / "adjit").iterdir():
        if file.suffix == ".py" or file.name in ("py.typed", "eager", "nn", "optim", "utils"):
            (package / file.name).symlink_to(file)
    for room in ROOMS:
        (package / room).symlink_to(ROOT / room)


def check(packages: list[str]) -> int:
    """Run mypy on these packages, show places as paths of the checkout, return its exit code."""
    with tempfile.TemporaryDirectory() as name:
        link(Path(name))
        wanted = [part for package in packages for part in ("-p", package)]
        settings = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", *settings, *wanted],
            cwd=name,
            capture_output=True,
            text=True,
        )
    lines = [
        re.sub(rf"^adjit/(?=({'|'.join(ROOMS)})/)", "", line) for line in done.stdout.splitlines()
    ]
    lines += done.stderr.splitlines()
    print("\n".join([*lines, f"{sum(': error:' in x for x in lines)} errors"]))
    return done.returncode


if __name__ == "__main__":
    sys.exit(check([f"adjit.{room}" for room in sys.argv[1:]] or ["adjit"]))

"""The package as installed: every room is the one beside this file, and importing is cheap."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numba", "llvmlite", "scipy", "networkx", "matplotlib", "IPython")
IMPORT_BUDGET = 0.060  # seconds that `import adjit` may add to `import numpy`


@pytest.mark.parametrize("room", ["ir", "tracer", "passes", "codegen"])
def test_rooms_lie_beside_the_tests(room):
    module = importlib.import_module(f"adjit.{room}")
    assert Path(module.__file__).resolve().parent == ROOT / room


def test_the_face_lies_beside_the_tests():
    adjit = importlib.import_module("adjit")
    assert Path(adjit.__file__).resolve().parent == ROOT / "adjit"


def test_there_is_no_bare_room():
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import ir"],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
    )
    assert "ModuleNotFoundError" in done.stderr


def test_import_loads_nothing_heavy():
    code = f"import sys, adjit; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_is_cheap():
    code = (
        "import time, numpy\n"
        "start = time.perf_counter(); import adjit; print(time.perf_counter() - start)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    assert min(float(r.stdout) for r in runs) < IMPORT_BUDGET


def test_every_public_name_exists():
    import adjit

    assert all(hasattr(adjit, name) for name in adjit.__all__)
    assert set(adjit.__all__) <= set(dir(adjit))


def test_the_package_says_it_is_typed():
    assert (ROOT / "adjit" / "py.typed").exists()

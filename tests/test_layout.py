"""The package as installed: every room is the one beside this file, and importing is cheap."""

import importlib
import os
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


@pytest.mark.parametrize("statement", ["import adjit", "from adjit import grad, check_grads"])
def test_import_loads_nothing_heavy(statement):
    code = f"import sys\n{statement}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def seconds(first, then, cache):
    """Processor time of the second import after the first, with compiled files at hand."""
    code = (
        f"import time\n{first}\nstart = time.process_time()\n{then}\n"
        "print(time.process_time() - start)"
    )
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(cache)
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env)
        for _ in range(4)
    ]
    return min(float(r.stdout) for r in runs)


def test_import_is_cheap(tmp_path):
    assert seconds("import numpy", "import adjit", tmp_path) < IMPORT_BUDGET


def test_a_gradient_of_a_stored_kernel_needs_neither_numba_nor_scipy(tmp_path):
    code = (
        "import sys, numpy as np\nfrom adjit import grad\n"
        "grad(lambda x: np.sum(np.tanh(x @ x) ** 2))(np.eye(3))\n"
        "print([m for m in ('numba', 'scipy', 'networkx') if m in sys.modules])"
    )
    env = {**os.environ, "ADJIT_CACHE_DIR": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
        )
        assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("room", ["tracer", "tracer/rolling", "passes", "codegen"])
def test_rooms_say_where_each_module_belongs(room):
    """The lines of the docstring that are indented name every module once."""
    lines = importlib.import_module(f"adjit.{room.replace('/', '.')}").__doc__.splitlines()
    named = [n.strip(",") for line in lines if line.startswith("    ") for n in line.split()]
    modules = [path.stem for path in (ROOT / room).glob("*.py") if path.stem != "__init__"]
    assert sorted(named) == sorted(modules), f"say in {room}/__init__.py what each module is about"


def test_every_public_name_exists():
    import adjit

    assert all(hasattr(adjit, name) for name in adjit.__all__)
    assert set(adjit.__all__) <= set(dir(adjit))


def test_the_package_says_it_is_typed():
    assert (ROOT / "adjit" / "py.typed").exists()

"""The benchmarks run, and what adjit is compared with is right."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import special

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def test_contestants_agree_on_a_problem(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    chosen = ["--problems", "rosenbrock-10", "--contestants", "hand,adjit,numpy_f"]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "--quick", *chosen, "--json", str(figures)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| rosenbrock-10" in done.stdout
    results = json.loads(figures.read_text())["results"]["rosenbrock-10"]
    assert results["adjit"]["error"] < 1e-12
    assert results["hand"]["slope_error"] < 1e-6


CASES = {
    "exp": (np.exp, -700.0, 700.0, 4),
    "log": (np.log, 1e-6, 1e6, 2),
    "log1p": (np.log1p, 0.0, 1.0, 3),
    "exp32": (np.exp, -80.0, 80.0, 4),
    "normal": (special.ndtr, -1.0, 6.0, 200),
}


@pytest.mark.parametrize("name", CASES)
def test_vector_functions_are_accurate(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numba = pytest.importorskip("numba")
    monkeypatch.syspath_prepend(str(FOLDER))
    import vector

    numpy_function, lo, hi, ulps = CASES[name]
    fn, first = getattr(vector, name), name == "normal"
    dtype = np.float32 if name == "exp32" else np.float64
    x = np.random.default_rng(0).uniform(lo, hi, 2000).astype(dtype)

    @numba.njit
    def over(x, out):
        for i in range(x.size):
            out[i] = fn(x[i])[0] if first else fn(x[i])

    out = np.empty_like(x)
    over(x, out)
    truth = numpy_function(x.astype(float))
    assert np.all(np.abs(out - truth) <= ulps * np.spacing(np.abs(truth).astype(dtype)))

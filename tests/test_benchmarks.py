"""The benchmarks run, and what adjit is compared with is right."""

import json
import os
import shutil
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
    results = json.loads(figures.read_text())["results"]["1"]["rosenbrock-10"]
    assert results["adjit"]["error"] < 1e-12
    assert results["hand"]["slope_error"] < 1e-6


def test_a_report_has_every_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import chart
    import limits
    import report
    from problems import PROBLEMS

    assert set(limits.NEEDS) == set(PROBLEMS)
    start = {"import": 0.1, "first": 1.0, "start": 1.5, "imported": 50.0, "peak": 80.0}
    hand, ours, peer = (
        {**start, "median": t, "least": t, "lasting": 90.0, "medians": [t, 2 * t, t]}
        for t in (1e-3, 5e-4, 2e-3)
    )
    results: dict[str, dict[str, dict[str, object]]] = {}
    failed = {"failed": "no gradient"}
    results["1"] = {"rk4-1000": {"hand": hand, "adjit": ours, "jax": peer, "torch": failed}}
    results["2"] = {"rk4-1000": {"adjit": {**ours, "cold": start}, "hand": failed, "jax": peer}}
    machine = {
        "bandwidth": {"1e6": 1e10, "1e8": 5e9},
        "gemm": {"float32": 1e11, "float64": 5e10},
        "function": dict.fromkeys(("exp", "log", "tanh", "normal"), 1e-9),
        "operation": 1e-9,
        "call": 2e-7,
    }
    about = {"cpu": "one", "cores": 2, "load": 0.0, "versions": {"numpy": "2"}}
    whole = {"machine": about, "stat": "median", "results": results}
    text = report.text({**whole, "limits": {"1": machine, "2": None}})
    for expected in (*report.SECTIONS, "0.50 |", "0.25 |", "a chain", "29 us", "1.00 |"):
        assert expected in text, expected
    assert "90 40" in text
    assert "90 40, 90 40" in report.memory(results["2"], "median")  # the second one is warm
    slower = {**ours, "median": 1e-3, "medians": [1e-3, 1e-3, 5e-4]}  # when the machine was so, too
    assert report.compared(slower, hand, "median") == 0.5
    assert report.compared(slower, hand, "least") == 0.5
    assert report.compared({**slower, "medians": [1e-3]}, hand, "median") == 1.0
    assert report.compared(failed, hand, "median") is None
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nWords.\n\n## Older\n\nfigures\n\n## Limits\n\nold\n")
    report.publish_all(page, {**whole, "limits": {"1": machine}})
    written = page.read_text()
    assert written.count("## ") == len(report.SECTIONS) + 1 and "old\n" not in written
    assert written.index("Words.") < written.index("## Ratios") < written.index("## Older")
    if "drew" in chart.draw(whole, tmp_path / "picture.png"):
        assert (tmp_path / "picture.png").stat().st_size > 5000


def test_commits_are_laid_out_and_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = ["git", "-C", str(FOLDER), "cat-file", "-e", "HEAD:benchmarks/commits.py"]
    if shutil.which("git") is None or subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("commits are looked at where git can read them")
    monkeypatch.syspath_prepend(str(FOLDER))
    import commits

    head = commits.named("HEAD")
    with pytest.raises(SystemExit, match="nothing-like-it is no commit"):
        commits.named("nothing-like-it")
    packages = commits.laid_out(head, tmp_path)
    code = "import adjit, adjit.ir.ops, adjit.tracer.rolling; print(adjit.__file__)"
    env = {**os.environ, "PYTHONPATH": str(packages)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith(str(packages)), done.stderr
    hand = {"median": 1e-3, "medians": [1e-3, 2e-3], "first": 1.0}
    half = {"median": 1e-3, "medians": [5e-4, 1e-3], "first": 0.25}
    found = commits.cells({"hand": hand, head: half, "older": {"failed": "died"}})
    assert found == ["1 ms", "0.50x 0.25 s", "failed"]


CASES = {
    "exp": (np.exp, -700.0, 700.0, 4),
    "log": (np.log, 1e-6, 1e6, 2),
    "log1p": (np.log1p, 0.0, 1.0, 3),
    "tanh": (np.tanh, -20.0, 20.0, 4),
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

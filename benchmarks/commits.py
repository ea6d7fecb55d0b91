"""How fast adjit was at some commits, all in one run.

    python benchmarks/commits.py v0.1 HEAD~100 HEAD [--problems A,B] [--chart FILE.png]

Each commit is laid into a directory of its own; then its processes are asked in turn with the
gradients by hand, for several rounds, so that a slow minute of the machine is no slow commit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import report
from processes import HERE, Child, duration, environment, table
from run import QUICK, Result, start, summarise

PATIENCE = 120.0  # seconds that a first gradient may take


def named(commit: str) -> str:
    """The short name of a commit."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", commit], cwd=HERE, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{commit} is no commit: {done.stderr.strip()}")
    return done.stdout.strip()


def laid_out(commit: str, into: Path) -> Path:
    """A directory to import adjit from as it was at a commit."""
    source, packages = into / f"{commit}-source", into / commit
    source.mkdir()
    archive = subprocess.run(
        ["git", "archive", commit], cwd=HERE.parent, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    project = tomllib.loads((source / "pyproject.toml").read_text())
    rooms = project["tool"]["setuptools"]["package-dir"]
    for package, folder in sorted(rooms.items()):
        there = packages.joinpath(*package.split("."))
        shutil.copytree(source / folder, there, dirs_exist_ok=True)
    return packages


def begun(
    name: str, problem: str, threads: int, where: Path, packages: Path | None
) -> tuple[Child | None, Result]:
    """A process of adjit from these packages, or of the gradient by hand, and its first figures."""
    store = where / "stores" / name
    store.mkdir(parents=True, exist_ok=True)
    env = environment(threads, store)
    if packages is not None:
        env["PYTHONPATH"] = os.pathsep.join([str(packages), env.get("PYTHONPATH", "")])
    contestant = "hand" if packages is None else "adjit"
    command = [sys.executable, "child.py", contestant, problem, f"{store}/{problem}.npz"]
    return start(command, env, PATIENCE)


def compete(
    problem: str, packages: dict[str, Path | None], where: Path, options: argparse.Namespace
) -> dict[str, Result]:
    """The results on one problem: by hand, and of each commit."""
    found = {
        name: begun(name, problem, options.threads, where, place)
        for name, place in packages.items()
    }
    alive = {name: child for name, (child, _) in found.items() if child is not None}
    results = {name: result for name, (_, result) in found.items()}
    for _ in range(options.rounds):
        for name, child in alive.items():
            answer = child.ask(str(options.seconds))
            if answer is not None:
                results[name]["rounds"].append(answer["samples"])
    for name, child in alive.items():
        child.end()
        summarise(results[name])
    return results


def cells(results: dict[str, Result]) -> list[str]:
    """The time by hand; of each commit the ratio to it, and the seconds of its first gradient."""
    out = []
    for name, result in results.items():
        ratio = report.compared(result, results["hand"], "median")
        if "median" not in result:
            out.append(next((k for k in ("failed", "refused") if k in result), "-"))
        elif name == "hand" or ratio is None:
            out.append(duration(result["median"]))
        else:
            out.append(f"{ratio:.2f}x {result['first']:.2f} s")
    return out


def drawn(everything: dict[str, dict[str, Result]], path: Path) -> str:
    """A line for each problem over the commits."""
    try:
        import matplotlib
    except ImportError:
        return "no picture: matplotlib is not installed"
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(8, 5))
    for problem, results in everything.items():
        commits = [name for name in results if name != "hand"]
        ratios = [report.compared(results[c], results["hand"], "median") for c in commits]
        ax.plot(commits, [float("nan") if r is None else r for r in ratios], "o-", label=problem)
    ax.axhline(1.0, color="black", lw=1)
    ax.set_yscale("log")
    ax.set_ylabel("time of a gradient / time by hand in Numba")
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return f"drew {path}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commits", nargs="+", help="in the order of the table's columns")
    parser.add_argument("--problems", default=QUICK, help="a comma list")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a contestant in a round")
    parser.add_argument("--chart", type=Path, help="draw the ratios (needs matplotlib)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    commits = list(dict.fromkeys(map(named, options.commits)))
    everything: dict[str, dict[str, Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        packages: dict[str, Any] = {"hand": None}
        for commit in commits:
            packages[commit] = laid_out(commit, where)
        for problem in options.problems.split(","):
            everything[problem] = compete(problem, packages, where, options)
            print(problem, *cells(everything[problem]), flush=True)
    rows = [[problem, *cells(results)] for problem, results in everything.items()]
    print("\n" + table(["ratio, first gradient", "hand", *commits], rows))
    if options.chart:
        print(drawn(everything, options.chart))
    return 0


if __name__ == "__main__":
    sys.exit(main())

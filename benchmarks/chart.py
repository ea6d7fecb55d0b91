"""A picture of a run: the times of adjit and of the peers over the hand-written gradient's.

python benchmarks/chart.py FIGURES.json PICTURE.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from report import ORDER, best_peer, compared

COLOURS = {
    "adjit": "#d62728", "jax": "#1f77b4", "torch": "#ff7f0e", "torch_compile": "#8c564b",
    "pytensor": "#2ca02c", "casadi": "#9467bd", "casadi_c": "#c5b0d5", "autograd": "#7f7f7f",
}  # fmt: skip
LEAST, MOST = 0.1, 300.0  # ratios shown; what is slower stands at the edge


def bars(results: dict[str, Any], stat: str) -> dict[str, dict[str, float]]:
    """Ratios by problem and contestant; to the gradient by hand, else to the best peer."""
    found = {}
    for problem, by_name in results.items():
        peer = best_peer(by_name, stat)
        base = by_name.get("hand", {})
        if stat not in base and peer:
            base = by_name[peer[0]]
        ratios = {n: compared(by_name.get(n, {}), base, stat) for n in ORDER if n in COLOURS}
        if any(r is not None for r in ratios.values()):
            found[problem] = {n: r for n, r in ratios.items() if r is not None}
    return found


def draw(whole: dict[str, Any], path: Path) -> str:
    """Write the picture; says what it did, or that matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return "no picture: matplotlib is not installed"
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    runs = {n: bars(r, whole["stat"]) for n, r in whole["results"].items()}
    height = 1.6 + 0.5 * max(map(len, runs.values()))
    figure, axes = plt.subplots(
        1, len(runs), figsize=(2.0 + 6.0 * len(runs), height), sharey=True, squeeze=False
    )
    for ax, (threads, found) in zip(axes[0], runs.items(), strict=True):
        _panel(ax, found)
        ax.set_title(f"{threads} thread{'s' * (threads != '1')}")
        ax.set_xlabel("time of a gradient / time by hand in Numba")
    entered = {n for found in runs.values() for by_name in found.values() for n in by_name}
    handles = [
        plt.Line2D([], [], marker="s", ls="", color=colour, label=name)
        for name, colour in COLOURS.items()
        if name in entered
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0.4 / height, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return f"drew {path}"


def _panel(ax: Any, found: dict[str, dict[str, float]]) -> None:
    """For each problem a bar of adjit and one of the best peer; the other peers are points."""
    for k, times in enumerate(found.values()):
        peers = {n: t for n, t in times.items() if n != "adjit"}
        best = min(peers, key=peers.__getitem__, default=None)
        for name, at in (("adjit", k - 0.2), (best, k + 0.2)):
            if name not in times:
                continue
            value = times[name]
            ax.barh(at, value - LEAST, left=LEAST, height=0.36, color=COLOURS[name])
            ax.text(min(value, MOST) * 1.06, at, f"{value:.2f}", va="center", fontsize=7)
        for name, value in peers.items():
            if name != best:
                ax.plot(min(value, MOST), k + 0.2, "|", ms=8, mew=2, color=COLOURS[name])
    ax.axvline(1.0, color="black", lw=1)
    ax.set_xscale("log")
    ax.set_xlim(LEAST, MOST)
    ax.set_yticks(range(len(found)), list(found))
    ax.set_ylim(len(found) - 0.4, -0.6)
    ax.grid(axis="x", which="major", alpha=0.3)


if __name__ == "__main__":
    print(draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))

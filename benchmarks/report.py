"""The tables of a run: ratios, times, limits, starts, memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from limits import NEEDS, limit, sentence
from peers import PEERS
from processes import duration, heading, publish, table

Result = dict[str, Any]
Results = dict[str, Result]

ORDER = ("hand", "adjit", *PEERS, "numpy_f")


def line(problem: str, threads: int, results: Results, stat: str) -> str:
    """How a problem went, while the others run."""
    cells = [f"{name} {cell(r, results, stat)}" for name, r in results.items() if stat in r]
    return f"{problem} ({threads}): {', '.join(cells)}"


def cell(result: Result, results: Results, stat: str) -> str:
    """A time with its ratio to the hand-written gradient, or why there is none."""
    if stat not in result:
        return next((key for key in ("failed", "absent") if key in result), "-")
    times_hand = compared(result, results.get("hand", {}), stat)
    if times_hand is None or result is results["hand"]:
        return duration(result[stat])
    return f"{duration(result[stat])} ({times_hand:.2f}x)"


def compared(result: Result, other: Result, stat: str) -> float | None:
    """A time over another: the median of the rounds' ratios, each at one speed of the machine.

    Of least times, or where one of both was not asked in all rounds, of the figures themselves.
    """
    if stat not in result or stat not in other:
        return None
    if stat == "median" and len(result["medians"]) == len(other["medians"]):
        return median(a / b for a, b in zip(result["medians"], other["medians"], strict=True))
    return float(result[stat] / other[stat])


def best_peer(results: Results, stat: str) -> tuple[str, float] | None:
    """The fastest peer, and its time."""
    times = {name: results[name][stat] for name in PEERS if stat in results.get(name, {})}
    return min(times.items(), key=lambda item: item[1]) if times else None


def figure(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def ratio(a: float | None, b: float | None) -> str:
    return figure(a / b if a is not None and b else None)


def ratios(whole: dict[str, Any]) -> str:
    """adjit beside the hand-written gradients and the best peer, for each number of threads."""
    stat, by_threads = whole["stat"], whole["results"]
    header = ["adjit"]
    for n in by_threads:
        header += [f"{n} thread{'s' * (n != '1')}", "/ hand", "/ best peer", "which"]
    rows = []
    for problem in next(iter(by_threads.values())):
        row = [problem]
        for results in (r[problem] for r in by_threads.values()):
            ours = results.get("adjit", {})
            peer = best_peer(results, stat)
            row += [
                duration(ours[stat]) if stat in ours else "-",
                figure(compared(ours, results.get("hand", {}), stat)),
                figure(compared(ours, results[peer[0]], stat) if peer else None),
                peer[0] if peer else "-",
            ]
        rows.append(row)
    return table(header, rows)


def entered(results: dict[str, Results]) -> list[str]:
    """The contestants that have a time somewhere."""
    return [n for n in ORDER if any("median" in r.get(n, {}) for r in results.values())]


def times(results: dict[str, Results], stat: str) -> str:
    """Each contestant's time of a gradient, with its ratio to the hand-written one."""
    names = entered(results)
    rows = []
    for problem, found in results.items():
        cells = [cell(found.get(name, {}), found, stat) for name in names]
        error = found.get("adjit", {}).get("error")
        rows.append([problem, *cells, "-" if error is None else f"{error:.0e}"])
    return table(["one gradient", *names, "error"], rows)


def bounds(whole: dict[str, Any]) -> str:
    """What bounds each problem on this machine, and how far from it the best gradients are."""
    parts = []
    for n, results in whole["results"].items():
        facts = whole["limits"].get(n)
        if facts is None:
            continue
        rows = []
        for problem, found in results.items():
            what, least = limit(NEEDS[problem], facts)
            times = [found.get(name, {}).get(whole["stat"]) for name in ("hand", "adjit")]
            rows.append([problem, what, duration(least), *(ratio(t, least) for t in times)])
        header = [f"limit, {n} thread{'s' * (n != '1')}", "of", "time", "hand / it", "adjit / it"]
        parts.append(f"Measured: {sentence(facts)}.\n\n{table(header, rows)}")
    return "\n\n".join(parts)


def spent(result: Result) -> str:
    """Import, first gradient, process until it is there; the last two with a filled store too."""
    if "start" not in result:
        return "-"
    cold = result.get("cold", result)
    cells = [f"{cold['import']:.2f}", f"{cold['first']:.2f}", f"{cold['start']:.2f}"]
    if cold is not result:
        cells += [f"{result['first']:.2f}", f"{result['start']:.2f}"]
    return " ".join(cells)


def starting(results: dict[str, Results]) -> str:
    names = entered(results)
    rows = [[p, *(spent(found.get(n, {})) for n in names)] for p, found in results.items()]
    return table(["seconds", *names], rows)


def peaks(result: Result) -> tuple[float, float] | None:
    """Megabytes at the peak: of the process, and what the imports had not taken."""
    known = [r["peak"] for r in (result, result.get("cold", result)) if r.get("peak")]
    known += [result["lasting"]] if result.get("lasting") else []
    if not known or not result.get("imported"):
        return None
    return max(known), max(known) - result["imported"]


def warm_peaks(result: Result) -> tuple[float, float] | None:
    """The same of the process that started with a filled store."""
    return peaks({k: v for k, v in result.items() if k != "cold"})


def memory(results: dict[str, Results], stat: str) -> str:
    """Whole processes at their peak, what grew since the imports, and with a filled store."""
    names = entered(results)
    rows = []
    for problem, found in results.items():
        cells = []
        for name in names:
            whole, warm = peaks(found.get(name, {})), warm_peaks(found.get(name, {}))
            if whole is None or warm is None:
                cells.append("-")
            elif "cold" in found[name]:
                cells.append(f"{whole[0]:.0f} {whole[1]:.0f}, {warm[0]:.0f} {warm[1]:.0f}")
            else:
                cells.append(f"{whole[0]:.0f} {whole[1]:.0f}")
        rows.append([problem, *cells, *_memory_ratios(found, stat)])
    return table(["MB", *names, "adjit / hand", "adjit / best peer", "stored / it"], rows)


def _memory_ratios(results: Results, stat: str) -> list[str]:
    """adjit's whole process to hand's and the fastest peer's; with a filled store to that."""
    peer = best_peer(results, stat)
    ours, hand, theirs = (
        peaks(results.get(name, {})) for name in ("adjit", "hand", peer[0] if peer else "")
    )
    warm = warm_peaks(results["adjit"]) if "cold" in results.get("adjit", {}) else None
    pairs = ((ours, hand), (ours, theirs), (warm, theirs))
    return [ratio(mine and mine[0], other and other[0]) for mine, other in pairs]


SECTIONS = {
    "Ratios": (
        "Below 1 is better than hand, or than the best peer of the same run. A round asks all "
        "within a second or two: a ratio is the median of the rounds' ratios."
    ),
    "One thread": "Medians, with the ratio to the gradient by hand; `numpy_f` has no gradient.",
    "Two threads": "The same with two threads for all.",
    "Limits": "The least time that the resource in short supply allows, and the figures beside it.",
    "Starts": (
        "Seconds of one start each: import, first gradient, the process until that is there; then "
        "the last two again for a process that finds what the first one stored."
    ),
    "Memory": (
        "Megabytes resident at the peak: the whole process, and what came on top of the imports; "
        "after a comma the same of a process that found what an earlier one had stored. The ratios "
        "are of whole processes that found nothing stored, the last one of adjit's that did."
    ),
}


def sections(whole: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The tables of a run, by title."""
    results = whole["results"]
    first = next(iter(results.values()))
    yield "Ratios", ratios(whole)
    for n, title in (("1", "One thread"), ("2", "Two threads")):
        if n in results:
            yield title, times(results[n], whole["stat"])
    if bounded := bounds(whole):
        yield "Limits", bounded
    yield "Starts", starting(first)
    if written := memory(first, whole["stat"]):
        yield "Memory", written


def text(whole: dict[str, Any]) -> str:
    """All tables, for a terminal."""
    return "\n\n".join(f"{title}: {SECTIONS[title]}\n\n{t}" for title, t in sections(whole))


def publish_all(page: Path, whole: dict[str, Any]) -> None:
    """Put the tables into a page of results, new ones before all others."""
    tables = list(sections(whole))
    if page.exists():
        head, mark, rest = page.read_text().partition("\n## ")
        new = [t for t, _ in tables if f"\n## {t}\n" not in mark + rest]
        page.write_text("".join([head, *(f"\n## {t}\n" for t in new), mark, rest]))
    for title, written in tables:
        about = heading(whole["machine"]) if title == "Ratios" else ""
        publish(page, title, f"{SECTIONS[title]} {about}".strip(), written)

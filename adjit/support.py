"""What of NumPy and SciPy is supported: `python -m adjit.support` prints docs/numpy-support.md.

Everything here is read from the tables that tracing itself uses; nothing is listed twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from .ir.prim import Prim
from .tracer import intercept
from .tracer import trace as _entered  # noqa: F401  # fills the tables
from .tracer.refusals import THROUGH, flat, refusal
from .tracer.surface import FUNCTIONS, METHODS
from .tracer.surface_all import dotted
from .tracer.surface_ufunc import PRODUCTS, SCIPY_REASONS, lowering
from .tracer.tracer import Tracer

_LATE = ("numpy.polynomial", "numpy.lib.recfunctions", "numpy.strings", "numpy.char")
LATER = frozenset({"numpy.polynomial.polynomial.polyvalnd"})  # in NumPy from 2.5 on
DIFFERENTIABLE, FLAT, REFUSED, SILENT = "differentiable", "flat", "refused", "silent"


class Status(NamedTuple):
    """Where a name stands, why, and what to write instead."""

    name: str
    state: str
    why: str = ""
    instead: str = ""


# ------------------------------------------------------------------ one name


def of_function(function: Any) -> Status:
    """Where a function of NumPy's stands."""
    name = dotted(function)
    known = refusal(name)
    if known is not None:
        return Status(name, REFUSED, *known)
    if function in FUNCTIONS or name in THROUGH or name in _swapped():
        why = flat(name)
        return Status(name, FLAT if why else DIFFERENTIABLE, why)
    return Status(name, SILENT)


@cache
def _swapped() -> frozenset[str]:
    """The constructors that are intercepted while a trace is open, by their dotted names."""
    found = (getattr(new, "__wrapped__", None) for _, new in intercept.replacements())
    names = (getattr(f, "__name__", "") for f in found)
    return frozenset(f"numpy.{n}" for n in names if n in vars(np))


def of_ufunc(ufunc: np.ufunc, module: str) -> Status:
    """Where a ufunc stands, by its row."""
    name = f"{module}.{ufunc.__name__.lstrip('_')}"
    if ufunc in PRODUCTS:
        return Status(name, DIFFERENTIABLE)
    lower = lowering(ufunc)
    if lower is None:
        if ufunc.__name__ in SCIPY_REASONS:
            return Status(name, REFUSED, "it has no row", SCIPY_REASONS[ufunc.__name__])
        known = refusal(name)
        return Status(name, REFUSED, *known) if known else Status(name, SILENT)
    why = flat(name)
    if isinstance(lower, Prim) and not why:
        why = lower.nondiff
    return Status(name, FLAT if why else DIFFERENTIABLE, why)


def of_attribute(name: str) -> Status:
    """Where a method or an attribute of ndarray's stands."""
    full = f"numpy.ndarray.{name}"
    known = refusal(full)
    if known is not None:
        return Status(full, REFUSED, *known)
    if name in METHODS or name in vars(Tracer):
        why = flat(full)
        return Status(full, FLAT if why else DIFFERENTIABLE, why)
    return Status(full, SILENT)


# ------------------------------------------------------------------ all names


def functions(modules: Iterable[str]) -> list[Status]:
    """The functions of these modules that NumPy reports as overridable."""
    for late in _LATE:  # what NumPy reports depends on what is loaded
        import_module(late)
    overridable = import_module("numpy.testing.overrides")
    wanted, found = tuple(modules), {}
    for f in overridable.get_overridable_numpy_array_functions():
        status = of_function(f)
        if status.name.rpartition(".")[0] in wanted:
            found[status.name] = status
    return [found[k] for k in sorted(found)]


def ufuncs() -> list[Status]:
    """NumPy's public ufuncs."""
    names = sorted({f.__name__ for f in vars(np).values() if isinstance(f, np.ufunc)})
    return [of_ufunc(getattr(np, n), "numpy") for n in names]


def special() -> list[Status]:
    """The ufuncs of scipy.special."""
    module = vars(import_module("scipy.special"))
    found = {n: of_ufunc(f, "scipy.special") for n, f in module.items() if isinstance(f, np.ufunc)}
    return [found[n]._replace(name=f"scipy.special.{n}") for n in sorted(found)]


def attributes() -> list[Status]:
    """The public methods and attributes of ndarray."""
    return [of_attribute(n) for n in sorted(dir(np.ndarray)) if not n.startswith("_")]


def everything() -> dict[str, list[Status]]:
    """Every name by the title of its section."""
    return {
        "Universal functions": ufuncs(),
        "Functions of numpy": functions(["numpy", "numpy.lib.stride_tricks"]),
        "numpy.linalg": functions(["numpy.linalg"]),
        "numpy.fft": functions(["numpy.fft"]),
        "numpy.emath": functions(["numpy.emath"]),
        "numpy.polynomial": functions(["numpy.polynomial", "numpy.polynomial.polynomial"]),
        "Text and records": functions(["numpy.char", "numpy.strings", "numpy.lib.recfunctions"]),
        "Methods and attributes of ndarray": attributes(),
        "scipy.special": special(),
    }


# ------------------------------------------------------------------ the page

_HEAD = """# What of NumPy works

This page is made from the tables that tracing uses (`python -m adjit.support`), and tested.

- **Differentiable**: works in traced functions, with derivatives of any order.
- **Not differentiable**: works; it has no derivative, or none but zero, for the reason given.
- **Refused**: raises `UnsupportedOp` while tracing, with this reason and this advice.

Where the shape of a result depends on data (`np.unique`, `np.nonzero`, `x[mask]`), the mask that
decides it is looked at in the call that is traced and guarded: a call with another one is traced
again. In the rows of `vmap`, which share one program, such a function raises. Ufuncs have their
methods (`reduce`, `accumulate`, `reduceat`, `outer`, `at`) and their options (`out`, `where`,
`dtype`, `casting`); `out` must be an array made in the function. All of Python's operators and
NumPy's ways of indexing work, also of plain arrays by traced values (`table[np.argsort(x)]`), so do
the constructors (`np.zeros`, `np.array`, `np.linspace`, ...), `np.r_`, `np.c_`, `np.poly1d`,
`np.vectorize`, `np.nditer`, `np.lib.stride_tricks`, the functions and classes of `np.polynomial`,
and the functions of `math`.
"""


def _short(status: Status) -> str:
    return f"`{status.name.rpartition('.')[2]}`"


def _section(title: str, found: list[Status]) -> Iterator[str]:
    by = {s: [x for x in found if x.state == s] for s in (DIFFERENTIABLE, FLAT, REFUSED, SILENT)}
    yield f"\n## {title}\n"
    if by[DIFFERENTIABLE]:
        yield f"Differentiable ({len(by[DIFFERENTIABLE])}):"
        yield ", ".join(map(_short, by[DIFFERENTIABLE])) + "\n"
    for state, titles in ((FLAT, ("why",)), (REFUSED, ("why", "what to write instead"))):
        if not by[state]:
            continue
        noun = "Not differentiable" if state == FLAT else "Refused"
        yield f"| {noun} ({len(by[state])}) | {' | '.join(titles)} |"
        yield "| --- " * (1 + len(titles)) + "|"
        groups: dict[tuple[str, str], list[Status]] = {}
        for s in by[state]:
            groups.setdefault((s.why, s.instead), []).append(s)
        for (why, instead), members in groups.items():
            cells = [", ".join(map(_short, members)), why, *([instead] if state == REFUSED else [])]
            yield "| " + " | ".join(cells) + " |"
        yield ""


def page() -> str:
    """The text of docs/numpy-support.md, the same with each NumPy."""
    lines = [_HEAD.rstrip("\n")]
    for title, found in everything().items():
        lines += _section(title, [s for s in found if s.name not in LATER])
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(page(), end="")

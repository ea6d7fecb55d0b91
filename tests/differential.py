"""What the differential suite does with a table: NumPy and a trace of the same call.

An `Entry` is a NumPy function, ways of calling it, and where to draw its arguments.  Each way and
each kind of input is a case: the call is traced at one point and evaluated at another, and the
result has NumPy's value, dtype, shape and kind; where NumPy raises, so does the trace, with the
same class.  Smooth cases are differentiated: forward against differences of NumPy's own values,
reverse against forward, and the derivative of the derivative for a part of them.
"""

from __future__ import annotations

import functools
import os
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rows import DOMAINS

from adjit.ir.core import Function
from adjit.ir.interp import GuardMiss, evaluate
from adjit.passes.jvp import jvp
from adjit.passes.vjp import vjp
from adjit.tracer.trace import Trace, trace
from adjit.tracer.tree import flatten

Shape = tuple[int, ...]
Rng = np.random.Generator
Call = Callable[..., Any]

FULL = bool(os.environ.get("ADJIT_FULL"))

# ------------------------------------------------------------------ inputs


def _with_nans(r: Rng, s: Shape) -> np.ndarray:
    """Distinct numbers, about every fourth of them NaN: the same ones at every draw of a shape."""
    x = DOMAINS["distinct"](r, s)
    holes = np.random.default_rng(int(np.prod(s)) + 3).random(s) < 0.25
    return np.where(holes, np.nan, x)


def _fractions(r: Rng, s: Shape) -> np.ndarray:
    """Numbers at least 0.2 away from integers and halves."""
    return r.integers(-4, 5, s) + r.choice([0.25, 0.75], s) + r.uniform(-0.04, 0.04, s)


def _rising(r: Rng, s: Shape) -> np.ndarray:
    return np.cumsum(r.uniform(0.3, 1.0, s), axis=-1) if s else r.uniform(0.3, 1.0, s)


def _integers(low: int, high: int) -> Callable[[Rng, Shape], np.ndarray]:
    return lambda r, s: r.integers(low, high, s)


def _definite(r: Rng, s: Shape) -> np.ndarray:
    x = r.normal(size=s)
    return x @ np.swapaxes(x, -1, -2) + 2 * np.eye(s[-1]) if len(s) > 1 and s[-1] == s[-2] else x


def _regular(r: Rng, s: Shape) -> np.ndarray:
    x = r.uniform(-1, 1, s)
    return x + 3 * np.eye(*s[-2:]) if len(s) > 1 else x


DRAWS: dict[str, Callable[[Rng, Shape], np.ndarray]] = {
    **DOMAINS,
    "nan": _with_nans,
    "fractions": _fractions,
    "rising": _rising,
    "integers": _integers(-9, 10),
    "counts": _integers(0, 7),
    "shifts": _integers(0, 4),
    "mask": lambda r, s: r.random(s) < 0.5,
    "repeats": _integers(0, 4),
    "regular": _regular,
    "definite": _definite,
    "sparse": lambda r, s: r.uniform(0.5, 2, s) * (np.random.default_rng(9).random(s) < 0.6),
}
ONE_TYPE = "integers", "counts", "shifts", "mask", "repeats", "bool", "complex"
KINDS = "C", "F", "strided", "reversed", "single", "integer", "one", "empty", "0-d"
LAYOUTS = "C", "F", "strided", "reversed"


def _array(domain: str, shape: Shape, kind: str, rng: Rng) -> np.ndarray:
    """One argument of a kind: a layout, a dtype, or a degenerate shape."""
    if kind == "one":
        shape = (1,) * len(shape)
    elif kind == "empty":
        shape = (0, *shape[1:]) if shape else ()
    elif kind == "0-d":
        shape = ()
    if kind == "strided" and shape:
        return np.repeat(np.asarray(DRAWS[domain](rng, shape)), 2, axis=-1)[..., ::2]
    x = np.asarray(DRAWS[domain](rng, shape))
    if kind == "F":
        return np.asfortranarray(x)
    if kind == "reversed":
        return np.ascontiguousarray(x[(slice(None, None, -1),) * x.ndim])[
            (slice(None, None, -1),) * x.ndim
        ]
    if domain not in ONE_TYPE:
        if kind == "single":
            return x.astype(np.float32)
        if kind == "integer":
            return np.where(np.isfinite(x), np.ceil(x * 2), 1).astype(np.int64)
    return x


# ------------------------------------------------------------------ the table


@dataclass(frozen=True)
class Entry:
    """A function by its dotted name, ways of calling it, and its arguments by domain and shape.

    smooth   whether the cases are differentiated where they are float64
    ulps     how far a float may be off, in units of its last place, instead of a tolerance
    mirror   whether a plain result of NumPy's must be one of ours (False: only the values count)
    """

    name: str
    calls: tuple[Call, ...]
    domains: tuple[str, ...] = ("real",)
    shapes: tuple[Shape, ...] = ((3, 4),)
    kinds: tuple[str, ...] = KINDS
    smooth: bool = True
    ulps: float = 0
    rtol: float = 1e-11
    kernel: bool = True

    def arguments(self, kind: str, which: int) -> tuple[np.ndarray, ...]:
        """The arguments of a kind at one of two points."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), which])
        n = max(len(self.shapes), len(self.domains))
        pairs = ((self.domains[min(i, len(self.domains) - 1)],
                  self.shapes[min(i, len(self.shapes) - 1)]) for i in range(n))  # fmt: skip
        return tuple(_array(d, s, kind, rng) for d, s in pairs)


def entry(name: str, *calls: Call, **facts: Any) -> Entry:
    """An Entry; a single domain or shape need not be a tuple of one."""
    for key, alone in (("domains", str), ("kinds", str)):
        if isinstance(facts.get(key), alone):
            facts[key] = tuple(facts[key].split(", "))
    if "shapes" in facts and (not facts["shapes"] or isinstance(facts["shapes"][0], int)):
        facts["shapes"] = (facts["shapes"],)
    return Entry(name, calls, **facts)


@dataclass(frozen=True)
class Case:
    """One way of calling a function on one kind of input."""

    entry: Entry
    number: int
    kind: str

    @property
    def call(self) -> Call:
        return self.entry.calls[self.number]

    def __str__(self) -> str:
        return f"{self.entry.name} #{self.number} {self.kind}"


def cases(table: list[Entry]) -> Iterator[Case]:
    """The cases of a table: every kind of input for the first call of an entry, some for others.

    With ADJIT_FULL in the environment every call is tried with every kind.
    """
    for e in table:
        for n in range(len(e.calls)):
            some = {"C", KINDS[1 + n % 8], KINDS[1 + (n + 4) % 8]}
            every = n == 0 or FULL
            yield from (Case(e, n, k) for k in e.kinds if every or k in some)


# ------------------------------------------------------------------ checks

TALLY: Counter[str] = Counter()  # what was checked, by its noun


def outcome(call: Call, *args: Any) -> Any:
    """What a call gives, or the exception it raises."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*args)
        except Exception as error:
            return error


def replay(t: Trace, args: tuple[Any, ...]) -> Any:
    """The result of a trace on arguments like those it was made with."""
    outs = evaluate(t.function, *inputs(t, args))
    parts = [outs[o[1]] if o[0] == "value" else o[1] for o in t.out_leaves]
    return t.outs_tree.unflatten(parts)


def inputs(t: Trace, args: tuple[Any, ...]) -> list[np.ndarray]:
    """The inputs of a trace's function: the arguments, then what it captured."""
    return [*map(np.asarray, flatten((args, {}))[0]), *(np.asarray(c.read()) for c in t.captures)]


def check(case: Case) -> None:
    """One case: value, dtype, kind or exception; derivatives where it is smooth."""
    first, second = (case.entry.arguments(case.kind, i) for i in (0, 1))
    want = outcome(case.call, *second)
    t = outcome(lambda: trace(case.call, first, sampled=True))
    if isinstance(t, Exception) or isinstance(want, Exception):
        failed(case, t, outcome(case.call, *first), first)
        return
    try:
        got = replay(t, second)
    except GuardMiss:  # a decision goes another way at the second point
        t = trace(case.call, second, sampled=True)
        got = replay(t, second)
    except (IndexError, ValueError, np.linalg.LinAlgError) as error:
        raise AssertionError(f"{case}: the trace fails with {error!r}") from error
    same(case, got, want)
    kinds = t.outs_tree.unflatten([o[2] if o[0] == "value" else "static" for o in t.out_leaves])
    same_kinds(case, kinds, want)
    TALLY["values"] += 1
    which = ("C", "strided") if case.number == 0 else ("C",)
    if case.entry.smooth and case.kind in which and second[0].size:
        differentiate(case, t, second)


def failed(case: Case, t: Any, want: Any, first: Any) -> None:
    """Where NumPy raises, tracing raises the same; what depends on values may wait."""
    if isinstance(want, Exception) and not isinstance(t, Exception):
        t = outcome(replay, t, first)
    if not isinstance(want, Exception) and isinstance(t, Exception):
        raise AssertionError(f"{case}: {type(t).__name__}: {t}, where NumPy has a value") from t
    if not isinstance(t, Exception):
        raise AssertionError(f"{case}: no error where NumPy raises {want!r}")
    related = isinstance(t, type(want)) or isinstance(want, type(t))
    assert related, f"{case}: {t!r} where NumPy raises {want!r}"
    TALLY["errors"] += 1


def same(case: Case, got: Any, want: Any) -> None:
    """Equal structure, dtype and shape; values up to the tolerance of the entry."""
    if isinstance(want, (tuple, list)):
        assert isinstance(got, (tuple, list)), f"{case}: {type(got).__name__} for a sequence"
        assert len(got) == len(want), f"{case}: {len(got)} results for {len(want)}"
        for g, w in zip(got, want, strict=True):
            same(case, g, w)
    elif want is None or isinstance(want, (str, bool, np.dtype, type, slice)):
        assert np.asarray(got == want).all(), f"{case}: {got!r} for {want!r}"
    else:
        g, w = np.asarray(got), np.asarray(want)
        assert g.dtype == w.dtype, f"{case}: dtype {g.dtype} for {w.dtype}"
        assert g.shape == w.shape, f"{case}: shape {g.shape} for {w.shape}"
        close(case, g, w)


def close(case: Case, g: np.ndarray, w: np.ndarray) -> None:
    """Values within the tolerance; float32's is wider by the ratio of its last place."""
    if w.dtype.kind not in "fc":
        assert np.array_equal(g, w), f"{case}: {g} for {w}"
        return
    # Sums of float32 in another order differ, also where the result is float64.
    eps = float(np.finfo(w.dtype if case.kind != "single" else np.float32).eps)
    if case.entry.ulps:
        with np.errstate(all="ignore"):
            off = np.abs(g - w) / np.maximum(np.spacing(np.abs(w)), np.finfo(w.dtype).tiny)
        bad = ~((off <= case.entry.ulps) | (np.isnan(g) & np.isnan(w)) | (g == w))
        assert not bad.any(), f"{case}: {g[bad]} for {w[bad]}, {off[bad].max()} ulp"
        return
    rtol = case.entry.rtol * max(1.0, eps / 2.3e-16) ** 0.9
    scale = float(np.max(np.abs(w[np.isfinite(w)]), initial=0.0))
    np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol * scale, err_msg=str(case))


def same_kinds(case: Case, kinds: Any, want: Any) -> None:
    """Arrays, NumPy scalars and Python numbers come out as NumPy would give them."""
    if isinstance(want, (tuple, list)):
        for k, w in zip(kinds, want, strict=True):
            same_kinds(case, k, w)
    elif kinds in ("array", "scalar", "python"):
        noun = "array" if isinstance(want, np.ndarray) else "scalar"
        noun = noun if isinstance(want, (np.ndarray, np.generic)) else "python"
        assert kinds == noun, f"{case}: a result is of kind {kinds}, NumPy's is {noun}"


# ------------------------------------------------------------------ derivatives


def differentiate(case: Case, t: Trace, point: tuple[Any, ...]) -> None:
    """Forward mode against differences, reverse mode against forward; order 2 for a part."""
    given = inputs(t, point)
    wrt = [i for i, x in enumerate(given[: len(t.leaves)]) if x.dtype.kind == "f"]
    outs = [v for v in t.function.outs if v.aval.kind == "f"]
    if not wrt or not outs:
        return
    rng = np.random.default_rng(5)
    dots = [rng.uniform(-1, 1, given[i].shape) for i in wrt]
    tangents = pushed(t.function, wrt, given, dots)
    compare(case, t.function, given, wrt, dots, tangents, plain(case, t, point, wrt))
    TALLY["derivatives"] += 1
    if case.kind == "C" and case.number % 2 == 0:
        second_order(case, t.function, given, wrt, rng)


def plain(case: Case, t: Trace, point: tuple[Any, ...], wrt: list[int]) -> Call:
    """NumPy's float results of the call, as a function of the moving arguments."""

    def call(*moved: np.ndarray) -> list[np.ndarray]:
        args = list(point)
        for i, x in zip(wrt, moved, strict=True):
            args[i] = np.empty_like(point[i])  # the layout stays what it is
            args[i][...] = x
        out = outcome(case.call, *args)
        assert not isinstance(out, Exception), f"{case}: {out!r} near the point"
        leaves = [x for x in flatten(out)[0] if isinstance(x, (np.ndarray, np.generic, float))]
        return [np.asarray(x) for x in leaves if np.asarray(x).dtype.kind == "f"]

    return call


@functools.lru_cache(maxsize=1)
def pulled(function: Function, wrt: tuple[int, ...]) -> Function:
    """The VJP alone, which is checked by the dot product and then differentiated itself."""
    return vjp(function, wrt, primal_outs=False)


def pushed(function: Function, wrt: list[int], given: list[Any], dots: list[Any]) -> list[Any]:
    """The tangents of the results, by forward mode."""
    return evaluate(jvp(function, wrt), *given, *dots)[len(function.outs) :]


def compare(
    case: Case,
    function: Function,
    given: list[Any],
    wrt: list[int],
    dots: list[Any],
    tangents: list[Any],
    f: Call,
) -> None:
    """J t by forward mode is a difference of f; <ct, J t> = <J' ct, t> by reverse mode."""
    floats = [v for v in function.outs if v.aval.kind == "f"]
    point, h = [given[i] for i in wrt], 1e-4
    four = [f(*(p + s * h * d for p, d in zip(point, dots, strict=True))) for s in (-2, -1, 1, 2)]
    traced_floats = [t for t in tangents if t.dtype.kind == "f"]
    numbers = [(a - 8 * b + 8 * c - d) / (12 * h) for a, b, c, d in zip(*four, strict=True)]
    assert len(numbers) == len(traced_floats), f"{case}: {len(numbers)} float results"
    for got, want in zip(traced_floats, numbers, strict=True):
        if got.dtype != np.float64:
            continue  # a difference of rounded numbers says nothing
        scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=2e-7 * scale, err_msg=f"{case}: JVP")
    if len(floats) == len(tangents):
        transposed(case, function, given, wrt, dots, tangents)


def transposed(
    case: Case, function: Function, given: list[Any], wrt: list[int], dots: list[Any], ts: list[Any]
) -> None:
    """Reverse mode by the dot product with forward mode."""
    rng = np.random.default_rng(6)
    cts = [rng.uniform(-1, 1, t.shape) for t in ts]
    cts = [np.where(np.isfinite(t), c, 0) for c, t in zip(cts, ts, strict=True)]
    pulls = evaluate(pulled(function, tuple(wrt)), *given, *cts)
    for i, p in zip(wrt, pulls, strict=True):
        assert p.shape == given[i].shape, f"{case}: a cotangent {p.shape} for {given[i].shape}"
    left = sum(float(np.sum(c * np.nan_to_num(t))) for c, t in zip(cts, ts, strict=True))
    right = sum(float(np.sum(p * d)) for p, d in zip(pulls, dots, strict=True))
    size = sum(float(np.sum(np.abs(p * d))) for p, d in zip(pulls, dots, strict=True))
    few = any(t.dtype != np.float64 for t in ts)
    off = (1e-5 if few else 1e-9) * max(1.0, size)
    assert abs(left - right) <= off, f"{case}: VJP: {right} for {left}"


def second_order(
    case: Case, function: Function, given: list[Any], wrt: list[int], rng: Rng
) -> None:
    """The derivative of the reverse-mode function, by forward mode and by differences."""
    seeds = [rng.uniform(-1, 1, v.shape) for v in function.outs if v.aval.kind in "f"]
    if any(v.aval.dtype not in ("f64", "i64", "bool") for v in function.outs):
        return
    back = pulled(function, tuple(wrt))
    whole = [*given, *seeds]
    if any(not np.isfinite(x).all() for x in evaluate(back, *whole)):
        return
    dots = [rng.uniform(-1, 1, given[i].shape) for i in wrt]
    tangents = pushed(back, wrt, whole, dots)
    if not any(np.any(t) for t in tangents):
        TALLY["linear"] += 1
        return

    def f(*moved: np.ndarray) -> list[np.ndarray]:
        args = list(whole)
        for i, x in zip(wrt, moved, strict=True):
            args[i] = x
        return evaluate(back, *args)

    compare(case, back, whole, wrt, dots, tangents, f)
    TALLY["second derivatives"] += 1

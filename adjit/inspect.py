"""What a compiled function shows of itself: its program at each stage, its kernels, a report."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .ir.core import Function
from .ir.printer import show
from .ir.sizes import show_bytes
from .passes.schedule import schedule
from .tracer.paths import CODE
from .tracer.rolling.segments import Note
from .tracer.tree import flatten
from .ways import ONE_PROGRAM, parting

if TYPE_CHECKING:
    from .compiled import CompiledFunction
    from .variant import Variant

STAGES = ("traced", "adjoint", "simplified", "fused")


class Text(str):
    """A text that shows itself as it is, in a notebook too."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(self)}</pre>"


class Listing(Text):
    """A program at one stage: its text, and the function or schedule itself as `program`."""

    program: Any

    def __new__(cls, text: str, program: Any) -> Listing:
        made = super().__new__(cls, text)
        made.program = program
        return made


class Report(Text):
    """What `explain` answers."""


def listing(variant: Variant, stage: str) -> Listing:
    """The program of a variant at one stage."""
    if stage not in STAGES:
        raise ValueError(f"stage {stage!r} is none of {', '.join(STAGES)}")
    if stage == "fused":
        plan = schedule(variant.simplified, (), variant.staged.strict)
        return Listing(str(plan), plan)
    function = {
        "traced": lambda: variant.staged.traced,
        "adjoint": lambda: variant.staged.function,
        "simplified": lambda: variant.simplified,
    }[stage]()
    return Listing(show(function), function)


def source(variant: Variant) -> Text:
    """The source of a variant's kernels, each under its path, and of the Python before them."""
    kernels = getattr(variant.program, "sources", [])
    parts = [f"# {path}\n{text}" for path, text in kernels]
    return Text("\n\n".join([*parts, f"# what a call runs first\n{variant.wrapper.source}"]))


def samples(call: Any) -> Any:
    """A call in which what only has a shape and a dtype is an array of zeros; and if none was."""
    args, kwargs = call
    given = tuple(map(_sample, args)), {k: _sample(v) for k, v in kwargs.items()}
    before, after = flatten((args, kwargs))[0], flatten(given)[0]
    return *given, len(before) == len(after) and all(map(operator.is_, before, after))


def _sample(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        return x
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return np.zeros(x.shape, x.dtype)
    if type(x) in (list, tuple):
        return type(x)(map(_sample, x))
    if type(x) is dict:
        return {k: _sample(v) for k, v in x.items()}
    return x


# ------------------------------------------------------------------ reports


def title(f: CompiledFunction) -> str:
    """One line: what is compiled, where it stands, how many variants there are."""
    n = len(f.variants())
    return f"<{f._transform.verb} of {name_of(f)}{_place(f)}, {count(n, 'variant')}>"


def name_of(f: CompiledFunction) -> str:
    """The name of the function that is compiled."""
    return getattr(f, "__qualname__", None) or type(f._fn).__name__


def _place(f: Any) -> str:
    while hasattr(f, "__wrapped__"):
        f = f.__wrapped__
    code = getattr(f, "__code__", None)
    if code is None:
        return ""
    return f" at {code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno}"


def count(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def explain(f: CompiledFunction, variants: Sequence[Variant]) -> Report:
    """The report on some variants of a compiled function."""
    lines = [title(f)]
    if not variants:
        lines.append("  not called yet: nothing is traced")
    lines += _untold(f)
    for k, variant in enumerate(variants):
        lines += ["", f"variant {k}", *(f"  {line}" for line in _about(variant))]
    return Report("\n".join(lines))


def _untold(f: CompiledFunction) -> Iterable[str]:
    """What became of the calls whose ways have no program."""
    for (signature, _), ways in list(f._ways.items()):
        if ways.interpreted:
            made = [v for v in f.variants() if v.signature == signature]
            yield (
                f"  interpreted {count(ways.interpreted, 'call')}, which went "
                f"{count(ways.count, 'way')} that {'has' if ways.count == 1 else 'have'} no "
                "program: one is compiled when it comes again"
            )
            yield f"  they part   mostly at {parting(made)}"
            yield f"              {ONE_PROGRAM}"


def _about(v: Variant) -> Iterable[str]:
    staged = v.staged
    yield f"signature   {v.signature.describe(staged.names) or 'no arguments'}"
    yield f"traced for  {v.why}"
    yield from _layouts(v)
    for c in staged.captures:
        how = "read at every call" if c.live else "kept from the trace"
        yield f"capture     {c.path}: {_aval(c.value)}, {how}"
    for g in staged.guards:
        if g.fact is None or g.fact[0].steps != CODE:  # of that there is one for every function
            yield f"guard       {g.describe()}"
    yield from map(_loop, staged.trace.loops)
    for line in v.decisions.describe():
        yield f"decided by  {line}"
    if v.decisions:
        yield f"answered    {count(v.decisions.calls, 'call')}"
    for z in staged.zeros:
        yield f"zero        the gradient by {z.path}{f', cut at {z.where}' if z.where else ''}"
    adjoint = "" if staged.function is staged.traced else f", {_size(staged.function)} with adjoint"
    simple = f", {_size(v.simplified)} simplified" if v._simplified is not None else ""
    yield f"program     {_size(staged.traced)} traced{adjoint}{simple}"
    yield from _kernels(v)
    if (m := v.memory) is not None:
        yield (
            f"memory      results {show_bytes(m.results)}, scratch {show_bytes(m.scratch)}, "
            f"peak {show_bytes(m.peak)}"
        )
    spent = ", ".join(f"{k} {1e3 * s:.1f}" for k, s in v.seconds.items() if s >= 5e-5)
    yield f"time (ms)   {spent}"


def _layouts(v: Variant) -> Iterable[str]:
    """How the program reads arrays that are not in C order."""
    if v._simplified is None or v.options.interpret:
        return
    for name, spec, lie in zip(v.staged.names, v.signature.specs, v.lies, strict=False):
        if spec.kind == "array" and spec.layout != "C":
            how = "copied into C order at every call" if lie is None else "read where it lies"
            yield f"layout      {name} is {how}"


def _loop(note: Note) -> str:
    """What became of a loop of the user's."""
    at = f"{note.file.rsplit('/', 1)[-1]}" + (f":{note.line}" if note.line else "")
    rounds = count(note.rounds, "round")
    if note.reason:
        return f"unrolled    the loop at {at}, {rounds}: {note.reason}"
    most = "as many rounds as it takes; it has had up to " if note.open else ""
    ways = ", with the conditions in them" if note.ways else ""
    return f"loop        at {at}, {most}{rounds}{ways}"


def _kernels(v: Variant) -> Iterable[str]:
    if v._program is None and v._job is not None:
        error = v._job.error
        how = "being compiled" if error is None else f"none: {type(error).__name__}: {error}"
        yield f"kernels     {how}; the interpreter answers"
    elif v._program is None:
        yield "kernels     not compiled yet"
    elif v.options.interpret:
        yield "kernels     none: run by the interpreter"
    for k in v.kernels:
        e = k.executable
        how = "from the store" if e.cached else f"compiled ({e.rung})"
        yield f"kernel      {e.path}, {'there already' if e.known else how}"
    runs = getattr(v._program, "runs", ())
    native = sum(getattr(r, "native", None) is not None for r in runs)
    if native:
        yield f"products    {native} convolutions, by kernels of their own"
    hosts = len(runs) - len(v.kernels) - native
    if hosts > 0:
        yield f"host steps  {hosts}, run by NumPy"


def _aval(x: Any) -> str:
    aval = getattr(x, "_value", None)
    return str(aval.aval) if aval is not None else f"{x.dtype}{list(x.shape)}"


def _size(function: Function) -> str:
    return count(len(function.ops), "op")

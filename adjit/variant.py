"""One variant of a compiled function: its stages, its program and the wrapper in front of it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from math import prod
from time import perf_counter
from typing import Any

import numpy as np

from . import background
from .building import Build
from .decisions import Decisions
from .errors import MemoryBudgetExceeded
from .front import front_of
from .ir.core import Function
from .ir.interp import evaluate
from .ir.sizes import show_bytes
from .ir.types import NUMPY
from .lying import filled, moved, strangers, strides, turned
from .passes import pipeline
from .passes.lean import lean, savings
from .passes.partition import MANY, threads_for, worth_cutting
from .settings import Options
from .signature import Signature, Spec
from .staging import Staged, shapes_only
from .tracer.facts import Capture
from .tracer.trace import uncollected
from .tracer.tree import Tree, flatten
from .trials import Trial
from .wrapper import MISS, Fact, Jump, Wrapper, captured_spec, make


class Interpreted:
    """A program run by the reference interpreter, op by op."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def call(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Fresh results: a reference may answer with its argument, or a view of it."""
        outs = evaluate(self.function, *inputs)
        return [
            np.array(x, NUMPY[v.aval.dtype], order="C")
            for x, v in zip(outs, self.function.outs, strict=True)
        ]


class Variant:
    """A staged function for one signature; what comes after the trace is made on demand."""

    def __init__(
        self,
        staged: Staged,
        signature: Signature,
        options: Options,
        traced: float,
        samples: list[np.ndarray] | None = None,
        why: str = "the first call",
        varying: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self.staged = staged
        self.signature = signature
        self.options = options
        self.why = why
        self.seconds: dict[str, float] = {"trace": traced}
        self._lock = threading.RLock()
        self._simplified: Function | None = None
        self._program: Any = None
        self._wrapper: Wrapper | None = None
        self._exact: Wrapper | None = None
        self._front: Any = MISS
        self._into: dict[Tree, list[Any]] = {}  # fronts by the structure of `out`
        self._exact_lock = threading.Lock()
        self._job: background.Job | None = None
        self._told = False
        self.again: Callable[[Callable[[Function], Function]], Staged] | None = None
        self._refused: MemoryBudgetExceeded | None = None
        self.decisions = Decisions(staged.function)
        self.trial = Trial(staged.trace)
        self.captured = tuple([captured_spec(c.value) for c in staged.captures])
        live = zip(self.captured, staged.captures, strict=True)
        specs = (*signature.specs, *(spec if c.live else _HELD for spec, c in live))
        self.lies = tuple([None if options.interpret else spec.lie for spec in specs])
        self.shapes = [v.shape for v in staged.function.params]
        self.samples = samples
        self._varying = varying

    def follows(self, args: Any, kwargs: Any) -> bool:
        """Whether the values of a call lead along the path that was traced."""
        if not self.decisions:
            return True
        return not shapes_only.get() and self.decisions.hold(sampled(args, kwargs, self.staged))

    @property
    def cold(self) -> bool:
        """Whether no call ran it yet: then its decisions are asked before it is compiled."""
        return self._wrapper is None and self._exact is None and bool(self.decisions)

    def holds(self) -> bool:
        """Whether what the trace relied on is still so."""
        return not self.broken()

    def broken(self) -> list[str]:
        """The facts that the trace relied on and that are so no more."""
        guards = [g.describe() for g in self.staged.guards if not g.check()]
        pairs = zip(self.staged.captures, self.captured, strict=True)
        changed = [c.path for c, then in pairs if c.live and not _fits(c, then)]
        return guards + [f"dtype and shape of {path}" for path in changed]

    @property
    def simplified(self) -> Function:
        """The function after the passes."""
        with self._lock:
            if self._simplified is None:
                start = perf_counter()
                function = self._through_passes(self.staged.function)
                if others := strangers(function, self.lies, self.shapes):
                    kept = [None if k in others else lie for k, lie in enumerate(self.lies)]
                    self.lies = tuple(kept)
                    function = self._through_passes(self.staged.function)
                self._simplified = function
                self.seconds["passes"] = perf_counter() - start
            return self._simplified

    @property
    def varying(self) -> frozenset[tuple[int, int]]:
        """The axes (leaf, axis) of the program's parameters that other calls have otherwise."""
        return moved(self._varying, self.lies)

    @uncollected()
    def _through_passes(self, function: Function) -> Function:
        passes = pipeline.joint(self.staged.strict)
        if self.options.interpret:  # which knows complex numbers, and NumPy's own rounding
            passes = [p for p in passes if p.name not in ("planes", "factorings")]
        samples = None if self.samples is None else filled(self.samples, self.lies)
        function = turned(function, self.lies)
        return pipeline.run(function, passes, check=self.options.check, samples=samples)

    @property
    def program(self) -> Any:
        """What runs: compiled kernels, or the interpreter."""
        with self._lock:
            if self._program is None:
                self._program = self._build()
            return self._program

    @uncollected()
    def _build(self) -> Any:
        function = self.simplified
        if self.options.interpret:
            return Interpreted(function)
        if self._refused is not None:
            raise self._refused
        build = Build(function, self.options, self.varying, self.staged.strict)
        build = self._copying(build) or build
        program = build.program()
        self.seconds |= program.seconds
        return self._within_budget(build, program)

    def _copying(self, build: Build) -> Build | None:
        """The same of arrays in C order, where these are copied so that rows can be cut.

        That pays for a budget, for much scratch memory, and for threads that have enough to do.
        """
        options, before = self.options, self.lies
        kept = [None if lie is not None and lie.turned else lie for lie in before]
        if kept == list(before):
            return None
        small = options.memory_budget is not None or build.large
        if not small and (options.threads == 1 or not worth_cutting(build.function)):
            return None
        if build.rows is not None and build.rows.extent >= MANY:
            return None
        self.lies = tuple(kept)
        function = self._through_passes(self.staged.function)
        other = Build(function, options, self.varying, self.staged.strict)
        if other.rows is not None and not strangers(function, self.lies, self.shapes):
            gain = (1 - 1 / threads_for(other.rows, options.threads)) * other.rows.work
            pairs = zip(before, kept, strict=True)
            copied = sum(prod(a.room) for a, b in pairs if a is not None and b is None)
            if small or gain > _COPY * copied:
                self._simplified = function
                return other
        self.lies = before
        return None

    def _within_budget(self, build: Build, program: Any) -> Any:
        """The program, in as many parts as it takes to keep within the memory budget."""
        budget = self.options.memory_budget
        if budget is None:
            return program
        from .codegen.footprint import footprint

        least = footprint(program)
        for other in _smaller(build, program):
            if least.peak <= int(budget):
                break
            found = footprint(other)
            if found.peak < least.peak:
                program, least = other, found
        if least.peak > int(budget):
            program, least = self._leaner(program, least, int(budget))
        self.again = None  # the arguments are let go
        if least.peak > int(budget):
            self._refused = MemoryBudgetExceeded(
                f"{self.staged.traced.name} takes {show_bytes(least.peak)} besides its arguments "
                f"({show_bytes(least.results)} of results), part by part and computing again what "
                f"it can; the budget is {show_bytes(int(budget))}\n"
                f"  options(memory_budget={least.peak}) is enough; or pass fewer rows per call."
            )
            raise self._refused
        return program

    def _leaner(self, program: Any, least: Any, budget: int) -> tuple[Any, Any]:
        """A program that computes again what it need not keep, if it keeps within the budget.

        Else the program as it was; the footprint is the least that was found.
        """
        from .codegen.footprint import footprint, planned

        assert self.again is not None
        for saving in savings(self.staged.trace.function):
            staged = self.again(functools.partial(lean, saving=saving))
            function = self._through_passes(staged.function)
            if strangers(function, self.lies, self.shapes):
                continue
            build = Build(function, self.options, self.varying, self.staged.strict)
            found = planned(build.plan)
            if found.peak <= budget:
                self._simplified = function
                program = build.whole()
                return program, footprint(program)
            least = found if found.peak < least.peak else least
        return program, least

    @property
    def memory(self) -> Any:
        """The footprint of the compiled program; None before that and for the interpreter."""
        if self._program is None or not hasattr(self._program, "kernels"):
            return None
        from .codegen.footprint import footprint

        return footprint(self._program)

    @property
    def kernels(self) -> list[Any]:
        """The kernels compiled so far."""
        return list(getattr(self._program, "kernels", ()))

    @property
    def wrapper(self) -> Wrapper:
        """The generated Python in front of the program."""
        if self._wrapper is None:
            with self._lock:
                if self._wrapper is None:
                    self._wrapper = self._wrap(self.program)
        return self._wrapper

    @property
    def ready(self) -> bool:
        """Whether a call need not wait: the program is made, or made in the background."""
        if self._wrapper is not None:
            return True
        options = self.options
        if options.compile != "background" or options.interpret:
            return True
        if options.memory_budget is not None:  # the interpreter takes what memory it likes
            return True
        with self._exact_lock:
            job = self._job
            if job is None:
                job = self._job = background.submit(self._finish, self._forked)
        return job.done() and job.error is None

    def _finish(self) -> None:
        _ = self.wrapper, self.front

    def _forked(self) -> None:
        """In a child process, where nobody is at work on this and the worker's lock stays shut."""
        self._lock, self._exact_lock, self._job = threading.RLock(), threading.Lock(), None

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the worker, if it is at work on this; a failed compilation raises."""
        if self._job is not None:
            self._job.result(timeout)

    @property
    def failure(self) -> BaseException | None:
        """Why the worker could not compile the program, told once."""
        job = self._job
        if job is None or not job.done() or self._told:
            return None
        self._told = True
        return job.error

    @property
    def front(self) -> Any:
        """The compiled front of the program, or None where calls have to go through Python."""
        with self._lock:
            if getattr(self.program, "chosen", self) is None:
                return None  # a call is to decide first
            if self._front is MISS:
                self._front = self._front_of(None)
            return self._front

    def _front_of(self, form: Tree | None, late: bool = False) -> Any:
        jump = jump_of(self.program)
        made = front_of(self.staged, self.signature, jump, self.lies, form, late)
        if made is not None and self.decisions:
            from .codegen import front

            self.decisions.count_also(made, front.calls, front.left)
        return made

    def write_into(self, form: Tree) -> bool:
        """Make fronts for calls whose `out` has this structure; whether there are new ones."""
        with self._lock:
            if form in self._into or len(self._into) >= _FORMS:
                return False
            made = [self._front_of(form, late) for late in (False, True)]
            self._into[form] = [table for table in made if table is not None]
            return bool(self._into[form])

    def knows(self, form: Tree) -> bool:
        """Whether it was asked for a front for such an `out`."""
        return form in self._into

    @property
    def fronts(self) -> list[Any]:
        """The compiled fronts that there are."""
        into = [table for tables in self._into.values() for table in tables]
        return [self.front, *into] if self.front is not None else into

    @property
    def exact(self) -> Wrapper:
        """The same around the interpreter, whose decisions are those of the trace to the last bit.

        Compiled sums add up in another order: where a value lies on the very edge of a decision,
        a kernel may decide otherwise than NumPy does.
        """
        with self._exact_lock:  # not the lock that is held while a program is compiled
            if self._exact is None:
                self._exact = self._wrap(Interpreted(self.staged.function), as_is=True)
            return self._exact

    def _wrap(self, program: Any, as_is: bool = False) -> Wrapper:
        avals = [v.aval for v in self.staged.function.outs]
        out_avals = [(NUMPY[a.dtype], a.shape) for a in avals]
        jump = jump_of(program)
        lies = (None,) * len(self.lies) if as_is else self.lies
        return make(
            self.staged, self.signature, out_avals, program.call, jump, self.decisions, lies
        )


def reason(here: Signature, made: Sequence[Variant], same: Sequence[Variant]) -> str:
    """Why a call needs a new variant: `made` are all others, `same` those of its signature."""
    if same and (broken := same[0].broken()):
        return f"no longer so: {', '.join(broken)}"
    if same:
        return f"another path: {same[0].decisions.last or 'other values'}"
    if not made:
        return "the first call"
    last = made[-1]
    if last.signature == here:
        return "other options"
    if last.signature.tree != here.tree:
        return "another structure of the arguments"
    names = last.staged.names
    pairs = zip(names, last.signature.specs, here.specs, strict=True)
    return ", ".join(f"{name} was {then}, is {now}" for name, then, now in pairs if then != now)


_HELD = Spec("array", np.ndarray, np.dtype(float))  # one that is no input: in C order
_COPY = 0.4  # what it takes to copy an element into another order, in the units of a cut's work
_FORMS = 8  # structures of `out` that one variant knows
_MOST_PARTS = 256


def _smaller(build: Build, program: Any) -> Iterator[Any]:
    """Forms of a program that may take less memory, the faster ones first."""
    from .codegen.parallel import ParallelProgram

    if isinstance(program, ParallelProgram):  # what is cut keeps what lies between its stages
        yield build.whole()
    parts = 2
    while parts <= _MOST_PARTS:
        smaller = build.cut(parts)
        if smaller is None:
            return
        yield smaller
        if smaller.threads > 1:
            yield smaller.alone()
        parts *= 2


_SEEN = 3  # extents of one axis from which on it is taken to vary


def varying(here: Signature, made: Sequence[Variant]) -> frozenset[tuple[int, int]]:
    """The axes (leaf, axis) that had other extents in calls of the same structure.

    Small extents are literals in kernels, which is fast.  An axis that keeps changing is not worth
    a kernel for each of them.
    """
    seen: dict[tuple[int, int], set[int]] = {}
    for specs in [here.specs, *(v.signature.specs for v in made if v.signature.tree == here.tree)]:
        alike = zip(specs, here.specs, strict=True)
        if all(s.dtype == t.dtype and len(s.shape) == len(t.shape) for s, t in alike):
            for k, s in enumerate(specs):
                for axis, n in enumerate(s.shape):
                    seen.setdefault((k, axis), set()).add(n)
    return frozenset(place for place, extents in seen.items() if len(extents) >= _SEEN)


def sampled(args: Any, kwargs: Any, staged: Staged) -> list[np.ndarray]:
    """The inputs of a staged function in this call, for passes that are checked by running them."""
    captured = [c.read() for c in staged.captures]
    return [np.array(x) for x in (*flatten((args, kwargs))[0], *captured)]


def jump_of(program: Any) -> Jump | None:
    """How to call a program that is one kernel without its `call`; None for any other."""
    program = getattr(program, "chosen", program)
    runs: list[Any] = list(getattr(program, "runs", ()))
    if len(runs) != 1 or not hasattr(runs[0], "kernel") or not hasattr(program, "schedule"):
        return None
    run, schedule = runs[0], program.schedule
    step, kernel, work = run.step, run.kernel, run.workspace
    if step.writes != schedule.outs:
        return None  # a result that no kernel can write
    from .codegen import memory
    from .codegen.program import make_call

    def build(facts: Sequence[Fact]) -> Callable[..., Any]:
        return make_call(kernel, run.executable, argument_specs(facts))

    params = {v: k for k, v in enumerate(schedule.params)}
    return Jump(
        make=build,
        inputs=tuple(params[step.reads[k]] for k in kernel.inputs),
        outputs=tuple(range(len(schedule.outs))),
        workspaces=len(work.avals),
        free=work.free,
        fresh=work.take,
        large=memory.LARGE,
        borrow=memory.empty,
        failed=run.failure,
        missed=kernel.missed,
        out_avals=tuple((NUMPY[v.dtype], tuple(map(int, v.shape))) for v in schedule.outs),
        launch=run.launch,
    )


def argument_specs(facts: Sequence[Fact]) -> list[Any]:
    """What the compiled entry checks of each argument."""
    from .codegen import entry

    def spec(fact: Fact) -> Any:
        if fact.kind == "array":
            return entry.array(fact.dtype, fact.shape, strides(fact.dtype, fact.shape, fact.lie))
        if fact.kind == "ours":
            return entry.unchecked()
        return entry.integer(int) if fact.type is int else entry.scalar(fact.type)

    return list(map(spec, facts))


def _fits(capture: Capture, then: Spec) -> bool:
    """Whether a captured array is still what the wrapper takes."""
    try:
        now = capture.read()
    except LookupError:
        return False
    if type(now) not in (np.ndarray, np.memmap):
        return False
    spec = captured_spec(now)
    if (spec.dtype, spec.shape) != (then.dtype, then.shape):
        return False
    if then.layout in ("any", "odd"):  # which are copied
        return then.layout == "odd" or spec.layout != "odd"
    return (spec.layout, spec.lie) == (then.layout, then.lie)

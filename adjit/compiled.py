"""The compiled function: a Python function, what is done to it, and its variants per signature."""

from __future__ import annotations

import functools
import pickle
import sys
import threading
import types
import warnings
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from . import inspect as views
from . import outs, settings
from .errors import (
    AdjitError,
    CompilationFailed,
    ManyVariants,
    NotDifferentiable,
    StateWritten,
    TracedBranch,
    ZeroGradient,
)
from .fixing import Call, fix, to_fix
from .ir.core import Function
from .ir.interp import GuardMiss
from .ir.ops.custom import NoRule
from .ir.ops.show import muted
from .ir.prim import NoDerivative
from .settings import Options, changed
from .signature import Signature, signature
from .staging import Jit, Staged, Traced, Transform, again, brief, once, open_traces, shapes_only
from .tracer.record import is_tracing
from .tracer.trace import captured, inline, uncollected
from .tracer.tree import Tree, flatten
from .trials import same_text, trips
from .unrolling import exactly
from .variant import Variant, reason, sampled, varying
from .vectorcall import vectorcalled
from .ways import ONE_PROGRAM, Ways, answer, parting
from .wrapper import MISS

_MANY = 16  # variants of one signature: the oldest goes, or, where paths differ, the user is told
_MAX_PATHS = 256
_MAX_SIGNATURES = 1024  # a function that meets ever new shapes forgets the oldest
_CHAIN = 4  # wrappers that a call tries before it looks its signature up


class CacheInfo(NamedTuple):
    """What a compiled function holds: variants, how many traces it took, and kernels.

    Variants may share kernels, which count once; `stored` are those found on disk.  `interpreted`
    are calls that went a way of their own, which is not kept until it comes again.
    """

    variants: int
    traces: int
    kernels: int
    stored: int
    seconds: float
    interpreted: int = 0


@vectorcalled
class CompiledFunction:
    """A function that is traced once per signature and then runs as machine code."""

    _place: int  # see vectorcall.py

    def __init__(self, fn: Callable[..., Any], transform: Transform) -> None:
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._transform = transform
        self._lock = threading.RLock()
        self._variants: dict[tuple[Signature, Options], tuple[Variant, ...]] = {}
        self._ways: dict[tuple[Signature, Options], Ways] = {}
        self._traces = 0
        self._exact = False  # whether traced conditions do not say how many rounds a loop has
        self._grown = False  # whether the user was told of the many variants
        self._told = False  # whether the user was told that the function changes state
        self._fixes: dict[Tree, frozenset[int]] = {}  # by the structure of a call: its leaves
        # The wrappers of the variants used last under the default options, the very last first.
        self._calls: tuple[Callable[..., Any], ...] = ()
        self._recent: tuple[Variant, ...] = ()
        self._scoped: dict[Options, tuple[Callable[..., Any], ...]] = {}  # in `options` blocks
        self._recent_scoped: dict[Options, tuple[Variant, ...]] = {}
        self._front: Any = None
        self._out_is_ours: bool | None = None
        settings.followers.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs and self._takes_out():
            return self._into(kwargs.pop("out"), args, kwargs)
        if not open_traces:
            here = settings.scoped.get() if changed else None
            calls = self._calls if here is None else self._scoped.get(here, ())
            for call in calls:
                result = call(args, kwargs)
                if result is not MISS:
                    if here is not None:
                        self._show_again(here)
                    elif call is not calls[0]:
                        self._promote(call, calls)
                    return result
        return self._slow(args, kwargs)

    def _takes_out(self) -> bool:
        """Whether `out=` is ours, not an argument of the Python function."""
        if self._out_is_ours is None:
            self._out_is_ours = outs.is_ours(self._fn, self._transform)
        return self._out_is_ours

    def _into(self, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The answer in the caller's arrays; a compiled front may do that next time."""
        result = self(*args, **kwargs)
        if out is None:
            return result
        filled = outs.fill(views.name_of(self), result, out)
        if is_tracing() or self._front is None:
            return filled
        scope, form = settings.scoped.get(), outs.fits(out)
        recent = self._recent if scope is None else self._recent_scoped.get(scope, ())
        if form is None or all(v.knows(form) for v in recent):
            return filled
        here = signature(*self._fixed(args, kwargs))[1]
        with self._lock:
            made = [v.write_into(form) for v in recent if v.signature == here]
            if any(made):
                self._show(scope)
        return filled

    # -------------------------------------------------------------- the slow way

    def _slow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_tracing():
            return self._inlined(args, kwargs)
        now = settings.current()
        if now.debug:
            return self._debugged(args, kwargs)
        leaves, here = signature(*self._fixed(args, kwargs))
        tried: list[Variant] = []
        for variant in self._variants.get((here, now), ()):
            fits = not variant.cold or (
                variant.holds() and variant.follows(*self._fixed(args, kwargs))
            )
            result = self._run(variant, leaves) if fits else MISS
            if result is not MISS:
                if not variant.trial.settled and not self._believed(variant, args, kwargs):
                    return self._slow(args, kwargs)
                self._remember(variant)
                if tried and variant.decisions:
                    self._first(variant, (here, now))
                return result
            tried.append(variant)
        if tried and self._ways_of((here, now)).fleeting(tried, now):
            result = self._once(args, kwargs, (here, now), len(tried))
            if result is not MISS:
                return result
        variant = self._made(args, kwargs)
        leaves, _ = signature(*self._fixed(args, kwargs))
        if variant in tried and variant.decisions and not trips(variant.staged.trace):
            result = MISS
        else:
            result = self._run(variant, leaves, checked=False)
        if result is MISS and variant.decisions:
            result = variant.exact.run(*leaves, checked=False)
        if result is MISS:
            raise RuntimeError(
                f"{self!r}: a new variant does not accept the call it was made for\n"
                f"{variant.wrapper.source}"
            )
        self._remember(variant)
        return result

    def _ways_of(self, key: tuple[Signature, Options]) -> Ways:
        with self._lock:
            return self._ways.setdefault(key, Ways())

    def _once(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        key: tuple[Signature, Options],
        made: int,
    ) -> Any:
        """What the interpreter answers to a call whose way is not kept; MISS where it should be."""
        try:
            with self._lock, once():
                call = self._fixed(args, kwargs)
                staged = self._stage(*call)
                if self._ways_of(key).worth(staged, made):
                    return MISS
                self._warn_of_growth(key)
            return answer(staged, signature(*call)[0])
        except (TracedBranch, GuardMiss):
            return MISS

    def _debugged(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The answer after a call of the Python function itself, with the arrays as they are."""
        if self._transform.verb != "vmap":  # which calls it with rows
            result = self._fn(*self._transform.primals(args), **kwargs)
            if isinstance(self._transform, Jit):
                return result
        with settings.options(debug=False, interpret=True), muted():
            return self._slow(args, kwargs)

    def _run(self, variant: Variant, leaves: Sequence[Any], checked: bool = True) -> Any:
        """The answer of a variant, by the interpreter while a worker compiles it."""
        if variant.ready:
            return variant.wrapper.run(*leaves, checked=checked)
        failure = variant.failure
        if failure is not None:
            warnings.warn(
                f"{views.name_of(self)}: {type(failure).__name__} while compiling in the "
                f"background: {failure}\n  The interpreter goes on answering.",
                CompilationFailed,
                stacklevel=_depth_of_user(),
            )
        return variant.exact.run(*leaves, checked=checked)

    def _believed(self, variant: Variant, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether another trace of this call does the same; else no number of rounds is open."""
        with self._lock:
            call = self._fixed(args, kwargs)
            if variant.trial.looked_at(lambda: sampled(*call, variant.staged)):
                return True
            try:
                other = self._transform.stage(self._fn, *call)
                if variant.trial.agrees(variant.staged, other, lambda s: sampled(*call, s)):
                    return True
            except TracedBranch:  # an integer that decides in this call alone
                pass
            self._exact = True
            self._variants = {
                key: tuple(v for v in made if not trips(v.staged.trace))
                for key, made in self._variants.items()
            }
            self._forget()
            return False

    def _fixed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The call, with the integers fixed that are known to decide the program."""
        if not self._fixes:
            return args, kwargs
        primals = self._transform.primals(args)
        which = self._fixes.get(flatten((primals, kwargs))[1], frozenset())
        fixed, kwargs = fix(primals, kwargs, which)
        return self._transform.with_primals(args, fixed), kwargs

    def _made(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Variant:
        """The variant of a call, and its program unless that is made in the background."""
        with uncollected():  # once around all, for at its end what was made is looked through
            variant = self._variant(args, kwargs)
            if variant.ready:
                _ = variant.wrapper
        return variant

    def _variant(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Variant:
        """The variant of a call, made if need be."""
        now, fixes = settings.current(), self._fixes
        first: Exception | None = None
        while True:
            call = self._fixed(args, kwargs)
            try:
                return self._new(*call, signature(*call)[1], now)
            except (TracedBranch, TypeError, AttributeError) as error:
                if isinstance(error, AdjitError) and not isinstance(error, TracedBranch):
                    raise
                primals = self._transform.primals(args)
                tree = flatten((primals, kwargs))[1]
                known = self._fixes.get(tree, frozenset())
                more = to_fix(error, primals, kwargs, known)
                if not more and first is not None:
                    self._fixes = fixes
                    raise first from None
                if not more:
                    raise
                if not isinstance(error, TracedBranch):  # of code that asks for Python's own int
                    first = first or error
                self._fixes = {**self._fixes, tree: known | more}

    def _new(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], here: Signature, now: Options
    ) -> Variant:
        with self._lock:
            seen = self._variants.get((here, now), ())
            for variant in seen:  # another thread may have made it meanwhile
                if variant.holds() and variant.follows(args, kwargs):
                    return variant
            start = perf_counter()
            staged = self._stage(args, kwargs)
            spent = perf_counter() - start
            if trips(staged.trace):  # there may be a program for fewer rounds: its limit has grown
                for variant in seen:
                    if same_text(variant.staged, staged) and variant.holds():
                        return variant
            samples = sampled(args, kwargs, staged) if now.check else None
            made = self.variants()
            why = reason(here, made, seen)
            variant = Variant(staged, here, now, spent, samples, why, varying(here, made))
            if now.memory_budget is not None and not now.interpret:
                variant.again = functools.partial(self._stage_again, staged.trace, args, kwargs)
            while len(self._variants) >= _MAX_SIGNATURES:
                oldest = next(iter(self._variants))
                del self._variants[oldest]
                self._ways.pop(oldest, None)
            most = _MAX_PATHS if variant.decisions else _MANY
            self._variants[here, now] = (variant, *seen[: most - 1])
            self._warn_of_growth((here, now))
            return variant

    def _warn_of_growth(self, key: tuple[Signature, Options]) -> None:
        """Say once that a function is traced again and again, and where its paths part."""
        made = self._variants.get(key, ())
        programs = sum(bool(v.decisions) for v in made)
        ways = programs + (self._ways[key].count if key in self._ways else 0)
        if self._grown or ways <= _MANY:
            return
        self._grown = True
        warnings.warn(
            f"{views.name_of(self)}: {ways} ways through it, {programs} of them with a program; "
            f"most of them part at {parting(made)}\n"
            "  A new way is traced and interpreted, and has a program when it comes again.\n"
            f"  {ONE_PROGRAM}",
            ManyVariants,
            stacklevel=_depth_of_user(),
        )

    def _stage(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Staged:
        try:
            with exactly(self._exact), uncollected():
                staged = self._transform.stage(self._fn, args, kwargs)
        except (NoRule, NoDerivative) as error:
            raise NotDifferentiable(str(error)) from None
        self._traces += not brief.get()
        _warn_of_zeros(staged)
        if staged.trace.written and not self._told:
            self._told = True
            warnings.warn(
                f"{views.name_of(self)} changes {', '.join(staged.trace.written)}: compiled calls "
                "do not run Python, so it stays as the first call left it\n"
                "  No result depends on it. To go on counting or collecting, do it in the caller.",
                StateWritten,
                stacklevel=_depth_of_user(),
            )
        return staged

    def _stage_again(
        self, trace: Traced, args: Any, kwargs: Any, change: Callable[[Function], Function]
    ) -> Staged:
        """The same call staged with another form of the function that was traced."""
        token = again.set((trace, change))
        try:
            return self._transform.stage(self._fn, args, kwargs)
        finally:
            again.reset(token)

    def _remember(self, variant: Variant) -> None:
        if not variant.ready or not variant.trial.settled:
            return
        scope = settings.scoped.get()
        with self._lock:
            if scope is None:
                self._calls = _foremost(variant.wrapper.call, self._calls)
                self._recent = _foremost(variant, self._recent)
            else:
                if len(self._scoped) >= _MANY and scope not in self._scoped:
                    self._scoped, self._recent_scoped = {}, {}
                self._scoped[scope] = _foremost(variant.wrapper.call, self._scoped.get(scope, ()))
                recent = _foremost(variant, self._recent_scoped.get(scope, ()))
                self._recent_scoped[scope] = recent
            self._show(scope)

    def _show(self, scope: Options | None) -> None:
        """Let compiled fronts answer for the variants used last, as far as they can."""
        recent = self._recent if scope is None else self._recent_scoped.get(scope, ())
        tables = [table for v in recent for table in v.fronts]
        if self._front is None:
            if not tables or not self._place:
                return
            from .codegen.front import Front

            self._front = Front(self, self._place, open_traces, changed, settings.scoped)
        self._front.show(tables, scope)

    def _show_again(self, scope: Options) -> None:
        """Put the fronts of a block back, where those of later ones took their room."""
        with self._lock:
            known = self._front is None or self._front.knows(scope)
            if not known and scope in self._recent_scoped:
                self._show(scope)

    def _promote(self, call: Callable[..., Any], calls: tuple[Callable[..., Any], ...]) -> None:
        """Try this wrapper first from now on, if these are still the ones to try."""
        with self._lock:
            if self._calls is calls:
                self._calls = (call, *(c for c in calls if c is not call))

    def _first(self, variant: Variant, key: tuple[Signature, Options]) -> None:
        """Try this variant first from now on, among those of its signature."""
        with self._lock:
            made = self._variants.get(key, ())
            if variant in made:
                self._variants[key] = (variant, *(v for v in made if v is not variant))

    def settings_changed(self) -> None:
        """Look the next call's variant up anew."""
        self._forget()

    def _inlined(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Inside another trace: this function's ops become ops of that trace."""
        if isinstance(self._transform, Jit):
            return self._fn(*args, **kwargs)
        primals = self._transform.primals(args)
        primals, kwargs = fix(primals, kwargs, None)  # what is a number here is one for good
        args = self._transform.with_primals(args, primals)
        staged = self._stage(args, kwargs)
        leaves, _ = flatten((args, kwargs))
        kinds = ["array"] * len(staged.function.outs)
        for out in staged.outs:
            if out[0] == "value":
                kinds[out[1]] = out[2]
        found = inline(staged.function, [*leaves, *captured(staged.trace)], kinds)
        outs = (found[out[1]] if out[0] == "value" else out[1] for out in staged.outs)
        return staged.out_tree.unflatten(outs)

    # -------------------------------------------------------------- what it answers

    def compile(self, *args: Any, **kwargs: Any) -> CompiledFunction:
        """Compile for arguments like these, or anything with a shape and a dtype; no call."""
        args, kwargs, whole = views.samples((args, kwargs))
        token = shapes_only.set(not whole)
        try:
            variant = self._variant(args, kwargs)
        finally:
            shapes_only.reset(token)
        self._remember(variant)
        return self

    def wait(self, timeout: float | None = None) -> CompiledFunction:
        """Wait until what is being compiled in the background is ready (`options(compile=...)`).

        A TimeoutError after `timeout` seconds; an error of the compilation is raised here.
        """
        for variant in self.variants():
            variant.wait(timeout)
        return self

    def ir(self, *args: Any, stage: str = "traced", **kwargs: Any) -> views.Listing:
        """The program for these arguments: traced, adjoint, simplified or fused."""
        return views.listing(self._variant(args, kwargs), stage)

    def source(self, *args: Any, **kwargs: Any) -> views.Text:
        """The source of the kernels for these arguments."""
        return views.source(self._variant(args, kwargs))

    def explain(self, *args: Any, **kwargs: Any) -> views.Report:
        """A report: variants, guards, captures, and where the time went."""
        if args or kwargs:
            return views.explain(self, [self._variant(args, kwargs)])
        return views.explain(self, self.variants())

    def cache_info(self) -> CacheInfo:
        """How many variants there are, and what they cost."""
        made = self.variants()
        kernels = {k.executable.path: k.executable for v in made for k in v.kernels}
        return CacheInfo(
            len(made),
            self._traces,
            len(kernels),
            sum(e.cached for e in kernels.values()),
            sum(sum(v.seconds.values()) for v in made),
            sum(w.interpreted for w in list(self._ways.values())),
        )

    def clear(self) -> None:
        """Forget all variants: the next call traces again."""
        with self._lock:
            self._variants, self._ways = {}, {}
            self._forget()
            self._grown = self._told = False

    def _forget(self) -> None:
        with self._lock:
            self._calls, self._recent, self._scoped, self._recent_scoped = (), (), {}, {}
            if self._front is not None:
                self._front.clear()

    def variants(self) -> list[Variant]:
        """The variants made so far, in the order of their signatures."""
        return [v for group in list(self._variants.values()) for v in group]

    # -------------------------------------------------------------- as a Python object

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else types.MethodType(self, obj)

    def __repr__(self) -> str:
        return views.title(self)

    def _repr_html_(self) -> str:
        """The report, for a notebook."""
        return self.explain()._repr_html_()

    def __copy__(self) -> CompiledFunction:
        """Itself, as Python's functions are their own copies."""
        return self

    def __deepcopy__(self, memo: Any) -> CompiledFunction:
        """Itself."""
        return self

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(getattr(self, "__module__", "") or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:  # a decorated function: by reference, as Python pickles functions
            return name
        if isinstance(self._fn, types.FunctionType) and self._fn.__name__ == "<lambda>":
            raise pickle.PicklingError(f"{self!r} wraps a lambda, which cannot be pickled")
        return CompiledFunction, (self._fn, self._transform)


def _foremost(one: Any, others: tuple[Any, ...]) -> tuple[Any, ...]:
    """It before the others, which are not too many."""
    return (one, *(x for x in others if x is not one))[:_CHAIN]


def _warn_of_zeros(staged: Staged) -> None:
    for zero in staged.zeros:
        if zero.path.endswith("(a buffer)"):  # of a module: state that is no parameter
            continue
        cut = f"; the path ends at {zero.where}" if zero.where else ""
        warnings.warn(
            f"{staged.traced.name}: the result does not depend on {zero.path}, so its gradient is "
            f"zero{cut}",
            ZeroGradient,
            stacklevel=_depth_of_user(),
        )


def _depth_of_user() -> int:
    """How many frames up the user's code stands, as `warnings.warn` counts from our caller."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("adjit."):
        frame, depth = frame.f_back, depth + 1
    return depth

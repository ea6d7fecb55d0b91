"""`trace(fn, args, kwargs)` runs a Python function once on Tracers and returns its `Trace`."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, replace
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from ..ir.core import Block, Function, Value
from ..ir.records import dataclass
from ..ir.types import Aval, default_dtype
from . import mutation, surface_all
from .closing import finish
from .content import content_read
from .errors import (
    AdjitError,
    EndlessRecursion,
    TracedBranch,
    UnsupportedArgument,
    UnsupportedFunction,
    UnsupportedOp,
)
from .facts import Capture, LeafSpec, StateGuard, Trace
from .find import Finder
from .guards import content_guard, one_check
from .handed import hand_over
from .hidden import check_not_hidden
from .holdings import Change, Holdings, changes, holdings
from .intercept import Interception, interpreted
from .ledger import ledger_of
from .lent import Lending, Stands, asks_for_more, undecided
from .library import advice, compiled_call, is_compiled
from .listed import stand
from .patterns import said_by_indices
from .place import OURS, USER, Place, owner, sentence
from .printing import flush, key_of, show_values
from .python_rounds import Again, Site, until_settled
from .record import Recorder, array_aval, is_tracing, recorder, stack
from .rolling.activations import Walk
from .rolling.fold import name_values
from .rolling.limits import limit
from .rolling.match import Table
from .rolling.roll import Inputs, Rolled, roll
from .rolling.segments import Note, Policy
from .settling import Apart, Taken, settled, solidify
from .state import Reached, reach
from .surface import is_tracer, value, wrap
from .tracer import Tracer
from .tree import Tree, flatten, register_leaf
from .watch import watching

__all__ = [
    "Capture",
    "LeafSpec",
    "StateGuard",
    "Trace",
    "captured",
    "inline",
    "is_tracer",
    "is_tracing",
    "lift",
    "one_check",
    "trace",
]

_DEEP = 50  # calls of one line within each other that are no accident

register_leaf(Tracer)
surface_all.enter()


# ------------------------------------------------------------------ arguments


def leaf_spec(x: Any, path: str = "") -> LeafSpec:
    """What a trace depends on of one argument leaf."""
    kind = type(x)
    if kind is Tracer:
        return LeafSpec(x._value.aval, x._kind, x._strides, path)
    if kind in (int, float, complex):
        return LeafSpec(Aval(default_dtype(kind)), "python", None, path)
    if isinstance(x, np.generic):
        return LeafSpec(array_aval(np.asarray(x), f"argument {path}"), "scalar", None, path)
    if isinstance(x, np.ndarray):
        return LeafSpec(array_aval(x, f"argument {path}"), "array", x.strides, path)
    if isinstance(x, (int, float, complex)):  # a subclass of Python's numbers
        for base in (int, float, complex):
            if isinstance(x, base):
                return LeafSpec(Aval(default_dtype(base)), "python", None, path)
    raise UnsupportedArgument(f"argument {path} is a {kind.__name__}, which cannot be traced")


def leaf_paths(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """The name of every leaf of a call: "x", "params['w']"."""
    names = _positional(fn)
    paths: list[str] = []
    for i, a in enumerate(args):
        paths += flatten(a)[1].paths(names[i] if i < len(names) else f"args[{i}]")
    for k, a in kwargs.items():
        paths += flatten(a)[1].paths(k)
    return paths


def _positional(fn: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's positional parameters."""
    if isinstance(fn, FunctionType) and not hasattr(fn, "__wrapped__"):
        return fn.__code__.co_varnames[: fn.__code__.co_argcount]  # inspect takes 15 times longer
    try:
        found = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in found if p.kind in kinds)


def _stand_in(rec: Recorder, spec: LeafSpec) -> Tracer:
    """The Tracer that the function sees instead of an argument."""
    hint = spec.path if spec.path.isidentifier() else ""
    v = rec.param(spec.aval, hint, number=spec.kind != "array")
    if spec.kind != "array":
        return Tracer(rec, v, spec.kind)
    strides = spec.strides
    if strides is not None:
        strides = mutation.normal(spec.aval.shape, strides, spec.aval.dtype)
    why = f"it is the argument {spec.path or ''}".rstrip() + " (or a view of it)"
    return Tracer(rec, v, "array", strides, mutation.Storage(v, why))


# ------------------------------------------------------------------ results


def _out_leaf(x: Any, outs: list[Value]) -> tuple[Any, ...]:
    """One output leaf, its value appended to the results."""
    check_not_hidden(x)
    if type(x) is not Tracer and not isinstance(x, np.ndarray):
        return ("static", x)
    kind = x._kind if type(x) is Tracer else "array"
    outs.append(value(x))
    return ("value", len(outs) - 1, kind)


def check_statics(tree: Tree) -> None:
    """Refuse what is hidden among the results that are no arrays or numbers."""
    if tree.kind == "static":
        check_not_hidden(tree.data.value)
    for child in tree.children:
        check_statics(child)


def _check_function(fn: Callable[..., Any]) -> None:
    call = fn if inspect.isroutine(fn) else getattr(fn, "__call__", fn)  # noqa: B004
    for test, noun in (
        (inspect.iscoroutinefunction, "a coroutine function (async def)"),
        (inspect.isgeneratorfunction, "a generator function (it yields)"),
        (inspect.isasyncgenfunction, "an asynchronous generator"),
    ):
        if test(call):
            raise UnsupportedFunction(
                f"{getattr(fn, '__name__', fn)!r} is {noun} and cannot be traced\n"
                "  Return the values from an ordinary function."
            )


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection, which would look through all that is made, again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@uncollected()
def trace(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    sampled: bool = False,
    made_up: Sequence[Any] = (),
    rolling: Policy | None = None,
) -> Trace:
    """Run `fn` once on stand-ins of its arguments and return what it did.

    If they are `sampled`, Python may decide by their values (but not by those of the `made_up`
    leaves), and the trace has guards; else that is an error.  By the policy of `rolling`, rounds
    of Python's loops are loops in the function of the trace.
    """
    kwargs = kwargs or {}
    _check_function(fn)
    leaves, in_tree = flatten((args, kwargs))
    paths = leaf_paths(fn, args, kwargs)
    specs = tuple(leaf_spec(x, p) for x, p in zip(leaves, paths, strict=True))
    name = name or str(getattr(fn, "__name__", type(fn).__name__))
    known = {id(x) for x in (made_up if sampled else leaves)}
    samples = [None if id(x) in known else x for x in leaves]
    call = _Call(fn, name, samples, in_tree, specs, rolling)
    statics = _statics(fn, args, kwargs)
    reached = reach(fn, statics)
    if stack():  # the outermost trace looks after what changes
        return call.take(reached).guarded()
    before = holdings(reached.paths())
    found: list[Change] = []

    def ending() -> None:
        found.extend(changes(before))
        if found:
            solidify(holdings(reached.paths()))

    first = until_settled(
        lambda: call.take(reached, before, ending), call.python, before, call.lending
    )
    if not found:
        first = undecided(first, lambda: call.take(reached, before, ending), call.lending, before)
        done = first.guarded()
        if first.derived or call.lending.level:  # all content that Python may read is guarded
            return done
        read = content_read(done.captures, before, lambda: call.take(reached))
        return replace(done, guards=(*done.guards, content_guard(read))) if read else done

    def again() -> Taken:
        return call.take(reach(fn, statics))

    whole = sampled and not made_up
    return settled(
        first, found, lambda: reach(fn, statics).paths(), again, leaves if whole else None
    )


@dataclass(frozen=True)
class _Call:
    """A function, and the call of it that is traced; `samples` are None where no value is known."""

    fn: Callable[..., Any]
    name: str
    samples: Sequence[Any]
    in_tree: Tree
    specs: tuple[LeafSpec, ...]
    rolling: Policy | None
    python: set[Site] = field(default_factory=set)  # the adjit.range loops that count in Python
    lending: Lending = field(default_factory=Lending)

    def take(
        self,
        reached: Reached,
        before: Holdings | None = None,
        ending: Callable[[], None] | None = None,
    ) -> Taken:
        """Run the function once."""
        outer = stack()[0] if stack() else None
        level = self.lending.level if outer is None else outer.level
        lends = level and outer is None
        plain = functools.partial(holdings, reached.paths(), False) if lends else None
        finder = Finder(reached.roots.values(), before)
        rec = Recorder(self.name, finder.find)
        rec.bases = set(reached.cells)
        rec.guarded, rec.python, rec.level = reached.scalars, self.python, level
        asked = len(self.python)
        code = getattr(inspect.unwrap(self.fn), "__code__", None)
        start = Place(code, 0) if code is not None else None
        run, names = functools.partial(_run, self.fn), _positional(self.fn)
        if self.rolling is not None:
            rec.walk = Walk(sys._getframe())
        stands_for = stand if level else None
        changed = reached.globals.values(), reached.cells.values(), stands_for, reached.builtins
        with Interception(*changed):
            stands = Stands(plain)
            rec.owners = stands.owners if outer is None else outer.owners
            stack().append(rec)
            try:
                with rec.builder:
                    stand_ins = [_stand_in(rec, s) for s in self.specs]
                    for t, x in zip(stand_ins, self.samples, strict=True):
                        if x is not None:
                            rec.sampled(t._value, x)
                    with watching(reached.clocks):
                        result = hand_over(run, self.in_tree, stand_ins, names, start)
                    if len(self.python) != asked:  # the user's code has caught it
                        raise Again
                    out_leaves, outs_tree = flatten(result)
                    check_statics(outs_tree)
                    outs: list[Value] = []
                    out_specs = tuple(_out_leaf(x, outs) for x in out_leaves)
                    finish(rec, outs)
                    stands.end()
                    if ending is not None:
                        ending()
            finally:
                stands.end()
                stack().remove(rec)

        finder.forget()
        recorded = len(rec.builder.recipes)
        function, captures, loops = _function(rec, self.name, outs, self.rolling)
        found = Trace(
            function, self.in_tree, self.specs, captures, outs_tree, out_specs, loops=loops,
            recorded=recorded,
        )  # fmt: skip
        guards = functools.partial(_guards, rec, finder, reached, before is not None)
        return Taken(found, guards, start, rec.derived, rec.indexed, rec.seen)


def _guards(
    rec: Recorder, finder: Finder, reached: Reached, watched: bool, apart: Apart
) -> tuple[StateGuard, ...]:
    """The guards of a trace; `watched` says that who reads captured arrays is found out, too."""
    inputs = [c.value for c in rec.captures if c.live and type(c.value) is not Tracer]
    found = [*reached.guards(apart, inputs), *rec.settled_guards()]
    derived = rec.derived or (rec.of_numbers and not rec.level and not watched)
    if derived or rec.of_numbers or rec.level:
        known = rec.owners if rec.level else reached.memories(inputs)
        arrays = finder.arrays(apart, () if derived else known)
        found += [content_guard(arrays)] if arrays else []
    if derived:
        places = [c.place for c in arrays if c.place is not None]
        found += [g for place in places for g in finder.guards(place)]
    return tuple(found)


def _statics(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, Any]]:
    """Arguments that are objects, not containers of leaves: their attributes are state."""
    names = _positional(fn)
    pairs = [*zip(names, args, strict=False), *kwargs.items()]
    if isinstance(fn, functools.partial):
        return _statics(fn.func, (*fn.args, *args), {**fn.keywords, **kwargs})
    return [(n, a) for n, a in pairs if flatten(a)[1].kind == "static" and not _is_plain(a)]


def _is_plain(x: Any) -> bool:
    """Whether an object has no attributes that anyone sets."""
    if isinstance(x, type):  # the first argument of a class method
        return x.__module__ in ("builtins", "numpy")
    return isinstance(x, str | bytes | bool | None | np.dtype)


def _run(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call the user's function; errors leave with ours in front and the user's line on them."""
    try:
        return interpreted(fn)(*args, **kwargs)
    except RecursionError as error:
        raise _endless(error) or error from None
    except Exception as error:
        ours = _ours(error)
        if not asks_for_more(stack()[0].level, ours):
            flush(recorder())
        if ours is not None and ours is not error:
            raise ours from None
        if ours is None:
            name = compiled_call(error)
            if name:
                what = f"{name} cannot be traced: its compiled code wants real arrays ({error})"
                place = _passed(error)[0]
                raise UnsupportedOp(f"{what}{sentence(place)}\n  {advice(name)}") from None
            if made_of := key_of(error):
                what = f"a key is a text made of {made_of}, and would be another in every call"
                raise TracedBranch(
                    f"{what}{sentence(_passed(error)[0])}\n  Make it of int(n), which is decided: "
                    "each value is a program of its own."
                ) from None
            show_values(error)
            _note_place(error)
        raise


def _endless(error: BaseException) -> AdjitError | None:
    """The error of a function that calls itself without end, with the lines that do."""
    calls: dict[tuple[Any, int], list[Place]] = {}
    tb = error.__traceback__
    while tb is not None:
        code = tb.tb_frame.f_code
        if owner(code.co_filename) == USER:
            place = Place(code, tb.tb_lasti)
            calls.setdefault((code, place.line), []).append(place)
        tb = tb.tb_next
    again = [places for places in calls.values() if len(places) > _DEEP]
    if not again:
        return None
    lines = "".join(sentence(places[0]) for places in again[:3])
    return EndlessRecursion(
        f"{again[0][0].function} calls itself without end: {len(again[0])} times before Python's "
        f"stack was full{lines}\n"
        "  Let the recursion end by a condition that a call meets, or raise Python's limit "
        "(sys.setrecursionlimit)."
    )


def _ours(error: BaseException) -> AdjitError | None:
    """The error of ours that a foreign one hides: C code replaces what our hooks raise."""
    todo: list[Any] = [error]
    for _ in range(16):
        if not todo:
            break
        e = todo.pop(0)
        if isinstance(e, AdjitError):
            return e
        todo += [c for c in (e.__cause__, e.__context__) if c is not None]
    return None


def _passed(error: BaseException) -> tuple[Place | None, int]:
    """The last place of the user's that an error came through, and whose code raised it."""
    tb, place, last = error.__traceback__, None, USER
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if not is_compiled(file):
            last = owner(file)
            if last == USER:
                place = Place(tb.tb_frame.f_code, tb.tb_lasti)
        tb = tb.tb_next
    return place, last


def _note_place(error: BaseException) -> None:
    """Say where in the user's code an error of NumPy's kind came from."""
    place, last = _passed(error)
    if place is not None and (last == OURS or "Tracer" in str(error)):
        error.add_note(sentence(place).strip("\n"))


def _function(
    rec: Recorder, name: str, outs: Sequence[Value], rolling: Policy | None
) -> tuple[Function, tuple[Capture, ...], tuple[Note, ...]]:
    """The recorded block: arguments, then captures in the order they were met."""
    rolled = None
    if rec.walk is not None and rolling is not None:
        ledger = rec.builder.ledger
        if rec.rolled:  # adjit.range has changed what was recorded
            ledger = ledger_of(rec.builder.ops, ledger.recipes)
        made = {
            v: c.value
            for v, c in zip(rec.capture_values, rec.captures, strict=True)
            if not c.live and type(c.value) is np.ndarray
        }
        inputs = Inputs(
            functools.partial(_listed, rec), functools.partial(_limit, rec, {}), made.get
        )
        rolled = roll(ledger, outs, rec.walk, rec.puts, inputs, rolling)
    if rolled is None:
        rolled = Rolled(tuple(rec.builder.ops), tuple(outs), ())
    ops, outs, notes = rolled.ops, rolled.outs, rolled.notes
    name_values(ops)
    captures = dict(zip(rec.capture_values, rec.captures, strict=True))
    for v, c in list(captures.items()):
        if said := said_by_indices(v, c):
            del captures[v]
            ops = (*said, *ops)
    block = Block((*rec.params, *captures), ops, tuple(outs))
    return Function(name, block), tuple(captures.values()), notes


def _listed(rec: Recorder, table: Table) -> Value:
    """The hidden input of literals that differ from round to round of a loop."""
    x = table.data
    return rec.capture(Capture(lambda: x, "numbers of a loop", x, live=False), table.aval)


def _limit(
    rec: Recorder, known: dict[Any, Value], code: CodeType, place: int, rounds: int
) -> Value:
    """The hidden input that says how many rounds a loop has been seen to have."""
    found = limit(code, place, rounds)
    if found not in known:
        line = Place(code, place).line
        known[found] = rec.capture(
            Capture(found.read, f"most rounds seen of the loop at line {line}", found.read()),
            Aval("i64"),
        )
    return known[found]


# ------------------------------------------------------------------ for the face


def lift(x: Any) -> Tracer:
    """Anything array-like as a Tracer of the open trace."""
    if type(x) is Tracer and x._rec is recorder():
        return x
    kind = {int: "python", float: "python", complex: "python"}.get(type(x))
    if type(x) is Tracer:
        kind = x._kind
    elif isinstance(x, np.ndarray):
        kind = "array"
    return wrap(value(x), kind)


def inline(
    function: Function | Block, args: Iterable[Any], kinds: Sequence[str] | None = None
) -> list[Tracer]:
    """Replay a function's ops into the open trace; args are Tracers, arrays or Captures."""
    rec = recorder()
    block = function.block if isinstance(function, Function) else function
    env: dict[Value, Value] = {}
    for p, a in zip(block.params, args, strict=True):
        v = _captured(rec, a) if isinstance(a, Capture) else value(a)
        env[p] = v if v.aval.dtype == p.aval.dtype else value(v, p.aval.dtype)
    where = rec.builder.where
    for op in block.ops:
        rec.builder.where = op.where or where
        hints = tuple(v.hint for v in op.outs)
        outs = rec.builder.add(
            op.prim, [env.get(a, a) for a in op.args], op.attrs, op.blocks, hints
        )
        env.update(zip(op.outs, outs, strict=True))
    rec.builder.where = where
    found = [env.get(v, v) for v in block.outs]
    names: Sequence[str | None] = kinds or [None] * len(found)
    return [wrap(v, k) for v, k in zip(found, names, strict=True)]


def _captured(rec: Recorder, c: Capture) -> Value:
    if type(c.value) is Tracer:
        return value(c.value)
    return rec.adopt(c)


def captured(inner: Trace) -> list[Tracer]:
    """The captures of an inner trace in the open one, whose guards it takes over."""
    rec = recorder()
    rec.guards.extend(g for g in inner.guards if g not in rec.guards)
    return [wrap(_captured(rec, c), "array") for c in inner.captures]


def flatten_tree(obj: Any) -> tuple[list[Any], Tree]:
    """`tree.flatten`, with Tracers known as leaves."""
    return flatten(obj)

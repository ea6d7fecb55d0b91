"""A call of a function with a rule of its own, while tracing: one op, whose regions are made here.

The function and its rule are each traced once per types of the arguments.  A rule may call the
function itself: that is the same op again, so that derivatives of any order ask the rule.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from .arguments import adapted, word
from .errors import CotangentMismatch
from .ir.builder import Builder, literal
from .ir.core import Block, Function, Value, all_ops
from .ir.ops.custom import emit_custom
from .ir.ops.guards import guard
from .ir.ops.shape import zeros
from .ir.records import dataclass
from .ir.types import NUMPY, Aval, is_float
from .passes.replay import fresh, replay
from .passes.replay import inline as copied_into
from .signature import Fixed
from .staging import Traced, traced
from .tracer.facts import Capture
from .tracer.place import here
from .tracer.record import Recorder, stack
from .tracer.trace import captured, inline, is_tracer, leaf_spec
from .tracer.tree import LEAF, Tree, flatten

Fn = Callable[..., Any]
_MOST_RULES = 32  # rules traced within rules: more than any order asks for


class Ruled(Protocol):
    """A function with a rule: see `custom.CustomFunction`."""

    _fn: Fn
    _held: tuple[int, ...]

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    def rule_place(self) -> str:
        """File and line of the rule."""
        ...

    def regions(self, call: Call) -> tuple[str, dict[str, Part]]:
        """The kind of the rule, and its regions by label."""
        ...


def place_of(fn: Any) -> str:
    """File and line of a function's definition."""
    while isinstance(fn, functools.partial) or hasattr(fn, "__wrapped__"):
        fn = fn.func if isinstance(fn, functools.partial) else fn.__wrapped__
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    if code is None:
        code = getattr(vars(type(fn)).get("__call__"), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "an unknown place"


@dataclass(frozen=True)
class Call:
    """A call while tracing: its arguments, what its operands are for the rule, and its results."""

    f: Ruled
    args: tuple[Any, ...]
    fixed: tuple[int, ...]  # the numbers of the arguments that are held constant
    roles: str  # of the leaves
    avals: tuple[tuple[Aval, str], ...]  # of the leaves, with their kinds
    t: Traced

    @property
    def held(self) -> tuple[Any, ...]:
        return tuple(self.args[k] for k in self.fixed)

    @property
    def answered(self) -> tuple[Aval, ...]:
        return tuple(a for (a, _), r in zip(self.avals, self.roles, strict=True) if r == "a")

    @property
    def outs_tree(self) -> Tree:
        return self.t.outs_tree

    @property
    def outs(self) -> list[tuple[Aval, str]]:
        return out_facts(self.t)

    @property
    def out_values(self) -> list[Value]:
        return results(self.t)

    def places(self, t: Traced) -> range:
        """Where the results stand among the leaves that another trace begins with."""
        return range(len(self.t.out_leaves))


def facts_of(x: Any) -> tuple[Aval, str]:
    spec = leaf_spec(x)
    return spec.aval, spec.kind


def results(t: Traced) -> list[Value]:
    """All leaves of a result as values: numbers that depend on nothing are literals."""
    return [t.function.outs[o[1]] if o[0] == "value" else literal(o[1]) for o in t.out_leaves]


def out_facts(t: Traced) -> list[tuple[Aval, str]]:
    """Aval and kind of each leaf of a result."""
    return [
        (t.function.outs[o[1]].aval, o[2]) if o[0] == "value" else facts_of(o[1])
        for o in t.out_leaves
    ]


@dataclass(frozen=True)
class Part:
    """A region: its trace, what it takes besides the operands, and how to write it."""

    trace: Traced
    extra: tuple[Aval, ...]
    write: Callable[[Sequence[Value], Env], list[Value]]


@dataclass(frozen=True)
class Env:
    """Where captures stand while a region is written."""

    captures: dict[int, Value]

    def run(self, t: Traced, leaves: Sequence[Value]) -> list[Value]:
        """The results of a trace, as `results` lists them, for these leaves."""
        hidden = [self.captures[_identity(c)] for c in t.captures]
        block = Block(t.function.params, t.function.ops, tuple(results(t)))
        return copied_into(block, (*leaves, *hidden))


@dataclass
class _Open:
    """A call whose rule is being traced: calls within it that are like it are the same op."""

    call: Call
    tree: Tree
    body: Block
    captures: tuple[Capture, ...]
    key: int
    again: bool = False


class _OpenRules(threading.local):
    def __init__(self) -> None:
        self.stack: list[_Open] = []


_open = _OpenRules()


def open_rules() -> Sequence[Any]:
    """The calls of this thread whose rules are being traced; the key of an op is their number."""
    return _open.stack


def record(f: Ruled, args: tuple[Any, ...]) -> Any:
    """The call as one op of the open trace."""
    args = _concrete(args)
    leaves, tree = flatten(args)
    specs = [leaf_spec(x) for x in leaves]
    avals = tuple((s.aval, s.kind) for s in specs)
    for rule in _open.stack:
        if rule.call.f is f and rule.tree == tree and rule.call.avals == avals:
            return _again(rule, leaves)
    if len(_open.stack) > _MOST_RULES:
        raise RecursionError(f"{f.name}: its rule calls it again and again, each time otherwise")
    known = _known.setdefault(stack()[0], {})
    key = (f, tree, avals, tuple(s.strides for s in specs), len(_open.stack))
    if key not in known:
        made = _made(f, args, tree, avals)
        # What closes over values, or decided by them, is another one at every call.
        fixed = not made.captures and not any(map(_decides, made.blocks.values()))
        if not fixed:
            return _emitted(made, len(_open.stack), leaves)
        # Its arguments hold the trace, which would never end its life as a key.
        known[key] = replace(made, call=replace(made.call, args=()))
    return _emitted(known[key], len(_open.stack), leaves)


@dataclass(frozen=True)
class _Made:
    """The op of a call, ready to be emitted."""

    call: Call
    kind: str
    captures: tuple[Capture, ...]
    blocks: dict[str, Block]
    guards: tuple[Any, ...] = ()


# By the outermost open trace: what calls of the same types share.
_known: weakref.WeakKeyDictionary[Recorder, dict[Any, _Made]] = weakref.WeakKeyDictionary()


def _decides(block: Block) -> bool:
    return any(op.prim is guard for op in all_ops(block))


def _made(f: Ruled, args: tuple[Any, ...], tree: Tree, avals: Any) -> _Made:
    roles = _roles(f, args, avals)
    call = Call(f, args, f._held, roles, avals, traced(f._fn, args, {}))
    kind, parts, captures = _rules(call, tree)
    blocks = {k: _region(call, p, captures) for k, p in parts.items()}
    guards = tuple(g for p in parts.values() for g in p.trace.guards)
    return _Made(call, kind, captures, blocks, guards)


def _concrete(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Plain ints and NumPy ints stay what they are in the function and its rule."""
    leaves, tree = flatten(args)
    whole = (int, np.integer)
    return tree.unflatten([Fixed(x) if isinstance(x, whole) else x for x in leaves])


def _roles(f: Ruled, args: Sequence[Any], avals: Sequence[tuple[Aval, str]]) -> str:
    """A letter per leaf: see `ir.ops.custom`."""
    for k in f._held:
        if k >= len(args):
            raise TypeError(f"{f.name}: nondiff_argnums names argument {k} of {len(args)}")
    held = [k in f._held for k, x in enumerate(args) for _ in range(flatten(x)[1].leaf_count)]
    pairs = zip(avals, held, strict=True)
    return "".join("h" if h else "a" if is_float(a.dtype) else "-" for (a, _), h in pairs)


def _rules(call: Call, tree: Tree) -> tuple[str, dict[str, Part], tuple[Capture, ...]]:
    """The rule's parts, and all that the function and they close over."""
    captures = _union(call.t.captures)
    while True:
        body = _region(call, _body(call), captures)
        rule = _Open(call, tree, body, captures, len(_open.stack))
        _open.stack.append(rule)
        try:
            kind, parts = call.f.regions(call)
        finally:
            _open.stack.pop()
        every = _union([*captures, *(c for p in parts.values() for c in p.trace.captures)])
        parts = {"body": _body(call), **parts}
        if len(every) == len(captures) or not rule.again:
            return kind, parts, every
        captures = every  # a call within the rule must hand these over too


def _body(call: Call) -> Part:
    return Part(call.t, (), lambda leaves, env: env.run(call.t, leaves[: len(call.roles)]))


def _union(captures: Sequence[Capture]) -> tuple[Capture, ...]:
    return tuple({_identity(c): c for c in reversed(captures)}.values())[::-1]


def _identity(c: Capture) -> int:
    return id(c.value._read()) if is_tracer(c.value) else id(c.value)


def _capture_avals(captures: Sequence[Capture]) -> list[Aval]:
    return [leaf_spec(c.value).aval for c in captures]


def _region(call: Call, part: Part, captures: Sequence[Capture]) -> Block:
    """A region over the leaves of the call, the captures, and what the part takes besides."""
    n = len(call.roles)
    leaves = tuple(Value(p.aval, p.hint) for p in call.t.function.params[:n])
    hidden = tuple(Value(a) for a in _capture_avals(captures))
    extra = tuple(Value(a) for a in part.extra)
    with Builder((*leaves, *hidden, *extra)) as b:
        env = Env({_identity(c): v for c, v in zip(captures, hidden, strict=True)})
        return b.done(part.write((*leaves, *extra), env))


def _again(rule: _Open, leaves: Sequence[Any]) -> Any:
    """A call within the rule of the same call."""
    rule.again = True
    made = _Made(rule.call, "again", rule.captures, {"body": rule.body})
    return _emitted(made, rule.key, leaves)


def _emitted(made: _Made, key: int, leaves: Sequence[Any]) -> Any:
    """The op in the open trace, and its results as the function's."""
    call = made.call
    params = fresh(made.blocks["body"].params)
    attrs = {
        "name": call.f.name,
        "rule": made.kind,
        "roles": call.roles + "c" * len(made.captures),
        "key": key,
        "place": call.f.rule_place().rsplit("/", 1)[-1],
        "trusted": False,
    }
    with Builder(params, number=False) as b:
        b.where = here()  # type: ignore[assignment]  # a Place reads like a Where
        outs = emit_custom(params, {k: replay(r) for k, r in made.blocks.items()}, attrs)
        function = Function(call.f.name, b.done(outs))
    whole = replace(call.t, captures=made.captures, guards=made.guards)
    kinds = [kind for _, kind in call.outs]
    return call.outs_tree.unflatten(inline(function, [*leaves, *captured(whole)], kinds))


def traced_rule(f: Ruled, rule: Fn, args: tuple[Any, ...]) -> Traced:
    """The trace of a rule, at values that nothing is known of beyond their types."""
    made_up = [x for x in flatten(args)[0] if not is_tracer(x)]
    return traced(rule, args, {}, made_up)


# ------------------------------------------------------------------ tangents and cotangents


def stand_in(aval: Aval, kind: str) -> Any:
    """Some plain value of an aval and a kind."""
    dtype = NUMPY[aval.dtype]
    if kind == "array":
        return np.zeros(aval.shape, dtype)
    return dtype.type(0) if kind == "scalar" else dtype.type(0).item()


_NONE = flatten(None)[1]


def perturbation(tree: Tree, facts: Sequence[tuple[Aval, str]]) -> Any:
    """A tangent or cotangent for a container: None where there can be none."""
    moving = iter([is_float(a.dtype) for a, _ in facts])

    def walk(t: Tree) -> Tree:
        if t.kind == "leaf":
            return LEAF if next(moving) else _NONE
        if t.kind in ("static", Fixed):
            return _NONE
        return Tree(t.kind, t.data, tuple(map(walk, t.children)))

    return walk(tree).unflatten([stand_in(a, kind) for a, kind in facts if is_float(a.dtype)])


@dataclass(frozen=True)
class _Residuals:
    """What `fwd` hands to `bwd`: which of its leaves are values, and how they stand."""

    tree: Tree
    leaves: tuple[Any, ...]  # a stand-in, or a Fixed for what is known while tracing
    values: tuple[int, ...]  # their places among the results

    def standing(self) -> Any:
        return self.tree.unflatten(self.leaves)


def check_fwd(call: Call, fwd: Traced, rule: Fn) -> _Residuals:
    """The residuals, if `fwd` returned the function's result and them."""
    what = f"fwd of {call.f.name}, at {place_of(rule)},"
    tree = fwd.outs_tree
    if tree.kind is not tuple or len(tree.children) != 2:
        raise CotangentMismatch(f"{what} must return a pair (out, residuals)")
    n = tree.children[0].leaf_count
    _check_same(call, what, tree.children[0], out_facts(fwd)[:n])
    leaves: list[Any] = []
    values = []
    for k, (out, facts) in enumerate(zip(fwd.out_leaves, out_facts(fwd), strict=True)):
        if k >= n:
            leaves.append(stand_in(*facts) if out[0] == "value" else Fixed(out[1]))
            values += [k] if out[0] == "value" else []
    return _Residuals(tree.children[1], tuple(leaves), tuple(values))


def _check_same(call: Call, what: str, tree: Tree, facts: Sequence[tuple[Aval, str]]) -> None:
    """Refuse a rule whose result is not like the function's."""
    if tree != call.outs_tree:
        raise CotangentMismatch(
            f"{what} gives the result {tree!r}, the function {call.outs_tree!r}"
        )
    for path, (want, kind), (got, other) in zip(tree.paths(), call.outs, facts, strict=True):
        if got != want:
            at = f" at {path}" if path else ""
            raise CotangentMismatch(
                f"{what} gives a result{at} that is {word(got, other)}; the function gives "
                f"{word(want, kind)}"
            )


def check_jvp(call: Call, t: Traced, rule: Fn | None) -> None:
    what = f"the rule of {call.f.name}, at {call.f.rule_place()},"
    tree = t.outs_tree
    if tree.kind is not tuple or len(tree.children) != 2:
        raise CotangentMismatch(f"{what} must return a pair (out, tangent of out)")
    n = tree.children[0].leaf_count
    _check_same(call, what, tree.children[0], out_facts(t)[:n])
    list(_matched(what, "tangent of the result", tree.children[1], out_facts(t)[n:],
                  call.outs_tree, call.outs))  # fmt: skip


def dots_of(call: Call, t: Traced, found: Sequence[Value], rule: Fn | None) -> list[Value]:
    """The results, then a tangent for each that is floating-point."""
    n = len(call.outs)
    what = f"the rule of {call.f.name}, at {call.f.rule_place()},"
    pairs = _matched(what, "tangent of the result", t.outs_tree.children[1], out_facts(t)[n:],
                     call.outs_tree, call.outs)  # fmt: skip
    dots = [
        zeros(aval) if k is None else adapted(found[n + k], aval)
        for k, (aval, _) in zip(pairs, call.outs, strict=True)
        if is_float(aval.dtype)
    ]
    return [*found[:n], *dots]


def answers(
    call: Call, t: Traced, found: Sequence[Value], leaves: Sequence[Value], rule: Fn | None
) -> list[Value]:
    """A cotangent for each operand that the rule answers for."""
    what = f"bwd of {call.f.name}, at {place_of(rule)},"
    given = [x for k, x in enumerate(call.args) if k not in call.fixed]
    tree = t.outs_tree
    if tree.kind not in (tuple, list) or len(tree.children) != len(given):
        returned = "one value" if tree.kind == "leaf" else f"{len(tree.children)} entries"
        raise CotangentMismatch(
            f"{what} must return a tuple with one cotangent per argument, {len(given)}, "
            f"not {returned}"
        )
    facts = [f for f, r in zip(call.avals, call.roles, strict=True) if r != "h"]
    wanted = Tree(tree.kind, None, tuple(flatten(x)[1] for x in given))
    pairs = _matched(what, "cotangent", tree, out_facts(t), wanted, facts)
    return [
        zeros(aval) if k is None else adapted(found[k], aval)
        for k, (aval, _) in zip(pairs, facts, strict=True)
        if is_float(aval.dtype)
    ]


def _matched(
    what: str,
    noun: str,
    tree: Tree,
    facts: Sequence[tuple[Aval, str]],
    wanted_tree: Tree,
    wanted: Sequence[tuple[Aval, str]],
) -> Iterator[int | None]:
    """For each leaf that is wanted: which leaf was given for it, None where that is a zero."""
    given, asked = iter(range(len(facts))), iter(zip(wanted_tree.paths(), wanted, strict=True))

    def refuse(path: str, found: str, want: str) -> CotangentMismatch:
        at = f" at {path}" if path else ""
        return CotangentMismatch(f"{what} gives a {noun}{at} that is {found}; it should be {want}")

    def walk(t: Tree, w: Tree, path: str) -> Iterator[int | None]:
        if t == _NONE:
            for _ in range(w.leaf_count):
                next(asked)
                yield None
            return
        if w.kind in ("static", Fixed):
            for _ in range(t.leaf_count):
                next(given)
            return
        if w.kind == "leaf":
            here_, (aval, kind) = next(asked)
            if t.kind != "leaf":
                raise refuse(here_, repr(t), word(aval, kind))
            k = next(given)
            got, is_ = facts[k]
            weak = is_ == "python" and got.kind in "if"
            if not is_float(aval.dtype):
                yield None
            elif got.shape != aval.shape or not (weak or got.dtype == aval.dtype):
                raise refuse(here_, word(got, is_), word(aval, kind))
            else:
                yield k
            return
        alike = t.kind is w.kind and t.data == w.data and len(t.children) == len(w.children)
        if not alike:
            raise refuse(path, repr(t), repr(w))
        for x, y, step in zip(t.children, w.children, w.steps(), strict=True):
            yield from walk(x, y, path + step)

    return walk(tree, wanted_tree, "")

"""`custom_vjp` and `custom_jvp`: functions whose derivative the user gives, as NumPy functions too.

While tracing, a call becomes one op that owns the function and its rule, each traced once.  A rule
may call the function itself: that is the same op again, so derivatives of any order ask the rule.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .arguments import a, adapted, word
from .errors import CotangentMismatch
from .ir.builder import Builder, literal
from .ir.core import Block, Function, Value
from .ir.ops.custom import emit_custom
from .ir.ops.shape import zeros
from .ir.types import NUMPY, Aval, is_float
from .passes.replay import fresh, replay
from .passes.replay import inline as copied_into
from .signature import Fixed
from .staging import Traced, traced
from .tracer.facts import Capture
from .tracer.place import here
from .tracer.record import is_tracing
from .tracer.trace import captured, inline, is_tracer, leaf_spec
from .tracer.tree import LEAF, Tree, flatten

Fn = Callable[..., Any]
_MOST_RULES = 32  # rules traced within rules: more than any order asks for


class CustomFunction:
    """A function with a derivative of its own; on plain arrays it is the plain function."""

    verb = "custom"

    def __init__(self, fn: Fn, nondiff_argnums: Sequence[int] = ()) -> None:
        if not callable(fn):
            raise TypeError(f"{self.verb} takes a function, not {a(type(fn).__name__)}")
        functools.update_wrapper(self, fn)
        self._fn = fn
        self._held = _held(self.verb, nondiff_argnums)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not is_tracing():
            return self._fn(*args, **kwargs)
        return _record(self, _positional(self, args, kwargs))

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.verb} {getattr(self, '__name__', type(self._fn).__name__)}"

    def rule_place(self) -> str:
        """File and line of the rule, or why there is none."""
        raise NotImplementedError

    def regions(self, call: _Call) -> tuple[str, dict[str, _Part]]:
        """The kind of the rule, and its regions by label."""
        raise NotImplementedError

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else types.MethodType(self, obj)

    def __repr__(self) -> str:
        return f"<{self.name}, rule at {self.rule_place()}>"

    def __copy__(self) -> Any:
        """Itself, as Python's functions are their own copies."""
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        """Itself."""
        return self

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(getattr(self, "__module__", "") or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:  # by reference, as Python pickles functions
            return name
        return super().__reduce__()


class CustomVjp(CustomFunction):
    """See `custom_vjp`."""

    verb = "custom_vjp"
    _fwd: Fn | None = None
    _bwd: Fn | None = None

    def defvjp(self, fwd: Fn, bwd: Fn) -> None:
        """The rule: `fwd(*args) -> (out, residuals)`, `bwd(residuals, ct) -> a cotangent per arg`.

        `bwd` takes the arguments of `nondiff_argnums` first.  A cotangent has the structure of its
        argument; None stands for zero, as it does for what is no floating-point number.
        """
        _check_rules(self, fwd=fwd, bwd=bwd)
        self._fwd, self._bwd = fwd, bwd

    def rule_place(self) -> str:
        """File and line of `bwd`."""
        return place_of(self._bwd)

    def regions(self, call: _Call) -> tuple[str, dict[str, _Part]]:
        """fwd and bwd, traced."""
        if self._fwd is None or self._bwd is None:
            raise TypeError(f"{self.name} has no rule: call {_called(self)}.defvjp(fwd, bwd)")
        fwd = _traced_rule(self, self._fwd, call.args)
        residuals = _check_fwd(call, fwd, self._fwd)
        ct = _perturbation(call.outs_tree, call.outs)
        bwd = _traced_rule(self, self._bwd, (*call.held, residuals.standing(), ct))
        first = sum(flatten(x)[1].leaf_count for x in call.held)
        last = first + len(residuals.values)
        floats = [v for v in call.out_values if is_float(v.aval.dtype)]

        def forward(operands: Sequence[Value], env: _Env) -> list[Value]:
            found = env.run(fwd, operands)
            return [*(found[i] for i in call.places(fwd)), *(found[i] for i in residuals.values)]

        def backward(operands: Sequence[Value], env: _Env) -> list[Value]:
            n, kept = len(call.roles), len(residuals.values)
            leaves, rest = operands[:n], operands[n:]
            kept_values, seeds = rest[:kept], rest[kept:]
            held = [v for v, r in zip(leaves, call.roles, strict=True) if r == "h"]
            found = env.run(bwd, (*held, *kept_values, *seeds))
            return _answers(call, bwd, found, leaves, self._bwd)

        assert last + len(floats) == len(bwd.leaves)
        kept_avals = [fwd.function.outs[i].aval for i in residuals.values]
        return "vjp", {
            "fwd": _Part(fwd, (), forward),
            "bwd": _Part(bwd, (*kept_avals, *(v.aval for v in floats)), backward),
        }


class CustomJvp(CustomFunction):
    """See `custom_jvp`."""

    verb = "custom_jvp"
    _rule: Fn | None = None

    def defjvp(self, rule: Fn) -> Fn:
        """The rule `(primals, tangents) -> (out, tangent of out)`; also a decorator.

        It takes the arguments of `nondiff_argnums` first.  It must be linear in the tangents, which
        are None for what is no floating-point number.
        """
        _check_rules(self, rule=rule)
        self._rule = rule
        return rule

    def defjvps(self, *rules: Fn | None) -> None:
        """A rule per argument, `(tangent, out, *args) -> tangent of out`; None for a zero one."""

        def rule(*given: Any) -> tuple[Any, Any]:
            held, primals, tangents = given[:-2], given[-2], given[-1]
            out = self(*_merged(self._held, primals, held))
            args = _merged(self._held, primals, held)
            if len(rules) != len(primals):
                raise TypeError(f"{self.name}: {len(rules)} rules for {len(primals)} arguments")
            terms = [
                r(t, out, *args)
                for r, t in zip(rules, tangents, strict=True)
                if r is not None and t is not None
            ]
            return out, functools.reduce(lambda a, b: a + b, terms) if terms else None

        self._rule = rule
        first = next((r for r in rules if r is not None), None)
        self._place = place_of(first)

    _place = ""

    def rule_place(self) -> str:
        """File and line of the rule."""
        return self._place or place_of(self._rule)

    def regions(self, call: _Call) -> tuple[str, dict[str, _Part]]:
        """The rule, traced."""
        if self._rule is None:
            raise TypeError(f"{self.name} has no rule: call {_called(self)}.defjvp(rule)")
        given = [x for k, x in enumerate(call.args) if k not in call.fixed]
        trees = [flatten(x) for x in given]
        primals = tuple(tree.unflatten(leaves) for leaves, tree in trees)
        tangents = tuple(_perturbation(tree, list(map(_facts, leaves))) for leaves, tree in trees)
        rule = _traced_rule(self, self._rule, (*call.held, primals, tangents))
        _check_jvp(call, rule, self._rule)
        n = len(call.roles)

        def pushed(operands: Sequence[Value], env: _Env) -> list[Value]:
            leaves, dots = operands[:n], operands[n:]
            held = [v for v, r in zip(leaves, call.roles, strict=True) if r == "h"]
            moving = [v for v, r in zip(leaves, call.roles, strict=True) if r != "h"]
            found = env.run(rule, (*held, *moving, *dots))
            return _dots(call, rule, found, self._rule)

        return "jvp", {"jvp": _Part(rule, call.answered, pushed)}


# ------------------------------------------------------------------ the decorators


def custom_vjp(
    fn: Fn | None = None,
    fwd: Fn | None = None,
    bwd: Fn | None = None,
    *,
    nondiff_argnums: Sequence[int] = (),
) -> Any:
    """A function with a rule for reverse mode of its own: `f.defvjp(fwd, bwd)`, or all at once.

    `fwd(*args)` gives `(out, residuals)`; `bwd(residuals, ct)` a tuple with a cotangent for each
    argument.  Forward mode transposes `bwd`, which must be linear in `ct` for that.  Arguments in
    `nondiff_argnums` are held constant and come first in `bwd`.
    """
    if isinstance(fn, staticmethod | classmethod):
        inner = custom_vjp(fn.__func__, fwd, bwd, nondiff_argnums=nondiff_argnums)
        return type(fn)(inner)
    if fn is None:
        return functools.partial(custom_vjp, fwd=fwd, bwd=bwd, nondiff_argnums=nondiff_argnums)
    made = CustomVjp(fn, nondiff_argnums)
    if fwd is not None or bwd is not None:
        if fwd is None or bwd is None:
            raise TypeError(f"{made.name}: give both fwd and bwd")
        made.defvjp(fwd, bwd)
    return made


def custom_jvp(
    fn: Fn | None = None, rule: Fn | None = None, *, nondiff_argnums: Sequence[int] = ()
) -> Any:
    """A function with a rule for derivatives of its own: `f.defjvp(rule)`, or all at once.

    `rule(primals, tangents)` gives `(out, tangent of out)` and must be linear in the tangents:
    reverse mode transposes it.  Arguments in `nondiff_argnums` are held constant and come first.
    """
    if isinstance(fn, staticmethod | classmethod):
        return type(fn)(custom_jvp(fn.__func__, rule, nondiff_argnums=nondiff_argnums))
    if fn is None:
        return functools.partial(custom_jvp, rule=rule, nondiff_argnums=nondiff_argnums)
    made = CustomJvp(fn, nondiff_argnums)
    if rule is not None:
        made.defjvp(rule)
    return made


def _held(verb: str, nondiff_argnums: Any) -> tuple[int, ...]:
    given = nondiff_argnums if isinstance(nondiff_argnums, tuple | list) else (nondiff_argnums,)
    if any(type(n) is not int or n < 0 for n in given) or len(set(given)) != len(given):
        raise TypeError(
            f"{verb}: nondiff_argnums is a tuple of argument numbers, not {nondiff_argnums!r}"
        )
    return tuple(given)


def _check_rules(f: CustomFunction, **rules: Any) -> None:
    for name, rule in rules.items():
        if not callable(rule):
            raise TypeError(f"{f.name}: {name} is {a(type(rule).__name__)}, not a function")


def _called(f: CustomFunction) -> str:
    return str(getattr(f, "__name__", "f"))


def place_of(fn: Any) -> str:
    """File and line of a function's definition."""
    while isinstance(fn, functools.partial) or hasattr(fn, "__wrapped__"):
        fn = fn.func if isinstance(fn, functools.partial) else fn.__wrapped__
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    if code is None:
        code = getattr(vars(type(fn)).get("__call__"), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else "an unknown place"


def _positional(f: CustomFunction, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """All arguments by position: a rule takes them so."""
    if not kwargs:
        return tuple(args)
    bound = inspect.signature(f._fn).bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{f.name}: {', '.join(bound.kwargs)} can be given by keyword alone; a rule takes its "
            "arguments by position"
        )
    return bound.args


def _merged(places: Sequence[int], given: Sequence[Any], held: Sequence[Any]) -> list[Any]:
    """The arguments, in their order, from those that are differentiated and those that are not."""
    out, kept = list(given), dict(zip(places, held, strict=True))
    for k in sorted(kept):
        out.insert(k, kept[k])
    return out


# ------------------------------------------------------------------ one call


@dataclass(frozen=True)
class _Call:
    """A call while tracing: its arguments, what its operands are for the rule, and its results."""

    f: CustomFunction
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


def _facts(x: Any) -> tuple[Aval, str]:
    spec = leaf_spec(x)
    return spec.aval, spec.kind


def results(t: Traced) -> list[Value]:
    """All leaves of a result as values: numbers that depend on nothing are literals."""
    return [t.function.outs[o[1]] if o[0] == "value" else literal(o[1]) for o in t.out_leaves]


def out_facts(t: Traced) -> list[tuple[Aval, str]]:
    """Aval and kind of each leaf of a result."""
    return [
        (t.function.outs[o[1]].aval, o[2]) if o[0] == "value" else _facts(o[1])
        for o in t.out_leaves
    ]


@dataclass(frozen=True)
class _Part:
    """A region: its trace, what it takes besides the operands, and how to write it."""

    trace: Traced
    extra: tuple[Aval, ...]
    write: Callable[[Sequence[Value], _Env], list[Value]]


@dataclass(frozen=True)
class _Env:
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

    call: _Call
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


def _record(f: CustomFunction, args: tuple[Any, ...]) -> Any:
    """The call as one op of the open trace."""
    args = _concrete(args)
    leaves, tree = flatten(args)
    avals = tuple(map(_facts, leaves))
    for rule in _open.stack:
        if rule.call.f is f and rule.tree == tree and rule.call.avals == avals:
            return _again(rule, leaves)
    if len(_open.stack) > _MOST_RULES:
        raise RecursionError(f"{f.name}: its rule calls it again and again, each time otherwise")
    roles = _roles(f, args, avals)
    call = _Call(f, args, f._held, roles, avals, traced(f._fn, args, {}))
    kind, parts, captures = _rules(call, tree)
    blocks = {k: _region(call, p, captures) for k, p in parts.items()}
    return _emitted(call, kind, captures, blocks, len(_open.stack), parts)


def _concrete(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Plain ints and NumPy ints stay what they are in the function and its rule."""
    leaves, tree = flatten(args)
    whole = (int, np.integer)
    return tree.unflatten([Fixed(x) if isinstance(x, whole) else x for x in leaves])


def _roles(f: CustomFunction, args: Sequence[Any], avals: Sequence[tuple[Aval, str]]) -> str:
    """A letter per leaf: see `ir.ops.custom`."""
    for k in f._held:
        if k >= len(args):
            raise TypeError(f"{f.name}: nondiff_argnums names argument {k} of {len(args)}")
    held = [k in f._held for k, x in enumerate(args) for _ in range(flatten(x)[1].leaf_count)]
    pairs = zip(avals, held, strict=True)
    return "".join("h" if h else "a" if is_float(a.dtype) else "-" for (a, _), h in pairs)


def _rules(call: _Call, tree: Tree) -> tuple[str, dict[str, _Part], tuple[Capture, ...]]:
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


def _body(call: _Call) -> _Part:
    return _Part(call.t, (), lambda leaves, env: env.run(call.t, leaves[: len(call.roles)]))


def _union(captures: Sequence[Capture]) -> tuple[Capture, ...]:
    return tuple({_identity(c): c for c in reversed(captures)}.values())[::-1]


def _identity(c: Capture) -> int:
    return id(c.value._read()) if is_tracer(c.value) else id(c.value)


def _capture_avals(captures: Sequence[Capture]) -> list[Aval]:
    return [leaf_spec(c.value).aval for c in captures]


def _region(call: _Call, part: _Part, captures: Sequence[Capture]) -> Block:
    """A region over the leaves of the call, the captures, and what the part takes besides."""
    n = len(call.roles)
    leaves = tuple(Value(p.aval, p.hint) for p in call.t.function.params[:n])
    hidden = tuple(Value(a) for a in _capture_avals(captures))
    extra = tuple(Value(a) for a in part.extra)
    with Builder((*leaves, *hidden, *extra)) as b:
        env = _Env({_identity(c): v for c, v in zip(captures, hidden, strict=True)})
        return b.done(part.write((*leaves, *extra), env))


def _again(rule: _Open, leaves: Sequence[Any]) -> Any:
    """A call within the rule of the same call."""
    rule.again = True
    return _emitted(rule.call, "again", rule.captures, {"body": rule.body}, rule.key, {}, leaves)


def _emitted(
    call: _Call,
    kind: str,
    captures: tuple[Capture, ...],
    blocks: dict[str, Block],
    key: int,
    parts: dict[str, _Part],
    leaves: Sequence[Any] | None = None,
) -> Any:
    """The op in the open trace, and its results as the function's."""
    params = fresh(blocks["body"].params)
    attrs = {
        "name": call.f.name,
        "rule": kind,
        "roles": call.roles + "c" * len(captures),
        "key": key,
        "place": call.f.rule_place().rsplit("/", 1)[-1],
        "trusted": False,
    }
    with Builder(params, number=False) as b:
        b.where = here()  # type: ignore[assignment]  # a Place reads like a Where
        made = emit_custom(params, {k: replay(r) for k, r in blocks.items()}, attrs)
        function = Function(call.f.name, b.done(made))
    guards = [g for p in parts.values() for g in p.trace.guards]
    whole = replace(call.t, captures=captures, guards=tuple(guards))
    given = flatten(call.args)[0] if leaves is None else leaves
    kinds = [kind for _, kind in call.outs]
    return call.outs_tree.unflatten(inline(function, [*given, *captured(whole)], kinds))


def _traced_rule(f: CustomFunction, rule: Fn, args: tuple[Any, ...]) -> Traced:
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


def _perturbation(tree: Tree, facts: Sequence[tuple[Aval, str]]) -> Any:
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


def _check_fwd(call: _Call, fwd: Traced, rule: Fn) -> _Residuals:
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


def _check_same(call: _Call, what: str, tree: Tree, facts: Sequence[tuple[Aval, str]]) -> None:
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


def _check_jvp(call: _Call, t: Traced, rule: Fn | None) -> None:
    what = f"the rule of {call.f.name}, at {call.f.rule_place()},"
    tree = t.outs_tree
    if tree.kind is not tuple or len(tree.children) != 2:
        raise CotangentMismatch(f"{what} must return a pair (out, tangent of out)")
    n = tree.children[0].leaf_count
    _check_same(call, what, tree.children[0], out_facts(t)[:n])
    list(_matched(what, "tangent of the result", tree.children[1], out_facts(t)[n:],
                  call.outs_tree, call.outs))  # fmt: skip


def _dots(call: _Call, t: Traced, found: Sequence[Value], rule: Fn | None) -> list[Value]:
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


def _answers(
    call: _Call, t: Traced, found: Sequence[Value], leaves: Sequence[Value], rule: Fn | None
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

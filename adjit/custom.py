"""`custom_vjp` and `custom_jvp`: functions whose derivative the user gives, as NumPy functions too.

While tracing, a call becomes one op that owns the function and its rule, each traced once.  A rule
may call the function itself: that is the same op again, so derivatives of any order ask the rule.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from .arguments import a
from .custom_call import (
    Call,
    Env,
    Part,
    answers,
    check_fwd,
    check_jvp,
    dots_of,
    facts_of,
    perturbation,
    place_of,
    record,
    traced_rule,
)
from .ir.core import Value
from .ir.types import is_float
from .tracer.record import is_tracing
from .tracer.tree import flatten

Fn = Callable[..., Any]


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
        return record(self, _positional(self, args, kwargs))

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.verb} {getattr(self, '__name__', type(self._fn).__name__)}"

    def rule_place(self) -> str:
        """File and line of the rule, or why there is none."""
        raise NotImplementedError

    def regions(self, call: Call) -> tuple[str, dict[str, Part]]:
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

    def regions(self, call: Call) -> tuple[str, dict[str, Part]]:
        """fwd and bwd, traced."""
        if self._fwd is None or self._bwd is None:
            raise TypeError(f"{self.name} has no rule: call {_called(self)}.defvjp(fwd, bwd)")
        fwd = traced_rule(self, self._fwd, call.args)
        residuals = check_fwd(call, fwd, self._fwd)
        ct = perturbation(call.outs_tree, call.outs)
        bwd = traced_rule(self, self._bwd, (*call.held, residuals.standing(), ct))
        first = sum(flatten(x)[1].leaf_count for x in call.held)
        last = first + len(residuals.values)
        floats = [v for v in call.out_values if is_float(v.aval.dtype)]

        def forward(operands: Sequence[Value], env: Env) -> list[Value]:
            found = env.run(fwd, operands)
            return [*(found[i] for i in call.places(fwd)), *(found[i] for i in residuals.values)]

        def backward(operands: Sequence[Value], env: Env) -> list[Value]:
            n, kept = len(call.roles), len(residuals.values)
            leaves, rest = operands[:n], operands[n:]
            kept_values, seeds = rest[:kept], rest[kept:]
            held = [v for v, r in zip(leaves, call.roles, strict=True) if r == "h"]
            found = env.run(bwd, (*held, *kept_values, *seeds))
            return answers(call, bwd, found, leaves, self._bwd)

        assert last + len(floats) == len(bwd.leaves)
        kept_avals = [fwd.function.outs[i].aval for i in residuals.values]
        return "vjp", {
            "fwd": Part(fwd, (), forward),
            "bwd": Part(bwd, (*kept_avals, *(v.aval for v in floats)), backward),
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

    def regions(self, call: Call) -> tuple[str, dict[str, Part]]:
        """The rule, traced."""
        if self._rule is None:
            raise TypeError(f"{self.name} has no rule: call {_called(self)}.defjvp(rule)")
        given = [x for k, x in enumerate(call.args) if k not in call.fixed]
        trees = [flatten(x) for x in given]
        primals = tuple(tree.unflatten(leaves) for leaves, tree in trees)
        tangents = tuple(perturbation(tree, list(map(facts_of, leaves))) for leaves, tree in trees)
        rule = traced_rule(self, self._rule, (*call.held, primals, tangents))
        check_jvp(call, rule, self._rule)
        n = len(call.roles)

        def pushed(operands: Sequence[Value], env: Env) -> list[Value]:
            leaves, dots = operands[:n], operands[n:]
            held = [v for v, r in zip(leaves, call.roles, strict=True) if r == "h"]
            moving = [v for v, r in zip(leaves, call.roles, strict=True) if r != "h"]
            found = env.run(rule, (*held, *moving, *dots))
            return dots_of(call, rule, found, self._rule)

        return "jvp", {"jvp": Part(rule, call.answered, pushed)}


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

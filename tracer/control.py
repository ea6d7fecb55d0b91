"""Bodies of loops and branches given as functions: each is traced once and becomes a region.

A body is recorded by a `Region`, a recorder inside of the open one.  What it reads from outside,
traced or plain, is asked of that one and becomes an operand of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.builder import literal
from ..ir.core import Block, Const, Op, Value
from ..ir.ops import control as rows
from ..ir.ops.segments import emit_segments
from ..ir.records import dataclass
from ..ir.types import KIND, Aval
from . import mutation
from .closing import finish
from .errors import ControlFlow, UnsupportedArgument
from .facts import Capture
from .promote import WEAK, common_dtype
from .record import Recorder, fail, recorder, stack
from .surface import cast, is_tracer, value, wrap
from .tracer import Tracer
from .tree import LEAF, Tree, flatten

INDEX = Aval("i64")
_RANK = {"python": 0, "scalar": 1, "array": 2}
_ROUNDS = 6  # tries for the types of carries to settle


class Region(Recorder):
    """The recorder of a body: what comes from outside comes from the trace around it."""

    def __init__(self, name: str, parent: Recorder) -> None:
        super().__init__(name)
        self.parent = parent
        self.guards = parent.guards
        self.guarded = parent.guarded
        self.level, self.owners, self._numbers = parent.level, parent.owners, parent._numbers

    def lift(self, x: np.ndarray) -> Value:
        """The value that stands for a plain array."""
        return self._of_parent(self.parent.lift(x))

    def scalar(self, x: np.generic) -> Value:
        """The literal of a NumPy scalar."""
        v = self.parent.scalar(x)
        return v if type(v) is Const else self._of_parent(v)

    def capture(self, capture: Capture, aval: Aval) -> Value:
        """The value that stands for a capture."""
        if is_tracer(capture.value):
            return super().capture(capture, aval)
        return self._of_parent(self.parent.capture(capture, aval))

    def adopt(self, capture: Capture) -> Value:
        """The value that stands for a capture of an inner trace."""
        return self._of_parent(self.parent.adopt(capture))

    def outer(self, tracer: Any) -> Value:
        """The value that stands for a Tracer of a trace around; concrete if that one is."""
        v = super().outer(tracer)
        outer, w = self._outside[v]
        v.hint = w.hint
        if outer._is_free(w):
            self.traced.discard(v)
        return v

    def concrete(self, v: Value) -> Any | None:
        """The value as an array if it depends on no traced input, else None."""
        if not self._is_free(v):
            return None
        for inner, (outer, w) in self._outside.items():
            if inner not in self._samples and outer._is_free(w):
                self._samples[inner] = outer.concrete(w)
        return super().concrete(v)

    def _of_parent(self, v: Value) -> Value:
        return self.outer(Tracer(self.parent, v, "array" if v.aval.shape else "scalar"))


@dataclass(frozen=True)
class Spec:
    """What a body sees in the place of a leaf; a reason in `frozen` forbids writing into it."""

    aval: Aval
    kind: str
    hint: str = ""
    frozen: str = ""


@dataclass(frozen=True)
class Body:
    """A traced body.

    held   the Tracers of traces around that it reads, and `reads`, their names inside
    outs   the leaves of its result with their kinds, in the order of `tree`
    """

    params: tuple[Value, ...]
    ops: tuple[Op, ...]
    held: tuple[Tracer, ...]
    reads: tuple[Value, ...]
    outs: tuple[Value, ...]
    kinds: tuple[str, ...]
    tree: Tree

    def block(self, held: Sequence[Tracer], split: int, outs: Sequence[Value]) -> Block:
        """The closed block; the values of `held` stand behind the first `split` params."""
        inside = {id(t._value): v for t, v in zip(self.held, self.reads, strict=True)}
        known = [inside.get(id(t._value)) for t in held]
        reads = [Value(t._value.aval) if v is None else v for t, v in zip(held, known, strict=True)]
        return Block((*self.params[:split], *reads, *self.params[split:]), self.ops, tuple(outs))

    def cast_outs(self, dtypes: Sequence[str]) -> Body:
        """The body with its results in these dtypes."""
        if all(v.aval.dtype == d for v, d in zip(self.outs, dtypes, strict=True)):
            return self
        rec = Region("cast", recorder())
        with rec.builder:
            outs = tuple(cast(v, d) for v, d in zip(self.outs, dtypes, strict=True))
        return replace(self, ops=(*self.ops, *rec.builder.ops), outs=outs)


def union(*bodies: Body) -> list[Tracer]:
    """What several bodies read from outside, each once."""
    found: dict[int, Tracer] = {}
    for body in bodies:
        for t in body.held:
            found.setdefault(id(t._value), t)
    return list(found.values())


# ------------------------------------------------------------------ containers with bools


def leaves_of(obj: Any) -> tuple[list[Any], Tree]:
    """`flatten`, with Python's bools as leaves: a carry may be a flag."""
    leaves, tree = flatten(obj)
    given, out = iter(leaves), []

    def walk(t: Tree) -> Tree:
        if t.kind == "leaf":
            out.append(next(given))
            return t
        if t.kind == "static":
            if type(t.data.value) is not bool:
                return t
            out.append(t.data.value)
            return LEAF
        return replace(t, children=tuple(map(walk, t.children)))

    return out, walk(tree)


def spec_of(x: Any, path: str, frozen: str = "") -> Spec:
    """What a body sees in the place of this leaf."""
    hint = path if path.isidentifier() else ""
    if is_tracer(x):
        return Spec(x._value.aval, x._kind, hint, frozen)
    if type(x) in (bool, int, float, complex):
        return Spec(literal(x).aval, "python", hint, frozen)
    if isinstance(x, np.ndarray):
        return Spec(value(x).aval, "array", hint, frozen)
    if isinstance(x, np.generic):
        return Spec(value(x).aval, "scalar", hint, frozen)
    raise fail(UnsupportedArgument, f"{path} is a {type(x).__name__}, which cannot be traced")


# ------------------------------------------------------------------ tracing a body


def trace_body(name: str, fn: Callable[..., Any], specs: Sequence[Spec], give: Any) -> Body:
    """Run a body once: `give(stand_ins)` makes its arguments."""
    rec = Region(name, recorder())
    stack().append(rec)
    try:
        with rec.builder:
            result = fn(*give([_stand_in(rec, s) for s in specs]))
            leaves, tree = leaves_of(result)
            outs = tuple(value(x) for x in leaves)
            finish(rec, outs)
    finally:
        stack().remove(rec)
    return Body(
        tuple(rec.params),
        tuple(rec.builder.ops),
        tuple(c.value for c in rec.captures),
        tuple(rec.capture_values),
        outs,
        tuple(kind_of(x) for x in leaves),
        tree,
    )


def _stand_in(rec: Recorder, spec: Spec) -> Tracer:
    v = rec.param(spec.aval, spec.hint)
    if spec.kind != "array":
        return Tracer(rec, v, spec.kind)
    return Tracer(rec, v, "array", None, mutation.Storage(v, spec.frozen))


def kind_of(x: Any) -> str:
    """Whether something is an array, a scalar of NumPy's or a number of Python's."""
    if is_tracer(x):
        return str(x._kind)
    if type(x) in (bool, int, float, complex):
        return "python"
    return "array" if isinstance(x, np.ndarray) else "scalar"


def results(values: Sequence[Value], kinds: Sequence[str], tree: Tree) -> Any:
    """The container that the user gets."""
    return tree.unflatten([wrap(v, k) for v, k in zip(values, kinds, strict=True)])


# ------------------------------------------------------------------ types that must agree


def _key(aval: Aval, kind: str) -> Any:
    return WEAK.get(aval.dtype, aval.dtype) if kind == "python" else aval.dtype


def joined(a: Spec, b: Spec) -> Spec | None:
    """The type of a value that is of one or the other; None where they do not agree.

    Only Python's numbers yield: they take the dtype of the other.
    """
    if a.aval.shape != b.aval.shape:
        return None
    kind = max(a.kind, b.kind, key=_RANK.__getitem__)
    if a.aval.dtype == b.aval.dtype:
        return replace(a, kind=kind)
    if "python" not in (a.kind, b.kind):
        return None
    strong = b if a.kind == "python" else a
    dtype = common_dtype([_key(a.aval, a.kind), _key(b.aval, b.kind)])
    if strong.kind != "python" and dtype != strong.aval.dtype:
        return None
    return replace(a, aval=Aval(dtype, a.aval.shape), kind=kind)


def same_structure(what: str, a: Tree, b: Tree, names: tuple[str, str]) -> None:
    """An error that shows both structures where they differ."""
    if a != b:
        raise fail(
            ControlFlow,
            f"{what}: {names[0]} is {a!r}, {names[1]} is {b!r} (* is an array or a number)",
            "Both must have the same structure.",
        )


def settle(
    what: str, init: Sequence[Spec], paths: Sequence[str], tree: Tree, run: Callable[..., Body]
) -> tuple[list[Spec], Body]:
    """Trace a body until its carries come out as they went in; `run(specs)` traces it.

    The carries are the first results of the body.
    """
    specs = list(init)
    for _ in range(_ROUNDS):
        body = run(specs)
        n = len(specs)
        agreed = []
        for spec, v, kind, path in zip(specs, body.outs[:n], body.kinds[:n], paths, strict=True):
            after = Spec(v.aval, kind)
            both = joined(spec, after)
            if both is None:
                raise _changed(what, path, spec.aval, v.aval)
            agreed.append(both)
        if agreed == specs:
            return specs, body.cast_outs(
                [*(s.aval.dtype for s in specs), *(v.aval.dtype for v in body.outs[n:])]
            )
        specs = agreed
    raise fail(ControlFlow, f"{what}: the types of the carries do not settle")


def _changed(what: str, path: str, before: Aval, after: Aval) -> Exception:
    return fail(
        ControlFlow,
        f"{what}: the carry{f' {path}' if path else ''} is {before} before a round and {after} "
        "after it",
        f"Give it its final type before the loop, e.g. {_advice(before, after)}.",
    )


def _advice(before: Aval, after: Aval) -> str:
    if before.shape != after.shape:
        return f"np.zeros({after.shape})" if after.shape else "one number"
    name = {"f": "float", "i": "int", "u": "uint", "c": "complex"}.get(KIND[after.dtype], "bool")
    bits = after.dtype[1:] if name != "bool" else ""
    return f"x.astype(np.{name}{bits if name != 'bool' else '_'})"


# ------------------------------------------------------------------ branches


def predicate(p: Any) -> Value:
    """The truth of one value, as `if` asks for it."""
    v = value(p)
    if v.aval.size != 1:
        raise ValueError(
            "The truth value of an array with more than one element is ambiguous. "
            "Use a.any() or a.all()"
        )
    v = ops.shape.reshaped(v, ())
    return v if v.aval.dtype == "bool" else ops.not_equal(v, Const(0, v.aval.dtype))


def record_cond(
    p: Any, then: Callable[..., Any], otherwise: Callable[..., Any], args: tuple[Any, ...]
) -> Any:
    """The row of a branch by a traced value, and its result."""
    where = recorder().builder.where
    leaves, tree = leaves_of(args)
    why = "it is an argument of a branch"
    specs = [spec_of(x, "", why) for x in leaves]
    yes = trace_body("then", then, specs, tree.unflatten)
    no = trace_body("otherwise", otherwise, specs, tree.unflatten)
    same_structure(
        "the branches of cond", yes.tree, no.tree, ("the result of then", "that of otherwise")
    )
    agreed = _agreed(yes, no)
    dtypes = [s.aval.dtype for s in agreed]
    yes, no = yes.cast_outs(dtypes), no.cast_outs(dtypes)
    held, n = union(yes, no), len(specs)
    recorder().builder.where = where
    outs = rows.emit_cond(
        predicate(p),
        [*map(value, leaves), *map(value, held)],
        yes.block(held, n, yes.outs),
        no.block(held, n, no.outs),
    )
    return results(outs, [s.kind for s in agreed], yes.tree)


def _agreed(yes: Body, no: Body) -> list[Spec]:
    agreed = []
    paths = yes.tree.paths()
    for path, v, w, k, m in zip(paths, yes.outs, no.outs, yes.kinds, no.kinds, strict=True):
        both = joined(Spec(v.aval, k), Spec(w.aval, m))
        if both is None:
            raise fail(
                ControlFlow,
                f"cond: the result{f' {path}' if path else ''} is {v.aval} from then and {w.aval} "
                "from otherwise",
                "Both branches must give the same shape and dtype.",
            )
        agreed.append(both)
    return agreed


# ------------------------------------------------------------------ loops


def rounds(low: Any, high: Any) -> Value:
    """How many integers there are from `low` to `high`."""
    first, end = whole(low), whole(high)
    if type(first) is Const and type(end) is Const:
        return Const(max(int(end.data) - int(first.data), 0), "i64")
    return ops.maximum(end if _is_zero(low) else ops.sub(end, first), Const(0, "i64"))


def whole(x: Any) -> Value:
    """An integer as i64."""
    v = value(x)
    if v.aval.kind not in "iu" or v.aval.shape:
        raise fail(ControlFlow, f"a number of rounds is an integer, not {v.aval}")
    return cast(v, "i64")


def _is_zero(x: Any) -> bool:
    return not is_tracer(x) and x == 0


def emit(
    n: Value,
    traced: Body,
    starts: Sequence[Value],
    inputs: Sequence[Value],
    reverse: bool,
    every: int | None,
    states: int,
) -> tuple[Value, ...]:
    """The row of a loop; with `every`, in segments of so many rounds (0: about as many as there
    are segments), of which the adjoint keeps the first states; with `states`, the adjoint keeps
    so many at a time.
    """
    held = list(map(value, traced.held))
    block = traced.block(traced.held, 1, traced.outs)
    if every is None:
        return rows.emit_loop(n, held, starts, inputs, block, reverse=reverse, states=states)
    return emit_segments(n, held, starts, inputs, block, reverse=reverse, every=every)


def record_fori(
    low: Any,
    high: Any,
    body: Callable[..., Any],
    init: Any,
    every: int | None = None,
    states: int = 0,
) -> Any:
    """The row of a loop over integers, and its last carry."""
    where = recorder().builder.where
    leaves, tree = leaves_of(init)
    paths = tree.paths(_name(body, 1, "init"))
    n = rounds(low, high)

    def give(stand_ins: Sequence[Tracer]) -> tuple[Any, ...]:
        i = stand_ins[0]
        return (i if _is_zero(low) else low + i), tree.unflatten(stand_ins[1:])

    def run(specs: Sequence[Spec]) -> Body:
        traced = trace_body("fori_loop", body, [index, *specs], give)
        same_structure("the carry of fori_loop", tree, traced.tree, ("init", "the body's result"))
        return traced

    index = Spec(INDEX, "python", _name(body, 0, "i"))
    given = [spec_of(x, p) for x, p in zip(leaves, paths, strict=True)]
    specs, traced = settle("fori_loop", given, paths, tree, run)
    recorder().builder.where = where
    starts = [value(x, s.aval.dtype) for x, s in zip(leaves, specs, strict=True)]
    outs = emit(n, traced, starts, (), False, every, states)
    return results(outs, [s.kind for s in specs], tree)


def record_while(test: Callable[..., Any], body: Callable[..., Any], init: Any) -> Any:
    """The row of a loop that ends by a traced condition, and its last carry."""
    where = recorder().builder.where
    leaves, tree = leaves_of(init)
    paths = tree.paths(_name(body, 0, "init"))

    def give(stand_ins: Sequence[Tracer]) -> tuple[Any, ...]:
        return (tree.unflatten(stand_ins),)

    def run(specs: Sequence[Spec]) -> Body:
        traced = trace_body("while_loop", body, specs, give)
        same_structure("the carry of while_loop", tree, traced.tree, ("init", "the body's result"))
        return traced

    given = [spec_of(x, p) for x, p in zip(leaves, paths, strict=True)]
    specs, traced = settle("while_loop", given, paths, tree, run)
    why = "it is the carry, which the test of while_loop may only read"
    asked = trace_body("test", lambda c: _truth(test(c)), [replace(s, frozen=why) for s in specs],
                       give)  # fmt: skip
    held = union(asked, traced)
    recorder().builder.where = where
    starts = [value(x, s.aval.dtype) for x, s in zip(leaves, specs, strict=True)]
    *outs, _ = rows.emit_while(
        list(map(value, held)),
        starts,
        asked.block(held, 0, asked.outs),
        traced.block(held, 0, traced.outs),
    )
    return results(outs, [s.kind for s in specs], tree)


def _truth(x: Any) -> Any:
    if not is_tracer(x):
        if x:
            raise fail(
                ControlFlow,
                f"the test of while_loop answered {x!r}, which depends on no traced value: the "
                "loop would never end",
            )
        return False
    return wrap(predicate(x))


def record_scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any,
    length: Any,
    reverse: bool,
    every: int | None = None,
    states: int = 0,
) -> tuple[Any, Any]:
    """The row of a loop over the rows of arrays: the last carry, and the stacked results."""
    where = recorder().builder.where
    leaves, tree = leaves_of(init)
    inputs, inputs_tree = flatten(xs)
    paths = tree.paths(_name(f, 0, "init"))
    n = scan_length(xs, length)
    inputs = [value(x) for x in inputs]
    why = "it is a row of the arrays that scan runs over"
    sliced = [Spec(Aval(v.dtype, v.shape[1:]), "array" if v.ndim > 1 else "scalar", "", why)
              for v in inputs]  # fmt: skip
    k = len(leaves)

    def give(stand_ins: Sequence[Tracer]) -> tuple[Any, ...]:
        return tree.unflatten(stand_ins[1 : k + 1]), inputs_tree.unflatten(stand_ins[k + 1 :])

    def run(specs: Sequence[Spec]) -> Body:
        traced = trace_body("scan", f, [Spec(INDEX, "python", "i"), *specs, *sliced], give)
        if traced.tree.kind is not tuple or len(traced.tree.children) != 2:
            raise fail(
                ControlFlow,
                f"the function of scan returned {traced.tree!r}",
                "It returns a pair: the next carry, and what to stack (or None).",
            )
        same_structure(
            "the carry of scan", tree, traced.tree.children[0], ("init", "the next carry")
        )
        return traced

    given = [spec_of(x, p) for x, p in zip(leaves, paths, strict=True)]
    specs, traced = settle("scan", given, paths, tree, run)
    stacked = traced.tree.children[1]
    if type(n) is not Const and stacked.leaf_count:
        raise fail(
            ControlFlow,
            "the number of rounds of this scan is traced, so the results have no shape",
            "Return (carry, None) from the function, or pass the length as a plain number.",
        )
    recorder().builder.where = where
    starts = [value(x, s.aval.dtype) for x, s in zip(leaves, specs, strict=True)]
    outs = emit(n, traced, starts, inputs, bool(reverse), every, states)
    rows_ = results(outs[k:], ["array"] * len(outs[k:]), stacked)
    return results(outs[:k], [s.kind for s in specs], tree), rows_


def scan_length(xs: Any, length: Any) -> Value:
    """The number of rounds, which all arrays must have as rows."""
    found: dict[int, str] = {}
    leaves, tree = flatten(xs)
    for x, path in zip(leaves, tree.paths("xs"), strict=True):
        shape = np.shape(x) if not is_tracer(x) else x.shape
        if not shape:
            raise fail(ControlFlow, f"scan: {path} is a number; it needs rows to run over")
        found.setdefault(shape[0], path)
    if length is not None and not is_tracer(length):
        found.setdefault(int(length), "length")
    if len(found) > 1:
        told = ", ".join(f"{path} has {n}" for n, path in found.items())
        raise fail(ControlFlow, f"scan: the numbers of rows differ: {told}")
    if is_tracer(length) and not found:
        return ops.maximum(whole(length), Const(0, "i64"))
    if not found:
        raise fail(ControlFlow, "scan: without arrays to run over it needs a length")
    return Const(next(iter(found)), "i64")


def _name(fn: Any, k: int, default: str) -> str:
    """The name of a function's parameter."""
    code = getattr(fn, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    return names[k] if k < len(names) else default

"""The Python in front of a program: generated per variant, so that a call costs little.

`call(args, kwargs)` unpacks the containers, checks what the variant relies on, allocates the
results, and jumps; it answers MISS where the call is not this variant's.  `run(*leaves)` is the
same for leaves that are unpacked already.
"""

from __future__ import annotations

import dataclasses
import linecache
import math
import re
import weakref
from collections.abc import Callable, Sequence
from itertools import count
from types import BuiltinFunctionType
from typing import Any, Final

import numpy as np

from .decisions import Decisions
from .ir.core import Op
from .ir.interp import GuardMiss
from .ir.records import dataclass
from .lying import Lie, Lies, within
from .signature import Fixed, Signature, Spec, layout_of, own_dtype, plain_array
from .staging import Staged
from .tracer.facts import Capture
from .tracer.guards import one_check
from .tracer.tree import DEEPEST, Tree, flatten


class _Miss:
    def __repr__(self) -> str:
        return "MISS"


MISS: Final = _Miss()
_serial = count()
# What unpacking and reading captured arrays may raise when the call is another variant's.
_REFUSALS = "(ValueError, KeyError, AttributeError, LookupError, TypeError)"
_IDENTIFIER = re.compile(r"\W+")


@dataclass(frozen=True)
class Wrapper:
    """The generated functions and their source."""

    call: Callable[[tuple[Any, ...], dict[str, Any]], Any]
    run: Callable[..., Any]
    source: str


@dataclass(frozen=True)
class Fact:
    """What one argument of a kernel is: kind as in `Spec`, or "ours" for an array of ours.

    lie     how an array lies that the kernel reads there
    """

    kind: str
    type: type
    dtype: np.dtype
    shape: tuple[int, ...]
    lie: Lie | None = None


@dataclass(frozen=True)
class Jump:
    """How to call a program that is one kernel: its parameters in the kernel's order.

    make        facts of inputs, outputs and workspaces -> a callable taking them in this order
    inputs      indices of the program's parameters that the kernel reads
    outputs     indices of the program's results that it writes
    workspaces  how many scratch arrays it wants: a set from `free`, or a `fresh` one
    borrow      makes results of `large` bytes and more, from memory that was used before
    failed      a status -> the error it stands for
    missed      a status -> the guard that sent the call away, if it was one
    out_avals   dtype and shape of the program's results
    launch      what a compiled front needs to call the kernel by itself; None if it cannot
    """

    make: Callable[[Sequence[Fact]], Callable[..., Any]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    workspaces: int
    free: list[tuple[np.ndarray, ...]]
    fresh: Callable[[], tuple[np.ndarray, ...]]
    large: int
    borrow: Callable[..., np.ndarray]
    failed: Callable[[Any], Exception]
    missed: Callable[[Any], Op | None]
    out_avals: tuple[tuple[np.dtype, tuple[int, ...]], ...] = ()
    launch: dict[str, Any] | None = None


def make(
    staged: Staged,
    signature: Signature,
    out_avals: Sequence[tuple[np.dtype, tuple[int, ...]]],
    launch: Callable[..., Any],
    jump: Jump | None,
    decisions: Decisions,
    lies: Lies,
) -> Wrapper:
    """The wrapper of a variant: around one kernel, or around `launch(inputs) -> outputs`.

    The program takes arrays as they lie (`lies`, see lying.py), and others in C order.
    """
    from .codegen import memory

    guarded = bool(decisions)
    writer = _Writer(staged, signature, out_avals, jump, guarded, lies)
    text = writer.text()
    entry = jump.make(writer.facts) if jump is not None else None
    if jump is not None and not isinstance(entry, BuiltinFunctionType):
        # Arguments are checked in Python here, which cannot fill in a scalar object.
        writer = _Writer(staged, signature, out_avals, jump, guarded, lies, scalars=False)
        text = writer.text()
        entry = jump.make(writer.facts)
    scope = {
        "MISS": MISS, "ndarray": np.ndarray, "array": np.array, "empty": np.empty,
        "contiguous": memory.contiguous, "plain": plain_array, "flatten": flatten,
        "launch": launch, "entry": entry, "layout_of": layout_of, "within": within, **writer.scope,
    }  # fmt: skip
    if jump is not None:
        scope |= {"fresh": jump.fresh, "failed": jump.failed, "borrow": jump.borrow}
        scope |= {"pop": jump.free.pop, "keep": jump.free.append}
    if guarded:
        scope |= {"passed": decisions.passed, "left": decisions.miss, "GuardMiss": GuardMiss}
        scope["guard_of"] = jump.missed if jump is not None else None
    name = f"<adjit wrapper {next(_serial)} of {staged.traced.name}>"
    exec(compile(text, name, "exec"), scope)
    # Tracebacks and debuggers show the generated lines.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    weakref.finalize(scope["call"], linecache.cache.pop, name, None).atexit = False
    return Wrapper(scope["call"], scope["run"], text)


class _Writer:
    """Writes the text of one wrapper, and collects the objects it names."""

    def __init__(
        self,
        staged: Staged,
        signature: Signature,
        out_avals: Sequence[tuple[np.dtype, tuple[int, ...]]],
        jump: Jump | None,
        guarded: bool,
        lies: Lies,
        scalars: bool = True,
    ) -> None:
        self.staged = staged
        self.signature = signature
        self.out_avals = out_avals
        self.jump = jump
        self.guarded = guarded
        self.lies = lies
        n = len(staged.names) + len(staged.captures)
        self.read = frozenset(range(n)) if jump is None else frozenset(jump.inputs)
        self.facts: list[Fact] = []  # what the kernel's arguments are, for `Jump.make`
        self.scalars = self.scalar_outs() if scalars and jump is not None else frozenset()
        self.scope: dict[str, Any] = {}
        self.taken: set[str] = {"args", "kwargs", "checked"}
        self.names = [self.fresh(n) for n in staged.names]
        self.hidden = [self.fresh(c.path.split()[-1]) for c in staged.captures]
        self.leaves = iter(self.names)

    def fresh(self, path: str) -> str:
        """A readable, unused variable name for a path."""
        name = _IDENTIFIER.sub("_", path).strip("_") or "a"
        name = f"a{name}" if name[0].isdigit() else name
        n = count(1)
        base = name = f"{name}_"  # the underscore keeps clear of keywords and of our own names
        while name in self.taken:
            name = f"{base}{next(n)}"
        self.taken.add(name)
        return name

    def constant(self, value: Any, stem: str) -> str:
        """The name under which the text reads an object."""
        name = f"{stem}{len(self.scope)}"
        self.scope[name] = value
        return name

    def text(self) -> str:
        unpack = self.unpack(self.signature.tree)
        body = [*self.checks(), *self.leap()]
        lines = ["def call(args, kwargs):", "    checked = True", "    try:"]
        lines += [f"        {line}" for line in unpack]
        lines += [f"    except {_REFUSALS}:", "        return MISS"]
        lines += [f"    {line}" for line in body]
        leaves = "".join(f"{n}, " for n in self.names)
        lines += ["", "", f"def run({leaves}checked=True):"]
        lines += [f"    {line}" for line in body]
        return "\n".join(lines) + "\n"

    # -------------------------------------------------------------- taking the call apart

    def unpack(self, tree: Tree) -> list[str]:
        args, kwargs = tree.children
        parts = [self.part(c) for c in args.children]
        targets = "".join(f"{name}, " for name, _ in parts)
        lines = [f"{targets}= args" if targets else "() = args"]
        for _, inner in parts:
            lines += inner
        return lines + self.mapping("kwargs", kwargs)

    def part(self, tree: Tree) -> tuple[str, list[str]]:
        """A variable for one child of a container, and the lines that take it apart."""
        if tree.kind == "leaf":
            return next(self.leaves), []
        name = self.fresh("part")
        return name, self.inside(name, tree)

    def inside(self, name: str, tree: Tree) -> list[str]:
        if tree.kind == "static":
            return self.static(name, tree)
        if tree.kind is Fixed:
            kind, value = tree.data
            own = "int" if kind is int else self.constant(kind, "T")
            return [f"if type({name}) is not {own} or {name} != {int(value)}: return MISS"]
        if tree.kind is dict:
            keys = [key.value for key in tree.data]
            if any(type(key) is not str for key in keys):  # 1 and True and 1.0 are one key
                return self.whole(name, tree)
            ordered = f"or list({name}) != {self.constant(keys, 'keys')}" if len(keys) > 1 else ""
            check = f"if type({name}) is not dict {ordered}: return MISS"
            return [check, *self.mapping(name, tree)]
        kind = tree.kind.__name__ if tree.kind in (list, tuple) else self.constant(tree.kind, "T")
        check = f"if type({name}) is not {kind}: return MISS"
        if tree.kind in (list, tuple) or hasattr(tree.kind, "_fields"):
            parts = [self.part(c) for c in tree.children]
            targets = "".join(f"{p}, " for p, _ in parts)
            lines = [check, f"{targets}= {name}" if targets else f"() = {name}"]
            return lines + [line for _, inner in parts for line in inner]
        if dataclasses.is_dataclass(tree.kind) and tree.data is not None:
            lines = [check]
            for field, child in zip(tree.data, tree.children, strict=True):
                part, inner = self.part(child)
                lines += [f"{part} = {name}.{field}", *inner]
            return lines
        return self.whole(name, tree)

    def static(self, name: str, tree: Tree) -> list[str]:
        value = tree.data.value
        if value is None or isinstance(value, bool):
            return [f"if {name} is not {value}: return MISS"]
        known, same = self.constant(value, "k"), self.constant(tree.data, "s")
        wrap = self.constant(type(tree.data), "w")
        return [f"if {name} is not {known} and {same} != {wrap}({name}): return MISS"]

    def mapping(self, name: str, tree: Tree) -> list[str]:
        lines = [f"if len({name}) != {len(tree.children)}: return MISS"]
        if not tree.children:
            lines = [f"if {name}: return MISS"]
        for key, child in zip(tree.data, tree.children, strict=True):
            part, inner = self.part(child)
            plain = type(key.value) in (str, int)
            text = repr(key.value) if plain else self.constant(key.value, "key")
            lines += [f"{part} = {name}[{text}]", *inner]
        return lines

    def whole(self, name: str, tree: Tree) -> list[str]:
        """Containers of other classes go through the general way."""
        leaves = "".join(f"{next(self.leaves)}, " for _ in range(tree.leaf_count))
        known, got = self.constant(tree, "tree"), self.fresh("tree")
        return [
            f"({leaves}), {got} = flatten({name})" if leaves else f"_, {got} = flatten({name})",
            f"if {got} != {known}: return MISS",
        ]

    # -------------------------------------------------------------- checks and the jump

    def checks(self) -> list[str]:
        lines = []
        for k, (name, spec) in enumerate(zip(self.names, self.signature.specs, strict=True)):
            lines += self.leaf(k, name, spec)
        if self.staged.guards:
            holds = self.constant(one_check(self.staged.guards), "holds")
            lines.append(f"if checked and not {holds}(): return MISS")
        for k, c in enumerate(self.staged.captures, len(self.names)):
            lines += self.captured(k, c)
        return lines

    def checked_by_entry(self, k: int) -> bool:
        """Whether the compiled entry looks at parameter `k`: its type, dtype, shape, strides."""
        return self.jump is not None and k in self.read

    def leaf(self, k: int, name: str, spec: Spec) -> list[str]:
        if spec.kind == "array":
            return self.array(k, name, spec)
        if self.checked_by_entry(k):
            return []
        kind = spec.type.__name__ if spec.kind == "python" else self.constant(spec.type, "T")
        return [f"if type({name}) is not {kind}: return MISS"]

    def array(self, k: int, name: str, spec: Spec) -> list[str]:
        lie = self.lies[k]
        in_place = spec.layout == "C" or lie is not None
        if self.checked_by_entry(k) and in_place:
            return []
        dtype = self.constant(spec.dtype, "d")
        lines = [
            f"if type({name}) is not ndarray or {name}.dtype != {dtype} "
            f"or {name}.shape != {spec.shape}: return MISS"
        ]
        if spec.layout not in ("any", "odd"):
            flag = {"C": "not {}.flags.c_contiguous", "F": "not {}.flags.fnc"}
            other = f"layout_of({{}}) != {self.constant((spec.layout, spec.lie), 'how')}"
            lines.append(f"if {flag.get(spec.layout, other).format(name)}: return MISS")
        if not in_place and k in self.read:
            lines.append(f"{name} = contiguous({name})")
        elif self.jump is None and lie is not None:
            lines.append(f"{name} = within({name}, {self.constant(lie, 'lie')})")
        return lines

    def captured(self, k: int, c: Capture) -> list[str]:
        name = self.hidden[k - len(self.names)]
        if not c.live:
            self.scope[name] = np.asarray(c.value, order="C")  # 0-d stays 0-d
            return []
        read, spec = self.constant(c.read, "read"), captured_spec(c.value)
        lines = ["try:", f"    {name} = {read}()", "except LookupError:", "    return MISS"]
        if spec.layout == "odd":
            lines.append(f"{name} = plain({name})")
        return lines + self.array(k, name, spec)

    def leap(self) -> list[str]:
        """The lines that run the program and return its results."""
        if self.jump is None:
            inputs = [
                n if s.kind == "array" else f"array({n}, {self.constant(s.dtype, 'd')})"
                for n, s in zip(self.names, self.signature.specs, strict=True)
            ]
            outs = [f"results[{k}]" for k in range(len(self.out_avals))]
            lines = [f"results = launch([{', '.join([*inputs, *self.hidden])}])"]
            if self.guarded:
                lines = ["try:", f"    {lines[0]}", "except GuardMiss as miss:"]
                lines += ["    left(miss.op)", "    return MISS", "next(passed)"]
            return [*lines, f"return {self.result(outs)}"]
        inputs, written = self.kernel_inputs(), [f"out{k}" for k in self.jump.outputs]
        outs = [f"out{k}" for k in range(len(self.out_avals))]
        lines = []
        for k, (dtype, shape) in enumerate(self.out_avals):
            large = dtype.itemsize * math.prod(shape) >= self.jump.large
            allocate = "borrow" if large else "empty"
            made = f"{allocate}({shape}, {self.constant(dtype, 'd')})"
            if k in self.scalars:  # an object of its own, which the kernel fills in
                made = f"{self.constant(dtype.type, 'new')}()"
            lines.append(f"out{k} = {made}")
        for k in self.jump.outputs:
            kind = "scalar" if k in self.scalars else "ours"
            self.facts.append(Fact(kind, self.out_avals[k][0].type, *self.out_avals[k]))
        work = [f"work{k}" for k in range(self.jump.workspaces)]
        self.facts += [Fact("ours", np.ndarray, np.dtype(float), ())] * len(work)
        if work:
            lines += ["try:", "    work = pop()", "except IndexError:", "    work = fresh()"]
            lines.append(f"{', '.join(work)}, = work")
        lines.append(f"status = entry({', '.join([*inputs, *written, *work])})")
        if work:
            lines.append("keep(work)")
        lines += ["if status is not True:", "    if status is None: return MISS"]
        if self.guarded:
            lines += ["    op = guard_of(status)", "    if op is not None:"]
            lines += ["        left(op)", "        return MISS"]
        lines.append("    raise failed(status)")
        if self.guarded:
            lines.append("next(passed)")
        return [*lines, f"return {self.result(outs)}"]

    def scalar_outs(self) -> frozenset[int]:
        """The results that are a float64 or float32 number, never an array."""
        plain = {out[1] for out in self.staged.outs if out[0] == "value" and out[2] != "array"}
        shared = {out[1] for out in self.staged.outs if out[0] == "value" and out[2] == "array"}
        floats = {k for k, (dtype, _) in enumerate(self.out_avals) if dtype.char in "df"}
        return frozenset((plain - shared) & floats)

    def kernel_inputs(self) -> list[str]:
        assert self.jump is not None
        names = []
        for k in self.jump.inputs:
            if k < len(self.names):
                names.append(self.names[k])
                spec = self.signature.specs[k]
                fact = Fact(spec.kind, spec.type, spec.dtype, spec.shape, self.lies[k])
                self.facts.append(fact)
                continue
            c = self.staged.captures[k - len(self.names)]
            names.append(self.hidden[k - len(self.names)])
            kind = "array" if c.live else "ours"
            spec = captured_spec(c.value)
            self.facts.append(Fact(kind, np.ndarray, spec.dtype, spec.shape, self.lies[k]))
        return names

    # -------------------------------------------------------------- putting the result together

    def result(self, outs: Sequence[str]) -> str:
        leaves = [self.out(o, outs) for o in self.staged.outs]
        return self.build(self.staged.out_tree, iter(leaves))

    def out(self, out: tuple[Any, ...], outs: Sequence[str]) -> str:
        if out[0] == "static":
            return self.constant(out[1], "k")
        name, kind = outs[out[1]], out[2]
        if kind == "array":
            return name
        if kind == "scalar":
            return name if out[1] in self.scalars else f"{name}[()]"
        return f"{name}.item()"

    def build(self, tree: Tree, leaves: Any, depth: int = 0) -> str:
        if tree.kind == "leaf":
            return next(leaves)
        if tree.kind == "static":
            return self.constant(tree.data.value, "k")
        deep = depth >= DEEPEST  # a line of Python has no more than 200 open brackets
        if not deep and (tree.kind in (tuple, list) or hasattr(tree.kind, "_fields")):
            parts = [self.build(c, leaves, depth + 1) for c in tree.children]
            if tree.kind is list:
                return f"[{', '.join(parts)}]"
            text = "".join(f"{p}, " for p in parts)
            return f"({text})" if tree.kind is tuple else f"{self.constant(tree.kind, 'T')}({text})"
        if tree.kind is dict and not deep:
            parts = [self.build(c, leaves, depth + 1) for c in tree.children]
            keys = [
                repr(k.value) if type(k.value) in (str, int) else self.constant(k.value, "key")
                for k in tree.data
            ]
            pairs = (f"{k}: {p}" for k, p in zip(keys, parts, strict=True))
            return f"{{{', '.join(pairs)}}}"
        inner = "".join(f"{next(leaves)}, " for _ in range(tree.leaf_count))
        return f"{self.constant(tree.unflatten, 'build')}(({inner}))"


def captured_spec(x: np.ndarray) -> Spec:
    """The spec of a captured array: where no elements lay apart, they shall not do so again.

    The layout "any" is that of one with gaps, for which any other will do; "odd" is that of an
    array that machine code cannot read as it is.
    """
    layout, lie = layout_of(x)
    if plain_array(x) is not x:
        layout, lie = "odd", None
    elif layout == "A":
        layout = "any"
    return Spec("array", np.ndarray, own_dtype(x.dtype), x.shape, layout, lie)

"""The compiled front of a variant: what `wrapper.py` writes in Python, as instructions.

It knows fewer calls than the wrapper does (programs of one kernel alone): `front_of` answers None
for the others, and the wrapper goes on serving.  Calls with `out=` have fronts of their own, one
for each structure of it, two: the first takes arrays in C order that overlap with nothing else, the
second (`late`) copies results into them at the end, a single one in any order; outs.py does the
rest.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .front_state import State
from .lying import Lies, strides
from .outs import pair
from .signature import Fixed, Signature, Spec
from .staging import Staged
from .tracer.facts import Capture
from .tracer.tree import Tree, is_record, join, split
from .wrapper import Jump, captured_spec

_ORDER = {"F": 2, "S": 0, "A": 0, "any": None}  # the flags of contiguity
_SCALARS = "dfbhilqBHILQ"  # dtypes whose scalar objects hold the value in one word


class _Unknown(Exception):
    """The variant has something that instructions cannot say."""


def front_of(
    staged: Staged,
    signature: Signature,
    jump: Jump | None,
    lies: Lies,
    form: Tree | None = None,
    late: bool = False,
) -> Any:
    """The table of a variant whose program is one kernel, or None; for `out=` of this form.

    `lies`: how the arrays lie that the kernel reads where they lie (lying.py).
    """
    if jump is None or jump.launch is None:
        return None
    from .codegen import front

    if not front.works():
        return None
    try:
        return _Translator(staged, signature, jump, lies, form, late).table()
    except _Unknown:
        return None


def _parts(kind: type, data: Any, count: int, x: Any) -> list[Any]:
    """The children of a container of another class; a LookupError where it has other data."""
    found = split(x)
    if type(x) is not kind or found is None or found[1] != data or len(found[0]) != count:
        raise LookupError
    return found[0]


class _Translator:
    """Translates one variant: unpacking, checks, pointers in the kernel's order, results."""

    def __init__(
        self,
        staged: Staged,
        signature: Signature,
        jump: Jump,
        lies: Lies,
        form: Tree | None = None,
        late: bool = False,
    ) -> None:
        from .codegen import front, front_words

        self.code = front_words
        self.staged = staged
        self.signature = signature
        self.jump = jump
        self.program = front.Program()
        self.lies = lies
        self.form = form
        self.late = late
        self.leaves: list[int] = []
        self.outs: dict[int, int] = {}
        self.read: list[tuple[int, int]] = []  # pointers and bytes of what the kernel reads
        self.written: list[tuple[int, int]] = []

    def table(self) -> Any:
        p, code, jump = self.program, self.code, self.jump
        self.arguments()
        self.captures()
        for k in jump.inputs:
            self.input(k)
        targets = self.targets()
        kinds: dict[int, set[str]] = {}
        for out in self.staged.outs:
            if out[0] == "value":
                kinds.setdefault(out[1], set()).add(out[2])
        numbers: dict[int, tuple[int, str]] = {}
        sources: dict[int, int] = {}
        for k in jump.outputs:
            sources[k] = p.pointers
            if k in targets and not self.late:
                self.target(k, targets[k])
            else:
                fresh = {"array"} if k in targets else kinds.get(k, {"array"})
                self.output(k, fresh, numbers)
        work = jump.fresh()
        for array in work:
            p.add(code.FIXED, 0, p.pointer(), array.ctypes.data)
        self.unread()
        made = dict(self.outs)
        for k, r in targets.items() if self.late else ():
            self.target(k, r, strided=len(targets) == 1)
        if len(self.written) > self.late:  # one alone cannot overlap with another one
            p.disjoint(self.written, () if self.late else self.read)
        p.add(code.RUN)
        if self.late and len(targets) == 1:
            for k, r in targets.items():
                p.add(code.POUR, r, made[k])
        elif self.late:
            for k, (pointer, count) in zip(targets, self.written, strict=True):
                p.store(pointer, sources[k], count)
        for k, (pointer, kind) in numbers.items():
            self.outs[k] = self.number(pointer, *self.jump.out_avals[k], kind)
        p.add(code.RETURN, self.result())
        assert jump.launch is not None
        return p.table(**jump.launch, shared=bool(work), keep=work)

    # -------------------------------------------------------------- taking the call apart

    def arguments(self) -> None:
        p, code = self.program, self.code
        args, kwargs = self.signature.tree.children
        p.add(code.NARGS, len(args.children), len(kwargs.children) + (self.form is not None))
        for k, child in enumerate(args.children):
            r = p.register()
            p.add(code.ARG, r, k)
            self.part(r, child, self.leaves)
        for key, child in zip(kwargs.data or (), kwargs.children, strict=True):
            self.part(self.keyword(key.value), child, self.leaves)
        for spec, r in zip(self.signature.specs, self.leaves, strict=True):
            self.check(r, spec)

    def keyword(self, name: str) -> int:
        r = self.program.register()
        self.program.add(self.code.KEYWORD, r, sys.intern(name))
        return r

    def part(self, r: int, tree: Tree, leaves: list[int]) -> None:
        """Check the container in a register and take it apart, down to its leaves."""
        p, code = self.program, self.code
        if tree.kind == "leaf":
            leaves.append(r)
        elif tree.kind == "static":
            p.add(code.SAME, r, p.held(tree.data.value))
        elif tree.kind is Fixed:
            kind, value = tree.data
            if kind is not int or not -(2**63) <= value < 2**63:
                raise _Unknown
            p.add(code.TYPE, r, kind)
            p.add(code.INT, r, int(value))
        elif tree.kind is dict:
            keys = p.block(len(tree.children), *(p.held(key.value) for key in tree.data))
            self.children(code.DICT_ITEMS, r, keys, tree, leaves)
        elif tree.kind is list:
            self.children(code.LIST_ITEMS, r, len(tree.children), tree, leaves)
        elif tree.kind is tuple or hasattr(tree.kind, "_fields"):
            self.children(code.TUPLE_ITEMS, r, len(tree.children), tree, leaves)
        elif is_record(tree.kind):
            p.add(code.TYPE, r, tree.kind)
            for name, child in zip(tree.data, tree.children, strict=True):
                part = p.register()
                p.add(code.ATTRIBUTE, part, r, sys.intern(name))
                self.part(part, child, leaves)
        else:
            box, count = p.register(), len(tree.children)
            p.add(code.CALL, box, r, functools.partial(_parts, tree.kind, tree.data, count))
            listed = Tree(list, None, tree.children)
            self.children(code.LIST_ITEMS, box, count, listed, leaves)

    def children(self, items: int, r: int, which: Any, tree: Tree, leaves: list[int]) -> None:
        """The children of a tuple, list or dict, in registers that follow each other."""
        p, count = self.program, len(tree.children)
        p.add(self.code.BOX, r, tree.kind, count)
        first = p.register(count)
        p.add(items, first, r, which)
        for k, child in enumerate(tree.children, first):
            self.part(k, child, leaves)

    def check(self, r: int, spec: Spec) -> None:
        """What a leaf must be, if the kernel does not look at it (else `input` checks)."""
        if spec.kind in ("python", "scalar"):
            self.program.add(self.code.TYPE, r, spec.type)
        elif spec.kind != "array":
            raise _Unknown

    def captures(self) -> None:
        """Check what the trace relied on; where the captured arrays are."""
        state = State(self.program)
        state.guard(self.staged.guards)
        self.hidden = [state.capture(c) if c.live else -1 for c in self.staged.captures]

    def input(self, k: int) -> None:
        """The next pointer of the kernel, to parameter `k`."""
        p, code = self.program, self.code
        if k >= len(self.leaves):
            c = self.staged.captures[k - len(self.leaves)]
            r = self.hidden[k - len(self.leaves)]
            if c.live:
                self.captured(k, r, c)
            else:
                held = np.asarray(c.value, order="C")  # of ascontiguousarray, 0-d becomes 1-d
                p.alive.append(held)
                p.add(code.FIXED, 0, p.pointer(), held.ctypes.data)
            return
        spec, r = self.signature.specs[k], self.leaves[k]
        if spec.kind == "array":
            self.array(k, r, spec)
        elif spec.type is int:
            p.add(code.INTEGER, r, p.pointer())
        else:
            p.add(code.VALUE, r, p.pointer())

    def array(self, k: int, r: int, spec: Spec) -> None:
        """The next pointer of the kernel, to the array that is parameter `k`, or to a copy."""
        p, dtype, shape = self.program, spec.dtype, spec.shape
        if spec.layout == "C" or self.lies[k] is not None:
            steps = strides(dtype, shape, self.lies[k])
            span = sum(s * (n - 1) for s, n in zip(steps, shape, strict=True)) + dtype.itemsize
            self.read.append((p.array(r, dtype, shape, steps), span if 0 not in shape else 0))
            return
        pointer = p.laid(r, dtype, shape, _ORDER[spec.layout])
        if k in self.jump.inputs and dtype.itemsize * math.prod(shape) < self.jump.large:
            p.add(self.code.COPY, p.register(), pointer, r)
        elif k in self.jump.inputs:
            p.add(self.code.POUR, p.borrow(self.jump.borrow, dtype, shape, pointer), r)

    def captured(self, k: int, r: int, c: Capture) -> None:
        spec, x = captured_spec(c.value), c.value
        if spec.layout == "odd":  # one of another dtype object is read as it is
            if type(x) is not np.ndarray or not x.flags.aligned or not x.flags.c_contiguous:
                raise _Unknown
            spec = replace(spec, dtype=x.dtype, layout="C")
        self.array(k, r, spec)

    def unread(self) -> None:
        """Check the arrays that the kernel does not read; their pointers come after its own."""
        read = set(self.jump.inputs)
        for k, (r, spec) in enumerate(zip(self.leaves, self.signature.specs, strict=True)):
            if k not in read and spec.kind == "array":
                self.array(k, r, spec)
        hidden = zip(self.hidden, self.staged.captures, strict=True)
        for k, (r, c) in enumerate(hidden, len(self.leaves)):
            if k not in read and c.live:
                self.captured(k, r, c)

    # -------------------------------------------------------------- results

    def targets(self) -> dict[int, int]:
        """The registers of the arrays in `out`, by the result that they take."""
        if self.form is None:
            return {}
        given: list[int] = []
        self.root = self.keyword("out")
        self.part(self.root, self.form, given)
        try:
            self.places = pair(self.staged.out_tree, self.form)
        except ValueError:
            raise _Unknown from None  # outs.py says what is wrong with it
        found: dict[int, int] = {}
        for out, place in zip(self.staged.outs, self.places, strict=True):
            if place is not None:
                if out[0] != "value" or out[1] in found:
                    raise _Unknown
                found[out[1]] = given[place]
        twice = [out[1] for out in self.staged.outs if out[0] == "value" and out[1] in found]
        if len(twice) != len(found):
            raise _Unknown
        return found

    def target(self, k: int, r: int, strided: bool = False) -> None:
        """The next pointer of the kernel, to an array of the caller's."""
        dtype, shape = self.jump.out_avals[k]
        pointer = self.program.target(r, dtype, shape, strided)
        self.written.append((pointer, dtype.itemsize * math.prod(shape)))
        self.outs[k] = r

    def output(self, k: int, kinds: set[str], numbers: dict[int, tuple[int, str]]) -> None:
        """The next pointer of the kernel, to result `k`."""
        p, code = self.program, self.code
        dtype, shape = self.jump.out_avals[k]
        if len(kinds) != 1:
            raise _Unknown
        (kind,) = kinds
        if kind == "array":
            large = dtype.itemsize * math.prod(shape) >= self.jump.large
            self.outs[k] = (
                p.borrow(self.jump.borrow, dtype, shape) if large else p.empty(dtype, shape)
            )
        elif kind == "scalar" and dtype.char in _SCALARS:
            self.outs[k] = p.register()
            p.add(code.SCALAR, self.outs[k], p.pointer(), dtype.type)
        elif dtype.char in ("dlq?" if kind == "python" else "?"):
            numbers[k] = p.pointer(), kind
            p.add(code.LOCAL, 0, numbers[k][0])
        else:
            raise _Unknown

    def number(self, pointer: int, dtype: np.dtype, shape: tuple[int, ...], kind: str) -> int:
        """A number made of what the kernel left in a local value."""
        p, code, r = self.program, self.code, self.program.register()
        if dtype.char == "?":
            both = (False, True) if kind == "python" else (np.False_, np.True_)
            p.add(code.CHOICE, r, pointer, p.block(*both))
        else:
            p.add(code.FLOAT if dtype.char == "d" else code.LONG, r, pointer)
        return r

    def result(self) -> int:
        if self.form is not None and None not in self.places:
            return self.root
        leaves = [self.leaf(out) for out in self.staged.outs]
        return self.build(self.staged.out_tree, iter(leaves))

    def leaf(self, out: tuple[Any, ...]) -> int:
        return self.outs[out[1]] if out[0] == "value" else self.object(out[1])

    def object(self, x: Any) -> int:
        r = self.program.register()
        self.program.add(self.code.OBJECT, r, self.program.held(x))
        return r

    def build(self, tree: Tree, leaves: Iterator[int]) -> int:
        p, code = self.program, self.code
        if tree.kind == "leaf":
            return next(leaves)
        if tree.kind == "static":
            return self.object(tree.data.value)
        parts = [self.build(c, leaves) for c in tree.children]
        if tree.kind in (tuple, list):
            return p.box(code.MAKE_LIST if tree.kind is list else code.MAKE_TUPLE, parts)
        if tree.kind is dict:
            return p.mapping([key.value for key in tree.data], parts)
        if _plain_named_tuple(tree.kind):
            return p.like(tree.kind, parts)
        if is_record(tree.kind):
            return self.record(tree.kind, tree.data, parts)
        r, box = p.register(), p.box(code.MAKE_LIST, parts)
        p.add(code.CALL, r, box, functools.partial(join, tree.kind, tree.data))
        return r

    def record(self, kind: type, names: Sequence[str], parts: Sequence[int]) -> int:
        """An object of a dataclass, whose `__init__` ran when the first one was made."""
        r = self.program.register()
        self.program.add(self.code.NEW, r, kind)
        for name, part in zip(names, parts, strict=True):
            self.program.add(self.code.SET, r, part, sys.intern(name))
        return r


def _plain_named_tuple(kind: type) -> bool:
    """Whether the class is one of `collections.namedtuple`, that makes tuples and no more."""
    made = getattr(kind, "__new__", None)
    return (
        kind.__bases__ == (tuple,)
        and hasattr(kind, "_fields")
        and getattr(made, "__module__", "") == f"namedtuple_{kind.__name__}"
    )

"""The compiled front of a variant: what `wrapper.py` writes in Python, as instructions.

It knows fewer calls than the wrapper does (no copies of strided arguments, no integer results, no
containers of other classes): `front_of` answers None for those, and the wrapper goes on serving.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from .signature import Fixed, Signature, Spec
from .staging import Staged
from .tracer.guards import one_check
from .tracer.tree import Tree
from .wrapper import Jump


class _Unknown(Exception):
    """The variant has something that instructions cannot say."""


def front_of(staged: Staged, signature: Signature, jump: Jump | None) -> Any:
    """The table of a variant whose program is one kernel, or None."""
    if jump is None or jump.launch is None:
        return None
    from .codegen import front

    if not front.works():
        return None
    try:
        return _Translator(staged, signature, jump).table()
    except _Unknown:
        return None


class _Translator:
    """Translates one variant: unpacking, checks, pointers in the kernel's order, results."""

    def __init__(self, staged: Staged, signature: Signature, jump: Jump) -> None:
        from .codegen import front, front_words

        self.code = front_words
        self.staged = staged
        self.signature = signature
        self.jump = jump
        self.program = front.Program()
        self.leaves: list[int] = []
        self.outs: dict[int, int] = {}

    def table(self) -> Any:
        p, code, jump = self.program, self.code, self.jump
        self.arguments()
        self.captures()
        for k in jump.inputs:
            self.input(k)
        kinds: dict[int, set[str]] = {}
        for out in self.staged.outs:
            if out[0] == "value":
                kinds.setdefault(out[1], set()).add(out[2])
        numbers: dict[int, int] = {}
        for k in jump.outputs:
            self.output(k, kinds.get(k, {"array"}), numbers)
        work = jump.fresh()
        for array in work:
            p.add(code.FIXED, 0, p.pointer(), array.ctypes.data)
        self.unread()
        p.add(code.RUN)
        for k, pointer in numbers.items():
            self.outs[k] = p.register()
            p.add(code.FLOAT, self.outs[k], pointer)
        leaves = [self.leaf(out) for out in self.staged.outs]
        p.add(code.RETURN, self.build(self.staged.out_tree, iter(leaves)))
        assert jump.launch is not None
        return p.table(**jump.launch, shared=bool(work), keep=work)

    # -------------------------------------------------------------- taking the call apart

    def arguments(self) -> None:
        p, code = self.program, self.code
        args, kwargs = self.signature.tree.children
        p.add(code.NARGS, len(args.children), len(kwargs.children))
        for k, child in enumerate(args.children):
            r = p.register()
            p.add(code.ARG, r, k)
            self.part(r, child)
        for key, child in zip(kwargs.data or (), kwargs.children, strict=True):
            r = p.register()
            p.add(code.KEYWORD, r, sys.intern(key.value))
            self.part(r, child)
        for spec, r in zip(self.signature.specs, self.leaves, strict=True):
            self.check(r, spec)

    def part(self, r: int, tree: Tree) -> None:
        """Check the container in a register and take it apart, down to its leaves."""
        p, code = self.program, self.code
        if tree.kind == "leaf":
            self.leaves.append(r)
        elif tree.kind == "static":
            p.add(code.SAME, r, self.held(tree.data.value))
        elif tree.kind is Fixed:
            kind, value = tree.data
            if kind is not int or not -(2**63) <= value < 2**63:
                raise _Unknown
            p.add(code.TYPE, r, kind)
            p.add(code.INT, r, int(value))
        elif tree.kind is dict:
            p.add(code.TYPE, r, dict)
            p.add(code.DICT_SIZE, r, len(tree.children))
            for key, child in zip(tree.data, tree.children, strict=True):
                if type(key.value) not in (str, int):
                    raise _Unknown
                self.child(code.DICT_ITEM, r, key.value, child)
        elif tree.kind in (list, tuple) or hasattr(tree.kind, "_fields"):
            p.add(code.TYPE, r, tree.kind)
            p.add(code.SIZE, r, len(tree.children))
            for k, child in enumerate(tree.children):
                self.child(code.LIST_ITEM if tree.kind is list else code.TUPLE_ITEM, r, k, child)
        elif dataclasses.is_dataclass(tree.kind) and tree.data is not None:
            p.add(code.TYPE, r, tree.kind)
            for name, child in zip(tree.data, tree.children, strict=True):
                self.child(code.ATTRIBUTE, r, sys.intern(name), child)
        else:
            raise _Unknown

    def child(self, operation: int, r: int, key: Any, tree: Tree) -> None:
        part = self.program.register()
        if operation == self.code.DICT_ITEM:  # an int among the words would stand for itself
            self.program.alive.append(key)
            key = id(key)
        self.program.add(operation, part, r, key)
        self.part(part, tree)

    def check(self, r: int, spec: Spec) -> None:
        """What a leaf must be, if the kernel does not look at it (else `input` checks)."""
        if spec.kind in ("python", "scalar"):
            self.program.add(self.code.TYPE, r, spec.type)
        elif spec.kind != "array" or spec.layout != "C":
            raise _Unknown

    def captures(self) -> None:
        p, code = self.program, self.code
        if self.staged.guards:
            p.add(code.HOLDS, 0, one_check(self.staged.guards))
        self.hidden: list[int] = []
        for c in self.staged.captures:
            if not c.value.flags.c_contiguous and c.live:
                raise _Unknown
            self.hidden.append(p.register())
            if c.live:
                p.add(code.READ, self.hidden[-1], c.read)

    def input(self, k: int) -> None:
        """The next pointer of the kernel, to parameter `k`."""
        p, code = self.program, self.code
        if k >= len(self.leaves):
            c = self.staged.captures[k - len(self.leaves)]
            r = self.hidden[k - len(self.leaves)]
            if c.live:
                p.array(r, c.value.dtype, c.value.shape)
            else:
                held = np.asarray(c.value, order="C")  # of ascontiguousarray, 0-d becomes 1-d
                p.alive.append(held)
                p.add(code.FIXED, 0, p.pointer(), held.ctypes.data)
            return
        spec, r = self.signature.specs[k], self.leaves[k]
        if spec.kind == "array":
            p.array(r, spec.dtype, spec.shape)
        elif spec.type is int:
            p.add(code.INTEGER, r, p.pointer())
        else:
            p.add(code.VALUE, r, p.pointer())

    def unread(self) -> None:
        """Check the arrays that the kernel does not read; their pointers come after its own."""
        p, read = self.program, set(self.jump.inputs)
        for k, (r, spec) in enumerate(zip(self.leaves, self.signature.specs, strict=True)):
            if k not in read and spec.kind == "array":
                p.array(r, spec.dtype, spec.shape)
        for k, (r, c) in enumerate(zip(self.hidden, self.staged.captures, strict=True)):
            if k + len(self.leaves) not in read and c.live:
                p.array(r, c.value.dtype, c.value.shape)

    # -------------------------------------------------------------- results

    def output(self, k: int, kinds: set[str], numbers: dict[int, int]) -> None:
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
        elif dtype.char not in "df" or (kind == "python" and dtype.char != "d"):
            raise _Unknown
        elif kind == "scalar":
            self.outs[k] = p.register()
            p.add(code.SCALAR, self.outs[k], p.pointer(), dtype.type)
        else:
            numbers[k] = p.pointer()
            p.add(code.LOCAL, 0, numbers[k])

    def leaf(self, out: tuple[Any, ...]) -> int:
        return self.outs[out[1]] if out[0] == "value" else self.object(out[1])

    def object(self, x: Any) -> int:
        r = self.program.register()
        self.program.add(self.code.OBJECT, r, self.held(x))
        return r

    def held(self, x: Any) -> Any:
        """An object as a word: an int among the words would stand for itself."""
        if type(x) is not int:
            return x
        self.program.alive.append(x)
        return id(x)

    def build(self, tree: Tree, leaves: Iterator[int]) -> int:
        p, code = self.program, self.code
        if tree.kind == "leaf":
            return next(leaves)
        if tree.kind == "static":
            return self.object(tree.data.value)
        if tree.kind in (tuple, list):
            parts = [self.build(c, leaves) for c in tree.children]
            return p.box(code.MAKE_LIST if tree.kind is list else code.MAKE_TUPLE, parts)
        if tree.kind is dict:
            parts = [self.build(c, leaves) for c in tree.children]
            return p.mapping([key.value for key in tree.data], parts)
        raise _Unknown

"""Sums of pads with strides become arrays woven of pieces, each computed at its own places.

The cotangent of `x[::2]` is zeros with something at every second place, and that of a function of
`x[::2]` and `x[1::2]` the sum of two.  Here such an array is its pieces, one for each remainder of
the index by the stride; what is done element by element, sums, slices and pads are done on the
pieces, and one loop over these writes all of them where somebody reads the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from ..ir.access import unit_reshape
from ..ir.builder import Builder
from ..ir.core import Block, Function, Op, Value, all_ops
from ..ir.ops.elementwise import add
from ..ir.ops.interleave import count, interleave, piece, piece_shape, residues
from ..ir.ops.shape import broadcast, flip, pad, reshape, slice_, sum_, transpose, zeros
from ..ir.records import dataclass
from ..ir.types import Aval
from .replay import fresh

Shape = tuple[int, ...]
MOST = 16  # pieces of an array
LONGEST = 2000  # ops that may be made of pieces: each is text in a kernel


@dataclass(frozen=True, eq=False)
class Woven:
    """An array in pieces, by where they begin in it; the steps between their elements."""

    aval: Aval
    steps: Shape
    pieces: Mapping[Shape, Value]


def weave(function: Function) -> Function:
    """The function with strided pads in pieces."""
    if not any(map(_strided, all_ops(function.block))):
        return function
    return Function(function.name, _Weaver().run(function.block))


def _strided(op: Op) -> bool:
    """Whether an op sets elements so far apart that an array in pieces pays."""
    if op.prim is not pad or 0 in op.args[0].shape or -1 in op.outs[0].shape:
        return False
    steps = _steps(op)
    long = all(n >= s for n, s in zip(op.outs[0].shape, steps, strict=True))
    return 1 < math.prod(steps) <= MOST and long


def _steps(op: Op) -> Shape:
    pairs = zip(op.args[0].shape, op.attrs["step"], strict=True)
    return tuple(abs(s) if n > 1 else 1 for n, s in pairs)


@dataclass(eq=False)
class _Weaver:
    """One walk over a block; `woven` are the arrays in pieces, by the values they stand for."""

    env: dict[Value, Value] = field(default_factory=dict)
    woven: dict[Value, Woven] = field(default_factory=dict)
    left: int = LONGEST

    def run(self, block: Block) -> Block:
        params = fresh(block.params)
        self.env.update(zip(block.params, params, strict=True))
        with Builder(params) as b:
            for op in block.ops:
                b.where = op.where
                found = self._of(b, op)
                if found is not None:
                    self._enter(op.outs[0], found)
                    continue
                args = [self.whole(a) for a in op.args]
                blocks = {label: _inner(r) for label, r in op.blocks.items()}
                outs = b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])
                self.env.update(zip(op.outs, outs, strict=True))
            return b.done([self.whole(v) for v in block.outs])

    def _enter(self, v: Value, found: Woven) -> None:
        self.left -= len(found.pieces)
        if len(found.pieces) == 1:
            (self.env[v],) = found.pieces.values()
        else:
            self.woven[v] = found

    def whole(self, v: Value) -> Value:
        """A value as it is read by what knows no pieces."""
        if v not in self.env and v in self.woven:
            w = self.woven[v]
            self.env[v] = interleave(*(w.pieces[r] for r in residues(w.steps)), steps=w.steps)
            self.env[v].hint = v.hint
        return self.env.get(v, v)

    def _of(self, b: Builder, op: Op) -> Woven | None:
        """What an op makes in pieces; None where it is to be copied as it is."""
        if op.blocks or len(op.outs) != 1 or self.left <= 0:
            return None
        if op.prim is pad and (_strided(op) or op.args[0] in self.woven):
            return self._padded(op)
        if not any(a in self.woven for a in op.args) or -1 in op.outs[0].shape:
            return None
        if op.prim.elementwise:
            return self._elementwise(b, op)
        rule = _RULES.get(op.prim.name)
        return rule(self.woven[op.args[0]], op) if rule is not None else None

    def _elementwise(self, b: Builder, op: Op) -> Woven | None:
        out = op.outs[0].aval
        found = [w for a in op.args if (w := self.woven.get(a)) is not None]
        if any(w.aval.shape != out.shape for w in found):
            return None
        steps = tuple(map(math.lcm, *(w.steps for w in found)))
        if math.prod(steps) > MOST or any(n < s for n, s in zip(out.shape, steps, strict=True)):
            return None
        pieces = {}
        for r in residues(steps):
            args = [self._part(a, out.shape, r, steps) for a in op.args]
            (pieces[r],) = b.add(op.prim, args, op.attrs, None, [op.outs[0].hint])
        return Woven(out, steps, pieces)

    def _part(self, v: Value, shape: Shape, residue: Shape, steps: Shape) -> Value:
        """The elements of an operand for one piece of a result of this shape."""
        w = self.woven.get(v)
        if w is not None:
            return _finer(w, residue, steps)
        x = self.whole(v)
        ahead = len(shape) - x.ndim
        own = [s if n == m else 1 for n, m, s in zip(x.shape, shape[ahead:], steps[ahead:],
                                                      strict=True)]  # fmt: skip
        start = [r if s > 1 else 0 for r, s in zip(residue[ahead:], own, strict=True)]
        return piece(x, tuple(start), tuple(own))

    def _padded(self, op: Op) -> Woven | None:
        """A pad, of something that may be in pieces itself."""
        (v,), aval = op.args, op.outs[0].aval
        steps = _steps(op)
        inner = self.woven.get(v)
        fine = inner.steps if inner is not None else (1,) * v.ndim
        both = tuple(s * f for s, f in zip(steps, fine, strict=True))
        if math.prod(both) > MOST or any(n < s for n, s in zip(aval.shape, both, strict=True)):
            return None
        start = list(op.attrs["start"])
        turned = tuple(d for d, s in enumerate(op.attrs["step"]) if s < 0 and v.shape[d] > 1)
        for d in turned:
            start[d] += (v.shape[d] - 1) * op.attrs["step"][d]
        if turned and inner is not None:
            return None
        x = inner if inner is not None else flip(self.whole(v), turned)
        pieces = {}
        for r in residues(both):
            shape = piece_shape(aval.shape, r, both)
            pieces[r] = _set(x, v.shape, fine, start, r, steps, Aval(aval.dtype, shape))
        return Woven(aval, both, pieces)


def _inner(block: Block) -> Block:
    return _Weaver().run(block)


def _set(
    x: Value | Woven,
    extents: Shape,
    fine: Shape,
    start: Sequence[int],
    residue: Shape,
    steps: Shape,
    aval: Aval,
) -> Value:
    """The piece at a residue of what has elements from `start` on, `steps` apart.

    They come in pieces themselves, whose elements are `fine` apart.
    """
    which, at = [], []
    for n, f, a, r, s in zip(extents, fine, start, residue, steps, strict=True):
        # Element j stands at a + s j; here are those with a + s j = r modulo s f.
        if (r - a) % s:
            return zeros(aval)
        j = (r - a) // s % f
        if j >= n:
            return zeros(aval)
        which.append(j)
        at.append((a + s * j - r) // (s * f))
    part = x.pieces[tuple(which)] if isinstance(x, Woven) else x
    if part.shape == aval.shape and not any(at):
        return part
    return pad(part, shape=aval.shape, start=tuple(at), step=(1,) * len(at))


def _finer(w: Woven, residue: Shape, steps: Shape) -> Value:
    """The elements of an array in pieces at a residue of multiples of its steps."""
    own = tuple(r % s for r, s in zip(residue, w.steps, strict=True))
    rest = tuple(r // s for r, s in zip(residue, w.steps, strict=True))
    return piece(w.pieces[own], rest, tuple(s // o for s, o in zip(steps, w.steps, strict=True)))


# ------------------------------------------------------------------ ops of one operand


def _sliced(w: Woven, op: Op) -> Woven | None:
    """A slice: every so many of its elements lie in one piece."""
    aval, start, by = op.outs[0].aval, op.attrs["start"], op.attrs["step"]
    steps = tuple(s // math.gcd(s, t) for s, t in zip(w.steps, by, strict=True))
    if any(n < s for n, s in zip(aval.shape, steps, strict=True)):
        return None
    pieces = {}
    for q in residues(steps):
        first = [c + t * k for c, t, k in zip(start, by, q, strict=True)]
        own = tuple(c % s for c, s in zip(first, w.steps, strict=True))
        at = tuple(c // s for c, s in zip(first, w.steps, strict=True))
        step = tuple(t * m // s for t, m, s in zip(by, steps, w.steps, strict=True))
        size = piece_shape(aval.shape, q, steps)
        step = tuple(t if n > 1 else 1 for t, n in zip(step, size, strict=True))
        pieces[q] = slice_(w.pieces[own], start=at, size=size, step=step)
    return Woven(aval, steps, pieces)


def _summed(w: Woven, op: Op) -> Woven | None:
    """A sum: the sum of the pieces' sums along the axes."""
    axes = op.attrs["axes"]
    kept = [d for d in range(len(w.steps)) if d not in axes]
    steps = tuple(w.steps[d] for d in kept)
    pieces: dict[Shape, Value] = {}
    for r, x in w.pieces.items():
        to, part = tuple(r[d] for d in kept), sum_(x, axes=axes)
        pieces[to] = add(pieces[to], part) if to in pieces else part
    return Woven(op.outs[0].aval, steps, pieces)


def _repeated(w: Woven, op: Op) -> Woven:
    """New axes."""
    shape, axes = op.attrs["shape"], op.attrs["axes"]

    def wide(old: Shape, new: int) -> Shape:
        rest = iter(old)
        return tuple(new if d in axes else next(rest) for d in range(len(shape)))

    steps, pieces = wide(w.steps, 1), {}
    for r, x in w.pieces.items():
        at = wide(r, 0)
        size = tuple(map(count, shape, at, steps))
        pieces[at] = broadcast(x, shape=size, axes=axes)
    return Woven(op.outs[0].aval, steps, pieces)


def _turned(w: Woven, op: Op) -> Woven:
    """Another order of the dims."""
    perm = op.attrs["perm"]

    def moved(old: Shape) -> Shape:
        return tuple(old[p] for p in perm)

    pieces = {moved(r): transpose(x, perm=perm) for r, x in w.pieces.items()}
    return Woven(op.outs[0].aval, moved(w.steps), pieces)


def _reshaped(w: Woven, op: Op) -> Woven | None:
    """Extents of one that come or go."""
    shape = op.attrs["shape"]
    if unit_reshape(w.aval.shape, shape) is None:
        return None
    wide = [d for d, n in enumerate(w.aval.shape) if n != 1]

    def moved(old: Shape, one: int) -> Shape:
        rest = iter(wide)
        return tuple(one if n == 1 else old[next(rest)] for n in shape)

    pieces = {moved(r, 0): reshape(x, shape=moved(x.shape, 1)) for r, x in w.pieces.items()}
    return Woven(op.outs[0].aval, moved(w.steps, 1), pieces)


_RULES: dict[str, Callable[[Woven, Op], Any]] = {
    "slice": _sliced,
    "sum": _summed,
    "broadcast": _repeated,
    "transpose": _turned,
    "reshape": _reshaped,
}

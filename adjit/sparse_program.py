"""The program of a sparse matrix of derivatives: pattern, seeds, and where entries are taken."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from .compression import Compression
from .errors import NotSparse
from .ir.builder import Builder
from .ir.core import Block, Function, Value
from .ir.ops.custom import NoRule
from .ir.ops.elementwise import cast, equal
from .ir.ops.guards import guard
from .ir.ops.index import gather
from .ir.ops.reduce import all_
from .ir.ops.shape import broadcast, concatenate, iota, reshaped, zeros
from .ir.records import dataclass
from .ir.types import Aval, aval_of, promote
from .passes.batch import batch
from .passes.dce import dce
from .passes.jvp import jvp
from .passes.reach import Reach, TooDense
from .passes.replay import fresh, inline
from .passes.sparsity import reaches
from .passes.vjp import adjoint
from .staging import Staged, Traced, shapes_only, staged
from .tracer.facts import Capture
from .tracer.guards import content_guard
from .tracer.tree import LEAF, Tree, flatten

_MOST = 300_000_000  # numbers that all sweeps may give together


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the entries of one matrix belong."""

    shape: tuple[int, int]
    indices: np.ndarray
    indptr: np.ndarray
    whole: Compression


class Program:
    """A function whose results are differentiated, its pattern, and what that relies on."""

    def __init__(
        self,
        t: Traced,
        args: Any,
        kwargs: Any,
        groups: Sequence[Sequence[int]],
        function: Function,
        results: Sequence[Any],
        mode: str | None = None,
    ) -> None:
        self.t = t
        self.groups = groups
        self.wrt = [i for g in groups for i in g]
        self.results = results  # values, or the avals (None: a number) of what is constant
        outs = tuple(v for v in results if isinstance(v, Value))
        self.function = dce(Function(function.name, Block(function.params, function.ops, outs)))
        self.asked: dict[Value, Any] = {}  # params whose values the pattern relies on
        self.live: dict[Value, Capture] = {}
        leaves = flatten((args, kwargs))[0]
        self.pattern, self.mode = self._pattern(leaves, mode)

    # -------------------------------------------------------------- the pattern

    def _pattern(self, leaves: Sequence[Any], mode: str | None) -> tuple[Any, str | None]:
        try:
            try:
                found, width = self._reaches(leaves)
            except NoRule:
                if mode == "fwd":
                    raise
                return self._rows(self._pulled(leaves)), "rev"
            sizes = [v.aval.size for v in self.function.outs]
            return self._rows(self._stacked(found, sizes, width)), mode
        except TooDense as error:
            raise NotSparse(
                f"{self.function.name}: the matrix has {error}\n"
                "  Use adjit.jacobian or hvp, or leave out what joins all elements (a mean, a "
                "norm)."
            ) from None

    def _rows(self, pattern: Any) -> Any:
        """The pattern with an empty row for each element of what is constant."""
        from scipy.sparse import csr_array

        lengths = np.diff(pattern.indptr)
        parts, at = [], 0
        for v in self.results:
            size = 1 if v is None else v.size if isinstance(v, Aval) else v.aval.size
            moving = isinstance(v, Value)
            parts.append(lengths[at : at + size] if moving else np.zeros(size, int))
            at += size if moving else 0
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(parts))])
        shape = (len(indptr) - 1, pattern.shape[1])
        whole = csr_array((pattern.data, pattern.indices, indptr), shape=shape)
        whole.sum_duplicates()
        return whole

    def _stacked(self, found: Sequence[Reach | None], sizes: Sequence[int], width: int) -> Any:
        from scipy.sparse import csr_array, vstack

        parts = [
            csr_array((n, width), dtype=bool) if r is None else r.expanded()
            for r, n in zip(found, sizes, strict=True)
        ]
        return vstack(parts, format="csr") if parts else csr_array((0, width), dtype=bool)

    def _reaches(self, leaves: Sequence[Any]) -> tuple[list[Reach | None], int]:
        """What each tangent depends on: the program that is asked is the one that will run."""
        pushed = jvp(self.function, self.wrt)
        count, n = len(self.function.params), len(self.function.outs)
        whole = dce(Function(pushed.name, Block(pushed.params, pushed.ops, pushed.outs[n:])))
        known = self._renamed(leaves, whole)
        return reaches(whole, range(count, len(whole.params)), known)

    def _pulled(self, leaves: Sequence[Any]) -> Any:
        """The pattern of the pullback, for a function that has no pushforward."""
        joint = dce(adjoint(self.function, self.wrt, primal_outs=False).function)
        count = len(self.function.params)
        known = self._renamed(leaves, joint)
        found, _ = reaches(joint, range(count, len(joint.params)), known)
        sizes = [self.t.leaves[i].aval.size for i in self.wrt]
        whole = self._stacked(found, sizes, sum(v.aval.size for v in self.function.outs))
        return whole.T.tocsr()

    def _renamed(self, leaves: Sequence[Any], function: Function) -> dict[Value, Any]:
        known = self._known(leaves)
        given = zip(self.function.params, function.params, strict=False)
        return {new: known[old] for old, new in given if old in known}

    def _known(self, leaves: Sequence[Any]) -> dict[Value, Callable[[], Any]]:
        """Parameters that indices may be read from: integer arrays, and what is captured."""
        known: dict[Value, Callable[[], Any]] = {}
        params = self.function.params
        for i, p in enumerate(params[: len(leaves)]):
            if p.aval.kind in "biu" and p.aval.shape and not shapes_only.get():
                known[p] = functools.partial(self._ask, p, leaves[i])
        for p, c in zip(params[len(leaves) :], self.t.captures, strict=True):
            if isinstance(c.value, np.ndarray):
                known[p] = functools.partial(self._capture, p, c)
        return known

    def _ask(self, p: Value, leaf: Any) -> np.ndarray:
        return self.asked.setdefault(p, np.array(leaf))

    def _capture(self, p: Value, c: Capture) -> np.ndarray:
        if c.live:
            self.live[p] = c
        return np.asarray(c.read() if c.live else c.value)

    # -------------------------------------------------------------- shapes

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shape of the argument and of the result, where it is one of each.

        A vector that goes with an array of as many elements is that array, flattened.
        """
        inner = self.t.leaves[self.wrt[0]].aval.shape if len(self.wrt) == 1 else ()
        one = self.results[0] if len(self.results) == 1 else None
        outer = one.aval.shape if isinstance(one, Value) else ()
        if prod(inner) == prod(outer):
            return (inner, inner) if len(inner) > len(outer) else (outer, outer)
        return inner, outer

    def ranges(self) -> list[tuple[int, int]]:
        """The columns of each argument."""
        sizes = [sum(self.t.leaves[i].aval.size for i in g) for g in self.groups]
        ends = np.cumsum(sizes).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    # -------------------------------------------------------------- the program

    def staged(
        self, whole: Compression, bands: Sequence[tuple[int, int]], several: bool, *, rows: bool
    ) -> Staged:
        """One program for all the matrices: bands of rows by arguments."""
        if whole.compressed > _MOST:
            raise NotSparse(
                f"{self.function.name}: the matrix has so few zeros, or so badly placed ones, that "
                f"it takes {sum(whole.sweeps)} sweeps: {whole}\n  Use adjit.jacobian or hvp."
            )
        emitter = _Emitter(self.function, self.asked)
        with emitter.builder as b:
            flat = emitter.compressed(self, whole)
            blocks, outs = [], []
            for low, high in bands:
                for start, stop in self.ranges():
                    layout, places = _laid_out(whole, low, high, start, stop)
                    blocks.append(emitter.taken(flat, places))
                    outs += [("value", len(blocks) - 1, "array"), ("static", layout)]
            function = Function(f"{self.t.function.name}_sparse", emitter.done(b, blocks))
        leaf = Tree(tuple, None, (LEAF, LEAF))
        row = Tree(tuple, None, (leaf,) * len(self.groups))
        tree = Tree(tuple, None, (row,) * len(bands)) if rows else row if several else leaf
        guards = (content_guard(list(self.live.values())),) if self.live else ()
        t = replace(
            self.t,
            captures=(*self.t.captures, *emitter.captures),
            guards=(*self.t.guards, *guards),
        )
        return staged(t, function, tree, outs)


def _laid_out(
    whole: Compression, low: int, high: int, start: int, stop: int
) -> tuple[Layout, np.ndarray]:
    """A block of the pattern, and where its entries are found."""
    part = whole.pattern[low:high, start:stop]
    part.sort_indices()
    rows = np.repeat(np.arange(low, high), np.diff(part.indptr))
    places = whole.places(rows, part.indices + start) if rows.size else rows
    # As SciPy would have them: it converts at every call otherwise.
    small = np.int32 if max(*part.shape, part.nnz) < 2**31 else np.int64
    layout = Layout(part.shape, part.indices.astype(small), part.indptr.astype(small), whole)
    return layout, np.asarray(places, np.int64)


class _Emitter:
    """Writes the program: guards, seeds, sweeps, and what is taken from their results."""

    def __init__(self, function: Function, asked: dict[Value, Any]) -> None:
        self.function = function
        self.params = fresh(function.params)
        self.hidden: list[Value] = []
        self.captures: list[Capture] = []
        self.builder = Builder(self.params)
        copies = dict(zip(function.params, self.params, strict=True))
        self.asked = {copies[p]: x for p, x in asked.items()}

    def constant(self, x: np.ndarray, what: str) -> Value:
        """A hidden input that holds an array of ours."""
        v = Value(aval_of(x), what)
        self.hidden.append(v)
        self.captures.append(Capture(lambda: x, what, x, live=False))
        return v

    def done(self, b: Builder, outs: Sequence[Value]) -> Block:
        """The block, whose params end with the hidden inputs."""
        block = b.done(outs)
        return Block((*self.params, *self.hidden), block.ops, block.outs)

    def compressed(self, program: Program, whole: Compression) -> Value:
        """The results of all sweeps, one behind the other."""
        for p, x in self.asked.items():
            same = equal(p, self.constant(x, "indices"))
            guard(all_(same, axes=tuple(range(x.ndim))), expected=True)
        dtype = promote(*(v.aval.dtype for v in (*self._wrt(program), *self.function.outs)))
        forward, reverse = whole.sweeps
        parts = []
        if forward:
            assert whole.forward is not None
            parts.append(self._forward(program, whole.forward, forward, dtype))
        if reverse:
            assert whole.reverse is not None
            parts.append(self._reverse(program, whole.reverse, reverse, dtype))
        if not parts:
            return zeros(Aval(dtype, (0,)))
        return parts[0] if len(parts) == 1 else concatenate(*parts, axis=0)

    def taken(self, flat: Value, places: np.ndarray) -> Value:
        """The entries of one matrix."""
        if not places.size:
            return zeros(Aval(flat.dtype, (0,)))
        return gather(flat, self.constant(places, "places"), axes=(0,))

    def _wrt(self, program: Program) -> list[Value]:
        return [self.params[i] for i in program.wrt]

    def _seeds(self, likes: Sequence[Value | None], colours: np.ndarray, k: int) -> list[Value]:
        """For each array the seeds that move it: ones where an element has the seed's colour."""
        out, start = [], 0
        for v in likes:
            if v is None:
                start += 1
                continue
            shape, n = v.aval.shape, v.aval.size
            # At least one dim: hidden inputs are arrays.
            stored = colours[start : start + n].reshape(shape or (1,))
            mine = reshaped(self.constant(stored, "colours"), shape)
            each = broadcast(mine, shape=(k, *shape), axes=(0,))
            one = equal(iota(shape=(k, *shape), axis=0, dtype="i64"), each)
            out.append(cast(one, dtype=v.dtype))
            start += n
        return out

    def _swept(self, function: Function, seeds: Sequence[Value], k: int) -> list[Value]:
        moved = (False,) * len(self.params) + (True,) * len(seeds)
        return inline(batch(function, k, moved).block, (*self.params, *seeds))

    def _forward(self, program: Program, colours: np.ndarray, k: int, dtype: str) -> Value:
        pushed = jvp(self.function, program.wrt)
        n = len(self.function.outs)
        pushed = dce(Function(pushed.name, Block(pushed.params, pushed.ops, pushed.outs[n:])))
        found = iter(self._swept(pushed, self._seeds(self._wrt(program), colours, k), k))
        rows = [
            reshaped(next(found), (k, v.aval.size))
            if isinstance(v, Value)
            else zeros(Aval(dtype, (k, 1 if v is None else v.size)))
            for v in program.results
        ]
        return _flat(rows, k, dtype)

    def _reverse(self, program: Program, colours: np.ndarray, k: int, dtype: str) -> Value:
        joint = adjoint(self.function, program.wrt, primal_outs=False).function
        likes = [v if isinstance(v, Value) else None for v in program.results]
        found = self._swept(dce(joint), self._seeds(likes, colours, k), k)
        return _flat([reshaped(v, (k, v.aval.size // k)) for v in found], k, dtype)


def _flat(parts: Sequence[Value], k: int, dtype: str) -> Value:
    wide = [v if v.dtype == dtype else cast(v, dtype=dtype) for v in parts]
    joined = wide[0] if len(wide) == 1 else concatenate(*wide, axis=1)
    return reshaped(joined, (joined.aval.size,))

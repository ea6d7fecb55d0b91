"""Sparse matrices of derivatives: `jacobian` and `hessian` as SciPy arrays in CSR form.

What may be nonzero follows from the program alone, so it holds for all inputs; columns that share
no row are moved by one seed, and the compiled program gathers the entries from the results.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from .arguments import Argument, choose, differentiable, word
from .compiled import CacheInfo, CompiledFunction
from .compression import Compression, compress, compress_symmetric
from .errors import NotDifferentiable, NotSparse, TracedConversion
from .inspect import Listing, Report, Text
from .ir.builder import Builder
from .ir.core import Block, Function, Value
from .ir.ops.elementwise import cast, equal
from .ir.ops.guards import guard
from .ir.ops.index import gather
from .ir.ops.reduce import all_
from .ir.ops.shape import broadcast, concatenate, iota, reshaped, zeros
from .ir.types import Aval, aval_of, promote
from .jacobians import MODES
from .passes import pipeline
from .passes.batch import batch
from .passes.dce import dce
from .passes.jvp import jvp
from .passes.reach import TooDense
from .passes.replay import fresh, inline
from .passes.sparsity import reaches
from .passes.vjp import adjoint
from .reverse import check_loss, describe
from .staging import Out, Staged, Traced, Transform, shapes_only, staged, traced
from .tracer.facts import Capture
from .tracer.guards import content_guard
from .tracer.record import is_tracing
from .tracer.tree import LEAF, Tree, flatten

__all__ = ["SparseFunction", "hessian", "jacobian"]

_MOST = 300_000_000  # numbers that the sweeps may give, in bytes / 8


# ------------------------------------------------------------------ the face


def jacobian(
    fn: Callable[..., Any] | None = None, argnums: int | Sequence[int] = 0, mode: str | None = None
) -> Any:
    """`sparse.jacobian(f)(*args)`: all derivatives of the result by an argument, as a `csr_array`.

    Rows number the elements of the result, columns those of the argument, both in C order, and
    leaf by leaf where they are containers; a tuple of argnums gives a tuple of matrices.  `mode` is
    "fwd", "rev", or None for the fewest seeds, which may be some of each.
    """
    if mode not in MODES:
        raise ValueError(f"sparse.jacobian: mode {mode!r} is neither 'rev' nor 'fwd'")
    return _apply(fn, SparseJacobian(_numbers("jacobian", argnums), mode))


def hessian(fn: Callable[..., Any] | None = None, argnums: int | Sequence[int] = 0) -> Any:
    """`sparse.hessian(f)(*args)`: second derivatives of a scalar, as a symmetric `csr_array`.

    A tuple of argnums gives a tuple of rows of matrices, as `adjit.hessian` does.
    """
    return _apply(fn, SparseHessian(_numbers("hessian", argnums)))


def _numbers(verb: str, argnums: int | Sequence[int]) -> int | tuple[int, ...]:
    listed = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not listed or any(type(n) is not int for n in listed):
        raise TypeError(f"sparse.{verb}: argnums is an int or a sequence of ints, not {argnums!r}")
    return argnums if isinstance(argnums, int) else listed


def _apply(fn: Callable[..., Any] | None, transform: Transform) -> Any:
    if fn is None:
        return functools.partial(_apply, transform=transform)
    if not callable(fn):
        raise TypeError(f"{transform.verb} takes a function, not a {type(fn).__name__}")
    return SparseFunction(fn, transform)


class SparseFunction:
    """A compiled function whose results are sparse arrays."""

    def __init__(self, fn: Callable[..., Any], transform: Transform) -> None:
        functools.update_wrapper(self, fn)
        self._compiled = CompiledFunction(fn, transform)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_tracing():
            raise TracedConversion(
                f"{self._compiled!r} gives SciPy matrices, which cannot be traced\n"
                "  Call it outside of the traced function, or use adjit.jacobian in it."
            )
        return _assembled(self._compiled(*args, **kwargs))

    def pattern(self, *args: Any, **kwargs: Any) -> Any:
        """What may be nonzero, as boolean arrays in CSR form; nothing is compiled."""
        staged = self._compiled._variant(args, kwargs).staged
        leaves = [None if o[0] == "value" else o[1] for o in staged.outs]
        return _assembled(staged.out_tree.unflatten(leaves))

    def compile(self, *args: Any, **kwargs: Any) -> SparseFunction:
        """Compile for arguments like these, or anything with a shape and a dtype; no call."""
        self._compiled.compile(*args, **kwargs)
        return self

    def ir(self, *args: Any, stage: str = "traced", **kwargs: Any) -> Listing:
        """The program for these arguments: traced, adjoint, simplified or fused."""
        return self._compiled.ir(*args, stage=stage, **kwargs)

    def source(self, *args: Any, **kwargs: Any) -> Text:
        """The source of the kernels for these arguments."""
        return self._compiled.source(*args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Report:
        """A report: the patterns and their seeds, then what every compiled function reports."""
        text = self._compiled.explain(*args, **kwargs)
        variants = self._compiled.variants()
        if args or kwargs:
            variants = [self._compiled._variant(args, kwargs)]
        facts = [f"pattern {k}   {_compression(v.staged)}" for k, v in enumerate(variants)]
        head, _, rest = text.partition("\n")
        return Report("\n".join([head, *(f"  {f}" for f in facts), rest]).rstrip("\n"))

    def cache_info(self) -> CacheInfo:
        """How many variants there are, and what they cost."""
        return self._compiled.cache_info()

    def clear(self) -> None:
        """Forget all variants: the next call traces again."""
        self._compiled.clear()

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else types.MethodType(self, obj)

    def __repr__(self) -> str:
        return repr(self._compiled)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the entries of one matrix belong."""

    shape: tuple[int, int]
    indices: np.ndarray
    indptr: np.ndarray
    whole: Compression


def _assembled(found: Any) -> Any:
    """The matrices in what the compiled program returned: pairs (entries, layout)."""
    if len(found) == 2 and isinstance(found[1], Layout):
        from scipy.sparse import csr_array

        data, layout = found
        if data is None:
            data = np.ones(layout.indices.size, bool)
        # Copies: SciPy's methods that work in place write into these arrays.
        return csr_array((data, layout.indices.copy(), layout.indptr.copy()), shape=layout.shape)
    return tuple(map(_assembled, found))


def _compression(staged: Staged) -> Compression:
    return next(o[1].whole for o in staged.outs if o[0] == "static")


# ------------------------------------------------------------------ the transformations


@dataclass(frozen=True)
class SparseJacobian(Transform):
    """The derivatives of all leaves of the result by those of the arguments."""

    argnums: int | tuple[int, ...] = 0
    mode: str | None = None

    @property
    def verb(self) -> str:
        return "sparse.jacobian"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        chosen = choose(fn, args, kwargs, self.argnums, None)
        groups = _real(t, chosen)
        if not t.out_leaves:
            found = describe(t.outs_tree, t.out_leaves, t)
            raise NotDifferentiable(f"{t.function.name} returned {found}: nothing to differentiate")
        numbers = [result_number(t, o) for o in t.out_leaves]
        results = [None if k is None else t.function.outs[k] for k in numbers]
        program = _Program(t, args, kwargs, groups, t.function, results)
        inner, outer = program.shapes()
        seeds = compress(program.pattern, self.mode, inner, outer)
        one = [(0, program.pattern.shape[0])]
        return program.staged(seeds, one, isinstance(self.argnums, tuple), rows=False)


@dataclass(frozen=True)
class SparseHessian(Transform):
    """The second derivatives of a scalar: the Jacobian of its gradient, which is symmetric."""

    argnums: int | tuple[int, ...] = 0

    @property
    def verb(self) -> str:
        return "sparse.hessian"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        check_loss(t.function.name, t.outs_tree, t.out_leaves, t, False)
        chosen = choose(fn, args, kwargs, self.argnums, None)
        groups = _real(t, chosen)
        wrt = [i for g in groups for i in g]
        gradient = t.function
        results: list[Any] = [t.leaves[i].aval for i in wrt]
        if t.out_leaves[0][0] != "static":
            loss = t.function.outs[t.out_leaves[0][1]]
            scalar = Function(t.function.name, Block(t.function.params, t.function.ops, (loss,)))
            found = adjoint(dce(scalar), wrt, seed_ones=True, primal_outs=False).function
            gradient = pipeline.run(found, pipeline.PRIMAL)
            results = list(gradient.outs)
        program = _Program(t, args, kwargs, groups, gradient, results)
        # What is nonzero must be so in the mirror image as well.
        pattern = program.pattern.multiply(program.pattern.T.tocsr()).tocsr().astype(bool)
        pattern.sort_indices()
        program.pattern = pattern
        inner, _ = program.shapes()
        several = isinstance(self.argnums, tuple)
        return program.staged(
            compress_symmetric(pattern, inner), program.ranges(), several, rows=several
        )


def _real(t: Traced, chosen: Sequence[Argument]) -> list[list[int]]:
    """The leaves of the arguments; an error if one is no real floating-point number."""
    groups = [differentiable(t.function.name, a, t) for a in chosen]
    for i in (i for g in groups for i in g):
        if t.leaves[i].aval.kind != "f":
            raise NotDifferentiable(
                f"{t.function.name}: {t.leaves[i].path} is complex; sparse matrices are of real "
                "derivatives\n  Pass the real and the imaginary part as two arguments."
            )
    return groups


def result_number(t: Traced, out: Out) -> int | None:
    """Which result a leaf is, None where it is a constant; an error if it has no derivative."""
    name = t.function.name
    if out[0] == "static":
        if isinstance(out[1], float | np.floating):
            return None
        raise NotDifferentiable(f"{name} returned {out[1]!r}, which carries no derivative")
    aval = t.function.outs[out[1]].aval
    if aval.kind != "f":
        raise NotDifferentiable(
            f"{name} returned {word(aval, out[2])}; sparse matrices are of real floating-point "
            "results"
        )
    return int(out[1])


class _Program:
    """A function whose results are differentiated, its pattern, and what that relies on."""

    def __init__(
        self,
        t: Traced,
        args: Any,
        kwargs: Any,
        groups: Sequence[Sequence[int]],
        function: Function,
        results: Sequence[Any],
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
        self.pattern = self._pattern(leaves)

    # -------------------------------------------------------------- the pattern

    def _pattern(self, leaves: Sequence[Any]) -> Any:
        from scipy.sparse import csr_array, vstack

        try:
            found, width = reaches(self.function, self.wrt, self._known(leaves))
            parts = []
            rows = iter(found)
            for v in self.results:
                reach = next(rows) if isinstance(v, Value) else None
                size = 1 if v is None else v.size if isinstance(v, Aval) else v.aval.size
                part = csr_array((size, width), dtype=bool) if reach is None else reach.expanded()
                parts.append(part)
        except TooDense as error:
            raise NotSparse(
                f"{self.function.name}: the matrix has {error}\n"
                "  Use adjit.jacobian or hvp, or leave out what joins all elements (a mean, a "
                "norm)."
            ) from None
        whole = parts[0] if len(parts) == 1 else vstack(parts, format="csr")
        whole.sum_duplicates()
        return whole

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
                    layout, places = _layout(whole, low, high, start, stop)
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


def _layout(
    whole: Compression, low: int, high: int, start: int, stop: int
) -> tuple[Layout, np.ndarray]:
    """A block of the pattern, and where its entries are found."""
    part = whole.pattern[low:high, start:stop]
    part.sort_indices()
    rows = np.repeat(np.arange(low, high), np.diff(part.indptr))
    places = whole.places(rows, part.indices + start) if rows.size else rows
    layout = Layout(part.shape, part.indices, part.indptr, whole)
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

    def compressed(self, program: _Program, whole: Compression) -> Value:
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

    def _wrt(self, program: _Program) -> list[Value]:
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

    def _forward(self, program: _Program, colours: np.ndarray, k: int, dtype: str) -> Value:
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

    def _reverse(self, program: _Program, colours: np.ndarray, k: int, dtype: str) -> Value:
        joint = adjoint(self.function, program.wrt, primal_outs=False).function
        likes = [v if isinstance(v, Value) else None for v in program.results]
        found = self._swept(dce(joint), self._seeds(likes, colours, k), k)
        return _flat([reshaped(v, (k, v.aval.size // k)) for v in found], k, dtype)


def _flat(parts: Sequence[Value], k: int, dtype: str) -> Value:
    wide = [v if v.dtype == dtype else cast(v, dtype=dtype) for v in parts]
    joined = wide[0] if len(wide) == 1 else concatenate(*wide, axis=1)
    return reshaped(joined, (joined.aval.size,))

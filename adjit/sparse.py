"""Sparse matrices of derivatives: `jacobian` and `hessian` as SciPy arrays in CSR form.

What may be nonzero follows from the program alone, so it holds for all inputs; columns that share
no row are moved by one seed, and the compiled program gathers the entries from the results.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arguments import Argument, choose, differentiable, word
from .compiled import CacheInfo, CompiledFunction
from .compression import Compression, compress, compress_symmetric
from .errors import NotDifferentiable, TracedConversion
from .inspect import Listing, Report, Text
from .ir.core import Block, Function
from .ir.records import dataclass
from .jacobians import MODES
from .passes import pipeline
from .passes.dce import dce
from .passes.vjp import adjoint
from .reverse import check_loss, describe
from .sparse_program import Layout, Program
from .staging import Out, Staged, Traced, Transform, traced
from .tracer.record import is_tracing

__all__ = ["SparseFunction", "hessian", "jacobian"]


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

    def __reduce__(self) -> Any:
        found: Any = sys.modules.get(getattr(self, "__module__", "") or "")
        name = getattr(self, "__qualname__", "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:  # a decorated function: by reference, as Python pickles functions
            return name
        return SparseFunction, (self._compiled._fn, self._compiled._transform)


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
        program = Program(t, args, kwargs, groups, t.function, results, self.mode)
        inner, outer = program.shapes()
        seeds = compress(program.pattern, program.mode, inner, outer)
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
        program = Program(t, args, kwargs, groups, gradient, results)
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

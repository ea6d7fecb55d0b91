"""One class per mistake of a user, and the warnings."""

from __future__ import annotations

from .tracer.errors import (
    AdjitError,
    ClockInTrace,
    ControlFlow,
    EndlessRecursion,
    EscapedTracer,
    FrozenWrite,
    RandomInTrace,
    StateInTrace,
    TracedBranch,
    TracedConversion,
    UnsupportedArgument,
    UnsupportedFunction,
    UnsupportedOp,
    UntracedWrite,
)

__all__ = [
    "AdjitError",
    "ClockInTrace",
    "CompilationFailed",
    "ControlFlow",
    "CotangentMismatch",
    "EndlessRecursion",
    "EscapedTracer",
    "FrozenWrite",
    "ManyVariants",
    "MemoryBudgetExceeded",
    "NonScalarOutput",
    "NotConverged",
    "NotDifferentiable",
    "NotSparse",
    "RandomInTrace",
    "StateInTrace",
    "StateWritten",
    "TracedBranch",
    "TracedConversion",
    "UnsupportedArgument",
    "UnsupportedFunction",
    "UnsupportedOp",
    "UntracedWrite",
    "ZeroGradient",
]


class NonScalarOutput(AdjitError, TypeError):
    """The gradient of a function that returns more than one number.

    Wrong:  grad(lambda x: x ** 2)(np.ones(3))
    Right:  grad(lambda x: np.sum(x ** 2))(np.ones(3))
    Right:  out, pullback = vjp(lambda x: x ** 2, np.ones(3)); pullback(np.ones(3))
    Right:  jacobian(lambda x: x ** 2)(np.ones(3)), elementwise_grad(lambda x: x ** 2)(np.ones(3))
    """


class NotDifferentiable(AdjitError, TypeError):
    """A derivative by an argument, or of a result, that is no floating-point number.

    Wrong:  grad(lambda n: np.sum(n * 2.0))(np.arange(3))
    Right:  grad(lambda x: np.sum(x * 2.0))(np.arange(3.0))
    """


class CotangentMismatch(AdjitError, TypeError):
    """A tangent or cotangent whose structure, shape or dtype is not that of what it belongs to.

    Wrong:  out, pullback = vjp(np.sin, np.ones(3)); pullback(1.0)
    Right:  out, pullback = vjp(np.sin, np.ones(3)); pullback(np.ones(3))
    """


class NotSparse(AdjitError, ValueError):
    """A sparse matrix of derivatives that would have next to no zeros, and too many entries.

    Wrong:  sparse.jacobian(lambda x: x / np.sum(x))(np.ones(100_000))
    Right:  vjp(lambda x: x / np.sum(x), np.ones(100_000)), or jvp: products with the matrix
    """


class NotConverged(AdjitError, RuntimeError):
    """A solver found no solution: a derivative of what it returned would be meaningless.

    Wrong:  root(lambda x: x**2 + 1, 0.5)
    Right:  root(lambda x: x**2 - 1, 0.5)
    """


class MemoryBudgetExceeded(AdjitError, MemoryError):
    """A program takes more memory than `options(memory_budget=...)` allows, also part by part,
    and computing again what it need not keep; the message says which budget is enough.

    Wrong:  with options(memory_budget="1M"): jit(np.exp)(np.ones(1_000_000))
    Right:  with options(memory_budget="16M"): jit(np.exp)(np.ones(1_000_000))
    """


class ZeroGradient(UserWarning):
    """A gradient is zero because the result does not depend on the argument at all."""


class ManyVariants(UserWarning):
    """A function takes ever new paths: each is traced, interpreted, and compiled if it comes again.

    Wrong:  for k in range(n): y += x[k] if x[k] > 0 else 0.0
    Right:  y = np.sum(np.where(x > 0, x, 0.0))
    """


class StateWritten(UserWarning):
    """A function counts or collects something outside of it: only tracing runs Python.

    Wrong:  log = []  ...  def f(x): log.append(0); return x * 2
    Right:  log = []  ...  y = f(x); log.append(0)
    """


class CompilationFailed(UserWarning):
    """A program could not be compiled in the background; the interpreter goes on answering."""

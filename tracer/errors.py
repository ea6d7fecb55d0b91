"""One class per mistake of a user; each is also the builtin that plain Python would raise."""

from __future__ import annotations


class AdjitError(Exception):
    """The base of all errors of adjit."""


class UnsupportedOp(AdjitError, NotImplementedError, TypeError):
    """A NumPy or SciPy function, or a way of calling it, that cannot be traced."""


class EscapedTracer(AdjitError, RuntimeError):
    """A traced value was used after its trace had ended, or in another thread."""


class TracedBranch(AdjitError, TypeError):
    """Python asked for the truth or the integer value of what has no value while tracing.

    An ordinary call decides by its own values.  The rows of vmap share one program, and a function
    that is compiled for shapes alone has no values yet.

    Wrong:  vmap(lambda x: x if x > 0 else 0.0)(xs)
    Right:  vmap(lambda x: np.where(x > 0, x, 0.0))(xs)
    """

    indexed = False  # whether something was indexed by the value


class TracedConversion(AdjitError, TypeError):
    """Python or C code asked for the number or the array behind a traced value.

    Wrong:  float(x) * 2, math.fma(x, y, z), np.float64(x)
    Right:  x * 2, np.asarray(x)
    """


class EndlessRecursion(AdjitError, RecursionError):
    """A function that calls itself until Python's stack is full.

    Wrong:  def f(x): return x * f(x - 1)
    Right:  def f(x): return x * f(x - 1) if x > 1 else x
    """


class FrozenWrite(AdjitError, ValueError):
    """A write into an argument (an array or a container), a captured array, or a view of one.

    Wrong:  def f(x): x += 1; return x
    Right:  def f(x): x = x + 1; return x     or     x = x.copy(); x += 1
    """


class UntracedWrite(AdjitError, TypeError):
    """A write of a traced value into an array from outside of the function, or one that code other
    than NumPy's made.

    Wrong:  G[0] = x; return np.sum(G)
    Right:  z = G.copy(); z[0] = x; return np.sum(z)
    """


class UnsupportedArgument(AdjitError, TypeError):
    """An argument that cannot be traced: an object array, a masked array, an ndarray subclass."""


class UnsupportedFunction(AdjitError, TypeError):
    """A function that cannot be traced: a coroutine or a generator function."""


class ControlFlow(AdjitError, TypeError):
    """A body of a loop or branch whose results do not fit: a carry that changes its type, branches
    of different structure, rounds that are not alike.

    Wrong:  fori_loop(0, n, lambda i, y: np.append(y, i), y)
    Right:  fori_loop(0, n, lambda i, y: y + i, y)
    """


class ClockInTrace(AdjitError, RuntimeError):
    """A clock read while tracing would show the same time in every call.

    Wrong:  def f(x): return x * time.time()
    Right:  def f(x, now): return x * now
    """


class StateInTrace(AdjitError, RuntimeError):
    """A function reads what it changes: only tracing runs Python, so it would stay as it is.

    What no result depends on may change (a counter, a log), and so may what settles at the first
    call (a table that is made when it is needed).

    Wrong:  count = [0]  ...  def f(x): count[0] += 1; return x * count[0]
    Right:  def f(x, count): return x * count
    """


class RandomInTrace(AdjitError, RuntimeError):
    """Random numbers drawn while tracing would be the same in every call.

    Wrong:  def f(x): return x + rng.normal(size=3)
    Right:  def f(x, noise): return x + noise
    """

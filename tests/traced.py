"""What tests of the tracer share: a trace taken at one input is held against NumPy at another."""

import numpy as np

from adjit.ir import interp
from adjit.tracer.trace import trace
from adjit.tracer.tree import flatten


def evaluated(t, args, kwargs=None):
    """The result of a trace on other arguments, through the reference interpreter."""
    leaves, tree = flatten((args, kwargs or {}))
    assert tree == t.in_tree
    inputs = [np.asarray(x) for x in leaves]
    outs = interp.evaluate(t.function, *inputs, *[np.asarray(c.read()) for c in t.captures])
    parts = [outs[o[1]] if o[0] == "value" else o[1] for o in t.out_leaves]
    return t.outs_tree.unflatten(parts)


def assert_same(got, want, rtol=1e-12):
    """Equal structure, dtype and shape; values up to rounding."""
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert_same(g, w, rtol)
    elif isinstance(want, dict):
        assert got.keys() == want.keys()
        for k in want:
            assert_same(got[k], want[k], rtol)
    elif want is None or isinstance(want, str):
        assert got == want
    else:
        assert np.asarray(got).dtype == np.asarray(want).dtype
        assert np.shape(got) == np.shape(want)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-13)


def assert_right(f, first, second, rtol=1e-12):
    """Trace at `first`; the trace must be right at `second`, and the leaf kinds NumPy's."""
    t = trace(f, first)
    with np.errstate(all="ignore"):
        want = f(*second)
    assert_same(evaluated(t, second), want, rtol)
    kinds = t.outs_tree.unflatten([o[2] if o[0] == "value" else None for o in t.out_leaves])
    assert_same_kinds(kinds, want)
    return t


def assert_same_kinds(kinds, want):
    """Arrays, NumPy scalars and Python numbers come out as NumPy would give them."""
    if isinstance(want, dict):
        kinds, want = list(kinds.values()), list(want.values())
    if isinstance(want, (tuple, list)):
        for k, w in zip(kinds, want, strict=True):
            assert_same_kinds(k, w)
    elif kinds in ("array", "scalar", "python"):
        assert kinds == _kind(want), (kinds, type(want))


def _kind(x):
    if isinstance(x, np.ndarray):
        return "array"
    return "scalar" if isinstance(x, np.generic) else "python"

"""Loops by `adjit.range` and by Python's `range`: the same results, and right derivatives."""

import builtins

import numpy as np

import adjit
from adjit import jit


def assert_same(a, b):
    la, ta = adjit.tracer.tree.flatten(a)
    lb, tb = adjit.tracer.tree.flatten(b)
    assert ta == tb
    assert all(np.allclose(x, y, 1e-13, 1e-14) for x, y in zip(la, lb, strict=True))


def assert_right(f, *args, times=(), grads=True):
    """f(range, *args) with both ranges; with `times`, a traced count is the last argument."""
    g = jit(lambda *a: f(adjit.range, *a))
    for n in times or [None]:
        given = args if n is None else (*args, n)
        assert_same(g(*given), f(builtins.range, *given))
        if grads:
            adjit.check_grads(lambda x, g=given: f(adjit.range, x, *g[1:]), (given[0],), order=2)
    return g

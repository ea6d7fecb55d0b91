"""Comparisons with Python's integers that fit no dtype of the other operand, as NumPy's."""

import operator

import numpy as np
import pytest

from adjit import jit, options

HUGE = (2**70, -(2**70), 2**63, 2**64 - 1, 10**400, -(10**400), 300, -1, 2**31, -(2**63) - 1)
NUMBERS = (
    *(3, np.int64(3), np.int32(7), 2.5, np.float32(2), float("inf"), -float("inf"), float("nan")),
    *(np.arange(3), np.arange(3.0), np.arange(3, dtype="i4"), np.array([True])),
    *(np.arange(3, dtype="u1"), np.arange(3, dtype="u8")),
)


def answer(f, *args):
    try:
        found = f(*args)
    except OverflowError:
        return OverflowError
    return type(found), np.asarray(found).tolist()


OPERATORS = [getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")]
UFUNCS = [np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal]
REFLECTED = [lambda v, c, f=f: f(c, v) for f in OPERATORS]


@pytest.mark.parametrize("forms", [OPERATORS, REFLECTED, UFUNCS])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_comparisons_with_huge_integers_are_numpys(forms):
    with options(interpret=True):
        for x in NUMBERS:
            wanted = {(f, c): answer(f, x, c) for f in forms for c in HUGE}
            known = [at for at, w in wanted.items() if w is not OverflowError]
            found = jit(lambda v, known=known: [f(v, c) for f, c in known])(x)
            assert [answer(lambda y=y: y) for y in found] == [wanted[at] for at in known]
        for f in forms if forms is UFUNCS else ():
            assert answer(jit(lambda v, f=f: f(v, 10**400)), 2.5) is OverflowError


def test_what_is_computed_with_them_stays_refused():
    for f in (lambda x: x + 2**70, lambda x: x * 2**63, lambda x: np.maximum(x, 2**70)):
        with pytest.raises(OverflowError):
            jit(f)(np.arange(3))


def test_branches_on_them_need_no_guard():
    with options(interpret=True):
        f = jit(lambda x: x * 2 if x < 2**70 else x)
        assert f(3) == 6 and f(2**62 - 1) == 2**63 - 2
        assert f.cache_info().variants == 1 and "decided" not in f.explain()

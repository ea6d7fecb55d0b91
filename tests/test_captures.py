"""Arrays that a function reads from outside: whatever they become, its compiled calls follow."""

import pickle
import types

import numpy as np
import pytest

from adjit import jit, options


def unaligned(x):
    bytes_ = np.zeros(x.nbytes + 1, np.uint8)[1:]
    out = bytes_.view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


def mapped(x, path):
    out = np.memmap(path, x.dtype, "w+", shape=x.shape)
    out[...] = x
    return out


@pytest.mark.parametrize("interpret", [True, False])
def test_an_array_of_any_kind_may_take_the_place_of_another(interpret, tmp_path):
    w = np.arange(1.0, 4.0)
    kinds = {
        "plain": w,
        "unpickled": pickle.loads(pickle.dumps(w + 1)),
        "unaligned": unaligned(w + 2),
        "strided": np.repeat(w, 2)[::2],
        "repeated": np.broadcast_to(5.0, (3,)),
        "mapped": mapped(w + 3, tmp_path / "w"),
    }
    x = np.array([1.0, 10.0, 100.0])
    with options(interpret=interpret):
        for first in ("plain", "strided", "mapped", "unpickled"):
            box = types.SimpleNamespace(w=kinds[first])
            f = jit(lambda x, box=box: x * box.w)
            f(x)
            for name, new in kinds.items():
                box.w = new
                for _ in range(2):
                    np.testing.assert_array_equal(f(x), x * new, err_msg=f"{name} after {first}")
            assert f.cache_info().traces <= 3


def test_an_array_may_be_given_another_shape_in_place():
    box = types.SimpleNamespace(w=np.arange(6.0))
    with options(interpret=True):
        f = jit(lambda x: np.sum(x * box.w, axis=0))
        assert f(2.0) == 30.0
        box.w.shape = (2, 3)
        np.testing.assert_array_equal(f(2.0), [6.0, 10.0, 14.0])

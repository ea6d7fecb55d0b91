"""The random programs that other tests rest on: well typed, tame, and wide enough."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from programs import random_function

from adjit.ir import evaluate
from adjit.ir.core import Block, all_ops
from adjit.ir.types import NUMPY

SEEDS = range(60)


@pytest.mark.parametrize("smooth", [False, True])
def test_values_are_tame_and_of_their_types(smooth: bool) -> None:
    for seed in SEEDS:
        function, args = random_function(seed, 10, smooth=smooth)
        for v, x in zip(function.outs, evaluate(function, *args), strict=True):
            assert (x.dtype, x.shape) == (NUMPY[v.dtype], v.shape)
            assert np.all(np.abs(x) < 50)


def test_programs_reach_far() -> None:
    rows: Counter[str] = Counter()
    depth = 0
    for seed in SEEDS:
        function, _ = random_function(seed, 10)
        rows.update({op.prim.name for op in all_ops(function.block)})
        depth = max(depth, _depth(function.block))
    assert depth >= 2
    assert len(rows) > 40
    for name in ("cond", "loop", "while", "call", "dot", "gather", "scatter_add", "select", "sort"):
        assert rows[name] >= 5, name


def _depth(block: Block) -> int:
    return max((1 + _depth(b) for op in block.ops for b in op.blocks.values()), default=0)


def test_smooth_programs_have_no_kinks() -> None:
    kinks = {"maximum", "abs", "floor", "select", "sort", "max", "argmax", "fmax", "sign"}
    for seed in SEEDS:
        function, _ = random_function(seed, 10, smooth=True)
        assert not kinks & {op.prim.name for op in all_ops(function.block)}
        assert all(p.dtype in ("f64", "i64") for p in function.params)

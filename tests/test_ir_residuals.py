"""What a loop hands to its adjoint: the cheapest choice, which may be its state alone."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

import adjit
from adjit import fori_loop, grad
from adjit.ir import ops as o
from adjit.ir.builder import Builder
from adjit.ir.core import Const, Op, Value
from adjit.ir.residuals import cost, keep_cost, least, work
from adjit.ir.types import Aval


def drawn(rng: random.Random) -> tuple[list[Op], list[Value], set[Value]]:
    """A few ops on vectors, what of them is needed, and the parameters that are there anyway."""
    params = [Value(Aval("f64", (rng.choice([1, 4]),))) for _ in range(3)]
    with Builder(tuple(params)) as b:
        pool = list(params)
        for _ in range(6):
            x, y = rng.choice(pool), rng.choice(pool)
            row = rng.choice([o.add, o.mul, o.div, None, None])
            pool.append(row(x, y) if row else rng.choice([o.exp, o.tanh, o.sqrt])(x))
        block = b.done(pool[3:])
    needed = rng.sample(list(block.outs), 3)
    return list(block.ops), needed, set(params[:1])


def cheapest(ops: list[Op], needed: list[Value], free: set[Value]) -> int:
    """The least cost over all choices of what is kept."""
    made = {v: op for op in ops for v in op.outs}
    values = [v for v in {*made, *(a for op in ops for a in op.args)} if type(v) is not Const]
    best = 10**9
    for mask in itertools.product([False, True], repeat=len(values)):
        kept = {v for v, keep in zip(values, mask, strict=True) if keep}
        want, again, total = list(needed), set(), 0
        used: set[Value] = set()
        while want:
            v = want.pop()
            if v in free or type(v) is Const or v in used:
                continue
            used.add(v)
            if v in kept:
                total += keep_cost(v)
            elif v not in made:
                total = 10**9
                break
            elif made[v] not in again:
                again.add(made[v])
                total += work(made[v]) or 0
                want.extend(made[v].args)
        best = min(best, total)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_a_minimum_cut_is_the_cheapest_choice(seed: int):
    ops, needed, free = drawn(random.Random(seed))
    again, kept = least(ops, needed, free, ())
    assert cost(again, kept) == cheapest(ops, needed, free)
    available = {*free, *kept, *(v for op in again for v in op.outs)}
    assert available.issuperset(needed)
    assert all(a in available or type(a) is Const for op in again for a in op.args)


def test_a_loop_of_interactions_keeps_its_state_alone():
    def pulled(q: Any, m: Any) -> Any:
        d = q[None, :, :] - q[:, None, :]
        r2 = (d**2).sum(-1) + 0.01
        return (m[None, :, None] * d / (r2**1.5)[:, :, None]).sum(1)

    def swarm(q: Any, v: Any, m: Any, n: int) -> Any:
        for _ in adjit.range(n):
            half = q + 0.005 * v
            late = half + 0.005 * (v + 0.005 * pulled(half, m))
            v = v + 0.01 * pulled(late, m)
            q = late + 0.005 * v
        return (q**2).sum()

    rng = np.random.default_rng(2)
    q, v, m = rng.normal(size=(7, 3)), rng.normal(size=(7, 3)), rng.uniform(0.5, 1.0, 7)
    g = grad(swarm, argnums=(0, 1, 2))
    got = g(q, v, m, 20)
    assert g.source(q, v, m, 20).count("ll.tape_f64") == 2  # of q and v
    with adjit.options(unroll="always", interpret=True):
        want = grad(swarm, argnums=(0, 1, 2))(q, v, m, 20)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("rounds", "exps"), [(50, 1), (400_000, 2)])
def test_what_a_near_cache_holds_is_kept_rather_than_computed_again(rounds: int, exps: int) -> None:
    def f(a, e):
        def step(t, s):
            m = s[:, None] + a
            return np.log(np.sum(np.exp(m), axis=0)) + e[t]

        return np.sum(fori_loop(0, rounds, step, e[0]))

    a, e = np.zeros((20, 20)), np.broadcast_to(np.zeros(20), (rounds, 20))
    program = str(grad(f).ir(a, e, stage="simplified"))
    assert program.count("f64[20,20] = exp") == exps

"""The lists of passes: checked, compared, dumped and timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import random_function, wrt

from adjit.ir import Aval, Builder, Function, IRError, Value, evaluate
from adjit.ir import ops as o
from adjit.passes.pipeline import JOINT, PRIMAL, Miscompiled, Pass, joint, run
from adjit.passes.replay import rebuild
from adjit.passes.vjp import vjp


def made(f: Any, *avals: Aval) -> Function:
    params = [Value(a) for a in avals]
    with Builder(params) as b:
        return Function("f", b.done((f(*params),)))


@pytest.mark.parametrize("seed", range(15))
def test_the_whole_way_on_random_programs(seed: int) -> None:
    f, args = random_function(seed + 100, 8, smooth=True)
    primal = run(f, PRIMAL, check=True, samples=args)
    both = vjp(primal, wrt(f))
    rng = np.random.default_rng(seed)
    cts = [rng.standard_normal(v.shape) for v in both.params[len(args) :]]
    dumps: dict[str, Function] = {}
    done = run(both, joint(len(f.outs)), check=True, samples=[*args, *cts], dumps=dumps)
    assert dumps["carries"] is done
    assert len(dumps["licm"].ops) <= 1.5 * len(both.ops) + 5


def test_stages_are_dumped_and_timed() -> None:
    f = made(lambda x: o.sin(x) * 1.0, Aval("f64"))
    dumps: dict[str, Function] = {}
    timings: dict[str, float] = {}
    run(f, [*PRIMAL, *JOINT], dumps=dumps, timings=timings)
    stages = [p.name for p in (*PRIMAL, *JOINT)]
    assert list(dumps) == list(timings) == stages
    assert [op.prim.name for op in dumps["cleanup"].ops] == ["sin"]


def test_a_wrong_pass_is_named() -> None:
    def wrong(f: Function) -> Function:
        return rebuild(f, lambda b, op, args: (o.cos(*args),) if op.prim is o.sin else None)

    f = made(o.sin, Aval("f64"))
    with pytest.raises(Miscompiled, match="turned: result 0 of f was"):
        run(f, [Pass("turned", wrong)], samples=[0.3])


def test_an_ill_formed_result_is_caught() -> None:
    stray = made(o.sin, Aval("f64"))

    def broken(f: Function) -> Function:
        return Function(f.name, type(f.block)(f.params, f.ops, stray.outs))

    with pytest.raises(IRError):
        run(made(o.cos, Aval("f64")), [Pass("broken", broken)], check=True)


def test_stop_gradient_is_released_at_the_end_only() -> None:
    f = made(lambda x: o.stop_gradient(x) * x, Aval("f64"))
    primal = run(f, PRIMAL)
    assert [op.prim.name for op in primal.ops] == ["stop_gradient", "mul"]
    (g,) = evaluate(run(vjp(primal, (0,), seed_ones=True, primal_outs=False), JOINT), 3.0)
    assert g == 3.0

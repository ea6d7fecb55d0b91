"""Optimisers against their formulas, as kernels and without, on Tensors and on containers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import adjit
import adjit.tensors as torch
from adjit import jit, nn, options, value_and_grad
from adjit.optim import fused, lr_scheduler, rules

Step = Callable[[np.ndarray, np.ndarray, int, dict[str, Any]], np.ndarray]


def sgd(
    p: Any, g: Any, k: int, s: Any, lr: float, mu: float, damp: float, wd: float, nest: bool
) -> Any:
    g = g + wd * p
    s["b"] = g if k == 1 else mu * s["b"] + (1 - damp) * g
    return p - lr * (g + mu * s["b"] if nest else s["b"])


def adam(p: Any, g: Any, k: int, s: Any, wd: float, own: bool, top: bool) -> Any:
    p, g = (p * (1 - 1e-3 * wd), g) if own else (p, g + wd * p)
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    s["t"] = np.maximum(s.get("t", 0), s["v"])
    v = s["t"] if top else s["v"]
    return p - 1e-3 * (s["m"] / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)


def rmsprop(p: Any, g: Any, k: int, s: Any, mu: float, centred: bool) -> Any:
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    s["m"] = 0.99 * s.get("m", 0) + 0.01 * g
    move = g / (np.sqrt(s["v"] - (s["m"] ** 2 if centred else 0)) + 1e-8)
    s["b"] = mu * s.get("b", 0) + move
    return p - 0.01 * (s["b"] if mu else move)


def adagrad(p: Any, g: Any, k: int, s: Any, decay: float) -> Any:
    s["v"] = s.get("v", 0.2) + g * g
    return p - 0.01 / (1 + (k - 1) * decay) * g / (np.sqrt(s["v"]) + 1e-10)


def adadelta(p: Any, g: Any, k: int, s: Any) -> Any:
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    move = np.sqrt(s.get("d", 0) + 1e-6) / np.sqrt(s["v"] + 1e-6) * g
    s["d"] = 0.9 * s.get("d", 0) + 0.1 * move * move
    return p - move


CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("SGD", {"lr": 0.1}, lambda *a: sgd(*a, 0.1, 0, 0, 0, False)),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
     lambda *a: sgd(*a, 0.1, 0.9, 0.3, 0.1, False)),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True},
     lambda *a: sgd(*a, 0.1, 0.9, 0, 0, True)),
    ("Adam", {}, lambda *a: adam(*a, 0, False, False)),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True}, lambda *a: adam(*a, 0.1, False, True)),
    ("AdamW", {"weight_decay": 0.1}, lambda *a: adam(*a, 0.1, True, False)),
    ("RMSprop", {}, lambda *a: rmsprop(*a, 0, False)),
    ("RMSprop", {"momentum": 0.9, "centered": True}, lambda *a: rmsprop(*a, 0.9, True)),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.2},
     lambda *a: adagrad(*a, 0.1)),
    ("Adadelta", {}, adadelta),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "formula"), CASES)
@pytest.mark.parametrize("size", [3, fused.LEAST])
def test_steps(name: str, settings: dict[str, Any], formula: Step, size: int) -> None:
    rng = np.random.default_rng(0)
    p = torch.tensor(rng.standard_normal(size), requires_grad=True)
    array = p.detach().numpy()
    expected, state = array.copy(), {}
    optimizer = getattr(adjit.optim, name)([p], **settings)
    for k in range(1, 6):
        g = rng.standard_normal(size)
        p.grad = torch.tensor(g)
        optimizer.step()
        expected = formula(expected, g, k, state)
        np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-12)  # in place


def test_every_rule_is_one_loop_in_place() -> None:
    for rule in (
        rules.sgd(momentum=True, first=False, nesterov=True, maximize=True, decayed=True),
        rules.adam(amsgrad=True, maximize=False, decay="own"),
        rules.rmsprop(momentum=True, centered=True, maximize=False, decayed=True),
        rules.adagrad(maximize=False, decayed=True),
        rules.adadelta(maximize=False, decayed=False),
    ):
        assert fused._compiled(rule, "f32") is not None


def test_functional_optimisers_step_as_those_of_tensors() -> None:
    rng = np.random.default_rng(1)
    F = adjit.optim.functional
    for one, settings in [
        (F.adam, {}), (F.adamw, {}), (F.rmsprop, {"momentum": 0.5}), (F.adagrad, {}),
        (F.sgd, {"lr": 0.1, "momentum": 0.9}),
    ]:  # fmt: skip
        name = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}
        params = {"w": rng.standard_normal((2, 3)), "b": [rng.standard_normal(2)]}
        tensors = [torch.tensor(x, requires_grad=True) for x in (params["w"], params["b"][0])]
        other = getattr(adjit.optim, name.get(one.__name__, "Adagrad"))(tensors, **settings)
        optimizer = one(**settings)
        state, first = optimizer.init(params), params["w"]
        kept = first.copy()
        for _ in range(4):
            grads = {"w": rng.standard_normal((2, 3)), "b": [rng.standard_normal(2)]}
            for t, g in zip(tensors, (grads["w"], grads["b"][0]), strict=True):
                t.grad = torch.tensor(g)
            other.step()
            params, state = optimizer.update(grads, state, params)
        np.testing.assert_allclose(params["w"], tensors[0].detach().numpy(), rtol=1e-10)
        np.testing.assert_allclose(params["b"][0], tensors[1].detach().numpy(), rtol=1e-10)
        np.testing.assert_array_equal(first, kept)
        assert state.step == 4
    with pytest.raises(ValueError, match="no container like the parameters"):
        optimizer.update({"w": params["w"]}, state, params)


def test_an_update_inside_a_traced_function() -> None:
    optimizer = adjit.optim.functional.sgd(lr=0.1, momentum=0.9)
    x, y = np.linspace(-1, 1, 12).reshape(6, 2), np.arange(6.0)

    @value_and_grad
    def loss(w: Any) -> Any:
        return np.mean((x @ w - y) ** 2)

    @jit
    def step(w: Any, state: Any) -> Any:
        _, g = loss(w)
        return optimizer.update(g, state, w)

    w = np.zeros(2)
    state, plain, plain_state = optimizer.init(w), w, optimizer.init(w)
    with options(interpret=True):
        for _ in range(3):
            w, state = step(w, state)
            plain, plain_state = optimizer.update(loss(plain)[1], plain_state, plain)
    np.testing.assert_allclose(w, plain, rtol=1e-12)


def test_lbfgs_finds_a_minimum() -> None:
    p = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([p], max_iter=100, tolerance_change=1e-14)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(24.2)
    np.testing.assert_allclose(p.detach().numpy(), [1.0, 1.0], atol=1e-4)
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()


SCHEDULES: list[tuple[str, dict[str, Any], Callable[[int], float]]] = [
    ("StepLR", {"step_size": 2, "gamma": 0.5}, lambda k: 0.5 ** (k // 2)),
    ("MultiStepLR", {"milestones": [1, 4]}, lambda k: 0.1 ** ((k >= 1) + (k >= 4))),
    ("ExponentialLR", {"gamma": 0.9}, lambda k: 0.9**k),
    ("LinearLR", {"start_factor": 0.25, "total_iters": 3}, lambda k: 0.25 + 0.75 * min(k, 3) / 3),
    ("CosineAnnealingLR", {"T_max": 5}, lambda k: (1 + math.cos(math.pi * k / 5)) / 2),
    ("LambdaLR", {"lr_lambda": lambda k: 1 / (1 + k)}, lambda k: 1 / (1 + k)),
]


@pytest.mark.parametrize(("name", "settings", "factor"), SCHEDULES)
def test_schedules(name: str, settings: dict[str, Any], factor: Callable[[int], float]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    schedule = getattr(lr_scheduler, name)(optimizer, **settings)
    for k in range(6):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.4 * factor(k))
        optimizer.step()
        schedule.step()


def test_a_warm_up_and_what_follows() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    warm = lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2)
    after = lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule = lr_scheduler.SequentialLR(optimizer, [warm, after], [2])
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert rates == [0.5, 0.75, 1.0, 0.5, 0.25]


def test_clipping() -> None:
    p, q = (torch.zeros(2, requires_grad=True) for _ in range(2))
    p.grad, q.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert nn.utils.clip_grad_norm_([p, q], 1.0).item() == pytest.approx(5.0)
    np.testing.assert_allclose(q.grad.numpy(), [0.0, 0.8], rtol=1e-5)
    nn.utils.clip_grad_value_([p, q], 0.5)
    np.testing.assert_allclose(q.grad.numpy(), [0.0, 0.5], rtol=1e-5)
    grads = adjit.optim.functional.clip_by_norm({"a": np.array([3.0, 4.0])}, 1.0)
    np.testing.assert_allclose(grads["a"], [0.6, 0.8], rtol=1e-5)


def test_states_are_saved() -> None:
    p = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.Adam([p])
    p.grad = torch.ones(3)
    optimizer.step()
    saved = optimizer.state_dict()
    assert set(saved["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert saved["state"][0]["exp_avg"].norm().item() == pytest.approx(0.1 * 3**0.5)
    saved["state"][0]["exp_avg"].zero_()  # a copy
    assert optimizer.state[p]["exp_avg"].all()
    other = torch.optim.Adam([p], lr=5.0)
    other.load_state_dict(saved)
    assert other.param_groups[0]["lr"] == 1e-3 and other.state[p]["step"] == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: torch.optim.SGD([p], lr=-1.0), "Invalid learning rate: -1.0"),
        (lambda p: torch.optim.Adam([p], betas=(0.9, 1.0)), "index 1"),
        (lambda p: torch.optim.SGD([p], nesterov=True), "Nesterov"),
        (lambda p: torch.optim.SGD([]), "empty parameter list"),
    ],
)
def test_wrong_settings(make: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(torch.zeros(1, requires_grad=True))


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [  # from torch
        ("PolynomialLR", {"total_iters": 4, "power": 2.0}, [0.1, 0.05625, 0.025, 0.00625]),
        ("CosineAnnealingWarmRestarts", {"T_0": 3}, [0.1, 0.075, 0.025, 0.1]),
        ("OneCycleLR", {"max_lr": 0.2, "total_steps": 8}, [0.008, 0.163855, 0.194388, 0.162349]),
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2}, [0.01, 0.055, 0.1]),
        ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9}, [0.1, 0.09, 0.081, 0.0729]),
    ],
)  # fmt: skip
def test_more_schedules(name, settings, wanted):
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1, momentum=0.9)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **settings)
    found = []
    for _ in wanted:
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_plateau():
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    for loss in (3.0, 2.0, 2.0, torch.tensor(2.0), 1.0):
        schedule.step(loss)
    assert schedule.get_last_lr() == [0.010000000000000002]
    with pytest.raises(ValueError, match="must support momentum"):
        torch.optim.lr_scheduler.OneCycleLR(
            torch.optim.Adagrad([torch.ones(1, requires_grad=True)]), max_lr=1.0, total_steps=9
        )


@pytest.mark.parametrize("lr", [np.float32(0.25), torch.tensor(0.25)], ids=["numpy", "tensor"])
@pytest.mark.parametrize("make", [adjit.optim.SGD, adjit.optim.Adam, adjit.optim.ASGD])
def test_a_setting_may_be_any_number(make, lr):
    found = []
    for given in (0.25, lr):
        p = torch.ones(3, requires_grad=True)
        optimizer = make([p], lr=given)
        for _ in range(2):
            p.grad = torch.ones(3)
            optimizer.step()
            optimizer.param_groups[0]["lr"] = given
        found.append(p.detach().numpy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("size", [4, fused.LEAST])
def test_a_parameter_that_grew_does_not_fit_its_state(size):
    p = torch.ones(size, requires_grad=True)
    optimizer = adjit.optim.Adam([p])
    for n in (size, 2 * size):
        p.grad = None
        p.data = torch.ones(n)
        p.grad = torch.ones(n)
        if n == size:
            optimizer.step()
    with pytest.raises(ValueError, match="could not be broadcast"):
        optimizer.step()

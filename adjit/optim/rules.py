"""One step of each optimiser, in NumPy's terms: what kernels are made of, and what they mean.

A rule takes a parameter, its gradient, its state and numbers, and returns the parameter and the
state that follow.  The numbers have the parameter's dtype.  Formulas are those of PyTorch's pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from ..ir.records import dataclass


@dataclass(frozen=True)
class Rule:
    """A step: names of its state arrays, names of its numbers, and the function."""

    name: str
    states: tuple[str, ...]
    numbers: tuple[str, ...]
    step: Callable[..., tuple[Any, ...]]


def _signed(p: Any, g: Any, n: Mapping[str, Any], maximize: bool, decayed: bool) -> Any:
    g = -g if maximize else g
    return g + n["weight_decay"] * p if decayed else g


@cache
def sgd(*, momentum: bool, first: bool, nesterov: bool, maximize: bool, decayed: bool) -> Rule:
    """buf = momentum * buf + (1 - dampening) * g (at first g), p = p - lr * buf."""

    def plain(p: Any, g: Any, **n: Any) -> tuple[Any, ...]:
        return (p - n["lr"] * _signed(p, g, n, maximize, decayed),)

    def heavy(p: Any, g: Any, buf: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decayed)
        buf = g if first else n["momentum"] * buf + n["fresh"] * g
        return p - n["lr"] * (g + n["momentum"] * buf if nesterov else buf), buf

    name = f"sgd{momentum:d}{first:d}{nesterov:d}{maximize:d}{decayed:d}"
    numbers: tuple[str, ...] = ("lr", "weight_decay") if decayed else ("lr",)
    if not momentum:
        return Rule(name, (), numbers, plain)
    if not first or nesterov:
        numbers += ("momentum",)
    if not first:
        numbers += ("fresh",)
    return Rule(name, ("momentum_buffer",), numbers, heavy)


@cache
def adam(*, amsgrad: bool, maximize: bool, decay: str) -> Rule:
    """Steps by the first and second moments of the gradient; `decay` is "", "l2" or "own"."""

    def step(p: Any, g: Any, m: Any, v: Any, *high: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decay == "l2")
        if decay == "own":
            p = p * n["shrink"]
        m = m + n["fresh1"] * (g - m)
        v = n["beta2"] * v + n["fresh2"] * g * g
        tops = tuple(np.maximum(h, v) for h in high)
        root = np.sqrt(tops[0] if tops else v) / n["root"] + n["eps"]
        return p - n["size"] * (m / root), m, v, *tops

    states = ("exp_avg", "exp_avg_sq") + (("max_exp_avg_sq",) if amsgrad else ())
    numbers: tuple[str, ...] = ("fresh1", "beta2", "fresh2", "root", "eps", "size")
    numbers += {"": (), "l2": ("weight_decay",), "own": ("shrink",)}[decay]
    return Rule(f"adam{amsgrad:d}{maximize:d}{decay}", states, numbers, step)


@cache
def rmsprop(*, momentum: bool, centered: bool, maximize: bool, decayed: bool) -> Rule:
    """Steps by the gradient over the root of its second moment."""

    def step(p: Any, g: Any, v: Any, *more: Any, **n: Any) -> tuple[Any, ...]:
        rest = list(more)
        g = _signed(p, g, n, maximize, decayed)
        v = n["alpha"] * v + n["fresh"] * g * g
        spread, out = v, []
        if centered:
            mean = rest.pop(0)
            mean = mean + n["fresh"] * (g - mean)
            spread = v - mean * mean
            out.append(mean)
        move = g / (np.sqrt(spread) + n["eps"])
        if momentum:
            move = n["momentum"] * rest.pop(0) + move
            out.append(move)
        return p - n["lr"] * move, v, *out

    states = ("square_avg",) + (("grad_avg",) if centered else ())
    states += ("momentum_buffer",) if momentum else ()
    numbers = ("lr", "alpha", "fresh", "eps") + (("weight_decay",) if decayed else ())
    numbers += ("momentum",) if momentum else ()
    name = f"rmsprop{momentum:d}{centered:d}{maximize:d}{decayed:d}"
    return Rule(name, states, numbers, step)


@cache
def adagrad(*, maximize: bool, decayed: bool) -> Rule:
    """Steps by the gradient over the root of the sum of its squares so far."""

    def step(p: Any, g: Any, total: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decayed)
        total = total + g * g
        return p - n["lr"] * (g / (np.sqrt(total) + n["eps"])), total

    numbers = ("lr", "eps") + (("weight_decay",) if decayed else ())
    return Rule(f"adagrad{maximize:d}{decayed:d}", ("sum",), numbers, step)


@cache
def adadelta(*, maximize: bool, decayed: bool) -> Rule:
    """Steps by the gradient, scaled by the ratio of the roots of two running means."""

    def step(p: Any, g: Any, v: Any, moved: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decayed)
        v = n["rho"] * v + n["fresh"] * g * g
        move = np.sqrt(moved + n["eps"]) / np.sqrt(v + n["eps"]) * g
        return p - n["lr"] * move, v, n["rho"] * moved + n["fresh"] * move * move

    numbers = ("lr", "rho", "fresh", "eps") + (("weight_decay",) if decayed else ())
    return Rule(f"adadelta{maximize:d}{decayed:d}", ("square_avg", "acc_delta"), numbers, step)


@cache
def adamax(*, maximize: bool, decayed: bool) -> Rule:
    """Steps by the first moment over the largest gradient so far, which is forgotten slowly."""

    def step(p: Any, g: Any, m: Any, top: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decayed)
        m = m + n["fresh1"] * (g - m)
        top = np.maximum(n["beta2"] * top, np.abs(g) + n["eps"])
        return p - n["size"] * (m / top), m, top

    numbers = ("fresh1", "beta2", "eps", "size") + (("weight_decay",) if decayed else ())
    return Rule(f"adamax{maximize:d}{decayed:d}", ("exp_avg", "exp_inf"), numbers, step)


@cache
def nadam(*, maximize: bool, decay: str) -> Rule:
    """Adam with Nesterov's momentum (Dozat 2016); `decay` is "", "l2" or "own"."""

    def step(p: Any, g: Any, m: Any, v: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decay == "l2")
        if decay == "own":
            p = p * n["shrink"]
        m = m + n["fresh1"] * (g - m)
        v = n["beta2"] * v + n["fresh2"] * g * g
        root = np.sqrt(v) / n["root"] + n["eps"]
        return p - (n["near"] * g + n["far"] * m) / root, m, v

    numbers: tuple[str, ...] = ("fresh1", "beta2", "fresh2", "root", "eps", "near", "far")
    numbers += {"": (), "l2": ("weight_decay",), "own": ("shrink",)}[decay]
    return Rule(f"nadam{maximize:d}{decay}", ("exp_avg", "exp_avg_sq"), numbers, step)


@cache
def radam(*, rectified: bool, maximize: bool, decay: str) -> Rule:
    """Adam whose second moment counts only once it is known well (Liu et al. 2019)."""

    def step(p: Any, g: Any, m: Any, v: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decay == "l2")
        if decay == "own":
            p = p * n["shrink"]
        m = m + n["fresh1"] * (g - m)
        v = n["beta2"] * v + n["fresh2"] * g * g
        move = m / (np.sqrt(v) + n["eps"]) if rectified else m
        return p - n["size"] * move, m, v

    numbers: tuple[str, ...] = ("fresh1", "beta2", "fresh2", "size")
    numbers += ("eps",) if rectified else ()
    numbers += {"": (), "l2": ("weight_decay",), "own": ("shrink",)}[decay]
    name = f"radam{rectified:d}{maximize:d}{decay}"
    return Rule(name, ("exp_avg", "exp_avg_sq"), numbers, step)


@cache
def rprop(*, maximize: bool) -> Rule:
    """Steps by the sign of the gradient, longer while it stays and shorter where it turns."""

    def step(p: Any, g: Any, before: Any, size: Any, **n: Any) -> tuple[Any, ...]:
        g = -g if maximize else g
        same = g * before
        factor = np.where(same > 0, n["longer"], np.where(same < 0, n["shorter"], n["one"]))
        size = np.minimum(np.maximum(size * factor, n["least"]), n["most"])
        g = np.where(same < 0, 0, g)
        return p - np.sign(g) * size, g, size

    numbers = ("shorter", "longer", "one", "least", "most")
    return Rule(f"rprop{maximize:d}", ("prev", "step_size"), numbers, step)


@cache
def asgd(*, maximize: bool, decayed: bool) -> Rule:
    """Gradient descent, and the mean of where it was (Polyak and Juditsky 1992)."""

    def step(p: Any, g: Any, mean: Any, **n: Any) -> tuple[Any, ...]:
        g = _signed(p, g, n, maximize, decayed)
        p = p * n["shrink"] - n["eta"] * g
        return p, mean + (p - mean) * n["mu"]

    numbers = ("shrink", "eta", "mu") + (("weight_decay",) if decayed else ())
    return Rule(f"asgd{maximize:d}{decayed:d}", ("ax",), numbers, step)

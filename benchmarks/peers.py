"""The peers: the same text with their names in place of NumPy's, and their own loops.

Where a peer would unroll a Python loop, it gets the idiom its manual asks for instead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import types

import numpy as np
from contestants import Refused, Step, by, one_array, rebound, value_and_gradients

# ------------------------------------------------------------------------ JAX


def _scan_rk4(step, scan, jnp):
    def whole(u, p, h, steps):
        def body(state, _):
            return step(*state, p[0], p[1], p[2], p[3], h), None

        (x, y), _ = scan(body, (u[0], u[1]), None, length=steps)
        return x * x + x * y

    return whole


def _scan_lstm(predict, scan, jnp):
    def whole(main, extra, start, text, steps):
        def body(state, given):
            guess, following = predict(main, extra, list(state), given[0])
            return jnp.stack(following), jnp.sum(given[1] * guess)

        _, parts = scan(body, start, (text[:-1], text[1:]))
        return -jnp.sum(parts) / ((steps - 1) * text.shape[1])

    return whole


def _for_jax(fn):
    import jax.numpy as jnp
    import jax.scipy.special
    from jax import lax

    same = rebound(fn, np=jnp, special=jax.scipy.special)
    if fn.__name__ == "rk4":
        return _scan_rk4(same.__globals__["rk4_step"], lax.scan, jnp)
    if fn.__name__ == "lstm":
        return _scan_lstm(same.__globals__["predict"], lax.scan, jnp)
    return same


def jax(problem, args) -> Step:
    """Compiled; loops over time are `lax.scan`."""
    import jax
    import jax.numpy as jnp

    if problem.kind == "step":
        raise Refused("no model of ours")
    fn = _for_jax(problem.fn)
    static = [k for k, a in enumerate(args) if isinstance(a, int)]
    given = tuple(jnp.asarray(a) if isinstance(a, np.ndarray) else a for a in args)
    if problem.kind == "gradient":
        step = jax.jit(jax.value_and_grad(fn, argnums=by(problem)), static_argnums=static)
        return Step(lambda *a: jax.block_until_ready(step(*a)), given, value_and_gradients)
    if problem.kind == "hvp":
        vector = jnp.asarray(problem.direction())

        def product(v, w, *rest):
            return jax.jvp(lambda w: jax.grad(fn)(w, *rest), (w,), (v,))[1]

        step, given = jax.jit(product), (vector, *given)
    else:
        step = jax.jit({"hessian": jax.hessian, "jacobian": jax.jacrev}[problem.kind](fn))
    return Step(lambda *a: step(*a).block_until_ready(), given, one_array)


# ---------------------------------------------------------------------- torch


def _for_torch(fn):
    import torch
    import torch.nn.functional as functional

    def folded(method):
        def fold(x, axis=None, keepdims=False):
            return method(x) if axis is None else method(x, axis, keepdim=keepdims)

        return fold

    names = {n: getattr(torch, n) for n in ("exp", "log", "sqrt", "tanh", "zeros_like", "swapaxes")}
    shim = types.SimpleNamespace(
        **names,
        sum=folded(torch.sum),
        mean=folded(torch.mean),
        max=folded(torch.amax),
        maximum=lambda x, zero: torch.relu(x),
        concatenate=lambda parts, axis=0: torch.cat(parts, axis),
        logaddexp=lambda zero, x: functional.softplus(x, threshold=40.0),
    )

    def network(x, y, *params):
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = torch.relu(torch.addmm(b, x, w))
        return functional.cross_entropy(torch.addmm(params[-1], x, params[-2]), y)

    return network if fn.__name__ == "network" else rebound(fn, np=shim, special=torch.special)


def torch(problem, args, compiled=False) -> Step:
    """Eager; the loop over time is Python's."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if problem.kind == "step":
        import nets

        return nets.torch_step(args, compiled)
    if problem.fn.__name__ in ("rk4", "lstm") and compiled:
        raise Refused("unrolls the loop: compiles for minutes")
    if problem.name == "rk4-10000":
        raise Refused("takes 10 s for a step")
    fn = _for_torch(problem.fn)
    given = [torch.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in args]
    wrap = (lambda f: torch.compile(f, fullgraph=True)) if compiled else (lambda f: f)
    if problem.kind == "gradient":
        active = [given[k].requires_grad_() for k in problem.argnums]
        run = wrap(fn)

        def step(*args):
            value = run(*args)
            return value.detach(), torch.autograd.grad(value, active)

        return Step(step, tuple(given), value_and_gradients)
    if problem.kind == "hvp":
        if compiled:
            raise Refused("does not compile a gradient of a gradient")
        w, v = given[0].requires_grad_(), torch.from_numpy(problem.direction())

        def product():
            (g,) = torch.autograd.grad(fn(w, *given[1:]), w, create_graph=True)
            return torch.autograd.grad(g @ v, w)[0]

        return Step(product, (), one_array)
    if problem.kind == "hessian" and compiled:
        raise Refused("does not compile a gradient of a gradient")
    f = wrap({"hessian": torch.func.hessian, "jacobian": torch.func.jacrev}[problem.kind](fn))
    return Step(f, tuple(given), one_array)


def torch_compile(problem, args) -> Step:
    """The function compiled by inductor, the gradient by AOTAutograd."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise Refused("finds no C++ compiler")
    if problem.name in ("rosenbrock-2", "rosenbrock-10"):
        raise Refused("100 us a call")
    return torch(problem, args, compiled=True)


# ------------------------------------------------------------------- PyTensor


def _for_pytensor(fn):
    import pytensor.tensor as pt

    names = {n: getattr(pt, n) for n in ("exp", "log", "sqrt", "tanh", "zeros_like", "concatenate")}
    names |= {n: getattr(pt, n) for n in ("sum", "mean", "max")}
    shim = types.SimpleNamespace(
        **names,
        maximum=lambda x, zero: pt.maximum(x, np.zeros((), x.dtype)),
        logaddexp=lambda zero, x: pt.softplus(x),
        swapaxes=lambda x, a, b: x.swapaxes(a, b),
    )
    return rebound(fn, np=shim, special=types.SimpleNamespace(erf=pt.erf))


def pytensor(problem, args) -> Step:
    """Compiled by its default linker, Numba's; inputs are not copied."""
    import pytensor
    import pytensor.tensor as pt

    if problem.kind == "step":
        raise Refused("no model of ours")
    if problem.fn.__name__ in ("rk4", "lstm"):
        raise Refused("compiles the gradient of a loop for minutes")
    symbols = [
        pt.tensor(dtype=a.dtype, shape=a.shape) if isinstance(a, np.ndarray) else a for a in args
    ]
    ins = [s for s in symbols if not isinstance(s, (int, float))]
    given = [a for a in args if isinstance(a, np.ndarray)]
    active = [symbols[k] for k in problem.argnums]
    out = _for_pytensor(problem.fn)(*symbols)
    collect = lambda found: [np.asarray(x) for x in found]  # noqa: E731 like all the others
    if problem.kind == "gradient":
        outs = [out, *pytensor.grad(out, active)]
    elif problem.kind == "hvp":
        v = pt.vector("v", dtype="float64")
        outs = [pytensor.grad(pt.sum(pytensor.grad(out, active[0]) * v), active[0])]
        ins, given = [*ins, v], [*given, problem.direction()]
    else:
        outs = [getattr(pytensor.gradient, problem.kind)(out, active[0])]
    ins = [pytensor.In(s, borrow=True) for s in ins]
    step = pytensor.function(ins, outs, on_unused_input="ignore")
    step.trust_input = True
    return Step(step, tuple(given), collect)


# --------------------------------------------------------------------- CasADi


def _casadi_graph(problem, args):
    """Symbols, the result, and by what it is differentiated."""
    import casadi as ca

    name = problem.fn.__name__ if problem.fn else ""
    if name == "rosenbrock" and args[0].size <= 1000:
        x = ca.SX.sym("x", args[0].size)
        a, b = x[1:] - x[:-1] ** 2, 1.0 - x[:-1]
        return [x], ca.sumsqr(b) + 100.0 * ca.sumsqr(a), [x]
    if name == "rk4":
        h, steps = args[2], args[3]
        one_step = problem.fn.__globals__["rk4_step"]
        u, p = ca.SX.sym("u", 2), ca.SX.sym("p", 4)
        once = ca.vertcat(*one_step(u[0], u[1], p[0], p[1], p[2], p[3], h))
        step = ca.Function("step", [u, p], [once])
        start, rates = ca.MX.sym("start", 2), ca.MX.sym("rates", 4)
        end = step.mapaccum("loop", steps)(start, ca.repmat(rates, 1, steps))[:, -1]
        return [start, rates], end[0] * end[0] + end[0] * end[1], [start, rates]
    if name == "tanh_chain":
        x = ca.MX.sym("x", args[0].size)
        a, b, c = (ca.MX.sym(n, *m.shape) for n, m in zip("abc", args[1:], strict=True))
        return [x, a, b, c], ca.tanh(c @ ca.tanh(b @ ca.tanh(a @ x))), [x]
    raise Refused("a graph of scalars")


def casadi(problem, args, compiled=False) -> Step:
    """A virtual machine for scalar graphs, called through buffers that are set once."""
    import casadi as ca

    symbols, out, active = _casadi_graph(problem, args)
    if problem.kind == "gradient":
        outs = [out, *(ca.gradient(out, x) for x in active)]
    elif problem.kind == "hessian":
        outs = [ca.densify(ca.hessian(out, active[0])[0])]
    else:
        outs = [ca.jacobian(out, active[0])]
    flags = {"flags": ["-O3", "-march=native", "-ffast-math"]}
    options = {"jit": True, "compiler": "shell", "jit_options": flags} if compiled else {}
    fn = ca.Function("fn", symbols, outs, options)
    buffer, call = fn.buffer()
    given = [a.ravel(order="F").copy() for a in args if isinstance(a, np.ndarray)]
    results = [np.zeros(o.shape[::-1]) for o in outs]  # columns come first
    for k, a in enumerate(given):
        buffer.set_arg(k, memoryview(a))
    for k, r in enumerate(results):
        buffer.set_res(k, memoryview(r))
    kept = (fn, buffer, given)  # the buffer borrows their memory
    shapes = [args[k].shape for k in problem.argnums]
    shapes = [(), *shapes] if problem.kind == "gradient" else [outs[0].shape]

    def collect(found, kept=kept):
        return [r.T.reshape(s) for r, s in zip(results, shapes, strict=True)]

    return Step(call, (), collect)


def casadi_c(problem, args) -> Step:
    """The same graphs as C, compiled."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        raise Refused("finds no C compiler")
    if problem.kind == "jacobian":
        raise Refused("a graph of arrays")
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        return casadi(problem, args, compiled=True)  # its compiler leaves files where it stands


# ------------------------------------------------------------------- autograd


def autograd(problem, args) -> Step:
    """A tape over NumPy."""
    import autograd
    import autograd.numpy as names
    import autograd.scipy.special as special

    if problem.kind == "step":
        raise Refused("no model of ours")
    if problem.name == "rk4-10000":
        raise Refused("takes 40 s for a step")
    fn = rebound(problem.fn, np=names, special=special)
    if problem.kind == "gradient":
        return Step(autograd.value_and_grad(fn, argnum=by(problem)), args, value_and_gradients)
    if problem.kind == "hvp":
        return Step(autograd.hessian_vector_product(fn), (*args, problem.direction()), one_array)
    f = {"hessian": autograd.hessian, "jacobian": autograd.jacobian}[problem.kind](fn)
    return Step(f, args, one_array)


PEERS = {f.__name__: f for f in (jax, torch, torch_compile, pytensor, casadi, casadi_c, autograd)}

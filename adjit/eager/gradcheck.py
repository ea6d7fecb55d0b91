"""`gradcheck`: the derivatives of a function of Tensors beside differences of its values."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .gradients import grad
from .modes import enable_grad
from .tensor_object import Tensor, as_tensor, held

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """The derivatives of a function are not those that its values have."""


def _results(out: Any) -> list[Tensor]:
    listed = list(out) if isinstance(out, tuple | list) else [out]
    return [t for t in listed if isinstance(t, Tensor) and t.requires_grad]


def _numeric(
    func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, k: int, eps: float
) -> np.ndarray:
    """The derivatives of one result by one input, by central differences: a row per element."""
    array, rows = x.detach()._value(), []

    def value(array: np.ndarray) -> np.ndarray:
        moved = [held(array).requires_grad_() if t is x else t for t in inputs]
        with enable_grad():  # a function may differentiate inside
            out = func(*moved)
        listed = list(out) if isinstance(out, tuple | list) else [out]
        tensors = [t for t in listed if isinstance(t, Tensor) and t.dtype.kind in "fc"]
        return tensors[k]._value().astype(np.result_type(array, np.float64)).ravel()

    for i in np.ndindex(*array.shape):
        sides = []
        for step in (eps, -eps):
            other = array.copy()
            other[i] += step
            sides.append(value(other))
        rows.append((sides[0] - sides[1]) / (2 * eps))
    return np.stack(rows) if rows else np.zeros((0, 0))


def _analytic(out: Tensor, x: Tensor, seed: np.ndarray | None = None) -> np.ndarray:
    rows = []
    for i in range(out.numel()):
        unit = np.zeros(out.numel(), out._dtype)
        unit[i] = 1
        ct = held(unit.reshape(tuple(out.shape)))
        (g,) = grad(out, x, ct, retain_graph=True, allow_unused=True)
        rows.append(np.zeros(x.numel()) if g is None else g.detach()._value().ravel())
    return np.stack(rows, 1) if rows else np.zeros((x.numel(), 0))


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5,
    rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
    check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
    check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:  # fmt: skip
    """Whether the derivatives agree with central differences; inputs in double precision."""
    try:
        _check(func, inputs, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(func: Any, inputs: Any, eps: float, atol: float, rtol: float) -> None:
    given = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    asked = [(i, x) for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]
    if not asked:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    for i, x in asked:
        if x.dtype.name not in ("float64", "complex128"):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or "
                "complex. This check will likely fail if all the inputs are not of double "
                "precision floating point or complex. ",
                stacklevel=3,
            )
    outs = _results(func(*given))
    if not outs:
        raise GradcheckError(
            "None of the outputs require gradient: the function does not depend on its inputs in "
            "a differentiable way"
        )
    for j, x in asked:
        for k, out in enumerate(outs):
            slopes = _analytic(out, x)
            found = _numeric(func, given, x, k, eps)
            if not np.allclose(slopes, found, rtol, atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian mismatch for output {k} with respect to input {j},\n"
                    f"numerical:{as_tensor(found)!r}\nanalytical:{as_tensor(slopes)!r}\n"
                )


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
    atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True, **options: Any,
) -> bool:  # fmt: skip
    """Whether second derivatives agree with central differences of the first."""
    given = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    outs = _results(func(*given))
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        cts = [held(rng.standard_normal(tuple(o.shape)).astype(o._dtype)) for o in outs]
        for ct in cts:
            ct.requires_grad_()
    else:
        cts = list(grad_outputs) if isinstance(grad_outputs, tuple | list) else [grad_outputs]
    n = len(given)

    def slopes(*xs: Any) -> Any:
        with enable_grad():
            fresh = tuple(
                x.detach().requires_grad_() if isinstance(x, Tensor) and not x.requires_grad else x
                for x in xs[:n]
            )
            found = _results(func(*fresh))
            asked = [x for x in fresh if isinstance(x, Tensor) and x.requires_grad]
            got = grad(found, asked, list(xs[n:]), create_graph=True, allow_unused=True)
        return tuple(g for g in got if g is not None and g.requires_grad)

    return gradcheck(
        slopes, (*given, *cts), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        **options,
    )  # fmt: skip

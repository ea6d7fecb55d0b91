"""`torch.func`: derivatives as functions of functions of Tensors, and `vmap`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from ..nn.module import functional_call as _functional_call
from . import tape
from .backward import run_refs, seed_of
from .modes import enable_grad, recording
from .shapes import stack
from .sweep import Sweep
from .tensor_object import Tensor, shown
from .tensor_rows import asked, leaves_of, like, mapped, vmap

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "stack_module_state", "vjp", "vmap",
]  # fmt: skip

Fn = Callable[..., Any]


def _fresh(x: Tensor) -> Tensor:
    """A Tensor that stands for an argument; what it was made from stays reachable."""
    return x.view_as(x) if x.requires_grad else x.detach().requires_grad_()


class Call:
    """A call of a function with some arguments replaced by Tensors that require grad."""

    def __init__(
        self, name: str, func: Fn, args: tuple[Any, ...], argnums: Any, has_aux: bool, kwargs: Any
    ) -> None:
        self.single = isinstance(argnums, int)
        numbers = (argnums,) if self.single else tuple(argnums)
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
        numbers = tuple(n % len(args) for n in numbers)
        self.args = [args[n] for n in numbers]
        for x in leaves_of(self.args):
            if not isinstance(x, Tensor):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
        with enable_grad():
            self.inner = [mapped(_fresh, x) for x in self.args]
            given = list(args)
            for n, x in zip(numbers, self.inner, strict=True):
                given[n] = x
            out = func(*given, **kwargs)
            self.aux = None
            if has_aux:
                if not (isinstance(out, tuple) and len(out) == 2):
                    raise RuntimeError(
                        f"{name}: output of function f should be a tuple: (output, aux) if has_aux "
                        "is True"
                    )
                out, self.aux = out
        self.out = out
        self.outs = leaves_of(out)
        for x in self.outs:
            if not isinstance(x, Tensor) and name != "grad_and_value":
                raise RuntimeError(
                    f"{name}: Expected f(*args) to return only tensors, got unsupported type "
                    f"{type(x)}"
                )
        self.leaves = leaves_of(self.inner)

    def pulled(self, cts: list[Any]) -> list[Tensor]:
        """The cotangents of the arguments; zeros where no result depends on one."""
        seeds = [seed_of(o, c) for o, c in zip(self.outs, cts, strict=True) if o.requires_grad]
        refs = [x._ref() for x in self.leaves]
        sweep = Sweep(seeds, [r for r in refs if r[0].piece is not None], True)
        found = []
        for x, ref in zip(self.leaves, refs, strict=True):
            known = (
                sweep.found.get(ref)
                if ref[0].piece is not None
                else sweep.leaves.get(id(x), (None, None))[1]
            )
            found.append(x.new_zeros(x.shape) if known is None else shown(*known))
        return self.freed(found)

    def retire(self) -> None:
        """Let the stand-ins of arguments no longer count as what derivatives are asked by."""
        for x, given in zip(self.leaves, leaves_of(self.args), strict=True):
            known = x._source() if x._node is None and x._source is not None else None
            if known is not None and not given.requires_grad:
                known.tracked = False

    def freed(self, found: list[Tensor]) -> list[Tensor]:
        """Derivatives, computed, and without history that only leads to the arguments."""
        if not tape.rows.open:
            run_refs([x._ref() for x in found])
        return [self.free(x) for x in found]

    def free(self, x: Tensor) -> Tensor:
        """The Tensor without history, if that only leads to the arguments of this call."""
        if not x.requires_grad:
            return x
        own = {id(t) for t in self.leaves}
        return x if recording.on and asked(x._ref()[0], own) else x.detach()

    def like_args(self, leaves: list[Tensor]) -> Any:
        """The derivatives in the containers of the arguments."""
        found = like(self.inner, iter(leaves))
        return found[0] if self.single else tuple(found)

    def value(self) -> Any:
        """The result."""
        return mapped(self.free, self.out)

    def extra(self) -> Any:
        """What came along with the result."""
        return mapped(lambda x: self.free(x) if isinstance(x, Tensor) else x, self.aux)


def grad_and_value(func: Fn, argnums: Any = 0, has_aux: bool = False) -> Fn:
    """A function that answers (the derivative of a scalar result, the result)."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        made = Call("grad_and_value", func, args, argnums, has_aux, kwargs)
        out = made.out
        if not isinstance(out, Tensor):
            raise RuntimeError(
                f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(out)}"
            )
        if out.ndim:
            raise RuntimeError(
                "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor "
                f"with {out.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
            )
        slopes = made.like_args(made.pulled([None]))
        value = made.value()
        made.retire()
        return (slopes, (value, made.extra())) if has_aux else (slopes, value)

    return call


def grad(func: Fn, argnums: Any = 0, has_aux: bool = False) -> Fn:
    """A function that answers the derivative of a scalar result by the arguments `argnums`."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        slopes, rest = both(*args, **kwargs)
        return (slopes, rest[1]) if has_aux else slopes

    return call


def vjp(func: Fn, *primals: Any, has_aux: bool = False) -> Any:
    """(the result, a function from its cotangents to those of the primals)."""
    made = Call("vjp", func, primals, tuple(range(len(primals))), has_aux, {})

    def pull(cotangents: Any, *more: Any) -> Any:
        given = leaves_of((cotangents, *more) if more else cotangents)
        if len(given) != len(made.outs):
            raise RuntimeError(
                f"vjp: the cotangents have {len(given)} Tensors, the results {len(made.outs)}"
            )
        found = made.like_args(made.pulled(given))
        return found

    return (made.value(), pull, made.extra()) if has_aux else (made.value(), pull)


def _pushed(made: Call, tangents: list[Tensor]) -> list[Tensor]:
    """The pullback is linear in its cotangent; its own pullback is the pushforward."""
    with enable_grad():
        dummies = [o.new_zeros(o.shape).requires_grad_() for o in made.outs]
        seeds = [seed_of(o, d) for o, d in zip(made.outs, dummies, strict=True) if o.requires_grad]
        refs = [x._ref() for x in made.leaves]
        first = Sweep(seeds, [r for r in refs if r[0].piece is not None], True)
        pulled = []
        for x, ref in zip(made.leaves, refs, strict=True):
            known = (
                first.found.get(ref)
                if ref[0].piece is not None
                else first.leaves.get(id(x), (None, None))[1]
            )
            pulled.append(None if known is None else shown(*known))
        pairs = [(p, t) for p, t in zip(pulled, tangents, strict=True) if p is not None]
        second = Sweep([seed_of(p, t) for p, t in pairs if p.requires_grad], (), True)
    found = []
    for o, d in zip(made.outs, dummies, strict=True):
        arrived = second.leaves.get(id(d))
        found.append(o.new_zeros(o.shape) if arrived is None else shown(*arrived[1]))
    made.leaves += dummies
    free = made.freed(found)
    del made.leaves[-len(dummies) :]
    for d in dummies:
        node = d._source() if d._source is not None else None
        if node is not None:
            node.tracked = False
    return free


def _checked(name: str, primals: list[Any], tangents: list[Any]) -> None:
    if len(primals) != len(tangents):
        raise RuntimeError(
            f"{name}: Expected primals and tangents to have the same python structure."
        )
    for x, t in zip(primals, tangents, strict=True):
        if x.shape != t.shape:
            raise RuntimeError(
                f"{name}: a tangent has shape {tuple(t.shape)}, its primal {tuple(x.shape)}"
            )


def jvp(
    func: Fn, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """(the result, its tangents for the tangents of the primals)."""
    if not isinstance(primals, tuple):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it should be valid to "
            "call f(*primals)."
        )
    given = leaves_of(tangents)
    _checked("jvp(f, primals, tangents)", leaves_of(primals), given)
    made = Call("jvp", func, primals, tuple(range(len(primals))), has_aux, {})
    pushed = like(made.out, iter(_pushed(made, given)))
    found = (made.value(), pushed, made.extra()) if has_aux else (made.value(), pushed)
    made.retire()
    return found


def linearize(func: Fn, *primals: Any) -> tuple[Any, Fn]:
    """(the result, a function from tangents of the primals to those of the result)."""
    made = Call("linearize", func, primals, tuple(range(len(primals))), False, {})

    def push(*tangents: Any) -> Any:
        given = leaves_of(tangents)
        _checked("linearize", leaves_of(primals), given)
        return like(made.out, iter(_pushed(made, given)))

    return made.value(), push


def _units(x: Tensor) -> Iterator[Tensor]:
    n = x.numel()
    for k in range(n):
        unit = x.new_zeros(n)
        unit._own()[k] = 1
        yield unit.reshape(x._aval_shape())


def jacrev(
    func: Fn, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Fn:  # fmt: skip
    """A function that answers all derivatives, one pullback per element of the result."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        made = Call("jacrev", func, args, argnums, has_aux, kwargs)
        blocks = []
        for j, out in enumerate(made.outs):
            rows = []
            for unit in _units(out):
                cts = [unit if i == j else o.new_zeros(o.shape) for i, o in enumerate(made.outs)]
                rows.append(made.pulled(cts))
            stacked = [
                stack([r[k] for r in rows]).reshape(*out._aval_shape(), *x._aval_shape())
                for k, x in enumerate(made.leaves)
            ]
            blocks.append(made.like_args(stacked))
        made.retire()
        found = like(made.out, iter(blocks))
        return (found, made.extra()) if has_aux else found

    return call


def jacfwd(func: Fn, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error") -> Fn:
    """A function that answers all derivatives, one pushforward per element of the arguments."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        made = Call("jacfwd", func, args, argnums, has_aux, kwargs)
        columns = []
        for k, x in enumerate(made.leaves.copy()):
            pushed = []
            for unit in _units(x):
                given = [unit if i == k else t.new_zeros(t.shape) for i, t in
                         enumerate(made.leaves)]  # fmt: skip
                pushed.append(_pushed(made, given))
            columns.append([
                stack([p[j] for p in pushed], -1).reshape(*o._aval_shape(), *x._aval_shape())
                for j, o in enumerate(made.outs)
            ])  # fmt: skip
        made.retire()
        blocks = [made.like_args([c[j] for c in columns]) for j in range(len(made.outs))]
        found = like(made.out, iter(blocks))
        return (found, made.extra()) if has_aux else found

    return call


def hessian(func: Fn, argnums: Any = 0) -> Fn:
    """A function that answers all second derivatives."""
    return jacfwd(jacrev(func, argnums), argnums)


def functional_call(
    module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: Any = None,
    *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """The result of a module with other parameters."""
    given = parameter_and_buffer_dicts
    if isinstance(given, tuple | list):
        given = {k: v for d in given for k, v in d.items()}
    known = {k for k, _ in module.named_parameters()} | {k for k, _ in module.named_buffers()}
    missing = [k for k in known if k not in given]
    if strict and (missing or len(known) != len(given)):
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}: missing {missing}, "
            f"unexpected {[k for k in given if k not in known]}"
        )
    given = {k: v for k, v in given.items() if k in known}
    inputs = () if args is None else args if isinstance(args, tuple) else (args,)
    if not given:
        return module(*inputs, **(kwargs or {}))
    return _functional_call(module, given, *inputs, **(kwargs or {}))


def stack_module_state(models: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(the parameters, the buffers) of several modules, stacked for `vmap`."""
    listed = list(models)
    if not listed:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")

    def stacked(members: Any) -> dict[str, Any]:
        dicts = [dict(members(m)) for m in listed]
        return {k: stack([d[k].detach() for d in dicts]) for k in dicts[0]}

    params = {k: v.requires_grad_() for k, v in stacked(lambda m: m.named_parameters()).items()}
    return params, stacked(lambda m: m.named_buffers())

"""`Module`: layers with parameters by name, which are also containers for `grad`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from ..eager import dtypes
from ..eager.tensor_object import Tensor, held
from ..tracer.tree import register_container
from . import state
from .carrying import functional_call, leaves_of, with_leaves
from .faults import check_array, locate
from .hooks import Hook, Passage, RemovableHandle, entered
from .parameter import Buffer, Parameter, overwrite

__all__ = ["Buffer", "Module", "Parameter", "functional_call", "overwrite"]

M = TypeVar("M", bound="Module")


class Module:
    """Layers and parameters by name; `forward` says what a call computes.

    Parameters are Tensors.  Passed to a traced function, a module is a container: its parameters
    and running statistics are arrays there, and the gradient is a module of arrays.
    """

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _temporary: set[str]
    _hooks: list[Hook]
    _before: list[Hook]
    _backward: list[Callable[..., Any]]
    _backward_before: list[Callable[..., Any]]
    _after_load: list[Callable[..., Any]]
    _computed: dict[str, Callable[[Any], Any]]  # attributes that are made of parameters

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register_container(cls, leaves_of, with_leaves)

    def __init__(self) -> None:
        fields: dict[str, Any] = {
            "training": True, "_parameters": {}, "_buffers": {}, "_modules": {},
            "_temporary": set(), "_hooks": [], "_before": [], "_backward": [],
            "_backward_before": [], "_after_load": [], "_computed": {},
        }  # fmt: skip
        vars(self).update(fields)

    # -------------------------------------------------------------- attributes

    def __getattr__(self, name: str) -> Any:
        for place in ("_parameters", "_buffers", "_modules"):
            found = vars(self).get(place)
            if found is not None and name in found:
                return found[name]
        made = vars(self).get("_computed", {}).get(name)
        if made is not None:
            return made(self)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        fields = vars(self)
        if isinstance(value, Parameter | Module) and "_parameters" not in fields:
            what = "module" if isinstance(value, Module) else "parameters"
            raise AttributeError(
                f"cannot assign {what} before Module.__init__() call: "
                f"{type(self).__name__}.__init__ begins with super().__init__()"
            )
        if isinstance(value, Parameter):
            self._forget(name)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name)
            self._modules[name] = value
        elif name in fields.get("_parameters", ()):
            check_array(self, name, value)
            if isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{value.type()}' as parameter '{name}' (torch.nn.Parameter or "
                    f"None expected)\n  in {type(self).__name__}"
                )
            self._parameters[name] = value
        elif isinstance(value, Buffer) and "_buffers" in fields:
            self._forget(name)
            self.register_buffer(name, value, value.persistent)
        elif name in fields.get("_buffers", ()):
            check_array(self, name, value)
            self._buffers[name] = value
        elif name in fields.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' "
                    "(torch.nn.Module or None expected)"
                )
            self._modules[name] = None
        else:
            object.__setattr__(self, name, value)

    def _forget(self, name: str) -> None:
        vars(self).pop(name, None)
        for place in (self._parameters, self._buffers, self._modules):
            place.pop(name, None)

    def __delattr__(self, name: str) -> None:
        for place in (self._parameters, self._buffers, self._modules):
            if name in place:
                del place[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _free(self, what: str, name: Any, place: dict[str, Any]) -> None:
        """Refuse names that cannot be those of a parameter, buffer or layer."""
        if "_parameters" not in vars(self):
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain ".", got: {name}')
        if not name:
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in place:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Enter a parameter under a name; None for one that is left out."""
        self._free("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Enter a Tensor that is no parameter; `state_dict` has it if it is persistent."""
        self._free("buffer", name, self._buffers)
        check_array(self, name, tensor)
        self._buffers[name] = tensor
        if persistent:
            self._temporary.discard(name)
        else:
            self._temporary.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Enter a layer under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._free("module", name, self._modules)
        self._modules[name] = module

    register_module = add_module

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:  # fmt: skip
        """Call `hook(module, args, result)` after `forward`; what it returns is the result."""
        return entered(self._hooks, Hook(hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns are the arguments."""
        return entered(self._before, Hook(hook, with_kwargs), prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when gradients have passed the module.

        What it returns replaces `grad_input`.
        """
        return entered(self._backward, hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` when gradients arrive; it may replace them."""
        return entered(self._backward_before, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after `load_state_dict`."""
        return entered(self._after_load, hook)

    # -------------------------------------------------------------- calls

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call computes."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._before or self._hooks or self._backward or self._backward_before:
            return self._watched(args, kwargs)
        try:
            return self.forward(*args, **kwargs)
        except (RuntimeError, ValueError, IndexError) as error:
            locate(error, self)
            raise

    def _watched(self, args: Any, kwargs: Any) -> Any:
        """A call with hooks."""
        for hook in self._before:
            given = hook.fn(self, args, kwargs) if hook.with_kwargs else hook.fn(self, args)
            if given is not None and hook.with_kwargs:
                if not isinstance(given, tuple) or len(given) != 2:
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {given}."
                    )
                args, kwargs = given
            elif given is not None:
                args = given if isinstance(given, tuple) else (given,)
        passage = Passage(self) if self._backward or self._backward_before else None
        out, done = None, False
        try:
            out = self.forward(*(passage.into(args) if passage else args), **kwargs)
            for hook in self._hooks:
                out = self._after(hook, args, kwargs, out)
            done = True
        except (RuntimeError, ValueError, IndexError) as error:
            locate(error, self)
            raise
        finally:
            for hook in self._hooks if not done else ():
                if hook.always:
                    self._after(hook, args, kwargs, out)
        return passage.out(out) if passage else out

    def _after(self, hook: Hook, args: Any, kwargs: Any, out: Any) -> Any:
        told = (args, kwargs, out) if hook.with_kwargs else (args, out)
        found = hook.fn(self, *told)
        return out if found is None else found

    # -------------------------------------------------------------- what is inside

    def named_modules(
        self, memo: Any = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below, each once unless duplicates are asked for."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, m in self._modules.items():
            if m is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from m.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The layers right below, each once."""
        seen: set[int] = set()
        for name, m in self._modules.items():
            if m is not None and id(m) not in seen:
                seen.add(id(m))
                yield name, m

    def children(self) -> Iterator[Module]:
        """The layers right below."""
        return (m for _, m in self.named_children())

    def _named(
        self, place: str, prefix: str, recurse: bool, once: bool = True
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        found = (
            self.named_modules(prefix=prefix, remove_duplicate=once)
            if recurse
            else iter([(prefix, self)])
        )
        for path, m in found:
            for name, x in getattr(m, place).items():
                if x is not None and id(x) not in seen:
                    if once:
                        seen.add(id(x))
                    yield (f"{path}.{name}" if path else name), x

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Every parameter once, with its name."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Every parameter once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Every Tensor that is no parameter, with its name."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """Every Tensor that is no parameter."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The layer of a dotted name."""
        m: Any = self
        for name in target.split(".") if target else ():
            if m._modules.get(name) is None:
                raise AttributeError(f"{type(m).__name__} has no layer {name!r} (of {target!r})")
            m = m._modules[name]
        found: Module = m
        return found

    def get_parameter(self, target: str) -> Any:
        """The parameter of a dotted name."""
        return self._get("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Any:
        """The buffer of a dotted name."""
        return self._get("_buffers", "buffer", target)

    def _get(self, place: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if name not in getattr(owner, place):
            raise AttributeError(f"{type(owner).__name__} has no {what} {name!r} (of {target!r})")
        return getattr(owner, place)[name]

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a layer in the place of a dotted name."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if strict and name not in owner._modules:
            raise AttributeError(f"{type(owner).__name__} has no layer {name!r} (of {target!r})")
        if not isinstance(module, Module):
            raise ValueError(f"{module!r} is not an nn.Module")
        setattr(owner, name, module)

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` with every layer below, then with this module."""
        for m in self.children():
            m.apply(fn)
        fn(self)
        return self

    # -------------------------------------------------------------- modes

    def train(self: M, mode: bool = True) -> M:
        """Set how layers behave that differ between training and use."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for m in self.modules():
            m.training = mode
        return self

    def eval(self: M) -> M:
        """As `train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set the flag of every parameter."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = p.grad.detach()
                p.grad.zero_()

    def to(self: M, *args: Any, dtype: Any = None, device: Any = None, **_: Any) -> M:
        """Parameters and floating-point buffers in another dtype, or that of a Tensor.

        Raises RuntimeError for devices other than the CPU, TypeError for whole numbers and for
        dtypes that nothing computes with.
        """
        for x in args:
            if isinstance(x, Tensor):
                dtype = x.dtype
            elif isinstance(x, dtypes.dtype | np.dtype | type):
                dtype = x
            elif not isinstance(x, bool):
                device = x
        if device is not None:
            dtypes.processor(device)
        return self if dtype is None else self._cast(np.dtype(dtype))

    def _cast(self: M, dtype: np.dtype) -> M:
        if dtype.kind not in "fc":
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )
        if dtype.itemsize < 4:
            raise TypeError(
                f"{dtype}: modules compute in float32 or float64; keep the model in float32"
            )
        for m in self.modules():
            for place in (m._parameters, m._buffers):
                for name, x in place.items():
                    if isinstance(x, Tensor):
                        if x.dtype.kind == "f" and x.dtype != dtype:
                            x.data = held(x._value().astype(dtype))
                            if x._grad is not None:
                                x._grad = held(x._grad._value().astype(dtype))
                    elif x is not None and x.dtype.kind == "f":
                        place[name] = x.astype(dtype)
        return self

    def float(self: M) -> M:
        """In single precision."""
        return self._cast(np.dtype(np.float32))

    def double(self: M) -> M:
        """In double precision."""
        return self._cast(np.dtype(np.float64))

    def half(self: M) -> M:
        """Refused: nothing computes in half precision."""
        return self._cast(np.dtype(np.float16))

    def bfloat16(self: M) -> M:
        """Refused: nothing computes in this precision."""
        raise TypeError("bfloat16: modules compute in float32 or float64")

    def type(self: M, dst_type: Any) -> M:
        """In another dtype."""
        return self._cast(np.dtype(dst_type))

    def cpu(self: M) -> M:
        """The module: there is no other device."""
        return self

    def cuda(self: M, device: Any = None) -> M:
        """Refused: there is no other device than the CPU."""
        dtypes.processor("cuda" if device is None else device)
        return self

    def share_memory(self: M) -> M:
        """The module: threads share its memory as it is."""
        return self

    def compile(self, *_: Any, **__: Any) -> None:
        """Nothing: steps that come again are compiled anyway."""

    # -------------------------------------------------------------- state

    def state_dict(
        self, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Any]:
        """Parameters and buffers by name; their memory is shared."""
        found: OrderedDict[str, Any] = OrderedDict() if destination is None else destination
        known = vars(found).setdefault("_metadata", {}) if destination is None else {}
        for key, m, place, name in state.entries(self, prefix):
            x = getattr(m, place)[name]
            found[key] = x.detach() if isinstance(x, Tensor) and not keep_vars else x
            known[key.rpartition(".")[0]] = {"version": 2}
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state._IncompatibleKeys:
        """Copy arrays by name into parameters and buffers; with `assign` put them in their place.

        Values may be Tensors, arrays or what NumPy can read.  If entries are missing, unexpected
        (unless `strict` is false) or of another shape, a RuntimeError lists all of them, and
        nothing is changed.
        """
        return state.load(self, state_dict, strict, assign)

    # -------------------------------------------------------------- text

    def extra_repr(self) -> str:
        """The settings, for `repr`."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        inner = [f"({n}): " + repr(m).replace("\n", "\n  ") for n, m in self._modules.items()]
        if len(lines) == 1 and not inner:
            return f"{self._get_name()}({lines[0]})"
        if not lines and not inner:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + inner) + "\n)"


register_container(Module, leaves_of, with_leaves)

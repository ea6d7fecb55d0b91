"""`Module`: layers with parameters by name, which are also containers for `grad`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..storage import Handle, Storage
from ..tensor_object import Tensor, held, plain
from ..tracer.surface import is_tracer
from ..tracer.tree import _Same, register_container

M = TypeVar("M", bound="Module")


class Parameter(Tensor):
    """A Tensor that a module learns: it asks for its gradient."""

    __slots__ = ()

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        if isinstance(data, Tensor):
            found = data.detach()
            self._hold(found._own(), found._storage or Storage())
        else:
            self._hold(plain(data), Storage())
        self._requires = False
        if requires_grad:
            self.requires_grad = True

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: Any) -> Parameter:
        return Parameter(self._value().copy(), self.requires_grad)

    def __reduce__(self) -> Any:
        return Parameter, (self._value(), self.requires_grad)


class Incompatible(NamedTuple):
    """What `load_state_dict` did not find, and what it did not expect."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys({', '.join(f'{k}={v}' for k, v in self._asdict().items())})"


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
    _hooks: list[Callable[..., Any]]
    _before: list[Callable[..., Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register_container(cls, _leaves, _with_leaves)

    def __init__(self) -> None:
        fields: dict[str, Any] = {
            "training": True, "_parameters": {}, "_buffers": {}, "_modules": {},
            "_temporary": set(), "_hooks": [], "_before": [],
        }  # fmt: skip
        vars(self).update(fields)

    # -------------------------------------------------------------- attributes

    def __getattr__(self, name: str) -> Any:
        for place in ("_parameters", "_buffers", "_modules"):
            found = vars(self).get(place)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        fields = vars(self)
        if isinstance(value, Parameter | Module) and "_parameters" not in fields:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() first")
        if isinstance(value, Parameter):
            self._forget(name)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name)
            self._modules[name] = value
        elif name in fields.get("_parameters", ()):
            _check_array(self, name, value)
            self._parameters[name] = value
        elif name in fields.get("_buffers", ()):
            _check_array(self, name, value)
            self._buffers[name] = value
        elif name in fields.get("_modules", ()) and value is None:
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

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Enter a parameter under a name; None for one that is left out."""
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Enter a Tensor that is no parameter; `state_dict` has it if it is persistent."""
        self._buffers[name] = tensor
        if not persistent:
            self._temporary.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Enter a layer under a name."""
        self._modules[name] = module

    register_module = add_module

    def register_forward_hook(self, hook: Callable[..., Any]) -> Any:
        """Call `hook(module, args, result)` after `forward`; what it returns is the result."""
        self._hooks.append(hook)
        return Handle(self._hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> Any:
        """Call `hook(module, args)` before `forward`; what it returns are the arguments."""
        self._before.append(hook)
        return Handle(self._before, hook)

    # -------------------------------------------------------------- calls

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call computes."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for hook in self._before:
            given = hook(self, args)
            if given is not None:
                args = given if isinstance(given, tuple) else (given,)
        try:
            out = self.forward(*args, **kwargs)
        except (RuntimeError, ValueError, IndexError) as error:
            _locate(error, self)
            raise
        for hook in self._hooks:
            found = hook(self, args, out)
            out = out if found is None else found
        return out

    # -------------------------------------------------------------- what is inside

    def named_modules(self, memo: Any = None, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below, each once."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, m in self._modules.items():
            if m is not None:
                yield from m.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The layers right below."""
        return ((n, m) for n, m in self._modules.items() if m is not None)

    def children(self) -> Iterator[Module]:
        """The layers right below."""
        return (m for _, m in self.named_children())

    def _named(self, place: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        found = self.named_modules(prefix=prefix) if recurse else iter([(prefix, self)])
        for path, m in found:
            for name, x in getattr(m, place).items():
                if x is not None and id(x) not in seen:
                    seen.add(id(x))
                    yield (f"{path}.{name}" if path else name), x

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        """Every parameter once, with its name."""
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Every parameter once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        """Every Tensor that is no parameter, with its name."""
        return self._named("_buffers", prefix, recurse)

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
        path, _, name = target.rpartition(".")
        return self.get_submodule(path)._parameters[name]

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` with every layer below, then with this module."""
        for m in self.children():
            m.apply(fn)
        fn(self)
        return self

    # -------------------------------------------------------------- modes

    def train(self: M, mode: bool = True) -> M:
        """Set how layers behave that differ between training and use."""
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

    def to(self: M, dtype: Any = None, *_: Any, **__: Any) -> M:
        """Parameters and floating-point buffers in another dtype; other devices there are none."""
        if dtype is None or isinstance(dtype, str):
            return self
        for m in self.modules():
            for place in (m._parameters, m._buffers):
                for name, x in place.items():
                    if isinstance(x, Tensor):
                        if x.dtype.kind == "f" and x.dtype != dtype:
                            x.data = held(x._value().astype(dtype))
                    elif x is not None and x.dtype.kind == "f":
                        place[name] = x.astype(dtype)
        return self

    def float(self: M) -> M:
        """In single precision."""
        return self.to(np.float32)

    def double(self: M) -> M:
        """In double precision."""
        return self.to(np.float64)

    def cpu(self: M) -> M:
        """The module: there is no other device."""
        return self

    # -------------------------------------------------------------- state

    def _state(self, prefix: str = "") -> Iterator[tuple[str, Module, str, str]]:
        """Name, module, place and key of everything that is saved."""
        for path, m in self.named_modules(prefix=prefix):
            for place in ("_parameters", "_buffers"):
                for name, x in getattr(m, place).items():
                    if x is not None and name not in m._temporary:
                        yield (f"{path}.{name}" if path else name), m, place, name

    def state_dict(self, prefix: str = "") -> OrderedDict[str, Any]:
        """Parameters and buffers by name; their memory is shared."""
        found: OrderedDict[str, Any] = OrderedDict()
        for key, m, place, name in self._state():
            x = getattr(m, place)[name]
            found[prefix + key] = x.detach() if isinstance(x, Tensor) else x
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Incompatible:
        """Copy arrays by name into parameters and buffers.

        Values may be Tensors, arrays or what NumPy can read.  If entries are missing, unexpected
        (unless `strict` is false) or of another shape, a RuntimeError lists all of them, and
        nothing is changed.
        """
        wanted = {key: (m, place, name) for key, m, place, name in self._state()}
        missing = [k for k in wanted if k not in state_dict]
        extra = [k for k in state_dict if k not in wanted]
        arrays = {k: _array(state_dict[k]) for k in wanted if k in state_dict}
        faults: list[str] = []
        if strict and extra:
            faults.append(f"Unexpected key(s) in state_dict: {_quoted(extra)}. ")
        if strict and missing:
            faults.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        for key, x in arrays.items():
            m, place, name = wanted[key]
            shape = tuple(getattr(m, place)[name].shape)
            if x.shape != shape:
                faults.append(
                    f"size mismatch for {key}: copying a param with shape {list(x.shape)} from "
                    f"checkpoint, the shape in current model is {list(shape)}."
                )
        if faults:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(faults)
            )
        for key, x in arrays.items():
            m, place, name = wanted[key]
            old = getattr(m, place)[name]
            if isinstance(old, Tensor):
                overwrite(old, x)
            else:
                getattr(m, place)[name] = x.astype(old.dtype)
        return Incompatible(missing, extra)

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


# ------------------------------------------------------------------ values


def _check_array(module: Module, name: str, value: Any) -> None:
    if value is None or isinstance(value, Tensor | np.ndarray) or is_tracer(value):
        return
    raise TypeError(
        f"cannot assign '{type(value).__name__}' as parameter or buffer '{name}' of "
        f"{type(module).__name__} (Parameter, Tensor, array or None expected)"
    )


def overwrite(t: Tensor, values: Any) -> None:
    """Write into a Tensor, whatever it requires."""
    array = t._own()
    assert t._storage is not None
    t._storage.touch()
    np.copyto(array, values)
    t._source = None


def _array(x: Any) -> np.ndarray:
    if isinstance(x, Tensor):
        return x._value()
    if hasattr(x, "detach"):  # torch's
        x = x.detach().cpu().numpy()
    return np.asarray(x)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)


def _locate(error: Any, module: Module) -> None:
    """Say in the message which layer it was, by its name from the outermost module."""
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    known = getattr(error, "_layer", None)
    if known is None:
        base, child, path, line = error.args[0], module, "", repr(module).split("\n")[0]
    else:
        base, child, path, line = known
        name = next((n for n, m in module._modules.items() if m is child), None)
        path = ".".join(p for p in (name, path) if p)
    error._layer = (base, module, path, line)
    error.args = (f"{base}\n  in layer {path + ': ' if path else ''}{line}",)


# ------------------------------------------------------------------ as containers


class _Skeleton:
    """A module without its arrays: equal to those that compute the same from theirs."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.facts = _facts(module)

    @property
    def names(self) -> list[str]:
        """How each leaf is spelled."""
        buffers = {id(b) for b in self.module.buffers()}
        found = [*self.module.named_parameters(), *self.module.named_buffers()]
        leaves = {id(x) for x in _slots(self.module)}
        return [
            f".{name}" + (" (a buffer)" if id(x) in buffers else "")
            for name, x in found
            if id(x) in leaves
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Skeleton) and self.facts == other.facts

    def __hash__(self) -> int:
        return hash((type(self.module), len(self.facts)))

    def __repr__(self) -> str:
        return type(self.module).__name__


_OWN = frozenset(("_parameters", "_buffers", "_modules", "_temporary", "_hooks", "_before"))


def _facts(module: Module) -> tuple[Any, ...]:
    facts: list[Any] = []
    for path, m in module.named_modules():
        facts.append((path, type(m)))
        facts += [(k, _Same(v)) for k, v in vars(m).items() if k not in _OWN]
        facts += [(k, v is None) for k, v in (*m._parameters.items(), *m._buffers.items())]
    return tuple(facts)


def _slots(module: Module) -> Iterator[Any]:
    """Parameters, and buffers of floats, each once: what is a leaf of the container."""
    yield from module.parameters()
    for b in module.buffers():
        if np.dtype(b.dtype).kind in "fc":
            yield b


def _leaves(module: Module) -> tuple[list[Any], _Skeleton]:
    found = [x._value() if isinstance(x, Tensor) else x for x in _slots(module)]
    return found, _Skeleton(module)


def _with_leaves(skeleton: _Skeleton, leaves: Any) -> Module:
    new = {id(old): x for old, x in zip(_slots(skeleton.module), leaves, strict=True)}
    return replaced(skeleton.module, new)


def replaced(module: Module, new: Mapping[int, Any], memo: Any = None) -> Any:
    """A copy of a module with other arrays in the places of those of these ids."""
    memo = {} if memo is None else memo
    if id(module) in memo:
        return memo[id(module)]
    copy = memo[id(module)] = object.__new__(type(module))
    fields = dict(vars(module))
    for place in ("_parameters", "_buffers"):
        fields[place] = {k: new.get(id(x), x) for k, x in fields[place].items()}
    fields["_modules"] = {
        k: None if m is None else replaced(m, new, memo) for k, m in module._modules.items()
    }
    vars(copy).update(fields)
    return copy


def functional_call(module: Module, params: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """The module's result with arrays by name in the places of its parameters and buffers."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    extra = [k for k in params if k not in named]
    if extra:
        raise KeyError(f"functional_call: {type(module).__name__} has no {', '.join(extra)}")
    new = {id(x): params[k] for k, x in named.items() if k in params}
    rest = {
        id(x): x._value() for k, x in named.items() if k not in params and isinstance(x, Tensor)
    }
    if any(isinstance(x, Tensor) for x in params.values()):
        rest = {}
    return replaced(module, {**rest, **new})(*args, **kwargs)


register_container(Module, _leaves, _with_leaves)

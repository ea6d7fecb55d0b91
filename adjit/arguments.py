"""Which arguments of a call are meant, and whether what was handed in fits them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from .errors import CotangentMismatch, NotDifferentiable
from .ir.core import Value
from .ir.ops.elementwise import cast
from .ir.records import dataclass
from .ir.types import NUMPY, Aval
from .signature import Fixed
from .staging import NOTHING, Traced
from .tracer.facts import LeafSpec
from .tracer.record import fail
from .tracer.trace import leaf_spec
from .tracer.tree import Tree, flatten


@dataclass(frozen=True)
class Argument:
    """One argument of a call: how to name it, its leaves among the call's, and its structure."""

    label: str
    start: int
    tree: Tree

    @property
    def leaves(self) -> range:
        return range(self.start, self.start + self.tree.leaf_count)


def arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> dict[int | str, tuple[int, Tree]]:
    """Where the leaves of each argument start, by position or keyword."""
    places: dict[int | str, tuple[int, Tree]] = {}
    start = 0
    named: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for key, x in named:
        tree = flatten(x)[1]
        places[key] = (start, tree)
        start += tree.leaf_count
    return places


def choose(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: int | tuple[int, ...] | None,
    argnames: str | tuple[str, ...] | None,
) -> list[Argument]:
    """The arguments that `argnums` or `argnames` ask for."""
    names = parameter_names(fn)
    places = arguments(args, kwargs)
    if argnames is not None:
        wanted: list[int | str] = [argnames] if isinstance(argnames, str) else list(argnames)
    else:
        wanted = list(argnums) if isinstance(argnums, tuple) else [argnums or 0]
    keys = [_key(w, names, len(args), kwargs) for w in wanted]
    if len(set(keys)) != len(keys):
        raise ValueError(f"argument asked for twice: {', '.join(map(repr, wanted))}")
    return [Argument(_label(k, names), *places[k]) for k in keys]


def parameter_names(fn: Callable[..., Any]) -> list[str]:
    """The names of the positional parameters of a function, as far as they are known."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.kind in positional]


def _key(wanted: int | str, names: Sequence[str], given: int, kwargs: dict[str, Any]) -> int | str:
    if isinstance(wanted, str):
        if wanted in kwargs:
            return wanted
        if wanted in names and names.index(wanted) < given:
            return names.index(wanted)
        known = ", ".join([*names[:given], *kwargs]) or "none"
        default = ", whose default is no input" if wanted in names else ""
        raise TypeError(
            f"argnames names {wanted!r}, which is no argument of this call{default}; there are "
            f"{known}"
        )
    place = wanted + given if wanted < 0 else wanted
    if 0 <= place < given:
        return place
    if 0 <= place < len(names) and names[place] in kwargs:
        return names[place]
    raise TypeError(
        f"argnums names argument {wanted}, but the call has {given} positional arguments"
    )


def _label(key: int | str, names: Sequence[str]) -> str:
    if isinstance(key, str):
        return f"argument {key}"
    return f"argument {key} ({names[key]})" if key < len(names) else f"argument {key}"


def wanted(
    name: str, chosen: Sequence[Argument], t: Traced, holomorphic: bool = False
) -> list[int]:
    """The leaves of the chosen arguments; an error if there is nothing to differentiate by."""
    if all(a.tree == NOTHING for a in chosen):
        raise fail(
            NotDifferentiable,
            f"{name}: {chosen[0].label} has nothing to differentiate: it is None",
            _CHOOSE,
        )
    return [i for a in chosen for i in differentiable(name, a, t, holomorphic)]


_CHOOSE = "Pass it as a float, or choose other arguments by argnums."


def differentiable(
    name: str, argument: Argument, t: Traced, holomorphic: bool = False
) -> list[int]:
    """The leaves of an argument; an error if one of them carries no derivative."""
    if argument.tree.kind == "static" and argument.tree != NOTHING:
        kind = type(argument.tree.data.value).__name__
        hint = f"has nothing to differentiate: it is {a(kind)}"
        if hasattr(type(argument.tree.data.value), "__array__"):
            hint += "; pass np.asarray(...) of it"
        if argument.start == 0 and argument.label.endswith("(self)"):
            hint += "; argnums counts self, so say argnums=1"
        raise fail(NotDifferentiable, f"{name}: {argument.label} {hint}")
    if has_fixed(argument.tree):
        raise fail(
            NotDifferentiable,
            f"{name}: {argument.label} is or holds an int; only floating-point arguments carry "
            "derivatives",
            _CHOOSE,
        )
    for i in argument.leaves:
        check_leaf(name, t.leaves[i], argument.label)
        if holomorphic and t.leaves[i].aval.kind != "c":
            raise fail(
                NotDifferentiable,
                f"{name}: {argument.label} is real; holomorphic=True differentiates by complex "
                "arguments",
                "Pass it as complex, or leave holomorphic out.",
            )
    return list(argument.leaves)


def has_fixed(tree: Tree) -> bool:
    """Whether a container holds an integer that was fixed."""
    return tree.kind is Fixed or any(map(has_fixed, tree.children))


def check_leaf(name: str, leaf: LeafSpec, label: str) -> None:
    """Refuse to differentiate by what is no floating-point number."""
    if leaf.aval.kind in "fc":
        return
    at = leaf.path if leaf.path and leaf.path not in label else ""
    where = f"{label}, leaf {at}," if at else label
    dtype = NUMPY[leaf.aval.dtype].name
    kind = "a Python int" if leaf.kind == "python" else f"of dtype {dtype}"
    raise fail(
        NotDifferentiable,
        f"{name}: {where} is {kind}; only floating-point arguments carry derivatives",
        _CHOOSE,
    )


def positional(primals: Sequence[Any], argnums: Sequence[int] | None) -> list[Argument]:
    """The positional arguments of a call, or those that are asked for."""
    places = arguments(primals, {})
    asked = range(len(primals)) if argnums is None else argnums
    if any(not 0 <= k < len(primals) for k in asked):
        raise TypeError(f"argnums {tuple(asked)} of a call with {len(primals)} arguments")
    return [Argument(f"argument {k}", *places[k]) for k in asked]


# ------------------------------------------------------------------ what was handed in


def word(aval: Aval, kind: str = "array") -> str:
    """An aval as NumPy would say it."""
    dtype = NUMPY[aval.dtype].name
    if kind == "array":
        return f"an array of shape {aval.shape} and dtype {dtype}"
    return f"{a(dtype)} scalar" if kind == "scalar" else f"a Python number ({dtype})"


def a(noun: str) -> str:
    """The noun with its article: "an int64", "a uint8"."""
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def leaf_aval(x: Any) -> tuple[Aval, str]:
    """The aval and the kind of a leaf of a call, a Tracer or a plain one."""
    spec = leaf_spec(x)
    return spec.aval, spec.kind


def masked(tree: Tree, given: Tree) -> tuple[Tree, list[bool]]:
    """The tree with None where None was given for a part of it, and which leaves it then has."""
    if given == NOTHING:
        return NOTHING, [False] * tree.leaf_count
    alike = tree.kind == given.kind and tree.data == given.data
    if not alike or len(tree.children) != len(given.children):
        return tree, [True] * tree.leaf_count  # `match` will say so
    if tree.kind == "leaf":
        return tree, [True]
    parts = [masked(t, g) for t, g in zip(tree.children, given.children, strict=True)]
    kept = Tree(tree.kind, tree.data, tuple(t for t, _ in parts))
    return kept, [m for _, mask in parts for m in mask]


def match(
    noun: str,
    name: str,
    tree: Tree,
    avals: Sequence[tuple[Aval | None, str]],
    given_tree: Tree,
    given: Sequence[tuple[Aval, str]],
) -> None:
    """Refuse tangents or cotangents of another structure, shape or dtype."""
    of = "result" if noun == "cotangent" else "argument"
    if tree != given_tree:
        raise CotangentMismatch(
            f"{name}: the {noun} has the structure {given_tree!r}, the {of} {tree!r}"
        )
    paths = tree.paths()
    for path, (want, _), (got, kind) in zip(paths, avals, given, strict=True):
        if want is None or want.kind not in "fc":
            continue
        weak = kind == "python" and (got.kind in "if" or want.kind == "c")
        # SciPy tries a Hessian product on a vector of small integers.
        weak = weak or (noun == "vector" and got.kind in "biu")
        if got.shape != want.shape or not (weak or got.dtype == want.dtype):
            raise CotangentMismatch(
                f"{name}: the {noun}{f' at {path}' if path else ''} is {word(got, kind)}, "
                f"but the {of} is {word(want)}"
            )


def adapted(v: Value, aval: Aval) -> Value:
    """A tangent or cotangent in the dtype of what it belongs to (a Python number adapts)."""
    return v if v.aval.dtype == aval.dtype else cast(v, dtype=aval.dtype)

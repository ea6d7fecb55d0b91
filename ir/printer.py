"""The text form of functions: `show` for people, `canonical` as the identity of a program."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .core import Block, Const, Function, Op, Value
from .prim import Prim
from .types import KIND, Aval

_COMMENT_COLUMN = 49
_NOT_WORD = re.compile(r"\W")
_COUNTED = re.compile(r"_\d+$")
_BARE = {"b": "bool", "i": "i64", "u": "i64", "f": "f64", "c": "c128"}


def show(code: Function | Block, name: str | None = None, where: bool = True) -> str:
    """The text of a function, with the user's names and, as comments, the user's lines."""
    named = name or (code.name if isinstance(code, Function) else "f")
    return _Writer(hints=True, where=where).function(code, named)


def canonical(code: Function | Block) -> str:
    """A text that is equal for equal programs: it leaves out the user's names and lines."""
    return _Writer(hints=False, where=False).function(code, "f")


def named(code: Function | Block) -> dict[Value, str]:
    """The names that `show` gives to the values of a function."""
    writer = _Writer(hints=True, where=False)
    writer.function(code, "f")
    return writer.names


def show_around(code: Function | Block, op: Op, lines: int = 1) -> tuple[str, str]:
    """The text of one op of a function, perhaps malformed, and that of its neighbourhood."""
    writer = _Writer(hints=True, where=False)
    writer.rows = {}
    text = writer.function(code, code.name if isinstance(code, Function) else "f").split("\n")
    row = writer.rows[op]
    near = range(max(row - lines, 0), min(row + lines + 1, len(text)))
    shown = (("> " if i == row else "  ") + text[i] for i in near)
    return text[row].strip().removesuffix(" {"), "\n".join(shown)


class _Writer:
    """Lines of text, and the names given so far."""

    def __init__(self, *, hints: bool, where: bool) -> None:
        self.hints = hints
        self.where = where
        self.names: dict[Value, str] = {}
        self.taken: set[str] = set()
        self.counts: dict[str, int] = {}
        self.count = 0
        self.avals: dict[int, str] = {}
        self.lines: list[str] = []
        self.rows: dict[Op, int] | None = None

    def function(self, code: Function | Block, name: str) -> str:
        block = code.block if isinstance(code, Function) else code
        params = ", ".join(map(self.bind, block.params))
        results = ", ".join(self.aval(v.aval) for v in block.outs)
        self.lines.append(f"func {name}({params}) -> ({results}) {{")
        self.block(block, "  ", "return")
        self.lines.append("}")
        return "\n".join(self.lines)

    def block(self, block: Block, pad: str, tail: str) -> None:
        for op in block.ops:
            if self.rows is not None:
                self.rows[op] = len(self.lines)
            line = pad + self.head(op)
            at = f"  # {op.where}" if self.where and op.where else ""
            for label, region in op.blocks.items():
                params = ", ".join(map(self.bind, region.params))
                self.line(f"{line} {label}({params}) {{", at)
                self.block(region, pad + "  ", "yield")
                line, at = f"{pad}}}", ""
            if at:
                self.line(line, at)
            else:
                self.lines.append(line)
        outs = ", ".join(self.result(v) for v in block.outs)
        self.lines.append(f"{pad}{tail} {outs}" if outs else pad + tail)

    def line(self, text: str, comment: str) -> None:
        self.lines.append(f"{text:<{_COMMENT_COLUMN}}{comment}" if comment else text)

    def head(self, op: Op) -> str:
        names = self.names
        # Arguments before results: a malformed op that reads its own result shows it as unknown.
        args = [
            self.operand(op, i) if type(a) is Const else names.get(a) or f"%?{a.hint}"
            for i, a in enumerate(op.args)
        ]
        text = op.prim.name
        if op.attrs:
            text += attrs_text(op.prim, op.attrs)
        if args:
            text = f"{text} {', '.join(args)}"
        outs = op.outs
        if len(outs) == 1:
            return f"{self.bind(outs[0])} = {text}"
        return f"{', '.join(map(self.bind, outs))} = {text}" if outs else text

    def bind(self, v: Value) -> str:
        hint = _NOT_WORD.sub("_", v.hint) if v.hint and self.hints else ""
        if not hint or hint.isdigit():
            name = f"%{self.count}"
            self.count += 1
        else:
            name = "%" + self.unique(hint)
        self.names[v] = name
        return f"{name}: {self.aval(v.aval)}"

    def unique(self, hint: str) -> str:
        name, base = hint, _COUNTED.sub("", hint)
        while name in self.taken:
            self.counts[base] = k = self.counts.get(base, 0) + 1
            name = f"{base}_{k}"
        self.taken.add(name)
        return name

    def aval(self, aval: Aval) -> str:
        text = self.avals.get(id(aval))  # an Aval's own hash costs more than all the rest here
        if text is None:
            text = self.avals[id(aval)] = str(aval)
        return text

    def operand(self, op: Op, i: int) -> str:
        const: Const = op.args[i]  # type: ignore[assignment]
        text = literal_text(const)
        if const.aval.dtype == bare_dtype(op.prim, op.args, i, KIND[const.aval.dtype]):
            return text
        return f"{text}:{const.aval.dtype}"

    def result(self, v: Value) -> str:
        if type(v) is Const:
            return f"{literal_text(v)}:{v.aval.dtype}"
        return self.names.get(v) or f"%?{v.hint}"


def bare_dtype(prim: Prim, args: Sequence[Any], i: int, kind: str) -> str | None:
    """The dtype that a literal at position `i` has when none is written after it."""
    if i < prim.like:
        return _BARE[kind]
    for a in args[prim.like :]:
        if isinstance(a, Value) and type(a) is not Const:
            return a.aval.dtype
    return None


def attrs_text(prim: Prim, attrs: Mapping[str, Any]) -> str:
    """Attributes in brackets, sorted, without those that have their default."""
    known = prim.defaults
    facts = [f"{k}={attrs[k]!r}" for k in sorted(attrs) if k not in known or known[k] != attrs[k]]
    return f"[{', '.join(facts)}]" if facts else ""


def literal_text(const: Const) -> str:
    """A number that reads back as the same bits (NaN: the same sign)."""
    dtype, data = const.aval.dtype, const.data
    kind = KIND[dtype]
    if kind == "f":
        return _float_text(data)
    if kind == "c":
        imag = _float_text(data.imag)
        return f"{_float_text(data.real)}{imag if imag[0] == '-' else '+' + imag}j"
    return repr(data.item())


def _float_text(x: Any) -> str:
    if x != x:
        return "-nan" if math.copysign(1.0, x) < 0 else "nan"
    # The shortest text that its own dtype reads back; Python's own is the faster one for f64.
    return repr(float(x)) if x.itemsize == 8 else str(x)

"""Reads the text form back: `parse(show(f))` is `f` again, up to identity of values."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

from .core import Block, Const, Function, Op, Value, Where
from .prim import PRIMS, Prim
from .printer import bare_dtype
from .types import KIND, NUMPY, Aval

_T = TypeVar("_T")
_REAL = r"(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_KINDS = {
    "space": r"[ \t\r]+",
    "comment": r"\#[^\n]*",
    "newline": r"\n",
    "arrow": r"->",
    "value": r"%\w+",
    "type": rf"(?:{'|'.join(NUMPY)})\[[-\d, ]*\]",
    "complex": rf"[+-]?{_REAL}[+-]{_REAL}j\b",
    "number": rf"[+-]?{_REAL}(?!\w)",
    "string": r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"",
    "name": r"[^\W\d]\w*",
    "mark": r"[()\[\]{},:=]",
    "other": r".",
}
_TOKEN = re.compile("|".join(f"(?P<{k}>{pattern})" for k, pattern in _KINDS.items()))
_COMPLEX = re.compile(rf"([+-]?{_REAL})([+-]{_REAL})j")
_WHERE = re.compile(r"#\s*(.+):(\d+)\s*$")
_KIND_OF = {bool: "b", int: "i", float: "f", complex: "c"}
_NAMED = {"inf": float("inf"), "nan": float("nan")}


class IRSyntaxError(ValueError):
    """A text that is no function: where it stops being one, and what would have been right."""

    def __init__(self, why: str, line: int, column: int, source: str) -> None:
        self.why, self.line, self.column, self.source = why, line, column, source
        caret = " " * (column - 1) + "^"
        super().__init__(f"line {line}, column {column}: {why}\n    {source}\n    {caret}")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


def parse(text: str) -> Function:
    """The function that a text describes; an IRSyntaxError where it describes none."""
    return _Parser(text).function()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]  # of the lines
        self.tokens: list[_Token] = []
        self.wheres: dict[int, Where] = {}
        self.pos = 0
        self.env: dict[str, Value] = {}
        for m in _TOKEN.finditer(text):
            if m.lastgroup == "comment":
                if found := _WHERE.match(m[0]):
                    self.wheres[self.line_at(m.start())] = Where(found[1], int(found[2]))
            elif m.lastgroup != "space":
                self.tokens.append(_Token(str(m.lastgroup), m[0], m.start()))
        self.tokens.append(_Token("end", "the end", len(text)))

    # ------------------------------------------------------------------ tokens

    def line_at(self, start: int) -> int:
        return bisect_right(self.starts, start)

    def fail(self, why: str, token: _Token | None = None) -> NoReturn:
        start = (token or self.tokens[self.pos]).start
        line = self.line_at(start)
        first = self.starts[line - 1]
        source = self.text[first:].split("\n", 1)[0]
        raise IRSyntaxError(why, line, start - first + 1, source)

    def expected(self, what: str) -> NoReturn:
        token = self.tokens[self.pos]
        found = "the end of the line" if token.kind == "newline" else token.text
        self.fail(f"expected {what}, found {found}")

    def at(self, text: str) -> bool:
        return self.tokens[self.pos].text == text

    def take(self, kind: str, what: str) -> _Token:
        token = self.tokens[self.pos]
        if token.kind != kind:
            self.expected(what)
        self.pos += 1
        return token

    def mark(self, text: str) -> None:
        if not self.at(text):
            self.expected(text)
        self.pos += 1

    def newlines(self, *, needed: bool = False) -> None:
        if needed and self.tokens[self.pos].kind not in ("newline", "end"):
            self.expected("the end of the line")
        while self.tokens[self.pos].kind == "newline":
            self.pos += 1

    def many(self, item: Callable[[], _T], *, lines: bool = False) -> list[_T]:
        """Items between commas; with `lines`, a line may end after a comma."""
        out = [item()]
        while self.at(","):
            self.pos += 1
            if lines:
                self.newlines()
            out.append(item())
        return out

    def enclosed(self, item: Callable[[], _T]) -> list[_T]:
        self.mark("(")
        out = [] if self.at(")") else self.many(item, lines=True)
        self.mark(")")
        return out

    # ------------------------------------------------------------------ the grammar

    def function(self) -> Function:
        self.newlines()
        if not self.at("func"):
            self.expected("func")
        self.pos += 1
        name = self.take("name", "the function's name").text
        params = self.params()
        if self.tokens[self.pos].kind != "arrow":
            self.expected("-> and the types of the results")
        self.pos += 1
        arrow = self.tokens[self.pos]
        avals = self.enclosed(self.aval)
        block = self.body(params, "return")
        if [v.aval for v in block.outs] != avals:
            listed = ", ".join(str(v.aval) for v in block.outs)
            self.fail(f"the function returns ({listed})", arrow)
        self.newlines()
        if self.tokens[self.pos].kind != "end":
            self.expected("the end of the text")
        return Function(name, block)

    def params(self) -> tuple[Value, ...]:
        values = []
        for token, value in self.enclosed(self.binder):
            self.define(token, value)
            values.append(value)
        return tuple(values)

    def body(self, params: tuple[Value, ...], tail: str) -> Block:
        self.mark("{")
        self.newlines(needed=True)
        ops = []
        while not self.at(tail):
            ops.append(self.op(tail))
            self.newlines(needed=True)
        self.pos += 1
        empty = self.tokens[self.pos].kind == "newline"
        outs = () if empty else tuple(self.many(self.result))
        self.newlines(needed=True)
        self.mark("}")
        return Block(params, tuple(ops), outs)

    def region(self) -> tuple[str, Block]:
        label = self.take("name", "a region's label").text
        outer, self.env = self.env, {}
        block = self.body(self.params(), "yield")
        self.env = outer
        return label, block

    def op(self, tail: str) -> Op:
        first = self.tokens[self.pos]
        binders: list[tuple[_Token, Value]] = []
        if first.kind == "value":
            binders = self.many(self.binder)
            self.mark("=")
        if self.tokens[self.pos].text in ("return", "yield"):
            self.expected(f"an op or {tail}")
        name = self.take("name", f"an op or {tail}")
        prim = PRIMS.get(name.text)
        if prim is None:
            self.fail(f"there is no op {name.text}", name)
        attrs = {**prim.defaults, **self.attrs()}
        args = self.args(prim)
        blocks = {}
        while self.tokens[self.pos].kind == "name":
            label, block = self.region()
            blocks[label] = block
        for token, value in binders:
            self.define(token, value)
        outs = tuple(v for _, v in binders)
        return Op(prim, args, attrs, outs, blocks, self.wheres.get(self.line_at(first.start)))

    def define(self, token: _Token, value: Value) -> None:
        if token.text in self.env:
            self.fail(f"{token.text} is defined twice", token)
        self.env[token.text] = value

    def binder(self) -> tuple[_Token, Value]:
        token = self.take("value", "a value and its type, as in %x: f64[3,4]")
        self.mark(":")
        name = token.text[1:]
        return token, Value(self.aval(), "" if name.isdigit() else name)

    def aval(self) -> Aval:
        token = self.take("type", "a type, as in f64[3,4]")
        dtype, _, dims = token.text[:-1].partition("[")
        try:
            return Aval(dtype, tuple(int(d) for d in dims.split(",")) if dims.strip() else ())
        except ValueError:
            self.fail(f"{token.text} is not a type; write dtype[dims], as in f64[3,4]", token)

    def attrs(self) -> dict[str, Any]:
        if not self.at("["):
            return {}
        first, depth = self.tokens[self.pos], 0
        while True:
            token = self.tokens[self.pos]
            if token.kind in ("newline", "end"):
                self.expected("] after the attributes")
            if token.kind == "mark":
                depth += (token.text in "([{") - (token.text in ")]}")
            self.pos += 1
            if depth == 0:
                break
        source = self.text[first.start + 1 : token.start]
        try:
            call = ast.parse(f"f({source})", mode="eval").body
        except SyntaxError:
            call = None
        if isinstance(call, ast.Call) and not call.args:
            try:
                return {str(k.arg): _attr(k.value) for k in call.keywords}
            except ValueError:
                pass
        self.fail("expected attributes such as [axes=(0, 1)]", first)

    # ------------------------------------------------------------------ operands

    def args(self, prim: Prim) -> tuple[Value, ...]:
        if self.tokens[self.pos].kind in ("newline", "end") or self.at_region():
            return ()
        given = self.many(self.atom)
        values = [v for _, v in given]
        return tuple(
            v if isinstance(v, Value) else self.const(token, v, prim, values, i)
            for i, (token, v) in enumerate(given)
        )

    def at_region(self) -> bool:
        return self.tokens[self.pos].kind == "name" and self.tokens[self.pos + 1].text == "("

    def atom(self) -> tuple[_Token, Any]:
        """A value, a constant of written dtype, or a bare Python number."""
        token = self.tokens[self.pos]
        self.pos += 1
        if token.kind == "value":
            if token.text not in self.env:
                self.fail(f"{token.text} is not defined here", token)
            return token, self.env[token.text]
        number = self.number(token)
        if not self.at(":"):
            return token, number
        self.pos += 1
        dtype = self.take("name", "a dtype, as in 2.0:f64")
        if dtype.text not in NUMPY:
            self.fail(f"{dtype.text} is no dtype; there are {', '.join(NUMPY)}", dtype)
        return token, self.typed(token, number, dtype.text)

    def number(self, token: _Token) -> bool | int | float | complex:
        if token.text in ("True", "False"):
            return token.text == "True"
        if token.kind == "complex":
            parts = _COMPLEX.fullmatch(token.text)
            assert parts is not None
            return complex(float(parts[1]), float(parts[2]))
        if token.kind == "number":
            try:
                return int(token.text)
            except ValueError:
                return float(token.text)
        self.pos -= 1
        self.expected("a value or a number")

    def const(self, token: _Token, x: Any, prim: Prim, given: list[Any], i: int) -> Const:
        dtype = bare_dtype(prim, given, i, _KIND_OF[type(x)])
        if dtype is None:
            self.fail(f"expected the literal's dtype, as in {token.text}:f64", token)
        return self.typed(token, x, dtype)

    def typed(self, token: _Token, x: Any, dtype: str) -> Const:
        if "biufc".index(_KIND_OF[type(x)]) > "biufc".index(KIND[dtype]):
            self.fail(f"{token.text} is no {dtype}", token)
        try:
            # Text to f32 in one step: through a Python float it would be rounded twice.
            exact = token.text if KIND[dtype] == "f" else x
            return Const(exact, dtype)
        except (ValueError, OverflowError, TypeError):
            self.fail(f"{token.text} is no {dtype}", token)

    def result(self) -> Value:
        token, v = self.atom()
        if not isinstance(v, Value):
            self.fail(f"expected the literal's dtype, as in {token.text}:f64", token)
        return v


def _attr(node: ast.expr) -> Any:
    """A literal of Python, with inf and nan besides."""
    if isinstance(node, ast.Name):
        return _NAMED[node.id] if node.id in _NAMED else ast.literal_eval(node)
    if isinstance(node, ast.Tuple):
        return tuple(map(_attr, node.elts))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_attr(node.operand)
    return ast.literal_eval(node)

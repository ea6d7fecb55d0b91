"""`print` in a traced function: an op that shows its text at each call, with the values of then.

Text that Tracers are formatted into has a mark for each of them, which `print` finds again.
"""

from __future__ import annotations

import builtins
import re
import sys
from typing import Any

import numpy as np

from ..ir.core import Op
from ..ir.ops.show import show
from . import intercept
from .intercept import DECLINE
from .place import USER, owner
from .record import Recorder, recorder
from .surface import is_tracer, value
from .tracer import Tracer

_MARK = re.compile(r"Tracer<[^>]*>#(\d+)")


def mark(t: Tracer, spec: str) -> str:
    """What a Tracer is in a text: its type, and a number by which `print` knows it."""
    rec = t._rec
    rec.texts.append((t, spec))
    return f"{t!r}#{len(rec.texts) - 1}"


def _print(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    rec = recorder()
    if not user or kwargs.get("file") not in (None, sys.stdout):
        return DECLINE
    values: list[Any] = []

    def field(t: Any, spec: str) -> str:
        values.append(value(t))
        return f"{{{len(values) - 1}{':' + spec if spec else ''}}}"

    def told(x: Any) -> str:
        if is_tracer(x):
            plain = any(t is x for _, t in rec.lent.values())  # one from outside
            name = "" if plain else _name_of(x)
            return f"{name} = {field(x, '')}" if name else field(x, "")
        text = str(x).replace("{", "{{").replace("}", "}}")
        return _MARK.sub(lambda m: field(*rec.texts[int(m[1])]), text)

    sep = kwargs.get("sep")
    text = (" " if sep is None else sep).join(map(told, args))
    end = kwargs.get("end")
    rec.builder.add(show, values, {"text": text, "end": "\n" if end is None else end})
    return None


def _name_of(t: Tracer) -> str:
    """The name of the variable that holds a value, as the program's text has it."""
    frame = sys._getframe(1)
    while frame is not None and owner(frame.f_code.co_filename) != USER:
        frame = frame.f_back  # type: ignore[assignment]
    for name, x in dict(frame.f_locals).items() if frame is not None else ():
        if x is t:
            return f"%{name}"
    return f"%{t._value.hint}" if t._value.hint else ""


def flush(rec: Recorder) -> None:
    """Show what a function printed before it failed, as far as its values are known."""
    for op in rec.builder.ops:
        if op.prim is show:
            show.ref(*(_seen(rec, op, k) for k in range(len(op.args))), **op.attrs)


def _seen(rec: Recorder, op: Op, k: int) -> Any:
    v = op.args[k]
    try:
        return rec.sample(v)
    except Exception:  # NoSample among them
        return np.array(f"<{v.aval}>", dtype=object)


def key_of(error: BaseException) -> str:
    """What a key that is not found is made of, if it is a text of traced values."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else None
    found = _MARK.search(text) if isinstance(text, str) else None
    return str(recorder().texts[int(found[1])][0]._noun()) if found else ""


def show_values(error: BaseException) -> None:
    """Let the text of an error of the user's have the values of this call, as far as known."""
    rec = recorder()

    def known(m: re.Match[str]) -> str:
        try:
            t, spec = rec.texts[int(m[1])]
            return format(np.asarray(rec.sample(t._read()))[()], spec)
        except Exception:  # NoSample among them
            return m[0]

    error.args = tuple(_MARK.sub(known, x) if type(x) is str else x for x in error.args)


def enter() -> None:
    """Fill the table of interception."""
    intercept.enter(builtins, "print", _print)

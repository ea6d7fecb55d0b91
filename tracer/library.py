"""Which function of a library wanted real numbers of a traced value, and what to use instead."""

from __future__ import annotations

import dis
import sys
from collections.abc import Sequence
from types import FrameType, TracebackType

from .place import LIBRARY, USER, owner

_SOLVED = "adjit.root, adjit.fixed_point, adjit.minimize and adjit.least_squares give solutions "
_SOLVED += "with their derivatives."
_STEPS = "Write the steps as a loop in NumPy (Runge and Kutta's, say): it is compiled."
_NODES = "Use fixed nodes: np.polynomial.legendre.leggauss, np.trapezoid, scipy.integrate.simpson."
_CURVE = "Make the spline outside, of plain data (places may be traced); np.interp takes both."
_RULE = (
    "Write it in NumPy's functions, or give it a rule: adjit.custom_vjp around adjit.pure_callback."
)
_INTEGRATORS = ("solve_ivp", "odeint", "ode", "solve_bvp", "RK45", "LSODA")
_ADVICE = (
    (tuple(f"scipy.integrate.{name}" for name in _INTEGRATORS), _STEPS),
    (("scipy.integrate.",), _NODES),
    (("scipy.optimize.",), _SOLVED),
    (("scipy.interpolate.",), _CURVE),
)


def caller(frame: FrameType | None) -> str:
    """The library's function that the user's code called to get to a frame, "" if there is none."""
    found: list[FrameType] = []
    while frame is not None:
        who = owner(frame.f_code.co_filename)
        if who == USER:
            return _dotted(found[::-1])
        if who == LIBRARY:
            found.append(frame)
        frame = frame.f_back
    return ""


def _dotted(frames: Sequence[FrameType]) -> str:
    """The public name of the first function, wrappers aside, of a chain of calls."""
    own = [f for f in frames if "._lib" not in str(f.f_globals.get("__name__", ""))]
    if not own:
        return ""
    module = str(own[0].f_globals.get("__name__", "")).split(".")
    name = getattr(own[0].f_code, "co_qualname", own[0].f_code.co_name)
    name = name.removesuffix(".__init__").rpartition("<locals>.")[2]
    for k in range(1, len(module)):
        face = ".".join(module[:k])
        if hasattr(sys.modules.get(face), name.split(".")[0]):
            return f"{face}.{name}"
    return ".".join((*(p for p in module if not p.startswith("_")), name))


def advice(name: str) -> str:
    """What to write instead of a function of a library."""
    return next((text for starts, text in _ADVICE if name.startswith(starts)), _RULE)


def compiled_call(error: BaseException) -> str:
    """The library's function whose compiled code refused a traced value with this error, or ""."""
    said = str(error)
    if not any(mark in said for mark in _MARKS):
        return ""
    last: TracebackType | None = None
    found: list[FrameType] = []
    tb = error.__traceback__
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if not is_compiled(file):
            who = owner(file)
            if who == USER:
                found = []
            elif who == LIBRARY:
                found.append(tb.tb_frame)
            last = tb
        tb = tb.tb_next
    if not found or last is None or owner(last.tb_frame.f_code.co_filename) != LIBRARY:
        return ""
    raised = dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == "RAISE_VARARGS"
    return "" if raised else _dotted(found)


def is_compiled(file: str) -> bool:
    """Whether a frame of this file is Cython's, which gives no path."""
    return file.endswith((".pyx", ".pxd")) or file == "<stringsource>"


_MARKS = ("Tracer", "__array_interface__", "WRITEBACKIFCOPY", "read-only")

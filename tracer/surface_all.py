"""Enters every table of the surface, and answers `__array_function__` from them."""

from __future__ import annotations

from typing import Any

from . import (  # noqa: F401
    impure,
    printing,
    surface_array,
    surface_array_api,
    surface_bits,
    surface_choose,
    surface_decompositions,
    surface_distance,
    surface_einsum,
    surface_fft,
    surface_filters,
    surface_folds,
    surface_index,
    surface_iterate,
    surface_join,
    surface_linalg,
    surface_make,
    surface_operators,
    surface_order,
    surface_pad,
    surface_poly,
    surface_quantile,
    surface_recursive,
    surface_reduce,
    surface_scipy,
    surface_scipy_linalg,
    surface_scipy_matrices,
    surface_search,
    surface_segments,
    surface_sets,
    surface_shape,
    surface_signal,
    surface_sparse,
    surface_special,
    surface_splines,
    surface_stats,
    surface_ufunc,
    surface_windows,
    typed,
)
from .errors import AdjitError, TracedConversion, UnsupportedOp
from .intercept import shown_module
from .refusals import refusal, refused
from .surface import FUNCTIONS
from .tracer import ENTRY


def on_function(func: Any, args: Any, kwargs: Any) -> Any:
    """The entry of a NumPy function; else NumPy's own Python, run on the Tracers."""
    entry = FUNCTIONS.get(func)
    if entry is not None:
        return entry(*args, **kwargs)
    name = dotted(func)
    if refusal(name) is not None:
        raise refused(name)
    inside = getattr(func, "_implementation", None)
    if inside is None or not hasattr(inside, "__code__"):
        raise refused(name)
    try:
        return inside(*args, **kwargs)
    except (UnsupportedOp, TracedConversion):
        advice = ""
    except TypeError as error:
        if isinstance(error, AdjitError):
            raise
        advice = f"NumPy's own code for it failed: {error}".split("\n")[0]
    raise refused(name, "", advice)


def dotted(function: Any) -> str:
    """The name of a NumPy function with its module: numpy.linalg.norm."""
    module = shown_module(function).replace("numpy.lib.scimath", "numpy.emath")
    return f"{module}.{function.__name__}"


def enter() -> None:
    """Let Tracers answer NumPy, and let interception know what to swap."""
    ENTRY["function"] = on_function
    ENTRY["mark"] = printing.mark
    printing.enter()
    surface_make.fill_table()
    surface_iterate.fill_table()

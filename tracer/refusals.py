"""What cannot be traced, and why; what is traced but carries no derivative, and why.

Errors while tracing and the page of what is supported are made of these tables.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from .errors import AdjitError, UnsupportedOp
from .record import fail


class Refusal(NamedTuple):
    """Why something cannot be traced, and what to write instead."""

    why: str
    instead: str


_TEXT = Refusal("strings are no numbers", "Handle text before the traced function.")
_DATES = Refusal(
    "dates are no numbers", "Turn them into numbers before: (d - d0) / np.timedelta64(1, 's')."
)
_PRINTED = Refusal(
    "it would print a value that no call has yet",
    "Return the value and print it outside.",
)
_SAVED = Refusal(
    "it would write to a file once, while tracing", "Return the value and save it outside."
)
_READ = Refusal(
    "it reads a file once, while tracing, and never again", "Read it before; pass the array."
)
_RECORDS = Refusal("arrays of records have no numeric dtype", "Pass the fields as arrays.")
_BYTES = Refusal("a traced array has no memory", "Return the array and look at it outside.")
_MEMORY = Refusal(
    "whether two traced arrays share memory is not known", "Copy before you write: x = x.copy()."
)

REFUSED: dict[str, Refusal] = {
    "numpy.array2string": _PRINTED,
    "numpy.array_repr": _PRINTED,
    "numpy.array_str": _PRINTED,
    "numpy.busday_*": _DATES,
    "numpy.is_busday": _DATES,
    "numpy.datetime_as_string": _DATES,
    "numpy.datetime_data": _DATES,
    "numpy.isnat": _DATES,
    "numpy.char.*": _TEXT,
    "numpy.strings.*": _TEXT,
    "numpy.save*": _SAVED,
    "numpy.loadtxt": _READ,
    "numpy.genfromtxt": _READ,
    "numpy.fromfile": _READ,
    "numpy.fromstring": _TEXT,
    "numpy.frombuffer": Refusal(
        "a traced array has no memory to look into", "Write x.reshape(-1) or x.astype(...)."
    ),
    "numpy.lib.recfunctions.*": _RECORDS,
    "numpy.may_share_memory": _MEMORY,
    "numpy.shares_memory": _MEMORY,
    "numpy.nditer": Refusal(
        "a traced array is not walked through in memory",
        "Leave external loops and buffers out, or iterate over np.ndenumerate(x).",
    ),
    "numpy.frompyfunc": Refusal(
        "it makes ufuncs of Python objects", "Call the function, or use np.vectorize."
    ),
    "numpy.ndarray.byteswap": _BYTES,
    "numpy.ndarray.ctypes": _BYTES,
    "numpy.ndarray.data": _BYTES,
    "numpy.ndarray.dump": _SAVED,
    "numpy.ndarray.dumps": _SAVED,
    "numpy.ndarray.getfield": _RECORDS,
    "numpy.ndarray.setfield": _RECORDS,
    "numpy.ndarray.setflags": Refusal(
        "a traced array has no flags of its own", "Leave it out: arguments are never written."
    ),
    "numpy.ndarray.tobytes": _BYTES,
    "numpy.ndarray.tofile": _SAVED,
}


# ------------------------------------------------------------------ what has no derivative

_POSITIONS = "its result is positions or counts"
_TRUTH = "its result is true or false"
_FACTS = "it depends on shape and dtype alone"
_STEPS = "its slope is zero wherever it has one"
_BITS = "integers carry no derivative"

FLAT: dict[str, str] = {
    **dict.fromkeys(
        (
            "argmax", "argmin", "nanargmax", "nanargmin", "argsort", "argpartition", "lexsort",
            "argwhere", "nonzero", "flatnonzero", "count_nonzero", "searchsorted", "digitize",
            "unravel_index", "ravel_multi_index", "diag_indices_from", "tril_indices_from",
            "triu_indices_from", "ix_", "einsum_path", "linalg.matrix_rank",
        ),
        _POSITIONS,
    ),
    **dict.fromkeys(
        (
            "any", "all", "allclose", "isclose", "array_equal", "array_equiv", "isin", "isreal",
            "iscomplex", "isneginf", "isposinf", "isnan", "isinf", "isfinite", "logical_and",
            "logical_or", "logical_xor", "logical_not",
        ),
        _TRUTH,
    ),
    **dict.fromkeys(
        (
            "shape", "ndim", "size", "result_type", "can_cast", "common_type", "min_scalar_type",
            "iscomplexobj", "isrealobj", "zeros_like", "ones_like", "empty_like", "zeros", "ones",
            "empty", "eye", "identity", "tri",
        ),
        _FACTS,
    ),
    **dict.fromkeys(("ceil", "floor", "rint", "trunc", "fix", "round", "around", "sign"), _STEPS),
    **dict.fromkeys(("packbits", "unpackbits"), _BITS),
    **dict.fromkeys(
        (
            "ndarray.argmax", "ndarray.argmin", "ndarray.argsort", "ndarray.argpartition",
            "ndarray.nonzero", "ndarray.searchsorted",
        ),
        _POSITIONS,
    ),
    **dict.fromkeys(("ndarray.any", "ndarray.all"), _TRUTH),
    **dict.fromkeys(
        (
            "ndarray.base", "ndarray.device", "ndarray.dtype", "ndarray.flags", "ndarray.itemsize",
            "ndarray.nbytes", "ndarray.ndim", "ndarray.shape", "ndarray.size", "ndarray.strides",
        ),
        _FACTS,
    ),
    "ndarray.round": _STEPS,
}  # fmt: skip

# Functions that have no entry: NumPy's own Python code runs on Tracers.
THROUGH: frozenset[str] = frozenset(
    "numpy." + name
    for name in (
        "common_type", "corrcoef", "cumulative_prod", "cumulative_sum", "diag_indices_from",
        "fromfunction", "tri", "gradient", "isneginf", "isposinf", "ix_", "resize",
        "tril_indices_from", "triu_indices_from", "polynomial.polynomial.polyval2d",
        "polynomial.polynomial.polygrid2d", "polynomial.polynomial.polyvalnd",
    )
)  # fmt: skip


def flat(name: str) -> str:
    """Why a function (by its dotted name) has no derivative, "" if it has one."""
    return FLAT.get(name.removeprefix("numpy."), "")


def refusal(name: str) -> Refusal | None:
    """Why a function, method or attribute (by its dotted name) is refused; None if it is not."""
    known = REFUSED.get(name)
    if known is None:
        known = next((r for k, r in REFUSED.items() if "*" in k and fnmatchcase(name, k)), None)
    return known


def refused(name: str, kind: str = "", detail: str = "") -> AdjitError:
    """The error of calling it (in a way that `kind` says)."""
    known = refusal(name)
    shown = name.replace("numpy.ndarray.", "x.").replace("numpy.", "np.")
    what = f"{shown} {kind}".rstrip() + " cannot be traced"
    if known is None:
        return fail(UnsupportedOp, what, detail)
    return fail(UnsupportedOp, f"{what}: {known.why}", known.instead)

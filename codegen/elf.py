"""Object code put into memory without LLVM, whose library takes 40 MB and as many milliseconds.

This knows the relocatable files that LLVM writes for x86-64 and Linux: code and constants, which
refer to each other by distance, and to the outside through a table of addresses.  Whatever else a
file holds is `Unknown`, and LLVM's own linker loads it.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

from ..ir.records import dataclass

KNOWN = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 1 << 32

_HEADER = struct.Struct("<6s10xHH20xQ10xHH2x")  # magic, kind, machine; sections: start, size, count
_SECTION = struct.Struct("<4xIQ8xQQII8s8x")  # kind, flags, start, size, link, about, alignment
_SYMBOL = struct.Struct("<I2xHQ8x")  # name, section, value
_RELOCATION = struct.Struct("<QIIq")  # where, kind, symbol, addend
_CONTENT, _SYMBOLS, _RELOCATIONS, _EMPTY = 1, 2, 4, 8  # kinds of sections
_WRITTEN, _ALLOCATED, _THREADS = 1, 2, 0x400  # their flags
_ADDRESS, _DISTANCE, _CALL, _FAR = 1, 2, 4, 24  # kinds of relocations
_THROUGH = (9, 41, 42)  # to the place where an address stands
_JUMP = b"\xff\x25\x02\x00\x00\x00\x66\x90"  # to the address behind it, for a name from outside


class Unknown(Exception):
    """The file holds something that only LLVM's linker knows."""


class Section(NamedTuple):
    kind: int
    flags: int
    start: int
    size: int
    link: int
    about: int  # the section that relocations are for
    alignment: bytes


class Symbol(NamedTuple):
    name: int  # where it stands in the file
    section: int  # none for a name from outside
    value: int


@dataclass(frozen=True)
class Image:
    """What goes into memory: sections one after the other, then a jump for each name outside."""

    content: bytearray
    starts: dict[int, int]  # of the sections, by number
    slots: dict[int, int]  # where the jumps are, by number of the symbol


def load(code: bytes, name: str, find: Callable[[str], int]) -> int:
    """The address of a function of an object file, which stays in memory; `find` knows the rest."""
    sections, symbols = _read(code)
    image = _laid_out(code, sections, symbols)
    target = name.encode() + b"\0"
    here = [s for s in symbols if s.section in image.starts and code.startswith(target, s.name)]
    if len(here) != 1:
        raise Unknown(f"no function {name}")
    base = _room(len(image.content))
    for number, slot in image.slots.items():
        start = symbols[number].name
        outside = find(code[start : code.index(b"\0", start)].decode())
        struct.pack_into("<Q", image.content, slot + len(_JUMP), outside)
    for section in sections:
        if section.kind == _RELOCATIONS and section.about in image.starts:
            _relocate(code, section, image, symbols, base)
    ctypes.memmove(base, bytes(image.content), len(image.content))
    if _libc().mprotect(base, len(image.content), mmap.PROT_READ | mmap.PROT_EXEC):
        raise Unknown("memory cannot be made executable")
    return base + image.starts[here[0].section] + here[0].value


def _read(code: bytes) -> tuple[list[Section], list[Symbol]]:
    """The sections and symbols of a file."""
    if len(code) < _HEADER.size:
        raise Unknown("no file")
    magic, kind, machine, at, size, count = _HEADER.unpack_from(code)
    if magic != b"\x7fELF\x02\x01" or (kind, machine, size) != (1, 62, _SECTION.size):
        raise Unknown("no relocatable file for x86-64")
    table = _SECTION.iter_unpack(code[at : at + count * size])
    sections = [Section(*fields) for fields in table]
    found = [s for s in sections if s.kind == _SYMBOLS]
    if len(found) != 1:
        raise Unknown("not one table of symbols")
    names, content = sections[found[0].link].start, _content(code, found[0])
    return sections, [Symbol(names + n, *rest) for n, *rest in _SYMBOL.iter_unpack(content)]


def _content(code: bytes, section: Section) -> bytes:
    return code[section.start : section.start + section.size]


def _laid_out(code: bytes, sections: list[Section], symbols: list[Symbol]) -> Image:
    image = Image(bytearray(), {}, {})
    for k, section in enumerate(sections):
        if not section.flags & _ALLOCATED or section.kind not in (_CONTENT, _EMPTY):
            continue  # as tables to unwind the stack by, where nothing is thrown
        if section.flags & (_WRITTEN | _THREADS) or section.kind == _EMPTY:
            raise Unknown("data that is written to")
        _align(image.content, max(1, int.from_bytes(section.alignment, "little")))
        image.starts[k] = len(image.content)
        image.content.extend(_content(code, section))
    _align(image.content, 2 * len(_JUMP))
    for number, symbol in enumerate(symbols[1:], 1):
        if symbol.section == 0:
            image.slots[number] = len(image.content)
            image.content.extend(_JUMP + bytes(8))
    return image


def _align(content: bytearray, to: int) -> None:
    content.extend(bytes(-len(content) % to))


def _relocate(
    code: bytes, section: Section, image: Image, symbols: list[Symbol], base: int
) -> None:
    """Write the distances and addresses that a section asks for."""
    begin = image.starts[section.about]
    for where, kind, number, addend in _RELOCATION.iter_unpack(_content(code, section)):
        symbol, at = symbols[number], begin + where
        if number in image.slots and (kind == _CALL or kind in _THROUGH):
            target = image.slots[number] + (len(_JUMP) if kind in _THROUGH else 0)
        elif symbol.section in image.starts and kind in (_ADDRESS, _DISTANCE, _CALL, _FAR):
            target = image.starts[symbol.section] + symbol.value
        else:
            raise Unknown(f"a relocation of kind {kind}")
        if kind == _ADDRESS:
            struct.pack_into("<Q", image.content, at, base + target + addend)
        else:
            form = "<q" if kind == _FAR else "<i"
            struct.pack_into(form, image.content, at, target + addend - at)


def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return library


def _room(size: int) -> int:
    """Memory that nobody frees: threads and objects may run its code to the very end."""
    ours = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    base = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, ours, -1, 0)
    if base in (None, ctypes.c_void_p(-1).value):
        raise Unknown("no memory")
    return int(base)

"""Sizes in bytes as people write them: 512M, 2G."""

_FACTORS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_bytes(text: str) -> int:
    """The number of bytes that `512M`, `1.5G` or `4096` stands for; a ValueError for others."""
    plain = text.strip().upper().removesuffix("B")
    factor = _FACTORS.get(plain[-1:], 1)
    size = int(float(plain.rstrip("KMG")) * factor)
    if size < 0:
        raise ValueError(f"{text!r} is no size")
    return size


def show_bytes(n: float) -> str:
    """A number of bytes for people to read: 3.2 MB."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if n >= factor:
            return f"{n / factor:.1f} {unit}"
    return f"{n:.0f} B"

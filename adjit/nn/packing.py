"""Sequences of different lengths: side by side with padding, or step by step without."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..eager.shapes import cat
from ..eager.tensor_object import Tensor, held
from .lift import shape_of

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """The elements of all sequences, step by step: at each step those that still go on.

    `sorted_indices` says which sequence comes at which place, longest first.
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None


def _lengths(sizes: Any) -> np.ndarray:
    """How long each sequence is, from how many there are at each step."""
    counts = np.asarray(sizes.numpy() if isinstance(sizes, Tensor) else sizes)
    return (counts[:, None] > np.arange(counts[0])).sum(0).astype(np.int64)


def _places(sizes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each element its step and its place in the batch; and the lengths."""
    lengths = _lengths(sizes)
    steps, places = np.nonzero(np.arange(lengths[0])[:, None] < lengths)
    return steps, places, lengths


def padded(sequence: PackedSequence, value: float = 0.0, total: int = 0) -> tuple[Any, Any]:
    """The sequences (length, batch, features), and their lengths, longest first."""
    steps, places, lengths = _places(sequence.batch_sizes)
    count = max(int(lengths[0]), total)
    flat = np.full(count * len(lengths), len(steps))
    flat[steps * len(lengths) + places] = np.arange(len(steps))
    data = sequence.data
    features = shape_of(data)[1:]
    fill = np.full((1, *features), value, np.dtype(data.dtype))
    if isinstance(data, Tensor):
        rows = cat([data, held(fill)])[held(flat)]
        return rows.reshape((count, len(lengths), *features)), held(lengths)
    rows = np.concatenate([data, fill])[flat]
    return rows.reshape((count, len(lengths), *features)), lengths


def packed(x: Any, like: PackedSequence) -> PackedSequence:
    """Padded sequences in the packed form of another."""
    steps, places, _ = _places(like.batch_sizes)
    at = (held(steps), held(places)) if isinstance(x, Tensor) else (steps, places)
    return like._replace(data=x[at])


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences without their padding."""
    given = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    found = np.array([int(n) for n in given], np.int64)
    x = input.swapaxes(0, 1) if batch_first else input
    s = shape_of(x)
    if len(found) != s[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(found)} "
            f"(batch_size={s[1]}, input of shape {shape_of(input)})"
        )
    if found.min() < 1 or found.max() > s[0]:
        raise RuntimeError(
            f"pack_padded_sequence: lengths from 1 to {s[0]} are expected for input of shape "
            f"{shape_of(input)}, got {given}"
        )
    order = back = None
    if enforce_sorted:
        if (np.diff(found) > 0).any():
            raise RuntimeError(
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
                "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence "
                "to sidestep this requirement."
            )
    else:
        first = np.argsort(-found, kind="stable")
        order, back = held(first), held(np.argsort(first, kind="stable"))
        found = found[first]
        x = x[:, order if isinstance(x, Tensor) else first]
    sizes = (np.arange(found[0])[:, None] < found).sum(1)
    return packed(x, PackedSequence(None, held(sizes.astype(np.int64)), order, back))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """The sequences with padding, in their first order, and their lengths."""
    longest = len(sequence.batch_sizes)
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but "
            f"got total_length={total_length} and max sequence length being {longest}"
        )
    x, lengths = padded(sequence, padding_value, total_length or 0)
    if sequence.unsorted_indices is not None:
        x, lengths = x[:, sequence.unsorted_indices], lengths[sequence.unsorted_indices]
    return (x.swapaxes(0, 1) if batch_first else x), lengths


def _one(parts: list[Any]) -> Any:
    return cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts)


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:  # fmt: skip
    """Sequences of different lengths side by side."""
    listed = list(sequences)
    if not listed:
        raise RuntimeError("received an empty list of sequences")
    longest = max(shape_of(x)[0] for x in listed)
    rows = []
    for x in listed:
        s = shape_of(x)
        fill: Any = np.full((longest - s[0], *s[1:]), padding_value, np.dtype(x.dtype))
        fill = held(fill) if isinstance(x, Tensor) else fill
        rows.append(_one([x, fill] if padding_side == "right" else [fill, x])[None])
    found = _one(rows)
    return found if batch_first else found.swapaxes(0, 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences apart again."""
    x = padded_sequences if batch_first else padded_sequences.swapaxes(0, 1)
    given = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    return [x[i, : int(n)] for i, n in enumerate(given)]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of different lengths, packed."""
    listed = list(sequences)
    lengths = [shape_of(x)[0] for x in listed]
    return pack_padded_sequence(pad_sequence(listed), lengths, enforce_sorted=enforce_sorted)

"""Functions that move, join, split, repeat and pad."""

from __future__ import annotations

from typing import Any

import numpy as np
from differential import Entry, entry

MODES = (
    "edge", "wrap", "reflect", "symmetric", "linear_ramp", "maximum", "minimum", "mean", "median",
)  # fmt: skip
CUBE = (2, 3, 4)


def _shapes() -> list[Entry]:
    return [
        entry("numpy.reshape", lambda x: np.reshape(x, (4, 3)), lambda x: np.reshape(x, -1),
              lambda x: np.reshape(x, (2, -1), order="F"), lambda x: x.reshape(2, 6, order="A"),
              lambda x: np.reshape(x, (5, 5)), lambda x: np.reshape(x, (-1, -1)),
              lambda x: x.reshape((1, *x.shape, 1))),
        entry("numpy.ravel", lambda x: np.ravel(x), lambda x: np.ravel(x, "F"),
              lambda x: np.ravel(x, "K"), lambda x: x.ravel("A")),
        entry("numpy.transpose", lambda x: np.transpose(x), lambda x: np.transpose(x, (2, 0, 1)),
              lambda x: x.T, lambda x: x.transpose(1, 0, 2), lambda x: np.transpose(x, (0, 0, 1)),
              lambda x: np.transpose(x, (0, 1)), lambda x: np.transpose(x, (-1, 0, 1)),
              shapes=CUBE),
        entry("numpy.permute_dims", lambda x: np.permute_dims(x, (1, 0, 2)), shapes=CUBE),
        entry("numpy.matrix_transpose", lambda x: np.matrix_transpose(x), shapes=CUBE),
        entry("numpy.linalg.matrix_transpose", lambda x: np.linalg.matrix_transpose(x),
              shapes=CUBE),
        entry("numpy.swapaxes", lambda x: np.swapaxes(x, 0, 2), lambda x: np.swapaxes(x, -1, 1),
              lambda x: np.swapaxes(x, 0, 3), shapes=CUBE),
        entry("numpy.moveaxis", lambda x: np.moveaxis(x, 0, -1),
              lambda x: np.moveaxis(x, (0, 1), (-1, 0)), lambda x: np.moveaxis(x, 5, 0),
              lambda x: np.moveaxis(x, (0, 1), (0,)), shapes=CUBE),
        entry("numpy.rollaxis", lambda x: np.rollaxis(x, 2), lambda x: np.rollaxis(x, 0, 3),
              lambda x: np.rollaxis(x, 4), shapes=CUBE),
        entry("numpy.squeeze", lambda x: np.squeeze(x[:, None]), lambda x: np.squeeze(x[:1], 0),
              lambda x: np.squeeze(x, 0), lambda x: np.squeeze(x[None], axis=(0,))),
        entry("numpy.expand_dims", lambda x: np.expand_dims(x, 0),
              lambda x: np.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, 9)),
        entry("numpy.atleast_1d", lambda x: np.atleast_1d(x), lambda x: np.atleast_1d(x, x[0])),
        entry("numpy.atleast_2d", lambda x: np.atleast_2d(x), lambda x: np.atleast_2d(x[0])),
        entry("numpy.atleast_3d", lambda x: np.atleast_3d(x), lambda x: np.atleast_3d(x[0], x)),
        entry("numpy.broadcast_to", lambda x: np.broadcast_to(x, (2, *x.shape)),
              lambda x: np.broadcast_to(x[:1], (5, 4)), lambda x: np.broadcast_to(x, (2, 5))),
        entry("numpy.broadcast_arrays", lambda x: np.broadcast_arrays(x, x[0]),
              lambda x: np.broadcast_arrays(x[:, :1], [1.0, 2.0]),
              lambda x: np.broadcast_arrays(x, [1.0, 2.0, 3.0])),
        entry("numpy.flip", lambda x: np.flip(x), lambda x: np.flip(x, 0),
              lambda x: np.flip(x, (0, 1)), lambda x: np.flip(x, 2)),
        entry("numpy.fliplr", lambda x: np.fliplr(x), lambda x: np.fliplr(x[0])),
        entry("numpy.flipud", lambda x: np.flipud(x)),
        entry("numpy.rot90", *(lambda x, k=k: np.rot90(x, k) for k in (-1, 0, 1, 2, 3)),
              lambda x: np.rot90(x, axes=(1, 0)), lambda x: np.rot90(x, axes=(0, 0))),
        entry("numpy.roll", lambda x: np.roll(x, 2), lambda x: np.roll(x, -1, axis=1),
              lambda x: np.roll(x, (1, -2), axis=(0, 1)), lambda x: np.roll(x, 3, axis=(0, 1)),
              lambda x: np.roll(x, 7, 0), lambda x: np.roll(x, 1, axis=2)),
    ]  # fmt: skip


def _kinds() -> list[Entry]:
    return [
        entry("numpy.copy", lambda x: np.copy(x), lambda x: np.copy(x, order="F") * 2),
        entry("numpy.astype", lambda x: np.astype(x, np.float64), lambda x: np.astype(x, "f4"),
              domains="fractions", rtol=1e-7),
        entry("numpy.astype", lambda x: np.astype(x, int), domains="fractions", smooth=False),
        entry("numpy.shape", lambda x: np.shape(x), smooth=False),
        entry("numpy.ndim", lambda x: np.ndim(x), smooth=False),
        entry("numpy.size", lambda x: np.size(x), lambda x: np.size(x, 0),
              lambda x: np.size(x, (0, 1)), smooth=False),
        entry("numpy.real", lambda x: np.real(x)),
        entry("numpy.imag", lambda x: np.imag(x + 2j * x), lambda x: np.imag(x)),
        entry("numpy.real_if_close", lambda x: np.real_if_close(x)),
        entry("numpy.angle", lambda x: np.angle(x), lambda x: np.angle(x, deg=True),
              domains="nonzero"),
        entry("numpy.result_type", lambda x: np.result_type(x, np.float32), smooth=False),
        entry("numpy.min_scalar_type", lambda x: np.min_scalar_type(x * 1.0),
              kinds="C, F, single", smooth=False),
        entry("numpy.can_cast", lambda x: np.can_cast(x.dtype, np.float32), smooth=False),
        entry("numpy.common_type", lambda x: np.common_type(x, x), smooth=False),
        entry("numpy.iscomplexobj", lambda x: np.iscomplexobj(x), smooth=False),
        entry("numpy.isrealobj", lambda x: np.isrealobj(x), smooth=False),
        entry("numpy.iscomplex", lambda x: np.iscomplex(x), smooth=False),
        entry("numpy.isreal", lambda x: np.isreal(x), smooth=False),
    ]  # fmt: skip


def _joins() -> list[Entry]:
    two = {"shapes": ((3, 4), (3, 4))}
    return [
        entry("numpy.concatenate", lambda x, y: np.concatenate([x, y]),
              lambda x, y: np.concatenate((x, y), axis=1),
              lambda x, y: np.concatenate([x, y], axis=None),
              lambda x, y: np.concatenate([x, y], dtype=np.float32),
              lambda x, y: np.concatenate([x, y[0]]), lambda x, y: np.concatenate([x, y], 4),
              lambda x, y: np.concatenate([]), lambda x, y: np.concatenate([x, y[:, :2]]),
              lambda x, y: np.concatenate([x, y], out=np.empty((2 * len(x), *x.shape[1:]))),
              lambda x, y: np.concatenate([x, [[1] * 4]]), **two),
        entry("numpy.concat", lambda x, y: np.concat([x, y], axis=-1), **two),
        entry("numpy.stack", lambda x, y: np.stack([x, y]), lambda x, y: np.stack([x, y], 1),
              lambda x, y: np.stack([x, y], axis=-1), lambda x, y: np.stack([x, y[0]]),
              lambda x, y: np.stack([x, y], axis=5), **two),
        entry("numpy.vstack", lambda x, y: np.vstack([x, y]), lambda x, y: np.vstack((x, y[0])),
              lambda x, y: np.vstack([x, y[:, :2]]), **two),
        entry("numpy.hstack", lambda x, y: np.hstack([x, y]),
              lambda x, y: np.hstack((x[0], y[0], 1.0)), lambda x, y: np.hstack([x, y[0]]), **two),
        entry("numpy.dstack", lambda x, y: np.dstack([x, y]), lambda x, y: np.dstack([x[0], y[0]]),
              **two),
        entry("numpy.column_stack", lambda x, y: np.column_stack([x, y]),
              lambda x, y: np.column_stack([x[:, 0], y]), **two),
        entry("numpy.append", lambda x, y: np.append(x, y), lambda x, y: np.append(x, y, axis=1),
              lambda x, y: np.append(x, y[0], axis=0), **two),
        entry("numpy.block", lambda x, y: np.block([[x, y], [y, x]]), lambda x, y: np.block([x, y]),
              lambda x, y: np.block([[x], [y]]), lambda x, y: np.block([[x, y], [1.0]]),
              lambda x, y: np.block([[x], y]), **two),
        entry("numpy.meshgrid", lambda x, y: np.meshgrid(x[0], y[:, 0]),
              lambda x, y: np.meshgrid(x[0], y[0], indexing="ij"),
              lambda x, y: np.meshgrid(x[0], y[0], sparse=True),
              lambda x, y: np.meshgrid(x[0], y[0], 2.0, copy=False),
              lambda x, y: np.meshgrid(x[0], indexing="no"), **two),
        entry("numpy.split", lambda x: np.split(x, 2, axis=1), lambda x: np.split(x, [1, 2]),
              lambda x: np.split(x, 5), lambda x: np.split(x, [2, 9], 1),
              lambda x: np.split(x, [-1], axis=1)),
        entry("numpy.array_split", lambda x: np.array_split(x, 2),
              lambda x: np.array_split(x, 3, axis=1), lambda x: np.array_split(x, 0)),
        entry("numpy.hsplit", lambda x: np.hsplit(x, 2), lambda x: np.hsplit(x[0], [1, 3])),
        entry("numpy.vsplit", lambda x: np.vsplit(x, [1]), lambda x: np.vsplit(x[0], 2)),
        entry("numpy.dsplit", lambda x: np.dsplit(x, 2), shapes=CUBE),
        entry("numpy.unstack", lambda x: np.unstack(x), lambda x: np.unstack(x, axis=1)),
        entry("numpy.tile", lambda x: np.tile(x, 2), lambda x: np.tile(x, (2, 1, 3)),
              lambda x: np.tile(x[0], (2, 2)), lambda x: np.tile(x, 0)),
        entry("numpy.repeat", lambda x: np.repeat(x, 2), lambda x: np.repeat(x, 3, axis=1),
              lambda x: np.repeat(x, [1, 0, 2, 1], axis=1), lambda x: np.repeat(x, [1, 2], axis=1),
              lambda x: np.repeat(x, 2, axis=2)),
        entry("numpy.kron", lambda x, y: np.kron(x, y[:2, :2]), lambda x, y: np.kron(x[0], y[1]),
              lambda x, y: np.kron(x, 2.0), **two),
        entry("numpy.resize", lambda x: np.resize(x, (2, 3)), lambda x: np.resize(x, 17),
              lambda x: np.resize(x, (0,))),
        entry("numpy.append", lambda x: np.append(x, [1, 2]), lambda x: np.append(x, 5)),
    ]  # fmt: skip


def _pads() -> list[Entry]:
    calls: list[Any] = [
        lambda x: np.pad(x, 1),
        lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=3.0),
        lambda x: np.pad(x, (1, 2), constant_values=((1, 2), (3, 4))),
        lambda x: np.pad(x, 1, "constant", constant_values=(5, 6)),
        lambda x: np.pad(x, 2, "empty")[2:-2, 2:-2],
        lambda x: np.pad(x, 2, "linear_ramp", end_values=(1, -1)),
        lambda x: np.pad(x, ((2, 1), (1, 3)), "maximum", stat_length=2),
        lambda x: np.pad(x, ((2, 1), (1, 3)), "mean", stat_length=((1, 2), (2, 3))),
        lambda x: np.pad(x, 2, "reflect", reflect_type="odd"),
        lambda x: np.pad(x, 2, "symmetric", reflect_type="odd"),
        lambda x: np.pad(x, 5, "reflect"),
        lambda x: np.pad(x, 9, "symmetric", reflect_type="odd"),
        lambda x: np.pad(x, -1),
        lambda x: np.pad(x, 1, "nonsense"),
        lambda x: np.pad(x, ((1, 1), (1, 1), (1, 1))),
        lambda x: np.pad(x, 1, "edge", constant_values=1),
        lambda x: np.pad(x, {0: (1, 2)}),
        lambda x: np.pad(x, ((1, 2), (2, 1)), _frame, padder=7),
    ]
    calls += [lambda x, m=m: np.pad(x, ((1, 2), (2, 0)), m) for m in MODES]
    return [entry("numpy.pad", *calls, domains="distinct")]


def _frame(vector: Any, width: Any, axis: Any, kwargs: Any) -> None:
    value = kwargs.get("padder", 10)
    vector[: width[0]] = value
    if width[1]:
        vector[-width[1] :] = value


def _diagonals() -> list[Entry]:
    return [
        entry("numpy.diag", lambda x: np.diag(x), lambda x: np.diag(x, 1),
              lambda x: np.diag(x[0], -1), lambda x: np.diag(x[None])),
        entry("numpy.diagonal", lambda x: np.diagonal(x), lambda x: np.diagonal(x, -1, 1, 2),
              lambda x: np.diagonal(x, axis1=2, axis2=0), lambda x: np.diagonal(x, 0, 1, 1),
              lambda x: np.diagonal(x, 9), shapes=(2, 3, 4)),
        entry("numpy.linalg.diagonal", lambda x: np.linalg.diagonal(x, offset=1), shapes=CUBE),
        entry("numpy.diagflat", lambda x: np.diagflat(x), lambda x: np.diagflat(x[0], 1)),
        entry("numpy.tril", lambda x: np.tril(x), lambda x: np.tril(x, -1),
              lambda x: np.tril(x[0])),
        entry("numpy.triu", lambda x: np.triu(x), lambda x: np.triu(x, 2), lambda x: np.triu(x[0])),
        entry("numpy.trace", lambda x: np.trace(x), lambda x: np.trace(x, 1, 1, 2),
              lambda x: np.trace(x, dtype=np.float32), shapes=CUBE),
        entry("numpy.linalg.trace", lambda x: np.linalg.trace(x),
              lambda x: np.linalg.trace(x, offset=1), shapes=CUBE),
        entry("numpy.fill_diagonal", lambda x: _filled(x, 5.0), lambda x: _filled(x, x[0, :3]),
              lambda x: _filled(x[:, :2].copy(), 2, True), lambda x: _filled(x[0], 1)),
        entry("numpy.vander", lambda x: np.vander(x[0]), lambda x: np.vander(x[0], 3),
              lambda x: np.vander(x[0], 4, increasing=True), lambda x: np.vander(x)),
        entry("numpy.tril_indices_from", lambda x: x[np.tril_indices_from(x)],
              lambda x: x[np.tril_indices_from(x, -1)]),
        entry("numpy.triu_indices_from", lambda x: x[np.triu_indices_from(x, 1)]),
        entry("numpy.diag_indices_from", lambda x: x[:3, :3][np.diag_indices_from(x[:3, :3])],
              lambda x: np.diag_indices_from(x)),
        entry("numpy.mask_indices", lambda x: x[:3, :3][np.mask_indices(3, np.triu)]),
        entry("numpy.zeros_like", lambda x: np.zeros_like(x) + x,
              lambda x: np.zeros_like(x, dtype=int), smooth=False),
        entry("numpy.ones_like", lambda x: np.ones_like(x), lambda x: np.ones_like(x, shape=(2, 2)),
              smooth=False),
        entry("numpy.empty_like", lambda x: _stored(np.empty_like(x), 2.5), smooth=False),
        entry("numpy.full_like", lambda x: np.full_like(x, x[:1]), lambda x: np.full_like(x, 3),
              lambda x: np.full_like(x, 2, dtype=np.float32)),
    ]  # fmt: skip


def _filled(x: Any, value: Any, wrap: bool = False) -> Any:
    y = np.copy(x)
    np.fill_diagonal(y, value, wrap=wrap)
    return y


def _makers() -> list[Entry]:
    return [
        entry("numpy.array", lambda x: np.array([x, x]), lambda x: np.array([x[0, 0], 1, x[1, 2]]),
              lambda x: np.array(x, dtype=np.float32), lambda x: np.array(x, ndmin=4),
              lambda x: np.array([[x[0, 0], 2.0], [3, 4]]), lambda x: np.array([x, x[0]]),
              rtol=1e-7),
        entry("numpy.asarray", lambda x: np.asarray(x), lambda x: np.asarray([x[0], x[1]]),
              lambda x: np.asarray(x, dtype=float)),
        entry("numpy.asanyarray", lambda x: np.asanyarray(x) * 2),
        entry("numpy.ascontiguousarray", lambda x: np.ascontiguousarray(x) * 2),
        entry("numpy.asfortranarray", lambda x: np.asfortranarray(x).T * 2),
        entry("numpy.require", lambda x: np.require(x, float, "C") + 1),
        entry("numpy.asarray_chkfinite", lambda x: np.asarray_chkfinite(x) + 1),
        entry("numpy.full", lambda x: np.full((2, 3), x[0, 1]), lambda x: np.full((2, 4), x[0])),
        entry("numpy.zeros", lambda x: np.zeros(x.shape) + x, lambda x: np.zeros(3, x.dtype)),
        entry("numpy.ones", lambda x: np.ones(x.shape[1]) * x),
        entry("numpy.empty", lambda x: _stored(np.empty(x.shape, x.dtype), x)),
        entry("numpy.eye", lambda x: np.eye(3) @ x, lambda x: np.eye(4, k=1) * x[0]),
        entry("numpy.identity", lambda x: np.identity(3) @ x),
        entry("numpy.tri", lambda x: np.tri(3, 4, -1) * x),
        entry("numpy.arange", lambda x: np.arange(4) * x, lambda x: np.arange(x.size)),
        entry("numpy.linspace", lambda x: np.linspace(0, x[0, 0], 5),
              lambda x: np.linspace(x[0], x[1], 4, endpoint=False),
              lambda x: np.linspace(x[0], 2.0, 3, retstep=True),
              lambda x: np.linspace(x[0], 1.0, 3, axis=-1), lambda x: np.linspace(x[0], 1, -1),
              lambda x: np.linspace(x[0, 0], 1, 1)),
        entry("numpy.logspace", lambda x: np.logspace(0, x[0, 0], 4),
              lambda x: np.logspace(x[0], 1.0, 3, base=2.0)),
        entry("numpy.geomspace", lambda x: np.geomspace(x[0, 0], 4.0, 4),
              lambda x: np.geomspace(1.0, x[0], 3), domains="positive"),
        entry("numpy.fromiter", lambda x: np.fromiter((v * v for v in x[0]), float),
              lambda x: np.fromiter(x.flat, x.dtype, count=3)),
        entry("numpy.fromfunction", lambda x: np.fromfunction(lambda i, j: i * x[0, 0] + j, (2, 3)),
              lambda x: np.fromfunction(lambda i: x[0] * i, (4,))),
        entry("numpy.ix_", lambda x: x[np.ix_([0, 2], [1, 3])],
              lambda x: x[np.ix_([True, False, True], [0, 1])]),
        entry("numpy.r_", lambda x: np.r_[x[0], 1.0, 0:3], lambda x: np.r_[x, x],
              lambda x: np.r_["-1", x, x], lambda x: np.r_["0,2", x[0], x[1]],
              lambda x: np.r_[x[0], [1, 2]], kinds="C, F, strided, reversed"),
        entry("numpy.c_", lambda x: np.c_[x[0], x[1]], lambda x: np.c_[x, x[:, 0]],
              kinds="C, F, strided, reversed"),
        entry("numpy.s_", lambda x: x[np.s_[1:, ::2]]),
        entry("numpy.indices", lambda x: np.indices(x.shape)[0] * x),
        entry("numpy.diag_indices", lambda x: x[np.diag_indices(3)]),
        entry("numpy.tril_indices", lambda x: x[np.tril_indices(3)]),
        entry("numpy.triu_indices", lambda x: x[np.triu_indices(3, 1)]),
        entry("numpy.unravel_index", lambda x: np.unravel_index(5, (3, 4)),
              lambda x: np.unravel_index(np.argmax(x), x.shape), domains="distinct", smooth=False),
        entry("numpy.ravel_multi_index",
              lambda x: x.ravel()[np.ravel_multi_index(([0, 2], [1, 3]), x.shape)],
              lambda x: np.ravel_multi_index((np.argmax(x, 1), [0, 1, 2]), (4, 3)),
              domains="distinct"),
    ]  # fmt: skip


def _stored(z: Any, x: Any) -> Any:
    z[...] = x
    return z


def table() -> list[Entry]:
    """The entries of shapes."""
    return [*_shapes(), *_kinds(), *_joins(), *_pads(), *_diagonals(), *_makers()]

"""Choosing, indexing, sorting, searching, sets, bins, differences and interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from differential import KINDS, Entry, entry

EVEN = np.arange(12).reshape(3, 4) % 2 == 0
TABLE = np.arange(12.0).reshape(3, 4)
PLAIN = "C, F, strided, reversed, single, integer"
GRID = np.array([-1.0, 0.1, 0.6, 2.2])


def _choices() -> list[Entry]:
    two = {"shapes": ((3, 4), (3, 4))}
    return [
        entry("numpy.where", lambda x, y: np.where(x > 0, x, y), lambda x, y: np.where(x, 1.5, y),
              lambda x, y: np.where(x[0] > 0, x, y[:, :1]), lambda x, y: np.where(x > 0, x, [1, 2]),
              lambda x, y: np.where(x > 0), lambda x, y: y[np.where(x > 0.1)], **two),
        entry("numpy.select", lambda x, y: np.select([x > 1, y > 0], [x, y**2], default=-1.0),
              lambda x, y: np.select([x > 0], [y]), lambda x, y: np.select([x > 0], [x, y]),
              lambda x, y: np.select([], []), lambda x, y: np.select([x], [y]), **two),
        entry("numpy.choose", lambda x, y: np.choose([0, 1, 1, 0], [x, y]),
              lambda x, y: np.choose([0, 3, 1, -1], [x, y], mode="clip"),
              lambda x, y: np.choose([0, 3, 1, -1], [x, y], mode="wrap"),
              lambda x, y: np.choose([0, 3, 1, 0], [x, y]),
              lambda x, y: np.choose((x > 0).astype(int), [x, y]), **two),
        entry("numpy.piecewise",
              lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v**2]),
              lambda x: np.piecewise(x, [x < 0], [1.0, lambda v: v * 2]),
              lambda x: np.piecewise(x, [x < 0, x > 1], [np.sin, np.cos]),
              lambda x: np.piecewise(x, [x > 0], [1, 2, 3]),
              lambda x: np.piecewise(x, [x > 0], [lambda v, a: v * a], 3.0),
              domains="nonzero"),
        entry("numpy.clip", lambda x: np.clip(x, -1, 1), lambda x: x.clip(0.1),
              lambda x: np.clip(x, None, 1.5), lambda x: np.clip(x, TABLE[0] - 5, 2),
              lambda x: np.clip(x, min=0), lambda x: np.clip(x, max=x[0] + 1),
              lambda x: np.clip(x, -1, 1, out=np.empty_like(x)), lambda x: np.clip(x, [1, 2], 3),
              lambda x: np.clip(x, 2, 1), domains="distinct"),
        entry("numpy.round", lambda x: np.round(x), lambda x: np.round(x / 10, 1),
              lambda x: np.round(x * 10, -1), domains="fractions"),
        entry("numpy.around", lambda x: np.around(x, 3), lambda x: x.round(2), domains="fractions",
              smooth=False),
        entry("numpy.fix", lambda x: np.fix(x), domains="fractions"),
        entry("numpy.nan_to_num", lambda x: np.nan_to_num(x),
              lambda x: np.nan_to_num(x, nan=3.0, posinf=1, neginf=-1),
              lambda x: np.nan_to_num(x, copy=True), domains="nan"),
        entry("numpy.nan_to_num", lambda x: np.nan_to_num(x / 0, posinf=9.0), smooth=False),
        entry("numpy.isposinf", lambda x: np.isposinf(x / 0), smooth=False),
        entry("numpy.isneginf", lambda x: np.isneginf(x / 0), smooth=False),
        entry("numpy.isclose", lambda x: np.isclose(x, x + 1e-9), lambda x: np.isclose(x, 0.5),
              lambda x: np.isclose(x, np.nan, equal_nan=True),
              lambda x: np.isclose(x, 1.0, atol=1.0, rtol=0), smooth=False),
        entry("numpy.allclose", lambda x: np.allclose(x, x + 1e-9), lambda x: np.allclose(x, 1.0),
              smooth=False),
        entry("numpy.array_equal", lambda x: np.array_equal(x, x.copy()),
              lambda x: np.array_equal(x, x[0]), lambda x: np.array_equal(x, x, equal_nan=True),
              smooth=False, domains="nan"),
        entry("numpy.array_equiv", lambda x: np.array_equiv(x, x[:1]),
              lambda x: np.array_equiv(x, x), smooth=False),
    ]  # fmt: skip


def _writes() -> list[Entry]:
    return [
        entry("numpy.copyto", lambda x: _written(np.copyto, x, 3.0),
              lambda x: _written(np.copyto, x, x[:, ::-1] * 2, where=EVEN[: len(x)])),
        entry("numpy.put", lambda x: _written(np.put, x, [0, 5, -1], [1.0, 2.0, 3.0]),
              lambda x: _written(np.put, x, [1, 14], 2.5, mode="wrap"),
              lambda x: _written(np.put, x, [1, 14], 2.5, mode="clip"),
              lambda x: _written(np.put, x, [1, 2, 3], [5, 6]),
              lambda x: _written(np.put, x, [99], 1.0)),
        entry("numpy.putmask", lambda x: _written(np.putmask, x, EVEN[: len(x)], 0.5),
              lambda x: _written(np.putmask, x, x > 0, -x),
              lambda x: _written(np.putmask, x, EVEN, [1.0, 2.0, 3.0]), domains="nonzero"),
        entry("numpy.place", lambda x: _written(np.place, x, EVEN, [1.0, 2.0]),
              lambda x: _written(np.place, x, x > 0, [7.0]), domains="nonzero"),
        entry("numpy.put_along_axis",
              lambda x: _written(np.put_along_axis, x, np.argmax(x, 1, keepdims=True), 9.0, 1),
              lambda x: _written(np.put_along_axis, x, np.array([[0, 2, 1, 0]]), x[:1] * 2, 0),
              lambda x: _written(np.put_along_axis, x, np.array([0, 3, 5]), 1.0, None),
              domains="distinct"),
    ]  # fmt: skip


def _written(f: Any, x: Any, *args: Any, **options: Any) -> Any:
    y = x.copy()
    f(y, *args, **options)
    return y


def _indexing() -> list[Entry]:
    rows = {
        "basic": [
            lambda x: x[0], lambda x: x[-1, 2], lambda x: x[1:], lambda x: x[:, ::2],
            lambda x: x[::-1, 1:3], lambda x: x[..., 0], lambda x: x[None, :, 1],
            lambda x: x[1, 2, ...], lambda x: x[()], lambda x: x[2:0:-1], lambda x: x[5:],
            lambda x: x[:, -1:0:-2], lambda x: x[::-2, ::-3], lambda x: x[-9:9], lambda x: x[7],
            lambda x: x[0, 0, 0], lambda x: x[..., ...], lambda x: x[1.0], lambda x: x["a"],
            lambda x: x[:, None, ::-1, None], lambda x: x[np.int8(1), np.newaxis],
        ],
        "integers": [
            lambda x: x[[0, 2]], lambda x: x[:, [1, 1, 3]], lambda x: x[[0, 1], [2, 3]],
            lambda x: x[np.array([[0, 1], [2, 0]])], lambda x: x[1, [0, 2]],
            lambda x: x[[0, 2], 1:3], lambda x: x[np.array([0, -1])], lambda x: x[[0, 1], :, None],
            lambda x: x[[[0], [2]], [1, 3]], lambda x: x[[7]], lambda x: x[[0, 1], [0, 1, 2]],
            lambda x: x[[]], lambda x: x[None, [0, 1], None, 2], lambda x: x[np.array([0.5])],
            lambda x: x[x.argmin(axis=0), [0, 1, 2, 3]], lambda x: x[np.uint8([1, 0])],
        ],
        "masks": [
            lambda x: x[EVEN], lambda x: x[EVEN[:, 0]], lambda x: x[:, EVEN[0]], lambda x: x[x > 0],
            lambda x: x[(x > -1) & (x < 1)], lambda x: x[[True, False, True]],
            lambda x: x[x[:, 0] > 0, 1:], lambda x: x[x.sum(axis=1) > 0][:, ::-1],
            lambda x: x[EVEN[:2]], lambda x: x[EVEN[:, 0], [1, 2]], lambda x: x[EVEN[0]],
            lambda x: x[x > 100], lambda x: x[1, x[1] > 0],
        ],
        "writes": [
            lambda x: _set(x, np.s_[1], 5.0), lambda x: _set(x, np.s_[:, ::2], 0.5),
            lambda x: _set(x, np.s_[::-1], x * 2), lambda x: _set(x, ([0, 2], [1, 1]), [7.0, 8.0]),
            lambda x: _set(x, EVEN, -1.0), lambda x: _set(x, [1, 1], x[:2]),
            lambda x: _set(x, np.s_[..., -1], x[:, 0]), lambda x: _set(x, np.s_[9], 1.0),
            lambda x: _set(x, np.s_[1], [1.0, 2.0]), lambda x: _set(x, np.s_[:, None], 3.0),
            lambda x: _set(x, x > 0, 0.0), lambda x: _set(x, np.s_[1:, [0, 2]], 4.5),
        ],
    }  # fmt: skip
    kinds = {"masks": KINDS[:-1], "writes": (*KINDS[:-2], "0-d")}
    return [entry(f"numpy.ndarray.__getitem__.{n}", *c, domains="distinct", kernel=n != "writes",
                  kinds=kinds.get(n, KINDS)) for n, c in rows.items()]  # fmt: skip


def _set(x: Any, index: Any, value: Any) -> Any:
    y = x.copy()
    y[index] = value
    return y


def _taking() -> list[Entry]:
    return [
        entry("numpy.take", lambda x: np.take(x, [0, 5]), lambda x: np.take(x, [1, 2], axis=1),
              lambda x: np.take(x, 9, axis=0, mode="clip"), lambda x: np.take(x, 9, axis=0),
              lambda x: np.take(x, [-5, 7], axis=1, mode="wrap"), lambda x: np.take(x, 1.5),
              lambda x: np.take(x, [[0, 1], [2, 3]], axis=1), lambda x: np.take(x, [], axis=0),
              lambda x: np.take(x, [0], axis=4)),
        entry("numpy.take_along_axis",
              lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
              lambda x: np.take_along_axis(x, np.argmax(x, 0, keepdims=True), axis=0),
              lambda x: np.take_along_axis(x, np.array([0, 3]), None),
              lambda x: np.take_along_axis(x, np.array([0, 3]), 1),
              lambda x: np.take_along_axis(x, np.array([[9]]), 1), domains="distinct"),
        entry("numpy.compress", lambda x: np.compress([True, False, True], x, axis=0),
              lambda x: np.compress([0, 1, 1], x), lambda x: np.compress(x[0] > 0, x, axis=1),
              lambda x: np.compress([True] * 9, x, axis=0)),
        entry("numpy.extract", lambda x: np.extract(EVEN, x), lambda x: np.extract(x > 0, x)),
        entry("numpy.nonzero", lambda x: np.nonzero(x), lambda x: x[np.nonzero(x > 1)],
              domains="sparse"),
        entry("numpy.flatnonzero", lambda x: np.flatnonzero(x), domains="sparse", smooth=False),
        entry("numpy.argwhere", lambda x: np.argwhere(x), lambda x: np.argwhere(x > 1),
              domains="sparse", smooth=False),
        entry("numpy.delete", lambda x: np.delete(x, 1), lambda x: np.delete(x, 1, axis=0),
              lambda x: np.delete(x, [0, -1], axis=1), lambda x: np.delete(x, np.s_[::2], axis=1),
              lambda x: np.delete(x, 11, axis=0), lambda x: np.delete(x, 0, axis=3),
              lambda x: np.delete(x, [True, False, True, False], axis=1)),
        entry("numpy.insert", lambda x: np.insert(x, 2, 5.0), lambda x: np.insert(x, 1, 7, axis=0),
              lambda x: np.insert(x, [1, 3], [5.0, 6.0]), lambda x: np.insert(x, 1, x[0], axis=0),
              lambda x: np.insert(x, [0, 2], 9.0, axis=1), lambda x: np.insert(x, 99, 1.0),
              lambda x: np.insert(x, [1], [[1], [2], [3]], axis=1),
              lambda x: np.insert(x, np.s_[1:3], 4.0), lambda x: np.insert(x, -1, [1, 2])),
        entry("numpy.trim_zeros", lambda x: np.trim_zeros(x[0]), lambda x: np.trim_zeros(x[0], "f"),
              domains="sparse", kinds=PLAIN, smooth=False),
        entry("numpy.trim_zeros", lambda x: np.trim_zeros(np.pad(x[0], 2), "b"),
              lambda x: np.trim_zeros(np.pad(x, 1)), domains="nonzero", kinds=PLAIN),
        entry("numpy.apply_along_axis",
              lambda x: np.apply_along_axis(lambda r: r * r.sum(), 1, x),
              lambda x: np.apply_along_axis(np.sum, 0, x),
              lambda x: np.apply_along_axis(lambda r: np.outer(r, r[:2]), -1, x),
              lambda x: np.apply_along_axis(lambda r, k: r[k], 0, x, 1)),
        entry("numpy.apply_over_axes", lambda x: np.apply_over_axes(np.sum, x, [0, 1]),
              lambda x: np.apply_over_axes(np.mean, x, 0)),
        entry("numpy.vectorize",
              lambda x: np.vectorize(lambda a, b: a * b + 1)(x, 2.0),
              lambda x: np.vectorize(lambda a: (a, a * 2))(x[0]),
              lambda x: np.vectorize(lambda v: v.sum(), signature="(n)->()")(x),
              lambda x: np.vectorize(lambda v, k=1: v * k, excluded=["k"])(x[0], k=3),
              lambda x: np.vectorize(lambda a: a if a > 0 else -a)(x[0]),
              lambda x: np.vectorize(lambda a: a * 1.5, otypes=[float])(x), kinds=PLAIN),
        entry("numpy.ndenumerate", lambda x: sum(v * (i + j) for (i, j), v in np.ndenumerate(x)),
              kinds=PLAIN),
        entry("numpy.ndindex", lambda x: sum(x[i] * i[1] for i in np.ndindex(*x.shape)),
              kinds=PLAIN),
        entry("numpy.nditer", lambda x: sum(v * v for v in np.nditer(x)),
              lambda x: sum(a * b for a, b in np.nditer([x, x[:1] * 2])),
              kinds="C, single"),
        entry("numpy.broadcast", lambda x: sum(a * b for a, b in np.broadcast(x, x[0])),
              lambda x: np.broadcast(x, x[:1]).shape, kinds="C, single"),
    ]  # fmt: skip


def _order() -> list[Entry]:
    return [
        entry("numpy.sort", lambda x: np.sort(x), lambda x: np.sort(x, axis=0),
              lambda x: np.sort(x, axis=None), lambda x: np.sort(x, kind="stable"),
              lambda x: np.sort(x, axis=4), domains="distinct"),
        entry("numpy.argsort", lambda x: np.argsort(x), lambda x: np.argsort(x, axis=0),
              lambda x: np.argsort(x, axis=None), lambda x: np.argsort(-x, stable=True),
              domains="distinct", smooth=False),
        entry("numpy.partition", lambda x: np.sort(np.partition(x, 1)[:, :2]),
              lambda x: np.partition(x, 2, axis=None)[2], lambda x: np.partition(x, 9),
              domains="distinct"),
        entry("numpy.argpartition", lambda x: np.argpartition(x, 1)[:, 1],
              domains="distinct", smooth=False),
        entry("numpy.lexsort", lambda x: np.lexsort((x[0], x[1])), lambda x: np.lexsort(x),
              lambda x: x[0][np.lexsort([x[1], x[2] > 0])], domains="distinct"),
        entry("numpy.sort_complex", lambda x: np.sort_complex(x).real,
              lambda x: np.sort_complex(x), domains="distinct"),
        entry("numpy.searchsorted", lambda x: np.searchsorted([-1.0, 0.0, 1.0], x),
              lambda x: np.searchsorted(np.sort(x[0]), 0.1, side="right"),
              lambda x: np.searchsorted(x[0], [0.2, 0.3], sorter=np.argsort(x[0])),
              lambda x: np.searchsorted(x, 1.0), lambda x: np.searchsorted(x[0], 1.0, side="up"),
              domains="distinct", smooth=False),
        entry("numpy.digitize", lambda x: np.digitize(x, [-1.0, 0, 1]),
              lambda x: np.digitize(x, [1.0, 0, -1], right=True),
              lambda x: np.digitize(0.2, np.sort(x[0])), lambda x: np.digitize(x, [0, 2, 1]),
              domains="distinct", smooth=False),
        entry("numpy.unique", lambda x: np.unique(x), lambda x: np.unique(x, return_index=True),
              lambda x: np.unique(x, return_inverse=True, return_counts=True),
              lambda x: np.unique(x, axis=0), lambda x: np.unique(np.concatenate([x, x])),
              domains="distinct"),
        entry("numpy.unique_values", lambda x: np.sort(np.unique_values(x[0])), domains="distinct"),
        entry("numpy.unique_counts", lambda x: tuple(np.unique_counts(x)), domains="distinct"),
        entry("numpy.unique_inverse", lambda x: tuple(np.unique_inverse(x)), domains="distinct"),
        entry("numpy.unique_all", lambda x: tuple(np.unique_all(x)), domains="distinct"),
        entry("numpy.union1d", lambda x: np.union1d(x[0], x[1]),
              lambda x: np.union1d(x, [1.0, 2.0]), domains="distinct"),
        entry("numpy.intersect1d", lambda x: np.intersect1d(x[0], x[:2]),
              lambda x: np.intersect1d(x[0], x[0], return_indices=True), domains="distinct"),
        entry("numpy.setdiff1d", lambda x: np.setdiff1d(x, x[0]), domains="distinct"),
        entry("numpy.setxor1d", lambda x: np.setxor1d(x[:2], x[1:]), domains="distinct"),
        entry("numpy.isin", lambda x: np.isin(x, x[0]), lambda x: np.isin(x, [1.0], invert=True),
              domains="distinct", smooth=False),
    ]  # fmt: skip


def _bins() -> list[Entry]:
    return [
        entry("numpy.bincount", lambda x: np.bincount(x), lambda x: np.bincount(x, minlength=9),
              lambda x: np.bincount(x, weights=[0.5] * len(x)), lambda x: np.bincount(x - 9),
              lambda x: np.bincount(x, [1.0]), lambda x: np.bincount(x[None]),
              domains="counts", shapes=(6,), kinds="C, strided, one, empty", smooth=False),
        entry("numpy.bincount", lambda i, w: np.bincount(i, w),
              lambda i, w: np.bincount(i, weights=w, minlength=10),
              domains=("counts", "real"), shapes=((6,), (6,)), kinds="C, strided, single, empty"),
        entry("numpy.histogram", lambda x: np.histogram(x), lambda x: np.histogram(x, 4),
              lambda x: np.histogram(x, [-3.0, 0, 3]), lambda x: np.histogram(x, 3, (-2, 2)),
              lambda x: np.histogram(x, 3, density=True),
              lambda x: np.histogram(x, 3, weights=x * x),
              lambda x: np.histogram(x, [-9.0, 0, 9], weights=x * x, density=True),
              lambda x: np.histogram(x, bins="auto"), lambda x: np.histogram(x, 0),
              domains="distinct", rtol=1e-9),
        entry("numpy.histogram_bin_edges", lambda x: np.histogram_bin_edges(x, 5),
              lambda x: np.histogram_bin_edges(x, 3, (0, 1)),
              lambda x: np.histogram_bin_edges(x, "sturges"), domains="distinct"),
        entry("numpy.histogram2d", lambda x: np.histogram2d(x[0], x[1], 3)[0],
              lambda x: np.histogram2d(x[0], x[1], [[-4, 0, 4], [-5.0, 1, 5]]),
              lambda x: np.histogram2d(x[0], x[1], 2, weights=x[2]),
              domains="distinct", kinds=PLAIN, rtol=1e-9),
        entry("numpy.histogramdd", lambda x: np.histogramdd(x, 2)[0],
              lambda x: np.histogramdd(x, [[-9.0, 0, 9]] * 4, weights=x[:, 0], density=True)[0],
              domains="distinct", kinds=PLAIN),
    ]  # fmt: skip


def _differences() -> list[Entry]:
    return [
        entry("numpy.diff", lambda x: np.diff(x), lambda x: np.diff(x, axis=0),
              lambda x: np.diff(x, n=2), lambda x: np.diff(x, prepend=0.0),
              lambda x: np.diff(x, append=x[:, :1], axis=1), lambda x: np.diff(x, n=0),
              lambda x: np.diff(x, n=-1), lambda x: np.diff(x, axis=2), lambda x: np.diff(x, n=9)),
        entry("numpy.ediff1d", lambda x: np.ediff1d(x), lambda x: np.ediff1d(x, to_begin=[0, 1]),
              lambda x: np.ediff1d(x, to_end=x[0], to_begin=-9)),
        entry("numpy.gradient", lambda x: np.gradient(x), lambda x: np.gradient(x[0]),
              lambda x: np.gradient(x, axis=1), lambda x: np.gradient(x, 0.5, 2.0),
              lambda x: np.gradient(x, [0.0, 1.0, 3.0], axis=0),
              lambda x: np.gradient(x, edge_order=2), lambda x: np.gradient(x, 1, 2, 3),
              lambda x: np.gradient(x[0], np.cumsum(abs(x[1]) + 0.1))),
        entry("numpy.trapezoid", lambda x: np.trapezoid(x),
              lambda x: np.trapezoid(x, dx=0.5, axis=0),
              lambda x: np.trapezoid(x, [0.0, 1.0, 3.0, 4.0]),
              lambda x: np.trapezoid(x[0], np.cumsum(abs(x[1]) + 0.1)),
              lambda x: np.trapezoid(x, x * 2, axis=1), lambda x: np.trapezoid(x, axis=2)),
        entry("numpy.interp", lambda x: np.interp(x, GRID, [0.0, 2.0, 1.0, 3.0]),
              lambda x: np.interp(0.3, GRID, x[0]), lambda x: np.interp(x, GRID, x[1], left=-5.0),
              lambda x: np.interp(x, GRID, x[0], right=9.0, left=x[0, 0]),
              lambda x: np.interp(x, GRID, [0.0, 2.0, 1.0, 3.0], period=4.0),
              lambda x: np.interp([0.2, 0.5], GRID, x[0] + 1j).real,
              lambda x: np.interp(x, [1.0], [2.0]), lambda x: np.interp(x, GRID, [1.0, 2.0]),
              lambda x: np.interp(x, [], []), domains="distinct"),
        entry("numpy.unwrap", lambda x: np.unwrap(x * 3), lambda x: np.unwrap(x * 3, axis=0),
              lambda x: np.unwrap(x, period=2.0), lambda x: np.unwrap(x * 4, discont=4.0)),
        entry("numpy.i0", lambda x: np.i0(x)),
        entry("numpy.sinc", lambda x: np.sinc(x), lambda x: np.sinc(x * 0)),
        entry("numpy.convolve", lambda x: np.convolve(x[0], x[1, :3]),
              lambda x: np.convolve(x[0], [1.0, 2.0], "same"),
              lambda x: np.convolve(x[0], x[1], "valid"),
              lambda x: np.convolve([1, 2], x[0], "same"),
              lambda x: np.convolve(x[0, :2], x[1], "valid"), lambda x: np.convolve(x[0], []),
              lambda x: np.convolve(x[0], x[1], "none")),
        entry("numpy.correlate", lambda x: np.correlate(x[0], x[1, :2]),
              lambda x: np.correlate(x[0], x[1], "full"),
              lambda x: np.correlate(x[0, :2], x[1], "same"),
              lambda x: np.correlate(x[0, :2], x[1], "valid"),
              lambda x: np.correlate(x[0, :3], x[1], "full"),
              lambda x: np.correlate(x[0], x[1, :3], "same")),
    ]  # fmt: skip


def _polynomials() -> list[Entry]:
    return [
        entry("numpy.polyval", lambda x: np.polyval([1.0, 2.0, 3.0], x),
              lambda x: np.polyval(x[0], x), lambda x: np.polyval([], x)),
        entry("numpy.polyadd", lambda x: np.polyadd(x[0], x[1, :2])),
        entry("numpy.polysub", lambda x: np.polysub(x[0, :3], x[1])),
        entry("numpy.polymul", lambda x: np.polymul(x[0], x[1]), lambda x: np.polymul(x[0], 2)),
        entry("numpy.polydiv", lambda x: np.polydiv(x[0], x[1, :2] + 3),
              kinds="C, F, strided, reversed, integer", rtol=1e-9),
        entry("numpy.polyder", lambda x: np.polyder(x[0]), lambda x: np.polyder(x[0], 2),
              lambda x: np.polyder(x[0], -1)),
        entry("numpy.polyint", lambda x: np.polyint(x[0]), lambda x: np.polyint(x[0], 2, k=[1, 2]),
              lambda x: np.polyint(x[0], k=x[1, 0])),
        entry("numpy.polyfit", lambda x: np.polyfit([0.0, 1, 2, 3], x[0], 2),
              lambda x: np.polyfit(x[0], x[1], 1), lambda x: np.polyfit([0, 1, 2, 3], x.T, 2),
              lambda x: np.polyfit(x[0], x[1], 1, w=[1.0, 2, 1, 3]),
              domains="distinct", kinds="C, F, strided, reversed", rtol=1e-8),
        entry("numpy.poly", lambda x: np.poly(x[0]), lambda x: np.poly(x @ x.T),
              lambda x: np.poly(np.array([x[0, 0] + 1j, x[0, 0] - 1j])),
              lambda x: np.poly(x[0, :2] * 1j), kinds=PLAIN, rtol=1e-8),
        entry("numpy.roots", lambda x: np.sort_complex(np.roots(x[0])).real,
              lambda x: np.prod(np.roots(np.pad(x[1], 1))[:2]).real, lambda x: np.roots(x),
              lambda x: np.roots(x[0] * 0), kinds="C, strided, integer", domains="positive",
              rtol=1e-8, kernel=False),
        entry("numpy.polynomial.polynomial.polyval2d",
              lambda x: np.polynomial.polynomial.polyval2d(x[0], x[1], x), kinds=PLAIN),
        entry("numpy.polynomial.polynomial.polygrid2d",
              lambda x: np.polynomial.polynomial.polygrid2d(x[0], x[1], x), kinds=PLAIN),
        *_LATER,
    ]  # fmt: skip


# In NumPy from 2.5 on.
_LATER = [
    entry("numpy.polynomial.polynomial.polyvalnd",
          lambda x: np.polynomial.polynomial.polyvalnd((x[0], x[1]), x), kinds=PLAIN),
] * hasattr(np.polynomial.polynomial, "polyvalnd")  # fmt: skip


def _domains_and_bits() -> list[Entry]:
    return [
        entry("numpy.emath.sqrt", lambda x: np.emath.sqrt(x), lambda x: np.emath.sqrt(-x).imag,
              domains="positive"),
        entry("numpy.emath.log", lambda x: np.emath.log(x), domains="positive"),
        entry("numpy.emath.log2", lambda x: np.emath.log2(x), domains="positive"),
        entry("numpy.emath.log10", lambda x: np.emath.log10(x), domains="positive"),
        entry("numpy.emath.logn", lambda x: np.emath.logn(2, x), domains="positive"),
        entry("numpy.emath.power", lambda x: np.emath.power(x, 2.5), domains="positive"),
        entry("numpy.emath.arccos", lambda x: np.emath.arccos(x), domains="unit"),
        entry("numpy.emath.arcsin", lambda x: np.emath.arcsin(x), domains="unit"),
        entry("numpy.emath.arctanh", lambda x: np.emath.arctanh(x), domains="unit"),
        entry("numpy.lib.stride_tricks.sliding_window_view",
              lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
              lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3)),
              lambda x: np.lib.stride_tricks.sliding_window_view(x, 9, axis=1)),
        entry("numpy.fft.fftshift", lambda x: np.fft.fftshift(x),
              lambda x: np.fft.fftshift(x, axes=1), kinds=KINDS[:-1]),
        entry("numpy.fft.ifftshift", lambda x: np.fft.ifftshift(x),
              lambda x: np.fft.ifftshift(x, axes=(0,)), kinds=KINDS[:-1]),
        entry("numpy.packbits", lambda x: np.packbits(x > 0), lambda x: np.packbits(x > 0, axis=0),
              lambda x: np.packbits(x > 0, bitorder="little"), domains="distinct", smooth=False),
        entry("numpy.unpackbits", lambda x: np.unpackbits((x * 9).astype(np.uint8)),
              domains="positive", smooth=False),
    ]  # fmt: skip


def table() -> list[Entry]:
    """The entries of choices."""
    return [
        *_choices(),
        *_writes(),
        *_indexing(),
        *_taking(),
        *_order(),
        *_bins(),
        *_differences(),
        *_polynomials(),
        *_domains_and_bits(),
    ]

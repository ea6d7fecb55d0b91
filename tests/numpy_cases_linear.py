"""Products, norms, decompositions, and the methods and attributes of ndarray."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from differential import Entry, entry

TABLE = np.arange(12.0).reshape(3, 4)
PLAIN = "C, F, strided, reversed, single, integer"
LINEAR = "C, F, strided, reversed, single"


def _products() -> list[Entry]:
    two = {"shapes": ((3, 4), (4, 2))}
    return [
        entry("numpy.matmul", lambda x, y: np.matmul(x, y), lambda x, y: x @ y,
              lambda x, y: x[0] @ y, lambda x, y: x @ y[:, 0], lambda x, y: x[0] @ y[:, 0],
              lambda x, y: np.stack([x, x]) @ y, lambda x, y: x @ np.stack([y, y, y]),
              lambda x, y: np.stack([x, x])[:, None] @ np.stack([y, y, y]),
              lambda x, y: x @ x, lambda x, y: x @ 2.0, lambda x, y: np.stack([x] * 3) @ y[:, 0],
              lambda x, y: np.stack([x] * 3) @ np.stack([y, y]),
              lambda x, y: np.matmul(x, y, out=np.empty((3, 2))),
              lambda x, y: np.matmul(x, y, axes=[(0, 1), (0, 1), (0, 1)]), **two),
        entry("numpy.vecdot", lambda x, y: np.vecdot(x, x[0]), lambda x, y: np.vecdot(x, x, axis=0),
              lambda x, y: np.vecdot(x, y), **two),
        entry("numpy.matvec", lambda x, y: np.matvec(x, y[:, 0]),
              lambda x, y: np.matvec(x, np.stack([y[:, 0], y[:, 1]])),
              lambda x, y: np.matvec(x, y), **two),
        entry("numpy.vecmat", lambda x, y: np.vecmat(x, y), lambda x, y: np.vecmat(x[0], y),
              lambda x, y: np.vecmat(y, x), **two),
        entry("numpy.dot", lambda x, y: np.dot(x, y), lambda x, y: np.dot(x[0], y[:, 0]),
              lambda x, y: np.dot(x, 2.0), lambda x, y: np.dot(np.stack([x, x]), y),
              lambda x, y: np.dot(x, np.stack([y, y])), lambda x, y: np.dot(y, x.T[0]),
              lambda x, y: np.dot(x, y, out=np.empty((3, 2))), lambda x, y: x.dot(y), **two),
        entry("numpy.vdot", lambda x, y: np.vdot(x, x), lambda x, y: np.vdot(x, y), **two),
        entry("numpy.inner", lambda x, y: np.inner(x, y.T), lambda x, y: np.inner(x, x[0]),
              lambda x, y: np.inner(x, 3.0), lambda x, y: np.inner(x, y), **two),
        entry("numpy.outer", lambda x, y: np.outer(x, y), lambda x, y: np.outer(x[0], [1, 2]),
              **two),
        entry("numpy.linalg.outer", lambda x, y: np.linalg.outer(x[0], y[0]),
              lambda x, y: np.linalg.outer(x, y), **two),
        entry("numpy.tensordot", lambda x, y: np.tensordot(x, y, 1),
              lambda x, y: np.tensordot(x, y, ([1], [0])), lambda x, y: np.tensordot(x, x, 2),
              lambda x, y: np.tensordot(x, y, 0), lambda x, y: np.tensordot(x, y, ([0], [1])),
              lambda x, y: np.tensordot(x, x, axes=((0, 1), (0, 1))), **two),
        entry("numpy.linalg.tensordot", lambda x, y: np.linalg.tensordot(x, y, axes=1), **two),
        entry("numpy.linalg.matmul", lambda x, y: np.linalg.matmul(x, y), **two),
        entry("numpy.linalg.vecdot", lambda x, y: np.linalg.vecdot(x, x[0]), **two),
        entry("numpy.linalg.multi_dot", lambda x, y: np.linalg.multi_dot([x, y, y.T]),
              lambda x, y: np.linalg.multi_dot([x[0], y, y[0]]),
              lambda x, y: np.linalg.multi_dot([x]), **two),
    ]  # fmt: skip


def _contractions() -> list[Entry]:
    two = {"shapes": ((3, 4), (4, 2))}
    return [
        entry("numpy.einsum", lambda x, y: np.einsum("ij,jk->ik", x, y),
              lambda x, y: np.einsum("ij->", x), lambda x, y: np.einsum("ij->ji", x),
              lambda x, y: np.einsum("ij,jk", x, y), lambda x, y: np.einsum("...j,jk->...k", x, y),
              lambda x, y: np.einsum("ij,jk,kl->il", x, y, y.T, optimize=True),
              lambda x, y: np.einsum("ij,jk,kl,lm->m", x, y, y.T, y, optimize="optimal"),
              lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]),
              lambda x, y: np.einsum("ij,ij->i", x, x), lambda x, y: np.einsum("i,j", x[0], y[0]),
              lambda x, y: np.einsum("ij,jk->ik", x, x), lambda x, y: np.einsum("ij->k", x),
              lambda x, y: np.einsum("ijk->i", x), lambda x, y: np.einsum("ij,j->ij", x, y[:, 0]),
              lambda x, y: np.einsum("iij->j", np.stack([x[:, :3]] * 3)),
              lambda x, y: np.einsum("ij,jk->ik", x, y, out=np.empty((3, 2))),
              lambda x, y: np.einsum("ij,jk", x, y, optimize=np.einsum_path("ij,jk", x, y)[0]),
              lambda x, y: np.einsum("ij->i", x, dtype=np.float64), **two),
        entry("numpy.einsum", lambda x: np.einsum("ii->i", x[:, :3]),
              lambda x: np.einsum("ii", x[:, :3]), kinds=LINEAR),
        entry("numpy.einsum_path", lambda x, y: np.einsum_path("ij,jk->ik", x, y)[0], smooth=False,
              **two),
        entry("numpy.cross", lambda x: np.cross(x[:, :3], x[:, 1:]),
              lambda x: np.cross(x[0, :3], [1.0, 2.0, 3.0]), lambda x: np.cross(x, x, axis=0),
              lambda x: np.cross(x[:, :3], x[:, 1:], axisc=0), lambda x: np.cross(x, x)),
        entry("numpy.linalg.cross", lambda x: np.linalg.cross(x[:, :3], x[:, 1:]),
              lambda x: np.linalg.cross(x, x[::-1], axis=0), lambda x: np.linalg.cross(x, x)),
    ]  # fmt: skip


def _norms() -> list[Entry]:
    n = np.linalg.norm
    inf = np.inf
    orders: list[Any] = [None, "fro", "nuc", 1, -1, 2, -2, inf, -inf]
    calls: list[Any] = [lambda x, o=o: n(x, o) for o in orders]
    calls += [lambda x, o=o: n(x[0], o) for o in (None, 0, 1, 2, 3, -1, -2, 0.5, inf, -inf)]
    calls += [
        lambda x: n(x, axis=1),
        lambda x: n(x, 1, axis=0, keepdims=True),
        lambda x: n(np.stack([x, 2 * x]), axis=(1, 2)),
        lambda x: n(np.stack([x, 2 * x]), 2, axis=(-2, -1), keepdims=True),
        lambda x: n(x, 5),
        lambda x: n(x, "f", axis=0),
        lambda x: n(x, axis=(0, 0)),
        lambda x: n(x, axis=4),
        lambda x: n(x, "nonsense"),
    ]
    return [
        entry("numpy.linalg.norm", *calls, domains="distinct", rtol=1e-10),
        entry("numpy.linalg.vector_norm", lambda x: np.linalg.vector_norm(x),
              lambda x: np.linalg.vector_norm(x, axis=0, ord=3),
              lambda x: np.linalg.vector_norm(x, axis=(0, 1), keepdims=True, ord=np.inf),
              domains="distinct"),
        entry("numpy.linalg.matrix_norm", lambda x: np.linalg.matrix_norm(x),
              lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True),
              lambda x: np.linalg.matrix_norm(x, ord=1), domains="distinct", rtol=1e-10),
    ]  # fmt: skip


def _solvers() -> list[Entry]:
    la = np.linalg
    square = {"domains": "regular", "shapes": (3, 3), "kinds": (*LINEAR.split(", "), "one", "0-d"),
              "rtol": 1e-10, "kernel": False}  # fmt: skip
    sym = {**square, "domains": "definite"}
    return [
        entry("numpy.linalg.inv", lambda x: la.inv(x), lambda x: la.inv(np.stack([x, x + 1])),
              lambda x: la.inv(x[:2]), lambda x: la.inv(x[0]), **square),
        entry("numpy.linalg.det", lambda x: la.det(x), lambda x: la.det(np.stack([x, 2 * x])),
              lambda x: la.det(x[:2]), **square),
        entry("numpy.linalg.slogdet", lambda x: tuple(la.slogdet(x)), lambda x: la.slogdet(x[:1]),
              lambda x: la.slogdet(x).logabsdet, **square),
        entry("numpy.linalg.solve", lambda x: la.solve(x, x[0]), lambda x: la.solve(x, x.T),
              lambda x: la.solve(np.stack([x, 2 * x]), x), lambda x: la.solve(x, [1.0, 2.0]),
              **square),
        entry("numpy.linalg.matrix_power", *(lambda x, n=n: la.matrix_power(x, n)
              for n in (0, 1, 2, 3, 5, -1, -2)), lambda x: la.matrix_power(x, 1.5), **square),
        entry("numpy.linalg.pinv", lambda x: la.pinv(x), lambda x: la.pinv(x[:, :2]), **square),
        entry("numpy.linalg.lstsq", lambda x: la.lstsq(x[:, :2], x[:, 2])[0],
              lambda x: la.lstsq(x, x[0], rcond=None)[0], **square),
        entry("numpy.linalg.cholesky", lambda x: la.cholesky(x), lambda x: la.cholesky(x[:2]),
              lambda x: la.cholesky(-x), **sym),
        entry("numpy.linalg.eigvalsh", lambda x: la.eigvalsh(x), **sym),
        entry("numpy.linalg.eigh", lambda x: la.eigh(x + x.T)[0],
              lambda x: abs(la.eigh(x + x.T)[1]), **sym),
        entry("numpy.linalg.eigvals", lambda x: np.sort(la.eigvals(x).real),
              lambda x: la.eigvals(x[:2]), **square),
        entry("numpy.linalg.eig", lambda x: np.sort(la.eig(x)[0].real),
              lambda x: la.eig(x[0]), **square),
        entry("numpy.linalg.svd", lambda x: la.svd(x, compute_uv=False), lambda x: la.svd(x)[1],
              lambda x: la.svd(x[:2], full_matrices=False)[1], **square),
        entry("numpy.linalg.svdvals", lambda x: la.svdvals(x), **square),
        entry("numpy.linalg.qr", lambda x: abs(la.qr(x)[1]), lambda x: abs(la.qr(x, mode="r")),
              **square),
        entry("numpy.linalg.cond", lambda x: la.cond(x), lambda x: la.cond(x, 1),
              lambda x: la.cond(x, "fro"), **square),
        entry("numpy.linalg.matrix_rank", lambda x: la.matrix_rank(x),
              lambda x: la.matrix_rank(x[0]),
              **{**square, "smooth": False}),
        entry("numpy.linalg.tensorinv", lambda x: la.tensorinv(x.reshape(3, 3, 1), 1), **square),
        entry("numpy.linalg.tensorsolve", lambda x: la.tensorsolve(x, x[0]), **square),
    ]  # fmt: skip


def _methods() -> list[Entry]:
    calls: dict[str, list[Any]] = {
        "sum": [lambda x: x.sum(), lambda x: x.sum(0, keepdims=True)],
        "prod": [lambda x: x.prod(), lambda x: x.prod(axis=1)],
        "mean": [lambda x: x.mean(), lambda x: x.mean(1)],
        "var": [lambda x: x.var(ddof=1), lambda x: x.var(axis=0)],
        "std": [lambda x: x.std(), lambda x: x.std(axis=(0, 1))],
        "max": [lambda x: x.max(), lambda x: x.max(axis=1)],
        "min": [lambda x: x.min(), lambda x: x.min(0, initial=5)],
        "cumsum": [lambda x: x.cumsum(), lambda x: x.cumsum(1)],
        "cumprod": [lambda x: x.cumprod(), lambda x: x.cumprod(axis=0)],
        "clip": [lambda x: x.clip(-0.3, 0.7), lambda x: x.clip(max=1)],
        "round": [lambda x: (x * 1.01).round(1)],
        "ravel": [lambda x: x.ravel(), lambda x: x.ravel("F")],
        "reshape": [lambda x: x.reshape(4, 3), lambda x: x.reshape((-1, 2)),
                    lambda x: x.reshape(-1, order="F")],
        "flatten": [lambda x: x.flatten(), lambda x: x.flatten("F")],
        "squeeze": [lambda x: x[:1].squeeze(), lambda x: x[None].squeeze(0)],
        "transpose": [lambda x: x.transpose(), lambda x: x.transpose(1, 0)],
        "swapaxes": [lambda x: x.swapaxes(0, 1)],
        "repeat": [lambda x: x.repeat(2), lambda x: x.repeat([1, 0, 2], axis=0)],
        "take": [lambda x: x.take([1, 5]), lambda x: x.take(1, axis=1)],
        "compress": [lambda x: x.compress([True, False, True], axis=0)],
        "diagonal": [lambda x: x.diagonal(), lambda x: x.diagonal(1)],
        "trace": [lambda x: x.trace(), lambda x: x.trace(-1)],
        "dot": [lambda x: x.dot(x.T), lambda x: x.dot(2)],
        "copy": [lambda x: x.copy(), lambda x: x.copy("F") * 2],
        "astype": [lambda x: x.astype("f8"), lambda x: x.astype(np.float64, order="F")],
        "item": [lambda x: x.item(3), lambda x: x.item(1, 2), lambda x: x[:1, :1].item(),
                 lambda x: x.item()],
        "tolist": [lambda x: x.tolist()[1][2], lambda x: x[0].tolist()],
        "sort": [lambda x: _in_place(x, "sort"), lambda x: _in_place(x, "sort", axis=0)],
        "partition": [lambda x: _in_place(x, "partition", 2)[..., 2]],
        "fill": [lambda x: _in_place(x, "fill", 2.5)],
        "resize": [lambda x: _in_place(x, "resize", 5), lambda x: _in_place(x, "resize", (7, 3))],
        "put": [lambda x: _in_place(x, "put", [1, 4], [5.0, 6.0])],
        "choose": [lambda x: (x > 0).astype(int).choose([x, -x])],
        "conj": [lambda x: x.conj()],
        "conjugate": [lambda x: x.conjugate()],
        "view": [lambda x: x.view() * 2],
        "T": [lambda x: x.T @ x],
        "mT": [lambda x: x.mT],
        "real": [lambda x: x.real],
        "imag": [lambda x: (x * 1j).imag, lambda x: x.imag],
        "to_device": [lambda x: x.to_device("cpu")],
        "flat": [lambda x: x.flat[3], lambda x: x.flat[2:7:2], lambda x: sum(x.flat)],
        "ptp": [lambda x: np.ptp(x)],
        "nonzero": [lambda x: x[x.nonzero()]],
        "__iter__": [lambda x: [r.sum() for r in x]],
        "__len__": [lambda x: x * len(x)],
        "__contains__": [lambda x: x * (99.0 in x)],
        "__format__": [lambda x: x * len(f"{x.shape}")],
    }  # fmt: skip
    return [entry(f"numpy.ndarray.{n}", *c, domains="distinct") for n, c in calls.items()]


def _facts() -> list[Entry]:
    """Methods and attributes without slopes."""
    flat: dict[str, list[Any]] = {
        "any": [lambda x: x.any(), lambda x: (x > 1).any(axis=0)],
        "all": [lambda x: x.all(), lambda x: (x < 9).all(1, keepdims=True)],
        "argmax": [lambda x: x.argmax(), lambda x: x.argmax(axis=1)],
        "argmin": [lambda x: x.argmin(), lambda x: x.argmin(0)],
        "argsort": [lambda x: x.argsort(), lambda x: x.argsort(axis=0)],
        "argpartition": [lambda x: x.argpartition(2)[..., 2]],
        "searchsorted": [lambda x: np.sort(x[0]).searchsorted([0.1, 0.2])],
        "shape": [lambda x: x.shape],
        "ndim": [lambda x: x.ndim],
        "size": [lambda x: x.size],
        "dtype": [lambda x: x.dtype],
        "itemsize": [lambda x: x.itemsize],
        "nbytes": [lambda x: x.nbytes],
        "strides": [lambda x: x[:2, ::2].strides[:0]],
        "base": [lambda x: (x * 2).base],
        "device": [lambda x: x.device],
        "flags": [lambda x: x.T.flags.f_contiguous == x.T.flags["F_CONTIGUOUS"]],
    }
    return [
        entry(f"numpy.ndarray.{n}", *c, domains="distinct", smooth=False) for n, c in flat.items()
    ]


def _in_place(x: Any, name: str, *args: Any, **options: Any) -> Any:
    y = x.copy()
    getattr(y, name)(*args, **options)
    return y


def _operators() -> list[Entry]:
    names = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
    rows = []
    for n in names:
        f: Any = getattr(operator, n)
        inplace: Any = getattr(operator, f"i{n}")
        calls = [
            lambda x, y, f=f: f(x, y),
            lambda x, y, f=f: f(x, 2),
            lambda x, y, f=f: f(1.5, y),
            lambda x, y, f=f: f(TABLE[: len(x)] + 1, y),
            lambda x, y, f=f: f(np.float32(2), y),
            lambda x, y, f=inplace: f(x.copy(), y),
            lambda x, y, f=inplace: f(x.copy(), 3),
        ]
        domains = ("dividend", "divisor") if n in ("floordiv", "mod") else ("positive", "positive")
        shapes = (3, 3) if n == "matmul" else (3, 4)
        rows.append(entry(f"numpy.ndarray.__{n}__", *calls, domains=domains, shapes=shapes))
    rows += [
        entry("numpy.ndarray.__neg__", lambda x: -x, lambda x: +x, domains="nonzero"),
        entry("numpy.ndarray.__abs__", lambda x: abs(x), domains="nonzero"),
        entry("numpy.ndarray.__divmod__", lambda x, y: divmod(x, y), lambda x, y: divmod(5.3, y),
              domains=("dividend", "divisor")),
        entry("numpy.ndarray.__lt__", lambda x, y: (x < y, x <= y, x == y, x != y, x > 0, y <= 1),
              shapes=((3, 4), (3, 4)), smooth=False),
        entry("numpy.ndarray.__and__",
              lambda x, y: (x & y, x | y, x ^ y, ~x, x << 1, x >> 1, x & 3),
              domains=("counts", "counts"), smooth=False),
        entry("numpy.ndarray.__bool__", lambda x: x * 2 if x[0, 0] > 0 else -x,
              lambda x: x if x > 0 else -x, domains="nonzero"),
        entry("numpy.ndarray.__int__", lambda x: x[0] * int(x[0, 0]), lambda x: int(x),
              domains="fractions"),
        entry("numpy.ndarray.__index__", lambda x: x[0][int(np.argmax(x[1]))],
              lambda x: [1, 2, 3, 4][np.argmax(x[1])] * x, domains="distinct"),
    ]  # fmt: skip
    return rows


def table() -> list[Entry]:
    """The entries of linear algebra and of ndarray."""
    return [
        *_products(), *_contractions(), *_norms(), *_solvers(), *_methods(), *_facts(),
        *_operators(),
    ]  # fmt: skip

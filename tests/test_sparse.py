"""Sparse Jacobians and Hessians: patterns that never miss an entry, seeds, SciPy's own solvers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import programs
import pytest
import scipy.integrate
import scipy.optimize
import scipy.sparse
import scipy.sparse.linalg

import adjit
from adjit import colouring, errors, sparse
from adjit.compression import compress, compress_symmetric
from adjit.ir import Aval, Builder, Function, Value, evaluate, ops
from adjit.passes.jvp import jvp
from adjit.passes.sparsity import reaches

RNG = np.random.default_rng(5)
X = RNG.normal(size=12)
ORDER = RNG.permutation(12)
TWICE = RNG.integers(0, 12, 20)
KERNEL = np.array([1.0, -2.0, 1.0])


pytestmark = pytest.mark.usefixtures("interpreted")


def scattered(x):
    y = np.zeros(15)
    y[ORDER] = x**2
    y[3:6] += x[:3] * x[1:4]
    np.add.at(y, TWICE, np.sin(x)[TWICE])
    return y


def solved(x):
    """Thomas' algorithm, unrolled: everything depends on everything before it."""
    d = [x[0]]
    for i in range(1, 6):
        d.append(x[i] - 1 / d[-1])
    return np.array([x[i] / d[i] for i in range(6)])


def block(x):
    m = x.reshape(3, 2, 2)
    return np.einsum("bij,bjk->bik", m, np.sin(m))


def grid(x):
    u = x.reshape(3, 4)
    return np.roll(u, 1, 0) + np.roll(u, -1, 1) - 3 * u**2


def looped(x):
    def body(i, y):
        y = y.copy()
        y[i] = x[i] * x[i - 1]
        return y

    return adjit.fori_loop(1, 12, body, np.zeros(12))


def scanned(x):
    return adjit.scan(lambda c, row: (c, np.sin(row) * row), 0.0, x)[1]


def repeated(x):
    again = (lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x[::-1]), (0, x))
    return adjit.while_loop(*again)[1]


def branched(x):
    return adjit.cond(np.sum(x) > 0, lambda x: x**2, lambda x: x[::-1] * 3, x)


# A program, and the entries that its pattern has (None: not to be counted).
PROGRAMS: dict[str, tuple[Any, int | None]] = {
    "elementwise": (lambda x: np.sin(x) * x, 12),
    "slices": (lambda x: x[2:] - 2 * x[1:-1] * x[:-2], 30),
    "steps": (lambda x: x[::2] * x[1::2], 12),
    "reversed": (lambda x: x * x[::-1], 24),
    "roll": (lambda x: np.roll(x, 1) - 2 * x + np.roll(x, -1), 36),
    "concatenate": (lambda x: np.concatenate([x[:1], x[1:] * x[:-1], [2.0]]), 23),
    "convolve": (lambda x: np.convolve(x, KERNEL, "same"), 34),
    "diff": (lambda x: np.diff(x, 2), 30),
    "gather": (lambda x: np.exp(x[TWICE]), 20),
    "map": (lambda x: x[ORDER] * x, int(12 + np.sum(np.arange(12) != ORDER))),
    "scatter": (scattered, None),
    "where": (lambda x: np.where(x > 0, x**2, -np.roll(x, 1)), 24),
    "maximum": (lambda x: np.maximum(x, np.roll(x, 2)), 24),
    "block": (block, 12 * 3),
    "grid": (grid, 36),
    "sums of rows": (lambda x: np.sum(x.reshape(3, 4) ** 2, axis=1), 12),
    "mean": (lambda x: x - np.mean(x), 144),
    "arrow": (lambda x: np.append(x[0] * x, np.sum(x)), 11 * 2 + 1 + 12),
    "running": (lambda x: np.cumsum(x), 78),
    "running back": (lambda x: np.cumsum(x[::-1])[::-1] * 2, 78),
    "sorted rows": (lambda x: np.sort(x.reshape(4, 3), axis=1), 36),
    "matrix": (lambda x: np.arange(24.0).reshape(2, 12) @ x, 24),
    "outer": (lambda x: np.outer(x[:2], x[2:]), 40),
    "det": (lambda x: np.linalg.det(x.reshape(3, 2, 2) + np.eye(2)), 12),
    "solved": (solved, None),
    "sign": (lambda x: np.sign(x) * x, 12),
    "constant": (lambda x: np.ones(3), 0),
    "scalar": (lambda x: np.sum(x[:3] ** 2), 3),
    "padded": (lambda x: np.pad(x, 2) * np.pad(x, (1, 3)), 24),
    "prefixes": (lambda x: np.cumprod(x.reshape(3, 4), axis=1), 30),
    "vmap": (lambda x: adjit.vmap(lambda r: r[0] * r)(x.reshape(4, 3)), 4 * 5),
    "loop": (looped, 22),
    "scan": (scanned, 12),
    "while": (repeated, 24),
    "cond": (branched, 24),
    "tied": (lambda x: np.max(x.reshape(3, 4), axis=0), 12),
}
WAYS = (None, "fwd", "rev")


@pytest.mark.parametrize("name", PROGRAMS)
def test_jacobians(name):
    f, entries = PROGRAMS[name]
    dense = adjit.jacobian(f)(X)
    want = dense.reshape(-1, X.size)
    for mode in (None, WAYS[1 + len(name) % 2]):
        j = sparse.jacobian(f, mode=mode)
        found = j(X)
        assert found.format == "csr"
        assert found.has_sorted_indices
        np.testing.assert_allclose(found.toarray(), want, rtol=1e-12, atol=1e-12)
        if entries is not None:
            assert found.nnz == entries
        pattern = j.pattern(X).toarray()
        assert not np.any((want != 0) & ~pattern)


LOSSES: dict[str, Any] = {
    "rosenbrock": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "separable": lambda x: np.sum(np.exp(x)),
    "linear": lambda x: np.sum(3 * x),
    "quadratic in one": lambda x: x[3] ** 2 + np.sum(x),
    "arrow": lambda x: np.sum((x[1:] - x[0]) ** 4),
    "two shared": lambda x: np.sum(np.exp(x[2:] * x[0] + x[1])),
    "dense": lambda x: np.sum(x**2) ** 2,
    "least squares": lambda x: np.mean((x[1:] * x[:-1] - 1) ** 2),
    "gathered": lambda x: np.sum(x[ORDER] * x**2),
    "rows": lambda x: np.sum(np.prod(x.reshape(4, 3), axis=1)),
    "logits": lambda x: np.sum(np.log(np.sum(np.exp(x.reshape(3, 4)), axis=1))),
    "where": lambda x: np.sum(np.where(x > 0, x**3, x[::-1] ** 2)),
    "constant": lambda x: 2.0,
    "determinants": lambda x: np.sum(np.linalg.det(x.reshape(3, 2, 2) + 3 * np.eye(2))),
}
SEEDS = {
    "rosenbrock": 3, "separable": 1, "linear": 0, "arrow": 2, "two shared": 3, "dense": 12,
    "rows": 3, "constant": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_hessians(name):
    f = LOSSES[name]
    h = sparse.hessian(f)
    found = h(X)
    np.testing.assert_allclose(found.toarray(), adjit.hessian(f)(X), rtol=1e-10, atol=1e-10)
    assert (found.toarray() == found.toarray().T).all() or np.allclose(
        found.toarray(), found.toarray().T
    )
    seeds = h._compiled.variants()[0].staged.outs[1][1].whole.sweeps
    assert seeds[0] == SEEDS.get(name, seeds[0])


def test_random_programs_never_miss_an_entry():
    missing = 0
    for seed in range(8):
        f, args = programs.random_function(seed, 12)
        wrt = programs.wrt(f)
        found, width = reaches(f, wrt)
        columns = []
        pushed = jvp(f, wrt)
        for k, i in enumerate(wrt):
            for e in np.eye(args[i].size):
                dots = [np.zeros_like(args[w]) for w in wrt]
                dots[k] = e.reshape(args[i].shape).astype(args[i].dtype)
                columns.append(evaluate(pushed, *args, *dots)[len(f.outs) :])
        floats = [r for r, v in zip(found, f.outs, strict=True) if v.dtype in ("f64", "f32")]
        for k, reach in enumerate(floats):
            dense = np.stack([np.asarray(c[k]).ravel() for c in columns], axis=1)
            assert dense.shape[1] == width
            shown = np.zeros(dense.shape, bool) if reach is None else reach.expanded().toarray()
            missing += int(np.any((dense != 0) & ~shown))
    assert missing == 0


def test_convolutions_reach_what_lies_below_their_kernel():
    settings = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 2}
    images, weights = Aval("f64", (2, 5, 6, 4)), Aval("f64", (6, 2, 3, 2))
    params = [Value(images, "x"), Value(weights, "w")]
    with Builder(params) as b:
        f = Function("f", b.done([ops.conv(*params, **settings)]))
    rng = np.random.default_rng(2)
    args = [rng.normal(size=p.shape) for p in params]
    for i in (0, 1):
        pushed, units = jvp(f, [i]), np.eye(args[i].size).reshape(-1, *args[i].shape)
        columns = [evaluate(pushed, *args, e)[1].ravel() for e in units]
        dense = np.stack(columns, axis=1) != 0
        (reach,), _ = reaches(f, [i])
        shown = reach.expanded().toarray()
        assert not np.any(dense & ~shown)
        assert i == 1 or np.array_equal(dense, shown)


def test_functions_with_rules_of_their_own():
    @adjit.custom_jvp
    def forward(x):
        return np.sin(x)

    forward.defjvp(lambda p, t: (np.sin(p[0]), np.cos(p[0]) * t[0]))

    @adjit.custom_vjp
    def reverse(x):
        return np.sin(x)

    reverse.defvjp(lambda x: (np.sin(x), x), lambda x, ct: (np.cos(x) * ct,))
    for f in (forward, reverse):
        found = sparse.jacobian(lambda x, f=f: f(x) * x[0])(X)
        assert found.nnz == 23
        np.testing.assert_allclose(
            found.toarray(), np.diag(np.cos(X) * X[0]) + np.outer(np.sin(X), np.eye(12)[0])
        )
        assert sparse.hessian(lambda x, f=f: np.sum(f(x)))(X).nnz == 12

    @adjit.custom_vjp
    def clipped(x):
        return np.sin(x)

    clipped.defvjp(lambda x: (np.sin(x), x), lambda x, ct: (np.cos(x) * np.clip(ct, -2, 2),))
    found = sparse.jacobian(clipped)(X)  # which has no forward mode
    np.testing.assert_allclose(found.toarray(), np.diag(np.cos(X)))
    assert found.nnz == 12
    with pytest.raises(errors.NotDifferentiable, match="linear"):
        sparse.jacobian(clipped, mode="fwd")(X)


def test_it_holds_for_other_inputs():
    """Neither values that were zero nor branches that were not taken at first are missing."""
    j = sparse.jacobian(lambda x: np.where(x > 0, x**2, x[::-1]) * x[0])
    for x in (np.zeros(4), np.ones(4), -np.ones(4), X[:4]):
        np.testing.assert_allclose(j(x).toarray(), adjit.jacobian(j.__wrapped__)(x))
    branchy = lambda x: x**2 if x[0] > 0 else x * x[1]  # noqa: E731
    j = sparse.jacobian(branchy)
    for x in (np.ones(4), -np.ones(4), np.ones(4)):
        np.testing.assert_allclose(j(x).toarray(), adjit.jacobian(branchy)(x))
    assert j.cache_info().variants == 2


INDICES = np.array([1, 0, 2])


def test_indices_from_outside_are_guarded():
    global INDICES
    INDICES = np.array([1, 0, 2])
    j = sparse.jacobian(lambda x: x[INDICES] ** 2)
    x = np.arange(1.0, 4.0)
    assert j(x).nnz == 3
    np.testing.assert_allclose(j(x).toarray(), np.diag(2 * x)[INDICES])
    INDICES = np.array([2, 2, 1])
    np.testing.assert_allclose(j(x).toarray(), np.diag(2 * x)[INDICES])
    INDICES[0] = 0
    np.testing.assert_allclose(j(x).toarray(), np.diag(2 * x)[INDICES])


def test_index_arguments_are_guarded_and_traced_ones_are_not():
    j = sparse.jacobian(lambda x, i: x[i] ** 2)
    x = np.arange(1.0, 5.0)
    for i in (np.array([1, 0, 2]), np.array([3, 3, 3]), np.array([1, 0, 2])):
        found = j(x, i)
        assert found.nnz == 3
        np.testing.assert_allclose(found.toarray(), np.diag(2 * x)[i])
    by_rank = sparse.jacobian(lambda x: x[np.argsort(x)])
    for y in (x, x[::-1].copy()):
        assert by_rank(y).nnz == 16
        np.testing.assert_allclose(by_rank(y).toarray(), np.eye(4)[np.argsort(y)])
    assert by_rank.cache_info().variants == 1


def test_containers_and_several_arguments():
    def f(p, t):
        return {"a": p["u"] * t, "b": np.sum(p["v"])}

    p = {"u": np.arange(3.0), "v": np.ones((2, 2))}
    j = sparse.jacobian(f)(p, 2.0)
    assert j.shape == (4, 7)
    np.testing.assert_allclose(j.toarray()[:3, :3], 2 * np.eye(3))
    np.testing.assert_allclose(j.toarray()[3], [0, 0, 0, 1, 1, 1, 1])
    both = sparse.jacobian(f, argnums=(1, 0))(p, 2.0)
    assert [m.shape for m in both] == [(4, 1), (4, 7)]
    np.testing.assert_allclose(both[0].toarray()[:, 0], [0, 1, 2, 0])
    np.testing.assert_allclose(both[1].toarray(), j.toarray())

    def loss(x, y):
        return np.sum(x * y**2)

    x, y = np.arange(1.0, 4.0), np.arange(2.0, 5.0)
    rows = sparse.hessian(loss, argnums=(0, 1))(x, y)
    np.testing.assert_allclose(rows[0][0].toarray(), np.zeros((3, 3)))
    np.testing.assert_allclose(rows[0][1].toarray(), np.diag(2 * y))
    np.testing.assert_allclose(rows[1][0].toarray(), np.diag(2 * y))
    np.testing.assert_allclose(rows[1][1].toarray(), np.diag(2 * x))


def test_float32_and_empty():
    j = sparse.jacobian(lambda x: x[1:] * x[:-1])
    found = j(X.astype(np.float32))
    assert found.dtype == np.float32
    assert j(np.zeros(1)).shape == (0, 1)
    assert j(np.zeros(1)).nnz == 0


def test_results_are_the_callers_own():
    j = sparse.jacobian(lambda x: x * np.array([0.0, 1.0, 2.0]))
    first = j(np.ones(3))
    first.eliminate_zeros()
    first.data *= 5
    np.testing.assert_allclose(j(np.ones(3)).toarray(), np.diag([0.0, 1.0, 2.0]))


def test_it_decorates_functions_and_methods():
    class Model:
        scale = 2.0

        @sparse.jacobian(argnums=1)
        def residual(self, x):
            return x * self.scale

    np.testing.assert_allclose(Model().residual(np.ones(2)).toarray(), 2 * np.eye(2))


@sparse.jacobian
def squares(x):
    return x**2


def by_name(x):
    return x**3


def test_it_pickles_by_reference_or_by_what_it_wraps():
    assert pickle.loads(pickle.dumps(squares)) is squares
    cubes = pickle.loads(pickle.dumps(sparse.jacobian(by_name)))
    np.testing.assert_allclose(cubes(X).toarray(), np.diag(3 * X**2))


def test_every_pass_is_checked():
    with adjit.options(interpret=True, check=True):
        f = PROGRAMS["scatter"][0]
        np.testing.assert_allclose(sparse.jacobian(f)(X).toarray(), adjit.jacobian(f)(X))


# ------------------------------------------------------------------ seeds


def _pattern(dense: Any) -> Any:
    out = scipy.sparse.csr_array(np.asarray(dense, bool))
    out.sort_indices()
    return out


def _evaluated(c: Any, dense: np.ndarray) -> np.ndarray:
    """The matrix again, from what the seeds of a compression give."""
    parts = []
    for seeds, matrix in ((c.forward, dense), (c.reverse, dense.T)):
        if seeds is not None:
            k = colouring.count(seeds)
            parts.append((matrix @ (seeds[:, None] == np.arange(k))).T.ravel())
    flat = np.concatenate(parts)
    rows, columns = c.pattern.nonzero()
    out = np.zeros(dense.shape)
    out[rows, columns] = flat[c.places(rows, columns)]
    return out


@pytest.mark.parametrize("density", [0.02, 0.2, 0.7])
@pytest.mark.parametrize("mode", WAYS)
def test_any_matrix_is_found_again(mode, density):
    rng = np.random.default_rng(1)
    for m, n in ((1, 1), (7, 5), (30, 60), (60, 30), (40, 40)):
        a = rng.normal(size=(m, n)) * (rng.random((m, n)) < density)
        a[: m // 20, :] = rng.normal(size=(m // 20, n))
        c = compress(_pattern(a), mode)
        np.testing.assert_array_equal(_evaluated(c, a), a)
        if m == n:
            s = a + a.T
            np.testing.assert_array_equal(_evaluated(compress_symmetric(_pattern(s)), s), s)


def test_colours_of_known_patterns():
    n = 30
    tridiagonal = _pattern(np.abs(np.subtract.outer(np.arange(n), np.arange(n))) < 2)
    assert colouring.count(colouring.colour(tridiagonal)) == 3
    ring = tridiagonal.toarray()
    ring[0, -1] = ring[-1, 0] = True
    assert colouring.count(colouring.colour(_pattern(ring))) == 3
    i, j = np.divmod(np.arange(42), 7)
    near = np.abs(np.subtract.outer(i, i)) + np.abs(np.subtract.outer(j, j)) < 2
    colours = colouring.colour(_pattern(near), (6, 7))
    assert colouring.count(colours) == 5
    assert colouring.valid(_pattern(near), colours)
    first = np.eye(50, dtype=bool)
    first[0] = True
    assert sum(compress(_pattern(first), None).sweeps) == 2
    assert sum(compress(_pattern(first.T), None).sweeps) == 2
    assert sum(compress_symmetric(_pattern(first | first.T)).sweeps) == 2


@pytest.mark.parametrize("n", [300, 3000])
def test_greedy_colourings_are_valid(n):
    rng = np.random.default_rng(n)
    rows, columns = np.repeat(np.arange(n), 3), rng.integers(0, n, 3 * n)
    p = scipy.sparse.csr_array((np.ones(3 * n, bool), (rows, columns)), shape=(n, n))
    p.sum_duplicates()
    colours = colouring.colour(p)
    assert colouring.valid(p, colours)
    assert colouring.count(colours) <= 8


# ------------------------------------------------------------------ reports and refusals


def test_explain_shows_pattern_and_seeds():
    j = sparse.jacobian(PROGRAMS["slices"][0])
    assert "not called yet" in j.explain()
    j(X)
    assert "10 x 12, 30 entries (25 %); 3 forward seeds" in j.explain()
    j = sparse.jacobian(PROGRAMS["arrow"][0])
    assert "1 of them for one row or column" in j.explain(np.ones(100))


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: sparse.jacobian(lambda x: x)(np.arange(3)), errors.NotDifferentiable, "int64"),
        (lambda: sparse.jacobian(lambda x: x > 0)(X), errors.NotDifferentiable, "bool"),
        (lambda: sparse.jacobian(lambda x: x, mode="both"), ValueError, "neither"),
        (lambda: sparse.jacobian(3), TypeError, "takes a function"),
        (lambda: sparse.jacobian(lambda x: x, argnums="x"), TypeError, "argnums"),
        (lambda: sparse.hessian(lambda x: x)(X), errors.NonScalarOutput, "scalar"),
        (lambda: sparse.jacobian(lambda x: ())(X), errors.NotDifferentiable, "nothing"),
        (
            lambda: adjit.grad(lambda x: sparse.jacobian(np.sin)(x).sum())(X),
            errors.TracedConversion,
            "outside",
        ),
        (lambda: sparse.jacobian(lambda x: x * np.sum(x))(np.ones(6000)), errors.NotSparse, "hvp"),
    ],
)
def test_refusals(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


# ------------------------------------------------------------------ users of such matrices


def reaction(u):
    """A discretised u'' = exp(u) - 1 with u = 0 and 1 at the ends."""
    n = u.size
    wide = np.concatenate([np.zeros(1), u, np.ones(1)])
    return (wide[2:] - 2 * u + wide[:-2]) * (n + 1) ** 2 - np.exp(u) + 1


def test_with_scipys_solvers():
    j = sparse.jacobian(reaction)
    u = np.zeros(60)
    for _ in range(6):
        u = u - scipy.sparse.linalg.spsolve(j(u).tocsc(), reaction(u))
    assert np.abs(reaction(u)).max() < 1e-7
    fit = scipy.optimize.least_squares(
        reaction, u + 0.01 * np.cos(np.arange(60)), jac=j, method="trf", x_scale="jac",
    )  # fmt: skip
    np.testing.assert_allclose(fit.x, u, atol=1e-5)
    heat = lambda t, u: np.diff(np.concatenate([[0.0], u, [0.0]]), 2) * 100  # noqa: E731
    by_state = sparse.jacobian(heat, argnums=1)
    found = scipy.integrate.solve_ivp(heat, (0, 1), np.ones(20), method="BDF", jac=by_state)
    assert found.success
    assert np.all(found.y[:, -1] < 0.2)


def test_compiled_it_gives_the_same():
    with adjit.options(interpret=False):
        f = PROGRAMS["arrow"][0]
        j = sparse.jacobian(f)
        with adjit.options(interpret=True):
            want = adjit.jacobian(f)(X), adjit.hessian(LOSSES["two shared"])(X)
        for _ in range(2):
            np.testing.assert_allclose(j(X).toarray(), want[0], rtol=1e-12, atol=1e-12)
        h = sparse.hessian(LOSSES["two shared"])
        np.testing.assert_allclose(h(X).toarray(), want[1], rtol=1e-10)
        at = sparse.jacobian(lambda x, i: x[i] ** 2)
        for i in (ORDER, TWICE, ORDER):
            np.testing.assert_allclose(at(X, i).toarray(), np.diag(2 * X)[i])

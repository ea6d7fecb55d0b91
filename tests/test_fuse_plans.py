"""Which roots share loops: sums into places from data, rows of several arrays, tiny products."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from adjit import fori_loop, grad, jit, options, value_and_grad
from adjit.passes import fuse
from adjit.passes.roots import Roots

rng = np.random.default_rng(3)
X, REST = rng.normal(size=(40, 3)), rng.uniform(size=700)
A, B = rng.integers(-40, 40, 700), rng.integers(0, 40, 700)


@value_and_grad
def springs(x, a, b, rest):
    d = x[a] - x[b]
    r = np.sqrt(np.sum(d * d, axis=1) + 1e-9)
    return 0.5 * np.sum((r - rest) ** 2)


def test_two_ends_of_an_edge_are_added_in_one_pass():
    value, slope = springs(X, A, B, REST)
    with options(interpret=True):
        expected, wanted = springs(X, A, B, REST)
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(slope, wanted, rtol=1e-12, atol=1e-12)
    plan = springs.ir(X, A, B, REST, stage="fused")
    assert plan.count("scatter scatter_add") == 1
    assert plan.count("[0, 700)") == 1


def test_products_by_sparse_rows():
    def square(data, x, columns, rows):
        y = np.zeros(40)
        np.add.at(y, rows, data * x[columns])
        return np.sum(np.exp(y) * y)

    square = value_and_grad(square, (0, 1))
    data, x = rng.normal(size=700), rng.normal(size=40)
    got = square(data, x, A, B)
    with options(interpret=True):
        wanted = square(data, x, A, B)
    for g, w in zip((got[0], *got[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-12)


@pytest.mark.parametrize("bad", [40, -41])
def test_an_index_beyond_the_end_raises(bad):
    wrong = A.copy()
    wrong[300] = bad
    for args in ((X, wrong, B, REST), (X, B, wrong, REST)):
        with pytest.raises(IndexError):
            springs(*args)
    value, _ = springs(X, A, B, REST)
    assert np.isfinite(value)


def test_rows_of_two_arrays_share_the_loop_of_their_product():
    @value_and_grad
    def cosine(x, y):
        a = x / np.linalg.norm(x, axis=1, keepdims=True)
        b = y / np.linalg.norm(y, axis=1, keepdims=True)
        return np.sum(1 - np.sum(a * b, axis=1))

    x, y = rng.normal(size=(2, 50, 20))
    got = cosine(x, y)
    with options(interpret=True):
        wanted = cosine(x, y)
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-9, atol=1e-12)
    assert cosine.ir(x, y, stage="fused").count("[0, 50)") == 1


def test_tiny_products_need_no_library():
    @value_and_grad
    def turned(a, b):
        return np.sum(np.sin(np.einsum("bij,bjk->bik", a, b)) * a)

    a, b = rng.normal(size=(2, 30, 3, 3))
    got = turned(a, b)
    with options(interpret=True):
        wanted = turned(a, b)
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-12, atol=1e-12)
    assert "blas" not in turned.source(a, b)


def test_work_on_repeated_rows_is_done_once_per_row():
    @value_and_grad
    def loss(x, i, y):
        return np.sum((np.exp(np.log(x[i])) - y) ** 2)

    x, y = rng.uniform(1, 2, size=40), rng.normal(size=700)
    i = rng.integers(1, 30, 700)
    x[0], x[39] = np.nan, 0.0  # no index reaches these
    value, slope = loss(x, i, y)
    wanted = np.zeros(40)
    np.add.at(wanted, i, 2 * (x[i] - y))
    np.testing.assert_allclose(value, np.sum((x[i] - y) ** 2))
    np.testing.assert_allclose(slope, wanted, rtol=1e-12, atol=1e-12)
    assert slope[0] == slope[39] == 0
    assert "f64[700] = log" not in loss.ir(x, i, y, stage="simplified")


def test_products_with_repeated_rows_are_products_with_the_rows():
    @value_and_grad
    def messages(h, w, source, target):
        total = np.zeros((40, 12))
        np.add.at(total, target, np.tanh(h[source] @ w))
        return np.sum((total + h) ** 2)

    h, w = rng.normal(size=(40, 12)), rng.normal(size=(12, 12))
    source = A
    got = messages(h, w, source, B)
    with options(interpret=True):
        wanted = messages(h, w, source, B)
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-9, atol=1e-12)
    program = messages.ir(h, w, source, B, stage="simplified")
    assert "f64[700,12] = dot" not in program and "f64[40,12] = dot" in program


def test_rows_that_no_index_reaches_add_nothing_to_slopes_of_weights():
    w, i = rng.normal(size=(4, 3)), rng.integers(0, 9, 100)
    table = rng.uniform(1, 2, size=(10, 4))
    for x in (table, (table * 9 - 9).astype(int) + np.arange(9, -1, -1)[:, None]):
        x[9] = 0  # whose reciprocal times zero is NaN
        with options(interpret=True):
            got = grad(lambda w, x, i: np.sum((1 / x[i]) @ w))(w, x, i)
        np.testing.assert_allclose(got, np.sum(1 / x[i], axis=0)[:, None] * np.ones(3))


def test_running_sums_along_any_axis():
    x = rng.uniform(0.5, 1.5, size=(3, 5, 20))
    many = [(x * 3).astype("f8"), (x * 3).astype("f4"), (x * 3).astype("i4"), x > 1]

    def sums(*ys):
        return [np.cumsum(y, axis) for y in ys for axis in range(3)]

    for got, wanted in zip(jit(sums)(*many), sums(*many), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    slope = value_and_grad(lambda x: np.sum(np.cumprod(x, 1) ** 2))
    got = slope(x)
    with options(interpret=True):
        np.testing.assert_allclose(got[1], slope(x)[1], rtol=1e-9)


def test_the_first_of_equal_extremes_is_found():
    x = rng.integers(0, 4, size=(30, 40)).astype(float)
    x[3, 7] = x[4, 9] = x[4, 11] = np.nan
    many = [x, x.astype("f4"), rng.integers(-9, 9, size=(30, 40)), x > 2]

    def places(*ys):
        return [f(y, axis) for y in ys for axis in (0, 1) for f in (np.argmax, np.argmin)]

    for got, wanted in zip(jit(places)(*many), places(*many), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_long_expression_runs_in_one_loop_of_strips():
    pattern = np.random.default_rng(5).integers(0, 3, 40).tolist()

    def long(x, y):
        a, b, c = x, y, x * y
        for k in pattern:  # without a period, or it would be a loop
            d = np.sin(a) * 0.3 + b / (2 + c * c)
            a, b, c = ((b * c, d, a - b), (d, c * 0.5, a * b + d), (c, a + d, b * d))[k]
        return np.sum(a + b * c)

    g = value_and_grad(long, (0, 1))
    x, y = rng.uniform(size=(2, 1000))
    got = g(x, y)
    with options(interpret=True):
        wanted = g(x, y)
    for p, q in zip(got[1], wanted[1], strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)
    assert g.ir(x, y, stage="fused").count("[0, 1000)") == 1


def agree(f, *args):
    """The plan of a gradient whose kernel gives what the interpreter does."""
    got = f(*args)
    with options(interpret=True):
        wanted = f(*args)
    for g, w in zip((got[0], *got[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-10)
    return f.ir(*args, stage="fused")


def test_pairs_run_in_strips_within_the_loop_of_their_rows():
    def energy(x, y, c):
        return np.sum(c * np.exp(-np.sum((x[:, None, :] - y[None, :, :]) ** 2, axis=2)))

    args = rng.normal(size=(5, 12)), rng.normal(size=(70, 12)), rng.normal(size=(5, 70))
    plan = agree(value_and_grad(energy, (0, 1, 2)), *args)
    assert "  for blocks of 32 of [0, 70):" in plan


@pytest.mark.parametrize(("n", "d", "dtype"), [(37, 100, "f8"), (8, 33, "f4"), (20, 3000, "f4")])
def test_rows_that_are_read_twice_are_fetched_a_block_ahead(n, d, dtype):
    def fit(w, c, x, y):
        return c[0] * np.mean(np.logaddexp(0.0, -y * (x @ w)))

    draws = (rng.normal(size=shape).astype(dtype) for shape in (d, 1, (n, d), n))
    f = value_and_grad(fit, (0, 1))
    args = [a * np.asarray(0.1, dtype) for a in draws]
    got, plan = f(*args), f.ir(*args, stage="fused")
    with options(interpret=True):
        wanted = f(*args)
    near = {"rtol": 1e-12, "atol": 1e-15} if dtype == "f8" else {"rtol": 2e-4, "atol": 1e-7}
    for g, w in zip((got[0], *got[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(g, w, **near)
    assert f" of [0, {n}) fetching x:" in plan


def test_rows_that_are_read_once_are_not_fetched_ahead():
    f = value_and_grad(lambda w, x: np.sum(np.exp(w) @ x.T))
    assert "fetching" not in f.ir(rng.normal(size=100), rng.normal(size=(50, 100)), stage="fused")


def test_columns_are_prepared_once_and_rows_read_three_times():
    def normal(x, scale, shift, c):
        y = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
        return np.sum((y * scale + shift) * c)

    x, c = rng.normal(size=(2, 150, 40))
    plan = agree(value_and_grad(normal, (0, 1, 2)), x, *rng.normal(size=(2, 40)), c)
    assert plan.count("for [0, 150):") == 3
    assert plan.count("<- store div") == 2


def test_a_running_sum_reads_what_vectors_made():
    def path(x, y):
        return np.sum(np.diff(np.exp(-np.cumsum(np.tanh(x))) * y) ** 2)

    plan = agree(value_and_grad(path, (0, 1)), *rng.uniform(size=(2, 300)))
    assert plan.index("<- store tanh") < plan.index("<- call cumsum")


def test_what_rows_compute_is_kept_in_one_round(monkeypatch):
    """Planning a deep network must not take a round for each of its layers."""
    picks = []

    def counted(*args):
        picks.append(len(found := promotions(*args)))
        return found

    promotions = fuse.promotions
    monkeypatch.setattr(fuse, "promotions", counted)

    @value_and_grad
    def normalised(x, scales):
        for s, f in zip(scales, (np.exp, np.tanh, np.sin, np.cos, np.arctan), strict=True):
            y = x - np.mean(x, axis=1, keepdims=True)
            x = x + f(s * y / np.sqrt(np.mean(y * y, axis=1, keepdims=True) + 1e-5))
            x = x / np.sum(x, axis=1, keepdims=True)
        return np.sum(x * x)

    normalised.ir(rng.normal(size=(6, 50)), [rng.normal(size=50)] * 5, stage="fused")
    assert picks[0] > 5 and picks[1:] == [0]


def test_few_elements_of_much_work_are_worked_on_alone():
    """Cross entropy, an operand of less rank, a repeated one, and rows."""
    labels, rows = rng.integers(-9, 9, 30), np.arange(30)

    def entropy(z, y):
        top = z.max(1, keepdims=True)
        logs = z - top - np.log(np.sum(np.exp(z - top), 1, keepdims=True))
        return -np.mean(logs[rows, y])

    plan = agree(value_and_grad(entropy, (0,)), rng.normal(size=(30, 9)), labels)
    assert plan.count("[30,9] <- store") == 1  # exp alone: no cotangent of the largest element

    def mixed(z, a, c, i, j):
        u = np.exp(z * a) + c[:, None]
        v = np.broadcast_to(c[:, None], (30, 9)) * 2.0
        return np.sum(u[i, j] * v[i, j]) + np.sum(np.tanh(z + a)[i[:2]] ** 2)

    args = rng.normal(size=(30, 9)), rng.normal(size=9), rng.normal(size=30), np.array([3, -1, 3])
    f = value_and_grad(mixed, (0, 1, 2))
    plan = agree(f, *args, labels[:3])
    assert plan.count("[30,9] <- store") == 1  # nothing else says that an index of v is too large
    with pytest.raises(IndexError):
        f(*args, np.array([0, 9, 0]))


def test_an_index_into_what_is_repeated_is_still_looked_at():
    f = value_and_grad(lambda a, i: np.sum(np.broadcast_to(a[:, None], (8, 9))[i, i]))
    with pytest.raises(IndexError):
        f(rng.normal(size=8), np.array([0, 8]))


def test_rows_that_no_index_reaches_may_hold_anything():
    def f(x, w, i):
        return np.sum(w * np.log(x[i])) + np.sum(np.log(x[i]) ** 2)

    x, w = rng.uniform(1, 2, size=20), rng.normal(size=300)
    x[7], x[8] = -1.0, 0.0
    i = rng.choice([1, 2, 3, 11, -1], 300)
    plan = agree(value_and_grad(f, (0, 1)), x, w, i)
    assert plan.count("[0, 300)") == 1 and "[0, 20)" in plan
    slope = grad(lambda x: np.sum(grad(f)(x, w, i) ** 2))
    got = slope(x)
    with options(interpret=True):
        np.testing.assert_allclose(got, slope(x), rtol=1e-10)
    assert got[7] == 0 and got[8] == 0 and np.isfinite(got).all()


def test_masked_attention_of_many_heads_is_one_nest_per_head():
    """Products, softmax and their adjoints of a head meet in its memory; nothing is turned over."""

    def loss(q, k, v, mask):
        s = np.where(mask, q @ np.swapaxes(k, -1, -2) * 0.25, -np.inf)
        e = np.exp(s - s.max(-1, keepdims=True))
        return np.sum((e / e.sum(-1, keepdims=True) @ v) ** 2)

    attention = value_and_grad(loss, (0, 1, 2))
    args = (*rng.normal(size=(3, 3, 2, 20, 17)), np.tri(20, dtype=bool))
    plan = agree(attention, *args)
    assert plan.count("gemm") == 6 and "transpose" not in plan
    assert plan.count("for [0, 3):") == plan.count("for [0, 2):") == 1
    text = attention.source(*args).partition("# what a call runs first")[0]
    assert text.partition(":")[0].count("t_buf") == 5
    assert text.count("math.inf") == 1  # LLVM must not know what the mask puts there


def test_many_arrays_joined_are_copied_one_after_the_other():
    def joined(*rows):
        stack = np.stack(rows)
        table = np.concatenate(rows)[:, None] * rows[1]
        return stack, np.sum(np.sin(stack) * rows[0], axis=1), np.stack(rows, 1).T * rows[2], table

    rows = [rng.normal(size=5) for _ in range(13)]
    compiled = jit(joined)
    for got, wanted in zip(compiled(*rows), joined(*rows), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-13)
    assert "select" not in compiled.source(*rows)


def test_pieces_that_many_loops_read_are_joined_once(monkeypatch):
    def loss(x, w):
        return np.sum(np.concatenate([np.tanh(x[i : i + 3] * w) for i in range(50)]) ** 2)

    step = value_and_grad(loss)
    walked = []
    walk = Roots._walk
    monkeypatch.setattr(Roots, "_walk", lambda *args: [walked.append(1), walk(*args)][1])
    x, w = rng.normal(size=52), rng.normal(size=3)
    value, slope = step(x, w)
    assert len(walked) < 2000  # each of fifty loops would look at fifty pieces
    with options(interpret=True):
        wanted = step(x, w)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-13)
    np.testing.assert_allclose(slope, wanted[1], rtol=1e-12, atol=1e-15)


def test_a_stack_of_factors_is_one_nest():
    """Matrices are decomposed, solved and differentiated one by one, within one loop."""

    def loss(a, b):
        factor = np.linalg.cholesky(a)
        return np.sum(np.log(np.diagonal(factor, axis1=1, axis2=2))) + np.sum(
            np.linalg.solve(a, b) ** 2
        )

    for n in (3, 10):
        a = rng.normal(size=(40, n, n))
        plan = agree(
            value_and_grad(loss, (0, 1)), a @ a.transpose(0, 2, 1) + np.eye(n), a[:, :, :2]
        )
        loops = plan.count("for [0, 40):") + plan.count("for blocks of 16 of [0, 40):")
        assert loops == 1 and "call pad" not in plan


def test_what_every_row_of_a_round_would_do_again_is_done_once_if_there_are_many_rounds():
    s, a = rng.normal(size=20), np.ones((20, 20))

    def step(t, s):
        return np.sum(a / (1 + s * s), axis=1)

    for rounds, kept in ((50, 1), (2, 0)):
        plan = str(jit(partial(fori_loop, 0, rounds, step)).ir(s, stage="fused"))
        assert plan.count("store add") + plan.count("store div") == kept, plan


def test_rows_of_running_sums_share_the_loop_over_rows():
    def asian(s, v, z):
        path = s * np.exp(np.cumsum(v * z - 0.5 * v * v, axis=1))
        return np.mean(np.maximum(np.mean(path, axis=1) - 1.0, 0.0))

    def ragged(s, v, z):  # running backwards, products, and rows too short to pay
        w = np.cumsum(np.cumprod(1.0 + 0.1 * np.tanh(z * v), axis=1)[:, ::-1], axis=1)
        return s * np.sum(w * w) + np.sum(np.cumsum(np.exp(z[:, :5]), axis=1) ** 2)

    z = rng.normal(size=(150, 23))
    for f in asian, ragged:
        plan = agree(value_and_grad(f, (0, 1)), 1.0, 0.3, z)
        assert plan.count("call cumsum") >= 2
        assert "\nfull f64[150,23] <- call" not in plan
    step = value_and_grad(asian, (0, 1))
    step(1.0, 0.3, z)
    assert step.variants()[0].memory.scratch < 8 * z.size / 4


@pytest.mark.parametrize("n", [3, 8, 9, 30])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_running_sums_in_fours(n, dtype):
    x = rng.integers(-9, 9, (5, n)).astype(dtype)
    x[1, n // 2], x[2, 1], x[2, 2], x[3, 0] = np.nan, np.inf, -np.inf, np.inf
    forth, back = jit(lambda x: (np.cumsum(x, axis=1), np.cumsum(x[:, ::-1], axis=1)[:, ::-1]))(x)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(forth, np.cumsum(x, axis=1))
        np.testing.assert_array_equal(back, np.cumsum(x[:, ::-1], axis=1)[:, ::-1])
    assert forth.dtype == dtype


def test_columns_of_sums_are_whole_vectors_and_a_rest():
    def forward(a, b, rounds):
        for _ in range(rounds):
            b = np.log(np.sum(np.exp(a + b[:, None]), axis=0)) - 1.0
        return np.sum(b)

    f = value_and_grad(forward, (0, 1))
    a, b = rng.normal(size=(20, 20)), rng.normal(size=20)
    agree(f, a, b, 30)
    text = f.source(a, b, 30)
    assert "in range(16, ll.few(n" in text

"""Programs cut along their rows: the stages give what the whole gives, in one thread or in two."""

import os
import threading

import numpy as np
import pytest

from adjit import grad, jit, options, value_and_grad
from adjit.codegen import contest, engine, link, team
from adjit.ir.interp import evaluate
from adjit.passes import partition as cuts
from adjit.passes.calls import expand
from adjit.passes.extents import label
from adjit.passes.halos import function_of, part
from adjit.passes.lower import lower
from adjit.passes.partition import Partition, partition, worth_cutting

RNG = np.random.default_rng(0)
N = 200


def logistic(w, x, y):
    return np.mean(np.logaddexp(0.0, -y * (x @ w))) + 0.1 * np.sum(w * w)


def batch_norm(x, g):
    m, v = np.mean(x, axis=0), np.var(x, axis=0)
    return np.sum(np.tanh(g * (x - m) / np.sqrt(v + 1e-3)) ** 3)


def softmax_over_rows(x, w):
    z = x @ w
    return np.sum(np.exp(z - np.max(z)) / np.sum(np.exp(z - np.max(z))) * np.arange(5.0))


def table(x, i, w):
    return np.sum(np.sin(w[i] * x[:, None]) ** 2)


def branches(x):
    return np.sum(np.where(x > 0.0, np.sqrt(np.abs(x)), x**3)) if np.sum(x) > 0 else np.sum(x)


def network(x, y, a, b, c):
    h = np.maximum(x @ a + b, 0.0)
    z = h @ c
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * y, axis=1))


def heat(u, k):
    for _ in range(3):
        v = u.copy()
        v[1:-1, 1:-1] += k * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2])
        v[1:-1, 1:-1] -= 4.0 * k * u[1:-1, 1:-1]
        u = v
    return np.sum(u**2) + np.max(u[1:])


def labels(x, w, y):
    """Row numbers, to choose an element of each row and as numbers; and those of columns."""
    z = x @ w
    rows = np.arange(len(x))
    lse = np.log(np.sum(np.exp(z), axis=1))
    hot = np.arange(5.0) * (np.arange(5) == y[:, None])
    return np.mean(lse - z[rows, y]) + np.sum(0.99**rows * lse**2) + np.sum(hot * z)


def springs(pos, i, j, rest):
    """Edges are rows: what they do to nodes adds up from both of their ends."""
    d = pos[i] - pos[j]
    length = np.sqrt(np.sum(d * d, axis=1) + 1e-3)
    force = np.zeros(pos.shape[0])
    np.add.at(force, i, (length - rest) ** 2)
    return np.sum((length - rest) ** 2) + np.sum(force**2)


def words(table, y, s, w):
    z = np.tanh((table[y] * s[:, None]) @ w)
    return np.sum(z**2) + np.sum(np.bincount(y, z[:, 0], 9) ** 2)


def chosen(x, w, y):
    z = x @ w
    return np.sum(np.take_along_axis(z, y[:, None], 1)) - np.sum(np.sin(z)[np.arange(len(x)), y])


def waves(x, few, w):
    """A few rows of something else, somewhere among the rows; and rows of something longer."""
    z = np.sin(x) * np.pad(few, (130, x.size - 133)) + w[60:-40] * x
    return np.sum(np.diff(z) * np.cos(x[1:])) + np.sum(z[:-2] * z[2:])


def systems(a, y):
    low = np.linalg.cholesky(a @ np.swapaxes(a, 1, 2) + 3.0 * np.eye(3))
    z = np.linalg.solve(low, y[..., None])
    x = np.linalg.solve(a + 5.0 * np.eye(3), y[..., None])
    logs = np.log(np.diagonal(low, axis1=1, axis2=2))
    return np.sum(z * z) + np.sum(logs) + np.sum(np.sin(x)) + np.sum(np.linalg.det(a) * y[:, 0])


def cox(w, x, died):
    """Sums over all who are still alive are sums along the rows."""
    eta = x @ w
    risk = np.max(eta) + np.log(np.cumsum(np.exp(eta - np.max(eta))))
    return -np.sum((eta - risk) * died)


def attention(x, a, b):
    """Each row looks at all of them."""
    s = (x @ a) @ (x @ b).T
    p = np.exp(s - np.max(s, axis=1, keepdims=True))
    p = p / np.sum(p, axis=1, keepdims=True)
    return np.sum(np.tanh(p @ x) ** 2)


def kernel(x, y, h):
    """Pairs of rows, a matrix that is decomposed as a whole, and its diagonal."""
    d = np.sum((x[:, None] - x) ** 2, axis=2)
    k = np.exp(-d / h**2) + 0.1 * np.eye(len(x))
    low = np.linalg.cholesky(k)
    return y @ np.linalg.solve(k, y) + np.sum(np.log(np.diag(low))) + np.sum(np.tanh(k.T * y))


def factors(u, v, i, j, r):
    """What is added to places begins with something else than zeros."""
    return np.sum((np.sum(u[i] * v[j], axis=1) - r) ** 2) + np.sum(u * u) + np.sum(v * v)


def trimmed(w, x, y):
    r = np.sort(np.abs(np.tanh(x @ w) - y))
    return np.mean(r[: 3 * len(y) // 4] ** 2)


def long(n, *rest):
    return RNG.normal(size=(n, *rest))


CASES = {
    "logistic": (logistic, (long(7), long(N, 7), np.sign(long(N))), (0, 1)),
    "batch_norm": (batch_norm, (long(N, 6), long(6)), (0, 1)),
    "softmax": (softmax_over_rows, (long(N, 4), long(4, 5)), (0, 1)),
    "table": (table, (long(N), RNG.integers(0, 9, N), long(9, 3)), 0),
    "branches": (branches, (np.abs(long(N)) + long(N) * 0.1,), 0),
    "stencil": (lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2), (long(N),), 0),
    "heat": (heat, (long(N, 6), 0.1), 0),
    "labels": (labels, (long(N, 4), long(4, 5), RNG.integers(0, 5, N)), (0, 1)),
    "chosen": (chosen, (long(N, 4), long(4, 5), RNG.integers(-5, 5, N)), (0, 1)),
    "springs": (
        springs,
        (long(9, 2), RNG.integers(0, 9, N), RNG.integers(-9, 9, N), np.abs(long(N))),
        (0, 3),
    ),
    "words": (words, (long(9, 4), RNG.integers(0, 9, N), long(N), long(4, 3)), (0, 2, 3)),
    "waves": (waves, (long(N), long(3), long(N + 100)), 0),
    "systems": (systems, (long(N, 3, 3), long(N, 3)), (0, 1)),
    "scan": (lambda x: np.sum(np.cumsum(np.sin(x)) ** 2), (long(N),), 0),
    "gram": (lambda x: np.sum(np.exp(x @ x.T)), (long(N, 3),), 0),
    "reshaped": (
        lambda x, y, z: np.sum(np.sin(x * y[:, None]).reshape(z.shape) * z * y[1:-2][:, None]),
        (long(N, N - 3), long(N), long(N - 3, N)),
        (0, 1, 2),
    ),
    "cox": (cox, (long(5), long(N, 5), np.ones(N)), 0),
    "attention": (attention, (long(N, 4), long(4, 4), long(4, 4)), (0, 1, 2)),
    "kernel": (kernel, (long(N, 40), long(N), 9.0), (0, 1)),
    "factors": (
        factors,
        (long(9, 3), long(7, 3), RNG.integers(0, 9, N), RNG.integers(0, 7, N), long(N)),
        (0, 1),
    ),
    "nearest": (
        lambda x, y: np.sum(np.exp(x @ y.T)[np.argmin(np.tanh(x @ y.T), axis=0), np.arange(N)]),
        (long(N, 3), long(N, 3)),
        (0, 1),
    ),
    "trimmed": (trimmed, (long(80), long(N, 80), long(N)), 0),
    "network": (network, (long(N, 8), long(N, 3), long(8, 16), long(16), long(16, 3)), (2, 3, 4)),
}
NOT_CUT = {
    "columns": (lambda x: np.sum(np.exp(x).T[:, ::-1] * np.arange(1.0 * N)), (long(N, 3),)),
    "sorted": (lambda x: np.sum(np.sort(x)[:5]), (long(N),)),
    "ffts": (lambda x: np.sum(np.abs(np.fft.fft(x[:-3], axis=0)) ** 2), (long(N, 3),)),
}


def cut_of(f, args):
    """The partition of a compiled function's program for a call, and that program."""
    f(*args)
    function = f.variants()[-1].simplified
    block = label(lower(expand(function)).block)
    return partition("f", block), function, f.variants()[-1]


def staged(p: Partition, inputs, bounds):
    """A partition, evaluated by the interpreter."""
    env = dict(zip(p.params, inputs, strict=True))
    for stage in p.stages:
        if not stage.rows:
            outs = evaluate(function_of(part(p, stage)), *(env[v] for v in stage.reads))
            env.update(zip(stage.writes, outs, strict=True))
            continue
        found = []
        reads = [env[p.same.get(v, v)] for v in stage.reads]
        for low, high in bounds:
            rows = part(p, stage, low, high)
            given = [
                x if at is None else x[slice(*at)] for x, at in zip(reads, rows.given, strict=True)
            ]
            found.append(evaluate(function_of(rows), *given))
        for k, (v, how) in enumerate(zip(stage.writes, stage.combine, strict=True)):
            rows = [outs[k] for outs in found]
            env[v] = np.concatenate(rows) if not how else getattr(np, how).reduce(rows)
    return [env[v] for v in p.outs]


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(cuts, "LEAST_WORK", 0.0)
    monkeypatch.setattr(contest, "GAIN", 0.0)
    before = options.get().threads
    options.set(threads=2)
    yield
    options.set(threads=before)


@pytest.mark.parametrize("name", CASES)
def test_stages_give_what_the_whole_gives(name):
    fn, args, argnums = CASES[name]
    p, function, variant = cut_of(value_and_grad(fn, argnums=argnums), args)
    assert p is not None and N - 3 <= p.extent <= N
    n = p.extent
    inputs = [np.asarray(x) for x in args] + [c.read() for c in variant.staged.captures]
    want = evaluate(function, *inputs)
    for bounds in ([(0, n)], [(0, 96), (96, n)], [(0, 64), (64, 65), (65, 131), (131, n)]):
        for a, b in zip(staged(p, inputs, bounds), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_lines_that_are_sorted_are_rows():
    def f(x, y):
        return np.sum(np.sort(np.sin(x), axis=1) * y[:, None]) + np.sum(np.cos(y) ** 2)

    args = long(N, 5), long(N)
    p, function, _ = cut_of(grad(f, argnums=(0, 1)), args)
    for a, b in zip(staged(p, args, [(0, 96), (96, N)]), evaluate(function, *args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert {op.prim.name for s in p.stages if s.rows for op in s.ops} >= {"argsort", "sin"}


def heads(x, a, b):
    """Few rows, of which products make one dim with the one behind."""
    q, k = x @ a, np.tanh(x @ b)
    p = np.exp(q @ np.swapaxes(k, 1, 2) / 8.0)
    return np.sum((p / np.sum(p, axis=2, keepdims=True) @ k).reshape(len(x), -1) ** 2)


def test_few_rows_that_products_merge_with_others(always):
    args = long(6, 10, 8), long(8, 8), long(8, 8)
    p, function, _ = cut_of(value_and_grad(heads, argnums=(0, 1)), args)
    assert p is not None and p.extent == 6 and 10 in p.rows.values()
    want = evaluate(function, *args)
    for bounds in ([(0, 3), (3, 6)], [(0, 1), (1, 2), (2, 6)]):
        for a, b in zip(staged(p, args, bounds), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    f = value_and_grad(heads, argnums=(0, 1))
    value, slopes = f(*args)
    assert len(f.variants()[0].program.chosen.steps[0].shares.parts) == 2
    for a, b in zip((value, *slopes), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_rows_with_little_of_the_work_are_not_tried(monkeypatch):
    tried, cut = [], cuts._cut
    monkeypatch.setattr(cuts, "_cut", lambda *args: [tried.append(args[2]), cut(*args)][1])

    def f(x, w):
        return np.sum(np.sin(x) ** 2) + np.sum(w**2)

    with options(interpret=True):
        p, *_ = cut_of(jit(f), (long(N, 9), long(64, 9)))
    assert p is not None and p.extent == N and tried == [p.rows]


def test_two_reductions_in_a_row_make_three_stages_on_rows():
    p, _, _ = cut_of(jit(lambda x: np.sum((x - np.mean(x)) ** 2)), (long(N),))
    assert [s.rows for s in p.stages] == [True, False, True]
    assert p.stages[0].combine == ("add",)


@pytest.mark.parametrize("name", NOT_CUT)
def test_programs_whose_rows_depend_on_each_other_stay_whole(name):
    fn, args = NOT_CUT[name]
    assert cut_of(value_and_grad(fn), args)[0] is None


def interpreted(f, *args):
    with options(interpret=True):
        return cut_of(jit(f), args)[0]


def test_parts_that_reduce_other_numbers_of_rows_are_other_kernels():
    p = interpreted(lambda x: ((x[1:] - x[:-1]) * 2, np.sum(x)), long(N + 1))
    (stage,) = p.stages
    first, last = part(p, stage, 0, N // 2), part(p, stage, N // 2, N)
    assert first.spans[p.params[0]] == (0, N // 2 + 1) and first.form != last.form
    assert first.form == part(p, stage, 64, 64 + N // 2).form


def test_products_along_several_dims_are_measured_before_they_are_lowered():
    x, y = long(20, 40, 30), long(40, 30, 200)
    with options(interpret=True):
        f = jit(lambda x, y: np.tensordot(x, y, 2))
        f(x, y)
    assert worth_cutting(f.variants()[-1].simplified)


def test_what_may_fail_waits_for_guards_and_what_is_printed_for_what_was_before(capsys):
    x, i, w = np.abs(long(N)), RNG.integers(0, 9, N), long(9)
    p = interpreted(lambda x, i, w: np.sum(x * w[i]) if np.sum(x) > 0 else 0.0, x, i, w)
    names = [op.prim.name for stage in p.stages for op in stage.ops]
    assert names.index("guard") < names.index("gather")

    def telling(x, y):
        print(np.sum(np.sin(x)))
        print(y)
        return np.sum(np.exp(x))

    p = interpreted(telling, x, 2.0)
    assert [op.prim.name for op in p.stages[-1].ops][-2:] == ["show", "show"]
    assert not p.stages[-1].rows and capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize("name", CASES)
def test_threads_give_the_gradients_of_one_thread(name, always):
    fn, args, argnums = CASES[name]
    with options(threads=1):
        want = value_and_grad(fn, argnums=argnums)(*args)
    f = value_and_grad(fn, argnums=argnums)
    for _ in range(3):
        value, gradients = f(*args)
        np.testing.assert_allclose(value, want[0], rtol=1e-12)
        several = type(argnums) is tuple
        for a, b in zip(gradients, want[1], strict=True) if several else [(gradients, want[1])]:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
            assert a.dtype == b.dtype and a.flags.c_contiguous and a.flags.writeable
    assert type(f.variants()[0].program.chosen).__name__ == "ParallelProgram"
    assert "def " in str(f.source(*args)) and "variant 0" in str(f.explain())


def test_rows_that_numpy_sorts_are_sorted_at_once(always):
    def f(x, y):
        return np.sum(np.sin(y) * np.sort(np.exp(x), axis=1)[:, 0])

    x, y = long(N, 8), long(N)
    g = jit(f)
    for _ in range(3):
        np.testing.assert_allclose(g(x, y), f(x, y), rtol=1e-12)


def test_parts_of_equal_size_stand_at_their_own_places_in_what_is_no_row(always):
    def f(x, few, w):
        z = np.sin(x) + np.pad(few, (150, x.size - 153)) + w[7 : 7 + x.size]
        return np.sum(z * w[: x.size])

    args = long(256), long(3), long(400)
    g = value_and_grad(f)
    for a, b in zip(g(*args), (f(*args), np.cos(args[0]) * args[2][:256]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert len(g.variants()[0].program.chosen.steps[0].shares.parts) == 2


def test_errors_and_other_paths_come_out_of_the_threads(always):
    f = jit(lambda x, i, w: np.sum(w[i] * x))
    x, i, w = long(N), RNG.integers(0, 9, N), long(9)
    np.testing.assert_allclose(f(x, i, w), np.sum(w[i] * x))
    bad = i.copy()
    bad[-1] = 99
    with pytest.raises(IndexError):
        f(x, bad, w)
    np.testing.assert_allclose(f(x, i, w), np.sum(w[i] * x))
    f, a = jit(np.linalg.cholesky), np.tile(np.eye(3), (N, 1, 1))
    np.testing.assert_array_equal(f(a), a)
    a[-1] = -1.0
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        f(a)
    g = grad(branches)
    for x in (np.abs(long(N)), -np.abs(long(N)), np.abs(long(N))):
        np.testing.assert_allclose(g(x), grad(branches)(x))


def test_other_batch_sizes(always):
    f = grad(lambda w, x: np.mean(np.logaddexp(0.0, x @ w)))
    w = long(5)
    for n in (200, 129, 1000, 64):
        x = long(n, 5)
        np.testing.assert_allclose(f(w, x), (1 / (1 + np.exp(-(x @ w)))) @ x / n, rtol=1e-10)


def test_calls_from_several_threads_share_the_workers(always):
    fn, args, argnums = CASES["network"]
    f = value_and_grad(fn, argnums=argnums)
    want, wrong = f(*args), []

    def work():
        for _ in range(20):
            value, g = f(*args)
            if value != want[0] or not np.array_equal(g[0], want[1][0]):
                wrong.append(value)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


ADD = """define i64 @add(ptr %pointers, ptr %sizes, ptr %consts) {
  %x = load ptr, ptr %pointers
  %p.y = getelementptr ptr, ptr %pointers, i64 1
  %y = load ptr, ptr %p.y
  %a = load double, ptr %x
  %c = load double, ptr %consts
  %sum = fadd double %a, %c
  store double %sum, ptr %y
  %status = load i64, ptr %sizes
  ret i64 %status
}"""


@pytest.mark.parametrize("statuses", [(0,), (0, 0), (0, 0, 0), (0, 7), (5, 7), (0, 0, 2)])
def test_a_team_runs_every_part_and_tells_which_failed_first(statuses):
    address = link.load_object(engine.compile_text(ADD), "add", {})
    members = [team.Member(address, 2, (s,), (10.0 * k,)) for k, s in enumerate(statuses)]
    call = team.together(members)
    given = [np.array([float(k)]) for k in range(len(statuses))]
    for _ in range(200):
        found = [np.zeros(1) for _ in statuses]
        status = call(*[a for pair in zip(given, found, strict=True) for a in pair])
        assert [float(y[0]) for y in found] == [11.0 * k for k in range(len(statuses))]
        wrong = [(k, s) for k, s in enumerate(statuses) if s]
        assert status is True if not wrong else team.part_of(status) == wrong[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_threads_of_its_own(always):
    fn, args, argnums = CASES["stencil"]
    f = value_and_grad(fn, argnums=argnums)
    want = f(*args)
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(f(*args)[1], want[1]) for _ in range(20))
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


class Fixed:
    """A program that says which one it is."""

    def __init__(self, name):
        self.name, self.seconds = name, {}

    def call(self, inputs):
        return [self.name]

    def release(self):
        pass


def test_the_whole_is_compiled_when_threads_gain_little(monkeypatch):
    took = {"alone": 1e-3, "shared": 8e-4, "whole": 5e-4}
    monkeypatch.setattr(contest, "_spent", lambda program, inputs: took[program.name])
    asked = []

    def better():
        asked.append(1)
        return Fixed("whole") if len(asked) > 1 else None  # it takes some time

    pair = contest.Contest(Fixed("alone"), Fixed("shared"), better)
    assert [pair.call([]) for _ in range(4)] == [["shared"]] * 4 and len(asked) == 1
    assert [pair.call([]) for _ in range(2)][-1] == ["whole"] and len(asked) == 2
    took["shared"] = 1e-4  # threads gain much: nobody asks
    pair = contest.Contest(Fixed("alone"), Fixed("shared"), better)
    assert [pair.call([]) for _ in range(600)] == [["shared"]] * 600 and len(asked) == 2
    pair = contest.Contest(Fixed("alone"), Fixed("shared"), better, 0.0)  # which says little
    assert [pair.call([]) for _ in range(9)] == [["shared"]] * 9 and len(asked) == 3


@pytest.mark.parametrize("name", ["logistic", "network", "springs", "heat", "labels"])
def test_parts_that_were_made_for_threads_run_in_turn(name, always, monkeypatch):
    fn, args, argnums = CASES[name]
    f = value_and_grad(fn, argnums=argnums)
    value, slopes = f(*args)
    monkeypatch.setattr(contest, "GAIN", 1e9)
    f = value_and_grad(fn, argnums=argnums)
    alone, others = f(*args)
    program = f.variants()[-1].program
    assert program.chosen.threads == 1 and program.chosen is not program._both[1]
    np.testing.assert_allclose(alone, value, rtol=1e-12)
    pairs = zip(others, slopes, strict=True) if isinstance(slopes, tuple) else [(others, slopes)]
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_busy_machine_is_no_verdict_for_ever(monkeypatch):
    took = {"whole": 1e-3, "shared": 3e-3}  # as if others kept the second core busy
    monkeypatch.setattr(contest, "_spent", lambda program, inputs: took[program.name])
    pair = contest.Contest(Fixed("whole"), Fixed("shared"))
    assert [pair.call([]) for _ in range(5)] == [["whole"]] * 5
    took["shared"] = 6e-4
    assert ["shared"] in [pair.call([]) for _ in range(8)]
    took["shared"] = 9e-3  # the better runs count, not the last ones
    assert [pair.call([]) for _ in range(100)] == [["shared"]] * 100


def test_threads_whose_core_is_taken_are_compared_again(monkeypatch):
    took, now = {"whole": 1e-3, "shared": 5e-4}, [0.0]

    class Timed(Fixed):
        def call(self, inputs):
            now[0] += took[self.name]
            return super().call(inputs)

    monkeypatch.setattr(contest, "perf_counter", lambda: now[0])
    pair = contest.Contest(Timed("whole"), Timed("shared"))
    assert [pair.call([]) for _ in range(1000)] == [["shared"]] * 1000
    took["shared"] = 2e-3
    found = [pair.call([]) for _ in range(100)]
    assert ["shared"] in found[:20] and found[40:] == [["whole"]] * 60
    took["shared"] = 5e-4
    found = [pair.call([]) for _ in range(300)]
    assert found[:20] == [["whole"]] * 20 and found[-1] == ["shared"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="places are the system's affair")
def test_workers_are_not_where_the_caller_is():
    """Else Linux may let both share one processor for a while, where another one is idle."""
    workers = team._workers
    workers.at_least(1)
    here = workers.avoided
    assert here in os.sched_getaffinity(0) and workers.threads
    for number, processors in workers.threads:
        assert os.sched_getaffinity(number) == (processors - {here} or processors)
    workers._avoid(-1)
    assert all(os.sched_getaffinity(n) == processors for n, processors in workers.threads)

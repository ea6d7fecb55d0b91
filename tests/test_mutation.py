"""Writes into arrays made in the function: NumPy's results, derivatives, and what is recorded."""

import dataclasses

import numpy as np
import pytest

import adjit
from adjit import grad, jit
from adjit.errors import FrozenWrite, UntracedWrite
from adjit.passes.puts import puts


@pytest.fixture(autouse=True)
def interpreted():
    with adjit.options(interpret=True, check=True):
        yield


def assert_agree(f, *args, order=2):
    got, wanted = jit(f)(*args), f(*(a.copy() if isinstance(a, np.ndarray) else a for a in args))
    for a, b in zip(got, wanted, strict=True) if isinstance(wanted, tuple) else [(got, wanted)]:
        assert np.array_equal(a, b), (a, b)
    floats = [a for a in args if np.asarray(a).dtype.kind == "f"]
    if order and len(floats) == len(args):
        adjit.check_grads(lambda *a: np.sum(np.sin(np.asarray(f(*a)))), args, order=order)


# ------------------------------------------------------------------ ways to write


def elements(x):
    z = np.zeros(6)
    z[2] = x
    z[1:] += x * 2
    z[-1] = z[2] * z[1]
    z[::2] *= x
    z[4:0:-2] -= 1
    return z


def rows_and_columns(x):
    z = np.zeros((4, 3))
    z[1] = x
    z[:, 1] = x * 2
    z[2:, 1:] += z[0:2, 1:]
    z[3, 2] = x
    z[..., 0, None][2] = x
    return z


def views(x):
    z = np.zeros((3, 4))
    row, turned, flat = z[1], z.T, z.reshape(-1)
    row[0] = x
    turned[2, 2] = x * 3
    flat[5:7] = flat[4] + 1
    row[::-1][0] = x
    back = z[::-1, ::-1]
    back[0, 0] += x
    return z


def functions(x):
    z = np.zeros(5)
    np.add.at(z, np.array([1, 1, 2]), x)
    np.put(z, [0, 4], x * 2)
    np.copyto(z[1:3], z[3:] * 2 + x)
    np.multiply(z, x, out=z)
    np.exp(z, out=z)
    np.subtract.at(z, [0, 0], 1.0)
    square = np.zeros((3, 3))
    np.fill_diagonal(square, x * z[:3])
    np.putmask(square, square > 100, x)
    square.fill(x) if x.ndim else None
    return np.concatenate([z, square.ravel()])


def augmented(x):
    z = np.full(4, 2.0)
    z += x
    z[[0, 2]] *= x
    z[np.array([True, False, True, True])] -= x
    z **= 2
    z[1:2][0] /= x
    return z


def masked(x):
    z = np.stack([x, x * 2, -x])
    z[z > 0.5] = 0.1
    z[z < -0.5] = z[z < -0.5] * 2
    z[:, 0][z[:, 0] > 0] = x[0]
    return z


@pytest.mark.parametrize(
    "f", [elements, rows_and_columns, views, functions, augmented], ids=lambda f: f.__name__
)
def test_ways_to_write(f):
    assert_agree(f, np.float64(0.7))


def test_masked_writes():
    assert_agree(masked, np.array([0.3, 0.6]))


def test_masks_take_arrays_of_their_count():
    def f(x, y):
        z = x * 1.0
        z[x > 0] = y
        return z

    g = jit(f)
    for x in ([1.0, -1, 2], [-1.0, 3, 2], [1.0, 2, -3]):
        x, y = np.array(x), np.array([5.0, 6])
        assert np.array_equal(g(x, y), f(x, y))
    assert len(g.variants()) == 1
    assert np.array_equal(g(np.array([-1.0, 3, -2]), np.array([5.0])), [-1, 5, -2])
    assert np.array_equal(grad(lambda x, y: np.sum(f(x, y) ** 2), 1)(x, y), 2 * y)
    with pytest.raises(ValueError, match="cannot assign 2 input values to the 3 output values"):
        g(np.ones(3), np.ones(2))
    two = np.arange(6.0).reshape(3, 2) - 2.5
    assert_agree(f, two, np.array([7.0, 8, 9]), order=0)

    def h(x, y):
        z = x * 1.0
        z[x[:, 0] > 0] = y
        return z

    assert_agree(h, two, np.ones((1, 2)), order=0)


def masked_beside(x, mask):
    """Masks with slices, numbers, dots and new axes beside them, and what they are given."""
    out, column, row = [], x[:, :1] * 3, np.arange(1.0, 4)
    for k in range(12):
        z = x.copy()
        if k == 0:
            z[:, mask] = 0
        elif k == 1:
            z[:, mask] *= 2
        elif k == 2:
            z[1, mask] = z[mask, 1] = 5
        elif k == 3:
            z[mask, 1] += 5
        elif k == 4:
            z[mask, mask] += 5
        elif k == 5:
            z[..., mask] = column
        elif k == 6:
            z[:2, mask] = column[:2]
        elif k == 7:
            z[::-1, mask][:, 0] = z[mask, ..., 0] = -1
        elif k == 8:
            z[None, mask] = row
        elif k == 9:
            z[:, mask] = x[:, mask] ** 2
        elif k == 10:
            np.add.at(z, (slice(None), mask), 1.5)
        else:
            z[:, [mask[0], mask[1], True]] = 7
        out.append(z)
    return tuple(out)


def test_masks_beside_other_indices_name_what_they_name_in_numpy():
    x, mask = np.arange(9.0).reshape(3, 3) + 1, np.array([True, False, True])
    assert_agree(masked_beside, x, mask)
    assert_agree(lambda x: np.stack(masked_beside(x, x[0] > 0.15)), x / 9, order=1)
    for index in ((slice(None), mask[:2]), (0, mask[:2])):
        with pytest.raises(IndexError, match="axis 1; size of axis is 3 but"):
            jit(lambda x, m, k=index[0]: x.copy().__setitem__((k, m), 0.0))(x, index[1])


def test_choices_that_are_not_there_are_refused():
    g, x = jit(lambda i, x: np.choose(i, [x, -x])), np.ones(3)
    assert np.array_equal(g(np.array([0, 1, 1]), x), [1, -1, -1])
    for i in ([0, 1, 2], [0, -1, 0]):
        with pytest.raises(IndexError, match="out of bounds"):
            g(np.array(i), x)


def random_writes(rng, shape):
    """Statements that write into z and read from it, as text."""
    lines = []
    for k in range(8):
        index = ", ".join(
            str(rng.integers(0, n))
            if rng.random() < 0.5
            else f"{(a := rng.integers(0, n))}:{rng.integers(a, n) + 1}"
            for n in shape
        )
        other = ", ".join(str(rng.integers(0, n)) for n in shape)
        op = rng.choice(["=", "+=", "*="])
        lines.append(f"    z[{index}] {op} x * 0.{k}1 + np.sin(z[{other}])")
        if rng.random() < 0.15:
            lines.append("    z = np.cos(z + w * z.sum())")
            lines.append("    w = z")
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(6))
def test_random_writes(seed):
    rng = np.random.default_rng(seed)
    shape = [(5,), (3, 4), (2, 3, 2)][seed % 3]
    text = f"def f(x):\n    z = np.{'zeros' if seed % 2 else 'ones'}({shape})\n    w = x\n"
    space = {"np": np}
    exec(text + random_writes(rng, shape) + "\n    return z + w", space)
    assert_agree(space["f"], np.float64(0.3), order=1)


# ------------------------------------------------------------------ what it costs


def test_many_writes_are_many_pieces():
    def f(x):
        z = np.zeros(24)
        z[0] = x
        for k in range(1, 24):
            z[k * 7 % 24] = np.sin(z[(k - 1) * 7 % 24])
        return np.sum(z * z)

    with adjit.options(unroll="always"):
        traced = jit(f).ir(0.5).program
    ops = puts(traced).ops
    names = [op.prim.name for op in ops]
    assert names.count("select") == 0 and names.count("concatenate") <= 1
    adjit.check_grads(f, (0.5,))


def test_states_of_few_numbers_become_scalars():
    def rhs(x):
        z = np.zeros(3)
        z[0] = x[0] * x[1]
        z[1] = np.sin(x[2])
        z[2] = z[0] + z[1]
        return np.sum(z**2)

    text = str(grad(rhs).ir(np.ones(3), stage="simplified"))
    assert "select" not in text and "bool" not in text


# ------------------------------------------------------------------ refusals


@dataclasses.dataclass
class State:
    n: float
    w: list


def appends(x, rows):
    y = x * 2
    rows.append(y)  # here
    return y


def replaces(p):
    p["w"] = p["w"] + 1  # here
    return p


def deletes(x, *, p):
    del p["w"]  # here
    return x


def sets_within(s, x):
    def inner(w):
        w[0] = x  # here

    inner(s.w)
    return s.n * x


def counts(s):
    s.n += 1  # here
    return s


def takes(*given):
    return given[0].pop() + given[1]  # here


def held(x, rows, p, s):
    rows, p = [*rows, x], dict(p)
    rows.append(x)
    p["w"] = rows[0]
    s = dataclasses.replace(s, n=x)
    s.n += 1.0
    return rows, p, s


def test_containers_that_are_arguments_are_not_changed():
    p, s = {"w": 1.0, "b": [2.0]}, State(1.0, [2.0, 3.0])
    for f, args, kwargs, path, new in (
        (appends, (1.0, [2.0]), {}, "rows", "[*rows, value]"),
        (replaces, (p,), {}, "p", "{**p, key: value}"),
        (deletes, (1.0,), {"p": p}, "p", "{**p, key: value}"),
        (sets_within, (s, 2.0), {}, "s.w", "[*s.w, value]"),
        (counts, (s,), {}, "s", "dataclasses.replace(s, ...)"),
        (takes, ([1.0, 2.0], 3.0), {}, "args[0]", "[*args[0], value]"),
    ):
        with pytest.raises(FrozenWrite) as error:
            jit(f)(*args, **kwargs)
        text = str(error.value)
        assert f"changes its argument {path}, of which it has a copy" in text
        assert "# here" in text and text.endswith(new)
    with pytest.raises(FrozenWrite, match="its argument rows"):
        grad(lambda x: appends(x, []) * grad(appends)(x, []))(1.0)
    assert (p, s) == ({"w": 1.0, "b": [2.0]}, State(1.0, [2.0, 3.0]))
    args = [1.5], {"w": 2.0}, State(1.0, [])
    assert jit(held)(0.5, *args) == held(0.5, *args)
    assert grad(lambda x: appends(x, []))(1.0) == 2.0


def test_arguments_and_captured_arrays_are_not_written():
    held = np.ones(3)

    def argument(x):
        x[0] = 1.0
        return x

    def view(x):
        x.reshape(-1)[1:] += 1
        return x

    def captured(x):
        held[0] = x[0]
        return x

    for f, why in ((argument, "the argument x"), (view, "the argument x")):
        with pytest.raises(FrozenWrite, match=why) as error:
            jit(f)(np.ones(3))
        assert "x = x.copy()" in str(error.value)
    with pytest.raises(UntracedWrite, match="an array from outside") as error:
        jit(captured)(np.ones(3))
    assert "z = np.copy(a)" in str(error.value)


def test_rows_that_are_written_stay_rows():
    def f(x):
        z = np.outer(x, x)
        z[0] = 0.0
        z[-1] = z[-2]
        z[1, 2] = x[0]
        return z[1] * 2 + z[:2].sum(0) - z[3]

    def rows(x):
        z = np.outer(x, x)
        z[0] = 0.0
        z[-1] = z[-2]
        return z

    x = np.linspace(0.5, 1.5, 4)
    assert_agree(f, x)
    ops = puts(jit(rows).ir(x).program).ops
    assert [op.outs[0].ndim for op in ops if op.prim.name == "concatenate"] == [2]
    assert "select" not in [op.prim.name for op in ops]

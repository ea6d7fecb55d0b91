"""What Tensors refuse, in which words; and what writing in place means."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import adjit.tensors as torch


def leaf(*xs):
    return torch.tensor(list(xs), requires_grad=True)


@pytest.mark.parametrize(
    ("do", "kind", "words"),
    [
        (lambda x: (x * x).backward(), RuntimeError, "implicitly created only for scalar outputs"),
        (lambda x: (x * x).backward(torch.ones(3)), RuntimeError, r"Size\(\[3\]\).*Size\(\[2\]\)"),
        (lambda x: torch.ones(1).backward(), RuntimeError, "does not require grad"),
        (lambda x: x.add_(1), RuntimeError, "a leaf Variable that requires grad"),
        (lambda x: x.__setitem__(0, 1.0), RuntimeError, "a leaf Variable that requires grad"),
        (lambda x: x[0].zero_(), RuntimeError, "a view of a leaf Variable"),
        (lambda x: x.numpy(), RuntimeError, r"Use tensor.detach\(\).numpy\(\)"),
        (lambda x: np.asarray(x), RuntimeError, r"Use tensor.detach\(\).numpy\(\)"),
        (lambda x: bool(x > 0), RuntimeError, "more than one value is ambiguous"),
        (lambda x: x.item(), RuntimeError, "2 elements cannot be converted to Scalar"),
        (lambda x: torch.autograd.grad(x.sum(), []), RuntimeError, "cannot be empty"),
        (lambda x: float(x), ValueError, "only one element tensors"),
        (lambda x: int(x), ValueError, "only one element tensors"),
        (lambda x: f"{x:.2f}", TypeError, "unsupported format string"),
        (lambda x: x + torch.ones(3), RuntimeError, r"a \(2\) must match .* b \(3\)"),
        (lambda x: torch.ones(2, 3) @ torch.ones(4, 2), RuntimeError, "2x3 and 4x2"),
        (lambda x: torch.matmul(x, torch.ones(2).double()), RuntimeError, "same dtype"),
        (lambda x: x.reshape(3), RuntimeError, r"shape '\[3\]' is invalid for input of size 2"),
        (lambda x: x[2], IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
        (lambda x: x[0, 0], IndexError, "too many indices"),
        (lambda x: x.sum(3), IndexError, r"range of \[-1, 0\], but got 3"),
        (lambda x: torch.ones(2, dtype=torch.int64).mean(), RuntimeError, "floating point"),
        (lambda x: x + "a", TypeError, "a str is neither a Tensor nor a number"),
        (lambda x: torch.tensor(["a"]), ValueError, "too many dimensions 'str'"),
        (lambda x: torch.tensor([[1, 2], [3]]), ValueError, r"length 2 at dim 1 \(got 1\)"),
        (lambda x: torch.tensor([1, 2]) // 0, RuntimeError, "ZeroDivisionError"),
        (lambda x: torch.cat([]), ValueError, "non-empty"),
        (lambda x: torch.cat([torch.ones(2, 2), x]), RuntimeError, "got 2 and 1"),
        (lambda x: torch.autograd.grad(x.sum(), leaf(1.0)), RuntimeError, "allow_unused=True"),
        (lambda x: torch.optim.SGD([x], lr=-1.0), ValueError, "Invalid learning rate"),
        (lambda x: torch.optim.SGD([], lr=1.0), ValueError, "empty parameter list"),
        (lambda x: torch.optim.SGD([x * 2], lr=1.0), ValueError, "non-leaf"),
        (lambda x: torch.optim.SGD([x], lr=1.0, nesterov=True), ValueError, "Nesterov"),
        (lambda x: copy.deepcopy(x * 2), RuntimeError, "deepcopy"),
        (lambda x: setattr(x, "grad", torch.ones(3)), RuntimeError, r"of size '\[3\]'"),
        (lambda x: torch.ones(2, dtype=torch.int64).add_(0.5), RuntimeError, "can't be cast"),
    ],
)
def test_refusals(do, kind, words):
    with pytest.raises(kind, match=words):
        do(leaf(1.0, 2.0))


def test_only_floats_require_gradients():
    for make in (lambda: torch.ones(2, dtype=torch.int64, requires_grad=True),
                 lambda: torch.arange(3).requires_grad_()):  # fmt: skip
        with pytest.raises(RuntimeError, match=r"[Oo]nly Tensors of floating point"):
            make()


def test_twice_through_what_is_shared():
    x = leaf(3.0)
    y = x * x
    (y + 1).backward()
    with pytest.raises(RuntimeError, match="a second time"):
        (y * 2).backward()


def test_twice_where_nothing_was_saved():
    x = leaf(3.0, 4.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


# ------------------------------------------------------------------ in place


def test_recorded_operations_keep_the_values_they_saw():
    x = leaf(2.0)
    y, z = x * x, x + 1
    with torch.no_grad():
        x.mul_(10)
    assert (y.item(), z.item(), x.item()) == (4.0, 3.0, 20.0)
    z.backward()  # needs no value
    with pytest.raises(RuntimeError, match=r"Tensor \[1\]\] is at version 1; expected version 0"):
        y.backward()


def test_in_place_on_a_result():
    x = leaf(1.0, 2.0)
    y = x * 3
    y += 1
    y[0] = 7.0
    assert y.tolist() == [7.0, 7.0] and y.grad_fn.name() == "CopySlices"
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 3.0]


def test_views_share_memory():
    x = torch.zeros(2, 3)
    x[0].add_(1)
    x.T[2] = 5.0
    x.view(-1)[3] = -1.0
    assert x.tolist() == [[1.0, 1.0, 5.0], [-1.0, 0.0, 5.0]]
    shared = np.zeros(2)
    t = torch.from_numpy(shared)
    y = t + 1
    t.add_(2)
    shared[0] = 9.0
    assert t.tolist() == [9.0, 2.0] and y.tolist() == [1.0, 1.0]


def test_update_by_hand_keeps_the_leaf():
    w = leaf(1.0)
    for _ in range(3):
        (w * w).backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            w.grad.zero_()
    assert w.is_leaf and w.requires_grad
    np.testing.assert_allclose(w.item(), 0.8**3, rtol=1e-6)


# ------------------------------------------------------------------ hooks, second derivatives


def test_hooks_and_retained_gradients():
    x = leaf(2.0)
    y = x * 3
    z = y * y
    y.retain_grad()
    handle = x.register_hook(lambda g: g * 2)
    z.backward(retain_graph=True)
    assert (y.grad.item(), x.grad.item()) == (12.0, 72.0)
    handle.remove()
    x.grad = None
    z.backward()
    assert x.grad.item() == 36.0


def test_second_derivatives():
    x = leaf(2.0, 3.0)
    (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    assert g.tolist() == [12.0, 27.0] and h.tolist() == [12.0, 18.0]
    whole = torch.autograd.functional.hessian(lambda x: (x[0] * x[1]) ** 2, x)
    assert whole.tolist() == [[18.0, 24.0], [24.0, 8.0]]


def test_functional_forms():
    f = torch.autograd.functional
    out, tangent = f.jvp(lambda x: x**2, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5]))
    assert out.tolist() == [1.0, 4.0] and tangent.tolist() == [2.0, 2.0]
    out, (a, b) = f.vjp(lambda a, b: (a * b).sum(), (torch.ones(2), 2 * torch.ones(2)))
    assert out.item() == 4.0 and a.tolist() == [2.0, 2.0] and b.tolist() == [1.0, 1.0]


def test_numpy_functions():
    x = leaf(1.0, 4.0)
    y = np.sum(np.sqrt(x) * np.array([1.0, 2.0], np.float32))
    assert type(y) is torch.Tensor and y.item() == 5.0
    y.backward()
    assert x.grad.tolist() == [0.5, 0.5]
    assert np.concatenate([x, x]).shape == (4,) and np.shape(x) == (2,)
    assert type(np.linalg.norm(torch.ones(4))) is torch.Tensor


def test_pickle_and_copy():
    x = leaf(1.0, 2.0)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert y.requires_grad and y.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: torch.tensor([]), "tensor([])"),
        (lambda: torch.zeros(0, 3), "tensor([], size=(0, 3))"),
        (lambda: torch.tensor([1, -20]), "tensor([  1, -20])"),
        (lambda: torch.tensor([True, False]), "tensor([ True, False])"),
        (lambda: torch.tensor([1.0, float("nan")]), "tensor([1., nan])"),
        (lambda: torch.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
        (lambda: torch.tensor(np.ones(2)), "tensor([1., 1.], dtype=torch.float64)"),
        (lambda: torch.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
        (lambda: torch.eye(2), "tensor([[1., 0.],\n        [0., 1.]])"),
    ],
)
def test_repr(make, shown):
    assert repr(make()) == shown


def test_dtypes():
    i, f, d = torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), torch.tensor(np.array([1.0, 2.0]))
    assert (i * 2.5).dtype == torch.float32 and (i / i).dtype == torch.float32
    assert (i + f).dtype == torch.float32 and (f + d).dtype == torch.float64
    assert (f * torch.tensor(2.0, dtype=torch.float64)).dtype == torch.float32
    assert (f * np.float64(2)).dtype == torch.float32 and i.sum().dtype == torch.int64


def test_programs_agree_with_the_interpreter(monkeypatch):
    from adjit.eager import hot

    def step(w):
        loss = (torch.sigmoid(w @ w.T).sum(0) ** 2).mean()
        loss.backward()
        return loss.item(), w.grad.detach().numpy().copy()

    torch.manual_seed(1)
    start = torch.randn(5, 5)
    expected = step(start.clone().requires_grad_())
    monkeypatch.setattr(hot, "PATIENCE", 0.0)
    for _ in range(4):
        value, gradient = step(start.clone().requires_grad_())
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=1e-7)


def test_long_compilations_go_on_beside_the_steps(monkeypatch):
    from adjit.eager import hot

    def step(w):
        h = w
        for _ in range(3):
            h = torch.tanh(h @ w + 1.5)
        h.sum().backward()
        return w.grad.numpy().copy()

    w = torch.linspace(-1.0, 1.0, 16).reshape(4, 4)
    monkeypatch.setattr(hot, "PATIENCE", 0.0)
    monkeypatch.setattr(hot, "PER_OP", 1e-4)
    monkeypatch.setattr(hot, "PAUSE", 0.0)
    expected, seen = step(w.clone().requires_grad_()), set()
    for _ in range(2000):
        np.testing.assert_allclose(step(w.clone().requires_grad_()), expected, 1e-4, 1e-6)
        jobs = [s for s in hot.structures if s.job is not None]
        seen.update(jobs)
        if any(s.program is not None for s in seen):
            break
        for s in jobs:
            s.job.join(0.05)
    assert any(s.program is not None for s in seen) and "compiled" in torch.explain()


def test_gradients_have_memory_of_their_own():
    for _ in range(3):
        x, y = torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)
        for _ in range(3):
            (x + y).backward()
        assert (x.grad.item(), y.grad.item()) == (3.0, 3.0)


def test_indices_carry_no_derivative():
    x = leaf(1.0, 3.0)
    values, indices = x.max(0)
    assert values.requires_grad and not indices.requires_grad and indices.grad_fn is None
    (x[indices] * indices * values).backward()
    assert x.grad.tolist() == [0.0, 6.0]


def test_grad_of_a_result_warns():
    x = leaf(1.0)
    y = x * 2
    with pytest.warns(UserWarning, match="retain_grad"):
        assert y.grad is None
    y.retain_grad()
    y.sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert y.grad.item() == 1.0 and x.grad.item() == 2.0


def test_a_retained_gradient_is_that_after_all_hooks():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    (y * y).sum().backward()
    assert y.grad.tolist() == [60.0, 120.0] and x.grad.tolist() == [180.0, 360.0]


def test_a_hook_returns_a_gradient_or_nothing():
    for make in (lambda x: x, lambda x: x * 2):
        x = leaf(1.0, 2.0)
        y = make(x)
        handle = y.register_hook(lambda g: g[:1])
        with pytest.raises(RuntimeError, match=r"changed the size of value\s+from \[2\] to \[1"):
            (y * 2).sum().backward()
        handle.remove()
        y.register_hook(lambda g: 3)
        with pytest.raises(TypeError, match="'<lambda>' has returned something of type int"):
            (y * 2).sum().backward()


def test_modes_of_generators_are_those_of_their_bodies():
    x = leaf(1.0)
    seen = []

    @torch.no_grad()
    def doubled():
        try:
            got = yield x * 2
            seen.append((got, torch.is_grad_enabled()))
            try:
                yield x * 3
            except KeyError:
                seen.append(("thrown", torch.is_grad_enabled()))
            yield x * 4
            return "end"
        finally:
            seen.append(("closed", torch.is_grad_enabled()))

    stream = doubled()
    assert not next(stream).requires_grad and (x * 2).requires_grad
    assert not stream.send("sent").requires_grad
    assert not stream.throw(KeyError()).requires_grad and torch.is_grad_enabled()
    with pytest.raises(StopIteration) as ended:
        next(stream)
    assert ended.value.value == "end" and torch.is_grad_enabled()
    cut = doubled()
    next(cut)
    cut.close()
    assert seen == [("sent", False), ("thrown", False), ("closed", False), ("closed", False)]
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("do", "kind", "words"),
    [
        (lambda: torch.ones(3).size(2), IndexError, r"range of \[-1, 0\], but got 2"),
        (lambda: torch.tensor(1.0).size(0), IndexError, "tensor has no dimensions"),
        (lambda: torch.zeros("a"), TypeError, "a size is a whole number, not 'a'"),
        (lambda: torch.nn.Linear("a", 4), TypeError, "a size is a whole number, not 'a'"),
        (lambda: torch.linspace(0, 1, -1), RuntimeError, "steps must be non-negative"),
        (
            lambda: torch.bmm(torch.ones(2, 2, 3), torch.ones(3, 3, 2)),
            RuntimeError,
            r"to be: \[2, 3\] but got: \[3, 3\]",
        ),
        (
            lambda: torch.ones(2, 3, requires_grad=True).t().view(6),
            RuntimeError,
            r"Use .reshape\(...\)",
        ),
    ],
)
def test_sizes_that_make_no_sense(do, kind, words):
    with pytest.raises(kind, match=words):
        do()


def test_parts_that_are_taken_in_turn_are_those_of_unbind():
    x = leaf(1.0, 3.0)
    a, b = x
    assert repr(b) == "tensor(3., grad_fn=<UnbindBackward0>)"
    (a * b).backward()
    assert x.grad.tolist() == [3.0, 1.0] and list(torch.ones(0)) == []

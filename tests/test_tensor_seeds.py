"""Everything that five documents about PyTorch's autograd show, with their numbers."""

import math

import numpy as np
import pytest

import adjit
import adjit.tensors as torch

W = [-0.4006, 0.5031, 0.7388, -1.3426, -0.7654, 0.2890, 0.5834, -0.7407, -1.1290, -0.0162]
X = [0.8196, 0.4267, 0.1205, 0.6585, 0.8084, 0.2857, 0.9630, 0.3658, 0.1606, 0.7902]
SIN = [0, 0.25882, 0.5, 0.70711, 0.86603, 0.96593, 1.0]


def leaf(*xs):
    return torch.tensor(list(xs), requires_grad=True)


def values(t):
    return t.detach().numpy()


def text(t):
    """What `print` shows, with the line breaks taken out as the documents have it."""
    return " ".join(str(t).split())


@pytest.fixture
def curve():
    x = torch.linspace(0.0, 2.0 * math.pi, steps=25, requires_grad=True)
    b = torch.sin(x)
    c = 2 * b
    d = c + 1
    return x, b, c, d, d.sum()


# ------------------------------------------------------------------ the sine curve


def test_a1_vector_jacobian_product():
    x, v = leaf(1.0, 2.0, 3.0), torch.tensor([1.0, -2.0])

    def f(x):
        return torch.stack([x[0] * x[1], torch.sin(x[2]) * x[0]])

    whole = torch.autograd.functional.jacobian(f, x)
    f(x).backward(v)
    np.testing.assert_allclose(values(x.grad), values(whole).T @ values(v), rtol=1e-6)


def test_a2_linspace(curve):
    shown = text(curve[0])
    assert shown.startswith("tensor([0.0000, 0.2618, 0.5236, 0.7854, 1.0472, 1.3090, 1.5708,")
    assert shown.endswith("5.4978, 5.7596, 6.0214, 6.2832], requires_grad=True)")
    assert curve[0].dtype == torch.float32


def test_a3_a5_sine(curve):
    b = curve[1]
    np.testing.assert_allclose(values(b)[:7], SIN, atol=1e-5)
    np.testing.assert_allclose(values(b)[[12, 24]], [-8.7423e-08, 1.7485e-07], rtol=1e-4)
    assert text(b).startswith("tensor([ 0.0000e+00, 2.5882e-01, 5.0000e-01, 7.0711e-01,")
    assert text(b).endswith("-5.0000e-01, -2.5882e-01, 1.7485e-07], grad_fn=<SinBackward0>)")
    assert "2.5882e-01, -8.7423e-08, -2.5882e-01," in text(b)


def test_a3_double_precision():
    x = torch.linspace(0.0, 2.0 * math.pi, steps=25, dtype=torch.float64)
    np.testing.assert_allclose(values(torch.sin(x))[12], 1.22e-16, rtol=1e-2)


def test_a4_a11_plots(curve, tmp_path):
    pyplot = pytest.importorskip("matplotlib.figure")
    x, b, *_, out = curve
    out.backward()
    figure = pyplot.Figure()
    axes = figure.subplots()
    axes.plot(x.detach(), b.detach())
    axes.plot(x.detach(), x.grad.detach())
    figure.savefig(tmp_path / "curve.png")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.sin(values(x)), atol=1e-6)


def test_a6_a7_scaled_and_shifted(curve):
    _, _, c, d, _ = curve
    assert text(c).endswith("3.4969e-07], grad_fn=<MulBackward0>)")
    assert d.grad_fn.name() == "AddBackward0"
    expected = [1.0, 1.5176, 2.0, 2.4142, 2.7321, 2.9319, 3.0]
    np.testing.assert_allclose(values(d)[:7], expected, atol=5e-5)
    np.testing.assert_allclose(values(d)[[14, 22]], [-3.5763e-07, 4.7684e-07], atol=1e-6)


def test_a8_sum(curve):
    out = curve[-1]
    assert out.item() == 25.0 and out.shape == ()
    assert out.grad_fn.name() == "SumBackward0"


def test_a9_walk(curve):
    fn = curve[3].grad_fn
    names = []
    while fn is not None:
        names.append(fn.name())
        assert repr(fn).startswith(f"<{fn.name()} object at 0x")
        following = fn.next_functions
        if len(following) == 2:
            assert following[1] == (None, 0)
        fn = following[0][0] if following else None
    assert names == ["AddBackward0", "MulBackward0", "SinBackward0", "AccumulateGrad"]
    assert following == ()


def test_a10_gradient(curve):
    x, *_, out = curve
    out.backward()
    assert not hasattr(out, "backwards")
    np.testing.assert_allclose(values(x.grad), 2 * np.cos(values(x)), atol=1e-6)
    np.testing.assert_allclose(values(x.grad)[6], -8.7423e-08, rtol=1e-4)
    np.testing.assert_allclose(values(x.grad)[18], 2.3850e-08, rtol=1e-4)


def test_a12_only_leaves_keep_gradients(curve):
    x, _, c, d, out = curve
    out.backward()
    assert c.grad is None and d.grad is None and x.grad is not None


def test_a13_two_ways_to_switch_off():
    a = torch.ones(2, 3, requires_grad=True)
    a.requires_grad = False
    b = 2 * a
    with torch.no_grad():
        c = a + b
    assert not c.requires_grad and c.shape == (2, 3)
    assert values(c).tolist() == [[3.0] * 3] * 2


def test_a14_modes_nest():
    x = leaf(1.0)

    @torch.no_grad()
    def off():
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
            with torch.inference_mode():
                assert not (x * 2).requires_grad
        return x * 2

    assert not off().requires_grad and (x * 2).requires_grad
    torch.set_grad_enabled(False)
    assert not torch.is_grad_enabled() and not (x * 2).requires_grad
    torch.set_grad_enabled(True)
    with torch.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert torch.is_grad_enabled()


# ------------------------------------------------------------------ a tape of two numbers


def test_a16_to_a19_polynomial():
    a, b = leaf(5.0), leaf(6.0)
    assert repr(a) == "tensor([5.], requires_grad=True)"
    y = a**3 - b**2
    assert str(y) == "tensor([89.], grad_fn=<SubBackward0>)"
    assert a.grad is None and b.grad is None
    y.backward()
    assert repr(a.grad) == "tensor([75.])" and repr(b.grad) == "tensor([-12.])"


def test_a20_to_a23_linear_regression():
    w = torch.tensor([[v] for v in W], requires_grad=True)
    b = leaf(1.4956)
    x = torch.tensor([X])
    output = torch.matmul(x, w) + b
    assert repr(output) == "tensor([[0.1474]], grad_fn=<AddBackward0>)"
    np.testing.assert_allclose(values(output), [[0.1473]], atol=2e-4)
    loss = 1 - output
    np.testing.assert_allclose(values(loss), [[0.8527]], atol=2e-4)
    assert loss.grad_fn.name() == "RsubBackward1"
    loss.backward()
    assert w.grad.shape == (10, 1) and values(b.grad).tolist() == [-1.0]
    np.testing.assert_allclose(values(w.grad).ravel(), -np.float32(X))
    with torch.no_grad():
        w = w - 0.001 * w.grad.data
    expected = [
        -0.3998,
        0.5035,
        0.7389,
        -1.3420,
        -0.7646,
        0.2893,
        0.5844,
        -0.7403,
        -1.1288,
        -0.0154,
    ]
    np.testing.assert_allclose(values(w).ravel(), expected, atol=1e-4)
    assert not w.requires_grad and "requires_grad" not in repr(w)


def test_a24_accumulation():
    x, y = leaf(0.0, 2.0, 8.0), leaf(5.0, 1.0, 7.0)
    (x * y).sum().backward()
    first = x.grad
    (x * y).sum().backward()
    assert values(x.grad).tolist() == [10.0, 2.0, 14.0] and x.grad is first
    z = (x * y).sum()
    z.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        z.backward()


def test_a24_retained_graph():
    x = leaf(2.0)
    z = x * x
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.item() == 8.0


def test_a25_a26_untracked():
    a, b = torch.tensor(2.0), torch.tensor(3.0)
    c = a * b
    assert (repr(a), repr(c)) == ("tensor(2.)", "tensor(6.)")
    assert (c.requires_grad, c.grad_fn, c.is_leaf, c.grad) == (False, None, True, None)
    assert c.data.item() == 6.0


def test_a27_one_tracked():
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    c = a * b
    assert repr(c) == "tensor(6., grad_fn=<MulBackward0>)" and not c.is_leaf
    c.backward()
    assert repr(a.grad) == "tensor(3.)" and b.grad is None


def test_a28_three_factors():
    a, b, d = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 4.0))
    e = a * b * d
    e.backward()
    assert [t.item() for t in (e, d.grad, b.grad, a.grad)] == [24.0, 6.0, 8.0, 12.0]


# ------------------------------------------------------------------ dynamic graphs


def test_a29_only_floats():
    with pytest.raises(RuntimeError, match=r"Only Tensors of floating point .*\n.* int64"):
        torch.tensor([1, 2], requires_grad=True)
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require"):
        torch.arange(3).requires_grad_()
    kept = torch.tensor(np.array([1.0, 2.0]), requires_grad=True)
    assert kept.dtype == torch.float64


def test_a30_branches():
    def f(x):
        return (x * x if x.sum() > 0 else -3 * x).sum()

    for start, expected in ((2.0, 4.0), (-2.0, -3.0), (5.0, 10.0)):
        x = leaf(start)
        f(x).backward()
        assert x.grad.item() == expected


def test_a31_members():
    x, y = torch.tensor(1.0), torch.tensor(2.0)
    z = x * y
    assert z.item() == 2.0
    assert all(hasattr(z, n) for n in ("data", "grad", "grad_fn", "is_leaf", "requires_grad"))


def test_a32_flag_in_place():
    x = torch.tensor(1.0)
    assert x.requires_grad_(True) is x and x.requires_grad
    with pytest.raises(RuntimeError, match="detach"):
        (x * 2).requires_grad = False


def test_a33_leaves():
    x = torch.tensor(1.0, requires_grad=True)
    assert x.is_leaf and (torch.ones(2) * 2).is_leaf and (x * 2).detach().is_leaf
    assert not (x * 2).is_leaf


def test_a33_detach_shares_memory():
    x = leaf(1.0, 2.0)
    d = x.detach()
    d[0] = 5.0
    assert values(x).tolist() == [5.0, 2.0] and not d.requires_grad


def test_a34_who_gets_a_gradient():
    x, y = leaf(2.0), torch.tensor([3.0])
    z = x * y
    w = z * 2
    w.backward()
    assert x.grad.item() == 6.0 and y.grad is None and z.grad is None


def test_a36_implicit_seed():
    x = torch.tensor(3.0, requires_grad=True)
    (x * x).backward()
    y = torch.tensor(3.0, requires_grad=True)
    (y * y).backward(torch.tensor(1.0))
    assert x.grad.item() == y.grad.item() == 6.0


def test_a37_to_a39_external_gradient():
    x, y = leaf(0.0, 2.0, 8.0), leaf(5.0, 1.0, 7.0)
    z = x * y
    with pytest.raises(
        RuntimeError, match="grad can be implicitly created only for scalar outputs"
    ):
        z.backward()
    with pytest.raises(RuntimeError, match=r"shape of torch.Size\(\[2\]\).*torch.Size\(\[3\]\)"):
        z.backward(torch.ones(2))
    z.backward(torch.FloatTensor([1.0, 1.0, 1.0]))
    assert values(x.grad).tolist() == [5.0, 1.0, 7.0] and values(y.grad).tolist() == [0.0, 2.0, 8.0]


def test_a40_linear_in_the_external_gradient():
    u, v = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])

    def pulled(ct):
        return torch.autograd.functional.vjp(torch.exp, torch.tensor([0.3, 0.7]), ct)[1]

    left = pulled(2 * u + 3 * v)
    right = 2 * pulled(u) + 3 * pulled(v)
    np.testing.assert_allclose(values(left), values(right), rtol=1e-6)


def test_a41_chain_through_a_jacobian():
    x = leaf(0.4, 0.9)
    y = torch.stack([x[0] * x[1], x[0].exp(), x[1] ** 2])
    (inner,) = torch.autograd.grad((y**2).sum(), y, retain_graph=True)
    (y**2).sum().backward()
    whole = torch.autograd.functional.jacobian(
        lambda x: torch.stack([x[0] * x[1], x[0].exp(), x[1] ** 2]), x
    )
    np.testing.assert_allclose(values(x.grad), values(whole).T @ values(inner), rtol=1e-5)


def test_a42_three_parameters():
    p, q, r = leaf(10.0), leaf(8.0), leaf(5.0)
    out = (r**3) * (q**2) - p**3
    assert out.item() == 7000.0
    out.backward()
    assert [str(t.grad) for t in (p, q, r)] == [
        "tensor([-300.])",
        "tensor([2000.])",
        "tensor([4800.])",
    ]


def test_a43_training_loop():
    torch.manual_seed(0)
    x = torch.randn(64, 3)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1
    w, b = torch.zeros(3, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([w, b], lr=0.2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-4 < losses[0] and losses[:20] == sorted(losses[:20], reverse=True)


def test_a44_flow_control_and_expand():
    x = torch.tensor([[1.0], [2.0]], requires_grad=True)
    total = torch.zeros(2, 3)
    for k in range(3):
        total = total + (k + 1) * x.expand(2, 3)
        assert total[0, 0].item() == sum(range(1, k + 2))
    total.sum().backward()
    assert values(x.grad).tolist() == [[18.0], [18.0]]


# ------------------------------------------------------------------ a training step


def test_a46_momentum():
    p = leaf(1.0)
    optimizer = torch.optim.SGD([p], lr=1e-2, momentum=0.9)
    expected, buf = np.float32(1.0), np.float32(0.0)
    for g in (2.0, 3.0, -1.0):
        p.grad = torch.tensor([g])
        optimizer.step()
        buf = np.float32(0.9) * buf + np.float32(g)
        expected = expected - np.float32(1e-2) * buf
        np.testing.assert_allclose(values(p), [expected], rtol=1e-7)


@pytest.mark.parametrize("summed", [False, True])
def test_a47_a48_external_gradient_or_sum(summed):
    a, b = leaf(2.0, 3.0), leaf(6.0, 4.0)
    q = 3 * a**3 - b**2
    assert repr(q) == "tensor([-12., 65.], grad_fn=<SubBackward0>)".replace(" 65", "  65")
    if summed:
        q.sum().backward()
    else:
        q.backward(gradient=torch.tensor([1.0, 1.0]))
    assert repr(a.grad) == "tensor([36., 81.])" and repr(b.grad) == "tensor([-12.,  -8.])"
    assert bool((9 * a**2 == a.grad).all()) and bool((-2 * b == b.grad).all())


def test_reachable_from_adjit():
    assert adjit.tensor is torch.tensor and adjit.Tensor is torch.Tensor
    assert adjit.no_grad is torch.no_grad and adjit.enable_grad is torch.enable_grad
    assert adjit.optim is torch.optim and adjit.tensors is torch

"""Functions of functions of Tensors, and what is refused with advice."""

import numpy as np
import pytest

import adjit.tensors as torch
from adjit.eager import tensor_rows
from adjit.tensors import func


def test_per_sample_gradients_are_one_program():
    net = torch.nn.Linear(3, 1)
    params = {k: v.detach() for k, v in net.named_parameters()}

    def loss(params, x, y):
        return (func.functional_call(net, params, (x,)) - y).square().sum()

    x, y = torch.randn(5, 3), torch.randn(5, 1)
    found = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(params, x, y)
    known = len(tensor_rows._pieces)
    again = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(params, x + 1, y)
    assert len(tensor_rows._pieces) == known and not torch.equal(found["bias"], again["bias"])
    for i in range(5):
        one = func.grad(loss)(params, x[i], y[i])
        assert all(torch.allclose(found[k][i], one[k], atol=1e-5) for k in params)


def test_derivatives_flow_through_vmap():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    x = torch.arange(6.0).reshape(3, 2)
    out = func.vmap(lambda row: (row * w).sum() ** 2)(x)
    out.sum().backward()
    assert torch.allclose(w.grad, 2 * x.T @ (x @ w.detach()))
    nested = func.vmap(func.vmap(lambda a, b: a * b, in_dims=(0, None)), in_dims=(None, 0))
    assert torch.equal(nested(x[:, 0], x[:, 1]), torch.outer(x[:, 1], x[:, 0]))


def test_transforms_nest():
    f = lambda x: (x**4).sum()  # noqa: E731
    x = torch.tensor([1.0, 2.0])
    assert func.jacrev(func.jacrev(func.grad(f)))(x).shape == (2, 2, 2)
    third = func.grad(func.grad(func.grad(torch.sin)))(torch.tensor(0.3))
    assert third.item() == pytest.approx(-np.cos(0.3), rel=1e-5) and not third.requires_grad
    assert torch.equal(func.hessian(f)(x), torch.diag(12 * x**2))


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


@pytest.mark.parametrize(
    ("do", "kind", "words"),
    [
        (lambda: torch.quantize_per_tensor, AttributeError, "no quantised Tensors"),
        (lambda: torch.jit, AttributeError, "compiled by themselves"),
        (lambda: torch.bfloat16, AttributeError, "float16"),
        (lambda: torch.nosuchname, AttributeError, "no attribute 'nosuchname'"),
        (lambda: torch.autograd.forward_ad, AttributeError, "torch.func.jvp"),
        (lambda: torch.zeros(2, device="cuda"), AssertionError, "no CUDA here"),
        (
            lambda: torch.autograd.graph.saved_tensors_hooks(None, None),
            RuntimeError,
            "utils.checkpoint",
        ),
        (
            lambda: func.vmap(torch.rand_like, randomness="different")(torch.ones(2)),
            RuntimeError,
            "draw before vmap",
        ),
        (
            lambda: func.vmap(func.grad(_Twice.apply))(torch.ones(2, requires_grad=True)),
            RuntimeError,
            "_Twice is an autograd.Function",
        ),
    ],
)
def test_refusals_say_what_to_use(do, kind, words):
    with pytest.raises(kind, match=words):
        do()


def test_data_is_written_without_notice():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.sin()
    x.data.zero_()
    y.sum().backward()
    assert x.tolist() == [0.0, 0.0] and x._version == 0
    np.testing.assert_allclose(x.grad.detach().numpy(), np.cos([1.0, 2.0]), rtol=1e-6)


def test_many_views_and_dead_bases():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    pairs = (x * 2).view(2, 2)  # what it is a view of is held by nobody
    for i in range(20):
        pairs[i % 2].add_(1.0)
    first, second = pairs[0], pairs[1]
    first.mul_(3.0)
    assert second.tolist() == [16.0, 18.0] and second.grad_fn.name() == "AsStridedBackward0"
    (pairs * torch.arange(4.0).view(2, 2)).sum().backward()
    assert pairs.tolist() == [[36.0, 42.0], [16.0, 18.0]]
    assert x.grad.tolist() == [0.0, 6.0, 4.0, 6.0]

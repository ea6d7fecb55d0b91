"""What users of PyTorch write besides the documents: values were run against torch."""

import gc
import weakref

import pytest

import adjit.tensors as torch


class Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, g):
        (result,) = ctx.saved_tensors
        return g * result


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(x, k, y):
        return x * k * y, x > 1

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.k, y = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx, g, _=None):
        x, y = ctx.saved_tensors
        return g * ctx.k * y, None, g * ctx.k * x


def function(back, forward=lambda ctx, x: x * 2):
    members = {"forward": staticmethod(forward), "backward": staticmethod(back)}
    return type("Mine", (torch.autograd.Function,), members)


def leaf(*xs):
    return torch.tensor(list(xs), requires_grad=True)


def near(found, wanted):
    return torch.allclose(found, torch.tensor(wanted), rtol=1e-4)


def test_functions_of_the_users_own():
    x = leaf(1.0, 2.0)
    y = Exp.apply(x)
    assert repr(y) == "tensor([2.7183, 7.3891], grad_fn=<ExpBackward>)"
    y.sum().backward()
    assert near(x.grad, [2.7183, 7.3891])
    with pytest.raises(RuntimeError, match="a second time"):
        y.sum().backward()
    (first,) = torch.autograd.grad(Exp.apply(Exp.apply(x)).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert near(second, [153.1699, 100306.07])
    for k in (1.0, 2.0):  # no plan of an earlier graph is followed
        x.grad = None
        Exp.apply(x * k).sum().backward()
        assert near(x.grad, [k * 2.718281828**k, k * 7.389056099**k])
    with torch.no_grad():
        assert not Exp.apply(x).requires_grad


def test_functions_with_other_arguments_and_results():
    x, y = leaf(1.0, 2.0), torch.tensor(3.0)
    out, big = Scaled.apply(x, 2, y)
    assert big.tolist() == [False, True] and not big.requires_grad
    out.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0] and y.grad is None
    slope = leaf(3.0)
    Scaled.apply(x, 2, slope)[0].sum().backward()
    assert slope.grad.tolist() == [6.0]  # what was broadcast is summed


def test_functions_in_place_and_without_cycles():
    def scale(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    x = leaf(1.0, 2.0)
    z = x + 0
    done = function(lambda ctx, g: g * 3, scale).apply(z)
    assert done is z and z.tolist() == [3.0, 6.0]
    done.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    y = Exp.apply(x)
    gone = weakref.ref(y._node)
    gc.disable()
    try:
        del y
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("back", "words"),
    [
        (lambda ctx, g: (g, g), r"incorrect number of gradients \(expected 1, got 2\)"),
        (lambda ctx, g: torch.ones(3), r"MineBackward .* got \[3\] but .* compatible with \[2\]"),
    ],
)
def test_functions_whose_backward_is_wrong(back, words):
    with pytest.raises(RuntimeError, match=words):
        function(back).apply(leaf(1.0, 2.0)).sum().backward()


def test_once_differentiable():
    x = leaf(1.0, 2.0)
    once = torch.autograd.function.once_differentiable(lambda ctx, g: g * 5)
    (g,) = torch.autograd.grad(function(once).apply(x), x, leaf(1.0, 1.0), create_graph=True)
    assert g.tolist() == [5.0, 5.0]
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        g.sum().backward()

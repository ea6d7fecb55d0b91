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
    return torch.allclose(found, torch.tensor(wanted), rtol=1e-4, atol=1e-5)


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


CASES = [
    # what, its values, its derivative by x = [[1, 2], [3, 4]]
    (lambda x: x.scatter(1, AT, x * 2), [[2.0, 2], [3, 6]], [[2.0, 1], [3, 0]]),
    (lambda x: x.scatter_add(1, AT, x), [[2.0, 2], [3, 7]], None),
    (lambda x: x.index_add(0, torch.tensor([1, 1]), x), [[1.0, 2], [7, 10]], [[2.0, 2], [2, 2]]),
    (lambda x: x.median(1).values, [1.0, 3], [[1.0, 0], [1, 0]]),
    (lambda x: x.kthvalue(2, 0).values, [3.0, 4], [[0.0, 0], [1, 1]]),
    (lambda x: x.quantile(0.5), 2.5, [[0.0, 0.5], [0.5, 0]]),
    (lambda x: x.cummax(1)[0], [[1.0, 2], [3, 4]], [[1.0, 1], [1, 1]]),
    (lambda x: x.repeat_interleave(2, 0), [[1.0, 2], [1, 2], [3, 4], [3, 4]], [[2.0, 2], [2, 2]]),
    (lambda x: x.unfold(0, 2, 1), [[[1.0, 3], [2, 4]]], [[1.0, 1], [1, 1]]),
    (lambda x: x.take(torch.tensor([3, -4])), [4.0, 1], [[1.0, 0], [0, 1]]),
    (lambda x: torch.addmm(x, x, x, alpha=2), [[15.0, 22], [33, 48]], [[15.0, 23], [19, 27]]),
    (lambda x: torch.linalg.inv(x), [[-2.0, 1], [1.5, -0.5]], [[-0.5, 0.5], [0.5, -0.5]]),
    (lambda x: torch.linalg.det(x), -2.0, [[4.0, -3], [-2, 1]]),
    (lambda x: torch.cdist(x, x), [[0.0, 8**0.5], [8**0.5, 0]], None),
    (lambda x: torch.diff(x), [[1.0], [1]], [[-1.0, 1], [-1, 1]]),
    (lambda x: torch.xlogy(x, x), [[0.0, 1.3863], [3.2958, 5.5452]], None),
    (lambda x: x.movedim(0, 1), [[1.0, 3], [2, 4]], [[1.0, 1], [1, 1]]),
    (lambda x: 5 // x, [[5.0, 2], [1, 1]], None),
]  # fmt: skip
AT = torch.tensor([[0], [1]])


@pytest.mark.parametrize(("f", "wanted", "slope"), CASES)
def test_functions(f, wanted, slope):
    x = torch.tensor([[1.0, 2], [3, 4]], requires_grad=True)
    found = f(x)
    assert near(found.detach(), wanted) and found.dtype == torch.float32
    if slope is not None:
        found.sum().backward()
        assert near(x.grad, slope)


@pytest.mark.parametrize(
    ("kind", "own", "others", "value"),
    [
        ("sum", True, [1.0, 1, 1], [4.0, 7]),
        ("mean", False, [1.0, 0.5, 0.5], [1.0, 3.5]),
        ("prod", True, [3.0, 8, 20], [3.0, 40]),
        ("amax", True, [0.0, 1, 0], [3.0, 5]),
        ("amin", False, [1.0, 0, 1], [1.0, 2]),
    ],
)
def test_scatter_reduce(kind, own, others, value):
    x, v = leaf(3.0, 4.0), leaf(1.0, 5.0, 2.0)
    if kind == "sum":
        x, v = leaf(3.0, 0.0), leaf(1.0, 5.0, 2.0)
    found = x.scatter_reduce(0, torch.tensor([0, 1, 1]), v, kind, include_self=own)
    assert near(found.detach(), value)
    found.sum().backward()
    assert near(v.grad, others)


def test_places_and_names():
    x = torch.tensor([[3.0, 1, 2], [6, 5, 4]])
    assert repr(x.max(1)) == (
        "torch.return_types.max(\nvalues=tensor([3., 6.]),\nindices=tensor([0, 0]))"
    )
    values, indices = x.topk(2)
    assert values.tolist() == [[3.0, 2.0], [6.0, 5.0]] and indices.tolist() == [[0, 2], [0, 1]]
    assert torch.tensor([[1, 2, 2], [3, 1, 3]]).mode().values.tolist() == [2, 3]
    assert x.nonzero().shape == (6, 2) and x.aminmax().max.item() == 6.0
    assert torch.unique(torch.tensor([2, 1, 2]), return_counts=True)[1].tolist() == [1, 2]
    assert f"{torch.tensor(2.5)} {torch.tensor(2.5):.2f}" == "2.5 2.50"
    grid = torch.zeros(2, 3).scatter_(1, torch.tensor([[0], [2]]), 1.0)
    assert grid.tolist() == [[1.0, 0, 0], [0, 0, 1]]
    with pytest.raises(RuntimeError, match="index 5 is out of bounds"):
        grid.scatter(1, torch.tensor([[5], [0]]), 1.0)
    A = torch.tensor([[2.0, 1], [1, 3]], requires_grad=True)
    (torch.linalg.eigh(A).eigenvalues ** 2).sum().backward()
    assert near(A.grad, [[4.0, 2], [2, 6]])


LOSSES = [  # name, arguments after x, the loss, its derivative by x = [[1, 2], [3, 4]]
    ("prelu", (torch.tensor([0.5]),), 10.0, [[1.0, 1], [1, 1]]),
    ("threshold", (2.0, 9.0), 25.0, [[0.0, 0], [1, 1]]),
    ("hinge_embedding_loss", (torch.ones(2, 2),), 2.5, [[0.25, 0.25], [0.25, 0.25]]),
    ("soft_margin_loss", (torch.ones(2, 2),), 0.126744, [[-0.06724, -0.0298], [-0.01186, -0.0045]]),
    ("multi_margin_loss", (torch.tensor([0, 1]),), 0.5, [[-0.25, 0.25], [0, 0]]),
    ("poisson_nll_loss", (torch.ones(2, 2),), 18.6978, [[0.42957, 1.59726], [4.77138, 13.39954]]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rest", "value", "slope"), LOSSES)
def test_losses_and_activations(name, rest, value, slope):
    x = torch.tensor([[1.0, 2], [3, 4]], requires_grad=True)
    found = getattr(torch.nn.functional, name)(x, *rest).sum()
    found.backward()
    assert near(found.detach(), value) and near(x.grad, slope)


@pytest.mark.parametrize("name", ["elu", "celu", "prelu"])
def test_slopes_at_the_kink(name):
    x = leaf(0.0)
    rest = [torch.tensor([0.25])] if name == "prelu" else []
    getattr(torch.nn.functional, name)(x, *rest).backward()
    assert x.grad.item() == (0.25 if name == "prelu" else 1.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.norm(3),
        lambda x: x.std(),
        lambda x: torch.nn.functional.normalize(x, dim=0) * 0,
        lambda x: torch.nn.functional.cosine_similarity(x, torch.ones(2), dim=0) * 0,
    ],
)
def test_no_nan_at_zero(f):
    x = leaf(0.0, 0.0)
    f(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_hooks_before_forward_and_deleted_gradients():
    layer = torch.nn.Identity()
    handle = layer.register_forward_pre_hook(lambda module, args: args[0] * 2)
    x = leaf(1.0, 2.0)
    layer(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    handle.remove()
    assert layer(x) is x
    del x.grad
    assert x.grad is None

"""Tensors where formulas end: NaN, infinities, small integers, no elements, no dims."""

from __future__ import annotations

import numpy as np
import pytest

import adjit.nn.functional as F
import adjit.tensors as torch
from adjit import nn, options


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_, np.float32])
def test_the_largest_come_first(dtype):
    low = -128 if dtype == np.int8 else 0
    x = np.array([1, 0, 1, low, 2, 0]).astype(dtype)
    order = sorted(range(x.size), key=lambda k: -int(x[k]))  # equal ones as they stood
    values, indices = torch.sort(torch.tensor(x), descending=True)
    assert indices.tolist() == order
    np.testing.assert_array_equal(values.numpy(), x[order])


def test_nan_counts_as_the_largest():
    x = torch.tensor([1.0, np.nan, 3.0])
    assert torch.sort(x, descending=True).indices.tolist() == [1, 2, 0]
    assert torch.sort(x).indices.tolist() == [0, 2, 1]
    assert torch.topk(x, 2).indices.tolist() == [1, 2]
    assert torch.topk(x, 2, largest=False).indices.tolist() == [0, 2]


def test_slopes_of_a_descending_order():
    x = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]], requires_grad=True)
    (torch.sort(x, dim=1, descending=True).values * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [[1.0, 3.0, 2.0], [3.0, 1.0, 2.0]]


@pytest.mark.parametrize("descending", [False, True])
def test_a_number_is_in_order(descending):
    values, indices = torch.sort(torch.tensor(3.0), descending=descending)
    assert (values.item(), indices.item()) == (3.0, 0)
    assert torch.sort(torch.zeros(0, 3), dim=0, descending=descending).values.shape == (0, 3)


def test_logarithms_of_no_sum_and_of_an_endless_one():
    inf = np.inf
    x = torch.tensor([[-inf, -inf], [0.0, inf], [-inf, 2.0]], requires_grad=True)
    y = torch.logsumexp(x, 1)
    assert y.tolist() == [-inf, inf, 2.0]
    y[2].backward()
    assert x.grad[2].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        (nn.GroupNorm(2, 4), (0, 4, 3), (0, 4, 3)),
        (nn.MaxPool2d(2), (0, 2, 4, 4), (0, 2, 2, 2)),
        (nn.MaxPool1d(2, return_indices=True), (0, 2, 4), (0, 2, 2)),
        (nn.Unfold(2), (0, 2, 4, 4), (0, 8, 9)),
    ],
)
def test_a_batch_may_have_no_examples(layer, shape, wanted):
    y = layer(torch.zeros(*shape, requires_grad=True))
    for part in y if isinstance(y, tuple) else [y]:
        assert part.shape == wanted


def test_a_batch_without_examples_has_slopes():
    x = torch.zeros(0, 2, 4, 4, requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.shape == x.shape


def test_the_median_of_nan_is_nan():
    x = torch.tensor([[1.0, np.nan, 3.0], [5.0, 2.0, 4.0]], requires_grad=True)
    assert torch.isnan(x.median())
    values, indices = x.median(dim=1)
    assert torch.isnan(values[0])
    assert (values[1].item(), indices.tolist()) == (4.0, [1, 2])
    values[1].backward()
    assert x.grad.tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert x.median(dim=0, keepdim=True).values.shape == (1, 3)
    assert torch.tensor([4, 1, 3, 2]).median().item() == 2
    assert torch.nanmedian(x).item() == 3.0


def test_views_and_data_of_inference_mode_are_refused_outside():
    x, plain = torch.ones(3, requires_grad=True), torch.ones(3)
    with torch.inference_mode():
        made, result, of_plain = torch.ones(3), plain * 2, plain[:2]
    assert not of_plain.is_inference() and not plain.detach().is_inference()
    views = made[:2], made.unbind()[0], made.view(3, 1), made.detach(), result[:2]
    for t in (made, result, *views):
        assert t.is_inference() and not t.clone().is_inference()
        with pytest.raises(RuntimeError, match="cannot be saved for backward"):
            x.sum() * t
        with pytest.raises(RuntimeError, match="outside InferenceMode is not allowed"):
            t.add_(1)
    assert (x + made).requires_grad


def test_a_lazy_layer_has_the_dtype_it_was_converted_to():
    for layer, shape in (
        (nn.LazyLinear(4), (2, 3)),
        (nn.LazyConv1d(4, 1), (2, 3, 2)),
        (nn.LazyBatchNorm1d(affine=False), (2, 3)),
    ):
        y = layer.double()(torch.ones(*shape, dtype=torch.float64))
        kinds = {t.dtype for t in layer.state_dict().values() if t.is_floating_point()}
        assert y.dtype == torch.float64 and kinds == {torch.float64}


def test_threads_are_those_of_the_options():
    before = torch.get_num_threads()
    with options(threads=3):
        assert torch.get_num_threads() == 3
        torch.set_num_threads(2)
        assert options.get().threads == torch.get_num_threads() == 2
    assert options.get().threads == torch.get_num_threads() == 2
    torch.set_num_threads(before)
    with pytest.raises(RuntimeError, match="positive"):
        torch.set_num_threads(0)
    with pytest.raises(TypeError, match="expects an int, but got float"):
        torch.set_num_threads(2.0)


def test_the_gradient_given_to_backward_is_no_part_of_what_is_kept_of_a_graph():
    def slope(seed):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        y = x.exp() * x
        y.tolist()
        y.backward(seed(x, y))
        return (x.grad / (y + x.exp())).detach().numpy().round(4).tolist()

    seeds = [
        (lambda x, y: torch.ones(2) * 3, [3, 3]),  # still to be computed
        (lambda x, y: torch.ones(2), [1, 1]),
        (lambda x, y: torch.ones(2) * 5, [5, 5]),
        (lambda x, y: x, [1, 2]),  # an operand of the graph
        (lambda x, y: torch.tensor([7.0, 8.0]), [7, 8]),
        (lambda x, y: y, [2.7183, 14.7781]),  # its result
        (lambda x, y: torch.ones(2, dtype=torch.float64), [1, 1]),
    ]
    for seed, expected in [*seeds, *seeds]:
        assert np.allclose(slope(seed), expected, atol=1e-3)

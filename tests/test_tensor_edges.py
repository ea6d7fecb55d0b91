"""Tensors where formulas end: NaN, infinities, small integers, no elements, no dims."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import adjit.nn.functional as F
import adjit.tensors as torch
from adjit import nn, options
from adjit.tensors import func


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


def test_whole_numbers_become_floats_of_the_default_dtype():
    whole, floats = torch.tensor([1, 0, 1]), torch.tensor([0.5, 0.2, 0.9])
    small = whole.to(torch.int8)
    for t in (
        torch.atan2(whole, small), torch.atan2(small, small), small.logsumexp(0),
        whole.logsumexp(0), whole.clamp(0.5), F.mse_loss(floats, whole), F.l1_loss(floats, whole),
        F.smooth_l1_loss(floats, whole), F.cosine_similarity(floats, whole, 0),
    ):  # fmt: skip
        assert t.dtype == torch.float32
    assert abs(F.cosine_similarity(floats, whole, 0).item() - 0.94388) < 1e-4
    assert torch.promote_types(torch.complex64, torch.int64) == torch.complex64
    assert whole.to(torch.uint8).cumsum(0).dtype == torch.int64
    assert small.cumsum(0, dtype=torch.int8).dtype == torch.int8
    for loss in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.huber_loss):
        with pytest.raises(RuntimeError, match="Long"):
            loss(floats, whole)


def test_comparing_with_what_is_no_number_is_left_to_python():
    x = torch.ones(2)
    assert (x == None) is False and (x != None) is True and (x == "a") is False  # noqa: E711
    assert None not in [x] and x not in [None]
    with pytest.raises(TypeError, match="NoneType"):
        torch.eq(x, None)


def test_axis_and_keepdims_are_dim_and_keepdim():
    x = torch.arange(6.0).reshape(2, 3)
    assert x.sum(axis=1, keepdims=True).shape == (2, 1)
    assert torch.cat([x, x], axis=1).shape == (2, 6) and x.argmax(axis=0).tolist() == [1, 1, 1]
    assert torch.max(x, axis=0).indices.tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match="axis"):
        x.sum(dim=0, axis=0)


def test_a_view_that_becomes_a_leaf_is_one():
    whole = torch.zeros(4)
    leaf = whole[:2].requires_grad_()
    writes = (leaf.add_, leaf[0].add_, leaf.view(2, 1).mul_)
    for write in writes:
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            write(1)
    whole.add_(1)  # the memory is shared
    with torch.no_grad():
        leaf.mul_(2)
    (leaf * leaf).sum().backward()
    assert leaf.is_leaf and leaf.grad.tolist() == [4, 4] and whole.tolist() == [2, 2, 1, 1]
    assert not whole.requires_grad and copy.deepcopy(leaf).grad.tolist() == [4, 4]


def test_whole_rows_are_viewed_written_and_counted_under_vmap():
    x, classes = torch.arange(15.0).reshape(5, 3).sin(), torch.tensor([0, 2, 1, 0, 2])

    def loss(w, row, k):
        return F.cross_entropy((row * w)[None], k[None])

    slopes = func.vmap(func.grad(loss), (None, 0, 0))(torch.ones(3), x, classes)
    each = [func.grad(loss)(torch.ones(3), x[i], classes[i]).tolist() for i in range(5)]
    assert np.allclose(slopes.numpy(), each, atol=1e-6)

    def written(k):
        z = k * 1
        z[0] = 5
        z[1:].add_(k.unbind()[0])
        return z

    rows = torch.stack([classes, classes + 1], 1)
    assert func.vmap(written)(rows).tolist() == [[5, a + b] for a, b in rows.tolist()]
    one_hot = func.vmap(lambda k: F.one_hot(k, 3))(classes)
    assert one_hot.tolist() == F.one_hot(classes).tolist()

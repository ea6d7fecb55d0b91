"""Parameters that are computed from others: which objects are learnt, and what assigning does."""

import numpy as np
import pytest

import adjit.tensors as torch
from adjit.tensors import nn

parametrize = nn.utils.parametrize


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, x):
        return x / 2


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)


class Doubled(nn.Module):
    def forward(self, x):
        return torch.cat([x, x])


def layer(value: float = 1.0) -> nn.Linear:
    made = nn.Linear(2, 2)
    made.weight.data = torch.full((2, 2), value)
    return made


def test_the_original_is_the_parameter_that_optimisers_know() -> None:
    m = layer()
    w = m.weight
    step = torch.optim.SGD(m.parameters(), lr=0.5)
    parametrize.register_parametrization(m, "weight", Twice())
    assert m.parametrizations.weight.original is w and np.all(w.numpy(force=True) == 0.5)
    m(torch.ones(1, 2)).sum().backward()
    step.step()  # the derivative by the original is 2
    assert np.all(m.weight.numpy(force=True) == -1)
    parametrize.remove_parametrizations(m, "weight")
    assert m.weight is w and np.all(w.numpy(force=True) == -1) and type(m) is nn.Linear


def test_what_was_not_learnt_is_not() -> None:
    for enter in (
        lambda m: parametrize.register_parametrization(m, "weight", Twice()),
        nn.utils.parametrizations.weight_norm,
        nn.utils.spectral_norm,
    ):
        m = layer()
        m.weight.requires_grad_(False)
        enter(m)
        assert [n for n, p in m.named_parameters() if p.requires_grad] == ["bias"]


def test_a_further_module_takes_the_value_of_the_last() -> None:
    m = layer()
    parametrize.register_parametrization(m, "weight", Twice())
    parametrize.register_parametrization(m, "weight", Twice())
    assert np.all(m.weight.numpy(force=True) == 2)
    m.weight = torch.ones(2, 2)
    assert np.all(m.parametrizations.weight.original.numpy(force=True) == 0.25)
    m.other = 3
    assert m.other == 3 and np.all(m.weight.numpy(force=True) == 1)


def test_assigning_needs_an_inverse() -> None:
    m = layer()
    parametrize.register_parametrization(m, "weight", Symmetric())
    with pytest.raises(RuntimeError, match="Symmetric does not implement right_inverse"):
        m.weight = torch.ones(2, 2)


def test_a_refused_module_leaves_the_layer_as_it_was() -> None:
    m = layer()
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(m, "weight", Doubled())
    assert list(dict(m.named_parameters())) == ["weight", "bias"]
    parametrize.register_parametrization(m, "weight", Twice())
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(m, "weight", Doubled())
    assert len(m.parametrizations.weight) == 1


def test_buffers_are_computed_as_well() -> None:
    m = nn.BatchNorm1d(3)
    parametrize.register_parametrization(m, "running_var", Twice())
    assert "parametrizations.running_var.original" in dict(m.named_buffers())
    assert np.all(m.running_var.numpy() == 1)
    parametrize.remove_parametrizations(m, "running_var")
    assert "running_var" in dict(m.named_buffers()) and np.all(m.running_var.numpy() == 1)


def test_the_older_spectral_norm_keeps_the_parameter_and_its_last_value() -> None:
    m = nn.Linear(3, 3)
    w = m.weight
    w.data = torch.tensor([[3.0, 0.5, 0.0], [0.0, 2.9, 0.0], [0.0, 0.0, 1.0]])
    nn.utils.spectral_norm(m)
    assert m.weight_orig is w
    m.weight_v.copy_(torch.tensor([0.0, 0.6, 0.8]))  # from here every round moves the value
    before, last = (m.weight.numpy(force=True) for _ in range(2))
    assert not np.allclose(before, last, rtol=1e-3)
    nn.utils.remove_spectral_norm(m)
    np.testing.assert_allclose(m.weight.numpy(force=True), last, rtol=1e-6)
    assert m.training


def test_keys_that_did_not_match_are_shown_as_in_pytorch() -> None:
    found = layer().load_state_dict({"weight": torch.ones(2, 2), "c": 1}, strict=False)
    assert repr(found) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['c'])"

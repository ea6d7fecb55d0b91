"""`nn`: functions and layers against PyTorch's values, modules as containers, state dicts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_cases
from torch_cases import VALUES, cases, layers, marks, wave

import adjit
import adjit.nn.functional as F
import adjit.tensors as torch
from adjit import grad, jit, nn, options, value_and_grad

EXPECTED: dict[str, Any] = json.loads(VALUES.read_text())
CASES = list(cases(F))


def assert_close(found: Any, wanted: Any) -> None:
    scale = max(1.0, np.abs(np.array(wanted)).max())
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5 * scale)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_functions_on_tensors(case: torch_cases.Case) -> None:
    name, run, inputs = case
    assert_close(marks(run, inputs, torch), EXPECTED[name])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_functions_in_traced_functions(case: torch_cases.Case) -> None:
    name, run, inputs = case
    floats = tuple(i for i, x in enumerate(inputs) if x.dtype.kind == "f")

    def weighted(*xs: Any) -> Any:
        out = run(*xs)
        return np.sum(out * wave(*out.shape, seed=7))

    with options(interpret=True):
        found = grad(weighted, argnums=floats)(*inputs)
    assert_close([torch_cases.mark(torch.tensor(g)) for g in found], EXPECTED[name][1:])
    assert all(g.dtype == np.float32 for g in found)
    plain = run(*inputs)
    assert plain.dtype == np.float32
    assert_close(torch_cases.mark(torch.tensor(plain)), EXPECTED[name][0])


@pytest.mark.parametrize("name", [k for k in EXPECTED if k.startswith("layer ")])
def test_layers(name: str) -> None:
    numbers, keys, text = EXPECTED[name]
    layer, inputs = next((m, xs) for n, m, xs in layers(nn) if f"layer {n}" == name)
    assert repr(layer) == text and list(layer.state_dict()) == keys
    assert_close(torch_cases.layer_marks(layer, inputs, torch), numbers)


def test_every_case_is_known() -> None:
    names = {c[0] for c in CASES} | {f"layer {n}" for n, _, _ in layers(nn)}
    assert names == set(EXPECTED)


# ------------------------------------------------------------------ modules


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


IMAGES, CLASSES = wave(5, 1, 4, 4), np.arange(5) % 3


def test_a_module_is_a_container_for_grad() -> None:
    model = network()

    @value_and_grad(has_aux=True)
    def loss(m: Any, x: Any, y: Any) -> Any:
        return F.cross_entropy(m(x), y), m

    (value, after), slopes = loss(model, IMAGES, CLASSES)
    assert isinstance(slopes, nn.Sequential) and isinstance(slopes[0].weight, np.ndarray)
    tensor_loss = F.cross_entropy(model(torch.tensor(IMAGES)), torch.tensor(CLASSES))
    tensor_loss.backward()
    assert value == pytest.approx(tensor_loss.item(), rel=1e-5)
    for (name, p), g in zip(model.named_parameters(), slopes.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-3, atol=1e-6, err_msg=name)
    for moved, buffer in zip(after.buffers(), model.buffers(), strict=True):
        if isinstance(moved, np.ndarray):
            np.testing.assert_allclose(moved, buffer.numpy(), rtol=1e-5, atol=1e-7)


def test_training_a_module_of_arrays() -> None:
    @value_and_grad(has_aux=True)
    def loss(m: Any, x: Any, y: Any) -> Any:
        return F.cross_entropy(m(x), y), m

    optimizer = adjit.optim.functional.adam(lr=0.02)
    model: Any = network()
    state = optimizer.init(model)
    values = []
    with options(interpret=True):
        for _ in range(20):
            (value, model), slopes = loss(model, IMAGES, CLASSES)
            model, state = optimizer.update(slopes, state, model)
            values.append(value)
    assert values[-1] < 0.1 * values[0]
    model.eval()
    with options(interpret=True):
        np.testing.assert_allclose(jit(lambda m, x: m(x))(model, IMAGES), model(IMAGES), rtol=1e-5)


def test_functional_call_takes_arrays_by_name() -> None:
    model = network()
    arrays = {k: p.detach().numpy() for k, p in model.named_parameters()}
    with options(interpret=True):
        slopes = grad(lambda p, x: np.sum(nn.functional_call(model, p, x) ** 2))(arrays, IMAGES)
    assert set(slopes) == set(arrays) and slopes["5.bias"].shape == (3,)
    with pytest.raises(KeyError, match="no 9"):
        nn.functional_call(model, {"9": arrays["5.bias"]}, IMAGES)


def test_modes_and_flags() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    x = torch.ones(100, 2)
    assert (model.eval()(x) == model(x)).all().item()
    zeros = (model.train()(x) == 0).float().mean().item()
    assert 0.3 < zeros < 0.7
    model.requires_grad_(False)
    assert not model(x).requires_grad
    model.requires_grad_()
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    assert [n for n, _ in model.named_modules()] == ["", "0", "1"]
    assert model.double()[0].weight.dtype == np.float64


def test_tied_parameters_are_listed_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x))

    model = Tied()
    assert [n for n, _ in model.named_parameters()] == ["a.weight", "a.bias"]
    with options(interpret=True):
        slopes = grad(lambda m, x: np.sum(m(x)))(model, wave(2, 3))
    model(torch.tensor(wave(2, 3))).sum().backward()
    np.testing.assert_allclose(slopes.b.weight, model.a.weight.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_statistics_move_along_with_whatever_runs_next() -> None:
    layer, x = nn.BatchNorm1d(3), torch.tensor(wave(6, 3))
    for _ in range(3):
        layer(x)  # its result is dropped
    mean = wave(6, 3).mean(0)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean * (1 - 0.9**3), rtol=1e-5)
    assert layer.num_batches_tracked.item() == 3


def test_the_results_of_a_layer_outlive_backward() -> None:
    rnn = nn.LSTM(2, 3)
    for _ in range(3):
        out, (h, _) = rnn(torch.tensor(wave(4, 2, 2)))
        (out.sum() + h.sum()).backward()
        np.testing.assert_allclose(out[-1].detach().numpy(), h[0].detach().numpy())


# ------------------------------------------------------------------ dropout


def test_keys_drop_in_traced_functions() -> None:
    def f(x: Any, key: int) -> Any:
        return np.sum(F.dropout(x, 0.25, True, generator=key))

    x = np.ones((40, 50), np.float32)
    with options(interpret=True):
        run = grad(f)
        one, other, again = run(x, 1), run(x, 2), run(x, 1)
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert set(np.unique(one)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((one == 0).mean() - 0.25) < 0.04
    model = nn.Sequential(nn.Dropout(), nn.Dropout())

    def two(x: Any, key: int) -> Any:
        with nn.keyed(key):
            return np.sum(model(x))

    with options(interpret=True):
        assert abs((grad(two)(x, 3) == 0).mean() - 0.75) < 0.04
        with pytest.raises(TypeError, match="every call would see the same numbers"):
            grad(lambda x: np.sum(F.dropout(x)))(x)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 3, 4, 4), ["(4, 1, 3, 3)", "(2, 3, 4, 4)", "1 channels", "layer 0: Conv2d(1, 4"]),
        ((2, 1, 6, 4), ["(2, 24)", "(3, 16)", "layer 5: Linear(in_features=16"]),
    ],
)
def test_wrong_shapes_name_the_layer(shape: tuple[int, ...], words: list[str]) -> None:
    model = network()
    with pytest.raises(RuntimeError) as error:
        model(torch.zeros(*shape))
    assert all(w in str(error.value) for w in words), str(error.value)


def test_tensors_in_a_traced_function_say_what_to_do() -> None:
    model = network()
    with pytest.raises(TypeError, match="pass the module"):
        grad(lambda x: np.sum(model(x)))(IMAGES)


def test_state_dicts_are_loaded_whole_or_not_at_all() -> None:
    model = network()
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    wrong = {**before, "5.bias": np.zeros(4), "more": np.zeros(1), "1.weight": np.zeros(4)}
    del wrong["0.weight"]
    with pytest.raises(RuntimeError) as error:
        model.load_state_dict(wrong)
    text = str(error.value)
    assert 'Unexpected key(s) in state_dict: "more"' in text
    assert 'Missing key(s) in state_dict: "0.weight"' in text
    assert "size mismatch for 5.bias" in text and "[4]" in text and "[3]" in text
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])
    del wrong["5.bias"]
    found = model.load_state_dict(wrong, strict=False)
    assert found.missing_keys == ["0.weight", "5.bias"] and found.unexpected_keys == ["more"]
    assert not model[1].weight.detach().numpy().any()


def test_files(tmp_path: Path) -> None:
    model, other = network(), network()
    nn.save(tmp_path / "a.npz", model.state_dict())
    for p in other.parameters():
        nn.init.zeros_(p)
    assert repr(other.load_state_dict(nn.load(tmp_path / "a.npz"))).startswith("<All keys")
    assert (other[5].weight == model[5].weight).all().item()
    data = (tmp_path / "a.npz").read_bytes()
    for content in (data[: len(data) // 2], b"", b"something else"):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(nn.FileError, match=r"b\.npz .* is truncated or no \.npz file"):
            nn.load(tmp_path / "b.npz")
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"\.safetensors"):
        nn.load(tmp_path / "a.txt")
    torch.save(model.state_dict(), tmp_path / "b.npz")
    with pytest.raises(nn.FileError, match=r"'structure.json' is no array; torch\.load reads it"):
        nn.load(tmp_path / "b.npz")
    with pytest.raises(nn.FileError, match=r"nn\.load reads state dicts"):
        torch.load(tmp_path / "a.npz")
    for swapped in ((model.state_dict(), tmp_path / "c.npz"), (tmp_path / "c.npz", model)):
        with pytest.raises(TypeError, match="the path comes first"):
            nn.save(*swapped)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_checkpoint_with_one_wrong_byte_is_right_or_refused() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.arange(3.0), "n": [1, "x"]}, file)
    data = file.getvalue()
    for k in range(0, len(data), 3):
        wrong = bytearray(data)
        wrong[k] ^= 0xFF
        try:
            found = torch.load(io.BytesIO(bytes(wrong)))
        except nn.FileError:
            continue
        assert found["a"].tolist() == [0.0, 1.0, 2.0] and found["n"] == [1, "x"]


def test_layers_may_have_no_inputs() -> None:
    assert nn.Linear(0, 3)(torch.ones(2, 0)).shape == (2, 3)
    assert nn.Conv2d(0, 4, 3).weight.shape == (4, 0, 3, 3)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_of_packages_that_may_be_missing(suffix: str, tmp_path: Path) -> None:
    package = {".safetensors": "safetensors", ".pth": "torch"}[suffix]
    path = tmp_path / f"a{suffix}"
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(ImportError, match=package):
            nn.save(path, network().state_dict())
        return
    state = network().state_dict()
    nn.save(path, state)
    found = nn.load(path)
    assert all(np.array_equal(found[k], v.numpy()) for k, v in state.items())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(nn.FileError):
        nn.load(path)


# ------------------------------------------------------------------ first values


def test_first_values_have_the_right_spread() -> None:
    torch.manual_seed(0)
    w = torch.empty(200, 300)
    for fill, variance in [
        (lambda: nn.init.uniform_(w, -1, 1), 1 / 3),
        (lambda: nn.init.normal_(w, 0, 2), 4.0),
        (lambda: nn.init.xavier_uniform_(w), 2 / 500),
        (lambda: nn.init.xavier_normal_(w), 2 / 500),
        (lambda: nn.init.kaiming_uniform_(w, nonlinearity="relu"), 2 / 300),
        (lambda: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), 2 / 200),
    ]:
        fill()
        assert w.numpy().var() == pytest.approx(variance, rel=0.03)
    q = nn.init.orthogonal_(torch.empty(4, 6)).numpy()
    np.testing.assert_allclose(q @ q.T, np.eye(4), atol=1e-6)
    layer = nn.Linear(300, 200)
    bound = 1 / np.sqrt(300)
    for p in layer.parameters():
        assert np.abs(p.detach().numpy()).max() <= bound
    assert layer.weight.detach().numpy().var() == pytest.approx(bound**2 / 3, rel=0.03)


# ------------------------------------------------------------------ ResNet-18


def test_a45_resnet18_step() -> None:
    torch.manual_seed(0)
    model = nn.models.resnet18()
    assert sum(p.numel() for p in model.parameters()) == 11_689_512
    names = list(model.state_dict())
    assert names[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"] and len(names) == 122
    assert "layer2.0.downsample.1.num_batches_tracked" in names and names[-1] == "fc.bias"
    data, labels = torch.rand(1, 3, 64, 64), torch.rand(1, 1000)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    prediction = model(data)
    loss = (prediction - labels).sum()
    assert prediction.shape == (1, 1000) and loss.shape == ()
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    before = model.fc.bias.detach().numpy().copy()
    optimizer.step()
    np.testing.assert_allclose(model.fc.bias.detach().numpy(), before - 0.01, rtol=1e-5)
    with pytest.raises(ValueError, match="weights=None"):
        nn.models.resnet18(weights="DEFAULT")  # type: ignore[arg-type]


def test_a45_gradients_along_a_direction() -> None:
    """Of the net's head and two of its blocks; the example does it with the whole net."""
    torch.manual_seed(1)
    around = nn.Sequential(nn.Conv2d(4, 6, 1, 2, bias=False), nn.BatchNorm2d(6))
    model = nn.Sequential(
        nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1), nn.models.BasicBlock(4, 4), nn.models.BasicBlock(4, 6, 2, around),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(6, 5),
    ).double()  # fmt: skip
    x, y = torch.rand(3, 3, 20, 20).double(), torch.rand(3, 5).double()

    def loss() -> Any:
        return ((model(x) - y) ** 2).sum()

    loss().backward()
    rng = np.random.default_rng(0)
    moves = [(p, rng.standard_normal(tuple(p.shape))) for p in model.parameters()]
    slope = sum(float((p.grad.numpy() * d).sum()) for p, d in moves)
    ends = []
    for step in (1e-6, -2e-6):
        for p, d in moves:
            nn.module.overwrite(p, p.detach().numpy() + step * d)
        ends.append(loss().item())
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-6)


def test_programs_of_convolutions_mean_what_the_interpreter_says() -> None:
    """Layouts, repeated cheap values, kernels of pools and products of few rows."""
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(),
        nn.Linear(16, 3),
    )  # fmt: skip

    def loss(m: Any, x: Any) -> Any:
        return np.sum(m(x) ** 2)

    x = wave(2, 2, 8, 8)
    compiled = value_and_grad(loss)(model, x)
    with options(interpret=True):
        plain = value_and_grad(loss)(model, x)
    assert compiled[0] == pytest.approx(plain[0], rel=1e-5)
    for a, b in zip(compiled[1].parameters(), plain[1].parameters(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)

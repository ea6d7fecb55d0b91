"""The wider part of `nn`, `optim` and `utils.data` against what PyTorch says of the same lines."""

from __future__ import annotations

import copy
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_more
from torch_cases import mark, wave
from torch_more import FUNCTIONS, LAYERS, OPTIMIZERS, SCHEDULES, VALUES, called, flat, floats, made

import adjit.nn.functional as F
import adjit.tensors as torch
from adjit import nn, options, value_and_grad
from adjit.optim import lr_scheduler
from adjit.utils import data

EXPECTED: dict[str, Any] = json.loads(VALUES.read_text())
LINES = [*LAYERS, *FUNCTIONS]


def assert_close(found: Any, wanted: Any, line: str) -> None:
    for a, b in zip(flat(found), flat(wanted), strict=True):
        scale = max(1.0, abs(b))
        assert abs(a - b) <= 4e-4 * scale, f"{line}: {found} is not {wanted}"


def weights(k: int, shape: tuple[int, ...]) -> Any:
    """What results are weighted with."""
    return wave(*shape, seed=k) if shape else 1.3


def groups(lines: list[Any], count: int) -> Any:
    """A few tests of many lines each: a test costs more than a line."""
    return pytest.mark.parametrize("lines", [lines[k::count] for k in range(count)])


@groups(LINES, 4)
def test_lines_on_tensors(lines: list[Any]) -> None:
    for text, *inputs in lines:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch_more.numbers(text, tuple(inputs), torch)
        wanted = EXPECTED[text]
        assert set(found) == set(wanted)
        for key in ("outs", "slopes", "learned", "buffers"):
            assert_close(found.get(key, []), wanted.get(key, []), f"{text} {key}")
        assert found.get("keys") == wanted.get("keys") and found.get("text") == wanted.get("text")


# What writes into what it is given, or cuts it by its values, is not traced.
UNTRACED = ("max_norm", "leaky_relu_", "zero_infinity")


@groups([x for x in LINES[::2] if not any(w in x[0] for w in UNTRACED)], 2)
def test_lines_in_traced_functions(lines: list[Any]) -> None:
    for text, *inputs in lines:
        run = made(text, torch)
        learns = hasattr(run, "parameters") and bool(list(run.parameters()))
        if not inputs:
            continue

        def loss(layer: Any, *xs: Any, run: Any = run) -> Any:
            carried = isinstance(layer, nn.Module)
            return torch_more.weighted(flat(called(layer if carried else run, xs)), weights)

        at = [k + 1 for k, x in enumerate(inputs) if floats(x)]
        with options(interpret=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, found = value_and_grad(loss, argnums=(*[0] * learns, *at))(
                run if isinstance(run, nn.Module) else 1.0, *inputs
            )
        slopes = list(found)
        learned = list(slopes.pop(0).parameters()) if learns else []
        wanted = EXPECTED[text]
        assert_close([mark(torch.tensor(g)) for g in slopes], wanted["slopes"], text)
        assert_close([mark(torch.tensor(g)) for g in learned], wanted["learned"], text)


def test_lines_as_one_kernel() -> None:
    texts = [
        "F.interpolate(x, scale_factor=0.51, mode='bilinear')", "nn.AdaptiveMaxPool2d(3)",
        "F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(6, 7))",
    ]  # fmt: skip
    parts = [made(text, torch) for text in texts]

    def loss(x: Any) -> Any:
        outs = [part(x) for part in parts]
        outs.append(F.fold(F.unfold(x[:1], 2), (6, 7), 2))
        return torch_more.weighted(outs, weights)

    value, slope = value_and_grad(loss)(torch_more.IMAGES)
    with options(interpret=True):
        plain_value, plain = value_and_grad(loss)(torch_more.IMAGES)
    assert value == pytest.approx(plain_value, rel=1e-4)
    np.testing.assert_allclose(slope, plain, rtol=1e-3, atol=1e-4)


@groups(OPTIMIZERS, 2)
def test_optimisers(lines: list[str]) -> None:
    for text in lines:
        params, shown, names = torch_more.trained(text, torch)
        wanted = EXPECTED[text]
        assert_close(params, wanted[0], text)
        assert shown == wanted[1] and names == wanted[2], text


def test_schedules() -> None:
    for text in SCHEDULES:
        found = torch_more.rates(text, torch)
        np.testing.assert_allclose(
            np.concatenate(found), np.concatenate(EXPECTED[text]), rtol=1e-9, err_msg=text
        )


class Heavy(torch.optim.Optimizer):  # type: ignore[misc, name-defined]
    """As users write their own."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["buf"] = torch.zeros_like(p)
                state["buf"].mul_(0.9).add_(p.grad)
                p.add_(state["buf"], alpha=-group["lr"])


class Slower(lr_scheduler.LRScheduler):
    def get_lr(self) -> list[float]:
        return [lr / (1 + self.last_epoch) for lr in self.base_lrs]


def test_optimisers_and_schedules_of_the_users_own() -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = Heavy([p], 0.1)
    schedule = Slower(optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        (p**2).sum().backward()
        optimizer.step()
        schedule.step()
    assert p.tolist() == pytest.approx([0.486, 0.486])
    assert schedule.get_last_lr() == [0.025]
    other = Heavy([p], 0.1)
    other.load_state_dict(optimizer.state_dict())
    other.step()
    assert other.param_groups[0]["lr"] == 0.025 and isinstance(other.state[p]["buf"], torch.Tensor)


def test_every_line_is_known() -> None:
    assert set(EXPECTED) == {x[0] for x in LINES} | {*OPTIMIZERS, *SCHEDULES}


# ------------------------------------------------------------------ packed sequences


def test_packed_sequences_are_those_of_their_lengths() -> None:
    rows = [wave(n, 3, seed=n) for n in (2, 5, 3)]
    for kind in ("RNN", "GRU", "LSTM"):
        layer = getattr(nn, kind)(3, 4, 2, bidirectional=True)
        packed = nn.utils.rnn.pack_sequence([torch.tensor(r) for r in rows], enforce_sorted=False)
        out, last = layer(packed)
        whole, lengths = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
        assert lengths.tolist() == [2, 5, 3] and whole.shape == (3, 5, 8)
        for i, r in enumerate(rows):
            alone, end = layer(torch.tensor(r))
            assert torch.allclose(whole[i, : len(r)], alone, atol=1e-6)
            assert not whole[i, len(r) :].any().item()
            for a, b in zip(flat(last), flat(end), strict=True):
                assert torch.allclose(a[:, i], b, atol=1e-6)
    with pytest.raises(RuntimeError, match="sorted in decreasing order"):
        nn.utils.rnn.pack_padded_sequence(torch.zeros(5, 2, 3), [2, 5])


def test_masks_of_attention() -> None:
    layer = made("nn.MultiheadAttention(4, 2)", torch)
    q = torch.tensor(torch_more.Q)
    later = nn.Transformer.generate_square_subsequent_mask(5)
    out, weights = layer(q, q, q, attn_mask=later, average_attn_weights=False)
    assert weights.shape == (2, 2, 5, 5) and not np.triu(weights.detach().numpy(), 1).any()
    boolean = torch.tensor(np.triu(np.ones((5, 5), bool), 1))
    assert torch.allclose(layer(q, q, q, attn_mask=boolean, need_weights=False)[0], out)
    pad = torch.tensor([[False] * 4 + [True], [False] * 5])
    short = layer(q[:, :1], q[:4, :1], q[:4, :1])[0]
    assert torch.allclose(layer(q, q, q, key_padding_mask=pad)[0][:, :1], short, atol=1e-6)
    encoder = nn.TransformerEncoderLayer(4, 2, 8)
    with pytest.raises(RuntimeError, match=r"attn_mask is \(4, 4\), but should be \(5, 5\)"):
        encoder(q, torch.zeros(4, 4))


# ------------------------------------------------------------------ modules


def test_in_place() -> None:
    w = torch.tensor([-1.0, 2.0], requires_grad=True)
    x = w * 2
    y = nn.LeakyReLU(0.1, inplace=True)(x)
    assert y is x and x.tolist() == pytest.approx([-0.2, 4.0])
    (y * x).sum().backward()
    assert w.grad is not None and w.grad.tolist() == pytest.approx([-0.08, 16.0])
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        F.relu_(w)
    plain = torch.tensor([[-1.0, 2.0], [3.0, -4.0]])
    F.relu(plain[0], inplace=True)
    assert plain.tolist() == [[0.0, 2.0], [3.0, -4.0]]


def test_hooks_of_gradients() -> None:
    seen: list[Any] = []
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    x = torch.tensor(wave(4, 3))
    model(x).sum().backward()
    before = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()

    def double(_: Any, grads: Any, cts: Any) -> Any:
        seen.append((grads[0].shape, cts[0].shape))
        return (grads[0] * 2,)

    handles = [
        model[1].register_full_backward_hook(double),
        model[2].register_full_backward_pre_hook(lambda _, cts: (cts[0] * 3,)),
        model[0].register_forward_hook(lambda m, args, kwargs, out: out * 1, with_kwargs=True),
    ]
    model(x).sum().backward()
    assert seen == [((4, 2), (4, 2))]
    for p, g, times in zip(model.parameters(), before, (6, 6, 3, 3), strict=True):
        assert torch.allclose(p.grad, g * times, rtol=1e-4)
    for h in handles:
        h.remove()
    model[0].register_full_backward_hook(lambda m, gi, go: seen.append(gi))
    total = model(x).sum()
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        total.backward()
    assert seen[-1] == (None,)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))
        self.register_buffer("b", torch.zeros(1))
        self.register_buffer("t", torch.zeros(1), persistent=False)
        self.q = nn.Buffer(torch.ones(2))
        self.a = self.c = nn.Linear(1, 1, bias=False)


def test_what_a_module_has() -> None:
    m = Small()
    assert list(m.state_dict(prefix="p.")) == ["p.w", "p.b", "p.q", "p.a.weight", "p.c.weight"]
    assert [n for n, _ in m.named_buffers()] == ["b", "t", "q"]
    assert [n for n, _ in m.named_parameters()] == ["w", "a.weight"]
    twice = [n for n, _ in m.named_parameters(remove_duplicate=False)]
    assert twice == ["w", "a.weight", "c.weight"]
    m.b = torch.ones(1)
    assert m.state_dict()["b"].tolist() == [1.0] and m.get_buffer("b") is m.b
    assert m.double().q.dtype == torch.float64 and m.to(torch.float32).w.dtype == torch.float32
    again = copy.deepcopy(m)
    nn.init.zeros_(again.w)
    assert m.w.tolist() == [1.0, 1.0] and again.w.requires_grad
    for act, kind, words in [
        (lambda: setattr(m, "w", torch.ones(2)), TypeError, "Parameter or None expected"),
        (lambda: setattr(m, "a", 3), TypeError, "as child module 'a'"),
        (lambda: m.register_buffer("w", torch.ones(1)), KeyError, "already exists"),
        (lambda: m.register_parameter("x.y", None), KeyError, "contain"),
        (lambda: m.add_module("x", 3), TypeError, "int is not a Module subclass"),  # type: ignore[arg-type]
        (m.half, TypeError, "float16"), (m.cuda, AssertionError, "no CUDA here"),
        (lambda: m.to(torch.int64), TypeError, "only accepts floating point"),
        (lambda: m.train("x"), ValueError, "boolean"),  # type: ignore[arg-type]
        (lambda: m.load_state_dict([1]), TypeError, "dict-like"),  # type: ignore[arg-type]
        (lambda: m.load_state_dict({"w": "abc"}, strict=False), RuntimeError, "named \"w\""),
    ]:  # fmt: skip
        with pytest.raises(kind, match=words):
            act()
    assert m.w.tolist() == [1.0, 1.0]


def test_containers_are_edited() -> None:
    s = nn.Sequential(nn.ReLU(), nn.Tanh())
    s.insert(1, nn.Sigmoid())
    del s[0]
    assert [type(m).__name__ for m in s * 2 + nn.ModuleList([nn.ELU()])] == [
        "Sigmoid", "Tanh", "Sigmoid", "Tanh", "ELU",
    ]  # fmt: skip
    d = nn.ModuleDict([("a", nn.ReLU())])
    d.update({"b": s.pop(-1)})
    assert list(d) == ["a", "b"] and len(s) == 1
    p = nn.ParameterDict({"k": torch.ones(2)})
    assert [n for n, _ in p.named_parameters()] == ["k"] and "k" in p


def test_weight_norm_in_both_ways_of_use() -> None:
    layer, x = nn.Linear(2, 3), wave(4, 2)
    before = layer(torch.tensor(x)).detach().numpy()
    nn.utils.weight_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight_g", "weight_v"]
    np.testing.assert_allclose(layer(torch.tensor(x)).detach().numpy(), before, rtol=1e-5)
    layer(torch.tensor(x)).sum().backward()
    with options(interpret=True):
        _, slopes = value_and_grad(lambda m, x: np.sum(m(x)))(layer, x)
    np.testing.assert_allclose(slopes.weight_g, layer.weight_g.grad.numpy(), rtol=1e-4)
    nn.utils.remove_weight_norm(layer)
    np.testing.assert_allclose(layer(torch.tensor(x)).detach().numpy(), before, rtol=1e-5)


# ------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("text", "shapes", "words"),
    [
        ("nn.InstanceNorm2d(4, affine=True)", [(2, 5, 3, 3)], "num_features (4), but got: 5"),
        ("nn.RMSNorm(4)", [(2, 3)], "normalized_shape=[4]"),
        ("nn.Upsample(scale_factor=2, mode='bilinear')", [(2, 3, 4)], "needs 4D input"),
        ("nn.Fold((4, 4), 2)", [(2, 4, 8)], "expected the last dim of input to be 9 blocks"),
        ("nn.PixelShuffle(2)", [(2, 3, 4, 4)], "input of shape (2, 3, 4, 4)"),
        ("nn.ReflectionPad1d(5)", [(2, 3, 4)], "padding (5, 5) for input of shape (2, 3, 4)"),
        ("nn.Unflatten(1, (2, 2))", [(2, 5)], "don't multiply up to the size of dim 1 (5)"),
        ("nn.PReLU(3)", [(2, 4)], "weight of shape (3,) for 4 channels"),
        ("nn.GRU(3, 4)", [(5, 2, 2)], "weight_ih_l0 of shape (12, 3)"),
        ("nn.GRU(3, 4)", [(5, 2, 3), (1, 3, 4)], "Expected hidden[0] size (1, 2, 4)"),
        ("nn.LSTMCell(3, 4)", [(2, 4)], "weight_ih of shape (16, 3)"),
        ("nn.MultiheadAttention(4, 2)", [(5, 2, 3), (5, 2, 4), (5, 2, 4)], "query of shape (5, 2"),
        ("nn.MSELoss()", [(2, 3), (2, 2)], "must match the size of tensor b (2)"),
        ("nn.CosineEmbeddingLoss()", [(4, 3), (4, 3), (2,)], "target of shape (2,)"),
        ("nn.Bilinear(3, 4, 2)", [(5, 4), (5, 4)], "weight of shape (2, 3, 4)"),
    ],
)  # fmt: skip
def test_wrong_shapes_name_layer_and_shapes(text: str, shapes: Any, words: str) -> None:
    layer = made(text, torch)
    with pytest.raises((RuntimeError, ValueError, NotImplementedError)) as error:
        layer(*(torch.zeros(*s) for s in shapes))
    said = str(error.value)
    assert words in said and f"in layer {type(layer).__name__}" in said, said


def test_wrong_classes_rows_and_dtypes() -> None:
    x = torch.zeros(4, 3)
    for run, kind, words in [
        (lambda: F.cross_entropy(x, torch.tensor([0, 1, 2, 3])), IndexError, "Target 3 is out of"),
        (lambda: F.nll_loss(x, torch.tensor([0, 1, -1, 2])), IndexError, "Target -1 is out of"),
        (lambda: F.cross_entropy(x, torch.zeros(4, 3).long()), RuntimeError, "floating point"),
        (lambda: F.nll_loss(x, torch.zeros(4).long(), torch.ones(4)), RuntimeError, "all 3"),
        (lambda: F.embedding(torch.tensor([5]), x), IndexError, "index 5 is out of range"),
        (lambda: nn.LSTM(3, 4)(torch.zeros(5, 2, 3).double()), RuntimeError, "have dtypes"),
        (lambda: nn.BatchNorm1d(3)(x.double()), RuntimeError, "have dtypes"),
        (lambda: F.one_hot(torch.tensor([5]), 3), RuntimeError, "smaller than num_classes"),
        (lambda: torch.optim.SGD(x), TypeError, "but got torch.FloatTensor"),
        (lambda: torch.optim.SGD([x, (x * 1).requires_grad_() * 2]), ValueError, "non-leaf"),
        (lambda: torch.optim.SGD([{"params": x}, {"params": x}]), ValueError, "more than one"),
        (lambda: torch.optim.Adam([x], foo=1), TypeError, "unexpected keyword argument 'foo'"),
        (lambda: torch.optim.SparseAdam([x]), NotImplementedError, "gradients are dense"),
        (lambda: lr_scheduler.StepLR(torch.optim.SGD([x]), 1, 0.1, 3), KeyError, "initial_lr"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=words):
            run()


# ------------------------------------------------------------------ files and data


def test_checkpoints(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    file = tmp_path / "a.pt"
    shared = torch.arange(3)
    states = {"model": layer.state_dict(), "optimizer": optimizer.state_dict()}
    more = {"epoch": 3, "both": (shared, [shared]), 1: np.ones(2), "w": layer.bias}
    torch.save({**states, **more}, file)
    found = torch.load(file)
    assert found["epoch"] == 3 and found["both"][0] is found["both"][1][0]
    assert isinstance(found["w"], nn.Parameter) and found["w"].requires_grad
    other = nn.Linear(2, 2)
    other.load_state_dict(found["model"])
    again = torch.optim.Adam(other.parameters(), 0.5)
    again.load_state_dict(found["optimizer"])
    for one, steps in ((layer, optimizer), (other, again)):
        one.zero_grad()
        one(torch.ones(1, 2)).sum().backward()
        steps.step()
    assert torch.equal(layer.weight, other.weight) and again.param_groups[0]["lr"] == 1e-3
    data = file.read_bytes()
    for content in (data[:100], data[:-30], b"", b"no archive"):
        with pytest.raises(nn.FileError, match="truncated or was not written by save"):
            torch.load(io.BytesIO(content))
    with pytest.raises(TypeError, match=r"obj\['m'\]\[0\] is of type Linear.*state_dict"):
        torch.save({"m": [layer]}, file)
    assert file.read_bytes() == data and [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_batches() -> None:
    data = torch.utils.data
    x, y = torch.arange(10).float().reshape(5, 2), torch.arange(5)
    examples = data.TensorDataset(x, y)
    assert [b[1].tolist() for b in data.DataLoader(examples, 2)] == [[0, 1], [2, 3], [4]]
    assert [b[1].tolist() for b in data.DataLoader(examples, 2, drop_last=True)] == [[0, 1], [2, 3]]
    source = torch.Generator()
    loader = data.DataLoader(examples, 2, shuffle=True, generator=source)
    found = []
    for _ in range(2):
        source.manual_seed(0)
        found.append([i for _, part in loader for i in part.tolist()])
    assert found[0] == found[1] and sorted(found[0]) == [0, 1, 2, 3, 4] and len(loader) == 3
    one, other = data.random_split(examples, [0.6, 0.4])
    assert len(one) == 3 and {*one.indices, *other.indices} == set(range(5))
    assert [b[0].shape for b in data.DataLoader(one, 3)] == [(3, 2)]

    class Named(data.Dataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> Any:
            return {"x": np.full(2, i, "f4"), "n": i, "f": i * 0.5, "s": str(i), "t": (i, [i])}

    batch = next(iter(data.DataLoader(Named(), 2)))
    assert batch["x"].dtype == torch.float32 and batch["n"].dtype == torch.int64
    assert batch["f"].dtype == torch.float64 and batch["s"] == ["0", "1"]
    assert batch["t"][1][0].tolist() == [0, 1]
    with pytest.raises(ValueError, match="Sum of input lengths"):
        data.random_split(examples, [3, 3])
    with pytest.raises(ValueError, match="mutually exclusive"):
        data.DataLoader(examples, shuffle=True, sampler=[1])


def test_state_of_before_counts_is_loaded_and_ours_knows_its_version() -> None:
    norm = nn.BatchNorm1d(2)
    norm(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
    ours = norm.state_dict()
    del ours["num_batches_tracked"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"num_batches_tracked"'):
        norm.load_state_dict(ours)
    assert not norm.load_state_dict(dict(ours)).missing_keys
    assert norm.num_batches_tracked.item() == 1


def test_graph_of_linear_shows_the_bias_first() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    last = model(torch.ones(1, 2)).grad_fn
    assert [f.name() for f, _ in last.next_functions[:2]] == ["AccumulateGrad", "ReluBackward0"]
    assert last.next_functions[0][0].variable is model[2].bias


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d])
def test_a_subclass_may_have_any_name(kind):
    x = torch.ones(1, 2, 4, 4)
    mine = type("Mine", (kind,), {})(2)
    assert mine(x).shape == (1, 2, 2, 2)
    assert repr(mine) == repr(kind(2)).replace(kind.__name__, "Mine")


def test_data_sets_one_after_the_other():
    both = data.ConcatDataset([[1, 2], [], [3]])
    assert list(both) == [1, 2, 3]
    assert [both[k] for k in (-3, -1, 2)] == [1, 3, 3]
    with pytest.raises(IndexError):
        both[3]
    with pytest.raises(ValueError, match="should not exceed"):
        both[-4]

"""One training step of ResNet-18, and its gradient against a difference along a direction."""

from timeit import default_timer

import numpy as np

import adjit
import adjit.tensors as torch
from adjit import nn


def main():
    torch.manual_seed(0)
    model = nn.models.resnet18()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    data, labels = torch.rand(1, 3, 64, 64), torch.rand(1, 1000)

    prediction = model(data)
    loss = (prediction - labels).sum()
    loss.backward()
    print(prediction.shape, loss)
    check(model, data, labels)

    optim = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    optim.step()
    for step in range(2):  # interpreted so far; a few more, and the step is compiled
        start = default_timer()
        loss = (model(data) - labels).sum()
        optim.zero_grad()
        loss.backward()
        optim.step()
        print(f"step {step}: loss {loss.item():.1f}, {1e3 * (default_timer() - start):.0f} ms")
    print(nn.functional.conv2d(data, model.conv1.weight, stride=2, padding=3).ir())
    print(adjit.tensors.explain())


def check(model, data, labels):
    """The slope along a random direction is what the gradient says, in double precision."""
    rng = np.random.default_rng(0)
    moves = {n: rng.standard_normal(tuple(p.shape)) for n, p in model.named_parameters()}
    params = {n: p.detach().numpy().astype(np.float64) for n, p in model.named_parameters()}
    slope = sum(float(np.vdot(p.grad.numpy(), moves[n])) for n, p in model.named_parameters())
    x, y = data.numpy().astype(np.float64), labels.numpy().astype(np.float64)
    step, ends = 1e-9, []
    for side in (step, -step):
        moved = {n: p + side * moves[n] for n, p in params.items()}
        ends.append(np.sum(nn.functional_call(model, moved, x) - y))
    difference = (ends[0] - ends[1]) / (2 * step)
    print(f"slope {slope:.1f}, by differences {difference:.1f}")
    assert abs(slope - difference) < 1e-3 * abs(slope)


if __name__ == "__main__":
    main()

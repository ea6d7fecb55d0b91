"""Train a small convolutional network on real handwritten digits, as PyTorch's users write it.

Needs the extra `examples` (scikit-learn for its data).
"""

from timeit import default_timer

import numpy as np

import adjit.tensors as torch
from adjit import nn
from adjit.nn import functional as F

try:
    from sklearn.datasets import load_digits
except ImportError as error:
    raise SystemExit(f"{error}: this example needs the extra: pip install '.[examples]'") from None

BATCH, EPOCHS = 100, 8


def data(rng):
    """Images of 8x8 pixels in [0, 1] and their classes: 1437 to learn from, 360 held out."""
    x, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(x))
    x = (x[order] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return (x[:1437], labels[order][:1437]), (x[1437:], labels[order][1437:])


def network():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def accuracy(model, x, y):
    with torch.no_grad():
        return (model.eval()(torch.tensor(x)).numpy().argmax(1) == y).mean()


def main():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    (x, y), held_out = data(rng)
    model = network()
    print(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start = default_timer()
    for epoch in range(EPOCHS):
        model.train()
        total = 0.0
        for rows in np.array_split(
            rng.permutation(len(x))[: len(x) // BATCH * BATCH], len(x) // BATCH
        ):
            loss = F.cross_entropy(model(torch.tensor(x[rows])), torch.tensor(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch:2d}  loss {total / (len(x) // BATCH):.4f}")
    right = accuracy(model, *held_out)
    print(f"held out: {100 * right:.2f} % right after {default_timer() - start:.1f} s")
    print(F.relu(torch.ones(2, requires_grad=True)).ir())
    assert right >= 0.98


if __name__ == "__main__":
    main()

"""Train a two-layer network, written in plain NumPy, on real handwritten digits: `make demo`."""

from statistics import median
from timeit import default_timer, repeat

import numpy as np

from adjit import value_and_grad

try:
    from matplotlib.figure import Figure
    from sklearn.datasets import load_digits
    from tqdm import tqdm
except ImportError as error:
    raise SystemExit(f"{error}: this example needs the extra: pip install '.[examples]'") from None

HIDDEN, BATCH, EPOCHS, RATE, MOMENTUM = 128, 100, 30, 0.1, 0.9


def logits(params, x):
    (w1, b1), (w2, b2) = params
    return np.maximum(x @ w1 + b1, 0.0) @ w2 + b2


@value_and_grad
def loss(params, x, y):
    z = logits(params, x)
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * y, axis=1))


def loss_by_hand(params, x, y):
    """The same value and gradient as one writes them without a tool."""
    (w1, b1), (w2, b2) = params
    h = np.maximum(x @ w1 + b1, 0.0)
    z = h @ w2 + b2
    z -= np.max(z, axis=1, keepdims=True)
    e = np.exp(z)
    s = np.sum(e, axis=1, keepdims=True)
    value = np.mean(np.log(s[:, 0]) - np.sum(z * y, axis=1))
    dz = (e / s - y) / len(x)
    dh = np.where(h > 0.0, dz @ w2.T, 0.0)
    return value, [(x.T @ dh, dh.sum(axis=0)), (h.T @ dz, dz.sum(axis=0))]


def data(rng):
    """Images scaled to [0, 1] and one-hot labels: 1437 to learn from, 360 held out."""
    x, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(x))
    x = (x[order] / 16.0).astype(np.float32)
    y = np.eye(10, dtype=np.float32)[labels[order]]
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def layer(rng, n, m):
    w = rng.standard_normal((n, m), np.float32) * np.float32(np.sqrt(2.0 / n))
    return w, np.zeros(m, np.float32)


def flat(pairs):
    return [array for pair in pairs for array in pair]


def train(rng, params, x, y):
    """Minibatch descent with momentum; returns the loss of every step."""
    speed = [np.zeros_like(p) for p in flat(params)]
    losses = []
    for _ in tqdm(range(EPOCHS), desc="training", unit="epoch", mininterval=0.5):
        order = rng.permutation(len(x))
        for rows in order[: len(x) // BATCH * BATCH].reshape(-1, BATCH):
            value, grads = loss(params, x[rows], y[rows])
            losses.append(value)
            for p, v, g in zip(flat(params), speed, flat(grads), strict=True):
                v[...] = MOMENTUM * v - RATE * g
                p += v
    return losses


def excerpt(program, first, last):
    lines = str(program).splitlines()
    return "\n".join([*lines[:first], f"  ... {len(lines) - first - last} lines", *lines[-last:]])


def main():
    rng = np.random.default_rng(0)
    (x, y), (x_held, y_held) = data(rng)
    params = [layer(rng, 64, HIDDEN), layer(rng, HIDDEN, 10)]
    batch = params, x[:BATCH], y[:BATCH]

    start = default_timer()
    loss.compile(*batch)
    print(f"compiled, or loaded from the kernel store, in {default_timer() - start:.2f} s")
    losses = train(rng, params, x, y)
    right = np.mean(np.argmax(logits(params, x_held), axis=1) == np.argmax(y_held, axis=1))
    print(f"accuracy on {len(x_held)} held-out digits: {100 * right:.1f} %")
    assert right >= 0.95

    print(f"\ntraced\n{excerpt(loss.ir(*batch), 8, 4)}")
    print(f"\nadjoint, simplified\n{excerpt(loss.ir(*batch, stage='simplified'), 4, 16)}")
    print(f"\n{loss.explain()}")

    ours, by_hand = loss(*batch), loss_by_hand(*batch)
    for a, b in zip([ours[0], *flat(ours[1])], [by_hand[0], *flat(by_hand[1])], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    ours, by_hand = (
        1e6 * median(repeat(lambda f=f: f(*batch), number=1, repeat=300))
        for f in (loss, loss_by_hand)
    )
    print(f"\nvalue and gradient of {BATCH} digits, equal to the one by hand in NumPy:")
    print(f"adjit {ours:.0f} us, NumPy by hand {by_hand:.0f} us: {by_hand / ours:.1f}x")

    axes = Figure(figsize=(6, 3.5), layout="tight").subplots()
    axes.semilogy(losses, linewidth=0.8)
    axes.set(xlabel="step", ylabel="cross-entropy of the batch")
    axes.figure.savefig("digits_loss.png", dpi=120)
    print("loss curve: digits_loss.png")


if __name__ == "__main__":
    main()

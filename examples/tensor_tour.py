"""Tensors in the spelling of PyTorch's documents: what they print, printed by adjit.

With matplotlib the sine and its derivative are drawn into sine.png.
"""

import importlib.util
import math

import adjit.tensors as torch


def sine():
    """The sine, and by a walk through its graph where its derivative comes from."""
    x = torch.linspace(0.0, 2.0 * math.pi, steps=25, requires_grad=True)
    d = 2 * torch.sin(x) + 1
    fn = d.grad_fn
    while fn is not None:
        print(fn.name(), "<-", [f and f.name() for f, _ in fn.next_functions])
        fn = fn.next_functions[0][0] if fn.next_functions else None
    out = d.sum()
    out.backward()
    print(out, x.grad, sep="\n")
    assert torch.allclose(x.grad, 2 * torch.cos(x.detach()), atol=1e-6)
    if importlib.util.find_spec("matplotlib"):
        draw(x.detach(), d.detach(), x.grad)


def draw(x, d, slope):
    """Both curves as a picture."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(layout="constrained")).subplots()
    axes.plot(x.numpy(), d.numpy(), label="2 sin x + 1")
    axes.plot(x.numpy(), slope.numpy(), label="its derivative")
    axes.legend()
    figure.savefig("sine.png")


def regression():
    """One step of linear regression by hand, then two hundred by an optimiser."""
    torch.manual_seed(0)
    w, b = torch.randn(10, 1, requires_grad=True), torch.randn(1, requires_grad=True)
    x = torch.rand(50, 10)
    y = x @ torch.arange(10.0).reshape(10, 1) + 3
    loss = ((torch.matmul(x, w) + b - y) ** 2).mean()
    print(loss)
    loss.backward()
    with torch.no_grad():
        w -= 0.001 * w.grad
    optimizer = torch.optim.SGD([w, b], lr=0.05, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.4f}")
    assert loss.item() < 1.0


def polynomial():
    """Three variables, and what each contributes."""
    p, q, r = (torch.tensor([x], requires_grad=True) for x in (10.0, 8.0, 5.0))
    out = r**3 * q**2 - p**3
    out.backward()
    print(out, p.grad, q.grad, r.grad, sep="\n")
    assert [t.grad.item() for t in (p, q, r)] == [-300.0, 2000.0, 4800.0]


def switches():
    """Recording can be switched off and, inside of that, on again."""
    a = torch.ones(2, 3, requires_grad=True)
    with torch.no_grad():
        b = 2 * a
        with torch.enable_grad():
            c = 2 * a
    print(b.requires_grad, c.requires_grad)
    assert not b.requires_grad and c.requires_grad


def external_gradient():
    """Q = 3a^3 - b^2 is a vector: its gradient needs weights."""
    a = torch.tensor([2.0, 3.0], requires_grad=True)
    b = torch.tensor([6.0, 4.0], requires_grad=True)
    q = 3 * a**3 - b**2
    print(q.ir())
    q.backward(gradient=torch.tensor([1.0, 1.0]))
    print(q, a.grad, b.grad, sep="\n")
    with torch.no_grad():
        print((a * b).requires_grad)
    assert a.grad.tolist() == [36.0, 81.0] and b.grad.tolist() == [-12.0, -8.0]


if __name__ == "__main__":
    sine()
    regression()
    polynomial()
    switches()
    external_gradient()

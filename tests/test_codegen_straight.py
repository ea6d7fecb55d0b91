"""Long straight lines in parts: the same numbers as in one piece, whatever lies between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from adjit import options, value_and_grad
from adjit.codegen import entry, modules, straight
from adjit.codegen.compile import compile_source, forget
from adjit.codegen.source import Source


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ADJIT_CACHE", "0")
    monkeypatch.setattr(straight, "LONG", 3)
    monkeypatch.setattr(straight, "PART", 2)
    forget()
    yield
    forget()


def kernel(body: str, kind: str = "f64") -> Source:
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return Source("kernel", f"def kernel(a, b, n0, c0, c1):\n{lines}\n", (kind, kind), 1, 2)


def run(source: Source, *arrays: np.ndarray, consts: tuple[float, ...] = (0.25, 3.0)) -> object:
    made = compile_source(source, "direct")
    assert made.rung == "direct"
    specs = [entry.unchecked()] * len(arrays)
    return entry.make_call(made.address, specs, (arrays[0].size,), consts, nogil=False)(*arrays)


def parts(source: Source) -> int:
    module = ir.Module("m")
    modules.kernel_function(source, module)
    return sum(".part" in f.name for f in module.functions)


SCALARS = """
x = a[0]
y = a[1] * c0
larger = x > y
z = vm.exp64(x) + c1
w = ll.select(larger, z, y)
b[0] = w * x
u = ll.f64(n0) * w
b[1] = ll.fma(u, c0, -z)
return 0
"""
BETWEEN_LOOPS = """
acc = 0.0
for i in range(n0):
    acc = ll.radd(acc, a[i])
x = acc * c0
y = x + acc
z = y * c1
w = z / x
acc = y
for j in range(n0):
    b[j] = a[j] * w + acc
p = acc - z
q = p * p
r = q + w
s = r * 0.5 + n0
if p > 1e30:
    return -1
b[0] = s + c0
return 0
"""


@pytest.mark.parametrize(("body", "count"), [(SCALARS, 4), (BETWEEN_LOOPS, 4)])
def test_parts_compute_what_the_whole_does(
    body: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, a = kernel(body.replace("+ n0", "+ ll.f64(n0)")), np.linspace(0.3, 1.1, 5)
    cut, whole = np.zeros(5), np.zeros(5)
    assert parts(source) == count
    assert run(source, a, cut) is True
    monkeypatch.setattr(straight, "LONG", 1000)
    forget()
    assert parts(source) == 0
    assert run(source, a, whole) is True
    np.testing.assert_array_equal(cut, whole)
    if body is SCALARS:
        z = np.exp(a[0]) + 3.0
        w = z if a[0] > a[1] * 0.25 else a[1] * 0.25
        np.testing.assert_allclose(cut[:2], [w * a[0], 5 * w * 0.25 - z], rtol=1e-13)


def test_single_precision_and_truths_pass_through_memory() -> None:
    body = """
x = a[0]
y = x * a[1]
both = (x > 0.0) & (y > 0.0)
k = n0 + 2
v = x - y
one = ll.select(both, v, x)
b[0] = one
b[1] = ll.f32(k) + y
return 0
"""
    source, a, b = kernel(body, "f32"), np.array([1.5, 0.7], np.float32), np.zeros(2, np.float32)
    assert parts(source) == 4
    run(source, a, b)
    y = a[0] * a[1]
    np.testing.assert_array_equal(b, np.array([a[0] - y, np.float32(4) + y], np.float32))


def test_gradients_through_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "LONG", 20)
    monkeypatch.setattr(straight, "PART", 15)

    def chain(p: float, q: float) -> Any:
        x, y = p, q
        for k in range(12):
            x = np.sin(x) * y + 0.1 * k
            y = np.where(x > 0.4, y * 0.9, x + y) / (1.0 + 0.05 * (k % 3) * x * x)
        return x * y

    made: list[int] = []
    part = modules.Parted.part
    monkeypatch.setattr(modules.Parted, "part", lambda *to: [made.append(1), part(*to)][1])
    with options(unroll="always"):
        value, (dp, dq) = value_and_grad(chain, argnums=(0, 1))(0.7, 1.2)
    np.testing.assert_allclose(value, chain(0.7, 1.2), rtol=1e-12)
    assert len(made) > 3
    h = 1e-6
    np.testing.assert_allclose(dp, (chain(0.7 + h, 1.2) - chain(0.7 - h, 1.2)) / (2 * h), rtol=1e-6)
    np.testing.assert_allclose(dq, (chain(0.7, 1.2 + h) - chain(0.7, 1.2 - h)) / (2 * h), rtol=1e-6)

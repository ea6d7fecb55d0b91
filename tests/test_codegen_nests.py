"""Long kernels in pieces: equal nests are one function, and what they compute is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from llvmlite import ir

import adjit
from adjit import value_and_grad
from adjit.codegen import direct, entry, modules, nests
from adjit.codegen.compile import compile_source, forget
from adjit.codegen.source import Source


@pytest.fixture(autouse=True)
def cut_all(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ADJIT_CACHE", "0")
    monkeypatch.setattr(nests, "LONG", 0)
    forget()
    yield
    forget()


def kernel(body: str) -> Source:
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return Source("kernel", f"def kernel(a, b, c, n0):\n{lines}\n", ("f64",) * 3, 1, 0)


def functions(source: Source) -> list[str]:
    module = ir.Module("m")
    modules.kernel_function(source, module)
    return [f.name for f in module.functions if ".nest" in f.name]


def run(source: Source, *arrays: np.ndarray) -> int:
    made = compile_source(source, "direct")
    assert made.rung == "direct"
    specs = [entry.unchecked()] * len(arrays)
    return entry.make_call(made.address, specs, (arrays[0].size,), (), nogil=False)(*arrays)


TWICE = """
s = 0.5
for i in range(n0):
    x = a[i]
    b[i] = x * s
for j in range(n0):
    y = b[j]  # another array
    c[j] = y * s
for k in range(n0):
    z = a[k]
    c[k] = z * 0.25
return 0
"""
SUMS = """
status = 0
acc = 0.0
big = -math.inf
for i in range(n0):
    acc = ll.radd(acc, a[i])
    big = ll.rmax(big, a[i])
    if a[i] > 100.0:
        status = 9
b[0] = acc
t = acc * 2.0
for j in range(n0):
    u = 0.0
    for k in range(n0):
        u = ll.radd(u, a[k])
    c[j] = u + t + big
return status
"""
BLOCKS = """
for s in range(0, n0, 4):
    m = min(4, n0 - s)
    for r in range(m):
        b[s + r] = a[s + r] * 3.0
    for r1 in range(m):
        c[s + r1] = b[s + r1] * 3.0
return 0
"""


def test_equal_nests_are_one_function():
    assert len(functions(kernel(TWICE))) == 2
    a = np.arange(7.0)
    b, c = np.zeros(7), np.zeros(7)
    run(kernel(TWICE), a, b, c)
    assert np.array_equal(b, a / 2) and np.array_equal(c, a / 4)


@pytest.mark.parametrize("last", [5.0, 200.0])
def test_values_come_out_of_nests(last: float):
    a = np.array([1.0, 4.0, 2.0, last])
    b, c = np.zeros(4), np.zeros(4)
    assert len(functions(kernel(SUMS))) == 2
    status = run(kernel(SUMS), a, b, c)
    assert b[0] == a.sum() and np.array_equal(c, np.full(4, 3 * a.sum() + last))
    assert status is True if last < 100 else status == 9


def test_nests_of_a_block_of_rows_are_shared():
    assert len(functions(kernel(BLOCKS))) == 2  # the loop over blocks, and what it does twice
    a = np.arange(10.0)
    b, c = np.zeros(10), np.zeros(10)
    run(kernel(BLOCKS), a, b, c)
    assert np.array_equal(b, 3 * a) and np.array_equal(c, 9 * a)


ROWS = """
for i in range(n0):
    q = i * 2
    t = a[i] * 2.0
    for j in range(2):
        b[q + j] = t + a[j]
    for k in range(2):
        u = t - a[k]
        c[q + k] = u
return 0
"""


def test_long_loops_within_a_long_one_are_functions(monkeypatch: pytest.MonkeyPatch):
    a = np.arange(5.0)
    wanted = [np.add.outer(2 * a, a[:2]).ravel(), np.subtract.outer(2 * a, a[:2]).ravel()]
    for least, count in ((2, 3), (3, 2), (4, 1)):
        forget()
        monkeypatch.setattr(nests, "LEAST", least)
        assert len(functions(kernel(ROWS))) == count
        b, c = np.zeros(10), np.zeros(10)
        run(kernel(ROWS), a, b, c)
        assert np.array_equal(b, wanted[0]) and np.array_equal(c, wanted[1])


def test_what_returns_from_within_stays_in_place():
    leaving = "for i in range(n0):\n    if a[i] < 0.0:\n        return 7\n    b[i] = a[i]\nreturn 0"
    assert functions(kernel(leaving)) == []
    assert run(kernel(leaving), -np.ones(3), np.zeros(3), np.zeros(3)) == 7


def test_a_deep_network_repeats_its_layers(monkeypatch: pytest.MonkeyPatch):
    def net(layers: Any, x: Any) -> Any:
        for w, b in layers:
            h = np.tanh(x @ w + b)
            x = x + h / np.sqrt(np.mean(h**2, axis=1, keepdims=True) + 0.1)
        return np.mean(x**2)

    written: list[int] = []
    plain = direct.Compiler.written
    monkeypatch.setattr(
        direct.Compiler, "written", lambda *args: [written.append(1), plain(*args)][1]
    )
    rng = np.random.default_rng(5)
    layers = [(rng.normal(size=(20, 20)), rng.normal(size=20)) for _ in range(9)]
    x = rng.normal(size=(30, 20))
    value, gradient = value_and_grad(net)(layers, x)
    with adjit.options(interpret=True):
        want, expected = value_and_grad(net)(layers, x)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    for got, other in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(got[0], other[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(got[1], other[1], rtol=1e-9, atol=1e-12)
    assert 0 < len(written) < 30


def test_long_straight_code_calls_its_maths():
    lines = [f"t{k} = vm.exp64(a[{k % 4}] * {k / 64})" for k in range(40)]
    total = " + ".join(f"t{k}" for k in range(40))
    source = kernel("\n".join([*lines, f"b[0] = {total}", "return 0"]))
    module = ir.Module("m")
    modules.kernel_function(source, module)
    assert any(f.name.endswith(".apart") for f in module.functions)
    a, b = np.array([0.1, -0.2, 0.3, 0.4]), np.zeros(1)
    run(source, a, b, np.zeros(1))
    want = sum(np.exp(a[k % 4] * (k / 64)) for k in range(40))
    np.testing.assert_allclose(b[0], want, rtol=1e-14)

"""The rung that reads kernel text itself: what it knows, what it leaves to Numba, agreement."""

from __future__ import annotations

import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from adjit.codegen import cache, direct, engine, entry, modules
from adjit.codegen.compile import compile_source, forget
from adjit.codegen.source import Source


@pytest.fixture(autouse=True)
def no_store(monkeypatch):
    monkeypatch.setenv("ADJIT_CACHE", "0")
    forget()
    yield
    forget()


def kernel(body: str, pointers: tuple[str, ...], sizes: int = 1, consts: int = 0) -> Source:
    names = [*"abcdefg"[: len(pointers)], *[f"n{k}" for k in range(sizes)]]
    names += [f"c{k}" for k in range(consts)]
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return Source("kernel", f"def kernel({', '.join(names)}):\n{lines}\n", pointers, sizes, consts)


def run(source: Source, rung: str, *arrays, sizes=(), consts=()):
    executable = compile_source(source, rung)
    assert executable.rung == rung
    specs = [entry.unchecked()] * len(arrays)
    return entry.make_call(executable.address, specs, sizes, consts, nogil=False)(*arrays)


# Each body reads a (and b), writes its last array; n0 is the length.
BODIES = {
    "arithmetic": (
        "for i in range(n0):\n    b[i] = (a[i] * 2.0 - 1.5) / (a[i] * a[i] + 1.0) + -a[i]",
        ("f64", "f64"),
    ),
    "literals take the type of their partner": (
        "for i in range(n0):\n    b[i] = ll.select(a[i] > 0.0, a[i] * 0.1, -1.5)",
        ("f32", "f32"),
    ),
    "reductions": (
        "acc = 0.0\nbig = -math.inf\nfor i in range(n0):\n    acc = ll.radd(acc, a[i])\n"
        "    big = ll.rmax(big, a[i])\nb[0] = acc\nb[1] = big",
        ("f64", "f64"),
    ),
    "what is fetched ahead, beyond the end too": (
        "for i in range(n0):\n    ll.ahead(a, 16*i, 32)\n    b[i] = a[i]",
        ("f32", "f32"),
    ),
    "few rounds, of which some fill no vector": (
        "for i in range(ll.few(n0)):\n    b[i] = a[i] * 2.0\nacc = 0.0\n"
        "for i in range(1, ll.few(n0)):\n    acc = ll.radd(acc, a[i])\nb[0] = acc",
        ("f64", "f64"),
    ),
    "steps, offsets and nested loops": (
        "for s in range(0, n0, 4):\n    m = min(4, n0 - s)\n    for r in range(m):\n"
        "        b[s + r] = a[n0 - 1 - (s + r)]\nfor i in range(2, 5):\n    b[i] = 0.0",
        ("f64", "f64"),
    ),
    "masked reads": (
        "for i in range(n0):\n    inside = (i >= 1) & (i < n0)\n"
        "    b[i] = a[i - 1] if inside else 0.0",
        ("f64", "f64"),
    ),
    "branches": (
        "best = a[0]\nwhere = 0\nfor i in range(n0):\n"
        "    if (a[i] > best) or ((a[i] != a[i]) and (best == best)):\n"
        "        best = a[i]\n        where = i\nb[0] = best\nb[1] = ll.f64(where)",
        ("f64", "f64"),
    ),
    "vector maths": (
        "for i in range(n0):\n    b[i] = vm.tanh64(a[i]) + vm.exp64(-a[i]) * vm.atan264(a[i], 2.0)",
        ("f64", "f64"),
    ),
    "single precision maths": (
        "for i in range(n0):\n    b[i] = vm.log1p32(ll.fabs(a[i]))",
        ("f32", "f32"),
    ),
    "SciPy's functions": (
        "for i in range(n0):\n    b[i] = sp.gammaln64(ll.fabs(a[i]) + 0.5)",
        ("f64", "f64"),
    ),
    "casts and booleans": (
        "for i in range(n0):\n    t = a[i] > 0.25\n    k = ll.i64(a[i] * 3.0)\n"
        "    b[i] = ll.f64(t) + ll.f64(k) + ll.f64(not t)",
        ("f64", "f64"),
    ),
    "products": (
        "blas.dgemm(False, True, 3, 3, 4, 1.0, a, 4, blas.at(a, 4), 4, 0.0, b, 3, a)",
        ("f64", "f64"),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_agrees_with_numba(name):
    body, pointers = BODIES[name]
    source = kernel(body + "\nreturn 0", pointers)
    dtype = {"f64": np.float64, "f32": np.float32}[pointers[0]]
    a = np.random.default_rng(0).standard_normal(33).astype(dtype)
    results = []
    for rung in ("direct", "lean"):
        b = np.zeros_like(a)
        assert run(source, rung, a, b, sizes=[33]) is True
        results.append(b)
    np.testing.assert_allclose(results[0], results[1], rtol=4 * np.finfo(dtype).eps)
    assert np.any(results[0])


def test_booleans_are_stored_as_numpy_stores_them():
    source = kernel(
        "for i in range(n0):\n    c[i] = (a[i] != 0) & (b[i] > 0.0)\nreturn 0",
        ("bool", "f64", "bool"),
    )
    a, b = np.array([True, True, False]), np.array([1.0, -1.0, 1.0])
    c = np.zeros(3, bool)
    assert run(source, "direct", a, b, c, sizes=[3]) is True
    np.testing.assert_array_equal(c, [True, False, False])


def test_status_and_constants_arrive():
    source = kernel("status = 0\nstatus |= ll.select(c0 > 1.5, 1, 0)\nreturn status", (), 0, 1)
    address = compile_source(source, "direct").address
    assert entry.make_call(address, [], [], [1.0], nogil=False)() is True
    assert entry.make_call(address, [], [], [2.0], nogil=False)() == 1


def test_empty_range_runs_no_round():
    source = kernel("for i in range(n0):\n    a[0] = 1.0\nreturn 0", ("f64",))
    a = np.zeros(1)
    assert run(source, "direct", a, sizes=[0]) is True
    assert a[0] == 0.0


@pytest.mark.parametrize("rung", ["direct", "plain"])
def test_branches_and_endless_loops(rung):
    lines = (
        "k = 0",
        "t = a[0]",
        "while True:",
        "    if t > 100.0:",
        "        break",
        "    if t > 10.0:",
        "        s = t * t",
        "    else:",
        "        s = t + 1.0",
        "    t = s",
        "    k = k + 1",
        "b[0] = t",
        "b[1] = ll.f64(k)",
        "return 0",
    )
    source = kernel("\n".join(lines), ("f64", "f64"))
    a, b = np.array([7.5]), np.zeros(2)
    assert run(source, rung, a, b) is True
    assert b.tolist() == [10.5**2, 4.0]


def test_integers_divide_as_in_numpy():
    lines = ("for i in range(n0):", "    c[i] = a[i] // b[i]", "    d[i] = a[i] % b[i]", "return 0")
    source = kernel("\n".join(lines), ("i64",) * 4)
    least = np.iinfo(np.int64).min
    a = np.array([7, -7, 7, -7, 6, 0, 5, -5, least, least, 3])
    b = np.array([3, 3, -3, -3, 3, 4, 0, 0, -1, 1, -1])
    c, d = np.zeros_like(a), np.zeros_like(a)
    assert run(source, "direct", a, b, c, d, sizes=[len(a)]) is True
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(c, a // b)
        np.testing.assert_array_equal(d, a % b)


UNKNOWN = {
    "powers": ("b[0] = a[0] ** n0\nreturn 0", ("i64", "i64")),
    "narrow integers": ("b[0] = a[0]\nreturn 0", ("i32", "i32")),
    "two types in one name": ("t = 1\nt = 2.0\nb[0] = t\nreturn 0", ("f64", "f64")),
    "other functions": ("b[0] = vm.nothing64(a[0])\nreturn 0", ("f64", "f64")),
    "another loop": ("while a[0] > 0.0:\n    b[0] = 1.0\nreturn 0", ("f64", "f64")),
    "mixed operands": ("b[0] = a[0] * n0\nreturn 0", ("f64", "f64")),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_it_does_not_know_it_says(name):
    body, pointers = UNKNOWN[name]
    with pytest.raises(direct.Unsupported):
        modules.compile_object(kernel(body, pointers), "symbol")


def test_unknown_text_goes_to_numba():
    source = kernel("b[0] = a[0] << n0\nreturn 0", ("i64", "i64"))
    executable = compile_source(source)
    assert executable.rung == "lean"
    b = np.zeros(1, np.int64)
    call = entry.make_call(executable.address, [entry.unchecked()] * 2, [3], [], nogil=False)
    assert call(np.array([-7]), b) is True
    assert b[0] == -56


def test_a_gradient_needs_no_numba(tmp_path):
    code = (
        "import sys, numpy as np, adjit\n"
        "f = adjit.grad(lambda x: np.sum(np.tanh(x @ x) ** 2))\n"
        "x = np.arange(9.0).reshape(3, 3) / 9\n"
        "assert np.isfinite(f(x)).all()\n"
        "print('numba' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PATH": "", "ADJIT_CACHE_DIR": str(tmp_path)},
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_the_store_keeps_which_rung_made_a_kernel(monkeypatch, tmp_path):
    monkeypatch.setenv("ADJIT_CACHE", "1")
    monkeypatch.setenv("ADJIT_CACHE_DIR", str(tmp_path / "store"))
    source = kernel("a[0] = 41.0 + 1.0\nreturn 0", ("f64",))
    assert compile_source(source).rung == "direct"
    forget()
    again = compile_source(source)
    assert (again.rung, again.cached) == ("direct", True)
    assert cache.list_entries()


def test_rows_that_llvm_would_fetch_element_by_element():
    """Two such arrays run in plain loops, one in single vectors; whole registers by themselves."""
    row = "for r in range(n0):\n    q = r*{0}\n    acc = 0.0\n    for i in range({0}):\n"
    one, two, dear = "vm.exp64(a[i])", "b[q + i]", "vm.exp64(b[q + i])"
    row += "        acc = ll.radd(acc, a[q + i] * {1})\n    c[r] = acc\nreturn 0"
    rng = np.random.default_rng(0)
    told = {"": (7, two), "unroll": (8, two), "interleave": (9, one), "vectorize": (9, two)}
    told["count"] = 9, dear
    for word, (n, other) in told.items():
        source = kernel(row.format(n, other), ("f64",) * 3)
        module = ir.Module("module")
        modules.kernel_function(source, module)
        assert ("llvm.loop" in str(module)) == bool(word) and word in str(module)
        assert (n < 9) == (str(module).count("distinct") < 2)  # rows that fill a register: theirs
        a, b, c = rng.normal(size=(5, n)), rng.normal(size=(5, n)), np.empty(5)
        run(source, "direct", a, b, c, sizes=(5,))
        factor = {one: np.exp(a[0]), two: b, dear: np.exp(b)}[other]
        np.testing.assert_allclose(c, np.sum(a * factor, axis=1), rtol=1e-13)


def test_long_bodies_that_add_up_run_two_vectors_at_once():
    x = np.random.default_rng(1).normal(size=300)
    for steps in (3, 40):
        lines = ["acc = 0.0", "for i in range(n0):", "    t = a[i]"]
        lines += ["    t = ll.fma(t, 0.5, a[i])"] * steps
        source = kernel(
            "\n".join([*lines, "    acc = ll.radd(acc, t)", "b[0] = acc"]) + "\nreturn 0",
            ("f64",) * 2,
        )
        module = ir.Module("module")
        modules.kernel_function(source, module)
        assert ("interleave.count" in str(module)) == (steps == 40)
        out = np.empty(1)
        run(source, "direct", x, out, sizes=(300,))
        np.testing.assert_allclose(out[0], x.sum() * (2 - 0.5**steps), rtol=1e-12)


def test_what_kernels_are_compiled_with_ends_with_them(monkeypatch):
    module = ir.Module("module")
    modules.kernel_function(kernel(BODIES["arithmetic"][0] + "\nreturn 0", ("f64", "f64")), module)
    engine.target_machine()
    parsed = llvm.parse_assembly(str(module))
    engine.optimise(parsed)
    said: list[str] = []
    tell = llvm.set_option
    monkeypatch.setattr(llvm, "set_option", lambda *words: [said.append(words[1]), tell(*words)][1])
    before = engine.target_machine().emit_object(parsed)
    engine.kernel_code(parsed)
    assert engine.target_machine().emit_object(parsed) == before
    assert said in ([], ["-disable-lsr=true", "-disable-lsr=false"])
    engine.kernel_code(parsed, loops=False)
    assert engine.target_machine().emit_object(parsed) == before
    monkeypatch.setattr(engine, "_TOLD", ())  # a version of LLVM that nobody has tried
    told = len(said)
    assert engine.kernel_code(parsed) == before and len(said) == told

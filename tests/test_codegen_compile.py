"""Kernels compile on both rungs to the same machine behaviour."""

import ctypes
import math
import threading
import warnings

import numpy as np
import pytest
from numba import njit
from numba.core.errors import NumbaError

from adjit.codegen import compile as compiling
from adjit.codegen import elf, engine, entry, lean, link, symbols
from adjit.codegen.compile import compile_source
from adjit.codegen.source import Source, module_text, used_globals


@pytest.fixture(autouse=True, scope="module")
def private_store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADJIT_CACHE_DIR", str(tmp_path_factory.mktemp("store")))
        compiling.forget()
        yield
        compiling.forget()


AXPY = Source(
    "axpy",
    """
def axpy(x, y, o, n, a):
    for i in range(n):
        o[i] = a * x[i] + y[i]
    return 0
""",
    ("f64", "f64", "f64"),
    1,
    1,
)
BODIES = {
    "arithmetic": "o[i] = (x[i] - 0.5) * x[i] / (1.0 + x[i] * x[i])",
    "branch": "o[i] = x[i] if x[i] > 0.0 else -2.0 * x[i]",
    "math": "o[i] = math.sqrt(abs(x[i])) + math.floor(x[i]) + math.atan2(x[i], 2.0)",
    "powers": "o[i] = x[i] ** 2 + x[i] ** 3",
    "integers": "o[i] = (i // 3) + (i % 5) * ((i >> 1) & 3) + j[i]",
    "booleans": "m[i] = x[i] > 0.3\n        o[i] = 1.0 if m[i] != 0 else 2.0",
    "complex": "z[i] = z[i] * complex(x[i], 1.0)\n        o[i] = z[i].real",
    "single": "s[i] = s[i] * np.float32(x[i])\n        o[i] = s[i]",
    "ufunc": "o[i] = np.floor(x[i]) + np.maximum(x[i], 0.25)",
    "division by zero": "o[i] = x[i] / (x[i] - x[i])",
    "overloads": "o[i] = max(x[i], 0.0) + round(x[i])",
    "own maths": "o[i] = vm.exp64(x[i]) + vm.tanh64(x[i])",
    "while": "t = x[i]\n        while t < 1.0:\n            t += 0.25\n        o[i] = t",
}


def run(source: Source, rung: str, n: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    arrays = [
        rng.normal(size=n),
        np.zeros(n),
        rng.integers(0, 9, n),
        np.zeros(n, bool),
        rng.normal(size=n) + 1j,
        rng.normal(size=n).astype(np.float32),
    ]
    executable = compile_source(source, rung)
    assert executable.rung == rung
    call = entry.make_call(executable.address, [entry.unchecked()] * 6, [n], [], False)
    assert call(*arrays) is True
    return arrays


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_rungs_agree(body):
    text = f"def k(x, o, j, m, z, s, n):\n    for i in range(n):\n        {body}\n    return 0\n"
    source = Source("k", text, ("f64", "f64", "i64", "bool", "c128", "f32"), 1, 0)
    for ours, plain in zip(run(source, "lean"), run(source, "plain"), strict=True):
        np.testing.assert_array_equal(ours, plain)


def call_kernel(executable, arrays, sizes=(), consts=()):
    spec = [entry.unchecked()] * len(arrays)
    return entry.make_call(executable.address, spec, sizes, consts, False)(*arrays)


@pytest.mark.parametrize("rung", ["lean", "plain"])
def test_result_and_status(rung):
    x, y, o = np.arange(5.0), np.ones(5), np.empty(5)
    assert call_kernel(compile_source(AXPY, rung), [x, y, o], [5], [2.0]) is True
    np.testing.assert_array_equal(o, 2 * x + y)
    left = Source("left", "def left(o, n):\n    return n * 7\n", ("f64",), 1, 0)
    assert call_kernel(compile_source(left, rung), [o], [3]) == 21


def test_what_the_short_pass_list_cannot_do_falls_back():
    text = "def f(o, n):\n    if n > 2:\n        raise ValueError\n    return 0\n"
    compiling._warn_about.cache_clear()
    with pytest.warns(RuntimeWarning, match="UnsupportedError"):
        executable = compile_source(Source("f", text, ("f64",), 1, 0), "lean")
    assert executable.rung == "plain"
    assert call_kernel(executable, [np.empty(1)], [1]) is True


def test_same_text_is_compiled_once():
    first = compile_source(AXPY)
    second = compile_source(AXPY)
    assert (second.address, second.known, second.seconds) == (first.address, True, {})
    assert first.path.read_text() == module_text(AXPY)


def test_threads_compile_once(monkeypatch):
    made = []
    original = compiling._compile

    def slow(*args):
        made.append(args)
        return original(*args)

    monkeypatch.setattr(compiling, "_compile", slow)
    source = Source("once", AXPY.text.replace("axpy", "once"), AXPY.pointers, 1, 1)
    results = []
    workers = [
        threading.Thread(target=lambda: results.append(compile_source(source))) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 1
    assert len({result.address for result in results}) == 1
    assert sorted(result.known for result in results) == [False, True, True, True]
    assert {part for r in results for part in r.seconds} == {"frontend", "llvm", "load"}


def test_rung_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("ADJIT_RUNG", "plain")
    assert compile_source(AXPY).rung == "plain"
    assert compile_source(AXPY, "lean").rung == "lean"
    monkeypatch.setenv("ADJIT_RUNG", "fast")
    with pytest.raises(ValueError, match="fast"):
        compile_source(AXPY)


def test_mistakes_in_the_text_are_not_hidden():
    with pytest.raises(ValueError, match="f16"):
        Source("f", "", ("f16",), 0, 0)
    bad = Source("bad", "def bad(x):\n    return x.nothing\n", ("f64",), 0, 0)
    with pytest.raises(NumbaError, match="nothing"):
        compile_source(bad)


def test_broken_internals_fall_back_with_one_warning(monkeypatch):
    def broken(*args):
        raise AttributeError("no such internal")

    monkeypatch.setattr(lean, "compile_object", broken)
    compiling._warn_about.cache_clear()
    x, o = np.arange(3.0), np.empty(3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("one", "two"):
            source = Source(name, AXPY.text.replace("axpy", name), AXPY.pointers, 1, 1)
            executable = compile_source(source, "lean")
            assert executable.rung == "plain"
            assert call_kernel(executable, [x, x, o], [3], [1.0]) is True
    assert [w.category for w in caught] == [RuntimeWarning]
    assert "AttributeError" in str(caught[0].message)


def test_only_used_modules_are_imported():
    assert used_globals("vm.exp64(math.sin(x))  # avm.f") == ["math", "vm"]
    source = Source("f", "def f(x):\n    return 0\n", ("f64",), 0, 0)
    assert "import" not in module_text(source)


@njit(error_model="numpy")
def cube(x, scale=2.0):
    return scale * x * x * x


@njit
def fourth(x):
    return cube(x) * x


def test_jitted_functions_are_linked_in():
    def kernel(x, o, n):
        for i in range(n):
            o[i] = fourth(x[i]) + cube(x[i], 1.0)
        return 0

    source = Source("kernel", "", ("f64", "f64"), 1, 0)
    code, needs, _ = lean.compile_object(kernel, source, "linked")
    assert not [name for name in needs if not name.startswith("llvm.")]
    x, o = np.arange(4.0), np.empty(4)
    address = link.load_object(code, "linked", {})
    entry.make_call(address, [entry.unchecked()] * 2, [4], [], False)(x, o)
    np.testing.assert_array_equal(o, 2 * x**4 + x**3)
    assert not cube.signatures  # Numba's own compiler, with its wrappers, was not asked


def test_reduction_and_maths_are_vectorised():
    import llvmlite.binding as llvm

    text = """
def v(x, o, n):
    s = 0.0
    for i in range(n):
        s = ll.radd(s, vm.exp64(x[i]))
    o[0] = s
    return 0
"""
    source = Source("v", text, ("f64", "f64"), 1, 0)
    scope = {}
    exec(compile(module_text(source), "<v>", "exec"), scope)
    module = lean.lower(scope["v"], source, "vectorised")
    engine.optimise(module)
    assert isinstance(module, llvm.ModuleRef)
    assert "x double>" in str(module)


def test_unknown_symbol_is_an_error_not_a_crash():
    code = engine.compile_text(
        "declare i64 @adjit_nowhere()\n"
        "define i64 @f() {\n  %r = call i64 @adjit_nowhere()\n  ret i64 %r\n}"
    )
    with pytest.raises(RuntimeError):
        link.load_object(code, "f", {})
    with pytest.raises(KeyError):
        symbols.resolve(["adjit_nowhere"])


LINKED = """
declare double @cos(double)
declare double @adjit_given(double)
@place = external global i8
@five = private constant [2 x double] [double 5.0, double 7.0]

define internal double @inner(double %x) noinline {
  %c = call double @cos(double %x)
  ret double %c
}

define double @f(double %x, i64 %k) {
  switch i64 %k, label %other [ i64 0, label %a i64 1, label %b i64 2, label %c
                                i64 3, label %d i64 4, label %e ]
a:
  %ra = call double @inner(double %x)
  ret double %ra
b:
  %rb = call double @adjit_given(double %x)
  ret double %rb
c:
  %pc = ptrtoint ptr @place to i64
  %rc = sitofp i64 %pc to double
  ret double %rc
d:
  %half = fmul double %x, 0.375
  ret double %half
e:
  %i = fptosi double %x to i64
  %p = getelementptr double, ptr @five, i64 %i
  %re = load double, ptr %p
  ret double %re
other:
  ret double -1.0
}
"""
STATEFUL = """
@count = internal global i64 40
define i64 @f() {
  %n = load i64, ptr @count
  %m = add i64 %n, 1
  store i64 %m, ptr @count
  ret i64 %m
}
"""


@pytest.mark.skipif(not elf.KNOWN, reason="LLVM links everything on this system")
def test_object_code_is_linked_without_llvm(monkeypatch):
    """Calls outside and inside, addresses, tables and constants; LLVM links what has state."""
    monkeypatch.setattr(engine, "load_object", None)
    form = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)
    given = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(lambda x: x + 100.0)
    imports = {"adjit_given": ctypes.cast(given, ctypes.c_void_p).value, "place": 1234}
    for passes in (engine.tidy, engine.optimise, lambda module: None):
        code = engine.compile_text(LINKED, passes)
        f = form(link.load_object(code, "f", imports))
        found = [f(1.0, k) for k in range(6)]
        assert found == [math.cos(1.0), 101.0, 1234.0, 0.375, 7.0, -1.0]
    with pytest.raises(elf.Unknown, match="no function"):
        elf.load(code, "g", lambda name: 1)
    for other in (b"", b"\x7fELF" + bytes(60), code[:4] + b"\x01" + code[5:]):
        with pytest.raises(elf.Unknown):
            elf.load(other, "f", lambda name: 1)
    monkeypatch.undo()
    code = engine.compile_text(STATEFUL, lambda module: None)
    f = ctypes.CFUNCTYPE(ctypes.c_int64)(link.load_object(code, "f", {}))
    assert (f(), f()) == (41, 42)


GEMM = """
def gemm(a, b, c, m, n, k, ta, tb, lda, ldb, ldc, at, alpha, beta):
    blas.dgemm(ta != 0, tb != 0, m, n, k, alpha, blas.at(a, at), lda, b, ldb, beta, c, ldc)
    return 0
"""


@pytest.mark.parametrize("rung", ["lean", "plain"])
@pytest.mark.parametrize(("dtype", "kind"), [("f64", "d"), ("f32", "s")])
def test_gemm(rung, dtype, kind):
    text = GEMM.replace("dgemm", f"{kind}gemm")
    executable = compile_source(Source("gemm", text, (dtype,) * 3, 9, 2), rung)
    rng = np.random.default_rng(2)

    def draw(*shape):
        return rng.normal(size=shape).astype(
            np.dtype(dtype.replace("f64", "d").replace("f32", "f"))
        )

    shapes = [(1, 1, 1), (3, 4, 5), (4, 1, 7), (1, 6, 2), (2, 3, 0), (0, 3, 2), (33, 17, 65)]
    for m, n, k in shapes:
        for ta in (0, 1):
            for tb in (0, 1):
                a, b, c = (
                    draw(k, m) if ta else draw(m, k),
                    draw(n, k) if tb else draw(k, n),
                    draw(m, n),
                )
                want = 2 * (a.T if ta else a) @ (b.T if tb else b) + 0.5 * c
                shifted = np.concatenate([np.full(3, np.nan, a.dtype), a.ravel()])
                sizes = [m, n, k, ta, tb, a.shape[1], b.shape[1], n, 3]
                assert call_kernel(executable, [shifted, b, c], sizes, [2.0, 0.5]) is True
                np.testing.assert_allclose(c, want, rtol=1e-4 if kind == "s" else 1e-12, atol=1e-5)


def test_gemm_ignores_what_it_overwrites():
    executable = compile_source(Source("gemm", GEMM, ("f64",) * 3, 9, 2))
    a, c = np.eye(3), np.full((3, 3), np.nan)
    call_kernel(executable, [a, a, c], [3, 3, 3, 0, 0, 3, 3, 3, 0], [1.0, 0.0])
    np.testing.assert_array_equal(c, a)


def test_scipy_exports_the_same_routines():
    ours, scipys = symbols.blas(), symbols._cython()
    assert set(scipys.addresses) == set(symbols.ROUTINES)
    assert set(ours.addresses) <= set(symbols.ROUTINES)


def test_blas_threads():
    before = symbols.get_threads()
    if before is None:
        pytest.skip("this BLAS cannot be asked")
    with symbols.threads(1):
        assert symbols.get_threads() == 1
    assert symbols.get_threads() == before


def test_executables_speak_c():
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 3)
    x, o = np.arange(3.0), np.empty(3)
    pointers = (ctypes.c_void_p * 3)(x.ctypes.data, x.ctypes.data, o.ctypes.data)
    sizes, consts = (ctypes.c_int64 * 1)(3), (ctypes.c_double * 1)(4.0)
    assert kind(compile_source(AXPY).address)(pointers, sizes, consts) == 0
    np.testing.assert_array_equal(o, 5 * x)

"""The kernel store: a second process needs no Numba, and no damage to the disk is an error."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest

from adjit.codegen import cache, entry
from adjit.codegen import compile as compiling
from adjit.codegen.compile import compile_source
from adjit.codegen.source import Source

TEXT = """
def scale(x, o, n, a):
    for i in range(n):
        o[i] = a * math.sqrt(x[i]) + {shift}
    return 0
"""


def kernel(shift: float = 0.0) -> Source:
    return Source("scale", TEXT.format(shift=shift), ("f64", "f64"), 1, 1)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """An empty store and an empty memory."""
    monkeypatch.setenv("ADJIT_CACHE_DIR", str(tmp_path / "store"))
    monkeypatch.delenv("ADJIT_CACHE", raising=False)
    compiling.forget()
    yield tmp_path / "store"
    compiling.forget()


def assert_right(executable, shift: float = 0.0) -> None:
    x, o = np.array([1.0, 4.0]), np.empty(2)
    call = entry.make_call(executable.address, [entry.unchecked()] * 2, [2], [3.0], False)
    assert call(x, o) is True
    np.testing.assert_array_equal(o, 3 * np.sqrt(x) + shift)


def again(shift: float = 0.0):
    """Compile as a new process would."""
    compiling.forget()
    executable = compile_source(kernel(shift), "lean")
    assert_right(executable, shift)
    return executable


def key(shift: float = 0.0) -> str:
    return cache.key(compiling.identity(kernel(shift), "lean"))


def test_hit_and_miss(store):
    assert not again().cached
    hit = again()
    assert hit.cached
    assert hit.path.parent == store
    assert "def scale" in hit.path.read_text()
    assert hit.seconds["frontend"] == hit.seconds["llvm"] == 0.0
    assert not again(1.0).cached
    assert again(1.0).cached


def test_files_are_private(store):
    again()
    assert os.stat(store).st_mode & 0o777 == 0o700
    for path in store.iterdir():
        assert path.stat().st_mode & 0o077 == 0
    assert not list(store.glob(".tmp-*"))


PROGRAM = """
import sys
import numpy as np
from adjit.codegen import entry
from adjit.codegen.compile import compile_source
from adjit.codegen.source import Source
text = '''
def f(x, o, n):
    blas.dgemm(False, False, n, n, n, 1.0, x, n, x, n, 0.0, o, n)
    for i in range(n * n):
        o[i] = vm.exp64(o[i]) + math.sin(o[i])
    return 0
'''
executable = compile_source(Source("f", text, ("f64", "f64"), 1, 0), "lean")
x, o = np.arange(9.0).reshape(3, 3) / 9, np.empty((3, 3))
call = entry.make_call(executable.address, [entry.like(x), entry.unchecked()], [3], [], False)
assert call(x, o) is True
np.testing.assert_allclose(o, np.exp(x @ x) + np.sin(x @ x), rtol=1e-14)
print(executable.cached, "numba" in sys.modules, "scipy" in sys.modules)
"""


def start() -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=-1, stderr=-1, text=True)


def finish(process: subprocess.Popen) -> list[str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.split()


def test_second_process_needs_no_numba():
    assert finish(start())[:2] == ["False", "True"]
    assert finish(start()) == ["True", "False", "False"]


def test_processes_write_together(store):
    racers = [start() for _ in range(3)]
    for racer in racers:
        finish(racer)
    assert finish(start())[0] == "True"
    assert not list(store.glob(".tmp-*"))


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def truncate(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "flipped": flip,
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "garbage": lambda path: path.write_bytes(b"\0\xff" * 500),
    "another type": lambda path: path.write_text("[1, 2]"),
}


@pytest.mark.parametrize("suffix", [".o", ".json", ".py"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_a_miss(store, suffix, damage):
    again()
    damage(store / f"{key()}{suffix}")
    assert not again().cached
    assert again().cached


def test_foreign_entry_is_a_miss(store):
    again(), again(1.0)
    for suffix in (".o", ".py", ".json"):
        (store / f"{key()}{suffix}").write_bytes((store / f"{key(1.0)}{suffix}").read_bytes())
    assert not again().cached


@pytest.mark.filterwarnings("error")
def test_entry_that_needs_unknown_symbols_is_a_miss(store):
    again()
    entry_ = cache.load(key(), (".o", ".py"))
    cache.store(key(), entry_.files, dict(entry_.meta) | {"needs": ["adjit_nowhere"]})
    assert not again().cached
    cache.store(key(), dict(entry_.files) | {".o": b"\x7fELF, or not"}, entry_.meta)
    assert not again().cached


def test_toolchain_is_part_of_the_key(monkeypatch):
    ours = key()
    monkeypatch.setattr(cache, "toolchain", lambda: "another machine")
    assert key() != ours


def test_types_are_part_of_the_key():
    other = Source("scale", kernel().text, ("f64", "f32"), 1, 1)
    assert cache.key(compiling.identity(other, "lean")) != key()


def test_switched_off(store, monkeypatch):
    monkeypatch.setenv("ADJIT_CACHE", "0")
    assert not again().cached
    assert not again().cached
    assert not store.exists()
    assert cache.list_entries() == []
    assert cache.clear() == 0


def test_directory_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADJIT_CACHE_DIR", str(tmp_path / "file" / "store"))
    assert cache.directory() is None
    executable = again()
    assert not executable.cached
    assert "def scale" in executable.path.read_text()


def test_files_outside_the_store_go_with_the_process(monkeypatch):
    at_end = []
    monkeypatch.setattr(compiling, "atexit", types.SimpleNamespace(register=at_end.append))
    path = compiling._scratch.__wrapped__()
    assert path.is_dir()
    at_end[0]()
    assert not path.exists()


def test_full_disk(store, monkeypatch, caplog):
    def full(*args):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(cache, "_replace", full)
    caplog.set_level("DEBUG", "adjit.cache")
    cache._complained.clear()
    assert not again().cached
    assert not again(1.0).cached
    assert len(caplog.records) == 1
    assert list(store.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_directory_that_others_may_write_to_is_not_trusted(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("ADJIT_CACHE_DIR", str(shared))
    assert cache.directory() is None
    assert not again().cached
    assert list(shared.iterdir()) == []


def test_places(tmp_path, monkeypatch):
    monkeypatch.delenv("ADJIT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.directory() == tmp_path / "xdg" / "adjit" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.directory() == tmp_path / "home" / ".cache" / "adjit" / "kernels"


def put(name: str, size: int, used: float) -> None:
    stem = cache.store(name, {".o": b"x" * size}, {"name": name})
    os.utime(stem.with_suffix(".json"), (used, used))


def test_least_recently_used_goes_first(store):
    for i, name in enumerate("abcd"):
        put(name, 10_000, 1e9 + i)
    assert cache.load("a", (".o",)) is not None  # now the most recent
    assert cache.evict(store, 25_000) == 2
    assert {listed.key for listed in cache.list_entries()} == {"a", "d"}
    assert not (store / "b.o").exists()


def test_store_keeps_to_its_limit(store, monkeypatch):
    monkeypatch.setenv("ADJIT_CACHE_LIMIT", "64K")
    for i in range(20):
        put(f"k{i}", 10_000, 1e9 + i)
    sizes = sum(path.stat().st_size for path in store.iterdir())
    assert sizes <= 64 << 10
    assert cache.load("k19", (".o",)) is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", cache.DEFAULT_LIMIT),
        ("1000", 1000),
        ("2k", 2048),
        ("1.5G", 3 << 29),
        ("much", cache.DEFAULT_LIMIT),
    ],
)
def test_limit(monkeypatch, text, value):
    monkeypatch.setenv("ADJIT_CACHE_LIMIT", text)
    assert cache.limit() == value


def test_list_and_clear(store):
    again(), again(1.0)
    (store / "leftover.o").write_bytes(b"")
    (store / ".tmp-abc").write_bytes(b"")
    listed = [one for one in cache.list_entries() if one.name == "scale"]
    assert len(listed) == 2
    assert all(one.size > 500 for one in listed)
    assert cache.clear() >= 2
    assert list(store.iterdir()) == []
    assert not again().cached


def test_leftovers_of_dead_writers_go(store):
    put("whole", 10, 1e9)
    for name in (".tmp-dead", "dead.o"):
        (store / name).write_bytes(b"")
        os.utime(store / name, (1e9, 1e9))
    (store / ".tmp-alive").write_bytes(b"")
    cache.evict(store, 1 << 20)
    assert sorted(path.name for path in store.iterdir()) == [".tmp-alive", "whole.json", "whole.o"]


def test_facts_are_readable(store):
    again()
    facts = json.loads((store / f"{key()}.json").read_text())
    assert facts["name"] == "scale"
    assert facts["signature"] == "f64 f64; 1 sizes; 1 consts"
    assert set(facts["files"]) == {".py", ".o"}


def test_helpers_are_stored_as_bitcode(store):
    """`@njit` functions of the package are compiled once per machine."""
    program = textwrap.dedent(
        """
        from adjit.codegen import cache, helpers, special
        from adjit.codegen.compile import compile_source
        from adjit.codegen.source import Source
        made = []
        original = helpers._compile
        helpers._compile = lambda *args: made.append(args) or original(*args)
        text = "def f(x):\\n    x[0] = sp.zeta64(x[0], 1.0)\\n    return {status}\\n"
        compile_source(Source("f", text, ("f64",), 0, 0), "lean")
        print(len(made))
        """
    )
    counts = [
        int(subprocess.check_output([sys.executable, "-c", program.replace("{status}", status)]))
        for status in "01"
    ]
    assert counts[0] >= 1
    assert counts[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_compiles(store):
    again()
    child = os.fork()
    if child == 0:
        try:
            again(3.0)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert again(3.0).cached


def test_directory_removed_under_a_running_process(store):
    again()
    shutil.rmtree(store)
    assert not again(1.0).cached
    assert not again(2.0).cached
    assert again(2.0).cached

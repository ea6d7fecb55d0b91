"""The command line: what the kernel store holds, and what runs here."""

import os
import subprocess
import sys

import numpy as np
import pytest

import adjit
from adjit.__main__ import main
from adjit.codegen import cache, host


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("ADJIT_CACHE_DIR", str(tmp_path / "kernels"))
    cache.store("a" * 40, {".o": b"x" * 3000}, {"name": "loss_vjp"})
    cache.store("b" * 40, {".o": b"x" * 5000}, {"name": "model"})
    os.utime(tmp_path / "kernels" / f"{'a' * 40}.json", (1e9, 1e9))
    return tmp_path / "kernels"


def test_list_shows_names_sizes_and_the_total(store, capsys):
    assert main(["cache"]) == 0
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("bbbbbbbbbbbb") and first.endswith("model") and "just now" in first
    assert second.endswith("loss_vjp") and " d ago" in second
    assert total.startswith("2 kernels, ") and str(store) in total
    assert main(["cache", "list", "-n", "1"]) == 0
    assert "... and 1 more" in capsys.readouterr().out


def test_trim_removes_the_oldest_and_clear_all(store, capsys):
    assert main(["cache", "trim", "6K"]) == 0
    assert capsys.readouterr().out == "1 kernel removed\n"
    assert [e.name for e in cache.list_entries()] == ["model"]
    assert main(["cache", "clear"]) == 0
    assert not cache.list_entries() and not list(store.glob("*.o"))


def test_a_store_that_is_off_says_so(monkeypatch, capsys):
    monkeypatch.setenv("ADJIT_CACHE", "0")
    assert main(["cache", "list"]) == 1
    assert "switched off" in capsys.readouterr().out


def test_a_size_that_is_none_is_an_error(capsys):
    with pytest.raises(SystemExit):
        main(["cache", "trim", "much"])
    assert "100M" in capsys.readouterr().err


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "adjit", "info"], capture_output=True, text=True, check=True
    )
    name, version = done.stdout.split("\n")[0].split()  # the column is as wide as its names
    assert (name, version) == ("adjit", adjit.__version__) and np.__version__ in done.stdout


def test_what_is_known_of_the_cpu_has_a_name(store):
    host._native()
    assert "?" not in {e.name for e in cache.list_entries()}

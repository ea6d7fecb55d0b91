"""What the environment says about options, and what holds where it says nothing."""

import dataclasses
import inspect

import pytest

from adjit import settings


def test_threads_are_as_many_as_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    count = settings._processors(str(tmp_path / "none"))
    assert count >= 1
    quota = tmp_path / "cpu.max"
    for text, expected in (("max 100000", count), ("150000 100000", 1), ("9900000 100000", count)):
        quota.write_text(text + "\n")
        assert settings._processors(str(quota)) == min(count, expected)
    monkeypatch.delenv("ADJIT_THREADS", raising=False)
    for name, said in (("OMP_NUM_THREADS", "5"), ("ADJIT_THREADS", "3")):
        monkeypatch.setenv(name, said)
        assert settings._threads() == int(said)
    monkeypatch.setenv("ADJIT_THREADS", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert 1 <= settings._threads() <= count


def test_help_names_every_option() -> None:
    text = inspect.getdoc(settings.options) or ""
    assert text.startswith("A block under other options")
    assert all(f"\n{field.name}  " in text for field in dataclasses.fields(settings.Options))

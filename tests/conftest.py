"""What tests share: golden files (`--update-golden` rewrites them), and the interpreter alone."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Two workers keep two cores busy; tests about threads ask for them.
os.environ.setdefault("ADJIT_THREADS", "1")

import adjit

# The suite draws the same programs every time; `make fuzz` draws new ones.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")

pytest.register_assert_rewrite("fuzz", "graphs", "ranges", "rows", "traced")

GOLDEN = Path(__file__).parent / "golden"

# Files of few tests that take long: started last, one of them would leave the other worker idle.
LONG = (
    "test_examples",
    "test_docs",
    "test_memory",
    "test_numpy_differential",
    "test_guard_flows",
    "test_rolling",
    "test_benchmarks",
    "test_codegen_vecmath",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden")


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # pytest-xdist takes files in the order they come in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take long come first."""
    place = {name: k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="module", autouse=True)
def _old_objects_are_no_garbage() -> None:
    """Collections of garbage look at what the tests of this file made, not at all before them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` compares a text with the file of that name in tests/golden."""
    update = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        text = text.rstrip("\n") + "\n"
        if update:
            path.write_text(text)
        if not path.exists():
            pytest.fail(f"there is no golden/{name}; make it by --update-golden and review it")
        assert text == path.read_text(), f"golden/{name} differs; --update-golden if it should"

    return compare


@pytest.fixture
def interpreted() -> Iterator[None]:
    """Run every program by the interpreter, where a test is not about kernels."""
    with adjit.options(interpret=True):
        yield


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where this process was started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

"""Random draws and clocks in a traced function are refused, and the remedy named."""

import os
import random
import time
import uuid
from random import gauss
from time import perf_counter

import numpy as np
import pytest

from adjit import jit
from adjit.errors import ClockInTrace, RandomInTrace

drawn = random.Random(1)


pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: x * np.random.rand(), "np.random.rand"),
        (lambda x: x * np.random.default_rng().normal(), "np.random.default_rng"),
        (lambda x: x * random.random(), "random.random"),
        (lambda x: x * gauss(0, 1), "random.gauss"),
        (lambda x: x * random.randint(1, 3), "random.randint"),
        (lambda x: x * drawn.random(), "global drawn drew random numbers"),
        (lambda x: x * os.urandom(1)[0], "os.urandom"),
        (lambda x: x * (uuid.uuid4().int % 7), "uuid.uuid4"),
    ],
    ids=lambda f: f if isinstance(f, str) else "",
)
def test_draws(f, name):
    with pytest.raises(RandomInTrace) as error:
        jit(f)(2.0)
    first, *_, advice = str(error.value).split("\n")
    assert first.startswith(name) and "def f(x, noise)" in advice


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * time.time(),
        lambda x: x * perf_counter(),
        lambda x: x * (time.monotonic_ns() // 1000),
        lambda x: x + (1 - (time.time() - perf_counter()) * 2),
        lambda x: (x, time.time()),
        lambda x: np.stack([x, time.time()]),
    ],
)
def test_clocks(f):
    with pytest.raises(ClockInTrace, match="showed while tracing would be the same") as error:
        jit(f)(2.0)
    assert "test_purity.py" in str(error.value) and "as an argument" in str(error.value)


def test_what_is_the_same_at_every_call():
    def seeded(x):
        np.random.seed(0)
        return x * np.random.rand() * np.random.default_rng(3).normal()

    assert jit(seeded)(2.0) == seeded(2.0)

    def quiet(x):
        start = time.time()
        time.sleep(0)
        spent.append(time.time() - start)
        return x

    spent = []

    assert jit(quiet)(2.0) == 2.0 and spent[0] < 60
    assert random.random() != random.random() and time.time() > 0  # outside of a trace


def test_what_a_module_draws_and_reads_when_it_is_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_late.py").write_text(
        "import datetime, time\n"
        "import numpy as np\n"
        "drawn = np.random.rand(3)\n"
        "year = time.localtime().tm_year\n"
        "start = time.time()\n"
        "scale = 2.0 if start > 5 and datetime.datetime.now().year >= year else 3.0\n"
    )

    def f(x):
        import imported_late

        return x * imported_late.scale * imported_late.drawn

    np.testing.assert_allclose(jit(f)(2.0), f(2.0), rtol=1e-12)

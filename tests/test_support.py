"""The page of what is supported is made from the tables, and says of every name where it stands."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy_cases import TABLE

import adjit
from adjit import errors, support
from adjit.tracer.refusals import FLAT, REFUSED, THROUGH, refusal

PAGE = Path(__file__).parent.parent / "docs" / "numpy-support.md"
FOUND = [s for section in support.everything().values() for s in section]
STATE = {s.name: s.state for s in FOUND}


def test_page_says_what_the_tables_say(request: pytest.FixtureRequest) -> None:
    made = support.page()
    if request.config.getoption("--update-golden"):
        PAGE.write_text(made)
    assert PAGE.read_text() == made, "docs/numpy-support.md is stale: run with --update-golden"


def test_no_name_is_silent() -> None:
    assert not [s.name for s in FOUND if s.state == support.SILENT]


def test_every_refusal_says_why_and_what_instead() -> None:
    assert all(s.why and s.instead for s in FOUND if s.state == support.REFUSED)
    assert all(s.why for s in FOUND if s.state == support.FLAT)


def _is_in_numpy(name: str) -> bool:
    found = np
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def test_names_in_the_tables_are_numpys() -> None:
    names = [n.removeprefix("numpy.") for n in (*FLAT, *THROUGH, *REFUSED) if "*" not in n]
    later = {n.removeprefix("numpy.") for n in support.LATER}
    assert [n for n in names if not _is_in_numpy(n) and n not in later] == []


def test_what_is_said_to_have_derivatives_is_differentiated() -> None:
    """The differential suite has a smooth entry of it (other suites hold those not in it)."""
    smooth = {e.name for e in TABLE if e.smooth}
    tested = {e.name for e in TABLE}
    elsewhere = ("numpy.fft.", "scipy.special.", "numpy.lib.recfunctions.")
    missing = [
        s.name for s in FOUND
        if s.state == support.DIFFERENTIABLE and s.name not in smooth
        and not s.name.startswith(elsewhere) and s.name in tested
    ]  # fmt: skip
    assert not missing, missing
    untested = [
        s.name for s in FOUND
        if s.state != support.REFUSED and s.name.startswith("numpy.") and s.name not in tested
        and not s.name.startswith(elsewhere)
    ]  # fmt: skip
    assert not untested, untested


def test_what_is_said_to_have_none_is_not_called_smooth_alone() -> None:
    """Nothing is both flat by the page and of nonzero slope by the suite."""
    x = np.array([0.3, -1.2, 2.5])
    for name in ("floor", "rint", "sign", "round"):
        f = getattr(np, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", adjit.errors.ZeroGradient)
            assert not np.any(adjit.grad(lambda v, f=f: np.sum(f(v) * 1.0))(x))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.array2string(x), "numpy.array2string"),
        (lambda x: np.save("f.npy", x), "numpy.save"),
        (lambda x: x.tobytes(), "numpy.ndarray.tobytes"),
        (lambda x: np.shares_memory(x, x), "numpy.shares_memory"),
        (lambda x: np.isnat(x), "numpy.isnat"),
        (lambda x: np.nditer(x, flags=["external_loop"]), "numpy.nditer"),
        (lambda x: np.frompyfunc(lambda v: v + 1, 1, 1)(x), "numpy.frompyfunc"),
        (lambda x: np.strings.upper(x), "numpy.strings.upper"),
    ],
)
def test_the_error_says_what_the_page_says(call, name) -> None:
    said = next((s for s in FOUND if s.name == name), None) or refusal(name)
    with pytest.raises(errors.UnsupportedOp) as error:
        adjit.jit(call)(np.ones(3))
    assert said.why in str(error.value)
    assert said.instead in str(error.value)

"""Long straight lines of scalar statements, as people write them for kinematics or kinetics."""

import numpy as np
import pytest

from adjit import grad, options

KINDS = (
    "{a} + {b}",
    "{a} - 0.5*{b}",
    "{a} * {b} * 0.5",
    "{a} / (1.0 + {b}*{b})",
    "np.sin({a}) + 0.1*{b}",
    "np.exp(-{a}*{a})",
    "np.sqrt(1.0 + {a}*{a}) - {b}",
    "{a}**3 * 0.1 + {b}",
    "({a} - {b}) - {b}",
    "{b} / (2.0 + {a}*{a}) * (2.0 + {a}*{a})",
    "-({a} * {b}) / (2.0 + {a}*{a})",
)


def written(statements, seed):
    """A function of five numbers in so many statements, each of recent values."""
    rng = np.random.default_rng(seed)
    names = [f"v{i}" for i in range(5)]
    lines = ["def f(x):", *(f"    v{i} = x[{i}]" for i in range(5))]
    for k in range(statements):
        a, b = rng.choice(names[-9:], 2, replace=False)
        lines.append(f"    t{k} = " + KINDS[rng.integers(len(KINDS))].format(a=a, b=b))
        names.append(f"t{k}")
    lines.append("    return " + " + ".join(names[-9:]))
    made = {"np": np}
    exec("\n".join(lines), made)
    return made["f"]


@pytest.mark.parametrize(("statements", "seed"), [(90, 0), (300, 2)])
def test_gradients_of_long_lines_are_those_of_complex_steps(statements, seed):
    f = written(statements, seed)
    x = np.random.default_rng(seed).uniform(0.5, 1.5, 5)
    step = 1e-30
    want = [f(x + 1j * step * e).imag / step for e in np.eye(5)]
    with options(check=statements < 100):  # every pass is interpreted before and after
        got = grad(f)(x)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11 * np.abs(want).max())

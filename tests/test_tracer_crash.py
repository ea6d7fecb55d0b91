"""Compiled code that looks NumPy's constructors up while a trace is open gets real arrays."""

import subprocess
import sys
import textwrap

PROGRAM = """
    import numpy as np
    from adjit.tracer.trace import trace
    from scipy import interpolate, ndimage, optimize, signal, sparse, spatial, stats

    X = np.linspace(-1, 1, 6)
    P = np.random.default_rng(1).normal(size=(20, 2))

    def draws(x):
        rng = np.random.default_rng(0)
        rng.normal(size=3), rng.permutation(5), rng.choice(5, 2), rng.integers(0, 3, 4)
        rng.shuffle(np.arange(4)), rng.multivariate_normal(P[0], np.eye(2)), rng.dirichlet([1, 2])
        state = np.random.RandomState(0)
        state.rand(3), state.permutation(4), state.multinomial(3, [0.5, 0.5])
        return x + rng.normal(size=6)

    def tables(x):
        spatial.cKDTree(P).query(P[:3]), spatial.distance.cdist(P, P), spatial.ConvexHull(P)
        interpolate.interp1d([0.0, 1, 2], [0.0, 1, 4])([0.5, 1.5])
        interpolate.CubicSpline([0.0, 1, 2], [0.0, 1, 4])(0.5)
        sparse.csr_matrix(([1.0, 2.0], ([0, 1], [1, 0])), shape=(2, 2)).toarray()
        ndimage.gaussian_filter([1.0, 2, 3, 4], 1.0), signal.windows.hann(8)
        optimize.minimize(lambda v: (v**2).sum(), [1.0, 2.0])
        stats.norm(0, 1).rvs(3, random_state=0)
        np.linalg.solve([[2.0, 1], [1, 3]], [1.0, 2]), np.fft.fft([1.0, 2, 3])
        np.vectorize(lambda v: v + 1)([1.0, 2]), np.unique([3, 1, 3]), np.histogram([1.0, 2, 3])
        return x * sparse.eye(6).diagonal()

    for f in (draws, tables):
        for _ in range(3):
            trace(f, (X,))
    print("done")
"""


def test_compiled_callers_of_constructors():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr

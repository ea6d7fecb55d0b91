"""Prices of options and their sensitivities (the Greeks), a million at once."""

from time import perf_counter

import numpy as np
from scipy.special import erf

from adjit import value_and_grad

GREEKS = ("delta", "dual delta", "theta (negated)", "rho", "vega")


def normal_cdf(x):
    return 0.5 * (1.0 + erf(x / np.sqrt(2.0)))


def prices(spot, strike, time, rate, volatility):
    """Black and Scholes' price of European calls."""
    spread = volatility * np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + 0.5 * volatility**2) * time) / spread
    return spot * normal_cdf(d1) - strike * np.exp(-rate * time) * normal_cdf(d1 - spread)


@value_and_grad(argnums=(0, 1, 2, 3, 4))
def total(spot, strike, time, rate, volatility):
    return np.sum(prices(spot, strike, time, rate, volatility))


def main():
    rng = np.random.default_rng(0)
    ranges = [(50, 150), (50, 150), (0.1, 2.0), (0.0, 0.1), (0.1, 0.5)]
    options = [rng.uniform(lo, hi, 1_000_000) for lo, hi in ranges]
    one = [x[:1] for x in options]

    print(total.ir(*one))
    print("\nthe first option, against central differences:")
    gradients = total(*one)[1]
    for k, name in enumerate(GREEKS):
        shift = [1e-5 * x if i == k else 0.0 * x for i, x in enumerate(one)]
        up, down = ([x + s * h for x, h in zip(one, shift, strict=True)] for s in (1, -1))
        numeric = (prices(*up) - prices(*down)) / (2.0 * shift[k])
        print(f"  {name:16} {gradients[k][0]:12.8f} {numeric[0]:12.8f}")
        np.testing.assert_allclose(gradients[k], numeric, rtol=1e-5)

    total(*options)
    start = perf_counter()
    total(*options)
    with_greeks = perf_counter() - start
    start = perf_counter()
    prices(*options)
    alone = perf_counter() - start
    print(
        f"a million prices by NumPy: {1e3 * alone:.0f} ms; with Greeks: {1e3 * with_greeks:.0f} ms"
    )


if __name__ == "__main__":
    main()

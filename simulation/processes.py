"""Latencies whose quantiles are known, one after another as a server gives them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.stats import norm

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Process:
    """`draw(generator, trials, n)` gives an array of trials by n; `over(x)` is the true share above x."""

    name: str
    draw: Callable[[np.random.Generator, int, int], Values]
    over: Callable[[float], float]

    def quantile(self, level: float) -> float:
        """Returns the true quantile."""
        return float(brentq(lambda x: self.over(x) - (1 - level), -50.0, 1e4, xtol=1e-12))


def independent() -> Process:
    """Returns exponential latencies that know nothing of each other."""
    return Process("iid", lambda generator, trials, n: generator.exponential(size=(trials, n)), _exponential)


def _exponential(x: float, mean: float = 1.0) -> float:
    return float(np.exp(-max(x, 0.0) / mean))


def autoregressive(rho: float) -> Process:
    """Returns a Gaussian AR(1), in its steady state from the first value on."""

    def draw(generator: np.random.Generator, trials: int, n: int) -> Values:
        shocks = generator.standard_normal((trials, n))
        shocks[:, 1:] *= np.sqrt(1 - rho**2)
        values: Values = lfilter([1.0], [1.0, -rho], shocks, axis=1)
        return values

    return Process(f"AR(1), {rho}", draw, lambda x: float(norm.sf(x)))


def slow_state(share: float, stay: float, factor: float) -> Process:
    """Returns a server that is `factor` times slower in a share of the time, for `stay` requests on average.

    Two states of a Markov chain; in each, latencies are exponential and independent.
    """

    def draw(generator: np.random.Generator, trials: int, n: int) -> Values:
        luck = generator.random((trials, n))
        slow = np.empty((trials, n), dtype=bool)
        slow[:, 0] = luck[:, 0] < share
        for step in range(1, n):
            before = slow[:, step - 1]
            slow[:, step] = np.where(
                before, luck[:, step] >= 1 / stay, luck[:, step] < share / (1 - share) / stay
            )
        return generator.exponential(size=(trials, n)) * np.where(slow, factor, 1.0)

    def over(x: float) -> float:
        return share * _exponential(x, factor) + (1 - share) * _exponential(x)

    return Process(f"slow state, {share:.0%} for {stay:g}", draw, over)


def queue(load: float) -> Process:
    """Returns the stays of an M/M/1 queue in its steady state (Lindley 1952): exponential with 1 - load."""

    def draw(generator: np.random.Generator, trials: int, n: int) -> Values:
        service = generator.exponential(size=(trials, n))
        between = generator.exponential(1 / load, size=(trials, n))
        busy = generator.random(trials) < load
        first = np.where(busy, generator.exponential(1 / (1 - load), size=trials), 0.0)
        steps = np.column_stack([first, service[:, :-1] - between[:, 1:]])
        work = np.cumsum(steps, axis=1)
        waited: Values = work - np.minimum(np.minimum.accumulate(work, axis=1), 0.0)
        return waited + service

    return Process(f"M/M/1, {load:.0%}", draw, lambda x: _exponential(x, 1 / (1 - load)))


def trials_that_differ(spread: float) -> Process:
    """Returns independent exponential latencies whose mean is another in each trial, log-normally."""
    points, weights = np.polynomial.hermite_e.hermegauss(40)

    def draw(generator: np.random.Generator, trials: int, n: int) -> Values:
        means = generator.lognormal(0.0, spread, size=(trials, 1))
        return generator.exponential(size=(trials, n)) * means

    def over(x: float) -> float:
        tails = [_exponential(x, float(np.exp(spread * point))) for point in points]
        return float(np.dot(tails, weights) / weights.sum())

    return Process(f"trials differ by {spread:.0%}", draw, over)

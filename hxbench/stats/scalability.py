"""How throughput grows with load: the Universal Scalability Law."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.stats import t

from hxbench.stats.proportions import Interval

Values = NDArray[np.float64]

FEWEST = 4  # loads: three parameters and something left to judge them by
_EXACT = 1e-9  # of kappa times the largest load squared: less is rounding


@dataclass(frozen=True)
class Scalability:
    """X(N) = rate N / (1 + sigma (N - 1) + kappa N (N - 1)): contention sigma, coherency kappa."""

    rate: float
    sigma: float
    kappa: float
    kappa_interval: Interval
    standard_errors: tuple[float, float, float]  # of rate, sigma, kappa

    @property
    def peak(self) -> float | None:
        """Returns the load of the highest throughput; None when the data show none: kappa may be 0."""
        if self.kappa_interval.low <= 0 or self.sigma >= 1:
            return None
        return math.sqrt((1 - self.sigma) / self.kappa)

    def throughput(self, load: float) -> float:
        """Returns what the law gives at a load."""
        return float(_law(np.array(load), self.rate, self.sigma, self.kappa))


def _law(load: Values, rate: float, sigma: float, kappa: float) -> Values:
    law: Values = rate * load / (1 + sigma * (load - 1) + kappa * load * (load - 1))
    return law


def universal_scalability(
    load: Values, throughput: Values, *, confidence: float = 0.95
) -> Scalability | None:
    """Returns the law by least squares (Gunther 2007, Guerrilla Capacity Planning, 5); None below `FEWEST`.

    Advice, never a gate. Starts from the linear fit of N / X.
    """
    if load.size < FEWEST:
        return None
    terms = np.column_stack([np.ones(load.size), load - 1, load * (load - 1)])
    start = np.linalg.lstsq(terms, load / throughput, rcond=None)[0]
    guess = (1 / start[0], start[1] / start[0], start[2] / start[0])
    fitted, covariance = curve_fit(_law, load, throughput, guess, x_scale=np.abs(guess) + 1e-12, method="trf")
    errors = np.sqrt(np.diag(covariance))
    kappa = float(fitted[2])
    reach = float(t.isf((1 - confidence) / 2, load.size - 3) * errors[2]) + _EXACT / float(load.max()) ** 2
    interval = Interval(kappa - reach, kappa + reach)
    rate_error, sigma_error, kappa_error = map(float, errors)
    return Scalability(
        float(fitted[0]), float(fitted[1]), kappa, interval, (rate_error, sigma_error, kappa_error)
    )

"""The leak verdict: on made-up series whose truth is known, and how often it errs."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hxbench.judge.leak import LEAK, NO_LEAK, UNDECIDED, Leak, leak

Values = NDArray[np.float64]

MB = 1e6
CYCLES, BUSY, REST = 8, 150, 50  # samples: 15 s of requests and 5 s of rest at 10 Hz
AT_ONCE = CYCLES * (BUSY + REST)
SEED, RUNS = 1, 60


def judged(series: Values, budget: float = 1 * MB, cycles: int = CYCLES) -> Leak:
    """The verdict on a series of equal cycles, each of which ends in its rest."""
    return leak([cycle[-REST:] for cycle in np.split(series, cycles)], budget)


def cycles_of(growth: Callable[[Values], Values], cycles: int = CYCLES) -> Values:
    """A series of 200 MB that grows by a function of the time in cycles, and swells by 20 MB when busy."""
    at = np.arange(cycles * (BUSY + REST)) / (BUSY + REST)
    swell = np.where(at % 1 < BUSY / (BUSY + REST), 20 * MB, 0)
    return 200 * MB + growth(at) + swell


def noise(random: np.random.Generator, persistence: float, size: int = AT_ONCE) -> Values:
    """First-order autoregressive noise with a standard deviation of 1 MB."""
    values = np.empty(size)
    values[0] = random.normal()
    shocks = random.normal(size=size) * np.sqrt(1 - persistence**2)
    for i in range(1, size):
        values[i] = persistence * values[i - 1] + shocks[i]
    return values * MB


def test_memory_that_grows_with_every_cycle_leaks() -> None:
    found = judged(cycles_of(lambda at: 40 * MB * at))
    assert (LEAK, 7) == (found.verdict, found.cycles)
    assert 40 * MB == pytest.approx(found.slope)
    assert found.reason == (
        "the level at rest grows by 40 MB a cycle (40 MB to 40 MB), above the 1 MB allowed, "
        "and block means of the rests rise with it"
    )


def test_memory_that_stays_does_not_leak() -> None:
    found = judged(cycles_of(np.zeros_like))
    assert (NO_LEAK, 0.0, 0.0) == (found.verdict, found.low, found.high)
    assert found.reason == "the level at rest grows by 0 B a cycle (0 B to 0 B), within the 1 MB allowed"


@pytest.mark.parametrize(("grows", "verdict"), [(0.99, NO_LEAK), (1.01, LEAK)])
def test_the_budget_decides_what_grows_evenly(grows: float, verdict: str) -> None:
    assert verdict == judged(cycles_of(lambda at: grows * MB * at)).verdict


def test_a_warm_up_that_ends_in_the_first_cycle_is_none() -> None:
    found = judged(cycles_of(lambda at: 60 * MB * np.minimum(at * 3, 1)))
    assert (NO_LEAK, 0.0) == (found.verdict, found.slope)


@pytest.mark.parametrize("cycles_to_settle", [1, 2, 3])
def test_a_warm_up_that_levels_off_slowly_is_never_called_a_leak(cycles_to_settle: int) -> None:
    found = judged(cycles_of(lambda at: 100 * MB * (1 - np.exp(-at / cycles_to_settle))))
    assert UNDECIDED == found.verdict


def test_growth_that_slows_down_says_so() -> None:
    found = judged(cycles_of(lambda at: 100 * MB * (1 - np.exp(-at / 3))))
    assert found.reason.endswith(", but ever more slowly: it may level off; more cycles would tell")


def test_a_single_step_is_no_leak_yet() -> None:
    found = judged(cycles_of(lambda at: np.where(at > 4, 50 * MB, 0)))
    assert UNDECIDED == found.verdict
    assert found.reason.endswith(
        "which does not tell whether it is above the 1 MB allowed; more cycles would"
    )


def test_floors_that_rise_while_the_rests_do_not_are_undecided() -> None:
    rests = [np.append(np.full(20, 200 * MB), floor) for floor in np.arange(8.0) * 3 * MB]
    found = leak(rests, 1 * MB)
    assert UNDECIDED == found.verdict
    assert found.reason.endswith("above the 1 MB allowed, but block means of the rests show no rise")


def test_floors_that_rise_while_the_rests_fall_are_undecided() -> None:
    cycles = np.arange(8.0)
    rests = [np.append(np.full(20, 200 - 5 * cycle), 20 + 3 * cycle) for cycle in cycles]
    assert UNDECIDED == leak(rests, 1.0).verdict


@pytest.mark.parametrize(
    ("verdict", "floors", "budget"),
    [
        (NO_LEAK, [0, 1, 2, 3, 4, 5, 6], 1.0),  # the whole interval at the budget is within it
        (UNDECIDED, [0, 1, 2, 3, 4, 5, 7], 1.0),  # its lower end at the budget is not above it
        (LEAK, [0, 1, 2, 3, 4, 5, 7], 0.99),
        (LEAK, [0, 2, 4, 6, 7, 8, 9], 0.5),  # the second half grows by half as much: no less than that
        (UNDECIDED, [0, 2, 4, 6, 6.9, 7.8, 8.7], 0.5),
        (LEAK, [0, 2, 4, 4.95, 5.9, 6.85, 7.8], 0.5),  # the halves share the middle: 1.825 and 0.95
        (UNDECIDED, [0, 1, 3, 6, 6.5, 7.5, 8.5], 0.3),  # 2 and 0.917
    ],
)
def test_at_each_edge_the_verdict_is_that_of_the_rule(
    verdict: str, floors: list[float], budget: float
) -> None:
    assert verdict == leak([np.full(20, floor) for floor in (0, *floors)], budget).verdict


def test_memory_that_shrinks_does_not_leak() -> None:
    assert NO_LEAK == judged(cycles_of(lambda at: -5 * MB * at)).verdict


@pytest.mark.parametrize(("cycles", "verdict"), [(6, UNDECIDED), (7, LEAK)])
def test_six_cycles_behind_the_warm_up_are_needed(cycles: int, verdict: str) -> None:
    found = judged(cycles_of(lambda at: 40 * MB * at, cycles), cycles=cycles)
    assert verdict == found.verdict


def test_too_few_cycles_and_too_few_samples_say_how_many_are_needed() -> None:
    assert "0 cycles after the warm-up; 6 are needed" == leak([], MB).reason
    few = "too few samples at rest for 20 block means of two or more"
    assert few == leak([np.full(5, 1.0)] * 8, MB).reason  # 35 behind the warm-up, 40 are two a block
    assert few == leak([*[np.full(20, 1.0)] * 7, np.empty(0)], MB).reason
    assert NO_LEAK == leak([np.full(6, 1.0)] * 8, MB).verdict


def verdicts(persistence: float, budget: float, slope: float = 0.0) -> list[str]:
    """The verdicts on RUNS series of noise with a fixed seed, growing by `slope` a cycle."""
    random = np.random.default_rng(SEED)
    grown = cycles_of(lambda at: slope * at)
    return [judged(grown + noise(random, persistence), budget).verdict for _ in range(RUNS)]


# Of 300 series each: 0, 1, 1.7 and 7.7 % false alarms at a persistence of 0, 0.9, 0.99 and 0.999 without any
# budget; with a budget of the noise's standard deviation none at any.
@pytest.mark.parametrize("persistence", [0.9, 0.99])
def test_noise_that_depends_on_itself_is_rarely_called_a_leak_without_any_budget(persistence: float) -> None:
    assert verdicts(persistence, 0.0).count(LEAK) / RUNS <= 0.05


@pytest.mark.parametrize("persistence", [0.9, 0.99, 0.999])
def test_noise_as_large_as_the_budget_is_never_called_a_leak(persistence: float) -> None:
    assert LEAK not in verdicts(persistence, 1 * MB)


@pytest.mark.parametrize("persistence", [0.9, 0.99])
def test_a_leak_of_five_times_the_budget_is_always_found_in_noise(persistence: float) -> None:
    assert {LEAK} == set(verdicts(persistence, 1 * MB, slope=5 * MB))

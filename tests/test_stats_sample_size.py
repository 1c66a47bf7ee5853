"""How many requests a gate needs."""

from typing import Any

import pytest
import reference

from hxbench.stats.proportions import p_value_above, upper_bound
from hxbench.stats.quantiles import order_statistic_ranks
from hxbench.stats.sample_size import RequiredN, deciding_n, required_n, smallest_passing_n

GATE_N = reference.case("GATE-n")["expected"]
WILKS = reference.case("OS-wilks")["expected"]
CMH17 = reference.case("OS-CMH17-A")["expected"]
ALPHAS = {"alpha_pass": 0.025, "alpha_fail": 0.05}


@pytest.mark.parametrize("name", GATE_N)
def test_required_n_is_that_of_the_reference_case(name: str) -> None:
    given = {key: float(value) for key, value in (part.split("=") for part in name.split(","))}
    allowed = 1 - given["p"]
    found = required_n(allowed, given["f"] * allowed, alpha=0.05, power=given["power"])
    assert GATE_N[name] == {"n": found.n, "max_over": found.most_over}


@pytest.mark.parametrize(
    ("level", "half", "quarter"), [(0.9, 292, 114), (0.95, 613, 230), (0.99, 3205, 1164)]
)
def test_required_n_at_the_alpha_of_a_pass(level: float, half: int, quarter: int) -> None:
    allowed = 1 - level
    assert half == required_n(allowed, allowed / 2, alpha=0.025).n
    assert quarter == required_n(allowed, allowed / 4, alpha=0.025).n


def test_required_n_wants_something_to_be_refused() -> None:
    with pytest.raises(ValueError, match=r"got 0\.5 and 1\.0"):
        required_n(1.0, 0.5, alpha=0.025)


def test_required_n_wants_a_share_below_the_allowed_one() -> None:
    with pytest.raises(ValueError, match=r"expected 0 <= true share < allowed < 1, got 0.05 and 0.05"):
        required_n(0.05, 0.05, alpha=0.025)


@pytest.mark.parametrize(("key", "allowed", "alpha"), [("0.95/0.95", 0.05, 0.05), ("0.99/0.99", 0.01, 0.01)])
def test_smallest_passing_n_is_that_of_wilks(key: str, allowed: float, alpha: float) -> None:
    assert WILKS[key][0] == smallest_passing_n(allowed, alpha)


def test_the_rth_largest_bounds_the_quantile_from_the_published_n_on() -> None:
    for rank, n in list(CMH17.items())[:10]:
        at_n: Any = order_statistic_ranks(n, 0.99, alpha_low=0.05, alpha_high=0.05)
        before: Any = order_statistic_ranks(n - 1, 0.99, alpha_low=0.05, alpha_high=0.05)
        assert int(rank) == n - at_n.high + 1
        assert before.high is None or int(rank) - 1 == n - 1 - before.high + 1


def test_smallest_passing_n_at_the_alpha_of_a_pass() -> None:
    assert [6, 36, 72, 368, 3688] == [smallest_passing_n(1 - p, 0.025) for p in (0.5, 0.9, 0.95, 0.99, 0.999)]


def test_requests_that_are_worth_half_a_one_need_twice_as_many() -> None:
    assert [117, 118] == [smallest_passing_n(0.05, 0.05, worth) for worth in (0.5, 0.495)]  # of 58.4 each


def test_one_request_fewer_cannot_pass() -> None:
    assert upper_bound(0, 368, 0.025) <= 0.01 < upper_bound(0, 367, 0.025)


def test_nothing_proves_that_no_request_ever_fails() -> None:
    assert smallest_passing_n(0.0, 0.025) is None


def test_everything_allowed_needs_one_request() -> None:
    assert smallest_passing_n(1.0, 0.025) == 1


def test_deciding_n_is_where_the_bound_crosses_the_allowed_share() -> None:
    n = deciding_n(0.02, 0.05, **ALPHAS)
    assert n is not None
    assert upper_bound(0.02 * n, n, 0.025) <= 0.05 < upper_bound(0.02 * (n - 1), n - 1, 0.025)


def test_deciding_n_against_a_limit_that_is_missed() -> None:
    n = deciding_n(0.08, 0.05, **ALPHAS)
    assert n is not None
    assert p_value_above(0.08 * n, n, 0.05) < 0.05 <= p_value_above(0.08 * (n - 1), n - 1, 0.05)


def test_without_a_miss_it_is_the_smallest_passing_n() -> None:
    assert deciding_n(0.0, 0.05, **ALPHAS) == 72


@pytest.mark.parametrize("share", [0.05, 0.0499999])
def test_a_share_at_the_limit_is_never_decided(share: float) -> None:
    assert deciding_n(share, 0.05, **ALPHAS) is None


def test_what_never_misses_passes_for_certain() -> None:
    assert RequiredN(59, 0) == required_n(0.05, 0.0, alpha=0.05, power=1.0)


def test_required_n_wants_a_share() -> None:
    with pytest.raises(ValueError, match=r"got -0\.01 and 0\.05"):
        required_n(0.05, -0.01, alpha=0.025)


def test_a_bound_at_the_allowed_share_decides() -> None:
    # without a miss the bound at alpha 0.5 is 1 - 0.5^(1/n): 0.5 after one request
    assert deciding_n(0.0, 0.5, alpha_pass=0.5, alpha_fail=0.05) == 1


def test_a_p_value_at_its_level_does_not_decide() -> None:
    # n misses of n at an allowed share of one half: 0.5, 0.25
    assert deciding_n(1.0, 0.5, alpha_pass=0.025, alpha_fail=0.5) == 2


def test_where_everything_is_allowed_one_request_decides() -> None:
    assert deciding_n(0.5, 1.0, **ALPHAS) == 1

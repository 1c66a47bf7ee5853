"""When a reference server lets tokens leave, by arithmetic alone."""

from itertools import pairwise

import pytest

from hxbench.servers.pacing import Pace, Pacer
from tests.reference import case

MS = 1_000_000


def dues(pacer: Pacer, arrived_ns: int, tokens: int) -> list[float]:
    """Due times in ms of an answer, one token a write."""
    due = pacer.first(arrived_ns)
    found = [due]
    for sent in range(1, tokens):
        due = pacer.following(due, sent)
        found.append(due)
    return [each / MS for each in found]


def test_tokens_leave_at_a_fixed_pace() -> None:
    assert [150, 160, 170] == dues(Pacer(Pace(ttft=0.05, itl=0.01)), 100 * MS, 3)


def test_what_is_due_in_a_stall_leaves_at_its_end_and_the_rest_follows_on() -> None:
    pacer = Pacer(Pace(ttft=0.05, itl=0.01, stall_at=0.055, stall_for=0.1))
    assert [50, 155, 165] == dues(pacer, 0, 3)
    assert [155] == dues(pacer, 60 * MS, 1)
    assert [156] == dues(pacer, 106 * MS, 1)


def test_a_stall_counts_from_the_first_request() -> None:
    assert [1155] == dues(Pacer(Pace(ttft=0.06, stall_at=0.055, stall_for=0.1)), 1000 * MS, 1)


def test_a_stream_stalls_after_the_token_it_is_told() -> None:
    pacer = Pacer(Pace(ttft=0.05, itl=0.01, stall_token=2, stall_for=0.5))
    assert [50, 60, 570, 580] == dues(pacer, 0, 4)


def test_a_stall_within_a_burst_comes_after_the_burst() -> None:
    pacer = Pacer(Pace(itl=0.01, burst=4, stall_token=6, stall_for=0.5))
    assert [10, 510 + 10] == [pacer.following(0, 4) / MS, pacer.following(10 * MS, 8) / MS]


def test_jitter_leaves_the_mean_and_is_seeded() -> None:
    first, again, other = (Pacer(Pace(itl=0.01, jitter=0.5, seed=seed)) for seed in (1, 1, 2))
    times = dues(first, 0, 4001)
    gaps = [b - a for a, b in pairwise(times)]
    assert times == dues(again, 0, 4001)
    assert times != dues(other, 0, 4001)
    assert 10 == pytest.approx(sum(gaps) / len(gaps), rel=0.05)
    assert min(gaps) < 5 < 15 < max(gaps)


def test_errors_come_at_their_share() -> None:
    pacer = Pacer(Pace(errors=0.25))
    assert 0.25 == pytest.approx(sum(pacer.fails() for _ in range(4000)) / 4000, abs=0.03)
    assert not any(Pacer(Pace()).fails() for _ in range(100))


def test_one_exponential_server_keeps_requests_as_long_as_theory_says() -> None:
    from random import Random

    known = case("MM1-oracle")
    random, pacer = Random(7), Pacer(Pace(ttft=1 / known["input"]["mu"], service="mm1", seed=11))
    arrived, sojourns = 0.0, []
    for _ in range(200_000):
        arrived += random.expovariate(known["input"]["lambda"])
        sojourns.append(pacer.first(round(arrived * 1e9)) / 1e9 - arrived)
    sojourns.sort()
    assert known["expected"]["mean"] == pytest.approx(sum(sojourns) / len(sojourns), rel=0.1)
    assert known["expected"]["p50"] == pytest.approx(sojourns[100_000], rel=0.1)
    assert known["expected"]["p99"] == pytest.approx(sojourns[198_000], rel=0.15)


def test_the_queue_is_first_come_first_served() -> None:
    pacer = Pacer(Pace(ttft=0.01, service="mm1"))
    found = [pacer.first(0) for _ in range(50)]
    assert sorted(found) == found

"""What the events of a drill come to: both sides of each limit, and what leaves it open."""

from typing import Any

import pytest

from hxbench.judge.alerts import contradictions, course, verdicts
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS, Verdict
from hxbench.plan.alerts import Alerts

SECTION = Alerts.model_validate(
    {
        "rule": "Down",
        "labels": {"job": "llm"},
        "stop": ["stop"],
        "restore": ["restore"],
        "within": "10 s",
        "clears_within": "20 s",
    }
)
LABELS = {"alertname": "Down", "job": "llm"}

Event = dict[str, Any]


def event(second: float, name: str, **more: Any) -> Event:
    return {"at_ns": 5_000_000_000 + round(second * 1e9), "event": name, **more}


def told(
    second: float, status: str, *, began: str = "1970-01-01T00:01:41Z", labels: Any = LABELS, mark: str = "f"
) -> Event:
    alert = {"labels": labels, "status": status, "startsAt": began, "fingerprint": mark}
    return event(second, "received", alerts=[alert])


def stopped(until: float = 0.5, problem: str | None = None) -> list[Event]:
    return [
        event(-0.1, "checked", query="up == 0", for_s=1.0, prometheus_s=100.0),
        event(0, "stopping", command=["stop"]),
        event(until, "stopped", problem=problem),
    ]


def restored(second: float, problem: str | None = None) -> list[Event]:
    return [event(second, "restoring", command=["restore"]), event(second + 0.5, "restored", problem=problem)]


def rule(second: float, state: str) -> Event:
    return event(second, "rule", state=state)


def whole(received: float = 4.0, cleared: float = 8.0) -> list[Event]:
    """A drill that ends as it should: fires a second before it is received, restored a second after."""
    return [
        *stopped(), rule(received - 1, "firing"), told(received, "firing"), *restored(received + 1),
        rule(cleared - 0.5, "inactive"), told(cleared, "resolved"), event(cleared, "ended"),
    ]  # fmt: skip


def judged(events: list[Event], reason: str | None = None) -> list[Verdict]:
    return verdicts(course(events, SECTION), reason, SECTION)


def only(events: list[Event], place: int, reason: str | None = None) -> tuple[str, str]:
    found = judged(events, reason)[place]
    return found.verdict, found.reason


def test_an_alert_that_comes_and_goes_passes_with_times_between_two_bounds() -> None:
    fires, received, clears = judged(whole())
    assert [PASS, PASS, PASS] == [each.verdict for each in (fires, received, clears)]
    assert [(2.5, 3.0), (3.5, 4.0), (2.5, 3.0)] == [each.interval for each in (fires, received, clears)]
    assert (4.0, "<", 10.0, "s", 1) == (
        received.estimate, received.comparator, received.limit, received.unit, received.n,
    )  # fmt: skip
    assert {"R4.6"} == {each.requirement for each in (fires, received, clears)}


@pytest.mark.parametrize(
    ("second", "verdict"), [(9.9, PASS), (10.0, INCONCLUSIVE), (10.4, INCONCLUSIVE), (10.5, FAIL)]
)
def test_a_time_counts_from_the_begin_of_the_stop_to_pass_and_from_its_end_to_fail(
    second: float, verdict: str
) -> None:
    assert verdict == judged(whole(received=second, cleared=second + 4))[1].verdict


def test_a_limit_inside_the_command_that_stopped_says_what_would_decide() -> None:
    assert (
        INCONCLUSIVE,
        "Alertmanager's notification had come whole, but the command took 500 ms: "
        "a quicker one would decide it",
    ) == only(whole(received=10.2, cleared=14), 1)


def test_what_never_came_in_the_whole_time_fails() -> None:
    events = [*stopped(), *restored(10.5)]
    assert (FAIL, "it did not fire within 10 s") == only(events, 0)
    assert (FAIL, "it was not received within 10 s") == only(events, 1)
    assert (INCONCLUSIVE, "it did not fire, so nothing could clear") == only(events, 2)


def test_what_had_not_come_when_the_drill_was_ended_is_open() -> None:
    events = [*stopped(), *restored(10.4)]
    why = "within 9.9 s, then the drill ended: interrupted by signal 2"
    assert (INCONCLUSIVE, f"it did not fire {why}") == only(events, 0, "interrupted by signal 2")
    assert (INCONCLUSIVE, f"it was not received {why}") == only(events, 1, "interrupted by signal 2")


def test_an_alert_that_fires_and_goes_nowhere_fails_at_the_receiver_alone() -> None:
    events = [
        *stopped(), rule(2, "firing"), event(2, "alertmanager", state="suppressed"),
        event(3, "refused", why="it is no JSON"), *restored(10.5), rule(12, "inactive"),
        event(12, "alertmanager", state="inactive"), event(12, "ended"),
    ]  # fmt: skip
    assert PASS == only(events, 0)[0]
    assert (
        FAIL,
        "it was not received, though it fired (by Alertmanager it was suppressed) within 10 s; "
        "requests that were refused: 1",
    ) == only(events, 1)
    assert (INCONCLUSIVE, "it cleared at Prometheus; the receiver had never had it") == only(events, 2)


def test_the_receiver_proves_that_it_fired_where_prometheus_was_asked_too_late() -> None:
    events = [*stopped(), told(3, "firing"), *restored(3)]
    assert (PASS, 3.0) == (judged(events)[0].verdict, judged(events)[0].estimate)


@pytest.mark.parametrize(
    "other",
    [
        told(3, "firing", labels={"alertname": "Down", "job": "other"}),
        told(3, "firing", labels={"alertname": "Other", "job": "llm"}),
        told(3, "firing", began="1970-01-01T00:01:39Z"),
        told(3, "firing", began="yesterday"),
        told(3, "resolved"),
        told(-0.05, "firing"),
        event(3, "received", alerts=[]),
    ],
    ids=["another job", "another rule", "began before", "no time", "resolved", "before the stop", "others"],
)
def test_another_alert_is_not_taken_for_it(other: Event) -> None:
    assert FAIL == judged([other, *stopped(), other, *restored(10.5)])[1].verdict


def test_it_clears_when_the_last_of_its_alerts_is_resolved() -> None:
    events = [
        *stopped(), rule(2, "firing"), told(3, "firing", mark="a"), told(3, "firing", mark="b"),
        *restored(4), rule(6, "inactive"), told(7, "resolved", mark="a"),
    ]  # fmt: skip
    assert not course(events, SECTION).is_cleared
    assert course([*events, told(9, "resolved", mark="b")], SECTION).is_cleared
    assert 5.0 == judged([*events, told(9, "resolved", mark="b")])[2].estimate


@pytest.mark.parametrize(("second", "verdict"), [(24.9, PASS), (25.0, INCONCLUSIVE), (25.5, FAIL)])
def test_clearing_has_its_own_limit_on_both_sides(second: float, verdict: str) -> None:
    assert verdict == judged(whole(received=4, cleared=second))[2].verdict


@pytest.mark.parametrize(
    ("last", "where"),
    [
        ([told(8, "resolved")], "Prometheus"),
        ([rule(8, "inactive")], "the receiver, which was not told of its end"),
        ([rule(8, "inactive"), rule(9, "firing"), told(9, "resolved")], "Prometheus"),
    ],
    ids=["not at Prometheus", "not at the receiver", "it came back"],
)
def test_what_does_not_clear_in_the_whole_time_fails_and_says_where(last: list[Event], where: str) -> None:
    events = [*stopped(), rule(3, "firing"), told(4, "firing"), *restored(5), *last]
    assert (FAIL, f"it still fires at {where} within 20 s") == only([*events, event(25.5, "ended")], 2)
    assert (
        INCONCLUSIVE,
        f"it still fires at {where} within 19.9 s, then the drill ended: the recording was killed",
    ) == only([*events, event(25.4, "ended")], 2, "the recording was killed")


def test_a_prometheus_that_answers_no_more_leaves_open_what_only_it_can_tell() -> None:
    silent = event(3, "rule", error="http://p: no answer")
    said = "Prometheus did not tell: http://p: no answer"
    assert (INCONCLUSIVE, said) == only([*stopped(), silent, *restored(10.5)], 0)
    after = [rule(2, "firing"), told(3, "firing"), *restored(4), told(6, "resolved"), event(24.5, "ended")]
    silent_later = event(5, "rule", error="http://p: no answer")
    assert (INCONCLUSIVE, said) == only([*stopped(), *after, silent_later], 2)


def test_a_service_that_was_not_stopped_decides_nothing() -> None:
    failed = [*stopped(problem="ended with status 1"), *restored(1)]
    for events in ([], stopped()[:2], failed):
        found = judged(events, "why")
        assert {INCONCLUSIVE} == {each.verdict for each in found}
        assert ["the service was not stopped: why"] * 2 == [each.reason for each in found[:2]]


def test_a_service_that_was_not_restored_cannot_clear() -> None:
    events = [*stopped(), told(3, "firing"), *restored(4, "ended with status 1")]
    assert (INCONCLUSIVE, "the service was not restored, so nothing could clear") == only(events, 2)


@pytest.mark.parametrize("length", range(10))
def test_a_drill_that_was_cut_short_anywhere_contradicts_nothing(length: int) -> None:
    assert [] == list(contradictions(whole()[:length], is_whole=False))


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (whole()[:-1], "has checked, stopping, stopped, restoring, restored instead of checked, stopping, "),
        ([], "has nothing instead of checked, stopping, stopped, restoring, restored, ended"),
        ([*whole(), *restored(9)], "has checked, stopping, stopped, restoring, restored, ended, restoring, "),
        ([*whole()[:-1], event(1, "ended")], "restored, ended do not rise"),
        (
            [*stopped(problem="no"), *restored(1), event(2, "ended")],
            "a command failed, but the drill is said",
        ),
    ],
    ids=["no end", "nothing", "two restores", "out of order", "failed"],
)
def test_what_no_whole_drill_can_have_seen_is_said(events: list[Event], said: str) -> None:
    (found,) = contradictions(events, is_whole=True)
    assert found.startswith("records/events.jsonl: ")
    assert said in found

"""An alert drill held against its limits (R4.6), from its events alone.

The service went down somewhere between the begin and the end of the command that stopped it, so a time since
then is known between two bounds; a limit between them is not decided.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hxbench import units
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS, Verdict
from hxbench.plan.alerts import Alerts

Event = Mapping[str, Any]

FIRES, RECEIVED, CLEARS = "alert_fires", "alert_received", "alert_clears"
_FIRING, _INACTIVE, _RESOLVED = "firing", "inactive", "resolved"
_ACTS = ("checked", "stopping", "stopped", "restoring", "restored", "ended")  # each once, in this order
_RECORDS = ("records/events.jsonl", "records/ending.json")


@dataclass(frozen=True)
class Act:
    """The command that stopped or restored the service; `problem` is what went wrong with it."""

    began_s: float
    ended_s: float
    problem: str | None


@dataclass(frozen=True)
class Course:
    """What happened in a drill, in seconds since the stop began; None is what did not happen."""

    stop: Act | None = None
    restore: Act | None = None
    firing_s: float | None = None  # as Prometheus said, or as the receiver was told
    received_s: float | None = None
    inactive_s: float | None = None  # at Prometheus, for good
    resolved_s: float | None = None  # every alert that was received, by the receiver
    last_s: float = 0.0
    unanswered: str | None = None  # why it is not known what Prometheus said last
    held: str | None = None  # how Alertmanager held it before the restore
    refused: int = 0

    @property
    def is_cleared(self) -> bool:
        """Whether nobody holds the alert for firing any more."""
        told = self.received_s is None or self.resolved_s is not None
        return self.firing_s is None or (self.inactive_s is not None and told)


def course(events: Sequence[Event], section: Alerts) -> Course:
    """Returns what happened, from the events in their order."""
    begins = [each for each in events if each["event"] == "stopping"]
    if not begins:
        return Course()
    zero_ns = begins[0]["at_ns"]
    after = [{**each, "s": (each["at_ns"] - zero_ns) / 1e9} for each in events if each["at_ns"] >= zero_ns]
    received_s, resolved_s = _told(after, section, _asked_s(events))
    states = [each for each in after if each["event"] == "rule"]
    firing_s = _earliest(each["s"] for each in states if each.get("state") == _FIRING)
    last = states[-1] if states else {}
    return Course(
        stop=_act(after, "stopping", "stopped"),
        restore=_act(after, "restoring", "restored"),
        firing_s=_earliest(time_s for time_s in (firing_s, received_s) if time_s is not None),
        received_s=received_s,
        inactive_s=last["s"] if firing_s is not None and last.get("state") == _INACTIVE else None,
        resolved_s=resolved_s,
        last_s=max(each["s"] for each in after),
        unanswered=last.get("error"),
        held=_held(after),
        refused=sum(each["event"] == "refused" for each in after),
    )


def _held(events: Sequence[Event]) -> str | None:
    names = [each["event"] for each in events]
    before = events[: names.index("restoring")] if "restoring" in names else events
    states = [each.get("state") for each in before if each["event"] == "alertmanager"]
    return states[-1] if states else None


def _earliest(times: Any) -> float | None:
    return min(times, default=None)


def _asked_s(events: Sequence[Event]) -> float:
    """Returns the time by Prometheus' clock when it was asked, before anything was stopped."""
    return max((each["prometheus_s"] for each in events if each["event"] == "checked"), default=0.0)


def _act(events: Sequence[Event], began: str, ended: str) -> Act | None:
    begins, ends = ([each for each in events if each["event"] == name] for name in (began, ended))
    if not begins or not ends:
        return None
    return Act(begins[0]["s"], ends[0]["s"], ends[0]["problem"])


def _told(events: Sequence[Event], section: Alerts, since_s: float) -> tuple[float | None, float | None]:
    """Returns when the receiver was first told of the alert, and since when of each that it is resolved.

    An alert that began before the drill is another one.
    """
    received_s, resolved_s, firing = None, None, set()
    for each in (each for each in events if each["event"] == "received"):
        for alert in each["alerts"]:
            if not section.concerns(alert["labels"]) or _began_s(alert) < since_s:
                continue
            if alert["status"] == _FIRING:
                firing.add(alert["fingerprint"])
                received_s = each["s"] if received_s is None else received_s
            elif alert["status"] == _RESOLVED:
                firing.discard(alert["fingerprint"])
        if received_s is not None:
            resolved_s = None if firing else resolved_s or each["s"]
    return received_s, resolved_s


def _began_s(alert: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(alert["startsAt"]).timestamp()
    except ValueError:
        return 0.0


def contradictions(events: Sequence[Event], *, is_whole: bool) -> Iterator[str]:
    """Yields what events cannot be, of a drill that came to its end as a whole or not."""
    acts = [each for each in events if each["event"] in _ACTS]
    names = [each["event"] for each in acts]
    if names != list(_ACTS[: len(names)]) or (is_whole and len(names) < len(_ACTS)):
        yield f"{_RECORDS[0]}: has {', '.join(names) or 'nothing'} instead of {', '.join(_ACTS)}"
    times = [each["at_ns"] for each in acts]
    if times != sorted(times):
        yield f"{_RECORDS[0]}: the times of {', '.join(names)} do not rise"
    if is_whole and any(each.get("problem") for each in acts):
        yield f"{_RECORDS[0]}: a command failed, but the drill is said to have come to its end"


def verdicts(found: Course, reason: str | None, section: Alerts) -> list[Verdict]:
    """Returns whether the alert fires, is received in time, and clears; `reason` is why the drill ended."""
    fires, received, clears = (
        _fires(found, reason, section.within),
        _received(found, reason, section.within),
        _clears(found, reason, section.clears_within),
    )
    return [
        _verdict(FIRES, section.within, *fires),
        _verdict(RECEIVED, section.within, *received),
        _verdict(CLEARS, section.clears_within, *clears),
    ]


_Found = tuple[str, str, Act | None, float | None]  # verdict, reason; since what, until when


def _fires(found: Course, reason: str | None, limit_s: float) -> _Found:
    if found.stop is not None and found.firing_s is not None:
        return _in_time(found.stop, found.firing_s, limit_s, "Prometheus had it firing")
    if found.unanswered is not None and found.stop is not None and found.stop.problem is None:
        return INCONCLUSIVE, f"Prometheus did not tell: {found.unanswered}", None, None
    return _missing(found, reason, limit_s, "it did not fire")


def _received(found: Course, reason: str | None, limit_s: float) -> _Found:
    if found.stop is not None and found.received_s is not None:
        return _in_time(found.stop, found.received_s, limit_s, "Alertmanager's notification had come whole")
    what = "it was not received" + ("" if found.firing_s is None else ", though it fired")
    what += f" (by Alertmanager it was {found.held})" if found.held else ""
    verdict, said, *_ = _missing(found, reason, limit_s, what)
    said += f"; requests that were refused: {units.count(found.refused)}" if found.refused else ""
    return verdict, said, None, None


def _clears(found: Course, reason: str | None, limit_s: float) -> _Found:
    if found.firing_s is None or found.restore is None or found.restore.problem is not None:
        missing = "it did not fire" if found.firing_s is None else "the service was not restored"
        return INCONCLUSIVE, f"{missing}, so nothing could clear", None, None
    if found.unanswered is not None:
        return INCONCLUSIVE, f"Prometheus did not tell: {found.unanswered}", None, None
    if found.inactive_s is not None and found.received_s is None:
        return INCONCLUSIVE, "it cleared at Prometheus; the receiver had never had it", None, None
    if found.inactive_s is not None and found.resolved_s is not None:
        cleared_s = max(found.inactive_s, found.resolved_s)
        return _in_time(found.restore, cleared_s, limit_s, "inactive at Prometheus, resolved at the receiver")
    where = "Prometheus" if found.inactive_s is None else "the receiver, which was not told of its end"
    return _waited(found.last_s - found.restore.ended_s, limit_s, f"it still fires at {where}", reason)


def _in_time(since: Act, at_s: float, limit_s: float, what: str) -> _Found:
    shortest, longest = at_s - since.ended_s, at_s - since.began_s
    if longest < limit_s:
        return PASS, what, since, at_s
    if shortest >= limit_s:
        return FAIL, what, since, at_s
    took = units.duration(since.ended_s - since.began_s)
    return INCONCLUSIVE, f"{what}, but the command took {took}: a quicker one would decide it", since, at_s


def _missing(found: Course, reason: str | None, limit_s: float, what: str) -> _Found:
    """Returns the verdict on what did not come: after the whole time it is not going to."""
    if found.stop is None or found.stop.problem is not None:
        why = reason or "nothing was stopped"
        return INCONCLUSIVE, f"the service was not stopped: {why}", None, None
    until_s = found.last_s if found.restore is None else found.restore.began_s
    return _waited(until_s - found.stop.ended_s, limit_s, what, reason)


def _waited(waited_s: float, limit_s: float, what: str, reason: str | None) -> _Found:
    said = f"{what} within {units.duration(waited_s)}"
    if waited_s >= limit_s:
        return FAIL, said, None, None
    return INCONCLUSIVE, f"{said}, then the drill ended: {reason or 'nobody waited longer'}", None, None


def _verdict(
    name: str, limit_s: float, verdict: str, reason: str, since: Act | None, at_s: float | None
) -> Verdict:
    low, high = None, None
    if since is not None and at_s is not None:
        low, high = max(at_s - since.ended_s, 0.0), at_s - since.began_s
    seen = high is not None
    return Verdict(
        id=name, case=name, requirement="R4.6", verdict=verdict, reason=reason,
        method="one drill, timed by one monotonic clock", records=_RECORDS, metric=name, statistic="",
        estimate=high, unit="s", interval=(low, high), interval_kind="bounds" if seen else "none",
        n=int(seen), n_eff=float(seen), comparator="<", limit=limit_s,
    )  # fmt: skip

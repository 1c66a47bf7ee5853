"""The catalogue of cases: what a certificate of each level has to show, and from which evidence.

Level 1 of a model has twelve cases (R2.8); 001 and 003 are written in the source, the others are ours.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from hxbench.errors import ProfileError
from hxbench.plan.prometheus import COVERAGE, PREFIX

if TYPE_CHECKING:
    from hxbench.plan.profile import Profile
    from hxbench.plan.prometheus import Prometheus

Priority = Literal["critical", "high", "medium", "low"]
Type = Literal["functional", "performance"]


@dataclass(frozen=True)
class Entry:
    """One case (R2.7); its evidence is the verdicts on `metrics` and the requests named `exchanges`."""

    id: str
    name: str
    category: str
    level: int
    priority: Priority
    type: Type
    component: str
    requirements: tuple[str, ...]
    preconditions: tuple[str, ...]
    pass_criteria: str
    fail_criteria: str
    metrics: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()


_UP = ("the server answers its readiness probe",)
_LOADED = (*_UP, "the load of the profile has been measured")
_UNDECIDED = "; anything else is undecided"
_BEYOND = f"the interval of one lies beyond its limit{_UNDECIDED}"
_WITHIN = "the interval of each lies within its limit"
_LATENCIES = ("ttft", "ttft_dispatch", "ttfb", "ttfo", "connect", "itl", "tpot", "e2e")
_THROUGHPUTS = ("throughput_tokens", "throughput_requests", "goodput")


def _case(
    number: str, name: str, priority: Priority, kind: Type, preconditions: tuple[str, ...],
    passes: str, fails: str, *, metrics: tuple[str, ...] = (), exchanges: tuple[str, ...] = (),
    requirements: tuple[str, ...] = ("R2.1",),
) -> Entry:  # fmt: skip
    return Entry(
        id=number, name=name, category="COMP", level=1, priority=priority, type=kind, component="",
        requirements=requirements, preconditions=preconditions, pass_criteria=passes, fail_criteria=fails,
        metrics=metrics, exchanges=exchanges,
    )  # fmt: skip


_LEVEL_1 = (
    _case("001", "Initialisation", "critical", "functional", (),
          "the server is ready within the profile's time", "it ended or was not ready in that time",
          exchanges=("ready",)),
    _case("002", "Health probe", "critical", "functional", _UP,
          "status 200 and the profile's ready word", "another status or word", exchanges=("health",)),
    _case("003", "Inference performance", "critical", "performance", _LOADED, _WITHIN, _BEYOND,
          metrics=_LATENCIES, requirements=("R2.1", "R3.1")),
    _case("004", "The model asked for", "critical", "functional", _UP,
          "the server lists the model of the profile", "it lists others only", exchanges=("models",)),
    _case("005", "Correct answers", "critical", "functional", _UP,
          "at least 80 % of the set's questions are answered as expected (R3.10)", "fewer are",
          exchanges=("answer:*",)),
    _case("006", "Throughput", "high", "performance", _LOADED, _WITHIN, _BEYOND, metrics=_THROUGHPUTS),
    _case("007", "Memory", "high", "performance", _LOADED, _WITHIN, _BEYOND, metrics=("memory",)),
    _case("008", "CPU", "high", "performance", _LOADED, _WITHIN, _BEYOND, metrics=("cpu",)),
    _case("009", "Empty prompt", "high", "functional", _UP,
          "the status the profile declares; a 4xx names the field",
          "another status, or a 4xx without the field's name",
          exchanges=("empty_prompt",)),
    _case("010", "Other bad input", "high", "functional", _UP,
          "the statuses the profile declares", "another status",
          exchanges=("broken_json", "negative_max_tokens", "above_context")),
    _case("011", "Healthy afterwards", "critical", "functional", (*_UP, "bad input has been sent"),
          "status 200 and the profile's ready word", "another status or word", exchanges=("health_after",)),
    _case("012", "Errors under load", "critical", "performance", _LOADED, _WITHIN, _BEYOND,
          metrics=("error_rate",), requirements=("R2.1", "R3.1")),
)  # fmt: skip


def level_1(component: str) -> tuple[Entry, ...]:
    """Returns the twelve level 1 cases of a model, in the order of their ids."""
    return tuple(
        replace(case, id=f"TC-L1-COMP-{component}-{case.id}", component=component) for case in _LEVEL_1
    )


def cases(profile: "Profile") -> tuple[Entry, ...]:
    """Returns the level 1 cases, and those of being monitored where the profile asks a Prometheus."""
    own, component = level_1(profile.component), profile.component
    if profile.watched is None:
        return own
    mine = (replace(case, component=component, category="MON") for case in _monitoring(profile.watched))
    return (*own, *(replace(case, id=f"TC-L1-MON-{component}-{case.id}") for case in mine))


def _monitoring(asked: "Prometheus") -> Iterator[Entry]:
    limited = dict.fromkeys(each.metric for each in asked.objectives)
    coverage = PREFIX + COVERAGE
    if coverage in limited:
        yield _case("001", "Services monitored", "critical", "functional", _LOADED,
                    "every service named is up in Prometheus during the whole measured window",
                    f"a scrape found one down{_UNDECIDED}",
                    metrics=(coverage,), requirements=("R4.2",))  # fmt: skip
    if own := tuple(metric for metric in limited if metric != coverage):
        yield _case("002", "Metrics in Prometheus", "high", "performance", _LOADED,
                    "the answer to each query is within its limit", f"one is beyond{_UNDECIDED}",
                    metrics=own, requirements=("R4.2", "R4.3"))  # fmt: skip


def select(patterns: Iterable[str], component: str) -> tuple[Entry, ...]:
    """Returns the cases of a component whose id matches any pattern, in the order of their ids.

    Raises: ProfileError when a pattern matches none.
    """
    entries = level_1(component)
    chosen = {}
    for pattern in patterns:
        matching = [entry for entry in entries if fnmatchcase(entry.id, pattern)]
        if not matching:
            there = f"{entries[0].id} to {entries[-1].id}"
            raise ProfileError(f"checks: {pattern}: matches no case; there are {there}")
        chosen.update(dict.fromkeys(matching))
    return tuple(entry for entry in entries if entry in chosen)

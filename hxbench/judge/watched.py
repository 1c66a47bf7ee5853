"""What Prometheus said of the services, held against the profile's limits; from the records alone.

Samples only pass a limit when they cover the measured window, and when the scrapes of the services do: a
value that Prometheus gives may be five minutes old, a scrape has its own time.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench import units
from hxbench.judge.collect import LEAST_COVERAGE, mean_in_time
from hxbench.judge.evidence import Decision, Evidence, Missing, from_below, holds
from hxbench.judge.measured import Measured
from hxbench.judge.requests import seconds, window_lengths, zero_ns
from hxbench.judge.resources import coverage
from hxbench.judge.scraped import RESET_ON_READ
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS
from hxbench.plan.objectives import Objective
from hxbench.plan.profile import Profile
from hxbench.plan.prometheus import COVERAGE, PREFIX, Prometheus, Query
from hxbench.records.run_directory import Records
from hxbench.stats.means import BATCHES, batch_means

SOURCE = "prometheus"
BOUND = "histogram_quantile interpolates inside a bucket: a bound, which decides nothing"
TAKEN_AWAY = "the server begins this gauge anew for each who reads it, hxbench too: it decides nothing"
_CREDIT = 2  # scrapes: for how long a sample vouches
_TAKEN: dict[str, tuple[str, Callable[[NDArray[np.float64]], float]]] = {
    "max": ("largest", lambda values: float(values.max())),
    "min": ("smallest", lambda values: float(values.min())),
    "last": ("last", lambda values: float(values[-1])),
}
_FIRM = {
    ("max", False),
    ("min", True),
}  # statistic, least value: beyond the limit is beyond, seen whole or not


@dataclass(frozen=True)
class SeenEvidence:
    """One number that was seen: it speaks for this run and infers nothing."""

    objective: Objective
    estimate: float
    n: int
    said: str
    unseen: str | None
    firm: bool  # what is beyond the limit is so whatever went unseen
    method: str
    interval_kind: str = "none"
    p_fail: None = None

    @property
    def n_eff(self) -> float:
        """Returns n: nothing was inferred from it."""
        return float(self.n)

    def decide(self, _level: float, /) -> Decision:
        """Returns PASS within the limit when nothing went unseen, FAIL beyond it."""
        held = holds(self.estimate, self.objective)
        if self.unseen is not None and (held or not self.firm):
            return Decision(INCONCLUSIVE, f"{self.said}, but {self.unseen}")
        return Decision(PASS if held else FAIL, self.said)


def evidence(measured: Measured, objective: Objective) -> Evidence:
    """Returns what Prometheus said about one limit."""
    records, name = measured.records, _name(objective)
    asked = _asked(records)
    unanswered = _unanswered(records, name)
    if unanswered is not None:
        return Missing(unanswered)
    if name == COVERAGE:
        return _services_up(records, asked, objective)
    query, samples = asked.queries[name], of_query(records, name)
    if query.statistic == "increase":
        return _increase(records, asked, objective, samples)
    inside = _inside(records, samples)
    if not _in_each_window(records, inside):
        return Missing("no sample fell into the measured window; a longer one would decide it")
    unseen = _unseen(records, asked, name, samples)
    return _of_samples(measured, query, objective, inside, unseen)


def of_query(records: Records, name: str) -> pd.DataFrame:
    """Returns trial, time_ns, time_s, labels, value of what a query gave, in order; 0 s as in `resources`."""
    series = records.series
    mine = series[(series["source"] == SOURCE) & (series["name"] == name)].sort_values(["trial", "time_ns"])
    return pd.DataFrame(
        {
            "trial": mine["trial"],
            "time_ns": mine["time_ns"],
            "time_s": seconds(mine["time_ns"] - zero_ns(records, mine["trial"])),
            "labels": mine["labels"],
            "value": mine["value"].astype("float64"),
        }
    ).reset_index(drop=True)


def asked_of(records: Records) -> list[dict[str, Any]]:
    """Returns each query with what became of it over all trials, for the certificate."""
    names = dict.fromkeys((each["name"], each["query"]) for each in records.watched)
    return [_asked_row(records, name, query) for name, query in names]


def _asked_row(records: Records, name: str, query: str) -> dict[str, Any]:
    mine = [each for each in records.watched if (each["name"], each["query"]) == (name, query)]
    written = None if name == COVERAGE else _asked(records).queries[name]
    return {
        "name": name,
        "query": query,
        "statistic": written.statistic if written else "share",
        "is_bound": written is not None and written.is_bound,
        "samples": sum(each["samples"] for each in mine),
        "not_numbers": sum(each["not_numbers"] for each in mine),
        "may_be_old": any(each["may_be_old"] for each in mine),
        "warnings": list(dict.fromkeys(text for each in mine for text in each["warnings"])),
        "errors": list(dict.fromkeys(each["error"] for each in mine if each["error"])),
    }


def notes(records: Records) -> Iterator[str]:
    """Yields which counters did not move: a limit may not say so, such as one on errors."""
    queries = records.profile.watched.queries if records.profile.watched else {}
    for name, query in queries.items():
        counts = query.statistic == "increase" and _unanswered(records, name) is None
        if counts and _growth(records, name) == 0:
            yield f"The counter {PREFIX}{name} did not move over the load: {query.query}."


def unanswerable(profile: Profile) -> Iterator[str]:
    """Yields one sentence a limit that the planned window cannot decide, whatever Prometheus says."""
    asked, planned = profile.watched, planned_samples(profile)
    if asked is None:
        return
    for objective in asked.objectives:
        gate, query = f"{objective.metric}.{objective.statistic}", asked.queries.get(_name(objective))
        needed = fewest_samples(objective, profile.load.trials)
        if query is not None and query.is_bound:
            yield f"{gate}: {BOUND}"
        elif planned is not None and planned < needed:
            window = units.duration(needed * asked.every)
            yield f"{gate}: {planned} samples in a window cannot pass it: it needs {needed}, in {window}"


def planned_samples(profile: Profile) -> int | None:
    """Returns how many samples surely fall into each window; None where the server decides how long it is."""
    asked, window_s = profile.watched, profile.load.measured_s
    return None if asked is None or window_s is None else math.floor(window_s / asked.every + 1e-9)


def fewest_samples(objective: Objective, trials: int) -> int:
    """Returns how many samples of each window a limit on what Prometheus says needs at least."""
    return 2 * BATCHES if objective.statistic == "mean" and trials == 1 else 1


def contradictions(records: Records) -> Iterator[str]:
    """Yields where the queries noted are not the profile's, or their samples not those in the series."""
    section = records.profile.watched
    wanted = Counter(section.questions if section else ())
    for trial in dict.fromkeys(each["trial"] for each in records.watched):
        mine = [each for each in records.watched if each["trial"] == trial]
        if Counter((each["name"], each["query"]) for each in mine) != wanted:
            yield f"records/prometheus.json: the queries of trial {trial} are not the profile's"
    noted: Counter[tuple[int, str]] = Counter()
    for each in records.watched:
        noted[each["trial"], each["name"]] += each["samples"]
    series = records.series[records.series["source"] == SOURCE]
    stored = Counter(zip(series["trial"].tolist(), series["name"].tolist(), strict=True))
    for trial, name in sorted(key for key in noted.keys() | stored.keys() if noted[key] != stored[key]):
        yield f"records/prometheus.json: other samples of {name} in trial {trial} than in series.parquet"


def _name(objective: Objective) -> str:
    return objective.metric.removeprefix(PREFIX)


def _asked(records: Records) -> Prometheus:
    section = records.profile.watched
    assert section is not None  # noqa: S101 - whoever asks has a limit of it
    return section


def _unanswered(records: Records, name: str) -> str | None:
    """Returns why a limit cannot be held against anything, None when it can."""
    for trial in window_lengths(records):
        mine = [each for each in records.watched if (each["trial"], each["name"]) == (trial, name)]
        if not mine:
            return f"Prometheus was not asked after trial {trial}"
        for each in mine:
            if (why := _no_number(each)) is not None:
                return why
    return None if window_lengths(records) else "no trial reached its measured window"


def _no_number(each: Mapping[str, Any]) -> str | None:
    if each["error"] is not None:
        return str(each["error"])
    if not each["samples"]:
        nan = " but NaN or infinity" if each["not_numbers"] else ""
        return f"Prometheus has no data{nan} of {each['query']} in trial {each['trial']}"
    if each["series"] > 1 and each["name"] != COVERAGE:
        return f"{each['query']} gives {each['series']} series, not one; aggregate them, such as with sum()"
    return None


def _inside(records: Records, samples: pd.DataFrame) -> pd.DataFrame:
    ends = samples["trial"].map(window_lengths(records)).to_numpy(dtype="float64", na_value=math.nan)
    return samples[(samples["time_s"] >= 0) & (samples["time_s"] <= ends)]


def _in_each_window(records: Records, inside: pd.DataFrame) -> bool:
    return set(inside["trial"]) == set(window_lengths(records))


def _unseen(records: Records, asked: Prometheus, name: str, samples: pd.DataFrame) -> str | None:
    """Returns why the samples of a query may miss something; None when they vouch for the whole window."""
    warnings = [text for each in records.watched if each["name"] == name for text in each["warnings"]]
    if warnings:
        return f"Prometheus warns: {warnings[0]}"
    scrapes = of_query(records, COVERAGE)
    if _unanswered(records, COVERAGE) is not None:
        return "the scrapes of the services are not known"
    return _hole(records, asked, samples, "samples") or _scrape_holes(records, asked, scrapes)


def _scrape_holes(records: Records, asked: Prometheus, scrapes: pd.DataFrame) -> str | None:
    """Returns where the scrapes of a service do not cover the windows in which it is known at all."""
    for labels, mine in scrapes.groupby("labels"):
        hole = _hole(records, asked, mine, f"scrapes of {_service(str(labels))}")
        if hole is not None:
            return hole
    return None


def _hole(records: Records, asked: Prometheus, samples: pd.DataFrame, what: str) -> str | None:
    found = coverage(records, samples, credit_s=_CREDIT * asked.every)
    if found is None or not _in_each_window(records, _inside(records, samples)):
        return f"no {what} fell into the measured window"
    if found.share >= LEAST_COVERAGE:
        return None
    needed = units.share(LEAST_COVERAGE)
    return f"{what} cover {units.share(found.share)} of the window; {needed} are needed"


def _service(labels: str) -> str:
    held = json.loads(labels)
    return f"{held.get('job', '')} at {held.get('instance', '')}"


def _services_up(records: Records, asked: Prometheus, objective: Objective) -> Evidence:
    """A service is up when every scrape of each of its instances in the measured windows said so."""
    scrapes = of_query(records, COVERAGE)
    inside = _inside(records, scrapes)
    jobs = inside["labels"].map(lambda labels: json.loads(labels).get("job"))
    down = [job for job in asked.coverage if not inside.loc[jobs == job, "value"].eq(1).all()]
    said = f"{len(asked.coverage) - len(down)} of {len(asked.coverage)} services were up in every scrape"
    said += f", not {', '.join(down)}" if down else ""
    unseen = _scrape_holes(records, asked, scrapes)
    share = (len(asked.coverage) - len(down)) / len(asked.coverage)
    return SeenEvidence(objective, share, len(inside), said, unseen, True, "every scrape in the window")


def _of_samples(
    measured: Measured, query: Query, objective: Objective, inside: pd.DataFrame, unseen: str | None
) -> Evidence:
    values = inside["value"].to_numpy(dtype="float64")
    taken = query.statistic if query.statistic in _TAKEN else "last"
    word, of = _TAKEN[taken]
    if any(name in query.query for name in RESET_ON_READ):
        return Missing(TAKEN_AWAY, values.size)
    if query.is_bound:
        return Missing(BOUND, values.size, estimate=of(values) if taken == query.statistic else None)
    if query.statistic == "mean":
        return _mean(measured, objective, inside, unseen)
    said = f"the {word} of {units.count(values.size)} samples is {units.value(of(values), objective.unit)}"
    firm = (taken, from_below(objective)) in _FIRM
    return SeenEvidence(objective, of(values), values.size, said, unseen, firm, f"observed, {word}")


def _mean(measured: Measured, objective: Objective, inside: pd.DataFrame, unseen: str | None) -> Evidence:
    n = len(inside)
    if unseen is not None:
        return Missing(unseen, n)
    trials = [mine["value"].to_numpy(dtype="float64") for _, mine in inside.groupby("trial")]
    if n < (needed := fewest_samples(objective, len(trials))):
        return Missing(f"{n} samples are too few for a mean of one trial: {needed} are needed", n)
    return mean_in_time(measured, objective, [batch_means(trials[0])] if len(trials) == 1 else trials, n)


def _increase(records: Records, asked: Prometheus, objective: Objective, samples: pd.DataFrame) -> Evidence:
    """How much a counter grew from the scrape before each trial's load to the one after it, exactly.

    PromQL's own increase() extrapolates to the ends of its range.
    """
    name = _name(objective)
    total = _growth(records, name)
    if isinstance(total, str):
        return Missing(total)
    said = f"it grew by {units.value(total, objective.unit)} over the load, warm-up and drain included"
    unseen = _unseen(records, asked, name, samples)
    return SeenEvidence(objective, total, len(samples), said, unseen, False, "scrapes before and after")


def _growth(records: Records, name: str) -> float | str:
    """Returns how much a counter grew over all trials, or why that is not known."""
    total, samples = 0.0, of_query(records, name)
    for each in (each for each in records.watched if each["name"] == name):
        mine = samples[samples["trial"] == each["trial"]]
        ends = [mine.loc[mine["time_ns"] == each[key], "value"] for key in ("begin_ns", "end_ns")]
        if not all(len(end) for end in ends):
            return f"{name} has no value before and after the load of trial {each['trial']}"
        if (mine["value"].diff() < 0).any():
            return f"{name} was reset in trial {each['trial']}: what it had counted by then is lost"
        total += float(ends[1].iloc[-1]) - float(ends[0].iloc[0])
    return total

"""Asks Prometheus about one trial: waits for a scrape before its load and after it, then asks everything.

Nothing is asked while the load runs. What went wrong is noted with the query it happened to.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.errors import PrometheusError
from hxbench.plan.prometheus import COVERAGE, Prometheus, up
from hxbench.record.prometheus import Client, Point
from hxbench.record.redaction import redact

SOURCE = "prometheus"
FIRST_SCRAPE_S = 10.0  # a target that Prometheus has just been told of is scraped after six seconds
POLL_S = 0.2
MOST_SERIES = 20  # of a query: more make no chart that can be read, and a limit wants one
JOBS_NAMED = 10


class Watch:
    """What Prometheus says of one trial.

    `poll` is called while waiting, and raises where somebody asked to stop. `failed` says why nothing can be
    asked any more.
    """

    def __init__(
        self,
        asked: Prometheus,
        token: str | None,
        trial: int,
        run_dir: Path,
        poll: Callable[[], None],
    ) -> None:
        self._asked, self._trial, self._poll = asked, trial, poll
        self._secrets = (token,) if token else ()
        self._client = Client(asked.url, token, asked.timeout, 2 * asked.every, asked.ca_file)
        self._path = run_dir / "journal" / f"t{trial}-prometheus.jsonl"
        self._begin_s = 0.0
        self.failed: str | None = None

    def close(self) -> None:
        """Lets go of the connection."""
        self._client.close()

    def begin(self) -> None:
        """Waits until the services have been scraped again; a failure is noted and stops nothing."""
        try:
            self._begin_s = self._scraped()
        except PrometheusError as error:
            self.failed = str(error)

    def without_data(self) -> Iterator[str]:
        """Yields which queries give no number now; a counter may appear with the first request only."""
        for name, query in self._asked.queries.items() if self.failed is None else ():
            self._poll()
            try:
                found = self._client.instant(query.query).points
            except PrometheusError as error:
                yield f"prometheus.queries.{name}: {redact(str(error), self._secrets)}"
                continue
            if not any(math.isfinite(point.value) for point in found):
                yield f"prometheus.queries.{name}: there is no number of {query.query} yet"

    def end(self) -> list[dict[str, Any]]:
        """Asks everything once the services have been scraped again; returns what was asked, one a query."""
        load = self._load()
        with self._path.open("x") as file:
            return [self._answered(name, query, load, file.write) for name, query in self._asked.questions]

    def _load(self) -> "_Load | None":
        if self.failed is not None:
            return None
        try:
            end_s = self._scraped()
            return _Load(self._begin_s, end_s, self._shift_ns(), self._keeps_old(end_s))
        except PrometheusError as error:
            self.failed = str(error)
            return None

    def _answered(
        self, name: str, query: str, load: "_Load | None", store: Callable[[str], Any]
    ) -> dict[str, Any]:
        noted = {"trial": self._trial, "name": name, "query": query, "series": 0, "samples": 0}
        noted |= {"not_numbers": 0, "begin_ns": None, "end_ns": None, "warnings": [], "error": self.failed}
        noted |= {"may_be_old": False}
        self._poll()
        if load is not None:
            try:
                noted |= self._ask(name, query, load, store)
            except PrometheusError as error:
                noted["error"] = str(error)
        document: dict[str, Any] = json.loads(self._redacted(noted))
        return document

    def _ask(self, name: str, query: str, load: "_Load", store: Callable[[str], Any]) -> dict[str, Any]:
        """Stores what a query gave, numbers alone, and returns what there is to say of it."""
        points, warnings = self._points(name, query, load)
        series = {point.labels for point in points}
        if len(series) > MOST_SERIES and name != COVERAGE:
            raise PrometheusError(
                f"{query} gives {units.count(len(series))} series, more than {MOST_SERIES}; "
                "aggregate them, such as with sum()"
            )
        numbers = [point for point in points if math.isfinite(point.value)]
        for point in numbers:
            row = [load.stamp_ns(point.time_s), self._trial, SOURCE, name, point.labels, point.value]
            store(self._redacted(row) + "\n")
        return {
            "series": len(series),
            "samples": len(numbers),
            "not_numbers": len(points) - len(numbers),
            "begin_ns": load.stamp_ns(load.begin_s),
            "end_ns": load.stamp_ns(load.end_s),
            "warnings": warnings,
            "may_be_old": load.keeps_old and name != COVERAGE,
        }

    def _redacted(self, value: Any) -> str:
        return redact(json.dumps(value), self._secrets)

    def _points(self, name: str, query: str, load: "_Load") -> tuple[list[Point], list[str]]:
        """Returns a service's scrapes as they were; of a query its values before, in and after the load."""
        length_s, every = load.end_s - load.begin_s, self._asked.every
        if name == COVERAGE:
            answers = [self._client.instant(f"{query}[{math.ceil(length_s)}s]", load.end_s)]
        else:
            inside = load.begin_s + min(every, length_s) / 2  # neither the first nor the last again
            answers = [
                self._client.instant(query, load.begin_s),
                self._client.range(query, inside, max(inside, load.end_s - 1e-3), every),
                self._client.instant(query, load.end_s),
            ]
        warnings = dict.fromkeys(each for answer in answers for each in answer.warnings)
        return [point for answer in answers for point in answer.points], list(warnings)

    def _scraped(self) -> float:
        """Returns the time by Prometheus' clock at which all services have been scraped since now."""
        since_s = self._now_s()
        deadline = time.monotonic() + 2 * self._asked.every + FIRST_SCRAPE_S
        for job in self._asked.coverage:
            while not self._scraped_since(job, since_s):
                if time.monotonic() > deadline:
                    waited = units.duration(2 * self._asked.every + FIRST_SCRAPE_S)
                    raise PrometheusError(
                        f"{self._asked.url}: no scrape of the job {job} within {waited}; it scrapes "
                        f"{self._jobs()}; correct prometheus.coverage, or prometheus.every, how often it does"
                    )
                self._poll()
                time.sleep(POLL_S)
        return self._now_s()

    def _jobs(self) -> str:
        """Returns the names of some jobs that are scraped."""
        found = self._client.instant("count by (job) (up)").points
        jobs = sorted(str(json.loads(point.labels).get("job")) for point in found)
        return ", ".join([*jobs[:JOBS_NAMED], *["more"] * (len(jobs) > JOBS_NAMED)]) or "nothing"

    def _scraped_since(self, job: str, since_s: float) -> bool:
        points = self._client.instant(f"min(timestamp({up(job)}))").points
        return any(point.value >= since_s for point in points)

    def _keeps_old(self, end_s: float) -> bool:
        """Tells whether Prometheus gives values older than asked for: of scrapes long before that time."""
        at_s = end_s + 2.5 * self._asked.every  # nothing can have been scraped by then
        return any(self._client.instant(up(job), at_s).points for job in self._asked.coverage)

    def _now_s(self) -> float:
        return self._client.instant("time()").points[0].value

    def _shift_ns(self) -> int:
        """Returns what to add to a time by Prometheus' clock for the monotonic stamp of this machine."""
        before_ns = time.monotonic_ns()
        now_s = self._now_s()
        return (before_ns + time.monotonic_ns()) // 2 - _ns(now_s)


@dataclass(frozen=True)
class _Load:
    """From when to when, by Prometheus' clock, and what to add for monotonic stamps of this machine."""

    begin_s: float
    end_s: float
    shift_ns: int
    keeps_old: bool

    def stamp_ns(self, time_s: float) -> int:
        return _ns(time_s) + self.shift_ns


def _ns(seconds: float) -> int:
    return round(seconds * 1000) * 1_000_000  # Prometheus counts milliseconds

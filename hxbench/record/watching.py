"""Asks Prometheus about one trial: waits for a scrape before its load and after it, then asks everything.

Nothing is asked while the load runs. What went wrong is noted with the query it happened to.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.errors import PrometheusError
from hxbench.plan.prometheus import COVERAGE, Prometheus
from hxbench.record.prometheus import Client, Point
from hxbench.record.redaction import redact

SOURCE = "prometheus"
FIRST_SCRAPE_S = 10.0  # a target that Prometheus has just been told of is scraped after six seconds
POLL_S = 0.2


class Watch:
    """What Prometheus says of one trial.

    `poll` is called while waiting, and raises where somebody asked to stop.
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
        self._client = Client(asked.url, token, asked.timeout, lookback_s=2 * asked.every)
        self._path = run_dir / "journal" / f"t{trial}-prometheus.jsonl"
        self._begin_s = math.nan
        self._failed: str | None = None

    def close(self) -> None:
        """Lets go of the connection."""
        self._client.close()

    def begin(self) -> None:
        """Waits until the services have been scraped again; a failure is noted and stops nothing."""
        try:
            self._begin_s = self._scraped()
        except PrometheusError as error:
            self._failed = str(error)

    def end(self) -> list[dict[str, Any]]:
        """Asks everything once the services have been scraped again; returns what was asked, one a query."""
        try:
            end_s = self._scraped() if self._failed is None else math.nan
        except PrometheusError as error:
            self._failed = str(error)
            end_s = math.nan
        with self._path.open("x") as file:
            return [self._answered(name, query, end_s, file.write) for name, query in self._queries()]

    def _queries(self) -> Iterator[tuple[str, str]]:
        yield from ((COVERAGE, _up(job)) for job in self._asked.coverage)
        yield from ((name, query.query) for name, query in self._asked.queries.items())

    def _answered(self, name: str, query: str, end_s: float, store: Callable[[str], Any]) -> dict[str, Any]:
        noted = {"trial": self._trial, "name": name, "query": query, "series": 0, "samples": 0}
        noted |= {"not_numbers": 0, "begin_ns": None, "end_ns": None, "warnings": [], "error": self._failed}
        if self._failed is None:
            try:
                noted |= self._ask(name, query, end_s, store)
            except PrometheusError as error:
                noted["error"] = str(error)
        document: dict[str, Any] = json.loads(redact(json.dumps(noted), self._secrets))
        return document

    def _ask(self, name: str, query: str, end_s: float, store: Callable[[str], Any]) -> dict[str, Any]:
        points, warnings = self._points(name, query, end_s)
        shift_ns = self._shift_ns()
        numbers = [point for point in points if math.isfinite(point.value)]
        for point in numbers:
            row = [_ns(point.time_s, shift_ns), self._trial, SOURCE, name, point.labels, point.value]
            store(redact(json.dumps(row), self._secrets) + "\n")
        return {
            "series": len({point.labels for point in points}),
            "samples": len(numbers),
            "not_numbers": len(points) - len(numbers),
            "begin_ns": _ns(self._begin_s, shift_ns),
            "end_ns": _ns(end_s, shift_ns),
            "warnings": list(warnings),
        }

    def _points(self, name: str, query: str, end_s: float) -> tuple[list[Point], list[str]]:
        """Returns a service's scrapes as they were; of a query its values before, in and after the load."""
        if name == COVERAGE:
            answers = [self._client.instant(f"{query}[{math.ceil(end_s - self._begin_s)}s]", end_s)]
        else:
            every = self._asked.every
            inside = self._begin_s + min(every, end_s - self._begin_s) / 2  # neither the first nor the last
            answers = [
                self._client.instant(query, self._begin_s),
                self._client.range(query, inside, max(inside, end_s - 1e-3), every),
                self._client.instant(query, end_s),
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
                        f"{self._asked.url}: no scrape of the job {job} within {waited}; correct "
                        "prometheus.coverage, or prometheus.every, how often it is scraped"
                    )
                self._poll()
                time.sleep(POLL_S)
        return self._now_s()

    def _scraped_since(self, job: str, since_s: float) -> bool:
        points = self._client.instant(f"min(timestamp({_up(job)}))").points
        return any(point.value >= since_s for point in points)

    def _now_s(self) -> float:
        return self._client.instant("time()").points[0].value

    def _shift_ns(self) -> int:
        """Returns what to add to a time by Prometheus' clock for the monotonic stamp of this machine."""
        before_ns = time.monotonic_ns()
        now_s = self._now_s()
        return (before_ns + time.monotonic_ns()) // 2 - _ns(now_s, 0)


def _up(job: str) -> str:
    return f"up{{job={json.dumps(job)}}}"


def _ns(seconds: float, shift_ns: int) -> int:
    return round(seconds * 1000) * 1_000_000 + shift_ns  # Prometheus counts milliseconds

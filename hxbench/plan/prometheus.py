"""What a Prometheus is asked about a run, and the limits that its answers must hold."""

import math
import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from hxbench import units
from hxbench.plan.fields import Duration, Line, Lines, Text, VariableName, broken
from hxbench.plan.messages import shown
from hxbench.plan.objectives import Comparator, Objective
from hxbench.plan.section import Section, said

PREFIX = "prometheus."  # of the metric's name in verdicts
COVERAGE = "coverage"  # the name of the series that tells whether services are up
_KINDS = {
    "s": "duration", "B": "size", "share": "share", "req/s": "rate", "tok/s": "tokens_rate", "cores": "cores",
    "count": "number", "ratio": "number",
}  # fmt: skip
_LIMITS: dict[str, Comparator] = {"at_most": "<=", "at_least": ">="}
_NAME = re.compile("[a-z][a-z0-9_]{0,63}")


def address(written: str, *, example: str = "http://127.0.0.1:9090") -> str:
    """Returns a base address without a slash at its end.

    Raises: ValueError saying what was expected, such as the `example`, and what was read.
    """
    try:
        parts = urlsplit(written)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    good = good and written.isascii() and written.isprintable() and " " not in written
    if not good or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            f"expected an address such as {example}, without user or query, got {shown(written)}"
        )
    return written.rstrip("/")


class Query(Section):
    query: Line
    """PromQL that gives one series, such as sum(vllm:num_requests_waiting)."""
    unit: Literal["s", "B", "share", "req/s", "tok/s", "cores", "count", "ratio"] = "count"
    statistic: Literal["mean", "max", "min", "last", "increase"] = "max"
    """Of the samples in the measured window; increase: of a counter over warm-up, window and drain."""
    at_most: str | int | float | None = None
    at_least: str | int | float | None = None

    @property
    def is_bound(self) -> bool:
        """Whether the answer only bounds what it is about: a quantile interpolated inside a bucket."""
        return "histogram_quantile" in self.query

    @model_validator(mode="after")
    def _has_limits_of_its_unit(self) -> Self:
        if len(list(self.objectives(""))) > 1:
            raise broken(("at_least",), "has no place beside at_most; ask the same under another name")
        return self

    def objectives(self, name: str) -> Iterator[Objective]:
        """Yields the limits on the query of a name; none when it is only shown."""
        for key, comparator in _LIMITS.items():
            if (written := getattr(self, key)) is not None:
                limit = self._limit(key, written)
                yield Objective(PREFIX + name, self.statistic, comparator, limit, self.unit)

    def _limit(self, key: str, written: str | float) -> float:
        try:
            limit = units.parse(written, _KINDS[self.unit])
        except ValueError as error:
            raise broken((key,), f"{error}; the unit is {self.unit}") from None
        if limit < 0:
            raise broken((key,), f"expected a limit of 0 or more, got {written}")
        return limit


class Prometheus(Section):
    url: Annotated[
        str, Text(r"[!-~]{1,1000}", "an address such as http://127.0.0.1:9090"), AfterValidator(address)
    ] = "http://127.0.0.1:9090"
    token_env: VariableName | None = None
    """The environment variable that holds the bearer token."""
    timeout: Duration = said("10 s")
    """How long an answer may take."""
    every: Duration = said("15 s")
    """How often services are scraped: a sample vouches for twice as long, and is asked for as often."""
    coverage: Lines = ()
    """Jobs that must be up during the whole measured window."""
    queries: dict[str, Query] = Field(default_factory=dict)
    """By name: what is asked after each trial."""

    @property
    def asks(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self.queries or self.coverage)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Returns every limit; that all services of `coverage` are up is one of them."""
        up = [Objective(PREFIX + COVERAGE, "share", ">=", 1.0, "share")] if self.coverage else []
        return (*up, *(each for name, query in self.queries.items() for each in query.objectives(name)))

    @model_validator(mode="after")
    def _has_names_and_counters_that_will_do(self) -> Self:
        if self.every < 1 or not math.isclose(self.every, round(self.every)):
            raise broken(("every",), f"expected whole seconds, got {units.exact(self.every, 'duration')}")
        for name, query in self.queries.items():
            if not _NAME.fullmatch(name) or name == COVERAGE:
                raise broken(
                    ("queries", name),
                    f"expected a name of lower-case letters, digits and _ (64 at most) other than {COVERAGE}",
                )
            if not self.coverage and (query.statistic == "increase" or any(query.objectives(name))):
                raise broken(
                    ("queries", name),
                    "a limit, or an increase, needs prometheus.coverage: the job that the numbers come from, "
                    "whose scrapes show whether they are whole",
                )
        return self

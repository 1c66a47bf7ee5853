"""The figures of a session from its rows: pure; the median of the repetitions and their spread."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One thing that is measured of a client: out of the rows of an experiment, in the unit of its title."""

    title: str
    experiment: str
    value: Callable[[Row], float | None]
    more_is_better: bool = False


@dataclass(frozen=True)
class Spread:
    """The repetitions of a figure."""

    median: float
    least: float
    most: float


def of(key: str, factor: float = 1.0) -> Callable[[Row], float | None]:
    """Returns what reads a key of a row, times `factor`; None where the row has none."""
    return lambda row: None if row.get(key) is None else float(row[key]) * factor


def per_million_tokens(key: str) -> Callable[[Row], float | None]:
    """Returns what reads seconds of a row and divides them by its millions of tokens."""
    return lambda row: row[key] / row["tokens"] * 1e6 if row.get("tokens") and key in row else None


def streams(users: int) -> str:
    return f"{users} streams"


def arrivals(kind: str) -> str:
    return f"{kind} arrivals"


TINY = Figure("requests/s, tiny answers", "tiny answers", of("requests_per_s"), more_is_better=True)
TOKENS = Figure("streamed tokens/s", "streamed tokens", of("tokens_per_s"), more_is_better=True)
CPU = Figure("CPU-s per 1 M tokens", "streamed tokens", per_million_tokens("cpu_s"))
MEMORY = Figure("peak MB", "streamed tokens", of("peak_bytes", 1e-6))
GROWTH = Figure("memory added, MB", "streamed tokens", of("growth_bytes", 1e-6))
TTFT = {
    users: Figure(f"ttft error, {users} streams, ms", streams(users), of("ttft_p99_s", 1e3))
    for users in (16, 64, 256)
}
ITL = {
    users: Figure(f"itl error, {users} streams, ms", streams(users), of("itl_p99_s", 1e3))
    for users in (64, 256)
}
ARRIVALS = {
    kind: Figure(f"{kind} arrivals, error, ms", arrivals(kind), of("arrival_p99_s", 1e3))
    for kind in ("constant", "poisson")
}
START = Figure("start to first request, s", "start", of("start_s"))
RUN_HEADLESS = Figure("executed headless, s", "notebook", of("seconds"))
NOTEBOOK_SIZE = Figure("executed notebook, kB", "notebook", of("bytes", 1e-3))
PAGE_WRITTEN = Figure("page written, s", "page", of("seconds"))
PAGE_SIZE = Figure("page, kB", "page", of("bytes", 1e-3))


def spread(rows: Sequence[Row], figure: Figure, client: str) -> Spread | None:
    """Returns a client's figure over all repetitions; None where none was measured."""
    mine = [row for row in rows if (row["client"], row["experiment"]) == (client, figure.experiment)]
    values = [value for row in mine if (value := figure.value(row)) is not None]
    return Spread(median(values), min(values), max(values)) if values else None


def ratio(of_client: Spread | None, to: Spread | None) -> float | None:
    """Returns a median divided by another; None where one is missing or there is nothing to divide by."""
    return None if of_client is None or to is None or not to.median else of_client.median / to.median

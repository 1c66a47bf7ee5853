"""What hxbench's instrument is to reach, and whether it did: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import figures
from benchmarks.experiments import HXBENCH, WORKER
from benchmarks.figures import Figure, Row, ratio, spread
from hxbench.units import number

VLLM = "vLLM bench serve"


@dataclass(frozen=True)
class Target:
    """A figure of a client against a limit: its median, or its ratio to another client's."""

    what: str
    figure: Figure
    limit: float
    client: str = HXBENCH
    to: str | None = None


TARGETS = (
    Target("requests/s, tiny answers, records written", figures.TINY, 10, to=VLLM),
    Target("streamed tokens/s, each stamped and kept", figures.TOKENS, 1.5, to=VLLM),
    Target("CPU a token, load worker", figures.CPU, 0.5, WORKER, to=VLLM),
    Target("CPU a token, worker and decoder", figures.CPU, 1, to=VLLM),
    *(Target(f"ttft error p99 at {n} streams, ms", figures.TTFT[n], 0.2) for n in (64, 256)),
    Target("itl error p99 at 256 streams, ms", figures.ITL[256], 0.2),
    *(Target(f"{kind} arrivals, error p99, ms", figure, 0.5) for kind, figure in figures.ARRIVALS.items()),
    Target("memory added during the load, MB", figures.GROWTH, 100),
    Target("start to first request, s", figures.START, 0.5),
)


@dataclass(frozen=True)
class Reached:
    """A target with what was reached; None where it was not measured."""

    target: Target
    value: float | None
    limited_by: str

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        target = self.target
        return self.value >= target.limit if target.figure.more_is_better else self.value <= target.limit


def reached(rows: Sequence[Row]) -> list[Reached]:
    """Returns every target with what was reached, and what most likely limits it."""
    return [Reached(each, _value(rows, each), _limit(rows, each)) for each in TARGETS]


def _value(rows: Sequence[Row], target: Target) -> float | None:
    found = spread(rows, target.figure, target.client)
    if target.to is not None:
        return ratio(found, spread(rows, target.figure, target.to))
    return None if found is None else found.median


def _limit(rows: Sequence[Row], target: Target) -> str:
    """What kept a figure from being better, as far as the rows tell."""
    mine = [
        row for row in rows if (row["client"], row["experiment"]) == (target.client, target.figure.experiment)
    ]
    if target.figure in (figures.TINY, figures.TOKENS):
        return " or ".join(sorted({str(row["limited_by"]) for row in mine if row.get("limited_by")}))
    if target.figure in (figures.CPU, figures.START):
        worker = spread(rows, target.figure, WORKER)
        return f"the load worker alone: {number(worker.median)}" if worker else ""
    loads = [row["load1"] for row in mine]
    return f"load average {min(loads):.1f} to {max(loads):.1f}" if loads else ""

"""What a Run shows of itself: figures, the frames behind them, the card, the result."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from hxbench.judge import diagnosis
from hxbench.judge.evidence import QUANTILES
from hxbench.plan.objectives import Objective
from hxbench.plan.profile import Profile
from hxbench.plan.prometheus import COVERAGE
from hxbench.records.run_directory import Records
from hxbench.render import figures, wording
from hxbench.render.completeness import RESULT_MIME
from hxbench.render.figure import Figure, Limit, Span
from hxbench.render.frames import Frames
from hxbench.render.offers import Offers
from hxbench.render.status import COLOURS, looks
from hxbench.render.tables import aligned, stage_rows, verdict_table

# of the card where no page's style sheet is
_STYLE = (
    ".hx-card{margin:.4em 0}.hx-card td,.hx-card th{text-align:left!important;vertical-align:top}"
    f"{COLOURS}.hx-quiet{{opacity:.75}}"
)


class Figures(Offers):
    """The figures of a run; each has its frame in `frames` under the same name."""

    HELD = "run.figures"

    def __init__(self, records: Records, frames: Frames | None = None) -> None:
        self._frames = frames or Frames(records)
        self._records = records

    def ttft(self) -> Figure:
        """Returns how the time to first token is spread, with its limits."""
        limits = self._limits("ttft")
        return figures.distribution(self._frames.ttft(), "ttft_s", title="Time to first token", limits=limits)

    def itl(self) -> Figure:
        """Returns how the time between tokens is spread, with its limits."""
        frame, limits = self._frames.itl(), self._limits("itl")
        return figures.distribution(frame, "gap_s", title="Time between tokens", of="gaps", limits=limits)

    def e2e(self) -> Figure:
        """Returns how the time to the last token is spread, with its limits."""
        limits = self._limits("e2e")
        return figures.distribution(self._frames.e2e(), "e2e_s", title="Time to last token", limits=limits)

    def throughput(self) -> Figure:
        """Returns tokens and requests a second and requests in flight over time."""
        return figures.throughput(
            self._frames.throughput(),
            spans=spans(self._records),
            token_limits=self._limits("throughput_tokens"),
            request_limits=self._limits("throughput_requests"),
        )

    def ttft_over_time(self) -> Figure:
        """Returns how the percentiles of the time to first token went over the run."""
        return self._percentiles(self._frames.ttft_over_time(), "ttft", "Time to first token", "requests")

    def itl_over_time(self) -> Figure:
        """Returns how the percentiles of the time between tokens went over the run."""
        return self._percentiles(self._frames.itl_over_time(), "itl", "Time between tokens", "gaps")

    def tokens(self, count: int = 20) -> Figure:
        """Returns when each token of requests around the slowest answer arrived."""
        requests, reads = self._frames.requests(), self._frames.tokens()
        return figures.tokens(requests, reads, count=count, spans=spans(self._records))

    def gates(self) -> Figure:
        """Returns every gate's measured value and interval against its limit, on one scale."""
        return figures.gates(self._frames.gates())

    def resources(self) -> Figure:
        """Returns what server and generator used over time; below, what the server says of itself.

        The frame of that is `server`.
        """
        return figures.resources(
            self._frames.resources(),
            self._frames.server(),
            spans=spans(self._records),
            cpu_limits=self._limits("cpu"),
            memory_limits=self._limits("memory"),
        )

    def prometheus(self) -> Figure | None:
        """Returns what Prometheus answered over time, with the limits; None of a run without one."""
        asked = self._records.profile.watched
        if asked is None:
            return None
        units_of = {COVERAGE: "count"} | {name: query.unit for name, query in asked.queries.items()}
        limits = {name: list(map(_limit, query.objectives(name))) for name, query in asked.queries.items()}
        drawn = {name: each for name, each in limits.items() if asked.queries[name].statistic != "increase"}
        return figures.prometheus(
            self._frames.prometheus(),
            units_of,
            longest_s=2 * asked.every,
            spans=spans(self._records),
            limits=drawn,
        )

    def waterfall(self, count: int = 10) -> Figure:
        """Returns where the time of the median, the p95 and the slowest good requests went, part by part."""
        measured = self._frames.measured
        return figures.waterfall(self._frames.waterfall(), count=count, subtitle=diagnosis.sentence(measured))

    def typical(self, count: int = 12) -> Figure:
        """Returns where the time of requests drawn by lot went, part by part."""
        drawn, every = self._frames.typical(count), len(self._frames.waterfall())
        return figures.typical(drawn, of=every, seed=self._records.profile.workload.seed)

    def slowest(self, count: int = 20) -> Figure:
        """Returns the slowest requests as bars."""
        return figures.slowest(self._frames.requests(), count=count)

    def _percentiles(self, frame: pd.DataFrame, metric: str, title: str, of: str) -> Figure:
        allowed = quantile_limits(self._records.profile, metric)
        return figures.percentiles(frame, title=title, of=of, spans=spans(self._records), limits=allowed)

    def _limits(self, metric: str) -> list[Limit]:
        return _limits_of(self._records.profile, metric)


def _limits_of(profile: Profile, metric: str) -> list[Limit]:
    return [_limit(each) for each in profile.objectives if each.metric == metric]


def quantile_limits(profile: Profile, metric: str) -> list[Limit]:
    """Returns what a profile allows of a metric's quantiles, to be drawn over lines of them."""
    return [each for each in _limits_of(profile, metric) if each.allowed_share is not None]


def _limit(objective: Objective) -> Limit:
    statistic, level = objective.statistic, QUANTILES.get(objective.statistic)
    named = statistic.replace("_", ".") if statistic not in ("share", "rate", "peak") else ""
    text = f"{named} {wording.bound(objective.comparator, objective.limit, objective.unit)}".strip()
    return Limit(objective.limit, text, None if level is None else 1 - level)


def spans(records: Records) -> list[Span]:
    """Returns the phases of the first trial that was measured, in seconds since its measured phase began."""
    found = records.windows
    if found.empty:
        return []
    first = found.iloc[0]
    mine = records.phases[records.phases["trial"] == first["trial"]]
    edges = ((mine[["start_ns", "end_ns"]] - first["start_ns"]) / 1e9).to_numpy(
        dtype="float64", na_value=np.nan
    )
    named = zip(mine["phase"], edges, strict=True)
    return [Span(str(name), float(start), float(end)) for name, (start, end) in named if end >= start]


def card_text(certificate: Mapping[str, Any]) -> str:
    """Returns the certificate in a few lines for a terminal."""
    look = looks(certificate["status"])
    head = f"{look.symbol} {look.word}  {certificate['target']['model']}, {wording.scope(certificate)}"
    rows = verdict_table(certificate).drop(columns=["Why", "n"]).values.tolist()
    stages = certificate["summary"].get("stages", [])
    lines = [head, str(certificate["status_reason"]), *aligned(rows), *aligned(stage_rows(stages))]
    return "\n".join([*lines, f"run {certificate['run']}"])


def card_html(certificate: Mapping[str, Any]) -> str:
    """Returns the certificate as a card for a notebook: status, reason, verdicts; all of it escaped."""
    look = looks(certificate["status"])
    names = wording.names(certificate)
    rows = "".join(_card_row(verdict, names[verdict["id"]]) for verdict in certificate["verdicts"])
    columns = "".join(
        f'<th scope="col">{name}</th>' for name in ("Verdict", "What", "Measured", "Interval", "Limit")
    )
    return (
        f'<style>{_STYLE}</style><div class="hx-card">'
        f'<p><span class="hx-{look.style}">{look.symbol} {escape(look.word)}</span> '
        f"{escape(str(certificate['target']['model']))}, {escape(wording.scope(certificate))}. "
        f"{escape(str(certificate['status_reason']))}</p>"
        f"<table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"
        f'<p class="hx-quiet">{escape(wording.counts(certificate))}; run {escape(str(certificate["run"]))}, '
        f"profile {escape(wording.short_hash(certificate['profile']['sha256']))}</p></div>"
    )


def _card_row(verdict: Mapping[str, Any], name: str) -> str:
    look = looks(verdict["verdict"])
    cells = (
        name,
        wording.measured(verdict),
        wording.interval(verdict),
        wording.limit(verdict),
    )
    return (
        f'<tr><td class="hx-{look.style}">{look.symbol} {escape(look.word)}</td>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
    )


class Result:
    """What the last cell of a notebook shows: the judgement in hxbench's own MIME type, and as one line."""

    def __init__(self, certificate: Mapping[str, Any]) -> None:
        self.data = {
            "schema": 1,
            **{
                key: certificate[key]
                for key in ("status", "status_reason", "run", "created", "level", "kind", "counts")
                if key in certificate
            },
            "model": certificate["target"]["model"],
            "profile": certificate["profile"]["name"],
            "profile_sha256": certificate["profile"]["sha256"],
        }

    def __repr__(self) -> str:
        return f"{self.data['status']}: {self.data['status_reason']} (run {self.data['run']})"

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {RESULT_MIME: self.data, "text/plain": repr(self)}

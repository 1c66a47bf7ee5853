"""What a Run shows of itself: figures, the frames behind them, the card, the result."""

from collections.abc import Mapping
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from hxbench.judge import diagnosis, translation
from hxbench.judge.evidence import QUANTILES
from hxbench.judge.measured import Measured
from hxbench.judge.metrics import over_time, resources, token_gaps, windows
from hxbench.judge.stages import by_stage
from hxbench.plan.objectives import Objective
from hxbench.records.run_directory import Records
from hxbench.render import figures, wording
from hxbench.render.completeness import RESULT_MIME
from hxbench.render.figure import Figure, Limit, Span
from hxbench.render.offers import Offers
from hxbench.render.status import COLOURS, looks
from hxbench.render.tables import Table, aligned, stage_rows, verdict_table

_KEPT = ["request_id", "trial", "outcome"]
# of the card where no page's style sheet is
_STYLE = (
    ".hx-card{margin:.4em 0}.hx-card td,.hx-card th{text-align:left!important;vertical-align:top}"
    f"{COLOURS}.hx-quiet{{opacity:.75}}"
)


class Frames(Offers):
    """The frames that the figures of the same name draw, whole."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @cached_property
    def measured(self) -> Measured:
        """All that is computed from the records once."""
        return Measured(self._records)

    def ttft(self) -> pd.DataFrame:
        """Returns request_id, trial, outcome, ttft_s of the requests that count; NaN where one failed."""
        return self._latency("ttft_s")

    def e2e(self) -> pd.DataFrame:
        """Returns request_id, trial, outcome, e2e_s of the requests that count; NaN where one failed."""
        return self._latency("e2e_s")

    def itl(self) -> pd.DataFrame:
        """Returns one row a gap between token-bearing reads of the requests that count."""
        gaps = token_gaps(self._records)
        return gaps[gaps["attempted"]].reset_index(drop=True)

    def throughput(self) -> pd.DataFrame:
        """Returns rates and requests in flight for each second of each trial."""
        return over_time(self._records)

    def resources(self) -> pd.DataFrame:
        """Returns cores and memory of server, generator and host, one row a sample."""
        return resources(self._records)

    def slowest(self, count: int = 20) -> pd.DataFrame:
        """Returns the slowest requests that count, failed ones first, with their stages in seconds."""
        return figures.slowest_rows(self.requests(), count)

    def waterfall(self) -> pd.DataFrame:
        """Returns where each good request's time went, part by part, the slowest first."""
        return diagnosis.waterfall(self._records)

    def translated(self) -> pd.DataFrame:
        """Returns what other tools' definitions make of the same records, figure beside figure."""
        return translation.translated(self._records)

    def requests(self) -> pd.DataFrame:
        """Returns one row a planned request, with all its times in seconds."""
        return self.measured.requests

    def stages(self) -> pd.DataFrame:
        """Returns one row a stage: rates asked for, due and sent, errors, ttft and send lag in seconds."""
        return pd.DataFrame(by_stage(self.measured))

    def profile(self) -> Table:
        """Returns the resolved profile, one row a setting."""
        return Table(_flat(self._records.document), columns=["Setting", "Value"])

    def facts(self) -> Table:
        """Returns the facts of machine, server, model and packages, one row a fact."""
        return Table(_flat(self._records.facts), columns=["Fact", "Value"])

    def _latency(self, column: str) -> pd.DataFrame:
        attempted = self.measured.attempted
        return attempted[_KEPT].assign(**{column: attempted[column].where(attempted["ok"])})


def _flat(values: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{path}{key}.")
        else:
            rows.append((f"{path}{key}", wording.plain(value)))
    return rows


class Figures(Offers):
    """The figures of a run; each has its frame in `frames` under the same name."""

    def __init__(self, records: Records) -> None:
        self._frames = Frames(records)
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

    def resources(self) -> Figure:
        """Returns processor time and memory of server and generator over time."""
        return figures.resources(
            self._frames.resources(),
            spans=spans(self._records),
            cpu_limits=self._limits("cpu"),
            memory_limits=self._limits("memory"),
        )

    def waterfall(self, count: int = 10) -> Figure:
        """Returns where the time of the median, the p95 and the slowest good requests went, part by part."""
        measured = self._frames.measured
        return figures.waterfall(self._frames.waterfall(), count=count, subtitle=diagnosis.sentence(measured))

    def slowest(self, count: int = 20) -> Figure:
        """Returns the slowest requests as bars."""
        return figures.slowest(self._frames.requests(), count=count)

    def _limits(self, metric: str) -> list[Limit]:
        return [_limit(each) for each in self._records.profile.objectives if each.metric == metric]


def _limit(objective: Objective) -> Limit:
    statistic, level = objective.statistic, QUANTILES.get(objective.statistic)
    named = statistic.replace("_", ".") if statistic not in ("share", "rate", "peak") else ""
    text = f"{named} {wording.bound(objective.comparator, objective.limit, objective.unit)}".strip()
    return Limit(objective.limit, text, None if level is None else 1 - level)


def spans(records: Records) -> list[Span]:
    """Returns the phases of the first trial that was measured, in seconds since its measured phase began."""
    found = windows(records)
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
    head = f"{look.symbol} {look.word}  {certificate['target']['model']}, level {certificate['level']}"
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
        f"{escape(str(certificate['target']['model']))}, level {escape(str(certificate['level']))}. "
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
                for key in ("status", "status_reason", "run", "created", "level", "counts")
            },
            "model": certificate["target"]["model"],
            "profile": certificate["profile"]["name"],
            "profile_sha256": certificate["profile"]["sha256"],
        }

    def __repr__(self) -> str:
        return f"{self.data['status']}: {self.data['status_reason']} (run {self.data['run']})"

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {RESULT_MIME: self.data, "text/plain": repr(self)}

"""Tables of ready text for notebooks and terminal: verdicts, ledger, stages, other tools' figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hxbench import units
from hxbench.errors import InputError
from hxbench.judge.counted import range_text
from hxbench.render import wording
from hxbench.render.status import COLOURS, coloured, labelled, looks

_STYLE = (
    "<style>.hx-table td,.hx-table th{text-align:left!important}"
    f".hx-table td[class]{{white-space:nowrap}}{COLOURS}</style>"
)
_SHORT = 16  # characters of a cell that is not broken over lines, such as `28.7 to 46.6 ms`
LISTED_STAGES = 20  # of a rate series there may be many


class Table(pd.DataFrame):
    """A frame of ready text: shown without an index, nothing cut off, verdicts and states in colour."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        return "\n".join(aligned([list(self.columns), *self.to_numpy().tolist()]))

    def _repr_html_(self) -> str:
        kept_together = self.map(lambda text: text.replace(" ", "\u00a0") if len(text) <= _SHORT else text)
        with pd.option_context("display.max_colwidth", None):
            return _STYLE + coloured(kept_together.to_html(index=False, border=0, classes="hx-table"))


def verdict_table(certificate: Mapping[str, Any]) -> Table:
    """Returns the verdicts as ready text, what did not pass first."""
    ordered = sorted(certificate["verdicts"], key=lambda verdict: _ORDER.get(verdict["verdict"], 0))
    names = wording.names(certificate)
    rows = [_verdict_row(verdict, names[verdict["id"]]) for verdict in ordered]
    return Table(rows, columns=_VERDICT_COLUMNS)


_ORDER = {"FAIL": 1, "INCONCLUSIVE": 2, "PASS": 3, "SKIPPED": 4}
_VERDICT_COLUMNS = ["Verdict", "What", "Measured", "Interval", "Limit", "n", "Why"]


def _verdict_row(verdict: Mapping[str, Any], name: str) -> list[str]:
    look = looks(verdict["verdict"])
    numbers = [wording.measured(verdict), wording.interval(verdict), wording.limit(verdict)]
    return [
        f"{look.symbol} {look.word}",
        name,
        *numbers,
        units.count(verdict["n"]),
        str(verdict["reason"]),
    ]


def ledger_table(certificate: Mapping[str, Any]) -> Table:
    """Returns the validity ledger as ready text, in the certificate's order."""
    rows = [
        [
            f"{looks(entry['state']).symbol} {entry['state']}",
            entry["threat"],
            wording.amount(entry["value"], entry["unit"]),
            wording.amount(entry["limit"], entry["unit"]),
            entry["direction"],
            entry["detail"],
        ]
        for entry in certificate["ledger"]
    ]
    return Table(rows, columns=["State", "Threat", "Measured", "Limit", "Direction", "Remark"])


def claim_table(certificate: Mapping[str, Any], name: str) -> Table:
    """Returns all that one verdict rests on, a row each: its numbers, method, records and what may touch it.

    Raises: InputError when the certificate has no such verdict; the text lists those it has.
    """
    verdicts = {verdict["id"]: verdict for verdict in certificate["verdicts"]}
    if name not in verdicts:
        raise InputError(f"no check is called {name}; there are: {', '.join(verdicts) or 'none'}")
    verdict, not_ok = verdicts[name], {each["id"] for each in certificate["ledger"] if each["state"] != "ok"}
    look = looks(verdict["verdict"])
    rows = {
        "What": wording.names(certificate)[name],
        "Verdict": f"{look.symbol} {look.word}",
        "Why": str(verdict["reason"]),
        "Measured": wording.measured(verdict),
        "Limit": wording.limit(verdict),
        "Interval": wording.interval(verdict),
        "Confidence of the deciding bound": wording.confidence(verdict),
        "n": units.count(verdict["n"]),
        "Effective n": units.number(verdict["n_eff"]),
        "Method": str(verdict["method"]),
        "Interval by": str(verdict["interval_kind"]),
        "Raw records": ", ".join(verdict["records"]),
        "Threats to it that are not ok": ", ".join(e for e in verdict["ledger"] if e in not_ok) or "none",
        "Case and requirement": f"{verdict['case']}, {verdict['requirement']}",
    }
    return Table(list(rows.items()), columns=["", name])


_ERRORS = {
    "ttft, mean": "ttft_bias_s",
    "ttft, p99": "ttft_p99_s",
    "itl, mean": "itl_bias_s",
    "itl, p99": "itl_p99_s",
    "arrival, p99": "arrival_p99_s",
}


def calibration_table(certificate: Mapping[str, Any]) -> Table | None:
    """Returns the instrument's own errors, a row an experiment; None of a run that was not calibrated."""
    known = certificate.get("calibration") or {}
    found = [("before the load", each) for each in (known.get("before") or {}).get("tries", ())]
    found += [("beside the load", each) for each in known.get("beside", ())]
    rows = [
        [str(each.get("name", "")), when, units.count(each.get("ttft_n"))]
        + [units.duration(each.get(key)) for key in _ERRORS.values()]
        for when, each in found
    ]
    return Table(rows, columns=["Experiment", "When", "Streams", *_ERRORS]) if rows else None


def matrix_table(certificate: Mapping[str, Any]) -> Table:
    """Returns the catalogue's cases with requirement, verdict and the checks that are its evidence."""
    columns = {
        "id": "Case", "requirement": "Requirement", "name": "Name", "verdict": "Verdict", "reason": "Remark",
    }  # fmt: skip
    rows = [
        [*(str(each[key] or units.ABSENT) for key in columns), ", ".join(each["evidence"]) or units.ABSENT]
        for each in certificate["catalogue"]
    ]
    return Table(rows, columns=[*columns.values(), "Evidence"])


def stage_rows(stages: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Returns the table of stages as ready text, its head first, of many the first; nothing of none."""
    rates, times = ("requested", "due", "achieved"), ("ttft_p50", "ttft_p95", "send_lag_p99")
    head = ["Stage", "Time", "Requests", "Asked for", "Due", "Sent", "Errors", "ttft p50", "p95", "Lag p99"]
    rows = [
        [
            each["stage"],
            units.duration(each["seconds"]),
            units.count(each["requests"]),
            *(units.rate(each[f"{name}_per_s"], "req/s") for name in rates),
            units.share(each["error_rate"]),
            *(units.duration(each[name]) for name in times),
        ]
        for each in stages[:LISTED_STAGES]
    ]
    more = len(stages) - len(rows)
    rest = [[f"and {more} more in run.frames.stages()", *[""] * (len(head) - 1)]] if more else []
    return [head, *rows, *rest] if rows else []


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows of text as lines, in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [f"  {line}".rstrip() for line in padded]


def stage_table(frame: pd.DataFrame) -> Table | None:
    """Returns `frames.stages` as ready text; None, which shows nothing, of a load without stages."""
    rows = stage_rows([{str(key): value for key, value in row.items()} for row in frame.to_dict("records")])
    return Table(rows[1:], columns=rows[0]) if rows else None


def service_table(frame: pd.DataFrame) -> Table | None:
    """Returns `frames.services` as ready text; None, which shows nothing, where no service is named."""
    rows = [
        [
            row["service"],
            units.ABSENT if pd.isna(row["instance"]) else row["instance"],
            units.count(row["scrapes"]),
            units.count(row["up"]),
            labelled("unknown" if not row["scrapes"] else "up" if row["up"] == row["scrapes"] else "down"),
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["Service", "At", "Scrapes in the window", "Found up", "So it was"]
    return Table(rows, columns=heads) if rows else None


def asked_table(certificate: Mapping[str, Any]) -> Table | None:
    """Returns the queries to Prometheus as ready text; None, which shows nothing, of a run without any."""
    rows = [
        [each["name"], each["query"], wording.taken(each), "; ".join(wording.answered(each))]
        for each in certificate.get("prometheus", ())
    ]
    return Table(rows, columns=["Name", "Query", "Taken", "Answered"]) if rows else None


_SOURCES = {"client": "client", "scrape": "server, scraped", "prometheus": "Prometheus"}


def reconciled_table(frame: pd.DataFrame) -> Table:
    """Returns `frames.reconciled` as ready text, each count once."""
    rows = [
        [
            "" if row["source"] != "client" else row["counted"].replace("_", " ").capitalize(),
            _SOURCES[row["source"]],
            units.ABSENT if pd.isna(row["least"]) else range_text(row["least"], row["most"]),
            units.duration(None if pd.isna(row["over_s"]) else row["over_s"]),
            _signed(row["difference"]),
            labelled(row["word"]) if row["word"] else "",
            row["reason"],
        ]
        for row in frame.to_dict("records")
    ]
    return Table(rows, columns=["What", "By", "Counted", "Over", "Difference", "To the client", "Remark"])


def _signed(difference: float) -> str:
    if pd.isna(difference) or difference == 0:
        return units.ABSENT if pd.isna(difference) else "0"
    return f"{difference:+,.10g}".replace(",", " ")


_TOOLS = {"vllm": "vLLM", "guidellm": "GuideLLM", "aiperf": "AIPerf", "mlperf": "MLPerf"}


def translation_table(frame: pd.DataFrame) -> Table:
    """Returns `frames.translated` as ready text, a column a tool; `=` where it comes to what ours does."""
    rows: dict[str, list[str]] = {}
    for row in frame.to_dict("records"):
        ours, theirs = (_figure(row[name], row["unit"]) for name in ("hxbench", "theirs"))
        cells = rows.setdefault(f"{row['metric']} {row['statistic']}", [ours])
        cells.append("=" if theirs == ours != units.ABSENT else theirs)
    tools = [_TOOLS[name] for name in frame["tool"].unique()]
    return Table([[name, *cells] for name, cells in rows.items()], columns=["Figure", "hxbench", *tools])


def difference_table(frame: pd.DataFrame) -> Table:
    """Returns why other tools' figures differ from ours, a row a reason."""
    rows = [
        [", ".join(map(_TOOLS.__getitem__, found["tool"].unique())), ", ".join(found["metric"].unique()), why]
        for why, found in frame.groupby("why", sort=False)
    ]
    return Table(rows, columns=["Tools", "Figures", "What is different"])


def _figure(value: float, unit: str) -> str:
    return wording.amount(None if pd.isna(value) else value, unit)

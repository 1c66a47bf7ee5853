"""The frames that figures draw, under the same names, whole."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hxbench.judge import certificate as certificates
from hxbench.judge import diagnosis, translation
from hxbench.judge.measured import Measured
from hxbench.judge.metrics import over_time, resources, token_gaps
from hxbench.judge.percentiles import percentiles_over_time
from hxbench.judge.reconciled import reconciled
from hxbench.judge.requests import seconds, zero_ns
from hxbench.judge.server_metrics import server_metrics
from hxbench.judge.services import services
from hxbench.judge.stages import by_stage
from hxbench.judge.watched import of_query
from hxbench.records.run_directory import Records
from hxbench.render import figures, wording
from hxbench.render.limit_shares import shares
from hxbench.render.offers import Offers
from hxbench.render.tables import Table

_KEPT = ["request_id", "trial", "outcome"]


class Frames(Offers):
    """The frames that the figures of the same name draw, whole."""

    HELD = "run.frames"

    def __init__(self, records: Records) -> None:
        self._records = records

    @cached_property
    def measured(self) -> Measured:
        """All that is computed from the records once."""
        return Measured(self._records)

    @cached_property
    def certificate(self) -> dict[str, Any]:
        """The certificate as judged from the records now."""
        return certificates.build(self._records)

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

    def server(self) -> pd.DataFrame:
        """Returns what the server says of itself: requests at work and waiting, tokens a second."""
        return server_metrics(self._records)

    def prometheus(self) -> pd.DataFrame:
        """Returns name, trial, time_ns, time_s, labels, value of each answer of Prometheus, in time order."""
        names = dict.fromkeys(each["name"] for each in self._records.watched)
        answers = [of_query(self._records, name).assign(name=name) for name in names]
        return pd.concat([of_query(self._records, "").assign(name=""), *answers], ignore_index=True)

    def services(self) -> pd.DataFrame:
        """Returns one row an instance of each certified service: how often Prometheus found it up."""
        return services(self._records)

    def reconciled(self) -> pd.DataFrame:
        """Returns what client, server and Prometheus counted of the run, one row a count and source."""
        return reconciled(self.measured)

    def ttft_over_time(self) -> pd.DataFrame:
        """Returns p50, p95 and p99 of the time to first token in windows of equal length, in seconds."""
        return percentiles_over_time(self.measured, "ttft")

    def itl_over_time(self) -> pd.DataFrame:
        """Returns p50, p95 and p99 of the time between tokens in windows of equal length, in seconds."""
        return percentiles_over_time(self.measured, "itl")

    def tokens(self) -> pd.DataFrame:
        """Returns request_id, trial, index, time_s, deltas, one row a read that carried a token."""
        reads = self._records.reads
        trials = reads["request_id"].map(self.measured.requests.set_index("request_id")["trial"])
        stamps = reads["received_ns"] - zero_ns(self._records, trials)
        return pd.DataFrame(
            {
                "request_id": reads["request_id"].astype("string"),
                "trial": trials,
                "index": reads["index"],
                "time_s": seconds(stamps),
                "deltas": reads["deltas"],
            }
        )

    def gates(self) -> pd.DataFrame:
        """Returns one row a gate with a limit: id, name, verdict, its numbers as text, and as shares of it.

        Above 1 is beyond the limit, also where that is a least value; an interval without an end is infinite.
        """
        return gate_rows(self.certificate)

    def slowest(self, count: int = 20) -> pd.DataFrame:
        """Returns the slowest requests that count, failed ones first, with their stages in seconds."""
        return figures.slowest_rows(self.requests(), count)

    def waterfall(self) -> pd.DataFrame:
        """Returns where each good request's time went, part by part, the slowest first."""
        return diagnosis.waterfall(self._records)

    def typical(self, count: int = 12) -> pd.DataFrame:
        """Returns rows of `waterfall` drawn by lot with the profile's seed; those that took longest first."""
        every, seed = self.waterfall(), self._records.profile.workload.seed
        lot = np.random.default_rng(seed).choice(len(every), min(count, len(every)), replace=False)
        return every.iloc[np.sort(lot)].reset_index(drop=True)

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


def gate_rows(certificate: Mapping[str, Any]) -> pd.DataFrame:
    """Returns what `Frames.gates` says of a certificate."""
    names = wording.names(certificate)
    rows = [
        [
            verdict["id"], names[verdict["id"]], verdict["verdict"],
            wording.measured(verdict), wording.interval(verdict), wording.limit(verdict),
            *(vars(found).values() if (found := shares(verdict)) else [None] * 3),
        ]
        for verdict in certificate["verdicts"]
        if verdict["limit"] is not None
    ]  # fmt: skip
    columns = ["id", "name", "verdict", "measured", "interval", "bound"]
    numbers = ["estimate_share", "low_share", "high_share"]
    return pd.DataFrame(rows, columns=[*columns, *numbers]).astype(dict.fromkeys(numbers, "float64"))


def _flat(values: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{path}{key}.")
        else:
            rows.append((f"{path}{key}", wording.plain(value)))
    return rows

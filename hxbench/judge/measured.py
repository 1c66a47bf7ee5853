"""The frames that gates, ledger and summary share, each made once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hxbench.judge import rates, reads, requests
from hxbench.records.run_directory import Records


@dataclass(frozen=True)
class Measured:
    """The records with the frames made from them, each made once."""

    records: Records

    @cached_property
    def requests(self) -> pd.DataFrame:
        """Returns every planned request."""
        return requests.per_request(self.records)

    @cached_property
    def attempted(self) -> pd.DataFrame:
        """Returns the N requests that count, in the order they were due or sent."""
        start = "due_s" if self.records.profile.load.loop == "open" else "dispatched_s"
        mine = self.requests[self.requests["attempted"]].rename_axis("row")
        return mine.sort_values(["trial", start], kind="stable").reset_index()

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """Returns the gaps between token-bearing reads of the N requests: owner, time_s, gap_s.

        `owner` is the position of a gap's request among the N.
        """
        owner_of = np.full(len(self.requests), -1, dtype=np.int32)
        owner_of[self.attempted["row"]] = np.arange(len(self.attempted))
        found = reads.gap_rows(self.records, self.requests).rename(columns={"row": "owner"})
        found["owner"] = owner_of[found["owner"]]
        mine = found["owner"] >= 0
        return found if mine.all() else found[mine].reset_index(drop=True)

    @cached_property
    def samples(self) -> dict[str, Any]:
        """Returns where the values of each latency are kept once they were collected."""
        return {}

    @cached_property
    def token_rate(self) -> rates.Rate:
        """Returns output tokens a second."""
        return rates.token_rate(self.records, self.requests)

    @cached_property
    def request_rate(self) -> rates.Rate:
        """Returns good answers a second."""
        return rates.request_rate(self.records, self.requests)

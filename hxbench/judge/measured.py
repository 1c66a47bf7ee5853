"""The frames that gates, ledger and summary share, each made once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
        """Returns the gaps between token-bearing reads of the N requests: owner, gap_s.

        `owner` is the position of a gap's request among the N.
        """
        found = reads.gap_rows(self.records, self._as_scheduled)
        owner_of = np.argsort(self.attempted["row"].to_numpy()).astype(np.int32)
        owners = owner_of[found["row"].to_numpy()]
        return pd.DataFrame({"owner": owners, "gap_s": found["gap_s"]}, copy=False)

    def gap_times(self) -> NDArray[np.float64]:
        """Returns when each of these gaps ended; not kept: few want it, and it is as large as they are."""
        return reads.gap_times(self.records, self._as_scheduled)

    @property
    def _as_scheduled(self) -> pd.DataFrame:
        return self.requests[self.requests["attempted"]]

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

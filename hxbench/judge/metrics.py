"""What is computed from the records, as frames and as one summary. Every definition, once:

N: requests of phase `measure`, by due time in open loop and by dispatch in closed, drained to completion or
limit; those that failed, were cut or never came back belong to it.
ttft: to the first non-empty token on any channel, from when the request was due (open loop) or dispatched
(closed); `ttft_dispatch` always from dispatch. `ttfb` to the first byte, `ttfo` to the first token that is
not reasoning, `e2e` to the last token, all from where ttft starts. `connect` is the connection's own time.
itl: gaps between token-bearing reads, one value a gap. tpot: (last - first token) / (tokens - those of the
first read), one value a request; a request with one token-bearing read has none.
Throughput: by arrival inside the measured window, of good requests in whatever phase they began; the whole
run beside it. Goodput: share of N that met every objective a single request can meet.
Quantiles: nearest rank. A failure is infinite in quantiles and the total time limit in means; for itl it is
that for as many gaps as a good request has on average. Figures of the successful alone stand beside.
"""

from typing import Any

import pandas as pd

from hxbench.judge import rates, reads, requests
from hxbench.judge.measured import Measured
from hxbench.judge.requests import per_request
from hxbench.judge.resources import resources
from hxbench.judge.summary import summarised
from hxbench.records.run_directory import Records

__all__ = ["over_time", "per_request", "resources", "summary", "token_gaps"]


def token_gaps(records: Records) -> pd.DataFrame:
    """Returns the itl: request_id, trial, phase, ok, attempted, time_s, gap_s, one row a gap."""
    return reads.token_gaps(records, requests.per_request(records))


def over_time(records: Records, width_s: float = 1.0) -> pd.DataFrame:
    """Returns rates and requests in flight in stretches of `width_s`; see `rates.over_time`."""
    return rates.over_time(records, requests.per_request(records), width_s)


def summary(records: Records) -> dict[str, Any]:
    """Returns every metric in plain numbers; see `summary.summarised`."""
    return summarised(Measured(records))

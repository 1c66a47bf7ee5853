"""What the server says of itself over time, from its scraped metrics."""

import pandas as pd

from hxbench.judge.requests import seconds, zero_ns
from hxbench.judge.resources import sampled
from hxbench.judge.scraped import SOURCE, increases
from hxbench.records.run_directory import Records

# column -> what servers call it; the first one found is taken
GAUGES = {
    "processing": ("llamacpp:requests_processing", "vllm:num_requests_running"),
    "waiting": ("llamacpp:requests_deferred", "vllm:num_requests_waiting"),
}
COUNTERS = {
    "prompt_tokens_per_s": ("llamacpp:prompt_tokens_total", "vllm:prompt_tokens_total"),
    "output_tokens_per_s": ("llamacpp:tokens_predicted_total", "vllm:generation_tokens_total"),
}


def server_metrics(records: Records) -> pd.DataFrame:
    """Returns trial, time_s, processing, waiting (requests), prompt_tokens_per_s, output_tokens_per_s.

    One row a scrape; rates are means since the scrape before, NaN where a counter was reset in between. A
    column is NaN where the server has no such metric; no rows where it was not scraped.
    """
    known = {name: _gauge(records, names) for name, names in GAUGES.items()}
    known |= {name: _rate(records, names) for name, names in COUNTERS.items()}
    frame = pd.DataFrame({"trial": pd.Series(dtype="int64"), "time_s": pd.Series(dtype="float64")})
    for name, series in known.items():
        renamed = series.rename(columns={"value": name})
        frame = frame.merge(renamed, how="outer", on=["trial", "time_s"], sort=True)
    return frame


def _gauge(records: Records, names: tuple[str, ...]) -> pd.DataFrame:
    found = (sampled(records, SOURCE, name) for name in names)
    return next((series for series in found if len(series)), sampled(records, SOURCE, names[0]))


def _rate(records: Records, names: tuple[str, ...]) -> pd.DataFrame:
    found = (increases(records, name) for name in names)
    grown = next((steps for steps in found if len(steps)), increases(records, names[0]))
    time_s = pd.Series(seconds(grown["time_ns"] - zero_ns(records, grown["trial"])), dtype="float64")
    rate = grown["grown"] / time_s.groupby(grown["trial"]).diff()
    return pd.DataFrame({"trial": grown["trial"], "time_s": time_s, "value": rate})

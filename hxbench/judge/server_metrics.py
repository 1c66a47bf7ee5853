"""What the server says of itself over time, from its scraped metrics."""

import pandas as pd

from hxbench.judge.resources import sampled
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

    One row a scrape; rates are means since the scrape before. A column is NaN where the server has no such
    metric; no rows where it was not scraped.
    """
    known = {name: _first(records, names) for name, names in (GAUGES | COUNTERS).items()}
    for name in COUNTERS:
        by_trial = known[name].groupby("trial")
        known[name]["value"] = (by_trial["value"].diff() / by_trial["time_s"].diff()).clip(lower=0)
    frame = pd.DataFrame({"trial": pd.Series(dtype="int64"), "time_s": pd.Series(dtype="float64")})
    for name, series in known.items():
        renamed = series.rename(columns={"value": name})
        frame = frame.merge(renamed, how="outer", on=["trial", "time_s"], sort=True)
    return frame


def _first(records: Records, names: tuple[str, ...]) -> pd.DataFrame:
    found = (sampled(records, "scrape", name) for name in names)
    return next((series for series in found if len(series)), sampled(records, "scrape", names[0]))

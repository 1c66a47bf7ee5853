"""Whether each certified service was watched, and up, in every scrape of the measured windows (R4.2)."""

import json

import pandas as pd

from hxbench.judge.requests import window_lengths
from hxbench.judge.watched import of_query
from hxbench.plan.prometheus import COVERAGE
from hxbench.records.run_directory import Records


def services(records: Records) -> pd.DataFrame:
    """Returns service, instance, scrapes, up: a row an instance, with how many of its scrapes found it up.

    Scrapes are those in the measured windows of all trials. A service that Prometheus never saw there has one
    row, with no instance and no scrapes; no rows of a profile that names no service.
    """
    asked = records.profile.watched
    every = of_query(records, COVERAGE)
    inside = every[(every["time_s"] >= 0) & (every["time_s"] <= every["trial"].map(window_lengths(records)))]
    labels = inside["labels"].map(json.loads)
    seen = inside.assign(
        service=labels.map(lambda each: each.get("job", "")),
        instance=labels.map(lambda each: each.get("instance", "")),
        up=inside["value"].eq(1),
    )
    counted = seen.groupby(["service", "instance"], as_index=False).agg(
        scrapes=("up", "size"), up=("up", "sum")
    )
    wanted = pd.DataFrame({"service": pd.Series(asked.coverage if asked else (), dtype="object")})
    found = wanted.merge(counted, how="left", on="service")
    return found.fillna({"scrapes": 0, "up": 0}).astype({"scrapes": "int64", "up": "int64"})

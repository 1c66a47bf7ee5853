"""A profile to begin with: a commented blank one, or one whose limits come from a measured run."""

from collections.abc import Iterator
from math import floor, log10
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.errors import DirectoryError
from hxbench.judge import metrics
from hxbench.records.run_directory import Records, yaml_lines

ROOM = 1.5  # a proposed limit over what was measured: one run does not show how much the next will vary

_KEPT = ("schema", "name", "target", "workload", "load", "limits", "declares", "answers")

BLANK = """\
schema: 1
name: my-model
target:
  server: http://127.0.0.1:8000   # or: embedded
  model: my-model                 # as the server lists it
  # api_key_env: MY_API_KEY       # the variable that holds the key, never the key
workload: {prompts: short, output_tokens: 64, temperature: 0, seed: 1}
load: {loop: closed, users: 1, warmup: 10 s, measure: 60 s}
# load: {loop: open, rate: 2 req/s, arrivals: poisson, warmup: 10 s, measure: 300 s}
objectives:
  ttft: {p95: 500 ms}
  error_rate: < 1 %               # needs 368 requests without a failure to be decided
  throughput_tokens: {at_least: 40}
checks: [TC-L1-*]                 # all cases of level 1; a certificate needs them
# declares: {empty_prompt: 200}   # the status your server gives to bad input, where it is no 4xx
"""


def write(path: Path, records: Records | None) -> Path:
    """Writes a profile to `path` and returns it; with records, one that this target just meets.

    Raises:
        DirectoryError: the file exists already or cannot be written.
    """
    try:
        with path.open("x") as file:
            file.write(BLANK if records is None else "\n".join(_from(records)) + "\n")
    except FileExistsError:
        raise DirectoryError(f"{path}: exists already; name another with --out") from None
    except OSError as error:
        raise DirectoryError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def _from(records: Records) -> Iterator[str]:
    yield f"# Limits: {ROOM:g} times what {records.path.name} measured. Replace them by what your users need."
    kept = {
        key: records.document[key]
        for key in ("schema", "name", "target", "workload", "load", "limits", "declares", "answers")
    }
    yield from yaml_lines(
        {**kept, "objectives": objectives(metrics.summary(records)), "checks": ["TC-L1-*"]}, {}
    )


def objectives(summary: dict[str, Any]) -> dict[str, Any]:
    """Returns limits around a run's summary, as a profile writes them."""
    proposed: dict[str, Any] = {}
    for metric, statistic in (("ttft", "p95"), ("itl", "p95"), ("e2e", "p95")):
        value = summary[metric]["success_only"][statistic]
        if value is not None:
            proposed[metric] = {statistic: units.exact(_rounded(value * ROOM), "duration")}
    proposed["error_rate"] = "< 1 %"
    rate = summary["throughput_tokens"]["window"]
    if rate:
        proposed["throughput_tokens"] = {"at_least": f"{_rounded(rate / ROOM):g} tok/s"}
    return proposed


def _rounded(value: float) -> float:
    """Two significant digits: a proposal should not look exact."""
    return round(value, 1 - floor(log10(value))) if value > 0 else 0.0

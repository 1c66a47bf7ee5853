"""What a sweep shows of itself: figures, a table, the last output of its notebook."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge import scaling
from hxbench.render import figures
from hxbench.render.figure import Figure, Limit
from hxbench.render.offers import Offers
from hxbench.render.tables import Table

_HEADS = ("n", "n_eff", "Errors", "Output", "Answers", "ttft p50", "ttft p95", "itl p50", "e2e p50")
_SHOWN = ("ttft_p50", "ttft_p95", "itl_p50", "e2e_p50")


class SweepFigures(Offers):
    """The figures of a sweep; both draw `Sweep.frame`."""

    HELD = "sweep.figures"

    def __init__(self, frame: pd.DataFrame, axis: str, limits: Mapping[str, Sequence[Limit]]) -> None:
        self._frame, self._axis, self._limits = frame, axis, limits

    def latency(self) -> Figure:
        """Returns p50, p95 and p99 of ttft, itl and e2e over the load, with their intervals and limits."""
        return figures.sweep_latency(self._frame, self._axis, self._limits)

    def throughput(self) -> Figure:
        """Returns tokens and answers a second over the load; knee and scalability law are advice."""
        load, tokens = (self._frame[name].to_numpy(dtype="float64") for name in (self._axis, "tokens_per_s"))
        advice = scaling.advice(np.asarray(load), np.asarray(tokens), is_closed=self._axis == "users")
        return figures.sweep_throughput(self._frame, self._axis, advice)


def sweep_rows(frame: pd.DataFrame, axis: str) -> list[list[str]]:
    """Returns a sweep as ready text, its head first: a row a load, medians with their interval (95 %)."""
    rows = [
        [
            units.number(row[axis]) if axis == "users" else units.rate(row[axis], "req/s"),
            units.count(int(row["n"])),
            units.number(row["n_eff"]),
            units.share(row["error_rate"]),
            units.rate(row["tokens_per_s"], "tok/s"),
            units.rate(row["achieved_per_s"], "req/s"),
            *(_with_interval(row, name) for name in _SHOWN),
        ]
        for row in frame.to_dict("records")
    ]
    return [["Users" if axis == "users" else "Offered", *_HEADS], *rows]


def _with_interval(row: Mapping[Any, Any], name: str) -> str:
    value, low, high = (units.duration(row[f"{name}{end}_s"]) for end in ("", "_low", "_high"))
    return value if {low, high} == {units.ABSENT} else f"{value} ({low} to {high})"


def sweep_table(frame: pd.DataFrame, axis: str) -> Table:
    """Returns `sweep_rows` as a table for a notebook."""
    head, *rows = sweep_rows(frame, axis)
    return Table(rows, columns=head)

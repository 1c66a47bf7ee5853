"""What a memory check shows of itself: tables, a figure, the last output of its notebook."""

from collections.abc import Sequence

import pandas as pd

from hxbench import units
from hxbench.judge.memory import Footprint
from hxbench.plan.memory import Step
from hxbench.render.figure import Figure, nothing, panels
from hxbench.render.figures.time_axis import binned, line
from hxbench.render.tables import Table

_TITLE = "Memory of the servers, step by step"
_HEADS = ("Step", "At a time", "Answers", "Idle", "Peak", "Peak, PSS", "Grown", "Grown when warm", "Remark")


def footprint_table(footprints: Sequence[Footprint]) -> Table:
    """Returns what each step held, a row each."""
    rows = [
        [
            each.step.name,
            units.count(each.step.users),
            units.count(each.step.requests * (each.loads or each.step.cycles)),
            *(
                units.size(size)
                for size in (each.idle, each.peak, each.pss_peak, each.growth, each.growth_warm)
            ),
            each.problem or "",
        ]
        for each in footprints
    ]
    return Table(rows, columns=list(_HEADS))


class MemoryFigures:
    """The figure of a memory check."""

    def __init__(self, series: pd.DataFrame, phases: pd.DataFrame, planned: Sequence[Step]) -> None:
        self._series, self._phases, self._planned = series, phases, planned

    def memory(self) -> Figure:
        """Returns resident memory over time, one line a step, each from the begin of its first rest."""
        begins = self._phases.groupby("trial")["start_ns"].min()
        is_rss = (self._series["source"] == "process") & (self._series["name"] == "rss_bytes")
        rss = self._series[is_rss & self._series["trial"].isin(begins.index)]
        if rss.empty:
            return nothing(_TITLE, "Nothing was sampled.")
        time_s = (rss["time_ns"] - rss["trial"].map(begins)) / 1e9
        frame = pd.DataFrame({"trial": rss["trial"], "time_s": time_s, "rss_bytes": rss["value"]}).astype(
            "float64"
        )
        shown, _ = binned(frame[frame["time_s"] >= 0], "trial")
        figure = panels(_TITLE, "Resident memory (RSS) of all servers of a step, added up", [1], 340)
        for trial, part in shown.groupby("trial"):
            step = self._planned[int(str(trial).removesuffix(".0")) - 1]
            name = f"{step.name}, {step.users} at a time"
            line(figure, part, "rss_bytes", 1, name, None, "%{y:.4~s}B")
        figure.update_yaxes(
            title_text="Memory (resident)", tickformat="~s", ticksuffix="B", rangemode="tozero"
        )
        figure.update_xaxes(title_text="Seconds since the step's first rest began")
        return figure.update_layout(showlegend=True)  # type: ignore[no-any-return]

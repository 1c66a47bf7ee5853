"""What an alert drill shows of itself: its events in order and a figure."""

import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from hxbench import units
from hxbench.judge.alerts import Course
from hxbench.render.figure import BLUE, RED, SHADE, Figure, nothing, panels

_TITLE = "The alert, from the stop to its end"
_NAMES = {
    "checked": "checked",
    "stopping": "stop began",
    "stopped": "stop ended",
    "condition": "rule's condition",
    "rule": "Prometheus",
    "alertmanager": "Alertmanager",
    "received": "receiver",
    "refused": "refused",
    "restoring": "restore began",
    "restored": "restore ended",
    "ended": "ended",
}


def timeline(events: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns event, since_stop_s, said: one row an event, in the order of time."""
    begins = [each["at_ns"] for each in events if each["event"] == "stopping"]
    rows = [
        (_NAMES[each["event"]], (each["at_ns"] - begins[0]) / 1e9 if begins else None, _said(each))
        for each in sorted(events, key=lambda each: each["at_ns"])
    ]
    frame = pd.DataFrame(rows, columns=["event", "since_stop_s", "said"])
    return frame.astype({"event": "str", "since_stop_s": "Float64", "said": "str"})


def _said(event: Mapping[str, Any]) -> str:
    """Returns what an event says in words."""
    match event["event"]:
        case "checked":
            return f"{event['query']}, for {units.duration(event['for_s'])}"
        case "stopping" | "restoring":
            return shlex.join(event["command"])
        case "stopped" | "restored":
            return str(event["problem"] or "done")
        case "received":
            return ", ".join(each["status"] for each in event["alerts"])
        case "refused":
            return str(event["why"])
    return str(event.get("state") or event.get("error") or "")


class AlertFigures:
    """The figure of a drill; its frame is `timeline`."""

    def __init__(self, frame: pd.DataFrame, found: Course, within_s: float) -> None:
        self._frame, self._found, self._within_s = frame, found, within_s

    def timeline(self) -> Figure:
        """Returns who said what when: a row each of those who know of the alert, the stop shaded."""
        shown = self._frame[self._frame["since_stop_s"] >= 0]
        if shown.empty:
            return nothing(_TITLE, "Nothing was stopped.")
        figure = panels(
            _TITLE, "The service was down where it is shaded", [1], 110 + 28 * shown["event"].nunique()
        )
        figure.add_scatter(
            x=shown["since_stop_s"].astype("float64"), y=shown["event"], mode="markers+text",
            marker={"size": 9, "color": BLUE}, text=[_short(text) for text in shown["said"]],
            textposition="middle right", textfont={"size": 11}, cliponaxis=False, name="event",
            hovertemplate="%{y}: %{text}, %{x:.3f} s<extra></extra>",
        )  # fmt: skip
        self._shade(figure)
        last = float(shown["since_stop_s"].max())
        figure.update_xaxes(title_text="Seconds since the stop began", range=[-0.02 * last, 1.25 * last or 1])
        figure.update_yaxes(title_text="Who", autorange="reversed")
        return figure.update_layout(showlegend=False)  # type: ignore[no-any-return]

    def _shade(self, figure: Figure) -> None:
        """Shades the time without the service, and draws the limit where there is room for it."""
        end_s = self._found.last_s if self._found.restore is None else self._found.restore.ended_s
        figure.add_vrect(x0=0, x1=end_s, fillcolor=SHADE, line_width=0, layer="below")
        if self._within_s <= 1.25 * self._found.last_s:
            figure.add_vline(x=self._within_s, line={"color": RED, "width": 1.5, "dash": "dash"})


def _short(text: str) -> str:
    return escape(text if len(text) <= 24 else f"{text[:23]}…")

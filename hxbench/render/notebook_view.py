"""What a notebook shows while a run measures: one output that replaces itself, with a live chart.

Plain HTML and SVG, drawn by the browser without a script; when the run ends, the chart goes and a line
stays, so that the notebook saved is small. JupyterLab's own colours, so that its dark theme holds.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

from IPython.display import DisplayHandle

from hxbench import units
from hxbench.plan.outline import Outline
from hxbench.render.figure import BLUE, SHADE
from hxbench.render.outline import sentence
from hxbench.render.progress_text import line, parts, place, share_done, shortened
from hxbench.render.status import COLOURS

EVERY_S = 1.0  # between two updates: as often as there is anything new
MOST = 120  # points of a line; when there are more, every other one goes
_WIDTH, _HEIGHT = 240, 56  # of a panel's drawing, in its own units
_STYLE = (
    ".hx-live{max-width:60em}.hx-live progress{width:100%;height:.7em}"
    ".hx-live .hx-panels{display:flex;flex-wrap:wrap;gap:.5em 1.5em;margin:.5em 0}"
    ".hx-live figure{margin:0;flex:1 1 14em}.hx-live svg{width:100%;height:4.5em;display:block}"
    ".hx-live figcaption{display:flex;justify-content:space-between}"
    f"{COLOURS}.hx-live .hx-quiet{{opacity:.75}}"
)


class Sample(NamedTuple):
    """The load at one moment, seconds since the first."""

    time_s: float
    measuring: bool
    tokens_per_s: float | None
    in_flight: float | None
    ttft_recent_s: float | None


_PANELS = (
    ("tokens_per_s", "Output tokens", "tok/s"),
    ("in_flight", "Requests in flight", "count"),
    ("ttft_recent_s", "Time to first token, median", "s"),
)


class NotebookView:
    """One output of the cell, replaced about once a second."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._planned: Outline | None = None
        self._progress: Mapping[str, Any] | None = None
        self._samples: list[Sample] = []
        self._began = self._shown = -EVERY_S
        self._every_s = EVERY_S
        made: Any = DisplayHandle  # which has no types
        self._handle = made()
        self._handle.display(_bundle("", ""), raw=True)

    def say(self, text: str) -> None:
        self._said.append(text)
        self._show()

    def begin(self, planned: Outline) -> None:
        self._planned = planned
        self.say(sentence(planned))

    def update(self, progress: Mapping[str, Any]) -> None:
        now = time.monotonic()
        self._progress = progress
        if now - self._shown < EVERY_S:
            return
        self._sample(now, progress)
        self._shown = now
        self._show(live(progress, self._planned, self._samples))

    def close(self) -> None:
        self._show()

    def _sample(self, now: float, progress: Mapping[str, Any]) -> None:
        """Keeps a point of each line, of a long run fewer."""
        if not self._samples:
            self._began = now
        elif now - self._began - self._samples[-1].time_s < self._every_s:
            return
        measuring = (progress["phase"] or "").startswith("measure")
        values = (progress[name] for name, _, _ in _PANELS)
        self._samples.append(Sample(now - self._began, measuring, *values))
        if len(self._samples) > MOST:
            self._samples = self._samples[::2]
            self._every_s *= 2

    def _show(self, below: str = "") -> None:
        last = [line(self._progress, self._planned)] if self._progress else []
        said = "<br>".join(escape(text) for text in (*self._said, *([] if below else last)))
        self._handle.update(_bundle(said + below, "\n".join([*self._said, *last])), raw=True)


def _bundle(html: str, text: str) -> dict[str, str]:
    return {"text/html": html, "text/plain": text}


def live(progress: Mapping[str, Any], planned: Outline | None, samples: Sequence[Sample]) -> str:
    """Returns the state of the load with its lines over time, as HTML."""
    head = escape(place(progress, planned))
    done = "" if planned is None else f' value="{share_done(progress, planned):.3f}"'
    _, *figures = parts({**progress, "last_error": None}, planned)
    error = progress["last_error"]
    return (
        f'<style>{_STYLE}</style><div class="hx-live" role="group" aria-label="Progress of the run">'
        f'<div><b>{head}</b></div><progress max="1"{done} aria-label="{head}"></progress>'
        f"<div>{escape(' · '.join(figures))}</div>"
        + (f'<div class="hx-bad">✕ last error: {escape(shortened(error))}</div>' if error else "")
        + f'<div class="hx-panels">{"".join(_panels(samples))}</div>'
        + (
            ""
            if all(each.measuring for each in samples)
            else '<div class="hx-quiet">Grey: not measured</div>'
        )
        + "</div>"
    )


def _panels(samples: Sequence[Sample]) -> Iterator[str]:
    times = [sample.time_s for sample in samples]
    shades = _shades([(sample.time_s, sample.measuring) for sample in samples])
    for name, title, unit in _PANELS:
        yield _panel(title, unit, times, [getattr(sample, name) for sample in samples], shades)


def _shades(states: Sequence[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Returns from when to when nothing was measured."""
    found: list[tuple[float, float]] = []
    for (start_s, measuring), (end_s, _) in pairwise(states):
        if not measuring and found and found[-1][1] == start_s:
            found[-1] = found[-1][0], end_s
        elif not measuring:
            found.append((start_s, end_s))
    return found


def _panel(
    title: str,
    unit: str,
    times: Sequence[float],
    values: Sequence[float | None],
    shades: Sequence[tuple[float, float]],
) -> str:
    """Returns one line over time as a drawing, what it shows above and as text for who cannot see it."""
    known = [value for value in values if value is not None]
    top, span = max(known, default=0.0) or 1.0, times[-1] or 1.0
    now = units.value(known[-1], unit) if known else units.ABSENT
    most = units.value(max(known), unit) if known else units.ABSENT
    scale = f"at most {most}, over {units.duration(round(times[-1]))}"

    def x(time_s: float) -> float:
        return round(_WIDTH * time_s / span, 1)

    points = " ".join(
        f"{x(at)},{_HEIGHT - (_HEIGHT - 4) * value / top:.1f}"
        for at, value in zip(times, values, strict=True)
        if value is not None
    )
    rectangles = "".join(
        f'<rect x="{x(start)}" y="0" width="{x(end) - x(start):.1f}" height="{_HEIGHT}" fill="{SHADE}"/>'
        for start, end in shades
    )
    return (
        f"<figure><figcaption><span>{title}</span><b>{escape(now)}</b></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{title}: now {escape(now)}, {escape(scale)}">{rectangles}'
        f'<path d="M0 {_HEIGHT}H{_WIDTH}" stroke="currentColor" stroke-opacity=".4"/>'
        f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
        f'<div class="hx-quiet">{escape(scale)}</div></figure>'
    )

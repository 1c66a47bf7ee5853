"""What is seen while a run measures: one line on stderr, or one block that replaces itself in a notebook."""

import html
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from hxbench import units


class View(Protocol):
    """Where a run tells how it goes."""

    def say(self, text: str) -> None: ...
    def update(self, progress: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


def line(progress: Mapping[str, Any], elapsed_s: float) -> str:
    """Returns the state of the load in one line."""
    parts = [
        units.duration(elapsed_s),
        f"{progress['ok']} answered",
        f"{progress['failed']} failed",
        f"{progress['in_flight']} in flight",
        f"{progress['tokens']} tokens",
    ]
    if progress.get("ttft_p50_s") is not None:
        parts.append(f"ttft p50 {units.duration(progress['ttft_p50_s'])}")
    return " · ".join(parts)


class TextView:
    """Lines on a stream; on a terminal the progress line is rewritten in place, else shown every 10 s."""

    QUIET_S = 10.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._shown = 0.0
        self._open_line = False

    def say(self, text: str) -> None:
        self.close()
        self._write(text + "\n")

    def update(self, progress: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if not self._terminal and now - self._shown < self.QUIET_S:
            return
        self._shown = now
        text = line(progress, now - self._started)
        self._write(f"\r\x1b[K{text}" if self._terminal else text + "\n")
        self._open_line = self._terminal

    def close(self) -> None:
        if self._open_line:
            self._write("\n")
            self._open_line = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class NotebookView:
    """One output of the cell, replaced with every update."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._said: list[str] = []
        self._progress = ""
        self._started = time.monotonic()
        self._handle = display(HTML(""), display_id=True)

    def say(self, text: str) -> None:
        self._said.append(text)
        self._show()

    def update(self, progress: Mapping[str, Any]) -> None:
        self._progress = line(progress, time.monotonic() - self._started)
        self._show()

    def close(self) -> None:
        self._progress = ""
        self._show()

    def _show(self) -> None:
        lines = [*self._said, self._progress]
        self._handle.update(self._html("<br>".join(html.escape(text) for text in lines if text)))


def view() -> View:
    """Returns the view that fits where this runs."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        if getattr(get_ipython(), "kernel", None) is not None:
            return NotebookView()
    return TextView()

"""What is seen while a run measures: a line on a stream, or in a notebook a block that replaces itself."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from hxbench.plan.outline import Outline
from hxbench.render.outline import sentence
from hxbench.render.progress_text import line


class View(Protocol):
    """Where a run tells how it goes: what it is about to ask for, then how far it is."""

    def say(self, text: str) -> None: ...
    def begin(self, planned: Outline) -> None: ...
    def update(self, progress: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


class TextView:
    """Lines on a stream; on a terminal the progress line is rewritten in place, else shown every 10 s."""

    QUIET_S = 10.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._planned: Outline | None = None
        self._shown = -self.QUIET_S
        self._unshown = ""  # the last line, where it came too soon after another
        self._open_line = False

    def say(self, text: str) -> None:
        self.close()
        self._write(text + "\n")

    def begin(self, planned: Outline) -> None:
        self._planned = planned
        self.say(sentence(planned))

    def update(self, progress: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if self._terminal:  # a line that reaches the edge would break
            self._write(f"\r\x1b[K{line(progress, self._planned, _width(self._stream) - 1)}")
            self._open_line = True
        elif now - self._shown < self.QUIET_S:
            self._unshown = line(progress, self._planned)
        else:
            self._shown, self._unshown = now, ""
            self._write(line(progress, self._planned) + "\n")

    def close(self) -> None:
        if self._open_line or self._unshown:
            self._write(self._unshown + "\n")
        self._open_line, self._unshown = False, ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _width(terminal: TextIO) -> int:
    """Returns a terminal's width in characters; of one that does not know it, 80."""
    try:
        return os.get_terminal_size(terminal.fileno()).columns or 80
    except OSError:
        return 80


def view() -> View:
    """Returns the view that fits where this runs: a notebook that somebody looks at, or lines on stderr."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        kernel = getattr(get_ipython(), "kernel", None)
        if kernel is not None and _can_be_asked(kernel):
            from hxbench.render.notebook_view import NotebookView

            return NotebookView()
    return TextView()


def _can_be_asked(kernel: Any) -> bool:
    """Whether somebody sits before the notebook: papermill and its like allow no input."""
    asked: Any = getattr(kernel, "get_parent", lambda _: {})(
        "shell"
    )  # which kernels other than ipykernel lack
    return bool(asked.get("content", {}).get("allow_stdin", True))

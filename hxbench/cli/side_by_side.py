"""Renders several runs at once: each in a process of its own, no more of them than there are cores."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hxbench.cli import step_summary

if TYPE_CHECKING:
    from hxbench.record.supervisor import StopRequest

_POLL_S = 0.05
_STOP_S = 30.0  # a rendering that is told to stop first stops its notebook's kernel, which may take 20 s


def render(runs: Sequence[Path], stop: "StopRequest") -> dict[Path, tuple[int, str | None]]:
    """Returns for each run the exit status of its rendering and, where it broke, the line that says why.

    Raises: Interrupted when asked to stop; what was begun has then been stopped too.
    """
    waiting, running = list(reversed(runs)), dict[Path, _Rendering]()
    done: dict[Path, tuple[int, str | None]] = {}
    try:
        while waiting or running:
            stop.raise_if_asked()
            while waiting and len(running) < cores():
                run = waiting.pop()
                running[run] = _Rendering(run)
            for run in [each for each in running if running[each].ended]:
                done[run] = running.pop(run).result()
            time.sleep(_POLL_S)
    finally:
        _end(running)
    return done


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Rendering:
    """`hxbench render` on one run, its stderr in a file that nobody else sees."""

    def __init__(self, run: Path) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its result
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hxbench.cli", "render", str(run)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said,
            env=_environment(os.environ),
            start_new_session=True,  # a terminal's Ctrl-C comes to this process alone
        )  # fmt: skip

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def result(self) -> tuple[int, str | None]:
        """Returns the exit status and the last line of its own that an error left."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()
        self._said.close()
        own = [line.removeprefix("hxbench: ") for line in lines if line.startswith("hxbench: ")]
        status = self.process.returncode
        if status < 0:
            return status, f"ended by {signal.Signals(-status).name}"
        return status, own[-1] if own else None


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Returns it without the job's summary, which whoever renders several writes in their order."""
    return {name: value for name, value in given.items() if name != step_summary.VARIABLE}


def _end(running: Mapping[Path, _Rendering]) -> None:
    for each in running.values():
        each.process.send_signal(signal.SIGINT)
    for each in running.values():
        try:
            each.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()
        each.result()

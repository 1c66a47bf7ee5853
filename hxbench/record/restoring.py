"""Starts a service again that a drill has stopped: a program of its own, which outlives whoever stopped it.

Once it was told that the service is being stopped, the end of its stdin means restore: whether its parent
asked for that, broke down or was killed. It says JSON lines, as every child does.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hxbench import units
from hxbench.errors import IncompleteError
from hxbench.record.children import Child

READY_S = 30.0
STOPPING = "stopping"
_POLL_S = 0.02


def run(command: Sequence[str], within_s: float, poll: Callable[[], None] | None = None) -> str | None:
    """Runs a command to its end; returns what went wrong with it, None when nothing did.

    What it writes goes nowhere: a service that it starts may hold on to its output for ever. With `poll`,
    which may raise, one that takes too long is killed; without it is left alone, as it may still succeed.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"cannot be started: {error.strerror}"
    deadline = time.monotonic() + within_s
    try:
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            if poll is not None:
                poll()
    finally:
        late = process.returncode is None
        if late and poll is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if late:
        return f"did not end within {units.duration(within_s)}"
    return f"ended with status {process.returncode}" if process.returncode else None


class Restorer:
    """The child program, as its parent sees it."""

    def __init__(self, command: Sequence[str], within_s: float) -> None:
        """Raises: IncompleteError when it does not start; nothing must be stopped then."""
        self._command, self._within_s = command, within_s
        options = json.dumps({"command": list(command), "within_s": within_s})
        self._child = Child("hxbench.record.restoring", [options], subprocess.DEVNULL)
        if (said := self._child.event(READY_S)) is None or said["event"] != "ready":
            self._child.stop()
            raise IncompleteError("the program that restores the service did not start")

    def stopping(self) -> None:
        """Says that from now on the service has to be restored."""
        self._child.tell(STOPPING)

    def restore(self) -> dict[str, Any]:
        """Starts the service again; returns when that began and ended, and what went wrong with it.

        Where the child was killed this does its work.
        """
        self._child.ask_to_end()
        said = self._child.event(self._within_s + READY_S)
        self._child.stop()
        return (
            said
            if said is not None and said["event"] == "restored"
            else restored(self._command, self._within_s)
        )

    def dismiss(self) -> None:
        """Ends the child where nothing was stopped."""
        self._child.stop()


def restored(command: Sequence[str], within_s: float) -> dict[str, Any]:
    """Runs the command, and returns what `Restorer.restore` does."""
    began_ns = time.monotonic_ns()
    problem = run(command, within_s)
    return {
        "event": "restored", "began_ns": began_ns, "ended_ns": time.monotonic_ns(), "problem": problem,
    }  # fmt: skip


def main() -> int:
    # Handlers and not SIG_IGN, which the restored service would inherit.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    options = json.loads(sys.argv[1])
    _say({"event": "ready"})
    if STOPPING in sys.stdin.read().splitlines():
        _say(restored(options["command"], options["within_s"]))
    return 0


def _say(event: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # nobody is there any more to hear it
        print(json.dumps(event), flush=True)  # noqa: T201 - stdout is the channel


if __name__ == "__main__":
    sys.exit(main())

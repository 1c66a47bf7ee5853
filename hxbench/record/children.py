"""Child programs: started with their own session, told by stdin's end to stop, heard by JSON lines.

A parent that ends them says so first; stdin that ends without a word tells that the parent died.
"""

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, Queue
from typing import IO, Any

STOP_S = 5.0
STOP = "stop"


class Child:
    """A running child program.

    Its stdin stays open until `stop`; when this process dies, however it dies, the child sees the end
    of file and ends too. A terminal's Ctrl-C does not reach it: it has a session of its own. After the
    last thing it said comes one event more, `ended`.
    """

    def __init__(self, module: str, arguments: Sequence[str], log: IO[bytes] | int) -> None:
        self.name = module.rpartition(".")[2]
        # No SimpleQueue: a signal whose handling outlasts a wait makes that wait endless.
        self._events: Queue[dict[str, Any]] = Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._stdin = self._process.stdin
        self._reader = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs; minus the signal when one ended it."""
        return self._process.poll()

    def _listen(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                with suppress(ValueError):  # half a line, from a child that was killed
                    self._events.put(json.loads(line))
        self._events.put({"event": "ended"})

    def event(self, timeout: float) -> dict[str, Any] | None:
        """Returns the next thing the child said, None if that did not come within `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except Empty:
            return None

    def tell(self, line: str) -> None:
        """Writes one line to the child's stdin; a child that is gone hears nothing."""
        with suppress(BrokenPipeError):
            self._stdin.write(line.encode() + b"\n")
            self._stdin.flush()

    def ask_to_end(self) -> None:
        """Says that the child shall end; `stop` waits for it."""
        if not self._stdin.closed:
            self.tell(STOP)
        with suppress(BrokenPipeError):
            self._stdin.close()

    def wait(self, timeout: float) -> int | None:
        """Returns the exit status, None if the child has not ended within `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout: float = STOP_S) -> None:
        """Asks the child to end and waits; one that does not end is killed."""
        self.ask_to_end()
        if self.wait(timeout) is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_S)


class Parent:
    """What a child hears of its parent."""

    def __init__(self) -> None:
        self.asked_to_stop = False

    def is_silent(self, seconds: float) -> bool:
        """Waits that long at most; returns whether stdin has ended."""
        if not select.select([sys.stdin], [], [], seconds)[0]:
            return False
        said = os.read(sys.stdin.fileno(), 4096)
        self.asked_to_stop = self.asked_to_stop or STOP in said.decode()
        return not said

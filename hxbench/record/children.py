"""Child programs: started with their own session, told by stdin's end to stop, heard by JSON lines."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import IO, Any

STOP_S = 5.0


class Child:
    """A running child program.

    Its stdin stays open until `stop`; when this process dies, however it dies, the child sees the end
    of file and ends too. A terminal's Ctrl-C does not reach it: it has a session of its own.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        log: IO[bytes] | int,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = module.rpartition(".")[2]
        self._events: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs; minus the signal when one ended it."""
        return self._process.poll()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened above
        for line in self._process.stdout:
            try:
                self._events.put(json.loads(line))
            except ValueError:
                continue

    def event(self, timeout: float) -> dict[str, Any] | None:
        """Returns the next thing the child said, None if it said nothing for `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except Empty:
            return None

    def tell(self, line: str) -> None:
        """Writes one line to the child's stdin; a child that is gone hears nothing."""
        assert self._process.stdin is not None  # noqa: S101 - opened above
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def close_stdin(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            return

    def wait(self, timeout: float) -> bool:
        """Returns whether the child has ended within `timeout` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(1.0)
        return True

    def stop(self, timeout: float = STOP_S, notice: Callable[[str], None] | None = None) -> None:
        """Asks the child to end and waits; one that does not end is killed."""
        self.close_stdin()
        if not self.wait(timeout):
            if notice is not None:
                notice(f"{self.name} did not end within {timeout:g} s and was killed")
            self._process.kill()
            self.wait(STOP_S)
        assert self._process.stdout is not None  # noqa: S101 - opened above
        self._process.stdout.close()

"""One thread's event loop: sockets and timers, with timers first, because only sends can be late.

A receive is stamped by the kernel, so it may wait until a due timer has run; a send may not.
"""

import heapq
import select
import selectors
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

Ready = Callable[[int], None]
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
LEAST_CANCELLED = 100  # below this many, cancelled timers are not worth a clearing


class Timer:
    """One call to come; cancelled it holds on to nothing."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[int, int, Timer]] = []  # time, order of coming
        self._cancelled = 0
        self._order = count()
        _sharpen_timers()

    def at(self, time_ns: int, call: Callable[[], None]) -> Timer:
        """Runs `call` once, at or just after `time_ns` of the monotonic clock."""
        timer = Timer(call)
        heapq.heappush(self._timers, (time_ns, next(self._order), timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Makes sure that a timer which has not run never does.

        Time limits lie far ahead and nearly all are cancelled: they are cleared out when they are
        more than half of all, so that memory does not grow with the rate of requests.
        """
        if timer.call is None:
            return
        timer.call = None
        self._cancelled += 1
        if self._cancelled > max(LEAST_CANCELLED, len(self._timers) // 2):
            self._timers = [each for each in self._timers if each[2].call is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        self._selector.register(fd, events, ready)

    def change(self, fd: int, events: int, ready: Ready) -> None:
        self._selector.modify(fd, events, ready)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def turn(self) -> None:
        """Waits for the next thing to do and does what is ready."""
        self._wait()
        self._run_due()
        for key, mask in self._selector.select(0):
            self._run_due()
            if self._selector.get_map().get(key.fd) is key:  # an earlier call may have closed it
                key.data(mask)

    def _run_due(self) -> None:
        """Runs what is due now; not what becomes due meanwhile, so that sockets get their turn too."""
        now = time.monotonic_ns()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            call, timer.call = timer.call, None
            if call is None:
                self._cancelled -= 1
            else:
                call()

    def _wait(self) -> None:
        """Waits with microsecond resolution: epoll's own time-out is rounded up to milliseconds."""
        seconds = None
        if self._timers:
            seconds = max(self._timers[0][0] - time.monotonic_ns(), 0) / 1e9
        descriptor = getattr(self._selector, "fileno", None)
        if descriptor is None:
            self._selector.select(seconds)
        else:
            select.select([descriptor()], [], [], seconds)


def _sharpen_timers() -> None:
    """Asks Linux to wake this thread on time instead of up to 50 microseconds late."""
    try:
        Path("/proc/self/timerslack_ns").write_text("1")
    except OSError:
        return

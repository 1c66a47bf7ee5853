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
EPOLL = hasattr(select, "epoll")
READ, WRITE = (select.EPOLLIN, select.EPOLLOUT) if EPOLL else (selectors.EVENT_READ, selectors.EVENT_WRITE)
BOTH = READ | WRITE
LEAST_CANCELLED = 100  # below this many, cancelled timers are not worth a clearing


class Timer:
    """One call to come; cancelled it holds on to nothing."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call


class Selector:
    """What `select.epoll` offers, where there is none: kqueue, by the standard library's own interface."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.register, self.modify = self._selector.register, self._selector.modify
        self.unregister = self._selector.unregister

    def poll(self, seconds: float | None) -> list[tuple[int, int]]:
        return [(key.fd, mask) for key, mask in self._selector.select(seconds)]


class Loop:
    def __init__(self) -> None:
        self._poller = select.epoll() if EPOLL else Selector()
        self._watched: dict[int, tuple[int, Ready]] = {}  # descriptor to events and call
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
            self._timers[:] = [each for each in self._timers if each[2].call is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        self._poller.register(fd, events)
        self._watched[fd] = events, ready

    def change(self, fd: int, events: int, ready: Ready) -> None:
        """Watches for other events or calls another; without a system call where only the call is another."""
        if self._watched[fd][0] != events:
            self._poller.modify(fd, events)
        self._watched[fd] = events, ready

    def unwatch(self, fd: int) -> None:
        del self._watched[fd]
        self._poller.unregister(fd)

    def turn(self) -> None:
        """Waits for the next thing to do and does what is ready."""
        self._wait()
        self._run_due()
        watched, timers = self._watched, self._timers
        for fd, mask, watch in [(fd, mask, watched[fd]) for fd, mask in self._poller.poll(0)]:
            if timers and timers[0][0] <= time.monotonic_ns():
                self._run_due()
            if watched.get(fd) is watch:  # an earlier call may have closed it
                watch[1](BOTH if mask & ~BOTH else mask)  # an error or a hang-up is news for both

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
        if isinstance(self._poller, Selector):
            self._poller.poll(seconds)
        else:
            select.select([self._poller], [], [], seconds)


def _sharpen_timers() -> None:
    """Asks Linux to wake this thread on time instead of up to 50 microseconds late."""
    try:
        Path("/proc/self/timerslack_ns").write_text("1")
    except OSError:
        return

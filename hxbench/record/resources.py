"""What processes and the host use: cumulative processor seconds, and bytes."""

import os
import time
from collections.abc import Iterable, Iterator

import psutil

SECOND_S = 1.0
SEARCH_SHARE = 0.01  # of the time: what looking for children, or for the PSS, may cost

Sample = tuple[str, str, str, float]  # source, name, labels, value


class Seldom:
    """Says when something costly may be done again: once a second, or less often where it costs more.

    On a host with thousands of processes, or a server with much memory, looking takes many milliseconds.
    """

    def __init__(self) -> None:
        self._next = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def did(self, since: float) -> None:
        now = time.monotonic()
        self._next = max(since + SECOND_S, now + (now - since) / SEARCH_SHARE)


class Tree:
    """The server: processes and their descendants."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._members: dict[int, psutil.Process] = {}
        self._cpu_s: dict[int, float] = {}  # of those that are gone, too
        self._search, self._pss = Seldom(), Seldom()

    def sample(self) -> Iterator[Sample]:
        """Yields what all members use together; nothing when there are none."""
        if self._search.due:
            self._find()
        rss = vms = threads = 0
        for process in tuple(self._members.values()):
            try:
                with process.oneshot():
                    cpu, memory = process.cpu_times(), process.memory_info()
                    threads += process.num_threads()
            except psutil.Error:
                del self._members[process.pid]
                continue
            self._cpu_s[process.pid] = cpu.user + cpu.system
            rss, vms = rss + memory.rss, vms + memory.vms
        if not self._members:
            return
        yield "process", "cpu_seconds", "", sum(self._cpu_s.values())
        yield "process", "rss_bytes", "", rss
        yield "process", "vms_bytes", "", vms
        yield "process", "threads", "", threads
        if self._pss.due:
            yield from self._whole_pss()

    def _find(self) -> None:
        since = time.monotonic()
        for pid in self._pids:
            try:
                root = psutil.Process(pid)
                family = [root, *root.children(recursive=True)]
            except psutil.Error:
                continue
            for process in family:
                self._members.setdefault(process.pid, process)
        self._search.did(since)

    def _whole_pss(self) -> Iterator[Sample]:
        """Yields the memory of all members, shared pages once; nothing where one cannot be told."""
        since = time.monotonic()
        try:
            pss = sum(process.memory_full_info().pss for process in self._members.values())
        except (psutil.Error, AttributeError):  # not ours to look into, or not Linux
            return
        finally:
            self._pss.did(since)
        yield "process", "pss_bytes", "", pss


class Client:
    """The load generator: the processes that have no children of their own, this one included."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._processes = [process for pid in pids if (process := _process(pid)) is not None]
        self._cpu_s: dict[int, float] = {}

    def sample(self) -> Iterator[Sample]:
        """Yields what all processes use together; one that is gone keeps the CPU time it had."""
        rss = 0
        for process in self._processes:
            try:
                with process.oneshot():
                    cpu, memory = process.cpu_times(), process.memory_info()
            except psutil.Error:
                continue
            self._cpu_s[process.pid] = cpu.user + cpu.system
            rss += memory.rss
        yield "client", "cpu_seconds", "", sum(self._cpu_s.values())
        yield "client", "rss_bytes", "", rss


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def host() -> Iterator[Sample]:
    """Yields the host's own figures; busy time includes what a hypervisor stole."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # also counted in user and nice
    yield "host", "cpu_busy_seconds", "", sum(times) - idle - guest
    yield "host", "memory_available_bytes", "", psutil.virtual_memory().available
    yield "host", "load1", "", os.getloadavg()[0]

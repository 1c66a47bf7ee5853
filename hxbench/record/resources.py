"""What processes and the host use: cumulative processor seconds and I/O, bytes, counts."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

SECOND_S = 1.0
SEARCH_SHARE = 0.01  # of the time: what looking for children, or for the PSS, may cost

PRESSURE = Path("/proc/pressure")  # Linux 4.20 and later
CUMULATIVE = ("cpu_seconds", "io_read_bytes", "io_written_bytes")
GONE, REPLACED, DENIED = "processes_gone", "processes_replaced", "processes_denied"  # names of samples

Sample = tuple[str, str, str, float]  # source, name, labels, value
Readings = dict[str, float]


class Seldom:
    """Says when something costly may be done again: after a time, or less often where it costs more.

    On a host with thousands of processes, or a server with much memory, looking takes many milliseconds.
    """

    def __init__(self, after_s: float = SECOND_S) -> None:
        self._next, self._after_s = 0.0, after_s

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def did(self, since: float) -> None:
        now = time.monotonic()
        self._next = max(since + self._after_s, now + (now - since) / SEARCH_SHARE)


class Tree:
    """The server: processes and their descendants.

    A process is known by its id and when it began: another that has got the id since is not taken for it.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = {pid: _process(pid) for pid in pids}
        self._members: set[psutil.Process] = set()
        self._ever: dict[psutil.Process, Readings] = {}  # of those that are gone, too
        self._told: set[tuple[int, str]] = set()
        self._search, self._glance, self._pss = Seldom(), Seldom(after_s=0), Seldom()

    def sample(self) -> Iterator[Sample]:
        """Yields what all members use together, and once why one could not be looked at.

        What one member does not tell is absent: a sum without it would be too small.
        """
        if self._search.due:
            yield from self._find()
        elif self._glance.due:
            self._find_new()
        readings: list[Readings] = []
        yield from self._read(readings)
        yield from self._together(readings)
        if readings and self._pss.due:
            yield from self._whole_pss()

    def _read(self, readings: list[Readings]) -> Iterator[Sample]:
        """Adds what each member uses; yields why one is not among them."""
        for process in tuple(self._members):
            try:
                readings.append(_reading(process))
            except psutil.Error as error:
                self._members.discard(process)
                yield from self._why(process.pid, error)
                continue
            self._ever[process] = readings[-1]
        for pid, root in self._roots.items():
            if root is None or root not in self._members:
                yield from self._why(pid, psutil.NoSuchProcess(pid))

    def _together(self, readings: list[Readings]) -> Iterator[Sample]:
        for name in readings[0] if readings else ():
            among = list(self._ever.values()) if name in CUMULATIVE else readings
            if all(name in each for each in among):
                yield "process", name, "", sum(each[name] for each in among)

    def _why(self, pid: int, error: psutil.Error) -> Iterator[Sample]:
        """Yields once why a process is not looked at; that a child ends is no news."""
        name = DENIED
        if not isinstance(error, psutil.AccessDenied):
            if pid not in self._roots or (pid, DENIED) in self._told:
                return
            root = self._roots[pid]
            is_anothers = root is not None and psutil.pid_exists(pid) and not root.is_running()
            name = REPLACED if is_anothers else GONE
        if (pid, name) not in self._told:
            self._told.add((pid, name))
            yield "process", name, "", 1

    def _find(self) -> Iterator[Sample]:
        """Adds all descendants; yields why those of a root cannot be told."""
        since = time.monotonic()
        for pid, root in self._roots.items():
            if root is not None and root.is_running():
                self._members.add(root)
                try:
                    self._members.update(root.children(recursive=True))
                except psutil.Error as error:
                    yield from self._why(pid, error)
        self._search.did(since)

    def _find_new(self) -> None:
        """Adds the children that came since, where the kernel lists them: one may live for half a second."""
        since = time.monotonic()
        known = {member.pid for member in self._members}
        parents = list(known)
        while parents:
            for pid in _children(parents.pop()):
                if pid not in known and (child := _process(pid)) is not None:
                    known.add(pid)
                    parents.append(pid)
                    self._members.add(child)
        self._glance.did(since)

    def _whole_pss(self) -> Iterator[Sample]:
        """Yields the memory of all members, shared pages once; nothing where one cannot be told."""
        since = time.monotonic()
        try:
            pss = sum(process.memory_full_info().pss for process in self._members)
        except (psutil.Error, AttributeError):  # not ours to look into, or not Linux
            return
        finally:
            self._pss.did(since)
        yield "process", "pss_bytes", "", pss


def _children(pid: int) -> Iterator[int]:
    """Yields the children of a process, 12 microseconds a thread of it; none where nothing lists them."""
    threads = f"/proc/{pid}/task"
    try:
        for thread in os.listdir(threads):
            with open(f"{threads}/{thread}/children") as listed:
                yield from map(int, listed.read().split())
    except OSError:  # ended meanwhile, or no Linux
        return


def _reading(process: psutil.Process) -> Readings:
    """Returns what one process uses; files and I/O are absent where the system does not tell them.

    I/O is what went to and came from storage, on Linux; neither sockets nor the page cache.

    Raises: psutil.Error when it is gone, its id is another's, or nobody may look at it.
    """
    if not process.is_running():
        raise psutil.NoSuchProcess(process.pid)
    with process.oneshot():
        if process.status() == psutil.STATUS_ZOMBIE:  # its memory would read as 0
            raise psutil.NoSuchProcess(process.pid)
        cpu, memory = process.cpu_times(), process.memory_info()
        found: Readings = {
            "cpu_seconds": cpu.user + cpu.system,
            "rss_bytes": memory.rss,
            "vms_bytes": memory.vms,
            "threads": process.num_threads(),
        }
    with suppress(psutil.AccessDenied, AttributeError):
        found["open_files"] = process.num_fds()
    with suppress(psutil.AccessDenied, AttributeError, NotImplementedError):
        moved = process.io_counters()
        found |= {"io_read_bytes": moved.read_bytes, "io_written_bytes": moved.write_bytes}
    return found


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
    yield from _pressure()


def _pressure() -> Iterator[Sample]:
    """Yields for how long since boot some tasks, or all, waited for a resource; nothing where none tells.

    Of processors the kernel says for the whole system only when some waited.
    """
    for resource in ("cpu", "memory", "io"):
        try:
            lines = (PRESSURE / resource).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            kind, *_, total = line.split()
            if (resource, kind) != ("cpu", "full"):
                seconds = int(total.removeprefix("total=")) / 1e6
                yield "host", f"{resource}_pressure_{kind}_seconds", "", seconds

"""The sampler: `python -m hxbench.record.sampler RUN_DIR OPTIONS`. Resources ten times a second.

It appends JSON lines, flushed each second, and turns them into `series` at the end; `finish` does that
for a run that was killed. The server's own `/metrics` is scraped once before it says `ready`, each
second, and once at the end when the server is idle. Counters stay cumulative: differences are the
judge's business.
"""

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from hxbench.records import tables
from hxbench.records.schemas import SERIES, TARGET

PERIOD_S = 0.1
SECOND = 10  # ticks
IDLE_WAIT_S = 10.0
JOURNAL = "journal/sampler.jsonl"
BUSY = ("llamacpp:requests_processing", "llamacpp:requests_deferred", "vllm:num_requests_running")

Sample = tuple[str, str, str, float]  # source, name, labels, value


class Tree:
    """A process and its descendants, looked up again once a second."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._members: dict[int, psutil.Process] = {}
        self._gone_cpu_s = 0.0
        self._cpu_s: dict[int, float] = {}

    def sample(self, source: str, *, whole: bool) -> Iterator[Sample]:
        """Yields what the tree uses; `whole` also looks for new members and takes the PSS."""
        if whole or not self._members:
            self._find()
        rss = vms = threads = 0
        pss = 0
        for pid, process in list(self._members.items()):
            try:
                with process.oneshot():
                    cpu, memory = process.cpu_times(), process.memory_info()
                    threads += process.num_threads()
                self._cpu_s[pid] = cpu.user + cpu.system
                rss += memory.rss
                vms += memory.vms
                pss += _pss(process) if whole else 0
            except psutil.Error:
                del self._members[pid]
                self._gone_cpu_s += self._cpu_s.pop(pid, 0.0)
        if not self._members:
            return
        yield source, "cpu_seconds", "", self._gone_cpu_s + sum(self._cpu_s.values())
        yield source, "rss_bytes", "", rss
        yield source, "vms_bytes", "", vms
        yield source, "threads", "", threads
        if pss:
            yield source, "pss_bytes", "", pss

    def _find(self) -> None:
        for pid in self._pids:
            try:
                root = psutil.Process(pid)
                family = [root, *root.children(recursive=True)]
            except psutil.Error:
                continue
            for process in family:
                self._members.setdefault(process.pid, process)


def _pss(process: psutil.Process) -> int:
    try:
        return int(getattr(process.memory_full_info(), "pss", 0))
    except psutil.Error:
        return 0


def host() -> Iterator[Sample]:
    """Yields the host's own figures; busy time includes what a hypervisor stole."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # also counted in user and nice
    yield "host", "cpu_busy_seconds", "", sum(times) - idle - guest
    yield "host", "memory_available_bytes", "", psutil.virtual_memory().available
    yield "host", "load1", "", os.getloadavg()[0]


def parse_metrics(text: str) -> list[Sample]:
    """Returns the samples of a Prometheus exposition; a malformed one gives none."""
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        return []
    return [
        (
            "scrape",
            sample.name,
            json.dumps(sample.labels, sort_keys=True) if sample.labels else "",
            sample.value,
        )
        for family in families
        for sample in family.samples
    ]


class Scraper:
    """Reads the server's /metrics in a thread, so that a slow answer never delays a sample."""

    def __init__(self, url: str, headers: dict[str, str], store: Callable[[list[Sample]], None]) -> None:
        self._client = httpx.Client(timeout=5.0, trust_env=False, headers=headers)
        self._url, self._store = url, store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def scrape(self) -> list[Sample]:
        """Returns one scrape's samples; none when the server gives none."""
        try:
            answer = self._client.get(self._url)
        except httpx.HTTPError:
            return []
        samples = parse_metrics(answer.text) if answer.status_code == 200 else []
        if samples:
            self._store(samples)
        return samples

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            self.scrape()

    def finish(self) -> None:
        """Takes the last scrape once the server says it is idle, or after ten seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + IDLE_WAIT_S
        while any(name in BUSY and value > 0 for _, name, _, value in self.scrape()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        self._client.close()


class Journal:
    """Samples as JSON lines: [time_ns, trial, source, name, labels, value]."""

    def __init__(self, path: Path, trial: int) -> None:
        self._file = path.open("a")
        self._trial = trial
        self._lock = threading.Lock()

    def store(self, samples: list[Sample]) -> None:
        now = time.monotonic_ns()
        lines = [json.dumps([now, self._trial, *sample]) for sample in samples if sample[3] == sample[3]]
        with self._lock:
            self._file.write("".join(line + "\n" for line in lines))

    def flush(self) -> None:
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def sample_until_end(options: dict[str, Any], journal: Journal) -> None:
    """Samples on a fixed grid until stdin ends; a late sample does not shift those after it."""
    trees = {"process": Tree(options["server_pids"]), "client": Tree([*options["client_pids"], os.getpid()])}
    scraper = (
        Scraper(options["metrics_url"], _headers(options), journal.store) if options["metrics_url"] else None
    )
    if scraper is not None:
        scraper.scrape()
        scraper.start()
    print(json.dumps({"event": "ready"}), flush=True)  # noqa: T201 - stdout is the channel
    start, tick = time.monotonic(), 0
    while not _stdin_ended(max(start + tick * PERIOD_S - time.monotonic(), 0)):
        whole = tick % SECOND == 0
        samples = [sample for source, tree in trees.items() for sample in tree.sample(source, whole=whole)]
        journal.store([*samples, *host()])
        if whole:
            journal.flush()
        tick = max(tick + 1, int((time.monotonic() - start) / PERIOD_S))
    if scraper is not None:
        scraper.finish()


def _stdin_ended(seconds: float) -> bool:
    return bool(select.select([sys.stdin], [], [], seconds)[0]) and not os.read(sys.stdin.fileno(), 4096)


def _headers(options: dict[str, Any]) -> dict[str, str]:
    key = options["api_key_env"]
    return {"Authorization": f"Bearer {os.environ[key]}"} if key else {}


def finish(run_dir: Path) -> None:
    """Writes `series` from the sampler's lines; a torn last line is left out."""
    path = run_dir / JOURNAL
    writer = tables.TableWriter(run_dir / "records" / "series.parquet", SERIES)
    if path.exists():
        with path.open() as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break
                time_ns, trial, source, name, labels, value = json.loads(line)
                writer.add((time_ns, trial, TARGET, source, name, labels, value))
    writer.close()


def main() -> int:
    run_dir, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        journal = Journal(run_dir / JOURNAL, options["trial"])
        sample_until_end(options, journal)
        journal.close()
    except OSError as error:
        print(json.dumps({"event": "failed", "reason": f"sampler: {error}"}), flush=True)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

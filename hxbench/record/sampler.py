"""The sampler: `python -m hxbench.record.sampler RUN_DIR OPTIONS`. Resources ten times a second.

It appends JSON lines, flushed each second, and turns them into `series` at the end; `finish` does that
for a run that was killed. The server's own `/metrics` is scraped once before it says `ready`, each
second, and once at the end when the server is idle. Counters stay cumulative: differences are the
judge's business.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from hxbench.record.children import Parent
from hxbench.record.connection import trust
from hxbench.record.gpu import Gpus
from hxbench.record.resources import Client, Sample, Tree, host

PERIOD_S = 0.1
SECOND_S = 1.0
IDLE_WAIT_S = 10.0
ANSWER_S = 5.0
METRICS_LIMIT = 16 * 1024 * 1024
BUSY = ("llamacpp:requests_processing", "llamacpp:requests_deferred", "vllm:num_requests_running")


def parse_metrics(text: str) -> list[Sample]:
    """Returns the samples of a Prometheus exposition; a malformed one gives none."""
    if not text:
        return []
    from prometheus_client.parser import text_string_to_metric_families  # most servers have no metrics

    try:
        families = list(text_string_to_metric_families(text))
    except (ValueError, LookupError):  # what the parser's slicing raises
        return []
    samples = (sample for family in families for sample in family.samples)
    return [("scrape", sample.name, _labels(sample.labels), sample.value) for sample in samples]


def _labels(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True) if labels else ""


class Scraper:
    """Reads the server's /metrics in a thread, so that a slow answer never delays a sample."""

    def __init__(self, options: dict[str, Any], store: Callable[[list[Sample]], None]) -> None:
        self._client = httpx.Client(
            timeout=ANSWER_S,
            limits=httpx.Limits(max_keepalive_connections=0),  # no scrape is lost to a connection gone dead
            trust_env=False,
            headers={"Accept-Encoding": "identity", **_headers(options)},
            verify=trust(options["metrics_url"], options["ca_file"]),
        )
        self._url, self._store = options["metrics_url"], store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def scrape(self) -> list[Sample]:
        """Returns one scrape's samples; none when the server gives none."""
        samples = parse_metrics(self._fetch())
        if samples:
            self._store(samples)
        return samples

    def _fetch(self) -> str:
        deadline, body = time.monotonic() + ANSWER_S, b""
        try:
            with self._client.stream("GET", self._url) as answer:
                if answer.status_code != 200:
                    return ""
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > METRICS_LIMIT or time.monotonic() > deadline:
                        return ""
        except httpx.HTTPError:
            return ""
        return body.decode(errors="replace")

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(SECOND_S):
            self.scrape()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def close(self) -> None:
        self._client.close()

    def scrape_when_idle(self) -> None:
        """Takes the last scrape once the server says it is idle, or after ten seconds."""
        deadline = time.monotonic() + IDLE_WAIT_S
        while any(name in BUSY and value > 0 for _, name, _, value in self.scrape()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)


class Journal:
    """Samples as JSON lines: [time_ns, trial, source, name, labels, value]."""

    def __init__(self, run_dir: Path, trial: int) -> None:
        self._file = (run_dir / "journal" / f"t{trial}-sampler.jsonl").open("x")
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


def own_cost() -> Sample:
    """Returns the processor time of this process, which the client's holds too."""
    return "client", "sampler_cpu_seconds", "", time.process_time()


def next_tick(tick: int, elapsed_s: float) -> int:
    """Returns the next point of the grid to sample at, never right behind a sample that came late.

    CPU time is counted in hundredths of a second: over a millisecond it would show ten cores.
    """
    return max(tick, round(elapsed_s / PERIOD_S)) + 1


def sample_until_end(options: dict[str, Any], journal: Journal) -> None:
    """Samples on a fixed grid until stdin ends; a late sample does not shift those after it."""
    parent = Parent()
    server, client = Tree(options["server_pids"]), Client([*options["client_pids"], os.getpid()])
    gpus = Gpus()
    scraper = Scraper(options, journal.store)
    scraper.scrape()
    scraper.start()
    _say("ready")
    start, tick, flushed = time.monotonic(), 0, 0.0
    while not parent.is_silent(max(start + tick * PERIOD_S - time.monotonic(), 0)):
        journal.store([*server.sample(), *client.sample(), *host(), *gpus.sample(), own_cost()])
        now = time.monotonic()
        if now - flushed >= SECOND_S:
            journal.flush()
            flushed = now
        tick = next_tick(tick, now - start)
    scraper.stop()
    if parent.asked_to_stop:
        scraper.scrape_when_idle()
    scraper.close()


def _headers(options: dict[str, Any]) -> dict[str, str]:
    headers = {header: os.environ[name] for header, name in options["headers_env"].items()}
    if options["api_key_env"]:
        headers["Authorization"] = f"Bearer {os.environ[options['api_key_env']]}"
    return headers


def finish(run_dir: Path) -> None:
    """Writes `series` from the lines of samplers and Prometheus; what follows a torn line is left out."""
    from hxbench.records import schemas, tables  # pandas would make the sampler slow to start

    writer = tables.TableWriter(run_dir / "records" / "series.parquet", schemas.SERIES)
    folder = run_dir / "journal"
    for path in sorted([*folder.glob("t*-sampler.jsonl"), *folder.glob("t*-prometheus.jsonl")]):
        for time_ns, trial, *sample in json_lines(path):
            source, name, labels, value = sample
            writer.add((time_ns, trial, schemas.TARGET, source, name, labels, value))
    writer.close()


def json_lines(path: Path) -> Iterator[list[Any]]:
    """Yields the lines of a journal up to one that a kill tore off."""
    with path.open() as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _say(event: str, **more: str) -> None:
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201 - stdout is the channel


def main() -> int:
    run_dir, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        journal = Journal(run_dir, options["trial"])
        sample_until_end(options, journal)
        journal.close()
    except OSError as error:
        _say("failed", reason=f"sampler: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

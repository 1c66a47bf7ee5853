"""The sampler: what processes, host and server use, ten times a second, whatever the server does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import psutil
import pytest

from hxbench.record import resources, sampler
from hxbench.record.children import Child
from hxbench.record.resources import Client, Seldom, Tree
from hxbench.record.sampler import Journal, Scraper, parse_metrics
from hxbench.records import tables
from hxbench.records.schemas import SERIES
from tests.loads import PATIENCE_S, await_gone, wait_until
from tests.servers import CLOSE, Behaviour, Request, Server, plain

PRESSURE_NAMES = {
    f"{name}_pressure_{kind}_seconds" for name in ("cpu", "memory", "io") for kind in ("some", "full")
}
METRICS = """# HELP llamacpp:tokens_predicted_total Tokens
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 7
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 0
# TYPE odd gauge
odd NaN
"""

# A server with a child that, once told, computes for a while and ends; memory of 50 MB touched by the parent.
FAMILY = """
import os, subprocess, sys, time
held = bytearray(50_000_000)
busy = "import time\\ninput()\\nwhile time.process_time() < 0.5: pass"
child = subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.readline()
child.communicate(b"compute\\n")
sys.stdin.read()
"""


class Family(NamedTuple):
    """The process ids of a parent and of its child, and what lets the child compute and end."""

    parent: int
    child: int
    let_end: Callable[[], object]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for name in ("records", "journal"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def family() -> Iterator[Family]:
    command = [sys.executable, "-c", FAMILY]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        stdin, child = parent.stdin, int(parent.stdout.readline())

        def let_end() -> None:
            stdin.write(b"go on\n")
            await_gone(child)

        yield Family(parent.pid, child, let_end)
        parent.kill()


def options(url: str, **changed: Any) -> dict[str, Any]:
    return {
        "trial": 1, "server_pids": [], "client_pids": [os.getpid()], "metrics_url": f"{url}/metrics",
        "api_key_env": None, "headers_env": {}, "ca_file": None, **changed,
    }  # fmt: skip


def start(run_dir: Path, url: str, **changed: Any) -> Child:
    with (run_dir / "log.txt").open("ab") as log:
        child = Child("hxbench.record.sampler", [str(run_dir), json.dumps(options(url, **changed))], log)
    assert {"event": "ready"} == child.event(PATIENCE_S), (run_dir / "log.txt").read_text()
    return child


def flushed(run_dir: Path, name: str = "load1") -> list[int]:
    """The times of the samples of this name which the sampler has flushed so far."""
    lines = map(json.loads, (run_dir / "journal" / "t1-sampler.jsonl").read_text().splitlines()[:-1])
    return [time_ns for time_ns, _, _, sampled, *_ in lines if sampled == name]


def await_flushed(run_dir: Path, name: str = "load1", since_ns: int = 0) -> None:
    wait_until(lambda: max(flushed(run_dir, name), default=-1) >= since_ns, f"no new sample of {name}")


def series(run_dir: Path) -> pd.DataFrame:
    sampler.finish(run_dir)
    return tables.read(run_dir / "records" / "series.parquet", SERIES)


def values(frame: pd.DataFrame, source: str, name: str) -> pd.DataFrame:
    return frame[(frame["source"] == source) & (frame["name"] == name)]


def test_a_tree_is_sampled_ten_times_a_second_and_keeps_what_a_child_used(
    run_dir: Path, family: Family
) -> None:
    with Server() as server:
        child = start(run_dir, server.url, server_pids=[family.parent])
        await_flushed(run_dir, "threads")
        family.let_end()
        await_flushed(run_dir, "threads", since_ns=time.monotonic_ns())
        child.stop(PATIENCE_S)
    frame = series(run_dir)
    cpu = values(frame, "process", "cpu_seconds")
    elapsed = (cpu["time_ns"].max() - cpu["time_ns"].min()) / 1e9
    # Never more; some are left out where others keep the machine busy.
    assert 0.2 * elapsed < (len(cpu) - 1) / 10 < 1.1 * elapsed + 0.1
    assert cpu["value"].is_monotonic_increasing
    assert cpu["value"].iloc[-1] > 0.3
    threads = values(frame, "process", "threads")["value"]
    assert (2, 1) == (threads.iloc[0], threads.iloc[-1])
    assert values(frame, "process", "rss_bytes")["value"].min() > 50e6
    assert values(frame, "process", "vms_bytes")["value"].min() > 50e6
    host = values(frame, "host", "cpu_busy_seconds")
    assert 0 < host["value"].iloc[-1] - host["value"].iloc[0] < 2 * elapsed * (os.cpu_count() or 1) + 1
    host_names = set(frame[frame["source"] == "host"]["name"])
    assert {"cpu_busy_seconds", "memory_available_bytes", "load1"} == host_names - PRESSURE_NAMES
    assert resources.PRESSURE.exists() == (host_names >= {"cpu_pressure_some_seconds"})
    assert {"cpu_seconds", "rss_bytes", "sampler_cpu_seconds"} == set(
        frame[frame["source"] == "client"]["name"]
    )
    own = values(frame, "client", "sampler_cpu_seconds")["value"]
    assert 0 < own.iloc[-1] <= values(frame, "client", "cpu_seconds")["value"].iloc[-1] + 0.1
    assert {(1, "main")} == set(zip(frame["trial"], frame["target"], strict=True))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the proportional set size")
def test_the_proportional_memory_is_taken_at_most_once_a_second(run_dir: Path, family: Family) -> None:
    with Server() as server:
        child = start(run_dir, server.url, server_pids=[family.parent])
        wait_until(lambda: len(flushed(run_dir, "pss_bytes")) >= 2, "it was not taken twice")
        child.stop(PATIENCE_S)
    pss = values(series(run_dir), "process", "pss_bytes")
    assert pss["time_ns"].diff().min() > 500_000_000  # ten times a second it would be 100 ms
    assert pss["value"].min() > 50e6


def test_a_process_that_is_gone_gives_nothing_and_ends_nothing(run_dir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as gone, Server() as server:
        child = start(run_dir, server.url, server_pids=[gone.pid])
        await_flushed(run_dir, "rss_bytes")
        gone.kill()
        gone.wait()
        await_flushed(run_dir, "processes_gone")
        await_flushed(run_dir, since_ns=time.monotonic_ns())
        child.stop(PATIENCE_S)
    frame = series(run_dir)
    last = values(frame, "process", "rss_bytes")["time_ns"].max()
    assert 0 < last < frame["time_ns"].max()
    assert [1] == values(frame, "process", "processes_gone")["value"].tolist()
    assert 0 == child.status


def test_a_remote_server_has_no_processes(run_dir: Path) -> None:
    with Server() as server:
        child = start(run_dir, server.url)
        await_flushed(run_dir)
        child.stop(PATIENCE_S)
    assert {"client", "host"} == set(series(run_dir)["source"])


class Counting:
    """Metrics whose counter is the number of the scrape; busy until scrape `idle_from`."""

    def __init__(self, idle_from: int) -> None:
        self._idle_from = idle_from
        self.times_s: list[float] = []

    @property
    def scrapes(self) -> int:
        return len(self.times_s)

    def __call__(self, _: Request) -> list[Any]:
        self.times_s.append(time.monotonic())
        busy = int(self.scrapes < self._idle_from)
        text = METRICS.replace("total 7", f"total {self.scrapes}")
        text = text.replace("processing 0", f"processing {busy}")
        return [plain(200, text, kind="text/plain")]


def test_the_first_scrape_comes_before_ready_and_the_last_when_the_server_is_idle(run_dir: Path) -> None:
    metrics = Counting(idle_from=4)
    with Server(Behaviour(metrics=metrics)) as server:
        child = start(run_dir, server.url)
        assert 1 <= metrics.scrapes
        child.stop(PATIENCE_S)
    frame = series(run_dir)
    counter = values(frame, "scrape", "llamacpp:tokens_predicted_total")
    assert 4 <= metrics.scrapes
    assert [*range(1, metrics.scrapes + 1)] == counter["value"].tolist()
    assert 0 == values(frame, "scrape", "llamacpp:requests_processing")["value"].iloc[-1]


def test_a_server_that_is_never_idle_is_not_waited_for_for_ever(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "IDLE_WAIT_S", 1.0)
    kept: list[Any] = []
    with (
        Server(Behaviour(metrics=Counting(idle_from=10**9))) as server,
        closing(Scraper(options(server.url), kept.append)) as scraper,
    ):
        scraper.scrape_when_idle()
    assert 2 <= len(kept) <= 6


def test_the_server_is_scraped_once_a_second(run_dir: Path) -> None:
    metrics = Counting(idle_from=0)
    with Server(Behaviour(metrics=metrics)) as server:
        child = start(run_dir, server.url)
        wait_until(lambda: metrics.scrapes >= 3, "it was not scraped three times")
        child.stop(PATIENCE_S)
    *gaps_s, _ = [
        later - earlier for earlier, later in pairwise(metrics.times_s)
    ]  # the last comes at the end
    assert 1 <= min(gaps_s)


def test_slow_metrics_delay_no_sample(run_dir: Path) -> None:
    calls: list[int] = []

    def slow(_: Request) -> Iterator[Any]:
        calls.append(time.monotonic_ns())
        if len(calls) == 2:
            yield 2.5
        yield plain(200, METRICS, kind="text/plain")

    with Server(Behaviour(metrics=slow)) as server:
        child = start(run_dir, server.url)
        wait_until(lambda: len(calls) == 2, "there was no second scrape")
        await_flushed(run_dir, since_ns=calls[1] + 600_000_000)
        child.stop(PATIENCE_S)
    times = values(series(run_dir), "host", "load1")["time_ns"] - calls[1]
    assert 5 <= times.between(0, 2_400_000_000).sum()


def scraped(given: dict[str, Any]) -> list[Any]:
    """One scrape; what it returns is what it stores."""
    stored: list[Any] = []
    with closing(Scraper(given, stored.extend)) as scraper:
        assert scraper.scrape() == stored
    return stored


def endless(_: Request) -> Iterator[Any]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    while True:
        yield b"a 1\n" * 20_000


def drip(_: Request) -> Iterator[Any]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    while True:
        yield b"a 1\n"
        yield 0.05


@pytest.mark.parametrize(
    "script",
    [
        lambda _: [plain(401, '{"error": "no key"}')],
        lambda _: [plain(404, "not found")],
        lambda _: [plain(200, "{'this': is no exposition}")],
        lambda _: [plain(200, "a{b=")],
        lambda _: [plain(200, "")],
        lambda _: [CLOSE],
        lambda _: [b"no http at all\r\n\r\n"],
        endless,
        drip,
    ],
    ids=["401", "404", "malformed", "cut", "empty", "closed", "no HTTP", "endless", "drip"],
)
def test_metrics_that_are_none_give_no_samples(
    script: Callable[[Request], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "ANSWER_S", 0.3)
    monkeypatch.setattr(sampler, "METRICS_LIMIT", 1_000_000)
    with Server(Behaviour(metrics=script)) as server:
        assert [] == scraped(options(server.url))


def test_a_server_that_is_not_there_gives_no_samples() -> None:
    assert [] == scraped(options("http://127.0.0.1:1"))


def test_the_keys_of_the_target_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    monkeypatch.setenv("AN_ORG", "org")
    with Server(Behaviour(metrics=lambda _: [plain(200, METRICS)])) as server:
        given = options(server.url, api_key_env="A_KEY", headers_env={"X-Org": "AN_ORG"})
        assert 3 == len(scraped(given))
        assert ("Bearer secret", "org") == (
            server.requests[0].headers["authorization"],
            server.requests[0].headers["x-org"],
        )


def test_labels_become_sorted_json_and_none_an_empty_text() -> None:
    text = '# TYPE h histogram\nh_bucket{z="1",le="+Inf"} 3\nh_sum 1.5\n'
    assert [
        ("scrape", "h_bucket", '{"le": "+Inf", "z": "1"}', 3.0),
        ("scrape", "h_sum", "", 1.5),
    ] == parse_metrics(text)


def test_a_value_that_is_no_number_is_not_stored(run_dir: Path) -> None:
    journal = Journal(run_dir, 1)
    journal.store([("scrape", "a", "", float("nan")), ("scrape", "b", "", float("inf"))])
    journal.close()
    assert [("b", float("inf"))] == list(
        series(run_dir)[["name", "value"]].itertuples(index=False, name=None)
    )


def test_what_follows_a_torn_line_is_left_out_but_only_of_its_trial(run_dir: Path) -> None:
    for trial in (1, 2):
        journal = Journal(run_dir, trial)
        journal.store([("host", "load1", "", trial)])
        journal.close()
    path = run_dir / "journal" / "t1-sampler.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    assert [1, 2] == series(run_dir)["value"].tolist()


def test_a_run_without_samples_has_an_empty_series(run_dir: Path) -> None:
    assert 0 == len(series(run_dir))


def test_a_sampler_that_cannot_write_says_so(run_dir: Path) -> None:
    (run_dir / "journal" / "t1-sampler.jsonl").touch()
    child = Child(
        "hxbench.record.sampler",
        [str(run_dir), json.dumps(options("http://127.0.0.1:1"))],
        subprocess.DEVNULL,
    )
    said = child.event(PATIENCE_S)
    child.stop(PATIENCE_S)
    assert said is not None
    assert "failed" == said["event"]
    assert "File exists" in said["reason"]
    assert 1 == child.status


def test_a_killed_sampler_loses_at_most_the_last_second(run_dir: Path) -> None:
    with Server() as server:
        child = start(run_dir, server.url)
        began_ns = time.monotonic_ns()
        await_flushed(run_dir, since_ns=began_ns + 1_200_000_000)
        os.kill(child.pid, signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        child.stop()
    kept_ns = series(run_dir)["time_ns"].max()
    assert began_ns + 1_200_000_000 <= kept_ns
    assert killed_ns - kept_ns < 10_000_000_000  # a second, and what the machine took


def test_a_child_is_found_when_it_comes_and_its_time_stays_when_it_goes(family: Family) -> None:
    tree = Tree([family.parent])
    assert {"cpu_seconds", "rss_bytes", "vms_bytes", "threads"} <= {sample[1] for sample in tree.sample()}
    family.let_end()
    with_child = {sample[1]: sample[3] for sample in tree.sample()}
    alone = {sample[1]: sample[3] for sample in Tree([family.parent]).sample()}
    assert with_child["cpu_seconds"] > alone["cpu_seconds"] - 0.02
    assert 1 == alone["threads"]


def test_a_process_id_that_nobody_has_is_no_member() -> None:
    free = next(pid for pid in range(99_999, 10_000, -1) if not psutil.pid_exists(pid))
    assert [("process", "processes_gone", "", 1)] == list(Tree([free]).sample())
    assert [("client", "cpu_seconds", "", 0), ("client", "rss_bytes", "", 0)] == list(Client([free]).sample())


def named(tree: Tree) -> dict[str, float]:
    """One sample of a tree by name."""
    return {name: value for _, name, _, value in tree.sample()}


def test_open_files_are_counted_and_what_is_written_to_storage() -> None:
    code = "import os; print(flush=True); input(); file = open(os.devnull); print(flush=True); input()"
    pipe, command = subprocess.PIPE, [sys.executable, "-c", code]
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = named(Tree([process.pid]))["open_files"]
        process.stdin.write(b"\n")
        process.stdout.readline()
        assert before + 1 == named(Tree([process.pid]))["open_files"]
        process.kill()


def test_another_process_with_the_id_of_one_that_is_gone_is_not_sampled_and_said_so() -> None:
    tree = Tree([os.getpid()])
    root = tree._roots[os.getpid()]
    assert root is not None
    root._ident = (root.pid, 1.0)  # as if it had begun in 1970
    assert {"processes_replaced": 1} == named(tree)
    assert {} == named(tree)


def test_an_ended_process_that_nobody_waited_for_is_gone_and_has_no_memory_of_0() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tree = Tree([process.pid])
        assert "rss_bytes" in named(tree)
        process.kill()
        ended = psutil.Process(process.pid)
        while ended.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert {"processes_gone": 1} == named(tree)


def refusing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refuse(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, name, refuse)


def test_a_process_that_nobody_may_look_at_is_absent_and_the_reason_is_kept_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing(monkeypatch, "num_threads")
    tree = Tree([os.getpid()])
    assert {"processes_denied": 1} == named(tree)
    assert {} == named(tree)


def test_io_that_one_process_does_not_tell_is_absent_not_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "io_counters")
    found = named(Tree([os.getpid()]))
    assert {"rss_bytes", "open_files"} <= found.keys()
    assert not {"io_read_bytes", "io_written_bytes"} & found.keys()


def test_pressure_is_read_in_seconds_and_absent_where_the_kernel_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled = "avg10=1.00 avg60=0.00 avg300=0.00 total="
    (tmp_path / "cpu").write_text(f"some {stalled}2500000\nfull {stalled}0\n")
    (tmp_path / "io").write_text(f"some {stalled}3\nfull {stalled}1000000\n")
    monkeypatch.setattr(resources, "PRESSURE", tmp_path)
    assert [
        ("host", "cpu_pressure_some_seconds", "", 2.5),
        ("host", "io_pressure_some_seconds", "", 3e-6),
        ("host", "io_pressure_full_seconds", "", 1.0),
    ] == list(resources._pressure())


def sampled(client: Client) -> dict[str, float]:
    return {name: value for _, name, _, value in client.sample()}


def test_a_client_process_that_is_gone_keeps_its_time() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "sum(range(10**6)); input()"], stdin=subprocess.PIPE
    ) as process:
        client = Client([process.pid])
        wait_until(lambda: sampled(client)["cpu_seconds"] > 0, "it used no processor time")
        before = sampled(client)
        process.kill()
    after = sampled(client)
    assert 0 < before["cpu_seconds"] == after["cpu_seconds"]
    assert 0 == after["rss_bytes"]


def test_memory_that_nobody_may_look_into_is_absent_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "memory_full_info")
    assert "pss_bytes" not in {name for _, name, _, _ in Tree([os.getpid()]).sample()}


PARENT = """
import json, sys
from hxbench.record.children import Child
with open(sys.argv[3], "wb") as log:
    child = Child("hxbench.record.sampler", [sys.argv[1], sys.argv[2]], log)
child.event(100)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_an_orphaned_sampler_does_not_wait_for_the_server_to_be_idle(run_dir: Path) -> None:
    metrics = Counting(idle_from=10**9)
    with Server(Behaviour(metrics=metrics)) as server:
        given = json.dumps(options(server.url))
        command = [sys.executable, "-c", PARENT, str(run_dir), given, str(run_dir / "log.txt")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            parent.kill()
        await_gone(pid)
    assert metrics.scrapes < 20  # waiting it would have asked some fifty times
    assert "" == (run_dir / "log.txt").read_text()


def test_what_is_costly_is_done_once_a_second_or_for_a_hundredth_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(resources.time, "monotonic", lambda: now)
    seldom = Seldom()
    assert seldom.due
    now += 0.001
    seldom.did(since=100.0)
    now = 100.9
    assert not seldom.due
    now = 101.0
    assert seldom.due
    now = 101.05
    seldom.did(since=101.0)
    now = 106.0
    assert not seldom.due
    now = 106.1
    assert seldom.due


@pytest.mark.parametrize(
    ("expected", "tick", "elapsed_s"),
    [(1, 0, 0.0003), (2, 1, 0.1004), (3, 1, 0.1999), (3, 1, 0.24), (4, 1, 0.26)],
)
def test_the_sampler_keeps_to_its_grid_and_never_samples_right_behind_a_late_one(
    expected: int, tick: int, elapsed_s: float
) -> None:
    assert expected == sampler.next_tick(tick, elapsed_s)

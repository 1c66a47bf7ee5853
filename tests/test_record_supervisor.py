"""One trial: its children in order, its schedule before its load, and an end in order whatever dies."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import psutil
import pytest

from hxbench.errors import IncompleteError
from hxbench.plan.layers import resolve
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import build
from hxbench.plan.workload import load_prompts
from hxbench.record import supervisor
from hxbench.record.children import Child
from hxbench.record.supervisor import (
    Interrupted,
    Served,
    StopRequest,
    Trial,
    await_caught_up,
    start_decoder,
    stop_signals,
)
from hxbench.records import tables
from hxbench.records.schemas import PHASES, REQUESTS, SCHEDULE
from tests import servers
from tests.loads import PATIENCE_S, wait_until
from tests.servers import Behaviour, Server

SECOND = 1_000_000_000


def profile(url: str = "http://127.0.0.1:1", **changed: Any) -> Profile:
    given = {
        "target.server": url, "target.model": "m", "workload.output_tokens": 4, "load.warmup": "0 s",
        "load.requests": 20, "limits.requests": 50,
    }  # fmt: skip
    overrides = {key: (value, "--set") for key, value in (given | changed).items()}
    return resolve(None, overrides=overrides).profile


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for name in ("records", "journal"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Behaviour(chat=lambda _: servers.stream(4, 0.01, 0.005))) as made:
        yield made


class Run:
    """One trial in its folder, with the decoder it needs."""

    def __init__(self, run_dir: Path, made: Profile, url: str) -> None:
        self.run_dir, self.profile, self.url = run_dir, made, url
        self.asked = StopRequest()
        self.news: list[Mapping[str, Any]] = []
        self.rows: list[tuple[Any, ...]] = []
        self.decoder: Child | None = None

    def record(self, meanwhile: Callable[["Run"], None] = lambda _: None) -> None:
        """Records the trial; `meanwhile` runs in a thread of its own, once the load has begun."""
        planned = build(self.profile, load_prompts(self.profile.workload.prompts), 1)
        begun = threading.Event()

        def hear(news: Mapping[str, Any]) -> None:
            self.news.append(news)
            if news["ok"]:
                begun.set()

        def interfere() -> None:
            begun.wait(PATIENCE_S)
            meanwhile(self)

        with (self.run_dir / "log.txt").open("ab") as log:
            self.decoder = start_decoder(self.profile, self.run_dir, log)
            await_caught_up(self.decoder, StopRequest())  # or a short load is over before it can tell
            interfering = threading.Thread(target=interfere)
            interfering.start()
            try:
                trial = Trial(self.profile, Served(self.url, (os.getpid(),)), self.run_dir, 1, log)
                self.rows = trial.record(planned, [], self.decoder, self.asked, hear, lambda: None)
            finally:
                begun.set()
                interfering.join()
                self.decoder.stop(PATIENCE_S)

    def processes(self, *modules: str) -> list[psutil.Process]:
        """The children of this test that run one of these programs."""
        return [
            child
            for child in psutil.Process().children()
            if any(f"hxbench.record.{module}" in child.cmdline() for module in modules)
        ]


def test_a_trial_runs_to_its_end_and_tells_how_far_it_is(run_dir: Path, server: Server) -> None:
    slow = profile(server.url, **{"load.think_time": "200 ms"})  # so that the decoder, behind all, can tell
    run = Run(run_dir, slow, server.url)
    run.record()
    requests = tables.read(run_dir / "records" / "requests.parquet", REQUESTS)
    assert (20, 20) == (len(server.chats), (requests["outcome"] == "ok").sum())
    assert {"ok", "failed", "tokens", "in_flight", "ttft_p50_s"} <= run.news[-1].keys()
    assert [] == run.processes("worker", "sampler", "decoder")
    schedule = tables.read(run_dir / "records" / "schedule.parquet", SCHEDULE)
    assert [row[0] for row in run.rows] == schedule["request_id"].tolist()
    assert "" == (run_dir / "log.txt").read_text()


def test_a_stop_that_is_asked_for_ends_the_trial_and_its_children(run_dir: Path, server: Server) -> None:
    def ask(run: Run) -> None:
        run.asked.signal = signal.SIGINT

    load = {"load.requests": None, "load.measure": "30 s", "limits.requests": 5000}
    run = Run(run_dir, profile(server.url, **load), server.url)
    with pytest.raises(Interrupted) as caught:
        run.record(ask)
    assert (signal.SIGINT,) == caught.value.args
    assert [] == run.processes("worker", "sampler", "decoder")
    seen = len(server.chats)
    time.sleep(0.2)
    assert seen == len(server.chats)


@pytest.mark.parametrize("module", ["worker", "sampler", "decoder"])
def test_a_child_that_is_killed_ends_the_trial_with_its_name(
    run_dir: Path, server: Server, module: str
) -> None:
    def kill(run: Run) -> None:
        for process in run.processes(module):
            process.kill()

    load = {"load.requests": None, "load.measure": "30 s", "limits.requests": 5000}
    run = Run(run_dir, profile(server.url, **load), server.url)
    with pytest.raises(IncompleteError) as caught:
        run.record(kill)
    assert f"{module}: ended early (status -9); see log.txt" == str(caught.value)
    assert [] == run.processes("worker", "sampler", "decoder")


def later_decoder(run_dir: Path) -> Child:
    with (run_dir / "log.txt").open("ab") as log:
        return start_decoder(profile(), run_dir, log)


def test_a_later_decoder_is_waited_for_until_it_has_read_what_earlier_trials_left(
    run_dir: Path, server: Server
) -> None:
    run = Run(run_dir, profile(server.url), server.url)
    run.record()
    decoder = later_decoder(run_dir)
    await_caught_up(decoder, StopRequest())
    said = decoder.event(PATIENCE_S)
    decoder.stop(PATIENCE_S)
    assert said is not None
    assert 20 == said["ok"]


def test_a_later_decoder_that_ends_early_ends_the_waiting_with_its_name(run_dir: Path) -> None:
    decoder = later_decoder(run_dir)
    psutil.Process(decoder.pid).kill()
    with pytest.raises(IncompleteError, match=r"^decoder: ended early \(status -9\); see log.txt$"):
        await_caught_up(decoder, StopRequest())
    decoder.stop()


def test_a_stop_that_is_asked_for_ends_the_waiting_for_a_decoder(run_dir: Path) -> None:
    decoder = later_decoder(run_dir)
    psutil.Process(decoder.pid).suspend()
    with pytest.raises(Interrupted):
        await_caught_up(decoder, StopRequest(signal.SIGINT))
    psutil.Process(decoder.pid).resume()
    decoder.stop()


def test_a_worker_that_cannot_begin_says_why(run_dir: Path) -> None:
    run = Run(
        run_dir, profile("https://127.0.0.1:1", **{"target.ca_file": "/none.pem"}), "https://127.0.0.1:1"
    )
    with pytest.raises(IncompleteError, match=r"^load worker: .*No such file or directory"):
        run.record()


def test_a_sampler_that_cannot_begin_says_why(run_dir: Path, server: Server) -> None:
    (run_dir / "journal" / "t1-sampler.jsonl").touch()
    with pytest.raises(IncompleteError, match=r"^sampler: .*File exists"):
        Run(run_dir, profile(server.url), server.url).record()


def test_the_decoder_comes_after_everything_else(run_dir: Path, server: Server) -> None:
    made = profile(server.url)
    with (run_dir / "log.txt").open("ab") as log:
        decoder = start_decoder(made, run_dir, log)
        niceness, group = psutil.Process(decoder.pid).nice(), Path(f"/proc/{decoder.pid}/autogroup")
        of_session = group.read_text() if group.exists() else ""
        decoder.stop(PATIENCE_S)
    assert psutil.Process().nice() + 10 == niceness
    assert of_session == "" or of_session.endswith(f" nice {niceness}\n")


def test_a_child_that_says_nothing_is_given_up(
    run_dir: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "READY_S", 0.0)
    with pytest.raises(IncompleteError, match=r"^worker: no sign of readiness within 0 s; see log\.txt$"):
        Run(run_dir, profile(server.url), server.url).record()


def test_a_slow_disk_sets_the_start_later(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "START_MARGIN_NS", 1000)
    planned = build(profile(**{"load.rate": 10, "load.requests": 5}), load_prompts("short"), 1)
    start_ns, rows = supervisor.write_schedule(run_dir, [], planned)
    written_ns = (run_dir / "records" / "schedule.parquet").stat().st_mtime_ns
    assert start_ns > written_ns - (time.time_ns() - time.monotonic_ns())
    schedule = tables.read(run_dir / "records" / "schedule.parquet", SCHEDULE)
    assert [start_ns + (row.due_offset_ns or 0) for row in planned] == schedule["due_ns"].tolist()
    assert len(planned) == len(rows)


def test_later_trials_are_added_to_the_schedule(run_dir: Path) -> None:
    made, prompts = profile(), load_prompts("short")
    rows: list[tuple[Any, ...]] = []
    for trial in (1, 2):
        rows = supervisor.append_schedule(run_dir, rows, build(made, prompts, trial), 0)
    schedule = tables.read(run_dir / "records" / "schedule.parquet", SCHEDULE)
    assert [1] * 20 + [2] * 20 == schedule["trial"].tolist()
    assert schedule["due_ns"].isna().all()


def plan_of(made: Profile, url: str, first: int = 0) -> dict[str, Any]:
    planned = build(made, load_prompts("short"), 1)
    return supervisor.worker_plan(made, url, Path("run"), 1, planned, first)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "path"),
    [
        ("http://h", "h", 80, False, "/v1/chat/completions"),
        ("https://h", "h", 443, True, "/v1/chat/completions"),
        ("https://h:8443/base", "h", 8443, True, "/base/v1/chat/completions"),
        ("http://[::1]:8000", "::1", 8000, False, "/v1/chat/completions"),
    ],
)
def test_a_workers_plan_has_the_address(url: str, host: str, port: int, tls: bool, path: str) -> None:
    plan = plan_of(profile(url), url)
    assert (host, port, tls, path) == (plan["host"], plan["port"], plan["tls"], plan["path"])


def test_a_workers_plan_holds_names_of_variables_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "canary")
    plan = plan_of(
        profile(**{"target.api_key_env": "A_KEY", "target.headers_env": {"X": "A_KEY"}}), "http://h"
    )
    assert ("A_KEY", {"X": "A_KEY"}) == (plan["api_key_env"], plan["headers_env"])
    assert "canary" not in json.dumps(plan)


def test_the_worker_is_told_when_stages_begin_and_how_long_users_think() -> None:
    up = {"name": "up", "rate": {"from": 1, "to": 4}, "duration": "4 s"}
    stages = [{"name": "calm", "rate": 2, "duration": "2 s"}, up, {**up, "name": "more"}]
    staged = {"load.stages": stages, "load.requests": None, "load.time_scale": 0.5}
    assert [("calm", 0), ("up", SECOND), ("more", 3 * SECOND)] == plan_of(profile(**staged), "http://h")[
        "stages"
    ]
    thinking = profile(**{"load.think_time": {"distribution": "exponential", "mean": "2 s"}})
    plan = plan_of(thinking, "http://h")
    first = plan["rows"][0]
    assert [] == plan["stages"]
    assert ("t1-000001", 0) == tuple(first[7:9])
    assert round(thinking.load.thinking_s(1, "t1-000001") * SECOND) == first[9]


def test_rows_are_numbered_as_in_the_schedule() -> None:
    assert [100, 101] == [row[0] for row in plan_of(profile(), "http://h", 100)["rows"]][:2]


@pytest.mark.parametrize(
    ("load", "users", "measure_ns"),
    [
        ({"load.requests": None, "load.measure": "5 s", "load.users": 3}, 3, 5 * SECOND),
        ({"load.requests": 5, "load.users": 3}, 3, None),
        ({"load.requests": None, "load.measure": "2 s", "load.rate": 4}, None, 2 * SECOND),
        (
            {"load.requests": 5, "load.rate": 2, "load.arrivals": "constant", "load.warmup": "1 s"},
            None,
            2 * SECOND,
        ),
    ],
    ids=["users by time", "users by number", "arrivals by time", "arrivals by number"],
)
def test_the_measured_window_is_the_profiles_or_that_of_its_requests(
    load: dict[str, Any], users: int | None, measure_ns: int | None
) -> None:
    plan = plan_of(profile(**load), "http://h")
    assert (users, measure_ns) == (plan["users"], plan["measure_ns"])


def test_the_first_signal_asks_for_an_end_and_the_second_insists() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as asked:
        asked.raise_if_asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.SIGTERM == asked.signal
        with pytest.raises(Interrupted):
            asked.raise_if_asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert before == signal.getsignal(signal.SIGTERM)


def test_outside_the_main_thread_no_signal_is_heard() -> None:
    heard: list[int | None] = []

    def listen() -> None:
        with stop_signals() as asked:
            heard.append(asked.signal)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert [None] == heard


def test_a_load_in_stages_is_recorded_stage_by_stage_and_ends_with_the_last(
    run_dir: Path, server: Server
) -> None:
    stages = [
        {"name": "calm", "rate": 20, "duration": "0.2 s"},
        {"name": "spike", "rate": {"from": 20, "to": 100}, "duration": "0.2 s"},
    ]
    made = profile(
        server.url,
        **{"load.stages": stages, "load.requests": None, "load.arrivals": "constant", "load.warmup": "0.1 s"},
    )
    run = Run(run_dir, made, server.url)
    run.record()
    schedule = tables.read(run_dir / "records" / "schedule.parquet", SCHEDULE)
    assert [("warmup", "calm", 2), ("measure", "calm", 4), ("measure", "spike", 12)] == [
        (*key, len(rows)) for key, rows in schedule.groupby(["phase", "stage"], sort=False)
    ]
    requests = tables.read(run_dir / "records" / "requests.parquet", REQUESTS)
    assert ["ok"] * 18 == list(requests["outcome"])
    phases = tables.read(run_dir / "records" / "phases.parquet", PHASES)
    assert [("warmup", "main"), ("measure", "calm"), ("measure", "spike"), ("drain", "main")] == list(
        zip(phases["phase"], phases["stage"], strict=True)
    )
    begins_s = (phases["start_ns"] - min(schedule["due_ns"])) / SECOND  # the first is due at once
    assert [True] * 4 == [late >= due for late, due in zip(begins_s, (0, 0.1, 0.3, 0.5), strict=True)]


SHARED = {"instrument.workers": 2, "load.warmup": "0.2 s"}


def recorded(run_dir: Path, made: Profile, url: str) -> tuple[Any, Any]:
    """Runs a trial and returns its requests and its phases."""
    Run(run_dir, made, url).record()
    records = run_dir / "records"
    return tables.read(records / "requests.parquet", REQUESTS), tables.read(
        records / "phases.parquet", PHASES
    )


def test_users_of_two_workers_are_together_as_many_as_of_one(run_dir: Path, server: Server) -> None:
    made = profile(server.url, **SHARED, **{"load.users": 5, "load.requests": None, "load.measure": "0.6 s"})
    requests, phases = recorded(run_dir, made, server.url)
    planned = build(made, load_prompts("short"), 1)
    assert [row.request_id for row in planned] == sorted(requests["request_id"])
    sent = requests[requests["dispatched_ns"].notna()]
    assert ({0, 1}, {"ok"}, len(server.chats)) == (set(sent["worker"]), set(sent["outcome"]), len(sent))
    edges = [(time_ns, 1) for time_ns in sent["dispatched_ns"]] + [(t, -1) for t in sent["done_ns"]]
    assert 5 == max(accumulate(step for _, step in sorted(edges)))
    assert ["warmup", "measure", "drain"] == list(phases["phase"])
    assert (phases["end_ns"] > phases["start_ns"]).all()


def test_arrivals_dealt_to_two_workers_all_come_when_they_are_due(run_dir: Path, server: Server) -> None:
    load = {"load.rate": 60, "load.arrivals": "constant", "load.requests": 30}
    made = profile(server.url, **SHARED, **load)
    requests, phases = recorded(run_dir, made, server.url)
    schedule = tables.read(run_dir / "records" / "schedule.parquet", SCHEDULE)
    requests = requests.sort_values("request_id", ignore_index=True)
    assert schedule["request_id"].tolist() == requests["request_id"].tolist()
    assert schedule["due_ns"].tolist() == requests["due_ns"].tolist()
    assert ([0, 1] * len(schedule))[: len(schedule)] == requests["worker"].tolist()
    assert {"ok"} == set(requests["outcome"])
    assert (requests["dispatched_ns"] >= requests["due_ns"]).all()
    assert 3 == len(phases)


def test_of_two_workers_a_killed_one_ends_the_trial_and_both_journals_are_read(
    run_dir: Path, server: Server
) -> None:
    def kill_one(run: Run) -> None:
        journals = [run.run_dir / "journal" / f"t1-w{worker}.journal" for worker in (0, 1)]
        wait_until(lambda: min(each.stat().st_size for each in journals) > 5000, "nothing was flushed")
        run.processes("worker")[1].kill()

    load = {"load.users": 4, "load.requests": None, "load.measure": "30 s", "limits.requests": 5000}
    run = Run(run_dir, profile(server.url, **SHARED, **load), server.url)
    with pytest.raises(IncompleteError, match=r"^worker: ended early \(status -9\); see log.txt$"):
        run.record(kill_one)
    assert [] == run.processes("worker", "sampler", "decoder")
    requests = tables.read(run_dir / "records" / "requests.parquet", REQUESTS)
    assert requests["request_id"].is_unique
    assert {0, 1} == set(requests[requests["outcome"] == "ok"]["worker"])
    assert {"ok", "unfinished"} >= set(requests["outcome"])  # what nobody sent is not called cancelled
    phases = tables.read(run_dir / "records" / "phases.parquet", PHASES).set_index("phase")
    assert phases.loc["measure", "start_ns"] > 0


def test_a_stop_reaches_all_workers(run_dir: Path, server: Server) -> None:
    def ask(run: Run) -> None:
        run.asked.signal = signal.SIGTERM

    load = {"load.users": 3, "load.requests": None, "load.measure": "30 s", "limits.requests": 5000}
    load |= {"instrument.workers": 3}
    run = Run(run_dir, profile(server.url, **load), server.url)
    with pytest.raises(Interrupted):
        run.record(ask)
    assert [] == run.processes("worker", "sampler", "decoder")
    requests = tables.read(run_dir / "records" / "requests.parquet", REQUESTS)
    assert (5000, True) == (len(requests), requests["request_id"].is_unique)


def test_rows_and_users_are_dealt_to_workers_in_the_same_shares() -> None:
    made = profile(**{"instrument.workers": 2, "load.users": 3, "load.requests": 30})
    planned = build(made, load_prompts("short"), 1)
    plans = [supervisor.worker_plan(made, "http://h", Path("run"), 1, planned, 0, each) for each in (0, 1)]
    assert [2, 1] == [plan["users"] for plan in plans]
    assert [20, 10] == [len(plan["rows"]) for plan in plans]
    assert list(range(30)) == sorted(row[0] for plan in plans for row in plan["rows"])
    assert ["run/journal/t1-w0.journal", "run/journal/t1-w1.journal"] == [plan["journal"] for plan in plans]
    assert [4, 4] == [plan["connections_kept"] for plan in plans]

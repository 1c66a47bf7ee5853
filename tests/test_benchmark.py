"""The benchmark's pure parts: statistics, targets, the page; and that its clients do what they should."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from benchmarks import figures, measure, peers, table, targets
from benchmarks.__main__ import order, rows_of
from benchmarks.clients import has_token
from benchmarks.experiments import CLIENTS, FULL, HXBENCH, QUICK, WORKER, takes_part
from benchmarks.figures import Spread, ratio, spread
from benchmarks.opponents import cores, nginx
from hxbench.errors import IncompleteError
from hxbench.judge import calibration as judged
from hxbench.judge.calibration import Truth
from hxbench.record.calibration import Experiment, logged

SECOND, MS = 10**9, 10**6
VLLM = targets.VLLM


def row(client: str, experiment: str, **found: Any) -> dict[str, Any]:
    return {"client": client, "experiment": experiment, "load1": 0.5, **found}


def tokens(client: str, per_s: float, cpu_s: float = 2.0) -> dict[str, Any]:
    """A row of half a million streamed tokens."""
    return row(client, "streamed tokens", tokens_per_s=per_s, tokens=500_000, cpu_s=cpu_s, peak_bytes=40e6)


def results(*rows: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    machine = {"system": "Linux", "kernel": "6.1", "cpu_model": "a CPU", "cores": 2, "python": "3.11"}
    made = {"date": "2026-01-02 03:04 UTC", "machine": machine, "versions": {"httpx": "1.0"}}
    return {**made, "repetitions": 3, "pinned": True, "skipped": [], "rows": list(rows), **more}


def test_a_figure_is_the_median_of_the_repetitions_with_its_extremes() -> None:
    rows = [tokens("a", value) for value in (30, 10, 20)] + [tokens("b", 99)]
    assert Spread(20, 10, 30) == spread(rows, figures.TOKENS, "a")


def test_what_a_notebook_costs_stands_beside_the_stock_tools() -> None:
    rows = [
        row(HXBENCH, "notebook", seconds=6.0, bytes=147_000),
        row(HXBENCH, "page", seconds=2.0, bytes=780_000),
        row("papermill, stock", "notebook", seconds=3.0, bytes=147_000),
        row("nbconvert, stock", "page", seconds=4.0, bytes=390_000),
    ]  # fmt: skip
    page = table.render(results(*rows))
    assert "| hxbench | 6 | 147 | 2 | 780 |" in page
    assert "| papermill, stock | 3 × 0.5 | 147 | – | – |" in page
    assert "| nbconvert, stock | – | – | 4 × 2 | 390 × 0.5 |" in page


def test_a_client_without_rows_or_without_the_value_has_no_figure() -> None:
    rows = [row("a", "64 streams", ttft_p99_s=None)]
    assert None is spread(rows, figures.TTFT[64], "a")
    assert None is spread(rows, figures.TTFT[64], "b")


def test_processor_time_is_told_for_a_million_tokens() -> None:
    assert Spread(4.0, 4.0, 4.0) == spread([tokens("a", 1)], figures.CPU, "a")
    assert None is figures.CPU.value(row("a", "streamed tokens", tokens=0, cpu_s=1.0))


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [(Spread(3, 1, 9), Spread(2, 1, 9), 1.5), (None, Spread(2, 1, 9), None), (Spread(3, 1, 9), None, None),
     (Spread(3, 1, 9), Spread(0, 0, 0), None)],
)  # fmt: skip
def test_a_ratio_is_that_of_the_medians(mine: Any, other: Any, expected: float | None) -> None:
    assert expected == ratio(mine, other)


def reached(name: str, *rows: Mapping[str, Any]) -> targets.Reached:
    (found,) = [each for each in targets.reached(rows) if each.target.what.startswith(name)]
    return found


@pytest.mark.parametrize(("per_s", "met"), [(150.0, True), (149.0, False)])
def test_a_target_against_another_client_is_a_ratio(per_s: float, met: bool) -> None:
    found = reached("streamed tokens/s", tokens(HXBENCH, per_s), tokens(VLLM, 100))
    assert (per_s / 100, met) == (found.value, found.met)


@pytest.mark.parametrize(("error_s", "met"), [(0.0002, True), (0.00021, False)])
def test_a_target_of_an_error_is_a_most(error_s: float, met: bool) -> None:
    found = reached("ttft error p99 at 64", row(HXBENCH, "64 streams", ttft_p99_s=error_s))
    assert (pytest.approx(error_s * 1e3), met) == (found.value, found.met)


def test_a_target_without_its_other_client_is_not_measured() -> None:
    found = reached("streamed tokens/s", tokens(HXBENCH, 150))
    assert (None, None) == (found.value, found.met)


def test_the_limit_of_the_worker_is_its_own_row() -> None:
    rows = [tokens(WORKER, 1, cpu_s=1.0), tokens(HXBENCH, 1, cpu_s=4.0), tokens(VLLM, 1, cpu_s=2.0)]
    assert [0.5, 2.0] == [
        reached(name, *rows).value for name in ("CPU a token, load", "CPU a token, worker and")
    ]


def test_what_limits_is_told_where_a_target_is_missed() -> None:
    slow = tokens(HXBENCH, 100) | {"limited_by": "the server's core"}
    assert "the server's core" == reached("streamed tokens/s", slow, tokens(VLLM, 100)).limited_by
    start = [row(HXBENCH, "start", start_s=2.0), row(WORKER, "start", start_s=0.25)]
    assert "the load worker alone: 0.25" == reached("start", *start).limited_by
    late = row(HXBENCH, "constant arrivals", arrival_p99_s=1.0)
    assert "load average 0.5 to 0.5" == reached("constant arrivals", late).limited_by


def test_the_page_has_medians_spreads_and_ratios() -> None:
    rows = [tokens(HXBENCH, 1000), tokens(HXBENCH, 2000), tokens(HXBENCH, 3000), tokens("aiohttp", 500)]
    page = table.render(results(*rows, skipped=["tiny answers: no nginx"]))
    assert "| hxbench | – | 2 000 (1 000 to 3 000) | 4 | 40 |" in page
    assert "| aiohttp | – | 500 × 0.25 | 4 | 40 |" in page
    assert "2026-01-02 03:04 UTC; a CPU, 2 cores, Linux 6.1, Python 3.11; httpx 1.0." in page
    assert "Medians of interleaved repetitions (3), at a load average of 0.5 to 0.5; server" in page
    assert (
        "| streamed tokens/s, each stamped and kept | ≥ 1.5 × vLLM bench serve | – | not measured |  |"
        in page
    )
    assert page.endswith("Not measured: tiny answers: no nginx\n")


def test_a_missed_target_stands_out() -> None:
    page = table.render(results(row(HXBENCH, "start", start_s=2.0), row(WORKER, "start", start_s=0.25)))
    assert "| start to first request, s | ≤ 0.5 | 2 | **missed** | the load worker alone: 0.25 |" in page


def test_a_readme_quotes_the_medians_between_its_marks() -> None:
    begin, end = "<!-- benchmark: written by make benchmark -->", "<!-- end of benchmark -->"
    readme = table.quoted(f"before\n{begin}\nold\n{end}\nafter\n", results(tokens(HXBENCH, 1000)))
    assert readme.startswith(f"before\n{begin}\n|  | requests/s")
    assert "\n| hxbench | – | 1 000 | 4 | – |\n\nMedians of interleaved repetitions (3)" in readme
    assert readme.endswith(f", 2026-01-02 03:04 UTC, a CPU.\n{end}\nafter\n")


def test_the_committed_page_and_readme_are_those_of_the_committed_results(repository: Path) -> None:
    folder = repository / "benchmarks"
    stored = json.loads((folder / "results.json").read_text())
    assert table.render(stored) == (folder / "RESULTS.md").read_text()
    readme = (repository / "README.md").read_text()
    assert table.quoted(readme, stored) == readme
    assert f"| {HXBENCH} |" in readme


def test_repetitions_are_interleaved_and_begin_with_another_client_each() -> None:
    session = replace(FULL, experiments=FULL.experiments[:2])
    done = [(client, experiment.name) for client, experiment in order(session, list(CLIENTS))]
    assert 3 * 2 * len(CLIENTS) == len(done)
    assert ("streamed tokens", HXBENCH) == done[0][::-1]
    assert ("streamed tokens", WORKER) == done[2 * len(CLIENTS)][::-1]


STEPS = [("a", QUICK.experiments[0]), ("b", QUICK.experiments[0])]


def test_a_client_that_fails_is_named_and_the_others_go_on() -> None:
    def measuring(client: str, experiment: Experiment) -> dict[str, Any]:
        if client == "a":
            raise IncompleteError("a: ended with status 1")
        return {"client": client}

    skipped: list[str] = []
    assert [{"client": "b"}] == rows_of(iter(STEPS), measuring, skipped)
    assert ["streamed tokens: a: ended with status 1"] == skipped


def test_an_interrupt_keeps_what_was_measured() -> None:
    def measuring(client: str, experiment: Experiment) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return {"client": client}

    skipped: list[str] = []
    assert [{"client": "a"}] == rows_of(iter(STEPS), measuring, skipped)
    assert ["streamed tokens and what follows: interrupted"] == skipped


def test_a_session_without_a_row_says_why() -> None:
    with pytest.raises(IncompleteError, match="nothing could be measured: no nginx"):
        rows_of(iter([]), lambda *_: {}, ["no nginx"])


def test_every_client_takes_part_where_it_has_something_to_say() -> None:
    taking = {
        client: {each.name for each in FULL.experiments if takes_part(client, each)} for client in CLIENTS
    }
    assert {each.name for each in FULL.experiments} == taking[HXBENCH] == taking["aiohttp"]
    assert {"streamed tokens", "tiny answers", "start"} == taking[WORKER]
    assert not {"start", "poisson arrivals"} & taking["httpx, a client a user"]
    (poisson,) = [each for each in FULL.experiments if each.name == "poisson arrivals"]
    assert not takes_part("GuideLLM", poisson)


def test_every_figure_has_its_experiment() -> None:
    named = {each.name for each in FULL.experiments}
    shown = [figures.TINY, figures.TOKENS, *figures.TTFT.values(), *figures.ITL.values()]
    assert {each.experiment for each in (*shown, *figures.ARRIVALS.values(), figures.START)} <= named
    assert {each.name for each in QUICK.experiments} <= named


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('data: {"choices": [{"delta": {"content": "a"}}]}', True),
        ('data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}', False),
        ('data: {"choices": [], "usage": {}}', False),
        ("data: [DONE]", False),
        ("", False),
    ],
)
def test_a_plain_client_counts_only_text_as_a_token(line: str, expected: bool) -> None:
    assert expected == has_token(line)


USERS = {"users": 3, "warmup": "0 s", "measure": "0.3 s"}  # each asks at least once, however slow all is
RATE = {"rate": 50, "arrivals": "constant", "warmup": "0 s", "measure": "0.2 s"}


@pytest.mark.parametrize(
    ("client", "load"),
    [("httpx, one client", USERS), ("httpx, one client", RATE), ("httpx, a client a user", USERS)],
)
def test_a_plain_client_is_measured_against_the_same_truth(client: str, load: Any) -> None:
    experiment = Experiment("few", "streams", load, {"ttft": 0.02, "itl": 0.005}, 4)
    found = measure.one(client, experiment, cores(), None)
    assert (0, 4 * found["requests"]) == (found["failed"], found["tokens"])
    assert 3 <= found["ttft_n"]
    assert found["itl_n"] == 3 * found["ttft_n"]
    assert found["arrival_n"] == (found["ttft_n"] if "rate" in load else 0)
    assert 0 < found["cpu_s"]


def test_a_worker_of_hxbench_is_measured_with_its_decoder_and_without() -> None:
    experiment = Experiment("few", "streams", USERS, {"ttft": 0.02, "itl": 0.005}, 4)
    both, alone = (measure.one(client, experiment, cores(), None) for client in (HXBENCH, WORKER))
    for found in (both, alone):
        assert 3 <= found["ttft_n"]
        assert 4 * 3 <= found["tokens"]
        assert 0 == found["failed"]
    assert alone["worker_cpu_s"] == alone["cpu_s"]
    assert both["worker_cpu_s"] < both["cpu_s"]
    assert alone["peak_bytes"] < both["peak_bytes"]


def test_nginx_answers_with_a_stream_of_one_token(unavailable: Callable[[str], NoReturn]) -> None:
    if (program := nginx()) is None:
        unavailable("no nginx: make services")
    experiment = Experiment("few", "requests", USERS, tokens=1, most_requests=500)
    found = measure.one(WORKER, experiment, cores(), program)
    assert (0, found["tokens"]) == (found["failed"], found["requests"])
    assert 3 <= found["tokens"]


def test_what_a_plain_client_recorded_is_read_as_frames() -> None:
    sent = {"phase": "measure", "due_ns": None, "dispatched_ns": 5, "done_ns": 50}
    request = {"tokens": [], "outcome": "ok", **sent}
    found = measure.seen_by_plain(
        {
            "requests": [request | {"request_id": "a", "tokens": [10, 30]}, request | {"request_id": "b"}],
            "window_ns": [0, SECOND],
            "cpu_s": 1.0,
            "peak_bytes": 7,
        }
    )
    assert [("a", 0, 10, 1), ("a", 1, 30, 1)] == list(found.client.reads.itertuples(index=False, name=None))
    assert {"requests_per_s": 2.0, "tokens_per_s": 2.0} == judged.rates(found.client)


def truth() -> Truth:
    """Two requests, 50 ms to the first of two tokens, 10 and 12 ms between them."""
    arrivals = pd.DataFrame({"number": [1, 2], "request_id": ["a", "b"], "arrived_ns": [0, 5 * MS]})
    departures = pd.DataFrame(
        {
            "number": [1, 1, 1, 2, 2],
            "tokens": [0, 1, 1, 1, 1],
            "before_ns": [0, 50 * MS, 60 * MS, 56 * MS, 68 * MS],
        }
    )
    return Truth(arrivals, departures)


def test_the_true_quantiles_are_those_of_the_servers_log() -> None:
    assert {"ttft_p99_s": pytest.approx(0.051), "itl_p99_s": pytest.approx(0.012)} == peers.true_p99s(truth())


def test_arrivals_are_late_against_an_even_rate() -> None:
    offsets = np.array([0, 10, 20, 35]) * MS
    assert pytest.approx(0.005) == peers.lateness(offsets, 100)


def test_a_peers_report_is_read_in_seconds() -> None:
    said = {"request_throughput": 5, "output_throughput": 50, "p99_ttft_ms": 60, "p99_itl_ms": 12}
    assert {"requests_per_s": 5, "tokens_per_s": 50, "ttft_p99_s": 0.06, "itl_p99_s": 0.012} == (
        peers.PEERS[0].reported(said)
    )
    ours = {"successful": {"mean": 5}}
    ttft = {"successful": {"percentiles": {"p99": 60}}}
    metrics = {"requests_per_second": ours, "output_tokens_per_second": ours, "time_to_first_token_ms": ttft}
    assert {"requests_per_s": 5, "tokens_per_s": 5, "ttft_p99_s": 0.06} == (
        peers.PEERS[1].reported({"benchmarks": [{"metrics": metrics}]})
    )


@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.package)
@pytest.mark.parametrize(("users", "rate"), [(16, None), (None, 500.0)])
def test_a_peer_is_asked_for_the_same_load(peer: peers.Peer, users: int | None, rate: float | None) -> None:
    asked = peers.Asked("http://here", 80, 64, users, rate, Path("words"), Path("out") / "report.json")
    command = " ".join(peer.command(asked))
    assert command.startswith(peer.package)
    assert "http://here" in command
    assert str(rate or users) in command
    assert "report.json" in command


def test_a_peers_own_test_request_is_no_arrival_of_the_load(tmp_path: Path) -> None:
    arrivals = pd.DataFrame({"arrived_ns": [0, *(SECOND + number * 10 * MS for number in range(3))]})
    asked = peers.Asked("", 3, 1, None, 100.0, tmp_path, tmp_path)
    found = peers.against(truth()._replace(arrivals=arrivals), {}, asked, "arrivals", 0)
    assert {"arrival_p99_s": pytest.approx(0.0)} == found


def test_a_log_without_an_entry_has_frames_without_rows(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert {} == peers.true_p99s(logged(tmp_path / "empty"))

"""`hxbench export`: what a real Prometheus, a real Pushgateway and promtool make of a run."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from records_by_hand import changed
from runs_by_hand import good, store

import hxbench as hx
from hxbench import cli
from hxbench.errors import TargetError
from hxbench.record import preflight, pushgateway
from tests.prometheus import StartedPrometheus
from tests.prometheus import program as prometheus_program
from tests.pushgateway import StartedPushgateway, program
from tests.servers import Server

MODEL = 'llm/"1" ü'
GROUP = {"job": "hxbench", "instance": "embedded", "model": MODEL, "profile": "smollm2-135m"}
FROM_A_SCRAPE = {"job", "instance", "exported_job", "exported_instance", "__name__"}
OPERATION = "gen_ai_client_operation_duration_seconds"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 measured requests, one of which failed; it ended a minute ago."""
    target = {"server": "embedded", "model": MODEL}
    records = good(failed={3}, profile={"target": target, "checks": ()})
    clock = records.clock["realtime_ns"]
    ended_ns = time.time_ns() - 60_000_000_000
    recent = changed(records, "clock", realtime_ns=clock - clock.max() + ended_ns)
    return store(recent, tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return hx.open(run).openmetrics()


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, unavailable: Callable[[str], NoReturn]
) -> Iterator[StartedPushgateway]:
    path = program(repository) or unavailable("no prometheus-pushgateway: make services")
    started = StartedPushgateway(path, tmp_path_factory.mktemp("pushgateway"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def exposed(run: Path) -> Iterator[str]:
    """The address at which the command itself serves the run, which Ctrl-C ends well."""
    command = [sys.executable, "-m", "hxbench.cli", "export", str(run), "--expose", ":0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.fullmatch(r"(http://127\.0\.0\.1:[0-9]+/metrics)  \(Ctrl-C ends it\)\n", said)
    try:
        assert found is not None, said
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert (0, "") == (process.wait(60), process.stdout.read())
        process.stdout.close()


@pytest.fixture(scope="module")
def scraped(
    run: Path, gateway: StartedPushgateway, exposed: str, prometheus: StartedPrometheus
) -> StartedPrometheus:
    """A Prometheus that scrapes the run from where it was pushed and from where it is served."""
    assert 0 == cli.run_command(["export", str(run), "--push", gateway.url])
    served = exposed.removeprefix("http://").removesuffix("/metrics")
    prometheus.scrape({"pushed": gateway.url.removeprefix("http://"), "exposed": served})
    return prometheus


def expected(text: str, **more: str) -> Series:
    """Every sample of a text; `more` are labels that all of them get."""
    samples = (each for family in text_string_to_metric_families(text) for each in family.samples)
    return {(each.name, _labels(each.labels | more)): each.value for each in samples}


def _labels(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    """The labels, bounds as numbers: each program writes those as it likes."""
    return frozenset((name, str(float(value)) if name == "le" else value) for name, value in labels.items())


def known_to(prometheus: StartedPrometheus, selector: str, **more: float) -> Series:
    asked = {"query": selector, **more}
    answer = httpx.get(f"{prometheus.url}/api/v1/query", params=asked).raise_for_status()
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return {
        (
            each["metric"]["__name__"],
            _labels({k: v for k, v in each["metric"].items() if k not in FROM_A_SCRAPE}),
        ): float(each["value"][1])
        for each in found
    }


def test_every_number_that_was_pushed_comes_back_from_prometheus(
    scraped: StartedPrometheus, text: str
) -> None:
    query = '{job="pushed",exported_job="hxbench",exported_instance="embedded",__name__!~"push_.*"}'
    group = {name: GROUP[name] for name in ("model", "profile")}
    assert expected(text, **group) == known_to(scraped, query)


def test_every_number_that_is_served_comes_back_from_prometheus(
    scraped: StartedPrometheus, text: str
) -> None:
    assert expected(text) == known_to(scraped, '{job="exposed",__name__!~"up|scrape_.*"}')


def test_prometheus_answers_from_the_histograms_what_the_run_measured(
    scraped: StartedPrometheus, run: Path
) -> None:
    frame = hx.open(run).frames.ttft()
    bucket = 'gen_ai_server_time_to_first_token_seconds_bucket{job="exposed"}'
    assert 0.25 == scraped.value(f"histogram_quantile(1, sum by (le) ({bucket}))")
    assert frame["ttft_s"].max() <= 0.25
    rate = f'sum({OPERATION}_count{{job="exposed",error_type!=""}}) / sum({OPERATION}_count{{job="exposed"}})'
    assert pytest.approx(1 / 120) == scraped.value(rate)


def test_a_push_takes_the_place_of_all_that_the_group_held_and_of_no_other(
    gateway: StartedPushgateway,
) -> None:
    tls = preflight.trusted(gateway.url, None, "--ca-file")
    for model, text in (("a", "one 1\n"), ("b/ü", "other 1\n"), ("a", "two 2\n")):
        pushgateway.push(gateway.url, {"job": "replaced", "model": model}, text, tls)
    kept = [line for line in gateway.kept().split("\n") if 'job="replaced"' in line]
    kept = [line for line in kept if not line.startswith("push_")]
    assert [
        'other{instance="",job="replaced",model="b/ü"} 1', 'two{instance="",job="replaced",model="a"} 2'
    ] == sorted(kept)  # fmt: skip


def test_a_gateway_that_refuses_says_why(gateway: StartedPushgateway) -> None:
    tls = preflight.trusted(gateway.url, None, "--ca-file")
    with pytest.raises(TargetError, match="HTTP 400: text format parsing error in line 1"):
        pushgateway.push(gateway.url, {"job": "refused"}, "no metric\n", tls)


def test_what_was_pushed_is_said(
    run: Path, gateway: StartedPushgateway, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cli.run_command(["export", str(run), "--push", f"{gateway.url}/"])
    said = ", ".join(f"{name}={value}" for name, value in GROUP.items())
    assert f"{gateway.url}: pushed as {said}\n" == capfd.readouterr().out


def test_promtool_backfills_a_run_which_prometheus_then_has_at_its_time(
    run: Path, text: str, tmp_path: Path, repository: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    unpacked = repository / ".services" / "prometheus" / "usr" / "bin"
    promtool = shutil.which("promtool", path=unpacked) or shutil.which("promtool")
    path = prometheus_program(repository)
    if promtool is None or path is None:
        unavailable("no prometheus with its promtool: make services")
    file = tmp_path / "run.om"
    assert 0 == cli.run_command(["export", str(run), "--timestamps", "--out", str(file)])
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(tmp_path / "data")]
    subprocess.run(command, check=True, capture_output=True)
    started = StartedPrometheus(path, tmp_path, {})
    try:
        ended_s = hx.open(run).records.clock["realtime_ns"].max() / 1e9
        assert expected(text) == known_to(started, '{__name__!=""}', time=ended_s)
        assert {} == known_to(started, '{__name__!=""}', time=ended_s - 1)
    finally:
        started.stop()


def test_on_stdout_there_is_the_text_and_nothing_else(
    run: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cli.run_command(["export", str(run)])
    assert (text, "") == capfd.readouterr()
    assert text.endswith("\n# EOF\n")


def test_a_file_is_written_whole_and_named(
    run: Path, text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.om"
    assert 0 == cli.run_command(["export", str(run), "--out", str(path)])
    assert (f"{path}\n", "") == capfd.readouterr()
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["."], ".: not a run: it has no folder records/; runs are folders below outputs/"),
        (["no", "--out", "x", "--push", "http://h"], "export: --push has no place beside --out; give one"),
        (["no", "--expose", ":0", "--push", "http://h"], "export: --expose has no place beside --push; give"),
        (["no", "--token-env", "X"], "export: --token-env: only with --push"),
        (["no", "--expose", ":0", "--ca-file", "X"], "export: --ca-file: only with --push"),
        (
            ["no", "--timestamps", "--push", "http://h"],
            "export: --timestamps: not with --push: a scrape is of the present",
        ),
        (["no", "--timestamps", "--expose", ":0"], "export: --timestamps: not with --expose: a scrape is"),
        (
            ["no", "--push", "gateway:9091"],
            "--push: expected an address such as http://127.0.0.1:9091, without user or query, "
            'got "gateway:9091"',
        ),
        (["no", "--push", "http://h/a b"], "--push: expected an address such as http://127.0.0.1:9091"),
        (["no", "--push", "http://h/ü"], "--push: expected an address such as http://127.0.0.1:9091"),
        (["no", "--push", "http://h", "--token-env", "UNSET"], "--token-env: the variable UNSET is not set"),
        (["no", "--push", "http://h", "--ca-file", "x"], "--ca-file: x: cannot be used: No such file or"),
        (["no", "--expose", "here"], "--expose: expected HOST:PORT such as 127.0.0.1:9105"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_nothing_is_sent(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 2 == cli.run_command(["export", *arguments])
    out, err = capfd.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert err.startswith(f"hxbench: {said}")


def test_a_token_in_place_of_its_variable_is_refused_and_not_repeated(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert 2 == cli.run_command(["export", "no", "--push", "http://h", "--token-env", "s3cret/t"])
    wanted = "--token-env: expected the name of an environment variable, never a token itself"
    assert f"hxbench: {wanted}\n" == capfd.readouterr().err


def test_the_token_comes_from_its_variable(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("A_TOKEN", "s3cret")
    with Server() as server:  # which answers 404
        assert 2 == cli.run_command(["export", str(run), "--push", server.url, "--token-env", "A_TOKEN"])
        assert ["Bearer s3cret"] == [each.headers["authorization"] for each in server.requests]
    assert "s3cret" not in "".join(capfd.readouterr())


def test_a_folder_that_cannot_be_written_is_wrong_input(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no" / "run.om"
    assert 2 == cli.run_command(["export", str(run), "--out", str(path)])
    assert f"hxbench: {path}: cannot be written: No such file or directory\n" == capfd.readouterr().err


def test_records_that_cannot_be_read_are_said_to_be_so(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "run"
    shutil.copytree(run, damaged)
    (damaged / "records" / "requests.parquet").write_bytes(b"no")
    assert 4 == cli.run_command(["export", str(damaged)])
    assert "records/requests.parquet: not readable as Parquet" in capfd.readouterr().err

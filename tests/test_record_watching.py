"""Asking Prometheus around a load: a scrape before it and after it, and whatever goes wrong is noted."""

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pandas as pd
import pytest

import hxbench as hx
from hxbench.errors import TargetError
from hxbench.plan.layers import resolve
from hxbench.plan.prometheus import Prometheus
from hxbench.record import sampler, watching
from hxbench.records import tables
from hxbench.records.schemas import SERIES
from tests.prometheus import StartedPrometheus
from tests.servers import Behaviour, Request, Server, plain

GAUGES = {
    "citadel_llm_model_accuracy": 0.95,
    "citadel_llm_user_satisfaction": 9.0,
    "citadel_llm_business_value": 150.0,
    "citadel_llm_cost_per_request": 0.0025,
}


def exposed(counted: list[int]) -> bytes:
    lines = [f'{name}{{model="m"}} {value}' for name, value in GAUGES.items()]
    lines.append(f'test_requests_total{{service="llm",status="200"}} {counted[0]}')
    lines += ["broken_gauge NaN", 'two{n="1"} 1', 'two{n="2"} 2']
    return plain(200, "\n".join(lines) + "\n", "text/plain; version=0.0.4")


@pytest.fixture(scope="module")
def counted() -> list[int]:
    return [5]


@pytest.fixture(scope="module")
def service(counted: list[int]) -> Iterator[Server]:
    with Server(Behaviour(metrics=lambda _: [exposed(counted)])) as server:
        yield server


@pytest.fixture
def llm(prometheus: StartedPrometheus, service: Server) -> Server:
    """A service with metrics, known to Prometheus as the job `llm`."""
    prometheus.scrape({"llm": f"127.0.0.1:{service.port}"})
    return service


def section(url: str, **more: Any) -> Prometheus:
    given = {"url": url, "every": "1 s", "coverage": ("llm",)} | more
    return Prometheus.model_validate(given)


def asked(
    folder: Path, of: Prometheus, token: str | None = None, load: Any = lambda: None
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Asks around a load, and returns what was noted and the rows of the series."""
    for name in ("journal", "records"):
        (folder / name).mkdir()
    watch = watching.Watch(of, token, 1, folder, lambda: None)
    watch.begin()
    load()
    noted = watch.end()
    watch.close()
    sampler.finish(folder)
    return noted, tables.read(folder / "records" / "series.parquet", SERIES)


def queries(**texts: str) -> dict[str, Mapping[str, str]]:
    return {name: {"query": text} for name, text in texts.items()}


def test_business_metrics_come_back_as_they_were_set(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server
) -> None:
    wanted = queries(**{name: f'{name}{{model="m"}}' for name in GAUGES})
    noted, rows = asked(tmp_path, section(prometheus.url, queries=wanted))
    assert [None] * 5 == [each["error"] for each in noted]
    for name, value in GAUGES.items():
        assert {value} == set(rows.loc[rows["name"] == name, "value"])


def test_a_prometheus_that_keeps_values_for_five_minutes_is_noted(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server
) -> None:
    """It does unless it takes lookback_delta, which came after 2.42."""
    noted, _ = asked(tmp_path, section(prometheus.url, queries=queries(one='two{job="llm", n="1"}')))
    at = {"query": 'up{job="llm"}', "time": str(time.time() + 100), "lookback_delta": "2"}
    found = httpx.get(f"{prometheus.url}/api/v1/query", params=at).json()["data"]["result"]
    assert [False, bool(found)] == [each["may_be_old"] for each in noted]


def test_a_counter_is_known_from_before_the_load_to_after_it(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server, counted: list[int]
) -> None:
    def load() -> None:
        counted[0] += 7

    counter = {"requests": {"query": 'test_requests_total{status="200"}', "statistic": "increase"}}
    noted, rows = asked(tmp_path, section(prometheus.url, queries=counter), load=load)
    [mine] = [each for each in noted if each["name"] == "requests"]
    values = rows[rows["name"] == "requests"].set_index("time_ns")["value"]
    assert 7 == values[mine["end_ns"]] - values[mine["begin_ns"]]
    assert mine["samples"] == len(values)


def test_scrapes_are_stored_as_they_were_on_this_machines_clock(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server
) -> None:
    begin = time.monotonic_ns()
    _, rows = asked(tmp_path, section(prometheus.url), load=lambda: time.sleep(2.5))
    stamps = rows["time_ns"].tolist()
    assert 3 <= len(stamps)
    assert begin - 10**9 < min(stamps) < max(stamps) < time.monotonic_ns() + 10**9
    assert "llm" == json.loads(rows["labels"].iloc[0])["job"]
    assert {1.0} == set(rows["value"])


def test_a_service_that_goes_down_meanwhile_is_seen_down(
    tmp_path: Path, prometheus: StartedPrometheus
) -> None:
    alive = [True]
    with Server(Behaviour(metrics=lambda _: [exposed([5]) if alive else plain(500, "")])) as other:
        prometheus.scrape({"other": f"127.0.0.1:{other.port}"})

        def load() -> None:
            time.sleep(1.5)
            alive.clear()
            time.sleep(2.5)

        watched = section(prometheus.url, coverage=("other",), queries=queries(two='sum(two{job="other"})'))
        noted, rows = asked(tmp_path, watched, load=load)
    up = rows[rows["name"] == "coverage"].sort_values("time_ns")["value"].tolist()
    assert (1.0, 0.0) == (up[0], up[-1])
    two = rows.loc[rows["name"] == "two", "time_ns"]
    assert two.max() < noted[1]["end_ns"]  # gone at once: no value of it is kept for the five minutes


def test_not_a_number_is_counted_and_absent_and_several_series_are_counted(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server
) -> None:
    wanted = queries(nan='broken_gauge{job="llm"}', two='two{job="llm"}')
    noted, rows = asked(tmp_path, section(prometheus.url, queries=wanted))
    nan, two = noted[1:]
    assert (1, 0) == (nan["series"], nan["samples"])
    assert nan["not_numbers"] > 0
    assert 2 == two["series"]
    assert [] == rows.loc[rows["name"] == "nan", "value"].tolist()


def test_a_wrong_query_is_noted_and_the_others_are_answered(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server
) -> None:
    noted, _ = asked(tmp_path, section(prometheus.url, queries=queries(wrong="sum(", right="vector(1)")))
    assert [None, None] == [each["error"] for each in noted if each["name"] != "wrong"]
    assert "parse error" in noted[1]["error"]


def test_a_job_that_is_never_scraped_is_noted_after_a_while(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "FIRST_SCRAPE_S", 0.0)
    noted, rows = asked(tmp_path, section(prometheus.url, coverage=("nobody",)))
    said = re.fullmatch(
        f"{prometheus.url}: no scrape of the job nobody within 2 s; it scrapes (.+); correct "
        "prometheus.coverage, or prometheus.every, how often it does",
        noted[0]["error"],
    )
    assert said is not None
    assert "llm" in said[1].split(", ")
    assert rows.empty


def test_queries_without_a_number_are_named_before_the_load(
    tmp_path: Path, prometheus: StartedPrometheus, llm: Server
) -> None:
    given = queries(right="vector(1)", gone="no_such_metric", nan="vector(NaN)", wrong="sum(")
    (tmp_path / "journal").mkdir()
    watch = watching.Watch(section(prometheus.url, queries=given), None, 1, tmp_path, lambda: None)
    watch.begin()
    gone, nan, wrong = watch.without_data()
    watch.close()
    assert "prometheus.queries.gone: there is no number of no_such_metric yet" == gone
    assert "prometheus.queries.nan: there is no number of vector(NaN) yet" == nan
    assert wrong.startswith(f"prometheus.queries.wrong: {prometheus.url}: HTTP 400: bad_data: ")
    assert wrong.endswith("; correct the query")


class Elsewhere(Server):
    """A Prometheus whose clock is not this machine's; it scrapes the job `llm` each second."""

    def __init__(self, ahead_s: float = 0.0, series: int = 1) -> None:
        super().__init__()
        self._ahead_s, self._series = ahead_s, series

    def _script(self, request: Request) -> Any:
        asked = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        return lambda _: [plain(200, json.dumps({"status": "success", "data": self._data(asked)}))]

    def _data(self, asked: Mapping[str, str]) -> dict[str, Any]:
        now, query = time.time() + self._ahead_s, asked["query"]
        at = float(asked.get("time", now))
        if query == "time()":
            return {"resultType": "scalar", "result": [now, str(now)]}
        if query.startswith("min(timestamp("):
            return self._vector(1, now, now)
        if found := re.fullmatch(r"up{.*}\[(\d+)s\]", query):
            values = [[at - back, "1"] for back in reversed(range(int(found[1])))]
            return {"resultType": "matrix", "result": [{"metric": {"job": "llm"}, "values": values}]}
        if "start" in asked:
            return {"resultType": "matrix", "result": []}
        return self._vector(0 if query.startswith("up{") else self._series, at, 7)

    def _vector(self, series: int, at: float, value: float) -> dict[str, Any]:
        each = [{"metric": {"n": str(n)}, "value": [at, str(value)]} for n in range(series)]
        return {"resultType": "vector", "result": each}


@pytest.mark.parametrize("ahead_s", [-600.0, 600.0])
def test_a_prometheus_whose_clock_is_minutes_off_is_stamped_by_this_machines(
    tmp_path: Path, ahead_s: float
) -> None:
    begin = time.monotonic_ns()
    with Elsewhere(ahead_s) as elsewhere:
        noted, rows = asked(tmp_path, section(elsewhere.url, queries=queries(a="a")))
    mine = rows.loc[rows["name"] == "a", "time_ns"]
    assert [None, None] == [each["error"] for each in noted]
    assert [noted[1]["begin_ns"], noted[1]["end_ns"]] == mine.tolist()
    assert begin - 10**9 < mine.min() <= mine.max() < time.monotonic_ns() + 10**9


@pytest.mark.parametrize(("series", "samples"), [(20, 40), (21, 0)])
def test_a_query_of_more_than_20_series_is_not_kept(tmp_path: Path, series: int, samples: int) -> None:
    with Elsewhere(series=series) as elsewhere:
        noted, rows = asked(tmp_path, section(elsewhere.url, queries=queries(a="a")))
    assert samples == noted[1]["samples"] == (rows["name"] == "a").sum()
    refused = "a gives 21 series, more than 20; aggregate them, such as with sum()"
    assert (None if samples else refused) == noted[1]["error"]


def test_a_prometheus_that_ends_during_the_load_is_noted_with_each_query(tmp_path: Path) -> None:
    with Elsewhere() as elsewhere:
        given = section(elsewhere.url, queries=queries(a="a"))
        noted, rows = asked(tmp_path, given, load=lambda: elsewhere.__exit__())
    why = f"{elsewhere.url}: Connection refused; start Prometheus, or correct prometheus.url"
    assert {why} == {each["error"] for each in noted}
    assert rows.empty


def test_a_token_stands_in_nothing_that_is_stored(tmp_path: Path) -> None:
    def echo(request: Request) -> list[bytes]:
        return [plain(401, f"refused: {request.headers['authorization']}", "text/plain")]

    class Echo(Server):
        def _script(self, request: Request) -> Any:
            return echo

    with Echo() as server:
        noted, _ = asked(tmp_path, section(server.url), token="a-secret-token")
    assert "a-secret-token" not in json.dumps(noted)
    assert "[redacted]" in noted[0]["error"]


def run_with(url: str, target: str, folder: Path, **more: Any) -> hx.Run:
    watched = {"url": url, "every": "1 s", "coverage": ["llm"], **more}
    given = {"name": "x", "target": {"server": target, "model": "m"}, "prometheus": watched}
    given |= {"load": {"users": 1, "warmup": "0 s", "requests": 3}}
    resolved = resolve(None, overrides={key: (value, "a test") for key, value in given.items()})
    return hx.run(resolved, folder / "run")


def test_a_run_goes_on_without_a_prometheus_and_says_why_it_decides_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    waiting = {"waiting": {"query": "sum(waiting)", "at_most": 1}}
    with Server() as target:
        run = run_with(url, target.url, tmp_path, queries=waiting)
    assert 3 == len(run.requests)
    found = {each["id"]: (each["verdict"], each["reason"]) for each in run.certificate["verdicts"]}
    why = f"{url}: Connection refused; start Prometheus, or correct prometheus.url"
    assert {
        "prometheus.coverage.share": ("INCONCLUSIVE", why),
        "prometheus.waiting.max": ("INCONCLUSIVE", why),
    } == found


def test_prometheus_is_asked_before_the_load_and_after_it_never_meanwhile(tmp_path: Path) -> None:
    moments: list[float] = []

    class Clock(Server):
        def _script(self, request: Request) -> Any:
            moments.append(time.monotonic_ns())
            now = {"resultType": "scalar", "result": [time.time(), str(time.time())]}
            return lambda _: [plain(200, json.dumps({"status": "success", "data": now}))]

    with Server() as target, Clock() as clock:
        run = run_with(clock.url, target.url, tmp_path)
    sent, done = run.requests["dispatched_ns"].min(), run.requests["done_ns"].max()
    assert [] == [moment for moment in moments if sent < moment < done]
    assert any(moment < sent for moment in moments)
    assert any(moment > done for moment in moments)


def test_the_variable_of_a_token_has_to_be_set(tmp_path: Path) -> None:
    with Server() as target, pytest.raises(TargetError) as caught:
        run_with("http://127.0.0.1:1", target.url, tmp_path, token_env="NO_SUCH_TOKEN")
    assert "prometheus: the variable NO_SUCH_TOKEN is not set; export it and try again" == str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_file_of_who_signs_has_to_be_there(tmp_path: Path) -> None:
    with Server() as target, pytest.raises(TargetError) as caught:
        run_with("https://127.0.0.1:1", target.url, tmp_path, ca_file="/no/such.pem")
    assert "prometheus.ca_file: /no/such.pem: cannot be used: No such file or directory" == str(caught.value)

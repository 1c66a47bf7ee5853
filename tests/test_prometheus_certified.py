"""The embedded server, scraped by a real Prometheus, measured as any server elsewhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import hxbench as hx
from hxbench.plan.layers import resolve
from hxbench.servers.started import StartedServer
from hxbench.workbench import Run
from tests.prometheus import StartedPrometheus

PROFILE = {
    "name": "watched",
    "target": {"model": "smollm2-135m", "extra_body": {"ignore_eos": True}},
    "workload.output_tokens": 8,
    "load": {"users": 1, "warmup": "2 s", "measure": "6 s"},
}
QUERIES = {
    "output_tokens": {
        "query": "sum(llamacpp:tokens_predicted_total)", "statistic": "increase", "at_least": 1,
    },
    "prompt_tokens": {"query": "sum(llamacpp:prompt_tokens_total)", "statistic": "increase", "at_least": 1},
    "waiting": {"query": "sum(llamacpp:requests_deferred)", "at_most": 0},
    "nothing": {"query": "sum(no_such_metric)", "at_most": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def watched(
    embedded: StartedServer, prometheus: StartedPrometheus, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    prometheus.scrape({"llm": embedded.url.removeprefix("http://")})
    section = {"url": prometheus.url, "every": "1 s", "coverage": ["llm"], "queries": QUERIES}
    given = PROFILE | {"target.server": embedded.url, "prometheus": section}
    resolved = resolve(None, overrides={key: (value, "a test") for key, value in given.items()})
    run = hx.run(resolved, tmp_path_factory.mktemp("watched") / "run")
    return hx.render(run.path)


def verdict(run: Run, name: str) -> dict[str, Any]:
    [mine] = [each for each in run.certificate["verdicts"] if each["id"].startswith(f"prometheus.{name}.")]
    return mine


def test_the_servers_tokens_by_prometheus_are_the_clients_exactly(watched: Run) -> None:
    """R4.3: PromQL's own increase() extrapolates and would miss by some."""
    requests = watched.requests
    assert requests["output_tokens"].sum() == verdict(watched, "output_tokens")["estimate"] > 0
    counted = requests["prompt_tokens"].sum() - requests["cached_tokens"].fillna(0).sum()
    assert counted == verdict(watched, "prompt_tokens")["estimate"] > 0


def test_counters_grow_while_the_load_runs(watched: Run) -> None:
    series = watched.series
    mine = series[(series["source"] == "prometheus") & (series["name"] == "output_tokens")]
    values = mine.sort_values("time_ns")["value"].tolist()
    assert 3 <= len(set(values))
    assert sorted(values) == values


def test_the_server_was_up_in_every_scrape(watched: Run) -> None:
    mine = verdict(watched, "coverage")
    assert ("PASS", 1.0) == (mine["verdict"], mine["estimate"])
    assert 5 <= mine["n"]


def test_what_prometheus_does_not_know_is_no_zero(watched: Run) -> None:
    mine = verdict(watched, "nothing")
    assert ("INCONCLUSIVE", None) == (mine["verdict"], mine["estimate"])
    assert "Prometheus has no data of sum(no_such_metric) in trial 1" == mine["reason"]


def test_verify_computes_all_of_it_from_the_records_again(watched: Run) -> None:
    assert () == hx.verify(watched.path).faults


def test_an_answer_changed_afterwards_is_found(watched: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(watched.path, run)
    path = run / "records" / "prometheus.json"
    noted = json.loads(path.read_text())
    path.write_text(json.dumps([each | {"warnings": ["changed"]} for each in noted]))
    assert any("records/prometheus.json" in fault for fault in hx.verify(run).faults)
    assert any("prometheus[0].warnings" in fault for fault in hx.verify(run).faults)


def test_the_page_lists_each_query(watched: Run) -> None:
    page = (watched.path / "certificate.html").read_text()
    assert "What Prometheus was asked" in page
    assert "sum(llamacpp:tokens_predicted_total)" in page
    assert "output tokens by Prometheus, increase" in page

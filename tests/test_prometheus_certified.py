"""The embedded server, scraped by a real Prometheus, measured as any server elsewhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsing import SCREENS, Seen, opened

import hxbench as hx
from hxbench.plan.layers import resolve
from hxbench.render import publish
from hxbench.render.completeness import shortfall
from hxbench.render.plot_data import PLOTLY_MIME
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
    "prompt_tokens": {
        "query": "sum(llamacpp:prompt_tokens_total) + sum(llamacpp:prompt_tokens_cached_total)",
        "statistic": "increase", "at_least": 1,
    },
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
    assert requests["prompt_tokens"].sum() == verdict(watched, "prompt_tokens")["estimate"] > 0


def test_client_scrape_and_prometheus_stand_side_by_side_and_are_equal(watched: Run) -> None:
    found = watched.frames.reconciled().set_index(["counted", "source"])
    for counted in ("prompt_tokens", "output_tokens"):
        words = [(each, found.loc[(counted, each)]["word"]) for each in ("scrape", "prometheus")]
        assert [("scrape", "equal"), ("prometheus", "equal")] == words
        assert 1 == found.loc[counted]["least"].nunique()


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


def test_a_watched_run_is_shown_by_a_notebook_more_that_is_whole_linked_and_hashed(watched: Run) -> None:
    notebook = nbformat.read(watched.path / "notebooks" / "observability.ipynb", as_version=4)
    assert shortfall(notebook) is None
    assert 'href="observability.html"' in (watched.path / "certificate.html").read_text()
    hashed = json.loads((watched.path / "manifest.json").read_text())["files"]
    assert {"observability.html", "notebooks/observability.ipynb"} <= hashed.keys()
    assert ["validation"] == publish.notebooks_of({"prometheus": []}) == publish.notebooks_of({})


def test_the_notebook_has_the_figures_and_leaves_out_what_nobody_gave(watched: Run) -> None:
    notebook = nbformat.read(watched.path / "notebooks" / "observability.ipynb", as_version=4)
    shown = {cell.id: cell.outputs[-1].data for cell in notebook.cells if cell.get("outputs")}
    drawn = {name for name, data in shown.items() if PLOTLY_MIME in data}
    assert {"prometheus", "resources"} == drawn
    tables = {
        "services": "✓ up",
        "reconciled": "✓ equal",
        "marks": "not measured",
        "panels": "p95_latency_ms",
    }
    assert [] == [name for name, text in tables.items() if text not in shown[name]["text/plain"]]
    page = (watched.path / "observability.html").read_text()
    assert "Do client, server and Prometheus count the same?" in page
    assert "Did an alert fire" not in page
    assert len(page.encode()) < 1_000_000


def test_a_page_of_it_that_was_changed_afterwards_is_found(watched: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(watched.path, run)
    page = run / "observability.html"
    page.write_text(page.read_text().replace("equal", "splendid", 1))
    assert any(fault.startswith("observability.html: line ") for fault in hx.verify(run).faults)


@pytest.fixture(scope="module")
def seen(browser: Any, watched: Run) -> Seen:
    return opened(browser, watched.path / "observability.html")


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_can_be_read_on_every_screen_and_asks_for_nothing(seen: Seen, screen: str) -> None:
    assert seen.on(screen).value("document.documentElement.scrollWidth <= innerWidth")
    assert 2 == seen.value("document.querySelectorAll('.plot.js-plotly-plot').length")
    assert [] == seen.violations()
    assert seen.picture(f"observability-{screen}.{'pdf' if screen == 'paper' else 'png'}")
    assert ([seen.page.url], []) == (seen.requests, seen.complaints)

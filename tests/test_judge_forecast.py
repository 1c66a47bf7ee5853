"""What a profile will ask for and can decide, before anything is started."""

import json
from pathlib import Path
from typing import Any

import pytest

from hxbench import cli, workbench
from hxbench.judge.forecast import Forecast, Need
from hxbench.plan.layers import resolve
from hxbench.render.outline import sentence
from hxbench.render.plan_table import as_text

TAIL = ("--set", "objectives.ttft={p95: 900 ms}")


def planned(inflation: float = 1.0, **settings: Any) -> Forecast:
    """The forecast of a small profile; `settings` are keys with `__` for the dot."""
    keys = {"name": "small", "target.model": "m", "target.server": "reference", "load.requests": 100}
    keys |= {"workload.output_tokens": 10, "load.warmup": "0 s"}
    keys |= {key.replace("__", "."): value for key, value in settings.items()}
    resolved = resolve(None, overrides={key: (value, "a test") for key, value in keys.items()})
    return workbench.plan(resolved, inflation)


def need(found: Forecast, gate: str) -> Need:
    return next(each for each in found.needs if each.gate == gate)


@pytest.mark.parametrize(
    ("statistic", "counts"), [("p90", (36, 114, 292)), ("p95", (72, 230, 613)), ("p99", (368, 1164, 3205))]
)
def test_a_quantiles_need_is_that_of_the_gates_own_rule(statistic: str, counts: tuple[int, ...]) -> None:
    """Smallest n without a miss, with a quarter and with a half of the allowed; alpha 0.025, 90 % power."""
    found = need(planned(objectives={"ttft": {statistic: "1 s"}}), f"ttft.{statistic}")
    assert counts == (found.fewest, found.missing_quarter, found.missing_half)


def test_a_share_needs_what_a_quantile_of_the_same_share_needs() -> None:
    found = planned(objectives={"error_rate": "5 %", "goodput": "95 %"})
    for gate in ("error_rate.share", "goodput.share"):
        assert Need(gate, 72, 230, 613) == need(found, gate)


@pytest.mark.parametrize(("trials", "counts"), [(1, (72, 230, 613)), (5, (145, 462, 1231))])
def test_several_trials_need_more_by_students_factor(trials: int, counts: tuple[int, ...]) -> None:
    # (1.960 / 2.776)^2 = 0.498 of five trials, at one look
    load = {"load__trials": trials, "load__looks": 1, "limits__requests": 1000}
    found = need(planned(**load, objectives={"ttft": {"p95": "1 s"}}), "ttft.p95")
    assert counts == (found.fewest, found.missing_quarter, found.missing_half)


def test_inflation_multiplies_what_shares_need_and_nothing_else() -> None:
    found = planned(2.5, objectives={"ttft": {"p95": "1 s", "mean": "1 s"}})
    assert Need("ttft.p95", 180, 575, 1533) == need(found, "ttft.p95")
    assert Need("ttft.mean", 40, None, None) == need(found, "ttft.mean")


def test_a_limit_that_no_number_of_requests_proves_needs_none() -> None:
    found = planned(objectives={"goodput": "100 %"})
    assert Need("goodput.share", None, None, None) == need(found, "goodput.share")
    assert ("objectives.goodput.share: no number of requests proves 100 %",) == found.unanswerable


def test_what_cannot_be_decided_is_said_also_when_only_inflation_makes_it_so() -> None:
    objectives = {"ttft": {"p95": "1 s", "p99": "1 s"}}
    alone, inflated = planned(objectives=objectives), planned(2.0, objectives=objectives)
    [said] = alone.unanswerable
    assert said.startswith("objectives.ttft.p99: 100 requests cannot pass it even without a miss")
    assert said == inflated.unanswerable[0]
    assert "objectives.ttft.p95: at this inflation it needs 144 requests, not 100" == inflated.unanswerable[1]


def test_a_closed_loop_of_so_many_requests_lasts_as_long_as_the_server_takes() -> None:
    found = planned().outline
    assert (100, False, 0, 1000, None) == (
        found.measured, found.at_most, found.warmup, found.output_tokens, found.seconds,
    )  # fmt: skip
    assert "planned 100 requests; 1 000 output tokens; the server decides how long" == sentence(found)


def test_a_closed_loop_by_time_comes_to_as_many_as_it_can() -> None:
    found = planned(load__measure="50 s", load__requests=None, load__warmup="10 s", load__trials=3).outline
    assert (True, 180.0) == (found.at_most, found.seconds)
    assert sentence(found).startswith(
        "planned at most 4 167 requests in 3 trials, up to 831 more to warm up;"
    )
    assert sentence(found).endswith("; at most 41 670 output tokens; 180 s of load")


def test_an_open_loop_is_known_from_its_schedule() -> None:
    rate = {"load__rate": "2 req/s", "load__arrivals": "constant", "load__requests": None}
    found = planned(**rate, load__measure="50 s", load__warmup="10 s").outline
    assert (100, 20, False, 60.0) == (found.measured, found.warmup, found.at_most, found.seconds)


def test_an_open_loop_of_so_many_requests_ends_with_the_last_one_due() -> None:
    found = planned(load__rate="2 req/s", load__arrivals="constant").outline
    assert (100, 49.5) == (found.measured, found.seconds)


def test_two_looks_say_where_a_run_may_end_and_what_each_may_err_with() -> None:
    error_rate = {"load__trials": 6, "limits__requests": 1000, "objectives": {"error_rate": "5 %"}}
    found = planned(**error_rate, load__rate="2 req/s", load__arrivals="constant")
    assert [(3, 300, 148.5), (6, 600, 297.0)] == [
        (look.trials, look.measured, look.seconds) for look in found.outline.looks
    ]
    assert (0.0125, 0.025) == (found.alpha_pass, found.alpha_fail)
    # 252 and 720 at alpha 0.0125 and 90 % power, over (2.241 / 3.163)^2 of six trials
    assert Need("error_rate.share", 171, 502, 1435) == found.needs[0]
    lines = as_text(found).splitlines()
    assert lines[2].endswith("at 90 % power, times an inflation of 1 and Student's factor of 6 trials")
    assert (
        "ends at the first look that decides every limit: after 3 trials (300 requests in 148 s), "
        "or after 6 trials (600 requests in 297 s)"
    ) in lines
    assert "each of the 2 looks errs with 1.25 % for a PASS, 2.5 % for all FAILs" in lines


def test_looks_of_a_closed_loop_by_time_have_at_most_so_many_requests() -> None:
    load = {"load__trials": 5, "load__requests": None, "load__measure": "50 s", "limits__requests": 1000}
    said = as_text(planned(**load, objectives={"error_rate": "5 %"}))
    assert "after 3 trials (at most 600 requests in 150 s), or after 5 trials (at most 1 000 req" in said


@pytest.mark.parametrize("load", [{"load__trials": 6, "load__looks": 1}, {"load__trials": 3}])
def test_one_look_needs_no_word(load: dict[str, Any]) -> None:
    found = planned(**load, limits__requests=1000, objectives={"error_rate": "5 %"})
    assert (1, 0.025, 0.05) == (len(found.outline.looks), found.alpha_pass, found.alpha_fail)
    assert "look" not in as_text(found)


def test_a_limit_that_one_look_could_decide_may_be_beyond_two() -> None:
    few = {"load__trials": 5, "load__requests": 29, "objectives": {"error_rate": "5 %"}}
    assert () == planned(**few, load__looks=1).unanswerable
    [said] = planned(**few).unanswerable
    assert said.endswith("145 requests cannot pass it even without a miss: it needs at least 208")


def watching(measure: str, trials: int = 1, **query: Any) -> Forecast:
    section = {"every": "15 s", "coverage": ["llm"], "queries": {"asked": {"query": "x", **query}}}
    load = {"load__requests": None, "load__measure": measure, "load__trials": trials}
    return planned(**load, objectives={"error_rate": "5 %"}, prometheus=section)


def test_limits_on_what_prometheus_says_need_samples_and_no_requests() -> None:
    found = watching("60 s", statistic="mean", at_most=1, trials=3)
    assert [("prometheus.coverage.share", 1, 4), ("prometheus.asked.mean", 1, 4)] == [
        (each.gate, each.needed, each.planned) for each in found.samples
    ]
    needed = "prometheus.coverage.share 1, prometheus.asked.mean 1"
    assert f"samples of Prometheus in each window: 4; needed: {needed}" in as_text(found).splitlines()
    assert () == planned().samples


@pytest.mark.parametrize(
    ("said", "measure", "trials", "query"),
    [
        ([], "15 s", 1, {"at_most": 1}),
        (
            [f"prometheus.{gate}: 0 samples in a window cannot pass it: it needs 1, in 15 s"
             for gate in ("coverage.share", "asked.max")],
            "14.9 s", 1, {"at_most": 1},
        ),
        ([], "600 s", 1, {"at_most": 1, "statistic": "mean"}),
        (
            ["prometheus.asked.mean: 39 samples in a window cannot pass it: it needs 40, in 10 min"],
            "599 s", 1, {"at_most": 1, "statistic": "mean"},
        ),
        ([], "15 s", 3, {"at_most": 1, "statistic": "mean"}),
        (
            ["prometheus.asked.max: histogram_quantile interpolates inside a bucket: a bound, which decides "
             "nothing"],
            "15 s", 1, {"at_most": 1, "query": "histogram_quantile(0.9, x)"},
        ),
        ([], "15 s", 1, {"query": "histogram_quantile(0.9, x)"}),
    ],
)  # fmt: skip
def test_a_window_too_short_for_its_scrapes_and_a_bound_cannot_decide(
    said: list[str], measure: str, trials: int, query: dict[str, Any]
) -> None:
    found = watching(measure, trials, **query).unanswerable
    assert said == [each for each in found if each.startswith("prometheus")]


def test_a_window_as_long_as_the_server_takes_may_have_samples_enough() -> None:
    section = {"coverage": ["llm"]}
    found = planned(objectives={"error_rate": "5 %"}, prometheus=section)
    assert () == found.unanswerable
    assert "Prometheus in each window: as many as the server takes time for; needed: " in as_text(found)


def test_cost_needs_prices() -> None:
    assert planned().outline.output_cost is None
    assert "cost is not known: the profile has no cost.output_per_million" in as_text(planned())
    priced = planned(cost__prompt_per_million="0.15 USD", cost__output_per_million="2 USD")
    assert 0.002 == priced.outline.output_cost
    assert "output tokens cost 0.002 USD, prompts and warm-up come on top" in as_text(priced)


def test_the_command_starts_nothing_and_ends_with_0_also_when_nothing_can_be_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["plan", "--requests", "5", "--set", "target.server=reference", "--inflation", "2", *TAIL]
    assert 0 == cli.run_command(arguments)
    said = capfd.readouterr().out
    assert said.startswith("profile smollm2-135m ")
    assert "  ttft.p95                            144          460        1 226" in said.splitlines()
    assert "times an inflation of 2" in said
    assert "cannot be decided: objectives.ttft.p95: 5 requests cannot pass it even without a miss" in said
    assert [] == list(tmp_path.iterdir())


def test_as_json_it_is_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert 0 == cli.run_command(["plan", "smollm2-135m", "--json", *TAIL])
    found = json.loads(capfd.readouterr().out)
    assert (400, 6400) == (found["outline"]["measured"], found["outline"]["output_tokens"])
    needed = {need["gate"]: need for need in found["needs"]}
    assert {"gate": "ttft.p95", "fewest": 72, "missing_quarter": 230, "missing_half": 613} == needed[
        "ttft.p95"
    ]


@pytest.mark.parametrize("inflation", ["0.5", "nan", "inf", "-3"])
def test_an_inflation_below_one_is_wrong_input(inflation: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.run_command(["plan", "--inflation", inflation])
    said = f"hxbench: --inflation: expected a number from 1 to 1000, got {inflation}\n"
    assert said == capfd.readouterr().err

"""Client, scrape and Prometheus side by side: each word, and that equal means equal."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_by_hand import changed, records
from test_judge_watched import LABELS, profile, watched

from hxbench.judge.measured import Measured
from hxbench.judge.reconciled import reconciled
from hxbench.judge.services import services
from hxbench.records.run_directory import Records
from hxbench.render.tables import reconciled_table, service_table

INCREASE = {"query": "sum(tokens)", "statistic": "increase", "at_least": 1}
OUTPUT = 210 * 32  # what the answers of `records()` state, warm-up included


def of(run: Records, counted: str, source: str) -> pd.Series:
    found = reconciled(Measured(run)).set_index(["counted", "source"])
    return found.loc[(counted, source)]


def asked(run: Records, name: str = "output_tokens") -> Records:
    """The run with its query `asked` under another name."""
    section = {"prometheus": profile(**{name: dict(INCREASE)})["prometheus"]}
    named = records(profile=section).profile
    series = changed(run, "series", name=run.series["name"].replace("asked", name)).series
    noted = [each | {"name": each["name"].replace("asked", name)} for each in run.watched]
    return replace(run, profile=named, series=series, watched=noted)


def counter(final: float, **more: Any) -> Records:
    """A run of whose tokens Prometheus saw 0 before the load and `final` from its middle on."""
    return asked(watched(INCREASE, lambda s: np.where(s < 40, 0.0, final), **more))


@pytest.mark.parametrize(
    ("word", "difference", "final"),
    [("equal", 0, OUTPUT), ("differs", 1, OUTPUT + 1), ("differs", -1, OUTPUT - 1)],
)
def test_prometheus_and_the_client_are_equal_or_they_differ(word: str, difference: int, final: int) -> None:
    found = of(counter(final), "output_tokens", "prometheus")
    assert (word, difference, final) == (found["word"], found["difference"], found["least"])


def test_a_difference_names_what_prometheus_did_not_see() -> None:
    found = of(counter(OUTPUT - 1, up_gone=(10, 30)), "output_tokens", "prometheus")
    assert found["reason"].startswith("scrapes of llm at a:1 cover ")


def test_a_counter_that_prometheus_saw_fall_was_reset() -> None:
    run = asked(watched(INCREASE, lambda s: np.where(s < 5, s + 100, s)))
    found = of(run, "output_tokens", "prometheus")
    lost = "output_tokens was reset in trial 1: what it had counted by then is lost"
    assert ("reset", lost) == (found["word"], found["reason"])
    assert math.isnan(found["least"])


def test_what_prometheus_gave_no_value_of_is_unknown_with_its_reason() -> None:
    found = of(
        asked(watched(INCREASE, error="http://p:9090: refused; start it")), "output_tokens", "prometheus"
    )
    assert ("unknown", "http://p:9090: refused; start it") == (found["word"], found["reason"])


@pytest.mark.parametrize(
    ("why", "run"),
    [
        ("the profile asks no Prometheus", records()),
        ("the profile has no query called output_tokens with statistic: increase", watched(INCREASE)),
        (
            "the profile has no query called output_tokens with statistic: increase",
            replace(watched(), profile=records(profile=profile(output_tokens={"query": "q"})).profile),
        ),
    ],
)
def test_what_was_not_asked_is_not_asked(why: str, run: Records) -> None:
    found = of(run, "output_tokens", "prometheus")
    assert ("not asked", why) == (found["word"], found["reason"])


def test_the_scrape_of_the_same_run_stands_beside_it() -> None:
    run = counter(OUTPUT)
    assert ("equal", OUTPUT) == tuple(of(run, "output_tokens", "scrape")[["word", "least"]])
    assert ("equal", 210 * 40) == tuple(of(run, "prompt_tokens", "scrape")[["word", "least"]])
    assert "unknown" == of(run, "requests", "scrape")["word"]  # llama.cpp counts none


def test_each_says_over_which_time_it_counted_and_all_cover_the_clients() -> None:
    over = reconciled(Measured(counter(OUTPUT))).groupby("source")["over_s"].max()
    assert over["client"] < over["scrape"]
    assert over["client"] < over["prometheus"]


def test_requests_that_failed_leave_a_range_and_within_it_nothing_is_equal() -> None:
    found = of(records(requests=10, warmup=0, failed=[4]), "output_tokens", "scrape")
    assert ("within", 0) == (found["word"], found["difference"])
    assert "requests that failed leave 288 to 320 open" == found["reason"]
    client = of(records(requests=10, warmup=0, failed=[4]), "requests", "client")
    assert (9, 10) == (client["least"], client["most"])


def test_errors_are_those_that_the_client_saw() -> None:
    assert 2 == of(records(requests=10, failed=[4, 5]), "errors", "client")["least"]
    assert (
        "differs" == of(asked(watched(INCREASE, lambda s: s + 3), "errors"), "errors", "prometheus")["word"]
    )


def test_without_the_servers_usage_nothing_is_equal() -> None:
    run = changed(records(), "requests", token_source="deltas")
    assert "not every good answer states its usage" == of(run, "output_tokens", "client")["reason"]
    assert "unknown" == of(run, "output_tokens", "scrape")["word"]


def test_of_a_run_that_was_killed_nothing_is_equal_and_nothing_differs() -> None:
    run = replace(counter(OUTPUT), ending={"state": "killed", "reason": "the recording was killed"})
    found = reconciled(Measured(run))
    assert {"", "unknown", "not asked"} == set(found["word"])
    assert of(run, "requests", "client")["reason"].startswith("the run did not come to its end")
    assert OUTPUT == of(run, "output_tokens", "scrape")["least"]  # what the server counted is shown


def test_a_server_without_metrics_is_said_to_have_none() -> None:
    run = records()
    silent = replace(run, series=run.series[run.series["source"] != "scrape"])
    assert "it gave no metrics" == of(silent, "output_tokens", "scrape")["reason"]


def test_a_run_without_requests_is_reconciled_without_an_error() -> None:
    run = records(requests=3)
    empty = replace(run, **{name: getattr(run, name).iloc[:0] for name in ("requests", "schedule", "phases")})
    assert 12 == len(reconciled_table(reconciled(Measured(empty))))


def test_the_table_says_it_in_words() -> None:
    shown = reconciled_table(reconciled(Measured(counter(OUTPUT + 1234))))
    mine = shown[shown["By"] == "server, scraped"].iloc[2]
    assert ("6 720", "0", "✓ equal") == tuple(mine[["Counted", "Difference", "To the client"]])
    mine = shown[shown["By"] == "Prometheus"].iloc[2]
    assert ("7 954", "+1 234", "✕ differs") == tuple(mine[["Counted", "Difference", "To the client"]])
    assert ["Requests", "Prompt tokens", "Output tokens", "Errors"] == [
        each for each in shown["What"] if each
    ]


@pytest.mark.parametrize(
    ("word", "up"), [("✓ up", 1.0), ("✕ down", lambda s: np.where((s > 10) & (s < 12), 0.0, 1.0))]
)
def test_a_service_was_up_when_every_scrape_found_it_so(word: str, up: Any) -> None:
    shown = service_table(services(watched(up=up)))
    assert shown is not None
    assert [("llm", "a:1", word)] == list(
        shown[["Service", "At", "So it was"]].itertuples(index=False, name=None)
    )


def test_a_service_that_was_never_scraped_is_unknown_and_not_up() -> None:
    run = watched()
    unseen = replace(run, series=run.series[run.series["labels"] != LABELS])
    shown = service_table(services(unseen))
    assert shown is not None
    assert [["llm", "–", "0", "0", "? unknown"]] == shown.to_numpy().tolist()


def test_without_named_services_there_is_no_table_of_them() -> None:
    assert service_table(services(records())) is None

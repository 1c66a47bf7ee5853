"""What the server says of itself, scraped: counters that are reset, or come in several series."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_by_hand import SECOND, frame, records
from servers import Behaviour, Request, Server, plain, stream

import hxbench as hx
from hxbench.judge import certificate as certificates
from hxbench.judge.counted import OUTPUT_TOKENS, Grown, Unknown, by_server
from hxbench.judge.scraped import RESET_ON_READ, increases
from hxbench.judge.server_metrics import server_metrics
from hxbench.records.run_directory import Records
from hxbench.workbench import Run

COUNTER = "vllm:generation_tokens_total"


def scraped(*values: Mapping[str, float], name: str = COUNTER, begin_ns: int = 0) -> Records:
    """A run whose server was scraped each second: each scrape a value by label, and another metric."""
    run = records(requests=3, warmup=0)
    begin_ns = begin_ns or int(run.phases["start_ns"].min()) - SECOND
    rows = [
        (begin_ns + number * SECOND, label, value)
        for number, scrape in enumerate(values)
        for label, value in scrape.items()
    ]
    columns = {"trial": 1, "target": "main", "source": "scrape"}
    times, labels, numbers = zip(*rows, strict=True) if rows else ((), (), ())
    counter = frame("series", columns | {"time_ns": times, "name": name, "labels": labels, "value": numbers})
    every = begin_ns + SECOND * np.arange(len(values))
    other = frame("series", columns | {"time_ns": every, "name": "up", "labels": "", "value": 1.0})
    rest = run.series[run.series["source"] != "scrape"]
    return replace(run, series=pd.concat([rest, counter, other], ignore_index=True))


def grown(*values: Mapping[str, float]) -> list[Any]:
    found = increases(scraped(*values), COUNTER)
    return ["reset" if reset else step for step, reset in zip(found["grown"], found["reset"], strict=True)][
        1:
    ]


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        ([4.0, 0.0], [{"a": 1}, {"a": 5}, {"a": 5}]),
        (["reset", 3.0], [{"a": 5}, {"a": 4}, {"a": 7}]),
        ([5.0], [{"a": 1, "b": 10}, {"a": 2, "b": 14}]),
        (["reset"], [{"a": 1, "b": 10}, {"a": 9, "b": 9}]),  # the sum alone grew
        ([7.0, 1.0], [{"a": 1}, {"a": 3, "b": 5}, {"a": 3, "b": 6}]),
        (["reset", 9.0], [{"a": 1, "b": 9}, {"a": 1}, {"a": 1, "b": 9}]),
        (["reset", 2.0], [{"a": 1}, {}, {"a": 2}]),
        ([3.0], [{}, {"a": 3}]),
    ],
)
def test_a_counter_grows_series_by_series_and_one_that_falls_or_goes_was_reset(
    expected: list[Any], values: list[Mapping[str, float]]
) -> None:
    assert expected == grown(*values)


def test_a_counter_that_the_server_does_not_have_has_no_rows() -> None:
    assert increases(scraped({"a": 1}, {"a": 2}), "vllm:other_total").empty
    assert by_server(scraped({"a": 1}, {"a": 2}, name="other"), OUTPUT_TOKENS) is None


def test_what_was_counted_before_a_reset_is_lost() -> None:
    values = [{"a": 100}, {"a": 140}, {"a": 20}, {"a": 60}, {"a": 60}]
    lost = "the server's counter was reset in trial 1: what it had counted by then is lost"
    assert Unknown(lost, reset=True) == by_server(scraped(*values), OUTPUT_TOKENS)


def test_a_rate_is_not_known_across_a_reset_and_known_again_after_it() -> None:
    shown = server_metrics(scraped({"a": 5}, {"a": 9}, {"a": 1}, {"a": 4}))["output_tokens_per_s"]
    assert [False, True, False, True] == shown.notna().tolist()
    assert [4.0, 3.0] == pytest.approx(shown.dropna().tolist())


@pytest.mark.parametrize(
    ("known", "from_first_ns", "from_last_ns"),
    [(True, 0, None), (False, 1, None), (True, None, 0), (False, None, -1)],
)
def test_only_scrapes_before_the_first_request_and_after_the_last_count(
    known: bool, from_first_ns: int | None, from_last_ns: int | None
) -> None:
    run = scraped()
    first, last = int(run.requests["dispatched_ns"].min()), int(run.requests["done_ns"].max())
    begin_ns = last + from_last_ns - 9 * SECOND if from_first_ns is None else first + from_first_ns
    found = by_server(scraped(*[{"a": n} for n in range(10)], begin_ns=begin_ns), OUTPUT_TOKENS)
    unknown = Unknown("the server was not scraped before and after the load of trial 1")
    assert found == (Grown({1: 9.0}, 9.0) if known else unknown)


def test_a_single_scrape_counts_nothing() -> None:
    assert isinstance(by_server(scraped({"a": 1}), OUTPUT_TOKENS), Unknown)


def test_gauges_that_begin_anew_for_each_reader_change_nothing() -> None:
    run = records(requests=20)
    ticks = run.series.loc[run.series["source"] == "scrape", "time_ns"].unique()
    columns = {"trial": 1, "target": "main", "source": "scrape", "time_ns": ticks, "labels": ""}
    more = [frame("series", columns | {"name": name, "value": 1e6}) for name in RESET_ON_READ]
    other = replace(run, series=pd.concat([run.series, *more], ignore_index=True))
    assert json.dumps(certificates.build(run)) == json.dumps(certificates.build(other))
    pd.testing.assert_frame_equal(server_metrics(run), server_metrics(other))


def test_no_code_names_a_gauge_that_begins_anew_for_each_reader(repository: Path) -> None:
    texts = {path.name: path.read_text() for path in (repository / "hxbench").rglob("*.py")}
    named = {file for file, text in texts.items() for name in RESET_ON_READ if name in text}
    assert {"scraped.py"} == named


class Engines:
    """Two engines that count as vLLM does, and begin anew with their output tokens at the fourth answer."""

    def __init__(self) -> None:
        self._answers = {"0": 0, "1": 0}
        self._output = {"0": 1000, "1": 500}  # of an earlier load

    def chat(self, request: Request) -> Iterable[Any]:
        tokens, engine = request.document["max_tokens"], str(sum(self._answers.values()) % 2)
        self._answers[engine] += 1
        if sum(self._answers.values()) == 4:
            self._output = {"0": 0, "1": 0}
        self._output[engine] += tokens
        return stream(tokens, 0.05, 0.02)

    def metrics(self, _: Request) -> Iterable[Any]:
        prompts = {engine: 70 + 9 * answers for engine, answers in self._answers.items()}
        counters = {
            "prompt_tokens": prompts,
            "generation_tokens": self._output,
            "request_success": self._answers,
        }
        lines = [
            f'vllm:{name}_{ending}{{engine="{engine}"}} {number}'
            for name, values in counters.items()
            for engine, value in values.items()
            for ending, number in (("total", value), ("created", 1.7e9))
        ]
        return [plain(200, "\n".join(lines) + "\n", "text/plain")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    load = {"users": 1, "warmup": "0 s", "measure": None, "requests": 9}
    engines, folder = Engines(), tmp_path_factory.mktemp("engines")
    with Server(Behaviour(chat=engines.chat, metrics=engines.metrics)) as server:
        target = {"server": server.url, "model": "m"}
        return hx.run(None, folder / "run", target=target, load=load, workload__output_tokens=4)


def test_counters_of_two_engines_are_added_up_and_when_they_were_created_is_no_count(run: Run) -> None:
    found = run.frames.reconciled()
    mine = found[(found["source"] == "scrape") & found["word"].eq("equal")]
    assert {"requests": 9.0, "prompt_tokens": 81.0} == dict(zip(mine["counted"], mine["least"], strict=True))


def test_a_counter_that_began_anew_in_between_cannot_be_compared_and_it_is_said(run: Run) -> None:
    why = "the server's counter was reset in trial 1: what it had counted by then is lost"
    found = run.frames.reconciled().set_index(["counted", "source"]).loc[("output_tokens", "scrape")]
    assert ("reset", why) == (found["word"], found["reason"])
    entries = {
        each["id"]: (each["state"], each["value"], each["detail"]) for each in run.certificate["ledger"]
    }
    assert ("unknown", None, why) == entries["output_counter"]
    assert [("ok", 0.0)] * 2 == [entries[name][:2] for name in ("prompt_counter", "request_counter")]


def test_no_rate_of_it_is_below_zero(run: Run) -> None:
    rates = run.frames.server()["output_tokens_per_s"]
    assert (rates.dropna() >= 0).all()
    assert rates.isna().sum() > 1  # at the first scrape, and where it began anew

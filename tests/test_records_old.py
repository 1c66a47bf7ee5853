"""Runs of every schema there has been are still read, from files that nobody writes anew.

`fixtures/schema-1` is a run made by hand (`runs_by_hand`), its tables written as a recording writes them: one
request to warm up and six measured ones of three tokens, of which the fifth failed.
"""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from hxbench import workbench
from hxbench.records import run_directory
from hxbench.records.run_directory import Records
from hxbench.records.schemas import JUDGED_READS, READS, SCHEMA_VERSION, TABLES

FIXTURES = Path(__file__).with_name("fixtures")
FIRST = FIXTURES / "schema-1"


@pytest.fixture(scope="module")
def records() -> Records:
    return run_directory.open_records(FIRST)


def test_every_schema_up_to_this_one_has_its_fixture() -> None:
    versions = range(1, SCHEMA_VERSION + 1)
    assert [f"schema-{number}" for number in versions] == sorted(path.name for path in FIXTURES.iterdir())


@pytest.mark.parametrize("name", TABLES)
def test_the_fixture_is_of_its_schema(name: str) -> None:
    found = pq.read_schema(FIRST / "records" / f"{name}.parquet")
    assert b"1" == found.metadata[b"hxbench.schema"]


@pytest.mark.parametrize(
    ("name", "rows"),
    [("schedule", 7), ("requests", 7), ("reads", 18), ("series", 30), ("clock", 4), ("phases", 3)],
)
def test_each_table_has_its_rows_and_todays_columns(name: str, rows: int, records: Records) -> None:
    frame = getattr(records, name)
    columns = JUDGED_READS if name == "reads" else TABLES[name].names
    assert (rows, list(columns)) == (len(frame), list(frame.columns))


def test_the_values_mean_what_they_meant(records: Records) -> None:
    requests = records.requests
    assert ["ok", "ok", "ok", "ok", "ok", "failed", "ok"] == requests["outcome"].tolist()
    assert [105_320_472, 20_589_642] == [
        requests["first_token_ns"][0] - requests["dispatched_ns"][0],
        requests["last_token_ns"][0] - requests["first_token_ns"][0],
    ]
    assert pd.isna(requests["due_ns"][0])
    assert [3, 3, 3] == requests.loc[:2, "output_tokens"].tolist()
    assert ["warmup"] + ["measure"] * 6 == records.schedule["phase"].tolist()
    assert [0, 1, 2] == records.reads["index"].tolist()[:3]
    assert (5_000 * 10**9, 10**18 + 5_000 * 10**9) == tuple(
        records.clock.loc[0, ["monotonic_ns", "realtime_ns"]]
    )


def test_it_is_judged(tmp_path: Path) -> None:
    run = Path(shutil.copytree(FIRST, tmp_path / "run"))
    counts = workbench.judge(run).summary()["counts"]
    assert (6, 5) == (counts["attempted"], counts["ok"])
    assert () == workbench.verify(run).faults


def test_the_fixture_has_the_reads_columns_that_no_judge_asks_for() -> None:
    assert READS.names == pq.read_schema(FIRST / "records" / "reads.parquet").names

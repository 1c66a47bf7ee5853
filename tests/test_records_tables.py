"""Tables of the records: whole or not there, exact, and refused by name when they are damaged."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hxbench.errors import EvidenceError
from hxbench.records import tables
from hxbench.records.columns import column
from hxbench.records.schemas import CLOCK, JUDGED_READS, READS, SERIES, TABLES

BEYOND_DOUBLES = 2**53 + 1


def test_whole_numbers_beyond_the_precision_of_doubles_stay_exact(tmp_path: Path) -> None:
    path = tmp_path / "clock.parquet"
    tables.write(path, CLOCK, [(BEYOND_DOUBLES, 2**63 - 1, None), (1, 2, 3)])
    frame = tables.read(path, CLOCK)
    assert [BEYOND_DOUBLES, 1] == frame["monotonic_ns"].tolist()
    assert [2**63 - 1, 2] == frame["realtime_ns"].tolist()
    assert frame["bracket_ns"].isna().tolist() == [True, False]


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_keeps_its_columns_and_nullable_types(tmp_path: Path, name: str) -> None:
    tables.write(tmp_path / "t.parquet", TABLES[name], [])
    frame = tables.read(tmp_path / "t.parquet", TABLES[name])
    assert (0, TABLES[name].names) == (len(frame), list(frame.columns))
    assert {"Int64", "Int32", "string", "Float64"} >= {str(kind) for kind in frame.dtypes}


def test_absent_is_null_in_every_kind_of_column(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", SERIES, [(None,) * len(SERIES)])
    frame = tables.read(tmp_path / "t.parquet", SERIES)
    assert all(value is pd.NA for value in frame.iloc[0])


COLUMNS = [
    (pa.int32(), [-(2**31), None, 2**31 - 1]),
    (pa.int64(), [-(2**63), BEYOND_DOUBLES, None]),
    (pa.float64(), [0.1, None, float("inf"), 7]),
    (pa.string(), ["", None, "täglich \N{SNOWMAN}", "a\0b"]),
]


@pytest.mark.parametrize(("kind", "values"), COLUMNS)
@pytest.mark.parametrize("times", [0, 1, 5])
def test_a_column_is_what_arrow_makes_of_the_values(kind: pa.DataType, values: list[Any], times: int) -> None:
    made = column(values * times, kind)
    made.validate(full=True)
    assert pa.array(values * times, kind).equals(made)
    assert times == made.null_count


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        (pa.int32(), 2**31, OverflowError),
        (pa.int64(), 2**63, OverflowError),
        (pa.int64(), 1.5, TypeError),
        (pa.string(), "\ud800", UnicodeEncodeError),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_refused(
    kind: pa.DataType, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        column([value], kind)


def test_rows_of_many_batches_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 3)
    tables.write(tmp_path / "t.parquet", CLOCK, [(number, 0, 0) for number in range(10)])
    assert list(range(10)) == tables.read(tmp_path / "t.parquet", CLOCK)["monotonic_ns"].tolist()
    assert 4 == pq.ParquetFile(tmp_path / "t.parquet").num_row_groups


def test_a_table_has_no_name_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "clock.parquet"
    writer = tables.TableWriter(path, CLOCK)
    writer.add((1, 2, 3))
    assert not path.exists()
    writer.close()
    assert [path] == list(tmp_path.iterdir())


DYING = """
import os, signal, sys
from pathlib import Path
from hxbench.records import tables
from hxbench.records.columns import column
from hxbench.records.schemas import CLOCK
writer = tables.TableWriter(Path(sys.argv[1]), CLOCK)
for number in range(tables.BATCH_ROWS + 1):
    writer.add((number, 0, 0))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_an_earlier_table_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "clock.parquet"
    tables.write(path, CLOCK, [(7, 0, 0)])
    done = subprocess.run([sys.executable, "-c", DYING, str(path)], check=False)
    assert -signal.SIGKILL == done.returncode
    assert [7] == tables.read(path, CLOCK)["monotonic_ns"].tolist()
    tables.write(path, CLOCK, [(8, 0, 0)])
    assert [8] == tables.read(path, CLOCK)["monotonic_ns"].tolist()


def refusal(path: Path, schema: Any = CLOCK) -> str:
    with pytest.raises(EvidenceError) as caught:
        tables.read(path, schema)
    return str(caught.value)


def test_a_missing_table_is_said_to_be_missing(tmp_path: Path) -> None:
    assert f"{tmp_path}/x: missing: the records are not whole" == refusal(tmp_path / "x")


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all, but long enough", None])
def test_a_damaged_table_is_said_not_to_be_readable(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "clock.parquet"
    tables.write(path, CLOCK, [(1, 2, 3)])
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    text = refusal(path)
    assert text.startswith(f"{path}: not readable as Parquet: ")
    assert "\n" not in text


def test_a_folder_in_the_place_of_a_table_is_not_readable(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path}: not readable as Parquet: ")


@pytest.mark.parametrize("version", ["2", "999", "new"])
def test_a_newer_schema_is_refused_with_its_number(tmp_path: Path, version: str) -> None:
    path = tmp_path / "clock.parquet"
    tables.write(path, CLOCK.with_metadata({"hxbench.schema": version}), [])
    assert f"{path}: schema {version}: this hxbench reads schemas up to 1" == refusal(path)


def test_a_lacking_column_is_named(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", CLOCK.remove(2), [(1, 2)])
    assert f"{tmp_path}/t.parquet: column bracket_ns: expected int64" == refusal(tmp_path / "t.parquet")


def test_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    other = CLOCK.set(0, pa.field("monotonic_ns", pa.string()))
    tables.write(tmp_path / "t.parquet", other, [("1", 2, 3)])
    assert f"{tmp_path}/t.parquet: column monotonic_ns: expected int64" == refusal(tmp_path / "t.parquet")


def test_a_column_more_than_the_schema_knows_is_kept(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", READS.append(pa.field("later", pa.int64())), [(None,) * 8 + (5,)])
    assert [5] == tables.read(tmp_path / "t.parquet", READS)["later"].tolist()


# A second version of a table: a number and a text came to those of the first.
SINCE = {"since": "2"}
FIRST = pa.schema([("id", pa.string())], metadata={"hxbench.schema": "1"})
SECOND = pa.schema(
    [*FIRST, pa.field("note", pa.string(), metadata=SINCE), pa.field("size", pa.int64(), metadata=SINCE)],
    metadata={"hxbench.schema": "2"},
)


@pytest.mark.parametrize("rows", [[], [("a",), ("b",)]])
def test_an_older_table_is_read_with_nulls_in_what_came_later(tmp_path: Path, rows: list[Any]) -> None:
    path = tmp_path / "t.parquet"
    tables.write(path, FIRST, rows)
    frame = tables.read(path, SECOND)
    assert (["id", "note", "size"], len(rows)) == (list(frame), len(frame))
    assert ["string", "string", "Int64"] == [str(kind) for kind in frame.dtypes]
    assert frame[["note", "size"]].isna().all(axis=None)
    slim = tables.read_lean(path, SECOND, ["id", "note", "size"])
    assert ["category", "category"] == [str(slim[name].dtype) for name in ("id", "note")]
    assert (len(rows), True) == (len(slim), slim[["note", "size"]].isna().all(axis=None))


def test_an_older_table_needs_all_that_it_had(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", FIRST.set(0, pa.field("other", pa.string())), [("a",)])
    assert f"{tmp_path}/t.parquet: column id: expected string" == refusal(tmp_path / "t.parquet", SECOND)


def test_a_table_of_the_version_that_has_a_column_needs_it(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", SECOND.remove(2), [("a", "b")])
    assert f"{tmp_path}/t.parquet: column size: expected int64" == refusal(tmp_path / "t.parquet", SECOND)


def test_an_older_table_with_a_later_column_of_another_type_is_refused(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", FIRST.append(pa.field("size", pa.string())), [("a", "b")])
    assert f"{tmp_path}/t.parquet: column size: expected int64" == refusal(tmp_path / "t.parquet", SECOND)


def test_a_column_that_came_later_is_written_and_read(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", SECOND, [("a", "b", 3)])
    assert [("a", "b", 3)] == list(tables.read(tmp_path / "t.parquet", SECOND).itertuples(index=False))


def lean(path: Path, names: Sequence[str] = JUDGED_READS) -> pd.DataFrame:
    return tables.read_lean(path, READS, names)


def test_a_lean_frame_has_the_values_of_the_whole_one_in_plain_columns(tmp_path: Path) -> None:
    rows = [
        ("b", 0, 5, 1, 1, 1, None, 1),
        ("a", 0, 2**53 + 1, 1, 300, 1, 7, 2),
        ("b", 1, 9, 1, 1, 1, 2, None),
    ]
    tables.write(tmp_path / "t.parquet", READS, rows)
    frame = lean(tmp_path / "t.parquet")
    assert list(JUDGED_READS) == list(frame)
    assert ["b", "a", "b"] == frame["request_id"].tolist()
    assert ("category", "int64", "int16") == tuple(
        str(frame[name].dtype) for name in ("request_id", "received_ns", "deltas")
    )
    assert [5, 2**53 + 1, 9] == frame["received_ns"].tolist()
    assert [1, 300, 1] == frame["deltas"].tolist()
    assert [False, True, True] == frame["tokens"].notna().tolist()
    assert [7.0, 2.0] == frame["tokens"].dropna().tolist()
    assert [1.0, 2.0] == frame["segments"].dropna().tolist()


def test_a_lean_frame_of_many_row_groups_keeps_each_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)
    ids = ["a", "b", "c", "a", None, "d", "b"]
    tables.write(tmp_path / "t.parquet", READS, [(each, 0, 0, 0, 0, 0, None, None) for each in ids])
    found = lean(tmp_path / "t.parquet")["request_id"]
    assert ids == [None if pd.isna(each) else each for each in found]


def test_a_lean_frame_of_nothing_has_its_columns(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", READS, [])
    assert (0, list(JUDGED_READS)) == (len(lean(tmp_path / "t.parquet")), list(lean(tmp_path / "t.parquet")))


def test_a_lean_frame_is_refused_as_the_whole_one_is(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(EvidenceError, match="missing: the records are not whole"):
        lean(path)
    tables.write(path, READS.remove(0), [])
    with pytest.raises(EvidenceError, match=r"t\.parquet: column request_id: expected string"):
        lean(path)
    tables.write(path, READS.remove(3), [])
    with pytest.raises(EvidenceError, match=r"t\.parquet: column bytes: expected int64"):
        lean(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(EvidenceError, match="not readable as Parquet: "):
        lean(path)

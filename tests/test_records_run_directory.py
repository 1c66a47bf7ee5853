"""A run's folder: made once, never over anything, and read back as the profile and tables it was made of."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hxbench.errors import DirectoryError, EvidenceError
from hxbench.plan.layers import Resolved, resolve
from hxbench.records import run_directory, tables
from hxbench.records.run_directory import annotated, create, earlier_runs, open_records, point_latest, prepare
from hxbench.records.schemas import TABLES

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def resolved(**changed: Any) -> Resolved:
    given = {"target.server": "http://127.0.0.1:1", "target.model": "m"} | changed
    return resolve(None, overrides={key: (value, "--set") for key, value in given.items()})


def recorded(folder: Path) -> Path:
    run_dir = prepare(folder, resolved())
    for name, schema in TABLES.items():
        tables.write(run_dir / "records" / f"{name}.parquet", schema, [])
    return run_dir


def test_a_run_is_named_by_time_model_and_profile(tmp_path: Path) -> None:
    made = create(tmp_path, resolved(**{"target.model": "org/model:7b"}), NOON)
    assert made.name.startswith("20260102T120000Z-org_model_7b-unnamed-")
    assert ["journal", "profile.yaml", "records"] == sorted(path.name for path in made.iterdir())


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    assert create(tmp_path, resolved(), NOON) != create(tmp_path, resolved(), NOON)


def hostile_bodies() -> list[dict[str, Any]]:
    return [
        {"a.b": {"c.d": 1, "e": {"f.g": 2}}},
        {"yes": True, "no": "no", "null": None, "1": 1, "": "", "x: y": "# no comment", "- a": [1, {"b": 2}]},
        {"breaks": "\ufeff \t \n \r", "emoji": "\U0001f600", "quote": "\"'\\ {{"},
        {"numbers": [0, -1, 1.5, 2**53], "deep": {"deep": {"deep": {"deep": []}}}, "empty": {}},
    ]


@pytest.mark.parametrize("body", hostile_bodies())
def test_the_stored_profile_resolves_to_the_same_hash(tmp_path: Path, body: dict[str, Any]) -> None:
    original = resolved(**{"target.extra_body": body})
    (tmp_path / "profile.yaml").write_text(annotated(original), encoding="utf-8")
    again = resolve(tmp_path / "profile.yaml")
    assert (original.sha256, original.profile) == (again.sha256, again.profile)


@pytest.mark.parametrize("name", ["smollm2-135m", "mixtral-8x7b"])
def test_a_shipped_profile_resolves_to_the_same_hash_once_stored(tmp_path: Path, name: str) -> None:
    original = resolve(name)
    (tmp_path / "profile.yaml").write_text(annotated(original), encoding="utf-8")
    assert original.sha256 == resolve(tmp_path / "profile.yaml").sha256


def test_runs_of_the_same_profile_beside_one_are_counted(tmp_path: Path) -> None:
    once, other = resolved(), resolved(**{"load.users": 2})
    runs = [prepare(tmp_path / name, each) for name, each in (("a", once), ("b", other), ("c", once))]
    point_latest(runs[2])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "profile.yaml").write_bytes(b"\xff")
    assert [1, 0, 1] == [
        earlier_runs(run, each.sha256) for run, each in zip(runs, (once, other, once), strict=True)
    ]


def test_each_value_says_where_it_came_from_and_no_origin_breaks_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nname: evil\nb.yaml"
    path.write_text("schema: 1\nname: good\ntarget: {model: m}\n")
    original = resolve(path, overrides={"load.users": (3, "--users")})
    text = annotated(original)
    assert "  users: 3  # --users" in text.splitlines()
    (tmp_path / "profile.yaml").write_text(text)
    assert ("good", original.sha256) == (
        resolve(tmp_path / "profile.yaml").profile.name,
        resolve(tmp_path / "profile.yaml").sha256,
    )


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path / "run", resolved())
    with pytest.raises(DirectoryError, match="run: holds a run already; choose another folder"):
        prepare(tmp_path / "run", resolved())


@pytest.mark.parametrize("name", run_directory.OWN_NAMES)
def test_a_file_of_the_users_own_is_never_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(DirectoryError, match=f"holds {name} already; choose another folder, or move it away"):
        prepare(tmp_path, resolved())
    assert [(name, "mine")] == [(path.name, path.read_text()) for path in tmp_path.iterdir()]


def test_a_folder_with_other_things_in_it_may_be_recorded_into(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    assert tmp_path.resolve() == prepare(tmp_path, resolved())


@pytest.mark.parametrize("place", ["/proc/hxbench", "/dev/null/run"])
def test_a_folder_that_cannot_be_made_is_said(place: str) -> None:
    with pytest.raises(DirectoryError, match=f"^{place}: cannot be written: "):
        prepare(Path(place), resolved())


def test_a_run_is_recorded_once_every_table_is_there(tmp_path: Path) -> None:
    run_dir = recorded(tmp_path / "run")
    assert run_directory.is_recorded(run_dir)
    (run_dir / "records" / "series.parquet").unlink()
    assert not run_directory.is_recorded(run_dir)


def test_a_run_without_an_ending_was_killed(tmp_path: Path) -> None:
    records = open_records(recorded(tmp_path / "run"))
    assert ("killed", [], {}) == (records.ending["state"], records.exchanges, records.facts)
    assert resolved().sha256 == records.profile_sha256
    assert list(TABLES["requests"].names) == list(records.requests.columns)


def test_what_was_stored_beside_the_tables_is_opened(tmp_path: Path) -> None:
    run_dir = recorded(tmp_path / "run")
    run_directory.write_json(run_dir / "records" / "ending.json", {"state": "complete", "reason": None})
    run_directory.write_json(run_dir / "records" / "exchanges.json", [{"name": "ready", "body": "é\u2028"}])
    run_directory.write_json(run_dir / "facts.json", {"hxbench": "0"})
    records = open_records(run_dir)
    assert ("complete", "é\u2028", "0") == (
        records.ending["state"],
        records.exchanges[0]["body"],
        records.facts["hxbench"],
    )


def test_a_number_that_json_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_directory.write_json(tmp_path / "x.json", {"x": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_a_folder_without_records_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError) as caught:
        open_records(tmp_path)
    assert f"{tmp_path}: not a run: it has no folder records/" == str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: bytes) -> None:
    run_dir = recorded(tmp_path / "run")
    (run_dir / "facts.json").write_bytes(content)
    with pytest.raises(EvidenceError, match=r"facts\.json: not readable: "):
        open_records(run_dir)


def test_a_run_that_lacks_a_table_is_not_whole(tmp_path: Path) -> None:
    run_dir = recorded(tmp_path / "run")
    (run_dir / "records" / "requests.parquet").unlink()
    with pytest.raises(EvidenceError, match=r"requests\.parquet: missing: the records are not whole"):
        open_records(run_dir)


def test_latest_names_the_last_run_pointed_at(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        point_latest(tmp_path / name)
    assert "b" == os.readlink(tmp_path / "latest")
    assert ["a", "b", "latest"] == sorted(path.name for path in tmp_path.iterdir())


def test_latest_is_there_at_every_moment(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    point_latest(tmp_path / "a")
    missed = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if not (tmp_path / "latest").is_dir():
                missed.append(1)

    watching = threading.Thread(target=look)
    watching.start()
    for _ in range(100):
        point_latest(tmp_path / "b")
        point_latest(tmp_path / "a")
    done.set()
    watching.join()
    assert [] == missed


def test_a_latest_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    (tmp_path / "run").mkdir()
    point_latest(tmp_path / "run")
    assert ["latest", "run"] == sorted(path.name for path in tmp_path.iterdir())


def test_the_profile_is_read_back_as_json_safe_yaml(tmp_path: Path) -> None:
    text = annotated(resolved(**{"target.extra_body": {"stop": ["\n", "#"]}}))
    line = next(line for line in text.splitlines() if line.strip().startswith("stop:"))
    assert ["\n", "#"] == json.loads(line.partition(": ")[2].partition("  # ")[0])

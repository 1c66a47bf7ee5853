"""gc: what is deleted, and everything that stays whatever is asked for."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from outputs_by_hand import check, judged, recorded, sweep, unchanged_for

from hxbench import cli, retention
from hxbench.errors import BusyError, IncompleteError, InputError
from hxbench.record import lock
from hxbench.render import manifest

NOW = datetime(2026, 2, 1, tzinfo=UTC)
DAY_S = 86400.0
CERTIFIED = "the newest certified run of its model and profile"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Runs a to d of one model, a day apart, the newest last; c is certified, d failed, as `latest` says."""
    folder = tmp_path / "outputs"
    for day, name in enumerate("abcd", start=1):
        judged(folder, name, f"2026-01-0{day}T00:00:00Z", status="FAILED" if name == "d" else "CERTIFIED")
    (folder / "latest").symlink_to("d")
    return folder


def whys(outputs: Path, keep: int | None = 0, older_than_s: float | None = None) -> dict[str, str]:
    return {each.found.path.name: each.why for each in retention.fates(outputs, keep, older_than_s, NOW)}


def test_the_latest_and_the_newest_certified_run_stay_though_nothing_shall(outputs: Path) -> None:
    assert {"a": "", "b": "", "c": CERTIFIED, "d": "`latest` points to it"} == whys(outputs)


@pytest.mark.parametrize(
    ("keep", "going"), [(0, "ab"), (1, "ab"), (2, "ab"), (3, "a"), (4, ""), (9, ""), (None, "ab")]
)
def test_the_newest_of_each_model_and_profile_are_kept(keep: int | None, going: str, outputs: Path) -> None:
    judged(outputs, "other", "2025-01-01T00:00:00Z", profile="other", status="FAILED")
    found = whys(outputs, keep)
    assert {*going, *(["other"] if keep in (0, None) else [])} == {name for name in found if not found[name]}


@pytest.mark.parametrize(("days", "going"), [(29, "ab"), (30, "a"), (30.5, "a"), (31, ""), (400, "")])
def test_only_what_is_older_goes(days: float, going: str, outputs: Path) -> None:
    found = whys(outputs, None, days * DAY_S)
    assert set(going) == {name for name in found if not found[name]}


def test_both_limits_hold_together(outputs: Path) -> None:
    found = whys(outputs, 3, 29 * DAY_S)
    assert {"a": "", "b": "newer than asked for"} == {name: found[name] for name in "ab"}


def test_the_newest_check_that_passed_stays_beside_the_newest_certified_run(outputs: Path) -> None:
    for day, name in enumerate("xyz", start=1):
        check(outputs, name, f"2026-01-0{day}T00:00:00Z", status="FAIL" if name == "z" else "PASS")
    found = whys(outputs)
    assert {"x": "", "y": "the newest passed memory check of its model and profile", "z": ""} == {
        name: found[name] for name in "xyz"
    }


def test_a_sweep_goes_as_one_once_nothing_was_written_for_an_hour(outputs: Path) -> None:
    swept = sweep(outputs, "swept")
    for minutes, why in ((0, "may be being recorded"), (61, "")):
        unchanged_for(swept, minutes * 60)
        (found,) = (
            each for each in retention.fates(outputs, 0, None, datetime.now(UTC)) if each.found.path == swept
        )
        assert why == found.why
    retention.delete(outputs, [found])
    assert not swept.exists()


def without_profile(outputs: Path) -> Path:
    (outputs / "a" / "profile.yaml").unlink()
    return outputs / "a"


def of_another_kind(outputs: Path) -> Path:
    (outputs / "a" / "profile.yaml").write_text("name: music\n")
    return outputs / "a"


def without_records(outputs: Path) -> Path:
    shutil.rmtree(outputs / "a" / "records")
    return outputs / "a"


def linked_records(outputs: Path) -> Path:
    shutil.move(outputs / "a" / "records", outputs.parent / "elsewhere")
    (outputs / "a" / "records").symlink_to(outputs.parent / "elsewhere")
    return outputs / "a"


def link_to_a_run(outputs: Path) -> Path:
    shutil.move(outputs / "a", outputs.parent / "a")
    (outputs / "a").symlink_to(outputs.parent / "a")
    return outputs / "a"


def baselines(outputs: Path) -> Path:
    (outputs / "baselines").mkdir()
    (outputs / "baselines" / "smollm2-135m.json").write_text("{}")
    return outputs / "baselines"


def linked_folder(outputs: Path) -> Path:
    """A `latest` that names the run by its whole path."""
    (outputs / "latest").unlink()
    (outputs / "latest").symlink_to((outputs / "a").resolve())
    return outputs / "a"


def with_notes(outputs: Path) -> Path:
    manifest.write(outputs / "a")
    (outputs / "a" / "notebooks").mkdir()
    (outputs / "a" / "notebooks" / "mine.ipynb").write_text("{}")
    return outputs / "a"


def being_recorded(outputs: Path) -> Path:
    return recorded(outputs, "new", ended=False, started_utc="2020-01-01T00:00:00Z")


STAYS = {
    "a folder without a profile": (without_profile, "is no run of hxbench"),
    "a folder with a profile of another kind": (of_another_kind, "is no run of hxbench"),
    "a folder without records": (without_records, "is no run of hxbench"),
    "records that are a link": (linked_records, "is no run of hxbench"),
    "a link to a run": (link_to_a_run, "is no run of hxbench"),
    "baselines": (baselines, "is no run of hxbench"),
    "the latest by its whole path": (linked_folder, "`latest` points to it"),
    "a run with a file of the user's": (
        with_notes,
        "holds notebooks/mine.ipynb, which is not in its manifest",
    ),
    "a run being recorded": (being_recorded, "may be being recorded"),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_is_not_certainly_an_old_run_stays(name: str, outputs: Path) -> None:
    make, why = STAYS[name]
    kept = make(outputs)
    found = {
        each.found.path.name: each
        for each in retention.fates(outputs, 0, None, datetime.now(UTC))
    }  # fmt: skip
    assert found[kept.name].why.startswith(why)
    retention.delete(outputs, [each for each in found.values() if not each.why])
    assert kept.exists()


def test_a_killed_run_goes_once_nothing_was_written_for_an_hour(outputs: Path) -> None:
    killed = recorded(outputs, "killed", ended=False, started_utc="2020-01-01T00:00:00Z")
    now = datetime.now(UTC)
    for minutes, why in ((58, "may be being recorded"), (4, "")):
        unchanged_for(killed, minutes * 60)
        assert [why] == [
            each.why for each in retention.fates(outputs, 0, None, now) if each.found.path == killed
        ]


def test_a_run_with_a_damaged_certificate_may_go(outputs: Path) -> None:
    (outputs / "a" / "certificate.json").write_text("{")
    assert "" == whys(outputs)["a"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: (folder / "records").mkdir(parents=True), "is a run, not a folder of runs"),
        (lambda folder: sweep(folder.parent, folder.name), "is a sweep, not a folder of runs"),
        (
            lambda folder: (folder / "music").mkdir(parents=True),
            "not a folder of runs: none of its 1 folders is",
        ),
    ],
)
def test_a_folder_that_holds_no_runs_is_refused(
    make: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "x")
    with pytest.raises(InputError, match=said):
        retention.fates(tmp_path / "x", 0, None, NOW)


def test_an_empty_folder_has_nothing_to_delete(tmp_path: Path) -> None:
    assert [] == retention.fates(tmp_path, 0, None, NOW)


def test_nothing_is_deleted_while_a_run_is_measured(outputs: Path) -> None:
    going = [each for each in retention.fates(outputs, 0, None, NOW) if not each.why]
    with lock.measuring(outputs), pytest.raises(BusyError):
        retention.delete(outputs, going)
    assert {"a", "b"} <= {path.name for path in outputs.iterdir()}


def test_what_cannot_be_deleted_is_named_and_the_rest_is_gone(outputs: Path) -> None:
    going = [each for each in retention.fates(outputs, 0, None, NOW) if not each.why]
    shutil.rmtree(outputs / "b")
    with pytest.raises(
        IncompleteError, match=r"outputs: 1 could not be deleted: b: No such file or directory"
    ):
        retention.delete(outputs, going)
    assert not (outputs / "a").exists()


def test_a_deletion_that_was_cut_short_is_ended_by_the_next(outputs: Path) -> None:
    (outputs / "a").rename(outputs / ".gc-a")
    retention.delete(outputs, [])
    assert {"b", "c", "d", "latest", "index.html"} == {path.name for path in outputs.iterdir()}


def test_without_yes_the_command_shows_what_would_go(
    outputs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for flags in ([], ["--dry-run"], ["--dry-run", "--yes"]):
        assert 0 == cli.run_command(["gc", str(outputs), "--keep", "1", *flags])
        lines = capfd.readouterr().out.splitlines()
        assert ["stays", "c"] == lines[0].split()[:2]
        assert CERTIFIED in lines[0]
        assert [["goes", "b"], ["goes", "a"]] == [line.split()[:2] for line in lines[1:3]]
        assert lines[3].startswith("2 runs of 4, ")
        assert lines[3].endswith(", would go: pass --yes to delete")
        assert {"a", "b", "c", "d", "latest"} == {path.name for path in outputs.iterdir()}


def test_with_yes_they_are_gone_and_the_index_knows_it(
    outputs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["gc", str(outputs), "--older-than", "30d", "--keep", "3", "--yes"]
    assert 0 == cli.run_command(arguments)
    assert capfd.readouterr().out.splitlines()[-1].endswith(", deleted")
    assert {"b", "c", "d", "latest", "index.html"} == {path.name for path in outputs.iterdir()}
    html = (outputs / "index.html").read_text()
    assert "./b/certificate.html" in html
    assert "./a/certificate.html" not in html


def test_on_a_full_disk_the_old_index_stays_and_the_line_says_why(outputs: Path) -> None:
    (outputs / "index.html").write_text("the old one")
    for command, more, status in (
        (["index"], "", 2),
        (["gc", "--keep", "0", "--yes"], "; the runs are deleted", 4),
    ):
        arguments = [sys.executable, "-m", "hxbench.cli", *command, str(outputs)]
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=False, preexec_fn=small_files_only
        )
        said = done.stderr.splitlines()[0]  # below it, under coverage, is coverage's own file
        assert f"hxbench: {outputs}/index.html: cannot be written: File too large{more}" == said
        assert (status, "") == (done.returncode, done.stdout)
    assert {"c", "d", "latest", "index.html"} == {path.name for path in outputs.iterdir()}
    assert "the old one" == (outputs / "index.html").read_text()


def small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def test_sizes_are_reported_and_json_says_all(outputs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    size = sum(path.stat().st_size for path in (outputs / "a").rglob("*") if path.is_file())
    assert 0 == cli.run_command(["gc", str(outputs), "--keep", "3", "--json"])
    rows = json.loads(capfd.readouterr().out)
    assert {"run": str(outputs / "a"), "bytes": size, "goes": True, "why": None} == rows[-1]
    assert [False, False, False, True] == [row["goes"] for row in rows]


def test_the_folder_of_runs_is_that_of_the_environment(
    outputs: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HXBENCH_OUTPUTS", str(outputs))
    assert 0 == cli.run_command(["gc", "--older-than", "400 d"])
    assert "0 runs of 4, " in capfd.readouterr().out
    assert 0 == cli.run_command(["index"])
    assert f"{outputs / 'index.html'}\n" == capfd.readouterr().out

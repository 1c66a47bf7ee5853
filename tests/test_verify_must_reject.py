"""Bad evidence, each kind made from one good run: `verify` refuses all of it, and `judge` certifies none.

Each change is made three times over: as it is, where the manifest's hashes show it; with the manifest
written anew, where only the records do; and, where the records were changed, judged again.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from runs_by_hand import good, read_table, store, write_table

from hxbench import cli, workbench
from hxbench.errors import EvidenceError
from hxbench.judge.looks import until
from hxbench.records.run_directory import Records, open_records
from hxbench.render import manifest

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Bad:
    """One change; `said` is part of what is said when the manifest was written anew, `judged` tells whether
    the records were changed, so that judging them again must not certify them."""

    change: Change
    said: str
    judged: bool = False
    base: str = "certified"


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certified run, the same with all its pages, an undecided one in open loop, one with failures."""
    folder = tmp_path_factory.mktemp("bases")
    undecided = {"profile": {"objectives": {"ttft": {"p99": "500 ms"}, "error_rate": "1 %"}}}
    made = {
        "certified": store(good(), folder / "certified"),
        "rendered": store(good(), folder / "rendered"),
        "open": store(good(loop="open", **undecided), folder / "open"),
        "failures": store(good(failed={3, 50}), folder / "failures"),
        "ended early": store(until(six({"p50": "500 ms"}), 3), folder / "ended early"),
        "went on": store(six({"p95": "500 ms"}), folder / "went on"),
    }
    workbench.render(made["rendered"])
    for name in ("certified", "open", "failures", "ended early", "went on"):
        workbench.judge(made[name])
    return made


def six(ttft: dict[str, str]) -> Records:
    """A run of six trials, too short to decide a p95 at its first look, after three."""
    return good(trials=6, requests=28, tokens=4, profile={"objectives": {"ttft": ttft}})


def cut_after(trials: int) -> Change:
    """Takes the later trials out of every table, and notes the hash of the shorter schedule."""

    def change(run: Path) -> None:
        whole = replace(open_records(run), reads=read_table(run, "reads"))
        shorter = store(until(whole, trials), run.parent / "shorter")
        for name in ("records", "facts.json"):
            shutil.move(run / name, run.parent / f"longer {name}")
            shutil.move(shorter / name, run / name)

    return change


def edited_json(name: str, edit: Callable[[Any], None]) -> Change:
    def change(run: Path) -> None:
        document = json.loads((run / name).read_text())
        edit(document)
        (run / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    return change


def certificate(edit: Callable[[Any], None]) -> Change:
    return edited_json("certificate.json", edit)


def replaced_text(name: str, old: str, new: str) -> Change:
    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def table(name: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    def change(run: Path) -> None:
        write_table(run, name, edit(read_table(run, name)).reset_index(drop=True))

    return change


def cells(name: str, row: int, **values: Any) -> Change:
    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            frame.loc[frame.index[row], column] = value
        return frame

    return table(name, edit)


def both(*changes: Change) -> Change:
    def change(run: Path) -> None:
        for each in changes:
            each(run)

    return change


def without(name: str, ids: Callable[[Path], list[str]]) -> Change:
    def change(run: Path) -> None:
        frame = read_table(run, name)
        write_table(run, name, frame[~frame["request_id"].isin(ids(run))].reset_index(drop=True))

    return change


def slowest(run: Path) -> list[str]:
    requests = read_table(run, "requests")
    spent = requests["first_token_ns"] - requests["dispatched_ns"]
    return requests.loc[spent.sort_values(ascending=False).index[:5], "request_id"].tolist()


def failures(run: Path) -> list[str]:
    requests = read_table(run, "requests")
    return requests.loc[requests["outcome"] == "failed", "request_id"].tolist()


def everywhere(ids: Callable[[Path], list[str]], *names: str) -> Change:
    """Takes requests out of several tables; whose ids is asked before the first of them changes."""

    def change(run: Path) -> None:
        gone = ids(run)
        for name in names:
            without(name, lambda _: gone)(run)

    return change


def of_another_run(run: Path) -> None:
    """Other records under the same certificate: four times as slow as its limit."""
    shutil.rmtree(run / "records")
    other = store(good(ttft_s=2.0), run.parent / "other")
    shutil.move(other / "records", run / "records")


def other_profile(run: Path) -> None:
    other = store(good(profile={"name": "other", "component": "SMOLLM2"}), run.parent / "other")
    shutil.copy(other / "profile.yaml", run / "profile.yaml")


def stopped_early(run: Path) -> None:
    requests = read_table(run, "requests")
    late = requests.index[60:]
    times = [column for column in requests if column.endswith("_ns")]
    requests.loc[late, times] = pd.NA
    requests.loc[late, ["deltas", "reads"]] = 0
    requests.loc[late, "outcome"] = "cancelled"
    write_table(run, "requests", requests)
    without("reads", lambda _: requests.loc[late, "request_id"].tolist())(run)


def verdict(number: int, **values: Any) -> Change:
    return certificate(lambda document: document["verdicts"][number].update(values))


def truncated(name: str) -> Change:
    def change(run: Path) -> None:
        path = run / "records" / f"{name}.parquet"
        path.write_bytes(path.read_bytes()[:-200])

    return change


def linked(run: Path) -> None:
    path = run / "records" / "requests.parquet"
    shutil.move(path, run.parent / "elsewhere.parquet")
    path.symlink_to(run.parent / "elsewhere.parquet")


def linked_folder(run: Path) -> None:
    shutil.move(run / "records", run.parent / "elsewhere")
    (run / "records").symlink_to(run.parent / "elsewhere")


def twice(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[[5]]])


def shown_result(run: Path) -> None:
    path = run / "notebooks" / "validation.ipynb"
    text = path.read_text()
    assert '"passed": 14' in text
    path.write_text(text.replace('"passed": 14', '"passed": 15'))


def bare_notebook(run: Path) -> None:
    notebook = json.loads((run / "notebooks" / "validation.ipynb").read_text())
    notebook["cells"] = notebook["cells"][:3]
    (run / "notebooks" / "validation.ipynb").write_text(json.dumps(notebook))


def broken_cell(run: Path) -> None:
    notebook = json.loads((run / "notebooks" / "validation.ipynb").read_text())
    error = {"output_type": "error", "ename": "KeyError", "evalue": "x", "traceback": []}
    next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")["outputs"] = [error]
    (run / "notebooks" / "validation.ipynb").write_text(json.dumps(notebook))


NONE = 10**6  # a count far off

BAD = {
    # the records' files
    "a table cut short": Bad(truncated("requests"), "not readable as Parquet", judged=True),
    "a table that is gone": Bad(
        lambda run: (run / "records" / "reads.parquet").unlink(), "reads.parquet: missing", judged=True
    ),
    "rows cut off the end of the requests": Bad(
        table("requests", lambda frame: frame.iloc[:-20]), "20 planned requests have no row", judged=True
    ),
    "rows cut off the end of the reads": Bad(
        table("reads", lambda frame: frame.iloc[:-100]), "whose reads, deltas or token times", judged=True
    ),
    "records of another run": Bad(of_another_run, "certificate.json: ", judged=True),
    "a column that is gone": Bad(
        lambda run: pq.write_table(
            pq.read_table(run / "records" / "reads.parquet").drop_columns("request_id"),
            run / "records" / "reads.parquet",
        ),
        "reads.parquet: column request_id: expected string",
        judged=True,
    ),
    "a column of another type": Bad(
        lambda run: read_table(run, "clock").astype(str).to_parquet(run / "records" / "clock.parquet"),
        "column monotonic_ns: expected int64",
        judged=True,
    ),
    # what happened to requests
    "the slowest requests gone": Bad(
        everywhere(slowest, "requests", "reads"), "5 planned requests have no row", judged=True
    ),
    "the slowest requests gone from the schedule too": Bad(
        everywhere(slowest, "requests", "reads", "schedule"), "rows after a hole", judged=True
    ),
    "failures gone": Bad(
        everywhere(failures, "requests"), "2 planned requests have no row", judged=True, base="failures"
    ),
    "failures called ok": Bad(
        table("requests", lambda frame: frame.assign(outcome="ok")), "called ok with an error", judged=True,
        base="failures",
    ),
    "an answer called ok with an error": Bad(
        cells("requests", 7, error="reset by peer"), "1 requests called ok with an error", judged=True
    ),
    "an answer called ok with status 503": Bad(
        cells("requests", 7, http_status=503), "called ok whose HTTP status is not 200", judged=True
    ),
    "an answer called ok without a token": Bad(
        both(
            cells("requests", 7, deltas=0, reads=0, output_tokens=0),
            without("reads", lambda run: [read_table(run, "requests")["request_id"][7]]),
        ),
        "called ok without a token",
        judged=True,
    ),
    "an answer called ok with no output tokens": Bad(
        cells("requests", 7, output_tokens=0), "called ok with no output tokens", judged=True
    ),
    "an answer called ok that never ended": Bad(
        cells("requests", 7, done_ns=pd.NA), "called ok without all their times", judged=True
    ),
    "an outcome nobody knows": Bad(
        cells("requests", 7, outcome="fine"), "1 requests of an unknown outcome", judged=True
    ),
    "a count below zero": Bad(cells("requests", 7, bytes=-1), "requests with a count below 0", judged=True),
    "a request there twice": Bad(table("requests", twice), "t1-000005 stands there twice", judged=True),
    "a request that was never planned": Bad(
        cells("requests", 7, request_id="t1-009999"), "1 requests that were never planned", judged=True
    ),
    "a request of another trial": Bad(
        cells("requests", 7, trial=2), "another trial, target or due time than planned", judged=True
    ),
    "a first token before its request": Bad(
        cells("requests", 7, first_token_ns=1), "requests whose times go backwards", judged=True
    ),
    "a request after the end": Bad(
        cells("requests", 129, done_ns=NONE * 10**9), "begin or after its end", judged=True
    ),
    # reads
    "a read that is gone": Bad(
        table("reads", lambda frame: frame.drop(frame.index[40])), "reads after a hole, or twice", judged=True
    ),
    "a read there twice": Bad(table("reads", twice), "reads after a hole, or twice", judged=True),
    "a read before the one it follows": Bad(
        cells("reads", 40, received_ns=1), "reads before the one they follow", judged=True
    ),
    "reads of a request that is not there": Bad(
        cells("reads", 40, request_id="t1-009999"), "reads of requests that are not there", judged=True
    ),
    "a read without its time": Bad(
        cells("reads", 40, received_ns=pd.NA), "column received_ns: a row has none", judged=True
    ),
    # plan, phases, clock, samples
    "a row of the schedule gone": Bad(
        table("schedule", lambda frame: frame.iloc[:-1]), "whose hash facts.json notes", judged=True
    ),
    "due times moved in the schedule": Bad(
        table("schedule", lambda frame: frame.assign(due_ns=frame["due_ns"] + 10**8)),
        "of another trial, target or due time than planned", judged=True, base="open",
    ),
    "due times moved in schedule and requests": Bad(
        both(
            table("schedule", lambda frame: frame.assign(due_ns=frame["due_ns"] - 10**6)),
            table("requests", lambda frame: frame.assign(due_ns=frame["due_ns"] - 10**6)),
        ),
        "is not the schedule whose hash facts.json notes", judged=True, base="open",
    ),
    "sent before it was due": Bad(
        cells("requests", 7, dispatched_ns=1), "requests whose times go backwards", judged=True, base="open"
    ),
    "stopped early": Bad(stopped_early, "sent 50 measured requests, the profile asks for 120", judged=True),
    "no measured window": Bad(
        table("phases", lambda frame: frame[frame["phase"] != "measure"]),
        "measured windows of trials []", judged=True,
    ),
    "a phase that ends before it begins": Bad(
        cells("phases", 1, end_ns=1), "phases that end before they begin", judged=True
    ),
    "samples that are no numbers": Bad(
        cells("series", 3, value=np.nan), "samples that are no number", judged=True
    ),
    "clock pairs out of order": Bad(
        table("clock", lambda frame: frame.iloc[::-1]), "pairs out of order", judged=True
    ),
    "a run cut short called complete": Bad(
        both(
            everywhere(slowest, "requests"),
            edited_json("records/ending.json", lambda ending: ending.update(state="complete")),
        ),
        "have no row, though the run came to its end", judged=True,
    ),
    "stopped where no look was planned": Bad(
        cut_after(2), "ends after trial 2, at no planned look (after 3, 6)", judged=True, base="ended early"
    ),
    "stopped at a look that left a limit open": Bad(
        cut_after(3), "ends after trial 3 of 6, where not every limit is decided (ttft.p95)", judged=True,
        base="went on",
    ),
    # what stands beside the records
    "a limit widened in the profile": Bad(
        replaced_text("profile.yaml", "<= 0.5 s", "<= 5 s"), "profile.yaml: notes the hash", judged=False
    ),
    "another profile, hash and all": Bad(
        other_profile,
        'profile.name: holds "smollm2-135m", the records give "other"',
    ),
    "a profile that is none": Bad(
        lambda run: (run / "profile.yaml").write_text("schema: 9\n"),
        "profile.yaml:1: schema: expected 1, got 9",
    ),
    "calibration edited": Bad(
        edited_json(
            "records/calibration.json", lambda found: found["before"]["tries"][0].update(ttft_p99_s=1e-9)
        ),
        "certificate.json: calibration.before.tries[0].ttft_p99_s: holds 5e-05, the records give 1e-09",
    ),
    "the model's hash edited": Bad(
        edited_json("facts.json", lambda facts: facts["model"].update(file="Other.gguf")),
        "target.loaded_model",
    ),
    "an answer to a bad request edited": Bad(
        edited_json("records/exchanges.json", lambda each: each[4].update(status=200)),
        "verdicts[",
        judged=True,
    ),
    # the certificate
    "an estimate edited": Bad(
        verdict(2, estimate=0.21), "certificate.json: verdicts[2].estimate: holds 0.21, the records give 0.1"
    ),
    "a rate that is not a number": Bad(
        certificate(lambda c: c["summary"]["throughput_tokens"].update(window=float("nan"))), "it holds NaN"
    ),
    "a gate left out": Bad(
        certificate(lambda c: c["verdicts"].pop(3)), "verdicts: holds 15 entries, the records give 16"
    ),
    "a gate's limit widened": Bad(
        verdict(2, limit=5.0), "verdicts[2].limit: holds 5.0, the records give 0.5"
    ),
    "four times the limit and passed": Bad(
        verdict(2, estimate=2.0), "verdicts[2].estimate: holds 2.0, the records give 0.1"
    ),
    "undecided turned into passed": Bad(
        both(
            verdict(2, verdict="PASS"),
            certificate(lambda c: c.update(status="CERTIFIED", status_reason="All passed.")),
        ),
        'verdicts[2].verdict: holds "PASS", the records give "INCONCLUSIVE"', base="open",
    ),
    "the status edited": Bad(
        certificate(lambda c: c.update(status="CERTIFIED")),
        'status: holds "CERTIFIED", the records give "CONDITIONAL"', base="open",
    ),
    "the status' reason edited": Bad(
        certificate(lambda c: c.update(status_reason="All is well.")), "status_reason: holds"
    ),
    "a ledger entry left out": Bad(certificate(lambda c: c["ledger"].pop(0)), "ledger: holds"),
    "a ledger entry mended": Bad(
        certificate(lambda c: c["ledger"][0].update(value=0.5)), "ledger[0].value: holds 0.5, the"
    ),
    "a count edited": Bad(
        certificate(lambda c: c["counts"].update(passed=99)), "counts.passed: holds 99, the records give 14"
    ),
    "a value added": Bad(certificate(lambda c: c.update(award="gold")), "award: holds"),
    "a value left out": Bad(certificate(lambda c: c.pop("notes")), "notes: is missing"),
    "a certificate with a key twice": Bad(
        replaced_text("certificate.json", '"schema": 1,', '"schema": 1, "schema": 1,'), "it holds a key twice"
    ),
    "a certificate that is gone": Bad(
        lambda run: (run / "certificate.json").unlink(), "certificate.json: is missing: nothing is claimed"
    ),
    "a certificate that says nothing": Bad(
        lambda run: (run / "certificate.json").write_text("{}"), "certificate.json: status: is missing"
    ),
    "a certificate of a run elsewhere": Bad(
        certificate(lambda c: c.update(run="../other")), 'run: holds "../other", the records give "other"'
    ),
    "an ending that says nothing": Bad(
        lambda run: (run / "records" / "ending.json").write_text("{}"), "not as hxbench writes them: KeyError"
    ),
    "a certificate that is no object": Bad(
        lambda run: (run / "certificate.json").write_text("[]"), "certificate.json: is no JSON object"
    ),
    # what was written from it
    "JUnit edited": Bad(
        replaced_text("junit.xml", 'tests="16"', 'tests="17"'), "junit.xml: line 3: holds", base="rendered"
    ),
    "a report that is no text": Bad(
        lambda run: (run / "junit.xml").write_bytes(b"\xff"), "junit.xml: not readable", base="rendered"
    ),
    "the summary edited": Bad(
        replaced_text("summary.md", "14 passed", "15 passed"), "summary.md: line ", base="rendered"
    ),
    "the metrics edited": Bad(
        replaced_text("metrics.txt", 'verdict="passed"} 14', 'verdict="passed"} 15'),
        "metrics.txt: line ",
        base="rendered",
    ),
    "the badge edited": Bad(
        replaced_text("badge.svg", "✓ CERTIFIED", "✓ CERT1FIED"), "badge.svg: line ", base="rendered"
    ),
    "the page edited": Bad(
        replaced_text("certificate.html", "CERTIFIED", "CERTlFIED"), "certificate.html: line", base="rendered"
    ),
    "the notebook's page edited": Bad(
        replaced_text("validation.html", "CERTIFIED", "CERTlFIED"), "validation.html: line", base="rendered"
    ),
    "a notebook that shows another result": Bad(
        shown_result,
        "validation.ipynb: its result: counts.passed: holds 15, the records give 14",
        base="rendered",
    ),
    "a notebook without a result": Bad(
        bare_notebook, 'status: holds "CERTIFIED", the records give "INCOMPLETE"', base="rendered"
    ),
    "a notebook with a cell that failed": Bad(
        broken_cell, "code cell 1 ended in KeyError", base="rendered"
    ),
    "a notebook that is none": Bad(
        lambda run: (run / "notebooks" / "validation.ipynb").write_text("{"),
        "validation.ipynb: not a notebook",
        base="rendered",
    ),
}  # fmt: skip


@pytest.fixture
def copied(bases: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda base: Path(shutil.copytree(bases[base], tmp_path / base, symlinks=True))


@pytest.mark.parametrize("name", BAD)
def test_bad_evidence_is_refused(name: str, copied: Callable[[str], Path]) -> None:
    bad = BAD[name]
    run = copied(bad.base)
    bad.change(run)
    assert [] != manifest.faults(run)
    manifest.write(run)
    faults = workbench.verify(run).faults
    assert [] != [fault for fault in faults if bad.said in fault], faults


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if bad.judged])
def test_bad_records_are_not_certified(name: str, copied: Callable[[str], Path]) -> None:
    run = copied(BAD[name].base)
    BAD[name].change(run)
    try:
        status = workbench.judge(run).certificate["status"]
    except EvidenceError:
        return
    assert status in ("INCOMPLETE", "FAILED", "CONDITIONAL")


# Where nothing but the manifest can tell.
BY_HASH = {
    "a hash forged": (
        lambda run: replaced_text("manifest.json", '"sha256":"', '"sha256":"0')(run), "is not the file whose"
    ),
    "a file left out of the manifest": (
        edited_json("manifest.json", lambda m: m["files"].pop("records/clock.parquet")), "canonical JSON"
    ),
    "a manifest that lists nothing": (
        lambda run: (run / "manifest.json").write_text("{}"), "manifest.json: lists no files"
    ),
    "no manifest": (lambda run: (run / "manifest.json").unlink(), "manifest.json: is missing"),
    "an extra file": (
        lambda run: (run / "records" / "note.txt").write_text("x"), "records/note.txt: is not in manifest"
    ),
    "a hidden extra file": (lambda run: (run / ".x").write_text("x"), ".x: is not in manifest.json"),
    "a file that is gone": (lambda run: (run / "junit.xml").unlink(), "junit.xml: is missing"),
    "clock pairs moved": (
        table("clock", lambda frame: frame.assign(realtime_ns=frame["realtime_ns"] + 5)),
        "records/clock.parquet: is not the file",
    ),
    "records that are a link": (linked, "records/requests.parquet: is no regular file"),
    "a folder of records that is a link": (linked_folder, "records: is no regular file"),
    "prose of the notebook edited": (
        replaced_text("notebooks/validation.ipynb", "Is it good enough?", "It is good."), "validation.ipynb"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HASH)
def test_what_only_the_hashes_show_is_refused(name: str, copied: Callable[[str], Path]) -> None:
    run = copied("rendered")
    change, said = BY_HASH[name]
    change(run)
    faults = workbench.verify(run).faults
    assert [] != [fault for fault in faults if said in fault], faults


@pytest.mark.parametrize("base", ["certified", "rendered", "open", "failures", "ended early", "went on"])
def test_the_good_run_is_verified(base: str, copied: Callable[[str], Path]) -> None:
    assert () == workbench.verify(copied(base)).faults


def test_whoever_writes_everything_anew_is_not_found_out_without_a_signature(
    copied: Callable[[str], Path],
) -> None:
    """With one it is: test_verify_signatures.py."""
    run = copied("open")
    half = 50_000_000  # taken off each answer, in every table that knows of it
    tables = {
        "requests": ["first_byte_ns", "first_token_ns", "first_output_ns", "last_token_ns", "done_ns"],
        "reads": ["received_ns"],
    }
    for name, columns in tables.items():
        frame = read_table(run, name)
        write_table(run, name, frame.assign(**{column: frame[column] - half for column in columns}))
    assert () != workbench.verify(run).faults
    workbench.judge(run)
    assert () == workbench.verify(run).faults


def test_judging_again_leaves_a_run_that_verifies(copied: Callable[[str], Path]) -> None:
    run = copied("rendered")
    workbench.judge(run)
    assert () == workbench.verify(run).faults


def test_a_renamed_folder_is_said_and_no_fault(copied: Callable[[str], Path]) -> None:
    run = copied("open")
    renamed = run.rename(run.with_name("taken-home"))
    found = workbench.verify(renamed)
    assert () == found.faults
    assert ("the folder is called taken-home, the certificate's run open: it was renamed",) == found.notes


def test_a_run_of_another_version_is_said(tmp_path: Path) -> None:
    folder = store(good(), tmp_path / "old")
    edited_json("facts.json", lambda facts: facts.update(hxbench="0.0.9"))(folder)
    workbench.judge(folder)
    found = workbench.verify(folder)
    assert () == found.faults
    assert found.notes[0].startswith("recorded by hxbench 0.0.9, verified by 0.1.0: a difference may be")


@pytest.mark.parametrize("state", ["interrupted", "failed", "killed"])
def test_a_run_cut_short_verifies_and_says_that_it_is_incomplete(state: str, tmp_path: Path) -> None:
    folder = store(good(), tmp_path / "cut")
    stopped_early(folder)
    edited_json("records/ending.json", lambda e: e.update(state=state, reason="stopped"))(folder)
    workbench.judge(folder)
    found = workbench.verify(folder)
    assert ((), "INCOMPLETE") == (found.faults, found.status)


def test_a_run_that_was_never_judged_claims_nothing_and_is_not_verified(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = store(good(), tmp_path / "fresh")
    assert 1 == cli.run_command(["verify", str(folder)])
    said = capfd.readouterr().out
    assert "certificate.json: is missing: nothing is claimed; `hxbench judge` writes it" in said
    assert "NOT VERIFIED" in said


def test_the_command_ends_with_0_or_1_and_names_what_differs(
    copied: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    run = copied("rendered")
    assert 0 == cli.run_command(["verify", str(run)])
    lines = capfd.readouterr().out.splitlines()
    assert 7 == sum(line.startswith("✓ ") for line in lines)
    assert f"VERIFIED: {run} holds what its records give: CERTIFIED" == lines[-1]
    verdict(2, estimate=0.21)(run)
    assert 1 == cli.run_command(["verify", str(run)])
    lines = capfd.readouterr().out.splitlines()
    assert "✕ certificate" in "".join(lines)
    assert any(line.startswith("    certificate.json: verdicts[2].estimate: holds 0.21") for line in lines)
    assert f"NOT VERIFIED: {run}: faults found: 4" == lines[-1]


def test_as_json_it_says_the_same(copied: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    run = copied("open")
    (run / "extra").touch()
    assert 1 == cli.run_command(["verify", str(run), "--json"])
    found = json.loads(capfd.readouterr().out)
    assert (False, "CONDITIONAL") == (found["verified"], found["status"])
    assert ["extra: is not in manifest.json"] == found["groups"][0]["faults"]


def test_a_folder_that_is_no_run_is_wrong_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.run_command(["verify", str(tmp_path)])
    said = capfd.readouterr().err
    line = f"hxbench: {tmp_path}: not a run: it has none of manifest.json, certificate.json, records, nor a "
    assert (1, True) == (len(said.splitlines()), said.startswith(line))


def test_records_that_are_gone_are_a_fault_of_a_run(copied: Callable[[str], Path]) -> None:
    run = copied("open")
    shutil.rmtree(run / "records")
    assert any("not a run: it has no folder records/" in fault for fault in workbench.verify(run).faults)


def test_verifying_writes_nothing(copied: Callable[[str], Path]) -> None:
    run = copied("rendered")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    workbench.verify(run)
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}

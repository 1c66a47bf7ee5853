"""Bad evidence of memory checks, each kind made from one good check: `verify` refuses all of it.

As it is the manifest's hashes show it; with the manifest written anew the records do; and where these
contradict themselves, judging them again passes nothing.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from checks_by_hand import STEPS, store

import hxbench as hx
from hxbench import cli
from hxbench.errors import DirectoryError, UnsoundError
from hxbench.records import tables
from hxbench.records.schemas import PHASES, SERIES
from hxbench.render import keys, manifest

Change = Callable[[Path], None]
SCHEMAS = {"phases": PHASES, "series": SERIES}
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Bad:
    """One change; `said` is part of what is said with the manifest written anew, `judged` tells whether the
    records contradict themselves, so that judging them again must not pass them."""

    change: Change
    said: str
    judged: bool = False
    base: str = "whole"


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A check that passes, the same with its page, and one that was interrupted in its last step."""
    folder = tmp_path_factory.mktemp("checks")
    stopped = {"state": "interrupted", "reason": "stopped by signal 2", "signal": 2}
    made = {
        "whole": store(folder / "whole"),
        "rendered": store(folder / "rendered"),
        "cut": store(folder / "cut", measured=len(STEPS) - 1, ending=stopped),
    }
    hx.judge(made["whole"])
    hx.judge(made["cut"])
    hx.render(made["rendered"])
    return made


def table(name: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    def change(check: Path) -> None:
        path = check / "records" / f"{name}.parquet"
        frame = edit(tables.read(path, SCHEMAS[name])).astype(object)
        rows = frame.where(frame.notna(), None).itertuples(index=False, name=None)
        tables.write(path, SCHEMAS[name], list(rows))

    return change


def cell(name: str, row: int, **values: Any) -> Change:
    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            frame.loc[row, column] = value
        return frame

    return table(name, edit)


def edited(name: str, edit: Callable[[Any], Any]) -> Change:
    """Edits a JSON file in place."""

    def change(check: Path) -> None:
        document = json.loads((check / name).read_text())
        edit(document)
        (check / name).write_text(json.dumps(document, indent=1) + "\n")

    return change


def exchange(number: int, **values: Any) -> Change:
    return edited("records/exchanges.json", lambda every: every[number].update(values))


def exchanges(edit: Callable[[list[Any]], Any]) -> Change:
    return edited("records/exchanges.json", edit)


def result(edit: Callable[[Any], Any]) -> Change:
    return edited("result.json", edit)


def text(name: str, old: str, new: str) -> Change:
    def change(check: Path) -> None:
        held = (check / name).read_text()
        assert old in held
        (check / name).write_text(held.replace(old, new, 1))

    return change


def gone(name: str) -> Change:
    return lambda check: (check / name).unlink()


def written(name: str, content: str) -> Change:
    def change(check: Path) -> None:
        (check / name).write_text(content)

    return change


def first(frame: pd.DataFrame, **values: Any) -> int:
    """The index of the first row with these values."""
    is_it = pd.Series(True, index=frame.index)
    for column, value in values.items():
        is_it &= frame[column] == value
    return int(frame.index[is_it][0])


def peak_raised(frame: pd.DataFrame) -> pd.DataFrame:
    largest = frame["value"].where(frame["trial"] == 2).idxmax()
    frame.loc[largest, "value"] += 1
    return frame


def within(request: str, **values: Any) -> str:
    return json.dumps(json.loads(request) | values)


def asked_otherwise(**values: Any) -> Change:
    return exchanges(lambda every: every[3].update(request=within(every[3]["request"], **values)))


def without(name: str, **values: Any) -> Change:
    return table(name, lambda frame: frame.drop(first(frame, **values)))


BAD = {
    # what is claimed is not what the records give
    "an edited sample": Bad(table("series", peak_raised), "result.json: verdicts[1].estimate: holds "),
    "samples taken out": Bad(
        table("series", lambda each: each[~((each["trial"] == 2) & (each["value"] > 208e6))]),
        "result.json: verdicts[1].estimate: holds 210000000.0, the records give 200000000.0",
    ),
    "a verdict turned": Bad(
        result(lambda each: each["verdicts"][2].update(verdict="FAIL")),
        'result.json: verdicts[2].verdict: holds "FAIL", the records give "PASS"',
    ),
    "another limit": Bad(
        result(lambda each: each["verdicts"][0].update(limit=1.0)),
        "result.json: verdicts[0].limit: holds 1.0, the records give 724288000",
    ),
    "another reason": Bad(
        result(lambda each: each["verdicts"][0].update(reason="because")),
        'result.json: verdicts[0].reason: holds "because"',
    ),
    "a verdict left out": Bad(
        result(lambda each: each["verdicts"].pop()), "result.json: verdicts: holds 6 entries"
    ),
    "another status": Bad(
        result(lambda each: each.update(status="FAIL")), 'result.json: status: holds "FAIL"'
    ),
    "another number": Bad(
        result(lambda each: each["numbers"][2].update(growth_bytes=1.0)),
        "result.json: numbers[2].growth_bytes: holds 1.0, the records give 0.0",
    ),
    "no result": Bad(gone("result.json"), "result.json: is missing: nothing is claimed"),
    "a result that is none": Bad(written("result.json", "[]"), "result.json: is no JSON object"),
    "a result with NaN": Bad(
        text("result.json", '"score": null', '"score": NaN'), "result.json: not readable: it holds NaN"
    ),
    "what a server may hold at first": Bad(
        edited("memory.json", lambda note: note.update(loaded_bytes=10**12)),
        "result.json: verdicts[4].limit: holds 2000000000, the records give 1000000000000",
    ),
    "another page": Bad(
        text("memory.html", "PASS", "GOOD"), "memory.html: line ", base="rendered"
    ),
    "another notebook": Bad(
        text("notebooks/memory.ipynb", '"status": "PASS"', '"status": "GOOD"'),
        'notebooks/memory.ipynb: its result: status: holds "GOOD", the records give "PASS"',
        base="rendered",
    ),
    "another junit.xml": Bad(
        text("junit.xml", 'failures="0"', 'failures="1"'), "junit.xml: line ", base="rendered"
    ),
    "ended badly, called whole": Bad(
        written("records/ending.json", '{"state": "complete", "reason": null}'),
        "records/phases.parquet: step 6 (leak): not measured to its end, though the check was",
        judged=True, base="cut",
    ),
    # samples
    "no number": Bad(
        cell("series", 5, value=None), "records/series.parquet: 1 samples that are no number", judged=True
    ),
    "an endless number": Bad(
        cell("series", 5, value=float("inf")), "1 samples that are no number", judged=True
    ),
    "memory below nothing": Bad(cell("series", 4, value=-1.0), "1 samples of memory below 0", judged=True),
    "a sample of no step": Bad(
        cell("series", 5, trial=9), "records/series.parquet: 1 samples of no step", judged=True
    ),
    "a sample of another step": Bad(
        cell("series", 5, trial=2), "records/series.parquet: 1 samples outside their step", judged=True
    ),
    "a sample at another time": Bad(
        cell("series", 0, time_ns=500 * SECOND), "records/series.parquet: 1 samples outside their step",
        judged=True,
    ),
    "samples out of order": Bad(
        table("series", lambda each: each.loc[[1, 40, *range(2, 40), 0, *range(41, len(each))]]),
        "samples out of order", judged=True,
    ),
    "a sample at no time": Bad(
        cell("series", 5, time_ns=None), "records/series.parquet: 1 rows that are not whole"
    ),
    "a step without samples": Bad(
        table("series", lambda each: each[each["trial"] != 3]),
        "records/series.parquet: step 3 (growth): no sample, though the check came to its end", judged=True,
    ),
    # phases
    "a step left out": Bad(
        table("phases", lambda each: each[each["trial"] != 3]),
        "records/phases.parquet: step 3 (growth): not measured to its end, though the check was", judged=True,
    ),
    "a cycle left out": Bad(
        table("phases", lambda each: each.iloc[:-2]),
        "records/phases.parquet: step 6 (leak): not measured to its end, though the check was", judged=True,
    ),
    "a rest left out": Bad(
        without("phases", trial=2, phase="rest"),
        "records/phases.parquet: step 2: not a rest, and a rest behind each load", judged=True,
    ),
    "phases in another order": Bad(
        table("phases", lambda each: each.iloc[::-1]), "records/phases.parquet: phases are out of order",
        judged=True,
    ),
    "a phase that ends before it begins": Bad(
        cell("phases", 1, end_ns=0), "records/phases.parquet: phases are out of order", judged=True
    ),
    "a phase of another step": Bad(
        cell("phases", 1, stage="leak"), "records/phases.parquet: 1 phases of no step", judged=True
    ),
    "a phase that never ended": Bad(
        cell("phases", 1, end_ns=None), "records/phases.parquet: 1 rows that are not whole"
    ),
    # exchanges
    "an exchange taken out": Bad(
        exchanges(lambda every: every.pop(3)),
        "records/exchanges.json: step 3: 19 exchanges in a load, not 20", judged=True,
    ),
    "an answer in the place of a failure": Bad(
        exchanges(lambda every: every[4].update(request=every[3]["request"])),
        "records/exchanges.json: 1 requests that were sent before", judged=True,
    ),
    "an exchange of another step": Bad(
        exchange(3, name="leak"), "records/exchanges.json: 1 exchanges of no step", judged=True
    ),
    "an exchange of no step": Bad(
        exchange(3, trial=9), "records/exchanges.json: 1 exchanges of no step", judged=True
    ),
    "an exchange with another endpoint": Bad(
        exchange(3, path="/health"), "1 exchanges that did not go to /v1/chat/completions", judged=True
    ),
    "another model asked": Bad(
        asked_otherwise(model="phi3"), "1 requests that are not what profile and step ask for", judged=True
    ),
    "shorter answers asked for": Bad(
        asked_otherwise(max_tokens=5), "1 requests that are not what profile and step ask for", judged=True
    ),
    "a request that is none": Bad(
        exchange(3, request="hello"), "1 requests that are not what profile and step ask for", judged=True
    ),
    "an exchange that ends before it begins": Bad(
        exchange(3, done_ns=1), "1 exchanges that end before they begin", judged=True
    ),
    "an exchange at rest": Bad(
        exchange(3, started_ns=1, done_ns=2), "step 3: 1 exchanges outside its loads", judged=True
    ),
    "an exchange behind the last load": Bad(
        exchange(-1, started_ns=10**15, done_ns=10**15), "step 6: 1 exchanges outside its loads", judged=True
    ),
    "more at once than users": Bad(
        exchanges(lambda every: every[4].update(started_ns=every[3]["started_ns"])),
        "step 3: more exchanges at once than its 1 users", judged=True,
    ),
    "an exchange that is a number": Bad(
        exchanges(lambda every: every.append(1)), "records/exchanges.json: 1 entries that are no exchange"
    ),
    "an exchange without its times": Bad(
        exchanges(lambda every: every[3].pop("done_ns")), "1 entries that are no exchange"
    ),
    "no exchanges": Bad(gone("records/exchanges.json"), "exchanges.json: is missing"),
    "exchanges that say two things": Bad(
        written("records/exchanges.json", '[{"name": 1, "name": 2}]'), "exchanges.json: not readable"
    ),
    # what was asked
    "a step taken out of the note": Bad(
        edited("memory.json", lambda note: note["steps"].pop()), "samples of no step", judged=True
    ),
    "a longer step in the note": Bad(
        edited("memory.json", lambda note: note["steps"][5].update(cycles=8)),
        "records/phases.parquet: step 6 (leak): not measured to its end, though the check was", judged=True,
    ),
    "shorter answers in the note": Bad(
        edited("memory.json", lambda note: note["steps"][2].update(tokens=5)),
        "20 requests that are not what profile and step ask for", judged=True,
    ),
    "a note that is none": Bad(written("memory.json", "{"), "memory.json: not readable"),
    "a note of other words": Bad(written("memory.json", '{"steps": []}'), "memory.json: not readable"),
    "another profile": Bad(
        text("profile.yaml", '"openai-chat"', '"anthropic-messages"'),
        "exchanges that did not go to /v1/messages", judged=True,
    ),
    "another hash of the profile": Bad(
        text("profile.yaml", "resolved profile: ", "resolved profile: 0"), "profile.yaml: notes the hash 0"
    ),
    "no profile": Bad(gone("profile.yaml"), "profile.yaml"),
    "another model loaded": Bad(
        edited("facts.json", lambda known: known["model"].update(name="phi3")),
        "facts.json: the model is phi3, the profile asks for smollm2-135m", judged=True,
    ),
    # files
    "a damaged table": Bad(written("records/series.parquet", "x"), "records/series.parquet: not readable"),
    "a missing table": Bad(gone("records/phases.parquet"), "records/phases.parquet: missing"),
    "an ending that is none": Bad(written("records/ending.json", "[]"), "cannot be computed from these"),
}  # fmt: skip


def faults(check: Path) -> list[str]:
    return list(hx.verify(check).faults)


@pytest.fixture
def changed(bases: dict[str, Path], tmp_path: Path, name: str) -> Path:
    bad, copy = BAD[name], tmp_path / "check"
    shutil.copytree(bases[bad.base], copy)
    bad.change(copy)
    return copy


@pytest.mark.parametrize("base", ["whole", "rendered", "cut"])
def test_a_check_that_nobody_touched_is_verified(bases: dict[str, Path], base: str) -> None:
    assert [] == faults(bases[base])
    assert ("INCOMPLETE" if base == "cut" else "PASS") == hx.verify(bases[base]).status


@pytest.mark.parametrize("name", BAD)
def test_what_was_changed_is_refused_however_often_it_is_sealed_and_judged(changed: Path, name: str) -> None:
    bad = BAD[name]
    assert any("manifest.json" in fault for fault in manifest.faults(changed))
    manifest.write(changed)
    said = "\n".join(faults(changed))
    assert "SHA-256 stands in manifest.json" not in said
    assert bad.said in said
    if bad.judged:
        hx.judge(changed)
        assert "INCOMPLETE" == json.loads((changed / "result.json").read_text())["status"]


def test_a_hash_that_is_forged_or_a_statement_is_found(bases: dict[str, Path], tmp_path: Path) -> None:
    check = tmp_path / "check"
    shutil.copytree(bases["whole"], check)
    listed = json.loads((check / "manifest.json").read_text())["files"]["records/series.parquet"]["sha256"]
    text("manifest.json", listed, "0" * 64)(check)
    text("statement.json", "PASSED", "FAILED")(check)
    found = faults(check)
    assert "records/series.parquet: is not the file whose SHA-256 stands in manifest.json" in found
    assert 'statement.json: predicate.result: holds "FAILED", the records give "PASSED"' in found


def test_a_check_that_was_renamed_is_verified_and_its_name_noted(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(bases["rendered"], tmp_path / "another")
    found = hx.verify(tmp_path / "another")
    assert () == found.faults
    assert "the folder is called another, the certificate's run rendered: it was renamed" in found.notes


def test_a_check_signed_and_judged_again_after_an_edit_is_not_its_signers(
    bases: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check, private, public = tmp_path / "check", tmp_path / "me.key", tmp_path / "me.pub"
    shutil.copytree(bases["rendered"], check)
    keys.generate(private, public)
    assert 0 == cli.run_command(["sign", str(check), "--key", str(private)])
    assert 0 == cli.run_command(["verify", str(check), "--key", str(public)])
    assert capfd.readouterr().out.splitlines()[-1].endswith("holds what its records give: PASS")
    BAD["an edited sample"].change(check)
    with pytest.raises(UnsoundError, match="not signed: faults found"):
        hx.sign(check, private)
    hx.judge(check)
    assert 1 == cli.run_command(["verify", str(check), "--key", str(public)])
    assert "signs no statement of this run as it stands here" in capfd.readouterr().out


def test_a_check_shows_its_table_and_its_page(
    bases: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cli.run_command(["show", str(bases["rendered"])])
    shown = capfd.readouterr().out
    assert "Memory grown by 20 answers" in shown
    assert f"{bases['rendered'] / 'memory.html'}\n" == shown.splitlines(keepends=True)[-1]
    assert 0 == cli.run_command(["show", str(bases["rendered"]), "--json"])
    said = json.loads(capfd.readouterr().out)
    assert ("memory check", "PASS") == (said["kind"], said["status"])
    assert 2 == cli.run_command(["show", str(bases["whole"]), "--as", "vllm"])
    assert "--as: is for runs, and " in capfd.readouterr().err


def test_the_reports_of_a_check_name_what_it_is(bases: dict[str, Path]) -> None:
    check = bases["rendered"]
    assert "hxbench memory check: smollm2-135m" in (check / "junit.xml").read_text()
    assert "## ✓ PASS: smollm2-135m, memory check" in (check / "summary.md").read_text()
    assert "hxbench_memory_at_once_bytes{" in (check / "metrics.txt").read_text()
    assert "Memory of the servers, step by step" in (check / "memory.html").read_text()
    statement = json.loads((check / "statement.json").read_text())
    assert "PASSED" == statement["predicate"]["result"]
    assert {"manifest.json", "result.json", "memory.html"} == {each["name"] for each in statement["subject"]}


def test_a_folder_of_nothing_that_is_known_is_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = (
        "not a run: it has none of manifest.json, certificate.json, records, nor a memory check (memory.json)"
    )
    with pytest.raises(DirectoryError) as refused:
        hx.verify(tmp_path)
    assert line in str(refused.value)
    assert 2 == cli.run_command(["verify", str(tmp_path)])
    assert 1 == len(capfd.readouterr().err.splitlines())


def test_a_notebook_that_breaks_leaves_the_records_whole_and_ends_with_4(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from hxbench.render import notebooks

    shutil.copytree(bases["whole"], tmp_path / "check")
    monkeypatch.setattr(notebooks, "_last_line", lambda _: "killed by the test")
    monkeypatch.setattr(notebooks, "_environment", lambda _: {})
    assert 4 == cli.run_command(["render", str(tmp_path / "check")])
    assert "hxbench: notebook memory: " in capfd.readouterr().err
    found = hx.verify(tmp_path / "check")
    assert ("INCOMPLETE", ()) == (found.status, found.faults)
    again = hx.judge(tmp_path / "check")
    assert [] == list(again.contradictions)

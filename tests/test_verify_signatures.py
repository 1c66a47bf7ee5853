"""Who signed a run: `verify --key` takes nobody's word for it but the holder's of that key."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from runs_by_hand import good, read_table, store, write_table

from hxbench import cli, workbench
from hxbench.errors import InputError, UnsoundError
from hxbench.render import dsse, keys
from hxbench.render.dsse import Envelope, Signature

SIGNED = "manifest.json.intoto.jsonl"
UNDECIDED = {"objectives": {"ttft": {"p99": "500 ms"}, "error_rate": "1 %"}}


@dataclass(frozen=True)
class Made:
    """An undecided run and another, each signed by a first key; the file of a second one's halves."""

    run: Path
    other: Path
    unsigned: Path
    key: Path
    public: Path
    foreign: Path
    foreign_public: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("signed")
    for name in ("mine", "foreign"):
        keys.generate(folder / f"{name}.key", folder / f"{name}.pub")
    runs = {
        "run": store(good(loop="open", profile=UNDECIDED), folder / "run"),
        "other": store(good(ttft_s=0.2), folder / "other"),
    }
    for run in runs.values():
        workbench.judge(run)
    unsigned = Path(shutil.copytree(runs["run"], folder / "unsigned"))
    for run in runs.values():
        workbench.sign(run, folder / "mine.key")
    return Made(
        **runs,
        unsigned=unsigned,
        key=folder / "mine.key",
        public=folder / "mine.pub",
        foreign=folder / "foreign.key",
        foreign_public=folder / "foreign.pub",
    )


@pytest.fixture
def run(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.run, tmp_path / "run"))


def envelopes(run: Path) -> list[Envelope]:
    return [dsse.parse(line) for line in (run / SIGNED).read_text().splitlines()]


def rewritten(run: Path, edit: Callable[[Envelope], Envelope]) -> None:
    (run / SIGNED).write_bytes(b"".join(edit(each).as_line() for each in envelopes(run)))


def edited_json(path: Path, edit: Callable[[dict[str, object]], object]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False))


def faster(run: Path) -> None:
    """Takes 50 ms off each answer, in every table that knows of it."""
    tables = {
        "requests": ["first_byte_ns", "first_token_ns", "first_output_ns", "last_token_ns", "done_ns"],
        "reads": ["received_ns"],
    }
    for name, columns in tables.items():
        frame = read_table(run, name)
        write_table(run, name, frame.assign(**{column: frame[column] - 50_000_000 for column in columns}))


def judged_anew(run: Path, made: Made) -> None:
    faster(run)
    workbench.judge(run)


def signed_anew(run: Path, made: Made) -> None:
    judged_anew(run, made)
    (run / SIGNED).unlink()
    workbench.sign(run, made.foreign)


def signed_anew_in_the_first_ones_name(run: Path, made: Made) -> None:
    mine = keys.keyid(keys.public_key(made.public))
    signed_anew(run, made)
    rewritten(run, lambda each: replace(each, signatures=(Signature(mine, each.signatures[0].bytes),)))


def signed_anew_beside_the_old_signature(run: Path, made: Made) -> None:
    old = envelopes(run)[0].signatures[0]
    signed_anew(run, made)
    rewritten(run, lambda each: replace(each, signatures=(old, *each.signatures)))


def unsigned_again(run: Path, made: Made) -> None:
    judged_anew(run, made)
    (run / SIGNED).unlink()


def statement_edited(run: Path, made: Made) -> None:
    edited_json(run / "statement.json", lambda each: each["predicate"].update(result="PASSED"))  # type: ignore[attr-defined]


def statement_and_payload_edited(run: Path, made: Made) -> None:
    statement_edited(run, made)
    payload = (run / "statement.json").read_bytes()
    first, second = envelopes(run)
    lines = [replace(first, payload=payload).as_line(), second.as_line()]
    (run / SIGNED).write_bytes(b"".join(lines))


def payload_edited(run: Path, made: Made) -> None:
    rewritten(run, lambda each: replace(each, payload=each.payload.replace(b"FAILED", b"PASSED")))


def text_replaced(old: str, new: str) -> Callable[[Path, Made], None]:
    def change(run: Path, made: Made) -> None:
        text = (run / SIGNED).read_text()
        assert old in text
        (run / SIGNED).write_text(text.replace(old, new, 1))

    return change


def one_byte_of_the_signature(run: Path, made: Made) -> None:
    def flipped(each: Envelope) -> Envelope:
        signature = each.signatures[0]
        return replace(
            each,
            signatures=(replace(signature, bytes=bytes([signature.bytes[0] ^ 1]) + signature.bytes[1:]),),
        )

    rewritten(run, flipped)


def swapped(run: Path, made: Made) -> None:
    first, second = envelopes(run)
    crossed = [replace(first, signatures=second.signatures), replace(second, signatures=first.signatures)]
    (run / SIGNED).write_bytes(b"".join(each.as_line() for each in crossed))


def signed_without_its_length(run: Path, made: Made) -> None:
    """Over the bare payload, as a tool would that knows no pre-authentication encoding."""
    key = keys.private_key(made.key)
    rewritten(run, lambda each: replace(each, signatures=(Signature("", key.sign(each.payload)),)))


def of_the_other_run(run: Path, made: Made) -> None:
    shutil.copy(made.other / SIGNED, run / SIGNED)


def everything_of_the_other_run(run: Path, made: Made) -> None:
    for path in made.other.glob("*.js*"):
        shutil.copy(path, run / path.name)


def kept_lines(*numbers: int) -> Callable[[Path, Made], None]:
    def change(run: Path, made: Made) -> None:
        lines = (run / SIGNED).read_text().splitlines(keepends=True)
        (run / SIGNED).write_text("".join(lines[number] for number in numbers))

    return change


ANOTHER_STATE = "line 1: signs no statement of this run as it stands here"
NOT_MINE = "statement.json: is not signed by this key; its signatures say they are by keyid "
EACH = "expected an envelope for each of statement.json, statement-verdicts.json"

FORGED: dict[str, tuple[Callable[[Path, Made], None], str]] = {
    "records edited and judged again": (judged_anew, ANOTHER_STATE),
    "and signed with another key": (signed_anew, NOT_MINE),
    "and in the first one's name": (signed_anew_in_the_first_ones_name, NOT_MINE),
    "and beside the first one's signature": (signed_anew_beside_the_old_signature, NOT_MINE),
    "and left unsigned": (unsigned_again, f"{SIGNED}: is missing: nobody signed this run"),
    "a statement edited": (
        statement_edited, 'statement.json: predicate.result: holds "PASSED", the records give "FAILED"'
    ),
    "a statement edited, in its envelope too": (statement_and_payload_edited, NOT_MINE),
    "a payload edited": (payload_edited, ANOTHER_STATE),
    "a signature with one bit of it turned": (one_byte_of_the_signature, NOT_MINE),
    "the signatures of two statements swapped": (swapped, NOT_MINE),
    "a signature over the bare payload": (signed_without_its_length, NOT_MINE),
    "an envelope of another run": (of_the_other_run, ANOTHER_STATE),
    "manifest, certificate, statements and envelopes of another run": (
        everything_of_the_other_run, "is not the file whose SHA-256 stands in manifest.json"
    ),
    "base64 cut short": (text_replaced('"sig":"', '"sig":"A'), "line 1: no envelope: sig: expected base64"),
    "a line cut short": (
        lambda run, made: (run / SIGNED).write_text((run / SIGNED).read_text()[:-40]), "line 2: no envelope: "
    ),
    "an envelope of another kind of payload": (
        text_replaced("application/vnd.in-toto+json", "text/plain"),
        "line 1: payloadType: expected application/vnd.in-toto+json, got 'text/plain'",
    ),
    "a signed statement left out": (kept_lines(0), EACH),
    "the other left out": (kept_lines(1), EACH),
    "one there twice": (kept_lines(0, 0), EACH),
    "an envelope too many": (kept_lines(0, 1, 1), EACH),
    "a file that is empty": (lambda run, made: (run / SIGNED).write_text(""), EACH),
    "a file that is no text": (
        lambda run, made: (run / SIGNED).write_bytes(b"\xff"), f"{SIGNED}: not readable"
    ),
    "a statement that is gone": (
        lambda run, made: (run / "statement-verdicts.json").unlink(), "statement-verdicts.json: is missing"
    ),
    "a statement with another layout": (
        lambda run, made: edited_json(run / "statement.json", lambda each: each.update(more=1)),
        "statement.json: more: holds 1, the records give no such value",
    ),
    "a statement with a space": (
        lambda run, made: (run / "statement.json").write_bytes((run / "statement.json").read_bytes() + b"\n"),
        "statement.json: is not as hxbench writes it (canonical JSON)",
    ),
    "a link in the place of the envelopes": (
        lambda run, made: (shutil.move(run / SIGNED, run.parent / "s"), (run / SIGNED).symlink_to("../s"))[1],
        f"{SIGNED}: is no regular file",
    ),
}  # fmt: skip


# What is found with the signer's key alone; all else without one too.
MADE_WHOLE = {
    "and signed with another key",
    "and in the first one's name",
    "and beside the first one's signature",
    "and left unsigned",
    "a signature with one bit of it turned",
    "the signatures of two statements swapped",
    "a signature over the bare payload",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forgery_is_refused_with_the_signers_key(name: str, run: Path, made: Made) -> None:
    change, said = FORGED[name]
    change(run, made)
    faults = workbench.verify(run, made.public).faults
    assert [] != [fault for fault in faults if said in fault], faults
    assert (name in MADE_WHOLE) == (() == workbench.verify(run).faults)


def test_a_signed_run_verifies_with_its_signers_key_and_no_other(run: Path, made: Made) -> None:
    found = workbench.verify(run, made.public)
    assert ((), ()) == (found.faults, found.notes)
    assert f"each statement held against {named(made.public)}" == found.groups[-1].says
    assert 2 == len(workbench.verify(run, made.foreign_public).faults)


def named(public: Path) -> str:
    return f"keyid {keys.keyid(keys.public_key(public))[:16]}…"


def test_without_a_key_the_signer_is_named_and_said_to_be_unchecked(run: Path, made: Made) -> None:
    found = workbench.verify(run)
    note = f"signed by {named(made.public)}, they say; not checked: pass --key with the public key"
    assert ((), (note,)) == (found.faults, found.notes)
    assert "signature" not in [group.name for group in found.groups]


def test_a_second_signer_signs_beside_the_first_and_each_key_verifies(run: Path, made: Made) -> None:
    workbench.sign(run, made.foreign)
    workbench.sign(run, made.foreign)  # once more changes nothing
    assert [2, 2] == [len(each.signatures) for each in envelopes(run)]
    assert ((), ()) == (
        workbench.verify(run, made.public).faults,
        workbench.verify(run, made.foreign_public).faults,
    )
    assert f"{named(made.public)}, {named(made.foreign_public)}, they say" in workbench.verify(run).notes[0]


def test_a_name_in_a_signature_is_shown_as_text_that_breaks_no_line(run: Path, made: Made) -> None:
    rewritten(run, lambda each: replace(each, signatures=(Signature("\x1b[2J\n’", b""),)))
    assert r"signed by keyid \x1b[2J\n\u2019…, they say" in workbench.verify(run).notes[0]


def test_judging_again_without_a_change_keeps_the_signature(run: Path, made: Made) -> None:
    workbench.judge(run)
    assert () == workbench.verify(run, made.public).faults


def test_signing_changes_no_file_of_the_run(made: Made, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.unsigned, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert keys.keyid(keys.public_key(made.public)) == workbench.sign(run, made.key)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert {run / SIGNED} == after.keys() - before.keys()
    assert before == {path: after[path] for path in before}
    secret = made.key.read_text().splitlines()[1]
    forms = [secret.encode(), base64.b64decode(secret)[-32:]]
    assert [] == [path for path, content in after.items() if any(form in content for form in forms)]


def test_a_run_with_a_fault_is_not_signed(made: Made, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.unsigned, tmp_path / "run"))
    (run / "extra").touch()
    with pytest.raises(
        UnsoundError, match=r"run: not signed: faults found: 1: extra: is not in manifest\.json"
    ):
        workbench.sign(run, made.key)
    assert not (run / SIGNED).exists()


def test_a_key_inside_the_run_is_refused(run: Path, made: Made) -> None:
    for path in (made.key, made.public):
        shutil.copy(path, run / path.name)
    with pytest.raises(InputError, match=r"mine\.key: a private key inside the run: keep it where no run"):
        workbench.sign(run, run / "mine.key")
    with pytest.raises(InputError, match=r"mine\.pub: a key that comes with the run proves nothing"):
        workbench.verify(run, run / "mine.pub")


def test_the_commands_sign_and_verify(made: Made, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(made.unsigned, tmp_path / "run"))
    assert 1 == cli.run_command(["verify", str(run), "--key", str(made.public)])
    assert f"    {SIGNED}: is missing: nobody signed this run\nNOT VERIFIED" in capfd.readouterr().out
    assert 0 == cli.run_command(["sign", str(run), "--key", str(made.key)])
    assert (
        f"{run}: signed by {named(made.public)}: hxbench verify {run} --key PUBLIC\n"
        == capfd.readouterr().out
    )
    assert 0 == cli.run_command(["verify", str(run), "--key", str(made.public)])
    assert (
        f"✓ signature    each statement held against {named(made.public)}\nVERIFIED" in capfd.readouterr().out
    )


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["verify", "RUN", "--key", "KEY"], 2, "mine.key: is a private key; pass the public one"),
        (["verify", "RUN", "--key", "none"], 2, "none: the key cannot be read: No such file or directory"),
        (
            ["sign", "RUN", "--key", "PUBLIC"],
            2,
            "mine.pub: expected a private key, as `hxbench keygen` makes",
        ),
        (["sign", "RUN"], 2, "Missing option '--key'"),
        (["sign", ".", "--key", "KEY"], 2, ".: not a run: it has none of manifest.json"),
        (["certify", "--sign-key", "PUBLIC"], 2, "mine.pub: expected a private key"),
    ],
)
def test_a_wrong_key_or_folder_is_wrong_input(
    command: list[str], status: int, said: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = {"RUN": str(made.run), "KEY": str(made.key), "PUBLIC": str(made.public)}
    assert status == cli.run_command([given.get(word, word) for word in command])
    error = capfd.readouterr().err
    assert said in error
    assert 1 == error.count("\n")
    assert [] == list(tmp_path.iterdir())


def test_a_faulty_run_ends_the_command_with_1(
    run: Path, made: Made, capfd: pytest.CaptureFixture[str]
) -> None:
    (run / "certificate.json").write_text("{}")
    assert 1 == cli.run_command(["sign", str(run), "--key", str(made.key)])
    assert f"hxbench: {run}: not signed: faults found: " in capfd.readouterr().err


def test_certify_signs_what_it_rendered(made: Made, tmp_path: Path) -> None:
    run = store(good(), tmp_path / "run")  # recorded already: what is left is to judge, render and sign
    workbench.certify(run_dir=run, sign_key=made.key)
    assert (run / "validation.html").exists()
    assert () == workbench.verify(run, made.public).faults
    named_there = [each["name"] for each in json.loads((run / "statement.json").read_text())["subject"]]
    assert ["manifest.json", "certificate.json", "certificate.html"] == named_there[:3]

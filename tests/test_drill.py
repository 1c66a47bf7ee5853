"""Alert drills: a real service really stopped, its alert by a real Prometheus and a real Alertmanager."""

import json
import os
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

import hxbench as hx
from hxbench import cli
from hxbench.errors import DirectoryError, EvidenceError
from hxbench.records import run_directory
from hxbench.render import keys, manifest, past_runs
from hxbench.render.completeness import RESULT_MIME
from hxbench.render.progress import TextView
from tests.drills import Stage
from tests.prometheus import program

pytestmark = pytest.mark.usefixtures("workplace")

TOKEN = "word-8372"  # which the alert's label `note` holds too


def await_text(path: Path, text: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while path.read_text().count(text) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, unavailable: Callable[[str], NoReturn]
) -> Iterator[Stage]:
    names = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter")
    found = [program(repository, name) or unavailable(f"no {name}: make services") for name in names]
    made = Stage(tmp_path_factory.mktemp("stage"), (found[0], found[1], found[2]))
    yield made
    made.close()


@pytest.fixture
def settled(stage: Stage) -> Stage:
    """The stage with nothing left of an earlier drill."""
    stage.settle()
    return stage


@pytest.fixture(scope="module")
def recorded(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole drill."""
    folder = tmp_path_factory.mktemp("drilled")
    stage.settle()
    before = stage.pid
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DRILL_TOKEN", TOKEN)
        hx.alerts(stage.profile(folder), folder / "drill", yes=True, prometheus__token_env="DRILL_TOKEN")
    assert stage.is_up
    assert before != stage.pid
    return folder / "drill"


@pytest.fixture(scope="module")
def evidence(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same drill with what the command adds: its page, its result, its reports."""
    folder = tmp_path_factory.mktemp("evidence") / "drill"
    shutil.copytree(recorded, folder)
    assert 0 == cli.run_command(["alerts", "--out", str(folder)])
    return folder


def test_the_alert_of_a_stopped_service_fires_arrives_and_clears(recorded: Path) -> None:
    found = {each.id: each for each in hx.open_alerts(recorded).found}
    assert ["alert_fires", "alert_received", "alert_clears"] == list(found)
    assert {"PASS"} == {each.verdict for each in found.values()}
    assert [] == hx.open_alerts(recorded).contradictions
    assert found["alert_fires"].estimate <= found["alert_received"].estimate < 60  # type: ignore[operator]


def test_its_timeline_has_who_said_what_since_the_stop(stage: Stage, recorded: Path) -> None:
    frame = hx.open_alerts(recorded).timeline
    assert ["event", "since_stop_s", "said"] == list(frame.columns)
    assert frame["since_stop_s"].is_monotonic_increasing
    said = list(zip(frame["event"], frame["said"], strict=True))
    order = [
        ("stop began", shlex.join(stage.stop)),
        ("receiver", "firing"),
        ("restore began", shlex.join(stage.restore)),
    ]
    order += [("receiver", "resolved"), ("ended", "")]
    assert order == [each for each in said if each in order]
    assert {("Prometheus", "firing"), ("Alertmanager", "active"), ("restore ended", "done")} <= set(said)
    assert ("checked", 'up{job="service"} == 0, for 1 s') == said[0]
    assert 0 == frame.set_index("event").loc["stop began", "since_stop_s"]


def test_a_drill_shows_itself_as_text_table_figure_and_result(recorded: Path) -> None:
    drill = hx.open_alerts(recorded)
    assert f"alert drill {recorded}" == repr(drill).splitlines()[-1]
    assert "Alert received, from the stop" in drill._repr_html_()
    assert ["✓ PASS"] * 3 == drill.verdicts["Verdict"].tolist()
    (drawn,) = drill.figures.timeline().data
    assert len(drill.frame) - 1 == len(drawn.x)  # without what came before the stop
    assert ("PASS", "3 verdicts, all PASS") == (
        drill.result().data["status"], drill.result().data["status_reason"],
    )  # fmt: skip
    assert RESULT_MIME in drill.result()._repr_mimebundle_()
    assert drill.signal is None


def test_no_secret_is_stored(recorded: Path) -> None:
    files = [path for path in recorded.rglob("*") if path.is_file()]
    assert {"alerts.json", "facts.json", "manifest.json", "profile.yaml", "events.jsonl", "ending.json"} == {
        path.name for path in files
    }
    assert [] == [path for path in files if TOKEN in path.read_text()]
    assert "[redacted]" in (recorded / "records" / "events.jsonl").read_text()


def test_a_drill_that_is_there_is_shown_and_not_run_again(
    evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cli.run_command(["alerts", "--out", str(evidence)])
    said = capsys.readouterr().out
    assert "Alert clears, from the restore" in said
    assert str(evidence / "alerts.html") == said.splitlines()[-1]
    assert 0 == cli.run_command(["alerts", "--out", str(evidence), "--json"])
    assert "alert_fires" == json.loads(capsys.readouterr().out)["verdicts"][0]["id"]


def test_a_drill_is_verified_signed_and_listed_as_a_run_is(evidence: Path, workplace: Path) -> None:
    found = hx.verify(evidence)
    assert ("PASS", ()) == (found.status, found.faults)
    private, public = workplace / "key", workplace / "key.pub"
    keys.generate(private, public)
    hx.sign(evidence, private)
    assert () == hx.verify(evidence, public).faults
    (listed,) = past_runs.find(evidence.parent)
    assert listed.judged is not None
    assert ("alerts.html", "PASS") == (listed.page, listed.judged.status)
    assert 'classname="alert_received"' in (evidence / "junit.xml").read_text()


def without(event: str) -> Callable[[str], str]:
    return lambda text: "".join(
        line for line in text.splitlines(keepends=True) if f'"event": "{event}"' not in line
    )


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        ("result.json", lambda text: text.replace('"estimate": ', '"estimate": 1'), "[0].estimate: holds"),
        ("result.json", lambda text: text.replace('"PASS"', '"FAIL"'), 'status: holds "FAIL"'),
        ("records/events.jsonl", without("received"), 'verdicts[1].verdict: holds "PASS"'),
        ("records/events.jsonl", without("restored"), "records/events.jsonl: "),
        ("profile.yaml", lambda text: text.replace("ServiceDown", "Other"), "profile.yaml: notes the hash"),
        ("alerts.html", lambda text: text.replace("PASS", "GOOD"), "alerts.html: line "),
    ],
)  # fmt: skip
def test_what_was_edited_is_found_though_its_hash_is_right(
    evidence: Path, workplace: Path, name: str, edit: Callable[[str], str], said: str
) -> None:
    copy = workplace / "copy"
    shutil.copytree(evidence, copy)
    text = (copy / name).read_text()
    assert text != edit(text)
    (copy / name).write_text(edit(text))
    assert f"{name}: is not the file whose SHA-256 stands in manifest.json" in hx.verify(copy).faults
    manifest.write(copy)
    assert any(said in fault for fault in hx.verify(copy).faults), hx.verify(copy).faults


def test_events_that_cannot_be_read_are_named(recorded: Path, workplace: Path) -> None:
    copy = workplace / "copy"
    shutil.copytree(recorded, copy)
    events = copy / "records" / "events.jsonl"
    for text in ('{"event": "stopping"}\n', "no JSON\n", "[1]\n"):
        events.write_text(text)
        for name in ("found", "timeline", "contradictions"):
            with pytest.raises(EvidenceError, match=r"records/events\.jsonl: not readable: "):
                getattr(hx.open_alerts(copy), name)
    (copy / "profile.yaml").write_text("schema: 1\ntarget: {model: m}\n")
    with pytest.raises(EvidenceError, match=r"profile\.yaml: has no section alerts"):
        hx.open_alerts(copy).found  # noqa: B018


def test_a_drill_is_no_run_and_no_earlier_attempt_of_one(recorded: Path, workplace: Path) -> None:
    with pytest.raises(DirectoryError, match=r": not a run but an alert drill; hx\.open_alerts opens it"):
        hx.open(recorded)
    (found,) = past_runs.find(recorded.parent)
    why = "an alert drill, not judged yet: `hxbench render` on it writes its result"
    assert (True, why) == (found.is_run, found.why)
    sha256 = (recorded / "profile.yaml").read_text().splitlines()[0].removeprefix(run_directory.HASH_LINE)
    assert 0 == run_directory.earlier_runs(recorded.parent / "another", sha256)
    with pytest.raises(DirectoryError, match=r": not an alert drill: it has no file alerts\.json"):
        hx.open_alerts(workplace)


CLOSED = "http://127.0.0.1:1"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown rule": (
        {"alerts.rule": "Unknown"},
        "{prometheus}: the rule Unknown is not there; load it into Prometheus, or correct alerts.rule",
    ),
    "one that fires already": (
        {"alerts.rule": "Always"},
        "{prometheus}: the rule Always is firing already, before anything was stopped; end its cause, or "
        "tell it apart by alerts.labels",
    ),
    "one that waits too long": (
        {"alerts.rule": "Slow"},
        "{prometheus}: the rule Slow waits 10 min before it fires; alerts.within allows 60 s in all",
    ),
    "no Prometheus": (
        {"prometheus.url": CLOSED},
        f"{CLOSED}: Connection refused; start Prometheus, or correct prometheus.url",
    ),
    "something else than Prometheus": (
        {"prometheus.url": "{alertmanager}"},
        "{alertmanager}: HTTP 404: 404 page not found; give the address of Prometheus itself",
    ),
    "no Alertmanager": (
        {"alerts.alertmanager": CLOSED},
        f"{CLOSED}: Connection refused; start Alertmanager, or correct alerts.alertmanager",
    ),
    "something else than Alertmanager": (
        {"alerts.alertmanager": "{prometheus}"},
        "{prometheus}: HTTP 404: 404 page not found; start Alertmanager, or correct alerts.alertmanager",
    ),
    "no program to stop it": (
        {"alerts.stop": '["no-such-program"]'},
        "alerts.stop: no-such-program: no such program, or none that may be run",
    ),
    "no program to restore it": (
        {"alerts.restore": '["/etc/passwd"]'},
        "alerts.restore: /etc/passwd: no such program, or none that may be run",
    ),
    "a token that is not set": (
        {"prometheus.token_env": "NO_SUCH_TOKEN"},
        "prometheus: the variable NO_SUCH_TOKEN is not set; export it and try again",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_stops_nothing(
    settled: Stage, workplace: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    settings, message = REFUSED[case]
    urls = {"prometheus": settled.prometheus.url, "alertmanager": settled.alertmanager.url}
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value.format(**urls)}")]
    before = settled.pid
    arguments = ["alerts", str(settled.profile(workplace)), "--yes", "--out", "drill", *flags]
    assert 2 == cli.run_command(arguments)
    assert f"hxbench: {message.format(**urls)}\n" == capsys.readouterr().err
    assert (before, False) == (settled.pid, (workplace / "drill").exists())


def test_a_rule_that_cannot_be_evaluated_stops_nothing(
    settled: Stage, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["alerts", str(settled.profile(workplace, rule="Broken")), "--yes", "--out", "drill"]
    assert 2 == cli.run_command(arguments)
    said = capsys.readouterr().err
    assert "the rule Broken is not healthy: " in said
    assert said.endswith("; correct it, or wait\n")


def test_an_alert_that_alertmanager_holds_already_stops_nothing(
    settled: Stage, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"alertname": "Held", "job": "service"}
    settled.hold(labels, "2100-01-01T00:00:00Z")
    try:
        assert 2 == cli.run_command(["alerts", str(settled.profile(workplace, rule="Held")), "--yes"])
    finally:
        settled.hold(labels, "2020-01-02T00:00:00Z")
    said = f"{settled.alertmanager.url}: the alert Held is active already, before anything was stopped"
    assert said in capsys.readouterr().err


def test_nobody_agreed_so_it_says_what_it_would_run(
    stage: Stage, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stage.pid
    profile = stage.profile(workplace, stop=["sh", "-c", "stop it"], restore=["true"])
    assert 2 == cli.run_command(["alerts", str(profile)])
    assert (
        "hxbench: this would stop a service: sh -c 'stop it'; and then restore it: true; agree with --yes\n"
        == capsys.readouterr().err
    )
    assert before == stage.pid


def test_a_profile_without_the_section_says_so(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.run_command(["alerts", "smollm2-135m", "--yes"])
    assert "hxbench: smollm2-135m: alerts: not set: name rule, stop and restore\n" == capsys.readouterr().err


def test_a_port_that_is_taken_stops_nothing(
    stage: Stage, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, _, port = stage.receiver.rpartition(":")
    before = stage.pid
    with socket.create_server((host, int(port))):
        assert 2 == cli.run_command(["alerts", str(stage.profile(workplace)), "--yes"])
    assert f"hxbench: alerts.receiver: {stage.receiver}: Address already in use; " in capsys.readouterr().err
    assert before == stage.pid


def test_an_alert_that_goes_nowhere_fails_after_the_time_it_has(
    settled: Stage, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = settled.profile(workplace, rule="Lost", within="3 s")
    assert 1 == cli.run_command(["alerts", str(profile), "--yes", "--out", "drill"])
    assert "✕ FAIL" in capsys.readouterr().out
    drill = hx.open_alerts(workplace / "drill")
    _, received, clears = drill.found
    assert ("FAIL", None) == (received.verdict, received.estimate)
    assert received.reason.startswith("it was not received")
    assert "INCONCLUSIVE" == clears.verdict
    assert 2 == len(drill.figures.timeline().layout.shapes)  # the time without the service, and the limit
    assert settled.is_up


def test_a_stop_that_fails_ends_the_drill_and_the_service_is_restored(
    settled: Stage, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = settled.profile(workplace, stop=["sh", "-c", f"sh {settled.stop[1]} {settled.stop[2]}; exit 3"])
    assert 4 == cli.run_command(["alerts", str(profile), "--yes", "--out", "drill"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("hxbench: alerts.stop ended with status 3: sh -c ")
    assert said.endswith(f"; the service was restored; what was seen is kept in {workplace / 'drill'}")
    assert {"INCONCLUSIVE"} == {each.verdict for each in hx.open_alerts(workplace / "drill").found}
    assert settled.is_up


def test_a_restore_that_fails_says_what_to_run_by_hand(
    settled: Stage, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 4 == cli.run_command(
        ["alerts", str(settled.profile(workplace, restore=["false"])), "--yes", "--out", "drill"]
    )
    loud = "THE SERVICE MAY STILL BE STOPPED: alerts.restore ended with status 1; run it by hand: false"
    said = capsys.readouterr().err
    assert [loud] == [line for line in said.splitlines() if line == loud]
    assert loud in said.splitlines()[-1]
    drill = hx.open_alerts(workplace / "drill")
    assert ["PASS", "PASS", "INCONCLUSIVE"] == [each.verdict for each in drill.found]
    assert [] == manifest.faults(drill.path)
    assert not settled.is_up


def begun(
    stage: Stage, folder: Path, limit: Callable[[], None] | None = None, **more: Any
) -> "subprocess.Popen[str]":
    """A drill in the folder `drill`, once the service is stopped; nobody is told of its alert."""
    arguments = ["alerts", str(stage.profile(folder, rule="Lost", **more)), "--yes", "--out", "drill"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hxbench.cli", *arguments],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limit,
    )  # fmt: skip
    assert process.stderr is not None
    assert any(line.startswith("stopped; waiting for the alert") for line in process.stderr)
    assert not stage.is_up
    return process


def test_whoever_interrupts_it_twice_still_has_the_service_restored(settled: Stage, workplace: Path) -> None:
    with begun(settled, workplace) as process:
        for _ in range(25):
            assert 400 == httpx.post(f"http://{settled.receiver}/", content="down!").status_code
        await_text(workplace / "drill" / "records" / "events.jsonl", '"refused"', 20)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert settled.is_up
    drill = hx.open_alerts(workplace / "drill")
    assert drill.signal in (signal.SIGTERM, signal.SIGINT)
    assert "INCONCLUSIVE" == drill.found[1].verdict
    assert "then the drill ended: interrupted by signal " in drill.found[1].reason
    assert ["it is no JSON"] * 20 == drill.timeline.query("event == 'refused'")["said"].tolist()
    assert [] == manifest.faults(drill.path)


class Impatient(TextView):
    """Asks the drill to end as soon as it is heard of."""

    def say(self, text: str) -> None:
        super().say(text)
        os.kill(os.getpid(), signal.SIGTERM)


def test_whoever_interrupts_it_before_the_stop_has_nothing_stopped(settled: Stage, workplace: Path) -> None:
    before = settled.pid
    drill = hx.alerts(settled.profile(workplace), workplace / "drill", yes=True, show=Impatient())
    assert (before, signal.SIGTERM) == (settled.pid, drill.signal)
    said = "the service was not stopped: interrupted by signal 15"
    assert [said, said] == [each.reason for each in drill.found[:2]]
    assert "Nothing was stopped." == drill.figures.timeline().layout.title.subtitle.text


def test_an_interrupted_drill_whose_restore_fails_says_what_to_run_by_hand(
    settled: Stage, workplace: Path
) -> None:
    with begun(settled, workplace, restore=["false"]) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert 4 == process.returncode
    assert "interrupted by signal 2; THE SERVICE MAY STILL BE STOPPED: " in said.splitlines()[-1]


def test_a_drill_that_is_killed_restores_the_service_and_can_be_opened(
    settled: Stage, workplace: Path
) -> None:
    before = settled.pid
    with begun(settled, workplace) as process:
        process.kill()
    settled.prometheus.await_value('up{job="service"}', 1.0)
    assert before != settled.pid
    drill = hx.open_alerts(workplace / "drill")
    assert {"INCONCLUSIVE"} == {each.verdict for each in drill.found[1:]}
    assert "the recording was killed before it could end" in drill.found[1].reason
    assert ("INCOMPLETE", ()) == (
        hx.judge(drill.path).document["status"], hx.verify(drill.path).faults,
    )  # fmt: skip
    assert "ended" not in drill.figures.timeline().data[0].y


def test_a_disk_that_is_full_ends_the_drill_and_the_service_is_restored(
    settled: Stage, workplace: Path
) -> None:
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    labels = {"alertname": "Lost", "job": "service"} | {f"n{number}": 1000 * "x" for number in range(50)}
    alert = {"status": "firing", "labels": labels, "startsAt": "2020-01-01T00:00:00Z"}
    with begun(settled, workplace, limit=small_files_only) as process:
        with suppress(httpx.TransportError):  # until it has ended
            for _ in range(10):  # of a megabyte each
                httpx.post(f"http://{settled.receiver}/", json={"alerts": [alert] * 20}, timeout=30)
        _, said = process.communicate(timeout=60)
    assert 4 == process.returncode
    full = "File too large: the drill could not be written to its end; the service was restored"
    assert said.splitlines()[-1].endswith(full)
    assert settled.is_up
    assert {"INCONCLUSIVE"} == {each.verdict for each in hx.open_alerts(workplace / "drill").found[1:]}
    assert (workplace / "drill" / "records" / "events.jsonl").stat().st_size <= 3_000_000

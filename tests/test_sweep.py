"""Sweeps against small real servers: a run each load, what is there is kept, what is wrong starts nothing."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import hxbench as hx
from hxbench import cli
from hxbench.errors import DirectoryError, EvidenceError, InputError, StoppedError, TargetError
from hxbench.render import keys, manifest, publish
from hxbench.render.completeness import RESULT_MIME
from hxbench.render.progress import TextView
from tests import servers
from tests.servers import Behaviour, Server

pytestmark = pytest.mark.usefixtures("workplace")

LOAD: dict[str, Any] = {"load__requests": 12, "load__warmup": "0 s", "workload__output_tokens": 4}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Behaviour(chat=quick)) as server:
        yield server


def quick(_: object) -> Iterator[Any]:
    return servers.stream(4, 0.02, 0.002)


def swept(server: Server, folder: str | Path | None = "swept", **asked: Any) -> hx.Sweep:
    return hx.sweep(None, folder, **(LOAD | {"target": {"server": server.url, "model": "m"}} | asked))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one and four users, whose server is gone."""
    folder = tmp_path_factory.mktemp("recorded") / "swept"
    with Server(Behaviour(chat=quick)) as server:
        swept(server, folder, users=[1, 4])
    return folder


def test_each_load_is_a_run_of_its_own_and_a_row(recorded: Path) -> None:
    found = hx.open_sweep(recorded)
    assert ["sweep.json", "users-1", "users-4"] == sorted(os.listdir(recorded))
    assert [(1, 12), (4, 12)] == list(zip(found.frame["users"], found.frame["n"], strict=True))
    assert (found.frame["achieved_per_s"] > 0).all()
    assert 4 == found.runs[4].records.profile.load.users
    assert ((), None) == (found.missing, found.signal)


def test_without_a_folder_a_sweep_lies_below_outputs_and_is_not_the_latest_run(server: Server) -> None:
    found = swept(server, None, users=[1])
    assert found.path.parent == Path("outputs").resolve()
    assert "-m-sweep-" in found.path.name
    assert not Path("outputs/latest").exists()


def test_what_was_measured_is_opened_and_loads_can_be_added(server: Server) -> None:
    first = swept(server, users=[2])
    asked = len(server.chats)
    again = swept(server, users="2")
    assert asked == len(server.chats)
    assert first.frame.equals(again.frame)
    more = swept(server, users=[1])
    assert asked < len(server.chats)
    assert [1, 2] == more.frame["users"].tolist()
    assert [1, 2] == hx.sweep(None, "swept").frame["users"].tolist()


class Impatient(TextView):
    """Interrupts, as Ctrl-C does, in the middle of the run with this name: at its sixth request."""

    def __init__(self, name: str, server: Server) -> None:
        super().__init__()
        self._name, self._server, self._asked = name, server, count(1)

    def say(self, text: str) -> None:
        if text.endswith(self._name):
            self._server.behaviour.chat = self._interrupted

    def _interrupted(self, request: object) -> Iterator[Any]:
        if next(self._asked) != 6:  # one thread alone gets that number
            return quick(request)
        os.kill(os.getpid(), signal.SIGINT)
        return servers.stream(4, 9.0, 0.0)


def test_an_interrupt_keeps_finished_loads_and_the_sweep_goes_on_later(server: Server) -> None:
    stopped = swept(server, users=[1, 2, 4], show=Impatient("users-2", server))
    assert [1] == list(stopped.runs)
    assert ((2, 4), signal.SIGINT) == (stopped.missing, stopped.signal)
    assert repr(stopped).startswith("1 of 3 loads; measured: 1 users; missing: 2, 4 users\n")
    shown = stopped.result()._repr_mimebundle_()[RESULT_MIME]
    assert ("INCOMPLETE", "swept") == (shown["status"], shown["run"])
    assert (2, 4) == hx.open_sweep("swept").missing
    whole = swept(server, users=[1, 2, 4])
    assert () == whole.missing
    assert "interrupted" == hx.open("swept/users-2-unfinished-1").records.ending["state"]


def test_a_sweep_stopped_in_its_first_load_has_no_figures_and_says_why(server: Server) -> None:
    stopped = swept(server, users=[1], show=Impatient("users-1", server))
    assert "0 of 1 loads; missing: 1 users\nsweep swept" == repr(stopped)
    with pytest.raises(EvidenceError, match="swept: no load of this sweep was measured to its end"):
        stopped.figures  # noqa: B018


@pytest.mark.parametrize(
    ("begun", "says", "kept"),
    [
        ((), "stopped before the first request: nothing was measured", []),
        ((1,), r"stopped between two loads; the finished ones are kept: hx\.open_sweep\('.*swept'\)", [1]),
    ],
)
def test_a_sweep_stopped_before_a_loads_first_request_says_what_is_kept(
    server: Server, begun: tuple[int, ...], says: str, kept: list[int]
) -> None:
    if begun:
        swept(server, users=begun)

    def unready(_: Any) -> list[bytes]:
        os.kill(os.getpid(), signal.SIGINT)
        return [servers.plain(503, "{}")]

    server.behaviour.health = unready
    with pytest.raises(StoppedError, match=f"^{says}$") as caught:
        swept(server, users=[1, 2])
    assert (signal.SIGINT, 130) == (caught.value.signal, caught.value.exit_status)
    assert kept == (list(hx.open_sweep("swept").runs) if Path("swept").exists() else [])


def test_the_figures_of_a_sweep_name_themselves(recorded: Path) -> None:
    assert "figures of the sweep: latency, throughput" == repr(hx.open_sweep(recorded).figures)


def test_rates_are_an_open_loop_and_what_was_due_stands_beside_what_was_achieved(server: Server) -> None:
    found = swept(server, rates=[20, 40], load__arrivals="constant")
    assert ["rate-20", "rate-40", "sweep.json"] == sorted(os.listdir("swept"))
    assert [20.0, 40.0] == pytest.approx(found.frame["offered_per_s"].tolist(), rel=0.1)
    assert "offered" in str(found.figures.latency().layout.xaxis3.title.text)


def test_a_sweep_shows_itself_as_text_and_as_a_table(recorded: Path) -> None:
    found = hx.open_sweep(recorded)
    lines = repr(found).splitlines()
    assert "2 of 2 loads; measured: 1, 4 users" == lines[0]
    assert ["Users", "n", "n_eff", "Errors"] == lines[1].split()[:4]
    assert ("1", "12") == tuple(lines[2].split()[:2])
    assert "sweep swept" == lines[-1]
    assert "<td>12</td>" in found._repr_html_()
    shown = found.result()._repr_mimebundle_()
    assert ("MEASURED", "m") == tuple(shown[RESULT_MIME][key] for key in ("status", "model"))


BOTH = "sweep: users and rates: give one of them: users wait for answers, rates do not"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "sweep: no loads: give users=[1, 2, 4, 8] or rates=[0.5, 1, 2]"),
        ({"users": "", "rates": ()}, "sweep: no loads: give users=[1, 2, 4, 8] or rates=[0.5, 1, 2]"),
        ({"users": [1], "rates": [1]}, BOTH),
        ({"users": [2, 1]}, "sweep: users: expected rising numbers such as 1, 2, 4, got 2, 1"),
        ({"users": [1, 1]}, "sweep: users: expected rising numbers such as 1, 2, 4, got 1, 1"),
        ({"users": "1, two"}, "sweep: users: expected a whole number above 0, got two"),
        ({"users": "1,,2"}, "sweep: users: expected a whole number above 0, got nothing"),
        ({"users": [1.5]}, "sweep: users: expected a whole number above 0, got 1.5"),
        ({"users": [0]}, "sweep: users: expected a whole number above 0, got 0"),
        ({"users": [True]}, "sweep: users: expected a whole number above 0, got True"),
        ({"users": 4}, "sweep: users: expected a list such as [1, 2, 4], got 4"),
        ({"rates": [-1]}, "sweep: rates: expected a number above 0, got -1"),
        ({"rates": "nan"}, "sweep: rates: expected a number above 0, got nan"),
        ({"rates": [0.5, float("inf")]}, "sweep: rates: expected a number above 0, got inf"),
        ({"users": range(1, 102)}, "sweep: users: expected at most 100 loads, got 101"),
    ],
)
def test_wrong_loads_are_refused_and_start_nothing(
    server: Server, workplace: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        swept(server, None, **asked)
    assert message == str(refused.value)
    assert ([], []) == (server.requests, list(workplace.iterdir()))


def test_loads_that_do_not_fit_the_profiles_loop_are_refused(server: Server, workplace: Path) -> None:
    with pytest.raises(InputError, match=r"hx\.sweep: load\.users: has no place in a load with loop: open"):
        swept(server, users=[1], load__loop="open")
    with pytest.raises(InputError, match=r"hx\.sweep: load\.rate: has no place in a load with loop: closed"):
        swept(server, rates=[1], load__loop="closed")
    assert ([], []) == (server.requests, list(workplace.iterdir()))


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(server: Server) -> None:
    Path("swept").mkdir()
    Path("swept/mine.txt").write_text("mine")
    with pytest.raises(DirectoryError, match="swept: holds something that is no sweep; choose another"):
        swept(server, users=[1])
    assert ["mine.txt"] == os.listdir("swept")
    with pytest.raises(DirectoryError, match=r"mine\.txt: holds something that is no sweep"):
        swept(server, "swept/mine.txt", users=[1])
    with pytest.raises(DirectoryError, match=r"swept: not a sweep: it has no file sweep\.json"):
        hx.open_sweep("swept")


def test_another_axis_or_profile_does_not_mix_with_what_is_there(server: Server, recorded: Path) -> None:
    with pytest.raises(DirectoryError, match="swept: is a sweep of users, not of rate; choose another"):
        swept(server, recorded, rates=[1])
    with pytest.raises(DirectoryError, match="users-1: was measured by another profile; choose another"):
        swept(server, recorded, users=[1, 2])
    assert [] == server.requests
    assert (1, 4) == hx.open_sweep(recorded).loads


@pytest.mark.parametrize(
    "note", ["{", "[]", '{"axis": "speed", "loads": [1]}', '{"axis": "users", "loads": 1}']
)
def test_a_damaged_note_is_said(note: str) -> None:
    Path("swept").mkdir()
    Path("swept/sweep.json").write_text(note)
    with pytest.raises(EvidenceError, match=r"swept/sweep\.json: not readable"):
        hx.open_sweep("swept")


def test_a_run_is_no_sweep_and_a_sweep_no_run(recorded: Path) -> None:
    with pytest.raises(DirectoryError, match="not a sweep"):
        hx.open_sweep(recorded / "users-1")
    with pytest.raises(DirectoryError, match=r"swept: not a run but a sweep; hx\.open_sweep opens it"):
        hx.open(recorded)


def test_a_server_that_is_not_there_leaves_nothing(workplace: Path) -> None:
    with Server() as gone:
        pass
    with pytest.raises(TargetError, match="not reachable: ConnectError"):
        swept(gone, users=[1, 2])
    assert [] == list(workplace.iterdir())


def test_loads_that_could_not_be_added_are_not_missed_later(server: Server) -> None:
    swept(server, users=[1])
    server.__exit__()
    with pytest.raises(TargetError, match="not reachable: ConnectError"):
        swept(server, users=[1, 2])
    assert ((1,), ()) == (hx.open_sweep("swept").loads, hx.open_sweep("swept").missing)


def test_a_folder_that_cannot_be_made_is_said() -> None:
    Path("file").write_text("")
    with (
        pytest.raises(DirectoryError, match="file/swept: cannot be written: Not a directory"),
        Server() as any_one,
    ):
        swept(any_one, "file/swept", users=[1])


def test_the_tokens_of_all_loads_together_ask_for_consent(workplace: Path) -> None:
    target = {"server": "http://far.invalid", "model": "m"}
    load = LOAD | {"load__requests": 100, "workload__output_tokens": 80}
    with pytest.raises(
        InputError, match=r"far\.invalid is not this machine and may be asked for 16 000 output"
    ):
        hx.sweep(None, None, target=target, users=[1, 2], **load)
    assert [] == list(workplace.iterdir())


def on_the_command_line(server: Server, *more: str) -> int:
    small = ["--requests", "12", "--warmup", "0s", "--max-tokens", "4", "--out", "swept"]
    return cli.run_command(["sweep", "--url", server.url, "--model", "m", *small, *more])


def test_the_command_measures_and_renders_one_page(
    server: Server, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == on_the_command_line(server, "--users", "1,2")
    said = capfd.readouterr().out
    assert "2 of 2 loads; measured: 1, 2 users" in said
    assert said.rstrip().endswith("swept/benchmark.html")
    page = Path("swept/benchmark.html").read_text()
    assert '<p class="word">MEASURED</p>' in page
    assert "Throughput against load" in page
    asked = len(server.chats)
    monkeypatch.setattr(publish, "notebook_page", lambda *_: None)
    assert 0 == on_the_command_line(server, "--users", "1,2", "--json")
    assert asked == len(server.chats)
    assert [1, 2] == [row["users"] for row in json.loads(capfd.readouterr().out)["numbers"]]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "hxbench: sweep: no loads: give --users 1,2,4,8 or --rates 0.5,1,2"),
        (("--users", "1", "--rates", "1"), f"hxbench: {BOTH}"),
        (("--rate", "2"), "hxbench: --rate: has no place in a sweep, which has --rates LIST"),
        (("--users", "4,2"), "hxbench: sweep: users: expected rising numbers such as 1, 2, 4, got 4, 2"),
    ],
)
def test_the_command_refuses_what_is_wrong_in_one_line(
    server: Server, workplace: Path, capfd: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert 2 == on_the_command_line(server, *flags)
    assert message == capfd.readouterr().err.strip()
    assert ([], []) == (server.requests, list(workplace.iterdir()))


def test_a_notebook_that_is_not_whole_ends_the_command_with_4(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish, "notebook_page", lambda *_: "notebook benchmark: the kernel died")
    assert 4 == on_the_command_line(server, "--users", "1")
    assert "hxbench: notebook benchmark: the kernel died" in capfd.readouterr().err


def test_an_interrupted_command_ends_with_130_and_keeps_what_was_finished(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hxbench.workbench.view", lambda: Impatient("users-2", server))
    monkeypatch.setattr(publish, "notebook_page", lambda *_: None)
    assert 130 == on_the_command_line(server, "--users", "1,2")
    assert "1 of 2 loads; measured: 1 users" in capfd.readouterr().out


@pytest.fixture(scope="module")
def sealed(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep judged, without its page."""
    copy = tmp_path_factory.mktemp("sealed") / "swept"
    shutil.copytree(recorded, copy)
    hx.judge(copy)
    return copy


def test_a_sweep_is_verified_and_each_of_its_runs_by_itself(
    sealed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cli.run_command(["verify", str(sealed)])
    said = capfd.readouterr().out
    assert "users-1      a run, verified by itself: CONDITIONAL" in said
    assert said.endswith("swept holds what its records give: MEASURED\n")
    assert 0 == cli.run_command(["show", str(sealed)])
    assert "2 of 2 loads; measured: 1, 4 users" in capfd.readouterr().out


def test_a_sweep_that_was_judged_by_nobody_claims_nothing(recorded: Path) -> None:
    assert "result.json: is missing: nothing is claimed" in "\n".join(hx.verify(recorded).faults)


def edited(path: Path, edit: Callable[[Any], Any]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document, indent=1) + "\n")


FORGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a number": (
        lambda swept: edited(swept / "result.json", lambda each: each["numbers"][1].update(n=99)),
        "result.json: numbers[1].n: holds 99, the records give 12",
    ),
    "a run left out": (
        lambda swept: shutil.rmtree(swept / "users-4"),
        'result.json: status: holds "MEASURED", the records give "INCOMPLETE"',
    ),
    "a load left out": (
        lambda swept: edited(swept / "sweep.json", lambda note: note["loads"].pop()),
        "result.json: numbers: holds 2 entries, the records give 1",
    ),
    "a note that is none": (
        lambda swept: (swept / "sweep.json").write_text("{"), "sweep.json: not readable"
    ),
    "a run's certificate": (
        lambda swept: edited(
            swept / "users-4" / "certificate.json", lambda each: each.update(status="CERTIFIED")
        ),
        'users-4/certificate.json: status: holds "CERTIFIED", the records give "CONDITIONAL"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_sweep_that_was_changed_is_refused(sealed: Path, tmp_path: Path, name: str) -> None:
    change, said = FORGED[name]
    copy = tmp_path / "swept"
    shutil.copytree(sealed, copy)
    change(copy)
    assert any("manifest.json" in fault for fault in manifest.faults(copy))
    manifest.write(copy)
    assert said in "\n".join(hx.verify(copy).faults)


def test_a_sweep_is_signed(sealed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "swept"
    shutil.copytree(sealed, copy)
    keys.generate(tmp_path / "me.key", tmp_path / "me.pub")
    hx.sign(copy, tmp_path / "me.key")
    assert () == hx.verify(copy, tmp_path / "me.pub").faults
    assert "FAILED" == json.loads((copy / "statement.json").read_text())["predicate"]["result"]
    assert "MEASURED" == json.loads((copy / "statement-verdicts.json").read_text())["predicate"]["status"]

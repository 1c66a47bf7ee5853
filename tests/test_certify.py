"""The whole thread on a real model: profile in, real server measured, notebook executed, verdict out."""

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest

import hxbench as hx
from hxbench import cli

ORDER = [
    "dispatched_ns",
    "sent_ns",
    "first_byte_ns",
    "first_token_ns",
    "first_output_ns",
    "last_token_ns",
    "done_ns",
]
LIMITS = [
    f"{name}=20 s" for name in ("ttft.p50", "ttft.mean", "itl.mean", "tpot.mean", "e2e.p50", "e2e.mean")
]
LIMITS += ["throughput_tokens.at_least=0.1 tok/s"]


@dataclass(frozen=True)
class Certified:
    status: int
    out: str
    err: str
    path: Path

    @property
    def certificate(self) -> dict:  # type: ignore[type-arg]
        return json.loads((self.path / "certificate.json").read_text())

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.path / "records" / f"{name}.parquet", dtype_backend="numpy_nullable")


def hxbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hxbench.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """A level 1 certification of SmolLM2, too short to decide every gate, with limits any machine holds."""
    path = tmp_path_factory.mktemp("certify") / "a run"
    few = ["--requests", "40", "--warmup", "1s", "--undecided-ok"]
    limits = [word for limit in LIMITS for word in ("--set", f"objectives.{limit}")]
    done = hxbench("certify", *few, *limits, "--out", str(path))
    return Certified(done.returncode, done.stdout, done.stderr, path)


def test_a_real_model_is_measured_judged_and_rendered(certified: Certified) -> None:
    assert 3 == certified.status, certified.err
    expected = {
        "profile.yaml", "facts.json", "certificate.json", "certificate.html", "validation.html", "junit.xml",
        "summary.md", "metrics.txt", "badge.svg", "manifest.json", "server.log", "log.txt",
        "statement.json", "statement-verdicts.json",
    }  # fmt: skip
    assert expected == {path.name for path in certified.path.iterdir() if path.is_file()}
    assert not (certified.path / "journal").exists()


def test_the_hash_of_the_profile_is_said_before_the_first_request(certified: Certified) -> None:
    sha256 = certified.certificate["profile"]["sha256"]
    assert f"profile smollm2-135m {sha256}" == certified.err.splitlines()[0]


def test_nothing_fails_but_what_too_few_requests_leave_open(certified: Certified) -> None:
    verdicts = certified.certificate["verdicts"]
    open_ones = {
        verdict["id"] for verdict in verdicts if verdict["verdict"] != "PASS" and not verdict["noise"]
    }
    assert {"ttft.p50", "e2e.p50", "error_rate.share"} >= open_ones
    assert all(verdict["needed_n"] for verdict in verdicts if verdict["id"] == "error_rate.share")


def test_the_model_answers_and_keeps_to_what_is_declared(certified: Certified) -> None:
    verdicts = {row["id"][-3:]: row["verdict"] for row in certified.certificate["catalogue"]}
    for case in ("001", "002", "004", "005", "009", "010", "011"):
        assert "PASS" == verdicts[case], case


def test_the_tables_keep_their_invariants(certified: Certified) -> None:
    schedule, requests = certified.table("schedule"), certified.table("requests")
    reads = certified.table("reads")
    assert requests["request_id"].is_unique
    assert set(schedule["request_id"]) == set(requests["request_id"])
    answered = requests[requests["outcome"] == "ok"]
    assert 40 <= len(answered)
    times = answered[ORDER].astype("int64")
    assert (times.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    for request_id, own in reads.groupby("request_id"):
        assert list(range(len(own))) == own["index"].tolist(), request_id
        assert own["received_ns"].is_monotonic_increasing
    assert answered["reads"].sum() == len(reads)
    assert (answered["output_tokens"] == 16).all()


def test_the_clients_tokens_equal_the_servers_counters(certified: Certified) -> None:
    series, requests = certified.table("series"), certified.table("requests")
    counter = series[series["name"] == "llamacpp:tokens_predicted_total"]["value"]
    assert requests["output_tokens"].sum() == counter.iloc[-1] - counter.iloc[0]
    entry = next(
        e for e in certified.certificate["ledger"] if "counter" in e["id"] or "counter" in e["threat"]
    )
    assert "ok" == entry["state"]


def test_the_resources_are_sampled_ten_times_a_second(certified: Certified) -> None:
    series = certified.table("series")
    memory = series[(series["source"] == "process") & (series["name"] == "rss_bytes")]
    span_s = (memory["time_ns"].max() - memory["time_ns"].min()) / 1e9
    assert 2 < (len(memory) - 1) / span_s <= 10.5  # less than ten where others keep the machine busy
    assert {"process", "client", "host", "scrape"} == set(series["source"])


def test_judging_again_without_the_server_gives_the_same_certificate(certified: Certified) -> None:
    before = (certified.path / "certificate.json").read_bytes()
    assert 3 == cli.run_command(["judge", str(certified.path)])
    assert before == (certified.path / "certificate.json").read_bytes()


def test_the_run_is_verified_wherever_it_is_taken_and_an_edited_number_is_found(
    certified: Certified, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(certified.path, tmp_path / "taken home")
    status, said = cli.run_command(["verify", str(copy)]), capsys.readouterr().out
    assert 0 == status, said
    assert f"VERIFIED: {copy} holds what its records give: CONDITIONAL" == said.splitlines()[-1]
    path = copy / "certificate.json"
    path.write_text(path.read_text().replace('"verdict": "INCONCLUSIVE"', '"verdict": "PASS"', 1))
    assert 1 == cli.run_command(["verify", str(copy)])
    assert 'verdict: holds "PASS", the records give "INCONCLUSIVE"' in capsys.readouterr().out


def test_show_prints_the_verdicts_and_writes_nothing(
    certified: Certified, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in certified.path.rglob("*"))
    assert 0 == cli.run_command(["show", str(certified.path)])
    assert "CONDITIONAL" in capsys.readouterr().out
    assert before == sorted((path, path.stat().st_mtime_ns) for path in certified.path.rglob("*"))


def test_the_terminal_ends_with_the_status_its_meaning_and_the_page(certified: Certified) -> None:
    assert "CONDITIONAL" in certified.out
    assert str(certified.path / "certificate.html") == certified.out.splitlines()[-1]


def test_the_executed_notebook_is_whole_and_small(certified: Certified) -> None:
    notebook = certified.path / "notebooks" / "validation.ipynb"
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    assert notebook.stat().st_size < 300_000
    assert (certified.path / "validation.html").stat().st_size < 1_000_000


def test_junit_calls_undecided_an_error(certified: Certified) -> None:
    suite = ElementTree.parse(certified.path / "junit.xml").getroot()  # noqa: S314 - our own file
    undecided = [v for v in certified.certificate["verdicts"] if v["verdict"] == "INCONCLUSIVE"]
    assert len(undecided) == len(list(suite.iter("error")))
    assert [] == list(suite.iter("failure"))


def test_no_process_is_left(certified: Certified) -> None:
    assert certified.status is not None
    names = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert [] == [name for name in names if str(certified.path) in name]


def test_a_run_opens_by_its_folder_alone(certified: Certified) -> None:
    run = hx.open(certified.path)
    assert "CONDITIONAL" in repr(run)
    assert "<table" in run._repr_html_()
    assert 40 == run.summary()["counts"]["attempted"]
    assert "cancelled" not in set(run.requests["outcome"])
    assert len(run.figures.ttft().data) > 0
    assert len(run.frames.ttft()) == 40
    assert {"process", "host"} <= set(run.series["source"])
    assert len(run.reads) > 0
    assert len(run.verdicts) == len(run.certificate["verdicts"])
    assert len(run.ledger) == len(run.certificate["ledger"])


def test_a_profile_is_proposed_from_the_run(certified: Certified, tmp_path: Path) -> None:
    target = tmp_path / "profile.yaml"
    assert 0 == cli.run_command(["init", "--from-run", str(certified.path), "--out", str(target)])
    from hxbench.plan.layers import resolve

    proposed = resolve(target).profile
    assert {"ttft", "itl", "e2e", "error_rate", "throughput_tokens"} == {
        o.metric for o in proposed.objectives
    }
    assert "embedded" == proposed.target.server

"""One experiment with one client: a row of plain figures."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Set
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from benchmarks import instrument
from benchmarks.experiments import HXBENCH, WORKER
from benchmarks.instrument import Seen
from benchmarks.opponents import CHAT_PATH, Cores, Opponent, paced, pinned, tiny
from hxbench.errors import IncompleteError
from hxbench.judge import calibration as judged
from hxbench.plan import schedule as schedules
from hxbench.plan.asking import prompts_of
from hxbench.record import calibration
from hxbench.record.calibration import Experiment, logged

CLIENT_S = 180.0
WORDS = "Say something about the weather in a few words."


def one(client: str, experiment: Experiment, cores: Cores, nginx: str | None) -> dict[str, Any]:
    """Returns the row of an experiment: the errors against the server's log, the rates, what it took."""
    with TemporaryDirectory(prefix="hxbench-benchmark-") as name:
        folder, log = Path(name), Path(name) / "departures.bin"
        row = {"client": client, "experiment": experiment.name, "load1": os.getloadavg()[0]}
        if experiment.measures == "requests":
            assert nginx is not None
            with tiny(nginx, folder, cores.server) as opponent:
                seen = _load(client, experiment, opponent, folder, cores.client)
            return {**row, **_figures(seen)}
        with paced(experiment.pace, log, cores.server) as opponent:
            if experiment.measures == "start":
                began_ns = _start(client, experiment, opponent, folder, cores.client)
            else:
                seen = _load(client, experiment, opponent, folder, cores.client)
        if experiment.measures == "start":
            return {**row, "start_s": (_first_arrival_ns(client, folder, log) - began_ns) / 1e9}
        return {**row, **_figures(seen), **judged.errors(seen.client, logged(log))}


def _load(client: str, experiment: Experiment, opponent: Opponent, folder: Path, core: Set[int]) -> Seen:
    if client in (HXBENCH, WORKER):
        return instrument.load(experiment, opponent, folder, core, follow=client == HXBENCH)
    plan = _plan(client, experiment, opponent, folder)
    process = _started(["benchmarks.clients", str(plan)], core)
    if process.wait(CLIENT_S) != 0:
        raise IncompleteError(f"{client}: ended with status {process.returncode}")
    return seen_by_plain(json.loads((folder / "out.json").read_text()))


def _started(command: list[str], core: Set[int]) -> "subprocess.Popen[bytes]":
    with pinned(core):
        return subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)


def _plan(client: str, experiment: Experiment, opponent: Opponent, folder: Path) -> Path:
    """Writes what a plain client needs; its requests are due when those of hxbench are."""
    profile = calibration.profile_of(experiment, opponent.url)
    planned = schedules.build(profile, prompts_of(profile), trial=1)
    messages = [{"role": "user", "content": WORDS}]
    body = {"model": "reference", "messages": messages, "max_tokens": experiment.tokens, "stream": True}
    due = [(row.request_id, row.phase, row.due_offset_ns) for row in planned if row.due_offset_ns is not None]
    path = folder / "client.json"
    path.write_text(
        json.dumps(
            {
                "kind": client.partition(",")[0], "client_each": "a user" in client,
                "url": opponent.url + CHAT_PATH, "body": body, "tokens": experiment.tokens,
                "users": profile.load.users, "due": due, "warmup_ns": round(profile.load.warmup * 1e9),
                "measure_ns": round((profile.load.measured_s or 0) * 1e9), "out": str(folder / "out.json"),
            }
        )
    )  # fmt: skip
    return path


def seen_by_plain(found: Mapping[str, Any]) -> Seen:
    """The frames of a plain client: one row a request, one a token."""
    requests = pd.DataFrame(found["requests"])
    times = requests[["request_id", "tokens"]].explode("tokens").dropna()
    reads = pd.DataFrame(
        {
            "request_id": times["request_id"],
            "index": times.groupby("request_id").cumcount(),
            "received_ns": times["tokens"].astype("int64"),
            "deltas": 1,
        }
    )
    used = {"cpu_s": found["cpu_s"], "peak_bytes": found["peak_bytes"]}
    return Seen(judged.Client(requests.drop(columns="tokens"), reads, *found["window_ns"]), used)


def _figures(seen: Seen) -> dict[str, Any]:
    outcomes = seen.client.requests["outcome"].value_counts()
    return {
        **judged.rates(seen.client),
        **seen.used,
        "requests": int(outcomes.get("ok", 0)),
        "failed": int(outcomes.get("failed", 0)),
        "tokens": int(seen.client.reads["deltas"].sum()),
    }


def _start(client: str, experiment: Experiment, opponent: Opponent, folder: Path, core: Set[int]) -> int:
    """Lets a client begin and end; returns when it was started."""
    if client == WORKER:
        return instrument.start(experiment, opponent, folder, core)
    began_ns = time.monotonic_ns()
    if client == HXBENCH:
        run = ["run", "--url", opponent.url, "--model", "reference", "--users", "1", "--warmup", "0s"]
        counts = ["--requests", "10", "--max-tokens", "1", "--out", str(folder / "run")]
        process = _started(["hxbench.cli", *run, *counts], core)
    else:
        process = _started(["benchmarks.clients", str(_plan(client, experiment, opponent, folder))], core)
    if process.wait(CLIENT_S) != 0:
        raise IncompleteError(f"{client}: ended with status {process.returncode}")
    return began_ns


def _first_arrival_ns(client: str, folder: Path, log: Path) -> int:
    """When the first request of the load came; hxbench asks once before, to see that the server answers."""
    arrivals = logged(log).arrivals
    if client == HXBENCH:
        planned = pd.read_parquet(folder / "run" / "records" / "schedule.parquet")["request_id"]
        arrivals = arrivals[arrivals["request_id"].isin(planned)]
    return int(arrivals["arrived_ns"].min())

"""`python -m benchmarks`: measures side by side; writes RESULTS.md, results.json and the README's short form.

--quick: each experiment shorter and once, below two minutes; printed, nothing written.
--peers: also the clients of vLLM and GuideLLM, in environments of their own in .venv-benchmark.
--repetitions N: how often each experiment is done.
--notebooks: only what notebooks and pages cost; the rest of results.json stays.
--render: the page again from results.json, without measuring.
Interrupted, it prints what was measured until then and writes nothing.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import opponents, peers, rendering, table
from benchmarks.experiments import CLIENTS, FULL, QUICK, Session, takes_part
from benchmarks.measure import one
from hxbench import __version__
from hxbench.errors import HxbenchError, IncompleteError
from hxbench.record import facts
from hxbench.record.calibration import Experiment
from hxbench.record.supervisor import stop_signals

FOLDER = Path(__file__).resolve().parent
RESULTS, PAGE, README = FOLDER / "results.json", FOLDER / "RESULTS.md", FOLDER.parent / "README.md"
NO_NGINX = "tiny answers: nginx is neither installed nor to be had (`make services` says why)"

INTERRUPTED = "interrupted"
Measure = Callable[[str, Experiment], dict[str, Any]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__.partition(":")[0] if __doc__ else ""
    )
    for flag, text in (
        ("--quick", "each experiment shorter and once; printed, nothing written"),
        ("--peers", "also vLLM's and GuideLLM's clients (gigabytes the first time)"),
        ("--notebooks", "only what notebooks and pages cost, beside what results.json has"),
        ("--render", "the page again from results.json"),
    ):
        parser.add_argument(flag, action="store_true", help=text)
    parser.add_argument(
        "--repetitions", type=int, help=f"{FULL.repetitions}, of a quick one {QUICK.repetitions}"
    )
    asked = parser.parse_args(arguments)
    try:
        results = _results(asked)
    except (HxbenchError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    page = table.render(results)
    whole = not any(each.endswith(INTERRUPTED) for each in results["skipped"])
    if whole and not asked.quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(page)
        README.write_text(table.quoted(README.read_text(), results))
    print(page)
    return 0


def _results(asked: argparse.Namespace) -> dict[str, Any]:
    if not (asked.render or asked.notebooks):
        return _measured(asked)
    stored: dict[str, Any] = json.loads(RESULTS.read_text())
    if asked.notebooks:
        experiments = rendering.WAYS.keys()
        stored["rows"] = [row for row in stored["rows"] if row["experiment"] not in experiments]
        stored["rows"] += rendering.rows(asked.repetitions or FULL.repetitions)
        stored["versions"] |= _versions(None)
    return stored


def _measured(asked: argparse.Namespace) -> dict[str, Any]:
    session, nginx, cores = QUICK if asked.quick else FULL, opponents.nginx(), opponents.cores()
    session = replace(session, repetitions=asked.repetitions or session.repetitions)
    found, skipped = peers.prepared(cores) if asked.peers else ([], [])
    if nginx is None:
        skipped.append(NO_NGINX)
        left = tuple(each for each in session.experiments if each.measures != "requests")
        session = replace(session, experiments=left)
    others = {peer.name: peer for peer in found}

    def measure(client: str, experiment: Experiment) -> dict[str, Any]:
        if client in others:
            return peers.one(others[client], experiment, cores, nginx)
        return one(client, experiment, cores, nginx)

    rows = rows_of(order(session, [*CLIENTS, *others]), measure, skipped)
    rows += rendering.rows(session.repetitions)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": _machine(),
        "versions": _versions(nginx) | {name: peer.version for name, peer in others.items()},
        "repetitions": session.repetitions,
        "pinned": cores.server != cores.client,
        "skipped": skipped,
        "rows": rows,
    }


def rows_of(
    todo: Iterator[tuple[str, Experiment]], measure: Measure, skipped: list[str]
) -> list[dict[str, Any]]:
    """Returns the rows of all that could be measured; adds to `skipped` what could not, and why."""
    rows: list[dict[str, Any]] = []
    with stop_signals() as stopped:
        for client, experiment in todo:
            if stopped.signal is not None:
                skipped.append(f"{experiment.name} and what follows: {INTERRUPTED}")
                break
            print(f"{experiment.name}: {client}", file=sys.stderr, flush=True)
            try:
                rows.append(measure(client, experiment))
            except IncompleteError as error:
                skipped.append(f"{experiment.name}: {error}")
    if not rows:
        raise IncompleteError("nothing could be measured: " + "; ".join(skipped))
    return rows


def order(session: Session, clients: list[str]) -> Iterator[tuple[str, Experiment]]:
    """Yields who does what when: each repetition begins with another client, so that none is always first."""
    for repetition in range(session.repetitions):
        turned = clients[repetition % len(clients) :] + clients[: repetition % len(clients)]
        for experiment in session.experiments:
            yield from ((client, experiment) for client in turned if takes_part(client, experiment))


def _machine() -> dict[str, Any]:
    host = facts.of_host()
    named = {name: host[name] for name in ("system", "cpu_model", "cores", "memory_bytes")}
    kernel = str(host["kernel"]).partition("-")[0]  # what follows is the name of a build
    return named | {"kernel": kernel, "python": platform.python_version()}


def _versions(nginx: str | None) -> dict[str, str]:
    found = {"hxbench": __version__}
    for package in ("httpx", "aiohttp", "papermill", "nbconvert"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if nginx:
        said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
        found["nginx"] = said.strip().rpartition("/")[2]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

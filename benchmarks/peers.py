"""Other load generators, driven by their command lines: what they report, against the server's own log.

Each lives in an environment of its own below .venv-benchmark: they take gigabytes and other versions of
what hxbench needs.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.experiments import START
from benchmarks.opponents import CHAT_PATH, Cores, paced, pinned, tiny
from hxbench.errors import IncompleteError
from hxbench.judge.calibration import Truth
from hxbench.record.calibration import Experiment, logged
from hxbench.stats.quantiles import nearest_rank

ENVIRONMENTS = Path(__file__).resolve().parent.parent / ".venv-benchmark"
OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1",
    "GUIDELLM__MAX_WORKER_PROCESSES": "1",  # one core, as all the others
}  # fmt: skip
LIMIT_S = 240.0
WORDS = 2000  # of the tokenizer that both want before they send anything


@dataclass(frozen=True)
class Asked:
    """What a peer is to do: `users` at once, or `rate` requests a second."""

    url: str
    requests: int
    tokens: int
    users: int | None
    rate: float | None
    tokenizer: Path
    out: Path


@dataclass(frozen=True)
class Peer:
    """A load generator: how it is called, and what its report says in seconds and per second."""

    name: str
    package: str
    unfit: tuple[str, ...]  # what it installs and cannot import on a machine without a GPU
    command: Callable[[Asked], list[str]]
    reported: Callable[[Any], dict[str, float]]
    streamed: int  # requests of 256 tokens, enough to tell its processor time from that of its start
    version: str = ""
    start_cpu_s: float = 0.0

    @property
    def environment(self) -> Path:
        return ENVIRONMENTS / self.package


def _vllm_command(asked: Asked) -> list[str]:
    load = (
        ["--max-concurrency", str(asked.users)] if asked.rate is None else
        ["--request-rate", str(asked.rate), "--burstiness", "inf"]
    )  # fmt: skip
    return [
        "vllm", "bench", "serve", "--backend", "openai-chat", "--base-url", asked.url,
        "--endpoint", CHAT_PATH, "--model", "reference", "--tokenizer", str(asked.tokenizer),
        "--dataset-name", "random", "--random-input-len", "16", "--random-output-len", str(asked.tokens),
        "--num-prompts", str(asked.requests), "--ignore-eos", "--disable-tqdm", *load,
        "--percentile-metrics", "ttft,itl", "--metric-percentiles", "99",
        "--save-result", "--result-dir", str(asked.out.parent), "--result-filename", asked.out.name,
    ]  # fmt: skip


def _vllm_reported(report: Any) -> dict[str, float]:
    return {
        "requests_per_s": report["request_throughput"],
        "tokens_per_s": report["output_throughput"],
        "ttft_p99_s": report["p99_ttft_ms"] / 1e3,
        "itl_p99_s": report["p99_itl_ms"] / 1e3,
    }


def _guidellm_command(asked: Asked) -> list[str]:
    load = (
        f"kind=concurrent,streams={asked.users}" if asked.rate is None else f"kind=constant,rate={asked.rate}"
    )
    return [
        "guidellm", "run", "--backend", f"kind=openai_http,target={asked.url},model=reference",
        "--profile", load, "--constraint", f"kind=max_requests,count={asked.requests}",
        "--tokenizer", f"kind=huggingface_auto,model={asked.tokenizer}",
        "--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={asked.tokens}",
        "--output", f"kind=json,path={asked.out}", "--disable-console",
    ]  # fmt: skip


def _guidellm_reported(report: Any) -> dict[str, float]:
    (benchmark,) = report["benchmarks"]
    metrics = benchmark["metrics"]
    return {
        "requests_per_s": metrics["requests_per_second"]["successful"]["mean"],
        "tokens_per_s": metrics["output_tokens_per_second"]["successful"]["mean"],
        "ttft_p99_s": metrics["time_to_first_token_ms"]["successful"]["percentiles"]["p99"] / 1e3,
    }


PEERS = (
    Peer(
        "vLLM bench serve", "vllm", ("torchvision", "torchaudio", "torchcodec"), _vllm_command,
        _vllm_reported, 1500,
    ),
    Peer("GuideLLM", "guidellm", (), _guidellm_command, _guidellm_reported, 200),
)  # fmt: skip
"""GuideLLM reports no gaps: its inter-token latency is one mean a request."""


def prepared(cores: Cores) -> tuple[list[Peer], list[str]]:
    """Returns the peers that can be had, and why the others cannot."""
    found, missing = [], []
    for peer in PEERS:
        try:
            found.append(_prepared(peer, cores))
        except subprocess.CalledProcessError as error:
            missing.append(f"{peer.name}: not to be had here: {_last_line(error.stderr)}")
        except IncompleteError as error:
            missing.append(str(error))
    return found, missing


def _last_line(said: str) -> str:
    return said.strip().rpartition("\n")[2][:200] or "no word why"


def _prepared(peer: Peer, cores: Cores) -> Peer:
    programs = peer.environment / "bin"
    python = str(programs / "python")
    if not (programs / peer.package).exists():
        print(f"{peer.name}: installing into {peer.environment} (gigabytes)", file=sys.stderr, flush=True)
        _quietly(sys.executable, "-m", "venv", "--clear", str(peer.environment))
        _quietly(python, "-m", "pip", "install", peer.package)
        if peer.unfit:
            _quietly(python, "-m", "pip", "uninstall", "--yes", *peer.unfit)
    asking = f"from importlib.metadata import version; print(version('{peer.package}'))"
    peer = replace(peer, version=_quietly(python, "-c", asking).strip())
    return replace(peer, start_cpu_s=one(peer, START, cores, None)["cpu_s"])


def _quietly(*command: str) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | OFFLINE
    ).stdout


def one(peer: Peer, experiment: Experiment, cores: Cores, nginx: str | None) -> dict[str, Any]:
    """Returns the row of an experiment.

    Raises:
        IncompleteError: the peer failed, took too long, or reports something else than is known of it.
    """
    with TemporaryDirectory(prefix="hxbench-benchmark-") as name:
        folder, log = Path(name), Path(name) / "departures.bin"
        row = {"client": peer.name, "experiment": experiment.name, "load1": os.getloadavg()[0]}
        if experiment.measures == "requests":
            assert nginx is not None
            with tiny(nginx, folder, cores.server) as opponent:
                asked = _asked(peer, experiment, opponent.url, folder)
                _run(peer, asked, cores)
            reported = _report(peer, asked)
            return row | {"requests_per_s": reported["requests_per_s"]}
        with paced(experiment.pace, log, cores.server) as opponent:
            asked = _asked(peer, experiment, opponent.url, folder)
            began_ns = time.monotonic_ns()
            used = _run(peer, asked, cores)
        reported = _report(peer, asked)
        return row | used | against(logged(log), reported, asked, experiment.measures, began_ns)


def _report(peer: Peer, asked: Asked) -> dict[str, float]:
    try:
        return peer.reported(json.loads(asked.out.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise IncompleteError(f"{peer.name}: its report is not understood: {error!r}") from None


def _asked(peer: Peer, experiment: Experiment, url: str, folder: Path) -> Asked:
    users, rate = experiment.load.get("users"), experiment.load.get("rate")
    counts = {"tokens": peer.streamed, "requests": 4_000, "arrivals": 1_000, "start": 10}
    requests = counts.get(experiment.measures) or int(users or 0) * 5
    tokenizer = folder / "tokenizer"
    _write_tokenizer(tokenizer)
    return Asked(url, requests, experiment.tokens, users, rate, tokenizer, folder / "report.json")


def _write_tokenizer(folder: Path) -> None:
    """Writes a tokenizer of words: both peers want one, and none may be fetched."""
    folder.mkdir()
    words = {"[UNK]": 0, "word": 1} | {f"w{number}": number for number in range(2, WORDS)}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    written = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": model,
    }
    (folder / "tokenizer.json").write_text(json.dumps(written))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "model_max_length": 100_000}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))


def _run(peer: Peer, asked: Asked, cores: Cores) -> dict[str, float]:
    """Lets the peer do it; returns the processor time beyond that of its start, and its largest process."""
    program, *arguments = peer.command(asked)
    said = asked.out.with_name("output.txt")
    with said.open("wb") as output, pinned(cores.client):
        process = subprocess.Popen(
            [str(peer.environment / "bin" / program), *arguments],
            stdout=output, stderr=output, env=os.environ | OFFLINE,
        )  # fmt: skip
    timer = threading.Timer(LIMIT_S, process.kill)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not asked.out.exists():
        last = _last_line(said.read_text(errors="replace"))
        raise IncompleteError(f"{peer.name}: ended with status {process.returncode}: {last}")
    cpu_s = usage.ru_utime + usage.ru_stime - peer.start_cpu_s
    return {"cpu_s": cpu_s, "peak_bytes": usage.ru_maxrss * 1024}


def against(
    truth: Truth, reported: Mapping[str, float], asked: Asked, measures: str, began_ns: int
) -> dict[str, Any]:
    """Returns what a report says of an experiment, held against the server's log where that knows better."""
    arrived = np.sort(truth.arrivals["arrived_ns"].to_numpy())
    match measures:
        case "start":
            return {"start_s": float(arrived[0] - began_ns) / 1e9}
        case "tokens":
            return {"tokens_per_s": reported["tokens_per_s"], "tokens": int(truth.departures["tokens"].sum())}
        case "arrivals":
            return {"arrival_p99_s": lateness(arrived[-asked.requests :], float(asked.rate or 0))}
    known = true_p99s(truth)
    return {name: abs(reported[name] - known[name]) for name in known if name in reported}


def lateness(arrived_ns: "np.ndarray[Any, Any]", rate: float) -> float | None:
    """The p99 of how far arrivals lie from a constant rate that begins with the first of them, in seconds."""
    offsets_s = (arrived_ns - arrived_ns[0]) / 1e9
    return nearest_rank(np.sort(np.abs(offsets_s - np.arange(len(offsets_s)) / rate)), 0.99)


def true_p99s(truth: Truth) -> dict[str, float]:
    """The p99 of ttft and itl of all that the server sent, by its own log, in seconds."""
    left = truth.departures[truth.departures["tokens"] > 0]
    first = left.groupby("number")["before_ns"].min()
    ttft = first - truth.arrivals.set_index("number")["arrived_ns"].reindex(first.index)
    gaps = left.groupby("number")["before_ns"].diff().dropna()
    p99s = {
        "ttft_p99_s": nearest_rank(np.sort(ttft.to_numpy(dtype="float64")), 0.99),
        "itl_p99_s": nearest_rank(np.sort(gaps.to_numpy(dtype="float64")), 0.99),
    }
    return {name: p99 / 1e9 for name, p99 in p99s.items() if p99 is not None}

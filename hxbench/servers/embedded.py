"""The embedded server: llama.cpp in a process of its own, `python -m hxbench.servers.embedded OPTIONS`.

It says its address on stdout once it is ready, and ends when stdin does. It leaves by `os._exit`:
destroying the server object with a stream in flight takes half a minute, or never returns.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.errors import DirectoryError, InputError, TargetError
from hxbench.plan.profile import Embedded
from hxbench.record.children import Child
from hxbench.servers.started import StartedServer

READY_S = 60.0


def start(
    model_path: Path, alias: str, options: Embedded, log: Path, port: int = 0, *, ignore_eos: bool = False
) -> StartedServer:
    """Returns the running server once it answers.

    With `ignore_eos` no answer ends by itself, also where an endpoint passes that word of a request over, as
    llama.cpp's /v1/messages does.
    Raises:
        InputError: the `embedded` extra is not installed.
        DirectoryError: `log` cannot be written.
        TargetError: it did not start; the text has its last words from `log`.
    """
    _require_library()
    arguments = {
        "model": str(model_path),
        "alias": alias,
        "port": port,
        "threads": options.threads or max(1, _cores() - 1),
        "slots": options.slots,
        "context": options.context,
        "prompt_cache": options.prompt_cache,
        "ignore_eos": ignore_eos,
    }
    try:
        with log.open("ab") as file:
            child = Child("hxbench.servers.embedded", [json.dumps(arguments)], file)
    except OSError as error:
        raise DirectoryError(f"{log}: cannot be written: {error.strerror}") from None
    said = child.event(READY_S)
    if said is None or said["event"] != "ready":
        child.stop()
        raise TargetError(f"embedded server: did not start: {_why(child, said)}: {_last_words(log)}")
    return StartedServer(said["url"], child)


def _why(child: Child, said: Mapping[str, Any] | None) -> str:
    if said is None:
        return f"no sign of readiness within {units.duration(READY_S)}"
    return str(said.get("reason") or f"ended with status {child.status}")


def _cores() -> int:
    """Returns how many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if " E " in line or "rror" in line]
    return lines[-1].strip()[:300] if lines else f"see {log}"


def _require_library() -> None:
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise InputError("the embedded server needs xllamacpp: pip install 'hxbench[embedded]'")


def _serve(options: dict[str, Any], say: Callable[..., None]) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = options["model"]
    parameters.model_alias = {options["alias"]}
    parameters.port = options["port"]
    parameters.n_parallel = options["slots"]
    parameters.n_ctx = options["context"]
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = options["threads"]
    parameters.cache_prompt = options["prompt_cache"]
    parameters.cache_ram_mib = 8192 if options["prompt_cache"] else 0
    parameters.sampling.ignore_eos = options["ignore_eos"]
    parameters.endpoint_metrics = parameters.endpoint_slots = True
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        port = f"port {options['port']} taken or " if options["port"] else ""
        say(event="failed", reason=f"{error} ({port}model file unusable)")
        return
    say(event="ready", url=server.listening_address)
    while os.read(sys.stdin.fileno(), 4096):
        pass


def main() -> None:
    # The library prints its log to stdout, which is our channel: keep the channel apart.
    channel = os.dup(1)
    os.dup2(2, 1)

    def say(**event: Any) -> None:
        os.write(channel, json.dumps(event).encode() + b"\n")

    _serve(json.loads(sys.argv[1]), say)
    os._exit(0)


if __name__ == "__main__":
    main()

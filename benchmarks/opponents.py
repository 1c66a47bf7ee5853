"""Who answers: the reference server, or nginx where a Python server would be too slow; and on which core."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hxbench.errors import TargetError
from hxbench.servers import answers, reference

READY_S = 5.0
CHAT_PATH = "/v1/chat/completions"
CHAT = answers.SPEECHES[CHAT_PATH]
PREPARED = Path(__file__).resolve().parent.parent / ".services" / "bin"
_CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; default_type text/event-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '{answer}'; }} }}
}}
"""


class Cores(NamedTuple):
    """The cores of each side; the same where there is only one."""

    server: Set[int]
    client: Set[int]


def cores() -> Cores:
    """Returns two different cores of this process's, if there are."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores({first}, {others[0] if others else first})


@contextmanager
def pinned(to: Set[int]) -> Iterator[None]:
    """Whatever is started while the context lasts runs on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Opponent(NamedTuple):
    url: str
    pid: int


@contextmanager
def paced(pace: Mapping[str, Any], log: Path, core: Set[int]) -> Iterator[Opponent]:
    """Serves streams at that pace; the log tells when each token left."""
    with ExitStack() as stack:
        with pinned(core):
            server = stack.enter_context(reference.serving(pace, log))
        yield Opponent(server.url, server.pid)


def nginx() -> str | None:
    """Returns the path of nginx: what `make services` prepared, or an installed one."""
    return shutil.which("nginx", path=os.pathsep.join((str(PREPARED), os.environ["PATH"], "/usr/sbin")))


@contextmanager
def tiny(program: str, folder: Path, core: Set[int]) -> Iterator[Opponent]:
    """Lets nginx, one process on loopback, answer every request with a stream of one token."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = (CHAT.first(1) + CHAT.token() + CHAT.last(1, 1)).decode()
    path = folder / "nginx.conf"
    path.write_text(_CONFIGURATION.format(folder=folder, port=port, answer=answer))
    with pinned(core):
        process = subprocess.Popen([program, "-e", "stderr", "-p", str(folder), "-c", str(path)])
    try:
        _await(port)
        yield Opponent(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def _await(port: int) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise TargetError("nginx: did not start")

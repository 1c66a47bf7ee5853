"""Serves metrics that no longer change to whoever scrapes them."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

from hxbench.errors import InputError
from hxbench.plan.messages import shown

PATH = "/metrics"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
_LOOPBACK = "127.0.0.1"
_PLACE = re.compile(r"(?:(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]*)):)?(?P<port>[0-9]{1,5})")
_REQUEST_S = 10.0  # for a scraper to say what it wants
_POLL_S = 0.05  # until an end is noticed


def place(written: str) -> tuple[str, int]:
    """Returns host and port; without a host it is this machine's loopback, port 0 stands for a free one.

    Raises: InputError when it is no address to listen at.
    """
    found = _PLACE.fullmatch(written)
    if found is None or int(found["port"]) > 65_535:
        raise InputError(
            "--expose: expected HOST:PORT such as 127.0.0.1:9105, or :9105 for this machine alone, "
            f"got {shown(written)}"
        )
    return found["six"] or found["host"] or _LOOPBACK, int(found["port"])


@contextmanager
def exposed(host: str, port: int, openmetrics: str, classic: str) -> Iterator[str]:
    """Serves the metrics in both formats while the block lasts; gives their address.

    Raises: InputError when it cannot listen there.
    """
    texts = {OPENMETRICS: openmetrics.encode(), CLASSIC: classic.encode()}
    handler = type("_Handler", (_Metrics,), {"texts": texts})
    kind = _IPv6Server if ":" in host else _Server
    try:
        server = kind((host, port), handler)
    except OSError as error:
        raise InputError(
            f"--expose: {host}, port {port}: {error.strerror or error}; name an address of this machine "
            "and a port that is free, such as 127.0.0.1:0"
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
    thread.start()
    try:
        shown_host = f"[{host}]" if ":" in host else host
        yield f"http://{shown_host}:{server.server_address[1]}{PATH}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Metrics(BaseHTTPRequestHandler):
    """Answers GET and HEAD; says nothing of Python, and logs nothing."""

    texts: dict[str, bytes]
    timeout = _REQUEST_S
    server_version, sys_version = "hxbench", ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self.send_error(404, explain=f"The metrics are at {PATH}")
            return
        kind = wanted(self.headers.get("Accept", ""))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(self.texts[kind])))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.texts[kind])

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


def wanted(accept: str) -> str:
    """Returns the content type for an Accept header: OpenMetrics where it is named and wanted no less."""
    openmetrics, plain = (_quality(accept, each.partition(";")[0]) for each in (OPENMETRICS, CLASSIC))
    return OPENMETRICS if openmetrics and openmetrics >= plain else CLASSIC


def _quality(accept: str, kind: str) -> float:
    """Returns the largest weight that is given to a media type, 0 where it is not named."""
    found = re.findall(rf"(?:^|,)\s*{re.escape(kind)}\s*((?:;[^,]*)?)(?=,|$)", accept.lower())
    weights = (re.search(r";\s*q\s*=\s*(0(?:\.[0-9]*)?|1(?:\.0*)?)\s*(?:;|$)", each) for each in found)
    return max((float(weight[1]) if weight else 1.0 for weight in weights), default=0.0)

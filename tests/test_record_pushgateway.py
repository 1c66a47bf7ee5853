"""Pushing metrics: taken whole, or one line that says why not and whether it is known."""

import base64
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hxbench.errors import HxbenchError, PrometheusError, TargetError
from hxbench.record import preflight, pushgateway
from tests.servers import CLOSE, RESET, Request, Script, Server, plain

GROUP = {"job": "hxbench", "model": "a/b c"}
TOKEN = "s3cret/token+here"
HTML = "text/html; charset=utf-8"
REFUSED = {
    "a wrong metric": (
        [plain(400, "text format parsing error in line 1: invalid metric name\n", "text/plain")],
        "HTTP 400: text format parsing error in line 1: invalid metric name; see the log of the Pushgateway"),
    "no permission": (
        [plain(401, "Unauthorized", "text/plain")],
        "HTTP 401: Unauthorized; name the variable of a token it takes with --token-env"),
    "the wrong token": (
        [plain(403, "no", "text/plain")],
        "HTTP 403: no; name the variable of a token it takes with --token-env"),
    "another path": (
        [plain(404, "")], "HTTP 404: no reason given; give the address of the Pushgateway itself"),
    "a Prometheus": (
        [plain(405, "Method Not Allowed", "text/plain")],
        "HTTP 405: Method Not Allowed; give the address of the Pushgateway itself"),
    "a redirect": (
        [plain(302, "", extra="Location: http://127.0.0.1:1/login\r\n")],
        "HTTP 302: redirects elsewhere; give the address of the Pushgateway itself"),
    "a page": (
        [plain(200, "<html>log in</html>", HTML)],
        f"{HTML} instead of the empty answer of a Pushgateway; give the address of the Pushgateway itself"),
    "a reason in colour": (
        [plain(400, "\x1b[31mred\r\nand blue", "text/plain")],
        "HTTP 400: ?[31mred and blue; see the log of the Pushgateway"),
}  # fmt: skip
UNKNOWN = {
    "a bad gateway": ([plain(502, "upstream", "text/plain")], "HTTP 502: upstream: "),
    "a reset": ([RESET], "Connection reset by peer: "),
    "an answer that breaks off": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", CLOSE], ""),
}


class Gateway(Server):
    """Does the same whatever is asked."""

    def __init__(self, script: Script, **more: Any) -> None:
        super().__init__(**more)
        self._answer = script

    def _script(self, request: Request) -> Script:
        return self._answer


def taking(_: Request) -> Iterable[Any]:
    return [plain(200, "")]


def push(url: str, *, ca_file: str | None = None, token: str | None = None, timeout_s: float = 60) -> None:
    tls = preflight.trusted(url, ca_file, "--ca-file")
    pushgateway.push(url, GROUP, 'x{y="ü"} 1\n', tls, token, timeout_s)


def refusal(kind: type[HxbenchError], url: str, **more: Any) -> str:
    with pytest.raises(kind) as caught:
        push(url, **more)
    assert kind is type(caught.value)
    said = str(caught.value)
    assert said.startswith(f"{url}: ")
    assert "\n" not in said
    return said.removeprefix(f"{url}: ")


def test_a_push_puts_the_text_in_the_place_of_its_group() -> None:
    with Gateway(taking) as server:
        push(server.url)
        [request] = server.requests
    assert ("PUT", 'x{y="ü"} 1\n') == (request.method, request.body.decode())
    assert "text/plain; version=0.0.4; charset=utf-8" == request.headers["content-type"]
    assert "authorization" not in request.headers
    _, metrics, *labels = request.path.split("/")
    values = [base64.urlsafe_b64decode(each).decode() for each in labels[1::2]]
    named = dict(zip(labels[::2], values, strict=True))
    assert ("metrics", {f"{name}@base64": value for name, value in GROUP.items()}) == (metrics, named)


def test_the_path_of_an_address_stays_in_front() -> None:
    with Gateway(taking) as server:
        push(f"{server.url}/push")
        assert server.requests[0].path.startswith("/push/metrics/job@base64/")


@pytest.mark.parametrize("status", [200, 202, 204])
def test_every_empty_answer_of_success_will_do(status: int) -> None:
    with Gateway(lambda _: [plain(status, "")]) as server:
        push(server.url)
        assert ["PUT"] == [each.method for each in server.requests]


@pytest.mark.parametrize("case", REFUSED)
def test_metrics_that_were_refused_are_wrong_input(case: str) -> None:
    steps, said = REFUSED[case]
    with Gateway(lambda _: steps) as server:
        assert said == refusal(TargetError, server.url)
        assert 1 == len(server.requests)


@pytest.mark.parametrize("case", UNKNOWN)
def test_without_an_answer_it_is_not_known_whether_they_were_taken(case: str) -> None:
    steps, said = UNKNOWN[case]
    with Gateway(lambda _: steps) as server:
        found = refusal(PrometheusError, server.url)
    assert found.startswith(said)
    assert found.endswith(": whether it took the metrics is not known; push again")


def drops(_: Request) -> Iterable[Any]:
    """An answer whose bytes come each in time, and all of them not."""
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    for _ in range(200):
        yield b" "
        yield 0.05


@pytest.mark.parametrize("script", [lambda _: [60.0, CLOSE], drops], ids=["silence", "drops"])
def test_a_gateway_has_no_more_time_than_it_is_given(script: Script) -> None:
    with Gateway(script) as server:
        said = refusal(PrometheusError, server.url, timeout_s=0.5)
    assert "no answer within 500 ms: whether it took the metrics is not known; push again" == said


def test_an_answer_without_end_is_not_read_to_it() -> None:
    def flood(_: Request) -> Iterable[Any]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
        while True:
            yield bytes(65_536)

    with Gateway(flood) as server:
        assert refusal(TargetError, server.url).startswith("text/html instead of the empty answer")


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = refusal(TargetError, f"http://127.0.0.1:{port}")
    assert "not reachable: Connection refused; start the Pushgateway, or correct its address" == said


def test_a_token_goes_with_the_push_and_an_echo_of_it_into_no_message() -> None:
    encoded = base64.b64encode(TOKEN.encode()).decode()
    with Gateway(lambda _: [plain(403, f"bad token {TOKEN} {encoded}", "text/plain")]) as server:
        said = refusal(TargetError, server.url, token=TOKEN)
        assert f"Bearer {TOKEN}" == server.requests[0].headers["authorization"]
    assert said.startswith("HTTP 403: bad token [redacted] [redacted]")


def test_https_is_trusted_by_the_ca_file_alone(certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    with Gateway(taking, tls=tls) as server:
        push(server.url, ca_file=str(certificate))
        assert 1 == len(server.requests)
        assert "not reachable: certificate verify failed" in refusal(TargetError, server.url)
        assert 1 == len(server.requests)

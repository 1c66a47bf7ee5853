"""The adapter over prometheus-api-client: each failure is one line, none hangs, nothing becomes 0."""

import json
import math
import re
import socket
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hxbench.errors import PrometheusError
from hxbench.record.prometheus import MOST_POINTS, Client
from tests.prometheus import StartedPrometheus
from tests.servers import CLOSE, RESET, Request, Script, Server, chunk, plain


class Asked(Server):
    """Does the same whatever is asked."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self._answer = script

    def _script(self, request: Request) -> Script:
        return self._answer


def vector(*values: str, **more: Any) -> str:
    result = [{"metric": {"n": str(number)}, "value": [1000.5, value]} for number, value in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **more})


def error(status: int, kind: str, text: str) -> bytes:
    return plain(status, json.dumps({"status": "error", "errorType": kind, "error": text}))


def asked(url: str, timeout_s: float = 5.0, token: str | None = None, ca_file: str | None = None) -> Any:
    client = Client(url, token, timeout_s, ca_file=ca_file)
    try:
        return client.instant("up")
    finally:
        client.close()


def drops(_: Request) -> Iterable[Any]:
    """A body that never ends, a byte at a time, each well within any time-out between two reads."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    for _ in range(200):
        yield b" "
        yield 0.05


def flood(_: Request) -> Iterable[Any]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(1000):
        yield chunk(b" " * 100_000)


LOGIN = plain(200, "<html>log in</html>", "text/html; charset=utf-8")
ELSEWHERE = plain(302, "", extra="Location: http://127.0.0.1:1/login\r\n")
SHORT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
FAILURES = {
    "a page instead of JSON": (
        [LOGIN], "text/html instead of JSON; give the address of Prometheus itself"),
    "a redirect": (
        [ELSEWHERE], "redirects elsewhere; give the address of Prometheus itself, and a token it takes"),
    "no permission": (
        [plain(401, "Unauthorized", "text/plain")],
        "HTTP 401: Unauthorized; name the variable of a token in prometheus.token_env"),
    "a query that took too long": (
        [error(503, "timeout", "query timed out in expression evaluation")],
        "HTTP 503: timeout: query timed out in expression evaluation; "
        "raise prometheus.timeout, or ask for less"),
    "a bad gateway that says nothing": (
        [plain(502, "")], "HTTP 502: no reason given; see the log of Prometheus"),
    "a wrong query": (
        [error(400, "bad_data", "1:3: parse error")],
        "HTTP 400: bad_data: 1:3: parse error; correct the query"),
    "another service": (
        [plain(404, '{"error": "not found"}')],
        'HTTP 404: {"error": "not found"}; give the address of Prometheus itself'),
    "other JSON": (
        [plain(200, '{"hello": 1}')],
        "JSON that is no answer to a query; give the address of Prometheus itself"),
    "JSON that is a list": (
        [plain(200, "[1, 2]")], "JSON that is no answer to a query; give the address of Prometheus itself"),
    "a value that is no number": (
        [plain(200, vector("many"))],
        "JSON that is no answer to a query; give the address of Prometheus itself"),
    "text": (
        [plain(200, json.dumps({"status": "success", "data": {"resultType": "string", "result": [1, "x"]}}))],
        "the query gives text, not numbers; correct the query"),
    "a native histogram among numbers": (
        [plain(200, vector("1").replace('[{', '[{"metric": {}, "histogram": [1, {"count": "3"}]}, {', 1))],
        "the query gives native histograms, not numbers; ask for histogram_count() or histogram_sum() "
        "of them"),
    "silence": (
        [3.0, CLOSE], "no answer within 500 ms; raise prometheus.timeout, or ask for less"),
    "an answer that breaks off": (
        [SHORT, CLOSE], "start Prometheus, or correct prometheus.url"),
    "a reset": ([RESET], "Connection reset by peer; start Prometheus, or correct prometheus.url"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_each_failure_is_one_line_that_says_what_to_do(case: str) -> None:
    steps, message = FAILURES[case]
    with Asked(lambda _: steps) as server, pytest.raises(PrometheusError) as caught:
        asked(server.url, timeout_s=0.5)
    assert str(caught.value).startswith(f"{server.url}: ")
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("script", [lambda _: [plain(503, "{}")], lambda _: [LOGIN], lambda _: [RESET]])
def test_nothing_is_asked_twice(script: Script) -> None:
    with Asked(script) as server:
        with pytest.raises(PrometheusError):
            asked(server.url)
        assert 1 == len(server.requests)


def test_a_port_where_nobody_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PrometheusError) as caught:
        asked(f"http://127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port}: Connection refused; start Prometheus, or correct prometheus.url" == str(
        caught.value
    )


def test_an_answer_that_drips_has_no_more_time_than_another() -> None:
    begin = time.monotonic()
    with Asked(drops) as server, pytest.raises(PrometheusError, match="no answer within 500 ms"):
        asked(server.url, timeout_s=0.5)
    assert time.monotonic() - begin < 9  # all its drops take 10 s


def test_an_answer_without_end_is_refused() -> None:
    with Asked(flood) as server, pytest.raises(PrometheusError, match=r"an answer above 16\.8 MB; aggregate"):
        asked(server.url, timeout_s=60)


def test_warnings_stay_with_the_answer() -> None:
    body = vector("1", warnings=["one of two stores did not answer"])
    with Asked(lambda _: [plain(200, body)]) as server:
        answer = asked(server.url)
    assert ("one of two stores did not answer",) == answer.warnings
    assert [1.0] == [point.value for point in answer.points]


def test_not_a_number_stays_so_and_is_no_zero() -> None:
    with Asked(lambda _: [plain(200, vector("NaN", "+Inf", "-Inf", "0"))]) as server:
        values = [point.value for point in asked(server.url).points]
    assert math.isnan(values[0])
    assert [math.inf, -math.inf, 0.0] == values[1:]


def test_half_a_surrogate_pair_comes_back_as_a_question_mark() -> None:
    half = '"\\ud800"'
    body = vector("1", warnings=["half"]).replace('"half"', half).replace('"0"', half)
    with Asked(lambda _: [plain(200, body)]) as server:
        answer = asked(server.url)
    assert ("?",) == answer.warnings
    assert ['{"n": "?"}'] == [point.labels for point in answer.points]


def test_no_series_is_an_answer_without_points() -> None:
    with Asked(lambda _: [plain(200, vector())]) as server:
        assert () == asked(server.url).points


def test_each_question_has_a_connection_of_its_own_as_one_kept_over_a_load_may_be_dead() -> None:
    with Asked(lambda _: [plain(200, vector("1"))]) as server:
        client = Client(server.url, None, 5)
        assert [1, 1] == [len(client.instant("up").points) for _ in range(2)]
        client.close()
        assert 2 == server.connections


def test_a_token_is_sent_as_such_and_a_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Asked(lambda _: [plain(200, vector("1"))]) as server:
        asked(server.url, token="secret-token")
        [request] = server.requests
    assert ("POST", "Bearer secret-token") == (request.method, request.headers["authorization"])


def test_prometheus_is_told_how_old_a_value_may_be() -> None:
    with Asked(lambda _: [plain(200, vector("1"))]) as server:
        client = Client(server.url, None, 5, lookback_s=2)
        client.instant("up", 1000.5)
        client.close()
        [request] = server.requests
    assert "/api/v1/query?query=up&lookback_delta=2.000&time=1000.500" == request.path


def test_a_certificate_that_nobody_known_signed_is_refused_until_its_signer_is_named(
    certificate: Path,
) -> None:
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate)
    with Asked(lambda _: [plain(200, vector("1"))], own) as server:
        assert 1 == len(asked(server.url, ca_file=str(certificate)).points)
        with pytest.raises(PrometheusError) as caught:
            asked(server.url)
    assert (
        f"{server.url}: certificate verify failed: self-signed certificate; correct prometheus.url, or "
        "name who signed the certificate in prometheus.ca_file"
    ) == str(caught.value)


def test_a_scalar_is_one_point_without_labels() -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1000.5, "NaN"]}})
    with Asked(lambda _: [plain(200, body)]) as server:
        [point] = asked(server.url).points
    assert ("{}", 1000.5, True) == (point.labels, point.time_s, math.isnan(point.value))


def test_a_long_range_is_asked_in_parts_that_prometheus_takes() -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}})
    with Asked(lambda _: [plain(200, body)]) as server:
        client = Client(server.url, None, 5)
        client.range("up", 1000.25, 1000.25 + 2.5 * MOST_POINTS, 1.0)
        client.close()
        found = [
            re.search(r"start=([\d.]+)&end=([\d.]+)&step=([\d.]+)", each.path) for each in server.requests
        ]
    parts = [match.groups() for match in found if match]
    assert [
        ("1000.250", "10999.250", "1.000"),
        ("11000.250", "20999.250", "1.000"),
        ("21000.250", "26000.250", "1.000"),
    ] == parts


def test_a_real_prometheus_answers_what_was_asked(prometheus: StartedPrometheus) -> None:
    prometheus.scrape({"self": prometheus.url.removeprefix("http://")})
    client, now = Client(prometheus.url, None, 60), time.time()
    [clock] = client.instant("time()").points
    assert abs(clock.value - now) < 60
    [up] = client.instant('up{job="self"}').points
    assert ("self", 1.0) == (json.loads(up.labels)["job"], up.value)
    assert () == client.instant('up{job="nobody"}').points
    assert math.isnan(client.instant("vector(0) / 0").points[0].value)
    client.close()


def test_a_real_prometheus_gives_every_step_of_a_long_range_once(prometheus: StartedPrometheus) -> None:
    client, end = Client(prometheus.url, None, 60), round(time.time(), 3)
    points = client.range("vector(1)", end - 25_000, end, 1.0).points
    client.close()
    assert [end - 25_000, end] == [points[0].time_s, points[-1].time_s]
    assert 25_001 == len({point.time_s for point in points})


def test_a_real_prometheus_says_what_is_wrong_with_a_query(prometheus: StartedPrometheus) -> None:
    client = Client(prometheus.url, None, 60)
    with pytest.raises(PrometheusError, match=r"HTTP 400: bad_data: .*parse error.*; correct the query"):
        client.instant("sum(")
    client.close()

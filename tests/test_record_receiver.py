"""The receiver of a drill: what Alertmanager sends is heard, whatever else comes harms nothing."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hxbench.errors import InputError
from hxbench.plan.alerts import Alerts
from hxbench.record import receiver
from hxbench.record.receiver import Heard, Receiver
from tests.drills import free_port

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "Down", "job": "llm", "instance": "a:1"},
    "annotations": {"summary": "not kept"},
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "f1",
}
KEPT = {key: value for key, value in ALERT.items() if key != "annotations"}


def section(port: int) -> Alerts:
    given = {"rule": "Down", "labels": {"job": "llm"}, "stop": ["s"], "restore": ["r"]}
    return Alerts.model_validate(given | {"receiver": f"127.0.0.1:{port}"})


class Listening:
    """A receiver at a port, and what it has heard so far."""

    def __init__(self, started: Receiver, port: int) -> None:
        self._receiver, self.port = started, port
        self.url = f"http://127.0.0.1:{port}/any/path"

    def next(self) -> Heard:
        (found,) = self.take(1)
        return found

    def take(self, count: int) -> list[Heard]:
        deadline, found = time.monotonic() + 20, self._receiver.heard()
        while len(found) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            found += self._receiver.heard()
        assert count == len(found)
        return found

    def post(self, body: Any) -> int:
        return httpx.post(self.url, content=body).status_code

    def send(self, raw: bytes) -> bytes:
        """Returns all that comes back of bytes that need be no request."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.fixture
def listening() -> Iterator[Listening]:
    port = free_port()
    with Receiver(section(port)) as started:
        yield Listening(started, port)


def notification(*alerts: Any) -> str:
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts})


def test_a_notification_is_heard_with_what_matters_of_it_and_its_time(listening: Listening) -> None:
    before = time.monotonic_ns()
    others = [{"labels": {"alertname": "Other"}}, {"labels": None}, "text", 7]
    assert 200 == listening.post(notification(ALERT, *others))
    heard = listening.next()
    assert ((KEPT,), None) == (heard.alerts, heard.refused)
    assert before < heard.at_ns < time.monotonic_ns()


def test_of_a_large_notification_little_is_kept_but_what_the_alert_is_known_by(
    listening: Listening,
) -> None:
    labels = {f"a{number}": "x" * 5000 for number in range(200)} | ALERT["labels"]
    large = {**ALERT, "labels": labels, "startsAt": "y" * 500}
    assert 200 == listening.post(notification(*[large] * 3, *[ALERT] * 30))
    kept = listening.next().alerts
    assert (20, 50, 1000, 100) == (
        len(kept), len(kept[0]["labels"]), len(kept[0]["labels"]["a9"]), len(kept[0]["startsAt"]),
    )  # fmt: skip
    assert ("Down", "llm") == (kept[0]["labels"]["alertname"], kept[0]["labels"]["job"])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("down!", "it is no JSON"),
        ("", "it is no JSON"),
        (b"\xff\xfe{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "no notification of Alertmanager"),
        ('{"alerts": {"a": 1}}', "no notification of Alertmanager"),
        ("null", "no notification of Alertmanager"),
    ],
    ids=["text", "nothing", "bytes", "nested", "a list", "a mapping of alerts", "null"],
)
def test_what_is_no_notification_is_refused_and_the_next_one_heard(
    listening: Listening, body: Any, why: str
) -> None:
    assert 400 == listening.post(body)
    assert why == listening.next().refused
    assert 200 == listening.post(notification(ALERT))
    assert (KEPT,) == listening.next().alerts


@pytest.mark.parametrize(
    ("raw", "status", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"405", "it is no POST"),
        (b"POST / HTTP/1.1\r\n\r\n", b"411", "it does not say its length"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411", "it does not say its length"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 4194305\r\n\r\n",
            b"413",
            "it has 4194305 bytes",
        ),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", b"400", "it broke off"),
        (b"x" * 30_000, b"400", "its head is too long"),
        (b"", b"400", "it broke off"),
    ],
    ids=["GET", "no length", "negative", "too large", "half", "a long head", "silence"],
)
def test_what_is_no_request_is_answered_and_noted(
    listening: Listening, raw: bytes, status: bytes, why: str
) -> None:
    assert listening.send(raw).startswith(b"HTTP/1.1 " + status)
    assert why == listening.next().refused


def test_who_sends_too_slowly_is_cut_off(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "REQUEST_S", 0.5)
    with socket.create_connection(("127.0.0.1", listening.port)) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    assert "it was not there within 0.5 s" == listening.next().refused


def test_who_sends_slowly_delays_nobody(listening: Listening) -> None:
    with socket.create_connection(("127.0.0.1", listening.port)) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert 200 == listening.post(notification(ALERT))
        assert (KEPT,) == listening.next().alerts


def test_more_connections_than_it_holds_are_closed_and_leave_room_again(listening: Listening) -> None:
    held = [socket.create_connection(("127.0.0.1", listening.port)) for _ in range(64)]
    try:
        with socket.create_connection(("127.0.0.1", listening.port)) as one_more:
            assert b"" == one_more.recv(100)
    finally:
        for each in held:
            each.close()
    deadline = time.monotonic() + 20
    while True:
        try:
            assert 200 == listening.post(notification(ALERT))
            break
        except httpx.TransportError:  # those that were closed may not all be seen as such yet
            assert time.monotonic() < deadline


def test_what_nobody_takes_is_bounded(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(1000):
        listening._receiver._heard.put_nowait(Heard(0, ()))
    assert 503 == listening.post(notification(ALERT))
    assert 503 == listening.post("down!")
    assert 1000 == len(listening._receiver.heard())


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError) as caught:
            Receiver(section(port))
    said = "Address already in use; end who listens there, or choose another port"
    assert f"alerts.receiver: 127.0.0.1:{port}: {said}" == str(caught.value)


def test_its_thread_and_its_port_end_with_it() -> None:
    port, before = free_port(), threading.active_count()
    with Receiver(section(port)), socket.create_connection(("127.0.0.1", port)):
        pass
    assert before == threading.active_count()
    with socket.create_server(("127.0.0.1", port)):
        pass

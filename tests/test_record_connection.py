"""Connections over TLS and IPv6, names with several addresses, and peers that break them."""

import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hxbench.record.connection import Address, Connection, ask_for_stamps
from hxbench.record.worker import host_header, resolve
from tests import loads, servers
from tests.loads import SECOND, closed, drive, plan
from tests.servers import CLOSE, RESET, STREAM_HEAD, Behaviour, Server, delta, event

LINUX = os.uname().sysname == "Linux"


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_over_tls_answers_come_whole_and_stamped_by_the_kernel(
    tmp_path: Path, tls: ssl.SSLContext, certificate: Path
) -> None:
    behaviour = Behaviour(chat=lambda _: servers.stream(4, 0.05, 0.02))
    with Server(behaviour, tls=tls) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(3), ca_file=str(certificate)))
    assert ["ok"] * 3 == [row["outcome"] for row in outcome.requests]
    assert {"kernel" if LINUX else "user"} == {row["stamp"] for row in outcome.requests}
    assert 12 == sum(read["deltas"] for read in outcome.reads)
    first = outcome.requests[0]
    times = [
        first[f"{name}_ns"] for name in ("dispatched", "connect_start", "connected", "sent", "first_byte")
    ]
    assert sorted(times) == times
    assert 1 == sum(row["connected_ns"] is not None for row in outcome.requests)


def test_over_tls_a_long_request_and_a_long_answer_arrive(
    tmp_path: Path, tls: ssl.SSLContext, certificate: Path
) -> None:
    text = "x" * 300_000
    script = lambda _: [STREAM_HEAD + event(delta(text)), *list(servers.stream(1))[1:]]  # noqa: E731
    with Server(Behaviour(chat=script), tls=tls) as server:
        padding = {"padding": "y" * 10_000_000}
        made = plan(tmp_path, server.url, closed(1), ca_file=str(certificate), extra_body=padding)
        outcome = drive(tmp_path, made)
        assert padding["padding"] == server.chats[0].document["padding"]
    assert ("ok", 300_003) == (outcome.only["outcome"], sum(read["characters"] for read in outcome.reads))


def test_a_certificate_nobody_vouches_for_fails_in_connect(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with Server(tls=tls) as server:
        row = drive(tmp_path, plan(tmp_path, server.url, closed(1))).only
    assert ("failed", "connect", None) == (row["outcome"], row["error_phase"], row["connected_ns"])
    assert "CERTIFICATE_VERIFY_FAILED" in row["error"]


def test_a_server_that_speaks_no_tls_fails_in_connect(tmp_path: Path, certificate: Path) -> None:
    with Server() as server:
        url = server.url.replace("http:", "https:")
        limits = {"total": SECOND, "first_token": SECOND // 5, "stall": SECOND}
        row = drive(tmp_path, plan(tmp_path, url, closed(1), ca_file=str(certificate), limits=limits)).only
    assert ("failed", "connect") == (row["outcome"], row["error_phase"])


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["closed", "reset"])
def test_a_tls_stream_that_is_cut_is_a_failure_in_its_phase(
    tmp_path: Path, tls: ssl.SSLContext, certificate: Path, end: object
) -> None:
    script = lambda _: [STREAM_HEAD + event(delta("a")), 0.05, end]  # noqa: E731
    with Server(Behaviour(chat=script), tls=tls) as server:
        row = drive(tmp_path, plan(tmp_path, server.url, closed(1), ca_file=str(certificate))).only
    assert ("failed", "mid_stream") == (row["outcome"], row["error_phase"])


def test_a_tls_answer_that_ends_with_the_connection_is_whole(
    tmp_path: Path, tls: ssl.SSLContext, certificate: Path
) -> None:
    def unwrap(_: object) -> Iterator[Any]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        yield b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
        yield CLOSE

    with Server(Behaviour(chat=unwrap), tls=tls) as server:
        row = drive(tmp_path, plan(tmp_path, server.url, closed(1), ca_file=str(certificate))).only
    assert ("ok", None) == (row["outcome"], row["error"])


def test_a_ca_file_that_is_not_there_is_said_before_the_load(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="No such file"):
        loads.start(tmp_path, plan(tmp_path, "https://127.0.0.1:1", closed(1), ca_file="/none.pem"))


@pytest.fixture
def ipv6(unavailable: Callable[[str], NoReturn]) -> str:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return "::1"
    except OSError as error:
        unavailable(f"no IPv6 loopback: {error}")


def test_an_ipv6_address_is_measured_like_any_other(tmp_path: Path, ipv6: str) -> None:
    with Server(host=ipv6) as server:
        made = plan(tmp_path, f"http://x:{server.port}", closed(2), host=ipv6)
        outcome = drive(tmp_path, made)
        assert f"[::1]:{server.port}" == server.chats[0].headers["host"]
    assert ["ok", "ok"] == [row["outcome"] for row in outcome.requests]


@pytest.mark.parametrize(
    ("host", "port", "tls", "expected"),
    [
        ("h", 80, False, "h"), ("h", 443, True, "h"), ("h", 443, False, "h:443"), ("h", 8000, True, "h:8000"),
        ("::1", 80, False, "[::1]"), ("::1", 8000, False, "[::1]:8000"),
    ],
)  # fmt: skip
def test_the_host_header_is_what_rfc_9110_wants(host: str, port: int, tls: bool, expected: str) -> None:
    assert expected == host_header(host, port, tls=tls)


def test_of_several_addresses_the_one_that_answers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", server.port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert ("127.0.0.1", server.port) == resolve("localhost", 0, tls=False, ca_file=None).sockaddr
    assert "::1" == resolve("localhost", 0, tls=False, ca_file=None).sockaddr[0]


def test_a_name_nobody_knows_is_said_before_the_load(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="load worker: "):
        loads.start(tmp_path, plan(tmp_path, "http://no-such-host.invalid:1", closed(1)))


def test_a_limit_counts_while_connecting(tmp_path: Path) -> None:
    """The listener's queue is full, so that the connection is neither taken nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = []
        for _ in range(3):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(full.getsockname())
        limits = {"total": SECOND, "first_token": 3 * SECOND // 10, "stall": SECOND}
        made = plan(tmp_path, f"http://127.0.0.1:{full.getsockname()[1]}", closed(1), limits=limits)
        row = drive(tmp_path, made).only
        for each in waiting:
            each.close()
    assert ("failed", "connect", None) == (row["outcome"], row["error_phase"], row["sent_ns"])
    assert "time limit: no first token within 300 ms" == row["error"]


class Nobody:
    """Takes no interest in its connection: what it brings is read by hand."""

    def ready(self, connection: Connection, mask: int) -> None:
        raise AssertionError(connection, mask)


def await_news(connection: Connection) -> None:
    assert select.select([connection.descriptor], [], [], loads.PATIENCE_S)[0]


def test_a_read_without_news_is_empty_and_not_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as stamping:
        ask_for_stamps(stamping)
        time.sleep(0.05)
        connection = Connection(Address(socket.AF_INET, listener.getsockname(), "", None), Nobody())
        peer, _ = listener.accept()
        with peer:
            connection.writable()
            assert connection.connected
            assert (b"", 0, False) == tuple(connection.read()[each] for each in (0, 2, 4))
            peer.sendall(b"abc")
            await_news(connection)
            read = connection.read()
            assert (b"abc", False) == (read.data, read.closed)
            if LINUX:
                assert read.segments >= 1
                assert 0 <= time.time_ns() - read.kernel_ns < 100 * SECOND
        await_news(connection)
        assert connection.read().closed
        connection.close()

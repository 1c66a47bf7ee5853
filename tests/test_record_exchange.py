"""Exchanges that share one wire: their time limits and connections, whatever order they end in."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hxbench.record.connection import Address
from hxbench.record.exchange import Exchange, Limits, Wire
from hxbench.record.loop import Loop
from hxbench.records.journal import Kind, Reader, Writer
from hxbench.wire import http
from hxbench.wire.openai import DIALECT
from tests import servers
from tests.loads import PATIENCE_S, SECOND
from tests.servers import STREAM_HEAD, Behaviour, Request, Server, delta, event

MS = 1_000_000


def by_length(request: Request) -> Iterator[object]:
    """Answers with that many tokens, 20 ms apart; with none, it says nothing for long."""
    tokens = request.document["max_tokens"]
    return iter([10.0]) if tokens == 0 else servers.stream(tokens, 0.005, 0.02)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Behaviour(chat=by_length)) as made:
        yield made


class Wired:
    """Exchanges on a loop, and what became of them."""

    def __init__(self, folder: Path, server: Server, limits: Limits) -> None:
        self.loop, self.path, self.ended = Loop(), folder / "journal", 0
        address = Address(socket.AF_INET, ("127.0.0.1", server.port), "", None)
        journal = Writer(self.path)
        self.wire = Wire(self.loop, journal, address, limits, DIALECT.token_hint, lambda data: data)

    def send(self, number: int, tokens: int) -> None:
        request = http.request(http.head("POST", DIALECT.path, "h", {}), "r", b'{"max_tokens": %d}' % tokens)
        Exchange(self.wire, number, request, self._count).dispatch()

    def _count(self, _: Exchange) -> None:
        self.ended += 1

    def turn_until_ended(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.ended < count:
            self.loop.turn()
            assert time.monotonic() < deadline

    def close(self) -> dict[int, tuple[float, str]]:
        """Returns by number how long each took, in ms, and why it ended early."""
        self.wire.close()
        self.wire.journal.close()
        entries = list(Reader(self.path).entries())
        sent = {entry.number: entry.time_ns for entry in entries if entry.kind == Kind.DISPATCH}
        ends = [entry for entry in entries if entry.kind == Kind.END]
        return {each.number: ((each.time_ns - sent[each.number]) / MS, each.body.decode()) for each in ends}


def test_each_of_many_exchanges_is_ended_at_its_own_limit_and_the_others_go_on(
    tmp_path: Path, server: Server
) -> None:
    wired = Wired(tmp_path, server, Limits(60 * SECOND, SECOND, 60 * SECOND))
    for number in range(12):
        wired.send(number, tokens=0 if number % 3 == 0 else 60)
    wired.turn_until_ended(12)
    for number, (took_ms, why) in wired.close().items():
        if number % 3 == 0:
            assert "time limit: no first token within 1 s" == why
            assert 1000 <= took_ms < 9000
        else:
            assert "" == why
            assert took_ms > 1000


def test_a_stall_is_ended_at_its_limit_although_the_one_to_the_first_token_is_longer(tmp_path: Path) -> None:
    def stall(_: Request) -> list[object]:
        return [0.1, STREAM_HEAD + event(delta("a")), 10.0]

    with Server(Behaviour(chat=stall)) as server:
        wired = Wired(tmp_path, server, Limits(9 * SECOND, 8 * SECOND, SECOND // 5))
        wired.send(1, tokens=1)
        wired.turn_until_ended(1)
    ((took_ms, why),) = wired.close().values()
    assert "time limit: no token for 200 ms" == why
    assert 300 <= took_ms < 8000


def test_exchanges_that_have_ended_leave_neither_themselves_nor_timers(
    tmp_path: Path, server: Server
) -> None:
    wired = Wired(tmp_path, server, Limits(60 * SECOND, 30 * SECOND, 10 * SECOND))
    for number in range(40):
        wired.send(number, tokens=1)
        wired.turn_until_ended(number + 1)
    assert ({}, 1) == (wired.wire.young, len(wired.loop._timers))
    assert 1 == len(wired.wire.idle)
    assert {""} == {why for _, why in wired.close().values()}


def test_after_a_quiet_time_limits_hold_again(tmp_path: Path, server: Server) -> None:
    wired = Wired(tmp_path, server, Limits(60 * SECOND, SECOND // 10, 60 * SECOND))
    wired.send(1, tokens=1)
    wired.turn_until_ended(1)
    wired.loop.at(time.monotonic_ns() + SECOND // 5, lambda: wired.send(2, tokens=0))
    wired.turn_until_ended(2)
    took_ms, why = wired.close()[2]
    assert "time limit: no first token within 100 ms" == why
    assert 100 <= took_ms < 9000

"""The two shapes of load on a loop of their own: whose turn it is, and that a stop is the end."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hxbench.record import shapes
from hxbench.record.connection import Address
from hxbench.record.exchange import Exchange, Limits, Wire
from hxbench.record.loop import Loop
from hxbench.record.shapes import Arrivals, Row, Users
from hxbench.records.journal import STOPPED, Entry, Kind, Reader, Writer
from hxbench.wire import http
from hxbench.wire.openai import DIALECT
from tests import servers
from tests.loads import PATIENCE_S, SECOND
from tests.servers import Behaviour, Server

MS = 1_000_000


class Bench:
    """A loop with what exchanges need, and what the shape said."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.loop, self.path = Loop(), folder / "journal"
        self.phases: list[tuple[str, bool]] = []
        self.begun: list[int] = []
        self.finished = 0
        self._wire = Wire(
            loop=self.loop,
            journal=Writer(self.path),
            address=Address(socket.AF_INET, ("127.0.0.1", server.port), "", None),
            limits=Limits(100 * SECOND, 100 * SECOND, 100 * SECOND),
            token_hint=DIALECT.token_hint,
            mask=lambda data: data,
        )

    def common(self, rows: list[Row]) -> tuple[Any, ...]:
        return self.loop, self._begin, self._note, self._finish, rows

    def _begin(self, row: Row, done: Callable[[Exchange], None]) -> Exchange:
        self.begun.append(row.number)
        request = http.request(http.head("POST", DIALECT.path, "h", {}), row.request_id, b'{"max_tokens": 2}')
        return Exchange(self._wire, row.number, request, done)

    def _note(self, phase: str, begins: bool) -> None:
        self.phases.append((phase, begins))

    def _finish(self) -> None:
        self.finished += 1

    def turn_for(self, seconds: float) -> None:
        end = time.monotonic_ns() + round(seconds * SECOND)
        self.loop.at(end, lambda: None)
        while time.monotonic_ns() < end:
            self.loop.turn()

    def turn_until(self, done: Callable[[], object]) -> None:
        end = time.monotonic_ns() + round(PATIENCE_S * SECOND)
        self.loop.at(end, lambda: None)
        while not done():
            self.loop.turn()
            assert time.monotonic_ns() < end, (self.begun, self.phases, self.finished)

    def turn_to_the_end(self) -> None:
        """Turns until the load has ended and a little longer, in case it ended again."""
        self.turn_until(lambda: self.finished)
        self.turn_for(0.05)

    def close(self) -> None:
        self._wire.close()
        self._wire.journal.close()

    def entries(self) -> list[Entry]:
        """What has been written to the journal."""
        self._wire.journal.flush()
        return list(Reader(self.path).entries())

    def kinds(self) -> list[int]:
        return [entry.kind for entry in self.entries()]


def row(number: int, conversation: str, turn: int, phase: str = "measure", due_ns: int | None = None) -> Row:
    return Row(number, f"r{number}", phase, due_ns, "a", 2, 1, conversation, turn, 0)


def rows(*due_ms: float | None, phase: str = "measure") -> list[Row]:
    return [
        row(number, f"r{number}", 0, phase, None if due is None else round(due * MS))
        for number, due in enumerate(due_ms)
    ]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Server(Behaviour(chat=lambda _: servers.stream(2, 0.01, 0.01))) as server:
        made = Bench(tmp_path, server)
        yield made
        made.close()


def test_after_a_stop_no_arrival_is_begun_or_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "PREPARE_NS", 2 * SECOND)
    shape = Arrivals(*bench.common(rows(2000, 2010, 2100)), 0, 3 * SECOND)
    shape.start(time.monotonic_ns() - 1500 * MS)
    bench.turn_until(lambda: bench.begun)
    begun = len(bench.begun)
    shape.stop(STOPPED)
    shape.stop(STOPPED)
    bench.turn_for(0.7)
    assert (begun, 1) == (len(bench.begun), bench.finished)
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases
    assert Kind.DISPATCH not in bench.kinds()


class Impatient(Server):
    """Says 408 to the first connection before it has asked anything, as proxies do."""

    impatient = True

    def _serve(self, connection: socket.socket) -> None:
        if self.impatient:
            self.impatient = False
            connection.sendall(servers.plain(408, "too slow", extra="Connection: close\r\n"))
            connection.close()
            return
        super()._serve(connection)


def test_an_answer_before_the_request_is_no_answer_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "PREPARE_NS", SECOND)
    with Impatient() as server:
        bench, due_ns = Bench(tmp_path, server), time.monotonic_ns() + SECOND
        Arrivals(*bench.common(rows(1000)), 0, 1010 * MS).start(due_ns - SECOND)
        bench.turn_to_the_end()
        entries = bench.entries()
        bench.close()
    early, late = (entry.time_ns for entry in entries if entry.kind == Kind.CONNECT_START)
    assert early < due_ns <= late
    assert [b""] == [entry.body for entry in entries if entry.kind == Kind.END]
    assert b"408" not in b"".join(entry.body for entry in entries)


def test_after_a_stop_no_user_comes_back(bench: Bench) -> None:
    shape = Users(*bench.common(rows(*[None] * 50)), 2, 0, 100 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_until(lambda: len(bench.begun) >= 2)
    begun = len(bench.begun)
    shape.stop(STOPPED)
    bench.turn_for(0.15)
    assert (begun, 1) == (len(bench.begun), bench.finished)
    kinds = bench.kinds()
    assert kinds.count(Kind.DISPATCH) == kinds.count(Kind.END) == begun


def test_a_stop_before_the_first_phase_is_the_end_of_it(bench: Bench) -> None:
    shape = Users(*bench.common(rows(None)), 1, 50 * MS, 50 * MS)
    shape.start(time.monotonic_ns() + 20 * MS)
    shape.stop(STOPPED)
    bench.turn_for(0.15)
    assert ([], 1, [("drain", True), ("drain", False)]) == (bench.begun, bench.finished, bench.phases)


def test_rows_that_run_out_before_the_time_end_the_phase(bench: Bench) -> None:
    shape = Users(*bench.common(rows(None, None)), 2, 0, 15 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_to_the_end()
    assert ([0, 1], 1) == (bench.begun, bench.finished)
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases


def test_users_without_a_row_in_the_warm_up_wait_for_the_measure(bench: Bench) -> None:
    plan = [*rows(None, phase="warmup"), *rows(None, None, None)[1:]]
    shape = Users(*bench.common(plan), 3, 60 * MS, None)
    shape.start(time.monotonic_ns())
    bench.turn_to_the_end()
    assert ([0, 1, 2], 1) == (bench.begun, bench.finished)
    assert ["warmup", "warmup", "measure", "measure", "drain", "drain"] == [name for name, _ in bench.phases]


def test_an_answer_is_dispatched_and_ended_exactly_once(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(10, 10, 10)), 0, 20 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_to_the_end()
    kinds = bench.kinds()
    assert (3, 3, 1) == (kinds.count(Kind.DISPATCH), kinds.count(Kind.END), bench.finished)


def test_no_more_are_in_flight_than_there_are_places_and_the_rest_go_in_their_order(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(*range(10, 20))), 0, 25 * MS, 2, 100 * SECOND)
    shape.start(time.monotonic_ns())
    bench.turn_to_the_end()
    kinds = bench.kinds()
    in_flight = [0]
    for kind in kinds:
        in_flight.append(in_flight[-1] + (kind == Kind.DISPATCH) - (kind == Kind.END))
    assert (2, 0) == (max(in_flight), in_flight[-1])
    assert ([*range(10)], 10, 1) == (bench.begun, kinds.count(Kind.END), bench.finished)
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases


def test_a_place_that_is_free_is_not_waited_for(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(20, 320, 620)), 0, 700 * MS, 1, 100 * SECOND)
    start = time.monotonic_ns()
    shape.start(start)
    bench.turn_to_the_end()
    sent = [entry.time_ns - start for entry in bench.entries() if entry.kind == Kind.DISPATCH]
    assert [0, 1, 2] == [(time_ns - 20 * MS) // (300 * MS) for time_ns in sent]  # each before the next is due


def test_who_waits_too_long_for_a_place_fails_without_having_been_sent(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(2, 0.6))) as server:
        bench = Bench(tmp_path, server)
        Arrivals(*bench.common(rows(200, 201, 202)), 0, 210 * MS, 1, 300 * MS).start(time.monotonic_ns())
        bench.turn_to_the_end()
        entries = bench.entries()
        bench.close()
    assert [0] == [entry.number for entry in entries if entry.kind == Kind.DISPATCH]
    ends = [(entry.number, entry.body.decode()) for entry in entries if entry.kind == Kind.END]
    reason = "time limit: no place within 300 ms, with 1 in flight"
    assert [(0, ""), (1, reason), (2, reason)] == ends
    assert 1 == bench.finished


def test_after_a_stop_nobody_gets_a_place(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: [9.0])) as server:
        bench = Bench(tmp_path, server)
        shape = Arrivals(*bench.common(rows(*[5] * 20)), 0, 500 * MS, 2, SECOND)
        shape.start(time.monotonic_ns())
        bench.turn_until(lambda: bench.kinds().count(Kind.DISPATCH) == 2)
        shape.stop(STOPPED)
        bench.turn_for(0.1)
        bench.close()
    assert (2, 1) == (len(bench.begun), bench.finished)


def test_users_come_one_after_the_other_over_the_ramp(bench: Bench) -> None:
    plan = [*rows(*[None] * 50, phase="warmup"), *rows(*[None] * 50)]
    shape = Users(*bench.common(plan), 4, 200 * MS, 50 * MS, 160 * MS)
    start = time.monotonic_ns()
    shape.start(start)
    assert [0, 0, 40, 80, 120, 200, 250] == [(at - start) / MS for at, *_ in sorted(bench.loop._timers)]
    bench.turn_to_the_end()
    in_flight = 0
    reached: dict[int, float] = {}
    for entry in bench.entries():
        in_flight += (entry.kind == Kind.DISPATCH) - (entry.kind == Kind.END)
        reached.setdefault(in_flight, (entry.time_ns - start) / MS)
    assert [True] * 4 == [reached[users] >= 40 * (users - 1) for users in (1, 2, 3, 4)]
    assert (4, 1) == (max(reached), bench.finished)


def test_users_still_to_come_stay_away_after_a_stop(bench: Bench) -> None:
    shape = Users(*bench.common(rows(*[None] * 9, phase="warmup")), 3, 900 * MS, 50 * MS, 900 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_until(lambda: bench.begun)
    shape.stop(STOPPED)
    bench.turn_for(0.7)
    assert (1, 1) == (len(bench.begun), bench.finished)


def test_a_user_thinks_between_an_answer_and_the_next_request(bench: Bench) -> None:
    plan = [replace(each, think_ns=60 * MS) for each in rows(*[None] * 4)]
    shape = Users(*bench.common(plan), 1, 0, None)
    shape.start(time.monotonic_ns())
    bench.turn_to_the_end()
    entries = [entry for entry in bench.entries() if entry.kind in (Kind.DISPATCH, Kind.END)]
    thought = [
        (later.time_ns - earlier.time_ns) / MS
        for earlier, later in pairwise(entries)
        if later.kind == Kind.DISPATCH
    ]
    assert 3 == len(thought)
    assert 60 <= min(thought) < 1000
    assert ([0, 1, 2, 3], 1) == (bench.begun, bench.finished)


def talk(number: int, turns: int, phase: str = "measure") -> list[Row]:
    return [row(number + turn, f"r{number}", turn, phase) for turn in range(turns)]


def test_users_ask_the_turns_of_their_conversation_and_then_take_the_next(bench: Bench) -> None:
    plan = [*talk(0, 3), *talk(3, 3), *talk(6, 2), *talk(8, 1)]
    Users(*bench.common(plan), 2, 0, None).start(time.monotonic_ns())
    bench.turn_to_the_end()
    assert ([0, 3], [*range(9)], 1) == (bench.begun[:2], sorted(bench.begun), bench.finished)
    for mine in ([0, 1, 2], [3, 4, 5], [6, 7]):
        assert mine == [number for number in bench.begun if number in mine]
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases


def test_the_phase_lasts_until_the_last_turn_though_another_user_finds_nothing_left(bench: Bench) -> None:
    Users(*bench.common([*talk(0, 1), *talk(1, 6)]), 2, 0, None).start(time.monotonic_ns())
    bench.turn_to_the_end()
    assert ([0, 1, 2, 3, 4, 5, 6], 1) == (bench.begun, bench.finished)


def test_after_the_end_of_the_phase_no_turn_begins(bench: Bench) -> None:
    Users(*bench.common(talk(0, 50)), 1, 0, 70 * MS).start(time.monotonic_ns())
    bench.turn_to_the_end()
    assert 1 <= len(bench.begun) < 10
    assert 1 == bench.finished


def test_a_conversation_of_the_warm_up_is_left_for_one_of_the_measure(bench: Bench) -> None:
    plan = [*talk(0, 50, "warmup"), *talk(50, 2)]
    Users(*bench.common(plan), 1, 60 * MS, None).start(time.monotonic_ns())
    bench.turn_to_the_end()
    warm = [number for number in bench.begun if number < 50]
    assert (warm, [50, 51]) == ([*range(len(warm))], bench.begun[len(warm) :])
    assert (1, True) == (bench.finished, 0 < len(warm) < 49)


def test_a_turn_that_is_refused_ends_its_conversation_and_the_user_takes_another(tmp_path: Path) -> None:
    answers = iter([servers.stream(2), [servers.plain(503, "{}")]])
    with Server(Behaviour(chat=lambda _: next(answers, None) or servers.stream(2))) as server:
        bench = Bench(tmp_path, server)
        Users(*bench.common([*talk(0, 4), *talk(4, 2)]), 1, 0, None).start(time.monotonic_ns())
        bench.turn_to_the_end()
        bench.close()
    assert ([0, 1, 4, 5], 1) == (bench.begun, bench.finished)


def test_each_stage_is_noted_when_it_begins_and_ends_with_the_next(bench: Bench) -> None:
    stages = [("calm", 0), ("spike", 30 * MS)]
    Arrivals(*bench.common(rows(10, 40)), 0, 60 * MS, None, 0, stages).start(time.monotonic_ns())
    bench.turn_to_the_end()
    assert [
        ("measure calm", True), ("measure calm", False), ("measure spike", True), ("measure spike", False),
        ("drain", True), ("drain", False),
    ] == bench.phases  # fmt: skip
    assert ([0, 1], 1) == (bench.begun, bench.finished)


def test_after_a_stop_no_stage_begins(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(1000)), 0, 500 * MS, None, 0, [("calm", 0), ("spike", 300 * MS)])
    shape.start(time.monotonic_ns())
    bench.turn_until(lambda: bench.phases)
    shape.stop(STOPPED)
    bench.turn_for(0.6)
    assert ["measure calm", "measure calm", "drain", "drain"] == [name for name, _ in bench.phases]

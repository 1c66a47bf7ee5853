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
from tests.loads import SECOND
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
            limits=Limits(5 * SECOND, 5 * SECOND, 5 * SECOND),
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
    shape.start(time.monotonic_ns() - 1800 * MS)
    bench.turn_for(0.005)
    begun = len(bench.begun)
    assert 1 <= begun
    shape.stop(STOPPED)
    shape.stop(STOPPED)
    bench.turn_for(0.4)
    assert (begun, 1) == (len(bench.begun), bench.finished)
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases
    assert Kind.DISPATCH not in bench.kinds()


def test_after_a_stop_no_user_comes_back(bench: Bench) -> None:
    shape = Users(*bench.common(rows(*[None] * 50)), 2, 0, 100 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.03)
    begun = len(bench.begun)
    assert begun >= 2
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
    bench.turn_for(0.15)
    assert ([0, 1], 1) == (bench.begun, bench.finished)
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases


def test_users_without_a_row_in_the_warm_up_wait_for_the_measure(bench: Bench) -> None:
    plan = [*rows(None, phase="warmup"), *rows(None, None, None)[1:]]
    shape = Users(*bench.common(plan), 3, 60 * MS, None)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.2)
    assert ([0, 1, 2], 1) == (bench.begun, bench.finished)
    assert ["warmup", "warmup", "measure", "measure", "drain", "drain"] == [name for name, _ in bench.phases]


def test_an_answer_is_dispatched_and_ended_exactly_once(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(10, 10, 10)), 0, 20 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.15)
    kinds = bench.kinds()
    assert (3, 3, 1) == (kinds.count(Kind.DISPATCH), kinds.count(Kind.END), bench.finished)


def test_no_more_are_in_flight_than_there_are_places_and_the_rest_go_in_their_order(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(*range(10, 20))), 0, 25 * MS, 2, SECOND)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.4)
    kinds = bench.kinds()
    in_flight = [0]
    for kind in kinds:
        in_flight.append(in_flight[-1] + (kind == Kind.DISPATCH) - (kind == Kind.END))
    assert (2, 0) == (max(in_flight), in_flight[-1])
    assert ([*range(10)], 10, 1) == (bench.begun, kinds.count(Kind.END), bench.finished)
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases


def test_a_place_that_is_free_is_not_waited_for(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(20, 90, 160)), 0, 200 * MS, 1, SECOND)
    start = time.monotonic_ns()
    shape.start(start)
    bench.turn_for(0.25)
    sent = [entry.time_ns - start for entry in bench.entries() if entry.kind == Kind.DISPATCH]
    assert [True] * 3 == [
        due <= time_ns / MS < due + 70 for due, time_ns in zip((20, 90, 160), sent, strict=True)
    ]


def test_who_waits_too_long_for_a_place_fails_without_having_been_sent(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(10, 11, 12)), 0, 15 * MS, 1, 10 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.2)
    entries = bench.entries()
    assert [0] == [entry.number for entry in entries if entry.kind == Kind.DISPATCH]
    ends = [(entry.number, entry.body.decode()) for entry in entries if entry.kind == Kind.END]
    reason = "time limit: no place within 10 ms, with 1 in flight"
    assert [(0, ""), (1, reason), (2, reason)] == ends
    assert 1 == bench.finished


def test_after_a_stop_nobody_gets_a_place(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(*[5] * 20)), 0, 500 * MS, 2, SECOND)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.015)
    shape.stop(STOPPED)
    bench.turn_for(0.1)
    assert (2, 1) == (len(bench.begun), bench.finished)


def test_users_come_one_after_the_other_over_the_ramp(bench: Bench) -> None:
    plan = [*rows(*[None] * 50, phase="warmup"), *rows(*[None] * 50)]
    shape = Users(*bench.common(plan), 4, 200 * MS, 50 * MS, 160 * MS)
    start = time.monotonic_ns()
    shape.start(start)
    bench.turn_for(0.35)
    in_flight = 0
    reached: dict[int, float] = {}
    for entry in bench.entries():
        in_flight += (entry.kind == Kind.DISPATCH) - (entry.kind == Kind.END)
        reached.setdefault(in_flight, (entry.time_ns - start) / MS)
    assert [0, 40, 80, 120] == pytest.approx([reached[users] for users in (1, 2, 3, 4)], abs=15)
    assert (4, 1) == (max(reached), bench.finished)


def test_users_still_to_come_stay_away_after_a_stop(bench: Bench) -> None:
    shape = Users(*bench.common(rows(*[None] * 9, phase="warmup")), 3, 90 * MS, 50 * MS, 90 * MS)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.01)
    shape.stop(STOPPED)
    bench.turn_for(0.15)
    assert (1, 1) == (len(bench.begun), bench.finished)


def test_a_user_thinks_between_an_answer_and_the_next_request(bench: Bench) -> None:
    plan = [replace(each, think_ns=60 * MS) for each in rows(*[None] * 4)]
    shape = Users(*bench.common(plan), 1, 0, None)
    shape.start(time.monotonic_ns())
    bench.turn_for(0.5)
    entries = [entry for entry in bench.entries() if entry.kind in (Kind.DISPATCH, Kind.END)]
    thought = [
        (later.time_ns - earlier.time_ns) / MS
        for earlier, later in pairwise(entries)
        if later.kind == Kind.DISPATCH
    ]
    assert [60, 60, 60] == pytest.approx(thought, abs=5)
    assert ([0, 1, 2, 3], 1) == (bench.begun, bench.finished)


def talk(number: int, turns: int, phase: str = "measure") -> list[Row]:
    return [row(number + turn, f"r{number}", turn, phase) for turn in range(turns)]


def test_users_ask_the_turns_of_their_conversation_and_then_take_the_next(bench: Bench) -> None:
    plan = [*talk(0, 3), *talk(3, 3), *talk(6, 2), *talk(8, 1)]
    Users(*bench.common(plan), 2, 0, None).start(time.monotonic_ns())
    bench.turn_for(0.5)
    assert ([0, 3], [*range(9)], 1) == (bench.begun[:2], sorted(bench.begun), bench.finished)
    for mine in ([0, 1, 2], [3, 4, 5], [6, 7]):
        assert mine == [number for number in bench.begun if number in mine]
    assert [("measure", True), ("measure", False), ("drain", True), ("drain", False)] == bench.phases


def test_the_phase_lasts_until_the_last_turn_though_another_user_finds_nothing_left(bench: Bench) -> None:
    Users(*bench.common([*talk(0, 1), *talk(1, 6)]), 2, 0, None).start(time.monotonic_ns())
    bench.turn_for(0.4)
    assert ([0, 1, 2, 3, 4, 5, 6], 1) == (bench.begun, bench.finished)


def test_after_the_end_of_the_phase_no_turn_begins(bench: Bench) -> None:
    Users(*bench.common(talk(0, 50)), 1, 0, 70 * MS).start(time.monotonic_ns())
    bench.turn_for(0.3)
    assert 1 <= len(bench.begun) < 10
    assert 1 == bench.finished


def test_a_conversation_of_the_warm_up_is_left_for_one_of_the_measure(bench: Bench) -> None:
    plan = [*talk(0, 50, "warmup"), *talk(50, 2)]
    Users(*bench.common(plan), 1, 60 * MS, None).start(time.monotonic_ns())
    bench.turn_for(0.4)
    warm = [number for number in bench.begun if number < 50]
    assert (warm, [50, 51]) == ([*range(len(warm))], bench.begun[len(warm) :])
    assert (1, True) == (bench.finished, 0 < len(warm) < 49)


def test_a_turn_that_is_refused_ends_its_conversation_and_the_user_takes_another(tmp_path: Path) -> None:
    answers = iter([servers.stream(2), [servers.plain(503, "{}")]])
    with Server(Behaviour(chat=lambda _: next(answers, None) or servers.stream(2))) as server:
        bench = Bench(tmp_path, server)
        Users(*bench.common([*talk(0, 4), *talk(4, 2)]), 1, 0, None).start(time.monotonic_ns())
        bench.turn_for(0.4)
        bench.close()
    assert ([0, 1, 4, 5], 1) == (bench.begun, bench.finished)


def test_each_stage_is_noted_when_it_begins_and_ends_with_the_next(bench: Bench) -> None:
    stages = [("calm", 0), ("spike", 30 * MS)]
    Arrivals(*bench.common(rows(10, 40)), 0, 60 * MS, None, 0, stages).start(time.monotonic_ns())
    bench.turn_for(0.2)
    assert [
        ("measure calm", True), ("measure calm", False), ("measure spike", True), ("measure spike", False),
        ("drain", True), ("drain", False),
    ] == bench.phases  # fmt: skip
    assert ([0, 1], 1) == (bench.begun, bench.finished)


def test_after_a_stop_no_stage_begins(bench: Bench) -> None:
    shape = Arrivals(*bench.common(rows(100)), 0, 60 * MS, None, 0, [("calm", 0), ("spike", 30 * MS)])
    shape.start(time.monotonic_ns())
    bench.turn_for(0.01)
    shape.stop(STOPPED)
    bench.turn_for(0.1)
    assert ["measure calm", "measure calm", "drain", "drain"] == [name for name, _ in bench.phases]

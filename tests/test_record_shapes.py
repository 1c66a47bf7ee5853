"""The two shapes of load on a loop of their own: whose turn it is, and that a stop is the end."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hxbench.record import shapes
from hxbench.record.connection import Address
from hxbench.record.exchange import Exchange, Limits, Wire
from hxbench.record.loop import Loop
from hxbench.record.shapes import Arrivals, Row, Users
from hxbench.records.journal import STOPPED, Kind, Reader, Writer
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
        request = http.request("POST", DIALECT.path, "h", {}, b'{"max_tokens": 2}')
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

    def kinds(self) -> list[int]:
        """What has been written to the journal."""
        self._wire.journal.flush()
        return [entry.kind for entry in Reader(self.path).entries()]


def rows(*due_ms: float | None, phase: str = "measure") -> list[Row]:
    return [
        Row(number, f"r{number}", phase, None if due is None else round(due * MS), "a", 2, 1)
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

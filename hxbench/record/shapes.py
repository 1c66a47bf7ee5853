"""The two shapes of load: users who wait for their answer (closed), and a schedule that does not (open)."""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from hxbench import units
from hxbench.record.exchange import Exchange
from hxbench.record.loop import Loop

PREPARE_NS = 50_000_000  # a connection is opened at most this long before its request is due
FAILURE_PAUSE_NS = 100_000_000  # before a user whose request failed comes back


@dataclass(frozen=True)
class Row:
    """One line of the schedule, as a worker needs it."""

    number: int
    request_id: str
    phase: str
    due_offset_ns: int | None
    prompt_id: str
    max_tokens: int
    seed: int
    conversation: str
    turn: int
    think_ns: int  # of the user, once the answer is there


Begin = Callable[[Row, Callable[[Exchange], None]], Exchange]
Note = Callable[[str, bool], None]  # phase, with its stage behind it where it has one; whether it begins


class Shape(Protocol):
    def start(self, start_ns: int) -> None: ...
    def stop(self, reason: str) -> None: ...


class Users:
    """Closed loop: each of `users` takes the next row of the current phase when free and done thinking.

    Who takes the first turn of a conversation asks the others as well, one after the other, until one is
    refused or the phase is over; what is then left of it is asked by nobody. Only what a worker sees can end
    a conversation (connection, time limit, HTTP status), not what an answer says.
    """

    def __init__(
        self,
        loop: Loop,
        begin: Begin,
        note: Note,
        finished: Callable[[], None],
        rows: Sequence[Row],
        users: int,
        warmup_ns: int,
        measure_ns: int | None,
        ramp_up_ns: int = 0,
    ) -> None:
        self._loop, self._begin, self._note, self._finished = loop, begin, note, finished
        self._rows = {
            phase: deque(row for row in rows if row.phase == phase) for phase in ("warmup", "measure")
        }
        self._turns_to_come = 0  # of the conversations that users are in
        self._warmup_ns, self._measure_ns, self._ramp_up_ns = warmup_ns, measure_ns, ramp_up_ns
        self._coming = users if ramp_up_ns else 0  # one after the other; the others are there at once
        self._parked = 0 if ramp_up_ns else users
        self._phase = ""
        self._running: set[Exchange] = set()
        self._done = False

    def start(self, start_ns: int) -> None:
        measure_at = start_ns + self._warmup_ns
        if self._warmup_ns:
            self._loop.at(start_ns, lambda: self._enter("warmup"))
        for user in range(self._coming):
            self._loop.at(start_ns + self._ramp_up_ns * user // self._coming, self._come)
        self._loop.at(measure_at, lambda: self._enter("measure"))
        if self._measure_ns is not None:
            self._loop.at(measure_at + self._measure_ns, self._drain)

    def stop(self, reason: str) -> None:
        self._drain()
        for exchange in tuple(self._running):
            exchange.stop(reason)
        self._finish_when_idle()

    def _enter(self, phase: str) -> None:
        if self._phase == "drain":
            return
        if self._phase:
            self._note(self._phase, False)
        self._phase = phase
        self._note(phase, True)
        waiting, self._parked = self._parked, 0
        for _ in range(waiting):
            self._next()

    def _come(self) -> None:
        if self._phase != "drain":
            self._next()

    def _next(self, turns: deque[Row] | None = None) -> None:
        """Lets a user ask the next of its `turns`, or else begin another conversation."""
        if turns and turns[0].phase == self._phase:
            self._turns_to_come -= 1
        else:
            self._turns_to_come -= len(turns or ())
            turns = self._take()
            if not turns:
                self._park()
                return
            self._turns_to_come += len(turns) - 1
        row = turns.popleft()
        exchange = self._begin(row, partial(self._ended, row, turns))
        self._running.add(exchange)
        exchange.dispatch()

    def _take(self) -> deque[Row]:
        """Returns the turns of the next conversation of this phase; none when all are taken."""
        rows = self._rows.get(self._phase)
        turns: deque[Row] = deque()
        while rows and (not turns or rows[0].conversation == turns[0].conversation):
            turns.append(rows.popleft())
        return turns

    def _park(self) -> None:
        self._parked += 1
        if self._phase == "measure" and not self._turns_to_come:
            self._drain()
        self._finish_when_idle()

    def _ended(self, row: Row, turns: deque[Row], exchange: Exchange) -> None:
        self._running.discard(exchange)
        if exchange.refused:
            self._turns_to_come -= len(turns)
            turns.clear()
        pause = max(row.think_ns, FAILURE_PAUSE_NS) if exchange.failed else row.think_ns
        if pause:
            self._loop.at(time.monotonic_ns() + pause, partial(self._next, turns))
        else:
            self._next(turns)

    def _drain(self) -> None:
        if self._phase == "drain":
            return
        if self._phase:
            self._note(self._phase, False)
        self._phase = "drain"
        self._note("drain", True)
        self._finish_when_idle()

    def _finish_when_idle(self) -> None:
        if self._phase == "drain" and not self._running and not self._done:
            self._done = True
            self._note("drain", False)
            self._finished()


class Arrivals:
    """Open loop: each row is sent when it is due, whatever became of those before.

    With `places` at most so many are in flight, and those due meanwhile wait for one in their order: the
    due times stay as they are. Who waits longer than `patience_ns` fails without having been sent, so that
    a server that stands still does not hold up the end of the load. `stages` say when within the measured
    phase which of them begins, in ns.
    """

    def __init__(
        self,
        loop: Loop,
        begin: Begin,
        note: Note,
        finished: Callable[[], None],
        rows: Sequence[Row],
        warmup_ns: int,
        measure_ns: int,
        places: int | None = None,
        patience_ns: int = 0,
        stages: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._loop, self._begin, self._note, self._finished = loop, begin, note, finished
        self._rows = deque(rows)
        self._warmup_ns, self._measure_ns, self._stages = warmup_ns, measure_ns, stages
        self._capped, self._patience_ns = places is not None, patience_ns
        self._places = sys.maxsize if places is None else places
        self._full = False  # the next row waits for a place, not for its time
        self._start = 0
        self._phase = ""
        self._running: set[Exchange] = set()
        self._done = False

    def start(self, start_ns: int) -> None:
        self._start = start_ns
        measure_at = start_ns + self._warmup_ns
        if self._warmup_ns:
            self._loop.at(start_ns, lambda: self._enter("warmup"))
        for stage, offset_ns in self._stages or [("", 0)]:
            self._loop.at(measure_at + offset_ns, partial(self._enter, f"measure {stage}".rstrip()))
        self._loop.at(measure_at + self._measure_ns, lambda: self._enter("drain"))
        self._await_next()

    def stop(self, reason: str) -> None:
        self._rows.clear()
        self._enter("drain")
        for exchange in tuple(self._running):
            exchange.stop(reason)
        self._finish_when_idle()

    def _await_next(self) -> None:
        if self._rows:
            self._loop.at(self._due(self._rows[0]) - PREPARE_NS, self._prepare_next)

    def _due(self, row: Row) -> int:
        assert row.due_offset_ns is not None  # noqa: S101 - the plan gives open-loop rows a due time
        return self._start + row.due_offset_ns

    def _prepare_next(self) -> None:
        if not self._rows:  # stopped meanwhile
            return
        if len(self._running) >= self._places:
            self._full = True
            return
        row = self._rows.popleft()
        exchange = self._begin(row, self._ended)
        self._running.add(exchange)
        due = self._due(row)
        if self._capped and time.monotonic_ns() - due > self._patience_ns:
            self._loop.at(due, lambda: self._give_up(exchange))
        else:
            self._loop.at(due, lambda: self._dispatch(exchange))
            exchange.prepare()
        self._await_next()

    def _give_up(self, exchange: Exchange) -> None:
        if exchange in self._running:
            waited = units.duration(self._patience_ns / 1e9)
            exchange.give_up(f"time limit: no place within {waited}, with {self._places} in flight")

    def _dispatch(self, exchange: Exchange) -> None:
        if exchange in self._running:
            exchange.dispatch()

    def _ended(self, exchange: Exchange) -> None:
        self._running.discard(exchange)
        if self._full:
            self._full = False
            self._prepare_next()
        self._finish_when_idle()

    def _enter(self, phase: str) -> None:
        if self._phase in (phase, "drain"):
            return
        if self._phase:
            self._note(self._phase, False)
        self._phase = phase
        self._note(phase, True)
        self._finish_when_idle()

    def _finish_when_idle(self) -> None:
        if self._phase == "drain" and not self._running and not self._rows and not self._done:
            self._done = True
            self._note("drain", False)
            self._finished()

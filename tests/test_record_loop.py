"""The loop of a load worker: timers on time and in order, and nothing left behind by those cancelled."""

import os
import selectors
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hxbench.record import loop as loops
from hxbench.record.loop import BOTH, READ, Loop
from tests.loads import PATIENCE_S

MS = 1_000_000


def later(ms: float) -> int:
    return time.monotonic_ns() + round(ms * MS)


def turn_until(loop: Loop, done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        loop.turn()
        assert time.monotonic() < deadline


def test_timers_run_in_the_order_of_their_times_and_then_of_their_coming() -> None:
    loop, ran = Loop(), []
    start = later(1)
    for name, ms in (("c", 2), ("a", 0), ("d", 2), ("b", 1)):
        loop.at(start + ms * MS, lambda name=name: ran.append(name))
    turn_until(loop, lambda: len(ran) == 4)
    assert ["a", "b", "c", "d"] == ran


def test_a_timer_never_runs_early() -> None:
    loop, ran = Loop(), []
    due = later(3)
    loop.at(due, lambda: ran.append(time.monotonic_ns()))
    turn_until(loop, lambda: ran)
    assert ran[0] >= due


def test_a_cancelled_timer_does_not_run_and_may_be_cancelled_again() -> None:
    loop, ran = Loop(), []
    cancelled = loop.at(later(1), lambda: ran.append("cancelled"))
    loop.at(later(2), lambda: ran.append("kept"))
    loop.cancel(cancelled)
    loop.cancel(cancelled)
    turn_until(loop, lambda: ran)
    assert ["kept"] == ran


def test_a_timer_that_has_run_can_still_be_cancelled() -> None:
    loop, ran = Loop(), []
    timer = loop.at(later(0), lambda: ran.append(1))
    turn_until(loop, lambda: ran)
    loop.cancel(timer)
    assert [1] == ran


def test_cancelled_timers_do_not_pile_up() -> None:
    loop, ran = Loop(), []
    loop.at(later(20), lambda: ran.append("kept"))
    for _ in range(10_000):
        loop.cancel(loop.at(later(60_000), lambda: ran.append("late")))
        assert len(loop._timers) <= loops.LEAST_CANCELLED + 2
    turn_until(loop, lambda: ran)
    assert ["kept"] == ran


def test_timers_that_set_new_ones_for_now_do_not_keep_sockets_waiting() -> None:
    loop = Loop()
    readable, writable = os.pipe()
    seen: list[int] = []

    def again() -> None:
        if not seen:
            loop.at(time.monotonic_ns(), again)

    loop.watch(readable, READ, lambda _: seen.append(readable))
    again()
    os.write(writable, b"x")
    turn_until(loop, lambda: seen)
    os.close(readable)
    os.close(writable)


def test_a_descriptor_that_an_earlier_call_closed_is_not_called() -> None:
    loop = Loop()
    pipes = [os.pipe() for _ in range(2)]
    called: list[int] = []

    def close_both(which: int) -> Callable[[int], None]:
        def call(_: int) -> None:
            called.append(which)
            for readable, _writable in pipes:
                loop.unwatch(readable)

        return call

    for which, (readable, writable) in enumerate(pipes):
        loop.watch(readable, READ, close_both(which))
        os.write(writable, b"x")
    loop.turn()
    assert 1 == len(called)
    for pair in pipes:
        for descriptor in pair:
            os.close(descriptor)


def test_a_system_without_epoll_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "EPOLL", False)
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    loop, ran = Loop(), []
    readable, writable = os.pipe()
    loop.watch(readable, READ, lambda mask: ran.append(mask))
    os.write(writable, b"x")
    turn_until(loop, lambda: ran)
    loop.unwatch(readable)
    loop.at(later(1), lambda: ran.append("timer"))
    turn_until(loop, lambda: len(ran) == 2)
    assert [READ, "timer"] == ran
    os.close(readable)
    os.close(writable)


def test_only_other_events_cost_a_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "EPOLL", False)
    loop, ran = Loop(), []
    readable, writable = os.pipe()
    loop.watch(readable, READ, lambda _: ran.append("first"))
    monkeypatch.delattr(loop._poller, "modify")
    loop.change(readable, READ, lambda _: ran.append("second"))
    os.write(writable, b"x")
    loop.turn()
    assert ["second"] == ran
    os.close(readable)
    os.close(writable)


@pytest.mark.skipif(not loops.EPOLL, reason="a peer's end is told as readable where there is no epoll")
def test_a_hang_up_is_told_as_news_in_both_directions() -> None:
    loop, ran = Loop(), []
    readable, writable = os.pipe()
    loop.watch(readable, READ, lambda mask: ran.append(mask))
    os.close(writable)
    loop.turn()
    assert [BOTH] == ran
    os.close(readable)


def test_a_system_without_adjustable_timers_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[Path] = []

    def refuse(path: Path, _: str) -> None:
        refused.append(path)
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    Loop()
    assert [Path("/proc/self/timerslack_ns")] == refused


def test_a_loop_with_nothing_to_do_sleeps() -> None:
    loop, ran = Loop(), []
    loop.at(later(200), lambda: ran.append(1))
    before = time.thread_time()
    turn_until(loop, lambda: ran)
    assert time.thread_time() - before < 0.02

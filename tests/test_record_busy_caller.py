"""A caller that is busy itself, as a drawing notebook may be, does not move what the load worker stamps."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_render_progress import planned, state

from hxbench.judge.calibration import LIMIT_S
from hxbench.record.calibration import SHORT, calibrate
from hxbench.record.resources import host
from hxbench.record.supervisor import StopRequest
from hxbench.render.notebook_view import MOST, Sample, live
from hxbench.servers.reference import serving

TRIES = 3  # other work on the machine only adds error
CROWDED = 0.1  # of a core: more work of others, and an error says nothing


SAMPLES = [Sample(float(second), True, 60.0 + second % 7, 4.0, 0.3) for second in range(MOST)]


def draw() -> None:
    """Makes the live chart of a long run, as a notebook does once a second."""
    live(state(), planned(), SAMPLES)


def foreign_s() -> float:
    """The processor time used on this machine by others than this process and its children, so far."""
    _, _, _, used = next(host())
    return used - sum(os.times()[:4])


@contextmanager
def busy(work: Callable[[], object]) -> Iterator[None]:
    """Keeps a thread of this process busy in Python."""
    ended = False

    def spin() -> None:
        while not ended:
            work()

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        ended = True
        thread.join()


@pytest.mark.parametrize("work", [int, draw], ids=["spins", "draws"])
def test_stamps_stay_within_the_ledgers_limit_while_the_caller_is_busy(
    tmp_path: Path, work: Callable[[], object]
) -> None:
    tries = []
    for attempt in range(TRIES):
        began_s, others_s = time.monotonic(), foreign_s()
        with busy(work):
            (row,) = calibrate(SHORT[:1], serving, tmp_path / str(attempt), StopRequest())["experiments"]
        crowd = (foreign_s() - others_s) / (time.monotonic() - began_s)
        assert row["ttft_n"] > 50
        assert row["itl_n"] > 50
        tries.append((max(row["ttft_p99_s"], row["itl_p99_s"]), crowd))
        if tries[-1][0] <= LIMIT_S:
            break
    assert [] != [error_s for error_s, crowd in tries if error_s <= LIMIT_S or crowd > CROWDED], tries

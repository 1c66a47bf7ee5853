"""A caller that is busy itself, as a notebook's cell may be, does not move what the load worker stamps."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hxbench.judge.calibration import LIMIT_S
from hxbench.record.calibration import SHORT, calibrate
from hxbench.record.supervisor import StopRequest
from hxbench.servers.reference import serving

TRIES = 2  # other work on the machine only adds error


@contextmanager
def spinning() -> Iterator[None]:
    """Keeps a thread of this process busy in Python: `while True: pass`."""
    ended = False

    def spin() -> None:
        while not ended:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        ended = True
        thread.join()


def test_stamps_stay_within_the_ledgers_limit_while_the_caller_spins(tmp_path: Path) -> None:
    worst = []
    for attempt in range(TRIES):
        with spinning():
            (row,) = calibrate(SHORT[:1], serving, tmp_path / str(attempt), StopRequest())["experiments"]
        assert row["ttft_n"] > 50
        assert row["itl_n"] > 300
        worst.append(max(row["ttft_p99_s"], row["itl_p99_s"]))
        if worst[-1] <= LIMIT_S:
            break
    assert min(worst) <= LIMIT_S

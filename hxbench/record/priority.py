"""Who goes first: real-time priority for load workers, where the system grants it; the decoder last.

Standard library only.

Who wakes late sends late. A worker under SCHED_FIFO wakes before all ordinary work on its core, which on a
busy machine is the difference between tenths of a millisecond and some milliseconds.

It cannot keep the machine for itself. It sleeps whenever nothing is due and nothing has come, and what comes
is from a server that needs time of its own. A load too large for it would keep it awake: after LONGEST_US
of work without a sleep the kernel signals that (RLIMIT_RTTIME), and it is an ordinary process from then on.
Linux besides leaves ordinary work some part of each second (sched_rt_runtime_us).
"""

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hxbench.errors import InputError

NORMAL, REALTIME = "normal", "realtime"
LEVEL = 10  # above ordinary work, whatever its level; well below the kernel's own threads, which have 50
LONGEST_US = 300_000
NICER_BY = 10  # a tenth of the share of whoever asks for the same core


def require(priority: str) -> None:
    """Raises InputError when the system would refuse a load worker this priority, by trying for a moment."""
    if priority != REALTIME:
        return
    if not hasattr(os, "sched_setscheduler"):
        raise InputError("instrument.priority: realtime: only Linux has it; set it to normal")
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(LEVEL))
    except OSError as error:
        raise InputError(
            f"instrument.priority: realtime: the system refuses it ({error.strerror}): allow it with "
            f"CAP_SYS_NICE or `ulimit -r {LEVEL}`, or set it to normal"
        ) from None
    os.sched_setscheduler(0, *before)


def take(priority: str, given_up: Callable[[], None]) -> None:
    """Gives this process its priority; calls `given_up` if the guard against sleeplessness takes it away.

    Raises:
        OSError: the system refuses it.
    """
    if priority != REALTIME:
        return

    def give_up(*_: object) -> None:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        given_up()

    signal.signal(signal.SIGXCPU, give_up)
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (LONGEST_US, hard))
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(LEVEL))


def lower(pid: int) -> None:
    """Lets everything else go before a child with a session of its own.

    Linux shares out the processor among sessions first (its autogroups), and within one by niceness.
    """
    niceness = os.getpriority(os.PRIO_PROCESS, 0) + NICER_BY
    os.setpriority(os.PRIO_PROCESS, pid, niceness)
    with suppress(OSError):  # where there are no such groups, niceness is all
        Path(f"/proc/{pid}/autogroup").write_text(str(min(niceness, 19)))

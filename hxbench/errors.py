"""What can go wrong, and the exit status it leads to.

HxbenchError                    4  hxbench itself, or a record that cannot be used
├── InputError                  2  what the user gave cannot work; nothing was started
│   ├── ProfileError               a profile, its layers or a flag
│   ├── TargetError                the server is not there, not ready or not the one asked for
│   └── DirectoryError             a folder or file that cannot be read or written
├── BusyError                   2  another run measures on this machine
├── StoppedError          128 + n  signal n came before the run's first request; nothing was left behind
├── PrometheusError             4  no answer that can be used; a run notes it and goes on
├── EvidenceError               4  a run directory that does not hold what it should
├── UnsoundError                1  a run in which `verify` finds faults, so that nobody should sign it
└── IncompleteError             4  the run ended before its records were whole
"""


class HxbenchError(Exception):
    """Anything hxbench raises on purpose; its text is one line meant for the user."""

    exit_status = 4

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: a user's mistake needs none."""
        return [f"{type(self).__name__}: {self}"]


class InputError(HxbenchError):
    exit_status = 2


class ProfileError(InputError):
    pass


class TargetError(InputError):
    pass


class DirectoryError(InputError):
    pass


class BusyError(HxbenchError):
    exit_status = 2


class StoppedError(HxbenchError):
    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal, self.exit_status = signal, 128 + signal


class PrometheusError(HxbenchError):
    pass


class EvidenceError(HxbenchError):
    pass


class UnsoundError(HxbenchError):
    exit_status = 1


class IncompleteError(HxbenchError):
    pass

"""One measurement a machine: two at once ruin both."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hxbench.errors import BusyError


def lock_path() -> Path:
    return Path(tempfile.gettempdir()) / "hxbench.lock"


@contextmanager
def measuring(run_dir: Path) -> Iterator[None]:
    """Holds the machine's lock; it goes with the process, however that ends.

    Raises:
        BusyError: another run holds it; the text names its process and folder.
    """
    descriptor = os.open(lock_path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "unknown"
            raise BusyError(
                f"another run measures on this machine ({holder}): wait for it, or end it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {run_dir}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)

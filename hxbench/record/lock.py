"""One measurement a machine: two at once ruin both."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hxbench.errors import BusyError, DirectoryError


def lock_path() -> Path:
    return Path(tempfile.gettempdir()) / "hxbench.lock"


@contextmanager
def measuring(run_dir: Path) -> Iterator[None]:
    """Holds the machine's lock; it goes with the process, however that ends.

    Raises:
        BusyError: another run holds it; the text names its process and folder.
        DirectoryError: the lock's file cannot be opened.
    """
    descriptor = _open(lock_path())
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


def _open(path: Path) -> int:
    """Opens the file for whoever measures on this machine, made once by the first of them.

    Linux lets nobody open another user's file in /tmp with O_CREAT, so that is only the second try.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            os.fchmod(descriptor, 0o666)  # whatever the umask
            return descriptor
    except OSError as error:
        raise DirectoryError(f"{path}: the machine's lock cannot be opened: {error.strerror}") from None

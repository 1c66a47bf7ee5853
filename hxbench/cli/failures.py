"""What an error comes to: one line for the user, and an exit status."""

import traceback

from hxbench.errors import HxbenchError


def line_and_status(error: Exception) -> tuple[str, int]:
    """Returns the line that says an error of any kind, and its exit status."""
    if isinstance(error, HxbenchError):
        return f"hxbench: {error}", error.exit_status
    if isinstance(error, OSError):  # the disk, a folder, a descriptor: the machine's, not ours
        where = f"{error.filename}: " if error.filename else ""
        return f"hxbench: {where}{error.strerror or error}", 4
    return _own_bug(error), 4


def _own_bug(error: Exception) -> str:
    """Writes the traceback into a file; returns the line that says where."""
    from hxbench.recording import outputs

    path = outputs() / "log.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            traceback.print_exception(error, file=log)
        where = f"the traceback is in {path}"
    except OSError:
        where = "and its traceback could not be written"
    return f"hxbench: a bug in hxbench: {type(error).__name__}: {error}; {where}"

"""The process that runs one notebook by papermill: `python -m hxbench.render.headless REQUEST.json`.

It is a process of its own so that no event loop, signal handler, warning or environment of the caller
matters. Its standard input is held open by the caller; end of file means stop.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.render.files import spare_the_grammar

spare_the_grammar()

import papermill  # noqa: E402
from jupyter_client.kernelspec import KernelSpec  # noqa: E402
from jupyter_client.manager import AsyncKernelManager  # noqa: E402
from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402


class Kernel(AsyncKernelManager):
    """Starts this very Python as kernel, whatever kernels are installed under whatever names.

    It talks through sockets in the private folder: no port to lose to another process, and a short path,
    because a socket's path has 104 bytes on macOS.
    """

    def __init__(self, **kwargs: Any) -> None:
        folder = Path(os.environ["JUPYTER_RUNTIME_DIR"])
        super().__init__(
            transport="ipc", ip=str(folder / "k"), connection_file=str(folder / "k.json"), **kwargs
        )

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
        )


def main(request: Path) -> str | None:
    """Runs the notebook of a request; returns what stopped it, unless that stands in the notebook."""
    threading.Thread(target=_stop_with_caller, daemon=True).start()
    asked = json.loads(request.read_text("utf-8"))
    try:
        papermill.execute_notebook(
            asked["notebook"],
            asked["out"],
            parameters=asked["parameters"],
            kernel_name="python3",  # only what papermill writes down; the kernel is the one above
            kernel_manager_class=Kernel,
            progress_bar=False,
            log_output=False,
            start_timeout=60,
            execution_timeout=asked["timeout"],
            cwd=str(Path(asked["out"]).parent),  # as JupyterLab does when the notebook is opened there
        )
    except PapermillExecutionError:
        return None
    except CellTimeoutError:
        return f"a cell took longer than {units.duration(asked['timeout'])}"
    except DeadKernelError:
        return "the kernel died"
    except KeyboardInterrupt:
        return "it was stopped"
    return None


def _stop_with_caller() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)  # papermill then stops the kernel and keeps what ran


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

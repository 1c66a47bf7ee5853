"""A real Pushgateway on an ephemeral loopback port, which keeps what is pushed in memory."""

import shutil
import subprocess
from pathlib import Path

import httpx

from tests.prometheus import StartedPrometheus


def program(repository: Path) -> str | None:
    """Returns the path of a Pushgateway: what `make services` prepared, or an installed one."""
    name = "prometheus-pushgateway"
    return shutil.which(name, path=repository / ".services" / "bin") or shutil.which(name)


class StartedPushgateway(StartedPrometheus):
    """Its log says where it listens as that of a Prometheus does."""

    def __init__(self, path: str, folder: Path) -> None:
        self._log = folder / "log.txt"
        command = [path, "--web.listen-address=127.0.0.1:0", "--persistence.file="]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.url = f"http://{self._address()}"

    def kept(self) -> str:
        """Returns what it has for a scrape."""
        return httpx.get(f"{self.url}/metrics").raise_for_status().text

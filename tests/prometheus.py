"""A real Prometheus on an ephemeral loopback port that scrapes given targets every second."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.loads import PATIENCE_S, wait_until


def program(repository: Path) -> str | None:
    """Returns the path of a Prometheus: what `make services` prepared, or an installed one."""
    return shutil.which("prometheus", path=repository / ".services" / "bin") or shutil.which("prometheus")


class StartedPrometheus:
    """Scrapes jobs (name -> address); those can be changed while it runs."""

    def __init__(self, path: str, folder: Path, jobs: Mapping[str, str]) -> None:
        self._folder = folder
        self._configure(jobs)
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    path, f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle", "--query.timeout=60s",
                ],
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.url = f"http://{self._address()}"

    def scrape(self, jobs: Mapping[str, str]) -> None:
        """Scrapes these jobs from now on, and returns when each of them is up."""
        self._configure(jobs)
        httpx.post(f"{self.url}/-/reload", timeout=PATIENCE_S).raise_for_status()
        self.await_up(jobs)

    def await_up(self, jobs: Mapping[str, str]) -> None:
        """Waits until each job is scraped where it is now, and nowhere else any more."""
        for name, at in jobs.items():
            self.await_value(f'up{{job="{name}",instance="{at}"}} == on() count(up{{job="{name}"}})', 1.0)

    def await_value(self, query: str, wanted: float) -> None:
        """Waits until a query gives one series of that value."""
        wait_until(lambda: self.value(query) == wanted, f"{query} does not give {wanted}")

    def value(self, query: str) -> float | None:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=PATIENCE_S)
        found = answer.json()["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def _configure(self, jobs: Mapping[str, str]) -> None:
        """Writes the configuration; JSON is YAML."""
        each = [{"job_name": name, "static_configs": [{"targets": [at]}]} for name, at in jobs.items()]
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "900ms"}, "scrape_configs": each}
        (self._folder / "prometheus.yml").write_text(json.dumps(config))

    def _address(self) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.search(r'msg="Listening on" address=(\S+)\s', self._log.read_text())):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        return found[1]

"""A real Prometheus that scrapes given targets every second, and an Alertmanager, on loopback ports."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.loads import PATIENCE_S, wait_until


def program(repository: Path, name: str = "prometheus") -> str | None:
    """Returns the path of a program of that family: what `make services` prepared, or an installed one."""
    return shutil.which(name, path=repository / ".services" / "bin") or shutil.which(name)


class Started:
    """A program whose log says where it listens."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.url = f"http://{self._address()}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def _address(self) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.search(r'msg="Listening on" address=(\S+)\s', self._log.read_text())):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        return found[1]


class StartedPrometheus(Started):
    """Scrapes jobs (name -> address); those can be changed while it runs. `more` are further keys."""

    def __init__(
        self, path: str, folder: Path, jobs: Mapping[str, str], more: Mapping[str, Any] | None = None
    ) -> None:
        self._folder, self._more = folder, more or {}
        self._targets: dict[str, list[str]] = {}
        self._configure(jobs)
        super().__init__(
            [
                path, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle", "--query.timeout=60s",
            ],
            folder,
        )  # fmt: skip

    def scrape(self, jobs: Mapping[str, str]) -> None:
        """Scrapes these jobs from now on, and returns when each of them is up."""
        self._configure(jobs)
        httpx.post(f"{self.url}/-/reload", timeout=PATIENCE_S).raise_for_status()
        self.await_up(jobs)

    def await_up(self, jobs: Mapping[str, str]) -> None:
        """Waits until each job is scraped where it is now, and nowhere else any more."""
        for name, at in jobs.items():
            self.await_value(f'up{{job="{name}",instance="{at}"}} == on() count(up{{job="{name}"}})', 1.0)

    def await_value(self, query: str, wanted: float | None) -> None:
        """Waits until a query gives one series of that value; none for None."""
        wait_until(lambda: self.value(query) == wanted, f"{query} does not give {wanted}")

    def value(self, query: str) -> float | None:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=PATIENCE_S)
        found = answer.json()["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def await_alertmanager(self) -> None:
        """Waits until it knows where alerts go; that takes as long as the first scrape."""
        address = f"{self.url}/api/v1/alertmanagers"
        wait_until(
            lambda: httpx.get(address, timeout=PATIENCE_S).json()["data"]["activeAlertmanagers"],
            "no Alertmanager is known",
        )

    def _configure(self, jobs: Mapping[str, str]) -> None:
        """Writes the configuration; JSON is YAML.

        An earlier job keeps its name without a target: of one that is removed whole Prometheus keeps the last
        values for five minutes, also beside those of its next target.
        """
        self._targets = {name: [] for name in self._targets} | {name: [at] for name, at in jobs.items()}
        each = [{"job_name": name, "static_configs": [{"targets": at}]} for name, at in self._targets.items()]
        times = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
        config = {"global": times, "scrape_configs": each, **self._more}
        (self._folder / "prometheus.yml").write_text(json.dumps(config))


class StartedAlertmanager(Started):
    """Sends each alert on within a second, to webhooks (receiver's name -> address, or none).

    `routes` say by alert's name to which receiver; all others go to the first.
    """

    def __init__(
        self, path: str, folder: Path, webhooks: Mapping[str, str | None], routes: Mapping[str, str]
    ) -> None:
        receivers = [
            {"name": name, "webhook_configs": [{"url": url}] if url else []} for name, url in webhooks.items()
        ]
        route = {
            "receiver": receivers[0]["name"],
            "group_by": ["..."],
            "group_wait": "100ms",
            "group_interval": "1s",
            "routes": [
                {"matchers": [f'alertname="{alert}"'], "receiver": name} for alert, name in routes.items()
            ],
        }
        config = folder / "alertmanager.yml"
        config.write_text(json.dumps({"route": route, "receivers": receivers}))
        super().__init__(
            [
                path, f"--config.file={config}", f"--storage.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=",
            ],
            folder,
        )  # fmt: skip

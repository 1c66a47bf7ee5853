"""A stage for alert drills: a real service, watched by a real Prometheus, reported by a real Alertmanager."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.loads import await_gone
from tests.prometheus import StartedAlertmanager, StartedPrometheus

SETTLED_S = 60.0
# Each but `Always` fires when the service is down; Alertmanager takes `Lost` and `Held` and tells nobody.
_DOWN = 'up{job="service"} == 0'
RULES: tuple[dict[str, Any], ...] = (
    {"alert": "ServiceDown", "expr": _DOWN, "for": "1s", "labels": {"note": "word-8372"}},
    {"alert": "Lost", "expr": _DOWN},
    {"alert": "Held", "expr": _DOWN},
    {"alert": "Slow", "expr": _DOWN, "for": "10m"},
    {"alert": "Always", "expr": 'up{job="service"} > -1'},
    {"alert": "Broken", "expr": '{__name__=~"up|scrape_samples_scraped"} * on() up'},
)
# $1: the folder, $2: the program, $3: its port. What was killed may be a zombie for a while: no pid tells.
START = """rm "$1/stopped" 2>/dev/null || exit 0
"$2" --web.listen-address=127.0.0.1:$3 --collector.disable-defaults >/dev/null 2>&1 &
echo $! >"$1/pid"
"""
STOP = 'kill -KILL "$(cat "$1/pid")" && touch "$1/stopped"\n'


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Stage:
    """`programs` are the paths of Prometheus, Alertmanager, and the service, a node exporter."""

    def __init__(self, folder: Path, programs: tuple[str, str, str]) -> None:
        prometheus, alertmanager, service = programs
        self._folder = folder
        for name in ("prometheus", "alertmanager"):
            (folder / name).mkdir()
        files = {"start.sh": START, "stop.sh": STOP, "rules.yml": json.dumps(_rules()), "stopped": ""}
        for name, text in files.items():
            (folder / name).write_text(text)
        self._port, self.receiver = str(free_port()), f"127.0.0.1:{free_port()}"
        self.stop = ["sh", str(folder / "stop.sh"), str(folder)]
        self.restore = ["sh", str(folder / "start.sh"), str(folder), service, self._port]
        webhooks = {"hxbench": f"http://{self.receiver}/", "nobody": None}
        routes = dict.fromkeys(("Lost", "Held", "Always", "Broken"), "nobody")
        self.start()
        self.alertmanager = StartedAlertmanager(alertmanager, folder / "alertmanager", webhooks, routes)
        targets = [{"targets": [self.alertmanager.url.removeprefix("http://")]}]
        more = {
            "rule_files": [str(folder / "rules.yml")],
            "alerting": {"alertmanagers": [{"static_configs": targets}]},
        }
        jobs = {"service": f"127.0.0.1:{self._port}"}
        self.prometheus = StartedPrometheus(prometheus, folder / "prometheus", jobs, more)
        self.prometheus.await_up(jobs)
        self.prometheus.await_alertmanager()

    def profile(self, folder: Path, **more: Any) -> Path:
        """Writes a profile of a drill; `more` are keys of its section."""
        section = {
            "rule": "ServiceDown", "labels": {"job": "service"}, "stop": self.stop, "restore": self.restore,
            "receiver": self.receiver, "alertmanager": self.alertmanager.url, "within": "60 s",
            "clears_within": "60 s", **more,
        }  # fmt: skip
        watched = {"url": self.prometheus.url, "every": "1 s"}
        document = {"schema": 1, "name": "drill", "target": {"model": "m"}, "prometheus": watched}
        path = folder / "drill.yaml"
        path.write_text(json.dumps(document | {"alerts": section}))
        return path

    @property
    def pid(self) -> int:
        return int((self._folder / "pid").read_text())

    @property
    def is_up(self) -> bool:
        return psutil.pid_exists(self.pid) and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE

    def start(self) -> None:
        subprocess.run(self.restore, check=True)

    def settle(self) -> None:
        """Returns when the service is up and no alert of it is left anywhere."""
        self.start()
        self.prometheus.await_value('up{job="service"}', 1.0)
        self.prometheus.await_value('count(ALERTS{alertname!="Always"})', None)
        deadline = time.monotonic() + SETTLED_S
        while self._held():
            assert time.monotonic() < deadline, self._held()
            time.sleep(0.1)

    def _held(self) -> list[Any]:
        alerts = httpx.get(f"{self.alertmanager.url}/api/v2/alerts").json()
        return [each for each in alerts if each["labels"]["alertname"] != "Always"]

    def hold(self, labels: Mapping[str, str], until: str) -> None:
        """Makes Alertmanager hold an alert until a time, or forget it."""
        alert = {"labels": labels, "startsAt": "2020-01-01T00:00:00Z", "endsAt": until}
        httpx.post(f"{self.alertmanager.url}/api/v2/alerts", json=[alert]).raise_for_status()

    def close(self) -> None:
        self.prometheus.stop()
        self.alertmanager.stop()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await_gone(self.pid)


def _rules() -> dict[str, Any]:
    return {"groups": [{"name": "service", "rules": RULES}]}

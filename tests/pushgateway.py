"""A real Pushgateway on an ephemeral loopback port, which keeps what is pushed in memory."""

from pathlib import Path

import httpx

from tests.prometheus import Started

PROGRAM = "prometheus-pushgateway"


class StartedPushgateway(Started):
    def __init__(self, path: str, folder: Path) -> None:
        super().__init__([path, "--web.listen-address=127.0.0.1:0", "--persistence.file="], folder)

    def kept(self) -> str:
        """Returns what it has for a scrape."""
        return httpx.get(f"{self.url}/metrics").raise_for_status().text

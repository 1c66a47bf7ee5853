"""httpx and aiohttp as a good user writes them: `python -m benchmarks.clients PLAN.json`.

One coroutine a user or a request, each token stamped when its line is there. What came is written, after the
load, to the file that the plan names.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

TIMEOUT_S = 120
Ask = Callable[[str], Awaitable[list[int]]]  # request id to the time of each token


def has_token(line: str) -> bool:
    """Returns whether a line of a chat's stream carries text."""
    if not line.startswith("data: ") or line.startswith("data: [DONE]"):
        return False
    choices = json.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


@asynccontextmanager
async def with_httpx(url: str, body: dict[str, Any]) -> AsyncIterator[Ask]:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as client:

        async def ask(request_id: str) -> list[int]:
            times = []
            headers = {"X-Request-Id": request_id}
            async with client.stream("POST", url, json=body, headers=headers) as response:
                response.raise_for_status()
                async for line in response.aiter_lines():
                    if has_token(line):
                        times.append(time.monotonic_ns())
            return times

        yield ask


@asynccontextmanager
async def with_aiohttp(url: str, body: dict[str, Any]) -> AsyncIterator[Ask]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def ask(request_id: str) -> list[int]:
            times = []
            headers = {"X-Request-Id": request_id}
            async with session.post(url, json=body, headers=headers) as response:
                response.raise_for_status()
                async for line in response.content:
                    if has_token(line.decode()):
                        times.append(time.monotonic_ns())
            return times

        yield ask


KINDS = {"httpx": with_httpx, "aiohttp": with_aiohttp}


class Load:
    """A closed loop of users, or requests that come when they are due; and what came of each."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._requests: list[dict[str, Any]] = []
        self._start_ns = 0
        self._cpu_s = 0.0

    async def run(self) -> None:
        plan = self._plan
        async with AsyncExitStack() as stack:
            clients = plan["users"] if plan["client_each"] else 1
            opened = [
                await stack.enter_async_context(KINDS[plan["kind"]](plan["url"], plan["body"]))
                for _ in range(clients)
            ]
            asks = cycle(opened)
            self._start_ns, self._cpu_s = time.monotonic_ns(), time.process_time()
            if plan["due"]:
                await asyncio.gather(*(self._when_due(next(asks), *row) for row in plan["due"]))
            else:
                await asyncio.gather(*(self._use(next(asks), user) for user in range(plan["users"])))
            self._cpu_s = time.process_time() - self._cpu_s

    async def _when_due(self, ask: Ask, request_id: str, phase: str, offset_ns: int) -> None:
        due_ns = self._start_ns + offset_ns
        await asyncio.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
        await self._one(ask, request_id, phase, due_ns)

    async def _use(self, ask: Ask, user: int) -> None:
        """One request after the other until the time is over; a slow client measures one at least."""
        number = 0
        while (phase := self._phase()) != "over" or number < 2:
            counted = "warmup" if phase == "warmup" else "measure"
            await self._one(ask, f"u{user}-{number}", counted, None)
            number += 1

    def _phase(self) -> str:
        since_ns = time.monotonic_ns() - self._start_ns
        if since_ns < self._plan["warmup_ns"]:
            return "warmup"
        return "measure" if since_ns < self._plan["warmup_ns"] + self._plan["measure_ns"] else "over"

    async def _one(self, ask: Ask, request_id: str, phase: str, due_ns: int | None) -> None:
        dispatched_ns = time.monotonic_ns()
        tokens = await ask(request_id)
        self._requests.append(
            {
                "request_id": request_id, "phase": phase, "due_ns": due_ns, "dispatched_ns": dispatched_ns,
                "outcome": "ok" if len(tokens) == self._plan["tokens"] else "failed",
                "done_ns": time.monotonic_ns(), "tokens": tokens,
            }
        )  # fmt: skip

    def found(self) -> dict[str, Any]:
        """Returns what came, the measured window, and what this process took for it."""
        begin_ns = self._start_ns + self._plan["warmup_ns"]
        return {
            "requests": self._requests,
            "window_ns": [begin_ns, begin_ns + self._plan["measure_ns"]],
            "cpu_s": self._cpu_s,
            "peak_bytes": _peak_bytes(),
        }


def _peak_bytes() -> int:
    """The most memory this process held; what getrusage says is the parent's where that had more."""
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text())
    load = Load(plan)
    asyncio.run(load.run())
    Path(plan["out"]).write_text(json.dumps(load.found()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""When a reference server lets each token leave: pure, seeded, all times in ns on the caller's clock."""

import math
from dataclasses import dataclass
from random import Random

SERVICES = ("fixed", "mm1")


@dataclass(frozen=True)
class Pace:
    """What a reference server is asked to do; durations in seconds.

    `fixed`: every stream has its own pace. `mm1`: one exponential server of mean `ttft` with a queue
    (M/M/1, first come first served) stands before the first token.
    """

    ttft: float = 0.05
    itl: float = 0.01
    tokens: int | None = None  # of each answer; None: as many as the request allows
    jitter: float = 0.0  # sigma of a log-normal factor of mean 1 on each wait
    burst: int = 1  # tokens a write
    errors: float = 0.0  # share of requests answered with HTTP 500
    stall_at: float | None = None  # since the first request; nothing leaves for `stall_for`
    stall_token: int | None = None  # tokens of each stream before it pauses for `stall_for`
    stall_for: float = 0.0
    service: str = "fixed"
    seed: int = 1


class Pacer:
    """Turns arrivals into due times, in the order in which requests arrive."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._random = Random(pace.seed)  # noqa: S311 - a workload, not a secret
        self._ttft_ns, self._itl_ns = pace.ttft * 1e9, pace.itl * 1e9
        self._stall: tuple[int, int] | None = None
        self._begun = False
        self._free_ns = 0  # when the M/M/1 server has done all that came before

    def fails(self) -> bool:
        """Returns whether the next request is to be answered with an error."""
        return self._pace.errors > 0 and self._random.random() < self._pace.errors

    def first(self, arrived_ns: int) -> int:
        """Returns when the first token of a request that arrived then is due."""
        self._begin(arrived_ns)
        if self._pace.service == "mm1":
            service_ns = self._random.expovariate(1.0) * self._ttft_ns
            self._free_ns = max(self._free_ns, arrived_ns) + round(service_ns)
            return self._after_stall(self._free_ns)
        return self._after_stall(arrived_ns + self._wait(self._ttft_ns))

    def following(self, due_ns: int, sent: int) -> int:
        """Returns when the write after the one due then is due; `sent` tokens have left by now."""
        due_ns += self._wait(self._itl_ns)
        before = self._pace.stall_token
        if before is not None and sent - self._pace.burst < before <= sent:
            due_ns += round(self._pace.stall_for * 1e9)
        return self._after_stall(due_ns)

    def _begin(self, arrived_ns: int) -> None:
        if not self._begun and self._pace.stall_at is not None:
            start_ns = arrived_ns + round(self._pace.stall_at * 1e9)
            self._stall = (start_ns, start_ns + round(self._pace.stall_for * 1e9))
        self._begun = True

    def _wait(self, mean_ns: float) -> int:
        sigma = self._pace.jitter
        if not sigma:
            return round(mean_ns)
        return round(mean_ns * math.exp(sigma * self._random.gauss(0.0, 1.0) - sigma * sigma / 2))

    def _after_stall(self, due_ns: int) -> int:
        """What is due while everything stands still leaves at its end."""
        if self._stall is not None and self._stall[0] <= due_ns < self._stall[1]:
            return self._stall[1]
        return due_ns

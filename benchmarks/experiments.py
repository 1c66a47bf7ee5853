"""What is measured: the experiments of a session, and the clients that each is done with."""

from dataclasses import dataclass

from hxbench.record.calibration import AT_ONCE, Experiment

CONNECTIONS = 64
HXBENCH, WORKER = "hxbench", "hxbench, decoded later"
PLAIN = ("aiohttp", "httpx, a client a user", "httpx, one client")
CLIENTS = (HXBENCH, WORKER, *PLAIN)


@dataclass(frozen=True)
class Session:
    """Each experiment is done with each client, and all of that again."""

    experiments: tuple[Experiment, ...]
    repetitions: int


def _streams(users: int, measure: str) -> Experiment:
    load = {"users": users, "warmup": "1 s", "measure": measure}
    return Experiment(f"{users} streams", "streams", load)


def _arrivals(kind: str, measure: str) -> Experiment:
    load = {"rate": 500, "arrivals": kind, "warmup": "0.5 s", "measure": measure}
    return Experiment(f"{kind} arrivals", "arrivals", load, {"ttft": 0.001, "itl": 0.0}, tokens=1)


def _capacities(measure: str, most_requests: int) -> tuple[Experiment, ...]:
    load = {"users": CONNECTIONS, "warmup": "0.5 s", "measure": measure}
    return (
        Experiment("streamed tokens", "tokens", load, AT_ONCE, 256, 5_000),
        Experiment("tiny answers", "requests", load, tokens=1, most_requests=most_requests),
    )


START = Experiment("start", "start", {"users": 1, "warmup": "0 s", "requests": 10}, AT_ONCE, 1)
FULL = Session(
    (
        *_capacities("2 s", 150_000),
        *(_streams(users, "3 s") for users in (16, 64, 256)),
        *(_arrivals(kind, "2 s") for kind in ("constant", "poisson")),
        START,
    ),
    repetitions=3,
)
QUICK = Session((*_capacities("1 s", 60_000), _streams(64, "1 s"), _arrivals("poisson", "1 s"), START), 1)


def takes_part(client: str, experiment: Experiment) -> bool:
    """Returns whether an experiment says something of a client.

    An open loop has no users, its arrivals and start are the worker's whoever decodes, and when others
    than hxbench and the plain clients had a Poisson arrival due, only they know.
    """
    if client == WORKER:
        return experiment.measures in ("tokens", "requests", "start")
    if client in PLAIN:
        return not ("a user" in client and experiment.measures in ("arrivals", "start"))
    return experiment.load.get("arrivals") != "poisson" or client == HXBENCH

"""The first screen of the certificate's page: what was certified, what carries it, how well it was seen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hxbench import units
from hxbench.render import wording

Pairs = list[tuple[str, str]]
Part = Mapping[str, Any]

CARRYING = 5  # gates on the first screen; all stand below
_GRAVEST = ("FAIL", "INCONCLUSIVE", "PASS", "SKIPPED")
_ERRORS = (("ttft", "ttft_p99_s"), ("itl", "itl_p99_s"), ("arrival", "arrival_p99_s"))
_VOIDS = {
    "flatters": "no PASS that it touches counts",
    "harms": "no FAIL that it touches counts",
    "both": "no PASS or FAIL that it touches counts",
}


def head(certificate: Part, facts: Part) -> Pairs:
    """Returns what was certified: model, server, machine, time, load, profile."""
    target, profile = certificate["target"], certificate["profile"]
    return [
        ("Model the server loaded", target["loaded_model"] or "not known"),
        ("Server", " ".join(part for part in (target["server"], target["build"]) if part)),
        ("Measured on", _machine(facts.get("host", {}))),
        ("When", wording.moment(certificate["created"])),
        ("Load", _load(certificate["measurement"])),
        ("Profile", f"{profile['name']}, SHA-256 {wording.short_hash(profile['sha256'])}"),
        ("Checks", _checks(certificate)),
        ("Run", str(certificate["run"])),
    ]


def _machine(host: Part) -> str:
    cores = host.get("cores")
    parts = [host.get("cpu_model"), f"{units.count(cores)} cores" if cores is not None else None]
    parts += [units.size(host["memory_bytes"])] if host.get("memory_bytes") is not None else []
    return ", ".join(str(part) for part in (*parts, host.get("system")) if part) or units.ABSENT


def _load(measurement: Part) -> str:
    trials = measurement["trials"]
    users = [f"users {wording.plain(measurement['users'])}"] if "users" in measurement else []
    asked = f"{units.count(measurement['requests'])} requests in {units.duration(measurement['measured_s'])}"
    repeated = [f"{units.count(trials)} trials"] if trials != 1 else []
    return ", ".join([f"{measurement['loop']} loop", *users, asked, *repeated])


def _checks(certificate: Part) -> str:
    score, counts = certificate["score"], wording.counts(certificate)
    return counts if score is None else f"{counts}; score {units.number(score)} of 100"


def carrying(gates: Sequence[Part]) -> list[Part]:
    """Returns the few gates that decided the status, gravest first, then nearest to the limit (`reach`)."""
    return sorted(gates, key=lambda gate: (_gravity(gate["verdict"]), -gate["reach"]))[:CARRYING]


def _gravity(verdict: str) -> int:
    return _GRAVEST.index(verdict) if verdict in _GRAVEST else -1


def instrument(certificate: Part) -> Pairs:
    """Returns how good the instrument was: its own error beside the load and before it, and its threats."""
    calibration = certificate.get("calibration") or {}
    before = calibration.get("before") or {}
    rows = [("Its own error beside the load, p99", row) for row in calibration.get("beside", ())]
    rows += [("The same before it, worst try", _worst(before.get("tries", [before])))] if before else []
    shown = [(title, text) for title, row in rows if (text := _error(row))]
    ledger = certificate["ledger"]
    ok = sum(entry["state"] == "ok" for entry in ledger)
    within = f"{units.count(ok)} of {units.count(len(ledger))}" if ledger else "none was looked at"
    return [
        *(shown or [("Its own error", "not measured")]),
        ("Threats within their limits", within),
        *_doubts(ledger),
    ]


def _worst(tries: Sequence[Part]) -> dict[str, float]:
    found = {key: [row[key] for row in tries if row.get(key) is not None] for _, key in _ERRORS}
    return {key: max(values) for key, values in found.items() if values}


def _error(row: Part) -> str:
    return ", ".join(
        f"{name} {units.duration(row[key])}" for name, key in _ERRORS if row.get(key) is not None
    )


def _doubts(ledger: Sequence[Part]) -> Iterator[tuple[str, str]]:
    """Yields the threats that take verdicts away, and which; then the others that were not measured."""
    spoiling = [entry for entry in ledger if _spoils(entry)]
    for entry in spoiling:
        measured, limit = (wording.amount(entry[key], entry["unit"]) for key in ("value", "limit"))
        size = "not measured" if entry["value"] is None else f"{measured}, limit {limit}"
        yield f"✕ {entry['threat']}", f"{size}: {_VOIDS.get(entry['direction'], '')}"
    unknown = [str(entry["threat"]) for entry in ledger if entry["state"] != "ok" and entry not in spoiling]
    if unknown:
        yield "? Could not be measured", "; ".join(unknown)


def _spoils(entry: Part) -> bool:
    return entry["state"] == "broken" or (entry["state"] == "unknown" and bool(entry["required"]))

"""certificate.html: one page without any script that a reviewer reads first."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hxbench import units
from hxbench.judge.certificate import NOT_RUN
from hxbench.render import first_screen, wording
from hxbench.render.interval_plot import AXIS, bar, reach
from hxbench.render.status import looks
from hxbench.render.template import policy, render

Pairs = list[tuple[str, str]]
Part = Mapping[str, Any]

# in the order in which a reader looks for them
_STATES = ["broken", "unknown", "ok"]  # in this order
_WOULD = {"flatters": "flatter the server", "harms": "harm the server", "both": "err either way"}
_UNITS = {"_bytes": "B", "_per_s": "/s", "_s": "s"}  # endings of keys in facts and measurement
_RECORD = re.compile(r"records/[\w-]+\.[a-z]+")  # a file beside the page, and nothing else
# of a row of the calibration: column, key, unit
_ERRORS = (
    ("Streams", "ttft_n", "count"), ("ttft, mean", "ttft_bias_s", "s"), ("ttft, p99", "ttft_p99_s", "s"),
    ("itl, mean", "itl_bias_s", "s"), ("itl, p99", "itl_p99_s", "s"), ("arrival, p99", "arrival_p99_s", "s"),
)  # fmt: skip


def page(
    certificate: Mapping[str, Any], facts: Mapping[str, Any], pages: Sequence[tuple[str, str]] = ()
) -> str:
    """Returns the page; `pages` are links (name, address beside it) to the notebooks' pages.

    The same certificate and facts give the same bytes.
    """
    names = wording.names(certificate)
    numbered = enumerate(certificate["verdicts"], start=1)
    ledger = certificate["ledger"]
    checks = [_check(verdict, names[verdict["id"]], number, ledger) for number, verdict in numbered]
    gates = [check for check in checks if check["metric"] is not None]
    return render(
        "certificate.html.j2",
        c=certificate,
        look=looks(certificate["status"]),
        looks=looks,
        head=first_screen.head(certificate, facts),
        instrument=first_screen.instrument(certificate),
        checks=checks,
        gates=gates,
        carrying=first_screen.carrying(gates),
        axis=AXIS,
        failed=[check for check in checks if check["verdict"] == "FAIL"],
        open=[check for check in checks if check["verdict"] not in ("PASS", "FAIL")],
        not_run=[entry for entry in certificate["catalogue"] if entry["verdict"] == NOT_RUN],
        evidence={check["id"]: check for check in checks},
        ledger=_ordered([_ledger_row(entry) for entry in ledger]),
        trust=_trust(ledger),
        measurement=[
            *_pairs(certificate["measurement"]),
            ("Profile SHA-256", str(certificate["profile"]["sha256"])),
        ],
        declarations=[(_words(name), _kept(each)) for name, each in certificate["declarations"].items()],
        asked=[(each["name"], _said(each)) for each in certificate.get("prometheus", ())],
        calibration=list(_calibration(certificate.get("calibration") or {})),
        errors=[name for name, _, _ in _ERRORS],
        details=_details(facts),
        pages=pages,
        policy=policy(),
    )


def _check(verdict: Part, name: str, number: int, ledger: Sequence[Part]) -> dict[str, Any]:
    return {
        **verdict,
        "anchor": f"check-{number}",
        "name": name,
        "reason": str(verdict["reason"]).rstrip("."),
        "measured": wording.measured(verdict),
        "interval": wording.interval(verdict),
        "limit": wording.limit(verdict),
        "bar": bar(verdict),
        "reach": reach(verdict),
        "files": [(str(name), bool(_RECORD.fullmatch(str(name)))) for name in verdict["records"]],
        "facts": [pair for pair in _basis(verdict) if pair[1] not in ("", units.ABSENT)],
        **_effects(verdict, ledger),
    }


def _basis(verdict: Part) -> Iterator[tuple[str, str]]:
    """Yields what leads from a claim to its number, interval, n, method and raw file."""
    if verdict["metric"] is not None:
        yield "Measured", wording.measured(verdict)
        yield "Interval", wording.interval(verdict)
        yield "Limit", wording.limit(verdict)
        yield "Confidence of the deciding bound", wording.confidence(verdict)
        yield "n", units.count(verdict["n"])
        yield "Effective n", units.number(verdict["n_eff"])
    yield "Method", verdict["method"]
    yield "Case", verdict["case"]
    yield "Requirement", verdict["requirement"]


def _effects(verdict: Part, ledger: Sequence[Part]) -> dict[str, Any]:
    """Returns what threats may have done to a number: those not ok, those in its own unit; and the rest."""
    touching = [entry for entry in ledger if entry["id"] in verdict["ledger"] and verdict["metric"]]
    shown = [entry for entry in touching if entry["state"] != "ok" or entry["unit"] == verdict["unit"]]
    return {
        "effects": _ordered([_ledger_row(entry) for entry in shown]),
        "others_ok": len(touching) - len(shown),
    }


def _ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: _STATES.index(row["state"]) if row["state"] in _STATES else 0)


def _kept(declaration: Mapping[str, Any]) -> str:
    return f"status {wording.plain(declaration['declared'])}, seen {wording.plain(declaration['seen'])}"


def _said(asked: Mapping[str, Any]) -> str:
    """Returns a query to Prometheus with what came of it."""
    given, *remarks = wording.answered(asked)
    return "; ".join([f"{asked['query']} ({wording.taken(asked)}): {given}", *remarks])


def _ledger_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    look = looks(entry["state"])
    return {
        **entry,
        "style": look.style,
        "symbol": look.symbol,
        "measured": wording.amount(entry["value"], entry["unit"]),
        "limit": wording.amount(entry["limit"], entry["unit"]),
        "would": _WOULD.get(entry["direction"], entry["direction"]),
    }


def _trust(ledger: Sequence[Mapping[str, Any]]) -> str:
    def number(state: str) -> int:
        return sum(entry["state"] == state for entry in ledger)

    if not ledger:
        return "No threat to the measurement was looked at."
    text = f"Of {len(ledger)} threats to the measurement, {number('ok')} stayed within their limits"
    broken, unknown = number("broken"), number("unknown")
    if broken:
        text += f", {broken} did not: a verdict that they could have turned does not count"
    return text + (f", {unknown} could not be measured." if unknown else ".")


def _calibration(calibration: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yields what the reference server showed of the instrument, one row an experiment."""
    before = calibration.get("before")
    tries = before.get("tries", [before]) if before else []  # an older run kept the best alone
    rows = [(f"before the load, try {number}", row) for number, row in enumerate(tries, start=1)]
    rows += [("beside the load", row) for row in calibration.get("beside", ())]
    for title, row in rows:
        cells = (wording.amount(row.get(key), unit) for _, key, unit in _ERRORS)
        yield f"{row.get('name', '')}, {title}".removeprefix(", "), list(cells)


def _details(facts: Mapping[str, Any]) -> list[tuple[str, Pairs]]:
    """Returns the facts as one list a topic; single facts stand first."""
    single = {key: value for key, value in facts.items() if not isinstance(value, Mapping)}
    topics = [("Run", single), *((key, value) for key, value in facts.items() if isinstance(value, Mapping))]
    return [(_words(name), list(_pairs(values))) for name, values in topics if values]


def _pairs(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        unit = next((suffix for suffix in _UNITS if key.endswith(suffix)), None)
        if unit is not None and isinstance(value, int | float):
            yield _words(key.removesuffix(unit)), wording.amount(value, _UNITS[unit])
        else:
            yield _words(key), wording.plain(value)


def _words(key: str) -> str:
    text = key.replace("_", " ").strip()
    return text[:1].upper() + text[1:].replace("sha256", "SHA-256").replace(" utc", " (UTC)")

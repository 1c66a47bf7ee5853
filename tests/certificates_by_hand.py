"""A certificate made by hand, as the judge writes it: one of each kind of verdict and of ledger entry."""

from typing import Any

CASE = "TC-L1-COMP-SMOLLM2-"


def verdict(name: str, word: str, **more: Any) -> dict[str, Any]:
    metric, _, statistic = name.partition(".")
    made: dict[str, Any] = {
        "id": name,
        "case": f"{CASE}003",
        "requirement": "R2.1",
        "metric": metric,
        "statistic": statistic or None,
        "verdict": word,
        "estimate": None,
        "unit": "s",
        "interval": [None, None],
        "interval_kind": "none",
        "confidence": None,
        "n": 0,
        "n_eff": 0.0,
        "method": "Clopper-Pearson on the share of requests over the limit",
        "comparator": "<=",
        "limit": None,
        "reason": "",
        "needed_n": None,
        "noise": False,
        "ledger": [],
        "records": ["records/requests.parquet"],
    }
    return made | more


def functional(number: str, word: str, reason: str, part: str = "") -> dict[str, Any]:
    return verdict(
        f"{CASE}{number}{part}",
        word,
        case=f"{CASE}{number}",
        metric=None,
        statistic=None,
        unit=None,
        comparator=None,
        method="single requests outside the load",
        reason=reason,
        n=1,
        n_eff=1.0,
        records=["records/exchanges.json"],
    )


def verdicts() -> list[dict[str, Any]]:
    decided = {"interval_kind": "order statistics", "confidence": 0.975, "n": 400, "n_eff": 400.0}
    return [
        functional("001", "PASS", "ready after 1.2 s"),
        functional("002", "PASS", "status 200 with 'ok'"),
        verdict(
            "ttft.p95",
            "PASS",
            estimate=0.128,
            interval=[0.121, 0.139],
            limit=0.5,
            ledger=["send_lag"],
            reason="0 of 400 requests missed the limit; the true share lies between 0 % and 0.918 %, "
            "5 % are allowed",
            **decided,
        ),
        verdict(
            "itl.p99",
            "INCONCLUSIVE",
            estimate=0.0312,
            interval=[0.0287, 0.0466],
            limit=0.04,
            needed_n=1100,
            noise=True,
            ledger=["foreign_cpu"],
            **decided,
            reason="would be PASS (31 of 12 400 gaps missed the limit), but other work took 14 %",
        ),
        verdict(
            "e2e.mean",
            "FAIL",
            estimate=2.31,
            interval=[2.28, 2.35],
            limit=2.0,
            method="t-interval",
            reason="the mean is 2.31 s; the true one lies between 2.28 s and 2.35 s",
            **decided,
        ),
        verdict(
            "error_rate.share",
            "PASS",
            case=f"{CASE}012",
            estimate=0.0,
            interval=[0.0, 0.00918],
            limit=0.01,
            unit="share",
            reason="0 of 400 requests failed",
            **decided,
        ),
        verdict(
            "throughput_tokens.rate",
            "PASS",
            case=f"{CASE}006",
            estimate=91.4,
            interval=[88.9, 93.6],
            limit=40.0,
            unit="tok/s",
            comparator=">=",
            reason="the mean is 91.4 tok/s",
            **decided,
        ),
        verdict(
            "memory.peak",
            "PASS",
            case=f"{CASE}007",
            estimate=251e6,
            limit=1e9,
            unit="B",
            n=600,
            method="observed maximum",
            reason="the largest of 600 values is 251 MB",
        ),
        functional("009", "PASS", "status 200, as the profile declares"),
        functional("010", "SKIPPED", "the profile declares nothing for it", ".above_context"),
    ]


def ledger() -> list[dict[str, Any]]:
    entry = {"required": False, "direction": "both", "touches": ["ttft", "itl", "e2e"]}
    return [
        {
            "id": "send_lag",
            "threat": "requests left later than they were due",
            "value": 0.0004,
            "unit": "s",
            "limit": 0.001,
            "kind": "instrument",
            "state": "ok",
            "detail": "p99 of 400 requests",
            **entry,
        },
        {
            "id": "foreign_cpu",
            "threat": "other work on the machine",
            "value": 0.14,
            "unit": "share",
            "limit": 0.1,
            "kind": "noise",
            "state": "broken",
            "detail": "host minus server minus generator",
            **entry,
        },
        {
            "id": "cached_share",
            "threat": "prompts answered from a cache",
            "value": None,
            "unit": "share",
            "limit": 0.1,
            "kind": "workload",
            "state": "unknown",
            "detail": "the server does not say",
            **entry,
            "direction": "flatters",
        },
    ]


def catalogue() -> list[dict[str, Any]]:
    def entry(number: str, name: str, word: str, evidence: list[str], reason: str = "") -> dict[str, Any]:
        return {
            "id": f"{CASE}{number}",
            "name": name,
            "requirement": "R2.1",
            "priority": "critical",
            "type": "functional",
            "verdict": word,
            "evidence": evidence,
            "reason": reason,
        }

    return [
        entry("001", "Initialisation", "PASS", [f"{CASE}001"]),
        entry("002", "Health probe", "PASS", [f"{CASE}002"]),
        entry("003", "Inference performance", "FAIL", ["ttft.p95", "itl.p99", "e2e.mean"], "e2e.mean failed"),
        entry("008", "CPU", "NOT RUN", [], "the profile sets no limit"),
        entry("009", "Empty prompt", "PASS", [f"{CASE}009"]),
        entry("010", "Other bad input", "SKIPPED", [f"{CASE}010.above_context"]),
    ]


def certificate(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "schema": 1,
        "hxbench": "0.1.0",
        "run": "20260102T030405Z-smollm2-135m-a1b2",
        "level": 1,
        "created": "2026-01-02T03:06:05Z",
        "status": "FAILED",
        "status_reason": "1 of 10 checks failed: e2e.mean.",
        "score": 75.0,
        "target": {
            "model": "smollm2-135m",
            "server": "embedded",
            "protocol": "openai-chat",
            "build": "b11549",
            "loaded_model": "smollm2-135m",
        },
        "profile": {"name": "smollm2-135m", "sha256": "b179c952" + "0" * 56},
        "counts": {"passed": 7, "failed": 1, "inconclusive": 1, "skipped": 1},
        "verdicts": verdicts(),
        "ledger": ledger(),
        "catalogue": catalogue(),
        "summary": {},
        "measurement": {
            "loop": "closed",
            "users": 1,
            "trials": 1,
            "measured_s": 60.0,
            "requests": 400,
            "repeatability": "not assessed (one trial)",
        },
        "declarations": {"empty_prompt": {"declared": 200, "seen": 200}},
        "notes": [
            "The limits are about four times what this machine measures: they prove the workbench, not the "
            "model."
        ],
    }
    return made | more

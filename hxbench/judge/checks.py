"""What single requests show: is it up, is it the right model, does it answer right, does it refuse well."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hxbench import units
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS, SKIPPED, Verdict, worst
from hxbench.plan.catalogue import Entry
from hxbench.plan.profile import EMBEDDED
from hxbench.records.run_directory import Records
from hxbench.wire.dialects import DIALECTS

Exchange = Mapping[str, Any]
Result = tuple[str, str]  # verdict, reason

ANSWERS = "answer:*"
LEAST_RIGHT = 0.8  # R3.10
_FIELDS = re.compile(r"prompt|messages|content|input", re.IGNORECASE)


def verdicts(records: Records, entry: Entry) -> list[Verdict]:
    """Returns one verdict for each kind of single request that a case rests on."""
    return [_verdict(records, entry, name) for name in entry.exchanges]


def _verdict(records: Records, entry: Entry, name: str) -> Verdict:
    exchanges = [each for each in records.exchanges if fnmatchcase(each["name"], name)]
    if name == ANSWERS:
        return _answers(records, entry, exchanges)
    results = [_CHECKS[name](records, each) for each in exchanges]
    verdict = worst([result[0] for result in results])
    if verdict is None:
        return _made(entry, name, INCONCLUSIVE, f"no request {name} was recorded; a whole run sends it")
    reason = next(reason for each, reason in results if each == verdict)
    return _made(entry, name, verdict, reason, n=len(results), n_eff=float(len(results)))


def _made(entry: Entry, name: str, verdict: str, reason: str, **more: Any) -> Verdict:
    return Verdict(
        id=entry.id if len(entry.exchanges) == 1 else f"{entry.id}.{name}",
        case=entry.id,
        requirement=", ".join(entry.requirements),
        verdict=verdict,
        reason=reason,
        method="single requests outside the load",
        records=("records/exchanges.json",),
        **more,
    )


def _healthy(records: Records, exchange: Exchange) -> Result:
    word = records.profile.target.ready.word
    if exchange["status"] != 200:
        return FAIL, f"{exchange['path']} gave {_answer(exchange)}, not HTTP 200"
    if word is not None and word not in exchange["body"]:
        return FAIL, f"{exchange['path']} gave HTTP 200, but without the word {word}"
    said = "" if word is None else f" with the word {word}"
    return PASS, f"{exchange['path']} gave HTTP 200{said}"


def _right_model(records: Records, exchange: Exchange) -> Result:
    model = records.profile.target.model
    listed = _listed(exchange)
    if not listed:
        return INCONCLUSIVE, f"the server lists no models: {exchange['path']} gave {_answer(exchange)}"
    if model not in listed:
        return FAIL, f"the server lists {', '.join(listed)}, not {model}"
    if records.profile.target.server != EMBEDDED:
        return PASS, f"the server lists {model}"
    return _loaded_file(model, records.facts.get("model", {}))


def _loaded_file(model: str, loaded: Mapping[str, Any]) -> Result:
    """The embedded server's model is known by its file, not only by what the server calls it."""
    if loaded.get("name") != model:
        return FAIL, f"the loaded model is {loaded.get('name')}, not {model}"
    if not loaded.get("sha256"):
        return INCONCLUSIVE, f"the server lists {model}, but its file was not recorded"
    return PASS, f"the server lists {model}, loaded from {loaded.get('file')} ({loaded['sha256'][:8]}…)"


def _listed(exchange: Exchange) -> list[str]:
    try:
        names = [str(model["id"]) for model in json.loads(exchange["body"])["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    return [name.encode(errors="replace").decode() for name in names]  # no file takes half a surrogate pair


def _bad_input(records: Records, exchange: Exchange) -> Result:
    name, status = exchange["name"], exchange["status"]
    declared = records.profile.declares.get(name)
    wanted = "a 4xx" if declared is None else f"HTTP {declared} (declared)"
    seen = f"{name} gave {_answer(exchange)}"
    refused = status is not None and 400 <= status < 500
    if not (refused if declared is None else status == declared):
        return FAIL, f"{seen}, not {wanted}"
    if name == "empty_prompt" and refused and not _FIELDS.search(exchange["body"]):
        return FAIL, f"{seen} that does not name the field"
    return PASS, seen if declared is None else f"{seen}, as declared"


def _answer(exchange: Exchange) -> str:
    status = exchange["status"]
    return f"no answer ({exchange['error']})" if status is None else f"HTTP {status}"


def _answers(records: Records, entry: Entry, exchanges: Sequence[Exchange]) -> Verdict:
    if records.profile.answers is None:
        return _made(entry, ANSWERS, SKIPPED, "the profile asks no questions")
    protocol = records.profile.target.protocol
    by_trial: dict[int, list[bool]] = {}
    for each in exchanges:
        if (wanted := each.get("expected")) is not None:
            by_trial.setdefault(each["trial"], []).append(is_right(each, wanted, protocol))
    if not by_trial:
        return _made(entry, ANSWERS, INCONCLUSIVE, "no question with a checkable answer was asked")
    # The questions are asked again before each planned look: the same ones, which count once.
    marks = min(by_trial.values(), key=lambda marks: sum(marks) / len(marks))
    share = sum(marks) / len(marks)
    reason = f"{sum(marks)} of {len(marks)} answers are right, {units.share(LEAST_RIGHT)} are needed"
    numbers: dict[str, Any] = {"statistic": "share", "estimate": share, "unit": "share", "comparator": ">="}
    numbers |= {"limit": LEAST_RIGHT, "n": len(marks), "n_eff": float(len(marks))}
    return _made(entry, ANSWERS, PASS if share >= LEAST_RIGHT else FAIL, reason, **numbers)


def is_right(exchange: Exchange, expected: str, protocol: str) -> bool:
    """Tells whether an answer of a protocol, not streamed, holds the expected pattern, whatever its case."""
    if exchange["status"] != 200:
        return False
    answer = DIALECTS[protocol].answer(stream=False)
    answer.feed(exchange["body"].encode(errors="replace"))
    answer.end()
    return answer.error is None and re.search(expected, answer.text("content"), re.IGNORECASE) is not None


_CHECKS: dict[str, Callable[[Records, Exchange], Result]] = {
    "ready": _healthy,
    "health": _healthy,
    "models": _right_model,
    "empty_prompt": _bad_input,
    "broken_json": _bad_input,
    "negative_max_tokens": _bad_input,
    "above_context": _bad_input,
    "health_after": _healthy,
}

"""The texts that requests of their own say, written into the run's folder before the first one is sent.

Like all raw bytes of a run they lie in its journal: what remains of them afterwards, `keep.text` says. How
long each is and which parts it shares with others stays in the records.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.errors import ProfileError
from hxbench.plan import asking
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import Planned
from hxbench.plan.synthesis import Count, Writer, count_words
from hxbench.plan.workload import Prompt, request_messages, salt

FILE = "journal/prompts.jsonl"
MADE_OF = "records/prompts.jsonl"  # what each made-up text is made of, and how long it is
MOST_TOKENS = 50_000_000  # of a run: some 300 MB of text, which the load worker holds

Texts = list[tuple[Planned, Prompt]]  # one a request


def planned(profile: Profile, prompts: Sequence[Prompt], plans: Sequence[Sequence[Planned]]) -> Texts:
    """Returns each planned request with what it asks, of all trials; none where no texts are written.

    Raises:
        ProfileError: the texts to be made up are too many.
    """
    if not asking.are_written(prompts):
        return []
    texts = [
        (row, prompt)
        for trial, rows in enumerate(plans, start=1)
        for row, (prompt, _) in zip(rows, asking.affordable(profile, prompts, trial), strict=False)
    ]
    tokens = sum(part.tokens for _, prompt in texts for part in prompt.parts)
    if tokens > MOST_TOKENS:
        raise ProfileError(
            f"{profile.name}: limits.requests: the prompts of {units.count(len(texts))} requests come to "
            f"{units.count(tokens)} tokens, at most {units.count(MOST_TOKENS)} are written; lower it"
        )
    return texts


def write(run_dir: Path, profile: Profile, texts: Texts, count: Count | None) -> dict[str, Any]:
    """Writes all texts, and returns what is known of them, as the run's facts hold it.

    `count` tells the tokens of a text; without it a word stands for a token.
    """
    seed, digest = profile.workload.seed, hashlib.sha256()
    trials = {row.trial for row, _ in texts}
    writers = {trial: Writer(f"{seed} {trial}", count or count_words) for trial in trials}
    made = []
    with (run_dir / FILE).open("wb") as file:
        for row, prompt in texts:
            if prompt.parts:
                written = writers[row.trial].write(prompt.parts)
                made.append(_made(row, prompt, exact=written.exact))
                messages = [{"role": "user", "content": written.text}]
            else:
                mark = salt(seed, row.request_id) if profile.workload.salt else None
                messages = request_messages(prompt, mark)
            line = _line({"id": prompt.id, "messages": messages})
            digest.update(line)
            file.write(line)
    if made:
        (run_dir / MADE_OF).write_bytes(b"".join(map(_line, made)))
    return {
        "requests": len(texts),
        "made_up": len(made),
        "exact": None if count is None else sum(each["exact"] for each in made),
        "tokens": sum(each["prompt_tokens"] for each in made),
        "shared_tokens": _shared(texts),
        "sha256": digest.hexdigest(),
    }


def _made(row: Planned, prompt: Prompt, *, exact: bool) -> dict[str, Any]:
    tokens = sum(part.tokens for part in prompt.parts)
    return {
        "request_id": row.request_id,
        "prompt_tokens": tokens,
        "exact": exact,
        "parts": prompt.parts,
    }


def _shared(texts: Texts) -> int:
    """Returns how many tokens stand at the beginning of an earlier prompt of the trial as well."""
    seen: set[tuple[Any, ...]] = set()
    shared = 0
    for row, prompt in texts:
        for length, part in enumerate(prompt.parts, start=1):
            beginning = (row.trial, *prompt.parts[:length])
            shared += part.tokens if beginning in seen else 0
            seen.add(beginning)
    return shared


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def read_from(run_dir: Path, profile: Profile) -> Profile:
    """Returns the profile as the load worker follows it: what each request says is written, with its mark."""
    asked = {"prompts": str(run_dir / FILE), "salt": False}
    return profile.model_copy(update={"workload": profile.workload.model_copy(update=asked)})

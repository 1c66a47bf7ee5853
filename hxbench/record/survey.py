"""What a server is, asked in a few seconds before anybody plans a run against it."""

import statistics
from typing import Any

from hxbench import units
from hxbench.errors import TargetError
from hxbench.plan.layers import resolve
from hxbench.plan.profile import Profile
from hxbench.record import preflight
from hxbench.wire.dialect import Usage

ROUND_TRIPS = 5
READY_WITHIN = "3 s"


def survey(
    url: str, model: str | None, api_key_env: str | None, protocol: str = "openai-chat"
) -> dict[str, Any]:
    """Returns what the server at `url` offers, as plain values; null where it could not be told.

    Raises:
        TargetError: not reachable, refused, or no model can be asked for.
    """
    unnamed = _profile(url, model or "unnamed", api_key_env, protocol)
    client = preflight.Client(url, unnamed)
    try:
        preflight.await_ready(client, unnamed)
        listing = client.ask("models", "GET", "/v1/models", kept=preflight.LIST_KEPT)
        models = preflight.listed_models(listing)
        chosen = model or (models[0] if models else None)
        if chosen is None:
            status = listing["error"] or f"HTTP {listing['status']}"
            raise TargetError(f"{url}/v1/models: {status}: lists no models: name one with --model")
        profile = _profile(url, chosen, api_key_env, protocol)
        return {"url": url, "models": models, "model": chosen, **_offers(client, profile)}
    finally:
        client.close()


def _profile(url: str, model: str, api_key_env: str | None, protocol: str) -> Profile:
    given = {
        "target.server": url,
        "target.model": model,
        "target.protocol": protocol,
        "target.api_key_env": api_key_env,
        "target.ready.within": READY_WITHIN,
    }
    return resolve(None, overrides={key: (value, "check") for key, value in given.items()}).profile


def _offers(client: preflight.Client, profile: Profile) -> dict[str, Any]:
    preflight.require_model(client, profile)
    question = "Name three colours and say nothing else."
    path, body = preflight.dialect(profile).path, preflight.request_body(profile, question, 16, stream=True)
    first, second = (
        preflight.read(client.ask("stream", "POST", path, body), profile, stream=True).usage()
        for _ in range(2)
    )
    trips = [client.ask("health", "GET", profile.target.ready.path) for _ in range(ROUND_TRIPS)]
    times = [(trip["done_ns"] - trip["started_ns"]) / 1e9 for trip in trips]
    metrics = client.ask("metrics", "GET", "/metrics")
    return {
        "build": preflight.build(client.exchanges),
        "streaming": True,
        "usage_in_stream": first.output_tokens is not None,
        "tokenizer": client.ask("tokenize", "POST", "/tokenize", b'{"content": "one two"}')["status"] == 200,
        "metrics": metrics["status"] == 200,
        "prompt_caching": _caches(second),
        "keep_alive": client.keeps_alive(),
        "round_trip_s": statistics.median(times),
    }


def _caches(repeated: Usage) -> bool | None:
    cached = repeated.cached_tokens
    return None if cached is None else cached > 0


def as_text(found: dict[str, Any]) -> str:
    """Returns the findings as a table of two columns."""
    words = {True: "yes", False: "no", None: "not told"}
    lines = []
    for name, value in found.items():
        if isinstance(value, list):
            text = ", ".join(value[: preflight.MODELS_SHOWN]) or "none listed"
        elif name == "round_trip_s":
            text = units.duration(value)
        else:
            text = words[value] if value is None or isinstance(value, bool) else str(value)
        lines.append(f"{name.removesuffix('_s').replace('_', ' '):<16} {text}")
    return "\n".join(lines)

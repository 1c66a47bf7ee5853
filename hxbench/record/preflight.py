"""Single requests before and after the load: is the target there, is it the right one, does it keep to
what is declared. Nothing here is timed under load, so httpx serves.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from hxbench.errors import TargetError
from hxbench.plan.profile import Profile
from hxbench.plan.workload import Prompt, request_messages
from hxbench.record import redaction
from hxbench.wire import openai

BODY_KEPT = 16_384
ANSWER_S = 60.0
PROBE_S = 5.0
CONTEXT_FALLBACK = 131_072  # tokens; when the server does not say how many it takes
ANSWER_TOKENS = 32

Exchange = dict[str, Any]


class Client:
    """Sends single requests to one target and keeps each as an exchange."""

    def __init__(self, url: str, profile: Profile, trial: int = 1) -> None:
        target = profile.target
        self.url = url.rstrip("/")
        self.exchanges: list[Exchange] = []
        self._trial = trial
        self._secrets = tuple(os.environ[name] for name in secret_names(profile))
        self._client = httpx.Client(
            headers=_headers(profile),
            trust_env=False,
            follow_redirects=False,
            verify=target.ca_file or True,
        )

    def ask(
        self, name: str, method: str, path: str, body: bytes | None = None, timeout: float = ANSWER_S
    ) -> Exchange:
        """Returns one exchange; what goes wrong stands in its `error`, with a null status."""
        started = time.monotonic_ns()
        status, kind, text, error = None, "", "", None
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            answer = self._client.request(
                method, self.url + path, content=body, headers=headers, timeout=timeout
            )
            status, text = answer.status_code, answer.text[:BODY_KEPT]
            kind = answer.headers.get("content-type", "")
        except httpx.HTTPError as problem:
            error = f"{type(problem).__name__}: {problem}"
        exchange = {
            "name": name,
            "trial": self._trial,
            "method": method,
            "path": path,
            "request": (body or b"")[:BODY_KEPT].decode(errors="replace"),
            "status": status,
            "content_type": kind,
            "body": redaction.redact(text, self._secrets),
            "error": error and redaction.redact(error, self._secrets),
            "started_ns": started,
            "done_ns": time.monotonic_ns(),
        }
        self.exchanges.append(exchange)
        return exchange

    def keeps_alive(self) -> bool:
        """Whether the server keeps a connection open after an answer, by its own word."""
        try:
            answer = self._client.get(self.url + "/v1/models")
        except httpx.HTTPError:
            return False
        return answer.http_version == "HTTP/1.1" and answer.headers.get("connection", "").lower() != "close"

    def close(self) -> None:
        self._client.close()


def secret_variables(profile: Profile) -> list[str]:
    """Returns the names of the variables that hold keys, set or not."""
    names = [profile.target.api_key_env, *profile.target.headers_env.values()]
    return [name for name in names if name]


def secret_names(profile: Profile) -> list[str]:
    """Returns the names of the variables that hold keys.

    Raises:
        TargetError: one of them is not set.
    """
    names = secret_variables(profile)
    for name in names:
        if not os.environ.get(name):
            raise TargetError(f"target: the variable {name} is not set; export it and try again")
    return names


def _headers(profile: Profile) -> dict[str, str]:
    target = profile.target
    headers = {header: os.environ.get(name, "") for header, name in target.headers_env.items()}
    if target.api_key_env:
        headers["Authorization"] = f"Bearer {os.environ.get(target.api_key_env, '')}"
    return headers


def await_ready(client: Client, profile: Profile) -> None:
    """Waits until the health path answers 200.

    Raises:
        TargetError: refused, still loading after `target.ready.within`, or not what it should be.
    """
    ready = profile.target.ready
    deadline = time.monotonic() + ready.within
    while True:
        exchange = client.ask("ready", "GET", ready.path, timeout=min(ready.within, PROBE_S))
        status = exchange["status"]
        if status is not None and status < 500:
            break
        if (status is None and not _may_pass(exchange)) or time.monotonic() > deadline:
            raise TargetError(_not_ready(client.url, exchange, ready.within))
        client.exchanges.pop()
        time.sleep(0.2)
    if status in (401, 403):
        raise TargetError(_unauthorised(client.url, status, profile))


def _may_pass(exchange: Exchange) -> bool:
    """Whether an error may go away by itself: a server that accepts but does not answer yet."""
    return str(exchange["error"]).startswith(("ReadTimeout", "ReadError"))


def _not_ready(url: str, exchange: Exchange, within: float) -> str:
    if exchange["status"] is None:
        return f"{url}: not reachable: {exchange['error']}; is the server running, and is this its address?"
    return f"{url}{exchange['path']}: HTTP {exchange['status']} after {within:g} s: the server is not ready"


def _unauthorised(url: str, status: int, profile: Profile) -> str:
    key = profile.target.api_key_env
    advice = f"the key in {key} was refused" if key else "name the key's variable with --api-key-env"
    return f"{url}: HTTP {status}: {advice}"


def require_model(client: Client, profile: Profile) -> None:
    """Checks that the model is listed and that a streamed answer comes.

    Raises:
        TargetError: not listed, refused, not found, or not a stream of tokens.
    """
    exchange = client.ask("models", "GET", "/v1/models")
    status, model = exchange["status"], profile.target.model
    if status in (401, 403):
        raise TargetError(_unauthorised(client.url, status, profile))
    listed = listed_models(exchange)
    if status == 200 and listed and model not in listed:
        raise TargetError(
            f"{client.url}: target.model: {model!r} is not served; it lists: {', '.join(listed)}"
        )
    _require_stream(client, profile)


def listed_models(exchange: Mapping[str, Any]) -> list[str]:
    """Returns the model names in a /v1/models answer, empty when it is not one."""
    try:
        return [str(model["id"]) for model in json.loads(exchange["body"])["data"]]
    except (ValueError, LookupError, TypeError):
        return []


def build(exchanges: Iterable[Exchange]) -> str | None:
    """Returns the server's build by its own word: llama.cpp's /props, else the answers' fingerprint."""
    for exchange in exchanges:
        if exchange["name"] == "stream":
            found = re.search(r'"system_fingerprint"\s*:\s*"([^"]{1,80})"', exchange["body"])
            return found.group(1) if found else None
    return None


def _require_stream(client: Client, profile: Profile) -> None:
    exchange = client.ask("stream", "POST", openai.PATH, chat_body(profile, "Say hello.", 4))
    status, kind = exchange["status"], exchange["content_type"]
    where = f"{client.url}{openai.PATH}"
    if status is None:
        raise TargetError(f"{where}: no answer: {exchange['error']}")
    if status in (401, 403):
        raise TargetError(_unauthorised(client.url, status, profile))
    if status != 200:
        raise TargetError(f"{where}: HTTP {status}: {' '.join(exchange['body'].split())[:200]}")
    if not kind.startswith("text/event-stream"):
        raise TargetError(
            f"{where}: answered {kind or 'no content type'}, not text/event-stream: no streaming"
        )
    stream = openai.ChatStream()
    if not stream.feed(exchange["body"].encode()).deltas:
        raise TargetError(f"{where}: the stream carried no token: {stream.error or 'it was empty'}")


def chat_body(profile: Profile, text: str, max_tokens: int, **changed: Any) -> bytes:
    """Returns a streamed chat request of the profile's target with one user message."""
    extra = {**profile.target.extra_body, **changed}
    return openai.body(
        [{"role": "user", "content": text}],
        model=profile.target.model,
        max_tokens=max_tokens,
        temperature=0,
        seed=profile.workload.seed,
        extra=extra,
    )


def functional_checks(client: Client, profile: Profile, questions: tuple[Prompt, ...]) -> None:
    """Asks everything level 1 wants to know of a component, one request after the other."""
    client.ask("health", "GET", profile.target.ready.path)
    for prompt in questions:
        client.ask(f"answer:{prompt.id}", "POST", openai.PATH, _question(profile, prompt))
    for name, body in _bad_requests(client, profile):
        client.ask(name, "POST", openai.PATH, body)
    client.ask("health_after", "GET", profile.target.ready.path)


def _question(profile: Profile, prompt: Prompt) -> bytes:
    extra = {key: value for key, value in profile.target.extra_body.items() if key != "ignore_eos"}
    return openai.body(
        request_messages(prompt, None),
        model=profile.target.model,
        max_tokens=prompt.max_tokens or ANSWER_TOKENS,
        temperature=0,
        seed=profile.workload.seed,
        extra={**extra, "stream": False, "stream_options": None},
    )


def _bad_requests(client: Client, profile: Profile) -> Iterator[tuple[str, bytes]]:
    plain = {"stream": False, "stream_options": None}
    yield "empty_prompt", chat_body(profile, "", 4, **plain)
    yield "broken_json", b'{"model": "x", "messages": ['
    yield "negative_max_tokens", chat_body(profile, "Say hello.", -5, **plain)
    yield "above_context", chat_body(profile, "word " * (_context(client) + 1000), 4, **plain)


def _context(client: Client) -> int:
    """The server's context in tokens by its own word, else a length few servers take."""
    models = next((e for e in client.exchanges if e["name"] == "models"), None)
    try:
        meta = json.loads(models["body"])["data"][0] if models else {}
        return int(meta.get("max_model_len") or meta["meta"]["n_ctx"])
    except (ValueError, LookupError, TypeError):
        return CONTEXT_FALLBACK

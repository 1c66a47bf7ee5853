"""Single requests before and after the load: is the target there, is it the right one, does it keep to
what is declared. Nothing here is timed under load, so httpx serves.
"""

import json
import os
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import httpx

from hxbench import units
from hxbench.errors import ProfileError, TargetError
from hxbench.plan.profile import Profile, Ready
from hxbench.plan.workload import Prompt, request_messages
from hxbench.record import redaction
from hxbench.record.connection import trust
from hxbench.wire.dialect import Answer, Dialect, Messages
from hxbench.wire.dialects import DIALECTS, answers

BODY_KEPT = 16_384  # characters
LIST_KEPT = 262_144  # of a list of models, which is of no use in half
ANSWER_LIMIT = 1024 * 1024  # bytes
ANSWER_S = 60.0
RETRY_S = 0.2
CONTEXT_FALLBACK = 131_072  # tokens; when the server does not say how many it takes
CONTEXT_LIMIT = 1_000_000  # tokens; no prompt is made longer, whatever the server says
ANSWER_TOKENS = 32
MODELS_SHOWN = 10
# A connection for each request: llama.cpp closes one after a stream that it promised to keep, and the
# next request on it finds nobody.
ONE_REQUEST_EACH = httpx.Limits(max_keepalive_connections=0)
_SENDABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")

Exchange = dict[str, Any]


class Client:
    """Sends single requests to one target and keeps each as an exchange.

    `check` is called before each request; what it raises ends the asking.

    Raises:
        TargetError: a key's variable is not set or cannot be sent, or the CA file cannot be used.
    """

    def __init__(
        self, url: str, profile: Profile, trial: int = 1, check: Callable[[], None] = lambda: None
    ) -> None:
        self.url = url.rstrip("/")
        self.exchanges: list[Exchange] = []
        self._trial, self._check = trial, check
        self._secrets = secrets(profile)
        self._client = httpx.Client(
            headers=_headers(profile),
            limits=ONE_REQUEST_EACH,
            trust_env=False,
            follow_redirects=False,
            verify=trusted(url, profile.target.ca_file, "target.ca_file"),
        )

    def ask(
        self,
        name: str,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        within: float = ANSWER_S,
        kept: int = BODY_KEPT,
    ) -> Exchange:
        """Returns one exchange; what goes wrong stands in its `error`, with a null status."""
        self._check()
        started = time.monotonic_ns()
        status, kind, text, error = None, "", "", None
        try:
            status, kind, text = self._fetch(method, path, body, within)
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
            "body": redaction.redact(text, self._secrets)[:kept],
            "error": error and redaction.redact(error, self._secrets),
            "started_ns": started,
            "done_ns": time.monotonic_ns(),
        }
        self.exchanges.append(exchange)
        return exchange

    def _fetch(self, method: str, path: str, body: bytes | None, within: float) -> tuple[int, str, str]:
        """Returns status, content type and text; never more bytes or seconds than the limits."""
        deadline, raw = time.monotonic() + within, b""
        headers = {} if body is None else {"Content-Type": "application/json"}
        with self._client.stream(
            method, self.url + path, content=body, headers=headers, timeout=within
        ) as answer:
            encoding = answer.headers.get("content-encoding", "identity")
            if encoding.lower() != "identity":
                raise httpx.DecodingError(f"content-encoding {encoding!r}: none was asked for")
            for piece in answer.iter_raw():
                raw += piece
                if len(raw) > ANSWER_LIMIT:
                    raise httpx.ReadError(f"answer longer than {units.size(ANSWER_LIMIT)}")
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout(f"not done within {units.duration(within)}")
            return answer.status_code, answer.headers.get("content-type", ""), raw.decode(errors="replace")

    def keeps_alive(self) -> bool:
        """Whether the server keeps a connection open after an answer, by its own word."""
        try:
            with self._client.stream("GET", self.url + "/v1/models", timeout=ANSWER_S) as answer:
                said = answer.headers.get("connection", "").lower()
                return answer.http_version == "HTTP/1.1" and said != "close"
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        self._client.close()


def dialect(profile: Profile) -> Dialect:
    """Returns the dialect that the target speaks."""
    return DIALECTS[profile.target.protocol]


def require_sendable(profile: Profile, prompts: Iterable[Prompt]) -> None:
    """Checks that the target's dialect takes each prompt.

    Raises:
        ProfileError: it does not.
    """
    for prompt in prompts:
        objection = dialect(profile).objection(prompt.messages)
        if objection is not None:
            raise ProfileError(f"{profile.name}: target.protocol: prompt {prompt.id}: {objection}")


def secret_variables(profile: Profile) -> list[str]:
    """Returns the names of the variables that hold keys, set or not."""
    names = [profile.target.api_key_env, *profile.target.headers_env.values()]
    names += [profile.watched.token_env] if profile.watched else []
    return [name for name in names if name]


def secret_names(profile: Profile) -> list[str]:
    """Returns the names of the variables that hold keys.

    Raises:
        TargetError: one of them is not set, or holds what no header can carry.
    """
    names = secret_variables(profile)
    for name in names:
        section = "prometheus" if profile.watched and name == profile.watched.token_env else "target"
        secret(name, section)
    return names


def secret(name: str, section: str) -> str:
    """Returns what a variable holds; `section` says what named it.

    Raises:
        TargetError: it is not set, or holds what no header can carry.
    """
    held = os.environ.get(name)
    if not held:
        raise TargetError(f"{section}: the variable {name} is not set; export it and try again")
    if not _SENDABLE.fullmatch(held):
        raise TargetError(
            f"{section}: the variable {name} holds a line break, a space at an end or another sign that "
            "no header can carry; export it without and try again"
        )
    return held


def secrets(profile: Profile) -> tuple[str, ...]:
    """Returns the values that must stand in nothing that is stored.

    Raises:
        TargetError: see `secret_names`.
    """
    return tuple(os.environ[name] for name in secret_names(profile))


def _headers(profile: Profile) -> dict[str, str]:
    target = profile.target
    key = os.environ[target.api_key_env] if target.api_key_env else None
    extra = {header: os.environ[name] for header, name in target.headers_env.items()}
    return {"Accept-Encoding": "identity", **dialect(profile).headers(key), **extra}


def trusted(url: str, ca_file: str | None, key: str) -> ssl.SSLContext:
    """Returns what is trusted of whoever answers at `url`; `key` says what named the CA file.

    Raises:
        TargetError: the CA file cannot be used.
    """
    try:
        return trust(url, ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise TargetError(f"{key}: {ca_file}: cannot be used: {error.strerror or error}") from None


def await_ready(client: Client, profile: Profile) -> None:
    """Waits until the health path answers 200 with the ready word; a server without such a path will do
    where no word is asked for.

    Raises:
        TargetError: not reachable, refused, or not ready within `target.ready.within`.
    """
    ready = profile.target.ready
    deadline = time.monotonic() + ready.within
    while True:
        left = deadline - time.monotonic()
        exchange = client.ask("ready", "GET", ready.path, within=min(max(left, RETRY_S), ANSWER_S))
        if exchange["status"] in (401, 403):
            raise TargetError(_unauthorised(client.url, exchange["status"], profile))
        if _is_ready(exchange, ready):
            return
        if not _may_pass(exchange) or time.monotonic() + RETRY_S > deadline:
            raise TargetError(_not_ready(client.url, exchange, ready))
        client.exchanges.pop()
        time.sleep(RETRY_S)


def _is_ready(exchange: Exchange, ready: Ready) -> bool:
    status = exchange["status"]
    if ready.word is not None:
        return status == 200 and ready.word in exchange["body"]
    return status is not None and not _is_busy(status)


def _may_pass(exchange: Exchange) -> bool:
    """Whether waiting may help where the answer is not the right one: the server is loading, or busy."""
    status = exchange["status"]
    if status is None:
        return not str(exchange["error"]).startswith("ConnectError")
    return status == 200 or _is_busy(status)


def _is_busy(status: int) -> bool:
    return status >= 500 or status == 429


def _not_ready(url: str, exchange: Exchange, ready: Ready) -> str:
    if exchange["status"] is None:
        return f"{url}: not reachable: {exchange['error']}; is the server running, and is this its address?"
    wanted = "200" if ready.word is None else f"200 with the word {ready.word!r}"
    within = units.duration(ready.within)
    return f"{url}{ready.path}: HTTP {exchange['status']}, not {wanted}: not ready within {within}"


def _unauthorised(url: str, status: int, profile: Profile) -> str:
    key = profile.target.api_key_env
    advice = f"the key in {key} was refused" if key else "name the key's variable with --api-key-env"
    return f"{url}: HTTP {status}: {advice}"


def require_model(client: Client, profile: Profile) -> None:
    """Checks that the model is listed, where the server lists any, and that it answers as it will be asked.

    Raises:
        TargetError: not listed, refused, not found, or an answer of another kind or without a token.
    """
    exchange = client.ask("models", "GET", "/v1/models", kept=LIST_KEPT)
    if exchange["status"] in (401, 403):
        raise TargetError(_unauthorised(client.url, exchange["status"], profile))
    listed, model = listed_models(exchange), profile.target.model
    if listed and model not in listed:
        more = f" and {len(listed) - MODELS_SHOWN} more" if len(listed) > MODELS_SHOWN else ""
        shown = ", ".join(listed[:MODELS_SHOWN]) + more
        raise TargetError(f"{client.url}: target.model: {model!r} is not served; it lists: {shown}")
    _require_answer(client, profile)


def listed_models(exchange: Mapping[str, Any]) -> list[str]:
    """Returns the model names in a /v1/models answer, empty when it is not one."""
    try:
        return [str(model["id"]) for model in json.loads(exchange["body"])["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


def build(exchanges: Iterable[Exchange]) -> str | None:
    """Returns the server's build by its own word, the fingerprint in its first answer."""
    body = next((each["body"] for each in exchanges if each["name"] in ("stream", "whole")), "")
    found = re.search(r'"system_fingerprint"\s*:\s*"([^"]{1,80})"', body)
    return found.group(1) if found else None


def _require_answer(client: Client, profile: Profile) -> None:
    stream, path = profile.workload.stream, dialect(profile).path
    name = "stream" if stream else "whole"
    exchange = client.ask(name, "POST", path, request_body(profile, "Say hello.", 4, stream=stream))
    status, kind = exchange["status"], exchange["content_type"]
    where = f"{client.url}{path}"
    if status is None:
        raise TargetError(f"{where}: no answer: {exchange['error']}")
    if status in (401, 403):
        raise TargetError(_unauthorised(client.url, status, profile))
    if status != 200:
        raise TargetError(f"{where}: HTTP {status}: {' '.join(exchange['body'].split())[:200]}")
    answer = read(exchange, profile, stream=stream)
    if not kind.startswith(answer.content_type):
        missing = ": no streaming" if stream else ""
        raise TargetError(
            f"{where}: answered {kind or 'no content type'}, not {answer.content_type}{missing}"
        )
    if not answer.pieces:
        called = "stream" if stream else "answer"
        raise TargetError(f"{where}: the {called} carried no token: {answer.error or 'it was empty'}")


def read(exchange: Exchange, profile: Profile, *, stream: bool) -> Answer:
    """Returns what an exchange's body says in the target's dialect."""
    answer = answers(profile.target.protocol, stream=stream)()
    answer.feed(exchange["body"].encode())
    answer.end()
    return answer


def request_body(profile: Profile, text: str, max_tokens: int, *, stream: bool) -> bytes:
    """Returns a request of the profile's target with one user message."""
    message = {"role": "user", "content": text}
    return _body(profile, [message], max_tokens, profile.target.extra_body, stream=stream)


def _body(
    profile: Profile, messages: Messages, max_tokens: int, extra: Mapping[str, Any], *, stream: bool
) -> bytes:
    return dialect(profile).body(
        messages,
        model=profile.target.model,
        max_tokens=max_tokens,
        temperature=0,
        seed=profile.workload.seed,
        extra=extra,
        stream=stream,
    )


def functional_checks(client: Client, profile: Profile, questions: tuple[Prompt, ...]) -> None:
    """Asks everything level 1 wants to know of a component, one request after the other."""
    path = dialect(profile).path
    client.ask("health", "GET", profile.target.ready.path)
    for prompt in questions:
        answer = client.ask(f"answer:{prompt.id}", "POST", path, _question(profile, prompt))
        answer["expected"] = prompt.expected
    for name, body in _bad_requests(client, profile):
        client.ask(name, "POST", path, body)
    client.ask("health_after", "GET", profile.target.ready.path)


def _question(profile: Profile, prompt: Prompt) -> bytes:
    extra = {key: value for key, value in profile.target.extra_body.items() if key != "ignore_eos"}
    messages = request_messages(prompt, None)
    most = prompt.max_tokens.most if prompt.max_tokens else ANSWER_TOKENS
    return _body(profile, messages, most, extra, stream=False)


def _bad_requests(client: Client, profile: Profile) -> Iterator[tuple[str, bytes]]:
    yield "empty_prompt", request_body(profile, "", 4, stream=False)
    yield "broken_json", b'{"model": "x", "messages": ['
    yield "negative_max_tokens", request_body(profile, "Say hello.", -5, stream=False)
    too_long = "word " * (_context(client) + 1000)
    yield "above_context", request_body(profile, too_long, 4, stream=False)


def _context(client: Client) -> int:
    """The server's context in tokens by its own word, else a length few servers take."""
    models = next((e for e in client.exchanges if e["name"] == "models"), None)
    try:
        meta = json.loads(models["body"])["data"][0] if models else {}
        stated = int(meta["max_model_len"] if "max_model_len" in meta else meta["meta"]["n_ctx"])
    except (ValueError, LookupError, TypeError, RecursionError, OverflowError):
        return CONTEXT_FALLBACK
    return min(max(stated, 0), CONTEXT_LIMIT)

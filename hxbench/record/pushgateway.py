"""Hands metrics to a Prometheus Pushgateway, which keeps them for whoever scrapes it."""

import base64
import ssl
import time
from collections.abc import Mapping
from typing import NoReturn

import httpx

from hxbench import units
from hxbench.errors import PrometheusError, TargetError
from hxbench.record.redaction import redact

TIMEOUT_S = 10.0
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_READ = 65_536  # bytes of an answer, which is empty where all went well
_SAID = 300  # characters of a reason
_NOT_KNOWN = "whether it took the metrics is not known; push again"
_ITSELF = "give the address of the Pushgateway itself"
_TOKEN = "name the variable of a token it takes with --token-env"  # noqa: S105 - a sentence
_TO_DO = {401: _TOKEN, 403: _TOKEN, 404: _ITSELF, 405: _ITSELF}


def push(
    url: str,
    group: Mapping[str, str],
    text: str,
    tls: ssl.SSLContext,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Puts metrics of Prometheus' classic format in the place of all that the group held before, at once.

    `group` are the labels, the job first, that tell these metrics from those of others.

    Raises:
        TargetError: they were not taken: nobody is there, or whoever is refuses them.
        PrometheusError: there was no answer that says so.
    """
    try:
        status, kind, said = _put(url + _path(group), text, tls, token, timeout_s)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        _refuse(url, f"not reachable: {_cause(error)}", "start the Pushgateway, or correct its address")
    except httpx.TimeoutException:
        raise PrometheusError(f"{url}: no answer within {units.duration(timeout_s)}: {_NOT_KNOWN}") from None
    except httpx.HTTPError as error:
        raise PrometheusError(f"{url}: {_cause(error)}: {_NOT_KNOWN}") from None
    reason = _shown(said, token)
    if status >= 500:
        raise PrometheusError(f"{url}: HTTP {status}: {reason}: {_NOT_KNOWN}")
    if 300 <= status < 400:
        _refuse(url, f"HTTP {status}: redirects elsewhere", _ITSELF)
    if status >= 400:
        _refuse(url, f"HTTP {status}: {reason}", _TO_DO.get(status, "see the log of the Pushgateway"))
    if said:
        _refuse(url, f"{_shown(kind, token)} instead of the empty answer of a Pushgateway", _ITSELF)


def _put(
    url: str, text: str, tls: ssl.SSLContext, token: str | None, timeout_s: float
) -> tuple[int, str, bytes]:
    """Returns status, content type and the beginning of the body; it has no longer than `timeout_s`."""
    deadline, body = time.monotonic() + timeout_s, b""
    headers = {"Content-Type": _CONTENT_TYPE, "Accept-Encoding": "identity"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    with (
        httpx.Client(verify=tls, trust_env=False, timeout=timeout_s) as client,
        client.stream("PUT", url, content=text.encode(), headers=headers) as answer,
    ):
        for piece in answer.iter_raw():
            body += piece
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer came drop by drop")
            if len(body) > _READ:
                break
        return answer.status_code, answer.headers.get("content-type", "no content type"), body


def _path(group: Mapping[str, str]) -> str:
    """Returns the path of a group; in base64, because a value with a slash has no other form there."""
    encoded = {name: base64.urlsafe_b64encode(value.encode()).decode() for name, value in group.items()}
    return "/metrics" + "".join(f"/{name}@base64/{value or '='}" for name, value in encoded.items())


def _cause(error: httpx.HTTPError) -> str:
    return str(error).rpartition("] ")[2] or type(error).__name__


def _shown(said: bytes | str, token: str | None) -> str:
    """Returns one line of what a server said, without the token it may have echoed."""
    text = said if isinstance(said, str) else said.decode(errors="replace")
    line = " ".join(redact(text, (token,) if token else ()).split())[:_SAID]
    return "".join(sign if sign.isprintable() else "?" for sign in line) or "no reason given"


def _refuse(url: str, what: str, to_do: str) -> NoReturn:
    raise TargetError(f"{url}: {what}; {to_do}") from None

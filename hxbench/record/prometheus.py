"""Asks a Prometheus, through prometheus-api-client, so that every failure is one clear line.

The client alone hangs for ever, tries four times and then hides why, drops warnings, and rounds times to
whole seconds. Here an answer has a deadline and a largest size, is asked for once, and keeps its warnings.
"""

import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn, TypeVar

import requests
from prometheus_api_client import PrometheusConnect
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from hxbench import units
from hxbench.errors import PrometheusError

Read = TypeVar("Read")

LARGEST = 16 * 1024 * 1024
MOST_POINTS = 10_000  # a series; Prometheus refuses more than 11 000
_PIECE = 65_536
_SAID = 300  # characters of a reason that are kept
_UNUSED = datetime.fromtimestamp(0, UTC)
_BODY_ENDED = "the answer broke off"
_IN_OPENSSL = re.compile(r"\[SSL[^]]*\] | \(_ssl\.c:\d+\)")  # names and lines of its source


@dataclass(frozen=True)
class Point:
    """One value of one series; `labels` are JSON with sorted keys. NaN and infinities are as they came."""

    labels: str
    time_s: float
    value: float


@dataclass(frozen=True)
class Answer:
    """What a query gave, and what Prometheus warned of: data may be missing then."""

    points: tuple[Point, ...]
    warnings: tuple[str, ...]


class Session(requests.Session):
    """Takes each answer whole, within its deadline, or says why not; remembers the last one's warnings."""

    def __init__(self, url: str, timeout_s: float, ca_file: str | None) -> None:
        super().__init__()
        self.verify = ca_file or True
        self.trust_env = False  # no proxy, and no password out of a file
        self.max_redirects = 0  # a login page is no Prometheus
        self.warnings: tuple[str, ...] = ()
        self._url, self._timeout_s = url, timeout_s

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        deadline = time.monotonic() + self._timeout_s
        try:
            response = super().send(request, **options | {"stream": True})
            body = self._body(response, deadline)
        except requests.TooManyRedirects:
            self._refuse("redirects elsewhere", "give the address of Prometheus itself, and a token it takes")
        except (requests.Timeout, TimeoutError):
            within = units.duration(self._timeout_s)
            self._refuse(f"no answer within {within}", "raise prometheus.timeout, or ask for less")
        except requests.exceptions.SSLError as error:
            to_do = "correct prometheus.url, or name who signed the certificate in prometheus.ca_file"
            self._refuse(_cause(error), to_do)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            self._refuse(_cause(error), "start Prometheus, or correct prometheus.url")
        if response.status_code != 200:
            reason = f"HTTP {response.status_code}: {_reason(body)}"
            self._refuse(reason, _TO_DO.get(response.status_code, "see the log of Prometheus"))
        self.warnings = self._warnings(response, body)
        response.raw = io.BytesIO(body)
        return response

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        """Returns the whole body; a server that sends it drop by drop gets no more time than another."""
        body = bytearray()
        while piece := response.raw.read1(_PIECE):
            body += piece
            if len(body) > LARGEST:
                self._refuse(f"an answer above {units.size(LARGEST)}", "aggregate, such as with sum()")
            if time.monotonic() > deadline:
                raise TimeoutError
        self.close()  # the connection: one kept over a load may be dead by then
        return bytes(body)

    def _warnings(self, response: requests.Response, body: bytes) -> tuple[str, ...]:
        kind = response.headers.get("Content-Type", "no content type").partition(";")[0]
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            self._refuse(f"{kind} instead of JSON", "give the address of Prometheus itself")
        warnings = document.get("warnings", []) if isinstance(document, dict) else []
        return tuple(_whole(str(each)[:_SAID]) for each in warnings) if isinstance(warnings, list) else ()

    def document(
        self, path: str, read: Callable[[Any], Read], headers: Mapping[str, str] | None = None
    ) -> Read:
        """Returns what `read` makes of the JSON at a path."""
        try:
            return read(self.get(f"{self._url}{path}", headers=headers, timeout=self._timeout_s).json())
        except (LookupError, TypeError, ValueError, AttributeError):
            self._refuse(f"JSON that is no answer at {path}", "give the address of Prometheus itself")

    def _refuse(self, what: str, to_do: str) -> NoReturn:
        raise PrometheusError(f"{self._url}: {what}; {to_do}") from None


_TO_DO = {
    400: "correct the query",
    401: "name the variable of a token in prometheus.token_env",
    403: "name the variable of a token in prometheus.token_env",
    404: "give the address of Prometheus itself",
    422: "correct the query",
    503: "raise prometheus.timeout, or ask for less",
}


def _reason(body: bytes) -> str:
    """Returns what Prometheus says went wrong, or else how the body begins."""
    text = body.decode(errors="replace")
    try:
        document = json.loads(text)
        text = f"{document['errorType']}: {document['error']}"
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    return _whole(" ".join(text.split())[:_SAID]) or "no reason given"


def _whole(text: str) -> str:
    """Returns text without halves of surrogate pairs, which no file takes."""
    return text.encode(errors="replace").decode()


def _cause(error: BaseException) -> str:
    """Returns the innermost reason of a failed connection in words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    said = getattr(error, "strerror", None) or str(error) or _BODY_ENDED
    return _IN_OPENSSL.sub("", said)[:_SAID].rstrip(".")


class Client:
    """One Prometheus."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout_s: float,
        lookback_s: float = 300.0,
        ca_file: str | None = None,
    ) -> None:
        """`lookback_s`: how old a value may be, where Prometheus is new enough to let itself be told."""
        self._url, self._lookback = url, {"lookback_delta": _written(lookback_s)}
        self._session = Session(url, timeout_s, ca_file)
        self._headers = {"Accept-Encoding": "identity"}
        self._headers |= {"Authorization": f"Bearer {token}"} if token else {}
        self._connect = PrometheusConnect(
            url,
            headers=self._headers,
            session=self._session,
            timeout=timeout_s,
            retry=Retry(0),
            method="POST",
        )

    def close(self) -> None:
        """Lets go of the connection."""
        self._connect.close()

    def instant(self, query: str, at_s: float | None = None) -> Answer:
        """Returns the value of each series at a time, by default now.

        Raises: PrometheusError, one line, for whatever went wrong.
        """
        time_of_it = {} if at_s is None else {"time": _written(at_s)}
        return self._answer(lambda: self._connect.custom_query(query, self._lookback | time_of_it))

    def range(self, query: str, start_s: float, end_s: float, step_s: float) -> Answer:
        """Returns the values of each series every `step_s` from start to end, both included.

        Raises: PrometheusError, one line, for whatever went wrong.
        """
        points: list[Point] = []
        warnings: dict[str, None] = {}
        for begin, end in _parts(start_s, end_s, step_s):
            # the client rounds the times that it takes itself to whole seconds; what stands in `times` wins
            times = {"start": _written(begin), "end": _written(end)}
            ask = partial(self._connect.custom_query_range, query, _UNUSED, _UNUSED, _written(step_s), times)
            answer = self._answer(ask)
            points += answer.points
            warnings |= dict.fromkeys(answer.warnings)
        return Answer(tuple(points), tuple(warnings))

    def document(self, path: str, read: Callable[[Any], Read]) -> Read:
        """Returns what `read` makes of the data of an answer that is none to a query: of /api/v1/rules.

        Raises: PrometheusError, one line, for whatever went wrong.
        """
        return self._session.document(path, lambda answer: read(answer["data"]), self._headers)

    def _answer(self, ask: Callable[[], Any]) -> Answer:
        try:
            result = ask()
            if (other := _other_than_numbers(result)) is not None:
                raise PrometheusError(f"{self._url}: the query gives {other}")
            return Answer(tuple(_points(result)), self._session.warnings)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise PrometheusError(
                f"{self._url}: JSON that is no answer to a query; give the address of Prometheus itself"
            ) from None


def _written(seconds: float) -> str:
    return f"{seconds:.3f}"


def _parts(start_s: float, end_s: float, step_s: float) -> Iterator[tuple[float, float]]:
    """Yields the ends of stretches that one query each may cover."""
    steps = int((end_s - start_s) / step_s + 1e-9) + 1
    for first in range(0, steps, MOST_POINTS):
        last = min(first + MOST_POINTS, steps) - 1
        yield start_s + first * step_s, start_s + last * step_s


def _other_than_numbers(result: Any) -> str | None:
    """Returns what a query gives and what to ask instead; None when its answer may be numbers."""
    if len(result) == 2 and isinstance(result[1], str) and not _is_number(result[1]):
        return "text, not numbers; correct the query"
    if any(isinstance(each, dict) and {"histogram", "histograms"} & each.keys() for each in result):
        return "native histograms, not numbers; ask for histogram_count() or histogram_sum() of them"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _points(result: Any) -> Iterator[Point]:
    """Yields the points of a vector, a matrix, or a scalar, which is one point without a series."""
    if len(result) == 2 and not isinstance(result[0], dict):
        yield Point("{}", float(result[0]), float(result[1]))
        return
    for series in result:
        labels = _whole(json.dumps(series["metric"], sort_keys=True, ensure_ascii=False))
        for time_s, value in series["values"] if "values" in series else [series["value"]]:
            yield Point(labels, float(time_s), float(value))

"""What every API dialect offers: the request's body and headers, and an answer read piece by piece."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from hxbench.wire.sse import Event, EventStream, StreamError

WORD_LIMIT = 80  # characters of a finish reason
TEXT_KEPT = 1_000  # of an event in a message; cut shorter once secrets are out of it
COUNT_LIMIT = 10**15  # a larger count of tokens is none, and would not fit the records

_raw_decode = json.JSONDecoder().raw_decode

Messages = Sequence[Mapping[str, Any]]
Piece = tuple[str, str]  # channel (content, reasoning, refusal or tool) and its text, never empty


class Content(NamedTuple):
    """What one read carried: non-empty deltas, their characters, and whether one was answer text."""

    deltas: int
    characters: int
    output: bool


NOTHING = Content(0, 0, False)


class Usage(NamedTuple):
    """Counts the server stated; None where it did not."""

    prompt_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int | None


class Answer(ABC):
    """The answer to one request: `feed` takes each piece of its body, `end` says that it has ended.

    An answer that is not streamed can only be read when its JSON is complete: `end` then returns all of it
    as one delta, because its reader sees the first token and the last one at the same moment.
    """

    ending = ""  # what a stream must come to, in words

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        self.error: str | None = None
        self.finish_reason: str | None = None
        self.whole = False  # it came to its declared end
        self.pieces: list[Piece] = []
        self._events = EventStream()
        self._body: list[bytes] = []

    @property
    def content_type(self) -> str:
        return content_type(stream=self.stream)

    def text(self, *channels: str) -> str:
        """Returns what came on these channels, or on all of them."""
        return "".join(text for channel, text in self.pieces if not channels or channel in channels)

    def feed(self, chunk: bytes) -> Content:
        """Returns what `chunk` carried; an in-band error ends up in `error` and is never raised."""
        if not self.stream:
            self._body.append(chunk)
            return NOTHING
        try:
            events = self._events.feed(chunk)
        except StreamError as error:
            self._fail(str(error))
            return NOTHING
        found: list[Piece] = []
        for event in events:
            found += self._read(event)
        self.pieces += found
        return _content(found)

    def end(self) -> Content:
        """Returns what could only be read at the end; nothing of a stream, and nothing a second time."""
        body = b"".join(self._body)
        self._body.clear()
        if not body:
            return NOTHING
        found = self._read(Event("", body.decode(errors="replace")))
        self.whole = self.error is None
        self.pieces += found
        return _content(found)._replace(deltas=min(len(found), 1))

    @abstractmethod
    def usage(self) -> Usage:
        """Returns what the server stated of tokens."""

    def server_times_ns(self) -> tuple[int | None, int | None]:
        """Returns prefill and decode time by the server's own word, in nanoseconds."""
        return None, None

    @abstractmethod
    def _read(self, event: Event) -> list[Piece]:
        """Takes one event, or the whole document as if it were one, and returns its non-empty texts."""

    def _document(self, event: Event) -> dict[str, Any] | None:
        """Returns the JSON object an event holds; of an error or anything else None, and it is noted."""
        try:
            document = parsed(event.data)
        except (ValueError, RecursionError):
            called = "event" if self.stream else "the answer"
            self._fail(f"{called} is not JSON: {event.data[:TEXT_KEPT]}")
            return None
        if not isinstance(document, dict) or event.type == "error" or document.get("error"):
            called = "stream" if self.stream else "answer"
            self._fail(f"error in the {called}: {event.data[:TEXT_KEPT]}")
            return None
        return document

    def _fail(self, error: str) -> None:
        self.error = self.error or error


def _content(pieces: Sequence[Piece]) -> Content:
    """Returns what a read carried; each piece as a delta of its own."""
    if len(pieces) == 1:  # as of nearly all reads
        channel, text = pieces[0]
        return Content(1, len(text), channel != "reasoning")
    output = any(channel != "reasoning" for channel, _ in pieces)
    return Content(len(pieces), sum([len(text) for _, text in pieces]), output)


def content_type(*, stream: bool) -> str:
    """Returns the type in which an answer is asked for, and has to come."""
    return "text/event-stream" if stream else "application/json"


class Body(Protocol):
    """Returns the JSON body of one request that asks for its usage; members of `extra` win."""

    def __call__(
        self,
        messages: Messages,
        *,
        model: str,
        max_tokens: int,
        temperature: float,
        seed: int,
        extra: Mapping[str, Any],
        stream: bool,
    ) -> bytes: ...


def anything(_: Messages) -> None:
    """The objection of a dialect that takes any messages."""


@dataclass(frozen=True)
class Dialect:
    path: str
    token_hint: re.Pattern[bytes]
    """A cheap look for a token in raw bytes, for deadlines only: a worker never decodes. Empty deltas,
    comments and pings do not match."""
    body: Body
    headers: Callable[[str | None], dict[str, str]]
    """The headers that go with a key, or without one."""
    answer: Callable[..., Answer]
    """Takes `stream`."""
    objection: Callable[[Messages], str | None] = anything
    """Why messages cannot be sent in this dialect."""


def encoded(document: Mapping[str, Any]) -> bytes:
    """Returns the compact JSON of a request."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def parsed(text: str) -> Any:
    """Returns what `json.loads` does, without its search for space around a document where there is none.

    Raises:
        ValueError: the text is not JSON.
        RecursionError: it is too deep.
    """
    try:
        document, end = _raw_decode(text)
    except ValueError:
        return json.loads(text)
    return document if end == len(text) else json.loads(text)


def mapping(document: Any, key: str) -> dict[str, Any]:
    """Returns the object at a key, an empty one where there is none."""
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, dict) else {}


def listed(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Returns the objects in the list at a key."""
    value = document.get(key)
    return [each for each in value if isinstance(each, dict)] if value and isinstance(value, list) else []


def string(document: Mapping[str, Any], key: str) -> str:
    """Returns the text at a key, an empty one where there is none."""
    value = document.get(key)
    return value if isinstance(value, str) else ""


def word(document: Mapping[str, Any], key: str) -> str:
    """Returns a short text that can be stored: JSON may hold half a surrogate pair, a file may not."""
    return string(document, key)[:WORD_LIMIT].encode(errors="replace").decode()


def count(document: Mapping[str, Any], key: str) -> int | None:
    """Returns the count of tokens at a key, None where there is none that the records can hold."""
    value = document.get(key)
    return value if type(value) is int and 0 <= value < COUNT_LIMIT else None

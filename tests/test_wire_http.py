"""HTTP framing: the same response at whatever split, and typed refusals."""

import pytest

from hxbench.wire import http

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1;name=value\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n"
)
SIZED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def fed(parts: list[bytes]) -> tuple[http.Response, bytes]:
    response = http.Response()
    return response, b"".join(response.feed(part) for part in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize(
    ("raw", "status", "body", "keep_alive"),
    [(CHUNKED, 200, b"hello world", True), (SIZED, 404, b"none", False), (INTERIM, 404, b"none", False)],
    ids=["chunked", "sized", "after 100 Continue"],
)
def test_a_response_is_the_same_at_every_split(
    raw: bytes, status: int, body: bytes, keep_alive: bool, size: int
) -> None:
    response, got = fed(split(raw, size))
    assert (status, body, keep_alive, True) == (response.status, got, response.keep_alive, response.complete)


@pytest.mark.parametrize("at", range(1, len(CHUNKED)))
def test_a_response_may_be_cut_anywhere(at: int) -> None:
    response, got = fed([CHUNKED[:at], CHUNKED[at:]])
    assert (b"hello world", True) == (got, response.complete)


def test_a_response_without_length_ends_with_the_connection() -> None:
    response, got = fed([b"HTTP/1.1 200 OK\r\n\r\nsome"])
    assert (b"some", False, False) == (got, response.complete, response.keep_alive)
    assert response.close()


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\n", SIZED[:-1], CHUNKED[:-2]])
def test_a_response_cut_off_by_the_peer_is_not_whole(raw: bytes) -> None:
    response, _ = fed([raw])
    assert not response.close()


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
)
def test_a_response_without_body_is_complete_at_once(head: bytes) -> None:
    response, got = fed([head])
    assert (b"", True) == (got, response.complete)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"220 mail ready\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/2 200\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "not a header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "content-length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "content-length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer-encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "content-encoding 'gzip'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "not a chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", "not a chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n", "not a chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 99 + b"\r\n", "not a chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 2000, "chunk line longer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "more than 10 interim answers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "head longer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n", "more than 256 headers"),
        (SIZED + b"more", "after the response's end"),
        (CHUNKED + b"more", "after the response's end"),
    ],
)
def test_bytes_that_break_http_are_refused_by_name(raw: bytes, text: str) -> None:
    with pytest.raises(http.FramingError, match=text):
        http.Response().feed(raw)


def test_a_response_longer_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RESPONSE_LIMIT", 10)
    with pytest.raises(http.FramingError, match="longer than 10 bytes"):
        fed([CHUNKED])


def test_trailers_without_end_are_refused_like_a_body_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RESPONSE_LIMIT", 1000)
    with pytest.raises(http.FramingError, match="longer than 1000 bytes"):
        fed([CHUNKED[:-2], *[b"Trailer: x\r\n"] * 100])


def test_http_1_0_keeps_alive_only_when_it_says_so() -> None:
    head = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n"
    assert not fed([head + b"\r\n"])[0].keep_alive
    assert fed([head + b"Connection: keep-alive\r\n\r\n"])[0].keep_alive


def test_a_connection_is_closed_when_one_of_several_words_says_so() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive, Close\r\n\r\n"
    assert not fed([head])[0].keep_alive


def test_a_request_carries_its_headers_and_length() -> None:
    expected = b"POST /v1 HTTP/1.1\r\nHost: h:1\r\nA: b\r\nX-Request-Id: r1\r\nContent-Length: 2\r\n\r\n{}"
    assert expected == http.request(http.head("POST", "/v1", "h:1", {"A": "b"}), "r1", b"{}")


def test_a_header_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        http.head("GET", "/", "h", {"A": "b\r\nC: d"})


def test_heads_that_were_seen_before_are_read_the_same_and_kept_in_small_number() -> None:
    for _ in range(2):
        for second in range(20):
            raw = SIZED.replace(b"Content", b"Date: 12:00:%02d\r\nContent" % second, 1)
            response, got = fed([raw])
            assert (f"12:00:{second:02}", b"none") == (response.headers["date"], got)
    assert http._parse_head.cache_info().currsize <= 8


def test_a_head_that_cannot_be_read_is_refused_the_second_time_too() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"
    for _ in range(2):
        with pytest.raises(http.FramingError, match="transfer-encoding 'gzip'"):
            fed([raw])

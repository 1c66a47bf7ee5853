"""Metrics served to whoever scrapes: which of the two formats, where, and to whom."""

import socket

import httpx
import pytest

from hxbench.errors import InputError
from hxbench.record import exposition
from hxbench.record.exposition import CLASSIC, OPENMETRICS

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; version=1.0.0", OPENMETRICS),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.5", OPENMETRICS),
        ("text/plain;q=0.6, application/openmetrics-text;q=0.5", CLASSIC),
        ("application/openmetrics-text;q=0", CLASSIC),
        ("application/openmetrics-text;q=0.0, text/plain", CLASSIC),
        ("application/openmetrics-text-2", CLASSIC),
        ("text/plain;version=0.0.4", CLASSIC),
        ("text/html,*/*;q=0.8", CLASSIC),
        ("", CLASSIC),
    ],
)
def test_a_scraper_gets_the_format_it_would_rather_have(accept: str, kind: str) -> None:
    assert kind == exposition.wanted(accept)


def test_both_formats_are_served_under_their_own_content_type() -> None:
    with exposition.exposed("127.0.0.1", 0, "new", "old ü") as url:
        for accept, kind, text in ((PROMETHEUS, OPENMETRICS, "new"), ("*/*", CLASSIC, "old ü")):
            answer = httpx.get(url, headers={"Accept": accept})
            assert (200, kind, text) == (answer.status_code, answer.headers["content-type"], answer.text)
        assert (200, "") == ((head := httpx.head(url)).status_code, head.text)
        assert "6" == head.headers["content-length"]
        assert 200 == httpx.get(f"{url}?name=x").status_code
        assert "hxbench" == head.headers["server"].strip()


def test_only_the_metrics_are_there_and_only_to_be_read() -> None:
    with exposition.exposed("127.0.0.1", 0, "new", "old") as url:
        elsewhere = httpx.get(url.removesuffix("metrics"))
        assert 404 == elsewhere.status_code
        assert "The metrics are at /metrics" in elsewhere.text
        assert 501 == httpx.post(url).status_code


def test_who_connects_and_says_nothing_holds_nobody_up() -> None:
    with exposition.exposed("127.0.0.1", 0, "new", "old") as url:
        port = httpx.URL(url).port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port)):
            assert "old" == httpx.get(url).text


def test_nobody_listens_any_more_when_it_has_ended() -> None:
    with exposition.exposed("127.0.0.1", 0, "new", "old") as url:
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_free_port_on_ipv6_is_named_as_an_address() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error.strerror}")
    with exposition.exposed("::1", 0, "new", "old") as url:
        assert url.startswith("http://[::1]:")
        assert "old" == httpx.get(url).text


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:9105", "127.0.0.1", 9105), (":9105", "127.0.0.1", 9105), ("9105", "127.0.0.1", 9105),
        ("192.0.2.1:9105", "192.0.2.1", 9105), ("a.example:0", "a.example", 0), ("[::1]:65535", "::1", 65535),
    ],
)  # fmt: skip
def test_without_a_host_it_is_this_machine_alone(written: str, host: str, port: int) -> None:
    assert (host, port) == exposition.place(written)


@pytest.mark.parametrize("written", ["", "x", ":", "a:", "127.0.0.1:65536", "http://x:1", "::1:5", "a b:1"])
def test_what_is_no_address_to_listen_at_is_refused(written: str) -> None:
    with pytest.raises(InputError) as caught:
        exposition.place(written)
    wanted = "--expose: expected HOST:PORT such as 127.0.0.1:9105, or :9105 for this machine alone, got "
    assert f'{wanted}"{written}"' == str(caught.value)


def test_a_port_that_is_taken_is_wrong_input() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError) as caught, exposition.exposed("127.0.0.1", port, "", ""):
            pass
    assert (
        f"--expose: 127.0.0.1, port {port}: Address already in use; name an address of this machine and a "
        "port that is free, such as 127.0.0.1:0"
    ) == str(caught.value)


def test_a_host_that_nobody_knows_is_wrong_input() -> None:
    with (
        pytest.raises(InputError, match=r"^--expose: nosuch\.invalid, port 0: .*; name an address of this"),
        exposition.exposed("nosuch.invalid", 0, "", ""),
    ):
        pass

"""The envelope, against the published encodings, and what is no envelope."""

import json
from typing import Any

import pytest
from reference import case

from hxbench.render import dsse
from hxbench.render.dsse import Envelope, Signature

ENVELOPE = {
    "payload": "aGVsbG8gd29ybGQ=",
    "payloadType": "http://example.com/HelloWorld",
    "signatures": [{"keyid": "66301bbf", "sig": "QUJD"}],
}


def encoded(example: dict[str, Any]) -> bytes:
    given = example["input"]
    return dsse.encoding(given["payloadType"], given["payload_utf8"].encode())


def test_the_encoding_is_the_published_one() -> None:
    published = case("DSSE-pae")
    assert published["expected"]["pae_utf8"].encode() == encoded(published)


def test_the_encoding_counts_bytes_where_characters_are_fewer() -> None:
    exact = case("DSSE-pae-utf8")
    assert exact["expected"]["pae_hex"] == encoded(exact).hex()


def test_an_envelope_is_read_as_it_was_written() -> None:
    envelope = Envelope(b"\xff\x00", (Signature("a", b"\xfb\xff"), Signature("", b"")))
    line = envelope.as_line()
    assert envelope == dsse.parse(line.decode())
    assert {
        "payload": "/wA=",
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "a", "sig": "+/8="}, {"keyid": "", "sig": ""}],
    } == json.loads(line)
    assert 1 == line.count(b"\n")


def test_an_envelope_of_another_tool_is_read() -> None:
    foreign = ENVELOPE | {"more": 1, "signatures": [{"sig": "-_8="}]}  # no keyid, the alphabet of URLs
    expected = Envelope(b"hello world", (Signature("", b"\xfb\xff"),), "http://example.com/HelloWorld")
    assert expected == dsse.parse(json.dumps(foreign))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"payload": "aGVsbG8gd29ybGQ"}, "payload: expected base64: Incorrect padding"),
        ({"payload": "aGVs bG8="}, "payload: expected base64: "),
        ({"payload": None}, "payload: expected a text"),
        ({"payloadType": 1}, "payloadType: expected a text"),
        ({"signatures": []}, "signatures: expected one or more"),
        ({"signatures": {}}, "signatures: expected one or more"),
        ({"signatures": ["x"]}, "a signature is no JSON object"),
        ({"signatures": [{"keyid": "x"}]}, "sig: expected a text"),
        ({"signatures": [{"keyid": 1, "sig": "QUJD"}]}, "keyid: expected a text"),
        ({"signatures": [{"sig": "QUJ"}]}, "sig: expected base64: Incorrect padding"),
    ],
)
def test_what_is_no_envelope_is_said(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dsse.parse(json.dumps(ENVELOPE | change))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[]", "the envelope is no JSON object"),
        ("", "Expecting value"),
        ('{"payload":"","payload":""}', "it holds a key twice"),
    ],
)
def test_what_is_no_json_of_one_meaning_is_said(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dsse.parse(line)

"""Keys are in nothing that is stored: raw, in JSON, url-encoded, or anywhere inside base64."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from hxbench.record.redaction import masking, redact

Encode = Callable[[bytes], bytes]
KEY = 'cnry/9f8e"7d+é='


@pytest.mark.parametrize(
    "form",
    [KEY, json.dumps(KEY)[1:-1], quote(KEY), quote(KEY, safe="")],
    ids=["raw", "JSON", "path", "query"],
)
def test_a_key_as_text_is_taken_out(form: str) -> None:
    assert "a [redacted] b" == redact(f"a {form} b", [KEY])


@pytest.mark.parametrize("before", ["", "a", "ab", "Bearer "])
@pytest.mark.parametrize("after", ["", "z", "zy"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_key_inside_base64_is_taken_out_wherever_it_stands(before: str, after: str, encode: Encode) -> None:
    encoded = encode(f"{before}{KEY}{after}".encode()).decode()
    left = redact(encoded, [KEY])
    assert "[redacted]" in left
    assert len(left.replace("[redacted]", "")) <= 4 * (len(before) + len(after)) // 3 + 6


def test_each_of_several_keys_is_taken_out() -> None:
    assert "[redacted] and [redacted]" == redact("first-key and other-key", ["first-key", "other-key"])


def test_text_without_a_key_stays() -> None:
    assert "plain" == redact("plain", [KEY])
    assert "plain" == redact("plain", [])


def test_a_value_too_short_to_be_a_key_is_left_in() -> None:
    assert "the cat" == redact("the cat", ["cat"])


def test_a_mask_keeps_every_length() -> None:
    data = f"a {KEY} b {base64.b64encode(KEY.encode()).decode()} c".encode()
    masked = masking([KEY])(data)
    assert len(data) == len(masked)
    assert KEY.encode() not in masked
    assert masked.startswith(b"a xxxx")
    assert masked.endswith(b" c")


def test_without_keys_a_mask_gives_back_the_same_bytes() -> None:
    data = b"anything"
    assert masking(["", "abc"])(data) is data

"""The envelope of a signature (DSSE 1.0, secure-systems-lab/dsse): what is signed, and how it is written."""

import base64
from dataclasses import dataclass
from typing import Any

from hxbench import canonical_json
from hxbench.render.files import strict_json

IN_TOTO = "application/vnd.in-toto+json"
_STANDARD = str.maketrans("-_", "+/")  # readers take either alphabet of base64


@dataclass(frozen=True)
class Signature:
    """A signature, and who claims to have made it: a keyid is a hint, nothing vouches for it."""

    keyid: str
    bytes: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload with the signatures made over its encoding."""

    payload: bytes
    signatures: tuple[Signature, ...]
    payload_type: str = IN_TOTO

    @property
    def signed(self) -> bytes:
        """Returns the bytes that each signature is made over."""
        return encoding(self.payload_type, self.payload)

    def as_line(self) -> bytes:
        """Returns the envelope as one line of JSON."""
        signatures = [{"keyid": each.keyid, "sig": _base64(each.bytes)} for each in self.signatures]
        document = {
            "payload": _base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": signatures,
        }
        return canonical_json.encode(document) + b"\n"


def encoding(payload_type: str, payload: bytes) -> bytes:
    """Returns the pre-authentication encoding; its lengths count bytes, not characters."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def parse(line: str) -> Envelope:
    """Returns the envelope that a line of JSON holds; keys unknown to DSSE are passed over.

    Raises: ValueError, saying what is wrong with it.
    """
    document = _object(strict_json(line), "the envelope")
    signatures = document.get("signatures")
    if not isinstance(signatures, list) or not signatures:
        raise ValueError("signatures: expected one or more")
    made = tuple(_signature(_object(each, "a signature")) for each in signatures)
    return Envelope(_bytes(document, "payload"), made, _text(document, "payloadType"))


def _signature(document: dict[str, Any]) -> Signature:
    keyid = _text(document, "keyid") if "keyid" in document else ""
    return Signature(keyid, _bytes(document, "sig"))


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    return value


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: expected a text")
    return value


def _bytes(document: dict[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(_text(document, key).translate(_STANDARD), validate=True)
    except ValueError as error:
        raise ValueError(f"{key}: expected base64: {error}") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

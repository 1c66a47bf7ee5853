"""Keeps secrets out of text that is stored."""

import base64
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 4  # a shorter value would blot out ordinary words


def redact(text: str, secrets: Iterable[str]) -> str:
    """Returns `text` without the secrets, raw, url-encoded or in base64."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            for form in _forms(secret):
                text = text.replace(form, "[redacted]")
    return text


def _forms(secret: str) -> list[str]:
    raw = secret.encode()
    encoded = [base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()]
    forms = {secret, quote(secret, safe=""), *encoded, *(text.rstrip("=") for text in encoded)}
    return sorted(forms, key=len, reverse=True)

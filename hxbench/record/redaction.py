"""Keeps secrets out of what is stored. Standard library only: the load worker uses it."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

Mask = Callable[[bytes], bytes]
SHORTEST = 4  # a shorter value would blot out ordinary words
_URLSAFE = str.maketrans("+/", "-_")


def redact(text: str, secrets: Iterable[str]) -> str:
    """Returns `text` without the secrets: raw, in JSON, url-encoded, or anywhere inside base64."""
    for form in _all_forms(secrets):
        text = text.replace(form, "[redacted]")
    return text


def masking(secrets: Iterable[str]) -> Mask:
    """Returns what puts x in the place of each byte of a secret, so that lengths stay as they were."""
    forms = [re.escape(form.encode()) for form in _all_forms(secrets)]
    if not forms:
        return lambda data: data
    pattern = re.compile(b"|".join(forms))
    return lambda data: pattern.sub(lambda found: b"x" * len(found[0]), data)


def longest(secrets: Iterable[str]) -> int:
    """Returns how many bytes the longest form of a secret has, 0 without one."""
    return max((len(form.encode()) for form in _all_forms(secrets)), default=0)


def _all_forms(secrets: Iterable[str]) -> list[str]:
    return [form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)]


def _forms(secret: str) -> list[str]:
    texts = {secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")}
    return sorted(texts | set(_in_base64(secret.encode())), key=len, reverse=True)


def _in_base64(raw: bytes) -> Iterator[str]:
    """Yields how `raw` looks in base64 whatever stands before and after it: three ways, two alphabets."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        whole = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]  # only what no neighbour changes
        yield from (whole, whole.translate(_URLSAFE))

"""The credentials in a request, and what tells one caller from another.

A provider looks at one of the headers that carry a credential, and which one is not known here. So where several hold
different ones, none of them alone is the caller: all of them together are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from starlette.datastructures import Headers

from headroom.grants import Grant
from headroom.limits import keys

Given = Sequence[tuple[str, str]]  # names and values; a Bearer token is called that, without its scheme

CARRIERS = frozenset((b"x-api-key", b"api-key", b"authorization", b"x-goog-api-key"))
_BEARER = "bearer"
_ORDER = ("x-api-key", "api-key", _BEARER, "authorization", "x-goog-api-key")
_TELLING = _ORDER[:3]  # a caller with none of these is nobody in particular
_MOST = 16_384  # longer than any provider's token
_SHARES = "hr:"  # begins every owner that a key names, and none that a credential does


def given(headers: Headers) -> Given:
    """Every credential, also of a header that stands twice, in an order that does not depend on that of the headers."""
    found: list[tuple[str, str]] = []
    for raw, value in headers.raw:
        if raw in CARRIERS:
            name, text = raw.decode(), value.decode("latin-1")
            scheme, _, token = text.partition(" ")
            if raw == b"authorization" and scheme.lower() == _BEARER:
                name, text = _BEARER, token
            if text := text.strip()[:_MOST]:
                found.append((name, text))
    return sorted(found, key=lambda one: _ORDER.index(one[0])) if len(found) > 1 else found


def owner(found: Given) -> str:
    """What a caller without a key of ours owns things by, to be hashed; empty for nobody in particular.

    The value itself where there is but one, whatever carries it.
    """
    first = next((value for name, value in found if name in _TELLING), "")
    if not first or (all(value == first for _, value in found) and not first.startswith(_SHARES)):
        return first
    return json.dumps(found)


def owner_by(grant: Grant) -> str:
    """The same of a caller with a key: what the key shares with."""
    if grant.share == "team" and grant.team:
        return f"{_SHARES}team:{grant.team}"
    if grant.share == "user" and grant.user:
        return f"{_SHARES}user:{grant.user}"
    return f"{_SHARES}key:{grant.hash}"


def own_key(headers: Headers, found: Given) -> str:
    """The key of ours in a request, wherever it stands, or an empty string."""
    values = (headers.get("x-headroom-api-key", "").strip(), *(value for _, value in found))
    return next((word for value in values for word in (value, last_word(value)) if word.startswith(keys.PREFIX)), "")


def tokens(headers: Headers, found: Given) -> list[str]:
    """What may be a token of an identity provider."""
    values = [value for name, value in found if name in (_BEARER, "authorization")]
    return [last_word(value) for value in (headers.get("x-headroom-api-key", ""), *values)]


def last_word(value: str) -> str:
    """A credential without its scheme."""
    return value.strip().rpartition(" ")[2]

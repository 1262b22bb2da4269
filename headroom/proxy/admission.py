"""Who is asking, and may they: headers -> Caller.

With open access (loopback) everything belongs to one owner. Otherwise the keyed hash of the
provider credential is the owner, so that nobody reads what another credential stored, and the
credential itself is kept nowhere.
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.datastructures import Headers

from headroom.errors import Forbidden, Unauthorized
from headroom.model import LOCAL, Caller
from headroom.settings import Settings

ANONYMOUS = Caller("")
_MAX_CREDENTIAL = 16_384  # longer than any provider's token


def credential(headers: Headers) -> str:
    """The provider credential of a request, or an empty string."""
    bearer = headers.get("authorization", "")
    kind, _, token = bearer.partition(" ")
    value = headers.get("x-api-key") or headers.get("api-key") or (token if kind.lower() == "bearer" else "")
    return value.strip()[:_MAX_CREDENTIAL]


def identify(headers: Headers, settings: Settings, salt: bytes) -> Caller:
    """The owner of what this request stores and retrieves; ANONYMOUS without a credential."""
    if settings.open_access:
        return LOCAL
    secret = credential(headers)
    if not secret:
        return ANONYMOUS
    return Caller(hmac.new(salt, secret.encode(), hashlib.sha256).hexdigest()[:32])


def known(caller: Caller) -> Caller:
    """Raises Unauthorized for a caller who gave no credential."""
    if caller == ANONYMOUS:
        raise Unauthorized("Originals belong to the credential that stored them: send it as x-api-key or Authorization: Bearer.")
    return caller


def admit_operator(headers: Headers, settings: Settings) -> None:
    """Operator routes are open on loopback; elsewhere they want the admin key."""
    if settings.open_access:
        return
    if not settings.access.admin_key:
        raise Forbidden("Operator routes are closed off loopback: set HEADROOM_ADMIN_KEY on the server and send it as a Bearer token.")
    if not hmac.compare_digest(credential(headers).encode(), settings.access.admin_key.encode()):
        raise Unauthorized("Send the admin key (HEADROOM_ADMIN_KEY on the server) as Authorization: Bearer.")

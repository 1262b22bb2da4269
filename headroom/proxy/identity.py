"""Tokens of an identity provider (JWT) in place of keys of ours: signature, issuer, audience and time are checked, claims say who.

Only public-key signatures count. The provider's keys come from a file or URL of the settings, never from a token; they are
read again after a while, and at once (but seldom) for a key nobody has seen. A token with a known key does not wait for that, unless
nobody asked for so long that the key may have been taken back since.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import re
import time
from pathlib import Path
from typing import Any

import httpx

from headroom.errors import Forbidden, IdentityUnavailable, SettingsError, Unauthorized
from headroom.grants import Grant
from headroom.settings import AccessSettings

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_OLD_S = 300.0  # then the keys are read again, beside the requests
_STALE_S = 3600.0  # then they are read before one of them counts
_UNKNOWN_S = 10.0  # for a key nobody has seen they are read again at most so often
_LEEWAY_S = 30.0
_TIMEOUT_S = 5.0
_CHARS = 16_000
_NAME = re.compile(r"[\w.@+-]{1,100}")
_log = logging.getLogger(__name__)


class Tokens:
    """Raises SettingsError when the settings name keys but neither issuer nor audience, or a file that holds none."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._keys: dict[str, Any] = {}
        self._read_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        if not settings.jwt_keys:
            return
        if not settings.jwt_issuer or not settings.jwt_audience:
            raise SettingsError(
                "access.jwt_keys: wants access.jwt_issuer and access.jwt_audience too, or any token of the provider would do"
            )
        try:
            import jwt  # noqa: F401
        except ModuleNotFoundError:
            raise SettingsError("access.jwt_keys needs PyJWT: pip install 'headroom[identity]'") from None
        if not _is_url(settings.jwt_keys):
            try:
                self._keys = _from_file(settings.jwt_keys)
            except (OSError, ValueError) as failure:
                raise SettingsError(f"access.jwt_keys: {settings.jwt_keys} cannot be read: {failure}") from None
            self._read_at = time.monotonic()

    def takes(self, token: str) -> bool:
        """Whether this looks like a token of the provider's."""
        return bool(self._settings.jwt_keys) and token.startswith("eyJ") and token.count(".") == 2

    async def grant(self, token: str) -> Grant:
        """Who the token says, with the limits of everybody and those of the team. Raises Unauthorized, Forbidden, IdentityUnavailable."""
        import jwt

        settings = self._settings
        if len(token) > _CHARS:
            raise Unauthorized("The token is too long.")
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=settings.jwt_audience,
                issuer=settings.jwt_issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", settings.jwt_user_claim]},
            )
        except jwt.PyJWTError as failure:
            raise Unauthorized(f"The token is not good: {type(failure).__name__}. Sign in again.") from None
        user, team = str(claims[settings.jwt_user_claim]), claims.get(settings.jwt_team_claim, "")
        if not isinstance(team, str) or (team and not _NAME.fullmatch(team)):
            raise Forbidden(f"The token's claim {settings.jwt_team_claim} must be the name of one team.")
        owner = hashlib.sha256(json.dumps(["jwt", settings.jwt_issuer, user]).encode()).hexdigest()
        return Grant(hash=owner, user=user if _NAME.fullmatch(user) else "", team=team)

    async def _key(self, kid: str) -> Any:
        found, age = self._known(kid), time.monotonic() - self._read_at
        if age > _OLD_S or (found is None and (self._reading or age > _UNKNOWN_S)):
            reading = self._read_again()
            if found is None or age > _STALE_S:
                await asyncio.shield(reading)
                found = self._known(kid)
        if not self._keys:
            raise IdentityUnavailable("The keys of the identity provider cannot be read just now; try again.")
        if found is None:
            raise Unauthorized("The token is signed with a key that the identity provider does not name.")
        return found

    def _known(self, kid: str) -> Any:
        return self._keys.get(kid) if kid else next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _read_again(self) -> asyncio.Task[None]:
        """One at a time; who needs it waits for the same."""
        if self._reading is None:
            self._read_at = time.monotonic()
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        """What cannot be read leaves the keys as they were."""
        source = self._settings.jwt_keys
        try:
            if _is_url(source):
                async with asyncio.timeout(_TIMEOUT_S), httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                    self._keys = _parsed((await client.get(source)).raise_for_status().json())
            else:
                self._keys = await asyncio.to_thread(_from_file, source)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as failure:
            _log.warning("the keys of the identity provider cannot be read: %s", str(failure) or type(failure).__name__)
            if not self._keys:
                self._read_at = -math.inf
        finally:
            self._reading = None


def _is_url(source: str) -> bool:
    return source.startswith(("https://", "http://"))


def _from_file(path: str) -> dict[str, Any]:
    return _parsed(json.loads(Path(path).expanduser().read_bytes()))


def _parsed(document: Any) -> dict[str, Any]:
    """Public keys by their id. Raises ValueError when there is none."""
    import jwt

    try:
        keys = jwt.PyJWKSet.from_dict(document).keys
    except (jwt.PyJWTError, AttributeError, TypeError) as failure:
        raise ValueError(f"no set of keys (JWKS): {failure}") from None
    return {key.key_id or "": key for key in keys if key.public_key_use in (None, "sig")}

"""Tokens of an identity provider: who they name, which are refused, and that its keys may change or be gone for a while."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headroom.ccr import marker
from headroom.errors import SettingsError
from headroom.proxy.identity import Tokens
from headroom.settings import AccessSettings, Settings
from tests.provider import Provider, Script
from tests.proxy.faces import HTTP, anthropic_turns, asking, serving, settings_for

HELLO = asking([{"role": "user", "content": "hello"}])
GOOD = {"iss": "https://id.example", "aud": "headroom", "sub": "ada|1", "team": "data", "exp": 4_000_000_000}
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("one", "two")}


def jwks(*names: str) -> str:
    keys = [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEYS[name].public_key())) | {"kid": name, "use": "sig"} for name in names]
    return json.dumps({"keys": keys})


def signed(kid: str = "one", **claims: Any) -> dict[str, str]:
    payload = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    return {"authorization": "Bearer " + jwt.encode(payload, KEYS[kid], "ES256", headers={"kid": kid})}


@pytest.fixture
def settings(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-upstream")
    file = tmp_path / "keys.json"
    file.write_text(jwks("one"))
    access = {"jwt_keys": str(file), "jwt_issuer": GOOD["iss"], "jwt_audience": "headroom"}
    limits = {"teams": {"small": {"rpm": 1}}}
    return settings_for(provider, tmp_path / "home", access=access, limits=limits)


def test_a_token_says_who_and_never_reaches_the_provider(provider: Provider, settings: Settings) -> None:
    with serving(settings) as url:
        body = asking(anthropic_turns(1))
        assert HTTP.post(f"{url}/v1/messages", json=body, headers=signed()).status_code == 200
        seen = provider.requests[-1]
        assert (seen.header("x-api-key"), seen.header("authorization")) == (["sk-upstream"], [])
        digest = next(marker.hashes(seen.body.decode()))
        assert HTTP.get(f"{url}/v1/retrieve/{digest}", headers=signed(exp=time.time() + 60)).status_code == 200
        assert HTTP.get(f"{url}/v1/retrieve/{digest}", headers=signed(sub="eve")).status_code == 404
        statuses = [HTTP.post(f"{url}/v1/messages", json=HELLO, headers=signed(sub=f"u{n}", team="small")).status_code for n in range(3)]
        assert statuses == [200, 429, 429]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"iss": "https://evil.example"}, 401),
        ({"aud": "other"}, 401),
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"sub": None}, 401),
        ({"nbf": 4_000_000_000}, 401),
        ({"team": ["a", "b"]}, 403),
        ({"team": "a/../b"}, 403),
    ],
)
def test_a_token_that_is_not_good_is_refused(provider: Provider, settings: Settings, claims: dict[str, Any], status: int) -> None:
    with serving(settings) as url:
        assert HTTP.post(f"{url}/v1/messages", json=HELLO, headers=signed(**claims)).status_code == status
    assert provider.requests == []


def test_a_forged_token_is_refused(provider: Provider, settings: Settings) -> None:
    public = KEYS["one"].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    forged = [
        jwt.encode(GOOD, None, "none", headers={"kid": "one"}),
        jwt.encode(GOOD, public, "HS256", headers={"kid": "one"}),
        jwt.encode(GOOD, KEYS["two"], "ES256", headers={"kid": "one"}),
        jwt.encode(GOOD, KEYS["two"], "ES256", headers={"kid": "two", "jku": "http://evil.example"}),
        "eyJ.eyJ.x",
        "eyJ" + "x" * 20_000 + "..",
    ]
    with serving(settings) as url:
        for token in forged:
            assert HTTP.post(f"{url}/v1/messages", json=HELLO, headers={"authorization": f"Bearer {token}"}).status_code == 401
        assert HTTP.post(f"{url}/v1/messages", json=HELLO).status_code == 401
    assert provider.requests == []


def test_keys_from_a_url(provider: Provider, settings: Settings) -> None:
    access = {**settings.access.model_dump(), "jwt_keys": f"{provider.url}/jwks"}
    with serving(Settings.model_validate({**settings.model_dump(), "access": access})) as url:
        provider.script(Script(status=500))
        gone = HTTP.post(f"{url}/v1/messages", json=HELLO, headers=signed())
        assert (gone.status_code, gone.headers["retry-after"]) == (503, "5")
        provider.script(Script(headers=(("content-type", "application/json"),), body=jwks("one").encode()))
        assert HTTP.post(f"{url}/v1/messages", json=HELLO, headers=signed()).status_code == 200
        assert HTTP.post(f"{url}/v1/messages", json=HELLO, headers=signed("two")).status_code == 401
    assert [request.target for request in provider.requests].count("/jwks") == 2


@pytest.mark.parametrize(
    ("access", "says"),
    [
        ({"jwt_keys": "/nowhere/keys.json", "jwt_issuer": "i", "jwt_audience": "a"}, "cannot be read"),
        ({"jwt_keys": "https://id.example/keys", "jwt_issuer": "i"}, "jwt_audience"),
    ],
)
def test_settings_that_would_let_everybody_in_stop_the_start(access: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Tokens(AccessSettings(**access))

"""Tokens of an identity provider: who they name, which are refused, and that its keys may change or be gone for a while."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headroom.ccr import marker
from headroom.errors import SettingsError, Unauthorized
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


class Keys:
    """A server of keys that answers when `answering` is set; counts how often it was asked."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ("one",)
        self.asked = asyncio.Semaphore(0)
        self.calls = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.calls += 1
        self.asked.release()
        await self.answering.wait()
        body = jwks(*self.names).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        writer.close()


def with_keys(work: Callable[[Keys, Tokens], Awaitable[None]]) -> None:
    async def run() -> None:
        keys = Keys()
        server = await asyncio.start_server(keys.answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
        async with server:
            await work(keys, Tokens(AccessSettings(jwt_keys=url, jwt_issuer=GOOD["iss"], jwt_audience="headroom")))

    asyncio.run(run())


def token(kid: str) -> str:
    return signed(kid)["authorization"].removeprefix("Bearer ")


def test_a_token_with_a_known_key_does_not_wait_for_one_with_an_unknown_key() -> None:
    async def work(keys: Keys, tokens: Tokens) -> None:
        assert (await tokens.grant(token("one"))).team == "data"
        await keys.asked.acquire()
        keys.answering.clear()
        tokens._read_at -= 11
        unknown = asyncio.create_task(tokens.grant(token("two")))
        await keys.asked.acquire()
        assert (await tokens.grant(token("one"))).team == "data"
        assert not unknown.done()
        keys.answering.set()
        with pytest.raises(Unauthorized, match="does not name"):
            await unknown

    with_keys(work)


def test_old_keys_are_read_again_beside_the_requests_and_stale_ones_before() -> None:
    async def work(keys: Keys, tokens: Tokens) -> None:
        await tokens.grant(token("one"))
        await keys.asked.acquire()
        keys.names = ("two",)
        keys.answering.clear()
        tokens._read_at -= 301
        await tokens.grant(token("one"))
        new = asyncio.create_task(tokens.grant(token("two")))
        await keys.asked.acquire()
        keys.answering.set()
        assert (await new).team == "data"
        with pytest.raises(Unauthorized):
            await tokens.grant(token("one"))
        keys.names = ("one",)
        tokens._read_at -= 3601
        with pytest.raises(Unauthorized):
            await tokens.grant(token("two"))

    with_keys(work)


def test_those_who_wait_for_keys_wait_for_the_same() -> None:
    async def work(keys: Keys, tokens: Tokens) -> None:
        keys.answering.clear()
        waiting = [asyncio.create_task(tokens.grant(token("one"))) for _ in range(20)]
        await keys.asked.acquire()
        waiting[0].cancel()
        keys.answering.set()
        assert [grant.team for grant in await asyncio.gather(*waiting[1:])] == ["data"] * 19
        assert keys.calls == 1

    with_keys(work)


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

"""What a key reaches of the provider's account that pays for it: models, and what its routes name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom.backends.paths import names_more
from headroom.settings import Settings
from tests.provider import Provider
from tests.proxy.faces import HTTP, asking, serving, settings_for
from tests.proxy.test_keys import bearer, make

ANTHROPIC = {"anthropic-version": "2023-06-01"}
HELLO = asking([{"role": "user", "content": "hello"}])
OF_THE_ACCOUNT = (
    ("GET", "/v1/files"),
    ("DELETE", "/v1/files/file-1"),
    ("POST", "/v1/files"),
    ("POST", "/v1/batches"),
    ("GET", "/v1/chat/completions"),
    ("GET", "/v1/chat/completions/chatcmpl-1/messages"),
    ("GET", "/v1/responses"),
    ("GET", "/v1/conversations/conv_1/items"),
    ("GET", "/v1/organization/admin_api_keys"),
    ("POST", "/v1/realtime/client_secrets"),
    ("DELETE", "/v1/models/ft:gpt-4o:org::abc"),
    ("GET", "/v1/%66iles"),
    ("GET", "//v1/files"),
    ("GET", "/v1/models;/files"),
    ("POST", "/v1/chat/completions%23/count_tokens"),
    ("GET", "/"),
)
OF_ANTHROPICS = (("GET", "/v1/messages/batches"), ("POST", "/v1/messages/batches"), ("GET", "/v1/messages/batches/b1/results"))
USED = (
    ("GET", "/v1/models"),
    ("GET", "/v1/models/ft:gpt-4o:org::abc"),
    *(("POST", f"/v1/{path}") for path in ("embeddings", "completions", "moderations", "images/edits", "audio/speech")),
    *(("POST", f"/v1/responses/{path}") for path in ("compact", "input_tokens", "resp_1/cancel")),
    *(("GET", f"/v1/responses/{path}") for path in ("resp_1", "resp_1/input_items?limit=2")),
    ("DELETE", "/v1/responses/resp_1"),
)


@pytest.fixture
def settings(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("ANTHROPIC", "OPENAI", "TEAMS"):
        monkeypatch.setenv(f"OUR_{name}", f"sk-our-{name.lower()}")
    access = {"callers": "keys", "admin_key": "admin-secret"}
    limits = {"anthropic_key": "OUR_ANTHROPIC", "openai_key": "OUR_OPENAI"}
    return settings_for(provider, tmp_path / "home", access=access, limits=limits)


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with serving(settings) as url:
        yield url


def asked(url: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    as_it_is = {"target": path.encode()}
    answer = HTTP.request(method, url, json=HELLO if method == "POST" else None, headers=headers, extensions=as_it_is)
    return answer.status_code, answer.json() if answer.status_code >= 400 else {}


@pytest.mark.parametrize(
    "wanted", [{}, {"openai_key": "OUR_TEAMS", "anthropic_key": "OUR_TEAMS"}, {"routes": ["*"]}, {"routes": ["/v1/*"]}]
)
def test_what_others_keep_in_the_account_is_not_reached(url: str, provider: Provider, wanted: dict[str, Any]) -> None:
    key = bearer(make(url, **wanted)["key"])
    for method, path in OF_THE_ACCOUNT:
        status, told = asked(url, method, path, key)
        assert status == 403, (method, path)
        assert "type" not in told  # as OpenAI says it
    for method, path in OF_ANTHROPICS:
        status, told = asked(url, method, path, key | ANTHROPIC)
        assert (status, told["type"], told["error"]["type"]) == (403, "error", "permission_error"), path
        assert "naming it in the key's `routes`" in told["error"]["message"]
    assert provider.requests == []


@pytest.mark.parametrize("wanted", [{}, {"routes": ["/v1/*"]}])
def test_models_are_used(url: str, provider: Provider, wanted: dict[str, Any]) -> None:
    key = bearer(make(url, **wanted)["key"])
    for method, path in USED:
        assert asked(url, method, path, key)[0] == 200, (method, path)
    assert [(request.method, request.target) for request in provider.requests] == list(USED)
    assert {*(value for request in provider.requests for value in request.header("authorization"))} == {"Bearer sk-our-openai"}
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert asked(url, "POST", path, key | ANTHROPIC)[0] == 200
        assert provider.requests[-1].header("x-api-key") == ["sk-our-anthropic"]


def test_a_key_reaches_what_its_routes_name(url: str, provider: Provider) -> None:
    key = bearer(make(url, routes=["/v1/files*", "/v1/messages*", "/v1/messages/batches*", "/v1/chat/completions*"])["key"])
    for method, path in (("GET", "/v1/files?limit=9"), ("POST", "/v1/files"), ("DELETE", "/v1/files/file-1")):
        assert asked(url, method, path, key)[0] == 200
    assert asked(url, "GET", "/v1/messages/batches", key | ANTHROPIC)[0] == 200
    forwarded = len(provider.requests)
    for method, path in (("GET", "/v1/chat/completions"), ("GET", "/v1/files/%2e%2e/batches"), ("GET", "/v1/batches")):
        assert asked(url, method, path, key)[0] == 403
    assert "credential of your own" in asked(url, "GET", "/v1/chat/completions", key)[1]["error"]["message"]
    assert len(provider.requests) == forwarded
    wide = bearer(make(url, routes=["/v1/messages*"])["key"])  # names the counts of tokens, and means no batches
    assert asked(url, "POST", "/v1/messages/count_tokens", wide | ANTHROPIC)[0] == 200
    assert asked(url, "GET", "/v1/messages/batches", wide | ANTHROPIC)[0] == 403


def test_with_a_credential_of_its_own_a_caller_asks_what_it_likes(provider: Provider, tmp_path: Path) -> None:
    """Beside a key, where the server has none for it."""
    with serving(settings_for(provider, tmp_path, access={"callers": "keys", "admin_key": "admin-secret"})) as url:
        own = {"x-headroom-api-key": make(url)["key"], "authorization": "Bearer sk-of-my-own"}
        assert asked(url, "GET", "/v1/files", own)[0] == 200
        assert provider.requests[-1].header("authorization") == ["Bearer sk-of-my-own"]


@pytest.mark.parametrize(
    ("pattern", "more"),
    [
        *((pattern, False) for pattern in ("*", "/v1*", "/v1/m?ssages/batches", "/v1/messages*", "/v1/messages/*", "/v1/models/*")),
        *((pattern, False) for pattern in ("/v1/chat/completions", "/v1/chat*", "/v1/responses*", "/v1/embeddings", "[/]v1/files")),
        *((pattern, True) for pattern in ("/v1/files", "/v1/files*", "/v1/messages/batches*", "/v1/chat/completions/*", "/v1/batches/b?")),
    ],
)
def test_which_patterns_name_more(pattern: str, more: bool) -> None:
    assert names_more(pattern) is more

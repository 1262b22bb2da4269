"""What a key reaches of the provider's account that pays for it: models, and what its routes name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom.backends.paths import leads_elsewhere, names_more
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
    ("POST", "/v1/embeddings%23/count_tokens"),
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


MISSPELT = (
    *("//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "/v1/./chat/completions", "/V1/chat/Completions"),
    *("/v1/x/../chat/completions", "/v1/x/%2e%2e/chat/completions", "/v1/x/..;/chat/completions", "/v1/chat%5ccompletions"),
    *("/v1/chat/completions%23/count_tokens", "/v1/chat/completions%3F/count_tokens", "/v1/chat;a=b/completions;/", "/v1/responses%20"),
    *("/v1/chat%252Fcompletions", "/v1/chat/completions%00", "/v1/messages/", "/openai/deployments/d/chat/completions/"),
    *("/openai//v1/responses", "//model/anthropic.claude/invoke", "/projects/p/locations/l/publishers/anthropic/models/m:rawPredict/"),
)


@pytest.mark.parametrize("callers", ["open", "credential"])
def test_what_is_counted_does_not_pass_unread_under_another_spelling(provider: Provider, tmp_path: Path, callers: str) -> None:
    with serving(settings_for(provider, tmp_path, access={"callers": callers})) as url:
        for path in MISSPELT:
            status, told = asked(url, "POST", path, {"authorization": "Bearer sk-of-my-own"})
            assert status == 400, path
            assert "send POST to exactly that path" in told["error"]["message"]
        for method in ("PUT", "PATCH", "post"):
            assert asked(url, method, "/v1/messages", ANTHROPIC)[0] in (400, 405)
        assert provider.requests == []
        for method, path in (("GET", "/v1/chat/completions/"), ("POST", "/v1/messages/batches"), ("POST", "/v1/chat/completions/x")):
            assert asked(url, method, path, {})[0] == 200


def test_only_the_count_of_tokens_itself_needs_no_model(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path, access={"callers": "keys", "admin_key": "admin-secret"})) as url:
        own = {"x-headroom-api-key": make(url, models=["claude-*"])["key"], "x-api-key": "sk-of-my-own"}
        assert asked(url, "POST", "/v1/messages/count_tokens", own)[0] == 200
        for path in ("/v1/embeddings/count_tokens", "/v1/embeddings%23/count_tokens", "/v1/messages/count_tokens/", "/count_tokens"):
            assert asked(url, "POST", path, own)[0] == 403
        assert len(provider.requests) == 1


def test_policies_hold_for_an_unread_path_however_it_is_spelt(provider: Provider, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("rules: [{name: small, match: {route: /v1/embeddings*}, set: {models: [small]}}]")
    with serving(settings_for(provider, tmp_path / "home", policies=file)) as url:
        for path in ("/v1/embeddings", "//v1/embeddings/", "/V1/embeddings", "/v1/embeddings%23/count_tokens", "/v1/x/..;/embeddings"):
            assert asked(url, "POST", path, {})[0] == 403, path
        assert provider.requests == []


@pytest.mark.parametrize("path", ["/v1/..;/files", "/v1/%252e%252e/files", "/v1/x/..%5Cfiles", "/v1/.%20/files"])
def test_dots_are_found_behind_what_hides_them(path: str) -> None:
    assert leads_elsewhere(path)
    assert not leads_elsewhere("/v1/models/a..b%3Fx")

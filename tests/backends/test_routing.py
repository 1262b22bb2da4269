"""Which backend a call goes to, who stands in for whom, and that nothing starts which could not work."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headroom.backends import BACKENDS
from headroom.cli.doctor import backends
from headroom.cli.main import main
from headroom.errors import SettingsError
from headroom.proxy.routing import Backends
from headroom.settings import Settings
from tests.provider import Provider, Script, refusing_url, stand_in
from tests.proxy.faces import HTTP, serving, settings_for, stats_of

BODY: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"


def compatible(*providers: Provider | str) -> dict[str, Any]:
    """Backends a, b, c ..."""
    urls = [provider if isinstance(provider, str) else provider.url for provider in providers]
    return {name: {"kind": "openai_compatible", "url": url} for name, url in zip("abc", urls, strict=False)}


def said(first: str, model: str = "m") -> dict[str, Any]:
    return BODY | {"model": model, "messages": [{"role": "user", "content": first}]}


def test_by_route_and_model(provider: Provider, tmp_path: Path) -> None:
    with stand_in() as other, stand_in() as third:
        routes = [{"to": "a", "model": "claude-*"}, {"to": "b", "route": CHAT}]
        backends = {"named": compatible(other, third), "routes": routes}
        with serving(settings_for(provider, tmp_path, backends=backends)) as url:
            for path, model in (
                (MESSAGES, "claude-x"),
                (CHAT, "claude-x"),
                (CHAT, "gpt"),
                (MESSAGES, "m"),
                ("/v1/messages/count_tokens", "m"),
            ):
                assert HTTP.post(f"{url}{path}", json=said("hi", model), headers={"x-api-key": "k"}).status_code == 200
            assert HTTP.get(f"{url}/v1/models", headers={"x-api-key": "k"}).status_code == 200
        assert [len(one.requests) for one in (other, third, provider)] == [2, 1, 3]
        assert [request.header("x-api-key") for request in provider.requests] == [["k"]] * 3


def test_a_conversation_stays_where_it_began(provider: Provider, tmp_path: Path) -> None:
    """So that the provider's prompt cache keeps hitting; the weights divide conversations."""
    with stand_in() as other:
        backends = {"named": compatible(provider, other), "pools": {"both": {"a": 3, "b": 1}}, "use": "both"}
        with serving(settings_for("http://127.0.0.1:9", tmp_path, backends=backends)) as url:
            for number in range(40):
                for turns in (1, 2):
                    body = said(f"conversation {number}")
                    body["messages"] = [*body["messages"], {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}][
                        : 2 * turns - 1
                    ]
                    assert HTTP.post(f"{url}{MESSAGES}", json=body).status_code == 200
        where = Counter(
            (one, request.json["messages"][0]["content"]) for one in "po" for request in (provider if one == "p" else other).requests
        )
        assert set(where.values()) == {2}
        assert 18 <= sum(1 for one, _ in where if one == "p") <= 38


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_another_stands_in_before_the_answer_begins(provider: Provider, tmp_path: Path, status: int) -> None:
    with stand_in() as other:
        backends = {"named": compatible(provider, other), "pools": {"both": {"a": 1, "b": 0}}, "use": "both"}
        with serving(settings_for("http://127.0.0.1:9", tmp_path, backends=backends)) as url:
            provider.always = Script(status)
            answer = HTTP.post(f"{url}{MESSAGES}", json=BODY)
            assert answer.status_code == 200
            other.always = Script(status, body=b'{"type":"error","error":{"type":"x","message":"the last one"}}')
            last = HTTP.post(f"{url}{MESSAGES}", json=BODY)
            assert (last.status_code, last.json()["error"]["message"]) == (status, "the last one")
        assert (len(provider.requests), len(other.requests)) == (2, 2)


def test_one_that_cannot_be_reached_is_passed_over(provider: Provider, tmp_path: Path) -> None:
    backends = {"named": compatible(refusing_url(), provider), "pools": {"both": {"a": 1, "b": 0}}, "use": "both"}
    with serving(settings_for("http://127.0.0.1:9", tmp_path, backends=backends)) as url:
        assert HTTP.post(f"{url}{MESSAGES}", json=BODY).status_code == 200
        assert 'headroom_tier_degraded_total{reason="unreachable",tier="backend a"} 1.0' in metrics(url, 1)


def metrics(url: str, requests: int) -> str:
    stats_of(url, requests)
    return HTTP.get(f"{url}/metrics").text


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_the_answer(provider: Provider, tmp_path: Path, status: int) -> None:
    with stand_in() as other:
        backends = {"named": compatible(provider, other), "pools": {"both": {"a": 1, "b": 0}}, "use": "both"}
        with serving(settings_for("http://127.0.0.1:9", tmp_path, backends=backends)) as url:
            provider.always = Script(status)
            assert HTTP.post(f"{url}{MESSAGES}", json=BODY).status_code == status
        assert other.requests == []


def test_a_backend_that_fails_is_that_error_and_nobody_else_is_asked(provider: Provider, tmp_path: Path) -> None:
    """Anthropic's and OpenAI's own APIs answer at `provider`: nothing goes there."""
    with serving(settings_for(provider, tmp_path, backends={"named": compatible(refusing_url()), "use": "a"})) as url:
        for path in (MESSAGES, CHAT, "/v1/models"):
            answer = HTTP.request("GET" if path == "/v1/models" else "POST", f"{url}{path}", json=BODY)
            assert answer.status_code == 502
            assert "could not be reached" in answer.json()["error"]["message"]
    assert provider.requests == []


def test_a_policy_names_a_backend(provider: Provider, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text('rules: [{name: claude, match: {model: "claude-*", route: /v1/messages}, set: {backend: a}}]')
    with stand_in() as other, serving(settings_for(provider, tmp_path, backends={"named": compatible(other)}, policies=file)) as url:
        for path in (MESSAGES, "/v1/messages/count_tokens"):
            assert HTTP.post(f"{url}{path}", json=said("hi", "claude-x")).status_code == 200
        assert HTTP.post(f"{url}{MESSAGES}", json=BODY, headers={"x-api-key": "k"}).status_code == 200
        assert (len(other.requests), len(provider.requests)) == (2, 1)
    with pytest.raises(SettingsError, match="no backend a"), serving(settings_for(provider, tmp_path / "2", policies=file)):
        pass


NOWHERE = {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true", "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}
NOTHING_SET = {
    "anthropic": "NOT_SET_ANYWHERE is not set",
    "openai": "NOT_SET_ANYWHERE is not set",
    "azure": "AZURE_API_BASE is not set",
    "bedrock": "set --region or AWS_REGION",
    "vertex_ai": "set --region",
    "openai_compatible": "`url` is not set",
    "openrouter": "OPENROUTER_API_KEY is not set",
}


@pytest.mark.parametrize("kind", BACKENDS)
def test_without_what_it_needs_nothing_starts(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`headroom proxy` ends, and says what to set."""
    for name, value in {"HEADROOM_HOME": str(tmp_path), "HOME": str(tmp_path), **NOWHERE}.items():
        monkeypatch.setenv(name, value)
    key = {"HEADROOM_BACKEND_KEY": "NOT_SET_ANYWHERE"} if kind in ("anthropic", "openai") else {}
    ended = CliRunner().invoke(main, ["proxy", "--port", "0", "--backend", kind], env=key)
    assert ended.exit_code != 0
    assert NOTHING_SET[kind] in " ".join(ended.output.split())
    assert isinstance(ended.exception, SystemExit | SettingsError)


def test_a_process_that_cannot_start_listens_nowhere(tmp_path: Path) -> None:
    environment = {"HEADROOM_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    command = [str(Path(sys.executable).parent / "headroom"), "proxy", "--port", "0", "--backend", "openrouter"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode != 0
    assert NOTHING_SET["openrouter"] in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert "http://127.0.0.1:" not in ended.stderr


CREDENTIALS_MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "azure": ({"url": "https://x.openai.azure.com"}, "AZURE_API_KEY is not set"),
    "bedrock": ({"region": "us-east-1"}, "no AWS credentials; set AWS_ACCESS_KEY_ID"),
    "vertex_ai": ({"region": "us-east5"}, "set GOOGLE_APPLICATION_CREDENTIALS"),
}


@pytest.mark.parametrize("kind", CREDENTIALS_MISSING)
def test_without_credentials_nothing_starts(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": str(tmp_path), **NOWHERE}.items():
        monkeypatch.setenv(name, value)
    more, message = CREDENTIALS_MISSING[kind]
    with pytest.raises(SettingsError, match=message):
        Backends(Settings.model_validate({"backends": {"use": kind, **more}}))


@pytest.mark.parametrize(("kind", "module"), [("azure", "azure.identity"), ("bedrock", "botocore.session"), ("vertex_ai", "google.auth")])
def test_without_the_sdk_nothing_starts(kind: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    extra = {"vertex_ai": "vertex"}.get(kind, kind)
    with pytest.raises(SettingsError, match=rf"pip install 'headroom\[{extra}\]'"):
        Backends(Settings.model_validate({"backends": {"use": kind, "region": "us-east-1", "url": "https://h"}}))


@pytest.mark.parametrize(
    ("backends", "said"),
    [
        ({"use": "nowhere"}, "no backend or pool called nowhere"),
        ({"routes": [{"to": "nowhere"}]}, "no backend or pool called nowhere"),
        ({"named": compatible("http://h"), "pools": {"p": {"a": 1, "x": 1}}}, "backends.pools.p"),
        ({"named": compatible("http://h"), "pools": {"p": {"a": 0}}}, "above 0"),
        ({"named": {"a": {"kind": "openai_compatible", "url": "http://h", "key": "NOT_SET_ANYWHERE"}}}, "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_settings_that_cannot_work(backends: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Backends(Settings.model_validate({"backends": backends}))


def test_strangers_cannot_spend_the_servers_credential() -> None:
    backends = {"named": compatible("http://h"), "use": "a"}
    with pytest.raises(SettingsError, match="Give callers keys"):
        Backends(Settings.model_validate({"backends": backends, "host": "0.0.0.0"}))
    Backends(Settings.model_validate({"backends": backends, "host": "0.0.0.0", "access": {"callers": "open"}}))


@pytest.mark.parametrize("kind", ["anthropic", "openai", "openai_compatible"])
def test_of_a_servers_credential_callers_get_models_only(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """They are listed and used; what else the account has is neither read nor changed."""
    monkeypatch.setenv("ACCOUNT", "sk-account")
    named = {"a": {"kind": kind, "url": provider.url, "key": "ACCOUNT"}}
    models = ("/v1/models", "/v1/models/ft:gpt-4o:org::abc", "/v1/models/a%2Fb..c")
    listed = [(method, path) for method in ("GET", "HEAD") for path in models]
    used = [("POST", path) for path in ("/v1/embeddings", "/v1/moderations", "/v1/images/edits", "/v1/audio/speech")]
    used += [("GET", "/v1/responses/resp_1"), ("DELETE", "/v1/responses/resp_1"), ("POST", "/v1/responses/resp_1/cancel")]
    refused = [("DELETE", "/v1/models/ft:gpt-4o:org::abc"), ("GET", "/v1/models/../files"), ("DELETE", "/v1/models/%2e%2e/files/file-1")]
    with serving(settings_for("http://127.0.0.1:9", tmp_path, backends={"named": named, "use": "a"})) as url:
        for method, path in (*listed, *used):
            assert HTTP.request(method, f"{url}{path}", json={}, headers={"authorization": "Bearer of-a-client"}).status_code == 200
        for method, path in refused:
            as_it_is = {"target": path.encode()}  # httpx would resolve the dots
            answer = HTTP.request(method, url, headers={"authorization": "Bearer of-a-client"}, extensions=as_it_is)
            assert answer.status_code == 400
            assert f"does not take {method} /v1/models/" in answer.json()["error"]["message"]
    assert [(request.method, request.target) for request in provider.requests] == [*listed, *used]
    assert all("sk-account" in str(request.headers) and "of-a-client" not in str(request.headers) for request in provider.requests)


def test_doctor_names_each_backend_and_its_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which variable holds it, never what it holds; and what is missing."""
    named = {"router": {"kind": "openrouter"}, "ours": {"kind": "openai_compatible", "url": "http://127.0.0.1:9/v1"}}
    for name, value in {"HOME": str(tmp_path), "OPENROUTER_API_KEY": "sk-or-never-shown"}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.model_validate({"backends": {"named": {**named, "old": {"kind": "azure"}}, "use": "ours"}})
    found = list(backends(settings, offline=False))
    assert [(line.about, line.state) for line in found] == [
        ("backend", "ok"),
        ("backend", "ok"),
        ("backend", "broken"),
        ("translation", "ok"),
    ]
    assert found[0].detail == "router (openrouter) at https://openrouter.ai; credential: OPENROUTER_API_KEY"
    assert found[1].detail == "ours (openai_compatible) at http://127.0.0.1:9; credential: none"
    assert "AZURE_API_BASE is not set" in found[2].detail
    assert "never-shown" not in str(found)
    assert list(backends(Settings(), offline=False)) == []
    (note,) = backends(settings, offline=True)
    assert "router, ours, old" in note.detail
    missing = Settings.model_validate({"backends": {"named": named, "routes": [{"to": "nowhere"}], "use": "ours"}})
    assert [line.detail for line in backends(missing, offline=False) if line.state == "broken"] == [
        f"backends: there is no backend or pool called nowhere; there are {', '.join(BACKENDS)}, router, ours"
    ]

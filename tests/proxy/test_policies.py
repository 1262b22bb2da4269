"""Policies in a running proxy: by team and route, in the shadow, read again under live streams, pinned to conversations."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from headroom.ccr import marker
from headroom.errors import SettingsError, StoreUnavailable
from headroom.proxy.services import open_services
from headroom.settings import Settings
from headroom.store import open_store
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import HTTP, Inline, anthropic_turns, asking, body_of, rows, serving, settings_for, stats_of
from tests.proxy.rollouts import Conversation, await_version, rewrite

ADMIN = {"authorization": "Bearer admin-secret"}
OFF = "rules: [{name: stopped, set: {mode: off}}]"
NOTHING = "rules: []"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yaml"
    path.write_text(NOTHING)
    return path


@pytest.fixture
def settings(provider: Provider, tmp_path: Path, file: Path) -> Settings:
    return settings_for(provider, tmp_path / "home", policies=file)


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with serving(settings) as url:
        yield url


def sent(url: str, body: Any, route: str = "/v1/messages", **headers: str) -> httpx.Response:
    return HTTP.post(f"{url}{route}", json=body, headers=headers)


@pytest.mark.parametrize("route", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
def test_a_rule_decides_by_route(settings: Settings, file: Path, provider: Provider, route: str) -> None:
    file.write_text(f"rules: [{{name: quiet, match: {{route: {route}}}, set: {{mode: off}}}}]")
    with serving(settings) as url:
        for path in ("/v1/messages", "/v1/chat/completions", "/v1/responses"):
            body = body_of(path, 1)
            answer = sent(url, body, path)
            untouched = provider.requests[-1].json == body
            assert untouched == (path == route)
            assert answer.headers.get("x-headroom-skip-reason", "") == ("policy_off" if untouched else "")
            assert answer.headers["x-headroom-policy"].startswith("quiet@" if untouched else "default@")


def test_a_rule_decides_by_team_and_model(provider: Provider, settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-upstream")
    file.write_text(
        """
        rules:
          - {name: data-fine, match: {team: data, model: fine-*}, set: {mode: off}}
          - {name: data, match: {team: data}, set: {models: [fine-*, small-*]}}
        """
    )
    access = {"callers": "keys", "admin_key": "admin-secret"}
    with serving(Settings.model_validate({**settings.model_dump(), "access": access})) as url:
        wanted: list[dict[str, object]] = [{"team": "data"}, {"team": "other", "routes": ["/v1/messages", "/v1/messages/batches"]}]
        made = [HTTP.post(f"{url}/admin/keys", headers=ADMIN, json=one).json()["key"] for one in wanted]
        data, other = ({"x-api-key": key} for key in made)
        body = asking(anthropic_turns(1))
        fine, small, large = ({**body, "model": f"{name}-1"} for name in ("fine", "small", "large"))
        assert not _smaller(provider, sent(url, fine, **data))
        assert _smaller(provider, sent(url, small, **data))
        assert _smaller(provider, sent(url, fine, **other))
        forwarded = len(provider.requests)
        refused = sent(url, large, **data)
        assert refused.status_code == 403
        assert "policy data does not allow the model large-1" in refused.json()["error"]["message"]
        twice = b'{"model":"small-1","model":"large-1","messages":[{"role":"user","content":"x"}]}'
        assert HTTP.post(f"{url}/v1/messages", content=twice, headers=data).status_code == 403
        for path in ("/v1/embeddings", "/v1//messages/batches"):
            assert sent(url, small, path, **data).status_code == 403
        assert len(provider.requests) == forwarded
        assert sent(url, large, "/v1/messages/batches", **other).status_code == 200
        assert sent(url, small, "/v1/messages/count_tokens", **data).status_code == 200
        assert _smaller(provider, sent(url, large, **other))
        counted = stats_of(url, 6, headers=ADMIN)["policies"]["requests"]
        assert {name.partition("@")[0]: count for name, count in counted.items()} == {"data-fine": 1, "data": 3, "default": 2}


def _smaller(provider: Provider, answer: httpx.Response) -> bool:
    """Whether what was forwarded last is."""
    assert answer.status_code == 200
    return any(marker.hashes(provider.requests[-1].body.decode()))


def test_a_rule_decides_about_the_cache(settings: Settings, file: Path, provider: Provider) -> None:
    file.write_text("rules: [{name: fresh, match: {route: /v1/messages}, set: {cache: off}}, {name: kept, set: {cache: {sampled: true}}}]")
    with serving(settings) as url:
        for route, hits in (("/v1/messages", ["miss", "miss"]), ("/v1/chat/completions", ["miss", "hit-exact"])):
            body = {**body_of(route, 1), "temperature": 0} if hits[1] == "miss" else body_of(route, 1)
            assert [sent(url, body, route).headers["x-headroom-cache"] for _ in range(2)] == hits


def test_the_request_itself_has_the_last_word(settings: Settings, file: Path, provider: Provider) -> None:
    file.write_text("rules: [{name: quiet, set: {mode: off}}]")
    body = asking(anthropic_turns(1))
    with serving(settings) as url:
        assert _smaller(provider, sent(url, body, **{"x-headroom-mode": "optimize"}))
        assert not _smaller(provider, sent(url, body))
        file.write_text(NOTHING)
    with serving(settings) as url:
        assert not _smaller(provider, sent(url, body, **{"x-headroom-mode": "off"}))


def test_in_the_shadow_the_original_is_sent_and_what_it_would_save_is_told(
    settings: Settings, file: Path, provider: Provider, tmp_path: Path
) -> None:
    file.write_text("rules: [{name: trial, set: {mode: shadow}}]")
    usage = {"id": "x", "usage": {"input_tokens": 20_000, "output_tokens": 10}}
    provider.always = Script(headers=(("content-type", "application/json"),), body=json.dumps(usage).encode())
    body = json.dumps(asking(anthropic_turns(2), model="claude-sonnet-4-5", tools=[])).encode()
    with serving(settings) as url:
        answer = HTTP.post(f"{url}/v1/messages", content=body)
        assert provider.requests[-1].body == body
        assert (answer.headers["x-headroom-tokens-saved"], answer.headers["x-headroom-skip-reason"]) == ("0", "shadow")
        would = int(answer.headers["x-headroom-shadow-tokens-saved"])
        stats = stats_of(url, 1)
        compressed = HTTP.post(f"{url}/v1/compress", content=body).json()
        assert (compressed["tokens_saved"], compressed["skip_reason"]) == (0, "shadow")
        saved = HTTP.post(f"{url}/v1/messages", content=body, headers={"x-headroom-mode": "reversible"}).headers["x-headroom-tokens-saved"]
    assert would == int(saved) > 1000
    assert stats["tokens"]["saved"] == stats["summary"]["cost"]["total_saved_usd"] == 0
    assert (stats["shadow"]["requests"], stats["shadow"]["tokens_saved"]) == (1, would)
    assert stats["shadow"]["saved_usd"] == pytest.approx(would * 3e-6, abs=2e-6)
    table = pq.read_table(next((tmp_path / "home" / "stats").rglob("outcomes/**/*.parquet"), None))
    row = next(row for row in table.to_pylist() if row["shadow"])
    assert (row["policy"], row["tokens_saved"], row["shadow_tokens_saved"], row["mode"]) == ("trial", 0, would, "reversible")
    assert {name for name in (item["name"] for item in row["transforms"]) if name.startswith("shadow_")}


def test_a_reload_under_fifty_streams_cuts_none_and_keeps_old_conversations_as_they_were(url: str, file: Path, provider: Provider) -> None:
    old = [Conversation(number) for number in range(50)]
    provider.always = Script(hold_after=2)
    with ThreadPoolExecutor(50) as threads:
        streams = [threads.submit(talk.stream, url) for talk in old]
        provider.wait_until(lambda seen: len(seen.requests) == 50)
        before = await_version(url, "")
        rewrite(file, OFF)
        await_version(url, before)
        provider.always = Script()
        new = Conversation(50)
        assert new.complete(new.stream(url))
        assert provider.open == 50
        provider.release()
        assert all(talk.complete(stream.result(WAIT_S)) for talk, stream in zip(old, streams, strict=True))
    for talk in (*old[::10], new):
        talk.go_on()
        assert talk.complete(talk.stream(url))
    assert not _cut(new.forwarded(provider)[1])
    assert any(_cut(talk.forwarded(provider)[0]) for talk in old[::10])  # all, but where the disk stalls for longer than a request waits
    for talk in (*old[::10], new):
        first, second = talk.forwarded(provider)
        assert second.startswith(first), "a turn forwarded other bytes than the turn before"
        assert _cut(second) == _cut(first)


def _cut(body: bytes) -> bool:
    return next(marker.hashes(body.decode()), None) is not None


@pytest.mark.parametrize("route", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
def test_replicas_agree_on_what_a_conversation_began_under(
    settings: Settings, file: Path, provider: Provider, tmp_path: Path, route: str
) -> None:
    """One server has read the new policies, the other has not; what was begun at either goes on alike at both, and after a restart."""
    other = tmp_path / "other.yaml"
    other.write_text(OFF)
    later = settings.model_copy(update={"policies": other})
    with serving(settings) as one, serving(later) as two:
        for first, second, cut in ((one, two, True), (two, one, False)):
            body = [_opened(body_of(route, turns), cut) for turns in (1, 2)]
            sent(first, body[0], route)
            began = provider.requests[-1].body
            sent(second, body[1], route)
            went_on = provider.requests[-1].body
            assert went_on.startswith(began.removesuffix(b"]}"))
            assert bool(list(marker.hashes(began.decode()))) == cut
    with serving(later) as again:
        sent(again, _opened(body_of(route, 3), False), route)
        assert provider.requests[-1].body.startswith(provider.requests[-2].body.removesuffix(b"]}"))


def _opened(body: dict[str, Any], other: bool) -> dict[str, Any]:
    """The same conversation, opened by other words."""
    first = (body.get("messages") or body["input"])[0]
    first["content"] = "Something else?" if other else first["content"]
    return body


def test_conversations_that_open_alike_are_told_apart_by_their_first_answer(url: str, file: Path, provider: Provider) -> None:
    old, new = [asking([dict(message) for message in anthropic_turns(2)]) for _ in range(2)]
    new["messages"][1] = {**new["messages"][1], "content": [{"type": "text", "text": "Let me look."}, *new["messages"][1]["content"]]}
    began = sent(url, {**old, "messages": old["messages"][:3]})
    assert _smaller(provider, began)
    before = await_version(url, "")
    rewrite(file, OFF)
    await_version(url, before)
    assert not _smaller(provider, sent(url, {**new, "messages": new["messages"][:3]}))
    assert _smaller(provider, sent(url, old))
    assert not _smaller(provider, sent(url, new))


def test_what_was_pasted_into_the_opening_stays_as_it_was(url: str, file: Path, provider: Provider) -> None:
    question = {"role": "user", "content": f"How busy is node-3?\n\n```json\n{rows(3)}\n```"}
    assert _smaller(provider, sent(url, asking([question])))
    first = provider.requests[-1].body
    before = await_version(url, "")
    rewrite(file, OFF)
    await_version(url, before)
    sent(url, asking([question, {"role": "assistant", "content": "Not very."}, {"role": "user", "content": "Sure?"}]))
    assert provider.requests[-1].body.startswith(first.removesuffix(b"]}"))


def test_a_rule_without_a_pin_holds_at_once(url: str, file: Path, provider: Provider) -> None:
    assert _smaller(provider, sent(url, asking(anthropic_turns(1))))
    before = await_version(url, "")
    rewrite(file, "rules: [{name: stop, set: {mode: off}, pin: false}]")
    await_version(url, before)
    assert not _smaller(provider, sent(url, asking(anthropic_turns(2))))


def test_a_broken_file_changes_nothing_and_is_told(url: str, file: Path, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "headroom")
    version = await_version(url, "")
    for broken, says in (("rules: [{name: a, set: {mood: off}}]", "line 1: rules.0.set.mood"), (None, "cannot be read")):
        file.unlink() if broken is None else rewrite(file, broken)
        told = _until(url, lambda shown, says=says: shown["error"] and says in shown["error"])
        assert told["version"] == version
        assert told["error"] in caplog.text
        assert _smaller(provider, sent(url, asking(anthropic_turns(1))))
        assert HTTP.get(f"{url}/stats").json()["policies"]["error"] == told["error"]
    rewrite(file, NOTHING)
    assert _until(url, lambda shown: shown["error"] is None)["version"] == version


def _until(url: str, holds: Any) -> dict[str, Any]:
    end = time.monotonic() + WAIT_S
    while not holds(shown := HTTP.get(f"{url}/health").json()["policies"]):
        assert time.monotonic() < end, shown
        time.sleep(0.05)
    found: dict[str, Any] = shown
    return found


@pytest.mark.parametrize(
    ("content", "says"), [("rules:\n- name: a\n  set: {mood: x}", "line 3: rules.0.set.mood"), (None, "cannot be read")]
)
def test_a_broken_file_stops_the_start(settings: Settings, file: Path, content: str | None, says: str) -> None:
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(SettingsError, match=says):
        open_services(settings, Inline(settings))


def test_without_the_store_a_conversation_goes_on_by_the_policies_of_now(settings: Settings, file: Path, provider: Provider) -> None:
    store = open_store(settings)
    lost = dataclasses.make_dataclass("Lost", [])()

    class Losing:
        """The store, until it is lost."""

        def __getattr__(self, name: str) -> Any:
            def refuse(*_: Any, **__: Any) -> Any:
                raise StoreUnavailable("gone")

            return refuse if getattr(lost, "now", False) else getattr(store, name)

    with serving(settings, Inline(settings, store), Losing()) as url:  # type: ignore[arg-type]
        lost.now = True
        answer = sent(url, asking(anthropic_turns(1)))
        assert answer.status_code == 200
        assert provider.requests[-1].json == asking(anthropic_turns(1))
        lost.now = False


def test_what_one_key_began_under_is_nothing_to_another(
    provider: Provider, settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-upstream")
    access = {"callers": "keys", "admin_key": "admin-secret"}
    with serving(Settings.model_validate({**settings.model_dump(), "access": access})) as url:
        ada, bob = ({"x-api-key": HTTP.post(f"{url}/admin/keys", headers=ADMIN, json={}).json()["key"]} for _ in range(2))
        assert _smaller(provider, sent(url, asking(anthropic_turns(1)), **ada))
        before = await_version(url, "")
        rewrite(file, OFF)
        await_version(url, before)
        assert not _smaller(provider, sent(url, asking(anthropic_turns(1)), **bob))
        assert _smaller(provider, sent(url, asking(anthropic_turns(2)), **ada))
        assert not _smaller(provider, sent(url, asking(anthropic_turns(2)), **bob))

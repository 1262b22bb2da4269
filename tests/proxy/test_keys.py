"""Virtual keys over HTTP: their life, what they open, what they never show, and that nobody reads another's."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom.ccr import marker
from headroom.dialects import DIALECTS
from headroom.errors import SettingsError
from headroom.learning import open_learning
from headroom.limits.keys import digest
from headroom.model import Job, JobResult
from headroom.proxy.routes import own_routes
from headroom.proxy.services import open_services
from headroom.settings import Settings
from headroom.worker import Worker
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import (
    HTTP,
    Inline,
    anthropic_turns,
    asking,
    invoice_turns,
    middle,
    openai_turns,
    rows,
    serving,
    settings_for,
)

ADMIN = {"authorization": "Bearer admin-secret"}
HELLO = asking([{"role": "user", "content": "hello"}])
LEARNED = (
    "/v1/toin/stats",
    "/v1/toin/patterns",
    "/v1/telemetry",
    "/v1/telemetry/export",
    "/v1/telemetry/tools",
    "/v1/feedback",
    "/v1/feedback/list_invoices",
)
SECRETS = ("admin-secret", "sk-upstream-anthropic", "sk-upstream-openai")


@pytest.fixture
def settings(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-upstream-anthropic")
    monkeypatch.setenv("TEAM_OPENAI", "sk-upstream-openai")
    access = {"callers": "keys", "admin_key": "admin-secret"}
    return settings_for(provider, tmp_path / "home", access=access, log_file=tmp_path / "requests.jsonl")


@pytest.fixture
def url(settings: Settings, provider: Provider) -> Iterator[str]:
    with serving(settings) as url:
        yield url


def make(url: str, **wanted: Any) -> dict[str, Any]:
    made = HTTP.post(f"{url}/admin/keys", headers=ADMIN, json=wanted)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_the_whole_life_of_a_key(url: str, provider: Provider, settings: Settings) -> None:
    assert HTTP.post(f"{url}/v1/messages", json=HELLO).status_code == 401
    made = make(url, name="laptop", user="ada", team="data", rpm=1000, budget_usd=5)
    key = made["key"]
    assert key.startswith("hr-")
    assert HTTP.post(f"{url}/v1/messages", json=HELLO, headers=bearer(key)).status_code == 200
    (listed,) = HTTP.get(f"{url}/admin/keys", headers=ADMIN).json()["keys"]
    assert {**listed, "key": key} == made
    assert (listed["user"], listed["team"], listed["hash"], listed["revoked"]) == ("ada", "data", digest(key), False)
    one = HTTP.get(f"{url}/admin/keys/{made['id']}", headers=ADMIN).json()
    assert set(one["spent_usd"]) == {"this key", "team data", "all callers"}
    gone = HTTP.delete(f"{url}/admin/keys/{made['id']}", headers=ADMIN)
    assert (gone.status_code, gone.json()["revoked"]) == (200, True)
    for _ in range(2):  # a server that has not heard of it learns at once, this one within seconds
        with serving(settings) as other:
            refused = HTTP.post(f"{other}/v1/messages", json=HELLO, headers=bearer(key))
            assert refused.status_code == 401
            assert "revoked" in refused.json()["error"]["message"]
    assert HTTP.delete(f"{url}/admin/keys/key_unknown", headers=ADMIN).status_code == 404


def test_only_the_admin_key_opens_the_keys(url: str, provider: Provider, tmp_path: Path) -> None:
    key = make(url)["key"]
    for headers in ({}, bearer(key), bearer("wrong")):
        assert HTTP.get(f"{url}/admin/keys", headers=headers).status_code == 401
        assert HTTP.post(f"{url}/admin/keys", headers=headers, json={}).status_code == 401
    with serving(settings_for(provider, tmp_path / "open")) as loopback:
        assert HTTP.post(f"{loopback}/admin/keys", json={}).status_code == 403


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"rmp": 3}, "rmp"),
        ({"rpm": 0}, "rpm"),
        ({"hash": "f" * 64}, "hash"),
        ({"budget_usd": -1}, "budget_usd"),
        ({"user": "a\nb"}, "user"),
        ({"anthropic_key": "lower case"}, "anthropic_key"),
        ({"models": "claude"}, "models"),
    ],
)
def test_a_grant_that_is_none_is_refused_by_name(url: str, wanted: dict[str, Any], says: str) -> None:
    refused = HTTP.post(f"{url}/admin/keys", headers=ADMIN, json=wanted)
    assert refused.status_code == 400
    assert says in refused.json()["error"]["message"]


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key", "x-headroom-api-key"])
@pytest.mark.parametrize(("route", "forwarded"), [("/v1/messages", "x-api-key"), ("/v1/chat/completions", "authorization")])
def test_the_provider_sees_its_credential_and_never_the_key(url: str, provider: Provider, name: str, route: str, forwarded: str) -> None:
    key = make(url, openai_key="TEAM_OPENAI")["key"]
    value = f"Bearer {key}" if name == "authorization" else key
    answer = HTTP.post(f"{url}{route}", json=HELLO, headers={name: value})
    assert answer.status_code == 200
    seen = provider.requests[-1]
    secret = "sk-upstream-anthropic" if route == "/v1/messages" else "Bearer sk-upstream-openai"
    assert seen.header(forwarded) == [secret]
    assert key not in str(seen.headers)
    assert not any(secret in answer.text + str(answer.headers) for secret in SECRETS)


def test_a_key_without_a_credential_of_the_provider_says_so(url: str, provider: Provider) -> None:
    key = make(url)["key"]
    refused = HTTP.post(f"{url}/v1/chat/completions", json=HELLO, headers=bearer(key))
    assert refused.status_code == 403
    assert "credential of openai" in refused.json()["error"]["message"]
    own = {"x-headroom-api-key": key, "authorization": "Bearer sk-of-my-own"}
    assert HTTP.post(f"{url}/v1/chat/completions", json=HELLO, headers=own).status_code == 200
    assert provider.requests[-1].header("authorization") == ["Bearer sk-of-my-own"]


def test_a_key_opens_its_models_and_routes_only(url: str, provider: Provider) -> None:
    key = bearer(make(url, models=["claude-*"], routes=["/v1/messages*", "/v1/models*"])["key"])
    good = {**HELLO, "model": "claude-sonnet-4-5"}
    assert HTTP.post(f"{url}/v1/messages", json=good, headers=key).status_code == 200
    counted = HTTP.post(f"{url}/v1/messages/count_tokens", json=good, headers={**key, "anthropic-version": "2023-06-01"})
    assert counted.status_code == 200
    forwarded = len(provider.requests)
    for path, body in (
        ("/v1/messages", {**HELLO, "model": "gpt-4o"}),
        ("/v1/chat/completions", good),
        ("/v1/models/%2e%2e/chat/completions", good),
        ("/v1/messages/batches", good),
    ):
        assert HTTP.post(url + path, json=body, headers=key).status_code == 403
    twice = b'{"model":"claude-sonnet-4-5","model":"gpt-4o","messages":[{"role":"user","content":"x"}]}'
    assert HTTP.post(f"{url}/v1/messages", content=twice, headers=key).status_code == 403
    assert len(provider.requests) == forwarded


def test_a_team_shares_its_limit_and_a_key_has_its_own(provider: Provider, settings: Settings) -> None:
    limits = {"teams": {"data": {"rpm": 3}}, "rpm": 1000}
    shared = Settings.model_validate({**settings.model_dump(), "limits": limits})
    with serving(shared) as url:
        one, two = (bearer(make(url, team="data", **more)["key"]) for more in ({}, {"rpm": 1}))
        assert HTTP.post(f"{url}/v1/messages", json=HELLO, headers=two).status_code == 200
        refused = HTTP.post(f"{url}/v1/messages", json=HELLO, headers=two)
        assert "this key is 1 requests" in refused.json()["error"]["message"]
        assert [HTTP.post(f"{url}/v1/messages", json=HELLO, headers=one).status_code for _ in range(3)] == [200, 200, 429]


def test_a_team_that_is_set_while_running_is_limited_and_the_settings_win(provider: Provider, settings: Settings) -> None:
    limits = {"teams": {"fixed": {"rpm": 1000}}, "rpm": 1000}
    with serving(Settings.model_validate({**settings.model_dump(), "limits": limits})) as url:
        assert HTTP.put(f"{url}/admin/teams/data", headers=ADMIN, json={"rpm": 2, "budget_usd": 5}).json()["rpm"] == 2
        assert HTTP.put(f"{url}/admin/teams/fixed", headers=ADMIN, json={"rpm": 1}).status_code == 200
        one, two, free = (bearer(made["key"]) for made in (make(url, team="data"), make(url, team="data"), make(url, team="fixed")))
        assert [HTTP.post(f"{url}/v1/messages", json=HELLO, headers=key).status_code for key in (one, two)] == [200, 200]
        refused = HTTP.post(f"{url}/v1/messages", json=HELLO, headers=one)
        assert (refused.status_code, "team data is 2 requests" in refused.json()["error"]["message"]) == (429, True)
        assert [HTTP.post(f"{url}/v1/messages", json=HELLO, headers=free).status_code for _ in range(3)] == [200] * 3
        listed = HTTP.get(f"{url}/admin/teams", headers=ADMIN).json()["teams"]
        assert [(team["team"], team["rpm"], team["budget_usd"]) for team in listed] == [("data", 2, 5), ("fixed", 1, None)]
        assert HTTP.delete(f"{url}/admin/teams/data", headers=ADMIN).json() == {"team": "data", "removed": True}
        assert HTTP.delete(f"{url}/admin/teams/data", headers=ADMIN).status_code == 404
        for wrong in ({"rmp": 1}, {"rpm": 0}, []):
            assert HTTP.put(f"{url}/admin/teams/data", headers=ADMIN, json=wrong).status_code == 400
        for headers in ({}, one):
            assert HTTP.put(f"{url}/admin/teams/data", headers=headers, json={"rpm": 9}).status_code == 401


def test_budgets_of_key_and_team_are_charged_together(provider: Provider, settings: Settings) -> None:
    limits = {"teams": {"data": {"budget_usd": 0.02}}, "rate_limit": False}
    usage = {"id": "x", "usage": {"input_tokens": 1000, "output_tokens": 100}}
    provider.always = Script(headers=(("content-type", "application/json"),), body=json.dumps(usage).encode())
    body = {**HELLO, "model": "claude-sonnet-4-5", "max_tokens": 300}  # reserves what it will cost
    with serving(Settings.model_validate({**settings.model_dump(), "limits": limits})) as url:
        made = [make(url, team="data"), make(url, team="data"), make(url, team="other")]
        statuses = [HTTP.post(f"{url}/v1/messages", json=body, headers=bearer(made[n % 3]["key"])).status_code for n in range(30)]
        assert [status for n, status in enumerate(statuses) if n % 3 == 2] == [200] * 10
        assert statuses.count(429) > 10
    with serving(settings) as url:
        spent = [HTTP.get(f"{url}/admin/keys/{one['id']}", headers=ADMIN).json()["spent_usd"] for one in made]
    keys = [round(one["this key"], 9) for one in spent]
    assert round(keys[0] + keys[1], 9) == round(spent[0]["team data"], 9) == round(spent[1]["team data"], 9) <= 0.02
    assert round(sum(keys), 9) == round(spent[2]["all callers"], 9) == round(0.0045 * statuses.count(200), 9)


@pytest.mark.parametrize("share", ["key", "user", "team"])
def test_nobody_reads_anothers_originals(url: str, provider: Provider, share: str) -> None:
    ada, bob, eve = (make(url, user=user, team=team, share=share)["key"] for user, team in (("ada", "t1"), ("bob", "t2"), ("ada2", "t3")))
    again = make(url, user="ada", team="t1", share=share)["key"]
    body = asking(anthropic_turns(1))
    HTTP.post(f"{url}/v1/messages", json=body, headers=bearer(ada))
    digests = set(marker.hashes(provider.requests[-1].body.decode()))
    assert digests
    for hash in digests:
        assert HTTP.get(f"{url}/v1/retrieve/{hash}", headers=bearer(ada)).json()["original_content"] == rows(0)
        for stranger in (bob, eve):
            for answer in (
                HTTP.get(f"{url}/v1/retrieve/{hash}", headers=bearer(stranger)),
                HTTP.post(f"{url}/v1/retrieve", json={"hash": hash, "query": "node"}, headers=bearer(stranger)),
            ):
                assert answer.status_code == 404
                assert "node-" not in answer.text
        assert HTTP.get(f"{url}/v1/retrieve/{hash}", headers=bearer(again)).status_code == (404 if share == "key" else 200)


def test_a_marker_copied_from_another_gives_nothing(url: str, provider: Provider) -> None:
    ada, bob = bearer(make(url)["key"]), bearer(make(url, openai_key="TEAM_OPENAI")["key"])
    HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)), headers=ada)
    stolen = provider.requests[-1].json["messages"]
    secret = next(line for line in rows(0).split("},") if line not in json.dumps(stolen))
    question = {"role": "user", "content": f"Show me all nodes of {next(marker.hashes(json.dumps(stolen)))}"}
    HTTP.post(f"{url}/v1/messages", json=asking([*stolen, {"role": "assistant", "content": "ok"}, question]), headers=bob)
    assert secret not in provider.requests[-1].body.decode()
    HTTP.post(f"{url}/v1/chat/completions", json=asking(openai_turns(1)), headers=bob)
    other = set(marker.hashes(provider.requests[-1].body.decode()))
    for hash in other:
        assert HTTP.get(f"{url}/v1/retrieve/{hash}", headers=bob).status_code == 200


def test_secrets_are_in_no_file_log_or_metric(
    url: str, provider: Provider, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "headroom")
    key = make(url, user="ada", openai_key="TEAM_OPENAI")["key"]
    prompt = "the launch code is 8-1-5-1"
    body = asking([*anthropic_turns(1), {"role": "assistant", "content": "ok"}, {"role": "user", "content": prompt}])
    given = (bearer(key), bearer(key + "x"), {"x-api-key": key, "x-headroom-tag": "t"})
    paths = ("/v1/messages", "/v1/chat/completions", "/v1/nothing", "/v1/retrieve/0123456789abcdef")
    said = [HTTP.post(url + path, json={**body, "model": "m"}, headers=headers) for headers in given for path in paths]
    said += [HTTP.get(f"{url}{path}", headers=ADMIN) for path in ("/stats", "/metrics", "/health", "/admin/keys")]
    searched = "\n".join(f"{answer.headers} {answer.text}" for answer in said) + caplog.text
    hunted = (*SECRETS, key, prompt)
    assert [secret for secret in hunted if secret in searched] == []
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "requests.jsonl" for file in files)
    found = {(file.name, secret) for file in files for secret in hunted if secret.encode() in file.read_bytes()}
    assert found == set()


def test_a_long_key_and_odd_ones_are_only_wrong(url: str) -> None:
    for key in ("hr-", "hr-" + "x" * 50_000, "hr-\u00e9", "hr-../../etc/passwd", "hr-' OR 1=1 --"):
        refused = HTTP.post(f"{url}/v1/messages", json=HELLO, headers={"x-api-key": key.encode()})
        assert refused.status_code in (401, 431), key
        assert len(refused.text) < 1000


def test_keys_in_a_file(provider: Provider, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[[keys]]\nhash = "{digest("hr-from-a-file")}"\nteam = "data"\n[teams.data]\nrpm = 1\n')
    shared = Settings.model_validate({**settings.model_dump(), "access": {}, "limits": {"keys": file}})
    with serving(shared) as url:
        assert HTTP.post(f"{url}/v1/messages", json=HELLO).status_code == 401
        assert HTTP.post(f"{url}/v1/messages", json=HELLO, headers=bearer("hr-from-a-file")).status_code == 200
        assert "team data" in HTTP.post(f"{url}/v1/messages", json=HELLO, headers=bearer("hr-from-a-file")).json()["error"]["message"]
    file.write_text('[[keys]]\nhash = "short"\n')
    with pytest.raises(SettingsError, match=r"keys\.toml, line 2: keys\.0\.hash"):
        open_services(shared, Inline(shared))


PAGE = {"/dashboard", "/dashboard/", "/dashboard/{name:path}"}  # it holds no figures; they come from /dashboard/data
OPEN_TO_ALL = {"/health", "/livez", "/readyz", "/", "/openapi.json", *PAGE}


def test_every_other_route_wants_a_key_or_the_admin_key(settings: Settings, provider: Provider) -> None:
    """A route added without either fails here. What is told to one caller is of that caller, or figures."""
    own = [route for route in own_routes(open_services(settings, Inline(settings))).routes if route.path not in OPEN_TO_ALL]
    assert {"/v1/compress", "/v1/retrieve", "/stats", "/metrics", "/admin/keys", "/admin/keys/{id}"} <= {route.path for route in own}
    asked = [(method, route.path) for route in own for method in route.methods]
    asked += [("POST", path) for path in DIALECTS] + [("GET", "/v1/models"), ("POST", "/v1/embeddings"), ("PUT", "/admin/keys")]
    with serving(settings) as url:
        for method, path in asked:
            named = re.sub(r"\{[^}]*\}", "0123456789abcdef", path)
            answer = HTTP.request(method, url + named, json={**HELLO, "hash": "0123456789abcdef"})
            assert answer.status_code in (401, 403, 405), (method, path)
    assert provider.requests == []


def test_the_admin_key_never_reaches_a_provider(provider: Provider, settings: Settings) -> None:
    for callers in ("keys", "credential", "open"):
        given = Settings.model_validate({**settings.model_dump(), "access": {"callers": callers, "admin_key": "admin-secret"}})
        with serving(given) as url:
            for path in ("/v1/messages", "/admin/key", "/v1/embeddings"):
                for headers in (ADMIN, {"x-api-key": "admin-secret"}):
                    assert HTTP.post(url + path, json=HELLO, headers=headers).status_code == 401
    assert provider.requests == []


class Learning(Inline):
    """A compressor that learns, on a thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._learning = open_learning(self._store, settings)
        self._worker = Worker(self._store, None, self._learning)

    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        return await asyncio.to_thread(self._worker.run, job)

    async def close(self) -> None:
        assert self._learning
        await asyncio.to_thread(self._learning.close)
        await super().close()


def test_what_is_learned_of_one_key_is_nothing_to_another(settings: Settings, provider: Provider) -> None:
    """Neither to be seen, nor in what is forwarded; and nobody teaches for somebody else."""
    with serving(settings, Learning(settings)) as url:
        ada, bob = bearer(make(url)["key"]), bearer(make(url)["key"])

        def forwarded(seed: int, key: dict[str, str]) -> bytes:
            assert HTTP.post(f"{url}/v1/messages", json=asking(invoice_turns([seed])), headers=key).status_code == 200
            return provider.requests[-1].body

        before = forwarded(1, bob)
        for seed in range(10, 22):
            hash = next(marker.hashes(forwarded(seed, ada).decode()))
            assert HTTP.post(f"{url}/v1/retrieve", json={"hash": hash, "query": middle(seed)[5]}, headers=ada).json()["count"]
        until, fresh = time.monotonic() + WAIT_S, itertools.count(100)
        while middle(seed := next(fresh))[0].encode() not in forwarded(seed, ada):
            assert time.monotonic() < until, "nothing was learned of what was asked for again"
            time.sleep(0.2)
        assert middle(seed)[0].encode() not in forwarded(seed, bob)
        assert forwarded(1, bob) == before
        seen = {path: HTTP.get(f"{url}{path}", headers=bob).json() for path in LEARNED}
        assert seen["/v1/toin/stats"]["total_retrievals"] == seen["/v1/feedback"]["total_retrievals"] == 0
        assert all(not counts.get("asked") for counts in seen["/v1/telemetry/export"]["patterns"].values())
        own = {path: HTTP.get(f"{url}{path}", headers=ada).json() for path in LEARNED}
        assert own["/v1/feedback/list_invoices"]["hints"] != seen["/v1/feedback/list_invoices"]["hints"]
        assert all(own[path] != seen[path] for path in LEARNED)
        many = {"cut": 1_000_000, "compressed": 1_000_000}  # of which none was asked for
        taught = {"patterns": dict.fromkeys(own["/v1/telemetry/export"]["patterns"], many)}
        assert HTTP.post(f"{url}/v1/telemetry/import", json=taught, headers=bob).status_code == 200
        until = time.monotonic() + WAIT_S
        while HTTP.get(f"{url}/v1/telemetry", headers=bob).json()["total_compressions"] < 1_000_000:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert HTTP.get(f"{url}/v1/telemetry", headers=ada).json()["total_compressions"] < 1000
        assert middle(3)[0].encode() in forwarded(3, ada)


def test_of_identical_conversations_each_key_has_its_own(settings: Settings, provider: Provider) -> None:
    """Results, pinned cuts, what was left out, and who asked for it lately: nothing of the first is the second's."""
    small = Settings.model_validate({**settings.model_dump(), "context": {"windows": "tiny=6000", "output_reserve": 500}})
    with serving(small) as url:
        ada, bob, eve = (bearer(make(url)["key"]) for _ in range(3))
        turns = [asking(anthropic_turns(number), model="tiny") for number in range(8, 17)]

        def forwarded(body: Any, key: dict[str, str]) -> bytes:
            assert HTTP.post(f"{url}/v1/messages", json=body, headers=key).status_code == 200
            return provider.requests[-1].body

        his = [forwarded(turn, ada) for turn in turns][-1]
        hers = forwarded(turns[-1], bob)  # at once: her cut is her own, made with everything before her
        assert his != hers
        assert forwarded(turns[-1], ada) == his
        for body, owner in ((his, ada), (hers, bob)):
            hashes = list(dict.fromkeys(marker.hashes(body.decode())))
            assert hashes
            for hash in hashes:
                assert HTTP.get(f"{url}/v1/retrieve/{hash}", headers=owner).status_code == 200
                assert HTTP.get(f"{url}/v1/retrieve/{hash}", headers=eve).status_code == 404
        recent = {
            name: HTTP.get(f"{url}/v1/retrieve/stats", headers=key).json()["recent_retrievals"]
            for name, key in (("ada", ada), ("eve", eve))
        }
        assert recent["ada"]
        assert recent["eve"] == []

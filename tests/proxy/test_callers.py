"""Callers without a key of ours: all credentials of a request together are the caller, and one alone is what it always was."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from headroom.ccr import marker
from headroom.proxy import credentials
from headroom.store import open_store
from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, openai_turns, rows, serving, settings_for
from tests.proxy.memory import Memory
from tests.proxy.test_cache import said, settled

ADMIN = {"authorization": "Bearer boss"}
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HELLO = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
NAMES = ("x-api-key", "api-key", "authorization", "x-goog-api-key")
Fields = list[tuple[str, str]]
BESIDE: list[tuple[Fields, Fields]] = [  # two callers each
    ([("x-api-key", "none"), ("authorization", "Bearer sk-a")], [("x-api-key", "none"), ("authorization", "Bearer sk-b")]),
    ([("authorization", "Bearer none"), ("x-api-key", "sk-a")], [("authorization", "Bearer none"), ("x-api-key", "sk-b")]),
    ([("api-key", "none"), ("authorization", "Bearer sk-a")], [("api-key", "none"), ("authorization", "Bearer sk-b")]),
    ([("x-api-key", "none"), ("api-key", "sk-a")], [("x-api-key", "none"), ("api-key", "sk-b")]),
    ([("x-api-key", "none"), ("x-goog-api-key", "sk-a")], [("x-api-key", "none"), ("x-goog-api-key", "sk-b")]),
    ([("x-api-key", "none"), ("authorization", "Basic c2stYQ==")], [("x-api-key", "none"), ("authorization", "Basic c2stYg==")]),
    ([("x-api-key", "none"), ("x-api-key", "sk-a")], [("x-api-key", "none"), ("x-api-key", "sk-b")]),
    ([("x-api-key", "sk-a"), ("authorization", "Bearer sk-b")], [("x-api-key", "sk-b"), ("authorization", "Bearer sk-a")]),
    ([("x-api-key", "none"), ("authorization", "Bearer sk-a")], [("x-api-key", "none")]),
    ([("x-api-key", "none"), ("authorization", "Bearer sk-a")], [("authorization", "Bearer sk-a")]),
]


@pytest.fixture(scope="module")
def shared(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Callers told apart by their credential, and an admin."""
    access = {"callers": "credential", "admin_key": "boss"}
    with serving(settings_for(_provider, tmp_path_factory.mktemp("callers"), access=access)) as url:
        yield url


@pytest.mark.parametrize(("ada", "bob"), BESIDE)
def test_what_stands_beside_a_credential_joins_no_two_callers(shared: str, provider: Provider, ada: Fields, bob: Fields) -> None:
    """Neither in answers given before nor in originals."""
    path, turns = (MESSAGES, anthropic_turns) if ada[-1][0] == "x-api-key" else (CHAT, openai_turns)
    body = HELLO | {"temperature": 0, "messages": [{"role": "user", "content": json.dumps([ada, bob])}]}
    told = []
    for headers in (ada, bob, ada, bob):
        with settled(shared):
            told.append(said(HTTP.post(shared + path, json=body, headers=headers)))
    assert told == ["miss", "miss", "hit-exact", "hit-exact"]
    assert HTTP.post(shared + path, json=asking(turns(1)), headers=ada).status_code == 200
    (hash,) = set(marker.hashes(provider.requests[-1].body.decode()))
    assert HTTP.get(f"{shared}/v1/retrieve/{hash}", headers=ada).json()["original_content"] == rows(0)
    assert HTTP.get(f"{shared}/v1/retrieve/{hash}", headers=bob).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "sk-one"},
        {"api-key": " sk-one "},
        {"authorization": "Bearer sk-one"},
        {"authorization": "bearer  sk-one"},
        {"x-api-key": "sk-one", "authorization": "Bearer sk-one"},
        {"x-api-key": "sk-one", "x-headroom-api-key": "theirs", "cookie": "a=b"},
    ],
)
def test_one_credential_is_the_owner_it_always_was(tmp_path: Path, headers: dict[str, str]) -> None:
    """Originals and prompt caches of deployments hang on it."""
    settings = settings_for("http://provider.invalid", tmp_path, access={"callers": "credential"})
    store = open_store(settings)
    owner = hmac.new(store.secret("caller-scope"), b"sk-one", hashlib.sha256).hexdigest()[:32]
    store.close()
    memory = Memory(tmp_path, access={"callers": "credential"})
    assert memory.ask(CHAT, json.dumps(HELLO).encode(), headers).status == 200
    memory.close()
    assert [outcome.caller for outcome in memory.outcomes] == [owner]


def found(fields: Fields) -> credentials.Given:
    raw = [(name.encode(), (f"Bearer {value}" if name == "authorization" else value).encode()) for name, value in fields]
    return credentials.given(Headers(raw=raw))


values = st.text('abc[]", :-', min_size=1, max_size=4).map(str.strip).filter(bool)


fields = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=4)


@given(fields, fields)
def test_owners_are_the_same_only_where_the_credentials_are(first: Fields, second: Fields) -> None:
    """And in whatever order their headers stand."""
    owner = credentials.owner(found(first))
    if owner and owner == credentials.owner(found(second)):
        assert {value for _, value in first} == {value for _, value in second}
    if len({name for name, _ in first}) == len(first):
        assert {credentials.owner(found(list(order))) for order in itertools.permutations(first)} == {owner}


@pytest.mark.parametrize("share", ["key", "user", "team"])
def test_no_credential_reads_as_what_a_key_shares_with(shared: str, provider: Provider, share: str) -> None:
    made = HTTP.post(f"{shared}/admin/keys", headers=ADMIN, json={"user": "ada", "team": "data", "share": share})
    key = made.json()["key"]
    whose = {"key": f"hr:key:{hashlib.sha256(key.encode()).hexdigest()}", "user": "hr:user:ada", "team": "hr:team:data"}[share]
    headers = {"x-headroom-api-key": key, "x-api-key": "sk-of-ada"}
    assert HTTP.post(f"{shared}{MESSAGES}", json=asking(anthropic_turns(1)), headers=headers).status_code == 200
    (hash,) = set(marker.hashes(provider.requests[-1].body.decode()))
    assert HTTP.get(f"{shared}/v1/retrieve/{hash}", headers={"x-headroom-api-key": key}).status_code == 200
    for stranger in ({"x-api-key": whose}, {"api-key": whose}, {"authorization": f"Bearer {whose}"}):
        assert HTTP.get(f"{shared}/v1/retrieve/{hash}", headers=stranger).status_code == 404


def test_a_key_is_found_wherever_it_stands_and_goes_nowhere(shared: str, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-upstream")
    key = HTTP.post(f"{shared}/admin/keys", headers=ADMIN, json={}).json()["key"]
    ways: list[Fields] = [
        [("x-api-key", "none"), ("x-api-key", key)],
        [("x-api-key", "none"), ("authorization", f"Bearer {key}")],
        [("x-api-key", "none"), ("x-goog-api-key", key)],
        [("x-api-key", "none"), ("authorization", key)],
    ]
    for headers in ways:
        assert HTTP.post(f"{shared}{MESSAGES}", json=HELLO, headers=headers).status_code == 200
        assert provider.requests[-1].header("x-api-key") == ["sk-upstream"]
        assert key not in str(provider.requests[-1].headers)


def test_the_admin_key_beside_a_placeholder(shared: str, provider: Provider) -> None:
    """Opens what it opens, and is not sent on."""
    both = {"x-api-key": "none", **ADMIN}
    assert HTTP.get(f"{shared}/admin/keys", headers=both).status_code == 200
    for path in (MESSAGES, CHAT, "/v1/embeddings"):
        assert HTTP.post(shared + path, json=HELLO, headers=both).status_code == 401
    assert provider.requests == []

"""Figures beyond what can be counted: refused wherever they are given, and a stored one ends no listing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from headroom.errors import InvalidRequest, SettingsError
from headroom.limits import keys, teams
from headroom.settings import LimitsSettings, load
from headroom.store.sqlite import SqliteStore
from tests.proxy.faces import asking
from tests.proxy.memory import Memory

ADMIN = {"authorization": "Bearer admin-secret"}
HELLO = json.dumps(asking([{"role": "user", "content": "hello"}])).encode()
TOO_MUCH = [("rpm", "1000000000001"), ("tpm", "1000000000000000000000"), ("rpm", "Infinity"), ("budget_usd", "NaN"), ("budget_usd", "1e7")]
NO_TIME = [("expires", "Infinity"), ("expires", "NaN"), ("expires", "1e400"), ("expires", "-1"), ("expires", "1e12")]


@pytest.mark.parametrize(("name", "value"), TOO_MUCH + NO_TIME)
def test_over_http_nothing_is_stored(name: str, value: str, tmp_path: Path) -> None:
    memory = Memory(tmp_path, access={"callers": "keys", "admin_key": "admin-secret"})
    places = [("POST", "/admin/keys")] + ([("PUT", "/admin/teams/data")] if name != "expires" else [])
    for method, path in places:
        refused = memory.ask(path, f'{{"{name}": {value}}}'.encode(), ADMIN, method)
        assert (refused.status, name in json.loads(refused.body)["error"]["message"]) == (400, True)
    assert json.loads(memory.ask("/admin/keys", b"", ADMIN, "GET").body) == {"keys": []}
    assert json.loads(memory.ask("/admin/teams", b"", ADMIN, "GET").body) == {"teams": []}
    memory.close()


def test_the_largest_that_are_taken_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-upstream")
    most = {"rpm": 10**12, "tpm": 10**12, "budget_usd": 1e6}
    memory = Memory(
        tmp_path,
        access={"callers": "keys", "admin_key": "admin-secret"},
        limits={"budget": 1e9, "reserve_output_tokens": 10**9, "teams": {"data": most}},
    )
    made = memory.ask("/admin/keys", json.dumps({**most, "team": "data", "expires": 253_402_300_799}).encode(), ADMIN)
    assert made.status == 201
    key = json.loads(made.body)
    for _ in range(2):
        assert memory.ask("/v1/messages", HELLO, {"x-api-key": key["key"]}).status == 200
    assert memory.ask(f"/admin/keys/{key['id']}", b"", ADMIN, "GET").status == 200
    memory.close()


@pytest.mark.parametrize("line", ["rpm = 1000000000000000000000", "tpm = inf", "budget_usd = nan", "expires = inf", "expires = -1.0"])
def test_in_a_file(line: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[[keys]]\nhash = "{"a" * 64}"\n{line}\n')
    with pytest.raises(SettingsError, match=rf"keys.toml, line 3: keys.0.{line.partition(' ')[0]}: "):
        keys.register(LimitsSettings(keys=file))


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("HEADROOM_RPM", "1000000000001"),
        ("HEADROOM_TPM", "1000000000000000000000"),
        ("HEADROOM_BUDGET", "inf"),
        ("HEADROOM_BUDGET", "1e10"),
        ("HEADROOM_RESERVE_OUTPUT_TOKENS", "1000000000000000000000"),
        ("HEADROOM_KEYS", f'[{{"hash": "{"a" * 64}", "expires": Infinity}}]'),
        ("HEADROOM_TEAMS", '{"data": {"budget_usd": NaN}}'),
        ("HEADROOM_STORE_TTL_HOURS", "inf"),
        ("HEADROOM_CACHE_TTL_S", "1e400"),
        ("HEADROOM_CONNECT_TIMEOUT_S", "inf"),
        ("HEADROOM_IDLE_TIMEOUT_S", "inf"),
        ("HEADROOM_STATS_COMPACT_S", "inf"),
    ],
)
def test_in_the_settings(variable: str, given: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=variable):
        load(env={"HEADROOM_HOME": str(tmp_path), variable: given})


def _stored(store: SqliteStore, table: str, key: str, value: dict[str, Any]) -> None:
    assert store.swap_record(table, key, store.get_record(table, key), json.dumps(value).encode())


def test_one_record_that_cannot_be_read_ends_no_listing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(tmp_path / "s", 3600, 10**6)
    _, good = keys.create(store, {"user": "ada"})
    teams.put(store, "data", {"rpm": 5})
    _stored(store, "keys", "f" * 64, {"hash": "f" * 64, "expires": float("inf")})
    _stored(store, "teams", "odd", {"rpm": 10**21})
    with caplog.at_level(logging.WARNING):
        assert keys.listed(store) == [good]
        assert list(teams.listed(store)) == ["data"]
    assert "key_ffffffffffff is left out" in caplog.text
    assert "team odd is left out" in caplog.text
    assert keys.revoke(store, good.id).revoked
    with pytest.raises(InvalidRequest, match="rpm"):
        teams.put(store, "odd", {"rpm": 10**21})
    teams.drop(store, "odd")
    store.close()

"""Keys without a server: files that are wrong are refused by line, ten thousand keys are no trouble, a lost store forgets none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headroom.errors import NotFound, SettingsError, StoreUnavailable
from headroom.limits import keys
from headroom.settings import LimitsSettings
from headroom.store.base import Store
from headroom.store.redis import RedisStore
from headroom.store.sqlite import SqliteStore
from headroom.store.threaded import ThreadedStore
from tests.redis_server import RedisServer

GOOD = f'''# keys of our callers
[[keys]]
hash = "{"a" * 64}"
user = "ada"
budget_usd = 5

[[keys]]
hash = "{"b" * 64}"
models = ["claude-*"]

[teams.data]
rpm = 60
'''


def test_a_file_of_keys_and_teams(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(GOOD)
    register = keys.register(LimitsSettings(keys=file))
    assert register.keys["a" * 64].user == "ada"
    assert register.keys["b" * 64].models == ("claude-*",)
    assert register.teams.allowances["data"].rpm == 60


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('user = "ada"', "user = ada", 4, "not valid TOML"),
        ('user = "ada"', 'usr = "ada"', 4, "usr"),
        ("budget_usd = 5", 'budget_usd = "much"', 5, "budget_usd"),
        ('models = ["claude-*"]', 'models = "claude-*"', 9, "models"),
        (f'hash = "{"b" * 64}"', 'hash = "hr-the-key-itself"', 8, "hash"),
        (f'hash = "{"b" * 64}"\n', "", 7, "hash"),
        ("rpm = 60", "rpm = 0", 12, "rpm"),
        ("[teams.data]", "[team.data]", 11, "team"),
        ("# keys", "# \udcff keys", 1, "not UTF-8"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_bytes(GOOD.replace(old, new, 1).encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError) as refused:
        keys.register(LimitsSettings(keys=file))
    assert str(file) in refused.value.message
    assert f"line {line}" in refused.value.message
    assert says in refused.value.message
    assert "hr-the-key-itself" not in refused.value.message


def test_a_missing_file_and_a_hash_that_stands_twice(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        keys.register(LimitsSettings(keys=tmp_path / "missing.toml"))
    file = tmp_path / "keys.toml"
    file.write_text(GOOD.replace("b" * 64, "a" * 64))
    with pytest.raises(SettingsError, match="twice"):
        keys.register(LimitsSettings(keys=file))


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_ten_thousand_keys(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store: Store = SqliteStore(tmp_path / "s", 3600, 10**6)
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        store = RedisStore(server.url, 3600, 10**6, prefix=str(tmp_path))
    made = [keys.create(store, {"user": f"u{number}"}) for number in range(10_000)]
    assert len({key for key, _ in made}) == 10_000
    assert len(keys.listed(store)) == 10_000
    keys.revoke(store, made[7][1].id)

    async def find() -> None:
        ring = keys.Keyring(ThreadedStore(store), {})
        assert await ring.find(made[9_999][0]) == made[9_999][1]
        assert await ring.find(made[7][0]) is None
        assert await ring.find(made[8][0] + "x") is None

    asyncio.run(find())
    with pytest.raises(NotFound):
        keys.revoke(store, "key_none")
    store.close()


def test_a_key_seen_before_goes_on_while_the_store_is_lost_and_expires(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s", 3600, 10**6)
    now = 1_000_000.0
    key, grant = keys.create(store, {"expires": now + 50}, now)
    unseen, _ = keys.create(store, {})

    async def run() -> None:
        nonlocal now
        ring = keys.Keyring(ThreadedStore(store), {}, clock=lambda: now, memory_s=0.0)
        assert await ring.find(key) == grant
        store.close()
        assert await ring.find(key) == grant
        with pytest.raises(StoreUnavailable):
            await ring.find(unseen)
        now += 50
        assert await ring.find(key) is None

    asyncio.run(run())

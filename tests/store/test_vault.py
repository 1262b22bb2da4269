"""What lies at rest: nothing readable without the key, nothing moved to another owner, large texts elsewhere and gone in time."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from headroom.errors import Expired, SettingsError, StoreUnavailable
from headroom.learning import Learning
from headroom.limits import keys, teams
from headroom.model import Compressed, Original, content_hash
from headroom.settings import Settings
from headroom.store import open_store
from headroom.store.base import Store
from headroom.store.redis import RedisStore
from headroom.store.sqlite import SqliteStore
from headroom.store.vault import Away, Seal, Vault, key_of
from tests.redis_server import RedisServer, redis_server

TTL_S = 3600.0
KEY = bytes(range(32))
NEEDLE = "the launch code is 8-1-5-1"


def original(text: str) -> Original:
    return Original(content_hash(text), text)


def noise(seed: int, size: int) -> Original:
    return original(random.Random(seed).randbytes(size // 2).hex())


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("vault")) as server:
        yield server


Open = Callable[[Vault], Store]


@pytest.fixture(params=["sqlite", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Open]:
    stores: list[Store] = []

    def open_with(vault: Vault) -> Store:
        if request.param == "redis":
            url = request.getfixturevalue("own").url
            stores.append(RedisStore(url, TTL_S, 300_000, clock, prefix=str(tmp_path), shelves=1, vault=vault))
        else:
            stores.append(SqliteStore(tmp_path / "store.sqlite", TTL_S, 300_000, clock, vault=vault))
        return stores[-1]

    yield open_with
    for store in stores:
        store.close()


def away(path: Path) -> list[Path]:
    return sorted(file for file in (path / "away").rglob("*") if file.is_file())


def fill(store: Store) -> None:
    store.put_originals("ada", [original(NEEDLE)])
    store.put_results({"k": Compressed(NEEDLE, "log")})
    store.put_first({"f": NEEDLE.encode()})
    store.append("l", [NEEDLE.encode()])
    store.swap_record("t", "k", None, NEEDLE.encode())


def read(store: Store) -> list[str]:
    record = store.get_record("t", "k")
    assert record is not None
    result = store.get_results(["k"])["k"].text
    assert result is not None
    texts = [store.get_original("ada", content_hash(NEEDLE)).text, result]
    return [*texts, *(data.decode() for data in (store.get_first(["f"])["f"], store.read_log("l")[0].data, record))]


def test_nothing_is_readable_at_rest(opened: Open, tmp_path: Path, own: RedisServer) -> None:
    store = opened(Vault(Seal(KEY), Away(f"file://{tmp_path}/away"), above=10))
    fill(store)
    secret = store.secret("callers")
    assert read(store) == [NEEDLE] * 5
    assert opened(Vault(Seal(KEY), Away(f"file://{tmp_path}/away"))).secret("callers") == secret
    files = [file for directory in (tmp_path, own.directory) for file in directory.rglob("*") if file.is_file()]
    assert away(tmp_path)
    assert [file for file in files if NEEDLE.encode() in file.read_bytes() or secret in file.read_bytes()] == []


@pytest.mark.parametrize("key", [None, bytes(32)])
def test_another_key_or_none_opens_nothing(opened: Open, key: bytes | None) -> None:
    fill(opened(Vault(Seal(KEY))))
    other = opened(Vault(Seal(key)))
    for use in (
        lambda: other.get_original("ada", content_hash(NEEDLE)),
        lambda: other.get_results(["k"]),
        lambda: other.get_first(["f"]),
        lambda: other.read_log("l"),
        lambda: other.list_records("t"),
    ):
        with pytest.raises(StoreUnavailable, match="encrypted"):
            use()


def test_a_record_that_cannot_be_opened_hides_no_other(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    """Keys and teams are listed without it, and it is named; what was learned of the others is told."""
    store, other = opened(Vault(Seal(bytes(32)))), opened(Vault(Seal(KEY)))
    lost = keys.create(store, {"user": "nora"})[1]
    grants = [keys.create(other, {"user": user})[1] for user in ("ada", "bob")]
    teams.put(store, "lost", {"rpm": 1})
    teams.put(other, "data", {"rpm": 2})
    store.swap_record("toin-counts", "nora", None, b"{}")
    other.swap_record("toin-counts", "ada", None, b"{}")
    assert {grant.id for grant in keys.listed(other)} == {grant.id for grant in grants}
    assert f"{lost.id} is left out: it was encrypted with another key" in caplog.text
    assert keys.revoke(other, grants[0].id).revoked
    assert list(teams.listed(other)) == ["data"]
    assert "team lost is left out: it was encrypted with another key" in caplog.text
    assert len(Learning(other).everybody()) == 1


def test_what_was_written_plainly_stays_readable(opened: Open) -> None:
    fill(opened(Vault()))
    assert read(opened(Vault(Seal(KEY)))) == [NEEDLE] * 5


@pytest.mark.parametrize("begins", [b"\xff", b"\xff\x00", b"\xff\x01", b"\xff\x02", b"\xff\xff"])
@pytest.mark.parametrize("seal", [Seal(), Seal(KEY)], ids=["plain", "encrypted"])
def test_bytes_that_look_like_marks_come_back(opened: Open, monkeypatch: pytest.MonkeyPatch, seal: Seal, begins: bytes) -> None:
    data = begins + bytes(32 - len(begins))
    monkeypatch.setattr("secrets.token_bytes", lambda size: data)
    store = opened(Vault(seal))
    assert store.secret("chance") == data
    assert store.put_first({"k": data}) == {"k": data}
    assert store.swap_record("table", "key", None, data)
    assert store.swap_record("table", "key", data, data + b"1")
    again = opened(Vault(seal))
    assert again.secret("chance") == data
    assert again.get_record("table", "key") == data + b"1"


def test_a_text_cannot_be_moved_to_another_owner(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s", TTL_S, 10**6, vault=Vault(Seal(KEY)))
    store.put_originals("ada", [original(NEEDLE)])
    store.put_originals("eve", [original(NEEDLE)])
    with closing(sqlite3.connect(tmp_path / "s")) as other:
        other.execute("UPDATE texts SET zstd = (SELECT zstd FROM texts WHERE id = 1) WHERE id = 2")
        other.commit()
    assert store.get_original("ada", content_hash(NEEDLE)).text == NEEDLE
    with pytest.raises(StoreUnavailable, match="was changed"):
        store.get_original("eve", content_hash(NEEDLE))
    store.close()


def test_large_texts_lie_elsewhere_and_go_in_time(opened: Open, tmp_path: Path, clock: Clock) -> None:
    store = opened(Vault(away=Away(f"file://{tmp_path}/away"), above=5_000))
    small, large = noise(1, 2_000), noise(2, 40_000)
    store.put_originals("nora", [small, large])
    store.put_originals("bob", [large])
    store.put_originals("nora", [large])
    assert len(away(tmp_path)) == 2
    assert {file.stat().st_mode & 0o077 for file in [tmp_path / "away"]} == {0}
    assert not any("nora" in str(file.relative_to(tmp_path)) for file in away(tmp_path))
    assert store.get_original("nora", large.hash).text == large.text
    assert store.blob_stats().bytes > 40_000
    clock.now += 2 * TTL_S
    store.put_originals("nora", [small])
    assert away(tmp_path) == []
    with pytest.raises(Expired):
        store.get_original("nora", large.hash)
    store.put_originals("nora", [large])
    assert opened(Vault(away=Away(f"file://{tmp_path}/away"))).get_original("nora", large.hash).text == large.text
    for number in range(10, 30):
        clock.now += 100
        store.put_originals("nora", [noise(number, 40_000)])
    assert 0 < sum(file.stat().st_size for file in away(tmp_path)) <= 225_000
    assert len(away(tmp_path)) == store.blob_stats().entries


def test_writers_of_one_large_text_leave_one_file(opened: Open, tmp_path: Path) -> None:
    large = noise(2, 40_000)
    stores = [opened(Vault(away=Away(f"file://{tmp_path}/away"), above=5_000)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda store: store.put_originals("ada", [large]), stores))
    assert len(away(tmp_path)) == 1
    assert stores[0].get_original("ada", large.hash).text == large.text


def test_a_place_that_cannot_be_written_makes_the_store_unavailable(opened: Open, tmp_path: Path) -> None:
    store = opened(Vault(away=Away(f"file://{tmp_path}/away"), above=5_000))
    (tmp_path / "away").rmdir()
    (tmp_path / "away").write_text("a file stands where the directory was")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        store.put_originals("ada", [noise(2, 40_000)])
    store.put_originals("ada", [noise(1, 2_000)])
    (tmp_path / "away").unlink()
    store.put_originals("ada", [noise(2, 40_000)])
    away(tmp_path)[0].unlink()
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        store.get_original("ada", noise(2, 40_000).hash)


def test_a_text_that_was_not_written_down_leaves_no_file(tmp_path: Path) -> None:
    vault = Vault(away=Away(f"file://{tmp_path}/away"), above=5_000)
    store = SqliteStore(tmp_path / "s", TTL_S, 10**6, vault=vault, busy_s=0.02)
    store.put_originals("ada", [noise(1, 100)])
    with closing(sqlite3.connect(tmp_path / "s", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.put_originals("ada", [noise(2, 40_000)])
        other.execute("ROLLBACK")
    assert away(tmp_path) == []
    store.close()


@pytest.mark.parametrize("value", [KEY.hex(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="])
def test_a_key_as_hex_or_base64(value: str) -> None:
    assert key_of(value, "K") == KEY


def test_settings_name_the_variable_and_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate({"home": tmp_path, "store": {"blobs_url": f"file://{tmp_path}/away", "blobs_above_kb": 5}})
    monkeypatch.setenv("HEADROOM_STORE_KEY", os.urandom(32).hex())
    store = open_store(settings)
    store.put_originals("ada", [noise(2, 40_000), original(NEEDLE)])
    store.close()
    assert len(away(tmp_path)) == 1
    monkeypatch.setenv("HEADROOM_STORE_KEY", "too short: hunter2")
    with pytest.raises(SettingsError, match="HEADROOM_STORE_KEY: must hold 32 bytes") as refused:
        open_store(settings)
    assert "hunter2" not in refused.value.message
    monkeypatch.delenv("HEADROOM_STORE_KEY")
    with pytest.raises(SettingsError, match="OUR_KEY is empty"):
        open_store(Settings.model_validate({"home": tmp_path, "store": {"encryption_key": "OUR_KEY"}}))
    with pytest.raises(SettingsError, match="blobs_url"):
        open_store(Settings.model_validate({"home": tmp_path, "store": {"blobs_url": "nowhere://x"}}))

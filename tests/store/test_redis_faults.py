"""The Redis store when its server is killed, slow, full, read-only or of the wrong kind, and when the store itself is full."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis as client

from headroom.errors import Expired, RateLimited, StoreUnavailable
from headroom.limits import keys, teams
from headroom.limits.rate import Rate, Rates
from headroom.model import Compressed, Original, content_hash
from headroom.store.base import Draw
from headroom.store.redis import RedisStore
from headroom.store.redis_link import RedisLink
from headroom.store.threaded import ThreadedStore
from tests.redis_server import RedisServer, Relay, redis_server

TTL_S = 3600.0


def original(text: str) -> Original:
    return Original(content_hash(text), text)


def noise(seed: int, size: int) -> Original:
    """Text that does not compress below half of `size` bytes."""
    return original(random.Random(seed).randbytes(size // 2).hex())


FIRST, SECOND = original("first"), original("second")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that tests may treat badly, if they mend it again."""
    with redis_server(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
def store(own: RedisServer, tmp_path: Path) -> Iterator[RedisStore]:
    store = RedisStore(own.url, TTL_S, 100_000_000, prefix=str(tmp_path), timeout_s=0.5, pause_s=0)
    yield store
    store.close()


def admin(server: RedisServer) -> client.Redis:
    return client.Redis(port=server.port)


def expect_unavailable(store: RedisStore, cause: str) -> None:
    """Every writing method fails and says where and why."""
    for use in (
        lambda: store.put_originals("ada", [SECOND]),
        lambda: store.put_results({"second": Compressed("2")}),
        lambda: store.put_first({"second": b"2"}),
        lambda: store.draw([Draw("second", 1, 1)], once="second"),
        lambda: store.append("second", [b"2"]),
        lambda: store.swap_record("second", "k", None, b"2"),
        lambda: store.secret("second"),
    ):
        with pytest.raises(StoreUnavailable, match=cause) as failure:
            use()
        assert "redis://127.0.0.1" in failure.value.message


def expect_working(store: RedisStore) -> None:
    """Nothing of what failed stands, and everything can be done now."""
    assert list(store.touch_originals("ada", [SECOND.hash])) == [SECOND.hash]
    assert store.get_results(["second"]) == store.get_first(["second"]) == {}
    store.put_originals("ada", [SECOND])
    assert store.get_original("ada", SECOND.hash).text == SECOND.text
    assert store.put_results({"second": Compressed("2")}) == {"second": Compressed("2")}
    assert store.draw([Draw("second", 1, 1)], once="second").totals == (1,)
    assert store.append("second", [b"2"]) == 1


def test_nothing_acknowledged_is_lost_when_redis_is_killed(store: RedisStore, own: RedisServer) -> None:
    store.put_originals("ada", [FIRST])
    store.put_results({"first": Compressed("1")})
    store.draw([Draw("spent", 1, 5)], once="one")
    store.append("log", [b"a"])
    store.swap_record("keys", "k", None, b"v")
    secret = store.secret("callers")
    own.kill()
    try:
        expect_unavailable(store, "cannot be reached")
        with pytest.raises(StoreUnavailable):
            store.get_original("ada", FIRST.hash)
    finally:
        own.start()
    assert store.get_original("ada", FIRST.hash).text == FIRST.text
    assert store.get_results(["first"]) == {"first": Compressed("1")}
    assert store.draw([Draw("spent", 1, 5)], once="one").totals == (5,)
    assert store.append("log", [b"b"]) == 2
    assert store.get_record("keys", "k") == b"v"
    assert store.secret("callers") == secret
    expect_working(store)


@pytest.fixture
def relay(own: RedisServer) -> Iterator[Relay]:
    relay = Relay(own)
    yield relay
    relay.close()


@pytest.fixture
def relayed(relay: Relay, tmp_path: Path) -> Iterator[RedisStore]:
    store = RedisStore(relay.url, TTL_S, 100_000_000, prefix=str(tmp_path))
    store.blob_stats()
    yield store
    store.close()


def test_what_is_repeated_behind_a_lost_answer_is_done_once(relayed: RedisStore, relay: Relay) -> None:
    relay.cut()
    assert relayed.swap_record("t", "k", None, b"1")
    assert not relayed.swap_record("t", "k", None, b"1")
    relay.cut()
    assert relayed.swap_record("t", "k", b"1", b"2")
    relay.cut()
    assert relayed.swap_record("t", "k", b"2", None)
    assert relayed.get_record("t", "k") is None
    relay.cut()
    assert relayed.append("l", [b"a", b"b"]) == 2
    assert len(relayed.read_log("l")) == 2
    relay.cut()
    assert relayed.draw([Draw("a", 1, 5)], once="x").totals == (5,)


def test_keys_and_teams_are_told_right_behind_a_lost_answer(relayed: RedisStore, relay: Relay) -> None:
    relay.cut()
    _, grant = keys.create(relayed, {"name": "one"})
    assert keys.listed(relayed) == [grant]
    relay.cut()
    assert keys.revoke(relayed, grant.id).revoked
    relay.cut()
    assert teams.put(relayed, "data", {"rpm": 5}) == teams.listed(relayed)["data"]
    relay.cut()
    teams.drop(relayed, "data")
    assert teams.listed(relayed) == {}


def test_a_correction_of_tokens_counts_once_behind_a_lost_answer(relayed: RedisStore, relay: Relay) -> None:
    tokens = Rate("k", "this key", "tokens", 1000)

    async def run() -> None:
        rates = Rates(ThreadedStore(relayed), clock=lambda: 1_700_000_000.0)
        await rates.take(tokens, 900)
        relay.cut()
        await rates.correct(tokens, -500)
        with pytest.raises(RateLimited):
            await rates.take(Rate("k", "this key", "tokens", 1000), 601)
        await rates.take(Rate("k", "this key", "tokens", 1000), 600)

    asyncio.run(run())


def test_a_slow_server_is_given_up(store: RedisStore, own: RedisServer) -> None:
    store.put_originals("ada", [FIRST])
    with own.frozen(), pytest.raises(StoreUnavailable, match="in time"):
        store.get_original("ada", FIRST.hash)
    assert store.get_original("ada", FIRST.hash).text == FIRST.text


def test_those_who_wait_in_line_do_not_wait_one_after_the_other(own: RedisServer, tmp_path: Path) -> None:
    store = RedisStore(own.url, TTL_S, 100_000_000, prefix=str(tmp_path), timeout_s=1.0, pause_s=600)
    store.put_originals("ada", [FIRST])
    with own.frozen(), ThreadPoolExecutor(2) as two:
        asked = [two.submit(store.get_original, "ada", FIRST.hash) for _ in range(400)]  # 200 s, one after the other
        assert all("in time" in str(one.exception()) for one in asked)
    with pytest.raises(StoreUnavailable, match="in time"):
        store.get_original("ada", FIRST.hash)
    store.close()


def test_a_full_server_still_reads(store: RedisStore, own: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    store.put_originals("ada", [FIRST])
    store.put_results({"first": Compressed("1")})
    with admin(own) as control:
        control.config_set("maxmemory", 1)
        try:
            expect_unavailable(store, "out of memory")
            found = store.get_original("ada", FIRST.hash)
            assert (found.text, found.retrievals) == (FIRST.text, 0)
            assert "could not be written down" in caplog.text
            assert store.get_results(["first"]) == {"first": Compressed("1")}
        finally:
            control.config_set("maxmemory", 0)
    expect_working(store)
    assert store.get_original("ada", FIRST.hash).retrievals == 1


def test_a_replica_is_read_only(own: RedisServer, tmp_path: Path) -> None:
    with redis_server(tmp_path, replicaof=f"127.0.0.1 {own.port}") as replica:
        store = RedisStore(replica.url, TTL_S, 100_000_000)
        expect_unavailable(store, "read-only")
        store.close()


def test_the_server_that_takes_over_behind_a_name_is_written_to(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with redis_server(tmp_path / "first") as first:
        name = Relay(first)
        store = RedisStore(name.url, TTL_S, 100_000_000, pause_s=0)
        with redis_server(tmp_path / "second", replicaof=f"127.0.0.1 {first.port}") as second:
            assert store.append("log", [b"1"]) == 1
            admin(first).execute_command("WAIT", 1, 10_000)
            admin(second).execute_command("REPLICAOF NO ONE")
            admin(first).execute_command("REPLICAOF", "127.0.0.1", second.port)
            name.lead_to(second)
            with pytest.raises(StoreUnavailable, match="read-only"):
                store.append("log", [b"2"])
            assert store.append("log", [b"2"]) == 2
            assert store.get_answer("ada", "k") is None
            store.close()
        name.close()


def test_a_password_is_never_told(tmp_path: Path) -> None:
    with redis_server(tmp_path, requirepass="hunter2") as server:
        url = server.url.replace("//", "//:hunter3@")
        store = RedisStore(url, TTL_S, 1_000_000)
        with pytest.raises(StoreUnavailable, match="password") as failure:
            store.secret("callers")
        store.close()
        assert "hunter" not in failure.value.message
        store = RedisStore(server.url.replace("//", "//:hunter2@"), TTL_S, 1_000_000)
        assert len(store.secret("callers")) == 32
        store.close()


def test_an_option_of_the_url_that_is_none_is_told(own: RedisServer) -> None:
    store = RedisStore(f"{own.url}?sll=true", TTL_S, 1_000_000)
    with pytest.raises(StoreUnavailable, match="'sll'"):
        store.secret("callers")
    store.close()


def test_what_redis_says_is_told_briefly(own: RedisServer) -> None:
    link = RedisLink(own.url)
    with pytest.raises(StoreUnavailable) as failure:
        link.run("EVAL", "return redis.error_reply(string.rep('advice ', 100))", 0)
    link.close()
    assert own.url in str(failure.value)
    assert "advice advice" in str(failure.value)
    assert len(str(failure.value)) < 300


def test_a_full_store_buries_the_least_recently_used(redis: RedisServer, tmp_path: Path) -> None:
    now = 0.0
    texts = [noise(n, 40_000) for n in range(12)]
    store = RedisStore(redis.url, TTL_S, 320_000, clock=lambda: now, prefix=str(tmp_path), shelves=1)
    for one in texts:
        now += 100
        store.put_originals("ada", [one])
        assert list(store.touch_originals("ada", [texts[0].hash])) == []
        assert store.blob_stats().bytes <= 240_000
    readable = set(range(12)) - {texts.index(one) for one in texts if store.touch_originals("ada", [one.hash])}
    assert {0, 11} < readable
    assert readable - {0} == set(range(min(readable - {0}), 12))
    with pytest.raises(Expired):
        store.get_original("ada", texts[1].hash)
    assert store.blob_stats().entries == len(readable)
    with pytest.raises(StoreUnavailable, match="more text at once"):
        store.put_originals("ada", [noise(n, 40_000) for n in range(20, 40)])
    store.close()


def test_values_are_bounded_and_leave_redis(redis: RedisServer, tmp_path: Path) -> None:
    now = 0.0
    prefix = str(tmp_path)
    store = RedisStore(redis.url, TTL_S, 40_000, clock=lambda: now, prefix=prefix, shelves=1)
    for number in range(50):
        now += 100
        store.put_results({f"k{number}": Compressed("x" * 1000)})
        assert store.get_results(["k0"])
    known = store.get_results([f"k{number}" for number in range(50)])
    assert {"k0", "k49"} < set(known)
    assert "k1" not in known
    with admin(redis) as control:
        left = list(control.scan_iter(f"{{{prefix}:0}}:v:e:*", count=1000))
        assert len(left) == len(known) < 10
        assert all(0 < control.ttl(key) <= 1.01 * TTL_S for key in left)
    now += 2 * TTL_S
    store.put_results({"late": Compressed("x")})
    assert set(store.get_results([*known, "late"])) == {"late"}
    store.close()


def test_everything_in_redis_goes_by_itself(redis: RedisServer, tmp_path: Path) -> None:
    """But for totals, records, secrets and logs, which are small or bounded."""
    prefix = str(tmp_path)
    store = RedisStore(redis.url, TTL_S, 1_000_000, prefix=prefix)
    store.put_originals("ada", [FIRST])
    store.put_first({"k": b"v"})
    store.draw([Draw("a", 1, 1, ttl_s=60)], once="one", once_s=60)
    with admin(redis) as control:
        lasting = {key.decode() for key in control.scan_iter(f"{{{prefix}*", count=1000) if control.ttl(key) < 0}
    assert {key.rpartition(":")[2] for key in lasting} == {"index", "sizes", "totals"}
    store.close()

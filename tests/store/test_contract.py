"""What every store must do. A further implementation joins as one line in OPEN."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import Expired, NotFound, StoreUnavailable
from headroom.model import Compressed, Original, content_hash
from headroom.store.base import Draw, Drawn, Entry, Store
from headroom.store.codec import join_result, pack, pack_result, split_result, unpack, unpack_result
from headroom.store.redis import RedisStore
from headroom.store.sqlite import SqliteStore
from headroom.store.threaded import ThreadedStore
from headroom.store.vault import Away, Seal, Vault

TTL_S = 3600.0
DAY_S = 86400.0
ANSWER_BYTES = 32_000
Open = Callable[[], Store]


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


ROOM: dict[str, Any] = {"max_answers_bytes": ANSWER_BYTES}


def vault(path: Path) -> Vault:
    """Everything sealed, nearly every original in a file of its own."""
    return Vault(Seal(bytes(32)), Away(f"file://{path}/away"), above=25)


# id -> the fixture of its server, how it is opened
OPEN: dict[str, tuple[str, Callable[[str, Path, Clock], Store]]] = {
    "sqlite": ("", lambda _, path, clock: SqliteStore(path / "store.sqlite", TTL_S, 1_000_000, clock, **ROOM)),
    "sqlite-vault": ("", lambda _, path, clock: SqliteStore(path / "store.sqlite", TTL_S, 1_000_000, clock, vault=vault(path), **ROOM)),
    "redis": ("redis", lambda url, path, clock: RedisStore(url, TTL_S, 1_000_000, clock, prefix=str(path), **ROOM)),
    "redis-vault": (
        "redis",
        lambda url, path, clock: RedisStore(url, TTL_S, 1_000_000, clock, prefix=str(path), vault=vault(path), **ROOM),
    ),
    "cluster": ("cluster", lambda url, path, clock: RedisStore(url, TTL_S, 1_000_000, clock, prefix=str(path), **ROOM)),
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=OPEN)
def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Opens the same store once more, as another process would."""
    opened: list[Store] = []
    server, opener = OPEN[request.param]
    url = request.getfixturevalue(server).url if server else ""

    def open_again() -> Store:
        opened.append(opener(url, tmp_path, clock))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Open) -> Store:
    return reopen()


def original(text: str) -> Original:
    return Original(content_hash(text), text, tool="Bash", tokens=12, items=3, items_kept=1)


NAMES = original("alpha\nbeta\n")
MISSING = content_hash("never stored")


def test_an_original_comes_back_exactly(store: Store) -> None:
    store.put_originals("ada", [NAMES, original("x")])
    assert store.get_original("ada", NAMES.hash, count=False) == NAMES


def test_nobody_reads_another_scope(store: Store) -> None:
    store.put_originals("ada", [NAMES])
    with pytest.raises(NotFound, match=NAMES.hash):
        store.get_original("bob", NAMES.hash)
    assert list(store.touch_originals("bob", [NAMES.hash])) == [NAMES.hash]
    store.put_originals("bob", [NAMES])
    assert store.get_original("bob", NAMES.hash).retrievals == 1


@pytest.mark.parametrize("hash", [MISSING, "", "'; --", "\ud800", "x" * 10_000])
def test_what_was_never_stored_is_not_found(store: Store, hash: str) -> None:
    with pytest.raises(NotFound):
        store.get_original("ada", hash)


def test_retrievals_are_counted_and_kept_when_stored_again(store: Store) -> None:
    store.put_originals("ada", [NAMES])
    assert [store.get_original("ada", NAMES.hash).retrievals for _ in range(3)] == [1, 2, 3]
    store.put_originals("ada", [NAMES])
    assert store.get_original("ada", NAMES.hash, count=False).retrievals == 3
    assert store.blob_stats().retrievals == 3


def test_a_later_opener_reads_everything(store: Store, reopen: Open) -> None:
    store.put_originals("ada", [NAMES])
    store.put_results({"k": Compressed("short", "log")})
    secret = store.secret("callers")
    store.close()
    again = reopen()
    assert again.get_original("ada", NAMES.hash).text == NAMES.text
    assert again.get_results(["k"]) == {"k": Compressed("short", "log")}
    assert again.secret("callers") == secret


def test_an_idle_original_expires_and_can_be_stored_again(store: Store, clock: Clock) -> None:
    store.put_originals("ada", [NAMES])
    clock.now += TTL_S
    assert store.get_original("ada", NAMES.hash, count=False) == NAMES
    clock.now += TTL_S * 1.02
    with pytest.raises(Expired, match=NAMES.hash):
        store.get_original("ada", NAMES.hash)
    assert list(store.touch_originals("ada", [NAMES.hash])) == [NAMES.hash]
    with pytest.raises(Expired):
        store.get_original("ada", NAMES.hash)
    store.put_originals("ada", [NAMES])
    assert store.get_original("ada", NAMES.hash, count=False) == NAMES


@pytest.mark.parametrize("use", ["get", "count", "touch", "put"])
@pytest.mark.parametrize("step", [0.001, 0.3, 1.0])
def test_every_use_renews_the_lifetime(store: Store, clock: Clock, use: str, step: float) -> None:
    store.put_originals("ada", [NAMES])
    for pause in (step * TTL_S, TTL_S, TTL_S):
        clock.now += pause
        if use == "touch":
            assert list(store.touch_originals("ada", [NAMES.hash])) == []
        elif use == "put":
            store.put_originals("ada", [NAMES])
        else:
            assert store.get_original("ada", NAMES.hash, count=use == "count").text == NAMES.text
        store.put_originals("ada", [original(f"swept {clock.now}")])
    assert store.get_original("ada", NAMES.hash).text == NAMES.text


def test_what_expired_long_ago_is_forgotten(store: Store, clock: Clock) -> None:
    store.put_originals("ada", [NAMES])
    clock.now += 2 * TTL_S
    store.put_originals("ada", [original("buries it")])
    clock.now += 7 * DAY_S - TTL_S
    store.put_originals("ada", [original("leaves it buried")])
    with pytest.raises(Expired):
        store.get_original("ada", NAMES.hash)
    clock.now += 2 * TTL_S
    store.put_originals("ada", [original("forgets it")])
    with pytest.raises(NotFound):
        store.get_original("ada", NAMES.hash)


def test_touch_says_what_must_be_stored_again_in_order(store: Store) -> None:
    store.put_originals("ada", [NAMES])
    other = content_hash("other")
    assert list(store.touch_originals("ada", [other, NAMES.hash, MISSING])) == [other, MISSING]
    assert list(store.touch_originals("ada", [])) == []


def test_many_keys_at_once(store: Store) -> None:
    many = [original(f"text {n}") for n in range(1200)]
    store.put_originals("ada", many)
    assert list(store.touch_originals("ada", [one.hash for one in many])) == []
    results = {f"key {n}": Compressed(f"text {n}") for n in range(1200)}
    assert store.put_results(results) == results
    assert store.get_results(list(results)) == results


def test_the_first_result_stays(store: Store) -> None:
    first = Compressed("a", "log", "", 100, 10, NAMES.hash, 1.5)
    kept = Compressed(None, reason="too_small")
    assert store.put_results({"k": first, "n": kept}) == {"k": first, "n": kept}
    assert store.put_results({"k": kept, "m": kept}) == {"k": first, "m": kept}
    assert store.get_results(["k", "n", "m", "unknown"]) == {"k": first, "n": kept, "m": kept}
    assert store.put_results({}) == {}
    assert store.get_results([]) == {}


def test_a_secret_is_made_once_per_name(store: Store, reopen: Open) -> None:
    secret = store.secret("callers")
    assert len(secret) == 32
    assert store.secret("callers") == reopen().secret("callers") == secret
    assert store.secret("other") != secret


def test_statistics_over_all_scopes(store: Store) -> None:
    empty = store.blob_stats()
    assert (empty.entries, empty.bytes, empty.retrievals) == (0, 0, 0)
    store.put_originals("ada", [NAMES, original("")])
    store.put_originals("bob", [NAMES])
    stats = store.blob_stats()
    assert stats.entries == 3
    assert stats.bytes > 0


def test_lone_surrogates_survive(store: Store) -> None:
    odd = replace(original("broken \ud83d half"), tool="\udc00")
    store.put_originals("ada", [odd])
    assert store.get_original("ada", odd.hash, count=False) == odd
    result = Compressed("\ud83d", "log", reason="\ud800")
    assert store.put_results({"k": result}) == {"k": result} == store.get_results(["k"])


def test_many_threads_at_once(store: Store) -> None:
    texts = [original(f"text {n % 20}") for n in range(100)]

    def work(one: Original) -> bool:
        store.put_originals("ada", [one])
        winner = store.put_results({"k": Compressed(one.text)})["k"]
        return store.get_original("ada", one.hash).text == one.text and store.get_results(["k"])["k"] == winner

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, texts))
    stats = store.blob_stats()
    assert (stats.entries, stats.retrievals) == (20, 100)


def test_asyncio_uses_the_same_store_through_threads(store: Store) -> None:
    async def use() -> None:
        waiting = ThreadedStore(store)
        await waiting.put_originals("ada", [NAMES])
        assert await waiting.touch_originals("ada", [NAMES.hash, MISSING]) == [MISSING]
        assert await waiting.get_original("ada", NAMES.hash) == replace(NAMES, retrievals=1)
        assert (await waiting.blob_stats()).entries == 1
        assert await waiting.put_results({"k": Compressed("a")}) == {"k": Compressed("a")} == await waiting.get_results(["k"])
        assert await waiting.put_first({"k": b"v"}) == {"k": b"v"} == await waiting.get_first(["k"])
        assert await waiting.draw([Draw("a", 1, 2)]) == Drawn((2,), (2,))
        assert await waiting.append("l", [b"e"]) == 1
        assert await waiting.read_log("l") == [Entry(1, b"e")]
        assert await waiting.swap_record("t", "k", None, b"r")
        assert await waiting.get_record("t", "k") == b"r"
        assert await waiting.list_records("t") == {"k": b"r"}
        assert await waiting.secret("callers") == store.secret("callers")
        with pytest.raises(NotFound):
            await waiting.get_original("bob", NAMES.hash)
        await waiting.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await waiting.blob_stats()

    asyncio.run(use())


def test_a_closed_store_says_so(store: Store) -> None:
    store.put_originals("ada", [NAMES])
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.get_original("ada", NAMES.hash)


@given(st.text(st.characters()) | st.text(st.characters(categories=["Cs", "L"])))
def test_texts_survive_the_codec(text: str) -> None:
    assert unpack(pack(text)) == text
    result = Compressed(text, "log", text, 3, 2, "0" * 16, 0.25)
    assert join_result(*split_result(result)) == result
    for either in (result, replace(result, text=None)):
        assert unpack_result(pack_result(either)) == either


@pytest.mark.parametrize("small", ["", "null", "[]", "{}", '{"transform":"log"}', "not json", '{"unknown":1}'])
def test_a_result_of_another_version_is_unknown(small: str) -> None:
    assert join_result(small, b"text") is None


def test_two_texts_under_one_hash_are_refused_and_the_first_stays(store: Store) -> None:
    store.put_originals("a", [Original("f" * 16, "the first text")])
    with pytest.raises(StoreUnavailable, match="another text"):
        store.put_originals("a", [Original("f" * 16, "another text")])
    assert store.get_original("a", "f" * 16).text == "the first text"
    store.put_originals("b", [Original("f" * 16, "another text")])


def test_the_first_bytes_stay_and_are_no_results(store: Store) -> None:
    assert store.put_first({"k": b"first", "empty": b""}) == {"k": b"first", "empty": b""}
    assert store.put_first({"k": b"second", "m": b"\xff\x00\n"}) == {"k": b"first", "m": b"\xff\x00\n"}
    assert store.get_first(["k", "empty", "m", "unknown"]) == {"k": b"first", "empty": b"", "m": b"\xff\x00\n"}
    assert store.get_results(["k"]) == {}
    assert store.put_results({"k": Compressed("r")}) == {"k": Compressed("r")}
    assert store.get_first(["k"]) == {"k": b"first"}
    assert store.put_first({}) == store.get_first([]) == {}


def test_many_writers_of_one_key_agree(store: Store) -> None:
    gate = threading.Barrier(8)

    def write(number: int) -> bytes:
        gate.wait()
        return store.put_first({"k": b"%d" % number})["k"]

    with ThreadPoolExecutor(8) as pool:
        winners = set(pool.map(write, range(8)))
    assert winners == {store.get_first(["k"])["k"]}


def test_counters_grant_up_to_their_limit(store: Store) -> None:
    assert store.draw([Draw("a", 1, 4, limit=10)]) == Drawn((4,), (4,))
    assert store.draw([Draw("a", 1, 7, limit=10)]) == Drawn((0,), (4,), refused=0)
    assert store.draw([Draw("a", 1, 7, limit=10, least=1)]) == Drawn((6,), (10,))
    assert store.draw([Draw("a", 1, 7, limit=10, least=1)]) == Drawn((0,), (10,), refused=0)
    assert store.draw([Draw("a", 1, 7)]) == Drawn((7,), (17,))
    assert store.draw([Draw("a", 1, -9)]) == Drawn((-9,), (8,))
    assert store.draw([]) == Drawn((), ())


def test_a_draw_is_whole_or_not_at_all(store: Store) -> None:
    both = [Draw("key", 1, 5, limit=100), Draw("team", 1, 5, limit=8)]
    assert store.draw(both) == Drawn((5, 5), (5, 5))
    assert store.draw(both) == Drawn((0, 0), (5, 5), refused=1)
    assert store.draw([Draw("key", 1, 0), Draw("team", 1, 0)]).totals == (5, 5)


def test_a_limit_covers_the_last_periods(store: Store) -> None:
    for slot in (1, 2, 3):
        store.draw([Draw("a", slot, 3)])
    assert store.draw([Draw("a", 4, 1, limit=10, slots=4)]) == Drawn((1,), (10,))
    assert store.draw([Draw("a", 4, 1, limit=10, slots=4)]).refused == 0
    assert store.draw([Draw("a", 5, 1, limit=10, slots=4)]) == Drawn((1,), (8,))
    assert store.draw([Draw("a", 4, 0)]).totals == (1,)


def test_what_is_done_once_is_not_repeated(store: Store, reopen: Open) -> None:
    settle = [Draw("a", 1, -3), Draw("b", 1, 2)]
    assert store.draw(settle, once="request 1") == Drawn((-3, 2), (-3, 2))
    assert reopen().draw(settle, once="request 1") == Drawn((0, 0), (-3, 2), repeated=True)
    assert store.draw(settle, once="request 2") == Drawn((-3, 2), (-6, 4))
    refused = [Draw("c", 1, 5, limit=4)]
    assert store.draw(refused, once="request 3").refused == 0
    assert store.draw([Draw("c", 1, 4, limit=4)], once="request 3") == Drawn((4,), (4,))


def test_large_amounts_are_exact(store: Store) -> None:
    much = 4_000_000_000_000_001  # nanodollars of four million
    store.draw([Draw("a", 1, much)])
    assert store.draw([Draw("a", 1, much)]).totals == (2 * much,)


def test_threads_never_pass_a_limit_together(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: store.draw([Draw("a", 1, 3, limit=100)]), range(60)))
    assert sum(one.granted[0] for one in drawn) == 99
    assert store.draw([Draw("a", 1, 0)]).totals == (99,)


def test_a_log_is_read_in_order_from_anywhere(store: Store, reopen: Open) -> None:
    assert store.append("l", [b"a", b"b"]) == 2
    assert reopen().append("l", [b"\xff"]) == 3
    assert store.append("other", []) == 0
    assert store.read_log("l") == [Entry(1, b"a"), Entry(2, b"b"), Entry(3, b"\xff")]
    assert reopen().read_log("l", after=1, limit=1) == [Entry(2, b"b")]
    assert list(store.read_log("l", after=3)) == list(store.read_log("unknown")) == []
    assert store.append("l", [b"d"], keep=2) == 4
    assert store.read_log("l") == [Entry(3, b"\xff"), Entry(4, b"d")]


def test_writers_of_a_log_lose_nothing(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: store.append("l", [b"%d" % n]), range(50)))
    entries = store.read_log("l")
    assert [entry.number for entry in entries] == list(range(1, 51)) == sorted(numbers)
    assert sorted(int(entry.data) for entry in entries) == list(range(50))


def test_a_record_with_an_idle_lifetime_goes_when_nobody_writes_it(store: Store, reopen: Open, clock: Clock) -> None:
    store.swap_record("learned", "ada", None, b"1", DAY_S)
    store.swap_record("learned", "bob", None, b"2", DAY_S)
    store.swap_record("learned", "for ever", None, b"3")
    store.swap_record("learned", "kept", None, b"4", DAY_S)
    store.swap_record("learned", "kept", b"4", b"5")
    store.swap_record("other", "eve", None, b"6", DAY_S)
    clock.now += DAY_S - 1
    assert reopen().swap_record("learned", "ada", b"1", b"1", DAY_S)
    assert store.get_record("learned", "bob") == b"2"
    clock.now += 2
    assert store.swap_record("learned", "new", None, b"7", DAY_S)
    assert store.list_records("learned") == {"ada": b"1", "for ever": b"3", "kept": b"5", "new": b"7"}
    assert store.swap_record("learned", "bob", None, b"8", DAY_S), "it begins anew"
    assert store.swap_record("learned", "ada", b"1", None, DAY_S)
    assert store.list_records("other") == {"eve": b"6"}
    clock.now += 2 * DAY_S
    assert store.swap_record("learned", "bob", b"8", b"9", DAY_S), "what is not swept yet is still there"
    assert store.list_records("learned") == {"bob": b"9", "for ever": b"3", "kept": b"5"}


def test_many_idle_records_go_by_and_by(store: Store, clock: Clock) -> None:
    for number in range(150):
        store.swap_record("learned", f"owner {number}", None, b"1", DAY_S)
    clock.now += DAY_S + 1
    for number in range(3):
        store.swap_record("learned", f"new {number}", None, b"1", DAY_S)
    assert len(store.list_records("learned")) == 3


def test_a_record_changes_from_what_the_writer_knows(store: Store, reopen: Open) -> None:
    assert store.get_record("keys", "a") is None
    assert store.swap_record("keys", "a", None, b"1")
    assert not store.swap_record("keys", "a", None, b"2")
    assert not store.swap_record("keys", "a", b"0", b"2")
    assert reopen().swap_record("keys", "a", b"1", b"")
    assert store.get_record("keys", "a") == b""
    assert not store.swap_record("keys", "a", None, b"2")
    store.swap_record("keys", "b", None, b"\xff")
    store.swap_record("other", "c", None, b"c")
    assert store.list_records("keys") == {"a": b"", "b": b"\xff"}
    assert store.swap_record("keys", "a", b"", None)
    assert not store.swap_record("keys", "a", b"", None)
    assert store.swap_record("keys", "never", None, None)
    assert store.list_records("keys") == {"b": b"\xff"}


def test_an_answer_is_its_scopes_own_until_its_time_is_over(store: Store, reopen: Open, clock: Clock) -> None:
    store.put_answer("ada", "k", b"\xffone", 60)
    store.put_answer("bob", "k", b"two", 90)
    assert (reopen().get_answer("ada", "k"), store.get_answer("bob", "k")) == (b"\xffone", b"two")
    assert store.get_answer("ada", "other") is store.get_answer("cyd", "k") is None
    store.put_answer("ada", "k", b"again", 60)
    assert store.get_answer("ada", "k") == b"again"
    assert store.answer_stats().entries == 2
    clock.now += 59
    assert store.get_answer("ada", "k") == b"again"
    clock.now += 2
    assert (store.get_answer("ada", "k"), store.get_answer("bob", "k")) == (None, b"two")


def test_dropped_answers_are_gone(store: Store, reopen: Open) -> None:
    for scope, key in (("ada", "1"), ("ada", "2"), ("ada:1", "1"), ("bob", "1")):
        store.put_answer(scope, key, b"x", 60)
    assert store.drop_answers("ada") == 2
    assert store.drop_answers("ada") == 0
    assert (reopen().get_answer("ada", "1"), store.get_answer("ada:1", "1")) == (None, b"x")
    assert store.drop_answers(None) == 2
    assert store.answer_stats().entries == store.answer_stats().bytes == 0


def test_answers_take_no_more_room_than_theirs(store: Store, clock: Clock) -> None:
    for number in range(60):
        clock.now += 1
        store.put_answer("ada", str(number), bytes(1000), 3600)
    stats = store.answer_stats()
    assert stats.bytes <= ANSWER_BYTES
    assert 0 < stats.entries < 60
    assert store.get_answer("ada", "59") == bytes(1000)
    assert store.get_answer("ada", "0") is None
    store.put_answer("ada", "59", bytes(ANSWER_BYTES), 3600)
    assert store.get_answer("ada", "59") is None


def test_answers_whose_time_is_over_make_room(store: Store, clock: Clock) -> None:
    store.put_answer("ada", "1", bytes(100), 10)
    clock.now += 11
    for number in range(200):  # on every shelf
        store.put_answer("ada", f"other {number}", b"", 10)
    assert store.answer_stats().entries == 200

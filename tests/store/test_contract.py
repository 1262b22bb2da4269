"""What every store must do. A further implementation joins as one line in OPEN."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import Expired, NotFound, StoreUnavailable
from headroom.model import Compressed, Original, content_hash
from headroom.store.base import Store
from headroom.store.codec import join_result, pack, split_result, unpack
from headroom.store.sqlite import SqliteStore
from headroom.store.threaded import ThreadedStore

TTL_S = 3600.0
DAY_S = 86400.0
Open = Callable[[], Store]


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


OPEN: dict[str, Callable[[Path, Clock], Store]] = {
    "sqlite": lambda path, clock: SqliteStore(path / "store.sqlite", TTL_S, 1_000_000, clock),
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=OPEN)
def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Opens the same store once more, as another process would."""
    opened: list[Store] = []

    def open_again() -> Store:
        opened.append(OPEN[request.param](tmp_path, clock))
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


@pytest.mark.parametrize("small", ["", "null", "[]", "{}", '{"transform":"log"}', "not json", '{"unknown":1}'])
def test_a_result_of_another_version_is_unknown(small: str) -> None:
    assert join_result(small, b"text") is None


def test_two_texts_under_one_hash_are_refused_and_the_first_stays(store: Store) -> None:
    store.put_originals("a", [Original("f" * 16, "the first text")])
    with pytest.raises(StoreUnavailable, match="another text"):
        store.put_originals("a", [Original("f" * 16, "another text")])
    assert store.get_original("a", "f" * 16).text == "the first text"
    store.put_originals("b", [Original("f" * 16, "another text")])

"""The semantic index: nearest by cosine, bounded, rebuilt from its log and its snapshot, with any number of threads."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headroom.cache import snapshot
from headroom.cache.follower import Follower
from headroom.cache.semantic import Bounds, Clearing, Entry, Query, SemanticIndex, append, follow, pack, size_of, unpack
from headroom.cache.vectors import Vectors
from headroom.errors import StoreUnavailable
from headroom.store.sqlite import SqliteStore
from headroom.store.vault import Seal

DIMENSIONS = 48
BOUNDS = Bounds(entries=10_000, bytes=10**9, ttl_s=3600)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Vectors of length 1, in clusters as those of texts are."""
    draw = np.random.default_rng(seed)
    centers = draw.normal(size=(max(1, count // 50), DIMENSIONS))
    made = centers[draw.integers(len(centers), size=count)] + 0.6 * draw.normal(size=(count, DIMENSIONS))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def name(number: int) -> str:
    """A question that differs from every other by a word."""
    letters = "".join(chr(97 + int(digit)) for digit in str(number))
    return f"How do I repair the {letters}er?"


def entry(number: int, row: np.ndarray, namespace: str = "n", scope: str = "ada", at: float = 0.0) -> Entry:
    return Entry(namespace, scope, f"key-{number}", name(number), at, row)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "s.sqlite", 3600, 10**9)


def filled(vectors: Sequence[np.ndarray], bounds: Bounds = BOUNDS) -> SemanticIndex:
    index = SemanticIndex(bounds, clock=lambda: 0.0)
    for number, row in enumerate(vectors):
        index.apply(number + 1, entry(number, row))
    return index


def missed(index: SemanticIndex, vectors: Sequence[np.ndarray], numbers: Sequence[int]) -> list[int]:
    """Those of these questions that are not found."""
    found = {number: index.find(Query("n", name(number), vectors[number], 0.8)) for number in numbers}
    return [number for number, one in found.items() if one is None or one.key != f"key-{number}"]


class TestVectors:
    @pytest.mark.parametrize("count", [1, 200, 3000])
    def test_the_nearest_are_those_of_comparing_all(self, count: int) -> None:
        made, asked = rows(count), rows(50, seed=1)
        vectors = Vectors(DIMENSIONS)
        for label, row in enumerate(made):
            vectors.add(label, row)
        assert vectors.is_graph is (count > 256)
        exact = np.argmax(asked @ made.T, axis=1)
        found = [vectors.search(row, 5) for row in asked]
        assert np.mean([one[0][0] == best for one, best in zip(found, exact, strict=True)]) >= 0.98
        for one, row in zip(found, asked, strict=True):
            assert len(one) == min(5, count)
            assert [cosine for _, cosine in one] == sorted((cosine for _, cosine in one), reverse=True)
            assert np.allclose([made[label] @ row for label, _ in one], [cosine for _, cosine in one], atol=1e-5)

    def test_what_is_dropped_is_never_found_and_building_anew_takes_the_tombstones_away(self) -> None:
        made = rows(2000)
        vectors = Vectors(DIMENSIONS)
        for label, row in enumerate(made):
            vectors.add(label, row)
        for label in range(0, 2000, 2):
            vectors.drop(label)
        vectors.drop(0)
        vectors.drop(9999)
        assert len(vectors) == 1000
        assert all(label % 2 for row in made[:100] for label, _ in vectors.search(row, 20))
        assert vectors.is_worn
        vectors.rebuild()
        assert not vectors.is_worn
        assert len(vectors) == 1000
        assert all(vectors.search(made[label], 1)[0][0] == label for label in range(1, 200, 2))

    def test_nearly_everything_dropped_still_finds_the_rest(self) -> None:
        made = rows(1500)
        vectors = Vectors(DIMENSIONS)
        for label, row in enumerate(made):
            vectors.add(label, row)
        for label in range(1497):
            vectors.drop(label)
        assert {label for label, _ in vectors.search(made[0], 10)} == {1497, 1498, 1499}

    def test_rows_of_another_length_and_labels_that_stand_are_refused(self) -> None:
        vectors = Vectors(DIMENSIONS)
        vectors.add(1, rows(1)[0])
        with pytest.raises(ValueError, match="stands already"):
            vectors.add(1, rows(1)[0])
        with pytest.raises(ValueError, match="shape"):
            vectors.add(2, np.ones(3, np.float32))

    @pytest.mark.parametrize("count", [30, 1000])
    def test_dump_and_load(self, count: int) -> None:
        made = rows(count)
        vectors = Vectors(DIMENSIONS)
        for label, row in enumerate(made):
            vectors.add(label, row)
        for label in range(10):
            vectors.drop(label)
        again = Vectors.load(DIMENSIONS, *vectors.dump())
        assert len(again) == count - 10
        assert [again.search(row, 3) for row in made] == [vectors.search(row, 3) for row in made]
        again.add(count, rows(1, seed=9)[0])
        assert len(again) == count - 9


class TestIndex:
    def test_an_earlier_question_that_asks_the_same_is_found_in_its_namespace_only(self) -> None:
        made = rows(300)
        index = filled(made)
        assert missed(index, made, range(300)) == []
        found = index.find(Query("n", "Could you tell me how to repair the bcer?", made[12], 0.8))
        assert (found and found.key, found and found.text) == ("key-12", name(12))
        assert found
        assert found.similarity == pytest.approx(1.0, abs=1e-5)
        assert index.find(Query("other", name(1), made[1], 0.8)) is None

    def test_the_nearest_is_passed_over_when_its_words_differ(self) -> None:
        row = rows(1)[0]
        index = SemanticIndex(BOUNDS, clock=lambda: 0.0)
        for number, text in enumerate(("How do I open the valve?", "How do I not close the valve?", "How can I close the valve?")):
            index.apply(number + 1, Entry("n", "ada", f"key-{number}", text, 0.0, row))
        found = index.find(Query("n", "How do I close the valve?", row, 0.8))
        assert found
        assert found.key == "key-2"
        assert index.find(Query("n", "How do I shut the valve?", row, 0.8)) is None

    def test_a_cosine_below_the_threshold_is_no_hit(self) -> None:
        index = filled(rows(1))
        far = -rows(1)[0]
        assert index.find(Query("n", name(0), far, 0.8)) is None

    def test_entries_have_their_time(self) -> None:
        now = 0.0
        index = SemanticIndex(BOUNDS, clock=lambda: now)
        made = rows(3)
        index.apply(1, entry(0, made[0]))
        now = 3000
        index.apply(2, entry(1, made[1], at=3000))
        index.apply(3, entry(2, made[2], at=3000))
        now = 3700
        assert missed(index, made, range(3)) == [0]
        index.apply(4, entry(0, made[0], at=0))
        assert missed(index, made, range(3)) == [0], "too old when it came"
        index.trim()
        assert index.entries == 2

    def test_an_answer_given_anew_renews_its_question(self) -> None:
        now = 0.0
        index = SemanticIndex(BOUNDS, clock=lambda: now)
        row = rows(1)[0]
        index.apply(1, entry(0, row))
        index.apply(2, entry(0, row, at=3000))
        now = 5000
        index.apply(3, Clearing("somebody else"))
        assert (index.entries, missed(index, [row], [0])) == (1, [])

    def test_the_oldest_go_when_there_are_too_many(self) -> None:
        made = rows(500)
        index = filled(made, Bounds(400, 10**9, 3600))
        assert index.entries == 400
        assert missed(index, made, range(500)) == list(range(100))

    def test_the_namespace_asked_for_longest_ago_goes_when_memory_is_short(self) -> None:
        made = rows(90)
        index = SemanticIndex(Bounds(1000, 10**9, 3600), clock=lambda: 0.0)
        for number, row in enumerate(made[:60]):
            index.apply(number + 1, entry(number, row, namespace="abc"[number % 3]))
        full = index.bytes
        index = SemanticIndex(Bounds(1000, full, 3600), clock=lambda: 0.0)
        for number, row in enumerate(made[:60]):
            index.apply(number + 1, entry(number, row, namespace="abc"[number % 3]))
        for namespace in "ba":
            index.find(Query(namespace, "anything", made[0], 0.8))
        for number in range(60, 75):
            index.apply(number + 1, entry(number, made[number], namespace="a"))
        assert index.bytes <= full
        assert [bool(index.find(Query("abc"[n % 3], name(n), made[n], 0.8))) for n in range(3)] == [True, True, False]

    def test_who_asks_first_when_memory_is_short_has_room_too(self) -> None:
        made = rows(40)
        room = sum(size_of(entry(number, row, namespace="n0")) for number, row in enumerate(made[:10]))
        index = SemanticIndex(Bounds(1000, room, 3600), clock=lambda: 0.0)
        found = []
        for number, row in enumerate(made):  # asked, answered, learned, and asked again
            asked = Query(f"n{number}", name(number), row, 0.8)
            assert index.find(asked) is None
            index.apply(number + 1, entry(number, row, namespace=asked.namespace))
            found.append(bool(index.find(asked)))
        assert all(found)

    def test_what_went_leaves_nothing_behind(self) -> None:
        row = rows(1)[0]
        index = SemanticIndex(Bounds(1_000_000, 10 * size_of(entry(0, row)), 3600), clock=lambda: 0.0)
        tracemalloc.start()
        try:
            for number in range(30_000):
                index.apply(number + 1, entry(number, row, namespace=f"n{number}"))
            assert index.entries <= 10
            assert tracemalloc.get_traced_memory()[0] < 1_000_000
        finally:
            tracemalloc.stop()
        assert index.find(Query("n29999", name(29_999), row, 0.8)) is None
        index.apply(30_001, entry(0, row, namespace="n29999"))
        assert index.find(Query("n29999", name(0), row, 0.8))

    def test_memory_is_bounded_within_one_namespace_too(self) -> None:
        made = rows(200)
        index = filled(made[:100])
        small = filled(made, Bounds(1000, index.bytes, 3600))
        assert small.bytes <= index.bytes
        assert missed(small, made, range(190, 200)) == []

    def test_vectors_of_another_length_take_the_place_of_those_before(self) -> None:
        index = SemanticIndex(BOUNDS, clock=lambda: 0.0)
        for number in range(100):
            index.apply(number + 1, entry(number, np.eye(2 + number % 2, dtype=np.float32)[0]))
        (kept,) = [space for _, space in index.spaces()]
        assert (index.entries, index.bytes, len(kept.known)) == (1, kept.bytes, 1)

    def test_a_scope_is_forgotten(self) -> None:
        made = rows(4)
        index = SemanticIndex(BOUNDS, clock=lambda: 0.0)
        for number, row in enumerate(made):
            index.apply(number + 1, entry(number, row, namespace=f"n{number % 2}", scope=("ada", "bob")[number % 2]))
        index.apply(5, Clearing("ada"))
        assert [bool(index.find(Query(f"n{n % 2}", name(n), made[n], 0.8))) for n in range(4)] == [False, True, False, True]
        index.apply(6, Clearing(None))
        assert (index.entries, index.bytes, index.namespaces) == (0, 0, 0)


class TestLog:
    def test_entries_are_written_and_read(self) -> None:
        one = entry(7, rows(1)[0], at=1.5)
        again = unpack(pack(one))
        assert isinstance(again, Entry)
        assert np.array_equal(again.vector, one.vector)
        assert (again.namespace, again.scope, again.key, again.text, again.at) == ("n", "ada", "key-7", name(7), 1.5)
        assert unpack(pack(Clearing("ada"))) == Clearing("ada")
        assert unpack(pack(Clearing(None))) == Clearing(None)
        assert [unpack(data) for data in (b"", b"{}", b"[]", b"{}\nabc", pack(one)[:-1])] == [None] * 5

    def test_several_processes_follow_one_log(self, store: SqliteStore) -> None:
        made = rows(1200)
        indexes = [SemanticIndex(BOUNDS, clock=lambda: 0.0) for _ in range(2)]
        append(store, [entry(number, row) for number, row in enumerate(made)], keep=5000)
        assert [follow(index, store) for index in indexes] == [1200, 1200]
        assert missed(indexes[1], made, range(0, 1200, 50)) == []
        append(store, [Clearing("ada")], keep=5000)
        assert [follow(index, store) for index in indexes] == [1, 1]
        assert indexes[0].entries == 0

    def test_forgetting_everything_takes_it_out_of_the_log(self, store: SqliteStore) -> None:
        append(store, [entry(0, rows(1)[0])], keep=100)
        append(store, [Clearing(None)], keep=100)
        assert [unpack(one.data) for one in store.read_log("semantic")] == [Clearing(None)]

    def test_a_log_that_begins_anew_is_read_from_its_beginning(self, store: SqliteStore, tmp_path: Path) -> None:
        made = rows(5)
        index = SemanticIndex(BOUNDS, clock=lambda: 0.0)
        append(store, [entry(number, row) for number, row in enumerate(made)], keep=100)
        follow(index, store)
        other = SqliteStore(tmp_path / "other.sqlite", 3600, 10**9)
        append(other, [entry(4, made[4])], keep=100)
        follow(index, other)
        assert (index.entries, index.number) == (1, 1)


class TestSnapshot:
    @pytest.fixture(params=[None, b"k" * 32], ids=["plain", "sealed"])
    def seal(self, request: pytest.FixtureRequest) -> Seal:
        return Seal(request.param)

    def test_what_was_saved_is_loaded(self, tmp_path: Path, seal: Seal) -> None:
        made = rows(700)
        index = filled(made)
        for number in range(3):
            index.apply(701 + number, entry(number, made[number], namespace="small", scope="bob"))
        snapshot.save(index, tmp_path, seal)
        assert (tmp_path / snapshot.NAME).stat().st_mode & 0o077 == 0
        assert (b"repair" in (tmp_path / snapshot.NAME).read_bytes()) is (seal.shut("p", b"x") == b"x")
        again = SemanticIndex(BOUNDS, clock=lambda: 0.0)
        assert snapshot.load(again, tmp_path, seal)
        assert (again.entries, again.bytes, again.number) == (index.entries, index.bytes, 703)
        assert missed(again, made, range(700)) == []
        again.apply(704, entry(900, made[0], namespace="small"))
        again.apply(705, Clearing("bob"))
        assert again.namespaces == 1

    def test_a_damaged_file_is_not_used(self, tmp_path: Path, seal: Seal) -> None:
        snapshot.save(filled(rows(400)), tmp_path, seal)
        whole = (tmp_path / snapshot.NAME).read_bytes()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        for damaged in (whole[:-9], whole[:100], b"", b"\0" * 64, flipped):
            (tmp_path / snapshot.NAME).write_bytes(damaged)
            index = SemanticIndex(BOUNDS, clock=lambda: 0.0)
            assert not snapshot.load(index, tmp_path, seal)
            assert index.entries == 0

    def test_another_key_or_none_cannot_read_it(self, tmp_path: Path) -> None:
        snapshot.save(filled(rows(3)), tmp_path, Seal(b"k" * 32))
        for seal in (Seal(b"l" * 32), Seal()):
            assert not snapshot.load(SemanticIndex(BOUNDS), tmp_path, seal)
            assert snapshot.saved_number(tmp_path, seal) == -1

    def test_a_process_that_starts_uses_snapshot_and_tail(
        self, tmp_path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "headroom.cache.follower")
        made = rows(400)
        append(store, [entry(number, row) for number, row in enumerate(made[:300])], keep=1000)
        one = Follower(SemanticIndex(BOUNDS, clock=lambda: 0.0), store, tmp_path, Seal(), every=100)
        one.start()
        one.close()
        assert "snapshot of 300 entries saved at number 300" in caplog.text
        append(store, [entry(number, row) for number, row in enumerate(made[300:], 300)], keep=1000)
        index = SemanticIndex(BOUNDS, clock=lambda: 0.0)
        other = Follower(index, store, tmp_path, Seal(), every=100)
        other.start()
        assert other.wait(60)
        other.close()
        assert "snapshot used, 300 entries at number 300, 100 entries read from the log behind it, 400 entries" in caplog.text
        assert missed(index, made, range(400)) == []

    def test_what_was_cleared_is_in_no_snapshot(self, tmp_path: Path, store: SqliteStore) -> None:
        append(store, [entry(0, rows(1)[0])], keep=1000)
        one = Follower(SemanticIndex(BOUNDS, clock=lambda: 0.0), store, tmp_path, Seal(), every=1)
        one.start()
        one.close()
        assert (tmp_path / snapshot.NAME).exists()
        append(store, [Clearing("ada")], keep=1000)
        other = Follower(SemanticIndex(BOUNDS, clock=lambda: 0.0), store, tmp_path, Seal(), every=1)
        other.start()
        other.close()
        assert not (tmp_path / snapshot.NAME).exists()

    def test_a_store_that_is_away_is_told_once_and_again_when_it_is_back(
        self, tmp_path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Away:
            """The store, which does not answer the first three times."""

            left = 3

            def read_log(self, *given: Any, **named: Any) -> Any:
                self.left -= 1
                if self.left >= 0:
                    raise StoreUnavailable("away")
                return store.read_log(*given, **named)

        follower = Follower(SemanticIndex(BOUNDS), Away(), tmp_path, Seal(), every=100, poll_s=0.001)  # type: ignore[arg-type]
        follower.start()
        assert follower.wait(60)
        follower.close()
        assert caplog.messages == [
            "the log of the semantic cache cannot be read, it is tried every 0 s: away",
            "the log of the semantic cache is read again",
        ]


def test_threads_ask_while_one_adds_drops_builds_and_saves(tmp_path: Path) -> None:
    """Every answer is right at the moment it is given: of the namespace asked, with the words asked."""
    made = rows(4000)
    index = SemanticIndex(Bounds(1500, 10**9, 3600), clock=lambda: 0.0)
    over, wrong, asked = threading.Event(), [], [0]

    def ask(seed: int) -> None:
        draw = np.random.default_rng(seed)
        while not over.is_set():
            number = int(draw.integers(len(made)))
            found = index.find(Query("n", name(number), made[number], 0.8))
            asked[0] += 1
            if found and (found.key, found.text) != (f"key-{number}", name(number)):
                wrong.append((number, found))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number, row in enumerate(made):
            index.apply(number + 1, entry(number, row))
            if number % 500 == 499:
                for namespace in index.worn():
                    index.rebuild(namespace)
                snapshot.save(index, tmp_path, Seal())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert asked[0] > 0
    assert missed(index, made, range(2500, 4000, 10)) == []
    again = SemanticIndex(BOUNDS, clock=lambda: 0.0)
    assert snapshot.load(again, tmp_path, Seal())
    assert missed(again, made, range(2500, 4000, 10)) == []

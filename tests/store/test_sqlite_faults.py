"""The SQLite store when its file cannot be used, when it is full, and when many processes share it."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from headroom.errors import Expired, NotFound, StoreUnavailable
from headroom.model import Compressed, Original, content_hash
from headroom.store.schema import STEPS
from headroom.store.sqlite import SqliteStore

TTL_S = 3600.0


def original(text: str) -> Original:
    return Original(content_hash(text), text)


def noise(seed: int, size: int) -> Original:
    """Text that does not compress below half of `size` bytes."""
    return original(random.Random(seed).randbytes(size // 2).hex())


FIRST, SECOND = original("first"), original("second")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, TTL_S, 100_000_000, busy_s=0.02)
    yield store
    store.close()


def expect_unavailable(store: SqliteStore, path: Path, cause: str) -> None:
    """Every writing method fails and says where and why."""
    for use in (
        lambda: store.put_originals("ada", [SECOND]),
        lambda: store.put_results({"second": Compressed("2")}),
        lambda: store.secret("second"),
    ):
        with pytest.raises(StoreUnavailable, match=cause) as failure:
            use()
        assert str(path) in failure.value.message


def expect_working(store: SqliteStore) -> None:
    """Nothing of what failed stands, and everything can be done now."""
    with pytest.raises(NotFound):
        store.get_original("ada", SECOND.hash)
    assert store.get_results(["second"]) == {}
    store.put_originals("ada", [SECOND])
    assert store.get_original("ada", SECOND.hash).text == SECOND.text
    assert store.put_results({"second": Compressed("2")}) == {"second": Compressed("2")}
    assert len(store.secret("second")) == 32


def test_the_file_is_its_owners_only(store: SqliteStore, path: Path) -> None:
    store.put_originals("ada", [FIRST])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_nothing_is_opened_before_the_first_use(path: Path) -> None:
    SqliteStore(path, TTL_S, 1).close()
    assert not path.parent.exists()


def test_locked_by_another_process(store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store.put_originals("ada", [FIRST])
    store.put_results({"first": Compressed("1")})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        expect_unavailable(store, path, "locked by another process")
        assert store.get_results(["first"]) == {"first": Compressed("1")}
        found = store.get_original("ada", FIRST.hash)
        assert (found.text, found.retrievals) == (FIRST.text, 0)
        assert "could not be written down" in caplog.text
        other.execute("ROLLBACK")
    expect_working(store)
    assert store.get_original("ada", FIRST.hash).retrievals == 1


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes meanwhile."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_disk(store: SqliteStore, path: Path) -> None:
    store.put_originals("ada", [FIRST])
    big = [noise(n, 200_000) for n in range(4)]
    with full_disk(path.with_name("store.sqlite-wal").stat().st_size + 50_000):
        with pytest.raises(StoreUnavailable, match=r"disk is full|cannot be read or written") as failure:
            store.put_originals("ada", big)
        with pytest.raises(StoreUnavailable):
            store.put_results({"second": Compressed(big[0].text)})
        assert str(path) in failure.value.message
        assert store.get_original("ada", FIRST.hash, count=False).text == FIRST.text
    assert list(store.touch_originals("ada", [one.hash for one in big])) == [one.hash for one in big]
    assert store.blob_stats().entries == 1
    expect_working(store)
    store.put_originals("ada", big)
    assert store.get_original("ada", big[3].hash).text == big[3].text


def test_a_directory_that_cannot_be_made(store: SqliteStore, path: Path) -> None:
    path.parent.write_text("a file stands where the directory should be")
    expect_unavailable(store, path, "exists|Not a directory")
    path.parent.unlink()
    expect_working(store)


def test_a_path_that_is_a_directory(store: SqliteStore, path: Path) -> None:
    path.mkdir(parents=True)
    expect_unavailable(store, path, "cannot be opened")
    path.rmdir()
    expect_working(store)


def test_a_file_that_is_no_database(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"these are the wrong bytes" * 1000)
    expect_unavailable(store, path, "not a database, move the file away")
    path.unlink()
    expect_working(store)


def test_a_damaged_page(store: SqliteStore, path: Path) -> None:
    big = noise(1, 400_000)
    store.put_originals("ada", [big])
    store.close()
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(20_000) + content[middle + 20_000 :])
    with closing_store(path) as damaged:
        with pytest.raises(StoreUnavailable, match=r"store\.sqlite"):
            damaged.get_original("ada", big.hash)
        path.write_bytes(content)
        assert damaged.get_original("ada", big.hash).text == big.text


@contextmanager
def closing_store(path: Path, max_bytes: int = 100_000_000) -> Iterator[SqliteStore]:
    store = SqliteStore(path, TTL_S, max_bytes)
    yield store
    store.close()


def test_a_file_of_a_newer_version_is_left_alone(store: SqliteStore, path: Path) -> None:
    store.put_originals("ada", [FIRST])
    store.close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with closing_store(path) as newer:
        expect_unavailable(newer, path, "schema 99")


def test_a_file_of_an_older_version_keeps_its_records(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as older:
        older.executescript("".join(STEPS[:3]) + "PRAGMA user_version = 3;")
        older.execute("INSERT INTO records VALUES ('keys', 'k', x'01'), ('toin-counts', 'ada', x'02')")
        older.commit()
    with closing_store(path) as store:
        assert store.get_record("keys", "k") == b"\x01"
        assert store.swap_record("toin-counts", "bob", None, b"3", 1.0)
        assert store.list_records("toin-counts") == {"ada": b"\x02", "bob": b"3"}
    with closing(sqlite3.connect(path)) as newer:
        ends = dict(newer.execute("SELECT key, expires - strftime('%s', 'now') FROM records"))
    assert ends["k"] is None
    assert 29 * 86_400 < ends["ada"] <= 30 * 86_400


def test_a_result_of_another_version_is_replaced(store: SqliteStore, path: Path) -> None:
    store.put_results({"k": Compressed("old"), "l": Compressed("l")})
    with closing(sqlite3.connect(path)) as other:
        other.execute("""UPDATE results SET fields = '{"transform":"log","colour":"red"}' WHERE key = 'k'""")
        other.commit()
    assert store.get_results(["k", "l"]) == {"l": Compressed("l")}
    assert store.put_results({"k": Compressed("new")}) == {"k": Compressed("new")} == store.get_results(["k"])


def test_a_full_store_buries_the_least_recently_used(path: Path) -> None:
    now = 0.0
    texts = [noise(n, 40_000) for n in range(12)]
    store = SqliteStore(path, TTL_S, 320_000, clock=lambda: now)
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
    store.close()


def test_originals_of_one_call_do_not_displace_each_other(path: Path) -> None:
    texts = [noise(n, 40_000) for n in range(4)]
    with closing_store(path, 120_000) as store:
        store.put_originals("ada", texts[:1])
        store.put_originals("ada", texts[:3])
        assert list(store.touch_originals("ada", [one.hash for one in texts[:3]])) == []
        with pytest.raises(StoreUnavailable, match="more text at once"):
            store.put_originals("ada", [noise(n, 40_000) for n in range(10, 20)])
        assert list(store.touch_originals("ada", [one.hash for one in texts[:3]])) == []


def test_results_are_bounded(path: Path) -> None:
    now = 0.0
    store = SqliteStore(path, TTL_S, 40_000, clock=lambda: now)
    for number in range(50):
        now += 100
        store.put_results({f"k{number}": Compressed("x" * 1000)})
        assert store.get_results(["k0"])
    known = store.get_results([f"k{number}" for number in range(50)])
    assert {"k0", "k49"} < set(known)
    assert "k1" not in known
    assert len(known) < 10
    now += 2 * TTL_S
    store.put_results({"late": Compressed("x")})
    assert set(store.get_results([*known, "late"])) == {"late"}
    store.close()


def race(path: Path, name: str, gate: Barrier, answers: multiprocessing.Queue[tuple[str, str | None, bytes]]) -> None:
    store = SqliteStore(path, TTL_S, 1_000_000)
    gate.wait()
    store.put_originals(name, [FIRST])
    winner = store.put_results({"k": Compressed(name)})["k"].text
    store.put_originals("shared", [FIRST, original(name)])
    answers.put((name, winner, store.secret("callers")))
    store.close()


def test_processes_that_write_the_same_key_agree(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    gate, answers = spawn.Barrier(3), spawn.Queue()
    racers = [spawn.Process(target=race, args=(path, name, gate, answers)) for name in ("ada", "bob", "cyd")]
    for racer in racers:
        racer.start()
    told = [answers.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert {name for name, _, _ in told} == {"ada", "bob", "cyd"}
    assert len({(winner, secret) for _, winner, secret in told}) == 1
    with closing_store(path) as store:
        assert store.get_results(["k"])["k"].text == told[0][1]
        assert store.blob_stats().entries == 7


def test_a_forked_child_opens_its_own_connection(store: SqliteStore) -> None:
    store.put_originals("ada", [FIRST])
    child = os.fork()
    if child == 0:
        try:
            store.put_originals("ada", [SECOND])
            os._exit(0 if store.get_original("ada", FIRST.hash).text == FIRST.text else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get_original("ada", SECOND.hash).text == SECOND.text
    assert store.get_original("ada", FIRST.hash).retrievals == 2

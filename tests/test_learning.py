"""Learning over a real store: what is asked for again is kept in later conversations, and no running one changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headroom.ccr import marker
from headroom.conversation import by_key, read_conversation
from headroom.dialects import ANTHROPIC
from headroom.dialects.base import splice
from headroom.errors import StoreUnavailable
from headroom.learning import Learning
from headroom.model import Compressed, Original, Policy, Segment
from headroom.scoring import toin
from headroom.store import Store
from headroom.store.redis import RedisStore
from headroom.store.sqlite import SqliteStore
from headroom.worker import Worker
from tests.proxy.faces import invoice_turns, invoices, middle

SCOPE = "owner"
TOOL = "list_invoices"
Open = Callable[[], Store]


@pytest.fixture(params=["sqlite", "redis"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store once more, as another process would."""
    opened: list[Store] = []
    url = request.getfixturevalue("redis").url if request.param == "redis" else ""

    def open_again() -> Store:
        opened.append(RedisStore(url, 3600, 10**8, prefix=str(tmp_path)) if url else SqliteStore(tmp_path / "store.sqlite", 3600, 10**8))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


def forwarded(worker: Worker, store: Store, seeds: Sequence[int]) -> str:
    """What goes to the provider for the conversation."""
    call = ANTHROPIC.read(json.dumps({"model": "m", "messages": invoice_turns(seeds)}).encode())
    talk = read_conversation(ANTHROPIC, call, Policy(), SCOPE)
    known = dict(store.get_results([*talk.keyed, *talk.turn_keys]))
    job = talk.job(known, "m")
    if not job.idle:
        known |= by_key(job, worker.run(job))
    return splice(call, talk.segments, talk.results(known), talk.turns, talk.recalled(known)).decode()


def learning_on(store: Store) -> Learning:
    """It writes when it is told to, and always reads the newest advice."""
    return Learning(store, interval_s=0)


class Process:
    """One process of an installation."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.learning = learning_on(store)
        self.worker = Worker(store, learning=self.learning)

    def forwarded(self, *seeds: int) -> str:
        body = forwarded(self.worker, self.store, seeds)
        self.learning.flush()
        return body

    def asks_again(self, body: str, query: str) -> None:
        """A model that was shown `body` searches in what was left out of its last output."""
        original = self.store.get_original(SCOPE, list(marker.hashes(body))[-1])
        self.learning.asked(SCOPE, original, query)
        self.learning.flush()


def learn(process: Process, seeds: range = range(100, 105)) -> None:
    """Conversations whose middle rows are asked for again."""
    for seed in seeds:
        body = process.forwarded(seed)
        assert not [number for number in middle(seed) if number in body]
        process.asks_again(body, middle(seed)[5])


def test_middle_rows_that_are_asked_for_again_are_no_longer_cut(reopen: Open) -> None:
    before, other = Process(reopen()), Process(reopen())
    running = before.forwarded(1)
    assert not [number for number in middle(1) if number in running]
    learn(before)
    for process in (before, other, Process(reopen())):  # who learned it, another process, one that was started later
        seed = 200 + id(process) % 10_000
        fresh = process.forwarded(seed)
        assert [number for number in middle(seed) if number not in fresh] == []
        assert f"INV-{seed}-0080" not in fresh
        assert len(fresh) < len(json.dumps(invoice_turns([seed]))) / 2
    assert before.forwarded(1) == running


def test_a_running_conversation_stays_byte_stable_while_advice_changes(reopen: Open) -> None:
    first = Process(reopen())
    bodies = [first.forwarded(1), first.forwarded(1, 2)]
    learn(first)
    assert first.learning.learned(SCOPE).version
    bodies += [Process(reopen()).forwarded(*seeds) for seeds in ((1, 2, 3), (1, 2, 3, 4))]
    for earlier, later in itertools.pairwise(bodies):
        assert later.startswith(earlier.removesuffix("]}"))
    assert not [number for seed in (1, 2, 3, 4) for number in middle(seed) if number in bodies[-1]], "it keeps the advice it began with"


class Forgetful(SqliteStore):
    """A store whose results are lost as soon as they are written."""

    def get_results(self, keys: Sequence[str]) -> Mapping[str, Compressed]:
        return {}

    def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        return results


def test_what_is_computed_again_follows_the_advice_of_its_time(tmp_path: Path) -> None:
    process = Process(Forgetful(tmp_path / "store.sqlite", 3600, 10**8))
    running = process.forwarded(1, 2)
    learn(process)
    advised = process.forwarded(7)
    assert middle(7)[0] in advised
    for seed in range(1000, 1100):
        body = process.forwarded(seed)
        if not marker.HASH.search(body):
            break
        process.asks_again(body, "")
    assert process.learning.current(SCOPE).for_output(TOOL, invoices(1)).whole
    assert marker.HASH.search(process.forwarded(8)) is None
    again = Process(process.store)
    assert again.forwarded(1, 2) == running
    assert again.forwarded(7) == advised


def test_every_event_counts_once_whoever_saw_it(reopen: Open) -> None:
    text = invoices(1)

    def busy(process: int) -> None:
        learning = learning_on(reopen())
        for number in range(20):
            learning.asked(SCOPE, Original(f"{process}-{number}", text, TOOL))
            if number % 5 == 0:
                learning.flush()
        learning.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(busy, range(6)))
    (counts,) = Learning(reopen()).learned(SCOPE).patterns.values()
    assert counts == {"asked": 120, "whole": 120}


def test_one_output_teaches_each_thing_once(tmp_path: Path) -> None:
    learning = learning_on(SqliteStore(tmp_path / "store.sqlite", 3600, 10**8))
    original = Original("h", invoices(1), TOOL)
    for query in ("", middle(1)[0], middle(1)[1], "INV-1-0001", ""):
        learning.asked(SCOPE, original, query)
        learning.flush()
    (counts,) = learning.learned(SCOPE).patterns.values()
    assert counts == {"asked": 1, "whole": 1, "searched": 1, "at:5": 1, "at:0": 1, "field:number": 1}


def test_owners_learn_apart(reopen: Open) -> None:
    process = Process(reopen())
    learn(process)
    assert process.learning.current(SCOPE).version
    assert not process.learning.current("another").version
    assert [len(learned.patterns) for learned in process.learning.everybody()] == [1]


def test_events_are_written_by_themselves(reopen: Open) -> None:
    store = reopen()
    learning = Learning(store, interval_s=0.01)
    original = Original("h", invoices(1), TOOL)
    learning.asked(SCOPE, original)
    written = iter(lambda: bool(Learning(store).learned(SCOPE).patterns), True)
    for _ in zip(range(10**6), written, strict=False):
        pass
    learning.close()
    assert Learning(store).learned(SCOPE).patterns


class Broken(SqliteStore):
    """A store whose records fail while `broken`."""

    broken = False

    def swap_record(self, table: str, key: str, old: bytes | None, new: bytes | None, idle_s: float | None = None) -> bool:
        if self.broken:
            raise StoreUnavailable("broken for the test")
        return super().swap_record(table, key, old, new, idle_s)

    def get_first(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        if self.broken:
            raise StoreUnavailable("broken for the test")
        return super().get_first(keys)


def test_a_store_that_fails_loses_nothing_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    store = Broken(tmp_path / "store.sqlite", 3600, 10**8)
    process = Process(store)
    store.broken = True
    body = process.forwarded(5)
    assert marker.HASH.search(body)
    process.asks_again(body, middle(5)[5])
    assert not process.learning.learned(SCOPE).patterns
    store.broken = False
    process.learning.flush()
    (counts,) = process.learning.learned(SCOPE).patterns.values()
    assert (counts["cut"], counts["asked"]) == (1, 1)


def test_what_another_version_wrote_begins_anew(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", 3600, 10**8)
    process = Process(store)
    learn(process)
    version = process.learning.learned(SCOPE).version
    key = f"{SCOPE}/{version}"
    assert store.swap_record("toin-snapshots", key, store.get_record("toin-snapshots", key), b'{"s": {"unknown": 1}}')
    later = Process(store)
    assert marker.HASH.search(later.forwarded(50))
    counts = store.get_record("toin-counts", SCOPE)
    assert store.swap_record("toin-counts", SCOPE, counts, b"odd")
    assert later.learning.learned(SCOPE).patterns == {}
    later.forwarded(51)
    assert len(later.learning.learned(SCOPE).patterns) == 1


def test_old_snapshots_go(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite", 3600, 10**8)
    learning = learning_on(store)
    for number in range(70):
        for output in range(10):
            learning.asked(SCOPE, Original(f"{number}-{output}", json.dumps([{f"field_{'x' * number}": 1}]), "tool"))
        learning.flush()
    versions = learning.learned(SCOPE).versions
    assert len(versions) == len(set(versions)) == 64
    assert set(store.list_records("toin-snapshots")) == {f"{SCOPE}/{version}" for version in versions}
    assert learning.current(SCOPE) == toin.snapshot(learning.learned(SCOPE).patterns)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def advise(learning: Learning, scope: str, tool: str = "tool") -> None:
    for output in range(10):
        learning.asked(scope, Original(f"{scope}-{tool}-{output}", "[]", tool))
    learning.flush()


DAY_S = 86_400.0


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_what_was_learned_of_an_owner_goes_after_a_month_and_not_what_a_conversation_keeps(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    clock = Clock()
    store: Store = SqliteStore(tmp_path / "store.sqlite", 3600, 10**8, clock)
    if kind == "redis":
        store = RedisStore(request.getfixturevalue("redis").url, 3600, 10**8, clock, prefix=str(tmp_path))
    learning = Learning(store, interval_s=0, clock=clock)
    for number in range(30):
        advise(learning, f"token {number}")
    advise(learning, "running")
    begun = learning.advised("running", "conversation")
    advise(learning, "running", "another tool")
    assert begun.version
    assert len(learning.learned("running").versions) == 2
    for _ in range(40):
        clock.now += DAY_S
        assert learning.advised("running", "conversation") == begun
        learning.flush()
    advise(learning, "new")
    assert set(store.list_records("toin-counts")) == {"new"}
    assert set(store.list_records("toin-snapshots")) == {f"running/{begun.version}", f"new/{learning.learned('new').version}"}
    assert Learning(store, interval_s=0, clock=clock).advised("running", "later") == toin.Snapshot()
    store.close()


def test_the_newest_snapshot_stays_as_long_as_its_counts(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path / "store.sqlite", 3600, 10**8, clock)
    learning = Learning(store, interval_s=0, clock=clock)
    advise(learning, SCOPE)
    for day in range(40):
        clock.now += DAY_S
        learning.compressed(SCOPE, [Segment("[]", (0, 0), tool="seen")], [Compressed("", "json", "", 9, 3, f"h{day}", 4, 1)])
        learning.flush()
    version = learning.learned(SCOPE).version
    assert version
    assert set(store.list_records("toin-snapshots")) == {f"{SCOPE}/{version}"}


def test_the_newest_advice_is_at_hand_for_some_owners_only(tmp_path: Path) -> None:
    learning = Learning(SqliteStore(tmp_path / "store.sqlite", 3600, 10**8))
    for number in range(1_100):
        learning.current(f"token {number}")
    assert len(learning._latest) == 1_000


def test_what_is_imported_has_names_no_longer_than_ours(tmp_path: Path) -> None:
    learning = learning_on(SqliteStore(tmp_path / "store.sqlite", 3600, 10**8))
    long = "n" * 100_000
    counts = {f"{number}{long}": 1 for number in range(300)} | {f"field:{number}{long}": 1 for number in range(100)} | {"seen": 2}
    for _ in range(2):
        learning.imported(SCOPE, {f"{long}#{long}": counts, f"{long}~#{long}": {"seen": 3}, long: {"seen": 4}, "a#b": {"seen": 5}})
        learning.flush()
    patterns = learning.learned(SCOPE).patterns
    cut = f"{'n' * 80}#{'n' * 80}"
    assert set(patterns) == {cut, "n" * 80, "a#b"}
    assert {name: counts["seen"] for name, counts in patterns.items()} == {cut: 10, "n" * 80: 8, "a#b": 10}
    assert len(patterns[cut]) == 100 + 32
    assert max(map(len, patterns[cut])) == 80


def test_short_and_unnamed_texts_teach_nothing(tmp_path: Path) -> None:
    learning = learning_on(SqliteStore(tmp_path / "store.sqlite", 3600, 10**8))
    learning.compressed(SCOPE, [Segment("short", (0, 0), tool=TOOL)], [Compressed(None, reason="too_small")])
    learning.compressed(SCOPE, [Segment("some prose", (0, 0))], [Compressed("prose", "prose", "", 9, 3, "h", 4, 1)])
    learning.flush()
    assert learning.learned(SCOPE).patterns == {}

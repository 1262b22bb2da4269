"""What is known is replayed, stays redeemable, and takes bounded memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from headroom.errors import NotFound
from headroom.model import Compressed, Original, Segment, content_hash
from headroom.proxy.replay import Replay
from headroom.store.sqlite import SqliteStore
from headroom.store.threaded import ThreadedStore
from tests.proxy.faces import body_of
from tests.proxy.memory import Memory

TEXT = "an original text"
KEPT = Compressed("smaller", "log", "", 9, 3, content_hash(TEXT), 5, 2)
SEGMENTS = {"key": Segment(TEXT, (0, 0), tool="t")}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def with_store(tmp_path: Path, work: Callable[[SqliteStore, ThreadedStore, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        store = SqliteStore(tmp_path / "s", ttl_s=3600, max_bytes=10**9, clock=clock, busy_s=0.05)
        threaded = ThreadedStore(store)
        await work(store, threaded, clock)
        await threaded.close()

    asyncio.run(run())


def test_what_a_known_result_refers_to_is_stored_again_when_it_is_gone(tmp_path: Path) -> None:
    async def work(store: SqliteStore, threaded: ThreadedStore, clock: Clock) -> None:
        store.put_results({"key": KEPT})
        assert await Replay(threaded).lookup("s", ["key", "other"], SEGMENTS) == {"key": KEPT}
        assert store.get_original("s", KEPT.hash) == Original(KEPT.hash, TEXT, "t", 9, 5, 2, 1)
        with pytest.raises(NotFound):
            store.get_original("another", KEPT.hash)
        clock.now += 10_000
        assert await Replay(threaded).lookup("s", ["key"], SEGMENTS) == {"key": KEPT}
        assert store.get_original("s", KEPT.hash).text == TEXT

    with_store(tmp_path, work)


def test_lifetimes_are_renewed_as_often_as_told(tmp_path: Path) -> None:
    async def work(store: SqliteStore, threaded: ThreadedStore, clock: Clock) -> None:
        eager, lazy = Replay(threaded, renew_s=0.0), Replay(threaded)
        for replay in (eager, lazy):
            replay.remember({"key": KEPT})
            await replay.lookup("s", ["key"], SEGMENTS)
        for _ in range(4):
            clock.now += 3000
            await eager.lookup("s", ["key"], SEGMENTS)
        assert store.get_original("s", KEPT.hash).text == TEXT

    with_store(tmp_path, work)


def test_memory_is_bounded_and_the_store_remembers(tmp_path: Path) -> None:
    async def work(store: SqliteStore, threaded: ThreadedStore, clock: Clock) -> None:
        replay = Replay(threaded, max_bytes=100_000)
        results = {f"key {n}": Compressed(None, reason="x" * n) for n in range(2000)}
        store.put_results(results)
        for key, result in results.items():
            replay.remember({key: result})
        assert len(replay._known) <= 200
        assert await replay.lookup("s", list(results), {}) == results
        assert len(replay._known) <= 200

    with_store(tmp_path, work)


def test_a_pin_gives_way_to_what_stood_before(tmp_path: Path) -> None:
    async def work(store: SqliteStore, threaded: ThreadedStore, clock: Clock) -> None:
        store.put_results({"key": KEPT})
        late = Compressed(None, reason="compressor_deadline")
        replay = Replay(threaded)
        assert await replay.pin(["key", "new"], late) == {"key": KEPT, "new": late}
        assert await Replay(threaded).lookup("s", ["key", "new"], SEGMENTS) == {"key": KEPT, "new": late}
        store.close()
        assert await replay.pin(["newer"], late) == {"newer": late}
        assert await replay.lookup("s", ["key", "new", "newer"], SEGMENTS) == {"key": KEPT, "new": late, "newer": late}

    with_store(tmp_path, work)


def test_what_was_pinned_while_the_store_was_down_is_told_when_it_is_back(tmp_path: Path) -> None:
    async def work(store: SqliteStore, threaded: ThreadedStore, clock: Clock) -> None:
        late = Compressed(None, reason="compressor_deadline")
        replay, other = Replay(threaded), Replay(threaded)
        replay.failed("it is away")
        assert await replay.pin(["key"], late) == {"key": late}
        assert await other.lookup("s", ["key"], SEGMENTS) == {}
        replay._down_until = 0.0
        await replay.lookup("s", ["another"], SEGMENTS)
        assert await other.lookup("s", ["key"], SEGMENTS) == {"key": late}

    with_store(tmp_path, work)


@pytest.mark.parametrize("route", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
def test_what_a_replica_has_seen_it_asks_the_store_nothing_about(route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    run = ThreadedStore._run

    async def noted(self: ThreadedStore, method: Callable[..., Any], *args: Any) -> Any:
        asked.append(method.__name__)
        return await run(self, method, *args)

    monkeypatch.setattr(ThreadedStore, "_run", noted)
    memory = Memory(tmp_path)
    for turns, wanted in ((2, ["get_results"]), (2, []), (3, ["get_results"]), (3, [])):
        asked.clear()
        memory.ask(route, json.dumps(body_of(route, turns)).encode())
        assert asked == wanted
    memory.close()

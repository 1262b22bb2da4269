"""The log file: one line per request, from several writers, never in the way of a request."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from headroom.errors import SettingsError, StoreUnavailable
from headroom.outcome import Outcome, Usage
from headroom.proxy.processes import WorkerProcesses
from headroom.proxy.recorder import Recorder
from headroom.proxy.server import create_app
from headroom.proxy.services import open_recorder, open_services
from headroom.settings import Settings
from headroom.stats.book import View
from headroom.stats.ledger import Query
from headroom.stats.prices import Prices
from headroom.stats.rows import Row
from headroom.stats.tally import Tally
from tests.provider import WAIT_S
from tests.proxy.faces import Inline, settings_for

FIELDS = {
    "request_id",
    "timestamp",
    "provider",
    "model",
    "status",
    "input_tokens_original",
    "input_tokens_optimized",
    "output_tokens",
    "tokens_saved",
    "savings_percent",
    "optimization_latency_ms",
    "total_latency_ms",
    "tags",
    "cache_hit",
    "transforms_applied",
    "waste_signals",
    "error",
    "skip_reason",
    "cache_read_tokens",
    "cache_write_tokens",
}


def outcome(number: int, before: int = 1000, after: int = 400) -> Outcome:
    return Outcome(
        request_id=f"r{number}",
        timestamp=1_700_000_000.5,
        dialect="anthropic",
        provider="anthropic",
        model="claude",
        mode="reversible",
        status=200,
        stream=True,
        tokens_before=before,
        tokens_after=after,
        transforms=("router:log:0.40",),
        usage=Usage(output_tokens=7, cache_read_tokens=3),
        tags=(("team", "search"),),
    )


@contextmanager
def recording(home: Path, file: Path | None = None, **more: Any) -> Iterator[Recorder]:
    """A recorder on the ledger in `home`, started and, behind the block, closed."""
    recorder = open_recorder(Settings(home=home, log_file=file, **more))
    asyncio.run(recorder.start())
    try:
        yield recorder
    finally:
        asyncio.run(recorder.close())


def test_every_outcome_is_a_line_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "requests.jsonl"
    with recording(tmp_path, file) as recorder:
        for number in range(50):
            recorder.record(outcome(number))
        assert asyncio.run(recorder.look()).total["requests"] == 50
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    assert [entry["request_id"] for entry in lines] == [f"r{number}" for number in range(50)]
    assert set(lines[0]) == FIELDS
    assert lines[0]["tokens_saved"] == 600
    assert lines[0]["tags"] == {"team": "search"}
    assert lines[0]["timestamp"] == "2023-11-14T22:13:20.500000+00:00"
    assert file.stat().st_mode & 0o077 == 0


def test_what_was_counted_outlives_the_process(tmp_path: Path) -> None:
    for turn in (1, 2):
        with recording(tmp_path) as recorder:
            for _ in range(2):
                recorder.record(dataclasses.replace(outcome(turn), timestamp=time.time()))
            assert asyncio.run(recorder.look()).total["requests"] == turn
    assert json.loads((tmp_path / "proxy_savings.json").read_text())["lifetime"]["requests"] == 2


def test_a_loss_is_written_as_one(tmp_path: Path) -> None:
    with recording(tmp_path, tmp_path / "requests.jsonl") as recorder:
        recorder.record(outcome(1, before=100, after=130))
        assert asyncio.run(recorder.look()).total["tokens_saved"] == -30
    entry = json.loads((tmp_path / "requests.jsonl").read_text())
    assert (entry["tokens_saved"], entry["savings_percent"]) == (-30, -30.0)


def test_two_recorders_append_to_one_file_and_one_ledger(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    with recording(tmp_path, file) as one, recording(tmp_path, file) as two:
        for number in range(200):
            (one, two)[number % 2].record(outcome(number))
        for recorder in (one, two):
            asyncio.run(recorder.look())
        assert asyncio.run(one.look()).total == asyncio.run(two.look()).total
        assert asyncio.run(one.look()).total["requests"] == 200
    assert {json.loads(text)["request_id"] for text in file.read_text().splitlines()} == {f"r{number}" for number in range(200)}


def test_a_full_disk_costs_lines_not_requests(tmp_path: Path) -> None:
    with recording(tmp_path, Path("/dev/full")) as recorder:
        for number in range(3):
            recorder.record(outcome(number))
        assert asyncio.run(recorder.look()).total["requests"] == 3


def test_a_ledger_that_cannot_be_written_drops_what_is_too_much_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "stats").write_text("in the way")
    with recording(tmp_path) as recorder:
        for number in range(10_600):  # what is being written, and what may wait
            recorder.record(outcome(number))
        dropped = recorder.dropped
        assert dropped >= 1
        with pytest.raises(StoreUnavailable, match="ledger"):
            asyncio.run(recorder.look(fresh=False))
    assert "in no ledger" in caplog.text


def test_outcomes_wait_for_a_disk_that_comes_back(tmp_path: Path) -> None:
    (tmp_path / "stats").write_text("in the way")
    with recording(tmp_path) as recorder:
        recorder.record(outcome(1))
        (tmp_path / "stats").unlink()
        until = time.monotonic() + WAIT_S
        while asyncio.run(recorder.look(fresh=False)).total["requests"] < 1:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert recorder.dropped == 0


def test_an_outcome_that_nobody_expected_takes_no_other_along(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, odd = tmp_path / "requests.jsonl", dataclasses.replace(outcome(1), usage=cast(Any, None))
    with recording(tmp_path, file) as recorder:
        for each in (outcome(0), odd, outcome(2)):
            recorder.record(each)
        assert asyncio.run(recorder.look()).total["requests"] == 2
        recorder.record(outcome(3))
        assert asyncio.run(recorder.look()).total["requests"] == 3
        assert recorder.dropped == 1
    assert [json.loads(text)["request_id"] for text in file.read_text().splitlines()] == ["r0", "r2", "r3"]
    assert "request r1 has no row" in caplog.text
    assert "Traceback" in caplog.text


class Odd:
    """A ledger in which everything fails that can, and not as disks do; of rows, the batches, and the third."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.calls: list[str] = []

    def append(self, rows: Sequence[Row]) -> None:
        named = [row["event_id"] for row in rows]
        if "r3" in named:
            raise ValueError("odd")
        self.rows += named

    def look(self, query: Query | None = None) -> View:
        return View(Tally({"requests": len(self.rows)}))

    def __getattr__(self, name: str) -> Any:
        def fails(*_: Any, **__: Any) -> None:
            self.calls.append(name)
            raise ValueError("odd")

        return fails


def test_a_ledger_that_fails_as_nobody_expected_is_written_on(caplog: pytest.LogCaptureFixture) -> None:
    """The thread lives on, and ends in order; each row is written once, or counted as in no ledger."""

    async def run() -> None:
        for number in range(6):
            recorder.record(outcome(number))
        await recorder.start()
        assert (await recorder.look()).total["requests"] == 5
        for number in range(6, 9):
            recorder.record(outcome(number))
            assert (await recorder.look()).total["requests"] == number
        await recorder.close()

    book: Any = Odd()
    recorder = Recorder(book, Prices())
    asyncio.run(run())
    assert book.rows == [f"r{number}" for number in range(9) if number != 3]
    assert recorder.dropped == 1
    assert {"start", "seal", "compact", "close"} <= set(book.calls)
    assert "the row of request r3 could not be written" in caplog.text
    assert "Traceback" in caplog.text


def test_a_path_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(home=tmp_path, log_file=tmp_path / "file" / "requests.jsonl")
    with pytest.raises(SettingsError, match="--log-file"):
        open_services(settings, WorkerProcesses(settings))


class Hung:
    """A ledger that gives no answer until it may; nothing is written."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked = 0

    def look(self, query: Query | None = None) -> View:
        self.asked += 1
        assert self.may.wait(WAIT_S)
        return View(Tally({"requests": 7}))

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def test_names_are_looked_up_while_the_ledger_gives_no_answer() -> None:
    """Where the loop has one thread for everything else."""

    async def run() -> None:
        book: Any = Hung()
        recorder, loop = Recorder(book, Prices()), asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        looks = [asyncio.create_task(recorder.look(Query({"team": "x"}), fresh=False)) for _ in range(20)]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(loop.getaddrinfo("127.0.0.1", 80), WAIT_S / 2)
        finally:
            book.may.set()
        assert {view.total["requests"] for view in await asyncio.gather(*looks)} == {7}
        await recorder.close()

    asyncio.run(run())


def test_a_glance_waits_for_nothing_and_one_of_them_asks() -> None:
    book: Any = Hung()
    recorder = Recorder(book, Prices())
    assert [recorder.glance().total["requests"] for _ in range(50)] == [0] * 50
    assert book.asked <= 1
    book.may.set()
    until = time.monotonic() + WAIT_S
    while recorder.glance().total["requests"] != 7:
        assert time.monotonic() < until
    asyncio.run(recorder.close())


def test_health_waits_for_no_ledger(tmp_path: Path) -> None:
    settings, book = settings_for("http://provider.invalid", tmp_path), Hung()
    services = open_services(settings, Inline(settings), recorder=Recorder(cast(Any, book), Prices()))

    async def asked() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://headroom") as client:
            return await asyncio.wait_for(asyncio.gather(*(client.get("/health") for _ in range(20))), WAIT_S / 2)

    try:
        answers = asyncio.run(asked())
    finally:
        book.may.set()
    assert {answer.status_code for answer in answers} == {200}
    assert book.asked == 1

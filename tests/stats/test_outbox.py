"""Rows on their way to a ledger elsewhere: whatever fails or is killed between, each that was acknowledged is there once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import headroom.stats.outbox
from headroom.errors import StoreUnavailable
from headroom.stats.board import Wish
from headroom.stats.intake import Intake
from headroom.stats.journal import files
from headroom.stats.outbox import Batch, Method, Outbox
from headroom.stats.rows import COLUMNS, Row
from tests.provider import WAIT_S
from tests.stats.made import rows
from tests.stats.test_ledger import FOREVER, NOW, book_in, expected, outcomes

PLENTY = 100_000_000


class Link:
    """The way to an intake, which may break before or behind it."""

    def __init__(self, intake: Intake, breaks: Iterable[str] = ()) -> None:
        self.intake = intake
        self.breaks = iter(breaks)
        self.batches: list[Batch] = []

    def put(self, batch: Batch) -> None:
        how = next(self.breaks, "")
        if how == "before":
            raise StoreUnavailable("it is away")
        self.batches.append(batch)
        self.intake.put(batch)
        if how == "behind":
            raise StoreUnavailable("its answer was lost")

    def ask(self, method: Method, about: Any) -> Any:
        return self.intake.ask(method, about)


def outbox_in(home: Path, link: Link, max_bytes: int = PLENTY) -> Outbox:
    outbox = Outbox(home / "outbox", link, max_bytes)
    outbox.start()
    return outbox


def test_two_nodes_one_ledger(tmp_path: Path) -> None:
    link = Link(Intake(book_in(tmp_path), 30))
    found = rows(300)
    one, two = outbox_in(tmp_path / "one", link), outbox_in(tmp_path / "two", link)
    one.append(found[:200])
    two.append(found[200:])
    assert two.look().total == expected(found[200:])
    assert one.look().total == two.look().total == expected(found)
    assert one.series()["daily"] == two.series()["daily"]
    assert one.board(Wish()).total["requests"] == 300
    assert not files(tmp_path / "one" / "outbox")
    assert {batch.again for batch in link.batches} == {False}


def test_a_large_file_goes_in_parts(tmp_path: Path) -> None:
    link = Link(Intake(book_in(tmp_path), 30))
    outbox = outbox_in(tmp_path, link)
    found = rows(4000)
    outbox.append(found)
    assert outbox.look().total == expected(found)
    assert len(link.batches) > 2
    assert max(len(batch.lines) for batch in link.batches) <= 2_000_000


def test_whatever_breaks_each_row_is_counted_once(tmp_path: Path) -> None:
    """Also between a kill of the ledger's process, which forgets which batches it took, and its compaction."""
    draw = random.Random(1)
    book = book_in(tmp_path)
    link = Link(Intake(book, 30), iter(lambda: draw.choice(("", "", "before", "behind")), None))
    found = rows(900, step_s=20)
    writers = [outbox_in(tmp_path / str(n), link) for n in range(3)]
    for n in range(0, 900, 10):
        writers[draw.randrange(3)].append(found[n : n + 10])
        for writer in writers:
            writer.seal()
            writer.compact()
        assert link.intake.ask("look", None).total["requests"] <= n + 10
        if draw.random() < 0.2:
            book.close()
            book = book_in(tmp_path)
            link.intake = Intake(book, 30)
        if draw.random() < 0.2:
            book.seal()
            book.compact(NOW)
    link.breaks = iter(())
    for writer in writers:
        writer.close()
    assert link.intake.ask("look", None).total == expected(found)
    assert any(batch.again for batch in link.batches)
    book.close()
    assert book.compact(NOW)
    assert sorted(outcomes(tmp_path)) == sorted(row["event_id"] for row in found)


def test_what_a_dead_process_left_is_delivered_by_another(tmp_path: Path) -> None:
    link = Link(Intake(book_in(tmp_path), 30), iter(["behind"]))
    dead = outbox_in(tmp_path, link)
    dead.append(rows(10))
    dead.seal()
    assert not dead.compact()
    dead.append(rows(10, seed=1))
    dead.seal()
    half = next(file for file in files(tmp_path / "outbox") if not file.stem.endswith(".sent"))
    with half.open("ab") as stream:
        stream.write(b'{"event_id":"cut')
    alive = outbox_in(tmp_path, link)
    assert alive.look().total == expected([*rows(10), *rows(10, seed=1)])
    assert not files(tmp_path / "outbox")


def test_while_nobody_takes_rows_one_file_grows_up_to_a_bound(tmp_path: Path) -> None:
    link = Link(Intake(book_in(tmp_path), 30), iter(lambda: "before", None))
    outbox = outbox_in(tmp_path, link, max_bytes=100_000)
    kept: list[Row] = []

    def write() -> None:
        for n in range(1000):
            some = rows(5, seed=n)
            outbox.append(some)
            kept.extend(some)
            outbox.seal(0.001)
            outbox.compact()

    with pytest.raises(OSError, match=r"stats\.spool_mb"):
        write()
    assert 30 < len(kept) < 200
    assert len(files(tmp_path / "outbox")) <= 2
    with pytest.raises(StoreUnavailable):
        Outbox(tmp_path / "other", _Away(), PLENTY).look()
    link.breaks = iter(())
    assert outbox.look().total == expected(kept)
    outbox.append(rows(5, seed=2000))


class _Away:
    def put(self, batch: Batch) -> None:
        raise StoreUnavailable("away")

    def ask(self, method: Method, about: Any) -> Any:
        raise StoreUnavailable("away")


def test_rows_of_another_version_are_counted(tmp_path: Path) -> None:
    """An older ingress knows fewer columns, a newer one more; neither stops the ledger."""
    found = rows(20)
    older = [{name: value for name, value in row.items() if name not in ("degraded", "team", "rounds")} | {"new": 1} for row in found]
    link = Link(Intake(book_in(tmp_path), 30))
    outbox = outbox_in(tmp_path, link)
    outbox.append([*older, {"event_id": "odd"}, {"event_id": "odder", "timestamp": "noon"}])
    total = outbox.look().total
    assert total["requests"] == 20
    assert total["saved_nanousd"] == expected(found)["saved_nanousd"]
    (journal,) = files(tmp_path / "stats" / "journal")
    assert set(COLUMNS) == set(json.loads(journal.read_text().splitlines()[0]))


_INGRESS = """
import sys, time
from pathlib import Path
from headroom.stats.journal import Journal
from tests.provider import WAIT_S
from tests.stats.made import rows
journal = Journal(Path(sys.argv[1]))
for n in range(100_000):
    found = rows(3, seed=f"{sys.argv[2]}.{n}", start=1_763_942_400.0 + 5 * n)
    journal.append(found)
    print(*(row["event_id"] for row in found), flush=True)
    if n % 5 == 0:
        journal.seal()
    time.sleep(0.03)  # what is printed fits into the pipe until it is read
"""
_STATS = """
import sys, time
from pathlib import Path
from headroom.stats.intake import Intake
from headroom.stats.outbox import Outbox
from tests.stats.test_outbox import Link, outbox_in
from tests.stats.test_ledger import FOREVER, book_in
intake = Intake(book_in(Path(sys.argv[1]), FOREVER), 0.02)
intake.start()
outbox = outbox_in(Path(sys.argv[1]), Link(intake))
while True:
    if outbox.compact():
        print("delivered", flush=True)
"""


def test_writer_and_ledger_killed_in_a_loop(tmp_path: Path) -> None:
    """A process writes rows, another takes and compacts them all the time; both are killed again and again."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    acknowledged: set[str] = set()
    for turn in range(4):
        ingress = subprocess.Popen(
            [sys.executable, "-c", _INGRESS, str(tmp_path / "outbox"), str(turn)], stdout=subprocess.PIPE, env=env, text=True
        )
        stats = subprocess.Popen([sys.executable, "-c", _STATS, str(tmp_path)], stdout=subprocess.PIPE, env=env, text=True)
        assert ingress.stdout
        assert stats.stdout
        for _ in range(2 + turn):
            stats.stdout.readline()
        acknowledged.update(ingress.stdout.readline().split())
        for victim in (stats, ingress) if turn % 2 else (ingress, stats):
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        acknowledged.update(word for line in ingress.stdout if line.endswith("\n") for word in line.split())
    book = book_in(tmp_path, FOREVER)
    intake = Intake(book, 30)
    last = outbox_in(tmp_path, Link(intake))
    total = last.look().total["requests"]
    book.close()
    assert book.compact(NOW)
    kept = outcomes(tmp_path)
    assert len(kept) == len(set(kept)) == total
    assert acknowledged <= set(kept)
    assert len(acknowledged) > 40
    assert not files(tmp_path / "outbox")


def test_whoever_asks_does_not_wait_for_a_delivery_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is then without what waits; it comes with the next."""
    monkeypatch.setattr(headroom.stats.outbox, "_HURRY_S", 0.01)
    began, may = threading.Event(), threading.Event()

    class Hung(Link):
        def put(self, batch: Batch) -> None:
            began.set()
            assert may.wait(WAIT_S)
            super().put(batch)

    outbox = outbox_in(tmp_path, Hung(Intake(book_in(tmp_path), 30)))
    found = rows(10)
    outbox.append(found)
    outbox.seal()
    with ThreadPoolExecutor(2) as threads:
        delivery = threads.submit(outbox.compact)
        assert began.wait(WAIT_S)
        try:
            assert threads.submit(outbox.look).result(WAIT_S / 2).total["requests"] == 0
        finally:
            may.set()
        assert delivery.result(WAIT_S)
    assert outbox.look().total == expected(found)

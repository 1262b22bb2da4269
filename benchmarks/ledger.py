"""The ledger with many rows: how fast they are rolled up, how fast /stats answers, in how much memory.

    python -m benchmarks.ledger                      # 10 million rows over 90 days, 500 users in 20 teams
    python -m benchmarks.ledger --rows 1000000 --days 10 --keep DIR

Rows are those of the tests, drawn again with other times, users and conversations. Bounds are printed as kept or NOT KEPT; they are of
CPU time, over all threads, and of memory. What the routes are asked is asked at first, by a process that knows nothing yet; again; and
after the next compaction. Each step runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headroom.stats import rollups
from headroom.stats.arrow import ROWS
from headroom.stats.board import Wish
from headroom.stats.book import Book
from headroom.stats.ledger import Query
from headroom.stats.parquet import Folder
from headroom.stats.places import Places
from headroom.stats.tally import HOUR_US
from tests.stats.made import START, rows

USERS, TEAMS, POOL = 500, 20, 20_000
FOREVER = 36_500
_MB = 1024 * 1024


def pool(count: int) -> pa.Table:
    found = rows(count, step_s=0.001)
    columns = {name: pa.array([row[name] for row in found], field.type) for name, field in zip(ROWS.names, ROWS, strict=True)}
    return pa.table(columns, schema=ROWS)


def generate(home: Path, count: int, days: int) -> str:
    """Parquet parts by hour, as the compaction of a busy organisation leaves them."""
    folder, draw, base = Folder(str(home / "stats")), np.random.default_rng(1), pool(POOL)
    each = count // (24 * days)
    for hour in range(24 * days):
        begin = int(START * 1e6) + hour * HOUR_US
        table = base.take(pa.array(draw.integers(0, POOL, each)))
        user = draw.zipf(1.3, each) % USERS
        new = {
            "timestamp": pa.array(np.sort(begin + draw.integers(0, HOUR_US, each)), pa.int64()).cast(ROWS.field("timestamp").type),
            "event_id": pa.array([f"{hour}-{n}" for n in range(each)]),
            "user": pa.array([f"user-{n}" for n in user]),
            "team": pa.array([f"team-{n % TEAMS}" for n in user]),
            "conversation": pa.array([f"{n:016x}" for n in draw.integers(0, 1 << 62, each)]),
        }
        for name, column in new.items():
            table = table.set_column(ROWS.get_field_index(name), ROWS.field(name), column)
        folder.write(f"{rollups.partition(begin)}/made.parquet", table)
    size = sum(file.stat().st_size for file in (home / "stats" / "outcomes").rglob("*.parquet"))
    return f"{each * 24 * days:,} rows in {24 * days:,} hours, {size / _MB:,.0f} MB"


def roll_up(home: Path, count: int, days: int) -> str:
    """A day at a time, as compaction does it at its worst."""
    folder = Folder(str(home / "stats"))
    began = time.process_time()
    for day in range(days):
        update = rollups.Update(folder)
        update.hours({int(START * 1e6) + (24 * day + hour) * HOUR_US: () for hour in range(24)})
        update.write()
    spent = time.process_time() - began
    size = sum(file.stat().st_size for file in (home / "stats" / "rollups").rglob("*.parquet"))
    per_million = spent / count * 1e6
    return f"{spent:,.0f} s of CPU, {per_million:.1f} s per million rows, {size / _MB:,.0f} MB of rollups{kept(per_million, 45)}"


def journal(home: Path, count: int, days: int) -> str:
    """20,000 rows through the journal, to Parquet, with the rollups of the hour they fall in."""
    book = opened(home)
    found = rows(20_000, seed=7, start=START + days * 86_400, step_s=0.1)
    began = time.process_time()
    for n in range(0, len(found), 500):
        book.append(found[n : n + 500])
    written = time.process_time() - began
    book.seal()
    began = time.process_time()
    book.compact(START + days * 86_400 + 7200)
    return f"{len(found) / written:,.0f} rows a second of CPU into the journal, compacted in {time.process_time() - began:.1f} s of CPU"


def ask(home: Path, count: int, days: int) -> str:
    """What the routes ask, with rows in the journal that are in no rollup yet: at first, again, and after the next compaction."""
    now = START + days * 86_400 + 4000
    book = opened(home)
    book.append(rows(1000, seed=8, start=now, step_s=0.1))
    month = Query(first=int(START * 1e6), last=int((START + 30 * 86_400) * 1e6))
    latest = Query(first=int((START + (days - 30) * 86_400) * 1e6))
    odd = Query({"team": "team-3"}, int((START + 5000) * 1e6), int((START + 40 * 86_400 + 9000) * 1e6))
    user = Query({"user": "user-1", "model": "gpt-4o"})
    asked: list[tuple[str, float, float, Callable[[], Any]]] = [
        ("/stats", 0.5, 0.05, book.look),
        ("/stats?team=", 2, 0.5, lambda: book.look(Query({"team": "team-3"}))),
        ("/stats?user=&model=", 2, 0.5, lambda: book.look(user)),
        ("/stats of a month", 2, 0.5, lambda: book.look(month)),
        ("/stats?team= from an hour to an hour", 2, 0.5, lambda: book.look(odd)),
        ("/stats-history", 2, 0.5, book.series),
        ("/stats-history?user=&model=", 2, 0.5, lambda: book.series(user)),
        ("board, daily by team", 4, 1.5, lambda: book.board(Wish())),
        ("board, hourly of the last 30 days", 6, 1.5, lambda: book.board(Wish(latest, "hourly"))),
    ]
    first = {name: spent(call) for name, _, _, call in asked}
    again = {name: spent(call) for name, _, _, call in asked}
    book.append(rows(1000, seed=9, start=now + 100, step_s=0.1))
    book.seal()
    compacted = spent(lambda: book.compact(now + 200))
    lines = [f"{'':40} {'first':>10} {'again':>10} {'after a compaction':>20}"]
    for name, bound, later_bound, call in asked:
        later = spent(call)
        told = [f"{1000 * found:8,.0f} ms" for found in (first[name], again[name], later)]
        lines.append(f"  {name:38} {told[0]} {told[1]} {told[2]:>20}{kept(first[name], bound)}{kept(max(again[name], later), later_bound)}")
    lines.append(f"  a compaction of 2,000 rows: {compacted:.1f} s{kept(compacted, 4)}")
    return f"{book.look().total['requests']:,} requests are counted\n" + "\n".join(lines)


def spent(call: Callable[[], Any]) -> float:
    """Seconds of CPU, over all threads."""
    began = time.process_time()
    call()
    return time.process_time() - began


def opened(home: Path) -> Book:
    book = Book(Places(home / "stats", str(home / "stats")), FOREVER, home / "savings.json")
    book.start()
    return book


def kept(found: float, bound: float) -> str:
    return f"  (bound {bound:g}: {'kept' if found <= bound else 'NOT KEPT'})"


def _step(work: Callable[[Path, int, int], str], home: Path, count: int, days: int) -> None:
    began = time.perf_counter()
    said = work(home, count, days)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{work.__name__}: {said}\n  {time.perf_counter() - began:,.1f} s, at most {memory:,.0f} MB{kept(memory, 1024)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--keep", type=Path, help="directory that stays; what is generated there already is used")
    arguments = parser.parse_args()
    home = arguments.keep or Path(tempfile.mkdtemp())
    try:
        for work in (generate, roll_up, journal, ask):
            if work is generate and (home / "stats" / "outcomes").exists():
                continue
            process = multiprocessing.get_context("spawn").Process(target=_step, args=(work, home, arguments.rows, arguments.days))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{work.__name__} failed")
    finally:
        if not arguments.keep:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()

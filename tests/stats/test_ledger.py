"""The ledger on disk: whoever asks gets the same totals, a kill loses and doubles nothing, and the files open everywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headroom.errors import SettingsError
from headroom.stats import compaction, exposition, journal, report, rollups
from headroom.stats.book import Book
from headroom.stats.compaction import Compaction
from headroom.stats.ledger import OVER_TIME, Buckets, Query
from headroom.stats.memo import ByFile
from headroom.stats.parquet import Folder
from headroom.stats.places import Places
from headroom.stats.rows import SCHEMA_VERSION, Row
from headroom.stats.series import SERIES, begin_of
from headroom.stats.sums import groups_of
from headroom.stats.tally import HOUR_US, Tally, dimensions, tally, total_of
from tests.stats.made import START, rows

NOW = START + 20 * 86_400
FOREVER = 36_500  # days
EVERYTHING = Query(last=1 << 61)  # said so that it is read from rollups


def book_in(home: Path, retention_days: int = 90) -> Book:
    book = Book(Places(home / "stats", str(home / "stats")), retention_days, home / "proxy_savings.json")
    book.start()
    return book


def expected(found: list[Row]) -> Tally:
    return total_of((dimensions(row), tally(row)) for row in found)


def summed(buckets: Buckets) -> dict[str, int]:
    return {figure: sum(one[figure] for one in buckets.values()) for figure in OVER_TIME}


def outcomes(home: Path) -> list[str]:
    """The event ids in Parquet, by way of DuckDB."""
    found = duckdb.sql(f"select event_id from read_parquet('{home}/stats/outcomes/**/*.parquet', hive_partitioning = true)").fetchall()
    return [event for (event,) in found]


def test_totals_are_the_same_before_and_after_compaction_and_in_every_process(tmp_path: Path) -> None:
    found = rows(600, step_s=120)
    one, two = book_in(tmp_path), book_in(tmp_path)
    one.append(found[:200])
    two.append(found[200:400])
    assert one.look().total == two.look().total == expected(found[:400])
    one.seal()
    assert two.compact(NOW)
    assert one.look().total == two.look().total == expected(found[:400])
    two.append(found[400:])
    one.append(found[:0])
    for book in (one, two):
        book.close()
    assert one.compact(NOW)
    three = book_in(tmp_path)
    assert three.look().total == two.look().total == expected(found)
    assert sorted(outcomes(tmp_path)) == sorted(row["event_id"] for row in found)
    assert three.look().recent[0]["request_id"] == found[-1]["event_id"]


def test_every_series_adds_up_to_the_same(tmp_path: Path) -> None:
    found = rows(180, step_s=20_000)  # six weeks
    book = book_in(tmp_path)
    for part in (found[:60], found[60:140]):
        book.append(part)
        book.seal()
        assert book.compact(NOW)
    book.append(found[140:])
    series = book.series()
    for name in SERIES:
        assert summed(series[name]) == {figure: expected(found)[figure] for figure in OVER_TIME}
        assert set(series[name]) == {begin_of(name, row["timestamp"] // HOUR_US * HOUR_US) for row in found}
    for name in SERIES:
        last = report.series_rows(series[name])[-1]
        assert last["total_tokens_saved"] == expected(found)["tokens_saved"]
    assert report.series_rows(series["weekly"])[0]["timestamp"] == "2025-11-24T00:00:00Z"  # a Monday


def test_what_is_kept_up_is_what_is_counted_anew(tmp_path: Path) -> None:
    """Rows come late and out of order, and names beyond the bound change their places."""
    found = [row | {"user": f"user-{n * n % 1300}"} if n % 3 else row for n, row in enumerate(rows(40, step_s=90_000))]
    found += [row | {"event_id": f"b{n}", "user": f"one-{n}"} for n, row in enumerate(rows(1050, seed=3, step_s=1))]
    book = book_in(tmp_path, FOREVER)
    for part in range(4):
        book.append(found[part::4])
        book.seal()
        assert book.compact(NOW)
    folder = Folder(str(tmp_path / "stats"))
    anew = rollups.Update(folder, anew=True)
    days = [date.fromisoformat(path[-10:]) for path in folder.directories("outcomes")]
    anew.hours({hour: () for day in days for hour in rollups.hours_kept(folder, day)})
    assert {path.split("/")[1] for path in anew.tables} == set(SERIES)
    for path, table in anew.tables.items():
        kept = folder.read(path)
        assert kept is not None
        assert groups_of(kept) == groups_of(table), path


def test_names_beyond_the_bound_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every bucket: also where a name was among the rare ones, or is now, and loses what it had."""
    monkeypatch.setattr(rollups, "_MOST_GROUPS", 6)
    monkeypatch.setattr(rollups, "_MOST_LONG_GROUPS", 8)
    found = [row | {"user": f"user-{n * n % 13}"} for n, row in enumerate(rows(300, step_s=9000))]
    book = book_in(tmp_path, FOREVER)
    for part in range(10):
        book.append(found[part::10])
        book.seal()
        assert book.compact(NOW)
        for name in SERIES:
            assert summed(book.series()[name])["requests"] == book.look().total["requests"]
    for name in SERIES:
        assert summed(book.series()[name]) == {figure: expected(found)[figure] for figure in OVER_TIME}
    folder = Folder(str(tmp_path / "stats"))
    for path in folder.files("rollups/monthly"):
        table = folder.read(path)
        assert table is not None
        providers = len(set(table.column("provider").to_pylist()))
        assert 8 <= len(table) <= 8 + providers
        assert len(groups_of(table)) == len(table)
        assert "other" in table.column("user").to_pylist()


def _in_two_months(home: Path) -> tuple[Book, Folder]:
    book = book_in(home, FOREVER)
    for n in range(2):
        book.append(rows(40, seed=n, start=1_763_942_400.0 + 20 * 86_400 * n, step_s=60))
        book.seal()
        assert book.compact(NOW)
    folder = Folder(str(home / "stats"))
    assert folder.files("rollups/monthly") == ["rollups/monthly/2025-11.parquet", "rollups/monthly/2025-12.parquet"]
    return book, folder


def test_only_the_months_that_change_are_read(tmp_path: Path) -> None:
    book, _ = _in_two_months(tmp_path)
    november = tmp_path / "stats" / "rollups" / "monthly" / "2025-11.parquet"
    known, whole = november.stat(), book.look().total
    november.write_bytes(bytes(known.st_size))
    os.utime(november, ns=(known.st_atime_ns, known.st_mtime_ns))
    book.append(rows(10, seed=5, start=1_765_670_400.0))
    book.seal()
    assert book.compact(NOW)
    assert book.look().total["requests"] == whole["requests"] + 10
    os.utime(november)  # now it is seen: it is counted anew from the days, and the totals from the months
    book.append(rows(10, seed=6, start=1_765_670_400.0))
    book.seal()
    assert book.compact(NOW)
    assert book.look().total["requests"] == whole["requests"] + 20 == summed(book.series()["monthly"])["requests"]


def test_metrics_read_the_same_before_and_after_a_compaction(tmp_path: Path) -> None:
    """Also those that are 0: a series that is there stays."""
    book = book_in(tmp_path, FOREVER)
    for n in range(4):
        book.append(rows(3, seed=n, start=1_763_942_400.0 + 1000 * n))
        view = book.look()
        before = exposition.render(view.total, view.labels)
        book.seal()
        assert book.compact(NOW)
        view = book.look()
        assert exposition.render(view.total, view.labels) == before


def test_totals_are_those_of_the_months(tmp_path: Path) -> None:
    book, folder = _in_two_months(tmp_path)
    read = [table for path in folder.files("rollups/monthly") if (table := folder.read(path)) is not None]
    assert +book.look().total == +rollups.total(read)


def test_weeks_and_months_of_a_whole_year_in_one_file_are_counted_anew(tmp_path: Path) -> None:
    book, folder = _in_two_months(tmp_path)
    before, whole = book.series(), book.look().total
    for series in ("weekly", "monthly"):
        paths = folder.files(f"rollups/{series}")
        year = pa.concat_tables([table for path in paths if (table := folder.read(path)) is not None])
        for path in paths:
            folder.delete(path)
        folder.write(f"rollups/{series}/2025.parquet", year)
    book.append(rows(1, seed=5, start=1_765_670_400.0))
    book.seal()
    assert book.compact(NOW)
    assert folder.files("rollups/monthly") == ["rollups/monthly/2025-11.parquet", "rollups/monthly/2025-12.parquet"]
    assert folder.files("rollups/weekly") == ["rollups/weekly/2025-11.parquet", "rollups/weekly/2025-12.parquet"]
    assert book.look().total["requests"] == whole["requests"] + 1
    for series, buckets in book.series().items():
        assert set(buckets) >= set(before[series])
        assert summed(buckets)["requests"] == whole["requests"] + 1


def test_only_files_that_changed_are_read_again() -> None:
    asked: list[str] = []
    known = ByFile(most_bytes=20)

    def read(path: str, stamp: int, about: str = "") -> bytes:
        def count() -> memoryview:
            asked.append(path)
            return memoryview(b"8 bytes.")

        return bytes(known.of(rollups.Slice(path, (stamp, 1), 0, 1), about, count))

    assert [read("a", 1), read("a", 1), read("a", 2), read("a", 2, "team")] == [b"8 bytes."] * 4
    assert asked == ["a", "a", "a"]
    read("b", 1)  # beyond the bound: what was asked for the longest ago is let go
    read("a", 2, "team")
    assert asked == ["a", "a", "a", "b"]
    read("a", 2)
    assert asked == ["a", "a", "a", "b", "a"]


def test_a_part_of_the_callers_in_a_stretch_of_time(tmp_path: Path) -> None:
    found = rows(150, step_s=3600)
    book = book_in(tmp_path)
    book.append(found[:100])
    book.seal()
    book.compact(NOW)
    book.append(found[100:])
    first, last = (int(START + hours * 3600) * 1_000_000 for hours in (30, 135))
    query = Query({"team": "search", "user": "ann"}, first, last)
    meant = [row for row in found if row["team"] == "search" and row["user"] == "ann" and first <= row["timestamp"] < last]
    assert meant
    assert book.look(query).total == expected(meant)


def test_an_event_that_comes_twice_counts_once(tmp_path: Path) -> None:
    """Whoever writes it again: another process, another day."""
    found = rows(100)
    one, two = book_in(tmp_path), book_in(tmp_path)
    one.append(found)
    one.append(found[:10])
    two.append(found[50:])
    assert one.look().total == two.look().total == expected(found)
    one.close()
    two.close()
    one.compact(NOW)
    assert one.look().total == expected(found)
    three = book_in(tmp_path)
    three.append(found[:20])
    three.close()
    three.compact(NOW)
    assert three.look().total == expected(found)
    assert sorted(outcomes(tmp_path)) == sorted(row["event_id"] for row in found)  # joined, and each is there once


def test_an_hour_that_goes_on_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(60, start=float(START // 3600 * 3600), step_s=50)
    book = book_in(tmp_path)
    book.append(found[:20])
    book.seal()
    assert book.compact(NOW)
    monkeypatch.setattr(rollups, "rows_of", None)
    for part in (found[20:40], found[30:50], found[50:], found[:5]):
        book.append(part)
        book.seal()
        assert book.compact(NOW)
    assert book.look().total == expected(found)


def test_every_file_opens_everywhere(tmp_path: Path) -> None:
    found = rows(300, step_s=100)
    book = book_in(tmp_path)
    book.append(found)
    book.close()
    book.compact(NOW)
    files = sorted((tmp_path / "stats").rglob("*.parquet"))
    assert len({file.relative_to(tmp_path / "stats").parts[:2] for file in files if "rollups" in file.parts}) == 4
    for file in files:
        table = pq.ParquetFile(file).read()
        assert len(table) == len(pd.read_parquet(file)) == duckdb.sql(f"select count(*) from '{file}'").fetchall()[0][0]
        assert set(table.column("schema_version").to_pylist()) == {SCHEMA_VERSION}
        assert table.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
    where = f"'{tmp_path}/stats/rollups/daily/*.parquet'"
    saved = duckdb.sql(f"select sum(saved_nanousd)::bigint, sum(details['skip/too_small'])::bigint from {where}").fetchall()
    assert saved[0] == (expected(found)["saved_nanousd"], expected(found)["skip/too_small"])


def test_parts_are_joined_when_the_hour_is_over(tmp_path: Path) -> None:
    found = rows(60, step_s=30)
    book = book_in(tmp_path)
    for n in range(0, 60, 20):
        book.append(found[n : n + 20])
        book.seal()
        book.compact(START + 1800)
    parts = list((tmp_path / "stats" / "outcomes").rglob("*.parquet"))
    assert len(parts) == 3
    book.append(rows(1, seed=1, start=START + 3 * 3600))
    book.close()
    book.compact(START + 4 * 3600)
    assert len(list((tmp_path / "stats" / "outcomes").rglob("hour=00/*.parquet"))) == 1
    assert len(outcomes(tmp_path)) == 61


def test_rows_go_when_their_time_is_over_and_what_they_counted_stays(tmp_path: Path) -> None:
    found = rows(80, step_s=5 * 3600)
    book = book_in(tmp_path, retention_days=3)
    book.append(found)
    book.seal()
    book.compact(START + 2 * 86_400)
    book.append(rows(1, seed=1, start=START + 400 * 3600))
    book.close()
    there = 81
    for _ in range(400 // 24):  # a day each, of five rows
        Compaction(Places(tmp_path / "stats", str(tmp_path / "stats")), 3).run(START + 400 * 3600)
        before, there = there, len(outcomes(tmp_path))
        assert before - there <= 5
    assert 15 <= len(outcomes(tmp_path)) <= 21
    assert book.look().total["requests"] == 81
    assert summed(book.series()["hourly"])["requests"] == 81


def test_a_clock_that_is_ahead_for_a_while_takes_no_row(tmp_path: Path) -> None:
    book = book_in(tmp_path, retention_days=90)
    found = rows(40, step_s=3600)
    book.append(found[:20])
    book.seal()
    book.compact(START + 86_400)
    book.append(found[20:])
    book.seal()
    book.compact(START + 120 * 86_400)
    book.close()
    book.compact(START + 2 * 86_400)
    assert len(outcomes(tmp_path)) == 40
    assert book.look().total["requests"] == 40


def test_rows_of_files_that_were_not_deleted_count_once_however_late(tmp_path: Path) -> None:
    """A kill between the summary and the end of the files, and another one more than an hour later."""
    places, book = Places(tmp_path / "stats", str(tmp_path / "stats")), book_in(tmp_path)
    for number, at in enumerate((NOW, NOW + 4000, NOW + 8000)):
        book.append(rows(10, seed=number, start=START + number))
        book.seal()
        kept = {file: file.read_bytes() for file in places.journal.glob("*.jsonl")}
        book.compact(at)
        for file, content in kept.items() if number < 2 else ():
            file.write_bytes(content)
    assert book.look().total["requests"] == len(outcomes(tmp_path)) == 30
    assert summed(book.series()["hourly"])["requests"] == 30
    book.close()


class Failing:
    """A file system of which reading fails once, after so many files."""

    def __init__(self, system: Any, after: int) -> None:
        self.left, self._system = after, system

    def open_input_file(self, path: str) -> Any:
        self.left -= 1
        if self.left in (0, -1):  # the reading, and the look at what was wrong with it
            raise OSError("SLOW_DOWN")
        return self._system.open_input_file(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)


def test_a_file_out_of_reach_takes_nothing_from_the_totals(tmp_path: Path) -> None:
    """At each reading of a run, until there is none left."""
    failed = 0
    for after in range(1, 100):
        home = tmp_path / str(after)
        places, book = Places(home / "stats", str(home / "stats")), book_in(home)
        for number in range(2):
            book.append(rows(10, seed=number, start=START + number))
            book.seal()
            if not number:
                book.compact(NOW)
        folder = Folder(places.url)
        failing = Failing(folder._files, after)
        folder._files = failing
        try:
            Compaction(places, 90, folder).run(NOW)
        except OSError:
            failed += 1
        if failing.left > 0:
            break
        assert book.look().total["requests"] == 20
        book.compact(NOW)
        assert book.look().total["requests"] == len(outcomes(home)) == 20
        assert summed(book.series()["monthly"])["requests"] == 20
        book.close()
    assert failed >= 3


def test_half_a_character_stops_nothing(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    good, odd = rows(2)
    book.append([good, odd | {"error": "call \ud800 is no JSON", "tags": ["a=\udfff"]}])  # as a version before wrote it
    book.seal()
    assert book.compact(NOW)
    assert len(outcomes(tmp_path)) == 2
    assert book.look().total["requests"] == 2
    book.close()


class Killed(BaseException):
    pass


class Dying(Folder):
    """Does so many things to its files and then no more."""

    def __init__(self, url: str, left: int) -> None:
        super().__init__(url)
        self._left = left

    def _live(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed

    def write(self, path: str, table: pa.Table, replaces: Sequence[str] = ()) -> None:
        self._live()
        super().write(path, table, replaces)

    def delete(self, path: str) -> None:
        self._live()
        super().delete(path)


def test_a_run_that_is_cut_off_is_done_again(tmp_path: Path) -> None:
    """At each of its steps, until there is none left."""
    found = rows(90, step_s=60)
    for left in range(100):
        home = tmp_path / str(left)
        places = Places(home / "stats", str(home / "stats"))
        book = book_in(home, FOREVER)
        for part in (found[:30], found[30:60], found[60:]):
            book.append(part)
            book.seal()
        cut = False
        try:
            compaction.Compaction(places, FOREVER, Dying(places.url, left)).run(NOW)
        except Killed:
            cut = True
        again = book_in(home, FOREVER)
        assert again.look().total == expected(found)
        assert summed(again.series()["hourly"]) == {figure: expected(found)[figure] for figure in OVER_TIME}
        assert again.look(EVERYTHING).total == expected(found)
        again.close()
        compaction.Compaction(places, FOREVER).run(NOW)
        assert again.look().total == expected(found)
        assert Counter(outcomes(home)) == Counter(row["event_id"] for row in found)
        if not cut:
            assert left >= 10
            return
    raise AssertionError("it never came to an end")


def test_files_that_are_bad_are_passed_over_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = rows(200, step_s=600)
    book = book_in(tmp_path)
    book.append(found[:100])
    book.seal()
    book.compact(NOW)
    stats = tmp_path / "stats"
    partition = next((stats / "outcomes").rglob("hour=*"))
    (partition / "broken.parquet").write_bytes(b"PAR1 not really")
    (stats / "rollups" / "daily" / "notes.parquet").write_text("mine")
    (stats / "journal" / "0-odd.jsonl").write_bytes(b"\x00garbage\n")
    for series in SERIES:
        next(file for file in (stats / "rollups" / series).glob("2*.parquet")).write_bytes(b"PAR1 cut")
    (stats / "summary.json").write_text("{")
    book.append(found[100:])
    book.close()
    book.compact(NOW)
    assert book.look().total == expected(found)
    for name in ("broken.parquet", "notes.parquet", "0-odd.jsonl", "summary.json"):
        assert name in caplog.text


def test_a_folder_that_cannot_be_opened_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"stats\.url"):
        Folder("gopher://nowhere")


def test_names_that_callers_choose_are_bounded(tmp_path: Path) -> None:
    found = [row | {"event_id": str(n), "model": f"m{n}", "timestamp": int(START * 1e6)} for n, row in enumerate(rows(1) * 3000)]
    book = book_in(tmp_path)
    book.append(found)
    book.close()
    book.compact(NOW)
    models = report.stats(book.look().total, (), "reversible")["requests"]["by_model"]
    assert sum(models.values()) == 3000
    assert len(models) <= 501
    assert len(pq.read_table(next((tmp_path / "stats" / "rollups" / "hourly").iterdir()))) <= 1002
    assert len(book.look().labels) == 50


def test_savings_are_written_for_people(tmp_path: Path) -> None:
    found = rows(60, step_s=18_000)
    book = book_in(tmp_path)
    book.append(found)
    book.close()
    book.compact(NOW)
    written = json.loads((tmp_path / "proxy_savings.json").read_text())
    assert written["lifetime"] == report.lifetime(expected(found)) | {}
    assert written["history"][-1]["total_tokens_saved"] == written["lifetime"]["tokens_saved"]
    later = book_in(tmp_path)
    later.append(rows(5, seed=2, start=NOW))
    assert later.look().session is not None
    assert later.look().session["requests"] == 5  # type: ignore[index]


_WRITER = """
import sys, json
from pathlib import Path
from tests.stats.test_ledger import book_in
from tests.stats.made import rows
book = book_in(Path(sys.argv[1]))
for n in range(100_000):
    found = rows(3, seed=f"{sys.argv[2]}.{n}", start=1_763_942_400.0 + 50 * n)
    book.append(found)
    for row in found:
        print(row["event_id"], flush=True)
    if n % 7 == 0:
        book.seal()
        book.compact(1_765_670_400.0)
"""


def test_a_writer_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Two processes write and compact; each is killed and started again, a few times."""
    acknowledged: list[str] = []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for turn in range(3):
        writers = [
            subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), f"{turn}{name}"], stdout=subprocess.PIPE, env=env, text=True)
            for name in "ab"
        ]
        for count, writer in zip((40 + 61 * turn, 90 + 37 * turn), writers, strict=True):
            assert writer.stdout
            acknowledged += [writer.stdout.readline().strip() for _ in range(count)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
            writer.wait()
    book = book_in(tmp_path)
    total = book.look().total["requests"]
    assert book.compact(NOW)
    assert book.look().total["requests"] == total >= len(acknowledged)
    kept = Counter(outcomes(tmp_path))
    assert set(kept.values()) == {1}
    assert set(acknowledged) <= set(kept)
    assert sum(kept.values()) == total
    assert not journal.files(tmp_path / "stats" / "journal")
    for file in (tmp_path / "stats").rglob("*.parquet"):
        assert len(pd.read_parquet(file)) == len(pq.ParquetFile(file).read())


def test_weeks_and_months_stand_where_they_begin() -> None:
    assert rollups.path_of("weekly", rollups.monday(rollups.day_of(1_767_225_600_000_000))) == "rollups/weekly/2025-12.parquet"

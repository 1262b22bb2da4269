"""From the journal to Parquet: by whoever holds the lock, and so that a kill at any moment loses nothing and counts nothing twice.

    1 each sealed journal file becomes one part per hour, named after it: done again it writes the same names
    2 the rollups of those hours gain what the parts count
    3 the summary says in one step which files are in the totals
    4 the files are deleted; until then readers pass over those that the summary names

Then small parts of hours that are over are joined, and what has outlived its time goes. Readers add to the totals of the summary
the journal files that it does not name.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headroom.stats import journal, rollups
from headroom.stats.arrow import conform, hours_of, once, table_of
from headroom.stats.parquet import Folder
from headroom.stats.places import Places
from headroom.stats.series import begins, day_of
from headroom.stats.summary import RECENT, Summary, brief, labels_of, newest, read_summary, replace
from headroom.stats.tally import HOUR_US

_REMEMBERED_S = 3600.0  # a reader that listed the journal before is long done
_STEP_S = 86_400.0  # by which one run may bring rows nearer to their end: a clock that is wrong for some minutes takes none
_MOST_PARTS = 48  # of an hour that is not over
_OVER_US = HOUR_US // 6  # behind its end
_log = logging.getLogger(__name__)


class Compaction:
    """One run after another, in one thread, on the folder of `places` unless another is given."""

    def __init__(self, places: Places, retention_days: int, folder: Folder | None = None) -> None:
        self._places = places
        self._folder = folder or Folder(places.url)
        self._retention_days = retention_days

    def run(self, now: float | None = None) -> bool:
        """Whether it was done; False when another process is at it. `now` is Unix seconds.

        Raises OSError when a disk fails; nothing is lost then.
        """
        with journal.locked(self._places.lock) as free:
            if not free:
                return False
            now = time.time() if now is None else now
            summary = read_summary(self._places.summary)
            clock = min(now, summary.clock + _STEP_S) if summary.clock else now
            self._join(now, self._rows(now, clock, summary))
            self._retire(clock)
        pa.default_memory_pool().release_unused()  # it may need the rows of an hour, and the allocator would keep the room for them
        return True

    def _rows(self, now: float, clock: float, summary: Summary) -> Collection[int]:
        """From the journal to parts, rollups and summary; the hours that changed."""
        places = self._places
        sealed = [file for file in journal.files(places.journal) if journal.is_sealed(file)]
        fresh = [file for file in sealed if file.name not in summary.applied]
        there = {file.name for file in sealed}
        recent = list(summary.recent)
        hours: defaultdict[int, list[str]] = defaultdict(list)
        for file in fresh:
            table = self._within_retention(table_of(file.read_bytes(), file.name), clock)
            for hour, part in self._parts(table, file.stem).items():
                hours[hour].append(part)
            recent = newest(recent, brief_rows(table))
        if fresh or not places.summary.exists() or places.dirty or clock >= summary.clock + _STEP_S:
            update = rollups.Update(self._folder, summary.lifetime, summary.months, anew=places.dirty)
            update.hours(hours)
            lifetime = update.lifetime()
            with places.commit():
                update.write()
                applied = {name: at for name, at in summary.applied.items() if name in there or now - at < _REMEMBERED_S}
                applied |= {file.name: now for file in fresh}
                labels, months = labels_of(summary.labels, lifetime), rollups.months_of(self._folder)
                replace(places.summary, asdict(Summary(dict(lifetime), applied, labels, recent, clock, months)))
        for file in sealed:
            file.unlink(missing_ok=True)
        if sealed:
            journal.sync_directory(places.journal)
        return hours

    def _within_retention(self, table: pa.Table, clock: float) -> pa.Table:
        """Without rows of hours that were counted and whose rows are gone: counted anew the hour would lose them."""
        begin, oldest = hours_of(table), begins(self._first_day(clock))
        late = [hour for hour in pc.unique(begin).to_pylist() if hour < oldest]
        gone = [hour for hour in late if any(map(len, rollups.tables(self._folder, "hourly", hour, hour + HOUR_US, {})))]
        if not gone:
            return table
        kept = table.filter(pc.invert(pc.is_in(begin, pa.array(gone, pa.int64()))))
        _log.warning("%d rows came after %d days, they are let go", len(table) - len(kept), self._retention_days)
        return kept

    def _first_day(self, clock: float) -> date:
        return datetime.fromtimestamp(clock, UTC).date() - timedelta(days=self._retention_days)

    def _parts(self, table: pa.Table, name: str) -> dict[int, str]:
        """Write the rows of each hour; where."""
        begins = hours_of(table)
        parts = {hour: f"{rollups.partition(hour)}/{name}.parquet" for hour in pc.unique(begins).to_pylist()}
        for hour, part in parts.items():
            self._folder.write(part, table.filter(pc.equal(begins, hour)).sort_by("timestamp"))
        return parts

    def _join(self, now: float, changed: Collection[int]) -> None:
        """One part for each hour that is over, few for the others; looked for where rows came now, and on the last two days."""
        days = {day for path in self._folder.directories("outcomes") if (day := rollups.day_of_partition(path))}
        for day in sorted({*sorted(days)[-2:], *map(day_of, changed)} & days):
            for hour in rollups.hours_kept(self._folder, day):
                place = rollups.partition(hour)
                parts = self._folder.files(place)
                gone = {name for part in parts for name in self._folder.replaced_by(part)} if len(parts) > 1 else set()
                for part in parts:
                    if part.rpartition("/")[2] in gone:
                        self._folder.delete(part)
                parts = [part for part in parts if part.rpartition("/")[2] not in gone]
                over = hour + HOUR_US + _OVER_US < now * 1e6
                if len(parts) > (1 if over else _MOST_PARTS):
                    self._joined(place, parts)

    def _joined(self, place: str, parts: Sequence[str]) -> None:
        tables = {part: table for part in parts if (table := self._folder.read(part)) is not None}
        if len(tables) < 2:
            return
        whole = once(pa.concat_tables([conform(table) for table in tables.values()])).sort_by("timestamp")
        name = f"{place}/joined-{time.time_ns() // 1000:016d}.parquet"
        self._folder.write(name, whole, [part.rpartition("/")[2] for part in tables])
        for part in tables:
            self._folder.delete(part)

    def _retire(self, clock: float) -> None:
        first = self._first_day(clock)
        for path in self._folder.directories("outcomes"):
            if (day := rollups.day_of_partition(path)) and day < first:
                self._folder.delete_directory(path)


def brief_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The last rows of a table as the list of recent requests shows them, newest last."""
    last = table.take(pc.sort_indices(table.column("timestamp"))).slice(max(0, len(table) - RECENT))
    micros = last.column("timestamp").cast(pa.int64())
    return [brief(row | {"timestamp": at}) for row, at in zip(last.to_pylist(), micros.to_pylist(), strict=True)]

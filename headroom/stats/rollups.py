"""Hours, days, weeks and months: each is kept up from what lies below it when something there has changed.

    outcomes/date=YYYY-MM-DD/hour=HH/*.parquet   rows
    rollups/hourly/YYYY-MM-DD.parquet            from the rows of each hour
    rollups/daily/YYYY-MM.parquet                from its hours
    rollups/weekly/YYYY-MM.parquet               from its days; a week begins on Monday and stands where that day stands
    rollups/monthly/YYYY-MM.parquet              from its days

An hour gains what its new rows count, those of events that it has already left out; days, weeks and months lose what the changed buckets
below them held and gain what those hold now, in whole numbers, so that a long hour or month costs no more than a short one. No file holds
more than a month, so that a late day of the year costs no more than an early one. Where a file cannot be read, or a run was cut off while
it wrote, all of it is counted anew: that gives the same however often it is done.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headroom.stats.arrow import ROLLUP, conform, once
from headroom.stats.parquet import Folder
from headroom.stats.series import Series, begins, day_of, monday
from headroom.stats.sums import DETAILS, aggregate, groups_of, merged, negated
from headroom.stats.tally import DIMENSIONS, FIGURES, HOUR_US, Tally, bounded_models, total_of

_MOST_GROUPS = 1000  # of one hour; callers choose names, so what is rare beyond them is counted together
_MOST_LONG_GROUPS = 3000  # of one day, week or month
_OTHER = "other"
_READ = 4  # files that an update remembers as they were
_OF_A_YEAR = re.compile(r"/\d{4}\.parquet$")  # weeks and months stood in such files once; they are counted anew from the days
_log = logging.getLogger(__name__)


def partition(hour: int) -> str:
    moment = datetime.fromtimestamp(hour / 1e6, UTC)
    return f"outcomes/date={moment:%Y-%m-%d}/hour={moment:%H}"


def day_of_partition(path: str) -> date | None:
    """The day of a partition; what has another name is left alone."""
    try:
        return date.fromisoformat(path.rpartition("date=")[2])
    except ValueError:
        return None


def path_of(series: Series, bucket: date) -> str:
    """The file in which a bucket stands that begins on a day."""
    return f"rollups/{series}/{bucket if series == 'hourly' else f'{bucket:%Y-%m}'}.parquet"


def rows_of(folder: Folder, hour: int) -> pa.Table:
    """The rows of an hour, each event once."""
    tables = [table for path in folder.files(partition(hour)) if (table := folder.read(path)) is not None]
    return once(pa.concat_tables([conform(table) for table in tables])) if tables else conform(pa.table({}))


def events_of(folder: Folder, hour: int) -> set[str]:
    """The events of an hour that are in Parquet, also while parts are joined."""
    while True:
        listed = folder.files(partition(hour))
        tables = [folder.read(path, ["event_id"]) for path in listed]
        if folder.files(partition(hour)) == listed:
            return {event for table in tables if table is not None for event in table.column("event_id").to_pylist()}


class Update:
    """The files that a change of some hours changes; computed first, written then.

    `lifetime` is everything that was counted and `months` the files that it is the sum of (`months_of`), as far as that is known.
    `anew` says that the files may not fit together.
    """

    def __init__(
        self,
        folder: Folder,
        lifetime: Mapping[str, int] | None = None,
        months: Mapping[str, Sequence[int]] | None = None,
        *,
        anew: bool = False,
    ) -> None:
        self._folder = folder
        self._anew = anew
        self._before = lifetime or {}
        self._changes: dict[tuple[Series, date], pa.Table] = {}  # what each bucket has more than before
        self.tables: dict[str, pa.Table] = {}
        self._known: OrderedDict[str, pa.Table | None] = OrderedDict()
        self._years = [path for series in ("weekly", "monthly") for path in folder.files(f"rollups/{series}") if _OF_A_YEAR.search(path)]
        stamps = months_of(folder)
        self._months = set(stamps) - set(self._years)
        self._summed = stamps == (months or {})

    def write(self) -> None:
        """Raises OSError."""
        for path, table in self.tables.items():
            self._folder.write(path, table)
        for path in self._years:
            self._folder.delete(path)

    def hours(self, changed: Mapping[int, Collection[str]]) -> None:
        """Count what these hours have more, by the parts that were written for them just now, and everything above them.

        An hour without such parts is counted anew.
        """
        hours = set(changed)
        for day in {day_of(hour) for hour in hours}:
            if self._is_lost(path_of("hourly", day)):
                hours |= set(hours_kept(self._folder, day))
        days = {day_of(hour) for hour in hours}
        for day in sorted(days):
            of_day = sorted(hour for hour in hours if day_of(hour) == day)
            found = [bounded(self._hour(hour, changed.get(hour, ())), hour, _MOST_GROUPS) for hour in of_day]
            self._replace("hourly", day, of_day, pa.concat_tables(found))
        for month in {day.replace(day=1) for day in days}:
            if self._is_lost(path_of("daily", month)):
                days |= {day for day in days_kept(self._folder, "hourly") if day.replace(day=1) == month}
        for day in sorted(days):
            self._collect("daily", day, day + timedelta(days=1), "hourly")
        weeks, months = {monday(day) for day in days}, {day.replace(day=1) for day in days}
        needed = {*(path_of("weekly", week) for week in weeks), *(path_of("monthly", month) for month in months)}
        lost = [path for path in sorted(needed if self._summed else needed | self._months) if self._is_lost(path)]
        if lost or self._years:
            self._anew = True
            first = days_kept(self._folder, "daily")
            months |= set(first)
            weeks |= {monday(month + timedelta(days=n)) for month in first for n in range(0, 37, 6)}
        for week in sorted(weeks):
            self._collect("weekly", week, week + timedelta(days=7), "daily")
        for month in sorted(months):
            self._collect("monthly", month, (month + timedelta(days=31)).replace(day=1), "daily")

    def _hour(self, hour: int, fresh: Collection[str]) -> pa.Table:
        """The groups of an hour."""
        old = [path for path in self._folder.files(partition(hour)) if path not in fresh]
        held = _between(self._table(path_of("hourly", day_of(hour))), hour, hour + 1)
        if self._anew or not fresh or bool(old) != bool(len(held)) or len(held) > _MOST_GROUPS:
            return aggregate(rows_of(self._folder, hour))
        tables = [conform(table) for path in fresh if (table := self._folder.read(path)) is not None]
        more = once(pa.concat_tables([conform(pa.table({})), *tables]))
        known = [table.column("event_id") for path in old if (table := self._folder.read(path, ["event_id"])) is not None]
        for events in known:
            more = more.filter(pc.invert(pc.is_in(more.column("event_id"), events.combine_chunks().cast(pa.string()))))
        found = merged(pa.concat_tables([held, aggregate(more)]))
        return found if len(found) <= _MOST_GROUPS else aggregate(rows_of(self._folder, hour))

    def _is_lost(self, path: str) -> bool:
        """Whether a file is there and cannot be read: then all of it is counted anew, and everything above it."""
        lost = self._read(path) is None and path in self._folder.files(path.rpartition("/")[0])
        self._anew |= lost
        return lost

    def _collect(self, series: Series, start: date, end: date, below: Series) -> None:
        """One bucket from the series below it, or from what it held and what changed there."""
        first, last = begins(start), begins(end)
        days = [start + timedelta(days=n) for n in range((end - start).days)]
        held = ROLLUP.empty_table() if self._anew else _between(self._table(path_of(series, start)), first, first + 1)
        if len(held):
            found = [held, *(self._changes[below, day] for day in days if (below, day) in self._changes)]
        else:
            found = [_between(self._table(path), first, last) for path in dict.fromkeys(path_of(below, day) for day in days)]
        whole = merged(pa.concat_tables([ROLLUP.empty_table(), *found]), first)
        self._replace(series, start, [first], bounded(whole, first, _MOST_LONG_GROUPS))

    def _replace(self, series: Series, bucket: date, begin: Sequence[int], found: pa.Table) -> None:
        """The groups of some buckets of one file, which begin at these microseconds, in order; tables are in the order of time."""
        path = path_of(series, bucket)
        old = self._table(path)
        micros = old.column("timestamp").cast(pa.int64())
        before, until = (pc.sum(less).as_py() or 0 for less in (pc.less(micros, begin[0]), pc.less_equal(micros, begin[-1])))
        among = old.slice(before, until - before)
        replaced = pc.is_in(micros.slice(before, until - before), pa.array(begin, pa.int64()))
        self._changes[series, bucket] = pa.concat_tables([negated(among.filter(replaced)), found])
        among = among.filter(pc.invert(replaced))
        found = pa.concat_tables([among, found]).sort_by("timestamp") if len(among) else found
        if len(old) or len(found):
            self.tables[path] = pa.concat_tables([old.slice(0, before), found, old.slice(until)])

    def _table(self, path: str) -> pa.Table:
        """As it will be; empty where there is none."""
        if path in self.tables:
            return self.tables[path]
        found = self._read(path)
        return ROLLUP.empty_table() if found is None else as_rollup(found)

    def _read(self, path: str) -> pa.Table | None:
        """As it was; None for one that is not there or cannot be read."""
        found = self._known.pop(path) if path in self._known else self._folder.read(path)
        self._known[path] = found
        while len(self._known) > _READ:
            self._known.popitem(last=False)
        return found

    def lifetime(self) -> Tally:
        """Everything that was ever counted, these hours included."""
        ours = [path for path in self.tables if path.startswith("rollups/monthly/")]
        if self._anew or not self._summed:
            return total(self._table(path) for path in sorted({*self._months, *ours}))
        found = Tally(self._before)
        found.update(total(self.tables[path] for path in ours))
        found.subtract(total(ROLLUP.empty_table() if (old := self._read(path)) is None else as_rollup(old) for path in ours))
        return bounded_models(found)  # also what is 0: a metric that was told goes on to be


def by_model(table: pa.Table) -> pa.Table:
    """All that is wanted of a rollup for a total of it."""
    return merged(table, 0, ("provider", "model"))


def total(tables: Iterable[pa.Table]) -> Tally:
    """Rollups added up; providers and models become details."""
    groups = groups_of(pa.concat_tables([ROLLUP.empty_table(), *map(by_model, tables)]))
    return total_of((dimensions, one) for (_, dimensions), one in groups.items())


def as_rollup(table: pa.Table) -> pa.Table:
    """The columns of today; figures that an older file has not are 0."""
    columns = [
        table.column(field.name).cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in ROLLUP
    ]
    return pa.table(columns, schema=ROLLUP)


def months_of(folder: Folder) -> dict[str, list[int]]:
    """By which it is known that the months are still those that were counted."""
    return {path: list(stamp) for path, stamp in folder.stamps("rollups/monthly").items()}


def _between(table: pa.Table, first: int, last: int) -> pa.Table:
    micros = table.column("timestamp").cast(pa.int64())
    return table.filter(pc.and_(pc.greater_equal(micros, first), pc.less(micros, last)))


def bounded(table: pa.Table, at: int, most: int) -> pa.Table:
    """At most so many groups of the bucket that begins `at`, and the rarest by provider, counted together.

    A group that has lost more than it held was among the rarest before, and is taken off those.
    """
    table = table.filter(_anything(table))
    few = min(most, pc.sum(pc.greater(table.column("requests"), 0)).as_py() or 0)
    if few == len(table):
        return table
    ordered = table.sort_by([("requests", "descending"), *((name, "ascending") for name in DIMENSIONS)])
    rare = merged(ordered.slice(few), at, ("provider",))
    for name in DIMENSIONS[1:]:
        rare = rare.set_column(rare.column_names.index(name), ROLLUP.field(name), pa.repeat(_OTHER, len(rare)))
    found = merged(pa.concat_tables([ordered.slice(0, few), rare]))
    return found.filter(_anything(found))


def _anything(table: pa.Table) -> Any:
    """Which groups there is something left of."""
    found = pc.greater(pc.list_value_length(table.column("details").cast(DETAILS)), 0)
    return reduce(pc.or_, (pc.not_equal(table.column(name), 0) for name in FIGURES), found)


@dataclass(frozen=True, slots=True)
class Slice:
    """The buckets of one file that begin in a stretch of time, microseconds, its end excluded; `stamp` changes when the file does."""

    path: str
    stamp: tuple[int, int]
    first: int
    last: int


def slices(folder: Folder, series: Series, first: int, last: int) -> Iterator[Slice]:
    """Where the buckets of a series stand that begin in a stretch of time."""
    span = timedelta(days=1 if series == "hourly" else 31)  # of a file
    for path, stamp in folder.stamps(f"rollups/{series}").items():
        if (day := _day_of_file(path)) and (begin := begins(day)) < last and (end := begins(day + span)) > first:
            yield Slice(path, stamp, max(first, begin), min(last, end))


def cut(folder: Folder, slice: Slice, where: Mapping[str, str]) -> pa.Table:
    """The rows of a slice that have the named dimensions; none where the file cannot be read."""
    found = folder.read(slice.path)
    return ROLLUP.empty_table() if found is None else _where(_between(as_rollup(found), slice.first, slice.last), where)


def tables(folder: Folder, series: Series, first: int, last: int, where: Mapping[str, str]) -> Iterator[pa.Table]:
    """The rows of all slices, one after the other."""
    for slice in slices(folder, series, first, last):
        yield cut(folder, slice, where)


def sums(folder: Folder, path: str, where: Mapping[str, str], figures: Sequence[str]) -> dict[int, Tally]:
    """The figures of one file by bucket."""
    names = ["timestamp", *where, *figures]
    if (found := folder.read(path, names)) is None:
        return {}
    found = _where(found.select([name for name in names if name in found.column_names]), where)
    summed = found.group_by("timestamp").aggregate([(name, "sum") for name in figures if name in found.column_names])
    begins = summed.column("timestamp").cast(pa.int64()).to_pylist()
    return {at: Tally({name: row.get(f"{name}_sum") or 0 for name in figures}) for at, row in zip(begins, summed.to_pylist(), strict=True)}


def _where(table: pa.Table, where: Mapping[str, str]) -> pa.Table:
    for name, value in where.items():
        table = table.filter(pc.equal(table.column(name), value))
    return table


def days_kept(folder: Folder, series: Series) -> list[date]:
    """The first day of each file of a series."""
    return list(filter(None, map(_day_of_file, folder.files(f"rollups/{series}"))))


def _day_of_file(path: str) -> date | None:
    """The first day of a file; one that has another name is passed over and named."""
    name = path.rpartition("/")[2].removesuffix(".parquet")
    try:
        return date.fromisoformat((name + "-01")[:10])
    except ValueError:
        if _OF_A_YEAR.search(path):
            return None
        _log.warning("%s is none of ours, it is passed over", path)
        return None


def hours_kept(folder: Folder, day: date) -> list[int]:
    """The hours of a day that have rows."""
    names = [path.rpartition("=")[2] for path in folder.directories(f"outcomes/date={day}")]
    return [begins(day) + int(name) * HOUR_US for name in names if name.isdigit() and int(name) < 24]

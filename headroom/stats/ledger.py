"""What is known of everything that happened: the totals of what stands in Parquet, and what the journals hold beyond it.

Whichever process of a machine asks gets the same answer: nothing is kept here but what was read. Totals cost the same whatever the
history; a stretch of time or a part of the callers is read from the rollups. Not thread-safe: one lock around it, in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headroom.stats import journal
from headroom.stats.memo import ByFile
from headroom.stats.places import Places
from headroom.stats.rows import Row
from headroom.stats.series import Series, begin_of, hour_of, spans
from headroom.stats.summary import MOST_LABELS, Summary, brief, newest, read_summary
from headroom.stats.tally import DIMENSIONS, Tally, dimensions, tally, total_of

if TYPE_CHECKING:
    import pyarrow as pa

    from headroom.stats.board import Board, Part, Wish
    from headroom.stats.rollups import Slice

Buckets = dict[int, Tally]  # by the microsecond at which each begins
OVER_TIME = ("requests", "tokens_after", "tokens_saved", "saved_nanousd", "input_nanousd")  # what series show
Groups = dict[tuple[int, tuple[str, ...]], Tally]
_ALWAYS = 1 << 62
_KEPT = 16  # boards, totals and series, until the rollups change
_REMEMBERED_BYTES = 128_000_000  # of what was counted of their files


@dataclass(frozen=True, slots=True)
class Query:
    """Which requests are meant: all, or those of the named dimensions in a stretch of time (microseconds, its end excluded)."""

    where: Mapping[str, str] = field(default_factory=dict)
    first: int = 0
    last: int = _ALWAYS

    @property
    def everything(self) -> bool:
        return not self.where and self.first == 0 and self.last == _ALWAYS

    def meets(self, at: int, found: tuple[str, ...]) -> bool:
        named = dict(zip(DIMENSIONS, found, strict=True))
        return self.first <= at < self.last and all(named[name] == value for name, value in self.where.items())


@dataclass(slots=True)
class _File:
    """One journal file as far as it was read."""

    tail: journal.Tail
    groups: Groups = field(default_factory=dict)
    recent: list[Mapping[str, Any]] = field(default_factory=list)

    def read(self, name: str, events: dict[str, str]) -> None:
        """Count what is new; `events` says which file an event was found in first."""
        rows = [row for row in self.tail.rows() if not _known(row["event_id"], name, events)]
        for row in rows:
            self.groups.setdefault((hour_of(row["timestamp"]), dimensions(row)), Tally()).update(tally(row))
        if rows:
            self.recent = newest(self.recent, [brief(row) for row in rows])


class Ledger:
    """Reads what `headroom.stats.journal` and `headroom.stats.compaction` write. `mend` runs a compaction."""

    def __init__(self, places: Places, mend: Callable[[], object]) -> None:
        self._places = places
        self._mend = mend
        self._files: dict[str, _File] = {}
        self._events: dict[str, str] = {}
        self._summary: tuple[tuple[int, int], Summary] = ((0, 0), Summary())
        self._totals: dict[Any, Tally] = {}
        self._files_summed: dict[Any, dict[str, tuple[Any, Buckets]]] = {}
        self._boards: dict[Any, Board] = {}
        self._memo = ByFile(_REMEMBERED_BYTES)

    def total(self, query: Query | None = None) -> Tally:
        """What was counted of the requests that are meant."""
        if query is None or query.everything:
            beyond, summary = self._look()
            tails = [(found, one) for file in beyond for (_, found), one in file.groups.items()]
            total = total_of(tails)
            total.update(summary.lifetime)
            return total
        with self._steady() as beyond:
            key = (self._summary[0], query.first, query.last, tuple(sorted(query.where.items())))
            if key not in self._totals:
                newer = {old: found for old, found in self._totals.items() if old[0] == key[0]}
                self._totals = dict(list(newer.items())[1 - _KEPT :]) | {key: self._counted(query)}
            total = total_of((found, one) for (_, found), one in _beyond(beyond, "hourly", query))
            total.update(self._totals[key])
            return total

    def _counted(self, query: Query) -> Tally:
        """What stands in rollups, read from the longest buckets that lie inside."""
        from headroom.stats import rollups
        from headroom.stats.parquet import Folder

        folder, where = Folder(self._places.url), query.where

        def counted(slice: Slice) -> pa.Table:
            return self._memo.of(slice, ("total", *sorted(where.items())), lambda: rollups.by_model(rollups.cut(folder, slice, where)))

        return rollups.total(counted(slice) for span in spans(query.first, query.last) for slice in rollups.slices(folder, *span))

    def labels(self) -> list[str]:
        """Models that have a label of their own in metrics."""
        beyond, summary = self._look()
        models = sorted({found[1] or "unknown" for file in beyond for _, found in file.groups})
        return list(dict.fromkeys([*summary.labels, *models]))[:MOST_LABELS]

    def recent(self) -> list[Mapping[str, Any]]:
        """The last requests, newest first."""
        beyond, summary = self._look()
        return newest(summary.recent, *(file.recent for file in beyond))[::-1]

    def unknown(self, rows: Sequence[Row]) -> list[Row]:
        """Those whose events are neither in the journals nor in Parquet. Looked for in this order: rows only go that way."""
        self._look()
        fresh = {row["event_id"]: row for row in rows if row["event_id"] not in self._events}
        if not fresh:
            return []
        from headroom.stats import rollups
        from headroom.stats.parquet import Folder

        folder = Folder(self._places.url)
        kept = {event for hour in {hour_of(row["timestamp"]) for row in fresh.values()} for event in rollups.events_of(folder, hour)}
        return [row for event, row in fresh.items() if event not in kept]

    def buckets(self, series: Series, query: Query | None = None) -> Buckets:
        """OVER_TIME of each bucket of a series, what is only in journals included."""
        query = query or Query()
        with self._steady() as beyond:
            found = {at: Tally(one) for at, one in self._sums(series, query.where) if query.first <= at < query.last}
            for (at, _), one in _beyond(beyond, series, query):
                found.setdefault(at, Tally()).update({name: one[name] for name in OVER_TIME})
            return found

    def _sums(self, series: Series, where: Mapping[str, str]) -> Iterator[tuple[int, Tally]]:
        """Each file is read once, as long as it does not change."""
        from headroom.stats import rollups
        from headroom.stats.parquet import Folder

        key = (series, tuple(sorted(where.items())))
        folder, known = Folder(self._places.url), self._files_summed.pop(key, {})
        kept: dict[str, tuple[Any, Buckets]] = {}
        for path, stamp in folder.stamps(f"rollups/{series}").items():
            before = known.get(path)
            kept[path] = before if before and before[0] == stamp else (stamp, rollups.sums(folder, path, where, OVER_TIME))
        self._files_summed = dict(list(self._files_summed.items())[1 - _KEPT :]) | {key: kept}
        for _, buckets in kept.values():
            yield from buckets.items()

    def board(self, wish: Wish) -> Board:
        """What a dashboard shows; whole tables are counted by Arrow, never one by one. It is not to be changed."""
        from headroom.stats.board import board_of, part_of
        from headroom.stats.sums import rollup_of

        query = wish.query
        with self._steady() as beyond:
            key = (self._summary[0], wish.series, wish.split, query.first, query.last, tuple(sorted(query.where.items())))
            if key not in self._boards:
                newer = {old: found for old, found in self._boards.items() if old[0] == key[0]}
                self._boards = dict(list(newer.items())[1 - _KEPT :]) | {key: board_of(self._parts(wish), wish.split)}
            groups: Groups = {}
            for at, one in _beyond(beyond, wish.series, query):
                groups.setdefault(at, Tally()).update(one)
            known = self._boards[key]
            return known.plus(board_of([part_of(rollup_of(groups), wish.split)], wish.split)) if groups else known

    def _parts(self, wish: Wish) -> Iterator[Part]:
        from headroom.stats import rollups
        from headroom.stats.board import part_of
        from headroom.stats.parquet import Folder

        folder, where, split = Folder(self._places.url), wish.query.where, wish.split

        def counted(slice: Slice) -> Part:
            return self._memo.of(slice, ("board", split, *sorted(where.items())), lambda: part_of(rollups.cut(folder, slice, where), split))

        return map(counted, rollups.slices(folder, wish.series, wish.query.first, wish.query.last))

    @contextmanager
    def _steady(self) -> Iterator[list[_File]]:
        """The journal files beyond the rollups, which do not change inside."""
        for _ in range(10):
            with self._places.steady() as whole:
                if whole:
                    beyond, _ = self._look()
                    yield beyond
                    return
            self._mend()
        raise OSError("the rollups are not whole, and could not be mended")

    def _look(self) -> tuple[list[_File], Summary]:
        """Journal files that the summary does not hold, and the summary, which is read last: a file that vanished meanwhile is in it."""
        listed = journal.files(self._places.journal)
        for file in listed:
            known = self._files.setdefault(file.name, _File(journal.Tail(file)))
            try:
                known.read(file.name, self._events)
            except FileNotFoundError:
                continue
        summary = self._read_summary()
        names = {file.name for file in listed}
        if not self._files.keys() <= names:
            self._files = {name: known for name, known in self._files.items() if name in names}
            self._events = {event: name for event, name in self._events.items() if name in names}
        return [known for name, known in self._files.items() if name not in summary.applied], summary

    def _read_summary(self) -> Summary:
        try:
            stat = self._places.summary.stat()
        except FileNotFoundError:
            return Summary()
        version = stat.st_mtime_ns, stat.st_ino
        if version != self._summary[0]:
            self._summary = version, read_summary(self._places.summary)
        return self._summary[1]


def _known(event: str, name: str, events: dict[str, str]) -> bool:
    if event in events:
        return True
    events[event] = name
    return False


def _beyond(files: list[_File], series: Series, query: Query) -> Iterator[tuple[tuple[int, tuple[str, ...]], Tally]]:
    """What journal files hold of the requests that are meant, by the bucket it belongs to."""
    for file in files:
        for (hour, found), one in file.groups.items():
            key = begin_of(series, hour), found
            if query.meets(*key):
                yield key, one

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
from headroom.stats.places import Places
from headroom.stats.rows import Row
from headroom.stats.series import Series, begin_of, hour_of
from headroom.stats.summary import MOST_LABELS, Summary, brief, newest, read_summary
from headroom.stats.tally import DIMENSIONS, Tally, dimensions, tally, total_of

if TYPE_CHECKING:
    from headroom.stats.board import Board, Wish

Groups = dict[tuple[int, tuple[str, ...]], Tally]
_ALWAYS = 1 << 62
_BOARDS = 16  # kept until the rollups change


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
        self._rollups: dict[Any, Groups] = {}
        self._boards: dict[Any, Board] = {}

    def total(self, query: Query | None = None) -> Tally:
        """What was counted of the requests that are meant."""
        if query is None or query.everything:
            beyond, summary = self._look()
            tails = [(found, one) for file in beyond for (_, found), one in file.groups.items()]
            total = total_of(tails)
            total.update(summary.lifetime)
            return total
        return total_of((found, one) for (at, found), one in self.groups("hourly", query).items())

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

    def groups(self, series: Series, query: Query | None = None) -> Groups:
        """Buckets of a series by their beginning and dimensions, what is only in journals included."""
        query = query or Query()
        with self._steady() as beyond:
            groups = {key: Tally(one) for key, one in self._read(series, query).items() if query.meets(*key)}
            for key, one in _beyond(beyond, series, query):
                groups.setdefault(key, Tally()).update(one)
            return groups

    def board(self, wish: Wish) -> Board:
        """What a dashboard shows; whole tables are counted by Arrow, never one by one."""
        from headroom.stats import rollups
        from headroom.stats.arrow import rollup_of
        from headroom.stats.board import board_of
        from headroom.stats.parquet import Folder

        query = wish.query
        with self._steady() as beyond:
            key = (self._summary[0], wish.series, wish.split, query.first, query.last, tuple(sorted(query.where.items())))
            if key not in self._boards:
                table = rollups.table(Folder(self._places.url), wish.series, query.first, query.last, query.where)
                newer = {old: found for old, found in self._boards.items() if old[0] == key[0]}
                self._boards = dict(list(newer.items())[1 - _BOARDS :]) | {key: board_of(table, wish.split)}
            groups: Groups = {}
            for at, one in _beyond(beyond, wish.series, query):
                groups.setdefault(at, Tally()).update(one)
            return self._boards[key].plus(board_of(rollup_of(groups), wish.split))

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

    def _read(self, series: Series, query: Query) -> Groups:
        from headroom.stats import rollups
        from headroom.stats.parquet import Folder

        key = (self._summary[0], series, query.first, query.last)
        if key not in self._rollups:
            self._rollups = {old: found for old, found in self._rollups.items() if old[0] == key[0]}
            self._rollups[key] = rollups.read(Folder(self._places.url), series, query.first, query.last)
        return self._rollups[key]

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

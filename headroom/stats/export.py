"""Rows and rollups of a ledger as one file for other tools: Parquet, CSV or JSON lines. An hour is in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import IO, Any, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from headroom.stats import journal, rollups
from headroom.stats.arrow import ROLLUP, ROWS, conform, hours_of, once, table_of
from headroom.stats.ledger import Query
from headroom.stats.parquet import Folder
from headroom.stats.places import Places
from headroom.stats.series import Series, hour_of

What = Literal["outcomes", "hourly", "daily", "weekly", "monthly"]
Form = Literal["parquet", "csv", "jsonl"]


class _Writer(Protocol):
    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...

    def leave(self) -> None:
        """Close what is not whole, without a word."""


def export(places: Places, query: Query, what: What, form: Form, out: IO[bytes]) -> int:
    """Write what is meant, oldest first; how many rows that were. Raises OSError. `out` stays open."""
    schema = ROWS if what == "outcomes" else ROLLUP
    writer: _Writer = _WRITERS[form](out, schema)
    count = 0
    try:
        for table in outcomes(places, query) if what == "outcomes" else _buckets(places, what, query):
            writer.write(table)
            count += len(table)
        writer.close()
    except BaseException:
        writer.leave()
        raise
    return count


def outcomes(places: Places, query: Query) -> Iterator[pa.Table]:
    """The rows of each hour, each event once, those that are only in the journal included."""
    folder = Folder(places.url)
    fresh = [table_of(file.read_bytes(), file.name) for file in journal.files(places.journal)]
    waiting = pa.concat_tables([ROWS.empty_table(), *fresh])
    days = filter(None, map(rollups.day_of_partition, folder.directories("outcomes")))
    kept = [hour for day in days for hour in rollups.hours_kept(folder, day)]
    hours = {*kept, *pc.unique(hours_of(waiting)).to_pylist()}
    for hour in sorted(hour for hour in hours if hour_of(query.first) <= hour < query.last):
        late = waiting.filter(pc.equal(hours_of(waiting), hour))
        table = once(pa.concat_tables([rollups.rows_of(folder, hour), conform(late)])).sort_by("timestamp")
        yield _meant(table, query)


def _buckets(places: Places, series: Series, query: Query) -> Iterator[pa.Table]:
    """As they stand in the rollups, a file at a time."""
    folder = Folder(places.url)
    for day in rollups.days_kept(folder, series):
        if (table := folder.read(rollups.path_of(series, day))) is not None:
            yield _meant(rollups.as_rollup(table), query)


def _meant(table: pa.Table, query: Query) -> pa.Table:
    at = table.column("timestamp").cast(pa.int64())
    table = table.filter(pc.and_(pc.greater_equal(at, query.first), pc.less(at, query.last)))
    for name, value in query.where.items():
        table = table.filter(pc.equal(table.column(name), value))
    return table


class _Parquet:
    def __init__(self, out: IO[bytes], schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(out, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        if len(table):
            self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()

    def leave(self) -> None:
        with suppress(OSError):
            self._writer.close()
        self._writer.is_open = False  # else it would close once more when it is collected


class _Csv:
    """Lists and counts as JSON, times as RFC 3339."""

    def __init__(self, out: IO[bytes], schema: pa.Schema) -> None:
        self._nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        flat = [pa.field(field.name, pa.string()) if field.name in (*self._nested, "timestamp") else field for field in schema]
        self._schema = pa.schema(flat)
        self._writer = pcsv.CSVWriter(out, self._schema)

    def write(self, table: pa.Table) -> None:
        columns = []
        for name in self._schema.names:
            column = table.column(name)
            if name in self._nested:
                column = pa.array([json.dumps(_plain(value), ensure_ascii=False) for value in column.to_pylist()], pa.string())
            elif name == "timestamp":
                column = pa.array([_rfc3339(value) for value in column.to_pylist()], pa.string())
            columns.append(column)
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()

    def leave(self) -> None:
        with suppress(OSError):
            self._writer.close()


class _Lines:
    def __init__(self, out: IO[bytes], schema: pa.Schema) -> None:
        self._out = out

    def write(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            told = {name: _rfc3339(value) if name == "timestamp" else _plain(value) for name, value in row.items()}
            self._out.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self._out.flush()

    def leave(self) -> None:
        pass


_WRITERS: Mapping[Form, Any] = {"parquet": _Parquet, "csv": _Csv, "jsonl": _Lines}


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """Counts, which are lists of name and value, as an object."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {item["name"]: item["value"] for item in value}
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    return value

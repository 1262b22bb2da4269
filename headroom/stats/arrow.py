"""Rows and rollups as Arrow tables: their columns, and how a journal becomes one."""

from __future__ import annotations

import io
import logging
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from headroom.stats.journal import parsed
from headroom.stats.rows import COLUMNS, Kind, readable
from headroom.stats.tally import DIMENSIONS, FIGURES, HOUR_US

_COUNTS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.int64())]))
_TIME = pa.timestamp("us", tz="UTC")
_TYPES: dict[Kind, pa.DataType] = {
    "str": pa.string(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "time": _TIME,
    "list": pa.list_(pa.string()),
    "counts": _COUNTS,
}
ROWS = pa.schema([(name, _TYPES[kind]) for name, kind in COLUMNS.items()])
_JOURNAL = pa.schema([(name, pa.int64() if kind == "time" else _TYPES[kind]) for name, kind in COLUMNS.items()])
ROLLUP = pa.schema(
    [
        ("schema_version", pa.int64()),
        ("timestamp", _TIME),  # UTC, the beginning of the bucket
        *((name, pa.string()) for name in DIMENSIONS),
        *((name, pa.int64()) for name in FIGURES),
        ("details", pa.map_(pa.string(), pa.int64())),
    ]
)
_BLOCK = 16_000_000
_log = logging.getLogger(__name__)


def table_of(data: bytes, where: str) -> pa.Table:
    """The rows of a journal file, each event once; what is no row is passed over and named."""
    whole = data[: data.rfind(b"\n") + 1]
    try:
        options = pj.ParseOptions(explicit_schema=_JOURNAL, unexpected_field_behavior="ignore")
        table = pj.read_json(io.BytesIO(whole), pj.ReadOptions(block_size=_BLOCK), options) if whole else _JOURNAL.empty_table()
        if table.column("event_id").null_count or table.column("timestamp").null_count:
            raise pa.ArrowInvalid("a row has no event id or no time")
    except (pa.ArrowInvalid, KeyError):
        table = _one_by_one(whole, where)
    return once(conform(table))


def _one_by_one(whole: bytes, where: str) -> pa.Table:
    good = []
    for row in parsed(whole.splitlines(), where):
        try:
            good.append(pa.Table.from_pylist([readable(row)], schema=_JOURNAL))
        except (ValueError, pa.ArrowTypeError, OverflowError) as odd:
            _log.warning("%s: event %s is no row, it is passed over: %s", where, row["event_id"], odd)
    return pa.concat_tables([_JOURNAL.empty_table(), *good])


def conform(table: pa.Table) -> pa.Table:
    """The columns of today, in their order; those that an older row has not say "not known"."""
    columns = []
    for column in ROWS:
        if column.name in table.column_names:
            columns.append(table.column(column.name).cast(column.type))
        else:
            columns.append(pa.nulls(len(table), column.type))
    return pa.table(columns, schema=ROWS)


def once(table: pa.Table) -> pa.Table:
    """Each event once: the first row of it."""
    if pc.count_distinct(table.column("event_id")).as_py() == len(table):
        return table
    numbered = table.select(["event_id"]).append_column("n", pa.array(range(len(table)), pa.int64()))
    first = numbered.group_by("event_id").aggregate([("n", "min")]).column("n_min")
    return table.take(first.take(pc.sort_indices(first)))


def hours_of(table: pa.Table) -> pa.ChunkedArray:
    """Microseconds at which the hour of each row begins."""
    return _floor(table.column("timestamp").cast(pa.int64()))


def _floor(micros: Any) -> Any:
    return pc.multiply(pc.divide(micros, HOUR_US), HOUR_US)

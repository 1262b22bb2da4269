"""Counting whole tables of rows at once, with Arrow: the same sums as `headroom.stats.tally`, a million rows in seconds."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from headroom.stats.journal import parsed
from headroom.stats.rows import COLUMNS, SCHEMA_VERSION, Kind
from headroom.stats.tally import (
    ARM_FIGURES,
    COPIED,
    COUNTED,
    DEFAULT_POLICY,
    DIMENSIONS,
    EDGES,
    FIGURES,
    FLAGS,
    GROUP_OF,
    GROUPS,
    HOUR_US,
    LISTS,
    RATIO_EDGES,
    TIMES,
    Tally,
)

Group = tuple[int, tuple[str, ...]]  # microseconds at which the bucket begins, dimensions
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
            good.append(pa.Table.from_pylist([row], schema=_JOURNAL))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as odd:
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


def aggregate(table: pa.Table) -> dict[Group, Tally]:
    """Rows by hour and dimensions."""
    if not len(table):
        return {}
    number, groups = _grouped(table, hours_of(table))
    figures = {**_counted(table), **{name: _filled(table.column(name)) for name in (*FLAGS, *COPIED)}}
    tallies = _sums(number, len(groups), figures)
    for kind, column in TIMES.items():
        _add_distribution(tallies, number, kind, table.column(column), EDGES)
    before, after = _filled(table.column("tokens_before")), pc.max_element_wise(_filled(table.column("tokens_after")), 0)
    hundredfold = pc.if_else(pc.greater(before, 0), pc.multiply(after, 100), None)
    _add_buckets(tallies, number, "ratio", hundredfold, [pc.multiply(before, edge) for edge in RATIO_EDGES])
    for kind, column in LISTS.items():
        parent, names, values = _pairs(table.column(column))
        _add_pairs(tallies, number.take(parent), kind, names, values)
    parent, names, values = _pairs(table.column("transform_us"))
    own = number.take(parent)
    _add_pairs(tallies, own, "transform_timed", names, pa.array([1] * len(own), pa.int64()))
    edge = _bucket(values, EDGES)
    labels = pc.binary_join_element_wise(names, edge.cast(pa.string()), "/") if len(own) else names
    _add_pairs(tallies, own, "transform_le", labels, pa.array([1] * len(own), pa.int64()))
    degraded = table.column("degraded").combine_chunks()
    parent = pc.list_parent_indices(degraded)
    _add_pairs(tallies, number.take(parent), "degraded", pc.list_flatten(degraded), pa.array([1] * len(parent), pa.int64()))
    _add_pairs(tallies, number, "mode", _filled(table.column("mode")).combine_chunks(), pa.array([1] * len(table), pa.int64()))
    _add_arms(tallies, number, table)
    hit = _filled(table.column("cache_hit")).combine_chunks()
    is_hit = pc.not_equal(hit, "")
    _add_pairs(tallies, number.filter(is_hit), "cached_as", hit.filter(is_hit), pa.array([1] * pc.sum(is_hit).as_py(), pa.int64()))
    versions = _filled(table.column("policy_version")).combine_chunks()
    has = pc.not_equal(versions, "")
    rules = _filled(table.column("policy")).combine_chunks().filter(has)
    rules = pc.if_else(pc.equal(rules, ""), DEFAULT_POLICY, rules)
    names = pc.binary_join_element_wise(rules, versions.filter(has), "@")
    _add_pairs(tallies, number.filter(has), "policy", names, pa.array([1] * len(rules), pa.int64()))
    return dict(zip(groups, tallies, strict=True))


def _add_arms(tallies: Sequence[Tally], number: pa.Array, table: pa.Table) -> None:
    """The arms of a holdout by groups of conversations."""
    digits = pc.utf8_slice_codeunits(_filled(table.column("conversation")), 0, 2)
    group = pc.index_in(digits, value_set=pa.array(GROUP_OF))  # their order is that of the groups
    compared = pc.and_(pc.equal(_filled(table.column("cost_method")), "billed"), pc.not_equal(_filled(table.column("arm")), ""))
    compared = pc.and_(compared, pc.is_valid(group)).combine_chunks()
    rows = table.filter(compared)
    if not len(rows):
        return
    own, group = number.filter(compared), pc.divide(pc.multiply(group.filter(compared), GROUPS), 256)
    figures = {
        "requests": pa.array([1] * len(rows), pa.int64()),
        "begun": pc.equal(_filled(rows.column("turns")), 1).cast(pa.int64()),
        **{name: _filled(rows.column(name)) for name in ("chars", "cost_nanousd", "saved_nanousd")},
    }
    for name in ARM_FIGURES:
        labels = pc.binary_join_element_wise(rows.column("arm"), group.cast(pa.string()), name, "/")
        _add_pairs(tallies, own, "arm", labels, figures[name])


def _filled(column: Any) -> Any:
    """Nulls count nothing; flags count 1."""
    if pa.types.is_string(column.type):
        return pc.fill_null(column, "")
    return pc.fill_null(column.cast(pa.int64()), 0)


def _grouped(table: pa.Table, begins: Any) -> tuple[pa.Array, list[Group]]:
    """For each row the number of its group, and the groups."""
    number: Any = None
    for column in (begins, *(_filled(table.column(name)) for name in DIMENSIONS)):
        encoded = pc.dictionary_encode(column).combine_chunks()
        codes = encoded.indices.cast(pa.int64())
        number = codes if number is None else pc.add(pc.multiply(number, len(encoded.dictionary)), codes)
        number = pc.dictionary_encode(number).indices.cast(pa.int64())
    firsts = pa.table({"g": number, "n": pa.array(range(len(number)), pa.int64())}).group_by("g").aggregate([("n", "min")])
    where = firsts.take(pc.sort_indices(firsts.column("g"))).column("n_min")
    columns = [_filled(table.column(name)).take(where).to_pylist() for name in DIMENSIONS]
    groups = zip(begins.take(where).to_pylist(), zip(*columns, strict=True), strict=True)
    return number, list(groups)


def _counted(table: pa.Table) -> dict[str, Any]:
    """The figures that are no column of the row."""
    status, method = _filled(table.column("status")), _filled(table.column("cost_method"))
    before, after = _filled(table.column("tokens_before")), pc.max_element_wise(_filled(table.column("tokens_after")), 0)
    ratio = pc.divide(pc.multiply(after, 1_000_000), pc.max_element_wise(before, 1))
    flags = {
        "requests": pc.is_valid(table.column("event_id")),
        "failed": pc.or_(pc.greater_equal(status, 500), pc.equal(status, 0)),
        "rate_limited": pc.equal(status, 429),
        "cached": pc.not_equal(_filled(table.column("cache_hit")), ""),
        "uncompressed": pc.not_equal(_filled(table.column("skip_reason")), ""),
        **{name: pc.equal(method, name) for name in ("billed", "estimated", "unpriced")},
    }
    counted = {name: flag.cast(pa.int64()) for name, flag in flags.items()}
    counted["ratio_ppm"] = pc.if_else(pc.greater(before, 0), ratio, 0)
    assert set(counted) == set(COUNTED)
    return counted


def _sums(number: pa.Array, groups: int, figures: Mapping[str, Any]) -> list[Tally]:
    table = pa.table({"g": number, **figures}).group_by("g").aggregate([(name, "sum") for name in figures])
    tallies: list[Tally] = [Counter() for _ in range(groups)]
    for row in table.to_pylist():
        tallies[row["g"]].update({name: row[f"{name}_sum"] for name in figures})
    return tallies


def _bucket(values: Any, edges: Sequence[Any]) -> Any:
    """How many edges each value is above: the number of its bucket."""
    number: Any = None
    for edge in edges:
        above = pc.greater(values, edge).cast(pa.int8())
        number = above if number is None else pc.add(number, above)
    return number


def _add_distribution(tallies: Sequence[Tally], number: pa.Array, kind: str, values: Any, edges: Sequence[int]) -> None:
    _add_buckets(tallies, number, kind, values, list(edges))


def _add_buckets(tallies: Sequence[Tally], number: pa.Array, kind: str, values: Any, edges: Sequence[Any]) -> None:
    counted = pa.table({"g": number, "b": _bucket(values, edges)}).group_by(["g", "b"]).aggregate([([], "count_all")])
    for row in counted.to_pylist():
        if row["b"] is not None:
            tallies[row["g"]][f"{kind}/{row['b']}"] += row["count_all"]


def _pairs(column: pa.ChunkedArray) -> tuple[Any, Any, Any]:
    """For a column of counts: the row each stands in, its name, its value."""
    whole = column.combine_chunks()
    flat = pc.list_flatten(whole)
    return pc.list_parent_indices(whole), pc.struct_field(flat, "name"), pc.struct_field(flat, "value")


def _add_pairs(tallies: Sequence[Tally], number: Any, kind: str, names: Any, values: Any) -> None:
    if not len(number):
        return
    summed = pa.table({"g": number, "k": names, "v": values}).group_by(["g", "k"]).aggregate([("v", "sum")])
    for row in summed.to_pylist():
        tallies[row["g"]][f"{kind}/{row['k']}"] += row["v_sum"]


def rollup_of(groups: Mapping[Group, Tally]) -> pa.Table:
    """Tallies as a table in the order of time."""
    records: list[dict[str, Any]] = []
    for (begins, dimensions), found in sorted(groups.items()):
        details = [(name, value) for name, value in sorted(found.items()) if "/" in name and value]
        record: dict[str, Any] = {name: found.get(name, 0) for name in FIGURES}
        record |= dict(zip(DIMENSIONS, dimensions, strict=True))
        records.append({"schema_version": SCHEMA_VERSION, "timestamp": begins, **record, "details": details})
    return pa.Table.from_pylist(records, schema=ROLLUP)


def groups_of(table: pa.Table) -> dict[Group, Tally]:
    """The way back; groups that stand in the table more than once are added."""
    groups: dict[Group, Tally] = {}
    begins = table.column("timestamp").cast(pa.int64()).to_pylist()
    figures = [name for name in FIGURES if name in table.column_names]
    columns = table.select([*DIMENSIONS, *figures, "details"]).to_pylist()
    for start, row in zip(begins, columns, strict=True):
        found = groups.setdefault((start, tuple(row[name] for name in DIMENSIONS)), Counter())
        found.update({name: row[name] or 0 for name in figures})
        found.update(dict(row["details"] or ()))
    return groups

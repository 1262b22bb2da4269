"""Sums of whole tables with Arrow: rows to a rollup, a rollup to a coarser one. The same sums as `headroom.stats.tally`.

Nothing is counted one by one in Python: a million rows take seconds, and memory follows the number of groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headroom.stats.arrow import ROLLUP, hours_of
from headroom.stats.prices import BESIDE
from headroom.stats.rows import SCHEMA_VERSION
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
    LISTS,
    PLAIN,
    RATIO_EDGES,
    TIMES,
    Tally,
)

Group = tuple[int, tuple[str, ...]]  # microseconds at which the bucket begins, dimensions
DETAILS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())]))  # the details of a rollup, as Arrow can flatten them
_PAIRS = pa.schema([("g", pa.int64()), ("key", pa.string()), ("value", pa.int64())])


def aggregate(table: pa.Table) -> pa.Table:
    """A rollup of rows by hour and dimensions."""
    if not len(table):
        return ROLLUP.empty_table()
    names = {name: _filled(table.column(name)) for name in DIMENSIONS}
    begins = hours_of(table)
    number = _numbered([begins, *names.values()])
    figures = {**_counted(table), **{name: _filled(table.column(name)) for name in (*FLAGS, *COPIED)}}
    pairs = [
        *_distributions(table, number),
        *(_listed(table, number, kind, column) for kind, column in LISTS.items()),
        *_timed(table, number),
        *_arms(table, number),
        *_labels(table, number),
    ]
    return _built(begins, names, number, figures, pa.concat_tables(pairs))


def merged(table: pa.Table, at: int | None = None, keep: Collection[str] = DIMENSIONS) -> pa.Table:
    """A rollup whose groups are added: all buckets to the one that begins `at`, and all names of the dimensions that are not kept."""
    if not len(table):
        return ROLLUP.empty_table()
    table = table.combine_chunks()
    begins = table.column("timestamp").cast(pa.int64()) if at is None else pa.chunked_array([pa.repeat(at, len(table))])
    nobody = pa.chunked_array([pa.repeat("", len(table))])
    names = {name: _filled(table.column(name)) if name in keep else nobody for name in DIMENSIONS}
    number = _numbered([begins, *names.values()])
    figures = {name: _filled(table.column(name)) for name in FIGURES}
    lists = table.column("details").combine_chunks().cast(DETAILS)
    flat = pc.list_flatten(lists)
    pairs = _pairs(number.take(pc.list_parent_indices(lists)), pc.struct_field(flat, "key"), pc.struct_field(flat, "value"))
    return _built(begins, names, number, figures, pairs)


def negated(table: pa.Table) -> pa.Table:
    """A rollup to be taken off another by adding it."""
    if not len(table):
        return ROLLUP.empty_table()
    for name in FIGURES:
        table = table.set_column(table.column_names.index(name), ROLLUP.field(name), pc.negate(_filled(table.column(name))))
    lists = table.column("details").combine_chunks().cast(DETAILS)
    flat = pc.list_flatten(lists)
    sizes = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(sizes.cast(pa.int64()))]).cast(pa.int32())
    details = pa.MapArray.from_arrays(offsets, pc.struct_field(flat, "key"), pc.negate(pc.struct_field(flat, "value")))
    return table.set_column(table.column_names.index("details"), ROLLUP.field("details"), details)


def rollup_of(groups: Mapping[Group, Tally]) -> pa.Table:
    """Tallies as a rollup in the order of time."""
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
    columns = table.select([*DIMENSIONS, *FIGURES, "details"]).to_pylist()
    for start, row in zip(begins, columns, strict=True):
        found = groups.setdefault((start, tuple(row[name] for name in DIMENSIONS)), Counter())
        found.update({name: row[name] or 0 for name in FIGURES})
        found.update(dict(row["details"] or ()))
    return groups


def _filled(column: Any) -> Any:
    """Nulls count nothing; flags count 1."""
    if pa.types.is_string(column.type):
        return pc.fill_null(column, "")
    return pc.fill_null(column.cast(pa.int64()), 0)


def _numbered(keys: Sequence[Any]) -> pa.Array:
    """For each row the number of its group, from 0, in the order in which groups come."""
    number: Any = None
    for column in keys:
        encoded = pc.dictionary_encode(column).combine_chunks()
        codes = encoded.indices.cast(pa.int64())
        number = codes if number is None else pc.add(pc.multiply(number, len(encoded.dictionary)), codes)
        number = pc.dictionary_encode(number).indices.cast(pa.int64())
    return number


def _built(begins: Any, names: Mapping[str, Any], number: pa.Array, figures: Mapping[str, Any], pairs: pa.Table) -> pa.Table:
    """The rollup of numbered rows, in the order of time."""
    table = pa.table({"g": number, "n": pa.array(range(len(number)), pa.int64()), **figures})
    wanted = [("n", "min"), *((name, "sum") for name in FIGURES)]
    summed = table.group_by("g").aggregate(wanted).sort_by("g")
    first = summed.column("n_min")
    columns = [
        pa.repeat(SCHEMA_VERSION, len(summed)),
        begins.take(first).cast(ROLLUP.field("timestamp").type),
        *(names[name].take(first) for name in DIMENSIONS),
        *(summed.column(f"{name}_sum") for name in FIGURES),
        _details(pairs, len(summed)),
    ]
    return pa.table(columns, schema=ROLLUP).sort_by("timestamp")


def _details(pairs: pa.Table, groups: int) -> pa.Array:
    summed = pairs.group_by(["g", "key"]).aggregate([("value", "sum")])
    summed = summed.filter(pc.not_equal(summed.column("value_sum"), 0)).sort_by([("g", "ascending"), ("key", "ascending")])
    sizes = {item["values"]: item["counts"] for item in pc.value_counts(summed.column("g")).to_pylist()}
    offsets = [0]
    for group in range(groups):
        offsets.append(offsets[-1] + sizes.get(group, 0))
    keys, values = (summed.column(name).combine_chunks() for name in ("key", "value_sum"))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, values)


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
    given = _filled(table.column("input_tokens"))
    cached = pc.add(_filled(table.column("cache_read_tokens")), _filled(table.column("cache_write_tokens")))
    beside = pc.is_in(_filled(table.column("dialect")), pa.array(sorted(BESIDE)))
    counted[PLAIN] = pc.if_else(beside, given, pc.max_element_wise(pc.subtract(given, cached), 0))
    assert set(counted) == set(COUNTED)
    return counted


def _pairs(number: Any, keys: Any, values: Any) -> pa.Table:
    return pa.table([number, keys, values], schema=_PAIRS)


def _ones(count: int) -> pa.Array:
    return pa.repeat(1, count)


def _key(kind: str, *names: Any) -> Any:
    return pc.binary_join_element_wise(kind, *(name.cast(pa.string()) for name in names), "/")


def _distributions(table: pa.Table, number: pa.Array) -> list[pa.Table]:
    found = [_bucketed(number, kind, table.column(column), EDGES) for kind, column in TIMES.items()]
    before, after = _filled(table.column("tokens_before")), pc.max_element_wise(_filled(table.column("tokens_after")), 0)
    hundredfold = pc.if_else(pc.greater(before, 0), pc.multiply(after, 100), None)
    return [*found, _bucketed(number, "ratio", hundredfold, [pc.multiply(before, edge) for edge in RATIO_EDGES])]


def _bucketed(number: pa.Array, kind: str, values: Any, edges: Sequence[Any]) -> pa.Table:
    counted = pa.table({"g": number, "b": _bucket(values, edges)}).group_by(["g", "b"]).aggregate([([], "count_all")])
    counted = counted.filter(pc.is_valid(counted.column("b")))
    return _pairs(counted.column("g"), _key(kind, counted.column("b")), counted.column("count_all"))


def _bucket(values: Any, edges: Sequence[Any]) -> Any:
    """How many edges each value is above: the number of its bucket."""
    number: Any = None
    for edge in edges:
        above = pc.greater(values, edge).cast(pa.int8())
        number = above if number is None else pc.add(number, above)
    return number


def _flat(table: pa.Table, column: str) -> tuple[Any, Any, Any]:
    """For a column of counts: the row each stands in, its name, its value."""
    whole = table.column(column).combine_chunks()
    flat = pc.list_flatten(whole)
    return pc.list_parent_indices(whole), pc.struct_field(flat, "name"), pc.struct_field(flat, "value")


def _listed(table: pa.Table, number: pa.Array, kind: str, column: str) -> pa.Table:
    parent, names, values = _flat(table, column)
    return _pairs(number.take(parent), _key(kind, names), values)


def _timed(table: pa.Table, number: pa.Array) -> list[pa.Table]:
    """How often each transform was timed, and how long it took, by edges."""
    parent, names, values = _flat(table, "transform_us")
    own, ones = number.take(parent), _ones(len(parent))
    return [_pairs(own, _key("transform_timed", names), ones), _pairs(own, _key("transform_le", names, _bucket(values, EDGES)), ones)]


def _arms(table: pa.Table, number: pa.Array) -> list[pa.Table]:
    """The arms of a holdout by groups of conversations."""
    digits = pc.utf8_slice_codeunits(_filled(table.column("conversation")), 0, 2)
    byte = pc.index_in(digits, value_set=pa.array(GROUP_OF))  # from 00 to ff
    compared = pc.and_(pc.equal(_filled(table.column("cost_method")), "billed"), pc.not_equal(_filled(table.column("arm")), ""))
    compared = pc.and_(compared, pc.is_valid(byte)).combine_chunks()
    rows = table.filter(compared)
    own, group = number.filter(compared), pc.divide(pc.multiply(byte.filter(compared), GROUPS), 256)
    figures = {
        "requests": _ones(len(rows)),
        "begun": pc.equal(_filled(rows.column("turns")), 1).cast(pa.int64()),
        **{name: _filled(rows.column(name)) for name in ("chars", "cost_nanousd", "saved_nanousd")},
    }
    arm = rows.column("arm")
    return [_pairs(own, pc.binary_join_element_wise("arm", arm, group.cast(pa.string()), name, "/"), figures[name]) for name in ARM_FIGURES]


def _labels(table: pa.Table, number: pa.Array) -> list[pa.Table]:
    """What is counted once for a row that has it."""
    degraded = table.column("degraded").combine_chunks()
    parent = pc.list_parent_indices(degraded)
    hit = _filled(table.column("cache_hit")).combine_chunks()
    is_hit = pc.not_equal(hit, "")
    versions = _filled(table.column("policy_version")).combine_chunks()
    ruled = pc.not_equal(versions, "")
    rules = _filled(table.column("policy")).combine_chunks().filter(ruled)
    rules = pc.if_else(pc.equal(rules, ""), DEFAULT_POLICY, rules)
    found = [
        (number.filter(ruled), "policy", pc.binary_join_element_wise(rules, versions.filter(ruled), "@")),
        (number.take(parent), "degraded", pc.list_flatten(degraded)),
        (number, "mode", _filled(table.column("mode"))),
        (number.filter(is_hit), "cached_as", hit.filter(is_hit)),
    ]
    return [_pairs(own, _key(kind, names), _ones(len(own))) for own, kind, names in found]

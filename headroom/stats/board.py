"""What a dashboard shows of a stretch of time, counted from rollups: the same time and memory for ten requests and for ten millions.

A `Board` is small whatever lies behind it: one tally per bucket, one per name of each dimension. It crosses processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headroom.stats.ledger import Query
from headroom.stats.series import Series
from headroom.stats.sums import DETAILS
from headroom.stats.tally import DIMENSIONS, FIGURES, TIMES, Tally

TRANSFORM = "transform"
SPLITS = (*DIMENSIONS, TRANSFORM)
_OVER_TIME = (*TIMES, "transform_tokens")  # details that are wanted of every bucket
_BUCKET, _SPLIT = "bucket", "split"
_FIGURES = pa.schema([("kind", pa.string()), ("at", pa.int64()), ("name", pa.string()), *((name, pa.int64()) for name in FIGURES)])
_PAIRS = pa.schema([("at", pa.int64()), ("key", pa.string()), ("value", pa.int64())])


@dataclass(frozen=True, slots=True)
class Wish:
    """Which requests, in buckets of which length, and by what the buckets are split."""

    query: Query = field(default_factory=Query)
    series: Series = "daily"
    split: str = "team"


@dataclass(slots=True)
class Board:
    """`buckets` by their beginning (microseconds), with the distributions of TIMES; `by` dimension and name; `split` by bucket and name."""

    total: Tally = field(default_factory=Tally)
    buckets: dict[int, Tally] = field(default_factory=dict)
    by: dict[str, dict[str, Tally]] = field(default_factory=lambda: {name: {} for name in DIMENSIONS})
    split: dict[tuple[int, str], Tally] = field(default_factory=dict)

    def plus(self, more: Board) -> Board:
        """Both together, neither changed."""
        return Board(
            _sum([(0, self.total), (0, more.total)])[0],
            _sum([*self.buckets.items(), *more.buckets.items()]),
            {name: _sum([*self.by[name].items(), *more.by[name].items()]) for name in DIMENSIONS},
            _sum([*self.split.items(), *more.split.items()]),
        )


def _sum(pairs: Iterable[tuple[Any, Tally]]) -> dict[Any, Tally]:
    found: dict[Any, Tally] = {}
    for key, one in pairs:
        found.setdefault(key, Tally()).update(one)
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """What a board needs of some rows of a rollup, as tables that are small and added up in no time."""

    figures: pa.Table = field(default_factory=_FIGURES.empty_table)  # by kind: a bucket, the split, a dimension
    details: pa.Table = field(default_factory=_PAIRS.empty_table)

    @property
    def nbytes(self) -> int:
        return int(self.figures.nbytes + self.details.nbytes)


def part_of(table: pa.Table, split: str) -> Part:
    """The part of rows of a rollup; `split` is one of SPLITS."""
    if not len(table):
        return Part()
    table = table.append_column("at", table.column("timestamp").cast(pa.int64()))
    kinds: dict[str, list[str]] = {_BUCKET: ["at"], **{name: [name] for name in DIMENSIONS}}
    if split != TRANSFORM:
        kinds[_SPLIT] = ["at", split]
    found = []
    for kind, keys in kinds.items():
        summed = table.group_by(keys).aggregate([(name, "sum") for name in FIGURES])
        columns = [
            pa.repeat(kind, len(summed)),
            summed.column("at") if "at" in keys else pa.repeat(0, len(summed)),
            summed.column(keys[-1]) if keys[-1] != "at" else pa.repeat("", len(summed)),
            *(pc.fill_null(summed.column(f"{name}_sum"), 0) for name in FIGURES),
        ]
        found.append(pa.table(columns, schema=_FIGURES))
    return Part(pa.concat_tables(found).combine_chunks(), _details(table))


def board_of(parts: Iterable[Part], split: str) -> Board:
    """Everything added up; all parts are of this split."""
    found = list(parts)
    figures = pa.concat_tables([_FIGURES.empty_table(), *(part.figures for part in found)])
    details = pa.concat_tables([_PAIRS.empty_table(), *(part.details for part in found)])
    board = Board()
    for row in figures.group_by(["kind", "at", "name"]).aggregate([(name, "sum") for name in FIGURES]).to_pylist():
        one, kind = Tally({name: row[f"{name}_sum"] for name in FIGURES}), row["kind"]
        if kind == _BUCKET:
            board.buckets[row["at"]] = one
            board.total.update(one)
        elif kind == _SPLIT:
            board.split[row["at"], row["name"]] = one
        else:
            board.by[kind][row["name"]] = one
    for row in details.group_by(["at", "key"]).aggregate([("value", "sum")]).to_pylist():
        at, key, value = row["at"], row["key"], row["value_sum"]
        board.total[key] += value
        kind, _, rest = key.partition("/")
        if kind in _OVER_TIME:
            board.buckets[at][key] += value
        if split == TRANSFORM and kind == "transform_tokens":
            board.split[at, rest] = Tally(tokens_saved=value)
    return board


def _details(table: pa.Table) -> pa.Table:
    lists = table.column("details").combine_chunks().cast(DETAILS)
    flat = pc.list_flatten(lists)
    at = table.column("at").combine_chunks().take(pc.list_parent_indices(lists))
    pairs = pa.table({"at": at, "key": pc.struct_field(flat, "key"), "value": pc.struct_field(flat, "value")})
    summed = pairs.group_by(["at", "key"]).aggregate([("value", "sum")])
    return pa.table([summed.column("at"), summed.column("key"), summed.column("value_sum")], schema=_PAIRS)

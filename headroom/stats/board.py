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


def board_of(table: pa.Table, split: str) -> Board:
    """The board of rows of a rollup; `split` is one of SPLITS."""
    if not len(table):
        return Board()
    table = table.append_column("at", table.column("timestamp").cast(pa.int64()))
    figures = list(FIGURES)
    board = Board()
    board.total.update({name: pc.sum(table.column(name)).as_py() or 0 for name in figures})
    board.buckets = {at: found for (at,), found in _grouped(table, ["at"], figures)}
    for name in DIMENSIONS:
        board.by[name] = {value: found for (value,), found in _grouped(table, [name], figures)}
    if split != TRANSFORM:
        board.split = dict(_grouped(table, ["at", split], figures))
    for at, key, value in _details(table):
        board.total[key] += value
        kind, _, rest = key.partition("/")
        if kind in _OVER_TIME:
            board.buckets[at][key] += value
        if split == TRANSFORM and kind == "transform_tokens":
            board.split[at, rest] = Tally(tokens_saved=value)
    return board


def _grouped(table: pa.Table, keys: list[str], figures: list[str]) -> Iterable[tuple[Any, Tally]]:
    """For each combination of the keys the sums of its rows."""
    summed = table.group_by(keys).aggregate([(name, "sum") for name in figures])
    for row in summed.to_pylist():
        yield tuple(row[key] for key in keys), Tally({name: row[f"{name}_sum"] or 0 for name in figures})


def _details(table: pa.Table) -> Iterable[tuple[int, str, int]]:
    """(bucket, kind/name, sum)."""
    lists = table.column("details").combine_chunks().cast(DETAILS)
    flat = pc.list_flatten(lists)
    at = table.column("at").combine_chunks().take(pc.list_parent_indices(lists))
    pairs = pa.table({"at": at, "key": pc.struct_field(flat, "key"), "value": pc.struct_field(flat, "value")})
    for row in pairs.group_by(["at", "key"]).aggregate([("value", "sum")]).to_pylist():
        yield row["at"], row["key"], row["value_sum"]

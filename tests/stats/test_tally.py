"""One row at a time and whole tables count the same; distributions keep their promises."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections import Counter

import pytest

from headroom.stats.arrow import once, table_of
from headroom.stats.rows import Row
from headroom.stats.sums import Group, aggregate, groups_of, merged, rollup_of
from headroom.stats.tally import DIMENSIONS, EDGES, HOUR_US, Tally, dimensions, figures_ms, percentile, tally
from tests.stats.made import rows


def one_by_one(found: list[Row]) -> dict[Group, Tally]:
    groups: dict[Group, Tally] = {}
    for row in found:
        key = (row["timestamp"] // HOUR_US * HOUR_US, dimensions(row))
        groups.setdefault(key, Counter()).update(tally(row))
    return groups


def lines(found: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in found).encode()


def test_tables_count_what_rows_count() -> None:
    found = rows(400)
    expected = one_by_one(found)
    rollup = aggregate(table_of(lines(found), "test"))
    assert groups_of(rollup) == expected
    assert groups_of(rollup_of(expected)) == expected
    total: Tally = Counter()
    for one in expected.values():
        total.update(one)
    assert groups_of(merged(rollup, 7, ())) == {(7, ("",) * len(DIMENSIONS)): total}
    assert groups_of(merged(rollup)) == expected
    assert any(value["saved_nanousd"] < 0 for value in expected.values())
    assert any(value["unpriced"] for value in expected.values())


def test_an_event_that_comes_twice_is_there_once() -> None:
    found = rows(50)
    table = table_of(lines([*found, *found[10:20], found[0]]), "test")
    assert table.column("event_id").to_pylist() == [row["event_id"] for row in found]
    assert once(table).equals(table)


def test_what_is_no_row_is_passed_over_and_named(caplog: pytest.LogCaptureFixture) -> None:
    found = rows(3)
    odd = b'{"event_id": 7}\n\x00\xff\n{"event_id": "x", "timestamp": 1, "status": "many"}\n[]\n'
    table = table_of(lines(found[:2]) + odd + lines(found[2:]) + b'{"event_id": "cut in the mid', "j1")
    assert table.column("event_id").to_pylist() == [row["event_id"] for row in found]
    assert caplog.text.count("j1: ") == 4
    assert len(table_of(b"", "j2")) == len(table_of(b'{"half', "j3")) == 0


def test_rows_of_an_older_version_have_fewer_columns() -> None:
    row = rows(1)[0]
    del row["degraded"], row["cache_saved_nanousd"]
    (counted,) = groups_of(aggregate(table_of(lines([row]), "test"))).values()
    assert (counted["requests"], counted["cache_saved_nanousd"]) == (1, 0)


def test_percentiles_are_near_what_they_stand_for() -> None:
    draw = random.Random(3)
    values = sorted(int(draw.lognormvariate(10, 1.2)) for _ in range(20_000))
    counts = [0] * (len(EDGES) + 1)
    for value in values:
        counts[bisect_left(EDGES, value)] += 1
    for share in (0.01, 0.5, 0.95, 0.99):
        assert percentile(counts, share) == pytest.approx(values[int(share * len(values))], rel=0.1)
    assert figures_ms({}, "latency") == dict.fromkeys(("average_ms", "min_ms", "max_ms", "p50_ms", "p95_ms", "p99_ms"))


def test_the_edges_that_dashboards_ask_for_are_there() -> None:
    assert {1000, 2500, 10_000, 100_000, 1_000_000, 60_000_000} <= set(EDGES)

"""Budgets: reserved, settled once, never passed by what is reserved, exact in their sums, and kept through a lost store."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headroom.errors import RateLimited, StoreUnavailable
from headroom.limits.budget import Alert, Budget, Budgets, Charge, Reservation, end_of, slot_of
from headroom.outcome import Usage
from headroom.stats.prices import NANO, cost, nano
from headroom.store.base import Draw, Drawn
from tests.limits.test_rate import Clock, Counted

KEY, TEAM = Budget("key", "the key", 10 * NANO, "daily"), Budget("team", "the team", 15 * NANO, "daily")
ALL = Budget("all", "all", None, "daily")


class Spent:
    """A store where every budget is spent."""

    async def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn:
        return Drawn((0,) * len(draws), (NANO,) * len(draws))


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


def test_a_reservation_is_settled_with_what_was_billed(counted: Counted) -> None:
    async def run() -> None:
        one, other = Budgets(counted), Budgets(counted)
        reserved = await one.reserve("r1", [KEY, TEAM, ALL], 6 * NANO)
        assert await one.spent([KEY, TEAM, ALL]) == [6 * NANO] * 3
        with pytest.raises(RateLimited, match=r"daily budget of the key is reached: \$6\.00 of \$10\.00") as refused:
            await other.reserve("r2", [KEY, TEAM, ALL], 5 * NANO)
        assert 0 < (refused.value.retry_after_s or 0) <= 86_400
        await one.settle(reserved, NANO)
        await other.settle(reserved, NANO)
        assert await other.spent([KEY, TEAM, ALL]) == [NANO] * 3
        await other.reserve("r2", [KEY, TEAM, ALL], 9 * NANO)
        with pytest.raises(RateLimited, match="the team"):
            await one.reserve("r3", [TEAM], 6 * NANO)

    asyncio.run(run())


def test_a_thousand_at_once_never_reserve_more_than_there_is(counted: Counted) -> None:
    each = NANO // 300

    async def reserve(budgets: Budgets, number: int) -> int:
        try:
            reservation = await budgets.reserve(f"r{number}", [Budget("key", "k", NANO, "daily"), ALL], each)
        except RateLimited:
            return 0
        await budgets.settle(reservation, each - number)
        return each - number

    async def run() -> int:
        processes = [Budgets(counted) for _ in range(4)]
        spent = sum(await asyncio.gather(*(reserve(processes[n % 4], n) for n in range(1000))))
        assert await processes[0].spent([Budget("key", "k", NANO, "daily"), ALL]) == [spent, spent]
        return spent

    assert NANO - 2 * each < asyncio.run(run()) <= NANO


def test_without_a_limit_nothing_waits_for_the_store(counted: Counted) -> None:
    async def run() -> None:
        budgets = Budgets(counted, "closed")
        reserved = await budgets.reserve("r1", [ALL], 5)
        assert counted.calls == 0
        await budgets.settle(reserved, 7)
        assert await budgets.spent([ALL]) == [7]

    asyncio.run(run())


def test_what_is_spent_while_the_store_is_lost_is_counted_later(counted: Counted) -> None:
    async def run() -> None:
        budgets = Budgets(counted)
        before = await budgets.reserve("r1", [KEY], 3 * NANO)
        counted.lost = True
        doubtful = await budgets.reserve("r2", [KEY], 4 * NANO)
        await budgets.settle(before, NANO)
        await budgets.settle(doubtful, 2 * NANO)
        counted.lost = False
        await budgets.close()
        assert await budgets.spent([KEY]) == [3 * NANO]
        counted.lost = True
        with pytest.raises(StoreUnavailable):
            await Budgets(counted, "closed").reserve("r3", [KEY], 1)

    asyncio.run(run())


def test_a_settlement_is_tried_again_until_it_is_written(counted: Counted) -> None:
    async def run() -> None:
        budgets = Budgets(counted)
        reserved = await budgets.reserve("r1", [KEY], NANO)
        counted.lost = True
        await budgets.settle(reserved, 2 * NANO)
        counted.lost = False
        async with asyncio.timeout(60):
            while await budgets.spent([KEY]) != [2 * NANO]:  # noqa: ASYNC110  # another task writes it, and tells nobody
                await asyncio.sleep(0.05)

    asyncio.run(run())


def test_a_settlement_is_done_once_however_long_the_store_is_lost(tmp_path: Path) -> None:
    clock = Clock()
    counted = Counted(tmp_path, clock)

    async def run() -> None:
        budgets = Budgets(counted, clock=clock)
        reserved = [await budgets.reserve(f"r{number}", [KEY], NANO) for number in range(2)]
        counted.mute = True
        doubtful = await budgets.reserve("r2", [KEY], NANO)
        await budgets.settle(reserved[0], 2 * NANO)
        counted.mute, counted.lost = False, True
        await budgets.settle(doubtful, 2 * NANO)
        clock.now += 1800
        counted.lost = False
        await budgets.close()
        counted.lost = True
        await budgets.settle(reserved[1], 2 * NANO)
        clock.now += 3600
        counted.lost = False
        await budgets.close()
        assert await budgets.spent([KEY]) == [6 * NANO]

    asyncio.run(run())


def test_what_is_done_once_is_remembered_for_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    counted = Counted(tmp_path, clock)

    def remembered() -> int:
        with closing(sqlite3.connect(tmp_path / "store.sqlite")) as db:
            (many,) = db.execute("SELECT count(*) FROM once").fetchone()
        return int(many)

    async def run() -> None:
        budgets = Budgets(counted, clock=clock)
        for number in range(20):
            await budgets.settle(await budgets.reserve(f"r{number}", [KEY], 3), 2)
            await budgets.settle(await budgets.reserve(f"free{number}", [KEY], 0), 0)
        assert remembered() == 40
        clock.now += 3601
        await budgets.spent([KEY])
        assert remembered() == 0

    asyncio.run(run())


def test_alerts_are_told_once_by_all_processes(counted: Counted) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(alert: Alert) -> None:
        told.append((alert.budget.owner, alert.percent, alert.spent))

    async def run() -> None:
        processes = [Budgets(counted, alert=tell) for _ in range(3)]
        for number in range(10):
            budgets = processes[number % 3]
            await budgets.settle(await budgets.reserve(f"r{number}", [KEY, TEAM, ALL], NANO), NANO - 1)

    asyncio.run(run())
    assert [(owner, percent) for owner, percent, _ in told] == [("key", 50), ("team", 50), ("key", 80)]
    assert told[0][2] == 6 * NANO - 6


def test_alerts_of_many_owners_and_hours_take_no_memory() -> None:
    told = 0

    def tell(alert: Alert) -> None:
        nonlocal told
        told += 1

    async def run() -> int:
        budgets = Budgets(Spent(), alert=tell)
        tracemalloc.start()
        for hour in range(500):
            await budgets.settle(Reservation("r", tuple(Charge(Budget(f"{n}", "", NANO, "hourly"), hour) for n in range(20))), 1)
        return tracemalloc.get_traced_memory()[0]

    try:
        assert asyncio.run(run()) < 2_500_000
    finally:
        tracemalloc.stop()
    assert told == 500 * 20 * 3


def test_a_period_that_is_over_is_forgiven(counted: Counted) -> None:
    clock = Clock()

    async def run() -> None:
        for period, pause in (("hourly", 3600), ("daily", 86_400), ("monthly", 31 * 86_400)):
            budget = Budget(period, period, NANO, period)  # type: ignore[arg-type]
            budgets = Budgets(counted, clock=clock)
            await budgets.reserve(f"{period} 1", [budget], NANO)
            with pytest.raises(RateLimited) as refused:
                await budgets.reserve(f"{period} 2", [budget], 1)
            assert 0 < (refused.value.retry_after_s or 0) <= pause
            clock.now += refused.value.retry_after_s or 0
            await budgets.reserve(f"{period} 3", [budget], NANO)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("now", "period", "slot", "end"),
    [
        ("2026-01-31T23:59:59", "monthly", 2026 * 12, "2026-02-01T00:00:00"),
        ("2026-12-31T23:59:59", "monthly", 2026 * 12 + 11, "2027-01-01T00:00:00"),
        ("2024-02-29T12:00:00", "daily", 19782, "2024-03-01T00:00:00"),
        ("2024-02-29T12:30:00", "hourly", 19782 * 24 + 12, "2024-02-29T13:00:00"),
    ],
)
def test_calendar_periods(now: str, period: str, slot: int, end: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()
    assert slot_of(period, at) == slot  # type: ignore[arg-type]
    assert end_of(period, at) == datetime.fromisoformat(end).replace(tzinfo=UTC).timestamp()  # type: ignore[arg-type]


def test_costs_are_exact_and_unknown_models_have_none() -> None:
    assert cost("anthropic", "claude-sonnet-4-5", Usage(700, 100, 200, 100)) == nano(0.004035)
    assert cost("openai", "gpt-4o", Usage(1000, 100, 400)) == nano(0.0025 * 0.6 + 0.00125 * 0.4 + 0.001)
    assert cost("openai", "nobody-knows-it", Usage(1, 1)) is None
    assert cost("anthropic", "", Usage(1, 1)) is None
    assert cost("nowhere", "gpt-4o", Usage(1, 1)) is None

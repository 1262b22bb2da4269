"""Rates by leases: never passed by any number of processes, and told in words when they are reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import RateLimited, StoreUnavailable
from headroom.limits.rate import Rate, Rates
from headroom.store.base import Draw, Drawn
from headroom.store.sqlite import SqliteStore


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """The store, asked directly, a step of the event loop away; counts how often, and can be lost, or its answers (`mute`)."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.store = SqliteStore(path / "store.sqlite", 3600, 10**6, clock)
        self.calls = 0
        self.lost = False
        self.mute = False

    async def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn:
        await asyncio.sleep(0)
        self.calls += 1
        if self.lost:
            raise StoreUnavailable("lost")
        drawn = self.store.draw(draws, once, once_s)
        await asyncio.sleep(0)
        if self.mute:
            raise StoreUnavailable("the answer was lost")
        return drawn


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rate(limit: int, owner: str = "ada") -> Rate:
    return Rate(owner, "this key", "requests", limit)


async def passed(work: Callable[[], Awaitable[None]]) -> bool:
    try:
        await work()
    except RateLimited:
        return False
    return True


def test_many_at_once_over_many_processes_stop_at_the_limit(counted: Counted, clock: Clock) -> None:
    async def run() -> list[bool]:
        processes = [Rates(counted, clock=clock) for _ in range(4)]
        return list(await asyncio.gather(*(passed(lambda n=n: processes[n % 4].take(rate(600), 1)) for n in range(1000))))

    granted = sum(asyncio.run(run()))
    assert 600 - 4 * 5 <= granted <= 600
    assert counted.calls <= 600 / 6 + 4 * 3


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 9)), min_size=30, max_size=120),
    st.integers(1, 12),
)
def test_no_sixty_seconds_hold_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, float]], limit: int
) -> None:
    counted, clock = Counted(tmp_path_factory.mktemp("rate")), Clock()
    times: list[float] = []

    async def run() -> None:
        processes = [Rates(counted, clock=clock) for _ in range(3)]
        for process, pause in steps:
            clock.now += pause
            if await passed(lambda process=process: processes[process].take(rate(limit), 1)):
                times.append(clock.now)

    asyncio.run(run())
    counted.store.close()
    assert times
    for first in times:
        assert sum(first <= at <= first + 60 for at in times) <= limit


def test_retry_after_is_when_it_passes_again(counted: Counted, clock: Clock) -> None:
    async def run() -> None:
        rates = Rates(counted, clock=clock)
        for _ in range(3):
            await rates.take(rate(3), 1)
            clock.now += 10
        with pytest.raises(RateLimited, match=r"limit of this key is 3 requests a minute.* try again in (\d+) s") as refused:
            await rates.take(rate(3), 1)
        assert refused.value.retry_after_s is not None
        with pytest.raises(RateLimited):
            await rates.take(rate(3), 1)
        calls = counted.calls
        for _ in range(50):
            assert not await passed(lambda: rates.take(rate(3), 1))
        assert counted.calls == calls
        clock.now += refused.value.retry_after_s
        await rates.take(rate(3), 1)
        await Rates(counted, clock=clock).take(rate(3, "bob"), 1)

    asyncio.run(run())


def test_what_a_period_left_over_goes_back(counted: Counted, clock: Clock) -> None:
    async def run() -> int:
        first, second = Rates(counted, clock=clock), Rates(counted, clock=clock)
        await first.take(rate(200), 1)
        clock.now += 5
        await first.take(rate(200), 1)
        return sum([await passed(lambda: second.take(rate(200), 1)) for _ in range(300)])

    assert asyncio.run(run()) == 200 - 1 - 2


@pytest.mark.parametrize("steps", range(6))
def test_who_goes_away_while_units_are_taken_takes_no_others_along(counted: Counted, clock: Clock, steps: int) -> None:
    async def run() -> int:
        rates = Rates(counted, clock=clock)
        for _ in range(50):
            taking = asyncio.create_task(rates.take(rate(200), 1))
            for _ in range(steps):
                await asyncio.sleep(0)
            taking.cancel()
            await asyncio.wait({taking})
        await rates.close()
        return sum([await passed(lambda: rates.take(rate(200), 1)) for _ in range(300)])

    assert 150 <= asyncio.run(run()) <= 200


def test_tokens_are_corrected(counted: Counted, clock: Clock) -> None:
    tokens = Rate("ada", "this key", "tokens", 1000)

    async def run() -> None:
        rates = Rates(counted, clock=clock)
        await rates.take(tokens, 900)
        assert not await passed(lambda: rates.take(tokens, 500))
        await rates.take(tokens, 50)
        await rates.correct(tokens, -800)
        clock.now += 5
        await rates.take(tokens, 500)
        await rates.correct(tokens, 600)
        clock.now += 5
        assert not await passed(lambda: rates.take(tokens, 20))
        with pytest.raises(RateLimited):
            await Rates(counted, clock=clock).take(tokens, 2000)

    asyncio.run(run())


def test_a_correction_goes_to_the_period_of_its_estimate(counted: Counted, clock: Clock) -> None:
    limit = 100_000
    started = [Rate("ada", "this key", "tokens", limit) for _ in range(10)]

    async def run() -> int:
        rates = Rates(counted, clock=clock)
        for one in started:
            await rates.take(one, limit)
            clock.now += 66
        for one in started:
            await rates.correct(one, 1000 - limit)
        taken = 0
        while await passed(lambda: rates.take(Rate("ada", "this key", "tokens", limit), 10_000)):
            taken += 10_000
        return taken

    assert asyncio.run(run()) == limit


def test_what_was_estimated_within_the_minute_is_corrected_there(counted: Counted, clock: Clock) -> None:
    async def run() -> None:
        rates = Rates(counted, clock=clock)
        early, late = (Rate("ada", "this key", "tokens", 1000) for _ in range(2))
        await rates.take(early, 500)
        clock.now += 55
        await rates.take(late, 100)
        await rates.correct(early, 300)
        await rates.correct(late, -50)
        assert not await passed(lambda: rates.take(Rate("ada", "this key", "tokens", 1000), 151))
        clock.now += 10
        await rates.take(Rate("ada", "this key", "tokens", 1000), 950)

    asyncio.run(run())


def test_what_was_not_counted_is_not_corrected(counted: Counted, clock: Clock) -> None:
    async def run() -> None:
        tokens = Rate("ada", "this key", "tokens", 1000)
        counted.lost = True
        await Rates(counted, "open", clock).take(tokens, 900)
        counted.lost = False
        await Rates(counted, "open", clock).correct(tokens, -900)
        assert not await passed(lambda: Rates(counted, clock=clock).take(tokens, 1001))

    asyncio.run(run())


def test_a_lost_store_is_open_or_closed_and_asked_seldom(counted: Counted, clock: Clock) -> None:
    async def run() -> None:
        counted.lost = True
        opened, closed = Rates(counted, "open", clock), Rates(counted, "closed", clock)
        for _ in range(20):
            await opened.take(rate(1), 1)
            with pytest.raises(StoreUnavailable):
                await closed.take(rate(1), 1)
        assert counted.calls == 2

    asyncio.run(run())


def test_a_clock_that_jumps_back_stops_nobody_for_ever(counted: Counted, clock: Clock) -> None:
    async def run() -> None:
        rates = Rates(counted, clock=clock)
        await rates.take(rate(1), 1)
        clock.now -= 3600
        await rates.take(rate(1), 1)
        assert not await passed(lambda: rates.take(rate(1), 1))
        clock.now += 65
        await rates.take(rate(1), 1)

    asyncio.run(run())


def test_a_refusal_does_not_outlast_a_clock_that_is_set_right(counted: Counted, clock: Clock) -> None:
    async def run() -> None:
        rates = Rates(counted, clock=clock)
        clock.now += 3600
        await rates.take(rate(1), 1)
        assert not await passed(lambda: rates.take(rate(1), 1))
        clock.now -= 3600
        await rates.take(rate(1), 1)

    asyncio.run(run())

"""Who waits for the answer to an equal request, and for how long."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from headroom.cache.flights import PATIENCE_S, Flights
from tests.provider import WAIT_S

PLACE = ("ada", "key")


class Failed(Exception):
    """How a request ends whose client went away, or whose provider broke off."""


class Leader:
    """A request that runs until it is told to end."""

    def __init__(self, flights: Flights) -> None:
        self._flights = flights
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._lead())

    async def _lead(self) -> None:
        with suppress(Failed), self._flights.lead(PLACE):
            await self._end

    async def end(self, failure: Failed | None = None) -> None:
        if failure:
            self._end.set_exception(failure)
        else:
            self._end.set_result(None)
        await self._task


async def steps() -> None:
    """All that can happen by itself happens."""
    for _ in range(10):
        await asyncio.sleep(0)


def waiting(flights: Flights, count: int) -> list[asyncio.Task[bool]]:
    return [asyncio.create_task(flights.wait(PLACE)) for _ in range(count)]


def test_nobody_waits_where_nobody_leads() -> None:
    assert not asyncio.run(Flights().wait(PLACE))


@pytest.mark.parametrize("failure", [None, Failed()])
def test_whoever_waits_goes_on_when_the_leader_is_over(failure: Failed | None) -> None:
    async def run() -> None:
        flights = Flights((WAIT_S, WAIT_S))
        leader = Leader(flights)
        await steps()
        waits = waiting(flights, 3)
        await steps()
        assert not any(each.done() for each in waits)
        await leader.end(failure)
        assert await asyncio.gather(*waits) == [True] * 3
        assert not await flights.wait(PLACE)

    asyncio.run(run())


@pytest.mark.parametrize("late", [False, True], ids=["its answer", "the first one's"])
def test_of_those_who_waited_long_enough_one_asks_and_the_others_have_the_answer_that_comes(late: bool) -> None:
    async def run() -> None:
        flights = Flights((0, WAIT_S))
        slow = Leader(flights)
        await steps()
        first, *others = waiting(flights, 100)
        assert not await first
        instead = Leader(flights)
        await steps()
        assert not any(each.done() for each in others)
        before, after = (slow, instead) if late else (instead, slow)
        await before.end()
        assert await asyncio.gather(*others) == [True] * 99
        await after.end()

    asyncio.run(run())


def test_nobody_waits_without_end() -> None:
    async def run() -> None:
        flights = Flights((0, 0))
        stuck = Leader(flights)
        await steps()
        assert await asyncio.gather(*waiting(flights, 5)) == [False] * 5
        await stuck.end()

    asyncio.run(run())
    assert 0 < PATIENCE_S <= 30


def test_one_that_failed_sends_nobody_off_while_another_leads() -> None:
    async def run() -> None:
        flights = Flights((WAIT_S, WAIT_S))
        one, other = Leader(flights), Leader(flights)
        await steps()
        (waits,) = waiting(flights, 1)
        await one.end(Failed())
        await steps()
        assert not waits.done()
        await other.end(Failed())
        assert await waits

    asyncio.run(run())


def test_one_that_is_late_ends_no_later_flight() -> None:
    async def run() -> None:
        flights = Flights((WAIT_S, WAIT_S))
        late, other = Leader(flights), Leader(flights)
        await steps()
        await other.end()
        later = Leader(flights)
        await steps()
        (waits,) = waiting(flights, 1)
        await late.end()
        await steps()
        assert not waits.done()
        await later.end()
        assert await waits

    asyncio.run(run())

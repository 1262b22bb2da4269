"""Dollars in a calendar period (UTC): reserved before a request, settled with what the provider billed.

What must hold:
- All budgets that apply (the key's, its team's, the organisation's) are charged together or not at
  all, in whole nanodollars, so that the sums of keys, teams and organisation agree exactly.
- A reservation and a settlement are each done once for a request id, whoever repeats them; what was done is remembered for an hour.
  What the store has not done is done once however long it waits. Only what the store did without its answer arriving is done twice
  when it is tried again more than an hour later: behind an outage that begins just there and lasts longer, or, of a reservation,
  by a request that takes longer.
- A budget is passed at most by what the requests then in flight cost beyond their reservation.
- A request whose settlement never comes stays charged with its reservation. A settlement that cannot
  be written down is kept and tried again until it is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headroom.errors import RateLimited, StoreUnavailable
from headroom.grants import Lost, Period
from headroom.limits.rate import Draws
from headroom.stats.prices import dollars
from headroom.store.base import Draw, Drawn

ALERTS = (50, 80, 100)  # percent of a budget
_KEEP_S = 40 * 86_400.0  # a period is remembered behind its last change
_ONCE_S = 3600.0  # what was done for a request is remembered
_MOST_WAITING = 100_000  # settlements that could not be written down yet
_MOST_TOLD = 10_000  # alerts remembered here; the store knows of the others
_RETRY_S = 1.0
_PAUSE_S = 5.0  # the store is left alone after it failed
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Budget:
    """`owner` is charged; `whose` is how people are told (`team data`). Without a `limit` (nanodollars) it is only counted."""

    owner: str
    whose: str
    limit: int | None
    period: Period


@dataclass(frozen=True, slots=True)
class Charge:
    """One budget in the period numbered `slot`."""

    budget: Budget
    slot: int

    def draw(self, amount: int, *, limited: bool = False) -> Draw:
        key = f"budget:{self.budget.owner}:{self.budget.period}"
        return Draw(key, self.slot, amount, self.budget.limit if limited else None, amount, ttl_s=_KEEP_S)


@dataclass(frozen=True, slots=True)
class Reservation:
    """`nano` are charged already, or (when `doubtful`) may be: the store failed while they were."""

    request_id: str
    charges: tuple[Charge, ...]
    nano: int = 0
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """A budget of which `percent` are spent or reserved; `spent` in nanodollars."""

    budget: Budget
    slot: int
    percent: int
    spent: int


def slot_of(period: Period, now: float) -> int:
    """The number of the calendar period at `now`; it grows from period to period."""
    if period == "monthly":
        at = datetime.fromtimestamp(now, UTC)
        return at.year * 12 + at.month - 1
    return int(now // (3600 if period == "hourly" else 86_400))


def end_of(period: Period, now: float) -> float:
    """When the calendar period at `now` ends."""
    if period == "monthly":
        first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (first + timedelta(days=32)).replace(day=1).timestamp()
    length = 3600 if period == "hourly" else 86_400
    return (now // length + 1) * length


class Budgets:
    """One per process; used by one event loop. `alert` is told of a budget that reached one of ALERTS, once for all processes."""

    def __init__(
        self,
        store: Draws,
        lost: Lost = "open",
        alert: Callable[[Alert], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._lost = lost
        self._alert = alert
        self._clock = clock
        self._waiting: deque[tuple[Reservation, int]] = deque()
        self._retrying: asyncio.Task[None] | None = None
        self._told: OrderedDict[str, None] = OrderedDict()
        self._down_until = -math.inf

    async def reserve(self, request_id: str, budgets: Sequence[Budget], nano: int) -> Reservation:
        """Charge `nano` to every budget, or raise RateLimited naming the one that has not so much left."""
        now = self._clock()
        charges = tuple(Charge(budget, slot_of(budget.period, now)) for budget in budgets)
        if all(budget.limit is None for budget in budgets):
            return Reservation(request_id, charges)
        draws = [charge.draw(nano, limited=True) for charge in charges]
        try:
            if time.monotonic() < self._down_until:
                raise StoreUnavailable("The store that counts what is spent is not available; try again.")
            drawn = await self._store.draw(draws, *_once("reserve", request_id, nano))
        except StoreUnavailable as failure:
            self._failed(failure)
            if self._lost == "closed":
                raise
            return Reservation(request_id, charges, nano, doubtful=True)
        if drawn.refused is not None:
            raise self._refusal(charges[drawn.refused].budget, drawn.totals[drawn.refused], now)
        return Reservation(request_id, charges, nano)

    async def settle(self, reservation: Reservation, nano: int) -> None:
        """Charge what was billed instead of what was reserved; kept and tried again when the store fails."""
        try:
            await self._write(reservation, nano)
        except StoreUnavailable as failure:
            self._failed(failure)
            if len(self._waiting) >= _MOST_WAITING:
                _log.error("the settlement of request %s is lost: too many wait for the store", reservation.request_id)
                return
            self._waiting.append((reservation, nano))
            if self._retrying is None or self._retrying.done():
                self._retrying = asyncio.create_task(self._retry())

    async def close(self) -> None:
        """Write what still waits; what cannot be written is logged."""
        if self._retrying:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
        try:
            await self._flush()
        except StoreUnavailable as failure:
            _log.error("%d settlements are lost: %s", len(self._waiting), failure.message)

    async def spent(self, budgets: Sequence[Budget]) -> list[int]:
        """Nanodollars charged to each in its current period. Raises StoreUnavailable."""
        now = self._clock()
        return list((await self._store.draw([Charge(one, slot_of(one.period, now)).draw(0) for one in budgets])).totals)

    async def _write(self, reservation: Reservation, nano: int) -> None:
        charges, id = reservation.charges, reservation.request_id
        if reservation.doubtful and reservation.nano:
            await self._store.draw([charge.draw(reservation.nano) for charge in charges], *_once("reserve", id, reservation.nano))
        if not charges or nano == reservation.nano == 0:
            return
        more = nano - reservation.nano
        drawn = await self._store.draw([charge.draw(more) for charge in charges], *_once("settle", id, more))
        await self._tell(charges, drawn)

    async def _tell(self, charges: Sequence[Charge], drawn: Drawn) -> None:
        """Alerts are told once: by the process that is first to write down that it does."""
        for charge, total in zip(charges, drawn.totals, strict=True):
            limit = charge.budget.limit
            for percent in ALERTS if limit and self._alert else ():
                mark = f"alert:{charge.budget.owner}:{charge.budget.period}:{charge.slot}:{percent}"
                if limit and 100 * total >= percent * limit and mark not in self._told:
                    first = not (await self._store.draw([], mark, _KEEP_S)).repeated
                    self._told[mark] = None
                    if len(self._told) > _MOST_TOLD:
                        self._told.popitem(last=False)
                    if first and self._alert:
                        self._alert(Alert(charge.budget, charge.slot, percent, total))

    async def _retry(self) -> None:
        while self._waiting:
            await asyncio.sleep(_RETRY_S)
            try:
                await self._flush()
            except StoreUnavailable:
                continue

    async def _flush(self) -> None:
        while self._waiting:
            await self._write(*self._waiting[0])
            self._waiting.popleft()

    def _refusal(self, budget: Budget, spent: int, now: float) -> RateLimited:
        wait_s = max(1, math.ceil(end_of(budget.period, now) - now))
        limit = dollars(budget.limit or 0)
        return RateLimited(
            f"The {budget.period} budget of {budget.whose} is reached: ${dollars(spent):.2f} of ${limit:.2f} are spent or reserved, "
            f"and this request may cost more than what is left. It begins anew in {wait_s} s.",
            wait_s,
        )

    def _failed(self, failure: StoreUnavailable) -> None:
        if time.monotonic() >= self._down_until:
            _log.warning("budgets are %s for %.0f s: %s", self._lost, _PAUSE_S, failure.message)
            self._down_until = time.monotonic() + _PAUSE_S


def _once(what: str, request_id: str, amount: int) -> tuple[str, float]:
    """The marker of what is done once, and how long it lasts; none where nothing is charged, which may be done again."""
    return (f"{what}:{request_id}" if amount else "", _ONCE_S)

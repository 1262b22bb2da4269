"""Requests and tokens a minute, by leases from the store's counters.

What must hold:
- A process takes units from the store a few at a time (a hundredth of the limit, at least one) and
  spends them in memory. A lease is good for the five-second period it was counted in and no longer,
  and the store counts thirteen periods: with equal clocks no 60 seconds ever hold more requests
  than the limit, whatever the number of processes. Clocks that differ by d seconds let through what
  d seconds may hold more.
- Unspent units go back with the next lease; meanwhile each process may hold back up to one lease. A lease that is being taken is kept,
  whoever is cancelled meanwhile.
- Tokens are taken as an estimate before and corrected by what was billed after, in the period of the
  estimate: a limit of tokens is passed at most by the difference of the requests then in flight. What
  was estimated more than 60 seconds ago counts no more, so its correction does not either.
- When the store is lost, the limit is open or closed, as the settings say.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from headroom.errors import RateLimited, StoreUnavailable
from headroom.grants import Lost
from headroom.limits.finishing import Finishing
from headroom.store.base import Draw, Drawn

SLOT_S = 5.0
SLOTS = 13  # 60 seconds and the period that has begun
_LEASES = 100_000  # callers whose leases are remembered
_SHARE = 100  # one lease is this part of a limit
_PAUSE_S = 5.0  # the store is left alone after it failed
_ONCE_S = 60.0  # a broken connection repeats a correction at once
_log = logging.getLogger(__name__)


class Draws(Protocol):
    async def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn: ...


@dataclass(slots=True)
class Rate:
    """What one request counts against one limit.

    `owner` is counted; `whose` is how the caller is told (`this key`), `noun` what is counted. `slot` is the period that
    `Rates.take` counted it in; None when it was not counted.
    """

    owner: str
    whose: str
    noun: Literal["requests", "tokens"]
    limit: int
    slot: int | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        return f"rate:{self.noun}:{self.owner}"


@dataclass
class _Lease:
    slot: int = 0
    left: int = 0
    refused_in: int = -1  # the period
    refused_from: int = 0  # amounts this large were refused
    retry_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Rates:
    """One per process; used by one event loop."""

    def __init__(self, store: Draws, lost: Lost = "open", clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._lost = lost
        self._clock = clock
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._down_until = -math.inf
        self._drawing = Finishing()

    async def take(self, rate: Rate, amount: int) -> None:
        """Count `amount`, or raise RateLimited; StoreUnavailable when the store is lost and the limit closed then."""
        lease = self._lease(rate.key)
        rate.slot = None
        if not self._known(rate, lease, amount):
            await self._drawing.run(self._renew(rate, lease, amount))

    async def close(self) -> None:
        """Wait for what is being taken."""
        await self._drawing.close()

    async def _renew(self, rate: Rate, lease: _Lease, amount: int) -> None:
        async with lease.lock:
            if self._known(rate, lease, amount):
                return
            try:
                if time.monotonic() < self._down_until:
                    raise StoreUnavailable("The store that counts requests is not available; try again.")
                await self._draw(rate, lease, amount)
            except StoreUnavailable as failure:
                self._failed(failure)
                if self._lost == "closed":
                    raise

    async def correct(self, rate: Rate, difference: int) -> None:
        """Count what was billed beyond the estimate, or give back what was not, where the estimate was counted. Raises StoreUnavailable."""
        if difference and rate.slot is not None and rate.slot > self._slot() - SLOTS:
            await self._store.draw([Draw(rate.key, rate.slot, difference)], f"rate:{os.urandom(12).hex()}", _ONCE_S)

    def _lease(self, key: str) -> _Lease:
        lease = self._leases.setdefault(key, _Lease())
        self._leases.move_to_end(key)
        while len(self._leases) > _LEASES:
            self._leases.popitem(last=False)
        return lease

    def _slot(self) -> int:
        return int(self._clock() // SLOT_S)

    def _known(self, rate: Rate, lease: _Lease, amount: int) -> bool:
        """Whether the lease had so much, which is spent then; raises RateLimited where it is known that nothing can be had."""
        if self._spend(rate, lease, amount):
            return True
        if lease.refused_in == self._slot() and amount >= lease.refused_from:
            raise self._refusal(rate, lease)
        return False

    def _spend(self, rate: Rate, lease: _Lease, amount: int) -> bool:
        if lease.slot != self._slot() or lease.left < amount:
            return False
        lease.left -= amount
        rate.slot = lease.slot
        return True

    async def _draw(self, rate: Rate, lease: _Lease, amount: int) -> None:
        """Take a new lease and spend `amount` of it; what is left of the old one is used first, or given back."""
        slot = self._slot()
        held, lease.left = lease.left, 0
        missing = amount - held if lease.slot == slot else amount
        draws = [Draw(rate.key, slot, max(missing, rate.limit // _SHARE), rate.limit, missing, SLOTS)]
        if held and slot - SLOTS < lease.slot < slot:
            draws.append(Draw(rate.key, lease.slot, -held))
        try:
            drawn = await self._store.draw(draws)
        except StoreUnavailable:
            lease.left = held
            raise
        if drawn.refused is None:
            lease.slot, lease.left = slot, drawn.granted[0] - missing
            rate.slot = slot
            return
        lease.left = held
        await self._remember_refusal(rate, lease, slot, amount)
        raise self._refusal(rate, lease)

    async def _remember_refusal(self, rate: Rate, lease: _Lease, slot: int, amount: int) -> None:
        """Nothing more can be had before this period is over; how long it really takes, the periods tell."""
        drawn = await self._store.draw([Draw(rate.key, slot - back, 0) for back in range(SLOTS)])
        counted, back = sum(drawn.totals), SLOTS
        while counted + amount > rate.limit and back > 0:
            back -= 1
            counted -= drawn.totals[back]
        lease.retry_at = (slot - back + SLOTS) * SLOT_S
        lease.refused_in = slot
        lease.refused_from = amount

    def _refusal(self, rate: Rate, lease: _Lease) -> RateLimited:
        wait_s = max(1, math.ceil(lease.retry_at - self._clock()))
        limit = f"{rate.limit:,} {rate.noun} a minute"
        return RateLimited(f"The limit of {rate.whose} is {limit}, and it is reached; try again in {wait_s} s.", wait_s)

    def _failed(self, failure: StoreUnavailable) -> None:
        if time.monotonic() >= self._down_until:
            _log.warning("rate limits are %s for %.0f s: %s", self._lost, _PAUSE_S, failure.message)
            self._down_until = time.monotonic() + _PAUSE_S

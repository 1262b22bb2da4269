"""The way to a remote deployment: a budget, a circuit breaker, one more try, and a reason for every failure.

A caller gets the answer in time or `Degraded` with one of `Reason`; nothing else leaves here but
cancellation. Calls must be idempotent: a replica that died after it had accepted one may have done it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from headroom.proxy.compress import Degraded

Reason = Literal["deadline", "overloaded", "unavailable", "worker_died", "breaker_open", "failed"]
REASONS: tuple[Reason, ...] = get_args(Reason)
_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (TimeoutError, "deadline"),
    (BackPressureError, "overloaded"),
    (DeploymentUnavailableError, "unavailable"),
    (ReplicaUnavailableError, "unavailable"),
    (RayActorError, "worker_died"),
)
_log = logging.getLogger(__name__)
Q_contra = TypeVar("Q_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
Q = TypeVar("Q")
R = TypeVar("R")


class Response(Protocol[R_co]):
    """What a deployment handle returns."""

    def __await__(self) -> Generator[Any, None, R_co]: ...

    def cancel(self) -> None: ...


class Remote(Protocol[Q_contra, R_co]):
    """`handle.method.remote`."""

    def __call__(self, request: Q_contra, /) -> Response[R_co]: ...


class Breaker:
    """Closed; open after `failures` in a row; from `probe_after_s` on one call at a time may try whether it works again."""

    def __init__(self, failures: int, probe_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._probe_after_s = probe_after_s
        self._clock = clock
        self._failures = 0
        self._opened = 0.0
        self._probing = False

    def admit(self) -> bool:
        """Whether a call may be made; if so, one of `succeeded`, `failed` and `abandoned` must follow."""
        if self._failures < self._limit:
            return True
        if self._probing or self._clock() - self._opened < self._probe_after_s:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._probing = False

    def failed(self) -> None:
        self._failures += 1
        self._opened = self._clock()
        self._probing = False

    def abandoned(self) -> None:
        """The call says nothing about the tier."""
        self._probing = False


class Tier(Generic[Q, R]):
    """Calls `remote` with at most `budget_s` seconds for a call, retry included, whatever the caller would wait."""

    def __init__(self, name: str, remote: Remote[Q, R], breaker: Breaker, budget_s: float) -> None:
        self._name = name
        self._remote = remote
        self._breaker = breaker
        self.budget_s = budget_s

    async def __call__(self, request: Q, timeout_s: float) -> R:
        """Raises Degraded; its reason is a `Reason`. Where no time is left nobody is asked, which says nothing about the tier."""
        if timeout_s <= 0:
            raise Degraded("deadline")
        if not self._breaker.admit():
            raise Degraded("breaker_open")
        try:
            async with asyncio.timeout(min(timeout_s, self.budget_s)):
                answer = await self._twice(request)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception as failure:  # fence: whatever a remote call raises is a reason to go on without it
            reason = reason_of(failure)
            if reason == "overloaded":
                self._breaker.abandoned()
            else:
                self._breaker.failed()
            _log.warning("%s gave no answer (%s): %s", self._name, reason, str(failure) or type(failure).__name__)
            raise Degraded(reason) from None
        self._breaker.succeeded()
        return answer

    async def _twice(self, request: Q) -> R:
        try:
            return await self._once(request)
        except RayActorError as death:
            _log.info("%s: trying another replica: %s", self._name, death)
            return await self._once(request)

    async def _once(self, request: Q) -> R:
        response = self._remote(request)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise


def reason_of(failure: Exception) -> Reason:
    """The word for what a remote call raised; `failed` for what a deployment's own code raised."""
    return next((reason for kind, reason in _REASONS if isinstance(failure, kind)), "failed")

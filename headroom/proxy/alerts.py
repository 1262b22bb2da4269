"""Tells a webhook when a good part of a budget is spent. It names key, team or organisation; nothing of a request."""

from __future__ import annotations

import logging

import httpx

from headroom.limits.budget import Alert
from headroom.stats.prices import dollars

_TRIES = 3
_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


class Alerts:
    """`url` takes a POST of JSON; nothing is sent without one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: httpx.AsyncClient | None = None

    async def send(self, alert: Alert) -> None:
        """Try a few times, then log it."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMEOUT_S)
        said = body(alert)
        for _ in range(_TRIES):
            try:
                (await self._client.post(self._url, json=said)).raise_for_status()
            except httpx.HTTPError as failure:
                reason = type(failure).__name__
            else:
                return
        _log.warning("the alert webhook did not take %s: %s", said, reason)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def body(alert: Alert) -> dict[str, str | int | float]:
    """What the webhook is told."""
    budget = alert.budget
    kind, _, name = budget.owner.partition(":")
    return {
        "event": "budget",
        "kind": "organisation" if kind == "all" else kind,
        "name": f"key_{name[:12]}" if kind == "key" else name,
        "percent": alert.percent,
        "spent_usd": dollars(alert.spent),
        "limit_usd": dollars(budget.limit or 0),
        "period": budget.period,
    }

"""Once a day, what the day before came to: kept in the home directory, and sent where the organisation's own endpoint is named.

Of all processes on one store one reports. With telemetry off nothing is counted, kept or sent, and what was kept is deleted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from headroom.errors import StoreUnavailable
from headroom.proxy.recorder import Statistics
from headroom.settings import Settings
from headroom.stats.summary import read_json, replace
from headroom.store.threaded import ThreadedStore

_FIRST_S = 60.0
_AGAIN_S = 3600.0
_TIMEOUT_S = 10.0
_KEPT_DAYS = 90
_TABLE, _KEY = "telemetry", "day"
_log = logging.getLogger(__name__)


def file_of(settings: Settings) -> Path:
    """Where reports are kept: {"reports": {day: report}}."""
    return settings.home / "telemetry.json"


class Telemetry:
    """Started and closed with the server."""

    def __init__(self, settings: Settings, recorder: Statistics, store: ThreadedStore) -> None:
        self._settings = settings
        self._recorder = recorder
        self._store = store
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._settings.telemetry.enabled:
            self._task = asyncio.create_task(self._run())
        else:
            await asyncio.to_thread(file_of(self._settings).unlink, missing_ok=True)

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        await asyncio.sleep(_FIRST_S)
        while True:
            try:
                await self.once(time.time())
            except (StoreUnavailable, OSError, httpx.HTTPError) as failure:
                _log.info("no telemetry report now, it is tried again in an hour: %s", failure)
            await asyncio.sleep(_AGAIN_S)

    async def report(self, now: float) -> dict[str, Any]:
        """The report of the last whole day. Raises StoreUnavailable."""
        from headroom.stats import telemetry

        day = telemetry.last_day(now)
        return telemetry.report(await self._recorder.board(telemetry.wish_for(day)), day)

    async def once(self, now: float) -> bool:
        """Whether this process reported. Raises StoreUnavailable, OSError, httpx.HTTPError; the day is then open again."""
        found = await self.report(now)
        reported = await self._store.get_record(_TABLE, _KEY)
        day = str(found["day"]).encode()
        if not found["requests"] or (reported or b"") >= day:
            return False
        if not await self._store.swap_record(_TABLE, _KEY, reported, day):
            return False
        try:
            await asyncio.to_thread(self._keep, found)
            if url := self._settings.telemetry.endpoint:
                async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                    (await client.post(url, content=said(found), headers={"content-type": "application/json"})).raise_for_status()
        except BaseException:
            await self._store.swap_record(_TABLE, _KEY, day, reported)
            raise
        return True

    def _keep(self, report: dict[str, Any]) -> None:
        """Raises OSError."""
        file = file_of(self._settings)
        known = (read_json(file) or {}).get("reports", {})
        days = sorted({**known, report["day"]: report}.items(), key=lambda item: date.fromisoformat(item[0]))
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace(file, {"reports": dict(days[-_KEPT_DAYS:])})


def said(report: dict[str, Any]) -> bytes:
    """The very bytes that are sent."""
    return (json.dumps(report, indent=2) + "\n").encode()

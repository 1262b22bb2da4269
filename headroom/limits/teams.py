"""Allowances of teams: in the settings, or set while Headroom runs and kept in the store. What the settings say wins.

Found ones are remembered for a moment, as grants of keys are; while the store is lost, those found before go on, and the limits of
others are open or closed as the settings say.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from headroom.errors import InvalidRequest, NotFound, StoreUnavailable
from headroom.grants import Allowance, Name
from headroom.limits.keys import MEMORY_S, AsyncRecords, TeamRules
from headroom.store.base import UNREADABLE, Records

_TABLE = "teams"
_MOST = 10_000  # teams remembered
_log = logging.getLogger(__name__)
_PAUSE_S = 1.0  # the store is left alone after it failed
_NAMES = TypeAdapter(Name)
_ALLOWANCES = TypeAdapter(Allowance)


def put(store: Records, name: str, wanted: Mapping[str, Any]) -> Allowance:
    """Set the allowance of a team, in place of what stood there. Raises InvalidRequest for a name or allowance that is none."""
    try:
        if not _NAMES.validate_python(name):
            raise InvalidRequest("A team needs a name.")
        allowance = _ALLOWANCES.validate_python(wanted)
    except ValidationError as failure:
        problems = failure.errors(include_url=False, include_input=False)
        raise InvalidRequest("; ".join(f"{'.'.join(map(str, one['loc'])) or 'team'}: {one['msg']}" for one in problems)) from None
    _swap(store, name, json.dumps(asdict(allowance), separators=(",", ":")).encode())
    return allowance


def drop(store: Records, name: str) -> None:
    """Take a team's allowance away: it is then limited no more. Raises NotFound."""
    if not _is_name(name) or store.get_record(_TABLE, name) is None:
        raise NotFound(f"There is no team {name[:80]} in the store.")
    _swap(store, name, None)


def _is_name(name: str) -> bool:
    try:
        return bool(_NAMES.validate_python(name))
    except ValidationError:
        return False


def listed(store: Records) -> dict[str, Allowance]:
    """All teams in the store, by name; one that cannot be read is left out, and said in the log."""
    found = {}
    for name, data in sorted(store.list_records(_TABLE).items()):
        try:
            found[name] = _read(data)
        except StoreUnavailable as failure:
            _log.warning("team %s is left out: %s", name, failure.message)
    return found


def shown(name: str, allowance: Allowance) -> dict[str, Any]:
    """A team as people and clients see it."""
    return {"team": name, **asdict(allowance)}


def _swap(store: Records, name: str, new: bytes | None) -> None:
    if not store.swap_record(_TABLE, name, store.get_record(_TABLE, name), new):
        raise StoreUnavailable("The team was changed by somebody else at the same moment; try again.")


def _read(data: bytes | None) -> Allowance:
    if data is None:
        raise StoreUnavailable(UNREADABLE)
    try:
        return _ALLOWANCES.validate_json(data)
    except ValidationError as failure:
        raise StoreUnavailable(f"a stored team cannot be read: {failure.error_count()} fields are of another version") from None


class Teams:
    """Finds the allowance of a team."""

    def __init__(self, store: AsyncRecords, rules: TeamRules, memory_s: float = MEMORY_S, pause_s: float = _PAUSE_S) -> None:
        self._store = store
        self._rules = rules
        self._memory_s = memory_s
        self._pause_s = pause_s
        self._seen: OrderedDict[str, tuple[float, Allowance | None]] = OrderedDict()
        self._down_until = -math.inf

    async def find(self, name: str) -> Allowance | None:
        """None for a team without one. What was found before goes on while the store is lost.

        A team that was never found has no limits then; raises StoreUnavailable where limits are closed.
        """
        if not name or name in self._rules.allowances:
            return self._rules.allowances.get(name)
        now = time.monotonic()
        at, allowance = self._seen.get(name, (-math.inf, None))
        if now - at < self._memory_s:
            return allowance
        try:
            data = await self._asked(name)
            allowance = None if data is None else _read(data)
        except StoreUnavailable:
            if self._rules.closed and name not in self._seen:
                raise
            return allowance
        self._seen[name] = (now, allowance)
        self._seen.move_to_end(name)
        while len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return allowance

    async def _asked(self, name: str) -> bytes | None:
        if time.monotonic() < self._down_until:
            raise StoreUnavailable("The store that knows the limits of teams is not available; try again.")
        try:
            return await self._store.get_record(_TABLE, name)
        except StoreUnavailable:
            self._down_until = time.monotonic() + self._pause_s
            raise

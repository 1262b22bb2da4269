"""The policies in force: read at the start, read again when their file changes, and pinned for every conversation.

A file that is not as it must be stops the start; later the policies before it stay, and the error is told in the log, /health and
/stats. A changed file is read once it has stood still for a moment, so that one that is half written is not.

A conversation keeps what it began under: it is remembered under its messages up to the first answer, the first writer wins, and every
replica finds it by the conversation's own prefix. So a new policy breaks no cached prefix. Before the first answer there is mostly
nothing that a policy could change; where there is, the opening has a place of its own. Which models may be asked for, and the answer
cache, follow the policies of now.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers

from headroom.backends.paths import COUNT_PATH, plain
from headroom.dialects import Dialect
from headroom.dialects.outline import Beginning, beginning
from headroom.errors import SettingsError
from headroom.model import Call, Caller, Compressed, Segment
from headroom.policies import Mode, Policies, Table, Treatment, checked, parsed
from headroom.proxy.admission import READING
from headroom.proxy.replay import Replay
from headroom.proxy.threads import offload
from headroom.settings import Settings

POLL_S = 0.5
_SMALL = 100  # characters; a shorter text is never compressed
_NOT_THERE = (0, 0, 0)
# What the header x-headroom-mode may ask for: a mode, and a fidelity or None for that of the policy.
_ASKED: dict[str, tuple[Mode, Any]] = {
    "off": ("off", None),
    "passthrough": ("off", None),
    "audit": ("off", None),
    "simulate": ("off", None),
    "shadow": ("shadow", None),
    "lossless": ("optimize", "lossless"),
    "reversible": ("optimize", "reversible"),
    "optimize": ("optimize", "reversible"),
}
_log = logging.getLogger(__name__)


class Rollout:
    """One per process; used by one event loop. Raises SettingsError for policies that cannot be read at the start."""

    def __init__(self, settings: Settings, replay: Replay, poll_s: float = POLL_S) -> None:
        self._settings = settings
        self._replay = replay
        self._poll_s = poll_s
        self._file = settings.policies
        self.by_settings = Treatment(settings.policy)
        self._table: Table | None = None
        self._seen = _NOT_THERE
        self._watching: asyncio.Task[None] | None = None
        self.since = time.time()
        self.error = ""
        if self._file:
            self._seen = _state(self._file)
            self._take(parsed(_read(self._file), str(self._file)))

    async def start(self) -> None:
        if self._file:
            self._watching = asyncio.create_task(self._watch(self._file))

    async def close(self) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def replace(self, tree: Any, source: str, *, starting: bool) -> None:
        """Take policies from elsewhere than a file. Raises SettingsError when `starting`; later what is wrong is only told."""
        try:
            if self._file:
                raise SettingsError(f"{source}: the policies are those of {self._file} already; give one of the two")
            self._take(checked(tree, source))
        except SettingsError as failure:
            self.refuse(failure.message, starting=starting)

    def refuse(self, message: str, *, starting: bool) -> None:
        """Raises SettingsError when `starting`; later it is told, and the policies stay."""
        if starting:
            raise SettingsError(message)
        self._failed(message)

    def shown(self) -> dict[str, Any]:
        """For /health and /stats."""
        table = self._table
        return {
            "version": table.version if table else None,
            "rules": [rule.name for rule in table.rules] if table else [],
            "since": round(self.since, 3) if table else None,
            "error": self.error or None,
        }

    def treatment(self, route: str, caller: Caller, model: str) -> Treatment:
        """By the policies of now."""
        return self._table.treatment(route, _team(caller), model) if self._table else self.by_settings

    def admit_unread(self, method: str, path: str, caller: Caller) -> None:
        """Raises Forbidden for a request whose body nobody reads, where policies allow certain models only."""
        if self._table is None or method in READING or path == COUNT_PATH:
            return
        meant = plain(path)
        for route in {meant, meant.lower()}:
            for treatment in self._table.unread(route, _team(caller)):
                treatment.admit("", readable=False)

    async def in_force(
        self, treatment: Treatment, call: Call, dialect: Dialect, caller: Caller, route: str, headers: Headers | None = None
    ) -> Treatment:
        """What holds for this request: what it asks for itself, else what its conversation began under."""
        asked = self._asked(treatment, headers) if headers else treatment
        if not asked.pin or call.reason or not caller.scope:
            return asked
        salt = "\0".join(("policy", caller.scope, route, _team(caller), call.model))
        began = await offload(len(call.text), _began, dialect, call, salt)
        place = began.answered or next(iter(began.opening), "")
        if not place:
            return asked
        known = await self._replay.lookup(caller.scope, [place], {}) or await self._replay.lookup(caller.scope, began.opening, {})
        stands = known.get(place)
        if stands is None:
            first = next((known[key] for key in began.opening if key in known), Compressed(asked.written(), "policy"))
            stands = (await self._replay.pin([place], first))[place]
        return asked.as_begun(stands.text) if stands.text else asked

    def _asked(self, treatment: Treatment, headers: Headers) -> Treatment:
        """What the request's headers make of it."""
        if not self._settings.optimize or headers.get("x-headroom-bypass", "").lower() == "true":
            return dataclasses.replace(treatment, mode="off", rule="", pin=False)
        mode, fidelity = _ASKED.get(headers.get("x-headroom-mode", "").lower(), (None, None))
        if mode is None:
            return treatment
        policy = dataclasses.replace(treatment.policy, fidelity=fidelity) if fidelity else treatment.policy
        return dataclasses.replace(treatment, mode=mode, policy=policy, rule="", pin=False)

    def _take(self, policies: Policies) -> None:
        known = self._settings.backends.names
        for rule in policies.rules:
            if rule.set.backend and rule.set.backend not in known:
                raise SettingsError(f"policies: rule {rule.name}: there is no backend {rule.set.backend}; there are {', '.join(known)}")
        table = Table(policies, self._settings.policy)
        if self._table and self._table.version != table.version:
            _log.warning("policies %s take the place of %s", table.version, self._table.version)
        if self._table is None or self._table.version != table.version:
            self._table, self.since = table, time.time()
        self.error = ""

    def _failed(self, message: str) -> None:
        if message != self.error:
            version = self._table.version if self._table else "none"
            _log.error("the policies stay as they are (%s): %s", version, message)
        self.error = message

    async def _watch(self, file: Path) -> None:
        before = self._seen
        while True:
            await asyncio.sleep(self._poll_s)
            now = await asyncio.to_thread(_state, file)
            if now == before != self._seen:
                self._seen = now
                try:
                    self._take(await asyncio.to_thread(lambda: parsed(_read(file), str(file))))
                except SettingsError as failure:
                    self._failed(failure.message)
            before = now


def _state(file: Path) -> tuple[int, int, int]:
    """What changes with a file's content."""
    try:
        found = file.stat()
    except OSError:
        return _NOT_THERE
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as failure:
        raise SettingsError(f"{file}: cannot be read ({failure.strerror})") from None


def _began(dialect: Dialect, call: Call, salt: str) -> Beginning:
    """Where the policy of the conversation is kept; nowhere while there is nothing in it that a policy could change."""
    found = beginning(call, salt)
    if not found.answered and not any(isinstance(item, Segment) and len(item.text) >= _SMALL for item in dialect.walk(call)):
        return Beginning([], "")
    return found


def _team(caller: Caller) -> str:
    return caller.grant.team if caller.grant else ""

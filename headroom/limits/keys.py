"""Virtual keys: made, listed, revoked, found. A key is kept nowhere; its SHA-256 stands in the store or in a file.

A key holds 256 random bits, so its plain hash gives nothing away. What a file says wins over the
store. Found grants are remembered for a moment, so a revoked key stops within `MEMORY_S` seconds;
while the store is lost, keys seen before go on and others are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import re
import secrets
import time
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError

from headroom.errors import InvalidRequest, NotFound, SettingsError, StoreUnavailable
from headroom.grants import Allowance, Grant, Name
from headroom.settings import LimitsSettings
from headroom.store.base import UNREADABLE, Records

PREFIX = "hr-"
MEMORY_S = 5.0
_TABLE = "keys"
_CHARS = 200  # longer ones are no keys of ours
_MOST = 50_000  # keys remembered
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _File:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    keys: tuple[Grant, ...] = ()
    teams: dict[Name, Allowance] = field(default_factory=dict)


_FILES = TypeAdapter(_File)
_GRANTS = TypeAdapter(Grant)


@dataclass(frozen=True, slots=True)
class TeamRules:
    """Allowances by team; `closed` says that a team nothing is known of is refused while the store is lost."""

    allowances: Mapping[str, Allowance]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Register:
    """What the settings say about keys and teams; `keys` by hash."""

    keys: Mapping[str, Grant]
    teams: TeamRules


def register(settings: LimitsSettings) -> Register:
    """Read the files that the settings name. Raises SettingsError naming file and line."""
    keys = read_file(settings.keys) if isinstance(settings.keys, Path) else _File(settings.keys or ())
    teams = read_file(settings.teams).teams if isinstance(settings.teams, Path) else settings.teams or {}
    closed = settings.budget_when_lost == "closed" or (settings.rate_limit and settings.rate_when_lost == "closed")
    return Register(_by_hash(keys.keys), TeamRules({**keys.teams, **teams}, closed))


def _by_hash(grants: tuple[Grant, ...]) -> dict[str, Grant]:
    found = {grant.hash: grant for grant in grants}
    if len(found) != len(grants):
        twice = next(grant.hash for grant in grants if sum(other.hash == grant.hash for other in grants) > 1)
        raise SettingsError(f"limits.keys: the hash {twice[:12]}... stands there twice")
    return found


def read_file(path: Path) -> _File:
    """A TOML file of `[[keys]]` and `[teams.NAME]`. Raises SettingsError naming the line of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as failure:
        raise SettingsError(f"{path}: cannot be read ({failure.strerror})") from None
    except UnicodeDecodeError as failure:
        line = path.read_bytes()[: failure.start].count(b"\n") + 1
        raise SettingsError(f"{path}, line {line}: not UTF-8") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        last = f" (at line {text.count(chr(10)) + 1})" if "line" not in str(failure) else ""
        raise SettingsError(f"{path}: not valid TOML: {failure}{last}") from None
    try:
        return _FILES.validate_python(tree)
    except ValidationError as failure:
        problems = [(_line(text, problem["loc"]), problem) for problem in failure.errors(include_url=False, include_input=False)]
        said = [f"{path}, line {line}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for line, problem in problems]
        raise SettingsError("\n".join(said)) from None


def _line(text: str, place: tuple[int | str, ...]) -> int:
    """The line of a TOML file where the value at `place` stands, or the table that should hold it."""
    lines = text.splitlines()
    table, item = str(place[0]), place[1] if len(place) > 1 else None
    name = rf"""\s*\.\s*["']?{re.escape(item)}["']?\s*""" if isinstance(item, str) else ""
    heads = [number for number, line in enumerate(lines) if re.match(rf"\s*\[+\s*{re.escape(table)}{name}[\s.\]]", line + "]")]
    start = heads[item] if isinstance(item, int) and item < len(heads) else heads[0] if heads else 0
    end = next((number for number in range(start + 1, len(lines)) if lines[number].lstrip().startswith("[")), len(lines))
    for part in reversed(place):
        for number in range(start, end):
            if re.match(rf"""\s*["']?{re.escape(str(part))}["']?\s*[=.]""", lines[number]):
                return number + 1
    return start + 1


def digest(key: str) -> str:
    """What stands for a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def create(store: Records, wanted: Mapping[str, Any], now: float | None = None) -> tuple[str, Grant]:
    """A new key, told this once, and its grant, stored. Raises InvalidRequest for a grant that is none."""
    key = PREFIX + secrets.token_urlsafe(32)
    now = time.time() if now is None else now
    for name in ("hash", "created", "revoked"):
        if name in wanted:
            raise InvalidRequest(f"{name}: is not for the caller to say.")
    try:
        grant = _GRANTS.validate_python({**wanted, "hash": digest(key), "created": round(now, 3)})
    except ValidationError as failure:
        problems = failure.errors(include_url=False, include_input=False)
        raise InvalidRequest("; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems)) from None
    if not store.swap_record(_TABLE, grant.hash, None, _written(grant)):
        raise StoreUnavailable("The key could not be stored; try again.")
    return key, grant


def listed(store: Records) -> list[Grant]:
    """All grants in the store, the oldest first; one that cannot be read is left out, and said in the log."""
    found = []
    for hash, data in store.list_records(_TABLE).items():
        try:
            found.append(_read(data))
        except StoreUnavailable as failure:
            _log.warning("key_%s is left out: %s", hash[:12], failure.message)
    return sorted(found, key=lambda grant: (grant.created, grant.hash))


def named(store: Records, id: str) -> Grant:
    """The grant in the store with this id (`key_...`) or hash. Raises NotFound."""
    for grant in listed(store):
        if id in (grant.id, grant.hash):
            return grant
    raise NotFound(f"There is no key {id[:80]} in the store.")


def revoke(store: Records, id: str) -> Grant:
    """The grant with this id, of no use from now on. Raises NotFound."""
    grant = named(store, id)
    revoked = replace(grant, revoked=True)
    if not store.swap_record(_TABLE, grant.hash, store.get_record(_TABLE, grant.hash), _written(revoked)):
        raise StoreUnavailable("The key was changed by somebody else at the same moment; try again.")
    return revoked


def shown(grant: Grant) -> dict[str, Any]:
    """A grant as people and clients see it."""
    return {"id": grant.id, **asdict(grant)}


def _written(grant: Grant) -> bytes:
    return json.dumps(asdict(grant), separators=(",", ":")).encode()


def _read(data: bytes | None) -> Grant:
    if data is None:
        raise StoreUnavailable(UNREADABLE)
    try:
        return _GRANTS.validate_json(data)
    except ValidationError as failure:
        raise StoreUnavailable(f"a stored key cannot be read: {failure.error_count()} fields are of another version") from None


class AsyncRecords(Protocol):
    async def get_record(self, table: str, key: str) -> bytes | None: ...


class Keyring:
    """Finds the grant of a presented key."""

    def __init__(
        self, store: AsyncRecords, fixed: Mapping[str, Grant], clock: Callable[[], float] = time.time, memory_s: float = MEMORY_S
    ) -> None:
        self._memory_s = memory_s
        self._store = store
        self._fixed = fixed
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, Grant | None]] = OrderedDict()

    async def find(self, key: str) -> Grant | None:
        """The grant if the key is good now. Raises StoreUnavailable when that cannot be known."""
        if len(key) > _CHARS:
            return None
        hash = digest(key)
        grant = self._fixed.get(hash) or await self._stored(hash)
        if grant is None or not hmac.compare_digest(grant.hash, hash):
            return None
        over = grant.revoked or (grant.expires and self._clock() >= grant.expires)
        return None if over else grant

    async def _stored(self, hash: str) -> Grant | None:
        now = time.monotonic()
        at, grant = self._seen.get(hash, (-math.inf, None))
        if now - at < self._memory_s:
            return grant
        try:
            data = await self._store.get_record(_TABLE, hash)
        except StoreUnavailable:
            if grant is None:
                raise
            data = _written(grant)
        grant = None if data is None else _read(data)
        self._seen[hash] = (now, grant)
        self._seen.move_to_end(hash)
        while len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return grant

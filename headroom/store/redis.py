"""The store in Redis, one server or a cluster, for any number of machines.

What must hold:
- What was acknowledged survives a crash of Redis where it writes an append-only file
  (`appendonly yes`); `headroom doctor` tells when it does not.
- Reading an original or a value never depends on being able to write.
- Records, log entries and draws with a `once` are written once, also when a broken connection repeats the command.
- Everything has a lifetime in Redis too, so that what nobody sweeps goes by itself.
- Originals and values are spread over shelves, each in one hash slot and each holding an equal
  part of `max_bytes`. What must change together (all counters, one log, all records) shares a slot.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import zstandard

from headroom.errors import Expired, NotFound, StoreUnavailable
from headroom.model import Compressed, Original
from headroom.store import lua
from headroom.store.base import AnswerStats, BlobStats, Draw, Drawn, Entry
from headroom.store.bounds import MAX_ANSWERS_BYTES, MAX_TOMBSTONES, MEMO_SHARE, TOMBSTONE_S, renewal_s
from headroom.store.codec import RESULT_VERSION, decode, encode, pack, pack_result, plain, unpack, unpack_result
from headroom.store.redis_link import Command, RedisLink
from headroom.store.vault import AWAY, Vault

_SHELVES = 16  # where a key stands depends on it
_REPEATED_S = 60.0  # a broken connection repeats a command at once
_TEXTS, _VALUES, _ANSWERS = "o", "v", "a"
_log = logging.getLogger(__name__)


class _Shelf:
    """The key names of one shelf."""

    def __init__(self, prefix: str, number: int, kind: str) -> None:
        base = f"{{{prefix}:{number:x}}}:{kind}"
        self.entries = f"{base}:e:"
        self.index, self.totals = f"{base}:index", f"{base}:totals"
        self.keys = (self.index, f"{base}:sizes", self.totals, f"{base}:graves")


class RedisStore:
    """Implements `headroom.store.base.Store`; connects at the first use.

    `ttl_s` is the idle lifetime, `max_bytes` what texts and values may take together, `clock`
    gives seconds, `prefix` begins every key: stores with different ones do not know each other.
    """

    def __init__(
        self,
        url: str,
        ttl_s: float,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
        *,
        prefix: str = "headroom",
        shelves: int = _SHELVES,
        timeout_s: float = 2.0,
        pause_s: float = 0.5,
        vault: Vault | None = None,
        max_answers_bytes: int = MAX_ANSWERS_BYTES,
    ) -> None:
        self._vault = vault or Vault()
        self._link = RedisLink(url, timeout_s, pause_s=pause_s)
        self._prefix = prefix
        self._ttl_s = ttl_s
        self._renewal_s = renewal_s(ttl_s)
        self._clock = clock
        self._max_values = max_bytes // MEMO_SHARE // shelves
        self._max_texts = (max_bytes - max_bytes // MEMO_SHARE) // shelves
        self._max_answers = max_answers_bytes // shelves
        self._graves = MAX_TOMBSTONES // shelves
        self._texts = [_Shelf(prefix, number, _TEXTS) for number in range(shelves)]
        self._values = [_Shelf(prefix, number, _VALUES) for number in range(shelves)]
        self._answers = [_Shelf(prefix, number, _ANSWERS) for number in range(shelves)]

    def put_originals(self, scope: str, originals: Iterable[Original]) -> None:
        """Write before returning. Raises StoreUnavailable also when they do not fit into a shelf at all."""
        wanted = {_member(scope, original.hash): original for original in originals}
        alive = self._touch(list(wanted))
        self._refuse_collisions({member: wanted[member] for member in alive})
        frames = {member: pack(original.text) for member, original in wanted.items() if member not in alive}
        shelves = self._by_shelf(self._texts, list(frames))
        for _, members in shelves:
            if sum(len(member) + len(frames[member]) for member in members) > self._max_texts:
                raise StoreUnavailable(f"{self._link.name}: more text at once than the store may hold ({self._max_texts:,} bytes a shelf)")
        stands = {member: self._vault.put(scope, wanted[member].hash, frame) for member, frame in frames.items()}
        try:
            answers = self._link.run_all([self._put(shelf, members, wanted, frames, stands) for shelf, members in shelves])
        except StoreUnavailable:
            self._vault.drop(self._unwritten(stands))
            raise
        for (_, members), (collision, gone) in zip(shelves, answers, strict=True):
            self._vault.drop(gone)
            if collision:
                self._vault.drop(stands[member] for member in members)
                raise self._another(wanted[decode(collision)].hash)

    def _put(
        self,
        shelf: _Shelf,
        members: Sequence[str],
        wanted: Mapping[str, Original],
        frames: Mapping[str, bytes],
        stands: Mapping[str, bytes],
    ) -> Command:
        now = self._clock()
        rest: list[str | bytes | int] = []
        for m in members:
            one = wanted[m]
            away = stands[m] if stands[m].startswith(AWAY) else b""
            held = b"%d %s" % (len(m) + len(frames[m]), away)
            rest += [m, stands[m], _digest(one.text), held, encode(one.tool), one.tokens, one.items, one.items_kept]
        bounds = (now, self._over(now), self._max_texts, self._lifetime_ms(TOMBSTONE_S), now - TOMBSTONE_S, self._graves)
        return _eval(lua.PUT_ORIGINALS, shelf.keys, shelf.entries, *bounds, *rest)

    def _unwritten(self, stands: Mapping[str, bytes]) -> list[bytes]:
        """Those that lie elsewhere and the server knows nothing of; none when it cannot be asked."""
        away = {member: one for member, one in stands.items() if one.startswith(AWAY)}
        try:
            written = self._link.run_all([("HGET", self._shelf(self._texts, m).entries + m, "z") for m in away])
        except StoreUnavailable:
            return []
        return [one for one, found in zip(away.values(), written, strict=True) if found != one]

    def get_original(self, scope: str, hash: str, count: bool = True) -> Original:
        """The original, counted and renewed. Raises NotFound and Expired as the protocol says."""
        member = _member(scope, hash)
        shelf = self._shelf(self._texts, member)
        frame, used, tool, *figures = self._link.run("HMGET", shelf.entries + member, "z", "u", "t", "k", "i", "p", "r")
        if used is None or float(used) < self._over(self._clock()) - TOMBSTONE_S:  # a shelf that nothing is written to is not swept
            raise NotFound(f"nothing is stored under hash={plain(hash)[:40]} for this caller")
        if frame is None or not self._alive(float(used)):
            raise Expired(f"the original of hash={hash} was stored, but its lifetime is over")
        tokens, items, kept, retrievals = (int(figure or 0) for figure in figures)
        try:
            text = unpack(self._vault.get(scope, hash, frame))
        except zstandard.ZstdError as damaged:
            raise StoreUnavailable(f"{self._link.name}: the original of hash={hash} is damaged ({damaged})") from damaged
        if count or self._stale(float(used)):
            renewed = self._renewed(self._renew_texts(shelf, [member], count=count))
            retrievals += count and renewed
        return Original(hash, text, decode(tool), tokens, items, kept, retrievals)

    def touch_originals(self, scope: str, hashes: Sequence[str]) -> Sequence[str]:
        """Renew lifetimes; return the hashes that must be stored again. Raises when a lifetime cannot be renewed."""
        alive = self._touch([_member(scope, hash) for hash in hashes])
        return [hash for hash in hashes if _member(scope, hash) not in alive]

    def blob_stats(self) -> BlobStats:
        """What is stored over all scopes, and how often anything was read back."""
        rows = self._link.run_all([("HMGET", shelf.totals, "entries", "bytes", "retrievals") for shelf in self._texts])
        entries, size, retrievals = (sum(int(figure or 0) for figure in column) for column in zip(*rows, strict=True))
        return BlobStats(entries, size, retrievals)

    def get_results(self, keys: Sequence[str]) -> Mapping[str, Compressed]:
        """The known results among `keys`; those written by another version of `Compressed` have other keys."""
        found = self._get_values({key: f"{RESULT_VERSION}:{plain(key)}" for key in keys})
        return {key: unpack_result(value) for key, value in found.items()}

    def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        """Compare-and-set: what stood first for a key stays and is returned."""
        packed = {f"{RESULT_VERSION}:{plain(key)}": pack_result(result) for key, result in results.items()}
        stood = self._put_values(packed)
        return {
            key: unpack_result(before) if (before := stood.get(f"{RESULT_VERSION}:{plain(key)}")) is not None else result
            for key, result in results.items()
        }

    def get_first(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The values among `keys`; they stand beside the results and share their bounds."""
        return self._get_values({key: f"bytes:{plain(key)}" for key in keys})

    def put_first(self, values: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Compare-and-set: what stood first for a key stays and is returned."""
        stood = self._put_values({f"bytes:{plain(key)}": value for key, value in values.items()})
        return {key: stood.get(f"bytes:{plain(key)}", value) for key, value in values.items()}

    def get_answer(self, scope: str, key: str) -> bytes | None:
        """What stands under this key of this scope, until its time is over."""
        member = _member(scope, key)
        shelf = self._shelf(self._answers, member)
        found, ends = self._link.run_all([("GET", shelf.entries + member), ("ZSCORE", shelf.index, member)])
        over = found is None or ends is None or float(ends) <= self._clock()
        return None if over else self._vault.open(f"answer:{member}", bytes(found))

    def put_answer(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        """Write, in place of what stood there; the oldest of its shelf go when that has no room."""
        member = _member(scope, key)
        shelf = self._shelf(self._answers, member)
        now, value = self._clock(), self._vault.shut(f"answer:{member}", value)
        self._link.run(
            *_eval(lua.PUT_ANSWER, shelf.keys[:3], shelf.entries, now, self._max_answers, _ms(ttl_s), now + ttl_s, member, value)
        )

    def drop_answers(self, scope: str | None) -> int:
        """Drop those of a scope, or all; how many there were."""
        begin = "" if scope is None else _member(scope, "")
        return sum(self._link.run_all([_eval(lua.DROP_ANSWERS, shelf.keys[:3], shelf.entries, begin) for shelf in self._answers]))

    def answer_stats(self) -> AnswerStats:
        """Over all scopes."""
        rows = self._link.run_all([("HMGET", shelf.totals, "entries", "bytes") for shelf in self._answers])
        return AnswerStats(*(sum(int(figure or 0) for figure in column) for column in zip(*rows, strict=True)))

    def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn:
        """Grant every draw or none, in one step."""
        base = f"{{{self._prefix}:counters}}"
        keys = [f"{base}:once:{plain(once)}"]
        rest: list[object] = [int(bool(once)), _ms(once_s)]
        for one in draws:
            keys += [f"{base}:{plain(one.key)}:{slot}" for slot in range(one.slot, one.slot - one.slots, -1)]
            limit = "" if one.limit is None else one.limit
            rest += [one.amount, limit, one.least or one.amount, _ms(one.ttl_s), one.slots]
        repeated, refused, granted, totals = self._link.run(*_eval(lua.DRAW, keys, *rest))
        return Drawn(tuple(granted), tuple(totals), None if refused < 0 else refused, bool(repeated))

    def append(self, log: str, entries: Sequence[bytes], keep: int = 100_000) -> int:
        """Write entries in order; the number of the last."""
        stream = self._log_key(log)
        sealed = [self._vault.shut(f"log:{log}", entry) for entry in entries]
        return int(self._link.run(*_eval(lua.APPEND, (stream, f"{stream}:last", _marker(stream)), max(1, keep), _ms(_REPEATED_S), *sealed)))

    def read_log(self, log: str, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """Entries behind number `after`, in order."""
        rows = self._link.run("XRANGE", self._log_key(log), f"({after}-0", "+", "COUNT", limit)
        return [Entry(int(id.partition(b"-")[0]), self._vault.open(f"log:{log}", fields[b"d"])) for id, fields in rows]

    def get_record(self, table: str, key: str) -> bytes | None:
        """The record, or None."""
        found = self._link.run("HGET", self._table_key(table), plain(key))
        return None if found is None else self._vault.open(f"record:{table}:{plain(key)}", found)

    def list_records(self, table: str) -> Mapping[str, bytes | None]:
        """The whole table, by key; None for what cannot be decrypted."""
        rows = {decode(key): value for key, value in self._link.run("HGETALL", self._table_key(table)).items()}
        return self._vault.open_all(f"record:{table}:", rows)

    def swap_record(self, table: str, key: str, old: bytes | None, new: bytes | None, idle_s: float | None = None) -> bool:
        """Write `new` where `old` stands; False when something else does."""
        place, stands = f"record:{table}:{plain(key)}", None
        base, now = f"{{{self._prefix}:records}}", self._clock()
        keys = [self._table_key(table), _marker(base), f"{base}:ends:{table}"]
        if old is not None:
            stands = self._link.run("HGET", self._table_key(table), plain(key))
            if stands is None or self._vault.open(place, stands) != old:
                return False
        values = (int(old is not None), stands or b"", int(new is not None), self._vault.shut(place, new or b""))
        return bool(
            self._link.run(*_eval(lua.SWAP, keys, plain(key), *values, _ms(_REPEATED_S), now, "" if idle_s is None else now + idle_s))
        )

    def secret(self, name: str) -> bytes:
        """32 random bytes, the same for every process on this store."""
        key = f"{{{self._prefix}:secrets}}:{name}"
        found = self._link.run("GET", key)
        if found is None:
            self._link.run("SET", key, self._vault.shut(f"secret:{name}", secrets.token_bytes(32)), "NX")
            found = self._link.run("GET", key)
        return self._vault.open(f"secret:{name}", bytes(found))

    def warnings(self) -> Sequence[str]:
        """How the server would lose what it acknowledged, or throw away what must stay."""
        return self._link.warnings(self._max_texts * len(self._texts) + self._max_values * len(self._values))

    def close(self) -> None:
        """Close this process's connections."""
        self._link.close()

    def _touch(self, members: Sequence[str]) -> set[str]:
        """The members that are readable, their lifetimes renewed."""
        shelves = self._by_shelf(self._texts, members)
        rows = self._link.run_all([("HMGET", shelf.entries + m, "u", "d") for shelf, some in shelves for m in some])
        used = {m: float(row[0]) for m, row in zip((m for _, some in shelves for m in some), rows, strict=True) if row[1] is not None}
        alive = {member for member, at in used.items() if self._alive(at)}
        stale = [(shelf, due) for shelf, some in shelves if (due := [m for m in some if m in alive and self._stale(used[m])])]
        answers = self._link.run_all([self._renew_texts(shelf, due, count=False) for shelf, due in stale])
        for (_, due), renewed in zip(stale, answers, strict=True):
            alive -= {member for member, still in zip(due, renewed, strict=True) if not still}
        return alive

    def _refuse_collisions(self, standing: Mapping[str, Original]) -> None:
        """Two texts with one hash cannot both be read back, so the second is not stored."""
        members = list(standing)
        digests = self._link.run_all([("HGET", self._shelf(self._texts, m).entries + m, "d") for m in members])
        for member, digest in zip(members, digests, strict=True):
            if digest is not None and digest != _digest(standing[member].text):
                raise self._another(standing[member].hash)

    def _another(self, hash: str) -> StoreUnavailable:
        return StoreUnavailable(f"{self._link.name}: another text is stored under hash={hash}")

    def _renew_texts(self, shelf: _Shelf, members: Sequence[str], *, count: bool) -> Command:
        lifetime_ms = self._lifetime_ms(TOMBSTONE_S)
        return _eval(lua.RENEW_ORIGINALS, shelf.keys, shelf.entries, self._clock(), lifetime_ms, int(count), *members)

    def _renewed(self, *commands: Command) -> bool:
        """What was read is served also when its use cannot be written down."""
        try:
            return all(all(answer or ()) for answer in self._link.run_all(commands))
        except StoreUnavailable as failure:
            _log.warning("a use could not be written down: %s", failure.message)
            return False

    def _get_values(self, members: Mapping[str, str]) -> dict[str, bytes]:
        """key -> value of those that stand; `members` are the names of the keys in Redis."""
        shelves = self._by_shelf(self._values, list(members.values()))
        reads: list[Command] = []
        for shelf, some in shelves:
            reads += [("MGET", *(shelf.entries + member for member in some)), ("ZMSCORE", shelf.index, *some)]
        answers = self._link.run_all(reads)
        found: dict[str, bytes] = {}
        renewals = []
        for (shelf, some), values, used in zip(shelves, answers[::2], answers[1::2], strict=True):
            found.update((member, value) for member, value in zip(some, values, strict=True) if value is not None)
            stale = [member for member, at in zip(some, used, strict=True) if at is not None and member in found and self._stale(float(at))]
            if stale:
                bounds = (self._clock(), self._lifetime_ms())
                renewals.append(_eval(lua.RENEW_FIRST, (shelf.index,), shelf.entries, *bounds, *stale))
        if renewals:
            self._renewed(*renewals)
        return {key: self._vault.open(member, found[member]) for key, member in members.items() if member in found}

    def _put_values(self, values: Mapping[str, bytes]) -> dict[str, bytes]:
        """Write where nothing stands; member -> what stood before."""
        shelves = self._by_shelf(self._values, list(values))
        commands = []
        for shelf, some in shelves:
            now = self._clock()
            bounds = (now, self._over(now), self._max_values, self._lifetime_ms())
            pairs = (part for member in some for part in (member, self._vault.shut(member, values[member])))
            commands.append(_eval(lua.PUT_FIRST, shelf.keys[:3], shelf.entries, *bounds, *pairs))
        stood: dict[str, bytes] = {}
        for (_, some), answer in zip(shelves, self._link.run_all(commands), strict=True):
            before = {member: value for member, value in zip(some, answer, strict=True) if value is not None}
            stood |= {member: self._vault.open(member, value) for member, value in before.items()}
        return stood

    def _shelf(self, shelves: Sequence[_Shelf], member: str) -> _Shelf:
        return shelves[zlib.crc32(member.encode()) % len(shelves)]

    def _by_shelf(self, shelves: Sequence[_Shelf], members: Sequence[str]) -> list[tuple[_Shelf, list[str]]]:
        grouped: dict[_Shelf, list[str]] = defaultdict(list)
        for member in dict.fromkeys(members):
            grouped[self._shelf(shelves, member)].append(member)
        return list(grouped.items())

    def _alive(self, used: float) -> bool:
        return self._clock() - used <= self._ttl_s + self._renewal_s

    def _stale(self, used: float) -> bool:
        """Whether a use that happens now must be written down."""
        return self._clock() - used >= self._renewal_s

    def _over(self, now: float) -> float:
        """What was last used before this has no lifetime left."""
        return now - self._ttl_s - self._renewal_s

    def _lifetime_ms(self, more_s: float = 0.0) -> int:
        return _ms(self._ttl_s + self._renewal_s + more_s)

    def _log_key(self, log: str) -> str:
        return f"{{{self._prefix}:log:{plain(log)}}}"

    def _table_key(self, table: str) -> str:
        return f"{{{self._prefix}:records}}:{table}"


def _eval(script: str, keys: Sequence[str], *arguments: object) -> Command:
    return ("EVAL", script, len(keys), *keys, *arguments)


def _marker(base: str) -> str:
    """Where it stands for a moment that this one call was done."""
    return f"{base}:done:{os.urandom(12).hex()}"


def _member(scope: str, hash: str) -> str:
    scope = plain(scope)
    return f"{len(scope)}:{scope}:{plain(hash)}"


def _digest(text: str) -> bytes:
    """Tells two texts under one hash apart."""
    return hashlib.sha256(encode(text)).digest()


def _ms(seconds: float) -> int:
    return max(1, int(1000 * seconds))

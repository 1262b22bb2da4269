"""The store in one SQLite file, for any number of threads and processes of one machine.

What must hold:
- An original is committed before `put_originals` returns; WAL with synchronous=NORMAL survives a
  crash of the process, not of the machine.
- Reading an original or a result never depends on being able to write: when its lifetime cannot
  be renewed or its retrieval not be counted, it is served all the same and the failure is logged.
- A lifetime is never shorter than `ttl_s`, and longer by at most a hundredth or ten minutes:
  a use is written down only when the last one on record is older than that.
- An original whose lifetime is over, or that was the least recently used of a full store, leaves
  a row without text for seven days, so that it can be told from one that never was.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from headroom.errors import Expired, NotFound, StoreUnavailable
from headroom.model import Compressed, Original
from headroom.store import sqlite_answers, sqlite_shared
from headroom.store.base import AnswerStats, BlobStats, Draw, Drawn, Entry
from headroom.store.bounds import MAX_ANSWERS_BYTES, MAX_TOMBSTONES, MEMO_SHARE, TOMBSTONE_S, renewal_s
from headroom.store.codec import decode, encode, join_result, pack, plain, split_result, unpack
from headroom.store.sqlite_file import SqliteFile
from headroom.store.vault import AWAY, Vault

_SWEEP_ROWS = 64  # rows whose time is over, looked for at every write
_KEYS_AT_ONCE = 500  # parameters of one statement

_BYTES = "bytes:"  # before the keys of `put_first`; those of results are hashes

K = TypeVar("K")

_log = logging.getLogger(__name__)


class SqliteStore:
    """Implements `headroom.store.base.Store`. The file is opened at the first use, with mode 0600.

    `ttl_s` is the idle lifetime, `max_bytes` what texts and results may take together, `clock`
    gives seconds, `busy_s` is how long a write waits for another process.
    """

    def __init__(
        self,
        path: Path | str,
        ttl_s: float,
        max_bytes: int,
        clock: Callable[[], float] = time.time,
        busy_s: float = 2.0,
        vault: Vault | None = None,
        max_answers_bytes: int = MAX_ANSWERS_BYTES,
    ) -> None:
        self._file = SqliteFile(Path(path), busy_s)
        self._vault = vault or Vault()
        self._ttl_s = ttl_s
        self._renewal_s = renewal_s(ttl_s)
        self._max_results_bytes = max_bytes // MEMO_SHARE
        self._max_bytes = max_bytes - self._max_results_bytes
        self._max_answers_bytes = max_answers_bytes
        self._clock = clock

    def put_originals(self, scope: str, originals: Iterable[Original]) -> None:
        """Write and commit before returning. Raises StoreUnavailable also when they do not fit into `max_bytes` at all."""
        wanted = {original.hash: original for original in originals}
        alive = self._touch(scope, list(wanted))
        packed = {hash: pack(original.text) for hash, original in wanted.items() if hash not in alive}
        self._refuse_collisions(scope, {id: wanted[hash] for hash, id in alive.items()})
        if not packed:
            return
        if sum(map(len, packed.values())) > self._max_bytes:
            raise StoreUnavailable(f"{self._file.path}: more text at once than the store may hold ({self._max_bytes:,} bytes)")
        stands = {hash: self._vault.put(scope, hash, frame) for hash, frame in packed.items()}
        gone = list(stands.values())  # of no use unless they are written down
        try:
            with self._file.write() as db:
                old: list[bytes] = []
                new = {self._put_original(db, scope, wanted[hash], len(packed[hash]), stands[hash], old) for hash in packed}
                old += self._sweep(db, new.union(alive.values()))
            gone = old
        finally:
            self._vault.drop(gone)

    def _refuse_collisions(self, scope: str, standing: Mapping[int, Original]) -> None:
        """Two texts with one hash cannot both be read back, so the second is not stored."""
        with self._file.read() as db:
            for some in _chunks(list(standing)):
                for id, frame in db.execute(f"SELECT id, zstd FROM texts WHERE id IN ({_marks(some)})", some):
                    if unpack(self._vault.get(scope, standing[id].hash, frame)) != standing[id].text:
                        raise StoreUnavailable(f"{self._file.path}: another text is stored under hash={standing[id].hash}")

    def get_original(self, scope: str, hash: str, count: bool = True) -> Original:
        """The original, counted and renewed. Raises NotFound and Expired as the protocol says."""
        with self._file.read() as db:
            row = db.execute(
                "SELECT id, bytes, used, tool, tokens, items, items_kept, retrievals, zstd FROM originals LEFT JOIN texts USING (id) "
                "WHERE scope = ? AND hash = ?",
                (plain(scope), plain(hash)),
            ).fetchone()
            if row is None:
                raise NotFound(f"nothing is stored under hash={plain(hash)[:40]} for this caller")
            id, size, used, tool, tokens, items, items_kept, retrievals, frame = row
            if not self._alive(size, used):
                raise Expired(f"the original of hash={hash} was stored, but its lifetime is over")
            text = unpack(self._vault.get(scope, hash, frame))
        if count:
            retrievals += self._renew("UPDATE originals SET retrievals = retrievals + 1, used = ? WHERE id = ? AND bytes > 0", [id])
        elif self._stale(used):
            self._renew("UPDATE originals SET used = ? WHERE id = ? AND bytes > 0", [id])
        return Original(hash, text, decode(tool), tokens, items, items_kept, retrievals)

    def touch_originals(self, scope: str, hashes: Sequence[str]) -> Sequence[str]:
        """Renew lifetimes; return the hashes that must be stored again. Raises when a lifetime cannot be renewed."""
        alive = self._touch(scope, hashes)
        return [hash for hash in hashes if hash not in alive]

    def blob_stats(self) -> BlobStats:
        """What is stored over all scopes, and how often anything was read back since the file was made."""
        with self._file.read() as db:
            return BlobStats(*db.execute("SELECT entries, bytes, retrievals FROM totals").fetchone())

    def get_results(self, keys: Sequence[str]) -> Mapping[str, Compressed]:
        """The known results among `keys`; a row written by another version of `Compressed` counts as unknown."""
        with self._file.read() as db:
            known = self._readable(_rows(db, keys))
        self._renew_results((id, used) for id, used, _ in known.values())
        return {key: result for key, (_, _, result) in known.items()}

    def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        """Compare-and-set: what stood first for a key stays and is returned."""
        if not results:
            return {}
        with self._file.write() as db:
            rows = _rows(db, list(results))
            standing = {key: result for key, (_, _, result) in self._readable(rows).items()}
            new = {key: split_result(result) for key, result in results.items() if key not in standing}
            db.executemany("DELETE FROM results WHERE id = ?", [(rows[key][0],) for key in new if key in rows])
            self._insert_results(db, new)
            self._sweep_results(db)
        return {key: standing.get(key, result) for key, result in results.items()}

    def get_first(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The values among `keys`; they stand beside the results and share their bounds."""
        with self._file.read() as db:
            rows = _rows(db, [_BYTES + key for key in keys])
        self._renew_results((id, used) for id, used, *_ in rows.values())
        return {key.removeprefix(_BYTES): self._vault.open(key, text or b"") for key, (_, _, _, text) in rows.items()}

    def put_first(self, values: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Compare-and-set: what stood first for a key stays and is returned."""
        if not values:
            return {}
        with self._file.write() as db:
            rows = _rows(db, [_BYTES + key for key in values])
            standing = {key: self._vault.open(key, text or b"") for key, (_, _, _, text) in rows.items()}
            self._insert_results(db, {_BYTES + key: ("", value) for key, value in values.items() if _BYTES + key not in standing})
            self._sweep_results(db)
        return {key: standing.get(_BYTES + key, value) for key, value in values.items()}

    def get_answer(self, scope: str, key: str) -> bytes | None:
        """What stands under this key of this scope, until its time is over."""
        with self._file.read() as db:
            found = sqlite_answers.get_answer(db, self._clock(), scope, key)
        return None if found is None else self._vault.open(f"answer:{scope}:{key}", found)

    def put_answer(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        """Write, in place of what stood there; the oldest go when there is no room."""
        sealed = self._vault.shut(f"answer:{scope}:{key}", value)
        with self._file.write() as db:
            sqlite_answers.put_answer(db, scope, key, sealed, self._clock(), ttl_s, self._max_answers_bytes)

    def drop_answers(self, scope: str | None) -> int:
        """Drop those of a scope, or all; how many there were."""
        with self._file.write() as db:
            return sqlite_answers.drop_answers(db, scope)

    def answer_stats(self) -> AnswerStats:
        """Over all scopes."""
        with self._file.read() as db:
            return sqlite_answers.answer_stats(db)

    def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn:
        """Grant every draw or none, in one transaction."""
        with self._file.write() as db:
            return sqlite_shared.draw(db, self._clock(), draws, once, once_s)

    def append(self, log: str, entries: Sequence[bytes], keep: int = 100_000) -> int:
        """Commit entries in order; the number of the last."""
        with self._file.write() as db:
            return sqlite_shared.append(db, log, [self._vault.shut(f"log:{log}", entry) for entry in entries], keep)

    def read_log(self, log: str, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """Entries behind number `after`, in order."""
        with self._file.read() as db:
            entries = sqlite_shared.read_log(db, log, after, limit)
        return [Entry(entry.number, self._vault.open(f"log:{log}", entry.data)) for entry in entries]

    def get_record(self, table: str, key: str) -> bytes | None:
        """The record, or None."""
        with self._file.read() as db:
            found = sqlite_shared.get_record(db, table, key)
        return None if found is None else self._vault.open(f"record:{table}:{key}", found)

    def list_records(self, table: str) -> Mapping[str, bytes | None]:
        """The whole table, by key; None for what cannot be decrypted."""
        with self._file.read() as db:
            rows = sqlite_shared.list_records(db, table)
        return self._vault.open_all(f"record:{table}:", rows)

    def swap_record(self, table: str, key: str, old: bytes | None, new: bytes | None, idle_s: float | None = None) -> bool:
        """Write `new` where `old` stands; False when something else does."""
        with self._file.write() as db:
            place = f"record:{table}:{key}"
            stands = sqlite_shared.get_record(db, table, key)
            if (None if stands is None else self._vault.open(place, stands)) != old:
                return False
            sealed, now = None if new is None else self._vault.shut(place, new), self._clock()
            sqlite_shared.set_record(db, table, key, sealed, None if idle_s is None else now + idle_s)
            if idle_s is not None:
                sqlite_shared.sweep_records(db, table, now)
            return True

    def secret(self, name: str) -> bytes:
        """32 random bytes, the same for every process on this file."""
        with self._file.read() as db:
            found = sqlite_shared.find_secret(db, name)
        if found is None:
            with self._file.write() as db:
                found = sqlite_shared.make_secret(db, name, self._vault.shut(f"secret:{name}", secrets.token_bytes(32)))
        return self._vault.open(f"secret:{name}", found)

    def warnings(self) -> Sequence[str]:
        """A file needs no advice."""
        return ()

    def close(self) -> None:
        """Close this process's connections. A store that another thread still uses may fail there with StoreUnavailable."""
        self._file.close()

    def _touch(self, scope: str, hashes: Sequence[str]) -> dict[str, int]:
        """hash -> row of the originals that are readable, their lifetimes renewed."""
        alive: dict[str, int] = {}
        stale: list[str] = []
        with self._file.read() as db:
            for some in _chunks(hashes):
                query = f"SELECT id, hash, bytes, used FROM originals WHERE scope = ? AND hash IN ({_marks(some)})"
                for id, hash, size, used in db.execute(query, (plain(scope), *map(plain, some))):
                    if self._alive(size, used):
                        alive[hash] = id
                        stale += [hash] if self._stale(used) else []
        if stale:
            with self._file.write() as db:
                for hash in stale:
                    renewal = db.execute("UPDATE originals SET used = ? WHERE id = ? AND bytes > 0", (self._clock(), alive[hash]))
                    if renewal.rowcount == 0:  # buried in the meantime
                        del alive[hash]
        return alive

    def _put_original(self, db: sqlite3.Connection, scope: str, original: Original, size: int, stands: bytes, old: list[bytes]) -> int:
        """Write a row; what stood there, as another process wrote it a moment ago, is added to `old`."""
        row = (plain(scope), original.hash, encode(original.tool), original.tokens, original.items, original.items_kept)
        (id,) = db.execute(
            "INSERT INTO originals (scope, hash, tool, tokens, items, items_kept, retrievals, bytes, used) "
            "VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes, used = excluded.used RETURNING id",
            (*row, size, self._clock()),
        ).fetchone()
        old += [frame for (frame,) in db.execute("SELECT zstd FROM texts WHERE id = ?", (id,))]
        db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (id, stands))
        return int(id)

    def _sweep(self, db: sqlite3.Connection, spared: set[int]) -> list[bytes]:
        """Bury what is over and, in a full store, the least recently used, but never the spared ones; what lay elsewhere of these."""
        now = self._clock()
        rows = _SWEEP_ROWS + 2 * len(spared)
        over = db.execute(
            "SELECT id FROM originals WHERE bytes > 0 AND used < ? ORDER BY used LIMIT ?", (now - self._ttl_s - self._renewal_s, rows)
        ).fetchall()
        gone = _bury(db, now, [id for (id,) in over if id not in spared])
        size, dead = db.execute("SELECT bytes, dead FROM totals").fetchone()
        if size > self._max_bytes:
            oldest = db.execute("SELECT id, bytes FROM originals WHERE bytes > 0 ORDER BY used")
            gone += _bury(db, now, list(_enough(oldest, size - self._max_bytes, spared)))
        forget = "DELETE FROM originals WHERE id IN (SELECT id FROM originals WHERE bytes = 0 AND used < ? ORDER BY used LIMIT ?)"
        db.execute(forget, (now - TOMBSTONE_S, rows) if dead <= MAX_TOMBSTONES else (now + 1, rows))
        return gone

    def _readable(self, rows: Mapping[str, tuple[int, float, str, bytes | None]]) -> dict[str, tuple[int, float, Compressed]]:
        """key -> (row, last use, result) of the rows that can be read."""
        known = {}
        for key, (id, used, small, text) in rows.items():
            result = join_result(small, None if text is None else self._vault.open(key, text))
            if result is not None:
                known[key] = (id, used, result)
        return known

    def _insert_results(self, db: sqlite3.Connection, new: Mapping[str, tuple[str, bytes | None]]) -> None:
        """`new` gives fields and text by key."""
        sealed = {key: None if text is None else self._vault.shut(key, text) for key, (_, text) in new.items()}
        now = self._clock()
        rows = [(key, small, sealed[key], len(key) + len(small) + len(sealed[key] or b""), now) for key, (small, _) in new.items()]
        db.executemany("INSERT INTO results (key, fields, text, bytes, used) VALUES (?, ?, ?, ?, ?)", rows)

    def _renew_results(self, rows: Iterable[tuple[int, float]]) -> None:
        stale = [id for id, used in rows if self._stale(used)]
        if stale:
            self._renew("UPDATE results SET used = ? WHERE id = ?", stale)

    def _sweep_results(self, db: sqlite3.Connection) -> None:
        db.execute(
            "DELETE FROM results WHERE id IN (SELECT id FROM results WHERE used < ? ORDER BY used LIMIT ?)",
            (self._clock() - self._ttl_s - self._renewal_s, _SWEEP_ROWS),
        )
        (size,) = db.execute("SELECT results_bytes FROM totals").fetchone()
        if size > self._max_results_bytes:
            oldest = db.execute("SELECT id, bytes FROM results ORDER BY used, id")
            gone = list(_enough(oldest, size - self._max_results_bytes, set()))
            db.executemany("DELETE FROM results WHERE id = ?", [(id,) for id in gone])

    def _alive(self, size: int, used: float) -> bool:
        return size > 0 and self._clock() - used <= self._ttl_s + self._renewal_s

    def _stale(self, used: float) -> bool:
        """Whether a use that happens now must be written down."""
        return self._clock() - used >= self._renewal_s

    def _renew(self, update: str, ids: Sequence[int]) -> int:
        """Rows that were renewed. What was read is served also when they cannot be."""
        try:
            with self._file.write() as db:
                return db.executemany(update, [(self._clock(), id) for id in ids]).rowcount
        except StoreUnavailable as failure:
            _log.warning("a use could not be written down: %s", failure.message)
            return 0


def _rows(db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, tuple[int, float, str, bytes | None]]:
    """key -> (row, last use, fields, text)."""
    rows = {}
    for some in _chunks(keys):
        for id, key, *rest in db.execute(f"SELECT id, key, used, fields, text FROM results WHERE key IN ({_marks(some)})", some):
            rows[key] = (id, *rest)
    return rows


def _bury(db: sqlite3.Connection, now: float, ids: Sequence[int]) -> list[bytes]:
    """Take away the texts of these rows; what lay elsewhere of them."""
    gone = []
    for id in ids:
        gone += [frame for (frame,) in db.execute("SELECT zstd FROM texts WHERE id = ? AND substr(zstd, 1, 2) = ?", (id, AWAY))]
        db.execute("UPDATE originals SET bytes = 0, used = ? WHERE id = ?", (now, id))
    return gone


def _enough(rows: Iterable[tuple[int, int]], size: int, spared: set[int]) -> Iterator[int]:
    """Rows (id, bytes) from the first on, without the spared ones, until they hold `size` bytes."""
    for id, held in rows:
        if size <= 0:
            return
        if id not in spared:
            size -= held
            yield id


def _chunks(keys: Sequence[K]) -> Iterator[list[K]]:
    rest = iter(keys)
    while some := list(islice(rest, _KEYS_AT_ONCE)):
        yield some


def _marks(some: Sequence[object]) -> str:
    return ",".join("?" * len(some))

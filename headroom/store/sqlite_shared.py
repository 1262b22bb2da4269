"""Counters, log, records and secrets in SQLite: functions over a connection, inside the transaction of their caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from headroom.store.base import Draw, Drawn, Entry

_SWEEP_ROWS = 64  # rows whose time is over, looked for at every write


def draw(db: sqlite3.Connection, now: float, draws: Sequence[Draw], once: str, once_s: float) -> Drawn:
    """As `Counters.draw`; needs a write transaction."""
    for table in ("counters", "once"):
        db.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE expires < ? LIMIT ?)", (now, _SWEEP_ROWS))
    totals = [_total(db, one) for one in draws]
    nothing = (0,) * len(draws)
    if once and db.execute("SELECT 1 FROM once WHERE id = ? AND expires >= ?", (once, now)).fetchone():
        return Drawn(nothing, tuple(totals), repeated=True)
    granted = [one.amount if one.limit is None else min(one.amount, one.limit - total) for one, total in zip(draws, totals, strict=True)]
    for place, one in enumerate(draws):
        if one.limit is not None and granted[place] < (one.least or one.amount):
            return Drawn(nothing, tuple(totals), refused=place)
    for one, amount in zip(draws, granted, strict=True):
        if amount == 0:
            continue
        db.execute(
            "INSERT INTO counters (key, slot, amount, expires) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET amount = amount + excluded.amount, expires = excluded.expires",
            (one.key, one.slot, amount, now + one.ttl_s),
        )
    if once:
        db.execute("INSERT OR REPLACE INTO once VALUES (?, ?)", (once, now + once_s))
    return Drawn(tuple(granted), tuple(_total(db, one) for one in draws))


def _total(db: sqlite3.Connection, one: Draw) -> int:
    query = "SELECT coalesce(sum(amount), 0) FROM counters WHERE key = ? AND slot > ? AND slot <= ?"
    (total,) = db.execute(query, (one.key, one.slot - one.slots, one.slot)).fetchone()
    return int(total)


def append(db: sqlite3.Connection, log: str, entries: Sequence[bytes], keep: int) -> int:
    """As `Log.append`; needs a write transaction."""
    (last,) = db.execute("SELECT coalesce(max(number), 0) FROM journal WHERE log = ?", (log,)).fetchone()
    db.executemany("INSERT INTO journal VALUES (?, ?, ?)", [(log, number, data) for number, data in enumerate(entries, last + 1)])
    last += len(entries)
    db.execute("DELETE FROM journal WHERE log = ? AND number <= ?", (log, last - max(1, keep)))
    return int(last)


def read_log(db: sqlite3.Connection, log: str, after: int, limit: int) -> Sequence[Entry]:
    """As `Log.read_log`."""
    query = "SELECT number, data FROM journal WHERE log = ? AND number > ? ORDER BY number LIMIT ?"
    return [Entry(number, data) for number, data in db.execute(query, (log, after, limit))]


def set_record(db: sqlite3.Connection, table: str, key: str, value: bytes | None, expires: float | None) -> None:
    """Write or delete a record; needs a write transaction."""
    if value is None:
        db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (table, key))
    else:
        db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (table, key, value, expires))


def sweep_records(db: sqlite3.Connection, table: str, now: float) -> None:
    """Delete some of those that were idle for too long; needs a write transaction."""
    idle = "SELECT key FROM records WHERE kind = ? AND expires < ? LIMIT ?"
    db.execute(f"DELETE FROM records WHERE kind = ? AND key IN ({idle})", (table, table, now, _SWEEP_ROWS))


def get_record(db: sqlite3.Connection, table: str, key: str) -> bytes | None:
    """As `Records.get_record`."""
    row = db.execute("SELECT value FROM records WHERE kind = ? AND key = ?", (table, key)).fetchone()
    return None if row is None else bytes(row[0])


def list_records(db: sqlite3.Connection, table: str) -> dict[str, bytes]:
    """As `Records.list_records`."""
    return {key: bytes(value) for key, value in db.execute("SELECT key, value FROM records WHERE kind = ?", (table,))}


def find_secret(db: sqlite3.Connection, name: str) -> bytes | None:
    """The secret of this name if it was made."""
    row = db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def make_secret(db: sqlite3.Connection, name: str, value: bytes) -> bytes:
    """The secret of this name: `value`, unless another process was quicker; needs a write transaction."""
    db.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, value))
    made = find_secret(db, name)
    assert made is not None
    return made

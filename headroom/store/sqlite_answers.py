"""Cached answers in SQLite: functions over a connection, inside the transaction of their caller."""

from __future__ import annotations

import sqlite3

from headroom.store.base import AnswerStats
from headroom.store.codec import plain

_SWEEP_ROWS = 64  # rows whose time is over, looked for at every write


def get_answer(db: sqlite3.Connection, now: float, scope: str, key: str) -> bytes | None:
    """As `Answers.get_answer`."""
    row = db.execute("SELECT value FROM answers WHERE scope = ? AND key = ? AND expires > ?", (plain(scope), plain(key), now)).fetchone()
    return None if row is None else bytes(row[0])


def put_answer(db: sqlite3.Connection, scope: str, key: str, value: bytes, now: float, ttl_s: float, max_bytes: int) -> None:
    """As `Answers.put_answer`; needs a write transaction."""
    db.execute("DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE expires <= ? LIMIT ?)", (now, _SWEEP_ROWS))
    db.execute("DELETE FROM answers WHERE scope = ? AND key = ?", (plain(scope), plain(key)))
    size = len(scope) + len(key) + len(value)
    if size > max_bytes:
        return
    row = (plain(scope), plain(key), value, size, now + ttl_s)
    db.execute("INSERT INTO answers (scope, key, value, bytes, expires) VALUES (?, ?, ?, ?, ?)", row)
    over = answer_stats(db).bytes - max_bytes
    if over > 0:
        gone = []
        for id, held in db.execute("SELECT id, bytes FROM answers ORDER BY id"):
            gone.append((id,))
            over -= held
            if over <= 0:
                break
        db.executemany("DELETE FROM answers WHERE id = ?", gone)


def drop_answers(db: sqlite3.Connection, scope: str | None) -> int:
    """As `Answers.drop_answers`; needs a write transaction."""
    if scope is None:
        return db.execute("DELETE FROM answers WHERE true").rowcount
    return db.execute("DELETE FROM answers WHERE scope = ?", (plain(scope),)).rowcount


def answer_stats(db: sqlite3.Connection) -> AnswerStats:
    """As `Answers.answer_stats`."""
    return AnswerStats(*db.execute("SELECT entries, bytes FROM answer_totals").fetchone())

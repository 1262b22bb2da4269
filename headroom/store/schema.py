"""The tables of the SQLite store, and how the file of an older version becomes one of this.

The totals are kept by triggers, so no count scans a table.
"""

SCHEMA_VERSION = 4
_SHARED = """
CREATE TABLE counters (key TEXT NOT NULL, slot INTEGER NOT NULL, amount INTEGER NOT NULL, expires REAL NOT NULL, PRIMARY KEY (key, slot));
CREATE INDEX counters_expires ON counters (expires);
CREATE TABLE once (id TEXT PRIMARY KEY, expires REAL NOT NULL);
CREATE INDEX once_expires ON once (expires);
CREATE TABLE journal (log TEXT NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (log, number)) WITHOUT ROWID;
CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
"""
_ANSWERS = """
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, scope TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, bytes INTEGER NOT NULL, expires REAL NOT NULL,
    UNIQUE (scope, key));
CREATE INDEX answers_expires ON answers (expires);
CREATE TABLE answer_totals (entries INTEGER, bytes INTEGER);
INSERT INTO answer_totals VALUES (0, 0);
CREATE TRIGGER answers_added AFTER INSERT ON answers BEGIN
    UPDATE answer_totals SET entries = entries + 1, bytes = bytes + new.bytes; END;
CREATE TRIGGER answers_gone AFTER DELETE ON answers BEGIN
    UPDATE answer_totals SET entries = entries - 1, bytes = bytes - old.bytes; END;
"""
_IDLE = """
ALTER TABLE records ADD COLUMN expires REAL;
CREATE INDEX records_expires ON records (kind, expires) WHERE expires IS NOT NULL;
UPDATE records SET expires = strftime('%s', 'now') + 30 * 86400 WHERE kind IN ('toin-counts', 'toin-snapshots');
"""
_FIRST = """
CREATE TABLE originals (
    id INTEGER PRIMARY KEY, scope TEXT NOT NULL, hash TEXT NOT NULL, tool BLOB NOT NULL, tokens INTEGER NOT NULL,
    items INTEGER NOT NULL, items_kept INTEGER NOT NULL, retrievals INTEGER NOT NULL, bytes INTEGER NOT NULL, used REAL NOT NULL,
    UNIQUE (scope, hash));
CREATE INDEX originals_alive ON originals (used) WHERE bytes > 0;
CREATE INDEX originals_dead ON originals (used) WHERE bytes = 0;
CREATE TABLE texts (id INTEGER PRIMARY KEY, zstd BLOB NOT NULL);
CREATE TABLE results (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fields TEXT NOT NULL, text BLOB, bytes INTEGER NOT NULL, used REAL NOT NULL);
CREATE INDEX results_used ON results (used);
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE totals (entries INTEGER, bytes INTEGER, dead INTEGER, retrievals INTEGER, results_bytes INTEGER);
INSERT INTO totals VALUES (0, 0, 0, 0, 0);
CREATE TRIGGER originals_added AFTER INSERT ON originals BEGIN
    UPDATE totals SET entries = entries + 1, bytes = bytes + new.bytes; END;
CREATE TRIGGER originals_changed AFTER UPDATE OF bytes, retrievals ON originals BEGIN
    UPDATE totals SET entries = entries + (new.bytes > 0) - (old.bytes > 0), bytes = bytes + new.bytes - old.bytes,
        dead = dead + (new.bytes = 0) - (old.bytes = 0), retrievals = retrievals + new.retrievals - old.retrievals; END;
CREATE TRIGGER originals_buried AFTER UPDATE OF bytes ON originals WHEN new.bytes = 0 BEGIN
    DELETE FROM texts WHERE id = new.id; END;
CREATE TRIGGER originals_forgotten AFTER DELETE ON originals BEGIN
    UPDATE totals SET dead = dead - 1; END;
CREATE TRIGGER results_added AFTER INSERT ON results BEGIN
    UPDATE totals SET results_bytes = results_bytes + new.bytes; END;
CREATE TRIGGER results_gone AFTER DELETE ON results BEGIN
    UPDATE totals SET results_bytes = results_bytes - old.bytes; END;
"""

# version of a file -> what makes it the next one's; a file that no table was made in has version 0
STEPS = (_FIRST, _SHARED, _ANSWERS, _IDLE)

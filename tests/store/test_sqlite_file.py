"""Checkpoints of the file: on a thread beside the commits, and none after the end."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from headroom.store import sqlite_file
from headroom.store.sqlite_file import SqliteFile
from tests.provider import WAIT_S


def insert(file: SqliteFile, word: str) -> None:
    with file.write() as db:
        db.execute("CREATE TABLE IF NOT EXISTS words (word)")
        db.execute("INSERT INTO words VALUES (?)", (word,))


def without_log(file: SqliteFile, folder: Path) -> list[str]:
    """The words in the file alone, as if what SQLite keeps beside it were gone."""
    shutil.copy(file.path, folder / "copy.sqlite")
    with closing(sqlite3.connect(folder / "copy.sqlite")) as db:
        tables = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'words'").fetchone()[0]
        return [word for (word,) in db.execute("SELECT word FROM words")] if tables else []


def test_what_is_committed_comes_into_the_file_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_CHECKPOINT_S", 0.0)
    with closing(SqliteFile(tmp_path / "store.sqlite", 2.0)) as file:
        insert(file, "first")
        until = time.monotonic() + WAIT_S
        while without_log(file, tmp_path) != ["first"]:
            assert time.monotonic() < until, "no checkpoint was made"
            time.sleep(0.01)
    assert [thread for thread in threading.enumerate() if thread.name == "checkpoint"] == []


def test_a_commit_leaves_it_to_the_next_checkpoint(tmp_path: Path) -> None:
    with closing(SqliteFile(tmp_path / "store.sqlite", 2.0)) as file:
        for number in range(400):
            insert(file, f"{number} " * 4000)
        assert without_log(file, tmp_path) == []
    assert len(without_log(file, tmp_path)) == 400

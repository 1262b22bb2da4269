"""When rows are written, and when they are forced onto the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from headroom.stats.journal import Journal, files, parsed
from tests.stats.made import rows


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes a file had, each time it was forced onto the disk."""
    found: list[int] = []
    force = os.fdatasync

    def counted(descriptor: int) -> None:
        force(descriptor)
        found.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", counted)
    return found


def size(directory: Path) -> int:
    return sum(file.stat().st_size for file in files(directory))


def test_rows_are_on_the_disk_when_append_returns(tmp_path: Path, forced: list[int]) -> None:
    journal = Journal(tmp_path)
    for seed in range(3):
        journal.append(rows(2, seed=seed))
        assert forced[-1] == size(tmp_path)
    journal.seal()
    assert len(forced) == 3


def test_rows_may_be_left_to_the_system_for_a_while(tmp_path: Path, forced: list[int]) -> None:
    journal = Journal(tmp_path, sync_s=3600)
    for seed in range(3):
        journal.append(rows(2, seed=seed))
        assert len(next(iter(files(tmp_path))).read_text().splitlines()) == 2 * (seed + 1)  # they outlive the process
    journal.seal(older_than_s=3600)
    assert not forced
    journal.seal()
    assert forced == [size(tmp_path)]


def test_what_waits_is_forced_at_the_next_look(tmp_path: Path, forced: list[int]) -> None:
    journal = Journal(tmp_path, sync_s=1e-9)
    journal.append(rows(1))
    journal.seal(older_than_s=3600)
    journal.seal(older_than_s=3600)
    assert forced == [size(tmp_path)]


def test_a_disk_that_fails_at_the_end_of_a_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal = Journal(tmp_path, sync_s=3600)
    journal.append(rows(2, seed=1))
    monkeypatch.setattr(os, "fdatasync", fails)
    journal.seal()
    assert "may not outlive this machine" in caplog.text
    monkeypatch.undo()
    journal.append(rows(2, seed=2))
    assert len(list(files(tmp_path))) == 2


def test_a_full_disk_leaves_one_file_and_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, write = Journal(tmp_path), os.write
    journal.append(rows(1))

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 100:
            return write(descriptor, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(5):
        with pytest.raises(OSError, match="No space"):
            journal.append(rows(2, seed=1))
    monkeypatch.undo()
    journal.append(rows(2, seed=1))
    journal.seal()
    (file,) = files(tmp_path)
    lines = file.read_bytes().splitlines()
    kept = list(parsed(lines, ""))
    assert len(kept) == len(lines)  # each whole; those that a write had ended stand there again, and count once
    assert len({row["event_id"] for row in kept}) == 3

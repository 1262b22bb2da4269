"""Where the ledger stands: its lock between processes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

import headroom.stats.places
from headroom.stats.places import Places


def test_a_lock_that_is_not_let_go_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For readers and for whoever commits, who has written nothing then."""
    monkeypatch.setattr(headroom.stats.places, "_PATIENCE_S", 0.01)
    places = Places(tmp_path, str(tmp_path))
    descriptor = os.open(tmp_path / ".commit", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="another process holds the ledger"), places.steady():
        raise AssertionError
    with pytest.raises(OSError, match="another process holds the ledger"), places.commit():
        raise AssertionError
    os.close(descriptor)
    assert not places.dirty
    with places.steady() as whole:
        assert whole

"""Commands under test read no settings of the machine they run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from headroom import settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of its own; no variable of Headroom set but this one."""
    for _, info in settings.fields():
        if name := settings.extra(info, "env"):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def full() -> Iterator[IO[str]]:
    """A standard output that takes nothing more."""
    with Path("/dev/full").open("w") as out:
        yield out

"""The real clients, where `make clients` has installed them; without them these tests are not collected (CI installs them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.agents import INSTALLED
from tests.provider import Provider
from tests.proxy.faces import embedded, settings_for

collect_ignore_glob = [] if INSTALLED else ["test_agents.py", "test_typescript.py"]


@pytest.fixture(scope="session")
def _proxy(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded(settings_for(_provider, tmp_path_factory.mktemp("home"))) as url:
        yield url


@pytest.fixture
def proxy(_proxy: str, provider: Provider) -> str:
    """The URL of an embedded proxy; `provider` is behind it."""
    return _proxy


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory to work in, with a home of its own beside it."""
    (tmp_path / "user").mkdir()
    (tmp_path / "project").mkdir()
    return tmp_path / "project"

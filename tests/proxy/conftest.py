"""One embedded proxy with a real worker process for the whole session, and one with a compressor on a thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provider import Provider
from tests.proxy.faces import embedded, serving, settings_for


@pytest.fixture(scope="session")
def _proxy(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded(settings_for(_provider, tmp_path_factory.mktemp("home"))) as url:
        yield url


@pytest.fixture
def proxy(_proxy: str, provider: Provider) -> str:
    """The URL of the session's embedded proxy; `provider` is behind it."""
    return _proxy


@pytest.fixture(scope="session")
def _small(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(settings_for(_provider, tmp_path_factory.mktemp("small"), max_body_mb=1)) as url:
        yield url


@pytest.fixture
def small(_small: str, provider: Provider) -> str:
    """The URL of a proxy that takes bodies of at most 1 MB and compresses on a thread."""
    return _small

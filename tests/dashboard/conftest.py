"""Ledgers of a company before its first request, in its first hour and after a year."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks import sample_data
from tests.provider import Provider
from tests.proxy.faces import serving, settings_for


@pytest.fixture(scope="session")
def empty(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a proxy whose ledger holds nothing."""
    with serving(settings_for(_provider, tmp_path_factory.mktemp("empty"))) as url:
        yield url


@pytest.fixture(scope="session")
def year(_provider: Provider, company: Path) -> Iterator[str]:
    """The URL of a proxy whose ledger holds a year."""
    with serving(settings_for(_provider, company.parent)) as url:
        yield url


@pytest.fixture(scope="session")
def hour(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a proxy whose ledger holds an hour."""
    home: Path = tmp_path_factory.mktemp("hour")
    sample_data.write(home / "stats", sample_data.outcomes(150, 1 / 24, time.time()))
    with serving(settings_for(_provider, home)) as url:
        yield url

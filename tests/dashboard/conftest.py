"""A real browser, and ledgers of a company in its first hour and after a year."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from notebooks import sample_data
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import serving, settings_for

expect.set_options(timeout=1000 * WAIT_S)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it. Not for longer: while Playwright is there, no other test can run an event loop."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    assert found, f"none of {', '.join(_BROWSERS)} is installed (Debian and Ubuntu: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def year(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a proxy whose ledger holds a year."""
    home = tmp_path_factory.mktemp("year")
    sample_data.write(home / "stats", sample_data.outcomes(4000, 365, time.time()), row_days=2)
    with serving(settings_for(_provider, home)) as url:
        yield url


@pytest.fixture(scope="session")
def hour(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a proxy whose ledger holds an hour."""
    home: Path = tmp_path_factory.mktemp("hour")
    sample_data.write(home / "stats", sample_data.outcomes(150, 1 / 24, time.time()))
    with serving(settings_for(_provider, home)) as url:
        yield url

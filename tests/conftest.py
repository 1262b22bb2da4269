"""Fixtures for every test: the stand-in provider, without what earlier tests left in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.provider import Provider, stand_in

settings.register_profile("headroom", deadline=None, derandomize=True)
settings.load_profile("headroom")


@pytest.fixture(scope="session")
def _provider() -> Iterator[Provider]:
    with stand_in() as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Iterator[Provider]:
    _provider.reset()
    yield _provider
    _provider.release()

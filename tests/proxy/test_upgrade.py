"""WebSocket upgrades: refused with 426 in the words of the API, on servers with WebSockets and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from headroom.proxy.server import create_app
from headroom.proxy.services import open_services
from tests.provider import Provider, running
from tests.proxy.faces import Inline, settings_for
from tests.proxy.upgrades import shake


@pytest.mark.parametrize("target", ["/v1/responses", "/v1/realtime?model=m", "/anywhere", "/health"])
def test_an_upgrade_is_refused_so_that_the_client_goes_on_over_http(small: str, provider: Provider, target: str) -> None:
    status, headers, body = shake(small, target)
    assert (status, headers["upgrade"]) == (426, "HTTP/1.1")
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "by HTTP" in body["error"]["message"]
    assert provider.requests == []


@pytest.mark.parametrize(("target", "more"), [("/v1/messages", ""), ("/v1/odd", "anthropic-version: 2023-06-01\r\n")])
def test_it_is_refused_in_the_words_of_the_api(small: str, provider: Provider, target: str, more: str) -> None:
    status, _, body = shake(small, target, more)
    assert (status, body["type"], body["error"]["type"]) == (426, "error", "invalid_request_error")


@pytest.mark.parametrize("ws", ["none", "websockets", "websockets-sansio"])
def test_every_server_refuses_the_same(provider: Provider, tmp_path: Path, ws: str) -> None:
    settings = settings_for(provider, tmp_path)
    app = create_app(open_services(settings, Inline(settings)))
    with running(app, ws) as url:
        status, _, body = shake(url, "/v1/responses")
    assert (status, body["error"]["type"]) == (426, "invalid_request_error")
    assert provider.requests == []

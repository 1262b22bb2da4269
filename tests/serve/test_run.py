"""`headroom serve` on a Ray of its own, told to end while an answer streams."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import HTTP, anthropic_turns, asking
from tests.proxy.test_servers import started
from tests.redis_server import free_port
from tests.serve.conftest import ENVIRONMENT

REPLICAS = {"num_replicas": 1, "ray_actor_options": {"num_cpus": 0.1}}


def test_open_streams_end_and_new_requests_are_sent_elsewhere(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    args = {"settings": {"access": {"callers": "open"}}, "ingress": REPLICAS, "compressor": REPLICAS, "stats": None}
    application = {"name": "gateway", "route_prefix": "/", "import_path": "serve_app.app:build", "args": args}
    http = {"host": "127.0.0.1", "port": port}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"proxy_location": "HeadOnly", "http_options": http, "applications": [application]}))
    provider.script(Script(hold_after=2))
    body = asking(anthropic_turns(1, 5)) | {"stream": True}
    with started(provider, tmp_path, "headroom", "serve", str(config), port=port) as (url, server), ThreadPoolExecutor(1) as threads:
        stream = threads.submit(lambda: HTTP.post(f"{url}/v1/messages", json=body).text)
        provider.wait_until(lambda seen: seen.holds)
        assert haproxy_listens(server.pid) == {"127.0.0.1"}
        server.send_signal(signal.SIGTERM)
        refused = until_refused(url)
        assert refused.json()["error"]["type"] == "overloaded_error"
        assert refused.headers["retry-after"] == "1"
        assert HTTP.get(f"{url}/livez").status_code == 200
        assert not stream.done()
        provider.release()
        assert "message_stop" in stream.result(WAIT_S)
        assert server.wait(WAIT_S) == 0


def haproxy_listens(pid: int) -> set[str]:
    """The addresses of every port of the HAProxy that a Ray below this process runs."""
    below = psutil.Process(pid).children(recursive=True)
    return {kept.laddr.ip for one in below if one.name() == "haproxy" for kept in one.net_connections() if kept.status == "LISTEN"}


def until_refused(url: str) -> httpx.Response:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        answer = HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1, 5)))
        if answer.status_code != httpx.codes.OK:
            return answer
    raise AssertionError("requests are still taken")

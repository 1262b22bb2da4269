"""The proxy over Redis: two servers share one state, and nobody notices when Redis goes away and comes back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from headroom.ccr import marker
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, rows, serving, settings_for
from tests.redis_server import RedisServer, redis_server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


def test_two_servers_share_one_state_that_outlives_everything(provider: Provider, own: RedisServer, tmp_path: Path) -> None:
    body = json.dumps(asking(anthropic_turns(1))).encode()
    store = {"url": own.url}
    with serving(settings_for(provider, tmp_path / "one", store=store)) as one:
        HTTP.post(f"{one}/v1/messages", content=body)
        first = provider.requests[-1].body
    own.kill()
    own.start()
    digest = next(marker.hashes(first.decode()))
    with serving(settings_for(provider, tmp_path / "two", store=store)) as two:
        assert HTTP.get(f"{two}/v1/retrieve/{digest}").json()["original_content"] == rows(0)
        HTTP.post(f"{two}/v1/messages", content=body)
        assert provider.requests[-1].body == first
    assert not (tmp_path / "two" / "store.sqlite").exists()


def test_redis_killed_and_restarted_under_load_fails_no_request(provider: Provider, own: RedisServer, tmp_path: Path) -> None:
    """Also those that find it gone; what was acknowledged before is redeemed after."""
    bodies = [json.dumps(asking(anthropic_turns(1, 120 + number))).encode() for number in range(24)]
    served = threading.Semaphore(0)
    settings = settings_for(provider, tmp_path / "home", store={"url": own.url})
    with serving(settings) as url, httpx.Client(timeout=WAIT_S) as client:

        def send(body: bytes) -> int:
            status = client.post(f"{url}/v1/messages", content=body).status_code
            served.release()
            return status

        assert send(bodies[0]) == 200
        digest = next(marker.hashes(provider.requests[-1].body.decode()))
        with ThreadPoolExecutor(4) as pool:
            sent = [pool.submit(send, body) for body in bodies]
            for _ in range(5):
                assert served.acquire(timeout=WAIT_S)
            own.kill()
            for _ in range(8):
                assert served.acquire(timeout=WAIT_S)
            own.start()
            assert {one.result(timeout=WAIT_S) for one in sent} == {200}
        while (found := client.get(f"{url}/v1/retrieve/{digest}")).status_code == 503:  # left alone for a moment
            time.sleep(0.05)
        assert found.json()["original_content"] == rows(0)
        assert client.get(f"{url}/stats").json()["requests"]["failed"] == 0

"""A roll-out and a lost store on a cluster: nothing restarts, no stream is cut, no request fails, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from headroom.ccr import marker
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import anthropic_turns, asking, rows
from tests.proxy.rollouts import Conversation, await_version
from tests.redis_server import RedisServer, redis_server
from tests.serve.deployed import Deployed, until

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]
KEY = {"x-api-key": "key-a"}
SOME = {"version": "one", "rules": []}
OFF = {"version": "two", "rules": [{"name": "stopped", "set": {"mode": "off"}}]}
BROKEN = {"version": "three", "rules": [{"name": "stopped", "set": {"mood": "off"}}]}
ENOUGH = 20  # answers in a row that say the same: every replica does


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def test_a_reload_under_fifty_streams_restarts_nothing(declared: Deployed, own: RedisServer, provider: Provider) -> None:
    url = declared.url
    declared.declare(SOME, own.url)
    before, replicas = await_version(url, "", ENOUGH), declared.replicas("Ingress")
    old = [Conversation(number, KEY) for number in range(50)]
    provider.always = Script(hold_after=2)
    with ThreadPoolExecutor(50) as threads:
        streams = [threads.submit(talk.stream, url) for talk in old]
        provider.wait_until(lambda seen: len(seen.requests) == 50)
        declared.declare(OFF, own.url)
        version = await_version(url, before, ENOUGH)
        provider.always = Script()
        new = Conversation(50, KEY)
        assert new.complete(new.stream(url))
        assert provider.open == 50
        provider.release()
        assert all(talk.complete(stream.result(WAIT_S)) for talk, stream in zip(old, streams, strict=True))
    for talk in (*old[::10], new):
        talk.go_on()
        for _ in range(4):  # through either replica
            assert talk.complete(talk.stream(url))
        first, *later = talk.forwarded(provider)
        assert all(body.startswith(first) for body in later)
        assert bool(list(marker.hashes(first.decode()))) == bool(list(marker.hashes(later[0].decode()))) == (talk is not new)
    declared.declare(BROKEN, own.url)
    until(lambda: "rules.0.set.mood" in str(shown(url)["error"]))
    assert shown(url)["version"] == version
    assert declared.replicas("Ingress") == replicas


def shown(url: str) -> dict[str, object]:
    policies: dict[str, object] = httpx.get(f"{url}/health", timeout=WAIT_S).json()["policies"]
    return policies


def test_redis_killed_under_load_fails_no_request_and_what_it_held_is_redeemed_after_everything_was_restarted(
    declared: Deployed, own: RedisServer, provider: Provider
) -> None:
    url, served = declared.url, threading.Semaphore(0)
    declared.declare(SOME, own.url)
    bodies = [asking(anthropic_turns(1, 120 + number)) for number in range(40)]
    with httpx.Client(headers=KEY, timeout=WAIT_S) as client:

        def send(number: int) -> int:
            status = client.post(f"{url}/v1/messages", json=bodies[number]).status_code
            served.release()
            return status

        assert send(0) == 200
        digest = next(marker.hashes(provider.requests[-1].body.decode()))
        with ThreadPoolExecutor(6) as threads:
            sent = [threads.submit(send, number) for number in range(1, len(bodies))]
            for _ in range(6):
                assert served.acquire(timeout=WAIT_S)
            own.kill()
            for _ in range(16):
                assert served.acquire(timeout=WAIT_S)
            own.start()
            assert {one.result(timeout=WAIT_S) for one in sent} == {200}
        old = declared.replicas("Ingress")
        declared.delete()
        own.kill()
        own.start()
        declared.declare(SOME, own.url)
        assert not old & declared.replicas("Ingress")
        redeemed = [client.get(f"{url}/v1/retrieve/{digest}") for _ in range(8)]
        assert {answer.json()["original_content"] for answer in redeemed} == {rows(0)}
        assert client.get(f"{url}/v1/retrieve/{digest}", headers={"x-api-key": "another"}).status_code == 404

"""The ledger of all nodes: the same from every replica, and right whichever replica is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.provider import WAIT_S, Provider
from tests.proxy.faces import anthropic_turns, asking, stats_of
from tests.serve.deployed import Deployed, processes, until
from tests.stats.disk import in_parquet, on_its_way

pytestmark = pytest.mark.serve
ADMIN = {"authorization": "Bearer operators-only"}
KEY = {"x-api-key": "key-a"}


def total(url: str) -> int:
    with httpx.Client(timeout=WAIT_S) as client:  # a connection of its own, so that any replica may answer
        return int(client.get(f"{url}/stats", headers=ADMIN).raise_for_status().json()["requests"]["total"])


@contextmanager
def load(deployed: Deployed, clients: int) -> Iterator[set[str]]:
    """Clients that ask all the time; the ids of the requests that were answered."""
    answered: set[str] = set()
    over = threading.Event()

    def ask(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            try:
                with httpx.Client(base_url=deployed.url, headers=KEY, timeout=WAIT_S) as client:
                    answer = client.post("/v1/messages", json=asking(anthropic_turns(1, 5 + number)))
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                answered.add(answer.headers["x-headroom-request-id"])

    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(ask, number) for number in range(clients)]
        try:
            yield answered
        finally:
            over.set()
            for done in running:
                done.result(WAIT_S)


def settled(home: Path, holds: Callable[[list[str]], bool]) -> list[str]:
    """What is in Parquet once nothing waits in outboxes and journals."""
    until(lambda: not on_its_way(home))
    found = in_parquet(home)
    assert holds(found)
    return found


def test_every_replica_tells_the_same_and_never_less(deployed: Deployed, provider: Provider) -> None:
    settled(deployed.home, lambda _: True)  # also what the tests before have asked
    before, seen = total(deployed.url), [0]
    with load(deployed, 2) as answered:
        while len(answered) < 40:
            seen.append(total(deployed.url))
            time.sleep(0.02)
    assert seen == sorted(seen)
    stats_of(deployed.url, before + len(answered), ADMIN)
    assert {total(deployed.url) for _ in range(10)} == {before + len(answered)}
    with httpx.Client(base_url=deployed.url, headers=ADMIN, timeout=WAIT_S) as client:
        of_team = client.get("/stats", params={"team": "nobody"}).json()["requests"]["total"]
        assert of_team == 0
        metrics = {client.get("/metrics").text for _ in range(6)}
    assert len(metrics) == 1


def test_killed_in_a_loop_under_load(deployed: Deployed, provider: Provider) -> None:
    """While only the Stats replica is killed, not one answered request is lost; with an ingress replica, none that was on the disk."""
    home = deployed.home
    with load(deployed, 3) as answered:
        for _ in range(2):
            enough = len(answered) + 15
            until(lambda enough=enough: len(answered) >= enough)  # type: ignore[misc]
            (victim,) = processes("Stats")
            os.kill(victim, signal.SIGKILL)
            enough = len(answered) + 15
            until(lambda enough=enough: len(answered) >= enough)  # type: ignore[misc]
            until(lambda victim=victim: bool(processes("Stats") - {victim}))  # type: ignore[misc]
    kept = settled(home, answered.issubset)
    assert len(kept) == len(set(kept)) == total(deployed.url)

    acknowledged = set(kept)
    with load(deployed, 3) as answered:
        for _ in range(2):
            enough = len(answered) + 15
            until(lambda enough=enough: len(answered) >= enough)  # type: ignore[misc]
            victim = min(processes("Ingress"))
            acknowledged |= on_its_way(home)
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: len(processes("Ingress") - {victim}) == 2)  # type: ignore[misc]
    kept = settled(home, acknowledged.issubset)
    assert len(kept) == len(set(kept)) == total(deployed.url)
    lost = answered - set(kept)
    assert len(lost) < len(answered) / 2

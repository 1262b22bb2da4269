"""What one replica saw is followed by all of them."""

from __future__ import annotations

import itertools

import httpx
import pytest

from tests.provider import WAIT_S, Provider
from tests.proxy.faces import asking, invoice_turns, middle
from tests.serve.deployed import Deployed, until

pytestmark = [pytest.mark.serve, pytest.mark.timeout(300)]
ASKED = 12
KEY = {"x-api-key": "key-learner"}


def test_what_is_asked_for_again_stays_on_every_replica(deployed: Deployed, provider: Provider) -> None:
    seeds = itertools.count(1)
    with httpx.Client(base_url=deployed.url, headers=KEY, timeout=WAIT_S) as client:

        def forwarded(*conversation: int) -> bytes:
            assert client.post("/v1/messages", json=asking(invoice_turns(conversation))).status_code == 200
            return provider.requests[-1].body

        def kept() -> bool:
            seed = next(seeds)
            return middle(seed)[0].encode() in forwarded(seed)

        running = [forwarded(1000), forwarded(1000, 1001)]
        for seed in itertools.islice(seeds, ASKED):
            reply = client.post("/v1/compress", json={"model": "m", "messages": invoice_turns([seed])}).json()
            asked = client.post("/v1/retrieve", json={"hash": reply["ccr_hashes"][0], "query": middle(seed)[5]})
            assert asked.json()["count"]
        until(lambda: client.get("/v1/toin/stats").json()["total_retrievals"] == ASKED)
        deployed.restart()
        assert all(kept() for _ in range(8))
        running.append(forwarded(1000, 1001, 1002))
    for earlier, later in itertools.pairwise(running):
        assert later.startswith(earlier.removesuffix(b"]}"))
    assert not any(middle(seed)[0].encode() in running[-1] for seed in (1000, 1001, 1002))

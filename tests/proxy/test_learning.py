"""Learning over HTTP: what is asked for again through /v1/retrieve is kept in later conversations, with a real worker process."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from headroom.ccr import marker
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, asking, embedded, invoice_turns, invoices, middle, serving, settings_for

SEED = itertools.count(1000)


def forwarded(url: str, provider: Provider, *seeds: int) -> bytes:
    assert HTTP.post(f"{url}/v1/messages", json=asking(invoice_turns(seeds))).status_code == 200
    return provider.requests[-1].body


def shows_the_middle(body: bytes, seed: int) -> bool:
    found = [number.encode() in body for number in middle(seed)]
    assert all(found) or not any(found)
    return all(found)


def compressed(url: str) -> str:
    """The hash of an output that was just cut."""
    reply = HTTP.post(f"{url}/v1/compress", json={"model": "m", "messages": invoice_turns([next(SEED)])}).json()
    return str(reply["ccr_hashes"][0])


def get(url: str, path: str) -> Any:
    answer = HTTP.get(f"{url}{path}")
    assert answer.status_code == 200
    return answer.json()


def until_retrievals(url: str, count: int) -> dict[str, Any]:
    """What was learned once so many questions were written down."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        stats: dict[str, Any] = get(url, "/v1/toin/stats")
        if stats["total_retrievals"] >= count:
            return stats
        time.sleep(0.05)
    raise AssertionError("what was asked for was not written")


def test_rows_that_models_ask_for_again_stay_and_a_running_conversation_does_not_change(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path)
    with embedded(settings) as url:
        running = [forwarded(url, provider, 1), forwarded(url, provider, 1, 2)]
        assert not shows_the_middle(running[0], 1)
        for seed in range(10, 16):
            digest = next(marker.hashes(forwarded(url, provider, seed).decode()))
            ask = {"hash": digest, "query": middle(seed)[5]}
            reply = (
                HTTP.get(f"{url}/v1/retrieve/{digest}", params={"query": ask["query"]})
                if seed % 2
                else HTTP.post(f"{url}/v1/retrieve", json=ask)
            )
            assert reply.json()["count"] > 0
        assert until_retrievals(url, 6)["patterns_with_recommendations"] == 1
        running.append(forwarded(url, provider, 1, 2, 3))
    with embedded(settings) as url:  # after a restart
        assert shows_the_middle(forwarded(url, provider, 7), 7)
        running.append(forwarded(url, provider, 1, 2, 3, 4))
        (pattern,) = get(url, "/v1/toin/patterns")
        assert (pattern["tool_name"], pattern["skip_recommended"], pattern["retrievals"]) == ("list_invoices", False, 6)
        assert pattern["advice"]["tenths"] == [5]
        assert get(url, f"/v1/toin/pattern/{pattern['hash'][:6]}")["counts"]["asked"] == 6
        stats = get(url, "/v1/toin/stats")
        assert (stats["enabled"], stats["patterns_tracked"], stats["total_retrievals"], stats["patterns_with_recommendations"]) == (
            True,
            1,
            6,
            1,
        )
        assert len(stats["snapshot"]) == 16
        assert get(url, "/stats")["toin"]["total_retrievals"] == 6
    for earlier, later in itertools.pairwise(running):
        assert later.startswith(earlier.removesuffix(b"]}"))
    assert not any(shows_the_middle(running[-1], seed) for seed in (1, 2, 3, 4))


@pytest.fixture
def learning(provider: Provider, tmp_path: Path) -> Any:
    with serving(settings_for(provider, tmp_path)) as url:
        yield url


def test_redeeming_every_marker_teaches_nothing_asking_for_all_of_it_does(learning: str) -> None:
    digests = [compressed(learning) for _ in range(10)]
    for digest in digests:
        assert get(learning, f"/v1/retrieve/{digest}")["original_content"]
    assert HTTP.post(f"{learning}/v1/retrieve", json={"hash": digests[0]}).json()["original_content"]
    assert until_retrievals(learning, 1)["patterns_with_recommendations"] == 0
    (pattern,) = get(learning, "/v1/toin/patterns")
    assert not pattern["skip_recommended"]
    for digest in digests:
        HTTP.post(f"{learning}/v1/retrieve", json={"hash": digest})
    assert until_retrievals(learning, 10)["patterns_with_recommendations"] == 1
    (pattern,) = get(learning, "/v1/toin/patterns")
    assert pattern["skip_recommended"]
    assert get(learning, "/v1/toin/patterns?limit=0") == []


def test_nothing_is_learned_when_it_is_switched_off(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path, compression={"learn": False})) as url:
        digest = compressed(url)
        HTTP.post(f"{url}/v1/retrieve", json={"hash": digest, "query": "INV"})
        assert get(url, "/v1/toin/stats") == {
            "enabled": False,
            "patterns_tracked": 0,
            "total_compressions": 0,
            "total_retrievals": 0,
            "global_retrieval_rate": 0.0,
            "patterns_with_recommendations": 0,
            "snapshot": "",
        }
        assert get(url, "/v1/toin/patterns") == []
        assert HTTP.get(f"{url}/v1/toin/pattern/abcd").status_code == 404


def test_callers_see_what_was_learned_from_their_own_traffic(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path, access={"callers": "credential"})) as url:
        assert HTTP.get(f"{url}/v1/toin/stats").status_code == 401
        own, other = ({"x-api-key": key} for key in ("key-a", "key-b"))
        request = {"model": "m", "messages": invoice_turns([5])}
        digest = HTTP.post(f"{url}/v1/compress", json=request, headers=own).json()["ccr_hashes"][0]
        HTTP.post(f"{url}/v1/retrieve", json={"hash": digest, "query": middle(5)[0]}, headers=own)
        assert HTTP.get(f"{url}/v1/toin/patterns", headers=other).json() == []
        assert middle(5)[0] not in HTTP.get(f"{url}/v1/toin/patterns", headers=own).text
        assert invoices(5)

"""The Ray face: the same answers and the same bytes as anywhere, from any replica, whatever dies behind it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headroom.ccr import marker
from serve_app.tiers import REASONS
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.crowd import Crowd
from tests.proxy.faces import anthropic_turns, asking, openai_turns, rows
from tests.proxy.upgrades import shake
from tests.serve.deployed import Deployed, until
from tests.serve.test_stats import ADMIN

pytestmark = pytest.mark.serve
ANSWER = "The stand-in read 7 messages."
KEY = {"x-api-key": "key-a"}


@pytest.fixture
def client(deployed: Deployed) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=deployed.url, headers=KEY, timeout=60) as client:
        yield client


def turns_of(messages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The conversation as it is sent, turn by turn."""
    return [messages[: end + 1] for end, message in enumerate(messages) if message["role"] != "assistant"]


def assert_prefixes(bodies: list[bytes]) -> None:
    for earlier, later in itertools.pairwise(bodies):
        assert later.startswith(earlier.removesuffix(b"]}")), "a turn forwarded other bytes than the turn before"


def test_healthy(client: httpx.Client) -> None:
    health = client.get("/health").json()
    assert health["status"] == "healthy"
    assert health["ready"]
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    assert client.get("/stats").status_code == 401


def test_an_upgrade_is_refused(deployed: Deployed, provider: Provider) -> None:
    status, headers, body = shake(deployed.url, "/v1/responses")
    assert (status, headers["upgrade"], body["error"]["type"]) == (426, "HTTP/1.1", "invalid_request_error")
    assert provider.requests == []


def test_anthropic_sdk(deployed: Deployed, provider: Provider) -> None:
    with anthropic.Anthropic(base_url=deployed.url, api_key="key-a", max_retries=0) as claude:
        raw = claude.messages.with_raw_response.create(**asking(anthropic_turns(2)))
        assert raw.parse().content[0].text == ANSWER
        assert int(raw.headers["x-headroom-tokens-saved"]) > 0
        with claude.messages.stream(**asking(anthropic_turns(2))) as stream:
            assert "".join(stream.text_stream) == ANSWER
    assert all("key-a" in dict(request.headers).get("authorization", "") for request in provider.requests)
    assert all(list(marker.hashes(request.body.decode())) for request in provider.requests)


def test_openai_sdk(deployed: Deployed, provider: Provider) -> None:
    with openai.OpenAI(base_url=f"{deployed.url}/v1", api_key="key-o", max_retries=0) as gpt:
        raw = gpt.chat.completions.with_raw_response.create(**asking(openai_turns(2)))
        assert raw.parse().choices[0].message.content == ANSWER
        assert int(raw.headers["x-headroom-tokens-saved"]) > 0
        chunks = list(gpt.chat.completions.create(**asking(openai_turns(2), stream=True)))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert all(list(marker.hashes(request.body.decode())) for request in provider.requests)


def test_other_paths_arrive_as_they_were_sent(client: httpx.Client, provider: Provider) -> None:
    client.get("/v1/models/a%2Fb?limit=1&x=%20")
    assert provider.requests[0].target == "/v1/models/a%2Fb?limit=1&x=%20"


def test_a_stream_that_breaks_off_breaks_off(client: httpx.Client, provider: Provider) -> None:
    provider.script(Script(die_after=2))
    with (
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("POST", "/v1/messages", json=asking(anthropic_turns(1), stream=True)) as answer,
    ):
        answer.read()


def test_a_client_who_goes_away_leaves_nothing_open(client: httpx.Client, provider: Provider) -> None:
    provider.script(Script(hold_after=2))
    with client.stream("POST", "/v1/messages", json=asking(anthropic_turns(1), stream=True)) as answer:
        next(answer.iter_raw())
    provider.wait_until(lambda seen: seen.open == 0)
    assert provider.abandoned == 1


def counters(client: httpx.Client) -> set[tuple[int, int]]:
    """Requests and tokens saved as each Ingress replica tells of them."""
    with httpx.Client(base_url=client.base_url, headers=ADMIN, timeout=WAIT_S) as operator:
        until(lambda: operator.get("/stats").status_code == 200)
        answers = [operator.get("/stats").raise_for_status().json() for _ in range(20)]
    return {(answer["requests"]["total"], answer["tokens"]["saved"]) for answer in answers}


def test_both_ingress_replicas_forward_the_same_bytes(client: httpx.Client, provider: Provider) -> None:
    """Every turn of six conversations, sent four times: each replica sees turns that the other saw first."""
    before = counters(client)
    for number in range(6):
        provider.requests.clear()
        turns = turns_of(anthropic_turns(3, count=60 + number))
        for turn in turns:
            for _ in range(4):
                assert client.post("/v1/messages", json=asking(turn)).status_code == 200
        bodies = [request.body for request in provider.requests]
        assert all(len(set(bodies[first : first + 4])) == 1 for first in range(0, len(bodies), 4))
        assert_prefixes(bodies[::4])
        assert list(marker.hashes(bodies[-1].decode()))
    assert not before & counters(client), "a replica took no request"


def test_compress_and_retrieve_from_any_replica_and_after_a_restart(deployed: Deployed, client: httpx.Client, provider: Provider) -> None:
    request = asking(openai_turns(2, count=90))
    reply = client.post("/v1/compress", json=request)
    digests = reply.json()["ccr_hashes"]
    assert len(digests) == 2
    assert client.post("/v1/messages", json=asking(anthropic_turns(2, count=91))).status_code == 200

    def retrieved() -> set[str]:
        return {client.get(f"/v1/retrieve/{digests[1]}").json()["original_content"] for _ in range(8)}

    assert retrieved() == {rows(1, 90)}
    assert client.get(f"/v1/retrieve/{digests[1]}", headers={"x-api-key": "another"}).status_code == 404
    deployed.restart()
    assert retrieved() == {rows(1, 90)}
    assert client.post("/v1/compress", json=request).json()["messages"] == reply.json()["messages"]
    assert client.post("/v1/messages", json=asking(anthropic_turns(3, count=91))).status_code == 200
    assert_prefixes([request.body for request in provider.requests])


class Talk:
    """A client whose conversation grows by a tool result per turn, and who asks something new between the turns."""

    def __init__(self, url: str, number: int) -> None:
        self.opening = f"Conversation {number}: which node is busy?"
        self.statuses: set[int] = set()
        self.skipped: list[str] = []  # why what was new stayed as it came; empty when it was compressed
        self._url = url
        self._number = number

    def run(self, over: threading.Event) -> None:
        messages: list[dict[str, Any]] = [{"role": "user", "content": self.opening}]
        with httpx.Client(base_url=self._url, headers=KEY, timeout=60) as client:
            for turn in itertools.count():
                if over.is_set():
                    return
                messages += self._result(turn, rows(1_000_000 * self._number + turn))
                self._ask(client, messages)
                fresh = [{"role": "user", "content": "Something new."}, *self._result(turn, rows(-1_000_000 * self._number - turn - 1))]
                self.skipped.append(self._ask(client, fresh))

    def _ask(self, client: httpx.Client, messages: list[dict[str, Any]]) -> str:
        answer = client.post("/v1/messages", json=asking(messages))
        self.statuses.add(answer.status_code)
        return answer.headers.get("x-headroom-skip-reason", "")

    def _result(self, turn: int, content: str) -> list[dict[str, Any]]:
        call = f"toolu_{self._number}_{turn}"
        return [
            {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "list_nodes", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": content}]},
        ]


def test_killing_every_compressor_fails_no_request(hasty: Deployed, provider: Provider) -> None:
    talks, over = [Talk(hasty.url, number) for number in range(1, 4)], threading.Event()

    def skipped() -> list[str]:
        return [reason for talk in talks for reason in talk.skipped]

    with ThreadPoolExecutor(len(talks)) as threads:
        running = [threads.submit(talk.run, over) for talk in talks]
        try:
            provider.wait_until(lambda _: skipped().count("") >= 6)
            killed = hasty.kill("Compressor")
            provider.wait_until(lambda _: any(skipped()))
            provider.wait_until(lambda _: all(talk.skipped[-3:] == ["", "", ""] for talk in talks))
        finally:
            over.set()
        for done in running:
            done.result(WAIT_S)
    assert len(killed) == 2
    assert not killed & hasty.replicas("Compressor")
    assert {status for talk in talks for status in talk.statuses} == {200}
    assert {reason.removeprefix("compressor_") for reason in skipped()} - {""} <= set(REASONS)
    for talk in talks:
        bodies = [request.body for request in provider.requests if talk.opening.encode() in request.body]
        assert len(bodies) > 3
        assert_prefixes(bodies)


def test_clients_that_vanish_leave_no_request_open(deployed: Deployed, provider: Provider) -> None:
    provider.always = Script(hold_after=2)
    crowd = Crowd(deployed.url, provider, 60)
    for _ in range(3):
        crowd.come_and_vanish()
    provider.always = Script()
    assert httpx.post(f"{deployed.url}/v1/messages", json=asking(anthropic_turns(1)), headers=KEY, timeout=60).status_code == 200


def test_without_room_a_client_is_told_when_to_come_back(narrow: Deployed, provider: Provider) -> None:
    provider.always = Script(hold_after=0)
    with httpx.Client(base_url=narrow.url, headers=KEY, timeout=60) as client, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(client.post, "/v1/messages", json=asking(anthropic_turns(1))) for _ in range(8)]
        refused = next(done.result() for done in as_completed(asked))
        provider.always = Script()
        while wait(asked, timeout=0.1).not_done:
            provider.release()
        statuses = {done.result().status_code for done in asked}
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert statuses == {200, 503}

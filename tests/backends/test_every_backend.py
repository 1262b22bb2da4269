"""What holds with one's own API holds with every cloud: bytes, retrieval in the stream, usage, errors; and nothing goes elsewhere."""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx
import openai
import pytest

from headroom.ccr.marker import TOOL_NAME
from headroom.model import content_hash
from tests.backends.clouds import CLOUDS as ALONE
from tests.backends.clouds import PATHS, Cloud
from tests.backends.converse_api import Converse
from tests.provider import Provider, Script, stand_in
from tests.proxy.clients import CLIENTS, ON, Client
from tests.proxy.faces import HTTP, rows, stats_of
from tests.scripted import INPUT, OUTPUT, Say, Think, Use

CLOUDS = (*ALONE, Converse)
DATA = rows(7, 150)
HASH = content_hash(DATA)
ITEM = json.dumps(json.loads(DATA)[70])
TO_COUNT = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hello"}]}


def pairs() -> list[Any]:
    """Each cloud with each client that it understands, and the one that would speak as the cloud is spoken to: another, if translated."""
    found = []
    for cloud, client in itertools.product(CLOUDS, CLIENTS):
        if client.api.name in cloud.speaks:
            found.append(pytest.param(cloud, client, client, id=f"{cloud.__name__}-{client.api.name}"))
        elif client.api.name in cloud.translates:
            server = next(other for other in CLIENTS if other.api.name == cloud.speaks[0])
            found.append(pytest.param(cloud, client, server, id=f"{cloud.__name__}-{client.api.name}-translated"))
    return found


every = pytest.mark.parametrize(("behind", "client", "server"), pairs(), indirect=["behind"], scope="module")
every_cloud = pytest.mark.parametrize("behind", CLOUDS, indirect=True, ids=lambda cloud: cloud.__name__, scope="module")
native = [cloud for cloud in CLOUDS if "anthropic" in cloud.speaks]
streamed = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def billed(client: Client, server: Client) -> int:
    """The input tokens that a client is told: Anthropic counts those of its cache beside them, OpenAI among them."""
    read, written = 5, 3
    if client.api.name == "anthropic":
        return INPUT - (0 if server is client else read)
    return INPUT + (read + written if server.api.name == "anthropic" else 0)


@every
@streamed
def test_retrieval_in_the_answer(gateway: str, cloud: Cloud, provider: Provider, client: Client, server: Client, stream: bool) -> None:
    read = Use("r1", TOOL_NAME, json.dumps({"hash": HASH, "query": '"id": 1070'}))
    parts = (Say("Let me look. "), read), (Say("It is running."),)
    provider.script(*(server.api.script(*said, id=f"id_{number}", stream=stream) for number, said in enumerate(parts)))
    answer = client.ask(gateway, client.opening(DATA), stream)
    assert (answer.text, answer.calls, answer.stop) == ("Let me look. It is running.", [], client.ends["done"])
    assert answer.tokens == (2 * billed(client, server), 2 * OUTPUT)
    first, second = (request.json for request in provider.requests)
    assert first["model"] == cloud.model("m")
    assert server.tool_names(first) == ["look", TOOL_NAME]
    assert second[server.history][: len(first[server.history])] == first[server.history]
    assert ITEM in server.told(second)[-1][1]


@every
def test_a_prefix_stays_the_same_bytes(gateway: str, cloud: Cloud, provider: Provider, client: Client, server: Client) -> None:
    provider.always = server.api.script(Say("Fine."), stream=False)
    messages = client.opening(rows(21, 200))
    for turn in range(3):
        sent_back = client.ask(gateway, messages, False, {}).sent_back
        messages = [*messages, *sent_back, {"role": "user", "content": f"And {turn}?"}]
    bodies = [request.json[server.history] for request in provider.requests]
    assert len(json.dumps(bodies[0])) < len(rows(21, 200)) / 2
    for before, after in itertools.pairwise(bodies):
        assert json.dumps(after).startswith(json.dumps(before)[:-1])


@pytest.mark.parametrize("behind", native, indirect=True, ids=lambda cloud: cloud.__name__, scope="module")
@streamed
def test_nothing_of_a_body_is_lost(gateway: str, cloud: Cloud, provider: Provider, stream: bool) -> None:
    """Images, thinking, cache marks, odd numbers and fields nobody here knows: the cloud gets the very values."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1.50}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok"}, image], "is_error": True}
    body = {
        "model": "claude-sonnet-4-5-20250929",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"name": "look", "description": "l", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Ü"}, image | {"cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [thought, use]},
            {"role": "user", "content": [result]},
        ],
        "nobody_knows": [1e3, None, {"a": "😀"}],
        "stream": stream,
    }
    script = CLIENTS[0].api.script(Think("well"), Say("Done."), Use("t2", "look", '{"page": 2}'), stream=stream)
    provider.script(script)
    answer = HTTP.post(f"{gateway}/v1/messages", json=body, headers={"x-api-key": "client-key", "anthropic-version": "2023-06-01"})
    assert answer.status_code == 200
    assert provider.requests[0].json == body | {"model": cloud.model("claude-sonnet-4-5-20250929")}
    assert answer.content == (b"".join(script.events or ()) or script.body)
    sent = "".join(f"{name}: {value}\n" for name, value in cloud.arrived[0].headers) + cloud.arrived[0].target
    assert "client-key" not in sent


@every
@streamed
def test_sdks(gateway: str, cloud: Cloud, provider: Provider, client: Client, server: Client, stream: bool) -> None:
    """A tool call and its result, through the vendor's own client."""
    first = server.api.script(Say("Let me see. "), Use("c1", "look", '{"page": 2}'), id="a", stream=stream)
    provider.script(first, server.api.script(Say("Two."), id="b", stream=stream))
    messages = client.opening("data")
    answer = client.ask(gateway, messages, stream)
    assert (answer.text, answer.calls, answer.stop) == ("Let me see. ", [("c1", "look", {"page": 2})], client.ends["call"])
    again = client.ask(gateway, [*messages, *answer.sent_back, *client.results("c1")], stream)
    assert (again.text, again.stop, again.tokens) == ("Two.", client.ends["done"], (billed(client, server), OUTPUT))


@every
def test_errors_are_told_in_the_words_of_the_api(gateway: str, cloud: Cloud, provider: Provider, client: Client, server: Client) -> None:
    refused: Any = (anthropic.APIStatusError, openai.APIStatusError)
    for number, (status, stream) in enumerate(((400, False), (401, True), (403, False), (429, True), (529, True)), 1):
        provider.script(Script(status, (("retry-after", "7"),)))
        with pytest.raises(refused, match=cloud.error) as caught:
            client.ask(gateway, client.opening("x"), stream, {})
        assert caught.value.status_code == status
        assert caught.value.response.headers["retry-after"] == "7"
        told: Any = caught.value.response.json()
        assert told["error"]["message"]
        assert told["error"]["type"]
        assert len(cloud.arrived) == number


@every
def test_a_stream_that_breaks_off(gateway: str, cloud: Cloud, provider: Provider, client: Client, server: Client) -> None:
    provider.script(server.api.script(Say("Half a"), die_after=3))
    with pytest.raises(httpx.RemoteProtocolError):
        HTTP.post(f"{gateway}{PATHS[client.api.name]}", json=client.body("x"), headers=ON)


@every
@streamed
def test_usage_is_counted_and_priced(gateway: str, cloud: Cloud, provider: Provider, client: Client, server: Client, stream: bool) -> None:
    chat = {"vertex_ai": "gemini-2.5-pro", "bedrock": "amazon.nova-pro-v1:0"}.get(cloud.kind, "gpt-5")
    name = "claude-sonnet-4-5-20250929" if server.api.name == "anthropic" else chat
    before = stats_of(gateway, 0)
    provider.script(server.api.script(Say("Done."), stream=stream))
    client.ask(gateway, client.opening(f"data {stream}"), stream, {}, model=name)
    after = stats_of(gateway, before["requests"]["total"] + 1)
    assert after["tokens"]["output"] - before["tokens"]["output"] == OUTPUT
    assert after["requests"]["by_provider"].keys() == {cloud.kind}
    assert cloud.billed(name) in after["requests"]["by_model"]
    if cloud.kind != "openai_compatible":
        spent = after["summary"]["cost"]["with_headroom_usd"] - before["summary"]["cost"]["with_headroom_usd"]
        assert spent > 0


@every_cloud
def test_other_paths_go_there_or_nowhere(gateway: str, cloud: Cloud, provider: Provider) -> None:
    refused = [
        *(("GET", path) for path in ("/v1/files", "/v1/keys", "/v1/../admin", "/v1/organizations/api_keys", "/v1/embeddings")),
        *(("GET", f"/v1/models/{path}") for path in ("../files", "./x", "%2e%2e/files", "x%2f%2E.%2Ffiles", "..%5cfiles", "x/..")),
        *((method, "/v1/models/x") for method in ("DELETE", "POST", "PUT", "PATCH", "OPTIONS")),
        ("DELETE", "/v1/models/../files/file-1"),
        ("DELETE", "/v1/embeddings"),
        ("DELETE", "/v1/messages/count_tokens"),
        ("POST", "/v1/images/.."),
    ]
    for method, path in refused:
        as_it_is = {"target": path.encode()}  # httpx would resolve the dots
        answer = HTTP.request(method, gateway, json=TO_COUNT, headers={"x-api-key": "client-key"}, extensions=as_it_is)
        assert answer.status_code == 400, (method, path)
        assert "does not take" in answer.json()["error"]["message"]
        assert answer.json()["type"] == "error"  # as Anthropic says it, whose header the client sent
    assert cloud.arrived == []


@every
def test_nothing_follows_a_redirect(gateway: str, cloud: Cloud, provider: Provider, client: Client, server: Client) -> None:
    """Neither Headroom nor, told of it, the client, which would take its prompt there."""
    with stand_in() as elsewhere:
        for status in (302, 307):
            provider.script(Script(status, (("location", f"{elsewhere.url}{PATHS[client.api.name]}"),)))
            with pytest.raises((anthropic.APIStatusError, openai.APIStatusError), match="to ask elsewhere") as caught:
                client.ask(gateway, client.opening("x"), False, {})
            assert caught.value.status_code == 502
        assert elsewhere.requests == []


ELSEWHERE = "http://elsewhere.invalid"


@every
def test_no_request_names_a_host(behind: tuple[str, Cloud], provider: Provider, client: Client, server: Client) -> None:
    """Whatever it says of hosts in headers, path, query, model or fields of its own: it goes to the cloud, or is refused.

    Every look-up of another name fails the test (`conftest._nowhere_else`).
    """
    url, cloud = behind
    path = PATHS[client.api.name]
    provider.always = server.api.script(Say("Done."), stream=False)
    body = client.body("x", False)
    fields = {"api_base": ELSEWHERE, "base_url": ELSEWHERE, "custom_llm_provider": "openai", "api_key": "k", "azure_endpoint": ELSEWHERE}
    named = {"host": "elsewhere.invalid", "x-forwarded-host": "elsewhere.invalid", "forwarded": "host=elsewhere.invalid", **ON}
    tries = [
        HTTP.post(f"{url}{path}", json=body, headers=named),
        HTTP.post(f"{url}{path}?base_url={ELSEWHERE}&api-version={ELSEWHERE}", json=body),
        HTTP.post(f"{url}//elsewhere.invalid{path}", json=body),
        *(HTTP.post(f"{url}{path}", json=body | {name: value}) for name, value in fields.items()),
        *(HTTP.post(f"{url}{path}", json=body | {"model": name}) for name in (ELSEWHERE, "x@elsewhere.invalid", "../../x", "//x.invalid")),
    ]
    assert {answer.status_code for answer in tries} <= {200, 400, 404}
    assert tries[0].status_code == 200
    assert all(request.header("host") == [urlsplit(cloud.url).netloc] for request in cloud.arrived)

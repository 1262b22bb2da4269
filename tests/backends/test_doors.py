"""The clouds' own SDKs, pointed at Headroom: their paths and streams, over every backend that speaks Messages or Chat."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headroom.backends.eventstream import EVENT_STREAM, Frames
from headroom.ccr.marker import TOOL_NAME
from headroom.model import content_hash
from tests.backends.clouds import Azure, Bedrock, Cloud, OpenRouter, VertexAI
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.clients import ANTHROPIC_HTTP, OPENAI_HTTP, Gpt
from tests.proxy.clients import Claude as Talk
from tests.proxy.faces import HTTP, rows, serving, settings_for
from tests.proxy.memory import Memory
from tests.scripted import INPUT, OUTPUT, Say, Think, Use

DATA = rows(7, 150)
HASH = content_hash(DATA)
MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
TALK, GPT = Talk(), Gpt()


def bedrock(url: str) -> Any:
    keys = {"aws_access_key": "CLIENTKEY", "aws_secret_key": "client-secret", "aws_region": "eu-west-1", "http_client": ANTHROPIC_HTTP}
    return anthropic.AnthropicBedrock(base_url=url, max_retries=0, timeout=WAIT_S, **keys)  # type: ignore[arg-type]


def vertex(url: str) -> Any:
    place = {"project_id": "theirs", "region": "europe-west1", "access_token": "client-token", "http_client": ANTHROPIC_HTTP}
    return anthropic.AnthropicVertex(base_url=f"{url}/v1", max_retries=0, timeout=WAIT_S, **place)  # type: ignore[arg-type]


over = pytest.mark.parametrize("behind", [Bedrock, VertexAI, OpenRouter], indirect=True, ids=lambda cloud: cloud.__name__, scope="module")
sdks = pytest.mark.parametrize("sdk", [bedrock, vertex])
streamed = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def ask(client: Any, stream: bool, **more: Any) -> Any:
    body = {"model": MODEL, "max_tokens": 64, "messages": TALK.opening(DATA), "tools": TALK.tools} | more
    if not stream:
        return client.messages.create(**body)
    with client.messages.stream(**body) as events:
        return events.get_final_message()


@over
@sdks
@streamed
def test_claude(gateway: str, cloud: Cloud, provider: Provider, sdk: Any, stream: bool) -> None:
    """Compressed on the way, read back in the answer, thinking and a tool call in it."""
    read = Use("r1", TOOL_NAME, json.dumps({"hash": HASH, "query": '"id": 1070'}))
    last = (Think("hm"), Say("It runs."), Use("c1", "look", '{"page": 2}'))
    provider.script(TALK.api.script(Say("Let me look. "), read, id="a", stream=stream), TALK.api.script(*last, id="b", stream=stream))
    message = ask(sdk(gateway), stream, extra_headers={"x-headroom-ccr": "on", "anthropic-beta": "b-1,b-2"})
    assert [block.type for block in message.content] == ["text", "thinking", "text", "tool_use"]
    assert message.content[3].input == {"page": 2}
    assert (message.usage.input_tokens, message.usage.output_tokens) == (2 * INPUT, 2 * OUTPUT)
    first, second = (request.json for request in provider.requests)
    assert first["model"] == cloud.model(MODEL)
    assert len(json.dumps(first)) < len(DATA) / 2
    assert "1070" in json.dumps(second["messages"][-1])
    betas = [value for value in cloud.arrived[0].header("anthropic-beta") if value] or [",".join(first["anthropic_beta"])]
    assert betas == ["b-1,b-2"]
    sent = json.dumps(cloud.arrived[0].headers)
    assert "CLIENTKEY" not in sent
    assert "client-token" not in sent


@over
@sdks
@pytest.mark.parametrize(("status", "stream"), [(403, False), (429, True)])
def test_errors(gateway: str, cloud: Cloud, provider: Provider, sdk: Any, status: int, stream: bool) -> None:
    provider.script(Script(status))
    with pytest.raises(anthropic.APIStatusError, match=f"stand-in says {status}") as caught:
        ask(sdk(gateway), stream)
    assert caught.value.status_code == status


@pytest.mark.parametrize("behind", [VertexAI], indirect=True, scope="module")
def test_counting(gateway: str, cloud: Cloud, provider: Provider) -> None:
    counted = vertex(gateway).messages.count_tokens(model="claude-sonnet-4-5", messages=[{"role": "user", "content": "hello"}])
    assert counted.input_tokens > 0
    assert provider.requests[0].json["model"] == "claude-sonnet-4-5"


@pytest.mark.parametrize("behind", [Azure, OpenRouter], indirect=True, ids=lambda cloud: cloud.__name__, scope="module")
@streamed
@pytest.mark.parametrize("deployment", [None, "gpt-5"])
def test_azure(gateway: str, cloud: Cloud, provider: Provider, stream: bool, deployment: str | None) -> None:
    client = openai.AzureOpenAI(
        azure_endpoint=gateway,
        azure_deployment=deployment,
        api_version="2024-10-21",
        api_key="client-key",
        max_retries=0,
        timeout=WAIT_S,
        http_client=OPENAI_HTTP,
    )
    provider.script(GPT.api.script(Say("Two."), Use("c1", "look", '{"page": 2}'), stream=stream))
    body: Any = {"model": "gpt-5", "messages": GPT.opening(DATA), "tools": GPT.tools}
    if stream:
        with client.chat.completions.stream(**body, stream_options={"include_usage": True}) as events:
            done = events.get_final_completion()
    else:
        done = client.chat.completions.create(**body)
    assert done.choices[0].message.content == "Two."
    assert done.choices[0].message.tool_calls[0].function.name == "look"  # type: ignore[index,union-attr]
    assert provider.requests[0].json["model"] == cloud.model("gpt-5")
    assert len(provider.requests[0].body) < len(DATA) / 2
    assert "client-key" not in json.dumps(cloud.arrived[0].headers)


@pytest.fixture
def messages(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A proxy in front of Anthropic's own API, whose headers arrive as they are."""
    monkeypatch.setenv("OUR_ANTHROPIC_KEY", "sk-ant-ours")
    backends = {"named": {"own": {"kind": "anthropic", "url": provider.url, "key": "OUR_ANTHROPIC_KEY"}}, "use": "own"}
    with serving(settings_for(provider, tmp_path, backends=backends)) as url:
        yield url


@pytest.mark.parametrize("ccr", ["on", "off"])
def test_a_stream_with_a_length(messages: str, provider: Provider, ccr: str) -> None:
    """The length is that of the provider's bytes; as an event stream of AWS the answer is longer."""
    script = TALK.api.script(Say("It runs."))
    provider.script(dataclasses.replace(script, headers=(("content-length", str(sum(map(len, script.events or ())))),)))
    message = ask(bedrock(messages), True, extra_headers={"x-headroom-ccr": ccr})
    assert [block.text for block in message.content] == ["It runs."]


@pytest.mark.parametrize("ccr", ["on", "off"])
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_a_stream_is_framed_without_an_encoding(messages: str, provider: Provider, ccr: str, gzip: bool) -> None:
    provider.script(TALK.api.script(Say("It runs."), gzip=gzip))
    message = ask(bedrock(messages), True, extra_headers={"x-headroom-ccr": ccr, "accept-encoding": "gzip"})
    assert [block.text for block in message.content] == ["It runs."]
    assert provider.requests[0].header("accept-encoding") == ["identity"]


STREAMING = "/model/m/invoke-with-response-stream"
HELLO = {"max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


def test_a_stream_in_an_unknown_encoding_stays_as_it_is(messages: str, provider: Provider) -> None:
    script = TALK.api.script(Say("It runs."), headers=(("content-encoding", "compress"),))
    provider.script(script)
    answer = HTTP.post(f"{messages}{STREAMING}", json=HELLO)
    assert answer.content == b"".join(script.events or ())
    assert answer.headers["content-encoding"] == "compress"
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_stream_that_its_encoding_does_not_fit_breaks_off(messages: str, provider: Provider) -> None:
    provider.script(TALK.api.script(Say("It runs."), headers=(("content-encoding", "gzip"),)))
    with pytest.raises(httpx.RemoteProtocolError):
        HTTP.post(f"{messages}{STREAMING}", json=HELLO)


@pytest.mark.parametrize("ending", [b"\n\n", b"\n", b""], ids=["whole", "one line end", "none"])
def test_a_stream_of_no_named_kind_is_framed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: bytes) -> None:
    monkeypatch.setenv("OUR_ANTHROPIC_KEY", "sk-ant-ours")
    memory = Memory(tmp_path, backends={"use": "anthropic", "key": "OUR_ANTHROPIC_KEY"})
    memory.provider.headers, memory.provider.pieces = {}, (b'data: {"type": "ping"}\n\ndata: {"type": "message_stop"}' + ending,)
    answer = memory.ask(STREAMING, json.dumps(HELLO).encode())
    memory.close()
    assert answer.headers["content-type"] == EVENT_STREAM
    told = [base64.b64decode(json.loads(payload)["bytes"]) for _, _, payload in Frames().feed(answer.body)]
    assert told == [b'{"type": "ping"}', b'{"type": "message_stop"}']


@pytest.fixture
def without(provider: Provider, tmp_path: Path) -> Iterator[str]:
    with serving(settings_for(provider, tmp_path)) as url:
        yield url


PATHS = (
    "/model/m/invoke",
    "/model/m/invoke-with-response-stream",
    "/v1/projects/p/locations/r/publishers/anthropic/models/m:rawPredict",
    "/v1/projects/p/locations/r/publishers/anthropic/models/count-tokens:rawPredict",
    "/openai/deployments/d/chat/completions",
    "/openai/v1/responses",
)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_backend_it_goes_nowhere(without: str, provider: Provider, path: str) -> None:
    """Least of all to Anthropic or OpenAI, which answer at `provider`."""
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], "input": "hello"}
    answer = HTTP.post(f"{without}{path}", json=body)
    assert answer.status_code == 400
    assert "no backend is set" in answer.json()["error"]["message"]
    assert provider.requests == []

"""The vendors' own clients through the proxy: unchanged code, the provider's own answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from headroom.ccr import marker
from tests.provider import Provider, Script
from tests.proxy.faces import anthropic_turns, asking, body_of, openai_turns

TOOLS: dict[str, Any] = {
    "anthropic": [{"name": "list_nodes", "description": "lists", "input_schema": {"type": "object", "properties": {}}}],
    "openai": [{"type": "function", "function": {"name": "list_nodes", "parameters": {"type": "object", "properties": {}}}}],
    "responses": [
        {"type": "function", "name": "list_nodes", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {"type": "custom", "name": "free_form"},
    ],
}
CALLING = {"role": "user", "content": "please use list_nodes"}
ANSWER = "The stand-in read 7 messages."


def claude(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="key-a", max_retries=0)


def gpt(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="key-o", max_retries=0)


@pytest.fixture
def compressed(provider: Provider) -> Iterator[Provider]:
    """Checks that what was forwarded is smaller than what was asked."""
    yield provider
    assert all(list(marker.hashes(request.body.decode())) for request in provider.requests)


def test_anthropic_plain(proxy: str, compressed: Provider) -> None:
    raw = claude(proxy).messages.with_raw_response.create(**asking(anthropic_turns(2)))
    message = raw.parse()
    assert message.content[0].text == ANSWER
    assert message.usage.cache_read_input_tokens == 5
    assert int(raw.headers["x-headroom-tokens-saved"]) > 0
    assert compressed.requests[0].header("authorization") == ["Bearer key-a"]


def test_anthropic_stream(proxy: str, compressed: Provider) -> None:
    compressed.script(Script(unknown_event=True))
    with claude(proxy).messages.stream(**asking(anthropic_turns(2))) as stream:
        assert "".join(stream.text_stream) == ANSWER
        assert stream.get_final_message().usage.output_tokens == 7


def test_anthropic_async_stream(proxy: str, compressed: Provider) -> None:
    async def ask() -> str:
        client = anthropic.AsyncAnthropic(base_url=proxy, api_key="k", max_retries=0)
        async with client, client.messages.stream(**asking(anthropic_turns(2))) as stream:
            return (await stream.get_final_message()).content[0].text

    assert asyncio.run(ask()) == ANSWER


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_tools(proxy: str, provider: Provider, stream: bool) -> None:
    client, request = claude(proxy), asking([CALLING], tools=TOOLS["anthropic"])
    if stream:
        with client.messages.stream(**request) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**request)
    (block,) = message.content
    assert (message.stop_reason, block.name, block.input) == ("tool_use", "list_nodes", {"query": "needle"})


def test_openai_plain(proxy: str, compressed: Provider) -> None:
    raw = gpt(proxy).chat.completions.with_raw_response.create(**asking(openai_turns(2)))
    completion = raw.parse()
    assert completion.choices[0].message.content == ANSWER
    assert completion.usage.prompt_tokens_details.cached_tokens == 5
    assert int(raw.headers["x-headroom-tokens-saved"]) > 0
    assert compressed.requests[0].header("authorization") == ["Bearer key-o"]


def test_openai_stream(proxy: str, compressed: Provider) -> None:
    request = asking(openai_turns(2), stream=True, stream_options={"include_usage": True})
    chunks = list(gpt(proxy).chat.completions.create(**request))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert chunks[-1].usage.completion_tokens == 7


def test_openai_async(proxy: str, compressed: Provider) -> None:
    async def ask() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{proxy}/v1", api_key="k", max_retries=0) as client:
            whole = await client.chat.completions.create(**asking(openai_turns(2)))
            stream = await client.chat.completions.create(**asking(openai_turns(2), stream=True))
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content, "".join(parts)

    assert asyncio.run(ask()) == (ANSWER, ANSWER)


@pytest.mark.parametrize("stream", [False, True])
def test_openai_tools(proxy: str, provider: Provider, stream: bool) -> None:
    request = asking([CALLING], tools=TOOLS["openai"], stream=stream)
    answer = gpt(proxy).chat.completions.create(**request)
    if stream:
        calls = [call for chunk in answer for call in chunk.choices[0].delta.tool_calls or ()]
        arguments = "".join(call.function.arguments or "" for call in calls)
    else:
        (call,) = answer.choices[0].message.tool_calls
        calls, arguments = [call], call.function.arguments
    assert (calls[0].function.name, arguments) == ("list_nodes", '{"query": "needle"}')


READ = "The stand-in read 9 items."


def test_responses_plain(proxy: str, compressed: Provider) -> None:
    raw = gpt(proxy).responses.with_raw_response.create(**body_of("/v1/responses", 2))
    response = raw.parse()
    assert response.output_text == READ
    assert response.output[0].encrypted_content == "gAAAA_stand-in"
    assert response.usage.input_tokens_details.cached_tokens == 5
    assert int(raw.headers["x-headroom-tokens-saved"]) > 0
    assert compressed.requests[0].header("authorization") == ["Bearer key-o"]


def test_responses_stream(proxy: str, compressed: Provider) -> None:
    compressed.script(Script(unknown_event=True))
    with gpt(proxy).responses.stream(**body_of("/v1/responses", 2)) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == READ
    assert final.usage.output_tokens == 7


def test_responses_async_stream(proxy: str, compressed: Provider) -> None:
    async def ask() -> str:
        client = openai.AsyncOpenAI(base_url=f"{proxy}/v1", api_key="k", max_retries=0)
        async with client, client.responses.stream(**body_of("/v1/responses", 2)) as stream:
            return (await stream.get_final_response()).output_text

    assert asyncio.run(ask()) == READ


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tool", ["list_nodes", "free_form"])
def test_responses_tools(proxy: str, provider: Provider, stream: bool, tool: str) -> None:
    client, request = gpt(proxy), {"model": "m", "input": f"please use {tool}", "tools": TOOLS["responses"]}
    if stream:
        with client.responses.stream(**request) as events:
            response = events.get_final_response()
    else:
        response = client.responses.create(**request)
    _, call = response.output
    assert call.name == tool
    assert (call.input if tool == "free_form" else call.arguments) == ("needle" if tool == "free_form" else '{"query": "needle"}')


def test_what_else_responses_offers_passes_through(proxy: str, provider: Provider) -> None:
    client = gpt(proxy)
    client.responses.retrieve("resp_1")
    client.responses.cancel("resp_1")
    client.responses.input_items.list("resp_1")
    client.responses.delete("resp_1")
    client.responses.compact(**body_of("/v1/responses", 2))
    seen = [(request.method, request.target) for request in provider.requests]
    assert seen == [
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/compact"),
    ]
    assert provider.requests[-1].json == body_of("/v1/responses", 2)


@pytest.mark.parametrize(("status", "expected"), [(429, openai.RateLimitError), (500, openai.InternalServerError)])
def test_errors_are_the_sdks_own(proxy: str, provider: Provider, status: int, expected: type[openai.APIStatusError]) -> None:
    provider.script(Script(status, (("retry-after", "7"),)))
    with pytest.raises(expected) as caught:
        gpt(proxy).chat.completions.create(**asking(openai_turns(1)))
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.body["message"] == f"stand-in says {status}"


def test_models_and_counting_pass_through(proxy: str, provider: Provider) -> None:
    assert [model.id for model in gpt(proxy).models.list()] == ["stand-in"]
    assert claude(proxy).messages.count_tokens(model="m", messages=anthropic_turns(1)).input_tokens > 0
    assert [request.target for request in provider.requests] == ["/v1/models", "/v1/messages/count_tokens"]

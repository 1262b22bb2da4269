"""The stand-in provider itself, asked directly with the SDKs that it imitates an API for."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.provider import Provider, Script, refusing_url

TOOL: Any = {"name": "lookup", "description": "finds", "input_schema": {"type": "object", "properties": {}}}
FUNCTION: Any = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}


def test_it_speaks_both_apis(provider: Provider) -> None:
    claude = anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0)
    asked: Any = [{"role": "user", "content": "use lookup please"}]
    message = claude.messages.create(model="m", max_tokens=9, messages=asked, tools=[TOOL])
    assert message.stop_reason == "tool_use"
    provider.script(Script(unknown_event=True))
    with claude.messages.stream(model="m", max_tokens=9, messages=asked, tools=[TOOL]) as stream:
        assert stream.get_final_message().content[0].input == {"query": "needle"}  # type: ignore[union-attr]
    gpt = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
    events = gpt.chat.completions.create(
        model="m",
        messages=asked,
        tools=[FUNCTION],
        stream=True,
        stream_options={"include_usage": True},
    )
    assert [event.usage.total_tokens for event in events if event.usage] == [18]
    assert [request.target for request in provider.requests] == ["/v1/messages", "/v1/messages", "/v1/chat/completions"]


def test_faults(provider: Provider) -> None:
    provider.script(Script(429, (("retry-after", "7"),)), Script(gzip=True), Script(die_after=2))
    ask = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    limited = httpx.post(f"{provider.url}/v1/messages", json=ask)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert httpx.post(f"{provider.url}/v1/messages", json=ask).json()["usage"]["output_tokens"] == 7
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{provider.url}/v1/messages", json={**ask, "stream": True})
    with pytest.raises(httpx.ConnectError):
        httpx.get(refusing_url())


def test_it_notices_a_client_that_goes_away(provider: Provider) -> None:
    provider.script(Script(hold_after=3))
    ask = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with httpx.stream("POST", f"{provider.url}/v1/messages", json=ask) as response:
        chunks = response.iter_raw()
        next(chunks)
        assert provider.open == 1
    provider.wait_until(lambda seen: seen.open == 0)
    assert provider.abandoned == 1

"""Chat Completions over Converse: what each part of a request becomes, and what is refused because Converse cannot say it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.backends import Broken, converse
from headroom.backends.converse_stream import ConverseStream
from headroom.errors import InvalidRequest
from tests.backends.clouds import exception, frame

PNG = "iVBORw0KGgo="


def test_every_part_of_a_request() -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    use = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}
    marked = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [marked, image]},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [use, use | {"id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "And?"},
        ],
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "max_completion_tokens": 9,
        "temperature": 0,
        "stop": "END",
        "user": "u",
    }
    point = {"cachePoint": {"type": "default"}}
    uses = [{"toolUse": {"toolUseId": id, "name": "look", "input": {"x": 1}}} for id in ("c1", "c2")]
    results = [{"toolResult": {"toolUseId": id, "content": [{"text": text}]}} for id, text in (("c1", "one"), ("c2", "two"))]
    assert converse.request(body) == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Long."}, point, {"image": {"format": "png", "source": {"bytes": PNG}}}]},
            {"role": "assistant", "content": [{"text": "Let me look."}, *uses]},
            {"role": "user", "content": [*results, {"text": "And?"}]},
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}, "description": "d"}}],
            "toolChoice": {"tool": {"name": "look"}},
        },
    }


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"n": 2}, "n:"),
        ({"response_format": {"type": "json_object"}}, "response_format:"),
        ({"logprobs": True}, "logprobs:"),
        ({"nobody_knows": 1}, "nobody_knows:"),
        ({"tools": [{"type": "custom"}]}, "functions only"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"}, "cannot forbid"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}, "fetches nothing"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
    ],
)
def test_what_it_cannot_say_is_refused(more: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        converse.request({"model": "m", "messages": [{"role": "user", "content": "hello"}]} | more)


def event(name: str, **told: Any) -> bytes:
    return frame({":event-type": name, ":message-type": "event"}, json.dumps(told).encode())


def spoken(*frames: bytes) -> list[Any]:
    reader = ConverseStream("m", usage_asked=False)
    lines = (reader.feed(b"".join(frames)) + reader.end()).decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def test_thinking_and_usage() -> None:
    thought = event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "hm"}})
    usage = {"inputTokens": 10, "outputTokens": 2, "totalTokens": 12, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 3}
    start, stop = event("messageStart", role="assistant"), event("messageStop", stopReason="max_tokens")
    chunks = spoken(start, thought, stop, event("metadata", usage=usage))
    assert chunks[1]["choices"][0]["delta"] == {"reasoning_content": "hm"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert (chunks[-1]["usage"]["prompt_tokens"], chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"]) == (18, 5)


def test_throttled_in_the_middle() -> None:
    told = spoken(event("messageStart", role="assistant"), exception("throttlingException", "Too many tokens."))
    assert told[-1]["error"]["type"] == "rate_limit_error"
    assert told[-1]["error"]["message"] == "Too many tokens."


def test_an_end_before_the_end() -> None:
    with pytest.raises(Broken):
        spoken(event("messageStart", role="assistant"))

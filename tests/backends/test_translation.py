"""What survives where a client's API is not the backend's: texts, tools and their results, images, usage, ends and errors; and what is
refused because it would not. The conversations of `test_every_backend` take the same ways.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headroom.backends import open_backend
from headroom.backends.base import CHAT, MESSAGES, RESPONSES, Ask
from headroom.backends.translation import translated, way
from headroom.errors import InvalidRequest, SettingsError
from headroom.proxy.routing import Backends
from headroom.settings import BackendSpec, Settings
from tests.backends.clouds import ChatOnly, Cloud, MessagesOnly
from tests.provider import Provider, Script
from tests.proxy.clients import CLIENTS, Claude, Client, Codex, Gpt
from tests.proxy.faces import HTTP, serving, settings_for, stats_of
from tests.proxy.test_streams import ENCODERS
from tests.scripted import INPUT, Anthropic, Chat, Say, Think, Use

PNG = "iVBORw0KGgo="
URL = f"data:image/png;base64,{PNG}"
LOOK = {"name": "look", "description": "l", "parameters": {"type": "object", "properties": {}}}
CLAUDE, GPT, CODEX = Claude(), Gpt(), Codex()
chat_only = pytest.mark.parametrize("behind", [ChatOnly], indirect=True, scope="module")
messages_only = pytest.mark.parametrize("behind", [MessagesOnly], indirect=True, scope="module")
streamed = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
PATHS = {MESSAGES: b"/v1/messages", CHAT: b"/v1/chat/completions", RESPONSES: b"/v1/responses"}


def asked(dialect: str, body: dict[str, Any], speaks: str) -> dict[str, Any]:
    """The body that arrives at a backend that speaks only `speaks`."""
    kind = "anthropic" if speaks == "messages" else "openai_compatible"
    os.environ["TRANSLATED_KEY"] = "k"
    backend = open_backend("b", BackendSpec(kind=kind, url="http://h", key="TRANSLATED_KEY", speaks=(speaks,)))  # type: ignore[arg-type]
    ask = Ask(dialect, "POST", PATHS[dialect], b"", [], json.dumps(body).encode(), body["model"], body.get("stream", False))
    made = translated(ask, backend)
    assert made is not None
    assert isinstance(made.ask.body, bytes)
    found: dict[str, Any] = json.loads(made.ask.body)
    return found


def test_a_conversation_of_messages_in_chat() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    paper = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1.5}}
    results = [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok"}, picture]}]
    body = {
        "model": "m",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"name": "look", "description": "l", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_k": 3,
        "stream": True,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Ü"}, picture, paper]},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "So."}, use]},
            {"role": "user", "content": [*results, {"type": "text", "text": "And?"}]},
        ],
    }
    found = asked(MESSAGES, body, "chat")
    shown = {"type": "image_url", "image_url": {"url": URL}}
    file = {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"x": 1.5}'}}
    assert found.pop("messages") == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "Ü"}, shown, file]},
        {"role": "assistant", "content": "So.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "From the result of t1:"}, shown, {"type": "text", "text": "And?"}]},
    ]
    assert found == {
        "model": "m",
        "max_tokens": 100,
        "tools": [{"type": "function", "function": {"name": "look", "description": "l", "parameters": {"type": "object"}}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_conversation_of_chat_in_messages() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"x": 1.5}'}}
    picture = {"type": "image_url", "image_url": {"url": URL}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.invalid/a.png"}}
    body = {
        "model": "claude-sonnet-4-5",
        "max_completion_tokens": 100,
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "l", "parameters": {"type": "object", "properties": {}}}}
        ],
        "tool_choice": "required",
        "stop": "END",
        "temperature": 0.5,
        "reasoning_effort": "high",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Ü"}, picture, linked]},
            {"role": "assistant", "content": "So.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "ok"}, picture]},
            {"role": "user", "content": "And?"},
        ],
    }
    found = asked(CHAT, body, "messages")
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    link = {"type": "image", "source": {"type": "url", "url": "https://example.invalid/a.png"}}
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1.5}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok"}, image]}
    assert found.pop("messages") == [
        {"role": "user", "content": [{"type": "text", "text": "Ü"}, image, link]},
        {"role": "assistant", "content": [{"type": "text", "text": "So."}, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
    ]
    assert [tool["name"] for tool in found.pop("tools")] == ["look"]
    assert found == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief."}],
        "tool_choice": {"type": "any"},
        "stop_sequences": ["END"],
        "temperature": 0.5,
    }


def test_a_conversation_of_responses_in_chat_and_messages() -> None:
    body = {
        "model": "m",
        "instructions": "Be brief.",
        "max_output_tokens": 100,
        "reasoning": {"effort": "high"},
        "tools": [
            {"type": "function", "name": "look", "description": "l", "parameters": {"type": "object", "properties": {}}, "strict": False}
        ],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Ü"}, {"type": "input_image", "image_url": URL}]},
            {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
            {"type": "function_call", "call_id": "t1", "name": "look", "arguments": '{"x": 1.5}'},
            {"type": "function_call_output", "call_id": "t1", "output": "ok"},
            {"role": "user", "content": "And?"},
        ],
    }
    found = asked(RESPONSES, body, "chat")
    assert [message["role"] for message in found["messages"]] == ["system", "user", "assistant", "tool", "user"]
    said = json.dumps(found["messages"], ensure_ascii=False)
    assert [word in said for word in ("Be brief.", "Ü", URL, '{\\"x\\": 1.5}', "ok", "And?", "hm")] == [True] * 6 + [False]
    assert (found["max_tokens"], found["tools"][0]["function"]["name"]) == (100, "look")
    twice = asked(RESPONSES, body, "messages")
    assert [message["role"] for message in twice["messages"]] == ["user", "assistant", "user"]
    assert twice["messages"][1]["content"] == [{"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1.5}}]
    assert PNG in json.dumps(twice["messages"][0])


@pytest.mark.parametrize("said", [{"content": None, "refusal": "I won't."}, {"content": [{"type": "refusal", "refusal": "I won't."}]}])
def test_a_refusal_of_an_earlier_turn_is_what_was_said(said: dict[str, Any]) -> None:
    ask = {"role": "user", "content": "Do it."}
    messages = asked(CHAT, {"model": "m", "messages": [ask, {"role": "assistant", **said}, ask]}, "messages")["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == [{"type": "text", "text": "I won't."}]


def test_a_refusal_of_an_earlier_response_is_what_was_said() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I won't."}]}
    messages = asked(RESPONSES, {"model": "m", "input": [{"role": "user", "content": "Do it."}, said]}, "chat")["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert "I won't." in json.dumps(messages[1]["content"])


PDF = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}


@pytest.mark.parametrize(
    ("client", "more", "named"),
    [
        (CLAUDE, {"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        (CLAUDE, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
        (CLAUDE, {"messages": [{"role": "user", "content": [PDF]}]}, "document of text"),
        (CLAUDE, {"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "search_result"),
        (GPT, {"n": 2}, "'n'"),
        (GPT, {"logprobs": True}, "logprobs"),
        (GPT, {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        (GPT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x"}}]}]}, "an image"),
        (
            GPT,
            {"messages": [{"role": "tool", "tool_call_id": "a", "content": [{"type": "image_url", "image_url": "https://h/x"}]}]},
            "image",
        ),
        (GPT, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "a file"),
        (GPT, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "https://h/x.pdf"}}]}]}, "a file"),
        (GPT, {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}]}, "a custom tool"),
        (GPT, {"messages": [{"role": "assistant", "content": None, "audio": {"id": "a"}}]}, "audio"),
        (CODEX, {"previous_response_id": "r1"}, "previous_response_id"),
        (CODEX, {"tools": [{"type": "file_search"}]}, "file_search"),
        (CODEX, {"input": [{"type": "item_reference", "id": "x"}]}, "item_reference"),
    ],
)
def test_what_would_be_lost_is_refused_by_name(client: Client, more: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        asked(client.api.name, client.body("x") | more, "messages" if client is GPT else "chat")


@chat_only
@streamed
@pytest.mark.parametrize(("end", "told"), [("length", "max_tokens"), ("content_filter", "refusal"), ("stop", "end_turn")])
def test_ends_of_chat_for_claude(gateway: str, cloud: Cloud, provider: Provider, stream: bool, end: str, told: str) -> None:
    provider.script(Chat().script(Say("Half a"), stream=stream, stop=end))
    answer = CLAUDE.ask(gateway, CLAUDE.opening("x"), stream, {})
    assert (answer.text, answer.stop) == ("Half a", told)


@messages_only
@streamed
@pytest.mark.parametrize(("end", "told"), [("max_tokens", "length"), ("refusal", "content_filter"), ("stop_sequence", "stop")])
def test_ends_of_messages_for_openai(gateway: str, cloud: Cloud, provider: Provider, stream: bool, end: str, told: str) -> None:
    provider.script(Anthropic().script(Think("hm"), Say("Half a"), stream=stream, stop=end))
    body = GPT.body("x", stream) | {"stream_options": {"include_usage": True}}
    raw = HTTP.post(f"{gateway}/v1/chat/completions", json=body, headers={"authorization": "Bearer k"})
    assert told in raw.text
    assert '"reasoning_content":"h' in raw.text
    assert raw.headers["x-headroom-translated"] == "openai>anthropic"
    assert "Bearer k" not in json.dumps(cloud.arrived[0].headers)


@messages_only
@streamed
def test_ends_of_messages_for_codex(gateway: str, cloud: Cloud, provider: Provider, stream: bool) -> None:
    """Two translations, one behind the other."""
    provider.script(Anthropic().script(Say("Half a"), stream=stream, stop="max_tokens"))
    answer = CODEX.ask(gateway, CODEX.opening("x"), stream, {})
    assert (answer.text, answer.stop, answer.tokens[0]) == ("Half a", "incomplete", INPUT + 8)


@chat_only
@streamed
def test_calls_beside_each_other(gateway: str, cloud: Cloud, provider: Provider, stream: bool) -> None:
    provider.script(Chat().script(Say("Both."), Use("c1", "look", '{"page": 1}'), Use("c2", "look", '{"page": 2}'), stream=stream))
    answer = CLAUDE.ask(gateway, CLAUDE.opening("x"), stream, {})
    assert answer.calls == [("c1", "look", {"page": 1}), ("c2", "look", {"page": 2})]
    assert (answer.text, answer.stop) == ("Both.", "tool_use")


BREAKS: list[Any] = [
    pytest.param(ChatOnly, CLAUDE, b'data: {"error":{"message":"too much","type":"rate_limit_error"}}\n\n', id="messages"),
    pytest.param(ChatOnly, CODEX, b'data: {"error":{"message":"too much","type":"rate_limit_error"}}\n\n', id="responses"),
    pytest.param(
        MessagesOnly,
        GPT,
        b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"too much"}}\n\n',
        id="chat",
    ),
]


@pytest.mark.parametrize(("behind", "client", "error"), BREAKS, indirect=["behind"], scope="module")
def test_an_error_inside_a_stream(gateway: str, cloud: Cloud, provider: Provider, client: Client, error: bytes) -> None:
    """Is told in the client's words, and never as an end."""
    api = Anthropic() if isinstance(cloud, MessagesOnly) else Chat()
    whole = api.script(Say("Half an answer"))
    provider.script(Script(events=(*(whole.events or ())[:3], error)))
    with pytest.raises((anthropic.APIStatusError, openai.APIError, AssertionError), match=r"too much|error"):
        client.ask(gateway, client.opening("x"), True, {})
    provider.script(Script(events=(*(whole.events or ())[:3], error)))
    raw = HTTP.post(f"{gateway}{PATHS[client.api.name].decode()}", json=client.body("x"))
    assert "too much" in raw.text
    assert not any(end in raw.text for end in ("message_stop", "[DONE]", "response.completed"))


@chat_only
def test_an_end_before_the_end_is_no_end(gateway: str, cloud: Cloud, provider: Provider) -> None:
    provider.script(Script(events=(Chat().script(Say("Half an answer")).events or ())[:3]))
    with pytest.raises(Exception, match=r"incomplete chunked read|peer closed"):
        HTTP.post(f"{gateway}/v1/messages", json=CLAUDE.body("x"))


WAYS: list[Any] = [(ChatOnly, CLAUDE), (ChatOnly, CODEX), (MessagesOnly, GPT), (MessagesOnly, CODEX)]


@pytest.mark.parametrize(("behind", "client"), WAYS, indirect=["behind"], scope="module", ids=lambda one: getattr(one, "__name__", ""))
def test_an_end_before_that_of_its_encoding_is_no_end(gateway: str, cloud: Cloud, provider: Provider, client: Client) -> None:
    """Whatever was said before; the whole stream of an API stands in what came."""
    api = Anthropic() if isinstance(cloud, MessagesOnly) else Chat()
    pieces = ENCODERS["gzip"](api.script(Say("It is long. " * 50)).events or ())
    for events, whole in ((pieces, True), (pieces[:-1], False)):
        provider.script(Script(events=tuple(events), headers=(("content-encoding", "gzip"),)))
        before = stats_of(gateway, 0)["requests"]["total"]
        with nullcontext() if whole else pytest.raises(httpx.RemoteProtocolError):
            HTTP.post(f"{gateway}{PATHS[client.api.name].decode()}", json=client.body("x"))
        row = stats_of(gateway, before + 1)["recent_requests"][0]
        assert (not row["error"]) == whole, row["error"]


@chat_only
@pytest.mark.parametrize("body", [b"no json", b'{"choices": []}', b'{"choices": 7}'])
def test_an_answer_that_is_none(gateway: str, cloud: Cloud, provider: Provider, body: bytes) -> None:
    provider.script(Script(body=body))
    with pytest.raises(anthropic.APIStatusError, match="cannot be told") as caught:
        CLAUDE.ask(gateway, CLAUDE.opening("x"), False, {})
    assert caught.value.status_code == 502


@chat_only
def test_counting_is_not_translated(gateway: str, cloud: Cloud, provider: Provider) -> None:
    answer = HTTP.post(f"{gateway}/v1/messages/count_tokens", json=CLAUDE.body("x"), headers={"x-api-key": "k"})
    assert (answer.status_code, answer.json()["type"]) == (400, "error")
    assert "does not take token counts" in answer.json()["error"]["message"]
    assert cloud.arrived == []


@chat_only
def test_it_is_marked(gateway: str, cloud: Cloud, provider: Provider) -> None:
    """In the answer's headers, and in the ledger, where it costs what the backend's model costs."""
    before = stats_of(gateway, 0)["requests"]["total"]
    provider.always = Chat().script(Say("Done."), stream=False)
    for client, mark in ((CLAUDE, "anthropic>openai"), (GPT, None)):
        raw = HTTP.post(f"{gateway}{PATHS[client.api.name].decode()}", json=client.body("x", False))
        assert raw.headers.get("x-headroom-translated") == mark
    stats_of(gateway, before + 2)
    recent = HTTP.get(f"{gateway}/stats").json()["recent_requests"][:2]
    assert sorted(row["translated"] for row in recent) == ["", "anthropic>openai"]


def test_without_the_extra(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that would need it stops the start; any other call is refused in the client's words, and nothing is sent."""
    monkeypatch.setitem(sys.modules, "litellm", None)
    named = {"chat": {"kind": "openai_compatible", "url": provider.url, "speaks": ["chat"]}}
    with pytest.raises(SettingsError, match=r"pip install 'headroom\[litellm\]'"):
        Backends(Settings.model_validate({"backends": {"named": named, "routes": [{"to": "chat", "route": "/v1/messages"}]}}))
    with serving(settings_for(provider, tmp_path, backends={"named": named, "use": "chat"})) as url:
        for client in CLIENTS:
            if not isinstance(client, Gpt):
                with pytest.raises((anthropic.BadRequestError, openai.BadRequestError), match=r"does not take .*headroom\[litellm\]"):
                    client.ask(url, client.opening("x"), True, {})
        assert provider.requests == []
        provider.always = Chat().script(Say("Done."), stream=False)
        assert GPT.ask(url, GPT.opening("x"), False, {}).text == "Done."


def test_a_route_that_cannot_be_translated_stops_the_start() -> None:
    named = {"new": {"kind": "openai_compatible", "url": "http://h", "speaks": ["responses"]}}
    with pytest.raises(SettingsError, match="does not take Anthropic Messages; it takes OpenAI Responses"):
        Backends(Settings.model_validate({"backends": {"named": named, "routes": [{"to": "new", "route": "/v1/messages"}]}}))
    with pytest.raises(SettingsError, match="speaks messages, which azure does not have"):
        open_backend("a", BackendSpec(kind="azure", url="http://h", speaks=("messages",)))


def test_the_ways() -> None:
    assert way(MESSAGES, frozenset((CHAT,))) == (MESSAGES, CHAT)
    assert way(RESPONSES, frozenset((MESSAGES,))) == (RESPONSES, CHAT, MESSAGES)
    assert way(RESPONSES, frozenset((MESSAGES, CHAT))) == (RESPONSES, CHAT)
    assert way(CHAT, frozenset((RESPONSES,))) == ()


def test_loading_it_asks_nobody_and_reads_no_file(tmp_path: Path) -> None:
    """Imported here, LiteLLM neither asks the network for prices nor reads a .env file."""
    (tmp_path / ".env").write_text("FROM_A_FILE=1")
    code = """
import os, sys
asked = []
sys.addaudithook(lambda event, args: asked.append(args) if event in ("socket.getaddrinfo", "socket.connect") else None)
import headroom.proxy.routing
assert "litellm" not in sys.modules
from headroom.backends.translation import load
assert load() and "litellm" in sys.modules
import litellm
assert litellm.model_cost and not asked, asked
assert "FROM_A_FILE" not in os.environ
"""
    environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "False", "LITELLM_MODE": "DEV"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

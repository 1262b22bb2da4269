"""One conversation as each API tells it, held through the vendor's own client; what a test of retrieval needs of an SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import anthropic
import httpx
import openai

from tests.provider import WAIT_S
from tests.scripted import Anthropic, Chat, Responses

ON = {"x-headroom-ccr": "on"}
# One connection pool for all: reading the certificates costs more than most requests.
ANTHROPIC_HTTP, OPENAI_HTTP = anthropic.DefaultHttpxClient(), openai.DefaultHttpxClient()


@dataclass
class Answer:
    """What the SDK made of an answer; `sent_back` are the messages a client adds to its history."""

    text: str
    calls: list[tuple[str, str, Any]]
    stop: str
    tokens: tuple[int, int]
    sent_back: list[dict[str, Any]]
    kinds: list[str] = field(default_factory=list)


class Claude:
    api = Anthropic()
    history: ClassVar[str] = "messages"
    forbids: ClassVar[Any] = {"type": "none"}
    refused: ClassVar[type[Exception]] = anthropic.APIStatusError
    tools: ClassVar[list[dict[str, Any]]] = [{"name": "look", "description": "l", "input_schema": {"type": "object", "properties": {}}}]
    ends: ClassVar[dict[str, str]] = {"done": "end_turn", "call": "tool_use", "cut": "max_tokens"}

    def opening(self, data: str, words: str = "What about node-3?") -> list[dict[str, Any]]:
        """A first request whose data is cut."""
        call = {"type": "tool_use", "id": "toolu_first", "name": "look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_first", "content": data}
        return [
            {"role": "user", "content": words},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]

    def results(self, *ids: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": f"result of {id}"} for id in ids]}]

    def ask(self, url: str, messages: Sequence[Any], stream: bool, headers: Mapping[str, str] = ON, key: str = "k", **more: Any) -> Answer:
        client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=WAIT_S, http_client=ANTHROPIC_HTTP)
        request: Any = {"model": "m", "max_tokens": 64, "messages": messages, "tools": self.tools, "extra_headers": headers} | more
        if stream:
            with client.messages.stream(**request) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**request)
        blocks = [block.to_dict() for block in message.content]
        for block in blocks:
            block.pop("parsed_output", None)
        return Answer(
            "".join(block["text"] for block in blocks if block["type"] == "text"),
            [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
            message.stop_reason or "",
            (message.usage.input_tokens, message.usage.output_tokens),
            [{"role": "assistant", "content": blocks}],
            [block["type"] for block in blocks],
        )

    def body(self, data: str, stream: bool = True) -> dict[str, Any]:
        """The first request as it is sent."""
        return {"model": "m", "max_tokens": 64, "stream": stream, "messages": self.opening(data), "tools": self.tools}

    def tool_names(self, body: dict[str, Any]) -> list[str]:
        return [tool["name"] for tool in body["tools"]]

    def told(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        """(role, what it says) of everything in a request, in order: words, calls by id, results as `id: text`."""
        found = []
        for message in body["messages"]:
            content = message["content"]
            for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                match block["type"]:
                    case "tool_use":
                        found.append(("call", block["id"]))
                    case "tool_result":
                        found.append(("result", f"{block['tool_use_id']}: {block['content']}"))
                    case "thinking":
                        found.append(("thinking", f"{block['thinking']}/{block['signature']}"))
                    case _:
                        found.append((message["role"], block["text"]))
        return found


class Gpt:
    api = Chat()
    history: ClassVar[str] = "messages"
    forbids: ClassVar[Any] = "none"
    refused: ClassVar[type[Exception]] = openai.APIError
    tools: ClassVar[list[dict[str, Any]]] = [
        {"type": "function", "function": {"name": "look", "strict": True, "parameters": {"type": "object", "properties": {}}}}
    ]
    ends: ClassVar[dict[str, str]] = {"done": "stop", "call": "tool_calls", "cut": "length"}

    def opening(self, data: str, words: str = "What about node-3?") -> list[dict[str, Any]]:
        call = {"id": "call_first", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return [
            {"role": "user", "content": words},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_first", "content": data},
        ]

    def results(self, *ids: str) -> list[dict[str, Any]]:
        return [{"role": "tool", "tool_call_id": id, "content": f"result of {id}"} for id in ids]

    def ask(self, url: str, messages: Sequence[Any], stream: bool, headers: Mapping[str, str] = ON, key: str = "k", **more: Any) -> Answer:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=WAIT_S, http_client=OPENAI_HTTP)
        request: Any = {"model": "m", "messages": messages, "tools": self.tools, "extra_headers": headers} | more
        if stream:
            with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
                completion: Any = events.get_final_completion()
        else:
            completion = client.chat.completions.create(**request)
        (choice,) = completion.choices
        calls = [(call.id, call.function.name, _read(call.function.arguments)) for call in choice.message.tool_calls or ()]
        back: dict[str, Any] = {"role": "assistant", "content": choice.message.content}
        if calls:
            back["tool_calls"] = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
                for id, name, arguments in calls
            ]
        tokens = (completion.usage.prompt_tokens, completion.usage.completion_tokens)
        return Answer(choice.message.content or "", calls, choice.finish_reason, tokens, [back])

    def body(self, data: str, stream: bool = True) -> dict[str, Any]:
        return {"model": "m", "stream": stream, "messages": self.opening(data), "tools": self.tools}

    def tool_names(self, body: dict[str, Any]) -> list[str]:
        return [tool["function"]["name"] for tool in body["tools"]]

    def told(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        found = []
        for message in body["messages"]:
            if message["role"] == "tool":
                found.append(("result", f"{message['tool_call_id']}: {message['content']}"))
            elif message.get("content"):
                found.append((message["role"], message["content"]))
            found += [("call", call["id"]) for call in message.get("tool_calls") or ()]
        return found


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


class Codex:
    """Sends the whole conversation every time, as Codex does."""

    api = Responses()
    history: ClassVar[str] = "input"
    forbids: ClassVar[Any] = "none"
    refused: ClassVar[type[Exception]] = openai.APIError
    tools: ClassVar[list[dict[str, Any]]] = [
        {"type": "function", "name": "look", "strict": True, "parameters": {"type": "object", "properties": {}}}
    ]
    ends: ClassVar[dict[str, str]] = {"done": "completed", "call": "completed", "cut": "incomplete"}

    def opening(self, data: str, words: str = "What about node-3?") -> list[dict[str, Any]]:
        return [
            {"role": "user", "content": words},
            {"type": "function_call", "call_id": "call_first", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_first", "output": data},
        ]

    def results(self, *ids: str) -> list[dict[str, Any]]:
        return [{"type": "function_call_output", "call_id": id, "output": f"result of {id}"} for id in ids]

    def ask(self, url: str, messages: Sequence[Any], stream: bool, headers: Mapping[str, str] = ON, key: str = "k", **more: Any) -> Answer:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=WAIT_S, http_client=OPENAI_HTTP)
        request: Any = {"model": "m", "input": messages, "tools": self.tools, "store": False, "extra_headers": headers} | more
        if stream:
            numbers: list[int] = []
            ends: list[Any] = []
            with client.responses.stream(**request) as events:
                for event in events:
                    numbers.append(event.sequence_number)
                    ends += [event.response] if event.type in ("response.completed", "response.incomplete", "response.failed") else []
            assert numbers == list(range(len(numbers)))
            (response,) = ends
            if response.error:
                raise openai.APIError(response.error.message, httpx.Request("POST", url), body=None)
        else:
            response = client.responses.create(**request)
        items = [item.to_dict() for item in response.output]
        for item in items:
            item.pop("parsed_arguments", None)
        return Answer(
            response.output_text,
            [(item["call_id"], item["name"], _read(item["arguments"])) for item in items if item["type"] == "function_call"],
            response.status,
            (response.usage.input_tokens, response.usage.output_tokens),
            items,
            [item["type"] for item in items],
        )

    def body(self, data: str, stream: bool = True) -> dict[str, Any]:
        return {"model": "m", "store": False, "stream": stream, "input": self.opening(data), "tools": self.tools}

    def tool_names(self, body: dict[str, Any]) -> list[str]:
        return [tool["name"] for tool in body["tools"]]

    def told(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        found = []
        for item in body["input"]:
            match item.get("type", "message"):
                case "function_call":
                    found.append(("call", item["call_id"]))
                case "function_call_output":
                    found.append(("result", f"{item['call_id']}: {item['output']}"))
                case "reasoning":
                    found.append(("thinking", f"{item['summary'][0]['text']}/{item['encrypted_content']}"))
                case _:
                    content = item["content"]
                    found.append((item["role"], content if isinstance(content, str) else "".join(part["text"] for part in content)))
        return found


Client = Claude | Gpt | Codex
CLIENTS: tuple[Client, ...] = (Claude(), Gpt(), Codex())

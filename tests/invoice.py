"""A stand-in provider that writes an invoice, and clients that ask it everything that happens: errors, aborts, repeats, reading back.

The invoice is the stand-in's own: prompts by its own count of what arrived, parts of them at cache prices, answers by what it
sent, also those whose client went away. What it is to do stands in the user's words, which nobody changes.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
from genai_prices import Usage as Billed
from genai_prices import calc_price

from headroom.ccr import marker
from headroom.ccr.marker import TOOL_NAME
from tests.provider import WAIT_S
from tests.proxy.faces import anthropic_turns, openai_turns

ROUTES = {"/v1/messages": ("anthropic", "claude-sonnet-4-5"), "/v1/chat/completions": ("openai", "gpt-4o")}
KINDS = {"plain": 60, "fails": 6, "leaves": 4, "repeats": 10, "reads": 10, "silent": 4, "refused": 6}  # of a hundred
_FAILS = re.compile(r"fail with (\d+)")
_PIECE = "word "  # what the stand-in says; one token of its own each, and more than one of ours


class Invoice:
    """The ASGI application, and what it billed. Tokens of a prompt are a third of its characters, because its tokenizer is not ours."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Billed, str]] = []  # route, what was billed, kind of the request
        self.answered: Counter[int] = Counter()

    @property
    def dollars(self) -> float:
        return sum(self.by_kind().values())

    def by_kind(self) -> Counter[str]:
        """Dollars."""
        found: Counter[str] = Counter()
        for route, usage, kind in self.lines:
            provider, model = ROUTES[route]
            found[kind] += float(calc_price(usage, model_ref=model, provider_id=provider).total_price)
        return found

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        asked, route = json.loads(body), scope["path"]
        words = json.dumps(asked["messages"])
        if status := _FAILS.search(words):
            self.answered[int(status[1])] += 1
            await _whole(send, int(status[1]), {"type": "error", "error": {"type": "api_error", "message": "as was asked for"}})
            return
        usage = _prompt(route, asked)
        reads = f'"{TOOL_NAME}"' in json.dumps(asked.get("tools", [])) and "read it back" in words and "tool_call_id" not in _last(asked)
        hashes = list(marker.hashes(words))
        call = {"hash": hashes[0]} if reads and hashes and not _has_reply(asked) else None
        self.answered[200] += 1
        sent = 0
        try:
            if asked.get("stream"):
                slow = "then I leave" in words
                silent = not asked.get("stream_options", {}).get("include_usage")
                async for billed in _stream(send, receive, route, usage, call, slow=slow, silent=silent):
                    sent = billed
            else:
                sent = 30
                await _whole(send, 200, _ANSWERS[route](usage, call, sent))
        finally:
            self.lines.append((route, Billed(**usage, output_tokens=sent), asked["metadata"]["user_id"]))


def _prompt(route: str, asked: dict[str, Any]) -> dict[str, int]:
    """Half of what came before the last message was read from the cache; Anthropic bills writing another part."""
    tokens = len(json.dumps(asked["messages"])) // 3
    before = len(json.dumps(asked["messages"][:-1])) // 3
    found = {"input_tokens": tokens, "cache_read_tokens": before // 2}
    return found | {"cache_write_tokens": before // 4} if route == "/v1/messages" else found


def _last(asked: dict[str, Any]) -> str:
    return json.dumps(asked["messages"][-1])


def _has_reply(asked: dict[str, Any]) -> bool:
    """Whether the model was answered already: its own call stands in the conversation."""
    return "call_back" in json.dumps(asked["messages"])


async def _whole(send: Any, status: int, body: dict[str, Any]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def _anthropic_usage(usage: dict[str, int], sent: int) -> dict[str, int]:
    read, written = usage["cache_read_tokens"], usage["cache_write_tokens"]
    plain = usage["input_tokens"] - read - written
    return {"input_tokens": plain, "cache_read_input_tokens": read, "cache_creation_input_tokens": written, "output_tokens": sent}


def _openai_usage(usage: dict[str, int], sent: int) -> dict[str, Any]:
    cached = {"cached_tokens": usage["cache_read_tokens"]}
    tokens = usage["input_tokens"]
    return {"prompt_tokens": tokens, "completion_tokens": sent, "total_tokens": tokens + sent, "prompt_tokens_details": cached}


def _anthropic(usage: dict[str, int], call: dict[str, str] | None, sent: int) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "text", "text": _PIECE * sent}
    if call:
        said = {"type": "tool_use", "id": "call_back", "name": TOOL_NAME, "input": call}
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": ROUTES["/v1/messages"][1], "stop_sequence": None}
    return told | {"content": [said], "stop_reason": "tool_use" if call else "end_turn", "usage": _anthropic_usage(usage, sent)}


def _openai(usage: dict[str, int], call: dict[str, str] | None, sent: int) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": _PIECE * sent}
    if call:
        function = {"name": TOOL_NAME, "arguments": json.dumps(call)}
        said = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_back", "type": "function", "function": function}]}
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls" if call else "stop"}
    told = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": ROUTES["/v1/chat/completions"][1]}
    return told | {"choices": [choice], "usage": _openai_usage(usage, sent)}


_ANSWERS = {"/v1/messages": _anthropic, "/v1/chat/completions": _openai}


def _anthropic_events(usage: dict[str, int], call: dict[str, str] | None) -> Iterator[tuple[dict[str, Any], int]]:
    """Events, each with the tokens it is billed as."""
    whole = _anthropic(usage, call, 30)
    (block,) = whole["content"]
    yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": _anthropic_usage(usage, 0)}}, 0
    if call:
        yield {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}, 0
        delta: dict[str, Any] = {"type": "input_json_delta", "partial_json": json.dumps(call)}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}, 30
    else:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, 0
        for _ in range(30):
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _PIECE}}, 1
    yield {"type": "content_block_stop", "index": 0}, 0
    told = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": told, "usage": {"output_tokens": 30}}, 0
    yield {"type": "message_stop"}, 0


def _openai_events(usage: dict[str, int], call: dict[str, str] | None, silent: bool) -> Iterator[tuple[dict[str, Any], int]]:
    whole = _openai(usage, call, 30)
    head = {"id": whole["id"], "object": "chat.completion.chunk", "created": 1, "model": whole["model"]}
    message = whole["choices"][0]["message"]
    if call:
        calls = [{"index": 0, **message["tool_calls"][0]}]
        yield head | {"choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": calls}, "finish_reason": None}]}, 30
    else:
        for _ in range(30):
            yield head | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": _PIECE}, "finish_reason": None}]}, 1
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": whole["choices"][0]["finish_reason"]}]}, 0
    if not silent:
        yield head | {"choices": [], "usage": _openai_usage(usage, 30)}, 0


async def _stream(
    send: Any, receive: Any, route: str, usage: dict[str, int], call: dict[str, str] | None, *, slow: bool, silent: bool
) -> Any:
    """Yields how many tokens were sent so far; ends when the client has gone."""
    gone = asyncio.ensure_future(_gone(receive))
    anthropic = route == "/v1/messages"
    events = _anthropic_events(usage, call) if anthropic else _openai_events(usage, call, silent)
    sent = 0
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for event, tokens in events:
            if slow and sent == 15:
                await asyncio.wait({gone}, timeout=WAIT_S)
            if gone.done():
                return
            name = f"event: {event['type']}\n" if anthropic else ""
            await send({"type": "http.response.body", "body": f"{name}data: {json.dumps(event)}\n\n".encode(), "more_body": True})
            sent += tokens
            yield sent
        await send({"type": "http.response.body", "body": b"" if anthropic else b"data: [DONE]\n\n"})
    finally:
        gone.cancel()


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass
class Sent:
    """What clients saw."""

    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    cached: int = 0
    ids: dict[str, str] = field(default_factory=dict)  # kind by our request id
    lock: threading.Lock = field(default_factory=threading.Lock)


def requests(count: int, seed: int = 5) -> list[tuple[str, str, dict[str, Any]]]:
    """(kind, route, body); those that repeat another are answered from the cache when that one came before."""
    draw = random.Random(seed)
    found: list[tuple[str, str, dict[str, Any]]] = []
    for number in range(count):
        (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
        route = "/v1/chat/completions" if kind == "silent" else draw.choice(list(ROUTES))
        rows = draw.randrange(40, 90)
        messages = (anthropic_turns if route == "/v1/messages" else openai_turns)(draw.randrange(1, 4), rows)
        body = {
            "model": ROUTES[route][1],
            "max_tokens": 64,
            "messages": messages,
            "stream": draw.random() < 0.5,
            "metadata": {"user_id": kind},
        }
        tool: dict[str, Any] = {"name": "list_nodes", "description": "Lists.", "parameters": {"type": "object"}}
        body["tools"] = [{"type": "function", "function": tool}] if "chat" in route else [{"name": "list_nodes", "input_schema": {}}]
        wish = {"fails": f"fail with {draw.choice((429, 500, 529))}", "leaves": "then I leave", "reads": "read it back"}.get(kind, "")
        if kind in ("leaves", "silent"):
            body["stream"] = True
        if body["stream"] and "chat" in route and kind != "silent":
            body["stream_options"] = {"include_usage": True}
        repeated = number if kind != "repeats" else max(0, number - draw.randrange(20, 40))
        messages[0]["content"] = f"Request {repeated}: {wish}. How busy is node-3?"
        if kind == "repeats" or draw.random() < 0.3:
            body["temperature"] = 0
        if kind == "repeats":
            body["messages"][0]["content"] = f"Repeated {number % 7}"
            body["messages"], body["stream"] = body["messages"][:1], False
            body.pop("stream_options", None)
        if kind == "refused":
            body["messages"] = "none"
        found.append((kind, route, body))
    return found


def mixed(url: str, count: int, clients: int = 4, only: Collection[str] = tuple(KINDS)) -> Sent:
    """Send `requests` of some kinds, several at a time."""
    seen = Sent()

    def ask(request: tuple[str, str, dict[str, Any]]) -> None:
        kind, route, body = request
        headers = {"x-api-key": "key-a", "x-headroom-ccr": "on"}
        status, hit = 0, ""
        with httpx.Client(base_url=url, timeout=WAIT_S, headers=headers) as client:
            if kind == "leaves":
                with client.stream("POST", route, json=body) as answer:
                    status, said = answer.status_code, 0
                    for line in answer.iter_lines():
                        said += _PIECE in line
                        if said >= 15:
                            break
            else:
                answer = client.post(route, json=body)
                status, hit = answer.status_code, answer.headers.get("x-headroom-cache", "")
        with seen.lock:
            seen.kinds[kind] += 1
            seen.statuses[status] += 1
            seen.cached += hit.startswith("hit")
            seen.ids[answer.headers["x-headroom-request-id"]] = kind

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, [request for request in requests(count) if request[0] in only]))
    return seen

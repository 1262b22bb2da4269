"""A stand-in for the Anthropic and OpenAI APIs on a free loopback port, for tests.

It records every request byte for byte, answers it by a `Script` (plainly, unless told otherwise),
and knows how many requests are open, so that a test can see that a client who went away left
nothing behind. A request whose tools are named in its last message is answered with a tool call.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from tests import responses_api
from tests.canaries import CREDENTIALS

WAIT_S = 60.0  # a bound for what happens at once, or never


@dataclass(frozen=True, slots=True)
class Script:
    """How one request is answered. Counts are of streamed events.

    `compose` gives content type and pieces of an answer of the test's own.

    `hold_after=0` holds the first byte back until `Provider.release`; `die_after=0` cuts the
    connection behind the headers. `body` stands in for the composed answer, whose length is
    `claimed_bytes` when that is given; `events` for a streamed one.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    events: tuple[bytes, ...] | None = None
    claimed_bytes: int | None = None
    delay_s: float = 0.0
    pause_s: float = 0.0
    hold_after: int | None = None
    die_after: int | None = None
    gzip: bool = False
    unknown_event: bool = False
    compose: Callable[[Received], tuple[str, list[bytes]]] | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; `target` holds path and query as they were sent, header names are lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Cut(Exception):
    """Ends the connection in the middle of an answer."""


class Provider:
    """The ASGI application and what it saw. `always` answers every request that no queued script is for."""

    def __init__(self) -> None:
        self.url = ""
        self.open = 0
        self._change = threading.Condition()
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.reset()

    def reset(self) -> None:
        """Forget requests and scripts; let go of what is held."""
        self.requests: list[Received] = []
        self.always = Script()
        self.abandoned = 0
        self._scripts: deque[Script] = deque()
        self.release()

    def script(self, *scripts: Script) -> None:
        """The next requests are answered by these, one each."""
        self._scripts.extend(scripts)

    @property
    def holds(self) -> bool:
        """Whether an answer waits for `release`."""
        return bool(self._held)

    def release(self) -> None:
        """Let go of everything that is held."""
        while self._held:
            loop, event = self._held.pop()
            loop.call_soon_threadsafe(event.set)

    def wait_until(self, condition: Callable[[Provider], bool]) -> None:
        """Returns as soon as it holds; fails when it does not within WAIT_S."""
        with self._change:
            if not self._change.wait_for(lambda: condition(self), WAIT_S):
                raise AssertionError(f"not seen: {len(self.requests)} requests, {self.open} open, {self.abandoned} abandoned")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        script = self._scripts.popleft() if self._scripts else self.always
        body = b""
        with self._changed():
            self.open += 1
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                more = message.get("more_body", False)
            received = _received(scope, body)
            secrets = (value.rpartition(" ")[2] for name in ("authorization", "x-api-key", "api-key") for value in received.header(name))
            CREDENTIALS.update(secret for secret in secrets if len(secret) >= 8)
            with self._changed():
                self.requests.append(received)
            await self._answer(script, received, receive, send)
        finally:
            with self._changed():
                self.open -= 1

    @contextmanager
    def _changed(self) -> Iterator[None]:
        with self._change:
            yield
            self._change.notify_all()

    async def _answer(self, script: Script, received: Received, receive: Any, send: Any) -> None:
        content_type, pieces = composed(script, received)
        gone = asyncio.ensure_future(_gone(receive))

        async def pause(number: int) -> bool:
            """Whether the client is still there."""
            if script.hold_after == number:
                event = asyncio.Event()
                with self._changed():
                    self._held.append((asyncio.get_running_loop(), event))
                held = asyncio.ensure_future(event.wait())
                await asyncio.wait({held, gone}, return_when=asyncio.FIRST_COMPLETED)
                held.cancel()
            if wait_s := script.pause_s if number else script.delay_s:
                await asyncio.wait({gone}, timeout=wait_s)
            return not gone.done()

        try:
            if script.hold_after == 0 or script.delay_s:
                await pause(0)
            headers = [("content-type", content_type), *script.headers]
            if script.gzip:
                pieces = [gzip.compress(b"".join(pieces))]
                headers.append(("content-encoding", "gzip"))
            if not content_type.startswith("text/event-stream"):
                size = sum(map(len, pieces)) if script.claimed_bytes is None else script.claimed_bytes
                headers.append(("content-length", str(size)))
            raw = [(name.encode(), value.encode()) for name, value in headers]
            if not gone.done():
                await send({"type": "http.response.start", "status": script.status, "headers": raw})
            for number, piece in enumerate(pieces):
                if number and not await pause(number):
                    break
                if script.die_after == number:
                    raise _Cut
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if gone.done():
                with self._changed():
                    self.abandoned += 1
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _received(scope: Any, body: bytes) -> Received:
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return Received(scope["method"], (scope["raw_path"] + query).decode("latin-1"), headers, body)


def composed(script: Script, received: Received) -> tuple[str, list[bytes]]:
    """Content type and the pieces of the body, one per event of a stream."""
    path = received.target.partition("?")[0]
    if script.events is not None:
        return "text/event-stream; charset=utf-8", list(script.events)
    if script.compose is not None:
        return script.compose(received)
    if script.body is not None:
        return "application/json", [script.body]
    if script.status >= 400:
        return "application/json", [_error(path, script.status)]
    if path == "/v1/models":
        return "application/json", [b'{"object":"list","data":[{"id":"stand-in","object":"model"}],"has_more":false}']
    if path == "/v1/messages/count_tokens":
        return "application/json", [json.dumps({"input_tokens": len(received.body) // 4}).encode()]
    whole, events = _ANSWERS.get(path, (lambda _: {"path": path, "bytes": len(received.body)}, _other_events))
    try:
        request = received.json
    except (ValueError, RecursionError):
        request = {}
    if not isinstance(request, dict):
        request = {}
    if request.get("stream") is not True:
        return "application/json", [json.dumps(whole(request)).encode()]
    sent = [_event(event, path) for event in events(request)]
    if script.unknown_event:
        sent.insert(1, b'event: vendor_note\r\ndata: {"type":"vendor_note","odd":1e5}\r\n\r\n')
    if path == "/v1/chat/completions":
        sent.append(b"data: [DONE]\n\n")
    return "text/event-stream; charset=utf-8", sent


def _event(event: dict[str, Any], path: str) -> bytes:
    name = f"event: {event['type']}\n" if path in ("/v1/messages", "/v1/responses") else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


def _error(path: str, status: int) -> bytes:
    kind = {429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}.get(status, "invalid_request_error")
    error: dict[str, Any] = {"type": kind, "message": f"stand-in says {status}"}
    return json.dumps({"type": "error", "error": error} if path.startswith("/v1/messages") else {"error": error}).encode()


def _wanted_tool(request: dict[str, Any]) -> str:
    """The tool whose name the last message says, unless that message is a tool's result."""
    messages = request.get("messages") or [{}]
    last = messages[-1] if isinstance(messages, list) and isinstance(messages[-1], dict) else {}
    words = json.dumps(last)
    if last.get("role") != "user" or '"tool_result"' in words:
        return ""
    tools = request.get("tools")
    names = [tool.get("name") or tool.get("function", {}).get("name", "") for tool in tools] if isinstance(tools, list) else []
    return next((name for name in names if name and name in words), "")


def _words(request: dict[str, Any]) -> list[str]:
    return f"The stand-in read {len(request.get('messages') or [])} messages.".split(" ")


_INPUT = {"query": "needle"}


def _anthropic(request: dict[str, Any]) -> dict[str, Any]:
    tool = _wanted_tool(request)
    content = [{"type": "tool_use", "id": "toolu_1", "name": tool, "input": _INPUT}] if tool else []
    usage = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", ""),
        "content": content or [{"type": "text", "text": " ".join(_words(request))}],
        "stop_reason": "tool_use" if tool else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def _anthropic_events(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    whole = _anthropic(request)
    (block,) = whole["content"]
    usage = whole["usage"]
    yield {
        "type": "message_start",
        "message": {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}},
    }
    yield {"type": "ping"}
    if block["type"] == "tool_use":
        yield {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}
        for part in ('{"query": "ne', 'edle"}'):
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}}
    else:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        for word in _words(request):
            text = word if word == "The" else f" {word}"
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    yield {"type": "content_block_stop", "index": 0}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


_OPENAI_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 5}}


def _openai(request: dict[str, Any]) -> dict[str, Any]:
    tool = _wanted_tool(request)
    message: dict[str, Any] = {"role": "assistant", "content": None if tool else " ".join(_words(request)), "refusal": None}
    if tool:
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": {"name": tool, "arguments": json.dumps(_INPUT)}}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if tool else "stop", "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": request.get("model", "")}
    return {**head, "choices": [choice], "usage": _OPENAI_USAGE}


def _openai_events(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    whole = _openai(request)
    head = {**{key: whole[key] for key in ("id", "created", "model")}, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    calls = whole["choices"][0]["message"].get("tool_calls")
    if calls:
        function = calls[0]["function"]
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": ""}}
        yield chunk({"tool_calls": [first]})
        for part in (function["arguments"][:5], function["arguments"][5:]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    else:
        for word in _words(request):
            yield chunk({"content": word if word == "The" else f" {word}"})
    yield chunk({}, whole["choices"][0]["finish_reason"])
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _OPENAI_USAGE}


_ANSWERS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], Callable[[dict[str, Any]], Iterator[dict[str, Any]]]]] = {
    "/v1/messages": (_anthropic, _anthropic_events),
    "/v1/chat/completions": (_openai, _openai_events),
    "/v1/responses": (responses_api.whole, responses_api.events),
}


def _other_events(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for number in range(6):
        yield {"type": "event", "number": number}


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()


@contextmanager
def running(app: Any, ws: Any = "auto") -> Iterator[str]:
    """The URL of an ASGI application served by uvicorn in a thread, on a free loopback port; `ws` is its WebSocket side."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        ws=ws,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(WAIT_S),  # none is closed just when it is used again
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        if not server.ready.wait(WAIT_S) or not server.started:
            raise AssertionError("the server did not start")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        listener.close()


@contextmanager
def stand_in() -> Iterator[Provider]:
    """A provider that answers at `provider.url`."""
    provider = Provider()
    with running(provider) as url:
        provider.url = url
        try:
            yield provider
        finally:
            provider.release()


def refusing_url() -> str:
    """A loopback URL where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"

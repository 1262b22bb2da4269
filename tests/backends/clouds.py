"""Stand-ins for clouds: each speaks its cloud's wire format, verifies what arrives, and has the stand-in provider answer.

What arrives is turned into a request of the plain API, which `Provider` records and answers by its scripts; the answer is
turned into the cloud's. Whatever is not as the cloud wants it is noted in `refusals`, and answered with 400.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from tests.provider import Provider, Received, running

Claude, Gpt, Codex = "anthropic", "openai", "openai_responses"
PATHS = {Claude: "/v1/messages", Gpt: "/v1/chat/completions", Codex: "/v1/responses"}


class Cloud:
    """`speaks` are the APIs it is asked in, by the names of dialects; `env` is what the server needs to know it."""

    kind: ClassVar[str]
    speaks: ClassVar[tuple[str, ...]]
    env: ClassVar[dict[str, str]] = {}
    error: ClassVar[str] = "stand-in says"

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.url = ""
        self.refusals: list[str] = []
        self.arrived: list[Received] = []

    def spec(self) -> dict[str, Any]:
        """How the settings name it."""
        return {"kind": self.kind, "url": self.url}

    def model(self, name: str) -> str:
        """What the model that clients call `name` must be called here."""
        return name

    def plain(self, received: Received) -> tuple[str, bytes]:
        """Path and body of the plain API. Raises AssertionError for what the cloud would refuse."""
        raise NotImplementedError

    def said(self, received: Received, status: int, content_type: str, body: bytes) -> tuple[str, bytes]:
        """Content type and bytes of one piece of the answer (`body` may be empty)."""
        return content_type, body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        received = Received(scope["method"], (scope["raw_path"] + query).decode("latin-1"), headers, body)
        self.arrived.append(received)
        try:
            path, inner = self.plain(received)
        except (AssertionError, KeyError, ValueError) as wrong:
            self.refusals.append(f"{received.method} {received.target}: {wrong!r}")
            await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": json.dumps({"message": repr(wrong)}).encode()})
            return
        pending = [{"type": "http.request", "body": inner, "more_body": False}]

        async def inner_receive() -> Any:
            return pending.pop() if pending else await receive()

        await self.provider(
            scope | {"path": path, "raw_path": path.encode(), "query_string": b""}, inner_receive, _Sender(self, received, send)
        )


class _Sender:
    """Turns the provider's messages into the cloud's."""

    def __init__(self, cloud: Cloud, received: Received, send: Any) -> None:
        self._cloud, self._received, self._send = cloud, received, send
        self._status, self._type = 0, ""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = dict(message["headers"])
            self._type = headers.pop(b"content-type").decode()
            headers.pop(b"content-length", None)
            kind, _ = self._cloud.said(self._received, self._status, self._type, b"")
            message = message | {"headers": [*headers.items(), (b"content-type", kind.encode())]}
        elif message.get("body"):
            message = message | {"body": self._cloud.said(self._received, self._status, self._type, message["body"])[1]}
        await self._send(message)


class Compatible(Cloud):
    kind = "openai_compatible"
    speaks = (Claude, Gpt, Codex)

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"url": f"{self.url}/v1"}

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert not received.header("authorization"), "a credential nobody gave"
        assert not received.header("x-api-key"), "the client's credential"
        return received.target.partition("?")[0], received.body


class KeyedCompatible(Compatible):
    env: ClassVar[dict[str, str]] = {"OUR_VLLM_KEY": "vllm-key"}

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"key": "OUR_VLLM_KEY", "models": {"m": "org/served-model"}}

    def model(self, name: str) -> str:
        return "org/served-model" if name == "m" else name

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("authorization") == ["Bearer vllm-key"]
        assert not received.header("x-api-key"), "the client's credential"
        return received.target.partition("?")[0], received.body


class OpenRouter(Cloud):
    kind = "openrouter"
    speaks = (Claude, Gpt, Codex)
    env: ClassVar[dict[str, str]] = {"OPENROUTER_API_KEY": "sk-or-key"}

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "url": f"{self.url}/api/v1"}

    def model(self, name: str) -> str:
        return {"claude-sonnet-4-5": "anthropic/claude-sonnet-4.5", "gpt-5": "openai/gpt-5"}.get(name, name)

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("authorization") == ["Bearer sk-or-key"]
        assert not received.header("x-api-key"), "the client's credential"
        path = received.target.partition("?")[0]
        assert path.startswith("/api/v1/")
        return path.removeprefix("/api"), received.body


CLOUDS: tuple[type[Cloud], ...] = (Compatible, KeyedCompatible, OpenRouter)


@contextmanager
def standing(cloud: type[Cloud], provider: Provider) -> Iterator[Cloud]:
    """The cloud on a free loopback port."""
    made = cloud(provider)
    with running(made) as url:
        made.url = url
        yield made

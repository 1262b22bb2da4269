"""The application without sockets: requests go in as ASGI messages, the provider is a value. Thousands a minute."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from headroom.outcome import Outcome
from headroom.proxy.server import create_app
from headroom.proxy.services import open_services
from headroom.proxy.upstream import Upstream
from tests.proxy.faces import Inline, settings_for


class Pieces(httpx.AsyncByteStream):
    """A body that comes in these pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


@dataclass
class Provider(httpx.AsyncBaseTransport):
    """Answers with what is `next`, in order, then with `pieces`; remembers the bodies."""

    pieces: Sequence[bytes] = (b"{}",)
    next: list[Sequence[bytes]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    bodies: list[bytes] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(await request.aread())
        return httpx.Response(200, headers=self.headers, stream=Pieces(self.next.pop(0) if self.next else self.pieces))


class Recorded(list[Outcome]):
    """A recorder that keeps what it is given."""

    def record(self, outcome: Outcome) -> None:
        self.append(outcome)

    def close(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    chunks: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Memory:
    """One application on one event loop; `provider` and `outcomes` may be looked into and changed between requests."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.provider = Provider()
        self.outcomes = Recorded()
        chosen = settings_for("http://provider.invalid", home, **settings)
        services: Any = open_services(chosen, Inline(chosen))
        upstream = Upstream(chosen.upstream, self.provider)
        self._app = create_app(dataclasses.replace(services, upstream=upstream, recorder=self.outcomes))
        self._runner = asyncio.Runner()
        self._services = services

    def ask(self, path: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST") -> Answer:
        return self._runner.run(self._ask(path, body, headers or {}, method))

    async def _ask(self, path: str, body: bytes, headers: Mapping[str, str], method: str) -> Answer:
        fields = {"host": "x", "content-length": str(len(body)), **headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        target, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": raw,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        sent: list[dict[str, Any]] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        never = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop()
            await never.wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        chunks = tuple(message["body"] for message in sent[1:] if message.get("body"))
        shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], shown, chunks)

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self._services.compress.close()
        await self._services.store.close()

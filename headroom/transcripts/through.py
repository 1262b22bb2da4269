"""The application of the proxy in memory: requests go in, and what it would have sent to a provider comes out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from headroom.errors import StoreUnavailable
from headroom.outcome import Outcome
from headroom.proxy.processes import WorkerProcesses
from headroom.proxy.server import create_app
from headroom.proxy.services import open_services
from headroom.proxy.upstream import Upstream
from headroom.settings import Settings
from headroom.stats.board import Board, Wish
from headroom.stats.book import View
from headroom.stats.ledger import Buckets, Query
from headroom.stats.series import Series
from headroom.stats.tally import Tally

_NOWHERE = "http://provider.invalid"
_ANSWERS: Mapping[str, dict[str, Any]] = {
    "/v1/messages": {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "-"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "/v1/chat/completions": {
        "id": "chatcmpl",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "-"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    "/v1/responses": {"id": "resp", "object": "response", "status": "completed", "output": [], "usage": None},
}


@dataclass
class Sent:
    """What came of one request: the body as forwarded, and its outcome."""

    path: str
    body: bytes = b""
    outcome: Outcome | None = None
    status: int = 0


_now: ContextVar[Sent] = ContextVar("sent")


class _Provider(httpx.AsyncBaseTransport):
    """Takes the place of the network."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = _now.get()
        sent.body = await request.aread()
        body = json.dumps(_ANSWERS[sent.path]).encode()
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=httpx.ByteStream(body))


class Unkept:
    """Takes the place of the ledger: `record` is told every outcome, and nothing can be asked."""

    dropped = 0

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def look(self, query: Query | None = None, *, fresh: bool = True) -> View:
        raise StoreUnavailable("statistics are not kept")

    def glance(self) -> View:
        return View(Tally())

    async def series(self, query: Query | None = None) -> dict[Series, Buckets]:
        raise StoreUnavailable("statistics are not kept")

    async def board(self, wish: Wish) -> Board:
        raise StoreUnavailable("statistics are not kept")


class _Outcomes(Unkept):
    def record(self, outcome: Outcome) -> None:
        _now.get().outcome = outcome


class Through:
    """Sends requests through the application; any number at once."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, path: str, body: Mapping[str, Any]) -> Sent:
        sent = Sent(path)
        token = _now.set(sent)
        try:
            content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
            answer = await self._client.post(path, content=content, headers=_HEADERS)
            sent.status = answer.status_code
        finally:
            _now.reset(token)
        return sent


_HEADERS = {"content-type": "application/json", "authorization": "Bearer none"}


@asynccontextmanager
async def through(settings: Settings, home: Path) -> AsyncIterator[Through]:
    """The application with these settings, its state in the empty folder `home`. Raises SettingsError."""
    chosen = private(settings, home)
    services = open_services(chosen, WorkerProcesses(chosen), recorder=_Outcomes())
    app = create_app(dataclasses.replace(services, upstream=Upstream(chosen.upstream, _Provider())))
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=_NOWHERE) as client:
        yield Through(client)


def private(settings: Settings, home: Path) -> Settings:
    """The settings with everything that is shared, limited or remembered taken away, and time enough for every request."""
    tree = settings.model_dump()
    tree |= {"home": home, "host": "127.0.0.1", "log_file": None, "optimize": True}
    tree["store"] |= {"url": "", "path": None, "blobs_url": ""}
    tree["access"] |= {"callers": "open", "jwt_keys": ""}
    tree["limits"] |= {"rate_limit": False, "budget": None, "keys": None, "teams": None, "alert_webhook": ""}
    tree["cache"] |= {"enabled": False}
    tree["upstream"] |= {"anthropic_api_url": _NOWHERE, "openai_api_url": _NOWHERE}
    tree["compression"] |= {"deadline_ms": 600_000}
    return Settings.model_validate(tree)

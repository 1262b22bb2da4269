"""`HeadroomMiddleware` around an application that gives back what it got, over a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route

import headroom
from tests.integrations.conftest import Kept
from tests.provider import WAIT_S, running
from tests.proxy.faces import anthropic_turns, asking, openai_turns


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    return JSONResponse({"body": body.decode("latin-1"), "headers": dict(request.headers)})


async def stream(request: Request) -> StreamingResponse:
    size = len(await request.body())
    return StreamingResponse(iter([f"data: {size}\n\n", "data: [DONE]\n\n"]), media_type="text/event-stream")


def application(**keywords: Any) -> Any:
    routes = [
        Route("/v1/messages", echo, methods=["POST", "PUT"]),
        Route("/v1/stream/chat/completions", stream, methods=["POST"]),
        Mount("/openai", routes=[Route("/v1/chat/completions", echo, methods=["POST"])]),
        Route("/other", echo, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(headroom.HeadroomMiddleware, **keywords)
    return app


@pytest.fixture
def url(kept: Kept) -> Iterator[str]:
    with running(application(**kept.keywords, max_body_mb=1)) as url:
        yield url


def post(url: str, content: Any, **headers: str) -> dict[str, Any]:
    answer = httpx.post(url, content=content, headers=headers, trust_env=False, timeout=WAIT_S).json()
    assert isinstance(answer, dict)
    return answer


def test_bodies_become_smaller(url: str, kept: Kept, outputs: list[str]) -> None:
    for path, messages in (("/v1/messages?beta=true", anthropic_turns(3)), ("/openai/v1/chat/completions", openai_turns(3))):
        seen = post(url + path, json.dumps(asking(messages)))
        assert kept.gives_back(seen["body"], *outputs)
        assert seen["headers"]["content-length"] == str(len(seen["body"]))
        assert json.loads(seen["body"])["messages"] == headroom.compress(messages, model="stand-in", **kept.keywords).messages


def test_a_body_in_chunks(url: str, kept: Kept, outputs: list[str]) -> None:
    raw = json.dumps(asking(anthropic_turns(3))).encode()
    seen = post(f"{url}/v1/messages", iter([raw[:1000], raw[1000:50_000], raw[50_000:]]))
    assert kept.gives_back(seen["body"], *outputs)
    assert "transfer-encoding" not in seen["headers"]


def test_answers_stream(url: str) -> None:
    answer = httpx.post(f"{url}/v1/stream/chat/completions", json=asking(openai_turns(3)), trust_env=False, timeout=WAIT_S)
    assert answer.headers["content-type"].startswith("text/event-stream")
    size, done = answer.text.split("\n\n")[:2]
    assert int(size.removeprefix("data: ")) < len(json.dumps(openai_turns(3)))
    assert done == "data: [DONE]"


def test_what_passes_untouched(url: str) -> None:
    raw = json.dumps(asking(anthropic_turns(3)))
    assert post(f"{url}/other", raw)["body"] == raw
    assert post(f"{url}/v1/messages", raw, **{"x-headroom-bypass": "true"})["body"] == raw
    packed = gzip.compress(raw.encode())
    assert post(f"{url}/v1/messages", packed, **{"content-encoding": "gzip"})["body"] == packed.decode("latin-1")
    for odd in ("", "no json", "[]", '{"messages": 3}', '{"messages": [], "messages": []}'):
        assert post(f"{url}/v1/messages", odd)["body"] == odd
    large = json.dumps(asking(anthropic_turns(80)))
    assert len(large) > 1_000_000
    assert post(f"{url}/v1/messages", large)["body"] == large
    assert post(f"{url}/v1/messages", iter([large[:700_000].encode(), large[700_000:].encode()]))["body"] == large
    assert httpx.put(f"{url}/v1/messages", content=raw, trust_env=False).json()["body"] == raw


def test_a_client_that_goes_away_is_told_to_the_application() -> None:
    """The middleware alone: the application sees what came, and then that nobody is there any more."""
    came: list[dict[str, Any]] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive(), await receive()])

    async def receive() -> Any:
        return came.pop(0)

    async def send(_: Any) -> None:
        raise AssertionError("nobody answers")

    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": []}
    asyncio.run(headroom.HeadroomMiddleware(app)(scope, receive, send))
    assert [message["type"] for message in seen] == ["http.request", "http.disconnect"]

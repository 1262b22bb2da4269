"""Errors of ours in the words of the API that was called."""

from __future__ import annotations

import json

from starlette.datastructures import Headers
from starlette.types import Scope, Send

from headroom.backends.base import HeaderList
from headroom.dialects import ANTHROPIC, DIALECTS, OPENAI_CHAT, Dialect
from headroom.errors import HeadroomError
from headroom.proxy.upstream import provider_of


def dialect_of(scope: Scope) -> Dialect:
    """That of a request with any path."""
    return DIALECTS.get(scope["path"]) or dialect_to(provider_of(Headers(scope=scope)))


def dialect_to(provider: str) -> Dialect:
    """That of requests on paths which have none of their own."""
    return ANTHROPIC if provider == "anthropic" else OPENAI_CHAT


async def send_error(send: Send, dialect: Dialect, failure: HeadroomError, headers: HeaderList) -> None:
    """`headers` are added to those of the error."""
    body = json.dumps(dialect.error(failure.status, failure.kind, failure.message)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    if failure.retry_after_s is not None:
        headers.append((b"retry-after", str(failure.retry_after_s).encode()))
    await send({"type": "http.response.start", "status": failure.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})

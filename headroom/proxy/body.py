"""Reads a request body, bounded before and after its content-encoding."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from headroom.encodings import decoded
from headroom.errors import BodyTooLarge, HeadroomError, InvalidRequest


class ClientGone(Exception):
    """The client disconnected; nobody is left to answer."""


@dataclass(frozen=True, slots=True)
class Body:
    """`wire` is what came, `decoded` what it means; the same object without a content-encoding."""

    wire: bytes
    decoded: bytes


class Fields(Headers):
    """The headers of a request that is asked for many of them; of a name that stands twice the first."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._first = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(self._list)}

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower()]

    def __contains__(self, key: Any) -> bool:
        return key.lower() in self._first

    def get(self, key: str, default: Any = None) -> Any:
        return self._first.get(key.lower(), default)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request whose body was read."""

    scope: Scope
    headers: Headers
    body: Body


async def read_body(headers: Headers, receive: Receive, limit: int) -> Body:
    """Raises BodyTooLarge (also for what grows beyond the limit), InvalidRequest, ClientGone."""
    if int(headers.get("content-length") or 0) > limit:
        raise _too_large(limit)
    return await read_pieces(_pieces(receive), limit, headers.get("content-encoding", ""))


async def read_pieces(pieces: AsyncIterator[bytes], limit: int, encoding: str) -> Body:
    """The same of a body that comes in pieces."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in pieces:
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    wire = b"".join(chunks)
    return Body(wire, await asyncio.to_thread(decoded, wire, encoding, limit) if encoding else wire)


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


def json_object(raw: bytes) -> dict[str, Any]:
    """The object that a body of our own routes holds. Raises InvalidRequest."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as failure:
        raise InvalidRequest(f"The request body is not valid JSON: {failure}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return value


def _too_large(limit: int) -> HeadroomError:
    return BodyTooLarge(f"The request body is larger than {limit // 1_000_000} MB; send less or raise max_body_mb.")

"""An answer in which the model may read back what was left out: the only loop of an exchange.

The provider's frames go on as they come, without the calls of our tool. When the model waits for
nothing else, the calls are redeemed, the provider is asked again with their results, and its
answer follows in the same stream. After `tool.ROUNDS` rounds the model is told that it was enough;
when it calls once more, the answer ends there. What was read is written down before the answer ends.

A provider that refuses to go on is an error event in a stream, as that API sends one, and otherwise
the provider's own refusal. One that breaks off breaks the client's connection too, or is told as 502 where
nothing was sent yet.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.types import Send

from headroom.backends.base import HeaderList
from headroom.ccr import tool
from headroom.ccr.marker import TOOL_NAME
from headroom.dialects.retrieval import Answer
from headroom.encodings import Decoder
from headroom.errors import HeadroomError, UpstreamUnreachable
from headroom.model import Compressed
from headroom.proxy.offer import Offer
from headroom.proxy.relay import DECODED_BYTES, JSON, STREAM, Meter, UpstreamBroke, closed, kind_of, readable, relay
from headroom.proxy.services import Services
from headroom.proxy.threads import offload
from headroom.proxy.trace import Trace
from headroom.proxy.upstream import response_headers
from headroom.sse import FrameReader


@dataclass
class Rounds:
    """One answer through its rounds. `body` is the request that was sent; `again` sends a longer one."""

    offer: Offer
    body: bytes
    again: Callable[[bytes], Awaitable[httpx.Response]]
    trace: Trace
    services: Services
    left: int = tool.ROUNDS + 1

    def __post_init__(self) -> None:
        self.answer: Answer = self.offer.retrieval.answer()

    async def read(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """The decoded bytes as they come; their usage is added up. Raises UpstreamBroke."""
        meter, cut = Meter(self.trace.dialect, kind_of(response, self.trace.stream), ""), True
        try:
            async with aclosing(readable(response)) as pieces:
                async for data in pieces:
                    meter.feed(data)
                    yield data
            cut = False
        except httpx.HTTPError as failure:
            raise UpstreamBroke(str(failure) or type(failure).__name__) from failure
        finally:
            self.trace.ended(meter, cut=cut)

    async def whole(self, response: httpx.Response) -> bytes:
        async with aclosing(self.read(response)) as pieces:
            return b"".join([data async for data in pieces])

    async def next(self) -> httpx.Response | None:
        """The answer that follows on this one; None when it is over. Raises UpstreamUnreachable."""
        asks = self.answer.asks()
        if not self.answer.goes_on():
            await self._remember(await self._redeem(asks))
            return None
        if not self.left:
            await self._remember(())
            return None
        self.left -= 1
        self.trace.rounds += 1
        replies = await self._redeem(asks) if self.left else [tool.Reply(ask.id, tool.ENOUGH, failed=True) for ask in asks]
        body = await offload(len(self.body), self.answer.continued, self.body.decode(), replies)
        self.body = body.encode()
        return await self.again(self.body)

    async def _redeem(self, asks: Sequence[tool.Ask]) -> Sequence[tool.Reply]:
        """What the model is told; whatever is wrong is told to it, never to the client."""
        replies = []
        for ask in asks:
            try:
                wanted = tool.wish(ask.arguments)
                original = await self.services.store.get_original(self.offer.scope, wanted.hash)
                text = await offload(len(original.text), tool.answer, original, wanted)
                replies.append(tool.Reply(ask.id, text))
                self.trace.retrievals += 1
                self.trace.retrieved.append(self.trace.cut_what(original.hash))
                if self.services.learning and not wanted.start:
                    self.services.learning.asked(self.offer.scope, original, wanted.query)
            except tool.Malformed as malformed:
                replies.append(tool.Reply(ask.id, str(malformed), failed=True))
            except HeadroomError as failure:
                replies.append(tool.Reply(ask.id, f"Error: {failure.message}", failed=True))
        return replies

    async def _remember(self, replies: Sequence[tool.Reply]) -> None:
        record = self.answer.ended(replies)
        if self.trace.rounds or replies:
            await self.services.replay.pin([self.offer.record_key(record.fingerprint)], Compressed(record.text, "retrieved"))


async def follow(response: httpx.Response, headers: HeaderList, send: Send, rounds: Rounds) -> float:
    """Send the whole answer, further rounds included; returns the monotonic time of its first byte. Raises as `relay` does.

    What cannot hold a call, or cannot be decoded, is relayed as it is.
    """
    content_type = kind_of(response, rounds.trace.stream)
    try:
        Decoder(response.headers.get("content-encoding", ""), DECODED_BYTES)
        followed = response.status_code == 200 and content_type.startswith((STREAM, JSON))
    except HeadroomError:
        followed = False
    if not followed:
        meter = Meter(rounds.trace.dialect, content_type, response.headers.get("content-encoding", ""))
        try:
            return await relay(response, headers, send, meter)
        finally:
            rounds.trace.billed.append(meter.finish())
    headers = [(name, value) for name, value in headers if name != b"content-encoding"]
    return await (_stream if content_type.startswith(STREAM) else _whole)(response, headers, send, rounds)


async def _stream(response: httpx.Response, headers: HeaderList, send: Send, rounds: Rounds) -> float:
    answer, first = rounds.answer, 0.0
    headers = [(name, value) for name, value in headers if name != b"content-length"]  # the bytes may change
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def show(data: bytes) -> None:
        nonlocal first
        if data:
            first = first or time.perf_counter()
            await send({"type": "http.response.body", "body": data, "more_body": True})

    async with AsyncExitStack() as opened:
        following: httpx.Response | None = response
        while following is not None:
            frames = FrameReader()
            async with aclosing(rounds.read(following)) as pieces:
                async for data in pieces:
                    await show(b"".join(out for frame in frames.feed(data) for out in answer.frame(frame)))
            await show(b"".join(answer.rest(frames.rest())))
            following = None
            if answer.touched:
                try:
                    following = await rounds.next()
                except HeadroomError as failure:
                    await show(answer.failure(rounds.trace.dialect.error(failure.status, failure.kind, failure.message)))
                    rounds.trace.error = failure.message
                    break
            if following is None:
                await show(b"".join(answer.tail()))
                break
            opened.push_async_callback(closed, following)
            if following.status_code != 200 or not kind_of(following, stream=True).startswith(STREAM):
                await show(answer.failure(_error(await rounds.whole(following), following.status_code, rounds)))
                break
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return first or time.perf_counter()


async def _whole(response: httpx.Response, headers: HeaderList, send: Send, rounds: Rounds) -> float:
    raw = await _unsent(response, rounds)
    if TOOL_NAME.encode() in raw and (body := _object(raw)) is not None:
        rounds.answer.whole(body)
        while rounds.answer.touched and (following := await rounds.next()) is not None:
            try:
                if following.status_code != 200:
                    rounds.trace.status = following.status_code
                    rounds.trace.error = f"the provider answered {following.status_code} when it was asked to go on"
                    return await relay(following, response_headers(following) + rounds.trace.headers(), send, None)
                body = _object(await _unsent(following, rounds))
            finally:
                await closed(following)
            if body is None:
                raise UpstreamUnreachable("The provider's answer is not JSON.")
            rounds.answer.whole(body)
        if rounds.answer.touched:
            raw = rounds.answer.body()
    headers = [(name, value) for name, value in headers if name != b"content-length"]
    headers.append((b"content-length", str(len(raw)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": raw, "more_body": False})
    return time.perf_counter()


async def _unsent(response: httpx.Response, rounds: Rounds) -> bytes:
    """A whole answer of which the client has nothing yet. Raises UpstreamUnreachable."""
    try:
        return await rounds.whole(response)
    except UpstreamBroke as broke:
        raise UpstreamUnreachable(f"The provider broke off in its answer: {broke}.") from broke


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _error(raw: bytes, status: int, rounds: Rounds) -> dict[str, Any]:
    """The provider's own error, or one of ours in its words."""
    rounds.trace.error = f"the provider answered {status} when it was asked to go on"
    body = _object(raw)
    return body if body and "error" in body else rounds.trace.dialect.error(status, "api_error", f"{rounds.trace.error}.")

"""Whoever cancels a request, and how often, what it has open is closed before it is over."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from headroom.proxy.body import ClientGone
from headroom.proxy.relay import closed, until_gone


class Work:
    """Waits to be cancelled; its closing takes a while."""

    def __init__(self) -> None:
        self.began, self.closing, self.may_close = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_closed = False

    async def run(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.closing.set()
            await self.may_close.wait()
            self.is_closed = True


def test_a_request_that_is_cancelled_twice_is_cancelled_once() -> None:
    async def run() -> None:
        work, gone = Work(), asyncio.Event()
        request = asyncio.create_task(until_gone(work.run(), _waits(gone), lambda: False))
        await work.began.wait()
        request.cancel()
        await work.closing.wait()
        request.cancel()
        await asyncio.sleep(0)
        work.may_close.set()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert work.is_closed

    asyncio.run(run())


def test_a_request_whose_client_is_gone_may_be_cancelled_too() -> None:
    async def run() -> None:
        work, gone = Work(), asyncio.Event()
        request = asyncio.create_task(until_gone(work.run(), _waits(gone), lambda: False))
        await work.began.wait()
        gone.set()
        await work.closing.wait()
        request.cancel()
        await asyncio.sleep(0)
        work.may_close.set()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert work.is_closed

    asyncio.run(run())


def test_a_client_that_is_gone_ends_the_request() -> None:
    async def run() -> None:
        work, gone = Work(), asyncio.Event()
        work.may_close.set()
        request = asyncio.create_task(until_gone(work.run(), _waits(gone), lambda: False))
        await work.began.wait()
        gone.set()
        with pytest.raises(ClientGone):
            await request
        assert work.is_closed

    asyncio.run(run())


class Slow(httpx.AsyncByteStream):
    def __init__(self) -> None:
        self.closing, self.may_close, self.is_closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> Any:
        yield b""

    async def aclose(self) -> None:
        self.closing.set()
        await self.may_close.wait()
        self.is_closed.set()


def test_a_closing_goes_on_when_it_is_cancelled() -> None:
    async def run() -> None:
        stream = Slow()
        closing = asyncio.create_task(closed(httpx.Response(200, stream=stream)))
        await stream.closing.wait()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        stream.may_close.set()
        await stream.is_closed.wait()

    asyncio.run(run())


async def _waits(event: asyncio.Event) -> None:
    await event.wait()

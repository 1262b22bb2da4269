"""A process that is about to end: nobody is let in, everybody inside may leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from headroom.proxy.door import Door, Guarded


class Application:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.told.wait()
        if scope["path"] == "/breaks":
            raise OSError("broke")
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def asked(guarded: Guarded, path: str = "/v1/messages", headers: Any = ()) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    await guarded({"type": "http", "path": path, "headers": list(headers)}, receive, send)
    return sent


async def inside(*paths: str) -> tuple[Door, Application, Guarded, list[asyncio.Task[list[Message]]]]:
    door, application = Door(), Application()
    guarded = Guarded(application, door)
    tasks = [asyncio.create_task(asked(guarded, path)) for path in paths]
    await asyncio.sleep(0)
    return door, application, guarded, tasks


def test_it_waits_for_everybody_inside_however_they_leave() -> None:
    async def case() -> None:
        door, application, _, tasks = await inside("/v1/messages", "/breaks", "/v1/odd")
        closing = asyncio.create_task(door.close(60))
        tasks[2].cancel()
        await asyncio.sleep(0.01)
        assert not closing.done()
        application.told.set()
        assert await closing == 0
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended] == [list, OSError, asyncio.CancelledError]

    asyncio.run(case())


def test_nobody_is_let_in_but_who_asks_whether_it_lives() -> None:
    async def case() -> None:
        door, application, guarded, _ = await inside()
        assert await door.close(60) == 0
        start, body = await asked(guarded)
        assert (start["status"], dict(start["headers"])[b"retry-after"], dict(start["headers"])[b"connection"]) == (503, b"1", b"close")
        assert json.loads(body["body"])["error"]["type"] == "overloaded_error"
        openai = json.loads((await asked(guarded, "/v1/chat/completions"))[1]["body"])
        assert set(openai["error"]) == {"message", "type", "param", "code"}
        application.told.set()
        assert [message["status"] for message in await asked(guarded, "/livez")] == [200]

    asyncio.run(case())


def test_who_does_not_leave_is_counted() -> None:
    async def case() -> None:
        door, application, _, tasks = await inside("/v1/messages", "/v1/messages")
        assert await door.close(0.01) == 2
        application.told.set()
        await asyncio.gather(*tasks)
        assert await door.close(0) == 0

    asyncio.run(case())

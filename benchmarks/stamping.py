"""A stand-in provider for load: streams stamped chunks, as many and as fast as the request's `metadata.user_id` says.

Runs in a process of its own, so that what is measured does not share an interpreter with it. Speaks Anthropic Messages, streamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import uvicorn

STAMP = re.compile(rb"@(\d+) ")
END = b"message_stop"
_ORDER = re.compile(rb'"user_id":\s*"(\d+) (\d+)"')


def order(chunks: int, gap_ms: int) -> dict[str, str]:
    """The `metadata` that asks for so many chunks, each so long after the one before."""
    return {"user_id": f"{chunks} {gap_ms}"}


def _event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


_START = _event("message_start", message={"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}})
_OPEN = _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
_CLOSE = (
    _event("content_block_stop", index=0)
    + _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    + _event("message_stop")
)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if not part.get("more_body"):
            break
    asked = _ORDER.search(body[:300]) or _ORDER.search(body[-300:])
    chunks, gap_ms = map(int, asked.groups()) if asked else (1, 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": _START + _OPEN, "more_body": True})
    for _ in range(chunks):
        if gap_ms:
            await asyncio.sleep(gap_ms / 1000)
        text = f"@{time.time_ns() // 1000} word"
        chunk = _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": _CLOSE})


@contextlib.contextmanager
def provider(port: int) -> Iterator[str]:
    """Its URL while it runs. Raises SystemExit when the port is taken."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.stamping", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        await_answer(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def await_answer(url: str, process: subprocess.Popen[bytes], within_s: float = 120.0) -> None:
    """Until anything at all is answered. Raises SystemExit."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"{url}: did not start")
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=5)
            return
        time.sleep(0.1)
    raise SystemExit(f"{url}: no answer in {within_s:.0f} s")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, timeout_keep_alive=90)

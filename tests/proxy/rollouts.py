"""What a test of a roll-out needs: a file that is replaced, the version in force, and conversations that stream."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import httpx

from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking


def rewrite(file: Path, text: str) -> None:
    """As editors and orchestrators do: the new file takes the old one's place in one step."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)


def await_version(url: str, before: str, seen: int = 1) -> str:
    """The version of the policies in force, once it is another one than `before` in `seen` answers in a row."""
    until, others = time.monotonic() + WAIT_S, 0
    while True:
        version = HTTP.get(f"{url}/health").json()["policies"]["version"]
        others = others + 1 if version != before else 0
        if others == seen:
            return str(version)
        assert time.monotonic() < until, "the policies did not change"
        time.sleep(0.02)


class Conversation:
    """One of many, told apart by its first question."""

    def __init__(self, number: int, headers: dict[str, str] | None = None) -> None:
        self.opening = f"Conversation {number}: who is busy?"
        self._number = number
        self._headers = headers or {}
        self._turns = 1

    @property
    def body(self) -> dict[str, Any]:
        messages = anthropic_turns(self._turns, 100 + self._number)
        messages[0] = {"role": "user", "content": self.opening}
        return asking(messages, stream=True)

    def go_on(self) -> None:
        self._turns += 1

    def stream(self, url: str) -> str:
        """The whole answer. Raises when it breaks off."""
        with httpx.Client(timeout=WAIT_S) as client:
            answer = client.post(f"{url}/v1/messages", json=self.body, headers=self._headers)
        assert answer.status_code == 200
        return answer.text

    @staticmethod
    def complete(answer: str) -> bool:
        return answer.rstrip().endswith('{"type": "message_stop"}')

    def forwarded(self, provider: Provider) -> list[bytes]:
        """What reached the provider, turn by turn, up to the end of the messages."""
        found = [request.body for request in provider.requests if self.opening.encode() in request.body]
        return [body[: body.rindex(b',"stream"')].removesuffix(b"]") for body in found]

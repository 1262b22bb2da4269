"""Anthropic's and OpenAI's own APIs.

With the client's own credential every path and byte goes as it came: what an API does not know, it refuses itself. With a
credential of the server's (`key`), what may be used is what any cloud lets callers use.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from headroom.backends.base import CHAT, COUNT, MESSAGES, RESPONSES, Ask, Outgoing, Plain, secret, without_credentials


class Direct(Plain):
    home: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.spec = self.spec.model_copy(update={"url": (self.spec.url or self.home).rstrip("/").removesuffix("/v1")})
        super().__post_init__()
        self._key = secret(self.name, self.spec.key) if self.spec.key else ""

    @property
    def own(self) -> bool:
        return bool(self._key)

    def outgoing(self, ask: Ask) -> Outgoing:
        headers = ask.headers
        if self._key:
            self.check(ask)
            headers = without_credentials(headers)
        query = b"?" + ask.query if ask.query else b""
        return Outgoing(self.base, ask.method, self.root + ask.path + query, headers, self.renamed(ask))

    def sign(self, out: Outgoing) -> Outgoing:
        return dataclasses.replace(out, headers=[*out.headers, self.header()]) if self._key else out

    @property
    def credential(self) -> str:
        return self.spec.key or "the client's own"

    def header(self) -> tuple[bytes, bytes]:
        return b"authorization", b"Bearer " + self._key.encode()


class Anthropic(Direct):
    kind: ClassVar[str] = "anthropic"
    home: ClassVar[str] = "https://api.anthropic.com"
    takes: ClassVar[frozenset[str]] = frozenset((MESSAGES, COUNT, ""))

    def header(self) -> tuple[bytes, bytes]:
        return b"x-api-key", self._key.encode()


class OpenAI(Direct):
    kind: ClassVar[str] = "openai"
    most: ClassVar[str] = "max_completion_tokens"
    home: ClassVar[str] = "https://api.openai.com"
    takes: ClassVar[frozenset[str]] = frozenset((CHAT, RESPONSES, ""))

"""Anthropic's and OpenAI's own APIs, with the client's own credential: every path and byte as it came."""

from __future__ import annotations

from typing import ClassVar

from headroom.backends.base import Ask, Outgoing, Plain


class Direct(Plain):
    """Takes whatever it is sent: what it does not know, it refuses itself."""

    own: ClassVar[bool] = False

    def outgoing(self, ask: Ask) -> Outgoing:
        query = b"?" + ask.query if ask.query else b""
        return Outgoing(self.base, ask.method, self.root + ask.path + query, ask.headers, self.renamed(ask))


class Anthropic(Direct):
    kind: ClassVar[str] = "anthropic"


class OpenAI(Direct):
    kind: ClassVar[str] = "openai"

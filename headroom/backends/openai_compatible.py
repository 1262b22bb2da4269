"""Any server that speaks OpenAI's API at a base URL: vLLM, Ollama, llama.cpp, TGI, `transformers serve`. A key is optional.

What it does not know, such as Anthropic Messages in an older one, it refuses itself: the path goes there and nowhere else.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from headroom.backends.base import CHAT, COUNT, MESSAGES, RESPONSES, Ask, Outgoing, Plain, secret, without_credentials
from headroom.errors import SettingsError


class OpenAICompatible(Plain):
    kind: ClassVar[str] = "openai_compatible"
    takes: ClassVar[frozenset[str]] = frozenset((CHAT, MESSAGES, RESPONSES, COUNT, ""))

    def __post_init__(self) -> None:
        if not self.spec.url:
            raise SettingsError(f"backend {self.name}: `url` is not set; give the server's base URL (--backend-url http://HOST:PORT/v1)")
        super().__post_init__()
        self._key = secret(self.name, self.spec.key) if self.spec.key else ""

    def outgoing(self, ask: Ask) -> Outgoing:
        self.check(ask)
        return Outgoing(self.base, ask.method, self.target(ask), without_credentials(ask.headers), self.renamed(ask))

    def sign(self, out: Outgoing) -> Outgoing:
        return dataclasses.replace(out, headers=[*out.headers, (b"authorization", b"Bearer " + self._key.encode())]) if self._key else out

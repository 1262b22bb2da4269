"""OpenRouter: Chat Completions, Responses and Anthropic Messages under one key; models are `vendor/name`.

https://openrouter.ai/docs/api-reference/overview
"""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

from headroom.backends.base import CHAT, COUNT, MESSAGES, RESPONSES, Ask, Outgoing, Plain, secret, without_credentials

_URL = "https://openrouter.ai/api/v1"
_KEY = "OPENROUTER_API_KEY"
_CLAUDE = re.compile(r"claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?(?:-\d{8})?")  # claude-sonnet-4-5-20250929


class OpenRouter(Plain):
    kind: ClassVar[str] = "openrouter"
    takes: ClassVar[frozenset[str]] = frozenset((CHAT, MESSAGES, RESPONSES, COUNT, ""))

    def __post_init__(self) -> None:
        self.spec = self.spec.model_copy(update={"url": self.spec.url or _URL})
        super().__post_init__()
        self._key = secret(self.name, self.spec.key or _KEY)

    @property
    def credential(self) -> str:
        return self.spec.key or _KEY

    def model(self, name: str) -> str:
        """`claude-sonnet-4-5` is `anthropic/claude-sonnet-4.5` there, `gpt-5` is `openai/gpt-5`; a name with a slash stays."""
        known = super().model(name)
        if known != name or "/" in name:
            return known
        if claude := _CLAUDE.fullmatch(name):
            family, major, minor = claude.groups()
            return f"anthropic/claude-{family}-{major}" + (f".{minor}" if minor else "")
        vendor = next((vendor for prefix, vendor in _VENDORS.items() if name.startswith(prefix)), "")
        return vendor + name

    def outgoing(self, ask: Ask) -> Outgoing:
        self.check(ask)
        return Outgoing(self.base, ask.method, self.target(ask), without_credentials(ask.headers), self.renamed(ask))

    def sign(self, out: Outgoing) -> Outgoing:
        return dataclasses.replace(out, headers=[*out.headers, (b"authorization", b"Bearer " + self._key.encode())])


_VENDORS = {"gpt-": "openai/", "chatgpt-": "openai/", "o1": "openai/", "o3": "openai/", "o4": "openai/", "gemini-": "google/"}

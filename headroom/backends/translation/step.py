"""What the translations share: how LiteLLM is loaded, how one is shaped, and the streams they read."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Protocol

from headroom.backends.base import Broken
from headroom.errors import InvalidRequest
from headroom.settings import preset
from headroom.sse import EventReader

EXTRA = "headroom[litellm]"
# It reads a .env file and asks the network for prices when it is imported, unless it is told not to.
_QUIET = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_TELEMETRY": "False",
}


class Step(Protocol):
    """One request between two APIs. `request` is its body in the other one's words."""

    request: dict[str, Any]

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer of the other API in the client's words."""

    def stream(self, events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        """The same of a stream; an error in it is told in the client's words, an end before the end raises Broken."""


def load() -> bool:
    """Whether LiteLLM is there, in a version that has what is used of it; imports it once, which takes seconds."""
    preset(_QUIET)
    try:
        import litellm
        import litellm.llms.anthropic.chat.handler
        import litellm.llms.anthropic.pass_through.adapters.streaming_iterator
        import litellm.responses.litellm_completion_transformation.streaming_iterator
    except ImportError:
        return False
    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its words quote prompts
    return True


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events. Raises Broken."""
    reader = EventReader()
    async for piece in pieces:
        for data in reader.feed(piece):
            if data == b"[DONE]":
                continue
            try:
                event = json.loads(data)
            except (ValueError, RecursionError):
                raise Broken("an event of the stream is not JSON") from None
            if isinstance(event, dict):
                yield event


def dumped(value: Any) -> bytes:
    """JSON, other scripts as they are, unless it holds what UTF-8 cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def sse(event: dict[str, Any], named: bool = True) -> bytes:
    """One server-sent event, with its type as its name."""
    head = f"event: {event['type']}\n".encode() if named else b""
    return head + b"data: " + dumped(event) + b"\n\n"


def complaint(event: dict[str, Any]) -> tuple[str, str] | None:
    """The kind and the words of an error inside a stream; None for every other event."""
    error = event.get("error")
    if not error:
        return None
    if not isinstance(error, dict):
        return "api_error", str(error)
    return str(error.get("type") or error.get("code") or "api_error"), str(error.get("message") or "the stream failed")


def refuse(where: str, what: object, to: str) -> InvalidRequest:
    """What has no place in the other API."""
    return InvalidRequest(f"{where}: {str(what)[:60]!r} cannot be translated to {to}; leave it out, or use a backend that speaks this API.")


def unknown(body: dict[str, Any], known: set[str], neutral: dict[str, Any], to: str) -> None:
    """Raises InvalidRequest for a field that is neither known nor says what holds anyway."""
    for name, value in body.items():
        if name not in known and value is not None and not (name in neutral and neutral[name] == value):
            raise refuse("the request", name, to)


def parts(content: Any) -> list[dict[str, Any]]:
    """The parts of a message's content that is a list; none for a text."""
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []

"""Translation, where a client's API is none that the backend speaks: LiteLLM's (`pip install 'headroom[litellm]'`), as values to values.

LiteLLM opens no connection here: the request it makes goes where the backend's own would, and the answer is turned around on its
way back. What must hold:
- What has no place in the other API and would change the answer is refused by its name; the little that is left out is in
  docs/backends.md.
- The same conversation is translated to the same messages every turn, so that prompt caches keep hitting.
- Its errors may quote a prompt: only their kind is told.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headroom.backends.base import CHAT, CREDENTIALS, MESSAGES, RESPONSES, SPOKEN, Ask, Backend, Broken, unspoken
from headroom.backends.translation.chat_messages import ChatToMessages
from headroom.backends.translation.messages_chat import MessagesToChat
from headroom.backends.translation.responses_chat import ResponsesToChat
from headroom.backends.translation.step import EXTRA, Step, dumped, events_of, load
from headroom.errors import HeadroomError, InvalidRequest

_PATHS = {MESSAGES: b"/v1/messages", CHAT: b"/v1/chat/completions"}
_STEPS: dict[tuple[str, str], Callable[[dict[str, Any], str], Step]] = {
    (MESSAGES, CHAT): MessagesToChat,
    (CHAT, MESSAGES): ChatToMessages,
    (RESPONSES, CHAT): ResponsesToChat,
}
# Of the client's headers what only its own API understands.
_DROPPED = CREDENTIALS | {b"accept-encoding", b"anthropic-version", b"anthropic-beta", b"openai-beta", b"content-length", b"content-type"}


@dataclass(frozen=True, slots=True)
class Translated:
    """One request in the words of its backend, and the way back for the answer. `mark` is what the outcome says of it."""

    ask: Ask
    mark: str
    steps: tuple[Step, ...]

    def whole(self, body: bytes) -> bytes:
        """An answer that came whole. Raises Broken."""
        try:
            value = json.loads(body)
            for step in reversed(self.steps):
                value = step.whole(value)
            return dumped(value)
        except HeadroomError:
            raise
        except Exception as failure:  # fence: whatever a library makes of an odd answer
            raise Broken(f"the answer cannot be translated ({type(failure).__name__})") from failure

    async def stream(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """An answer as it comes. Raises Broken."""
        for step in reversed(self.steps):
            pieces = step.stream(events_of(pieces))
        try:
            async for piece in pieces:
                yield piece
        except HeadroomError:
            raise
        except Exception as failure:  # fence: the same
            raise Broken(f"the answer cannot be translated ({type(failure).__name__})") from failure


def way(client: str, spoken: frozenset[str]) -> tuple[str, ...]:
    """The APIs from the client's to one that is spoken, the shortest way; empty where there is none."""
    ways: list[tuple[str, ...]] = [(client, first) for start, first in _STEPS if start == client]
    for found in ways:
        if found[-1] in spoken:
            return found
        ways += [(*found, end) for start, end in _STEPS if start == found[-1] and end not in found]
    return ()


def installed() -> bool:
    """Whether the extra is, without importing it."""
    try:
        return importlib.util.find_spec("litellm") is not None
    except ValueError:  # somebody put it out of reach
        return False


def translated(ask: Ask, backend: Backend) -> Translated | None:
    """None where the backend speaks the client's API, or is sent whatever comes with the client's own credential.

    The first one loads LiteLLM, which takes seconds. Raises InvalidRequest.
    """
    spoken = backend.spoken(ask.model)
    if not backend.own or ask.dialect not in (MESSAGES, CHAT, RESPONSES) or ask.dialect in spoken:
        return None
    refusal = unspoken(backend, SPOKEN[ask.dialect], spoken)
    found = way(ask.dialect, spoken)
    if not found:
        raise InvalidRequest(refusal)
    if not load():
        raise InvalidRequest(f"{refusal} To have it translated, the server needs LiteLLM: pip install '{EXTRA}'.")
    body = json.loads(ask.text)
    steps: list[Step] = []
    for end, start in zip(found[1:], found, strict=False):
        step = _made(_STEPS[start, end], body, backend.most)
        body = step.request
        steps.append(step)
    end = found[-1]
    asked = dataclasses.replace(ask, dialect=end, path=_PATHS[end], query=b"", body=dumped(body), headers=_headers(ask, end))
    return Translated(asked, f"{ask.dialect}>{end}", tuple(steps))


def _made(step: Callable[[dict[str, Any], str], Step], body: dict[str, Any], most: str) -> Step:
    try:
        return step(body, most)
    except HeadroomError:
        raise
    except Exception as failure:  # fence: a body that no test of ours or LiteLLM's has seen
        raise InvalidRequest(f"The request cannot be translated for this backend ({type(failure).__name__}).") from failure


def _headers(ask: Ask, to: str) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in ask.headers if name not in _DROPPED]
    plain: Mapping[bytes, bytes] = {b"content-type": b"application/json", b"accept-encoding": b"identity"}
    return [*kept, *plain.items(), *([(b"anthropic-version", b"2023-06-01")] if to == MESSAGES else [])]


__all__ = ["EXTRA", "Translated", "installed", "load", "translated", "way"]

"""Answers to requests that are the same in everything that shapes an answer, kept in the shared store for a while.

Kept is an answer that a model ended by itself, with words: never an error, a call to a tool of the
client, a truncated, filtered or refused answer, nor what its provider marked `no-store`. It is kept
as it came and told again as it came; to who asks for the other form it is converted, and where
that is not possible without losing something, the provider is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import zstandard

from headroom.dialects.answers import AnswerForm, Event
from headroom.encodings import decoded
from headroom.errors import HeadroomError
from headroom.model import Call
from headroom.sse import EventReader
from headroom.store.threaded import ThreadedStore

MAX_ANSWER_BYTES = 1_000_000  # as it came and decoded; larger ones are not kept
_NOTHING: tuple[Any, ...] = (None, "", [], {})
JSON, STREAM = "application/json", "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that may be given again: its bytes, decoded, and when it was complete (seconds since the epoch)."""

    body: bytes
    stream: bool
    at: float

    def age_s(self, now: float) -> int:
        return max(0, int(now - self.at))


@dataclass(frozen=True, slots=True)
class Told:
    """What a client got: status, headers with lower-case names, and the body with the encoding it was sent in."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ExactCache:
    """`ttl_s` is how long an answer is given again; reading does not renew it."""

    def __init__(self, store: ThreadedStore, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._clock = clock

    async def get(self, scope: str, key: str) -> Answer | None:
        """Raises StoreUnavailable."""
        packed = await self._store.get_answer(scope, key)
        answer = None if packed is None else unpack(packed)
        return answer if answer and self._clock() - answer.at <= self._ttl_s else None

    async def put(self, scope: str, key: str, told: Told, form: AnswerForm) -> Answer | None:
        """Keep what was told, in place of an earlier answer, if it may be given again. Raises StoreUnavailable."""
        answer = worth_keeping(told, form, self._clock())
        if answer:
            await self._store.put_answer(scope, key, pack(answer), self._ttl_s)
        return answer


def worth_keeping(told: Told, form: AnswerForm, now: float) -> Answer | None:
    """The answer in what a client got, None for what must not be given again."""
    kind = told.headers.get("content-type", "")
    if told.status != 200 or not kind.startswith((JSON, STREAM)) or "no-store" in told.headers.get("cache-control", "").lower():
        return None
    try:
        body = decoded(told.body, told.headers.get("content-encoding", ""), MAX_ANSWER_BYTES)
    except HeadroomError:
        return None
    answer = Answer(body, kind.startswith(STREAM), now)
    whole = whole_of(answer, form)
    return answer if whole is not None and form.is_final(whole) else None


def whole_of(answer: Answer, form: AnswerForm) -> Event | None:
    """The answer as one JSON object."""
    if answer.stream:
        return form.whole(list(EventReader().feed(answer.body)))
    try:
        whole = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return whole if isinstance(whole, dict) else None


def told_for(answer: Answer, call: Call, form: AnswerForm) -> bytes | None:
    """The body in the form that this call asks for, the original bytes where it is the same; None when it cannot be told so."""
    whole = whole_of(answer, form)
    if whole is None:
        return None
    wanted, known = form.tells_usage(call), form.usage_told(whole)
    if answer.stream == call.stream and (wanted == known or not call.stream):
        return answer.body
    if wanted and not known:
        return None
    try:
        return _streamed(whole, wanted, form) if call.stream else json.dumps(whole, separators=(",", ":")).encode()
    except RecursionError:
        return None


def _streamed(whole: Event, usage: bool, form: AnswerForm) -> bytes | None:
    """The answer as a stream, if that tells all of it."""
    told = b"".join(form.events(whole, usage))
    again = form.whole(list(EventReader().feed(told)))
    aside = () if usage else ("usage",)
    return told if again is not None and _said(again, aside) == _said(whole, aside) else None


def _said(value: Any, aside: tuple[str, ...] = ()) -> Any:
    """A value without members that say nothing, which one form writes out and the other leaves out."""
    if isinstance(value, dict):
        return {name: _said(inner) for name, inner in value.items() if name not in aside and inner not in _NOTHING}
    return [_said(inner) for inner in value] if isinstance(value, list) else value


def pack(answer: Answer) -> bytes:
    head = json.dumps({"stream": answer.stream, "at": answer.at}).encode()
    return zstandard.ZstdCompressor(level=3).compress(head + b"\n" + answer.body)


def unpack(packed: bytes) -> Answer | None:
    """None for what another version wrote."""
    try:
        head, _, body = zstandard.ZstdDecompressor().decompress(packed).partition(b"\n")
        fields = json.loads(head)
        return Answer(body, bool(fields["stream"]), float(fields["at"]))
    except (zstandard.ZstdError, ValueError, KeyError, TypeError):
        return None

"""The cache step of a request: an answer given before, or the provider's noted down on its way to the client.

Which requests take part: those that want the same answer every time (a temperature of 0, or a
seed). A request that is sampled is answered by the provider however often it comes: who sends it
again wants another answer. `cache.sampled`, or the request header `x-headroom-cache: on`, lets those
take part too; `x-headroom-cache: off` and `x-headroom-bypass: true` keep a request out, `exact` from answers to other
wordings. As HTTP has it, `cache-control: no-cache` asks the provider and keeps what it says, `no-store` keeps nothing.

The key is over the client's own request, so how it was compressed is no part of it. A store that
fails is a miss.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import Message, Send

from headroom.cache.exact import JSON, MAX_ANSWER_BYTES, STREAM, Answer, Told, told_for
from headroom.cache.flights import Place
from headroom.cache.key import asks_for_sameness, exact_key, surroundings, unfit
from headroom.cache.question import Lone, key_with, lone_question
from headroom.dialects import ANSWERS, Dialect
from headroom.errors import StoreUnavailable
from headroom.model import Call, Caller
from headroom.policies import CacheRule
from headroom.proxy.admission import ANONYMOUS
from headroom.proxy.body import Incoming
from headroom.proxy.compress import Degraded
from headroom.proxy.services import Services
from headroom.proxy.similar import TIER
from headroom.proxy.threads import offload
from headroom.proxy.trace import Trace
from headroom.worker import STORE_UNAVAILABLE

_STORE_DOWN = ("cache", STORE_UNAVAILABLE)


@dataclass
class Capture:
    """Passes an answer on and notes it, as far as it may be kept."""

    send: Send
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    _status: int = 0
    _headers: dict[str, str] = field(default_factory=dict)
    _too_large: bool = False

    async def __call__(self, message: Message) -> None:
        await self.send(message)
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        elif not self._too_large:
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)
            if len(self.body) > MAX_ANSWER_BYTES:
                self._too_large, self.complete = True, False
                self.body.clear()

    def told(self) -> Told:
        return Told(self._status, self._headers, bytes(self.body))


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer given before, and its body as a request wants it; `similarity` when it was given to another wording."""

    answer: Answer
    body: bytes
    similarity: float | None = None


@dataclass(frozen=True)
class Question:
    """A request that takes part: where its answer is kept, and what may be done. `lone` is what it asks, where meaning is compared."""

    scope: str
    key: str
    call: Call
    dialect: Dialect
    read: bool
    single_flight: bool
    around: tuple[str, ...]
    lone: Lone | None = None
    threshold: float = 1.0  # the least cosine of another wording

    @property
    def place(self) -> Place:
        return self.scope, self.key

    async def known(self, services: Services, trace: Trace) -> Hit | None:
        """An answer given before, to this request or to one that asks the same; also one that is on its way, where waiting is no loss.

        A stream is never held back, and an answer to a request with tools is likely none that may be given again.
        """
        if not self.read:
            return None
        found = await self._find(self.key, services, trace)
        patient = self.single_flight and not self.call.stream and not self.call.body.get("tools")
        if found is None and patient and await services.flights.wait(self.place):
            found = await self._find(self.key, services, trace)
        return found or await self._similar(services, trace)

    async def _find(self, key: str, services: Services, trace: Trace, similarity: float | None = None) -> Hit | None:
        try:
            answer = await services.answers.get(self.scope, key)
        except StoreUnavailable:
            trace.degraded = (*trace.degraded, _STORE_DOWN)
            return None
        body = told_for(answer, self.call, ANSWERS[self.dialect]) if answer else None
        return Hit(answer, body, similarity) if answer and body is not None else None

    async def _similar(self, services: Services, trace: Trace) -> Hit | None:
        """The answer to another wording, if this very request with those words has its key: then nothing else differs."""
        if self.lone is None:
            return None
        try:
            found = await services.similar.find(self.lone, self.threshold)
        except Degraded as degraded:
            trace.degraded = (*trace.degraded, (TIER, degraded.reason))
            return None
        if found is None or key_with(self.call, found.text, self.around) != found.key:
            return None
        return await self._find(found.key, services, trace, found.similarity)

    async def keep(self, capture: Capture, services: Services, trace: Trace) -> None:
        """Keep the answer that was given, if it is complete and may be given again."""
        if not capture.complete:
            return
        try:
            kept = await services.answers.put(self.scope, self.key, capture.told(), ANSWERS[self.dialect])
        except StoreUnavailable:
            trace.degraded = (*trace.degraded, _STORE_DOWN)
            return
        if kept and self.lone:
            services.similar.learn(self.scope, self.lone, self.key)


async def question(
    request: Incoming, call: Call, caller: Caller, dialect: Dialect, services: Services, rule: CacheRule, address: str
) -> Question | None:
    """The request, which goes to `address`, as the cache knows it; None when it takes no part. `rule` wins over the settings.

    Costs nothing for most that do not.
    """
    headers, settings = request.headers, services.settings.cache
    enabled, sampled = _either(rule.enabled, settings.enabled), _either(rule.sampled, settings.sampled)
    wish = headers.get("x-headroom-cache", "").lower()
    control = {part.strip() for part in headers.get("cache-control", "").lower().split(",")}
    if not enabled or caller == ANONYMOUS or wish in ("off", "false") or is_bypassed(headers) or "no-store" in control:
        return None
    if not (sampled or wish in ("on", "true") or asks_for_sameness(call)) or unfit(call):
        return None
    semantic = _either(rule.semantic, settings.semantic) and wish != "exact"
    around = surroundings(address, request.scope["query_string"].decode("latin-1"), headers)
    try:
        key = await offload(len(call.text), exact_key, call, around)
        lone = lone_question(call, caller.scope, around) if semantic and services.similar.usable else None
    except RecursionError:
        return None
    return Question(
        caller.scope,
        key,
        call,
        dialect,
        read="no-cache" not in control,
        single_flight=_either(rule.single_flight, settings.single_flight),
        around=around,
        lone=lone,
        threshold=settings.threshold if rule.threshold is None else rule.threshold,
    )


def _either(first: bool | None, second: bool) -> bool:
    return second if first is None else first


def is_bypassed(headers: Headers) -> bool:
    """Whether the request asks to be passed through."""
    return headers.get("x-headroom-bypass", "").lower() == "true" or headers.get("x-headroom-mode", "").lower() in ("off", "passthrough")


async def tell(hit: Hit, call: Call, send: Send, trace: Trace, received: float) -> None:
    """Give the answer again, in one piece, and say that it is one of before; `received` is when the request came, monotonic."""
    trace.cache, trace.status = "exact" if hit.similarity is None else "semantic", 200
    trace.similarity = hit.similarity
    trace.overhead_ms = trace.ttfb_ms = 1000 * (time.perf_counter() - received)
    kind = f"{STREAM}; charset=utf-8" if call.stream else JSON
    headers = [(b"content-type", kind.encode()), (b"age", str(hit.answer.age_s(time.time())).encode()), *trace.headers()]
    if not call.stream:
        headers.append((b"content-length", str(len(hit.body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": hit.body, "more_body": False})
    trace.complete = True

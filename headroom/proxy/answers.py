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

import json
import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Send

from headroom.cache.exact import JSON, STREAM, Answer, told_for
from headroom.cache.key import asks_for_sameness, exact_key, plain, surroundings, unfit
from headroom.cache.question import Lone, key_with, lone_question
from headroom.dialects import ANSWERS, Dialect
from headroom.errors import StoreUnavailable
from headroom.model import Call, Caller
from headroom.policies import CacheRule
from headroom.proxy.admission import ANONYMOUS
from headroom.proxy.body import Incoming
from headroom.proxy.compress import Degraded
from headroom.proxy.flights import Flight, Place
from headroom.proxy.services import Services
from headroom.proxy.similar import TIER
from headroom.proxy.threads import offload
from headroom.proxy.trace import Trace
from headroom.worker import STORE_UNAVAILABLE

_STORE_DOWN = ("cache", STORE_UNAVAILABLE)


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
    def shares(self) -> bool:
        """Whether one answer serves all who ask this meanwhile; one to a request with tools is likely none that may be given again."""
        return self.single_flight and not self.call.body.get("tools")

    @property
    def places(self) -> tuple[Place, ...]:
        """Where others find this request while it is on its way: by what it asks, a streamed one also by the words it is told in."""
        whole = Place(self.scope, self.key)
        return (whole, self._streamed) if self.call.stream and self.shares else (whole,)

    @property
    def _streamed(self) -> Place:
        options = json.dumps(plain(self.call.body.get("stream_options")), sort_keys=True)
        return Place(self.scope, self.key, f"stream {options}")

    def flight(self, send: Send) -> Flight:
        return Flight(send, ANSWERS[self.dialect], shared=self.call.stream and self.shares)

    async def known(self, services: Services, trace: Trace) -> Hit | Flight | None:
        """An answer given before, to this request or to one that asks the same, or one that is on its way.

        The latter is looked for first, so that one that ends while the store is asked is not missed, and last, so that nothing is waited
        for between not finding one and being found.
        """
        if not self.read:
            return None
        before = self._leader(services)
        found = await self._find(self.key, services, trace) or await self._similar(services, trace)
        if found:
            return found
        leader = self._leader(services) or before
        return await self._joined(leader, services, trace) if leader else None

    def _leader(self, services: Services) -> Flight | None:
        return services.flights.at(self.places[-1]) if self.shares else None

    async def _joined(self, leader: Flight, services: Services, trace: Trace) -> Hit | Flight | None:
        """The answer to an equal request: as it comes where a stream is wanted, else when it is kept."""
        if self.call.stream:
            return leader if await leader.begun() else None
        await leader.over()
        return await self._find(self.key, services, trace)

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

    async def keep(self, flight: Flight, services: Services, trace: Trace) -> None:
        """Keep the answer that was given, if it is complete and may be given again."""
        told = flight.told
        if told is None:
            return
        try:
            kept = await services.answers.put(self.scope, self.key, told, ANSWERS[self.dialect])
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


async def tell(found: Hit | Flight, call: Call, send: Send, trace: Trace, received: float) -> None:
    """Give the answer again, in one piece or as it comes, and say that it is one of before; `received` is when the request came, monotonic.

    Raises UpstreamBroke when what comes breaks off.
    """
    hit = found if isinstance(found, Hit) else None
    trace.similarity = hit.similarity if hit else None
    trace.cache, trace.status = "exact" if trace.similarity is None else "semantic", 200
    trace.ttfb_ms = 1000 * (time.perf_counter() - received)
    trace.overhead_ms = trace.ttfb_ms if hit else 0.0  # it would have waited for the provider too
    kind = f"{STREAM}; charset=utf-8" if call.stream else JSON
    age = hit.answer.age_s(time.time()) if hit else 0
    headers = [(b"content-type", kind.encode()), (b"age", str(age).encode()), *trace.headers()]
    if hit and not call.stream:
        headers.append((b"content-length", str(len(hit.body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def show(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    if isinstance(found, Flight):
        await found.show(show)
    await send({"type": "http.response.body", "body": hit.body if hit else b"", "more_body": False})
    trace.complete = True

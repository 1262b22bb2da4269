"""The cache step of a request: an answer given before, or the provider's noted down on its way to the client.

Which requests take part: those that want the same answer every time (a temperature of 0, or a
seed). A request that is sampled is answered by the provider however often it comes: who sends it
again wants another answer. `cache.sampled`, or the request header `x-headroom-cache: on`, lets those
take part too; `x-headroom-cache: off` and `x-headroom-bypass: true` keep a request out. As HTTP has
it, `cache-control: no-cache` asks the provider and keeps what it says, `no-store` keeps nothing.

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
from headroom.dialects import ANSWERS, Dialect
from headroom.errors import StoreUnavailable
from headroom.model import Call, Caller
from headroom.policies import CacheRule
from headroom.proxy.admission import ANONYMOUS
from headroom.proxy.body import Incoming
from headroom.proxy.services import Services
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


@dataclass(frozen=True)
class Question:
    """A request that takes part: where its answer is kept, and what may be done."""

    scope: str
    key: str
    call: Call
    dialect: Dialect
    read: bool
    write: bool
    single_flight: bool

    @property
    def place(self) -> Place:
        return self.scope, self.key

    async def known(self, services: Services, trace: Trace) -> tuple[Answer, bytes] | None:
        """An answer given before and its body as this request wants it; also one that is on its way, where waiting for it is no loss.

        A stream is never held back, and an answer to a request with tools is likely none that may be given again.
        """
        if not self.read:
            return None
        found = await self._find(services, trace)
        patient = self.single_flight and not self.call.stream and not self.call.body.get("tools")
        if found is None and patient and await services.flights.wait(self.place):
            found = await self._find(services, trace)
        return found

    async def _find(self, services: Services, trace: Trace) -> tuple[Answer, bytes] | None:
        try:
            answer = await services.answers.get(self.scope, self.key)
        except StoreUnavailable:
            trace.degraded = (*trace.degraded, _STORE_DOWN)
            return None
        body = told_for(answer, self.call, ANSWERS[self.dialect]) if answer else None
        return (answer, body) if answer and body is not None else None

    async def keep(self, capture: Capture, services: Services, trace: Trace) -> None:
        """Keep the answer that was given, if it is complete and may be given again."""
        if not self.write or not capture.complete:
            return
        try:
            await services.answers.put(self.scope, self.key, capture.told(), ANSWERS[self.dialect])
        except StoreUnavailable:
            trace.degraded = (*trace.degraded, _STORE_DOWN)


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
    around = surroundings(address, request.scope["query_string"].decode("latin-1"), headers)
    try:
        key = await offload(len(call.text), exact_key, call, around)
    except RecursionError:
        return None
    patient = _either(rule.single_flight, settings.single_flight)
    return Question(caller.scope, key, call, dialect, read="no-cache" not in control, write=True, single_flight=patient)


def _either(first: bool | None, second: bool) -> bool:
    return second if first is None else first


def is_bypassed(headers: Headers) -> bool:
    """Whether the request asks to be passed through."""
    return headers.get("x-headroom-bypass", "").lower() == "true" or headers.get("x-headroom-mode", "").lower() in ("off", "passthrough")


async def tell(answer: Answer, body: bytes, call: Call, send: Send, trace: Trace, received: float) -> None:
    """Give the answer again, in one piece, and say that it is one of before; `received` is when the request came, monotonic."""
    trace.cache, trace.status = "exact", 200
    trace.overhead_ms = trace.ttfb_ms = 1000 * (time.perf_counter() - received)
    kind = f"{STREAM}; charset=utf-8" if call.stream else JSON
    headers = [(b"content-type", kind.encode()), (b"age", str(answer.age_s(time.time())).encode()), *trace.headers()]
    if not call.stream:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
    trace.complete = True

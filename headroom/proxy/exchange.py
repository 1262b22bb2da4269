"""One request to a provider route, a straight line from the client's bytes to the last byte of the answer.

Whatever fails on our side, the client's own bytes go on. The outcome is built at one place, in
`finally`, for every request: answered, refused, failed or abandoned.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from headroom import waste
from headroom.backends.base import HeaderList
from headroom.conversation import read_conversation
from headroom.dialects import Dialect, documents
from headroom.dialects.base import splice, system_texts
from headroom.errors import HeadroomError
from headroom.model import Call, Caller, Compressed
from headroom.proxy.admission import ANONYMOUS
from headroom.proxy.answers import Capture, Hit, Question, question, tell
from headroom.proxy.body import Body, ClientGone, Fields, Incoming, read_body
from headroom.proxy.compression import compressed, deadline_s
from headroom.proxy.context import Asking, asking, fitted
from headroom.proxy.held_out import HELD_OUT
from headroom.proxy.offer import Offer, offer
from headroom.proxy.refusal import send_error
from headroom.proxy.relay import Meter, UpstreamBroke, closed, disconnected, kind_of, relay, until_gone
from headroom.proxy.rounds import Rounds, follow
from headroom.proxy.routing import conversation_of
from headroom.proxy.services import Services
from headroom.proxy.taken import taken
from headroom.proxy.threads import offload
from headroom.proxy.trace import Trace
from headroom.proxy.tracing import ended
from headroom.proxy.upstream import ask_of, request_headers, response_headers

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_CLIENT_CLOSED = 499  # status of an outcome whose client went away before the answer
_log = logging.getLogger(__name__)


class ProviderRoute:
    """ASGI endpoint of one provider route."""

    def __init__(self, dialect: Dialect, services: Services) -> None:
        self._dialect = dialect
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Fields(scope)
        with self._services.tracing.request(headers, scope["path"]) as span:
            await self._answer(scope, headers, receive, send, span)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send, span: Span | None) -> None:
        services = self._services
        trace = Trace(
            self._dialect,
            services.rollout.by_settings,
            scope["headroom.request_id"],
            tags=tags_of(headers),
            offer_from=offer_from(headers, services),
            route=scope["path"],
            client=client_of(headers),
        )
        try:
            body = await read_body(headers, receive, 1_000_000 * services.settings.max_body_mb)
            work = exchange(Incoming(scope, headers, body), send, trace, services)
            await until_gone(work, disconnected(receive), lambda: trace.complete)
        except (ClientGone, asyncio.CancelledError) as gone:
            trace.error = "client_disconnected"
            trace.status = trace.status or _CLIENT_CLOSED
            if isinstance(gone, asyncio.CancelledError):
                raise
        except HeadroomError as failure:
            trace.error, trace.status = failure.message, failure.status
            await send_error(send, self._dialect, failure, trace.headers())
        except UpstreamBroke as broke:
            trace.error = f"upstream_broke: {broke}"
            raise
        finally:
            if trace.ticket:
                answered = 200 <= trace.status < 300 and not trace.cache
                charged = answered or (trace.sent and trace.status == _CLIENT_CLOSED)
                services.admission.settle(trace.ticket, trace.billed, charged=charged)
            outcome = trace.outcome()
            services.recorder.record(outcome)
            ended(span, outcome)


async def exchange(request: Incoming, send: Send, trace: Trace, services: Services) -> None:
    """Steps 2 to 11 of a request; raises what the client has to be told."""
    received = time.perf_counter()
    dialect, body = trace.dialect, request.body
    caller = trace.caller = await services.admission.enter(request.headers, request.scope["path"])
    parse = services.readings.reader(f"{dialect.name} {caller.scope}") if caller.scope else documents.parse
    call = await offload(len(body.decoded), dialect.read, body.decoded, parse)
    trace.model, trace.stream = call.model, call.stream
    trace.chars = trace.came = dialect.chars(call)
    trace.treatment = services.rollout.treatment(trace.route, caller, call.model)
    trace.treatment.admit(call.model, readable=call.reason != "duplicate_keys")
    home = request.scope.get("headroom.home", True)
    target = services.backends.target(trace.route, call.model, dialect.provider, trace.treatment.backend, home=home)
    trace.way = target.way(lambda: conversation_of(call, caller))
    billed_by, billed_as = trace.way.backend.kind, trace.way.backend.billed(call.model)
    trace.ticket = await services.admission.admit(caller, call, billed_by, billed_as, trace.chars, trace.request_id)
    asked, known = await looked_up(request, call, target.address, trace, services)
    if known:
        await tell(known, call, send, trace, received)
    elif asked:
        with services.flights.lead(asked.place):
            capture = Capture(send)
            await forward(request, call, capture, trace, services, received)
            await keep(asked, capture, trace, services)
    else:
        await forward(request, call, send, trace, services, received)


async def forward(request: Incoming, call: Call, send: Send, trace: Trace, services: Services, received: float) -> None:
    """Steps 6 to 12: the request made smaller, sent on, and its answer relayed; `received` is when it came, monotonic."""
    dialect, body, caller = trace.dialect, request.body, trace.caller
    trace.treatment = await services.rollout.in_force(trace.treatment, call, dialect, caller, trace.route, request.headers)
    forwarded, offered = body.wire, None
    trace.skip_reason = skip_reason(call, caller, trace)
    if not trace.skip_reason:
        with services.tracing.span("compression"):
            forwarded, offered = await smaller(call, body, caller, trace, services)
    trace.overhead_ms = 1000 * (time.perf_counter() - received)

    way = trace.way
    assert way is not None
    if way.backend.own:  # it reads the body
        forwarded = forwarded if forwarded is not body.wire else body.decoded
    outgoing = request_headers(request.scope, body_changed=way.backend.own or forwarded is not body.wire, readable=offered is not None)

    async def ask(content: bytes) -> httpx.Response:
        if trace.rounds:  # not the request that the client gave a key to
            outgoing[:] = [(name, value) for name, value in outgoing if name.lower() != b"idempotency-key"]
        trace.sent = True
        wanted = ask_of(request.scope, dialect.name, outgoing, content, model=call.model, stream=call.stream)
        with services.tracing.provider(way.backend.kind, call.model):
            return await way.send(wanted, dialect, caller, services.admission, services.upstream)

    response = await ask(forwarded)
    try:
        trace.status = response.status_code
        headers = response_headers(response) + trace.headers()
        with services.tracing.span("answer"):
            if offered:
                first = await follow(response, headers, send, Rounds(offered, forwarded, ask, trace, services))
            else:
                first = await metered(response, headers, send, trace)
        trace.complete = True
        trace.ttfb_ms = 1000 * (first - received)
    finally:
        await closed(response)


async def looked_up(request: Incoming, call: Call, address: str, trace: Trace, services: Services) -> tuple[Question | None, Hit | None]:
    """The request as the cache knows it, and the answer given before; whatever fails is a miss."""
    try:
        with services.tracing.span("cache"):
            asked = await question(request, call, trace.caller, trace.dialect, services, trace.treatment.cache, address)
            return asked, await asked.known(services, trace) if asked else None
    except Exception:  # fence: the cache fails open
        _log.exception("request %s is not looked up in the cache", trace.request_id)
        return None, None


async def keep(asked: Question, capture: Capture, trace: Trace, services: Services) -> None:
    """Note the answer down; the client has it already."""
    try:
        await asked.keep(capture, services, trace)
    except Exception:  # fence: the cache fails open
        _log.exception("the answer to request %s is not kept", trace.request_id)


async def metered(response: httpx.Response, headers: HeaderList, send: Send, trace: Trace) -> float:
    """Relay an answer and note what was billed for it."""
    meter = Meter(trace.dialect, kind_of(response, trace.stream), response.headers.get("content-encoding", ""))
    cut = True
    try:
        first = await relay(response, headers, send, meter)
        cut = False
        return first
    finally:
        trace.ended(meter, cut=cut)


async def smaller(call: Call, body: Body, caller: Caller, trace: Trace, services: Services) -> tuple[bytes, Offer | None]:
    """The bytes to forward: smaller ones, or `body.wire` itself when nothing became smaller; and the tool, where it is offered."""
    policy, least = trace.treatment.policy, None if trace.shadow else trace.offer_from
    timeout_s = deadline_s(services.settings.compression, len(call.text))
    try:
        talk = await offload(call.fresh, read_conversation, trace.dialect, call, policy, caller.scope)
        trace.conversation, trace.turns = talk.id, len(talk.turns)
        trace.arm = "" if trace.shadow else await services.holdout.arm(talk.id)
        if trace.arm == HELD_OUT:
            trace.skip_reason = HELD_OUT
            return body.wire, None
        done = await compressed(services, talk, model=call.model, timeout_s=timeout_s, learn=not trace.shadow)
        offered = await offer(trace.dialect, call, talk, done.results, services, least)
        more = offered.edits if offered else ()
        spliced = await offload(len(call.text), splice, call, talk.segments, done.results, talk.turns, done.recalled, more)
    except HeadroomError as failure:
        trace.skip_reason = failure.kind
        return body.wire, None
    except Exception:  # fence: compression fails open
        _log.exception("request %s is forwarded untouched", trace.request_id)
        trace.skip_reason = "failed"
        return body.wire, None
    trace.degraded = (*trace.degraded, *done.degraded)
    trace.waste = with_dates(done.waste, call, trace.turns)
    trace.results = [*done.results, *done.recalled, *(offered.added if offered else ())]
    looked_at = zip(talk.segments, done.results, strict=True)
    trace.chars -= sum(len(segment.text) for segment, result in looked_at if result.tokens_before)
    if policy.fidelity == "reversible":
        said = tuple(zip(talk.turns, done.recalled, strict=True))
        request = asking(call, caller, spliced, trace.results, talk, services.settings.context, added=more, turns=said)
        spliced = await within_window(request, trace, services, timeout_s)
    if spliced is call.raw:
        trace.skip_reason = why_untouched(trace.results)
        return body.wire, None
    trace.taken = taken(call, talk.segments, done.results, talk.turns, done.recalled, as_came=trace.shadow)
    if trace.shadow:
        trace.skip_reason = "shadow"
        return body.wire, None
    return spliced, offered


async def within_window(request: Asking, trace: Trace, services: Services, timeout_s: float) -> bytes:
    """The bytes to forward for a conversation that may have outgrown its model."""
    try:
        with services.tracing.span("context"):
            fit = await fitted(services, request, timeout_s)
    except Exception:  # fence: what is compressed already goes out
        _log.exception("request %s is forwarded without looking at its model's window", trace.request_id)
        trace.results = [*trace.results, Compressed(None, reason="context_failed")]
        return request.body
    trace.results, trace.left_out = [*trace.results, *fit.results], fit.tokens_left_out
    trace.degraded += fit.degraded
    trace.cut_by = fit.transform
    return fit.body


def with_dates(found: tuple[tuple[str, int], ...], call: Call, turns: int) -> tuple[tuple[str, int], ...]:
    """And what changes in the system prompt from request to request, told once for a conversation."""
    if turns != 1:
        return found
    dates = waste.signals((), system_texts(call.body))["dynamic_date"]
    return (*found, ("dynamic_date", dates)) if dates else found


def offer_from(headers: Headers, services: Services) -> int | None:
    """How many tokens a first request must leave out for the model to be offered the retrieve tool; None: never."""
    settings = services.settings.compression
    wish = headers.get("x-headroom-ccr", "").lower()
    if not settings.ccr or wish in ("off", "false"):
        return None
    return 0 if wish in ("on", "true") else settings.ccr_tokens


def skip_reason(call: Call, caller: Caller, trace: Trace) -> str:
    """Why a whole call is forwarded untouched, before anything is looked at."""
    if trace.mode == "off":
        return "policy_off" if trace.treatment.rule else "bypass"
    if not caller.scope:
        return "no_credential" if caller == ANONYMOUS else "store_unavailable"
    return call.reason


def why_untouched(results: Sequence[Compressed]) -> str:
    """One reason for a call in which nothing changed: the most serious, else the most frequent."""
    reasons = [result.reason for result in results if result.reason]
    if not reasons:
        return "nothing_to_compress"
    serious = [reason for reason in reasons if reason.startswith(("compressor_", "context_", "store_", "failed"))]
    return max(sorted(set(serious or reasons)), key=(serious or reasons).count)


def client_of(headers: Headers) -> str:
    """The first product that the user agent names, without its version."""
    return headers.get("user-agent", "").split(" ")[0].partition("/")[0][:60]


def tags_of(headers: Headers) -> tuple[tuple[str, str], ...]:
    """`x-headroom-*` request headers that are not instructions, at most 20 of 100 characters."""
    instructions = {"x-headroom-bypass", "x-headroom-mode", "x-headroom-api-key", "x-headroom-ccr", "x-headroom-cache"}
    pairs = [(name[11:], value[:100]) for name, value in headers.items() if name.startswith("x-headroom-") and name not in instructions]
    return tuple(pairs[:20])

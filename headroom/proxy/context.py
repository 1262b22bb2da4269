"""Step 8 of a request: a conversation that no longer fits the model's window is cut, once, and forwarded so ever after.

What is decided is remembered under a key over the messages it was decided for, first writer wins: a later turn, on any
replica, finds it by its own prefix. A call that fits is not looked at twice. Whatever fails, the compressed bytes go
out as they are, with a reason.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headroom import tokens, worker
from headroom.context.choice import Outgrown
from headroom.context.cut import VERSION, Cut, decode, encode
from headroom.context.fit import Fitted, next_cut, originals
from headroom.context.intelligent import ByImportance, about_now, said, to_embed
from headroom.context.references import whole
from headroom.context.rolling_window import OldestFirst
from headroom.context.units import units
from headroom.context.view import Blocks, Count, View, apply, fits_view, size, view
from headroom.context.windows import Room, budget, room, window
from headroom.conversation import Conversation
from headroom.dialects import wire
from headroom.dialects.base import Parse, word
from headroom.dialects.outline import chain, read_again
from headroom.errors import StoreUnavailable
from headroom.model import Call, Caller, Compressed
from headroom.proxy.asked_back import Asked, AskedBack
from headroom.proxy.compress import Degraded
from headroom.proxy.compression import deadline_s
from headroom.proxy.services import Services
from headroom.proxy.threads import offload
from headroom.scoring import importance
from headroom.settings import ContextSettings

DEADLINE = "context_deadline"
STORE_UNAVAILABLE = "context_store_unavailable"
UNSUPPORTED = "context_unsupported"
PARTIAL = "context_kept_by_provider"  # some of the messages are not in the request
SCORER = "context_scorer_"  # and why it gave no vectors
RECALL = "context_recall_"  # and why nothing was looked for in what left
CHOICE = "context_choice_"  # and why the oldest left, not what matters least
_FOR_CHOICE = 0.75  # of the time there is, that it may take to choose
_FOR_VECTORS = 0.5  # of what any request may be held up, however long its caller would wait: a scorer may have to be started first


@dataclass(frozen=True, slots=True)
class Asking:
    """One request at this step: the call as it came, what compression made of it, and how much may go out.

    `added` are the edits among those of `body` that may have made more than one message of one, `whole` says that what
    stands beside the messages takes room too.
    """

    call: Call
    caller: Caller
    body: bytes
    results: Sequence[Compressed]
    added: Sequence[wire.Edit]
    talk: Conversation
    turns: Sequence[Asked]
    room: Room
    salt: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Fit:
    """What goes out: the body, how many tokens left, how it is labelled, and why something is not as it should be."""

    body: bytes
    tokens_left_out: int = 0
    transform: str = ""
    reasons: Sequence[str] = ()

    @property
    def degraded(self) -> tuple[tuple[str, str], ...]:
        """The tiers that did not answer, each with its reason."""
        tiers = ((SCORER, "scorer"), (RECALL, "compressor"), (CHOICE, "compressor"))
        return tuple((tier, reason.removeprefix(what)) for reason in self.reasons for what, tier in tiers if reason.startswith(what))

    @property
    def results(self) -> list[Compressed]:
        """For the outcome."""
        told = [Compressed(None, reason=reason) for reason in self.reasons]
        return [*told, Compressed("", self.transform)] if self.transform else told


def asking(
    call: Call,
    caller: Caller,
    body: bytes,
    results: Sequence[Compressed],
    talk: Conversation,
    settings: ContextSettings,
    *,
    added: Sequence[wire.Edit] = (),
    turns: Sequence[Asked] = (),
) -> Asking:
    """A request against the window of its model."""
    found = window(call.model, settings.overrides, settings.default_window)
    free = room(call.model, found, answer_tokens(call), settings.output_reserve, settings.reserve)
    return Asking(call, caller, body, results, added, talk, turns, free, f"{VERSION}:{found.tokens}")


def within(budget_tokens: int, call: Call, caller: Caller, body: bytes, results: Sequence[Compressed], talk: Conversation) -> Asking:
    """Messages that must take no more than this, whatever the model."""
    salt = f"{VERSION}:budget:{budget_tokens}"
    return Asking(call, caller, body, results, (), talk, (), budget(budget_tokens), salt, whole=False)


def answer_tokens(call: Call) -> int | None:
    """How long an answer the request allows."""
    for key in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        value = word(call.body.get(key))
        if value.isdecimal():
            return int(value[:9])
    return None


async def fitted(services: Services, request: Asking, timeout_s: float) -> Fit:
    """The body, cut if it must be. Raises nothing over the store or the deadline."""
    if at_most(request.body, request.results) <= max(request.room.least, min(request.room.trigger, 2 * request.room.least)):
        return Fit(request.body)
    try:
        async with asyncio.timeout(timeout_s):
            return await _fitted(services, request, timeout_s)
    except TimeoutError:
        return Fit(request.body, reasons=[DEADLINE])
    except StoreUnavailable as failure:
        services.replay.failed(failure)
        return Fit(request.body, reasons=[STORE_UNAVAILABLE])


def at_most(body: bytes, results: Sequence[Compressed]) -> int:
    """A bound of a body's tokens that costs nothing: no token is shorter than a byte, and some texts were counted already.

    Most are four times as long, so a body of twice as many bytes as there are tokens in the least room was never cut.
    """
    counted = [result for result in results if result.text is not None]
    return len(body) - sum(len(result.text or "") for result in counted) + sum(result.tokens_after for result in counted)


async def _fitted(services: Services, request: Asking, timeout_s: float) -> Fit:
    free, large, scope = request.room, len(request.body), request.caller.scope
    counter = tokens.counter(request.call.model, services.settings.vocabulary_dir)
    count = services.counts.counting(counter, request.call.model)
    parse = services.readings.reader(f"forwarded {request.call.dialect} {scope}")
    counted_as = tokens.vocabulary_for(request.call.model) if counter.exact else ""
    seen = await offload(large, _view, request, count, counted_as, parse)
    if seen is None:
        return Fit(request.body, reasons=[UNSUPPORTED])
    if seen.total <= free.least:
        return Fit(request.body)
    if seen.partial:
        return Fit(request.body, reasons=[PARTIAL] if seen.total > free.trigger else [])
    keys = await offload(large, chain, request.call, f"context:{request.call.dialect}:{scope}:{request.salt}")
    cuts = _cuts(seen, await services.replay.lookup(scope, _ends(seen, keys), {}))
    cut, reasons = await offload(large, whole, seen, cuts[-1] if cuts else Cut(0)), [free.reason] if free.reason else []
    asked = AskedBack(services, request.call.model, scope, seen, keys, request.turns)
    blocks = await asked.known(cuts[0].messages) if cuts else {}
    if await offload(large, size, seen, cut, blocks, count) > free.trigger and cut.messages < len(keys):
        if services.replay.is_down:
            return Fit(request.body, reasons=[STORE_UNAVAILABLE])
        cut, told = await _next(services, request, seen, cut, blocks, keys[-1], timeout_s, count)
        cut, reasons = await offload(large, whole, seen, cut), [*reasons, *told]
    if not cut.messages:
        return Fit(request.body, reasons=reasons)
    await services.replay.keep(scope, await offload(large, originals, seen, cut, count))
    if cut.by == ByImportance.name:
        left = free.limit - await offload(large, size, seen, cut, blocks, count)
        blocks = await asked.now(cut, blocks, min(left, free.excerpts), timeout_s)
    reasons += [f"{RECALL}{reason}" for reason in asked.degraded]
    after = await offload(large, size, seen, cut, blocks, count)
    return Fit(await offload(large, apply, seen, cut, blocks), seen.total - after, cut.by, reasons)


async def _next(
    services: Services, request: Asking, seen: View, before: Cut, blocks: Blocks, key: str, timeout_s: float, count: Count
) -> tuple[Cut, Sequence[str]]:
    """The cut that stands after this request, ours or the one somebody else was first to make; and reasons."""
    settings, reasons = services.settings.context, list[str]()
    made: Fitted | None = None
    if settings.intelligent:
        made, reasons = await _by_importance(services, request, seen, before, blocks, timeout_s)
    if made is None:
        made = await asyncio.to_thread(next_cut, seen, before, blocks, request.room, settings.protect_turns, OldestFirst(), count)
        await services.store.put_originals(request.caller.scope, made.originals)
    if made.cut is None:
        return before, [made.reason]
    stands = decode((await services.replay.first({key: encode(made.cut)}))[key])
    return stands if stands and fits_view(seen, stands) else made.cut, reasons


async def _by_importance(
    services: Services, request: Asking, seen: View, before: Cut, blocks: Blocks, timeout_s: float
) -> tuple[Fitted | None, list[str]]:
    """The choice of a compressor, None where it made none; and why it is not there or knew less than it could."""
    settings = services.settings.context
    until = time.monotonic() + _FOR_CHOICE * timeout_s
    large, near, reasons = len(request.body), None, list[str]()
    if settings.scoring:
        wait_s = min(timeout_s, deadline_s(services.settings.compression, len(request.call.text)))
        near, reasons = await _near(services, seen, _FOR_VECTORS * wait_s)
    asked = Outgrown(
        view=await offload(large, seen.bare),
        before=before,
        blocks=blocks,
        room=request.room,
        turns=settings.protect_turns,
        tools={segment.slot[0]: segment.tool for segment in request.talk.segments if segment.tool},
        lineage=request.talk.lineage,
        near=near,
        scoring=settings.scoring,
        compress_first=settings.compress_first,
        model=request.call.model,
        scope=request.caller.scope,
    )
    try:
        made = await services.compress.cut(asked, until - time.monotonic())
    except Degraded as degraded:
        return None, [*reasons, f"{CHOICE}{degraded.reason}"]
    if made.reason == worker.STORE_UNAVAILABLE:
        raise StoreUnavailable("a compressor could not write to it")
    return made, reasons


async def _near(services: Services, seen: View, timeout_s: float) -> tuple[Sequence[float] | None, list[str]]:
    """How near each unit is by meaning to what the conversation is about now; None with the reason where nobody knows."""
    told = await asyncio.to_thread(said, seen, units(seen.messages, seen.sources), {})
    texts, now = to_embed(told), about_now(seen)
    try:
        vectors = await services.embed([*texts, *now], timeout_s)
    except Degraded as degraded:
        return None, [f"{SCORER}{degraded.reason}"]
    return await asyncio.to_thread(importance.similarity, vectors[: len(texts)], vectors[len(texts) :]), []


def _view(request: Asking, count: Count, counted_as: str, parse: Parse) -> View | None:
    seen = view(read_again(request.call, request.body, parse), request.call, request.added, count, counted_as)
    return seen if seen is None or request.whole else dataclasses.replace(seen, beside=0)


def _ends(seen: View, keys: Sequence[str]) -> list[str]:
    """The keys of the messages that a request can end with."""
    following = [*(message.side for message in seen.came), "assistant"][1:]
    return [key for key, side in zip(keys, following, strict=True) if side == "assistant"]


def _cuts(seen: View, known: Mapping[str, Compressed]) -> list[Cut]:
    """Those that were made on the way here, in order."""
    found = [cut for result in known.values() if (cut := decode(result)) is not None and fits_view(seen, cut)]
    return sorted(found, key=lambda cut: cut.messages)

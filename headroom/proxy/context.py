"""Step 8 of a request: a conversation that no longer fits the model's window is cut, once, and forwarded so ever after.

What is decided is remembered under a key over the messages it was decided for, first writer wins: a later turn, on any
replica, finds it by its own prefix. A call that fits is not looked at twice. Whatever fails, the compressed bytes go
out as they are, with a reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headroom import tokens
from headroom.context.cut import VERSION, Cut, decode, encode
from headroom.context.fit import Choice, State, next_cut, originals
from headroom.context.rolling_window import oldest_first
from headroom.context.view import Count, View, apply, fits_view, size, view
from headroom.context.windows import Room, room, window
from headroom.dialects import wire
from headroom.dialects.outline import chain, read_again
from headroom.errors import StoreUnavailable
from headroom.model import Call, Caller, Compressed
from headroom.proxy.services import Services
from headroom.proxy.threads import offload
from headroom.settings import ContextSettings

DEADLINE = "context_deadline"
STORE_UNAVAILABLE = "context_store_unavailable"
UNSUPPORTED = "context_unsupported"


@dataclass(frozen=True, slots=True)
class Asking:
    """One request at this step: the call as it came, what compression made of it, and how much may go out.

    `added` are the edits among those of `body` that may have made more than one message of one.
    """

    call: Call
    caller: Caller
    body: bytes
    results: Sequence[Compressed]
    added: Sequence[wire.Edit]
    room: Room
    salt: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What goes out: the body, how many tokens left, how it is labelled, and why something is not as it should be."""

    body: bytes
    tokens_left_out: int = 0
    transform: str = ""
    reasons: Sequence[str] = ()

    @property
    def results(self) -> list[Compressed]:
        """For the outcome."""
        told = [Compressed(None, reason=reason) for reason in self.reasons]
        return [*told, Compressed("", self.transform)] if self.transform else told


def asking(
    call: Call, caller: Caller, body: bytes, results: Sequence[Compressed], added: Sequence[wire.Edit], settings: ContextSettings
) -> Asking:
    """A request against the window of its model."""
    found = window(call.model, settings.overrides, settings.default_window)
    free = room(call.model, found, answer_tokens(call), settings.output_reserve, settings.reserve)
    return Asking(call, caller, body, results, added, free, f"{VERSION}:{found.tokens}")


def answer_tokens(call: Call) -> int | None:
    """How long an answer the request allows."""
    for key in ("max_completion_tokens", "max_tokens"):
        value = str(call.body.get(key, ""))
        if value.isdecimal():
            return int(value[:9])
    return None


async def fitted(services: Services, request: Asking, timeout_s: float) -> Fit:
    """The body, cut if it must be. Raises nothing over the store or the deadline."""
    if at_most(request.body, request.results) <= request.room.least:
        return Fit(request.body)
    try:
        async with asyncio.timeout(timeout_s):
            return await _fitted(services, request)
    except TimeoutError:
        return Fit(request.body, reasons=[DEADLINE])
    except StoreUnavailable as failure:
        services.replay.failed(failure)
        return Fit(request.body, reasons=[STORE_UNAVAILABLE])


def at_most(body: bytes, results: Sequence[Compressed]) -> int:
    """A bound of a body's tokens that costs nothing: no token is shorter than a byte, and some texts were counted already."""
    counted = [result for result in results if result.text is not None]
    return len(body) - sum(len(result.text or "") for result in counted) + sum(result.tokens_after for result in counted)


async def _fitted(services: Services, request: Asking) -> Fit:
    free, large, scope = request.room, len(request.body), request.caller.scope
    counter = tokens.counter(request.call.model, services.settings.vocabulary_dir)
    count = services.counts.counting(counter, request.call.model)
    seen = await offload(large, _view, request, count)
    if seen is None:
        return Fit(request.body, reasons=[UNSUPPORTED])
    if seen.total <= free.least:
        return Fit(request.body)
    keys = await offload(large, chain, request.call, f"context:{scope}:{request.salt}")
    known = await services.replay.lookup(scope, _ends(seen, keys), {})
    cut, reasons = _latest(seen, keys, known), [free.reason] if free.reason else []
    if await offload(large, size, seen, cut, {}, count) > free.trigger and cut.messages < len(keys):
        if services.replay.is_down:
            return Fit(request.body, reasons=[STORE_UNAVAILABLE])
        made = await asyncio.to_thread(next_cut, seen, cut, {}, free, services.settings.context.protect_turns, _oldest_first, count)
        if made.cut is not None:
            await services.store.put_originals(scope, made.originals)
            stands = await services.replay.first({keys[-1]: encode(made.cut)})
            cut = decode(stands[keys[-1]]) or made.cut
        else:
            reasons.append(made.reason)
    if not cut.messages:
        return Fit(request.body, reasons=reasons)
    await services.replay.keep(scope, await offload(large, originals, seen, cut, count))
    after = await offload(large, size, seen, cut, {}, count)
    return Fit(await offload(large, apply, seen, cut, {}), seen.total - after, "rolling_window", [*reasons, *cut.reasons])


def _view(request: Asking, count: Count) -> View | None:
    return view(read_again(request.call, request.body), request.call, request.added, count)


def _ends(seen: View, keys: Sequence[str]) -> list[str]:
    """The keys of the messages that a request can end with."""
    following = [message.side for message in seen.came[1:]]
    return [key for key, side in zip(keys, [*following, "assistant"], strict=True) if side == "assistant"]


def _latest(seen: View, keys: Sequence[str], known: Mapping[str, Compressed]) -> Cut:
    """The last cut that was made on the way here, or an empty one."""
    for key in reversed(keys):
        cut = decode(known[key]) if key in known else None
        if cut is not None and fits_view(seen, cut):
            return cut
    return Cut(0)


def _oldest_first(state: State, excess: int) -> Choice:
    return Choice(oldest_first(state.tokens, state.kept, excess))

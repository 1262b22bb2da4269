"""POST /v1/compress: the compression of a proxied request, for a caller who sends it on himself."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from headroom import tokens
from headroom.ccr import marker
from headroom.conversation import read_conversation
from headroom.dialects import Dialect, dialect_of, read_any, wire
from headroom.dialects.base import splice, understood
from headroom.dialects.outline import read_again
from headroom.errors import InvalidRequest
from headroom.model import Call, Caller, Compressed, Fidelity, Policy
from headroom.proxy import simulation
from headroom.proxy.compression import compressed
from headroom.proxy.context import SCORER, Asking, fitted, within
from headroom.proxy.services import Services
from headroom.proxy.threads import offload

ROUTE = "/v1/compress"
_UNTOUCHED = {"off": "policy_off", "shadow": "shadow"}  # why, by the mode of the policy
_TIMEOUT_S = 120.0  # the caller asked for compression and waits for it


async def compress_body(raw: bytes, caller: Caller, bypass: bool, services: Services) -> bytes:
    """Raises InvalidRequest for anything but {messages, model, config?}, or `input` in the place of `messages`."""
    call = await offload(len(raw), _read, raw)
    dialect = dialect_of(call)
    treatment = services.rollout.treatment(ROUTE, caller, call.model)
    treatment = await services.rollout.in_force(treatment, call, dialect, caller, ROUTE)
    policy = _policy(call, treatment.policy)
    texts = tuple(dialect.texts(call))
    untouched = "bypass" if bypass else call.reason or _UNTOUCHED.get(treatment.mode, "")
    if untouched:
        policy = dataclasses.replace(policy, fidelity="off")
    talk = await offload(len(raw), read_conversation, dialect, call, policy, caller.scope)
    digests = await offload(len(raw), services.counts.digests, texts, call.model)
    counts = services.counts.lookup(digests)
    new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in counts}
    done = await compressed(services, talk, model=call.model, timeout_s=_TIMEOUT_S, count=tuple(new.values()))
    estimated = bool(new) and done.counted is None
    counted = await offload(len(raw), _estimated, new.values()) if estimated else done.counted or ()
    counts |= zip(new, counted, strict=True)
    if not estimated:
        services.counts.remember(counts)
    spliced = await offload(len(raw), splice, call, talk.segments, done.results, talk.turns, done.recalled)
    rest = _figures(sum(counts[digest] for digest in digests), [*done.results, *done.recalled])
    if wanted := _budget(call):
        request = within(wanted, dataclasses.replace(call, dialect=dialect.name), caller, spliced, done.results, talk)
        spliced, more = await _fitted(request, policy, dialect, rest, services)
        rest |= more
    if untouched:
        rest["skip_reason"] = untouched
    if estimated:
        rest["tokens_estimated"] = True
    if simulation.wanted(call):
        messages = await offload(len(raw), _messages, spliced)
        rest |= await offload(len(raw), simulation.report, call, messages, rest)
    return _render(call, spliced, rest)


async def _fitted(
    request: Asking, policy: Policy, dialect: Dialect, told: dict[str, Any], services: Services
) -> tuple[bytes, dict[str, Any]]:
    """The body within its token budget, and the figures that are different now."""
    if policy.fidelity != "reversible":
        over = told["tokens_after"] > request.room.limit
        return request.body, {"skip_reason": "context_not_reversible"} if over else {}
    fit = await fitted(services, request, _TIMEOUT_S)
    failed = [reason for reason in fit.reasons if not reason.startswith(SCORER)]
    figures: dict[str, Any] = {"skip_reason": failed[0]} if failed else {}
    if fit.degraded:
        figures["degraded"] = dict(fit.degraded)
    if fit.body is request.body:
        return fit.body, figures
    count = services.counts.counting(tokens.counter(request.call.model, services.settings.vocabulary_dir), request.call.model)
    after = await offload(len(fit.body), lambda: sum(map(count, dialect.texts(read_again(request.call, fit.body)))))
    theirs = set(marker.hashes(request.call.text))
    before = told["tokens_before"]
    return fit.body, figures | {
        "tokens_after": after,
        "tokens_saved": before - after,
        "compression_ratio": round(after / before, 4) if before else 1.0,
        "transforms_applied": [*told["transforms_applied"], fit.transform],
        "transforms_summary": {**told["transforms_summary"], fit.transform: 1},
        "ccr_hashes": [hash for hash in dict.fromkeys(marker.hashes(fit.body.decode())) if hash not in theirs],
    }


def _budget(call: Call) -> int:
    """The tokens that the messages may take; 0 when nothing is said."""
    value = call.body.get("token_budget")
    if value is None:
        return 0
    if not (isinstance(value, wire.Number) and value.isdecimal() and int(value[:12]) > 0):
        raise InvalidRequest("token_budget: must be a whole number of tokens above 0.")
    return int(value[:12])


def _messages(spliced: bytes) -> Any:
    return json.loads(spliced).get("messages")


def _estimated(texts: Iterable[str]) -> Sequence[int]:
    return [tokens.Estimate().count(text) for text in texts]


def _read(raw: bytes) -> Call:
    call = understood(read_any(raw))
    if not call.model:
        raise InvalidRequest('model: the name of the model is required, for example "gpt-4o" or "claude-sonnet-4-5".')
    return call


def _policy(call: Call, policy: Policy) -> Policy:
    """What the request says of itself before what holds for it."""
    config = call.body.get("config")
    if config is None:
        return policy
    if not isinstance(config, dict):
        raise InvalidRequest("config: must be an object.")
    fidelity = config.get("fidelity", policy.fidelity)
    if fidelity not in get_args(Fidelity):
        raise InvalidRequest(f"config.fidelity: must be one of {', '.join(get_args(Fidelity))}.")
    return dataclasses.replace(policy, fidelity=fidelity)


def _figures(before: int, results: Sequence[Compressed]) -> dict[str, Any]:
    changed = [result for result in results if result.text is not None]
    saved = sum(result.tokens_saved for result in changed)
    return {
        "tokens_before": before,
        "tokens_after": before - saved,
        "tokens_saved": saved,
        "compression_ratio": round((before - saved) / before, 4) if before else 1.0,
        "transforms_applied": [result.label for result in changed],
        "transforms_summary": dict(Counter(result.transform for result in changed)),
        "ccr_hashes": list(dict.fromkeys(result.hash for result in changed if result.hash)),
        "skip_reasons": dict(Counter(result.reason for result in results if result.reason)),
    }


def _render(call: Call, spliced: bytes, rest: dict[str, Any]) -> bytes:
    """The messages stand in the reply as they stand in the spliced body, character for character; an `input` under both names."""
    key = "messages" if "messages" in call.body else "input"
    source: wire.Arr | wire.Str = call.body[key]
    text = spliced.decode()
    messages = text[source.start : source.end + len(text) - len(call.text)]
    again = f'"input":{messages},' if key == "input" else ""
    return f'{{"messages":{messages},{again}{json.dumps(rest)[1:]}'.encode()

"""What retrieval changes in a request: the tool behind the client's own, and what earlier answers read, put back where it was.

A definition stands in front of a conversation: adding one later makes the provider read everything
anew, and each request pays for it. Excerpts at the tail (`ccr.recall`) bring back most of what is
asked for without it. So it is decided when a conversation is first seen, by what that request
leaves out, and remembered under its first turn: later turns, other replicas and a restart find the
same decision, and the tool neither comes nor goes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from headroom.ccr.marker import TOOL_NAME
from headroom.conversation import NOTHING, Conversation
from headroom.dialects import RETRIEVALS, Dialect, Retrieval, wire
from headroom.dialects.retrieval import Tools
from headroom.model import Call, Compressed
from headroom.proxy.services import Services
from headroom.tokens import Estimate


@dataclass(frozen=True, slots=True)
class Offer:
    """The tool stands in a request, by `edits`; `added` says what that costs. `turn_key` is of the turn whose answer follows."""

    dialect: Dialect
    retrieval: Retrieval
    scope: str
    turn_key: str
    edits: Sequence[wire.Edit]
    added: Sequence[Compressed]

    def record_key(self, fingerprint: str) -> str:
        """Where what the answer gets back is remembered."""
        return _key("answer", self.dialect.name, self.scope, self.turn_key, fingerprint)


async def offer(
    dialect: Dialect, call: Call, talk: Conversation, results: Sequence[Compressed], services: Services, least: int | None
) -> Offer | None:
    """None when the model is not offered the tool in this conversation, or the client brings it itself.

    `least` is how many tokens a conversation must leave out when it is first seen; None forbids the tool.
    """
    retrieval = RETRIEVALS.get(dialect)
    if least is None or retrieval is None or not talk.turns or talk.policy.fidelity != "reversible":
        return None
    tools = retrieval.tools(call)
    if tools is None or any(name.endswith(TOOL_NAME) for name in tools.names):
        return None
    place = _key("offer", dialect.name, talk.scope, talk.policy.digest(), talk.turn_keys[0])
    decision = (await services.replay.lookup(talk.scope, [place], {})).get(place)
    if decision is None:
        decision = (await services.replay.pin([place], _decided(retrieval, tools, results, least)))[place]
    if decision.text is None:
        return None
    edits = [wire.Edit(tools.end, tools.end, f",{decision.text}")]
    added = [decision]
    for put in await _put_back(dialect, retrieval, call, talk, services):
        edits += put
        text = "".join(edit.text for edit in put)
        added.append(Compressed(text, "retrieved", tokens_after=len(text) // 4))  # roughly: it is counted in every turn
    return Offer(dialect, retrieval, talk.scope, talk.turn_keys[-1], edits, added)


def _decided(retrieval: Retrieval, tools: Tools, results: Sequence[Compressed], least: int) -> Compressed:
    """The definition as it will stand in every request of the conversation, or nothing."""
    cut = sum(result.tokens_saved for result in results if result.cut)
    text = retrieval.definition if tools.free and cut >= least else None
    return Compressed(text, "retrieve_tool", tokens_after=Estimate().count(text) if text else 0)


async def _put_back(
    dialect: Dialect, retrieval: Retrieval, call: Call, talk: Conversation, services: Services
) -> Sequence[Sequence[wire.Edit]]:
    """For each earlier answer that read something, what has to be put back."""
    ends = [turn.slot[0] for turn in talk.turns]
    answers = ((bisect_left(ends, said.start) - 1, said) for said in retrieval.said(call))
    found = {_key("answer", dialect.name, talk.scope, talk.turn_keys[turn], said.fingerprint): said for turn, said in answers if turn >= 0}
    if not found:
        return ()
    records = await services.replay.lookup(talk.scope, list(found), {})
    if not services.replay.is_down:  # an answer is written down before it ends: what is not there never will be
        services.replay.remember({place: NOTHING for place in found if place not in records})
    wanted = ((said, records[place].text) for place, said in found.items() if place in records)
    return [put for said, text in wanted if text is not None and (put := retrieval.put_back(call, said, text))]


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(("headroom_retrieve", *parts)).encode()).hexdigest()

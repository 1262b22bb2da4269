"""Conversations replayed request by request for `benchmarks.context`: what must hold at each, and what is visible in the last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks import corpus
from benchmarks.context_proxy import Proxy, proxy
from benchmarks.visible import Shown, calls, failures, tokens_of, words
from headroom.context.fit import TOO_MUCH_PROTECTED
from headroom.proxy.embed import Embed
from headroom.scoring.toin import Snapshot
from tests.forwarding import requests
from tests.rules import broken

MODELS = {"anthropic": "claude-sonnet-4-5", "openai": "gpt-4o"}
ANSWER = 1000  # tokens that a request allows for its answer
GAP = re.compile(r"\[Headroom: \d+ earlier messages? (?:is|are) left out here.{0,400}?hash=([0-9a-f]{16})\]")
NOTHING_LEARNED = Snapshot()


@dataclass
class Tally:
    """What one strategy did at one window."""

    outgrew: int = 0
    requests: int = 0
    too_large: int = 0
    unfit: int = 0
    invalid: int = 0
    cuts: int = 0
    moved: int = 0
    markers: int = 0
    lost: int = 0
    visible: dict[str, float] = field(default_factory=dict)  # conversation -> share of its evidence
    stayed: dict[str, float] = field(default_factory=dict)  # the same without what was recalled
    failures_shown: dict[str, float] = field(default_factory=dict)  # share of the lines in which something failed
    calls_shown: dict[str, float] = field(default_factory=dict)  # share of the tool calls
    words_shown: dict[str, float] = field(default_factory=dict)  # share of the different words
    failures: list[str] = field(default_factory=list)

    @property
    def figures(self) -> tuple[int, ...]:
        """All counts, in the order of the table."""
        return (
            self.outgrew,
            self.requests,
            self.unfit,
            self.too_large,
            self.invalid,
            self.cuts,
            self.moved,
            self.markers,
            self.lost,
        )

    def fail(self, what: str, where: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        self.failures.append(f"{what}: {where}")


async def measure(
    talks: Sequence[corpus.Conversation],
    window: int,
    context: Mapping[str, Any],
    embed: Embed,
    at_once: bool,
    learned: Mapping[str, Snapshot],
) -> Tally:
    """All conversations with one strategy; `learned` has what holds for each, by its id."""
    tally = Tally()
    async with proxy(window, context, embed) as at:
        for talk in track(talks, f"{window}", console=Console(stderr=True), transient=True):
            at.compress.teach(learned.get(talk.id, NOTHING_LEARNED))
            await examine(talk, at, window, at_once, tally)
    return tally


async def examine(talk: corpus.Conversation, at: Proxy, window: int, at_once: bool, tally: Tally) -> None:
    """All requests of one conversation, or only the last one."""
    asked = list(requests(talk.messages))
    if not asked or tokens_of(talk.system, talk.messages) <= window - ANSWER:
        return  # it fits as it is
    before: list[Any] = []
    at.cut = False
    for messages in asked[-1:] if at_once else asked:
        if at_once or tokens_of(talk.system, messages) > (window - ANSWER) // 4:
            before = await one(talk, messages, at, window, before, tally)
    if at.cut:
        tally.outgrew += 1
        if talk.evidence:
            tally.visible[talk.id] = Shown(before).share(talk.evidence)
            shown = Shown(before, apart=True)
            tally.stayed[talk.id] = shown.share(talk.evidence)
            tally.failures_shown[talk.id] = shown.share(failures(talk.messages) or [""])
            tally.calls_shown[talk.id] = len({*calls(before)}) / max(1, len({*calls(talk.messages)}))
            tally.words_shown[talk.id] = len(words(before) & (all_words := words(talk.messages))) / max(1, len(all_words))


async def one(talk: corpus.Conversation, messages: Any, at: Proxy, window: int, before: list[Any], tally: Tally) -> list[Any]:
    """One request; the messages that were sent."""
    system = {} if talk.system is None else {"system": talk.system}
    cuts, where = at.replay.cuts, f"{talk.id}, {len(messages)} messages"
    reasons = await at.ask(talk.format, {"model": MODELS[talk.format], "max_tokens": ANSWER, **system, "messages": messages}, talk.id)
    sent: list[Any] = json.loads(at.sent)["messages"]
    tally.requests += 1
    made = at.replay.cuts > cuts
    tally.cuts += made
    if sent[: len(before)] != before:
        tally.moved += 1
        if not made:
            tally.failures.append(f"moved without a cut: {where}")
    if tokens_of(talk.system, sent) > window - ANSWER:
        tally.fail("too_large" if TOO_MUCH_PROTECTED in reasons else "unfit", where)
    if set(broken(sent, talk.format)) - set(broken(messages, talk.format)) and not broken(messages, talk.format):
        tally.fail("invalid", f"{where}: {broken(sent, talk.format)}")
    if made:
        for text in hash_of_gap(at.sent.decode()):
            tally.markers += 1
            original = (await at.client.get(f"/v1/retrieve/{text}", headers={"x-api-key": talk.id})).json()
            left = json.loads(original["original_content"]) if "original_content" in original else None
            if not left or not any(messages[place : place + len(left)] == left for place in range(len(messages))):
                tally.fail("lost", f"{where}, hash={text}")
    return sent


def hash_of_gap(body: str) -> list[str]:
    """The hashes of what left."""
    return [match[1] for match in GAP.finditer(body)]


def mean(shares: Mapping[str, float], only: Sequence[str]) -> float:
    """Percent, conversations weighing alike."""
    return 100 * sum(shares[id] for id in only) / len(only) if only else 0.0

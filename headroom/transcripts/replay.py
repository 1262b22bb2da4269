"""One conversation, turn by turn: what was sent, what the proxy would have sent, and what both are billed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headroom.stats.prices import NOTHING, Prices, Prompt
from headroom.transcripts.conversation import Conversation, Turn
from headroom.transcripts.prompt_cache import Block, Blocks, PromptCache, texts
from headroom.transcripts.through import Sent, Through

_SHORTEST = 6  # characters of an argument that says which one is meant
_UNSEEN = "what the file does not have"


@dataclass
class Leg:
    """One way of sending a conversation. `cost` is in nanodollars for the prompts, None where nobody knows the model's price."""

    prompt: Prompt = NOTHING
    cost: int | None = 0
    broke: int = 0

    def add(self, prompt: Prompt, cost: int | None, broke: bool) -> None:
        self.prompt += prompt
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        self.broke += broke


@dataclass
class Replayed:
    """A conversation both ways.

    `left_out` are the tokens of each transform's last say on the conversation, `reasons` why texts stayed as they came. Of the
    arguments of its tool calls `named` came from earlier in the prompt, and `unseen` of those no longer stood in it word by word.
    `paid` is what the provider said it cost, answers included, as far as the file tells.
    """

    conversation: Conversation
    turns: int = 0
    direct: Leg = field(default_factory=Leg)
    ours: Leg = field(default_factory=Leg)
    left_out: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    named: int = 0
    unseen: int = 0
    paid: int | None = None
    failed: list[str] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict)  # the last request as it came
    after: Mapping[str, Any] = field(default_factory=dict)  # and as it was sent


async def replay(conversation: Conversation, through: Through, prices: Prices, count: Callable[[str], int], most: int | None) -> Replayed:
    """Send the first `most` turns of a conversation, one after another."""
    done = Replayed(dataclasses.replace(conversation, turns=()))  # whose turns hold the whole file
    blocks = Blocks(count)
    direct, ours = (PromptCache(conversation.provider, conversation.hour) for _ in range(2))
    unseen: list[Block] = []
    for turn in conversation.turns[:most]:
        body = turn.body()
        sent = await through(conversation.path, body)
        if sent.status != 200 or not sent.body:
            done.failed.append(f"turn {done.turns + 1}: refused with status {sent.status}")
            continue
        forwarded = json.loads(sent.body)
        mine, theirs = blocks.of(body), blocks.of(forwarded)
        if conversation.hides and not done.turns:
            unseen = _unseen(conversation, turn, mine)
        done.turns += 1
        for leg, cache, seen in ((done.direct, direct, mine), (done.ours, ours, theirs)):
            prompt, broke = cache.billed([*unseen, *seen], turn.at)
            rates = prices.rates(conversation.provider, conversation.model, turn.at)
            leg.add(prompt, rates.cost(prompt) if rates else None, broke)
        _note(done, turn, body, forwarded, sent)
        _add_paid(done, turn, prices)
    return done


def _unseen(conversation: Conversation, turn: Turn, blocks: Iterable[Block]) -> list[Block]:
    """The part of every prompt that the file does not have, as one block: what the provider read of the first more than we see."""
    if turn.paid is None:
        return []
    read = turn.paid.input_tokens or 0
    if conversation.provider == "anthropic":
        read += (turn.paid.cache_read_tokens or 0) + (turn.paid.cache_write_tokens or 0)
    more = read - sum(block.tokens for block in blocks)
    return [Block(_UNSEEN, more)] if more > 0 else []


def _note(done: Replayed, turn: Turn, body: Mapping[str, Any], forwarded: Mapping[str, Any], sent: Sent) -> None:
    done.before, done.after = body, forwarded
    if sent.outcome:
        done.left_out = Counter(dict(sent.outcome.transform_tokens))
        done.reasons = Counter(sent.outcome.reasons)
    came, stands = _words(body), _words(forwarded)
    for argument in set(turn.given):
        if _tells(argument) and argument in came:
            done.named += 1
            done.unseen += argument not in stands


def _tells(argument: str) -> bool:
    """Whether a text is an id, a path, a name, a number: something that a model does not come up with by itself."""
    return _SHORTEST <= len(argument) <= 200 and not argument.isalpha() and "\n" not in argument


def _words(body: Mapping[str, Any]) -> str:
    return "\n".join(texts(body.get("messages", body.get("input"))))


def _add_paid(done: Replayed, turn: Turn, prices: Prices) -> None:
    if turn.paid is None:
        return
    cost = prices.cost(done.conversation.provider, done.conversation.model, turn.paid, turn.at)
    if cost is not None:
        done.paid = (done.paid or 0) + cost


async def replay_all(
    conversations: Iterable[Conversation],
    through: Through,
    prices: Prices,
    counter: Callable[[str], Callable[[str], int]],
    *,
    most: int | None = None,
    at_once: int = 4,
) -> AsyncIterator[Replayed]:
    """The conversations, each as it is done; `at_once` are on their way at a time, and no more are read."""
    waiting: set[asyncio.Task[Replayed]] = set()
    left = iter(conversations)
    try:
        while True:
            while len(waiting) < at_once and (following := next(left, None)):
                waiting.add(asyncio.create_task(replay(following, through, prices, counter(following.model), most)))
            if not waiting:
                return
            finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                yield task.result()
    finally:
        for task in waiting:
            task.cancel()

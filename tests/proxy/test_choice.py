"""What leaves a conversation that outgrew its model is chosen by what is known of it, and without whoever should know."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headroom.context.choice import Outgrown
from headroom.context.fit import Fitted
from headroom.learning import Learning
from headroom.model import LOCAL
from headroom.proxy.compress import Degraded
from headroom.proxy.embed import NoEmbed
from headroom.scoring import toin
from headroom.store import open_store
from headroom.worker import Worker
from tests.provider import Provider
from tests.proxy.faces import HTTP, Inline, anthropic_turns, asking, openai_turns, serving, settings_for
from tests.proxy.test_context import ROUTES, WINDOW, size, skip, small, stats_of
from tests.rules import broken

WORDS = ["lines", "of", "words", "which", "nobody", "will", "ever", "ask", "about"]


class Fixed(NoEmbed):
    """Vectors by hand: texts that hold `word` are near to what is asked."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word
        self.asked = 0

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Any:
        self.asked += 1
        return np.array([[1, 0] if self._word in text or text == texts[-1] else [0, 0] for text in texts], np.float32)


class Dead(NoEmbed):
    """A scorer that is slow, dead or at zero replicas."""

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Any:
        raise Degraded("deadline")


def test_meaning_decides_what_stays(provider: Provider, tmp_path: Path) -> None:
    near = Fixed("Question 3")
    settings = small(provider, tmp_path, compress_first=False)
    with serving(settings, embed=near) as url:
        assert skip(url, provider, "openai", openai_turns(24)) == ""
    assert near.asked == 1
    kept = [message["content"] for message in provider.requests[-1].json["messages"] if message["role"] == "user"]
    assert any(str(content).startswith("Question 3:") or "'Question 3:" in str(content) for content in kept)


def test_without_a_scorer_words_decide_and_the_reason_is_told(provider: Provider, tmp_path: Path) -> None:
    with serving(small(provider, tmp_path), embed=Dead()) as url:
        assert skip(url, provider, "openai", openai_turns(24)) == "context_scorer_deadline"
        assert stats_of(url, 1)["degraded"] == {"scorer:deadline": 1}
    assert size(provider.requests[-1].json["messages"]) <= WINDOW


class Cold(NoEmbed):
    """A scorer that must be started first: nothing comes in the time that a caller waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Any:
        self.waits.append(timeout_s)
        raise Degraded("deadline")


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_token_budget_waits_no_longer_for_a_scorer_than_a_request(provider: Provider, tmp_path: Path, dialect: str) -> None:
    cold, talk = Cold(), openai_turns(24) if dialect == "openai" else anthropic_turns(24)
    settings = settings_for(provider, tmp_path, context={"windows": f"*={WINDOW}"}, compression={"deadline_ms": 20_000})
    with serving(settings, embed=cold) as url:
        HTTP.post(f"{url}{ROUTES[dialect]}", json=asking(talk)).raise_for_status()
        asked = {"model": "gpt-4o", "messages": talk, "token_budget": 5000}
        reply = HTTP.post(f"{url}/v1/compress", json=asked).raise_for_status().json()
    assert cold.waits == [10, 10]
    assert reply["degraded"] == {"scorer": "deadline"}
    assert "skip_reason" not in reply
    assert reply["tokens_after"] <= 5000


class Undecided(Inline):
    """A compressor that cannot say what leaves."""

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        raise Degraded("deadline")


def test_without_a_compressor_the_oldest_leave_and_the_reason_is_told(provider: Provider, tmp_path: Path) -> None:
    settings = small(provider, tmp_path)
    with serving(settings, Undecided(settings)) as url:
        assert skip(url, provider, "openai", openai_turns(24)) == "context_choice_deadline"
        assert stats_of(url, 1)["degraded"]["compressor:deadline"] == 1
    sent = provider.requests[-1].json["messages"]
    assert size(sent) <= WINDOW
    assert not broken(sent, "openai")
    with serving(settings) as url:
        assert skip(url, provider, "openai", openai_turns(24)) == ""
    assert provider.requests[-1].json["messages"] == sent, "the cut moved when the compressor was back"


class Taught(Inline):
    """A compressor that follows what was learned when it decides what leaves."""

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        return await asyncio.to_thread(Worker(self._store, None, Learning(self._store, 0)).cut, outgrown)


def test_outputs_that_are_asked_for_again_stay(provider: Provider, tmp_path: Path) -> None:
    tools = ("read_ledger", "read_roster")
    talk: list[dict[str, Any]] = [{"role": "user", "content": "Go through all of it."}]
    for turn in range(40):
        name = tools[turn % 2]
        text = f"{name} page {turn}: " + " ".join(random.Random(turn // 2).choices(WORDS, k=600))
        talk += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{turn}", "name": name, "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{turn}", "content": text}]},
        ]

    def shown() -> list[int]:
        """How many pages of each tool are forwarded."""
        HTTP.post(f"{url}/v1/messages", json=asking(talk)).raise_for_status()
        return [provider.requests[-1].body.decode().count(f"{name} page") for name in tools]

    settings = small(provider, tmp_path / "nothing", compress_first=False)
    with serving(settings, Taught(settings)) as url:
        before = shown()
    settings = small(provider, tmp_path / "learned", compress_first=False)
    with closing(open_store(settings)) as store:
        learning = Learning(store, 0)
        learning.imported(LOCAL.scope, {toin.signature("read_ledger", talk[2]["content"][0]["content"]): {"cut": 10, "asked": 10}})
        learning.flush()
    with serving(settings, Taught(settings)) as url:
        after = shown()
    assert before[0] <= before[1] + 1
    assert after[0] > 2 * after[1]


@pytest.mark.parametrize(
    ("flags", "label", "squeezed"),
    [
        ({}, "intelligent_context", True),
        ({"scoring": False}, "intelligent_context", None),
        ({"compress_first": False}, "intelligent_context", False),
        ({"intelligent": False}, "rolling_window", False),
    ],
)
def test_flags(provider: Provider, tmp_path: Path, flags: dict[str, bool], label: str, squeezed: bool | None) -> None:
    with serving(small(provider, tmp_path, **flags)) as url:
        reply = HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(24)))
    assert label in reply.headers["x-headroom-transforms"]
    if squeezed is not None:  # by position alone the oldest leave, in part only by chance
        assert ("the parts that matter most" in provider.requests[-1].body.decode()) is squeezed

"""What all conversations come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headroom.stats.prices import NANO, NOTHING, Prompt
from headroom.transcripts.replay import Leg, Replayed


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over conversations; costs are nanodollars for prompts, over those whose model has a known price."""

    conversations: int
    turns: int
    direct: Prompt
    ours: Prompt
    direct_cost: int
    our_cost: int
    unpriced: int
    mean: float  # of each conversation's cost with Headroom over its cost without
    dearer: int
    direct_broke: int
    our_broke: int
    left_out: Counter[str]
    reasons: Counter[str]
    named: int
    unseen: int
    paid: int
    paid_conversations: int
    unsound: int
    failed: int

    @property
    def vs_direct(self) -> float:
        """Cost with Headroom over cost without; 1 where there is nothing to pay."""
        return self.our_cost / self.direct_cost if self.direct_cost else 1.0

    def as_json(self) -> dict[str, Any]:
        """Counts as they are, costs in dollars."""
        return {
            "conversations": self.conversations,
            "turns": self.turns,
            "tokens": {"direct": self.direct.tokens, "headroom": self.ours.tokens},
            "cached_tokens": {"direct": self.direct.read, "headroom": self.ours.read},
            "prompts_usd": {"direct": self.direct_cost / NANO, "headroom": self.our_cost / NANO},
            "vs_direct_pct": 100 * self.vs_direct,
            "vs_direct_mean_pct": 100 * self.mean,
            "dearer_conversations": self.dearer,
            "unpriced_conversations": self.unpriced,
            "broken_prefixes": {"direct": self.direct_broke, "headroom": self.our_broke},
            "left_out_tokens": dict(self.left_out.most_common()),
            "kept_because": dict(self.reasons.most_common()),
            "arguments": {"named_before": self.named, "not_word_by_word": self.unseen},
            "paid_usd": self.paid / NANO if self.paid_conversations else None,
            "requests_not_replayed": self.unsound + self.failed,
        }


def figures(replayed: Iterable[Replayed]) -> Figures:
    done = [one for one in replayed if one.turns]
    priced = [one for one in done if one.direct.cost is not None]
    shares = [_cost(one.ours) / _cost(one.direct) for one in priced if one.direct.cost]
    return Figures(
        conversations=len(done),
        turns=sum(one.turns for one in done),
        direct=sum((one.direct.prompt for one in done), NOTHING),
        ours=sum((one.ours.prompt for one in done), NOTHING),
        direct_cost=sum(_cost(one.direct) for one in priced),
        our_cost=sum(_cost(one.ours) for one in priced),
        unpriced=len(done) - len(priced),
        mean=sum(shares) / len(shares) if shares else 1.0,
        dearer=sum(_cost(one.ours) > _cost(one.direct) for one in priced),
        direct_broke=sum(one.direct.broke for one in done),
        our_broke=sum(one.ours.broke for one in done),
        left_out=sum((one.left_out for one in done), Counter()),
        reasons=sum((one.reasons for one in done), Counter()),
        named=sum(one.named for one in done),
        unseen=sum(one.unseen for one in done),
        paid=sum(one.paid or 0 for one in done),
        paid_conversations=sum(one.paid is not None for one in done),
        unsound=sum(one.conversation.unsound for one in done),
        failed=sum(len(one.failed) for one in done),
    )


def by(replayed: Sequence[Replayed], name: Callable[[Replayed], str]) -> dict[str, Figures]:
    """Figures of each group, the dearest without us first."""
    groups: dict[str, list[Replayed]] = {}
    for one in replayed:
        groups.setdefault(name(one), []).append(one)
    found = {key: figures(group) for key, group in groups.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].direct_cost))


def _cost(leg: Leg) -> int:
    return leg.cost or 0

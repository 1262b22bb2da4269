"""What compression saves, measured: a share of the conversations is left alone, and the rest is compared with them.

A conversation is wholly in or out, by a keyed hash of what it begins with, so that no caller can choose and every process agrees. Who
is in which arm is decided before anything is compressed, and stays so whatever happens to a request then (intention to treat).

Method. Each arm's ratio is dollars billed per character of the prompts as they came, which is counted alike in both arms. Requests of
one conversation depend on each other, so conversations are put into `GROUPS` groups by another part of their hash and the variance
is estimated by the delete-a-group jackknife over them (Kott 2001, "The delete-a-group jackknife", Journal of Official Statistics
17(4); Wolter 2007, "Introduction to Variance Estimation", chapters 2 and 4), with Student's t at `GROUPS` - 1 degrees of freedom.
Sums by group are all it needs, so it follows from rollups, for any part of the callers and any stretch of time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

from headroom.stats.tally import ARM_FIGURES, GROUPS, by_name

Arm = Literal["treated", "holdout"]
ARMS: tuple[Arm, Arm] = ("treated", "holdout")
_T = 2.0395  # 97.5 % quantile of Student's t with 31 degrees of freedom
_LEAST_GROUPS = 10  # with requests, in each arm
METHOD = (
    "dollars billed per character asked for, compressed against held out; conversations assigned by a keyed hash, "
    "95 % interval by the delete-a-group jackknife over conversations"
)


def arm_of(key: bytes, conversation: str, share: float) -> Arm:
    """The arm of a conversation."""
    drawn = int.from_bytes(hmac.new(key, conversation.encode(), hashlib.sha256).digest()[:8], "big")
    return "holdout" if drawn < share * 2**64 else "treated"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def rounded(self, digits: int) -> dict[str, float]:
        return {"value": round(self.value, digits), "ci95_low": round(self.low, digits), "ci95_high": round(self.high, digits)}


@dataclass(slots=True)
class Sums:
    """What was counted of one arm, by group."""

    figures: dict[str, list[int]]

    def total(self, name: str) -> int:
        return sum(self.figures[name])

    @property
    def groups(self) -> int:
        """How many have requests."""
        return sum(map(bool, self.figures["requests"]))


def sums_of(total: Mapping[str, int]) -> dict[str, Sums]:
    """Both arms."""
    arms: dict[str, Sums] = {arm: Sums({name: [0] * GROUPS for name in ARM_FIGURES}) for arm in ARMS}
    for label, value in by_name(total, "arm").items():
        arm, group, name = label.split("/")
        arms[arm].figures[name][int(group)] += value
    return arms


def jackknife(statistic: Callable[[Sequence[int]], float]) -> Interval | None:
    """`statistic` takes the numbers of the groups that count, and raises ZeroDivisionError where it has no value."""
    everybody = range(GROUPS)
    try:
        value = statistic(everybody)
        without = [statistic([group for group in everybody if group != gone]) for gone in everybody]
    except ZeroDivisionError:
        return None
    mean = sum(without) / GROUPS
    error = sqrt((GROUPS - 1) / GROUPS * sum((one - mean) ** 2 for one in without))
    return Interval(value, value - _T * error, value + _T * error)


def measured(total: Mapping[str, int]) -> dict[str, Any]:
    """The section `holdout` of /stats: each figure with what it is a share of."""
    arms = sums_of(total)
    treated, held = arms["treated"].figures, arms["holdout"].figures

    def ratio(figures: Mapping[str, list[int]], groups: Sequence[int]) -> float:
        return sum(figures["cost_nanousd"][g] for g in groups) / sum(figures["chars"][g] for g in groups)

    def share(groups: Sequence[int]) -> float:
        return 100 * (1 - ratio(treated, groups) / ratio(held, groups))

    def saved(groups: Sequence[int]) -> float:
        """Scaled up to all treated requests, so that leaving out a group does not look like saving less."""
        return (ratio(held, groups) - ratio(treated, groups)) * sum(treated["chars"]) / 1e9

    enough = min(one.groups for one in arms.values()) >= _LEAST_GROUPS
    found, dollars = (jackknife(share), jackknife(saved)) if enough else (None, None)
    estimate = arms["treated"].total("saved_nanousd")
    without = arms["treated"].total("cost_nanousd") + estimate
    return {
        "measured": {
            "savings_pct": found.rounded(2) if found else None,
            "saved_usd": dollars.rounded(6) if dollars else None,
            "method": METHOD,
            "denominator": "what the compressed conversations would have cost at the held out ones' dollars per character",
            "missing": None if found else f"too few conversations: requests in {_LEAST_GROUPS} of {GROUPS} groups of each arm are needed",
        },
        "estimated": {
            "savings_pct": round(100 * estimate / without, 2) if without else None,
            "saved_usd": round(estimate / 1e9, 6),
            "method": "counterfactual estimate of the same compressed requests",
            "denominator": "their cost and what they saved by that estimate",
        },
        **{arm: _arm(one) for arm, one in arms.items()},
    }


def _arm(sums: Sums) -> dict[str, Any]:
    chars, cost = sums.total("chars"), sums.total("cost_nanousd")
    return {
        "conversations_begun": sums.total("begun"),
        "requests": sums.total("requests"),
        "characters": chars,
        "cost_usd": round(cost / 1e9, 6),
        "usd_per_million_characters": round(cost / chars / 1000, 6) if chars else None,
    }

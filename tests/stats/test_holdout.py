"""What is measured against the conversations that are left alone: who is in, and whether the interval holds the truth."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import pytest

from headroom.stats.holdout import arm_of, jackknife, measured
from headroom.stats.prices import bundled
from headroom.stats.rows import Row, row_of
from headroom.stats.tally import GROUPS, Tally, tally
from tests.stats.made import outcomes


def name(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


def counted(seed: int, effect: float, conversations: int, share: float) -> Tally:
    """Conversations of one to eleven turns that send all they said again, each about as dear as its subject is."""
    draw = random.Random(seed)
    total: Tally = Counter()
    (pattern,) = outcomes(1, 3)
    row = row_of(pattern, bundled()) | {"cost_method": "billed"}
    for _ in range(conversations):
        conversation, dear, chars, sent, cost = name(draw.getrandbits(64)), draw.lognormvariate(0, 0.5), 0, 0, 0
        arm = arm_of(b"key", conversation, share)
        for _ in range(draw.randrange(1, 12)):
            chars += int(draw.lognormvariate(9, 1))
            sent += chars
            cost += round(chars * 750 * dear * draw.lognormvariate(0, 0.1) * (1 - effect if arm == "treated" else 1))
        more = {"arm": arm, "conversation": conversation, "turns": 1, "chars": sent, "cost_nanousd": cost}  # sums are all that counts
        total.update({key: value for key, value in tally(row | more).items() if key.startswith("arm/")})
    return total


def test_a_conversation_is_wholly_in_or_out_and_the_share_is_kept() -> None:
    drawn = [arm_of(b"key", name(n), 0.05) for n in range(20_000)]
    assert drawn == [arm_of(b"key", name(n), 0.05) for n in range(20_000)]
    assert drawn.count("holdout") == pytest.approx(1000, abs=150)
    assert drawn != [arm_of(b"another", name(n), 0.05) for n in range(20_000)]
    larger = [arm_of(b"key", name(n), 0.1) for n in range(20_000)]
    assert {"holdout"} == {now for now, before in zip(larger, drawn, strict=True) if before == "holdout"}, "who was in stays in"
    assert {arm_of(b"key", name(n), 0.0) for n in range(100)} == {"treated"}


@pytest.mark.parametrize("effect", [0.3, 0.0, -0.1])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(effect: float) -> None:
    """Of 60 samples of 400 conversations each; 95 % are promised, and fewer than 85 % have a chance of one in 2,000."""
    held, widths = 0, []
    for seed in range(60):
        found = measured(counted(seed, effect, 400, 0.3))["measured"]["savings_pct"]
        held += found["ci95_low"] <= 100 * effect <= found["ci95_high"]
        widths.append(found["ci95_high"] - found["ci95_low"])
    assert held >= 51
    assert sum(widths) / len(widths) < 50


def test_figures_say_what_they_are_shares_of() -> None:
    found = measured(counted(1, 0.3, 3000, 0.2))
    treated, held = found["treated"], found["holdout"]
    assert treated["conversations_begun"] + held["conversations_begun"] == 3000
    share = 100 * (1 - treated["usd_per_million_characters"] / held["usd_per_million_characters"])
    assert found["measured"]["savings_pct"]["value"] == pytest.approx(share, abs=0.02)
    without = treated["characters"] / 1e6 * held["usd_per_million_characters"]
    assert found["measured"]["saved_usd"]["value"] == pytest.approx(without - treated["cost_usd"], rel=1e-3)
    assert found["measured"]["savings_pct"]["ci95_low"] > 0
    assert found["measured"]["missing"] is None
    for kind in ("measured", "estimated"):
        assert found[kind]["method"]
        assert found[kind]["denominator"]


@pytest.mark.parametrize(("conversations", "share"), [(0, 0.5), (4, 0.5), (500, 0.0)])
def test_too_little_is_said_and_not_computed(conversations: int, share: float) -> None:
    found = measured(counted(1, 0.3, conversations, share))
    assert found["measured"]["savings_pct"] is found["measured"]["saved_usd"] is None
    assert "too few conversations" in found["measured"]["missing"]


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    draw = random.Random(2)
    values = [draw.gauss(5, 2) for _ in range(GROUPS)]
    found = jackknife(lambda groups: sum(values[g] for g in groups) / len(groups))
    mean = sum(values) / GROUPS
    error = (sum((value - mean) ** 2 for value in values) / (GROUPS - 1) / GROUPS) ** 0.5
    assert found is not None
    assert (found.value, found.high - found.value) == (pytest.approx(mean), pytest.approx(2.0395 * error))


def test_requests_that_were_not_billed_are_in_no_arm() -> None:
    (pattern,) = outcomes(1)
    row: Row = row_of(pattern, bundled()) | {"arm": "treated", "cost_method": "estimated"}
    assert not [key for key in tally(row) if key.startswith("arm/")]

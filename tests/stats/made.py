"""Rows as requests make them, for tests: by a seed, always the same."""

from __future__ import annotations

import random
from collections.abc import Iterator

from headroom.outcome import Outcome, Usage
from headroom.stats.prices import bundled
from headroom.stats.rows import Row, row_of

START = 1_763_942_400.0  # 2025-11-24, a Monday, 00:00 UTC
MODELS = (("anthropic", "claude-sonnet-4-5"), ("anthropic", "no-such-model"), ("openai", "gpt-4o"))


def outcomes(count: int, seed: int = 0, start: float = START, step_s: float = 60.0) -> Iterator[Outcome]:
    """One every `step_s`; some refused, some cached, some unpriced, some that cost more than without us."""
    draw = random.Random(seed)
    for number in range(count):
        provider, model = draw.choice(MODELS)
        before = draw.choice((0, 500, 4000, 20_000))
        after = int(before * draw.choice((0.2, 0.5, 1.0, 1.1)))
        status = draw.choice((200, 200, 200, 429, 529, 499))
        usage = Usage(after, draw.randrange(500), draw.choice((None, 2000)), draw.choice((None, 700)), draw.choice((None, 300)))
        answered = status == 200
        yield Outcome(
            request_id=f"{seed}-{number}",
            timestamp=start + step_s * number,
            dialect=provider,
            provider=provider,
            model=model,
            mode="reversible",
            status=status,
            stream=bool(number % 2),
            tokens_before=before,
            tokens_after=after,
            transforms=("router:log:0.40",) * draw.randrange(3),
            transform_ms=(("log", draw.random() * 30),) * draw.randrange(2),
            transform_tokens=(("log", before - after),),
            reasons=("too_small",) * draw.randrange(3),
            skip_reason=draw.choice(("", "", "bypass")),
            overhead_ms=draw.random() * 20,
            ttfb_ms=draw.random() * 900 if answered else None,
            total_ms=draw.random() * 9000,
            usage=usage if answered else Usage(),
            billed=(usage,) * (1 + number % 2) if answered else (),
            team=draw.choice(("", "search", "billing")),
            user=draw.choice(("ann", "bob")),
            client=draw.choice(("claude-cli", "openai")),
            conversation=f"{number % 7 * 40:02x}{seed}",
            arm=draw.choice(("", "treated", "treated", "holdout")),
            chars=4 * before,
            retrieved=("log", "text")[: draw.randrange(3)],
            waste=(("whitespace", draw.randrange(90)),),
            turns=draw.randrange(4),
            sent=status != 429,
            cache_hit=draw.choice(("", "", "exact")),
            taken=((draw.random(), before - after),),
            degraded=(("compressor", "deadline"),) * draw.randrange(2),
            shadow=number % 5 == 0,
            shadow_tokens_saved=before - after if number % 5 == 0 else 0,
            shadow_taken=((0.5, before - after),) if number % 5 == 0 else (),
            policy=("", "data")[number % 2],
            policy_version=("", "1-abc")[number % 3 > 0],
        )


def rows(count: int, seed: int = 0, start: float = START, step_s: float = 60.0) -> list[Row]:
    return [row_of(outcome, bundled()) for outcome in outcomes(count, seed, start, step_s)]

"""The telemetry report of a day: sums over everybody, rounded. It names no person, team, client, model, machine, route or text.

It holds no identifier either, so two reports cannot be told to come from one place. What callers can choose a name for is left out,
and amounts have two significant digits, so that no figure is a fingerprint.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from typing import Any

from headroom.stats.board import Board, Wish
from headroom.stats.ledger import Query
from headroom.stats.report import percent
from headroom.stats.series import begins
from headroom.stats.tally import PLAIN, Tally, by_name, figures_ms

SCHEMA_VERSION = 1
_PROVIDERS = ("anthropic", "openai", "azure", "bedrock", "openrouter", "vertex_ai")  # others are counted together


def last_day(now: float) -> date:
    """The day (UTC) that ended last before `now`, Unix seconds."""
    return datetime.fromtimestamp(now, UTC).date() - timedelta(days=1)


def wish_for(day: date) -> Wish:
    """What has to be counted for the report of a day."""
    return Wish(Query({}, begins(day), begins(day + timedelta(days=1))), "hourly")


def report(board: Board, day: date) -> dict[str, Any]:
    """Everything that is sent, and nothing else is."""
    total = board.total
    prompt = total["cache_read_tokens"] + total["cache_write_tokens"] + total[PLAIN]
    times = figures_ms(total, "overhead")
    return {
        "schema_version": SCHEMA_VERSION,
        "day": day.isoformat(),
        "version": version("headroom"),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: _rounded(total[name]) for name in ("requests", "failed", "rate_limited", "cached", "tokens_before", "tokens_saved")},
        "tokens_saved_percent": percent(total["tokens_saved"], total["tokens_before"]),
        "prompt_cache_hit_percent": percent(total["cache_read_tokens"], prompt),
        "prompt_cache_busts": _rounded(total["cache_bust"]),
        "retrievals": _rounded(total["retrievals"]),
        "overhead_ms": {name: times[f"{name}_ms"] for name in ("p50", "p95", "p99")},
        "providers": _counts(_providers(board)),
        "transforms": _transforms(total),
        "kept": _counts(_first_words(by_name(total, "skip"))),
        "degraded": _counts(by_name(total, "degraded")),
    }


def _rounded(value: int) -> int:
    """Two significant digits."""
    return int(float(f"{value:.1e}"))


def _counts(found: Mapping[str, int]) -> dict[str, int]:
    return {name: _rounded(count) for name, count in sorted(found.items()) if count}


def _providers(board: Board) -> Tally:
    found: Tally = Tally()
    for name, one in board.by["provider"].items():
        found[name if name in _PROVIDERS else "other"] += one["requests"]
    return found


def _first_words(reasons: Mapping[str, int]) -> dict[str, int]:
    """A reason without what stands behind its colon, which may be a name from the settings."""
    found: Tally = Tally()
    for reason, count in reasons.items():
        found[reason.partition(":")[0]] += count
    return found


def _transforms(total: Tally) -> dict[str, Any]:
    tokens, spent, timed = (by_name(total, f"transform_{kind}") for kind in ("tokens", "us", "timed"))
    return {
        name: {
            "texts": _rounded(texts),
            "tokens_saved": _rounded(tokens.get(name, 0)),
            "average_ms": round(spent[name] / 1000 / timed[name], 1) if timed.get(name) else None,
        }
        for name, texts in sorted(by_name(total, "transform").items())
    }

"""The bodies of /stats and /stats-history from what the ledger counted. Every amount is signed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headroom import waste
from headroom.errors import InvalidRequest
from headroom.stats.ledger import Buckets, Query
from headroom.stats.rows import SCHEMA_VERSION
from headroom.stats.series import SERIES, Series
from headroom.stats.tally import DIMENSIONS, Tally, by_name, dollars, figures_ms

HISTORY = ("history", *SERIES)
COLUMNS = (
    "timestamp",
    "tokens_saved",
    "compression_savings_usd_delta",
    "total_tokens_saved",
    "compression_savings_usd",
    "total_input_tokens_delta",
    "total_input_tokens",
    "total_input_cost_usd_delta",
    "total_input_cost_usd",
)
_FILTERS = frozenset(DIMENSIONS)
_MOST_POINTS = 2000  # of one series in JSON, the newest


def percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def query_of(parameters: Mapping[str, str]) -> Query:
    """`team, user, model, provider, client` and `from`, `to`: RFC 3339 or a day, UTC, its end excluded. Raises InvalidRequest."""
    where = {name: value for name, value in parameters.items() if name in _FILTERS}
    bounds = {name: _micros(name, parameters[name]) for name in ("from", "to") if parameters.get(name)}
    query = Query(where)
    return Query(where, bounds.get("from", query.first), bounds.get("to", query.last))


def _micros(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that nobody quoted
    except ValueError:
        raise InvalidRequest(f"{name}: a time like 2026-01-31 or 2026-01-31T12:00:00Z is wanted, not {text[:40]!r}.") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000


def health(total: Tally) -> dict[str, Any]:
    """The `stats` of GET /health."""
    saved = total["tokens_saved"]
    return {"total_requests": total["requests"], "tokens_saved": saved, "savings_percent": percent(saved, total["tokens_before"])}


def stats(total: Tally, recent: Sequence[Mapping[str, Any]], mode: str) -> dict[str, Any]:
    """The body of GET /stats, but what the store and the limits say."""
    saved, before = total["tokens_saved"], total["tokens_before"]
    models = by_name(total, "model")
    prefix = _prefix_cache(total)
    return {
        "summary": {
            "mode": mode,
            "api_requests": total["requests"],
            "primary_model": max(models, key=lambda name: (models[name], name)) if models else None,
            "compression": {"tokens_saved": saved, "savings_percent": percent(saved, before)},
            "uncompressed_requests": {"total": total["uncompressed"]},
            "cost": cost(total),
        },
        "requests": {
            "total": total["requests"],
            "cached": total["cached"],
            "rate_limited": total["rate_limited"],
            "failed": total["failed"],
            "by_provider": by_name(total, "provider"),
            "by_model": models,
        },
        "tokens": {
            "input": total["tokens_after"],
            "output": total["output_tokens"],
            "saved": saved,
            "total_before_compression": before,
            "savings_percent": percent(saved, before),
        },
        "latency": figures_ms(total, "latency"),
        "overhead": figures_ms(total, "overhead"),
        "ttfb": figures_ms(total, "ttfb"),
        "pipeline_timing": _timing(total),
        "savings": {"total_tokens": saved, "by_layer": {"compression": saved, "provider_cache": total["cache_read_tokens"]}},
        "prefix_cache": prefix,
        "transforms": by_name(total, "transform"),
        "skip_reasons": by_name(total, "skip"),
        "degraded": by_name(total, "degraded"),
        "shadow": {
            "requests": total["shadow"],
            "tokens_saved": total["shadow_tokens_saved"],
            "saved_usd": dollars(total, "shadow_saved_nanousd"),
        },
        "retrievals": _retrievals(total),
        "waste_signals": dict.fromkeys(waste.KINDS, 0) | by_name(total, "waste"),
        "recent_requests": list(recent),
    }


def cost(total: Tally) -> dict[str, Any]:
    """Dollars over the requests that have a price; the others are counted beside them."""
    paid, without = dollars(total, "cost_nanousd"), dollars(total, "counterfactual_nanousd")
    saved = dollars(total, "saved_nanousd")
    return {
        "without_headroom_usd": without,
        "with_headroom_usd": paid,
        "total_saved_usd": saved,
        "savings_pct": percent(saved, without),
        "breakdown": {"cache_savings_usd": dollars(total, "cache_saved_nanousd"), "compression_savings_usd": saved},
        "method": "counterfactual estimate: tokens taken out priced as the provider billed their part of the prompt",
        "denominator": "without_headroom_usd, over requests with a price",
        "billed_requests": total["billed"],
        "estimated_requests": total["estimated"],
        "unpriced_requests": total["unpriced"],
    }


def _timing(total: Tally) -> dict[str, Any]:
    spent, timed = by_name(total, "transform_us"), by_name(total, "transform_timed")
    return {
        name: {
            "count": timed[name],
            "average_ms": round(micros / 1000 / timed[name], 3),
            "max_ms": figures_ms(total, f"transform_le/{name}")["max_ms"],
        }
        for name, micros in sorted(spent.items())
        if timed.get(name)
    }


def _retrievals(total: Tally) -> dict[str, Any]:
    """What was read back inside answers, charged to the transforms that had cut it; the dollars are in the cost already."""
    originals, charged = by_name(total, "retrieved"), by_name(total, "charged_nanousd")
    saved = by_name(total, "transform_tokens")
    return {
        "rounds": total["rounds"],
        "originals": total["retrievals"],
        "cost_usd": dollars(total, "retrieval_nanousd"),
        "by_transform": {
            name: {"originals": count, "cost_usd": round(charged.get(name, 0) / 1e9, 6), "tokens_saved": saved.get(name, 0)}
            for name, count in sorted(originals.items())
        },
    }


def _prefix_cache(total: Tally) -> dict[str, Any]:
    reads, writes = by_name(total, "cache_read_tokens"), by_name(total, "cache_write_tokens")
    busts, saved = by_name(total, "cache_bust"), by_name(total, "cache_saved_nanousd")
    read, written = total["cache_read_tokens"], total["cache_write_tokens"]
    return {
        "by_provider": {
            name: {
                "cache_read_tokens": reads.get(name, 0),
                "cache_write_tokens": writes.get(name, 0),
                "bust_count": busts.get(name, 0),
                "net_savings_usd": round(saved.get(name, 0) / 1e9, 6),
            }
            for name in by_name(total, "provider")
        },
        "totals": {
            "cache_read_tokens": read,
            "cache_write_tokens": written,
            "bust_count": total["cache_bust"],
            "net_savings_usd": dollars(total, "cache_saved_nanousd"),
            "hit_rate": percent(read, read + written) / 100,
        },
    }


def series_rows(buckets: Buckets) -> list[dict[str, Any]]:
    """The rows of one series, oldest first: what a bucket added, and everything up to its end."""
    rows: list[dict[str, Any]] = []
    so_far: Tally = Tally()
    for at, one in sorted(buckets.items()):
        so_far.update(one)
        values = (
            datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            one["tokens_saved"],
            dollars(one, "saved_nanousd"),
            so_far["tokens_saved"],
            dollars(so_far, "saved_nanousd"),
            one["tokens_after"],
            so_far["tokens_after"],
            dollars(one, "input_nanousd"),
            dollars(so_far, "input_nanousd"),
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def lifetime(total: Tally) -> dict[str, Any]:
    """What proxy_savings.json and /stats call a lifetime or a session."""
    return {
        "requests": total["requests"],
        "tokens_saved": total["tokens_saved"],
        "compression_savings_usd": dollars(total, "saved_nanousd"),
        "total_input_tokens": total["tokens_after"],
        "total_input_cost_usd": dollars(total, "input_nanousd"),
    }


def history(series: Mapping[Series, Buckets], total: Tally, retention: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of GET /stats-history."""
    rows = {name: series_rows(found)[-_MOST_POINTS:] for name, found in series.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "lifetime": lifetime(total),
        "history": rows["daily"],
        "series": rows,
        **{str(name): found for name, found in rows.items()},
        "exports": {name: f"/stats-history?format=csv&series={name}" for name in HISTORY},
        "retention": dict(retention),
    }


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

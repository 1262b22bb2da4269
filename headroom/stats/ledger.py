"""What happened so far in this process: totals and recent figures, fed one Outcome at a time.

Counts only what outcomes say; no prompt, no credential and no caller is kept. Savings are signed.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from headroom.model import Outcome
from headroom.stats.exposition import Exposition

_WINDOW = 2048  # outcomes that the latency figures and the recent list look back on
_FAILED = 500
_MODELS = 500  # further model names are counted as "other": callers choose them


def figures(values: Iterable[float]) -> dict[str, float | None]:
    """average, min, max and percentiles in milliseconds; all None without values."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(("average_ms", "min_ms", "max_ms", "p50_ms", "p95_ms", "p99_ms"))

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {
        "average_ms": round(sum(ordered) / len(ordered), 3),
        "min_ms": round(ordered[0], 3),
        "max_ms": round(ordered[-1], 3),
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
    }


class Ledger:
    """Not thread-safe: one event loop writes and reads it."""

    def __init__(self) -> None:
        self.exposition = Exposition()
        self.started = time.time()
        self._totals: Counter[str] = Counter()
        self._by: dict[str, Counter[str]] = {name: Counter() for name in ("provider", "model", "mode", "skip", "degraded", "layer")}
        self._transform_ms: dict[str, Counter[str]] = {}
        self._cache: dict[str, Counter[str]] = {}
        self._recent: deque[Outcome] = deque(maxlen=_WINDOW)

    def record(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self._recent.append(outcome)
        self._totals["requests"] += 1
        self._totals["failed"] += outcome.status >= _FAILED or outcome.status == 0
        self._totals["rate_limited"] += outcome.status == 429
        self._totals["input"] += outcome.tokens_after
        self._totals["before"] += outcome.tokens_before
        self._totals["saved"] += outcome.tokens_saved
        self._totals["output"] += outcome.usage.output_tokens or 0
        self._totals["rounds"] += outcome.rounds
        self._totals["retrievals"] += outcome.retrievals
        self._totals["cached"] += bool(outcome.cache_hit)
        self._by["provider"][outcome.provider] += 1
        models = self._by["model"]
        name = outcome.model or "unknown"
        models[name if name in models or len(models) < _MODELS else "other"] += 1
        self._by["mode"][outcome.mode] += 1
        for reason in outcome.reasons or ((outcome.skip_reason,) if outcome.skip_reason else ()):
            self._by["skip"][reason] += 1
        for tier, reason in outcome.degraded:
            self._by["degraded"][f"{tier}:{reason}"] += 1
        for name, spent in outcome.transform_ms:
            self._transform_ms.setdefault(name, Counter()).update(count=1, microseconds=round(1000 * spent))
            most = self._transform_ms[name]
            most["most"] = max(most["most"], round(1000 * spent))
        cache = self._cache.setdefault(outcome.provider, Counter())
        cache["cache_read_tokens"] += outcome.usage.cache_read_tokens or 0
        cache["cache_write_tokens"] += outcome.usage.cache_write_tokens or 0
        self.exposition.record(outcome)

    @property
    def totals(self) -> Mapping[str, int]:
        """requests, failed, rate_limited, input, before, saved, output, rounds, retrievals, cached."""
        return self._totals

    def savings_percent(self) -> float:
        before = self._totals["before"]
        return round(100 * self._totals["saved"] / before, 2) if before else 0.0

    def stats(self, mode: str) -> dict[str, Any]:
        """The body of GET /stats."""
        total, recent = self._totals, self._recent
        models = self._by["model"].most_common(1)
        return {
            "summary": {
                "mode": mode,
                "api_requests": total["requests"],
                "primary_model": models[0][0] if models else None,
                "compression": {"tokens_saved": total["saved"], "savings_percent": self.savings_percent()},
                "uncompressed_requests": dict(Counter(o.skip_reason for o in recent if o.skip_reason)),
            },
            "requests": {
                "total": total["requests"],
                "cached": total["cached"],
                "rate_limited": total["rate_limited"],
                "failed": total["failed"],
                "by_provider": dict(self._by["provider"]),
                "by_model": dict(self._by["model"]),
            },
            "tokens": {
                "input": total["input"],
                "output": total["output"],
                "saved": total["saved"],
                "total_before_compression": total["before"],
                "savings_percent": self.savings_percent(),
            },
            "latency": figures(o.total_ms for o in recent),
            "overhead": figures(o.overhead_ms for o in recent if o.status),
            "ttfb": figures(o.ttfb_ms for o in recent if o.ttfb_ms is not None),
            "pipeline_timing": {
                name: {
                    "count": spent["count"],
                    "average_ms": spent["microseconds"] / 1000 / max(1, spent["count"]),
                    "max_ms": spent["most"] / 1000,
                }
                for name, spent in sorted(self._transform_ms.items())
            },
            "prefix_cache": {"by_provider": {name: dict(counts) for name, counts in self._cache.items()}},
            "skip_reasons": dict(self._by["skip"]),
            "degraded": dict(self._by["degraded"]),
            "recent_requests": [_brief(outcome) for outcome in list(recent)[-50:][::-1]],
        }


def _brief(outcome: Outcome) -> dict[str, Any]:
    return {
        "request_id": outcome.request_id,
        "timestamp": outcome.timestamp,
        "provider": outcome.provider,
        "model": outcome.model,
        "mode": outcome.mode,
        "stream": outcome.stream,
        "output_tokens": outcome.usage.output_tokens,
        "cached_tokens": outcome.usage.cache_read_tokens,
        "status": outcome.status,
        "tokens_before": outcome.tokens_before,
        "tokens_saved": outcome.tokens_saved,
        "transforms": list(outcome.transforms),
        "skip_reason": outcome.skip_reason,
        "overhead_ms": round(outcome.overhead_ms, 2),
        "total_ms": round(outcome.total_ms, 2),
        "error": outcome.error,
    }

"""The Prometheus metrics of one process, in a registry of its own.

Labels have few values: provider, mode, transform, tier, reason. The model label is bounded. No
label names a tenant, a user or a request.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from headroom.model import Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MODELS = 50  # further model names are counted as "other"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Exposition:
    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"headroom_{name}", help, labels, registry=registry)

        def gauge(name: str, help: str, *labels: str) -> Gauge:
            return Gauge(f"headroom_{name}", help, labels, registry=registry)

        def histogram(name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"headroom_{name}", help, labels, buckets=buckets, registry=registry)

        self._requests = counter("requests_total", "Requests to provider routes", "mode")
        self._failed = counter("requests_failed_total", "Requests answered with 5xx or not at all")
        self._hits = counter("cache_hits_total", "Requests answered with an earlier answer")
        self._cached = counter("requests_cached_total", "The same, by how they were found", "kind")
        self._limited = counter("requests_rate_limited_total", "Requests answered with 429")
        # gauges, because the names are fixed: a saving may be negative, and the others have no _total
        self._saved = gauge("tokens_saved_total", "Tokens left out of requests (signed)")
        self._input = counter("tokens_input_total", "Tokens forwarded, as we count them")
        self._output = counter("tokens_output_total", "Tokens answered, as billed")
        self._providers = gauge("requests_by_provider", "Requests by provider", "provider")
        self._models = gauge("requests_by_model", "Requests by model", "model")
        self._ratio = histogram("compression_ratio", "Tokens after over tokens before", _RATIOS)
        self._latency = histogram("latency_seconds", "Request to last byte", _SECONDS)
        self._overhead = histogram("overhead_seconds", "What Headroom added before the provider", _SECONDS)
        self._ttfb = histogram("ttfb_seconds", "Request to first byte", _SECONDS)
        self._transform = histogram("transform_seconds", "Time of one transform", _SECONDS, "transform")
        self._cache_read = counter("cache_read_tokens_total", "Prompt tokens the provider read from its cache", "provider")
        self._cache_write = counter("cache_write_tokens_total", "Prompt tokens the provider wrote to its cache", "provider")
        self._skipped = counter("skipped_total", "Texts and requests left as they came", "reason")
        self._rounds = counter("ccr_rounds_total", "Further requests to the provider because a model read something back")
        self._retrievals = counter("ccr_retrievals_total", "Originals that models read back inside their answers")
        self._degraded = counter("tier_degraded_total", "Calls of a tier that went on without it", "tier", "reason")
        self._known_models: set[str] = set()

    def record(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self._requests.labels(outcome.mode).inc()
        self._failed.inc(outcome.status >= 500 or outcome.status == 0)
        if outcome.cache_hit:
            self._hits.inc()
            self._cached.labels(outcome.cache_hit).inc()
        self._limited.inc(outcome.status == 429)
        self._rounds.inc(outcome.rounds)
        self._retrievals.inc(outcome.retrievals)
        self._saved.inc(outcome.tokens_saved)
        self._input.inc(max(0, outcome.tokens_after))
        self._output.inc(outcome.usage.output_tokens or 0)
        self._providers.labels(outcome.provider).inc()
        self._models.labels(self._model(outcome.model)).inc()
        if outcome.tokens_before:
            self._ratio.observe(outcome.tokens_after / outcome.tokens_before)
        self._latency.observe(outcome.total_ms / 1000)
        self._overhead.observe(outcome.overhead_ms / 1000)
        if outcome.ttfb_ms is not None:
            self._ttfb.observe(outcome.ttfb_ms / 1000)
        for tier, reason in outcome.degraded:
            self._degraded.labels(tier, reason).inc()
        for name, spent in outcome.transform_ms:
            self._transform.labels(name).observe(spent / 1000)
        self._cache_read.labels(outcome.provider).inc(outcome.usage.cache_read_tokens or 0)
        self._cache_write.labels(outcome.provider).inc(outcome.usage.cache_write_tokens or 0)
        for reason in outcome.reasons or ((outcome.skip_reason,) if outcome.skip_reason else ()):
            self._skipped.labels(reason).inc()

    def _model(self, model: str) -> str:
        if model not in self._known_models and len(self._known_models) >= _MODELS:
            return "other"
        self._known_models.add(model)
        return model[:100] or "unknown"

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self._registry)

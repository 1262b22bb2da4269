"""The Prometheus metrics of a ledger: what it counted, so that every process answers the same and no counter goes back.

Labels have few values: provider, mode, transform, tier, reason. The model label is bounded. No
label names a tenant, a user or a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from headroom.stats.tally import EDGES, RATIO_EDGES, TIMES, Tally, by_name, distribution

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_COUNTERS = {
    "requests_failed": ("failed", "Requests answered with 5xx or not at all"),
    "requests_rate_limited": ("rate_limited", "Requests answered with 429"),
    "cache_hits": ("cached", "Requests answered with an earlier answer"),
    "requests_unpriced": ("unpriced", "Requests to models whose price nobody knows"),
    "tokens_input": ("tokens_after", "Tokens forwarded, as we count them"),
    "tokens_output": ("output_tokens", "Tokens answered, as billed"),
    "ccr_rounds": ("rounds", "Further requests to the provider because a model read something back"),
    "ccr_retrievals": ("retrievals", "Originals that models read back inside their answers"),
}
_LABELLED = {
    "requests": ("mode", "mode", "Requests to provider routes"),
    "requests_cached": ("cached_as", "kind", "Requests answered with an earlier answer, by how it was found"),
    "skipped": ("skip", "reason", "Texts and requests left as they came"),
    "cache_read_tokens": ("cache_read_tokens", "provider", "Prompt tokens the provider read from its cache"),
    "cache_write_tokens": ("cache_write_tokens", "provider", "Prompt tokens the provider wrote to its cache"),
    "provider_cache_bust": ("cache_bust", "provider", "Conversations written to the provider's cache anew in a later turn"),
}
_HELP = {
    "latency": "Request to last byte",
    "overhead": "What Headroom added before the provider",
    "ttfb": "Request to first byte",
}


def render(total: Tally, labels: Sequence[str]) -> bytes:
    """The text format of Prometheus; `labels` are the models that have one of their own."""
    registry = CollectorRegistry()
    registry.register(_Families(total, labels))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, total: Tally, labels: Sequence[str]) -> None:
        self._total = total
        self._labels = set(labels)

    def collect(self) -> Iterator[Metric]:
        total = self._total
        for name, (figure, help) in _COUNTERS.items():
            yield CounterMetricFamily(f"headroom_{name}", help, total[figure])
        for name, (kind, label, help) in _LABELLED.items():
            family = CounterMetricFamily(f"headroom_{name}", help, labels=[label])
            for value, count in sorted(by_name(total, kind).items()):
                family.add_metric([value], count)
            yield family
        yield from self._signed()
        degraded = CounterMetricFamily("headroom_tier_degraded", "Calls of a tier that went on without it", labels=["tier", "reason"])
        for name, count in sorted(by_name(total, "degraded").items()):
            tier, _, reason = name.partition(":")
            degraded.add_metric([tier, reason], count)
        yield degraded
        yield from self._distributions()

    def _signed(self) -> Iterator[Metric]:
        """Gauges, because the names are fixed: a saving may be negative, and the others have no _total."""
        total = self._total
        yield GaugeMetricFamily("headroom_tokens_saved_total", "Tokens left out of requests (signed)", total["tokens_saved"])
        cost = CounterMetricFamily("headroom_cost_usd", "Dollars billed by the provider, over requests with a price", labels=["provider"])
        saved = GaugeMetricFamily("headroom_saved_usd_total", "Dollars saved, an estimate (signed)", labels=["provider"])
        for family, kind in ((cost, "cost_nanousd"), (saved, "saved_nanousd")):
            for provider, nano in sorted(by_name(total, kind).items()):
                family.add_metric([provider], nano / 1e9)
            yield family
        providers = GaugeMetricFamily("headroom_requests_by_provider", "Requests by provider", labels=["provider"])
        for provider, count in sorted(by_name(total, "provider").items()):
            providers.add_metric([provider], count)
        yield providers
        models: Tally = Tally()
        for model, count in by_name(total, "model").items():
            models[model[:100] if model in self._labels else "other"] += count
        by_model = GaugeMetricFamily("headroom_requests_by_model", "Requests by model", labels=["model"])
        for model, count in sorted(models.items()):
            by_model.add_metric([model], count)
        yield by_model

    def _distributions(self) -> Iterator[Metric]:
        total = self._total
        ratios = list(accumulate(distribution(total, "ratio", RATIO_EDGES)))
        buckets = [*((str(edge / 100), count) for edge, count in zip(RATIO_EDGES, ratios, strict=False)), ("+Inf", ratios[-1])]
        ratio = HistogramMetricFamily("headroom_compression_ratio", "Tokens after over tokens before")
        ratio.add_metric([], buckets, total["ratio_ppm"] / 1e6)
        yield ratio
        for kind, column in TIMES.items():
            family = HistogramMetricFamily(f"headroom_{kind}_seconds", _HELP[kind])
            family.add_metric([], _le(distribution(total, kind)), total[column] / 1e6)
            yield family
        timed = HistogramMetricFamily("headroom_transform_seconds", "Time of one transform", labels=["transform"])
        for name, micros in sorted(by_name(total, "transform_us").items()):
            timed.add_metric([name], _le(distribution(total, f"transform_le/{name}")), micros / 1e6)
        yield timed


def _le(counts: Sequence[int]) -> list[tuple[str, int]]:
    """Prometheus' own edges, each of which is one of EDGES."""
    so_far = list(accumulate(counts))
    found = [(str(second), so_far[EDGES.index(round(1_000_000 * second))]) for second in _SECONDS]
    return [*found, ("+Inf", so_far[-1])]

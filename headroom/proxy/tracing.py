"""OpenTelemetry traces: a span for each request, and in it one for each tier and for the provider. Off unless an endpoint is named.

A span holds figures, names and reasons that the ledger holds too; never a prompt, an answer, a header or the text of an error. A
`traceparent` of the client is the parent; it goes on to the provider as it came, like every header.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from headroom.outcome import Outcome
from headroom.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_HEADERS = ("traceparent", "tracestate")
_log = logging.getLogger(__name__)


class Tracing:
    """Spans of a provider; without one nothing happens, and costs nothing."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("headroom") if provider else None

    def request(self, headers: Mapping[str, str], route: str) -> AbstractContextManager[Span | None]:
        """The span of a whole request; `ended` completes it."""
        return self._span(route, "SERVER", {"http.route": route}, headers) if self._tracer else nullcontext()

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[Span | None]:
        """A part of the request that runs now, on our side."""
        return self._span(name, "INTERNAL", attributes) if self._tracer else nullcontext()

    def provider(self, name: str, model: str) -> AbstractContextManager[Span | None]:
        """A request to the provider, until its answer begins."""
        asked = {"gen_ai.provider.name": name, "gen_ai.request.model": model}
        return self._span("provider", "CLIENT", asked) if self._tracer else nullcontext()

    @contextmanager
    def _span(self, name: str, kind: str, attributes: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = None
        if headers is not None:
            parent = TraceContextTextMapPropagator().extract({name: headers[name] for name in _HEADERS if name in headers})
        assert self._tracer is not None
        options: dict[str, Any] = {"record_exception": False, "set_status_on_exception": False}  # messages may quote a request
        with self._tracer.start_as_current_span(name, parent, SpanKind[kind], attributes, **options) as span:
            try:
                yield span
            except BaseException as failure:
                span.set_attribute("error.type", type(failure).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    async def close(self) -> None:
        """Send what waits."""
        if self._provider:
            await asyncio.to_thread(self._provider.shutdown)


def ended(span: Span | None, outcome: Outcome) -> None:
    """Write what happened into the span of a request."""
    if span is None:
        return
    from opentelemetry.trace import Status, StatusCode

    usage = outcome.usage
    values: dict[str, Any] = {
        "headroom.request_id": outcome.request_id,
        "http.request.method": "POST",
        "http.response.status_code": outcome.status,
        "gen_ai.provider.name": outcome.provider,
        "gen_ai.request.model": outcome.model,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "headroom.mode": outcome.mode,
        "headroom.stream": outcome.stream,
        "headroom.tokens_before": outcome.tokens_before,
        "headroom.tokens_after": outcome.tokens_after,
        "headroom.tokens_saved": outcome.tokens_saved,
        "headroom.cache_read_tokens": usage.cache_read_tokens,
        "headroom.cache_write_tokens": usage.cache_write_tokens,
        "headroom.transforms": list(dict.fromkeys(name for name, _ in outcome.transform_tokens)),
        "headroom.degraded": [f"{tier}:{reason}" for tier, reason in outcome.degraded],
        "headroom.skip_reason": outcome.skip_reason,
        "headroom.cache": outcome.cache_hit,
        "headroom.translated": outcome.translated,
        "headroom.rounds": outcome.rounds,
        "headroom.overhead_ms": outcome.overhead_ms,
        "headroom.ttfb_ms": outcome.ttfb_ms,
    }
    span.set_attributes({name: value for name, value in values.items() if value not in (None, "", [])})
    if outcome.status >= 500 or outcome.status == 0:
        span.set_status(Status(StatusCode.ERROR))


def open_tracing(settings: TracingSettings) -> Tracing:
    """Spans to the endpoint of the settings; none, and a line in the log, where headroom[otel] is not installed."""
    if not settings.endpoint:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError:
        _log.warning("no traces: an OTLP endpoint is set, and headroom[otel] is not installed")
        return Tracing()
    resource = Resource.create({"service.name": settings.service})
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(settings.sample), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{settings.endpoint.rstrip('/')}/v1/traces")))
    return Tracing(provider)

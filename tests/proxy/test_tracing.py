"""Traces over real OTLP: one for each request, with its tiers and the provider in it, and never a text. Off unless an endpoint is named."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from headroom.model import Job, JobResult
from headroom.proxy.compress import Degraded
from headroom.proxy.services import open_services
from tests.provider import Provider, Script
from tests.proxy.faces import HTTP, Inline, anthropic_turns, asking, serving, settings_for

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """What an OTLP receiver was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""

    @property
    def spans(self) -> list[Span]:
        requests = map(ExportTraceServiceRequest.FromString, self.bodies)
        return [span for asked in requests for resource in asked.resource_spans for scope in resource.scope_spans for span in scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.bodies.append(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    yield collector
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_request_is_a_trace_from_ingress_to_provider(provider: Provider, tmp_path: Path) -> None:
    with collecting() as collector:
        settings = settings_for(provider, tmp_path, tracing={"endpoint": collector.url}, cache={"sampled": True})
        with serving(settings) as url:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-api-key": "sk-secret"}
            answer = HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)), headers=headers)
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"/v1/messages", "cache", "compression", "tier compressor", "context", "provider", "answer"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    whole = spans["/v1/messages"]
    assert (whole.kind, whole.parent_span_id.hex()) == (Span.SPAN_KIND_SERVER, PARENT)
    parents = {
        name: next(other for other, one in spans.items() if one.span_id == span.parent_span_id)
        for name, span in spans.items()
        if span is not whole
    }
    assert parents == {
        "cache": "/v1/messages",
        "compression": "/v1/messages",
        "tier compressor": "compression",
        "context": "compression",
        "provider": "/v1/messages",
        "answer": "/v1/messages",
    }
    assert spans["provider"].kind == Span.SPAN_KIND_CLIENT
    told = attributes(whole)
    assert told["headroom.request_id"] == answer.headers["x-headroom-request-id"]
    assert told["headroom.tokens_saved"] == int(answer.headers["x-headroom-tokens-saved"]) > 0
    assert told["http.response.status_code"] == 200
    assert told["gen_ai.request.model"] == "stand-in"
    sent = b"".join(collector.bodies)
    for secret in (b"how busy", b"node-", b"example", b"sk-secret", answer.json()["content"][0]["text"].encode()):
        assert secret not in sent, secret
    assert dict(provider.requests[0].headers)["traceparent"] == headers["traceparent"]


class Broken(Inline):
    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        raise Degraded("deadline")


def test_what_failed_is_marked_without_its_words(provider: Provider, tmp_path: Path) -> None:
    provider.script(Script(status=529))
    with collecting() as collector:
        settings = settings_for(provider, tmp_path, tracing={"endpoint": collector.url})
        with serving(settings, Broken(settings)) as url:
            HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)))
    spans = {span.name: span for span in collector.spans}
    assert spans["tier compressor"].status.code == Status.STATUS_CODE_ERROR
    assert attributes(spans["tier compressor"])["error.type"] == "Degraded"
    assert spans["/v1/messages"].status.code == Status.STATUS_CODE_ERROR
    assert [one.string_value for one in attributes(spans["/v1/messages"])["headroom.degraded"].values] == ["compressor:deadline"]
    assert not any(span.events or span.status.message for span in spans.values())


def test_a_collector_that_is_gone_costs_no_request(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path, tracing={"endpoint": "http://127.0.0.1:1"})) as url:
        answers: list[httpx.Response] = [HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1))) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_without_an_endpoint_no_span_is_made(provider: Provider, tmp_path: Path) -> None:
    services = open_services(settings_for(provider, tmp_path), Inline(settings_for(provider, tmp_path)))
    with services.tracing.request({}, "/v1/messages") as span, services.tracing.span("compression") as inner:
        assert (span, inner) == (None, None)

"""Times `POST /v1/compress` of one or two servers over the same conversations, one request at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import corpus, generated

_TIMEOUT_S = 120.0
_WARM_UP_BYTES = 5000


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation at one server; `warm_ms` is the median of the repeats. `error` says why there are no times."""

    id: str
    kind: str
    url: str
    bytes: int
    cold_ms: float = 0.0
    warm_ms: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one server over some conversations."""

    n: int
    errors: int
    cold_p50: float
    cold_p95: float
    warm_p50: float
    warm_p95: float
    cold_mb_s: float


def measure(urls: Sequence[str], data: Path, repeats: int, limit: int | None, model: str) -> list[Sample]:
    """Every conversation at every server; the servers take turns at being the first."""
    samples: list[Sample] = []
    clients = {url: httpx.Client(base_url=url, timeout=_TIMEOUT_S) for url in urls}
    try:
        for client in clients.values():
            _warm_up(client, model)
        talks = corpus.conversations(data, limit)
        shown = track(talks, "over HTTP", total=corpus.count(data, limit), console=Console(stderr=True), transient=True)
        for number, talk in enumerate(shown):
            raw = json.dumps({"messages": talk.messages, "model": model}, ensure_ascii=False).encode()
            turns = urls if number % 2 == 0 else urls[::-1]
            samples += [_sample(clients[url], url, talk, raw, repeats) for url in turns]
    finally:
        for client in clients.values():
            client.close()
    return samples


def _warm_up(client: httpx.Client, model: str) -> None:
    """What a server loads at its first request is no part of the figures."""
    for kind in generated.KINDS:
        messages = generated.conversation(kind, generated.text(kind, _WARM_UP_BYTES, "first"))
        client.post("/v1/compress", json={"messages": messages, "model": model}).raise_for_status()


def _sample(client: httpx.Client, url: str, talk: corpus.Conversation, raw: bytes, repeats: int) -> Sample:
    millis: list[float] = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        try:
            reply = client.post("/v1/compress", content=raw, headers={"content-type": "application/json"})
        except httpx.HTTPError as failure:
            return Sample(talk.id, talk.kind, url, len(raw), error=repr(failure))
        millis.append(1000 * (time.perf_counter() - started))
        if reply.status_code != httpx.codes.OK:
            return Sample(talk.id, talk.kind, url, len(raw), error=f"{reply.status_code}: {reply.text[:200]}")
    return Sample(talk.id, talk.kind, url, len(raw), millis[0], median(millis[1:]))


def figures(samples: Sequence[Sample]) -> Figures:
    done = [sample for sample in samples if not sample.error]
    cold, warm = [sample.cold_ms for sample in done], [sample.warm_ms for sample in done]
    size, spent_ms = sum(sample.bytes for sample in done), sum(cold)
    return Figures(
        len(done),
        len(samples) - len(done),
        percentile(cold, 50),
        percentile(cold, 95),
        percentile(warm, 50),
        percentile(warm, 95),
        size / 1000 / spent_ms if spent_ms else 0.0,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Between the closest two; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def report(samples: Sequence[Sample], urls: Sequence[str]) -> tuple[list[Table], dict[str, Any]]:
    """One table per server, and one of ratios where there are two; and all of it for machines."""
    kinds = [*sorted({sample.kind for sample in samples}), "all"]
    found = {url: {kind: figures([s for s in samples if s.url == url and kind in (s.kind, "all")]) for kind in kinds} for url in urls}
    tables = [_table(url, found[url]) for url in urls]
    whole: dict[str, Any] = {
        "servers": {url: {kind: asdict(of) for kind, of in rows.items()} for url, rows in found.items()},
        "samples": [asdict(sample) for sample in samples],
    }
    if len(urls) == 2:
        own, peer = (found[url] for url in urls)
        ratios = {kind: _ratios(own[kind], peer[kind]) for kind in kinds}
        whole["peer_over_own"] = ratios
        tables.append(_ratio_table(ratios))
    return tables, whole


_COLUMNS: dict[str, Callable[[Figures], float]] = {
    "cold p50": lambda of: of.cold_p50,
    "cold p95": lambda of: of.cold_p95,
    "warm p50": lambda of: of.warm_p50,
    "warm p95": lambda of: of.warm_p95,
}


def _table(url: str, rows: dict[str, Figures]) -> Table:
    table = Table(title=f"POST {url}/v1/compress", caption="milliseconds")
    table.add_column("kind")
    for head in ("n", "errors", *_COLUMNS, "MB/s cold"):
        table.add_column(head, justify="right")
    for kind, of in rows.items():
        times = (f"{value(of):.1f}" for value in _COLUMNS.values())
        table.add_row(kind, str(of.n), str(of.errors), *times, f"{of.cold_mb_s:.2f}", style="bold" if kind == "all" else "")
    return table


def _ratios(own: Figures, peer: Figures) -> dict[str, float]:
    times = {head: value(peer) / value(own) if value(own) else 0.0 for head, value in _COLUMNS.items()}
    return times | {"MB/s cold": own.cold_mb_s / peer.cold_mb_s if peer.cold_mb_s else 0.0}


def _ratio_table(ratios: dict[str, dict[str, float]]) -> Table:
    table = Table(title="How many times faster than the peer")
    table.add_column("kind")
    for head in (*_COLUMNS, "MB/s cold"):
        table.add_column(head, justify="right")
    for kind, values in ratios.items():
        table.add_row(kind, *(f"{value:.1f}" for value in values.values()), style="bold" if kind == "all" else "")
    return table
